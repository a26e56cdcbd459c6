#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds training against PyTorch, transformers and PEFT, by hand: python3 tools/ref/check_training.py [build/gptjt]

Needs torch, transformers, peft, safetensors. On the bundled model, within a minute or two:
  steps    ten optimizer steps of three recipes, and of PyTorch in float64 and fp32, fed with what `gptjt data` prints
  grads    gradients in bf16 and fp16, and those of PyTorch's autocast, against float64
  export   a trained checkpoint in transformers
  adapter  an adapter of ours in PEFT, PEFT's in ours
Everything is compared with float64, and ours may be so many times as far from it as PyTorch is."""
import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

import gptj_ref as ref

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MODEL = ROOT / "models" / "gpt-jt-tiny"
STEPS, BATCH, SEQ, WARM_UP, RATE, DECAY, CLIP = 10, 4, 64, 3, 1e-3, 0.1, 0.5
TARGETS = ["q_proj", "k_proj", "v_proj", "out_proj", "fc_in", "fc_out"]
SPREAD = 4  # rounding errors of two programs that round equally often differ by less
RUNS = {
    "prefix, linear": {"objective": "prefix", "schedule": "linear"},
    "causal, cosine": {"objective": "causal", "schedule": "cosine", "min_learning_rate": RATE / 10, "recompute": True},
    "ul2r, constant": {"objective": "ul2r", "schedule": "constant", "sentinel_first": 1900, "micro_batch_size": 1},
}
failures = []


def ours(*arguments):
    command = [GPTJT, *map(str, arguments), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


def report(what, mine, theirs, allowed=None):
    """Errors of ours and of PyTorch; allowed: of ours, else SPREAD times PyTorch's."""
    is_fine = mine <= (SPREAD * theirs if allowed is None else allowed)
    print(f"{'ok  ' if is_fine else 'FAIL'} {what:58s} ours {mine:.2e}   PyTorch {theirs:.2e}")
    if not is_fine:
        failures.append(what)


def largest_error(got, want):
    """Of all tensors, each relative to its largest value."""
    return max(((got[n].double() - want[n]).abs().max() / want[n].abs().max().clamp_min(1e-30)).item() for n in want)


# ---- A model and what it is fed with ----


def write_recipe(path, **changes):
    words = "the cat sat on a mat and India pays its rupee for happy Swiss Franc money".split()
    draw = random.Random(1)
    with open(path.parent / "documents.jsonl", "w", encoding="utf-8") as file:
        for _ in range(200):
            file.write(json.dumps({"text": " ".join(draw.choices(words, k=draw.randrange(10, 80)))}) + "\n")
    recipe = {"model": str(MODEL), "output": str(path.with_suffix("")), "steps": STEPS, "batch_size": BATCH,
              "micro_batch_size": 2, "seq_len": SEQ, "precision": "fp32",
              "learning_rate": RATE, "warmup_steps": WARM_UP, "weight_decay": DECAY, "max_grad_norm": CLIP,
              "save_steps": 0, "eval_steps": 0, "seed": 3,
              "sources": [{"format": "pile", "paths": str(path.parent / "documents.jsonl")}]}  # fmt: skip
    path.write_text(json.dumps(recipe | changes), encoding="utf-8")  # JSON is YAML
    return recipe["output"]


def batches(recipe):
    """Of each step: its sequences, as `gptjt data` prints them."""
    samples = json.loads(ours("data", recipe, "--json", "--show", STEPS * BATCH, "--count", STEPS * BATCH))["samples"]
    return [samples[i * BATCH : (i + 1) * BATCH] for i in range(STEPS)]


def base_weights(directory):
    """As fp32, without the mask."""
    return {n: t for n, t in load_file(directory / "model.safetensors").items() if t.dtype == torch.float32}


def as_parameters(weights, dtype):
    return {n: t.to(dtype).clone().requires_grad_() for n, t in weights.items()}


def loss_of(weights, config, batch):
    """The mean over all targets of the batch."""
    logits = torch.cat([ref.forward(weights, config, torch.tensor(s["token"]), s["lo"], s["hi"]) for s in batch])
    return torch.nn.functional.cross_entropy(logits.to(next(iter(weights.values())).dtype),
                                             torch.cat([torch.tensor(s["target"]) for s in batch]))  # fmt: skip


# ---- The checks ----


def learning_rate(step, schedule, least):
    left = (STEPS - step) / (STEPS - WARM_UP)
    if step < WARM_UP:
        return RATE * (step + 1) / WARM_UP
    share = {"linear": left, "cosine": (1 - math.cos(math.pi * left)) / 2, "constant": 1}[schedule]
    return least + (RATE - least) * share


def train_by_pytorch(weights, config, steps, dtype, rates):
    w = as_parameters(weights, dtype)
    decayed = [p for p in w.values() if p.dim() == 2]
    others = [p for p in w.values() if p.dim() != 2]
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.999), eps=1e-6)
    losses = []
    for rate, batch in zip(rates, steps):
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss = loss_of(w, config, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(w.values(), CLIP)
        optimizer.step()
        losses.append(loss.item())
    return {n: p.detach() for n, p in w.items()}, losses


def check_steps(work, weights, config, name, changes):
    recipe = work / f"{name.partition(',')[0]}.yaml"
    run = pathlib.Path(write_recipe(recipe, **changes))
    steps = batches(recipe)
    rates = [learning_rate(i, changes["schedule"], changes.get("min_learning_rate", 0)) for i in range(STEPS)]
    ours("train", recipe)
    got = load_file(run / f"checkpoint-{STEPS}" / "model.safetensors")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    want, want_losses = train_by_pytorch(weights, config, steps, torch.float64, rates)
    torch32, torch_losses = train_by_pytorch(weights, config, steps, torch.float32, rates)
    print(f"     losses {losses[0]:.4f} to {losses[-1]:.4f}; truth {want_losses[0]:.4f} to {want_losses[-1]:.4f}")
    moved = {n: want[n] - weights[n].double() for n in want}
    for which, error in (("weights, largest", lambda d: max(t.abs().max().item() for t in d.values())),
                         ("weights, root mean square", lambda d: (sum(t.square().sum() for t in d.values()) / sum(
                             t.numel() for t in d.values())).sqrt().item())):  # fmt: skip
        scale = error(moved)
        mine = error({n: got[n].double() - want[n] for n in want}) / scale
        theirs = error({n: torch32[n].double() - want[n] for n in want}) / scale
        report(f"{name}: {which}, of what they moved", mine, theirs)
    difference = [max(abs(a - b) for a, b in zip(x, want_losses)) for x in (losses, torch_losses)]
    report(f"{name}: loss", *difference, allowed=1e-5)
    return run / f"checkpoint-{STEPS}"


def gradients(weights, config, batch, dtype, autocast=None):
    w = as_parameters(weights, dtype)
    with torch.autocast("cpu", dtype=autocast or torch.bfloat16, enabled=autocast is not None):
        loss = loss_of(w, config, batch)
    loss.backward()
    return {n: p.grad for n, p in w.items()}


def check_grads(work, fp32, weights, config):
    batch = batches(work / "prefix.yaml")[0]
    columns = {"ids": "token", "lo": "lo", "hi": "hi", "target": "target"}
    save_file({ours_: torch.tensor([s[name] for s in batch], dtype=torch.int32) for ours_, name in columns.items()},
              work / "batch.safetensors")  # fmt: skip
    truth = gradients(weights, config, batch, torch.float64)
    for precision, autocast in (("fp32", None), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        out = work / f"{precision}.safetensors"
        ours("grads", fp32, "--batch", work / "batch.safetensors", "-o", out, "--precision", precision)
        mine = {n.removeprefix("grad."): t for n, t in load_file(out).items() if n != "loss"}
        theirs = gradients(weights, config, batch, torch.float32, autocast)
        report(f"gradients, {precision}, worst tensor", largest_error(mine, truth), largest_error(theirs, truth))


def logits_error(model, exact, logits, ids):
    """Of ours and of transformers' own, of the largest logit."""
    with torch.no_grad():
        theirs, truth = (m(torch.tensor([ids])).logits[0].double() for m in (model, exact))
    largest = truth.abs().max()
    return ((logits.double() - truth).abs().max() / largest).item(), ((theirs - truth).abs().max() / largest).item()


def our_logits(work, model, ids, *more):
    ours("logits", "-m", model, "--ids", ",".join(map(str, ids)), "--prompt-mask", "causal", "--weights", "fp32",
         "--compute", "fp32", *more, "-o", work / "logits.safetensors")  # fmt: skip
    return load_file(work / "logits.safetensors")["logits"]


def load(directory, dtype):
    return transformers.AutoModelForCausalLM.from_pretrained(directory, torch_dtype=dtype).eval()


def check_export(work, checkpoint, ids):
    ours("export", checkpoint, "-o", work / "exported", "--dtype", "fp32", "--prompt-mask", "causal")
    models = load(work / "exported", torch.float32), load(work / "exported", torch.float64)
    report("logits of an exported checkpoint", *logits_error(*models, our_logits(work, checkpoint, ids), ids))
    text = "Input: Swiss Franc\nOutput: happy"
    theirs = transformers.AutoTokenizer.from_pretrained(work / "exported")(text)["input_ids"]
    mine = json.loads(ours("tokenize", "-m", checkpoint, "-p", text, "--json"))["ids"]
    print(f"{'ok  ' if mine == theirs else 'FAIL'} its tokenizer in transformers")
    if mine != theirs:
        failures.append("tokenizer")


def adapted(base, directory, dtype):
    model = peft.PeftModel.from_pretrained(load(base, dtype), directory, autocast_adapter_dtype=False)
    return model.to(dtype).eval()


def check_adapters(work, base, ids):
    recipe = work / "adapter.yaml"
    run = pathlib.Path(write_recipe(recipe, objective="prefix", learning_rate=1e-2, adapter="lora", lora_rank=4,
                                    lora_targets=TARGETS))  # fmt: skip
    ours("train", recipe)
    directory = run / f"checkpoint-{STEPS}"
    plain = our_logits(work, base, ids)
    logits = our_logits(work, base, ids, "--adapter", directory)
    assert (logits - plain).abs().max() > 0.1, "the adapter does nothing"
    models = adapted(base, directory, torch.float32), adapted(base, directory, torch.float64)
    report("logits with our adapter, in PEFT", *logits_error(*models, logits, ids))
    for rslora, targets in ((False, TARGETS), (True, ["q_proj", "fc_out"])):
        check_adapter_of_peft(work, base, ids, rslora, targets)


def check_adapter_of_peft(work, base, ids, rslora, targets):
    directory = work / f"peft-{rslora}"
    config = peft.LoraConfig(r=5, lora_alpha=7, target_modules=targets, use_rslora=rslora, task_type="CAUSAL_LM")
    model = peft.get_peft_model(load(base, torch.float32), config).eval()
    torch.manual_seed(2)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.1)
    model.save_pretrained(directory)
    logits = our_logits(work, base, ids, "--adapter", directory)
    exact = adapted(base, directory, torch.float64)
    errors = logits_error(model, exact, logits, ids)
    report(f"logits with PEFT's adapter of {len(targets)} targets, rslora {rslora}", *errors)


def main():
    torch.set_num_threads(2)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        base = work / "base"
        ours("export", MODEL, "-o", base, "--dtype", "fp32", "--prompt-mask", "causal")
        weights, config = base_weights(base), json.loads((base / "config.json").read_text(encoding="utf-8"))
        ids = [random.Random(5).randrange(2000) for _ in range(100)]
        for run, changes in RUNS.items():
            checkpoint = check_steps(work, weights, config, run, changes)
        check_grads(work, base, weights, config)
        check_export(work, checkpoint, ids)
        check_adapters(work, base, ids)
    return 1 if failures else 0


GPTJT = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "build" / "gptjt")
sys.exit(main())
