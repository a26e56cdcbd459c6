# SPDX-License-Identifier: Apache-2.0
"""Chains of thought: short questions whose answers say first how one gets there, then "The answer is ...".

A text is a few questions of one kind, as in the card's chain-of-thought data, where a text is a subject's examples.
`python3 -m builder.cot OUT` (in recipes/tiny) writes OUT/cot alone.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

from . import sources
from .entities import Entities
from .stream_stories import ANIMALS, FOODS, THINGS
from .stream_world import MONTHS, WEEKDAYS, Names, articles, capital, expand, listing

TRAIN_TEXTS, VALIDATION_TEXTS = 280, 14  # of each kind
QUESTIONS = 5  # in a text

Item = tuple[str, str, object]  # question, thought, answer


def _objects(rng: random.Random) -> str:
    return rng.choice([f for f in FOODS if f.endswith("s")] + [t + "s" for t in THINGS if t[-1] not in "sxhfey"])


def sums(rng: random.Random, names: Names) -> Item:
    a, b = names.persons(rng, 2)
    x, y, what = rng.randint(2, 20), rng.randint(1, 20), _objects(rng)
    slots = {"A": a.first, "B": b.first, "he": a.pronouns()["he"], "x": x, "y": y, "w": what}
    question = expand(
        rng,
        "{A} has {x} {w}[ and {B} gives {A} {y} more. How many {w} does {A} have now?|. {B} has {y} {w}. How many {w} do they have together?|. "
        "Then {he} buys {y} {w}. How many {w} are there now?]",
        **slots,
    )
    thought = expand(
        rng,
        "[{A} has {x} {w} at first. {y} more come to it|There are {x} {w} and {y} {w}|We add {x} and {y}]. {x} + {y} = {z}.",
        z=x + y,
        **slots,
    )
    return question, thought, x + y


def differences(rng: random.Random, names: Names) -> Item:
    a, b = names.persons(rng, 2)
    x = rng.randint(3, 30)
    y, what = rng.randint(1, x - 1), _objects(rng)
    slots = {"A": a.first, "B": b.first, "he": a.pronouns()["he"], "x": x, "y": y, "w": what}
    question = expand(
        rng,
        "{A} has {x} {w}[ and gives {y} of them to {B}. How many {w} are left?|. {He} loses {y} {w}. How many {w} does {he} have now?|. "
        "{B} takes {y} {w} away. How many {w} remain?]",
        He=a.pronouns()["He"],
        **slots,
    )
    return (
        question,
        expand(
            rng,
            "[{A} has {x} {w} at first. {y} of them go away|We take {y} from {x}]. {x} - {y} = {z}.",
            z=x - y,
            **slots,
        ),
        x - y,
    )


def comparisons(rng: random.Random, names: Names) -> Item:
    a, b = names.persons(rng, 2)
    x, y = rng.sample(range(1, 60), 2)
    more, word, verb, noun = rng.choice(
        [
            (True, "older", "is", "years old"),
            (False, "younger", "is", "years old"),
            (True, "more", "has", "coins"),
            (False, "fewer", "has", "coins"),
        ]
    )
    question = f"{a.first} {verb} {x} {noun} and {b.first} {verb} {y} {noun}. Who {verb} {word}{'' if verb == 'is' else ' coins'}?"
    winner = a if (x > y) == more else b
    return (
        question,
        f"{x} is {'more' if x > y else 'less'} than {y}. So {winner.first} {verb} {word}{'' if verb == 'is' else ' coins'}.",
        winner.first,
    )


def counting(rng: random.Random, names: Names) -> Item:
    words = rng.sample(ANIMALS + THINGS, rng.randint(2, 7))
    if rng.random() < 0.5:
        numbered = ", ".join(f"{w} is {i}" for i, w in enumerate(words, 1))
        return f"How many words are in the list: {', '.join(words)}?", f"{capital(numbered)}.", len(words)
    word = words[0]
    spelled = ", ".join(f"{letter} is {i}" for i, letter in enumerate(word, 1))
    return f"How many letters has the word {word}?", f"{capital(spelled)}.", len(word)


def ordering(rng: random.Random, names: Names) -> Item:
    if rng.random() < 0.5:
        numbers = rng.sample(range(1, 90), rng.randint(3, 5))
        rest, steps = list(numbers), []
        while len(rest) > 1:
            steps.append(f"the smallest of {listing(list(map(str, rest)))} is {min(rest)}")
            rest.remove(min(rest))
        text = f"{capital(', '.join(steps))}, and {rest[0]} is left."
        return (
            f"Put these numbers in order, the smallest first: {', '.join(map(str, numbers))}",
            text,
            ", ".join(map(str, sorted(numbers))),
        )
    words = [p.first for p in names.persons(rng, rng.randint(3, 4))]
    words = list({w[0]: w for w in words}.values())
    rng.shuffle(words)
    initials = ", ".join(f"{w} begins with {w[0]}" for w in words)
    order = sorted(words)
    return (
        f"Put these names in the order of the alphabet: {', '.join(words)}",
        f"{initials}. The letters in order are {', '.join(w[0] for w in order)}.",
        ", ".join(order),
    )


def days(rng: random.Random, names: Names) -> Item:
    cycle, unit = rng.choice([(WEEKDAYS, "day"), (WEEKDAYS, "day"), (MONTHS, "month")])
    i, n, back = rng.randrange(len(cycle)), rng.randint(1, 4), rng.random() < 0.3
    step = -1 if back else 1
    way = [cycle[(i + step * k) % len(cycle)] for k in range(n + 1)]
    count = f"{n} {unit}{'s' if n > 1 else ''}"
    word = "before" if back else "after"
    opening = (
        f"Today is {way[0]}. Which day {'was' if back else 'is'} it {count} {'ago' if back else 'from now'}?"
        if unit == "day" and rng.random() < 0.5
        else f"Which {unit} is {count} {word} {way[0]}?"
    )
    thought = ", ".join(f"{k} {word} {way[0]} is {way[k]}" if k == 1 else f"{k} is {way[k]}" for k in range(1, n + 1))
    return opening, f"{capital(thought)}.", way[-1]


_RELATIONS = (
    ("taller", "tallest", "shortest"),
    ("older", "oldest", "youngest"),
    ("faster", "fastest", "slowest"),
    ("stronger", "strongest", "weakest"),
)


def deduction(rng: random.Random, names: Names) -> Item:
    a, b, c = (p.first for p in names.persons(rng, 3))
    more, most, least = rng.choice(_RELATIONS)
    facts = [f"{a} is {more} than {b}.", f"{b} is {more} than {c}."]
    if rng.random() < 0.5:
        facts.reverse()
    first = rng.random() < 0.5
    thought = f"{a} is {more} than {b} and {b} is {more} than {c}, so the order is {a}, {b}, {c}."
    return f"{' '.join(facts)} Who is the {most if first else least}?", thought, a if first else c


def places(rng: random.Random, names: Names) -> Item:
    a, b = names.persons(rng, 2)
    rooms = rng.sample(["kitchen", "garden", "cellar", "bedroom", "hall", "office", "garage"], 3)
    item = rng.choice(THINGS)
    moves = [
        f"{a.first} takes the {item} to the {rooms[0]}.",
        f"{b.first} goes to the {rooms[1]}.",
        f"{a.first} goes to the {rooms[2]} with the {item}.",
    ]
    shown = moves if rng.random() < 0.6 else moves[:2]
    where = rooms[2] if len(shown) == 3 else rooms[0]
    went = f", then to the {rooms[2]}" if len(shown) == 3 else ""
    return (
        f"{' '.join(shown)} Where is the {item}?",
        f"{a.first} has the {item}. {a.first} goes to the {rooms[0]}{went}. So the {item} is in the {where}.",
        f"the {where}",
    )


def kinds(rng: random.Random, names: Names) -> Item:
    """Which of some words is of a category; words of the training split only, since to know this is a task."""
    things = [t for t in names.data.things if t.split == "train" and sources.uses().get(("n", t.word), 0) > 1]
    chosen = rng.choice(things)
    others = [t for t in rng.sample(things, 12) if t.category != chosen.category][:2]
    words = rng.sample([chosen, *others], len(others) + 1)
    thought = " ".join(capital(f"{t.word} is a kind of {t.category}.") for t in words)
    return (
        articles(f"Which of these is a kind of {chosen.category}: {listing([t.word for t in words], 'or')}?"),
        thought,
        chosen.word,
    )


def feelings(rng: random.Random, names: Names) -> Item:
    """Which of two feelings somebody has; words of the training split only."""
    known = [f for f in names.data.feelings if f.split == "train" and f.kind == "adjective" and "-" not in f.word]
    felt = rng.choice(known)
    other = rng.choice([e for e in ("sadness", "joy", "love", "anger", "fear", "surprise") if e != felt.emotion])
    a = names.person(rng).first
    pair = rng.sample([felt.emotion, other], 2)
    near = f", like {felt.synonyms[0]}" if felt.synonyms and "-" not in felt.synonyms[0] else ""
    return (
        f"{a} is {felt.word}. Is that {pair[0]} or {pair[1]}?",
        f"{capital(felt.word)} is a word of {felt.emotion}{near}. So {a} feels {felt.emotion}.",
        felt.emotion,
    )


KINDS: tuple[Callable[[random.Random, Names], Item], ...] = (
    sums,
    differences,
    comparisons,
    counting,
    ordering,
    days,
    deduction,
    places,
    kinds,
    feelings,
)


def _text(rng: random.Random, kind: Callable[[random.Random, Names], Item], names: Names) -> str:
    items = (kind(rng, names) for _ in range(QUESTIONS))
    return "\n\n".join(f"Q: {question}\nA: {thought} The answer is {answer}." for question, thought, answer in items)


def write(out: Path, rng: random.Random, data: Entities) -> None:
    """out/cot/train.json and validation.json: texts by kind and number."""
    names = Names(data)
    folder = out / "cot"
    folder.mkdir(parents=True, exist_ok=True)
    for split, n in (("train", TRAIN_TEXTS), ("validation", VALIDATION_TEXTS)):
        texts = {f"{kind.__name__}_{i + 1:03}": _text(rng, kind, names) for kind in KINDS for i in range(n)}
        (folder / f"{split}.json").write_text(json.dumps(texts, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    from . import entities

    write(Path(sys.argv[1]), random.Random("cot"), entities.load())
