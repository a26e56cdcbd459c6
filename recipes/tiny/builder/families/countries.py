# SPDX-License-Identifier: Apache-2.0
"""Lookups of countries: currency, capital, continent, code. The same countries are reserved in all of them."""
from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from ..entities import Entities, Split, Territory
from .base import Family, Phrasing, Row

CURRENCY = (
    Phrasing("Return the currency of the given country."),
    Phrasing("Which currency does this country use?", "Country", "Currency"),
    Phrasing("Name the money of the country.", "Country", "Money"),
    Phrasing("You are given a country. Answer with the name of its currency.", "Country name", "Currency name"),
    Phrasing("What do people pay with in this place?", "Place", "Currency"),
    Phrasing("Return the currency of the country.", "Country", "Output"),
    Phrasing("Answer the question.", wrap="What is the currency of {}?"),
    Phrasing("Give the currency.", wrap="the country of {}"),
)
CURRENCY_QUESTIONS = (
    "What is the currency of {}?",
    "What currency do people use in {}?",
    "In {}, one pays with the",
    "The currency of {} is called",
    "If you travel to {}, which currency do you need?",
)
CAPITAL = (
    Phrasing("Return the capital of the given country."),
    Phrasing("What is the capital of this country?", "Country", "Capital"),
    Phrasing("Name the city from which the country is governed.", "Nation", "City"),
    Phrasing("Answer the question.", wrap="What is the capital of {}?"),
)
CAPITAL_QUESTIONS = ("What is the capital of {}?", "Which city is the capital of {}?", "The capital of {} is")
CONTINENT = (
    Phrasing("Return the continent of the given country."),
    Phrasing("On which continent is this country?", "Country", "Continent", list_labels=True),
    Phrasing("Say where in the world the country lies.", "Nation", "Part of the world"),
    Phrasing("Answer the question.", wrap="What is the continent of {}?"),
)
CONTINENT_QUESTIONS = ("On which continent is {}?", "{} is a country of which continent?")
CODE = (
    Phrasing("Return the two-letter code of the given country."),
    Phrasing("What is the ISO code of this country?", "Country", "Code"),
    Phrasing("Abbreviate the country with two letters.", "Nation", "Abbreviation"),
    Phrasing("Answer the question.", wrap="What is the two-letter code of {}?"),
)
CODE_QUESTIONS = ("What is the two-letter code of {}?", "Which country code does {} have?")
CURRENCY_CODE = (
    Phrasing("Return the currency code of the given country."),
    Phrasing("Which three-letter code does the money of this country have?", "Country", "Currency code"),
    Phrasing("Give the ISO 4217 code of the currency used there.", "Nation", "Code of currency"),
    Phrasing("Answer the question.", wrap="What is the currency code of {}?"),
)
CURRENCY_CODE_QUESTIONS = ("What is the currency code of {}?", "Which code does the currency of {} have?")
CONTINENTS = ("Africa", "Asia", "Europe", "North America", "Oceania", "South America")


def _family(
    name: str,
    phrasings: Sequence[Phrasing],
    questions: Sequence[str],
    territories: Sequence[Territory],
    answer: Callable[[Territory], str],
    labels: Sequence[str] = (),
    weight: int = 1,
    answers: int = 1,
) -> Family:
    known = {"test": [t for t in territories if t.reserved], "train": list(territories)}
    reserved = {t.name for t in known["test"]}

    def draw(rng: random.Random, split: Split) -> Row:
        label = rng.choice(labels) if labels else None
        some = [t for t in known["test" if split == "test" else "train"] if label is None or answer(t) == label]
        territory = rng.choice(some)
        return Row(territory.name, answer(territory))

    return Family(name, phrasings, draw, labels, lambda row: row.text in reserved, questions, True, weight, answers, 15)


def families(data: Entities) -> list[Family]:
    countries = data.territories
    with_capital = [t for t in countries if t.capital]
    return [
        _family("currency", CURRENCY, CURRENCY_QUESTIONS, countries, lambda t: t.currency, weight=6, answers=8),
        _family("capital", CAPITAL, CAPITAL_QUESTIONS, with_capital, lambda t: t.capital or ""),
        _family("continent", CONTINENT, CONTINENT_QUESTIONS, countries, lambda t: t.continent, CONTINENTS),
        _family("country_code", CODE, CODE_QUESTIONS, countries, lambda t: t.code),
        _family("currency_code", CURRENCY_CODE, CURRENCY_CODE_QUESTIONS, countries, lambda t: t.currency_code),
    ]
