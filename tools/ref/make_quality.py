#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes bench/data/quality.jsonl, what bench/quality asks the bundled model: rows of recipes/tiny's held-out sets.

    make_quality.py runs/tiny/data/tasks bench/data/quality.jsonl

One object a line: task, prompt, answer. Rows of a task with "choose" are also classified: the right answer is one label,
the answers of the rows after it are the others."""
import collections
import csv
import json
import pathlib
import random
import sys

SHOTS = 3  # the longest prompts stay well inside of 512 tokens
CHOSEN = {"emotion": 60, "currency": 66, "hate": 40, "topic": 30, "review": 26, "complaint": 26, "sentence_type": 26,
          "category": 26}  # fmt: skip
WRITTEN = {"csv": 30, "entities": 30, "date": 20}


def settings(path):
    """Of a task file as recipes/tiny writes it: one `name: value` a line, the value a bare word or JSON."""
    pairs = (line.split(": ", 1) for line in path.read_text(encoding="utf-8").splitlines())
    return {name: json.loads(value) if value[0] in '"[{' else value for name, value in pairs}


def table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def prompt_of(task, shots, row):
    """As src/eval/fewshot.h has it."""
    head = task["instruction"]
    if task["list_labels"] == "true":
        head += "\nPossible labels:" + "".join(f"\n{i}. {label}" for i, label in enumerate(task["labels"], 1))
    blocks = [head]
    for example in [*shots, row]:
        lines = [f"{field}: {example[field]}" for field in task["fields"]]
        answer = "" if example is row else f" {example[task['label']]}"
        blocks.append("\n".join([*lines, f"{task['label_name']}:{answer}"]))
    return "\n\n".join(blocks)


def draw_shots(draw, task, shots):
    """As many different answers as there can be."""
    seen, ranked = collections.Counter(), []
    for shot in draw.sample(shots, len(shots)):
        ranked.append((seen[shot[task["label"]]], shot))
        seen[shot[task["label"]]] += 1
    return [shot for _, shot in sorted(ranked, key=lambda pair: pair[0])[:SHOTS]]


def rows_of(directory, name, n):
    draw = random.Random(name)
    task = settings(directory / f"{name}.yaml")
    shots, tests = table(directory / task["train"]), table(directory / task["test"])
    for row in draw.sample(tests, n):
        prompt = prompt_of(task, draw_shots(draw, task, shots), row)
        line = {"task": name, "prompt": prompt, "answer": f" {row[task['label']]}"}
        yield line | ({"choose": True} if name in CHOSEN else {})


def main(directory, out):
    with open(out, "w", encoding="utf-8") as file:
        for name, n in (CHOSEN | WRITTEN).items():
            for line in rows_of(directory, name, n):
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*map(pathlib.Path, sys.argv[1:]))
