# SPDX-License-Identifier: Apache-2.0
"""Files of training, validation and test from task families."""
from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .entities import Split
from .families import Family, Phrasing, Row


@dataclass(frozen=True)
class Sizes:
    """How many records; of a family of weight 1."""

    prompts: int  # of P3
    instances: int  # of one file of NI
    files: int  # of NI
    validation: int
    shots: int
    test: int


FULL = Sizes(prompts=1600, instances=1200, files=3, validation=30, shots=60, test=150)
SMALL = Sizes(prompts=40, instances=40, files=2, validation=10, shots=20, test=20)

LONGEST_PROMPT = 1100  # characters, which about 400 tokens hold


def rng_of(seed: int, *purpose: str) -> random.Random:
    """Random numbers that depend on what they are for, so that a new family changes none of the others."""
    return random.Random("/".join((str(seed), *purpose)))


# ---- P3: prompts as people write them ----


def instruction_of(family: Family, phrasing: Phrasing, list_labels: bool) -> str:
    lines = [phrasing.instruction]
    if list_labels:
        lines += ["Possible labels:", *(f"{i}. {phrasing.say(label)}" for i, label in enumerate(family.labels, 1))]
    return "\n".join(lines)


def block(phrasing: Phrasing, row: Row, *, answered: bool) -> str:
    end = f" {phrasing.say(row.answer)}" if answered else ""
    return f"{phrasing.field}: {phrasing.show(row.text)}\n{phrasing.answer}:{end}"


def question(rng: random.Random, family: Family, row: Row) -> dict[str, str]:
    """A record of P3 that asks without instruction or example."""
    text = rng.choice(family.questions).format(row.text)
    return {"inputs": f"{text}\nAnswer:" if rng.random() < 0.5 else text, "targets": row.answer}


# How many answered examples a prompt has; in stage 3 none or one, as the card's have: all but the answer is only read, and
# short prompts leave more answers in as many tokens. For the same reason half of those without examples may be bare.
P3_SHOTS = (0, 0, 0, 0, 0, 1, 1, 2, 3, 5)
ANSWERS_SHOTS = (0, 0, 0, 0, 0, 0, 1, 1, 1, 2)


def prompt(
    rng: random.Random,
    family: Family,
    phrasing: Phrasing,
    rows: Sequence[Row],
    shots_of: Sequence[int],
    *,
    bare: bool = False,
) -> dict[str, str]:
    """A record of P3: an instruction, some rows with answers, and one without; half of the `bare` ones without examples
    have no instruction, as a tenth of those with examples."""
    n_shots = min(rng.choice(shots_of), len(rows) - 1)
    *shots, query = rng.sample(rows, n_shots + 1)
    list_labels = bool(family.labels) and rng.random() < (0.8 if phrasing.list_labels else 0.15)
    instructed = rng.random() < (0.9 if shots else 0.5 if bare else 1)
    blocks = [instruction_of(family, phrasing, list_labels)] if instructed else []
    blocks += [block(phrasing, shot, answered=True) for shot in shots]
    last = block(phrasing, query, answered=False)
    while len(blocks) > 1 and sum(map(len, blocks)) + len(last) > LONGEST_PROMPT:
        blocks.pop()
    return {"inputs": "\n\n".join([*blocks, last]), "targets": phrasing.say(query.answer)}


def prompts(
    rng: random.Random, family: Family, split: Split, n: int, *, stage3: bool = False
) -> Iterator[dict[str, str]]:
    rows = family.rows(rng, split, n, asked=stage3)
    allowed = [[row for row in rows if family.may_train(row, p)] for p in family.phrasings]
    for _ in range(n):
        if family.questions and rng.random() < 0.12:
            record = question(rng, family, rng.choice(rows))
        else:
            i = 0 if rng.random() < 0.4 else rng.randrange(len(allowed))
            shots = ANSWERS_SHOTS if stage3 else P3_SHOTS
            record = prompt(rng, family, family.phrasings[i], allowed[i], shots, bare=stage3 and family.bare)
        yield {"family": family.name, **record}


# ---- NI: tasks with many instances ----


def task(rng: random.Random, family: Family, phrasing: Phrasing, split: Split, n: int) -> dict:
    """A task file. Where a lookup is not asked in its first phrasing, inputs name what they are: a reader of NI puts
    "Input:" before them, and the first phrasing's prompt would come of it for rows that are reserved."""
    rows = [row for row in family.rows(rng, split, n) if family.may_train(row, phrasing)]
    named = family.reserved is not None and phrasing is not family.phrasings[0] and phrasing.wrap == "{}"
    start = f"{phrasing.field}: " if named else ""
    return {
        "Definition": [phrasing.instruction],
        "Instances": [{"input": start + phrasing.show(row.text), "output": [phrasing.say(row.answer)]} for row in rows],
    }


def tasks(seed: int, family: Family, split: Split, sizes: Sizes) -> Iterator[tuple[str, dict]]:
    n_files = sizes.files * family.weight if split == "train" else 1
    n = sizes.instances if split == "train" else sizes.validation
    for i in range(n_files):
        rng = rng_of(seed, "ni", split, family.name, str(i))
        phrasing = family.phrasings[i % len(family.phrasings)]
        yield f"{family.name}_{i + 1:02}", task(rng, family, phrasing, split, n)


# ---- Held-out sets ----


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # also a string of YAML


def held_out_yaml(family: Family, seed: int) -> str:
    first = family.phrasings[0]
    lines = [
        f"name: {family.name}",
        f"instruction: {quoted(first.instruction)}",
        f"fields: [{quoted(first.field)}]",
        f"label: {quoted(first.answer)}",
        f"label_name: {quoted(first.answer)}",
    ]
    if family.labels:
        lines.append(f"labels: [{', '.join(quoted(first.say(label)) for label in family.labels)}]")
    lines += [
        f"answer: {'choice' if family.labels else 'free'}",
        f"list_labels: {'true' if first.list_labels else 'false'}",
        f"max_tokens: {family.max_tokens}",
        "shots: 1",  # as in the examples of GPT-JT's model card
        "trials: 3",
        f"seed: {seed}",
        f"train: {family.name}.shots.csv",
        f"test: {family.name}.test.csv",
    ]
    return "\n".join(lines) + "\n"


def _write_csv(path: Path, phrasing: Phrasing, rows: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((phrasing.field, phrasing.answer))
        writer.writerows((row.text, phrasing.say(row.answer)) for row in rows)


def write_held_out(out: Path, seed: int, family: Family, sizes: Sizes) -> None:
    """Shots are rows that may be trained on: a test measures the task on unseen queries."""
    first = family.phrasings[0]
    shots = [
        r
        for r in family.rows(rng_of(seed, "shots", family.name), "train", sizes.shots, asked=True)
        if family.may_train(r, first)
    ]
    tests = family.rows(rng_of(seed, "test", family.name), "test", sizes.test, asked=True)
    (out / f"{family.name}.yaml").write_text(held_out_yaml(family, seed), encoding="utf-8")
    _write_csv(out / f"{family.name}.shots.csv", first, shots)
    _write_csv(out / f"{family.name}.test.csv", first, tests)


# ---- All of them ----


def write_ni(out: Path, seed: int, families: Sequence[Family], sizes: Sizes) -> None:
    for split in ("train", "validation"):
        folder = out / "ni" / split
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.json"):
            old.unlink()
        for family in families:
            for name, content in tasks(seed, family, split, sizes):
                text = json.dumps(content, ensure_ascii=False, indent=0)
                (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def write_p3(out: Path, seed: int, families: Sequence[Family], sizes: Sizes) -> None:
    """train.jsonl and validation.jsonl, and answers.jsonl, which stage 3 trains on: more of the card's families."""
    folder = out / "p3"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("train", "validation", "answers"):
        split: Split = "validation" if name == "validation" else "train"
        records = []
        for family in families:
            weight = {"train": family.weight, "answers": family.answers}.get(name)
            n = sizes.prompts * weight if weight else sizes.validation
            records += prompts(rng_of(seed, "p3", name, family.name), family, split, n, stage3=name == "answers")
        rng_of(seed, "p3", name).shuffle(records)
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def write_tasks(out: Path, seed: int, families: Sequence[Family], sizes: Sizes) -> None:
    folder = out / "tasks"
    folder.mkdir(parents=True, exist_ok=True)
    for family in families:
        write_held_out(folder, seed, family, sizes)
