#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/helm: small HELM runs with statistics that this script computes on its own.

    make_helm_data.py excerpt RUN_DIR OUT_DIR N    the requests about the first N instances of a real run
    make_helm_data.py cases OUT_DIR                a made-up run with what real RAFT runs do not have

The statistics follow HELM's BasicMetric and Metric.compute_worst_case_metrics (v0.2), written down here from their
definitions; `make_helm_data.py check RUN_DIR...` shows that they are HELM's, by comparing with the stats.json there.
num_prompt_tokens is left out: it needs a tokenizer, and whole runs check it."""
import json, math, os, re, string, sys
from collections import defaultdict


def normalize(text):
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


MATCHES = {
    "exact_match": lambda gold, pred: gold.strip() == pred.strip(),
    "quasi_exact_match": lambda gold, pred: normalize(gold) == normalize(pred),
    "prefix_exact_match": lambda gold, pred: pred.strip().startswith(gold.strip()),
    "quasi_prefix_exact_match": lambda gold, pred: normalize(pred).startswith(normalize(gold)),
}


def text_of(x):
    return x["text"] if isinstance(x, dict) else x


def request_values(state, request):
    """metric -> value, for one request"""
    spec, instance, result = state["adapter_spec"], request["instance"], request.get("result") or {}
    completions, out = result.get("completions") or [], {}
    out["num_references"] = len(instance["references"])
    out["num_train_trials"] = spec["num_train_trials"]
    out["num_train_instances"] = request.get("num_train_instances")
    if "prompt_truncated" in request:
        out["prompt_truncated"] = int(request["prompt_truncated"])
    golds = [text_of(r["output"]) for r in instance["references"] if "correct" in r["tags"]]
    best_first = sorted(completions, key=lambda c: -c["logprob"])
    preds = [c["text"].strip() for c in best_first]
    if request.get("output_mapping") is not None:
        preds = [request["output_mapping"].get(p) for p in preds]
    if golds:
        for name, match in MATCHES.items():
            scores = [max(int(bool(p) and match(g, p)) for g in golds) for p in preds] or [0]
            out[name] = scores[0]
            if spec.get("num_outputs", 1) != 1:
                out[f"{name}@{spec['num_outputs']}"] = max(scores)
        if best_first:
            out["max_prob"] = math.exp(best_first[0]["logprob"])
    if completions:
        first, given = completions[0], request.get("num_conditioning_tokens", 0)
        tokens = first["tokens"][given:]
        out["logprob"] = sum(t["logprob"] for t in tokens)
        out["num_perplexity_tokens"] = len(tokens)
        out["num_bytes"] = sum(t["text"].count("\\x") if t["text"].startswith("bytes:") else len(t["text"].encode())
                               for t in tokens)
        out["num_output_tokens"] = len(first["tokens"])
        reason = (first.get("finish_reason") or {}).get("reason")
        for known in ("length", "stop", "endoftext"):
            out["finish_reason_" + known] = int(reason == known)
        out["finish_reason_unknown"] = int(reason not in ("length", "stop", "endoftext"))
        out["inference_runtime"], out["batch_size"] = result["request_time"], 1
        if result.get("batch_size"):
            out["inference_runtime"], out["batch_size"] = result["batch_request_time"], result["batch_size"]
            out["inference_denoised_runtime"] = out["inference_runtime"] / out["batch_size"]
    return {k: v for k, v in out.items() if v is not None}


def together(values):
    """metrics of all instances of a view together"""
    def total(name):
        return sum(v[name] for v in values if name in v)

    out = {"num_instances": len(values)}
    if total("num_perplexity_tokens"):
        out["perplexity"] = math.exp(-total("logprob") / total("num_perplexity_tokens"))
    if total("num_bytes"):
        out["logprob_per_byte"] = total("logprob") / total("num_bytes")
        out["bits_per_byte"] = -out["logprob_per_byte"] / math.log(2)
    pairs = sorted(((v["max_prob"], v["exact_match"]) for v in values if "max_prob" in v), key=lambda p: -p[0])
    if pairs:
        n = len(pairs)
        right = [sum(p[1] for p in pairs[:k + 1]) / (k + 1) for k in range(n)]
        out["ece_1_bin"] = abs(sum(p[0] for p in pairs) - sum(p[1] for p in pairs)) / n
        out["selective_cov_acc_area"] = sum(right) / n
        out["selective_acc@10"] = right[int(0.1 * n)]
    return out


def view_key(split, perturbation, computed_on=None):
    if perturbation and computed_on:
        perturbation = dict(perturbation, computed_on=computed_on)
    return json.dumps([split, perturbation], sort_keys=True)


def smallest(values):
    names = {name for v in values for name in v}
    return {name: min(v[name] for v in values if name in v) for name in names}


def trial_rows(requests, values):
    """(view, metric) -> mean, for the requests of one trial"""
    views, groups = defaultdict(list), defaultdict(list)
    for request, v in zip(requests, values):
        instance = request["instance"]
        split = {k: instance[k] for k in ("split", "sub_split") if k in instance}
        views[view_key(split, instance.get("perturbation"))].append(v)
        groups[json.dumps([split, instance["id"]])].append((split, instance.get("perturbation"), v))
    rows = {(view, name): x for view, vs in views.items() for name, x in together(vs).items()}
    for group in groups.values():
        split, original = group[0][0], [v for _, p, v in group if not p]
        for kind in ("robustness", "fairness"):
            name = {"name": kind, "robustness": kind == "robustness", "fairness": kind == "fairness"}
            copies = original + [v for _, p, v in group if p and p[kind]]
            views[view_key(split, name, "worst")].append(smallest(copies))
        for _, p, v in group:
            if p:
                views[view_key(split, p, "original")].append(smallest(original))
                views[view_key(split, p, "worst")].append(smallest(original + [v]))
    for view, vs in views.items():
        for name in {name for v in vs for name in v}:
            xs = [v[name] for v in vs if name in v]
            rows[view, name] = sum(xs) / len(xs)
    return rows


def row(name, xs):
    mean = sum(xs) / len(xs)
    variance = max(0, sum(x * x for x in xs) / len(xs) - mean * mean)
    return {"name": name, "count": len(xs), "sum": sum(xs), "sum_squared": sum(x * x for x in xs), "min": min(xs),
            "max": max(xs), "mean": mean, "variance": variance, "stddev": math.sqrt(variance)}


def statistics(state):
    requests = state["request_states"]
    rows = defaultdict(list)
    for trial in sorted({r["train_trial_index"] for r in requests}):
        chosen = [r for r in requests if r["train_trial_index"] == trial]
        for key, mean in trial_rows(chosen, [request_values(state, r) for r in chosen]).items():
            rows[key].append(mean)
    out = []
    for (view, name), means in rows.items():
        split, perturbation = json.loads(view)
        out.append(row({"name": name, **split, **({"perturbation": perturbation} if perturbation else {})}, means))
    asked = [(r["request"]["num_completions"], r["request"]["max_tokens"]) for r in requests]
    answers = [(r.get("result") or {}).get("completions") or [] for r in requests]
    out.append(row({"name": "num_completions"}, [n for n, _ in asked]))
    out.append(row({"name": "max_num_output_tokens"}, [n * k for n, k in asked]))
    out.append(row({"name": "num_completion_tokens"}, [sum(len(c["tokens"]) for c in a) for a in answers]))
    out.append(row({"name": "num_requests"}, [len(requests)]))
    return sorted(out, key=lambda s: json.dumps(s["name"], sort_keys=True))


def write(directory, state):
    os.makedirs(directory, exist_ok=True)
    kept = ("name", "count", "sum", "min", "max", "mean") # the others follow from the same numbers
    stats = [{k: s[k] for k in kept} for s in statistics(state)]
    for name, value in (("scenario_state.json", state), ("stats.json", stats)):
        with open(os.path.join(directory, name), "w") as f:
            json.dump(value, f, separators=(",", ":"))
            f.write("\n")


def read(directory, name):
    with open(os.path.join(directory, name)) as f:
        return json.load(f)


def excerpt(run, n):
    state = read(run, "scenario_state.json")
    ids = list(dict.fromkeys(r["instance"]["id"] for r in state["request_states"]))[:n]
    state["request_states"] = [r for r in state["request_states"] if r["instance"]["id"] in ids]
    return state


def check(run):
    ours = {json.dumps(s["name"], sort_keys=True): s for s in statistics(read(run, "scenario_state.json"))}
    n = bad = 0
    for theirs in read(run, "stats.json"):
        mine = ours.get(json.dumps(theirs["name"], sort_keys=True))
        if not mine:
            continue
        n += 1
        wrong = [k for k in ("count", "sum", "min", "max", "mean", "sum_squared", "variance", "stddev")
                 if abs(mine[k] - theirs[k]) > 1e-9 * max(1, abs(theirs[k]))]
        bad += bool(wrong)
        if wrong:
            print("DIFFERENT", theirs["name"], wrong)
    print(f"{run}: {n - bad} of {n} rows are HELM's")
    return bad == 0 and n > 0


def cases():
    """Right answers of which there are several or none, answers that are missing, empty, or several, letters that stand
    for answers, text that normalisation changes, another split, instances without perturbed copies."""
    def tokens(text):
        parts = re.findall(r"\s*\S+", text) or [text]
        return [{"text": p.replace(" ", "\u0120"), "logprob": -0.25 * (i + 1), "top_logprobs": {}}
                for i, p in enumerate(parts)]

    def answer(*texts, reason=None):
        out = []
        for i, text in enumerate(texts):
            t = tokens(text)
            one = {"text": text, "logprob": sum(x["logprob"] for x in t) - 0.125 * ((i * 2) % 3), "tokens": t}
            if reason:
                one["finish_reason"] = {"reason": reason}
            out.append(one)
        return {"success": True, "embedding": [], "completions": out, "cached": False, "request_time": 1.5}

    typos = {"name": "typos", "robustness": True, "fairness": False, "computed_on": "perturbed", "prob": 0.1}
    dialect = {"name": "dialect", "robustness": False, "fairness": True, "computed_on": "perturbed"}
    states = []

    def ask(id, golds, result, trial=0, split="test", perturbation=None, wrong=(), mapping=None, **more):
        references = [{"output": g, "tags": ["correct"]} for g in golds] + [{"output": w, "tags": []} for w in wrong]
        instance = {"input": f"Text: {id}", "references": references, "split": split, "id": id}
        if perturbation:
            instance["perturbation"] = perturbation
        request = {"model": "made/up", "prompt": f"Text: {id}\nLabel:", "temperature": 0.0, "num_completions": 2,
                   "max_tokens": 4, "stop_sequences": ["\n"], "top_p": 1}
        state = {"instance": instance, "train_trial_index": trial, "request": request, "num_train_instances": 0,
                 "prompt_truncated": False, "num_conditioning_tokens": 0, **more}
        if result is not None:
            state["result"] = result
        if mapping:
            state["output_mapping"] = mapping
        states.append(state)

    for trial in (0, 2):
        ask("plain", ["yes"], answer(" yes", " no", reason="stop"), trial)
        ask("several", ["one", "two"], answer(" two", " three"), trial)
        ask("second", ["three"], answer(" four five", " three"), trial)
        ask("quasi", ["The  Answer, is: A-B!"], answer(" an ANSWER\u00a0is ab", " x", reason="length"), trial)
        ask("greek", ["\u0394\u00c9lta"], answer(" \u03b4\u00e9LTA", " x"), trial)
        ask("symbols", ["an\u2019 the\u2026"], answer(" \u2019 \u2026", " x"), trial)
        ask("joined", ["theory"], answer("the ory", " x"), trial)
        ask("prefix", ["sad"], answer(" sadness", " Sad, I think", reason="endoftext"), trial)
        ask("empty", ["yes"], answer("", " "), trial)
        ask("blank", ["the"], answer(" ... ", " a"), trial)
        ask("choice", ["Boston"], answer(" B", " C"), trial, mapping={"A": "Paris", "B": "Boston"}, wrong=["Paris"])
        ask("no choice", ["Paris"], answer(" D", " E"), trial, mapping={"A": "Paris", "B": "Boston"})
        ask("failed", ["yes"], None, trial)
        ask("bytes", ["x"], answer(" x", " y"), trial)
        states[-1]["result"]["completions"][0]["tokens"].append({"text": "bytes:\\xe2\\x80", "logprob": -1.0})
        ask("objects", [{"text": "yes"}], answer(" yes", " no"), trial)
        ask("valid", ["yes"], answer(" yes", " no"), trial, split="valid")
    ask("plain", ["yes"], answer(" no", " yes"), 2, perturbation=typos)
    ask("plain", ["yes"], answer(" yes", " yes"), 2, perturbation=dialect)
    ask("several", ["one", "two"], answer(" one", " one"), 2, perturbation=typos, prompt_truncated=True)
    ask("second", ["three"], answer(" three", " four"), 0, perturbation=dialect)
    ask("only copy", ["yes"], answer(" yes", " no"), 0, perturbation=typos)
    spec = {"method": "generation", "instructions": "", "input_prefix": "", "input_suffix": "\n", "output_prefix":
            "Label: ", "output_suffix": "\n", "instance_prefix": "\n", "num_outputs": 2, "num_train_trials": 3,
            "model": "made/up"}
    return {"adapter_spec": spec, "request_states": states}


def main(args):
    if args[0] == "check":
        sys.exit(not all([check(run) for run in args[1:]]))
    write(args[2] if args[0] == "excerpt" else args[1], excerpt(args[1], int(args[3])) if args[0] == "excerpt" else cases())


main(sys.argv[1:])
