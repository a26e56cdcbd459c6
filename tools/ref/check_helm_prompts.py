#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Are the prompts that gptjt builds from raw rows those that HELM recorded, byte for byte?

    check_helm_prompts.py MODEL RUN_DIR...      MODEL: any with a window of 2048 (gptjt synth --tokenizer makes one)

For every unperturbed request of the runs, rows are taken back from what HELM made of them: the query's from
instance.input ("Field: value" lines), the shots' from the prompt before it. They are written as csv files and given to
`gptjt classify --show-prompt` ($GPTJT, or build/gptjt), as a person would who has the csv files of RAFT."""
import csv, json, os, subprocess, sys, tempfile

PROGRAM = os.environ.get("GPTJT", "build/gptjt")


def fields_of(text):
    """names of the fields, which begin lines; a line of a value may look like one, so names are those all texts share"""
    return [line.split(": ", 1)[0] for line in text.split("\n") if ": " in line]


def common_fields(texts):
    return [name for name in dict.fromkeys(fields_of(texts[0])) if all(name in fields_of(t) for t in texts)]


def row_of(text, names):
    row, rest = {}, text
    for name, following in zip(names, names[1:] + [None]):
        assert rest.startswith(name + ": "), (name, text)
        rest = rest[len(name) + 2:]
        if following is not None:
            row[name], rest = rest.split(f"\n{following}: ", 1)
            rest = f"{following}: {rest}"
        else:
            row[name] = rest
    return row


def shots_of(spec, request):
    """(text, label) of each shot in the prompt"""
    prompt, query = request["request"]["prompt"], request["instance"]["input"]
    end = spec["instance_prefix"] + query + spec["input_suffix"] + spec["output_prefix"].rstrip()
    assert prompt.startswith(spec["instructions"]) and prompt.endswith(end)
    between = spec["input_suffix"] + spec["output_prefix"]
    shots = prompt[len(spec["instructions"]):-len(end)].split(spec["output_suffix"] + spec["instance_prefix"])
    assert len(shots) == request["num_train_instances"]
    out = []
    for i, shot in enumerate(shots):
        shot = shot[len(spec["instance_prefix"]):] if i == 0 else shot
        text, label = shot.split(between)
        out.append((text, label.removesuffix(spec["output_suffix"])))
    return out


def write_csv(path, names, rows):
    with open(path, "w", newline="") as f:
        w = csv.DictWriter(f, names)
        w.writeheader()
        w.writerows(rows)


def built(model, directory, spec, names, shots, query):
    task, listed = spec["instructions"].split("Possible labels:\n")
    labels = [line.split(". ", 1)[1] for line in listed.splitlines() if line]
    with open(f"{directory}/task.txt", "w") as f:
        f.write(task)
    write_csv(f"{directory}/shots.csv", names + ["Label"], [dict(row_of(t, names), Label=label) for t, label in shots])
    write_csv(f"{directory}/rows.csv", names, [row_of(query, names)])
    command = [PROGRAM, "classify", "-m", model, "--instruction", f"@{directory}/task.txt", "--quiet", "--show-prompt"]
    command += ["--shots", f"{directory}/shots.csv", "-i", f"{directory}/rows.csv"]
    command += ["--fields", ",".join(names)] + [x for label in labels for x in ("--label", label)]
    return subprocess.run(command, capture_output=True, check=True).stdout.decode().removesuffix("\n")


def check(model, run):
    with open(os.path.join(run, "scenario_state.json")) as f:
        state = json.load(f)
    requests = [r for r in state["request_states"] if not r["instance"].get("perturbation")]
    names = common_fields([r["instance"]["input"] for r in requests])
    equal = 0
    with tempfile.TemporaryDirectory() as directory:
        for i, r in enumerate(requests):
            shots = shots_of(state["adapter_spec"], r)
            prompt = built(model, directory, state["adapter_spec"], names, shots, r["instance"]["input"])
            equal += prompt == r["request"]["prompt"]
            if prompt != r["request"]["prompt"]:
                print(f"{run}: request {i} differs")
    print(f"{run}: {equal} of {len(requests)} prompts are HELM's, from rows of {', '.join(names)}")
    return equal == len(requests)


sys.exit(not all([check(sys.argv[1], run) for run in sys.argv[2:]]))
