# SPDX-License-Identifier: Apache-2.0
"""Names of people, places and organizations from sentences, in order. Capital letters tell most of them; the first word
of a sentence, months, days and "I" have to be told apart."""
from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import cache

from .. import names
from ..entities import Entities, Split, with_inventions
from .anywhere import anywhere
from .base import Family, Phrasing, Row, capitalised
from .composed import compose

# P person in full, F given name alone, S family name with a title, C city, L other place, R region, O organization
SENTENCES = tuple(
    """
[P] moved from [C] to [C] last year.
[P], the director of [O], spoke in [C] on Monday.
[P] works for [O].
I met [P] at the airport in [C].
We visited [C] and [C] with [F] in July.
[O] opened an office in [C].
[O] and [O] signed an agreement.
The president of [O], [P], resigned on Friday.
Last summer [F] and [F] travelled through [L].
[F] grew up near [R], not far from [C].
The towns of [L] include [C] and [C].
[L] has cities such as [C], [C] and [C].
[R] is where [F] and I spent our holidays.
[R] is known for its lakes, which I have seen with [F].
Yesterday [P] flew to [C].
My friend [F] studies at [O].
In [C], [P] met [P] for the first time.
[P] was born in [C] and died in [C].
The bridge in [C] was built by [O].
[O] bought a factory in [L] from [O].
After the meeting, [P] called [F] from [C].
Nobody at [O] knew [P].
[P] and [P] founded [O] in [C].
[C] is the home of [O].
The book by [P] was printed in [C].
On Tuesday, [O] said that [P] would lead the team in [L].
Have you been to [C] with [F]?
The museum in [C] shows paintings by [P].
She left [O] and joined [O] in May.
He asked [F] about the weather in [C].
[F], [F] and [F] live in [C].
The train from [C] to [C] stops in [C].
[P] of [O] won the prize.
A lawyer for [O] wrote to [P].
Both [C] and [C] lie on the coast of [L].
[F] is a nurse from [C].
We had lunch with [F] and then drove to [C].
According to [O], sales in [L] fell in March.
Mr. [S] of [O] lives in [C].
Dr. [S] and Mrs. [S] came from [L].
[P] joined [O] as an engineer.
[O] hired [P] and [P].
Our guide in [L] was called [F].
The news from [C] surprised [F].
When I lived in [C], I worked for [O].
[C] and [C] are two cities that [F] wants to see.
[P] plays for [O].
The plane of [P] landed in [C] at noon.
There is a statue of [P] in [C].
[F] sent me a postcard from [R].
The heads of [O] and [O] met in [C] in April.
It was [P] who discovered the lake near [C].
From [C] we took a bus to [C], where [F] was waiting.
Students from [O] visited [L] in June.
[P], a teacher from [C], bought a boat.
[P], who lives in [C], works at [O] with [F].
The owner of [O] is [P].
Is [F] still in [C]?
I have never been to [L], but [F] has.
[L] lies between [L] and [L].
Many people in [C] speak of [P].
[O], based in [C], makes shoes.
[O] was founded by [P] in 1998.
Next week [F] will go to [R] by car.
Trains between [C] and [R] were late, said [F].
[R] towns like [C] are quiet in winter.
The mayor of [C], [P], thanked [O].
With the help of [F], we found the way to [C].
""".strip().splitlines()
)

# He does what an example of WordNet says: any words may be around a name.
DEEDS = tuple(
    """
[P] (deed).
[F] (deed).
He (deed), said [P].
She (deed), wrote [F] from [C].
In [C], [F] (deed).
[P] of [O] (deed).
I know that [F] (deed).
[F] told me that she (deed).
At [O] he (deed).
She (deed), which surprised [F] and [F].
Nobody in [C] knew that [P] (deed).
[F] (deed), and [F] was glad.
When he (deed), [F] left [C].
[P] (deed) in [L].
[O] heard that [P] (deed).
The day she (deed), we met [F] near [R].
He (deed) and so did [F].
After [F] (deed), [P] went to [C].
""".strip().splitlines()
)

# Anything may be said beside names, and begin with any word.
QUOTES = tuple(
    """
(Saying), said [F].
(Saying), wrote [P] from [C].
(Saying), as they say in [L].
(Saying), but not in [C].
(Saying). So said [P] of [O].
(Saying). [F] and [F] agreed.
(Saying). I heard it from [P].
(Saying). That was in [C].
(Saying), and [F] told [O].
[P] told [F] that (saying).
In [C] (saying).
(Saying) at [O].
[F] thinks that (saying).
(Saying) near [R], where [F] lives.
""".strip().splitlines()
)

DIRECTIONS = ("North", "South", "East", "West", "Northern", "Southern", "Eastern", "Western", "Upper", "Lower",
              "Central", "Arctic", "Atlantic", "Baltic", "Alpine", "Great", "New", "Old")  # fmt: skip
LANDFORMS = ("Coast", "Valley", "Highlands", "Lakes", "Plains", "Hills", "Islands", "Midlands", "Province", "Peninsula",
             "Northeast", "Southwest", "Southeast", "Desert", "Basin", "Territory", "Mountains", "Riviera")  # fmt: skip

PHRASINGS = (
    Phrasing("Extract all the names of people, places, and organizations from the following sentences.", "Sentence",
             "Entities"),
    Phrasing("List the names in the text, in order.", "Text", "Names"),
    Phrasing("Find the named entities.", "Input", "Output"),
    Phrasing("Which people, places and organizations does the sentence name?", "Sentence", "Names"),
    Phrasing("Write down every name in this sentence, separated by commas.", "Sentence", "Answer"),
)  # fmt: skip

QUESTIONS = ("{}\nWhich names are in this sentence?", '"{}" names the following people, places and organizations:')


def _region(rng: random.Random, data: Entities, split: Split) -> str:
    if rng.random() < 0.4:
        return f"{rng.choice(DIRECTIONS[:8])} {data.places.draw(rng, split)}"
    return f"{rng.choice(DIRECTIONS)} {rng.choice(LANDFORMS)}"


def _person(rng: random.Random, data: Entities, split: Split) -> str:
    middle = f"{rng.choice('ABCDEFGHJKLMNPRSTW')}. " if rng.random() < 0.08 else ""
    return f"{data.given_names.draw(rng, split)} {middle}{data.family_names.draw(rng, split)}"


def _organisation(rng: random.Random, data: Entities, split: Split) -> str:
    family, city = data.family_names.draw(rng, split), data.cities.draw(rng, split)
    return rng.choice((
        data.companies.draw(rng, split),
        data.companies.draw(rng, split),
        f"{family} {rng.choice(names.COMPANY_KINDS)}",
        f"University of {city}",
        f"{city} University",
        f"{city} {rng.choice(('United', 'City', 'Rovers', 'Hospital', 'Orchestra', 'Times', 'Post', 'Airport'))}",
        f"Bank of {data.places.draw(rng, split)}",
        "".join(rng.choice("ABCDEFGHIKLMNOPRSTUVW") for _ in range(3)),
    ))  # fmt: skip


def _place(rng: random.Random, data: Entities, split: Split) -> str:
    if rng.random() < 0.5:
        return data.places.draw(rng, split)
    territory = rng.choice(data.territories)
    while territory.reserved != (split == "test") or " and " in territory.name:
        territory = rng.choice(data.territories)
    return territory.name


SLOTS: dict[str, Callable[[random.Random, Entities, Split], str]] = {
    "P": _person,
    "F": lambda rng, data, split: data.given_names.draw(rng, split),
    "S": lambda rng, data, split: data.family_names.draw(rng, split),
    "C": lambda rng, data, split: data.cities.draw(rng, split),
    "L": _place,
    "R": _region,
    "O": _organisation,
}


@cache
def _usable(lines: tuple[str, ...], split: Split) -> tuple[str, ...]:
    """Every fifth template is for tests only, every second test is of one of these."""
    new, known = lines[4::5], tuple(t for i, t in enumerate(lines) if i % 5 != 4)
    return known if split == "train" else known + new * (len(known) // len(new))


def template(rng: random.Random, split: Split) -> str:
    return rng.choice(_usable(DEEDS if rng.random() < 0.35 else SENTENCES, split))


def fill(rng: random.Random, data: Entities, split: Split, sentence: str) -> tuple[str, list[str]]:
    """A template's sentence and the names in it, as they come."""
    found: list[str] = []

    def put(slot: re.Match[str]) -> str:
        name = SLOTS[slot[1]](rng, data, split)
        while name in found:
            name = SLOTS[slot[1]](rng, data, split)
        found.append(name)
        return name

    text = re.sub(r"\[([PFSCLRO])\]", put, sentence).replace("(deed)", data.deeds.draw(rng, split))
    if "aying)" in text:
        saying = data.sayings.draw(rng, split)
        text = text.replace("(saying)", saying).replace("(Saying)", capitalised(saying))
    return text, found


def families(data: Entities) -> list[Family]:
    def draw(rng: random.Random, split: Split) -> Row:
        text, found = fill(rng, data, split, template(rng, split))
        if len(found) <= 2 and rng.random() < 0.3:
            second, more = fill(rng, data, split, template(rng, split))
            if not set(found) & set(more):
                text, found = f"{text} {second}", found + more
        return Row(text, ", ".join(found))

    more_names = with_inventions(data)

    def asked(rng: random.Random, split: Split) -> Row:  # one sentence, as on GPT-JT's card
        if split == "train" and rng.random() < 0.5:
            text = anywhere(rng, more_names, most=4) if rng.random() < 0.8 else rng.choice(QUOTES)
        elif rng.random() < 0.8:
            text = compose(rng, split, most=4)
        else:
            text = rng.choice(_usable(SENTENCES, split))
        text, found = fill(rng, more_names, split, text)
        return Row(text, ", ".join(found))

    return [Family("entities", PHRASINGS, draw, questions=QUESTIONS, weight=6, answers=90, bare=True, asked=asked,
                   max_tokens=60)]  # fmt: skip
