# SPDX-License-Identifier: Apache-2.0
"""The text stream of the small GPT-JT, in place of the Pile: plain English that a model of a few million parameters can
learn something from. A sixth is by people, the rest is made of sources' facts and of names in sentences.

Needs, beside what `sources` needs: apt-get install --no-install-recommends bible-kjv-text r-cran-janeaustenr dict-gcide
miscfiles python3-doc

`python3 -m builder.stream OUT` (in recipes/tiny) writes OUT/stream alone.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from . import stream_feelings, stream_real, stream_records, stream_stories, stream_words
from .entities import Entities
from .stream_world import Names

# Millions of characters of each kind, at most; texts by people are finite.
GENERATED: dict[str, tuple[Callable[[random.Random, Names], str], float]] = {
    "words": (stream_words.page, 5.0),
    "feelings": (stream_feelings.page, 9.0),
    "countries": (stream_records.country_page, 3.0),
    "records": (stream_records.page, 5.0),
    "stories": (stream_stories.page, 4.0),
}
BY_PEOPLE = {"bible": 1.5, "austen": 1.5, "webster": 0.6, "python": 0.4, "state": 0.1}

VALIDATION_SHARE = 1 / 150


def _generate(
    page: Callable[[random.Random, Names], str], rng: random.Random, names: Names, size: float
) -> Iterator[str]:
    """Different documents of a kind, up to a number of characters."""
    seen: set[int] = set()
    total = 0
    while total < size:
        text = page(rng, names).strip()
        if hash(text) not in seen and len(text) > 40:
            seen.add(hash(text))
            total += len(text)
            yield text


def _read(reader: Callable[[random.Random], Iterator[str]], rng: random.Random, size: float) -> Iterator[str]:
    """Pieces of a text, chosen from all of it."""
    pieces = list(dict.fromkeys(reader(rng)))
    rng.shuffle(pieces)
    total = 0
    for piece in pieces:
        if total >= size:
            break
        total += len(piece)
        yield piece


def documents(rng: random.Random, data: Entities) -> Iterator[tuple[str, str]]:
    """(kind, text)"""
    names = Names(data)
    for kind, (page, size) in GENERATED.items():
        yield from ((kind, text) for text in _generate(page, rng, names, 1e6 * size))
    for kind, size in BY_PEOPLE.items():
        yield from ((kind, text) for text in _read(stream_real.READERS[kind], rng, 1e6 * size))


def _write(path: Path, texts: list[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)


def write(out: Path, rng: random.Random, data: Entities) -> None:
    """out/stream/train.jsonl and validation.jsonl, which have no document in common."""
    train, validation, sizes = [], [], {}
    for kind, text in documents(rng, data):
        (validation if rng.random() < VALIDATION_SHARE else train).append(text)
        sizes[kind] = sizes.get(kind, 0) + len(text)
    rng.shuffle(train)
    folder = out / "stream"
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "train.jsonl", train)
    _write(folder / "validation.jsonl", validation)
    print("stream: " + ", ".join(f"{kind} {size / 1e6:.1f}" for kind, size in sizes.items()) + " million characters")


if __name__ == "__main__":
    from . import entities

    write(Path(sys.argv[1]), random.Random("stream"), entities.load())
