# SPDX-License-Identifier: Apache-2.0
"""Templates of sentences with names in them, composed of an opening, a subject, a predicate and an ending: whoever has
read hundreds of thousands of them has to look for names, and not for sentences. A fifth of the parts is for tests only."""
from __future__ import annotations

import random
from collections.abc import Sequence

from ..entities import Split
from .base import capitalised

# [P] person in full, F given name alone, S family name with a title, C city, L other place, R region, O organization
OPENINGS = tuple(
    """
Yesterday
Last summer
In July
On Monday
Two years ago
After the meeting,
According to [O],
When I lived in [C],
In [C],
Near [R],
As [F] told me,
I know that
It is true that
Nobody at [O] knew that
Nobody knew that
This morning
They say that
Because of the rain,
Thanks to [F],
We heard that
The newspaper wrote that
For a long time
In the end
I am sure that
In the autumn of 1998
At that time
To our surprise,
After the concert in [C],
Before lunch
""".strip().splitlines()
)
SUBJECTS = tuple(
    """
[P]
[F]
[P], the director of [O],
[P], the head of [O],
[P], a teacher from [C],
[P], who lives in [C],
my friend [F]
Mr. [S]
Mrs. [S]
Dr. [S] of [O]
[F] and [F]
[P] of [O]
the mayor of [C], [P],
the owner of [O]
a lawyer for [O]
our guide, [F],
the father of [F]
the president of [O], [P],
[F], a nurse,
someone called [F]
the painter [P]
a woman from [C]
a group of students from [O]
the family of [P]
the new manager, [P],
[O]
[O], based in [C],
the office of [O] in [C]
[P] and [P]
a friend of [F]
[P], the founder of [O],
Mr. [S] and Mrs. [S]
the singer from [L]
[P], born in [C],
she
he
nobody
everybody
[P], a doctor,
a man called [P]
""".strip().splitlines()
)
PREDICATES = tuple(
    """
moved from [C] to [C]
moved to [C]
spoke in [C]
worked for [O]
met [P]
met [P] in [C]
was visiting [L]
visited [C]
opened an office in [C]
left [O]
joined [O]
flew to [C]
was born in [C]
died in [L]
founded [O]
called [F]
wrote to [P]
wrote a book about [R]
won the prize
bought a boat
missed the train to [C]
asked [F] about the weather in [C]
grew up near [R]
lived in [C] with [F]
sent me a postcard from [R]
had never been to [L]
was waiting in [C]
travelled through [L]
played for [O]
studied at [O]
sold a house in [C] to [P]
(deed)
thanked [O]
found the way to [C]
spent the holidays near [R]
went to [R] by car
read about [P] in the paper
told me about [C]
knew [F]
had lunch with [F]
took a bus to [C]
arrived from [C]
wanted to see [C] and [C]
signed the letter to [O]
left [C] for [C]
painted the harbour of [C]
did not like [C]
(deed)
asked for [P]
bought a factory in [L] from [O]
signed an agreement with [O]
looked for [F]
made shoes
showed [F] the lake
gave a speech at [O]
drove through [L]
got a letter from [P]
(deed)
forgot the name of [P]
came from [L]
""".strip().splitlines()
)
ENDINGS = tuple(
    """
 in July
 last May
 last year
 on Friday
 with [F]
 by train
 for the first time
 at noon
 again
 before the rain came
 in 1998
 after the summer
 with the children
, said [F]
, wrote [P]
, and [F] was glad
 because of the weather
 as a student
 for work
 together with [F]
 near [R]
, which surprised [F]
, but not in [C]
 in the morning
, as [O] said
""".strip("\n").splitlines()
)


def _part(rng: random.Random, parts: Sequence[str], split: Split) -> str:
    return rng.choice([p for i, p in enumerate(parts) if split == "test" or i % 5 != 4])


def compose(rng: random.Random, split: Split, most: int) -> str:
    """A template with one to so many names."""
    while True:
        opening = f"{_part(rng, OPENINGS, split)} " if rng.random() < 0.45 else ""
        ending = _part(rng, ENDINGS, split) if rng.random() < 0.55 else ""
        text = f"{opening}{_part(rng, SUBJECTS, split)} {_part(rng, PREDICATES, split)}{ending}."
        if 1 <= text.count("[") <= most:
            return capitalised(text)
