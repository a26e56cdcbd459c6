#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the bundled model's directory from one that `gptjt export` has written, in a minute:

    make_bundled.py runs/tiny/model models/gpt-jt-tiny

Needs torch, transformers, tokenizers, safetensors. In the second it replaces what GPT-JT's published directory has, and
leaves the rest (README.md) alone:
  pytorch_model.bin    fp16, with the buffers of GPT-J in every layer: attn.bias, all ones, and masked_bias
  config.json          without "prompt_mask": which mask it is, attn.bias says, as in GPT-JT
  tokenizer files      as they are
  golden_answers.json  greedy continuations by transformers under both masks, computed in fp32 from the fp16 weights.
                       Prompts on whose way two tokens were nearer than TIE are left out: another order of sums
                       might choose the other. Newer transformers ignore attn.bias, so the mask is given; gptj_ref.py
                       in float64 checks that it was used."""
import json
import pathlib
import shutil
import sys

import tokenizers
import torch
import transformers
from safetensors.torch import load_file

import gptj_ref as ref

torch.set_num_threads(1)  # the matrices are too small for more
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
NEW_TOKENS, TIE, NEAR = 24, 1e-3, 1e-4
TOKENIZER = ["tokenizer.json", "vocab.json", "merges.txt", "added_tokens.json", "tokenizer_config.json",
             "special_tokens_map.json"]  # fmt: skip
GPT_JT = {
    "attn_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "resid_pdrop": 0.0,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50, "temperature": 1.0}},
    "torch_dtype": "float16",
    "use_cache": True,
}
# Beside the card's examples: other tasks that the model is trained for, one with labels and one without examples.
PROMPTS = [
    "Return the capital of the given country.\n\nInput: Norway\nOutput: Oslo\n\nInput: Portugal\nOutput: Lisbon\n\n"
    "Input: Kenya\nOutput:",
    "Convert the JSON object to a line of CSV.\n\n"
    'JSON: {"name": "Damon Webb", "email": "dwebb@argon.de", "phone": "273-729-2815"}\n'
    "CSV: Damon Webb,dwebb@argon.de,273-729-2815\n\n"
    'JSON: {"name": "Hubert Lang", "email": "hlang@live.com", "phone": "377-079-3317"}\nCSV:',
    "What is the sentence about?\nPossible labels:\n1. sports\n2. food\n3. weather\n4. music\n\n"
    "Sentence: the goalkeeper caught the ball after 82 minutes\nTopic: sports\n\n"
    "Sentence: The singer recorded 90 albums\nTopic:",
    "Put it as Last, First.\n\nInput: Alfred Moore\nOutput: Moore, Alfred\n\nInput: Denise Pandey\nOutput:",
    "Say what kind of thing the word is.\n\nWord: waxwing\nKind:",
]


def published(weights, config):
    """The tensors in GPT-J's order, every layer with its buffers."""
    ones = torch.ones((1, 1, config["n_positions"], config["n_positions"]), dtype=torch.uint8)
    tensors = {}
    for name, tensor in weights.items():
        if name.endswith("attn.bias"):
            continue
        tensors[name] = tensor.half()
        if name.endswith("ln_1.bias"):
            layer = name.removesuffix("ln_1.bias")
            tensors[layer + "attn.bias"] = ones.clone()
            tensors[layer + "attn.masked_bias"] = torch.tensor(-1e9).half()
    return tensors


def open_transformers(weights, config):
    model = transformers.GPTJForCausalLM(transformers.GPTJConfig(**config, attn_implementation="eager")).float().eval()
    missing, unknown = model.load_state_dict(weights, strict=False)
    if missing or unknown:
        sys.exit(f"transformers lacks {missing} and does not know {unknown}")
    return model


def last_logits(model, ids, prefix):
    """Of the next token, where the first `prefix` tokens see each other."""
    _, hi = ref.intervals_prefix(len(ids), prefix)
    hidden = torch.arange(len(ids))[None, :] >= torch.tensor(hi)[:, None]
    mask = torch.zeros(hidden.shape).masked_fill(hidden, torch.finfo(torch.float32).min)
    with torch.no_grad():
        return model(torch.tensor([ids]), attention_mask=mask[None, None], use_cache=False).logits[0, -1]


def golden(model, weights64, config, tokenizer, prompt, mask):
    ids = tokenizer.encode(prompt).ids
    row, prefix, margins = list(ids), len(ids) if mask == "prefix" else 0, []
    while len(row) < len(ids) + NEW_TOKENS and row[-1] != config["eos_token_id"]:
        logits = last_logits(model, row, prefix)
        truth = ref.forward(weights64, config, torch.tensor(row), *ref.intervals_prefix(len(row), prefix))[-1]
        if (off := (logits - truth).abs().max()) > NEAR:
            sys.exit(f"transformers' logits are {off:.1e} from float64's: was the mask used?")
        top = logits.topk(2).values
        margins.append((top[0] - top[1]).item())
        row.append(logits.argmax().item())
    said = row[len(ids) :]
    return {"prompt": prompt, "ids": ids, "continuation": said, "text": tokenizer.decode(said), "mask": mask,
            "smallest_margin": min(margins)}  # fmt: skip


def goldens(model, weights64, config, tokenizer):
    prompts = [file.read_text(encoding="utf-8").removesuffix("\n")
               for file in sorted((ROOT / "models" / "examples").glob("*.txt"))] + PROMPTS  # fmt: skip
    found = []
    for mask in ("prefix", "causal"):
        for prompt in prompts:
            answer = golden(model, weights64, config, tokenizer, prompt, mask)
            print(f"{mask}, margin {answer['smallest_margin']:.4f}: {answer['text']!r}")
            if answer["smallest_margin"] < TIE:
                print("    left out: nearly a tie")
                continue
            found.append(answer)
    return found


def main(source, out):
    out.mkdir(exist_ok=True)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    weights = published(load_file(source / "model.safetensors"), config)
    config.pop("prompt_mask", None)
    config = dict(sorted((config | GPT_JT).items()))
    torch.save(weights, out / "pytorch_model.bin")
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for name in TOKENIZER:
        shutil.copyfile(source / name, out / name)
    parameters = {n: t for n, t in weights.items() if "attn.bias" not in n and "masked_bias" not in n}
    model = open_transformers({n: t.float() for n, t in parameters.items()}, config)
    tokenizer = tokenizers.Tokenizer.from_file(str(out / "tokenizer.json"))
    answers = goldens(model, {n: t.double() for n, t in parameters.items()}, config, tokenizer)
    lines = ",\n".join(json.dumps(answer, ensure_ascii=False) for answer in answers)
    (out / "golden_answers.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*map(pathlib.Path, sys.argv[1:]))
