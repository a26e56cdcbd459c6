# SPDX-License-Identifier: Apache-2.0
"""What must hold of the built files; the build fails otherwise. It reads the files, not the program's state, so that it
also finds what the program believes it has not done.

Texts are compared as sequences of words, without case, white space and punctuation."""
from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from .families import Family, Phrasing

Words = tuple[str, ...]
KEY = 3  # words by which a needle is looked up


def words_of(text: str) -> Words:
    return tuple(re.findall(r"\w+", text.casefold()))


@dataclass
class Needles:
    """Sequences of words that must not occur."""

    by_start: dict[Words, list[tuple[Words, str]]] = field(default_factory=dict)

    def add(self, text: str, what: str) -> None:
        words = words_of(text)
        if len(words) < KEY:
            raise ValueError(f"too short to look for: {text!r}")
        self.by_start.setdefault(words[:KEY], []).append((words, what))

    def found_in(self, text: str) -> Iterator[str]:
        words = words_of(text)
        starts = [i for i, start in enumerate(zip(words, words[1:], words[2:])) if start in self.by_start]
        for i in starts:
            for needle, what in self.by_start[words[i : i + KEY]]:
                if words[i : i + len(needle)] == needle:
                    yield what


# ---- What is read ----


def _json_lines(path: Path) -> Iterator[dict]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def p3_records(out: Path) -> Iterator[dict]:
    return chain.from_iterable(_json_lines(out / "p3" / f"{name}.jsonl") for name in ("train", "answers"))


def p3_texts(out: Path) -> Iterator[str]:
    return (f"{record['inputs']} {record['targets']}" for record in p3_records(out))


def ni_tasks(out: Path) -> Iterator[tuple[str, dict]]:
    for path in sorted((out / "ni" / "train").glob("*.json")):
        yield path.stem.rpartition("_")[0], json.loads(path.read_text(encoding="utf-8"))


def ni_texts(out: Path) -> Iterator[str]:
    """Each instance as a reader may write it with the card's field names."""
    for _, task in ni_tasks(out):
        yield task["Definition"][0]
        for instance in task["Instances"]:
            yield f"Input: {instance['input']}\nOutput: {instance['output'][0]}"


def stream_texts(out: Path) -> Iterator[str]:
    path = out / "stream" / "train.jsonl"
    return (record["text"] for record in _json_lines(path)) if path.exists() else iter(())


def cot_texts(out: Path) -> Iterator[str]:
    path = out / "cot" / "train.json"
    return iter(json.loads(path.read_text(encoding="utf-8")).values()) if path.exists() else iter(())


TEXTS: dict[str, Callable[[Path], Iterator[str]]] = {
    "p3": p3_texts,
    "ni": ni_texts,
    "stream": stream_texts,
    "cot": cot_texts,
}


def held_out_rows(out: Path, family: Family, which: str) -> list[tuple[str, str]]:
    with (out / "tasks" / f"{family.name}.{which}.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    first = family.phrasings[0]
    if header != [first.field, first.answer]:
        raise ValueError(f"{family.name}.{which}.csv: unexpected columns {header}")
    return [(text, answer) for text, answer in rows]


# ---- What is looked for ----


def _block(phrasing: Phrasing, text: str) -> str:
    return f"{phrasing.field}: {phrasing.show(text)}\n{phrasing.answer}:"


def text_needles(out: Path, families: Sequence[Family]) -> Needles:
    """Tests that no text may have."""
    needles = Needles()
    for family in (f for f in families if not f.short):
        for text, _ in held_out_rows(out, family, "test"):
            needles.add(text, f"{family.name}: {text}")
    return needles


def item_needles(out: Path, families: Sequence[Family]) -> dict[str, Needles]:
    """Tests that are too short for that; prompts of the same family may not have them as items."""
    found: dict[str, Needles] = {}
    for family in (f for f in families if f.short):
        needles = found.setdefault(family.name, Needles())
        for text, _ in held_out_rows(out, family, "test"):
            for phrasing in family.phrasings[:1] if family.reserved else family.phrasings:
                needles.add(_block(phrasing, text), f"{family.name}: {_block(phrasing, text)}")
    return found


def add_widgets(needles: Needles, examples: Path) -> int:
    paths = sorted(examples.glob("*.txt"))
    for path in paths:
        text = path.read_text(encoding="utf-8").strip()
        for part in (text, *text.split("\n\n")[1:]):  # all of it, its shots and its query
            needles.add(part, f"{path.name}: {part}")
    return len(paths)


def repeated_items(out: Path, families: Sequence[Family]) -> Iterator[str]:
    """Short tests that are items of training."""
    needles = item_needles(out, families)
    for record in p3_records(out):
        if record["family"] in needles:
            yield from needles[record["family"]].found_in(record["inputs"])
    tests = {f.name: {words_of(text) for text, _ in held_out_rows(out, f, "test")} for f in families if f.short}
    for name, task in ni_tasks(out):
        for instance in task["Instances"]:
            if words_of(instance["input"]) in tests.get(name, ()):
                yield f"{name}: instance {instance['input']}"


def wrong_rows(out: Path, families: Sequence[Family]) -> Iterator[str]:
    for family in families:
        labels = {family.phrasings[0].say(label) for label in family.labels}
        tests, shots = held_out_rows(out, family, "test"), held_out_rows(out, family, "shots")
        if not tests or len(shots) < 6:
            yield f"{family.name}: {len(tests)} tests and {len(shots)} shots are too few"
        for text, answer in tests + shots:
            if not text.strip() or not answer.strip() or "\n" in text + answer:
                yield f"{family.name}: row {text!r}, {answer!r}"
        for which, rows in (("tests", tests), ("shots", shots)):
            if labels and {answer for _, answer in rows} != labels:
                yield f"{family.name}: {which} have not all of the labels, or others"
        if {text for text, _ in tests} & {text for text, _ in shots}:
            yield f"{family.name}: tests among the shots"


def problems(out: Path, families: Sequence[Family], examples: Path) -> Iterator[str]:
    yield from wrong_rows(out, families)
    needles = text_needles(out, families)
    if add_widgets(needles, examples) != 5:
        yield f"{examples}: expected the five examples of the model card"
    for name, texts in TEXTS.items():
        for text in texts(out):
            yield from (f"{name} holds {what}" for what in needles.found_in(text))
    yield from (f"trained on {what}" for what in repeated_items(out, families))


def report(out: Path, families: Sequence[Family]) -> str:
    """What there is of each family."""
    files: dict[str, int] = {}
    instances: dict[str, int] = {}
    for name, task in ni_tasks(out):
        files[name] = files.get(name, 0) + 1
        instances[name] = instances.get(name, 0) + len(task["Instances"])
    lines = [f"{'family':15} {'NI files':>8} {'instances':>9} {'tests':>5} {'shots':>5}  labels"]
    for f in families:
        tests, shots = (len(held_out_rows(out, f, which)) for which in ("test", "shots"))
        lines.append(f"{f.name:15} {files[f.name]:8} {instances[f.name]:9} {tests:5} {shots:5}  {', '.join(f.labels)}")
    sizes = ((name, sum(map(len, texts(out)))) for name, texts in TEXTS.items())
    lines.append("characters: " + ", ".join(f"{name} {n / 1e6:.1f} million" for name, n in sizes))
    return "\n".join(lines)
