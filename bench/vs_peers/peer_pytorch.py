# SPDX-License-Identifier: Apache-2.0
"""PyTorch through transformers. Its GPT-J has one attention, the plain one ("eager")."""
import torch
import transformers

import peer

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


class PyTorch(peer.Peer):
    def load(self, _):
        torch.set_num_threads(self.args.threads)
        torch.set_grad_enabled(False)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            self.args.checkpoint, dtype=DTYPES[self.args.variant]
        ).eval()
        read = sum(p.nbytes for name, p in self.model.named_parameters() if "wte" not in name)
        return {"version": peer.version("torch") + ", " + peer.version("transformers"), "bytes": read}

    def forward(self, ids):
        # Only the last position's logits: what generate() asks for.
        out = self.model(ids, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        self.cache = out.past_key_values
        self.next = out.logits[:, -1].argmax(-1, keepdim=True)

    def read_prompt(self, batch, tokens):
        self.cache = None
        self.forward(torch.tensor(peer.random_ids(batch, tokens)))

    def step(self):
        self.forward(self.next)


peer.main(PyTorch, DTYPES)
