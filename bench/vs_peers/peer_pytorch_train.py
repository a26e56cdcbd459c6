# SPDX-License-Identifier: Apache-2.0
"""Training steps by PyTorch: the GPT-J of transformers with random weights, as it comes or through torch.compile.

Answers every {"seq": N} on stdin with the seconds of one step on one sequence of N random tokens, each with a random
target: `seconds` of forward pass, loss and backward pass, `update_s` of clipping and AdamW, and the step's loss.
{"seq": N, "eager": true} is not compiled.
"""
import argparse
import contextlib

import torch
import transformers

import peer

LEARNING_RATE = 1e-5


class Step:
    def __init__(self, args):
        config = transformers.GPTJConfig(n_layer=args.layers, n_embd=args.width, n_head=args.heads,
                                         rotary_dim=args.rotary, vocab_size=args.vocabulary,
                                         n_positions=args.positions)  # fmt: skip
        torch.manual_seed(0)
        self.model = transformers.GPTJForCausalLM(config).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=LEARNING_RATE, eps=1e-6, weight_decay=0.01,
                                           fused=True)  # fmt: skip
        self.precision, self.vocabulary = args.variant, args.vocabulary
        self.generator = torch.Generator().manual_seed(1)
        self.forward = torch.compile(self.loss, dynamic=False) if args.compile else self.loss

    def loss(self, ids, targets):
        logits = self.model(ids, use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits[0].float(), targets[0])

    def autocast(self):
        if self.precision == "bf16":
            return torch.autocast("cpu", dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def compute(self, forward, ids, targets):
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast():
            loss = forward(ids, targets)
        loss.backward()
        return loss.item()

    def update(self):
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()

    def answer(self, request):
        ids, targets = torch.randint(self.vocabulary, (2, 1, request["seq"]), generator=self.generator)
        forward = self.loss if request.get("eager") else self.forward
        losses = []
        seconds = peer.timed(lambda: losses.append(self.compute(forward, ids, targets)))
        return {"seconds": seconds, "update_s": peer.timed(self.update), "loss": losses[0]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--variant", choices=["fp32", "bf16"], required=True)
    parser.add_argument("--compile", action="store_true")
    for name in ("layers", "width", "heads", "rotary", "vocabulary", "positions", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    args = parser.parse_args()
    replies = peer.take_stdout()
    torch.set_num_threads(args.threads)
    step = Step(args)
    parameters = sum(p.numel() for p in step.model.parameters())
    version = peer.version("torch") + ", " + peer.version("transformers")
    peer.serve(replies, {"version": version, "bytes": None, "parameters": parameters}, step.answer)


main()
