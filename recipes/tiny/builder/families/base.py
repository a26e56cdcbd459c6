# SPDX-License-Identifier: Apache-2.0
"""What a task family is: rows of text and answer, and the ways to ask for them."""
from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..entities import Split


@dataclass(frozen=True)
class Row:
    text: str
    answer: str


@dataclass(frozen=True)
class Phrasing:
    """One way to ask: an instruction, names of the two fields, and other words for the labels."""

    instruction: str
    field: str = "Input"
    answer: str = "Output"
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    list_labels: bool = False
    wrap: str = "{}"  # what is said instead of the text alone

    def show(self, text: str) -> str:
        return self.wrap.format(text) if self.wrap != "{}" else text

    def say(self, label: str) -> str:
        return self.labels.get(label, label)


@dataclass(frozen=True)
class Family:
    """A task in several phrasings. The first is the one that is tested.

    A lookup ("India": "Indian Rupee") can not be known unseen. Its `reserved` rows are trained in other phrasings only,
    and tested in the first one."""

    name: str
    phrasings: Sequence[Phrasing]
    draw: Callable[[random.Random, Split], Row]
    labels: Sequence[str] = ()
    reserved: Callable[[Row], bool] | None = None
    questions: Sequence[str] = ()  # to be asked without more ado; {} is the text
    short: bool = False  # texts are single words or numbers, which occur anywhere: tests are new as items only
    weight: int = 1  # how much of it the training data has
    answers: int = 1  # and stage 3
    bare: bool = False  # stage 3 also asks without instruction: the text tells what is wanted
    max_tokens: int = 30
    asked: Callable[[random.Random, Split], Row] | None = None  # rows of stage 3 and of tests, if they are not draw's

    def rows(self, rng: random.Random, split: Split, n: int, *, asked: bool = False) -> list[Row]:
        """At most n rows, all different; for classification no label has more than its share."""
        draw = self.asked if asked and self.asked else self.draw
        found: dict[str, Row] = {}
        per_label = dict.fromkeys(self.labels, 0)
        most = max(1, n // max(1, len(self.labels)))
        for _ in range(n * 30):
            row = draw(rng, split)
            if row.text in found or self.labels and per_label[row.answer] >= most:
                continue
            found[row.text] = row
            if self.labels:
                per_label[row.answer] += 1
            if len(found) == most * max(1, len(self.labels)):
                break
        return list(found.values())

    def may_train(self, row: Row, phrasing: Phrasing) -> bool:
        return self.reserved is None or phrasing is not self.phrasings[0] or not self.reserved(row)


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
