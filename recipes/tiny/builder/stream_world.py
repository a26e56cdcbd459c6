# SPDX-License-Identifier: Apache-2.0
"""What generated documents are about: people, places, organisations and countries, and the little grammar that
puts them into sentences.

Names are drawn anew for each document and recur in it, since a text in which nothing comes back teaches no copying.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass

from . import sources
from .entities import WIDGET_NAMES, Entities

WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
NUMBERS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty""".split()

# ---- A grammar of alternatives ----

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_AN = re.compile(r"\b([Aa]) (?=[aeiou](?!ne\b|nce\b|ni|u|se)|hour|honest|heir)")
_A = re.compile(r"\b([Aa])n (?=[bcdfgjklmnpqrstvwxyz]|h(?!our|onest|eir))")


def articles(text: str) -> str:
    """Makes "a otter" "an otter"; templates always say "a"."""
    return _AN.sub(r"\1n ", text)


def expand(rng: random.Random, template: str, **slots: object) -> str:
    """Chooses one of each [this|that|], innermost first, then fills {slots}; templates may be nested."""
    while match := _CHOICE.search(template):
        template = template[: match.start()] + rng.choice(match[1].split("|")) + template[match.end() :]
    return articles(template.format(**slots))


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def listing(words: list[str] | tuple[str, ...], last: str = "and") -> str:
    """red, green and blue"""
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else words[0]


# ---- People, places, organisations ----

FEMALE = """Alice Anna Bella Carla Clara Daisy Diana Edith Ellen Emma Erica Eva Fatima Flora Frida Grace Greta Hanna
    Helen Ida Ines Irene Iris Jane Jill Joan Julia Karen Kate Laura Lena Lily Linda Lisa Lucy Mara Maria Martha Mary Mia
    Mina Mona Nadia Nancy Nina Nora Olga Olive Paula Priya Rita Rosa Ruth Sally Sara Selma Sofia Susan Tara Tina Vera
    Wendy Yara Zoe Aisha Mei Yuki Leila Amina Chloe Petra Ingrid Astrid Bridget Judith Esther""".split()
MALE = """Adam Alan Albert Ali Andrew Anton Arthur Ben Bill Boris Brian Bruno Carl Carlos Chris Daniel David Dennis
    Edgar Emil Eric Felix Frank Fred George Gustav Hans Harry Henry Hugo Ivan Jack Jakob James Jan Joe John Jonas Jose Karl
    Kevin Leo Louis Luke Marco Mark Martin Max Miguel Mike Nick Noah Omar Oscar Otto Paul Pedro Philip Ralph Ray Robert
    Roger Sam Simon Stefan Steve Ted Theo Tim Tom Victor Walter Will Ahmed Chen Hiro Kofi Ravi Samir""".split()
SURNAMES = """Adams Allen Anderson Bailey Baker Barnes Bell Bennett Berg Black Bloom Brooks Brown Bruno Burke Butler
    Carter Clark Cole Collins Cook Cooper Costa Cox Cruz Davis Diaz Dixon Evans Ferrari Fischer Fisher Ford Foster Fox
    Garcia Gibson Gomez Gordon Graham Grant Gray Green Gupta Hall Hansen Harris Hart Hayes Hill Holmes Howard Hughes
    Hunt Ivanov Jackson Jensen Johnson Jones Kelly Khan Kim King Klein Knight Kumar Lane Larsen Lewis Long Lopez Marsh
    Martin Mason Meyer Miller Mills Moore Morgan Morris Murphy Murray Nelson Novak Olsen Owens Palmer Park Parker Patel
    Perez Perry Porter Powell Price Quinn Reed Reyes Rice Rivera Roberts Rogers Rossi Russell Santos Schmidt Scott Shaw
    Silva Simpson Singh Smith Stone Sullivan Taylor Thomas Torres Turner Wagner Walker Ward Watson Weber Webb West
    White Wilson Wong Wood Wright Young""".split()
TOWNS = """Aberdeen Amsterdam Antwerp Athens Atlanta Baltimore Barcelona Basel Belfast Bergen Birmingham Bologna Bombay
    Bordeaux Boston Bremen Brighton Bristol Brussels Budapest Cambridge Cardiff Chicago Cleveland Cologne Cork Dallas
    Denver Detroit Dresden Dublin Edinburgh Florence Frankfurt Geneva Genoa Ghent Glasgow Hamburg Hanover Houston Kyoto
    Leeds Leipzig Lima Lisbon Liverpool London Lyon Madrid Malmo Manchester Melbourne Milan Mumbai Munich Naples Nice
    Norwich Osaka Oslo Oxford Palermo Paris Perth Plymouth Porto Prague Rome Rotterdam Sheffield Stockholm Sydney Tokyo
    Toledo Toronto Toulouse Turin Utrecht Venice Vienna Warsaw York Zurich""".split()
ORG_FIRST = """Alpine Apex Atlas Beacon Bluebird Bridge Castle Cedar Central City Coastal Crown Eagle East Falcon First
    Global Golden Granite Green Harbor Highland Horizon Island Lake Liberty Lion Maple Meadow Metro Mountain National
    Nordic North Oak Ocean Orchid Pacific Phoenix Pine Pioneer Prairie River Royal Silver South Star Summit Sun Swift
    Union United Valley Victoria West Willow""".split()
ORG_LAST = """Airlines Airways Bank Books Brewery Bakery Cars Chemicals College Computers Energy Farms Films Foods
    Foundation Furniture Games Hospital Hotels Institute Insurance Labs Logistics Mail Mills Mining Motors Museum Music
    Orchestra Paper Power Press Radio Railways School Shipping Software Solar Steel Studios Systems Telecom Tools Toys
    Trust University Water""".split()
DIRECTIONS = "North South East West Northern Southern Eastern Western Central Upper Lower Great".split()
LANDFORMS = "Coast Valley Highlands Lakes Plains Hills Islands Province Desert Mountains".split()
TITLES = """doctor nurse teacher lawyer farmer baker engineer painter singer writer pilot cook gardener driver mayor
    manager director reporter student carpenter sailor librarian scientist musician plumber electrician""".split()
STREETS = """Mill Church High Park Station School Garden Market Bridge River Hill Oak Elm King Queen Castle Lake Forest
    Rose West North""".split()
DOMAINS = "example.com example.org example.net mail.com post.net inbox.org letters.net home.org web.net".split()


@dataclass(frozen=True)
class Person:
    first: str
    last: str
    she: bool

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}"

    def pronouns(self) -> dict[str, str]:
        """For templates: {he}, {him}, {his}, {He}, {His}, {man}"""
        words = ("she", "her", "her", "woman", "girl") if self.she else ("he", "him", "his", "man", "boy")
        return dict(zip(("he", "him", "his", "man", "boy"), words), He=words[0].title(), His=words[2].title())


class Names:
    """The names that generated text may use: those of the training split, and ours where they are in no split. Some
    names are of two kinds, as Jordan is: what is for tests as one of them is not used as the other."""

    def __init__(self, data: Entities) -> None:
        self.data = data

        def usable(names: Iterable[str]) -> list[str]:
            return [n for n in names if n not in held_out]

        held_out = {
            n
            for pool in (data.given_names, data.family_names, data.cities, data.places, data.companies)
            for n in (*pool.validation, *pool.test)
        } | WIDGET_NAMES
        self.given = [(n, she) for she, names in ((True, FEMALE), (False, MALE)) for n in usable(names)]
        self.ungendered = usable(n for n in data.given_names.train if n != "The")
        self.family, self.more_family = usable(SURNAMES), usable(data.family_names.train)
        self.towns, self.cities = usable(TOWNS), usable(data.cities.train)
        self.companies, self.places = usable(data.companies.train), usable(data.places.train)
        self.countries = _countries(data)
        self.free_countries = [t.name for t in data.territories if not t.reserved]
        self.things: dict[str, list[str]] = {}
        for thing in data.things:
            self.things.setdefault(thing.category, []).append(thing.word)

    def person(self, rng: random.Random) -> Person:
        if rng.random() < 0.5:
            first, she = rng.choice(self.given)
        else:
            first = rng.choice(self.ungendered)
            she = first[-1] in "aei"
        last = rng.choice(self.family if rng.random() < 0.4 else self.more_family)
        return Person(first, last, she)

    def persons(self, rng: random.Random, n: int) -> list[Person]:
        """People whose first names differ, since stories call them by these."""
        found: dict[str, Person] = {}
        while len(found) < n:
            person = self.person(rng)
            found.setdefault(person.first, person)
        return list(found.values())

    def place(self, rng: random.Random) -> str:
        return rng.choice(self.towns if rng.random() < 0.4 else self.cities)

    def organization(self, rng: random.Random) -> str:
        kind = rng.random()
        if kind < 0.35:
            return rng.choice(self.companies)
        if kind < 0.7:
            return f"{rng.choice(ORG_FIRST)} {rng.choice(ORG_LAST)}"
        family, town = self.person(rng).last, self.place(rng)
        return rng.choice(
            [
                f"{family} {rng.choice(ORG_LAST)}",
                f"{family} and {self.person(rng).last}",
                f"University of {town}",
                f"{town} {rng.choice(ORG_LAST)}",
            ]
        )

    def region(self, rng: random.Random) -> str:
        """A country, a river, an island, ... or a part of a country."""
        kind = rng.random()
        if kind < 0.4:
            return rng.choice(self.free_countries)
        if kind < 0.7:
            return rng.choice(self.places)
        return f"{rng.choice(DIRECTIONS)} {rng.choice(LANDFORMS)}"


def email(rng: random.Random, person: Person) -> str:
    first, last = person.first.lower(), person.last.lower()
    user = rng.choice(
        [
            first,
            last,
            f"{first}.{last}",
            f"{first[0]}{last}",
            f"{first}_{last}",
            f"{first}{last}",
            f"{first}{rng.randint(1, 99)}",
            f"{last}.{first}",
            f"{first[0]}.{last}",
        ]
    )
    return f"{user}@{rng.choice(DOMAINS)}"


PHONE_FORMATS = (
    "({0}) {1} {2}",
    "({0}) {1}-{2}",
    "{0}-{1}-{2}",
    "{0} {1} {2}",
    "{0}.{1}.{2}",
    "{0}/{1}{2}",
    "+1 {0} {1} {2}",
)


def phone(rng: random.Random) -> tuple[str, str, str]:
    return f"{rng.randint(201, 989)}", f"{rng.randint(200, 999)}", f"{rng.randint(0, 9999):04}"


def address(rng: random.Random) -> str:
    return f"{rng.randint(1, 199)} {rng.choice(STREETS)} {rng.choice(['Street', 'Road', 'Lane', 'Avenue'])}"


# ---- Dates ----


@dataclass(frozen=True)
class Date:
    day: int
    month: int  # 1 to 12
    year: int

    def text(self, style: int) -> str:
        month = MONTHS[self.month - 1]
        return (
            f"{self.day} {month} {self.year}",
            f"{month} {self.day}, {self.year}",
            f"{self.year}-{self.month:02}-{self.day:02}",
            f"{self.month:02}/{self.day:02}/{self.year}",
            f"{self.day:02}.{self.month:02}.{self.year}",
            f"the {ordinal(self.day)} of {month} {self.year}",
            f"{month[:3]} {self.day}, {self.year}",
        )[style]


DATE_STYLES = 7


def ordinal(n: int) -> str:
    return f"{n}{'th' if n % 100 in (11, 12, 13) else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


def date(rng: random.Random) -> Date:
    month = rng.randint(1, 12)
    return Date(rng.randint(1, MONTH_DAYS[month - 1]), month, rng.randint(1900, 2025))


def number(n: int) -> str:
    return NUMBERS[n] if n < len(NUMBERS) else str(n)


# ---- Countries ----


@dataclass(frozen=True)
class Country:
    """A territory as texts tell of it."""

    code: str
    name: str
    capital: str  # empty: not known
    continent: str
    currency: str
    currency_code: str
    languages: tuple[str, ...]

    @property
    def the(self) -> str:
        """The name as in "the capital of the Netherlands"."""
        article = re.search(
            r"^(Bahamas|Comoros|Gambia|Maldives|Netherlands|Philippines|Seychelles|Marshall|Solomon)|"
            r"^United |Republic$|Islands$|Emirates$",
            self.name,
        )
        return f"the {self.name}" if article else self.name


def _countries(data: Entities) -> list[Country]:
    spoken = {
        code: [sources.ascii_text(name) for name in names[:3]] for code, names in sources.territory_languages().items()
    }
    return [
        Country(
            t.code, t.name, t.capital or "", t.continent, t.currency, t.currency_code, tuple(spoken.get(t.code, ()))
        )
        for t in data.territories
    ]
