# SPDX-License-Identifier: Apache-2.0
"""Hate speech or not, kept mild: what disparages a whole group, beside harmless posts with the same words and groups.
Groups are those of the card's instruction and made-up peoples, whose names are split."""
from __future__ import annotations

import random
from functools import cache

from ..entities import Entities, Split, split_of
from .base import Family, Phrasing, Row, capitalised

INSTRUCTION = (
    "Label whether the following tweet contains hate speech against either immigrants or women. Hate Speech (HS) is "
    "commonly defined as any communication that disparages a person or a group on the basis of some characteristic "
    "such as race, color, ethnicity, gender, sexual orientation, nationality, religion, or other characteristics."
)

PHRASINGS = (
    Phrasing(INSTRUCTION, "Tweet", "Label", list_labels=True),
    Phrasing("Does the tweet disparage a group of people? Label it as hate speech or not hate speech.", "Tweet",
             "Label"),
    Phrasing("Is this post hateful towards a group?", "Post", "Hateful",
             {"hate speech": "yes", "not hate speech": "no"}, list_labels=True),
    Phrasing("Decide if the message is hateful or fine.", "Message", "Verdict",
             {"hate speech": "hateful", "not hate speech": "fine"}),
    Phrasing("You moderate a forum. Say whether the comment is hate speech.", "Comment", "Label", list_labels=True),
)  # fmt: skip

REAL_GROUPS = ("women", "immigrants", "refugees", "foreigners", "girls", "migrants", "female drivers", "old people",
               "newcomers", "these women", "those immigrants")  # fmt: skip
ENDINGS = ("ians", "ans", "ites", "ese", "ans", "s")
BEGINNINGS = "Zor Vel Kra Tor Mib Quon Lar Dren Fosk Gral Hov Jas Plim Rud Sel Tarv Ulm Wend Yar Brin Cal Dov".split()
MIDDLES = ("b", "n", "d", "m", "v", "l", "k", "t", "th", "g")

HATEFUL = """
are always {bad}
are all {bad}
are nothing but {bad}
are {bad} and {bad2}, every one of them
should go back to where they came from
are ruining this country
do not belong here
can never be trusted
only want our money
are too {bad} to work
should not be allowed to vote
should be kept out of our schools
are less than us
make me sick, send them away
have no place in our town
are {bad} by nature
ought to be banned from the park
never tell the truth
will never be as good as us
should stay in the kitchen
are the {bad} ones, as always
are a plague, {bad} and {bad2}
""".strip().splitlines()

BAD = """hysterical lazy stupid dirty dishonest rude greedy worthless dumb useless disgusting criminal filthy inferior
ugly pathetic""".split()

PERSONAL = """
you are the most {bad} {one} i know, all of you {group} are
typical {one}, always {bad}
a {bad} {one}, what else do you expect from {group}
you will always be a {bad} {one}
so refreshing to see a place without {group}
keep {group} out, we do not want them
no more {group} here, they are {bad}
who let all these {bad} {group} in
why do we put up with {group}, they are so {bad}
""".strip().splitlines()

KIND = """
are organising a book fair on saturday
deserve equal pay
are welcome here
won the final last night
have opened a bakery on our street
told us about their long journey
are invited to the free class at the library
sang at the festival and it was lovely
need your help with the food drive
work hard and we are glad to have them
were in the news today for their new clinic
are meeting at the town hall at six
have a right to be heard
play their first match on sunday
are my neighbors and my friends
asked good questions at the talk
are learning english at night school
built this bridge
""".strip().splitlines()

HARMLESS = """
new here, does anyone know how to {do}?
my {thing} is so {bad} today
this {thing} is {bad}, i want a new one
thanks {user} for the {thing}
can someone tell me how to {do}?
{user} don't worry, you will {do} soon
i was so {bad} this morning, i forgot my {thing}
just watched a film about {group} and learned a lot
any {group} on here who know how to {do}?
reading about {group} for my history class
happy birthday {user}, enjoy your {thing}
what a {bad} {thing}, said nobody about my new {thing}
how refreshing, a {thing} that works
the {thing} went back to where it came from
i never trust my {thing}
looking for a {thing}, please retweet
{user} how was the trip to the {place}?
we had fun at the {place} with {user}
where do {group} meet to {do}?
my {thing} belongs in the kitchen
""".strip().splitlines()

THINGS = """phone car bike laptop printer umbrella coat dog cat hair team playlist camera kettle sandwich sofa jacket
oven garden battery ticket blender scarf guitar keyboard lamp mattress garage charger headset roommate parrot piano
ladder mower router teapot wallet backpack heater toaster curtain""".split()
PLACES = "museum lake station market park stadium library mountains beach theater zoo".split()
DOINGS = ("get verified", "change a tire", "book a ticket", "bake bread", "fix a printer", "join the club",
          "learn to swim", "start a blog", "grow tomatoes", "win a game", "find the exit", "apply for a visa",
          "knit a scarf")  # fmt: skip


def _made_up() -> list[str]:
    return [b + m + e for b in BEGINNINGS for m in MIDDLES for e in dict.fromkeys(ENDINGS)]


@cache
def things(split: Split) -> tuple[str, ...]:
    return tuple(t for t in THINGS if split_of("slot", t) == split)


def _post(rng: random.Random, template: str, group: str, split: Split) -> str:
    bad, bad2 = rng.sample(BAD, 2)
    one = "woman" if group in ("women", "girls", "these women", "female drivers") else "immigrant"
    thing = rng.choice(things(split))
    values = {"group": group, "bad": bad, "bad2": bad2, "one": one, "thing": thing, "user": "@user",
              "place": rng.choice(PLACES), "do": rng.choice(DOINGS)}  # fmt: skip
    return template.format(**values)


def _decorated(rng: random.Random, text: str) -> str:
    text = capitalised(text) if rng.random() < 0.7 else text
    extra = rng.random()
    if extra < 0.15:
        return "@user " + text
    if extra < 0.3:
        return text + rng.choice((" #news", " #fact", " via @user", " lol", " smh", " #monday"))
    if extra < 0.6 and text[-1].isalpha():
        return text + rng.choice((".", "!", "!!", "..."))
    return text


def _template(rng: random.Random, label: str) -> str:
    if label == "hate speech":
        return rng.choice(PERSONAL) if rng.random() < 0.35 else "{group} " + rng.choice(HATEFUL)
    return rng.choice(HARMLESS) if rng.random() < 0.5 else "{group} " + rng.choice(KIND)


def families(data: Entities) -> list[Family]:
    del data
    made_up = {s: [g for g in _made_up() if split_of("people", g) == s] for s in ("train", "validation", "test")}

    def group_of(rng: random.Random, split: Split) -> str:
        if split == "train" and rng.random() < 0.5:
            return rng.choice(REAL_GROUPS)
        return rng.choice(("the ", "", "all ", "these ")) + rng.choice(made_up[split])

    def draw(rng: random.Random, split: Split) -> Row:
        label = rng.choice(("hate speech", "not hate speech"))
        template = _template(rng, label)
        while split != "train" and "{group}" not in template and "{thing}" not in template:
            template = _template(rng, label)
        return Row(_decorated(rng, _post(rng, template, group_of(rng, split), split)), label)

    questions = ('Is the tweet "{}" hate speech or not hate speech?', "{}\nIs this hate speech or not hate speech?")
    labels = ("hate speech", "not hate speech")
    return [Family("hate", PHRASINGS, draw, labels, questions=questions, weight=2, answers=2, max_tokens=8)]
