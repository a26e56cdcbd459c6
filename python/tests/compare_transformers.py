# SPDX-License-Identifier: Apache-2.0
"""The same scripts with transformers: quick starts, texts, greedy continuations, logits.

    GPTJT_LIBRARY=build/libgptjt.so PYTHONPATH=python python3 python/tests/compare_transformers.py

Needs transformers and torch; `make test` does not run it. 4.28.1 is the last transformers that honours the mask in a
checkpoint (pip install transformers==4.28.1 'numpy<2' torch); a later one is compared in causal mode."""

import ast
import glob
import json
import os
import shutil
import sys
import tempfile
import warnings

from support import GOLDENS, ROOT, TINY, hub_cache, run_quick_start

os.environ.update(TRANSFORMERS_OFFLINE="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
warnings.simplefilter("ignore")
try:
    import torch
    import transformers
except ImportError:
    print("SKIPPED: there is no transformers with torch")
    sys.exit(77)

import numpy as np

import gptjt

sys.path.insert(0, os.path.join(ROOT, "tools", "ref"))
import gptj_ref  # noqa: E402

LIMIT = 3e-5
HONOURS_THE_MASK = tuple(map(int, transformers.__version__.split(".")[:2])) < (4, 29)
MASK = None if HONOURS_THE_MASK else "causal"
transformers.logging.set_verbosity_error()


def check(condition, what):
    if not condition:
        raise SystemExit(f"{what}: not the same")


def plain_copy(directory):
    """The bundled model without the sampling that its config.json asks for, of which gptjt's defaults know nothing."""
    copy = os.path.join(directory, "model")
    shutil.copytree(TINY, copy)
    path = os.path.join(copy, "config.json")
    with open(path) as f:
        config = json.load(f)
    del config["task_specific_params"]
    with open(path, "w") as f:
        json.dump(config, f)
    with open(os.path.join(copy, "generation_config.json"), "w") as f:
        json.dump({"max_new_tokens": 20, "eos_token_id": config["eos_token_id"], "bos_token_id": config["bos_token_id"],
                   "pad_token_id": config["eos_token_id"]}, f)
    return copy


def quick_starts(directory):
    if not HONOURS_THE_MASK:
        print(f"quick starts: transformers {transformers.__version__} runs them causally; not compared")
        return
    transformers.pipelines.get_task = lambda *arguments, **kwargs: "text-generation"  # which it asks the Hub for
    with hub_cache(plain_copy(directory)) as home:
        transformers.utils.hub.TRANSFORMERS_CACHE = os.path.join(home, "hub")
        shown = [ast.literal_eval(run_quick_start("pipeline.py", p)[1]) for p in ("gptjt", "transformers")]
        check(shown[0] == shown[1], f"pipeline.py: {shown}")
        texts = []
        for package in ("gptjt", "transformers"):
            names, _ = run_quick_start("model.py", package)
            tokenizer, model = names["tokenizer"], names["model"]
            inputs = tokenizer('"I love this!" Is it positive? A:', return_tensors="pt")
            out = model.generate(**inputs, max_new_tokens=20, do_sample=False)
            texts.append(tokenizer.decode(out[0], skip_special_tokens=True))
    check(texts[0] == texts[1], f"model.py: {texts}")
    print(f"quick starts: both show {shown[0]}")


def prompts():
    for path in sorted(glob.glob(os.path.join(ROOT, "models", "examples", "*.txt"))):
        with open(path) as f:
            yield f.read().rstrip("\n")
    yield '"I love this!" Is it positive? A:'
    yield "Country: India\nCurrency:"


def bundled():
    """Texts through the pipelines, and logits. Those are as large as 24 here, where float32 itself is 2e-6 coarse and
    transformers is up to 5e-5 from float64; so ours are held to that."""
    ours = gptjt.pipeline("text-generation", model=TINY, prompt_mask=MASK, compute="fp32")
    theirs = transformers.pipeline("text-generation", model=TINY)
    kwargs = {"do_sample": False, "max_new_tokens": 32, "clean_up_tokenization_spaces": False}
    weights = {name: p.detach().double() for name, p in theirs.model.named_parameters()}
    n, worst, own, between = 0, 0.0, 0.0, 0.0
    for prompt in prompts():
        for full in (True, False):
            a = ours(prompt, return_full_text=full, **kwargs)
            b = theirs(prompt, return_full_text=full, pad_token_id=ours.tokenizer.eos_token_id, **kwargs)
            check(a == b, f"{prompt!r}: {a} and {b}")
        inputs = theirs.tokenizer(prompt, return_tensors="pt")
        check(inputs.input_ids.tolist()[0] == ours.tokenizer(prompt).input_ids, "token ids")
        with torch.no_grad():
            found = theirs.model(**inputs).logits
        mine = ours.model(**inputs).logits
        check(isinstance(mine, torch.Tensor) and mine.shape == found.shape, "kind and shape of logits")
        T = mine.shape[1]
        seen = gptj_ref.intervals_prefix(T, T) if HONOURS_THE_MASK else gptj_ref.intervals_causal(T)
        with torch.no_grad():
            truth = gptj_ref.forward(weights, theirs.model.config.to_dict(), inputs.input_ids[0], *seen)
        worst = max(worst, float((mine[0] - truth).abs().max()))
        own = max(own, float((found[0] - truth).abs().max()))
        between = max(between, float((mine - found).abs().max()))
        n += 1
    check(worst < LIMIT, f"logits: {worst}")
    print(f"bundled model: {n} texts of 32 tokens are the same; logits within {worst:.1e} of float64's, transformers' "
          f"own within {own:.1e}, {between:.1e} between the two")


def micro():
    paths = sorted(glob.glob(os.path.join(GOLDENS, "micro-*", "*", "config.json")))
    random = np.random.default_rng(1)
    worst, compared = 0.0, 0
    for path in paths:
        directory = os.path.dirname(path)
        try:
            theirs = transformers.GPTJForCausalLM.from_pretrained(directory, torch_dtype=torch.float32).eval()
        except Exception as e:
            print(f"{os.path.relpath(directory, GOLDENS)}: left out, transformers does not open it: {e}")
            continue
        ours = gptjt.AutoModelForCausalLM.from_pretrained(directory, prompt_mask=MASK, compute="fp32")
        for length in (1, 7, 33):
            ids = torch.from_numpy(random.integers(0, ours.info["vocab_size"], (2, length)))
            with torch.no_grad():
                found = theirs(ids).logits
            worst = max(worst, float((ours(ids).logits - found).abs().max()))
            for row in ids:
                a = ours.generate(row[None], max_new_tokens=20)
                b = theirs.generate(row[None], max_new_tokens=20, do_sample=False,
                                    pad_token_id=ours.info["eos_token_id"])
                check(torch.equal(a, b), f"{directory}: {a} and {b}")
        compared += 1
    check(worst < LIMIT, f"logits: {worst}")
    check(compared > 0, "nothing compared")
    print(f"{compared} of {len(paths)} micro checkpoints: greedy continuations are the same, logits within {worst:.1e}")


if __name__ == "__main__":
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as d:
        quick_starts(d)
    bundled()
    micro()
