# SPDX-License-Identifier: Apache-2.0
"""Sentences of many hands with names in them: somebody's remark, in which names stand where a noun or a pronoun did. They
need not make sense. A reader of made-up sentences learns these and where their names are; what is around a name, and how a
sentence begins, has no end here."""
from __future__ import annotations

import random
import re

from ..entities import NAMEABLE, Entities
from .base import capitalised
from .composed import titled

SLOTS = ("[P]", "[P]", "[F]", "[F]", "[F]", "[C]", "[C]", "[L]", "[R]", "[O]", "[O]", "(title) [S]")
JOINED = (" and ", " and ", " or ", ", ", " of ", " from ", " in ", " with ", ", not ", ", the friend of ", " as well as ")
OWNERS = ("the", "my", "our", "your", "his", "her", "their", "a", "that", "this", "one", "another", "some")
BEFORE = ("at", "in", "on", "by", "under", "after", "before", "during", "without", "for", "since", "despite", "behind",
          "with", "like", "among", "through", "thanks to", "close to", "instead of", "because of", "apart from")  # fmt: skip


def _somebody(rng: random.Random, data: Entities) -> str:
    """A slot of a person with what that person is."""
    who = data.people.draw(rng, "train")
    before = f"{data.adjectives.draw(rng, 'train')} " if rng.random() < 0.2 else ""
    return f"{rng.choice(OWNERS)} {before}{who} {rng.choice(('[P]', '[F]'))}"


def _circumstance(rng: random.Random, data: Entities) -> str:
    """What a sentence may begin with, and has no name."""
    comma = "," if rng.random() < 0.3 else ""
    return f"{rng.choice(BEFORE)} {rng.choice(OWNERS)} {data.nouns.draw(rng, 'train')}{comma}"


def _named(rng: random.Random, data: Entities, noun: str | None) -> str:
    kind = rng.random()
    slot = rng.choice(SLOTS)
    if kind < 0.2:
        return f"{slot}{rng.choice(JOINED)}{rng.choice(SLOTS)}"
    if kind < 0.3:
        return _somebody(rng, data)
    return f"{rng.choice(OWNERS)} {noun} {slot}" if noun and kind < 0.45 else slot


def anywhere(rng: random.Random, data: Entities, most: int) -> str:
    """A template, for training, with one to so many names."""
    while True:
        text = data.remarks.draw(rng, "train")
        if rng.random() < 0.2:
            text = f"{_circumstance(rng, data)} {text}"
        places = list(NAMEABLE.finditer(text))
        chosen = rng.sample(places, rng.randint(1, min(most, len(places))))
        for m in sorted(chosen, key=lambda m: -m.start()):
            text = f"{text[: m.start()]}{_named(rng, data, m['noun'])}{text[m.end() :]}"
        if rng.random() < 0.2:
            text += rng.choice((", said {}", ", {} said", ", {} thought", ", I told {}", ", as {} knows", " for {}",
                                " with {}", ", says {}", ", and so will {}")).format(rng.choice(SLOTS))  # fmt: skip
        if text.count("[") <= most and len(re.findall(r"\b[a-z]+(?! [\[(])", text)) > 2:
            return f"{capitalised(titled(rng, text))}{rng.choice('....!?')}"
