"""Copies what the test suite reads from a folder made by make_goldens.py, with float64 truth rounded to float32 (which
costs 2e-7 of logits up to 7, against a tolerance of 3e-5): python3 shrink_goldens.py GOLDENS tests/data/goldens
Needs: numpy, safetensors."""
import os, shutil, sys
import numpy as np
from safetensors.numpy import load_file, save_file

src, dst = sys.argv[1:]
for name in ("micro-a", "micro-b", "micro-c"):
    os.makedirs(f"{dst}/{name}", exist_ok=True)
    shutil.copy(f"{src}/{name}/greedy.json", f"{dst}/{name}/greedy.json")
    t = load_file(f"{src}/{name}/logits.safetensors")
    keep = {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in t.items()
            if not k.endswith("hf_fp32") and ".hidden" not in k and not k.startswith("packed")}
    save_file(keep, f"{dst}/{name}/logits.safetensors")
t = load_file(f"{src}/micro-a/logits_bf16.safetensors")
save_file({k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in t.items()},
          f"{dst}/micro-a/logits_bf16.safetensors")
shutil.copy(f"{src}/sampling.jsonl", f"{dst}/sampling.jsonl")
