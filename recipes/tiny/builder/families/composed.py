# SPDX-License-Identifier: Apache-2.0
"""Templates of sentences with names in them, composed of an opening, a subject, one or two predicates and an ending:
whoever has read hundreds of thousands of them has to look for names, and not for sentences. A fifth of the parts is for
tests only; titles are not, since which words are titles cannot be guessed."""
from __future__ import annotations

import random
import re
from collections.abc import Sequence

from ..entities import Split
from .base import capitalised


def _parts(text: str) -> tuple[str, ...]:
    return tuple(text.strip("\n").splitlines())


# [P] person in full, F given name alone, S family name with a title, C city, L other place, R region, O organization
OPENINGS = _parts(
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
On the way to [C],
Some say that
Is it true that
Since the war
Did you know that
In her letter from [C],
Late at night
Of course
On our trip through [L],
In the story
Somewhere in [L],
At the age of ten
Once upon a time
With the help of [O],
I read in the [C] paper that
Without [F],
[F] says that
[P] wrote that
Every winter
During the strike at [O],
It was in [C] that
To this day
As far as I know,
Without a word
From [C] to [C],
Just before Christmas
I was told by [P] that
While we were in [L],
Soon after that
Not far from [R],
Twice a year
Like [P],
Then
At [O],
On television
We were glad that
[O] says that
In spite of the snow,
At seven in the evening
Against the advice of [P],
One day
"""
)
TITLES = _parts(
    """
Mr.
Mrs.
Dr.
Miss
Professor
Captain
Judge
Uncle
Aunt
"""
)
PEOPLE = _parts(
    """
[P]
[F]
(title) [S]
my friend [F]
our guide [F]
someone called [F]
the painter [P]
a man called [P]
little [F]
the young [P]
a certain (title) [S]
my cousin [F]
the poet [P]
old (title) [S]
your neighbour [F]
our teacher, (title) [S],
the singer [P]
the late [P]
a girl named [F]
the lawyer [P]
her husband [F]
poor [F]
the chef [P]
his sister [F]
the same [P]
"""
)
# What may be said of them.
ASIDES = _parts(
    """
, a nurse,
, a doctor,
, the director of [O],
, the head of [O],
 of [O]
, who lives in [C],
, born in [C],
 from [C]
, a teacher from [C],
, the founder of [O],
, the mayor of [C],
, now with [O],
, whom I know from [C],
, who works at [O],
, then a student,
, an old friend of [F],
, formerly of [O],
 and her brother [F]
 and his wife [F]
, who was tired,
, a farmer near [R],
, who had come from [L],
 (deed) and
, the son of [P],
, not [F],
, as you know,
, aged 40,
 and (title) [S]
, together with [P],
, the youngest of us,
, like [F],
, who owns [O],
 in [C]
, a pilot of [O],
, the author of a book about [R],
"""
)
OTHERS = _parts(
    """
she
he
nobody
everybody
[O]
[O], based in [C],
the owner of [O]
a lawyer for [O]
the president of [O], [P],
a group of students from [O]
the office of [O] in [C]
the family of [P]
the father of [F]
a woman from [C]
a friend of [F]
the singer from [L]
the new manager, [P],
[P] and [P]
[F] and [F]
[F], [F] and [F]
[C]
the people of [C]
half of [L]
[O] and [O]
the team of [O]
a ship from [C]
one of the directors of [O]
the children
the bridge in [C]
the whole town of [C]
those who work for [O]
neither [F] nor [F]
both [P] and [F]
a spokesman of [O]
the king of [L]
the wife of (title) [S]
a train from [C]
somebody in [L]
the house of [P]
my parents
[R]
the river in [C]
the first owner, [P],
a doctor from [R]
(title) [S] and (title) [S]
"""
)
PREDICATES = _parts(
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
sailed around [L] with (title) [S]
is in [C] now
is said to be from [C]
will go to [C]
has seen [R]
liked neither [C] nor [C]
sent [F] to [C]
lost against [O]
owed [F] money
came to [L] with [P]
brought [P] from [C] to [C]
(deed)
explained [R] to [F]
was the guest of [P]
reported from [L] for [O]
chose [F]
introduced [F] to [P]
was married to [P]
hired [P]
said goodbye to [F]
kept a shop in [C]
walked from [C] to [C]
compared [C] with [C]
rented a room from (title) [S]
played cards with [F], [F] and [F]
(deed)
sued [O]
crossed [L] on foot
preferred [C] to [C]
could see [R] from the window
gave [F] a picture of [C]
followed [P] to [L]
went back to [O]
reminded me of [F]
dreamt of [L]
taught [F] at [O]
delivered the goods to [O] in [C]
remained in [C]
(deed)
lent (title) [S] a bicycle
took the job at [O]
took over [O]
wrote for the [C] newspaper
trusted [P]
was at home in [C] and [C]
cooked for [F]
built a hut near [R]
invited [O] to [C]
spoke with (title) [S] of [O]
married [F] in [C]
"""
)
ENDINGS = _parts(
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
 for [O]
 without [F]
, not [C]
 three times
 with (title) [S]
, where [F] lives
 instead of [P]
, according to [P]
 during the war
, except [F]
 from [C]
, and so did [F]
 while [F] stayed in [C]
 after a visit to [L]
, I think
 on behalf of [O]
 and [F] did not
, the capital of [L]
, a town near [R]
 under the name of [P]
 every Sunday
, which belongs to [O]
 until [F] came
, says [O]
 with [F] and [F]
 to please [F]
, which I have seen with [F]
, unlike [P]
 like (title) [S]
 all the same
"""
)


def _part(rng: random.Random, parts: Sequence[str], split: Split) -> str:
    return rng.choice([p for i, p in enumerate(parts) if split == "test" or i % 5 != 4])


def _subject(rng: random.Random, split: Split) -> str:
    if rng.random() < 0.4:
        return _part(rng, OTHERS, split)
    person = _part(rng, PEOPLE, split)
    if person.endswith(",") or rng.random() < 0.5:
        return person
    return f"{person}{_part(rng, ASIDES, split)}"


def _predicate(rng: random.Random, split: Split) -> str:
    first = _part(rng, PREDICATES, split)
    return f"{first} and {_part(rng, PREDICATES, split)}" if rng.random() < 0.12 else first


def titled(rng: random.Random, text: str) -> str:
    return re.sub(r"\(title\)", lambda _: rng.choice(TITLES), text)


def compose(rng: random.Random, split: Split, most: int) -> str:
    """A template with one to so many names."""
    while True:
        opening = f"{_part(rng, OPENINGS, split)} " if rng.random() < 0.4 else ""
        ending = _part(rng, ENDINGS, split) if rng.random() < 0.45 else ""
        text = f"{opening}{_subject(rng, split)} {_predicate(rng, split)}{ending}."
        if 1 <= text.count("[") <= most:
            return capitalised(titled(rng, text))
