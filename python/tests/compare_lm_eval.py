# SPDX-License-Identifier: Apache-2.0
"""lm_eval's own run on three local tasks through the adaptor, under both masks, against `gptjt eval` and `gptjt score`.

    GPTJT=build/gptjt GPTJT_LIBRARY=build/libgptjt.so PYTHONPATH=python python3 python/tests/compare_lm_eval.py

Needs lm_eval (pip install lm_eval); `make test` does not run it. The rows of recipes/finetune/held-out.csv make
multiple choice (the department of a message), and rolling log-likelihoods of texts, some longer than the window; and
generation, of the currency of a country."""

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile

from support import ROOT, TINY, cli

import numpy as np

try:
    import lm_eval  # noqa: F401
except ImportError:
    print("SKIPPED: there is no lm_eval")
    sys.exit(77)

HELD_OUT = os.path.join(ROOT, "recipes", "finetune", "held-out.csv")
LABELS = ["billing", "delivery", "account", "product"]
PROMPT = "Message: {}\nDepartment:"
NEW_TOKENS = 8
COUNTRIES = {"India": "Indian Rupee", "Switzerland": "Swiss Franc", "Japan": "Japanese Yen", "Brazil": "Brazilian Real",
             "Kenya": "Kenyan Shilling", "Poland": "Polish Zloty", "Thailand": "Thai Baht", "Turkey": "Turkish Lira",
             "Germany": "Euro", "Egypt": "Egyptian Pound", "China": "Renminbi", "Bulgaria": "Bulgarian Lev",
             "Israel": "New Shekel", "Peru": "Peruvian Sol", "Vietnam": "Vietnamese Dong", "Scotland": "Pound Sterling"}


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def write_tasks(directory, rows):
    """The tasks for lm_eval and for gptjt eval, with the same prompts."""
    data = os.path.join(directory, "rows.jsonl")
    write(data, "".join(json.dumps({"prompt": PROMPT.format(text), "department": department}) + "\n"
                        for text, department in rows))
    texts = os.path.join(directory, "texts.jsonl")
    documents = [" ".join(text for text, _ in rows[:n]) for n in (2, 20, 40)]
    write(texts, "".join(json.dumps({"text": d}) + "\n" for d in documents))
    for i, document in enumerate(documents):
        write(os.path.join(directory, f"text{i}.txt"), document)

    for name in ("ours", "theirs"):
        os.mkdir(os.path.join(directory, name))

    def task(name, file, **settings):
        lines = {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": file}},
                 "test_split": "test", **settings}
        write(os.path.join(directory, "theirs", name + ".yaml"), json.dumps(lines))  # JSON is YAML

    task("department_choice", data, output_type="multiple_choice", doc_to_text="{{prompt}}", target_delimiter=" ",
         doc_to_choice=[label + "\n" for label in LABELS],
         doc_to_target="{{%s.index(department)}}" % json.dumps(LABELS).replace('"', "'"),
         metric_list=[{"metric": "acc"}])
    countries = os.path.join(directory, "countries.jsonl")
    write(countries, "".join(json.dumps({"country": c, "currency": m}) + "\n" for c, m in COUNTRIES.items()))
    task("currency", countries, output_type="generate_until", doc_to_text="Country: {{country}}\nCurrency:",
         doc_to_target="{{currency}}",
         generation_kwargs={"until": ["\n"], "max_gen_toks": NEW_TOKENS, "do_sample": False},
         filter_list=[{"name": "first_word", "filter": [{"function": "regex", "regex_pattern": "^\\s*(.*?)\\s*$"},
                                                        {"function": "take_first"}]}],
         metric_list=[{"metric": "exact_match"}])
    task("texts", texts, output_type="loglikelihood_rolling", doc_to_text="", doc_to_target="{{text}}",
         metric_list=[{"metric": "bits_per_byte"}])
    ours = os.path.join(directory, "ours")
    shutil.copy(HELD_OUT, ours)
    write(os.path.join(ours, "choice.yaml"), "fields: [message: Message]\nlabel: department\nlabel_name: Department\n"
          f"list_labels: false\nanswer: choice\nshots: 0\ntest: held-out.csv\nlabels: {json.dumps(LABELS)}\n")
    write(os.path.join(ours, "words.yaml"), "fields: [country: Country]\nlabel: currency\nlabel_name: Currency\n"
          f"answer: free\nshots: 0\ntest: ../countries.jsonl\nmax_tokens: {NEW_TOKENS}\n")


def run_lm_eval(directory, mask):
    """Its command's results, and its log of every request."""
    out = os.path.join(directory, "results-" + mask)
    subprocess.run([sys.executable, "-m", "gptjt.lm_eval", "--model", "gptjt", "--model_args",
                    f"pretrained={TINY},prompt_mask={mask}", "--tasks", "department_choice,currency,texts",
                    "--include_path", os.path.join(directory, "theirs"), "--output_path", out, "--log_samples",
                    "--batch_size", "16"],
                   check=True, stdout=subprocess.DEVNULL,
                   stderr=None if os.environ.get("VERBOSE") else subprocess.DEVNULL,
                   env={**os.environ, "HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1"})
    files = [os.path.join(d, name) for d, _, names in os.walk(out) for name in names]
    with open(next(f for f in files if os.path.basename(f).startswith("results"))) as f:
        results = json.load(f)["results"]
    samples = {}
    for task in results:
        path = next(f for f in files if os.path.basename(f).startswith(f"samples_{task}_"))
        with open(path) as f:
            samples[task] = sorted((json.loads(line) for line in f), key=lambda s: s["doc_id"])
    return results, samples


def scored(pairs, mask, directory):
    """gptjt score's totals."""
    path = os.path.join(directory, "pairs.jsonl")
    write(path, "".join(json.dumps({"prompt": p, "continuation": c}) + "\n" for p, c in pairs))
    printed = cli("score", "-m", TINY, "-i", path, "--prompt-mask", mask, "--quiet")
    return [json.loads(line) for line in printed.splitlines()]


def check(what, ours, theirs, tolerance=0.0):
    worst = max(abs(a - b) for a, b in zip(ours, theirs))
    assert len(ours) == len(theirs) and worst <= tolerance, f"{what}: {ours[:4]} and {theirs[:4]} differ by {worst}"
    return worst


def compare(directory, mask):
    results, samples = run_lm_eval(directory, mask)
    model = ("-m", TINY, "--prompt-mask", mask, "--json", "--quiet")
    ours = {}
    for name in ("choice", "words"):
        printed = json.loads(cli("eval", "--tasks", os.path.join(directory, "ours", name + ".yaml"), *model))
        ours[name] = printed["tasks"][0]["masks"][mask]

    pairs = [(s["arguments"][f"gen_args_{i}"]["arg_0"], s["arguments"][f"gen_args_{i}"]["arg_1"])
             for s in samples["department_choice"] for i in range(len(LABELS))]
    found = [resp for s in samples["department_choice"] for resp in s["filtered_resps"]]
    direct = scored(pairs, mask, directory)
    worst = check("log-likelihoods", [float(f[0]) for f in found], [d["log_likelihood"] for d in direct], 1e-7)
    assert [str(f[1]) for f in found] == [str(d["greedy"]) for d in direct]
    choice = results["department_choice"]["acc,none"]
    check("accuracy", [choice], [ours["choice"]["accuracy"]], 1e-9)

    words = results["currency"]["exact_match,first_word"]
    check("exact match", [words], [ours["words"]["accuracy"]], 1e-9)
    for s in samples["currency"]:
        printed = cli("generate", "-m", TINY, "-p", s["arguments"]["gen_args_0"]["arg_0"], "--stop", "\n",
                      "--max-new-tokens", str(NEW_TOKENS), "--prompt-mask", mask, "--quiet")
        assert s["resps"][0][0] + "\n" == printed, (s["resps"], printed)

    bits = []
    for i, s in enumerate(samples["texts"]):
        text = json.loads(cli("eval", "--text", os.path.join(directory, f"text{i}.txt"), "--stride", "511", *model))
        bits.append({**text["texts"][0], **text["texts"][0]["masks"][mask]})
        total = float(np.ravel(s["filtered_resps"])[0])
        check("rolling", [total], [bits[-1]["log_likelihood"]], 1e-6 * abs(total))
    print(f"{mask}: {len(found)} log-likelihoods within {worst:.1e} of gptjt score's, accuracy {choice:.3f} and exact "
          f"match {words:.3f} as gptjt eval's, {len(samples['currency'])} texts as gptjt generate's, "
          f"{len(bits)} rolling sums (up to {max(b['tokens'] for b in bits)} tokens) as gptjt eval --text's")
    return choice, words, [float(f[0]) for f in found]


def main():
    with open(HELD_OUT, newline="") as f:
        rows = [(row["message"], row["department"]) for row in csv.DictReader(f)]
    with tempfile.TemporaryDirectory() as directory:
        write_tasks(directory, rows)
        prefix, causal = compare(directory, "prefix"), compare(directory, "causal")
    assert prefix[2] != causal[2], "the mask makes no difference"
    print(f"largest difference between the masks: {max(abs(a - b) for a, b in zip(prefix[2], causal[2])):.2f} nats")


if __name__ == "__main__":
    main()
