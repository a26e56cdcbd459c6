# SPDX-License-Identifier: Apache-2.0
"""Numbers and dates."""
from __future__ import annotations

import random
from collections.abc import Callable

from ..entities import Entities, Split, fraction, split_of
from ..sources import calendar_names
from .base import Family, Phrasing, Row

PARITY = (
    Phrasing("Is the number even or odd?", "Number", "Answer"),
    Phrasing("Label the number as even or odd.", "Input", "Output", list_labels=True),
    Phrasing("Can the number be halved without a rest?", "Number", "Halved", {"even": "yes", "odd": "no"}),
)
LARGER = (
    Phrasing("Which number is larger, the first or the second?", "Numbers", "Larger"),
    Phrasing("Say first or second: where is the larger number?", "Pair", "Answer"),
    Phrasing("Compare the two numbers.", "Input", "Output", {"first": "the first", "second": "the second"}),
)
IN_WORDS = (
    Phrasing("Write the number in digits.", "Words", "Digits"),
    Phrasing("Convert the number word to a number.", "Input", "Output"),
    Phrasing("Which number is this?", "Number", "Digits"),
)
DATE = (
    Phrasing("Write the date as year-month-day.", "Date", "ISO date"),
    Phrasing("Convert the date to ISO format.", "Input", "Output"),
    Phrasing("Format the day with digits only, the year first.", "Day", "Formatted"),
)
MONTH = (
    Phrasing("Return the number of the month."),
    Phrasing("Which month of the year is it?", "Month", "Number"),
)
FIND_NUMBER = (
    Phrasing("Return the number in the sentence.", "Sentence", "Number"),
    Phrasing("Which number does the text mention?", "Text", "Answer"),
    Phrasing("Extract the number.", "Input", "Output"),
)
NOTES = """
We bought {n} {things} at the market.
The shop sold {n} {things} on Monday.
There were {n} people in the hall.
The house was built in {n}.
My room is number {n}.
She paid {n} dollars for the {thing}.
It takes {n} minutes to get there.
Page {n} is missing.
He counted {n} {things} in the garden.
The bus to the station is the {n}.
The box weighs {n} grams.
""".strip().splitlines()

ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen""".split()
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()


def in_words(n: int) -> str:
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + (f"-{ONES[n % 10]}" if n % 10 else "")
    if n < 1000:
        return f"{ONES[n // 100]} hundred" + (f" and {in_words(n % 100)}" if n % 100 else "")
    return f"{in_words(n // 1000)} thousand" + (f" {in_words(n % 1000)}" if n % 1000 else "")


def _of_split(rng: random.Random, kind: str, split: Split, draw: Callable[[random.Random], str]) -> str:
    while True:
        item = draw(rng)
        if split_of(kind, item) == split:
            return item


def _number(rng: random.Random) -> str:
    return str(rng.randrange(10 ** rng.choice((1, 2, 2, 3, 3, 4))))


def _pair(rng: random.Random) -> str:
    size = 10 ** rng.choice((2, 3, 3))
    a, b = rng.sample(range(size // 10, size), 2)
    return f"{a}, {b}"


def families(data: Entities) -> list[Family]:
    months = calendar_names("en")[:12]

    def parity(rng: random.Random, split: Split) -> Row:
        number = _of_split(rng, "parity", split, _number)
        return Row(number, "odd" if int(number) % 2 else "even")

    def larger(rng: random.Random, split: Split) -> Row:
        pair = _of_split(rng, "pair", split, _pair)
        a, b = map(int, pair.split(", "))
        return Row(pair, "first" if a > b else "second")

    def words(rng: random.Random, split: Split) -> Row:
        number = _of_split(rng, "number word", split, _number)
        return Row(in_words(int(number)), number)

    def date(rng: random.Random, split: Split) -> Row:
        iso = _of_split(rng, "date", split, lambda r: f"{r.randrange(1900, 2030)}-{r.randrange(1, 13):02}-"
                                                      f"{r.randrange(1, 29):02}")  # fmt: skip
        year, month, day = iso.split("-")
        form = rng.choice(
            ("{d} {m} {y}", "{m} {d}, {y}", "{d} {a} {y}", "{a} {d} {y}", "{d}. {m} {y}", "the {d} of {m} {y}")
        )
        name = months[int(month) - 1]
        return Row(form.format(d=int(day), m=name, a=name[:3], y=year), iso)

    def month(rng: random.Random, split: Split) -> Row:
        names = [m for m in months if split != "test" or fraction("month", m) < 0.35]
        name = rng.choice(names)
        return Row(name, str(months.index(name) + 1))

    def find_number(rng: random.Random, split: Split) -> Row:
        number, thing = _of_split(rng, "find", split, _number), data.nouns.draw(rng, split)
        return Row(rng.choice(NOTES).format(n=number, thing=thing, things=thing + "s"), number)

    return [
        Family("parity", PARITY, parity, ("even", "odd"), None, ("Is {} even or odd?",), True, max_tokens=4),
        Family("larger", LARGER, larger, ("first", "second"), None,
               ("Which is larger in {}: the first or the second?",), True, max_tokens=4),
        Family("number_words", IN_WORDS, words, questions=("In digits, {} is",), short=True, max_tokens=8),
        Family("date", DATE, date, questions=("{} in ISO format is",), short=True, max_tokens=14),
        Family("month", MONTH, month, (), lambda row: fraction("month", row.text) < 0.35,
               ("{} is month number", "What number has the month {}?"), True, max_tokens=4),
        Family("find_number", FIND_NUMBER, find_number, questions=("{}\nWhich number is it?",), max_tokens=8),
    ]  # fmt: skip
