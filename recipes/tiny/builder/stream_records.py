# SPDX-License-Identifier: Apache-2.0
"""Documents with a structure: contact cards, tables, CSV, JSON, lists, sheets of countries, numbers and dates.

Most write the same records twice, in two notations, so that the second half can be known from the first.
"""

from __future__ import annotations

import json
import random

from .stream_stories import ANIMALS, COLORS, FOODS, JOBS, THINGS
from .stream_world import (
    DATE_STYLES,
    MONTH_DAYS,
    MONTHS,
    PHONE_FORMATS,
    WEEKDAYS,
    Country,
    Names,
    Person,
    address,
    articles,
    capital,
    date,
    email,
    expand,
    listing,
    number,
    ordinal,
    phone,
)

# ---- Contacts ----


class _Contact:
    def __init__(self, rng: random.Random, names: Names) -> None:
        self.person: Person = names.person(rng)
        self.name = self.person.name
        self.mail = email(rng, self.person)
        self.digits = phone(rng)
        self.town = names.place(rng)
        self.street = address(rng)
        self.job = rng.choice(JOBS)
        self.work = names.organization(rng)


def _fields(c: _Contact, phone_format: str) -> dict[str, str]:
    return {
        "name": c.name,
        "email": c.mail,
        "phone": phone_format.format(*c.digits),
        "city": c.town,
        "street": c.street,
        "job": c.job,
        "company": c.work,
    }


def _lines(rng: random.Random, rows: list[dict[str, str]], keys: list[str], style: str) -> str:
    """The records in one notation."""
    if style == "csv":
        separator = rng.choices([",", ", ", ";", "\t"], (76, 8, 8, 8))[0]
        head = [separator.join(keys)] if rng.random() < 0.5 else []
        return "\n".join(head + [separator.join(r[k] for k in keys) for r in rows])
    if style == "json":
        one = [json.dumps({k: r[k] for k in keys}) for r in rows]
        return "\n".join(one) if rng.random() < 0.6 else "[\n  " + ",\n  ".join(one) + "\n]"
    if style == "cards":
        return "\n\n".join("\n".join(f"{capital(k)}: {r[k]}" for k in keys) for r in rows)
    if style == "yaml":
        return "\n".join(f"- {keys[0]}: {r[keys[0]]}\n" + "\n".join(f"  {k}: {r[k]}" for k in keys[1:]) for r in rows)
    if style == "table":
        wide = [max(len(r[k]) for r in [*rows, {k: k}]) for k in keys]
        text = [
            " | ".join(v.ljust(w) for v, w in zip(values, wide)).rstrip()
            for values in [keys, *([r[k] for k in keys] for r in rows)]
        ]
        return "\n".join([text[0], "-+-".join("-" * w for w in wide), *text[1:]])
    if style == "spaces":  # as people type them: fields in any order, no commas
        return "\n".join(" ".join(r[k] for k in rng.sample(keys, len(keys))) for r in rows)
    if style == "angle":
        rest = [k for k in keys if k not in ("name", "email")]
        return "\n".join(f"{r['name']} <{r['email']}>" + "".join(f" {r[k]}" for k in rest) for r in rows)
    return "\n".join(_sentence(rng, r, keys) for r in rows)


_PHRASES = {
    "email": ["the e-mail is {email}", "mail: {email}", "{email}", "can be reached at {email}", "email {email}"],
    "phone": ["the phone number is {phone}", "phone {phone}", "call {phone}", "tel. {phone}", "number: {phone}"],
    "city": ["lives in {city}", "city: {city}", "from {city}"],
    "street": ["address: {street}", "lives at {street}"],
    "job": ["works as a {job}", "job: {job}"],
    "company": ["works for {company}", "is with {company}"],
}


def _sentence(rng: random.Random, row: dict[str, str], keys: list[str]) -> str:
    rest = [rng.choice(_PHRASES[k]).format(**row) for k in keys if k != "name"]
    rng.shuffle(rest)
    return articles(rng.choice([", ", ", ", "; ", " "]).join([row["name"], *rest]) + rng.choice(["", "."]))


STYLES = "csv json cards yaml table spaces angle sentences".split()
_TITLES = {
    "csv": "In columns:",
    "json": "As JSON:",
    "cards": "One by one:",
    "yaml": "As a list:",
    "table": "As a table:",
    "spaces": "The same in short:",
    "angle": "For the mail program:",
    "sentences": "In words:",
}


def contacts(rng: random.Random, names: Names) -> str:
    """A few people's data in one notation, then in another; phone numbers change their notation too."""
    people = [_Contact(rng, names) for _ in range(rng.randint(1, 5))]
    extra = rng.sample(["phone", "city", "job", "company", "street"], rng.randint(0, 2))
    keys = ["name", "email", *(["phone"] if rng.random() < 0.7 and "phone" not in extra else []), *extra]
    styles = rng.sample(STYLES, rng.choice([1, 2, 2, 2, 3]))
    if rng.random() < 0.5 and "csv" not in styles:
        styles[-1] = "csv"
    parts = []
    for i, style in enumerate(styles):
        mixed = style in ("spaces", "sentences")
        tidy = rng.choice(PHONE_FORMATS[:5]) if rng.random() < 0.5 else PHONE_FORMATS[2]
        rows = [_fields(c, rng.choice(PHONE_FORMATS) if mixed else tidy) for c in people]
        title = _TITLES[style] + "\n" if i and rng.random() < 0.4 else ""
        parts.append(title + _lines(rng, rows, keys, style))
    return "\n\n".join(parts)


def notations(rng: random.Random, names: Names) -> str:
    """One number or address in several notations."""
    lines = []
    kind = rng.randrange(4)
    a, b = rng.sample(PHONE_FORMATS, 2)
    x, y = rng.sample(range(DATE_STYLES), 2)
    for _ in range(rng.randint(3, 7)):
        if kind == 0:
            digits = phone(rng)
            lines.append(
                rng.choice(
                    ["{0} is the same number as {1}", "{0} = {1}", "{0}, also written {1}", "{0} or {1}"]
                ).format(a.format(*digits), b.format(*digits))
            )
        elif kind == 1:
            d = date(rng)
            lines.append(
                rng.choice(["{0} is {1}", "{0} = {1}", "{0}, that is {1}", "{0} or {1}"]).format(d.text(x), d.text(y))
            )
        elif kind == 2:
            p = names.person(rng)
            lines.append(
                rng.choice(
                    [
                        "{f} {l} is listed as {l}, {f}.",
                        "{f} {l} ({i}.{j}.)",
                        "{l}, {f}: {f} {l}",
                        "{f} {l} signs with {i}.{j}.",
                        "{f} {l}, in short {i}. {l}",
                    ]
                ).format(f=p.first, l=p.last, i=p.first[0], j=p.last[0])
            )
        else:
            p = names.person(rng)
            m = email(rng, p)
            user, host = m.split("@")
            lines.append(
                rng.choice(
                    [
                        "{n} has the address {m}; the user is {u} and the host is {h}.",
                        "{m} belongs to {n}.",
                        "The e-mail of {n} is {m}.",
                        "Write to {n} at {m}.",
                    ]
                ).format(n=p.name, m=m, u=user, h=host)
            )
    return "\n".join(lines)


def inventory(rng: random.Random, names: Names) -> str:
    """A table of things with numbers, then sentences or sums from it."""
    items = rng.sample(rng.choice([THINGS, ANIMALS, FOODS]), rng.randint(3, 6))
    counts = [rng.randint(1, 20) for _ in items]
    rows = [
        {
            "item": i,
            "count": str(n),
            "color": rng.choice(COLORS),
            "price": f"{rng.randint(1, 60)}.{rng.choice(['00', '50', '99'])}",
        }
        for i, n in zip(items, counts)
    ]
    keys = ["item", "count", *rng.sample(["color", "price"], rng.randint(0, 2))]
    text = _lines(rng, rows, keys, rng.choice(["csv", "json", "cards", "yaml", "table"]))
    most, fewest = max(counts), min(counts)
    ends = [f"In all: {sum(counts)}.", f"That makes {sum(counts)} in all.", f"The count of {items[0]} is {counts[0]}."]
    if counts.count(most) == 1:
        ends.append(f"The most: {items[counts.index(most)]}, {most}.")
    if counts.count(fewest) == 1:
        ends.append(f"The fewest: {items[counts.index(fewest)]}, {fewest}.")
    return text + rng.choice(["", "\n\n" + " ".join(rng.sample(ends, min(2, len(ends))))])


def name_list(rng: random.Random, names: Names) -> str:
    """Lists of names: as they come, sorted, last name first, counted."""
    people = names.persons(rng, rng.randint(4, 9))
    style = rng.randrange(5)
    if style == 0:
        full = [p.name for p in people]
        return (
            expand(rng, "[Members|Guests|The team|Present|Names]:\n")
            + "\n".join(full)
            + "\n\nSorted by last name:\n"
            + "\n".join(sorted(f"{p.last}, {p.first}" for p in people))
        )
    if style == 1:
        firsts = [p.first for p in people]
        return f"{', '.join(firsts)}\n\nIn the order of the alphabet: {', '.join(sorted(firsts))}"
    if style == 2:
        return (
            "\n".join(f"{i}. {p.name}" for i, p in enumerate(people, 1))
            + f"\n\nThat is {number(len(people))} people. The first is {people[0].name}, the last is {people[-1].name}."
        )
    if style == 3:
        org, place = names.organization(rng), names.place(rng)
        rows = [expand(rng, "{p}: [a person|person]", p=p.name) for p in people[:3]] + [
            f"{org}: organization",
            f"{place}: place",
        ]
        rng.shuffle(rows)
        return "Names and what they are\n" + "\n".join(rows)
    return "\n".join(
        expand(rng, "{n} - {w}, {t}", n=p.name, w=names.organization(rng), t=names.place(rng)) for p in people
    )


# ---- Countries ----


def country_sheet(rng: random.Random, names: Names) -> str:
    c = rng.choice(names.countries)
    sentences = [
        "[The currency of {the} is the {cur}.|In {the} one pays with the {cur}.|People in {the} pay with the {cur}, {cc}.|"
        "The money of {the} is the {cur}.|The {cur} ({cc}) is the currency of {the}.]",
        "[{The} is in {con}.|{The} is a country in {con}.|{The} lies in {con}.|Its continent is {con}.]",
        "[The code of {the} is {code}.|{code} is the code of {the}.|Web addresses of {the} end in .{low}.]",
    ]
    if c.capital:
        sentences.append(
            "[The capital of {the} is {cap}.|{cap} is the capital of {the}.|Its capital is {cap}.|"
            "{Name}'s capital is called {cap}.]"
        )
    if c.languages:
        several = "languages of {the} are" if len(c.languages) > 1 else "language of {the} is"
        sentences.append(
            f"[The {several} {{lang}}.|In {{the}} people speak {{lang}}.|What people speak in {{the}} is {{lang}}.]"
        )
    slots = dict(
        the=c.the,
        The=capital(c.the),
        Name=c.name,
        cap=c.capital,
        cur=c.currency,
        cc=c.currency_code,
        con=c.continent,
        lang=listing(c.languages) if c.languages else "",
        code=c.code,
        low=c.code.lower(),
    )
    style = rng.randrange(4)
    if style == 0:
        rows = [
            ("Country", c.name),
            ("Capital", c.capital),
            ("Currency", c.currency),
            ("Continent", c.continent),
            ("Language", ", ".join(c.languages)),
            ("Code", c.code),
        ]
        return "\n".join(f"{k}: {v}" for k, v in [rows[0], *rng.sample(rows[1:], rng.randint(2, 5))] if v)
    chosen = rng.sample(sentences, rng.randint(2, len(sentences)))
    if style == 1:
        a, b = names.persons(rng, 2)
        opening = expand(
            rng,
            "[{A} went to {the}.|{A} is from {the}.|{A} wants to visit {the}.|{A} wrote a letter from {the}.] ",
            A=a.first,
            the=c.the,
        )
        ending = expand(
            rng,
            " [{A} paid with the {cur}.|{A} stayed in {where}.|{A} met {B} in {where}.|]",
            where=c.capital or c.the,
            A=a.first,
            B=b.first,
            **slots,
        )
        return opening + " ".join(expand(rng, s, **slots) for s in chosen) + ending
    return " ".join(expand(rng, s, **slots) for s in chosen)


_FACTS = (
    (
        "capital",
        (
            "The capital of {the} is {v}.",
            "{n}: {v}",
            "{v} is the capital of {the}.",
            "What is the capital of {the}? {v}.",
            "{n},{v}",
        ),
    ),
    (
        "currency",
        (
            "The currency of {the} is the {v}.",
            "{n}: {v}",
            "In {the} one pays with the {v}.",
            "{n} - {v}",
            "What does one pay with in {the}? With the {v}.",
            "{n},{v}",
        ),
    ),
    ("continent", ("{N} is in {v}.", "{n}: {v}", "{N} is a country in {v}.", "Where is {the}? In {v}.", "{n},{v}")),
    ("code", ("{n}: {v}", "{v} stands for {n}.", "{n} ({v})", "{v} = {n}")),
    ("languages", ("In {the} people speak {v}.", "{n}: {v}", "What do people speak in {the}? {v}.")),
)


def _value(c: Country, key: str) -> str:
    value = getattr(c, key)
    return listing(value) if value and isinstance(value, tuple) else value or ""


def country_list(rng: random.Random, names: Names) -> str:
    """One thing of several countries, in one way; or what countries have in common."""
    key, templates = rng.choices(_FACTS, (25, 40, 15, 10, 10))[0]
    known = [c for c in names.countries if _value(c, key)]
    chosen = rng.sample(known, rng.randint(4, 12))
    if rng.random() < 0.15:
        shared = rng.choice(chosen)
        same = [c.name for c in known if _value(c, key) == _value(shared, key)]
        if len(same) > 2 and key in ("currency", "continent", "languages"):
            verb = {"currency": "pay with the", "continent": "are in", "languages": "speak"}[key]
            return f"{listing(rng.sample(same, min(6, len(same))))} {verb} {_value(shared, key)}."
    template = rng.choice(templates)
    rows = [template.format(n=c.name, N=capital(c.the), the=c.the, v=_value(c, key)) for c in chosen]
    if "," in template and template[0] == "{" and len(template) < 10:
        rows.insert(0, f"country,{key}")
    return (" " if template.endswith(".") and rng.random() < 0.4 else "\n").join(rows)


# ---- Numbers and dates ----


def arithmetic(rng: random.Random, names: Names) -> str:
    """Tables of sums, number words, comparisons."""
    style, top, lines = rng.randrange(6), rng.choice([10, 20, 50]), []
    template = rng.choice(["{a} + {b} = {c}", "{a} plus {b} is {c}", "{a} and {b} make {c}"])
    n = rng.randint(1, 12)
    for i in range(rng.randint(5, 12)):
        a, b = rng.randint(0, top), rng.randint(0, top)
        if style == 0:
            lines.append(template.format(a=a, b=b, c=a + b))
        elif style == 1:
            lines.append(f"{a + b} - {a} = {b}")
        elif style == 2:
            lines.append(f"{i + 1} x {n} = {(i + 1) * n}")
        elif style == 3:
            word = number(min(a, 20))
            lines.append(
                rng.choice(["{w} is {n}", "{n}: {w}", "The number {w} is written {n}."]).format(w=word, n=min(a, 20))
            )
        elif style == 4 and a != b:
            lines.append(
                rng.choice(
                    [
                        f"{max(a, b)} is more than {min(a, b)}.",
                        f"{min(a, b)} is less than {max(a, b)}.",
                        f"Of {a} and {b} the larger number is {max(a, b)}.",
                    ]
                )
            )
        elif style == 5:
            series = [rng.randint(0, 99) for _ in range(rng.randint(3, 6))]
            lines.append(
                f"{', '.join(map(str, series))}: sorted {', '.join(map(str, sorted(series)))}, the largest is {max(series)}"
            )
    return "\n".join(lines)


def calendar(rng: random.Random, names: Names) -> str:
    """What follows what among days and months."""
    lines = []
    style = rng.randrange(4)
    for _ in range(rng.randint(4, 8)):
        i, m = rng.randrange(7), rng.randrange(12)
        if style == 0:
            lines.append(
                rng.choice(
                    [
                        f"The day after {WEEKDAYS[i]} is {WEEKDAYS[(i + 1) % 7]}.",
                        f"The day before {WEEKDAYS[i]} is {WEEKDAYS[i - 1]}.",
                        f"After {WEEKDAYS[i]} comes {WEEKDAYS[(i + 1) % 7]}.",
                    ]
                )
            )
        elif style == 1:
            lines.append(
                rng.choice(
                    [
                        f"After {MONTHS[m]} comes {MONTHS[(m + 1) % 12]}.",
                        f"{MONTHS[m]} is the {ordinal(m + 1)} month of the year.",
                        f"{MONTHS[m]} has {MONTH_DAYS[m]} days.",
                        f"Before {MONTHS[m]} comes {MONTHS[m - 1]}.",
                    ]
                )
            )
        elif style == 2:
            d = date(rng)
            p, age = names.person(rng), rng.randint(2, 70)
            lines.append(
                rng.choice(
                    [
                        f"{p.name} was born on {d.text(rng.randrange(2))}, in the year {d.year}.",
                        f"{p.name}, born {d.text(rng.randrange(DATE_STYLES))}, was {age} years old in {d.year + age}.",
                    ]
                )
            )
        else:
            hour = rng.randint(1, 11)
            lines.append(
                rng.choice(
                    [
                        f"At {hour}:00 {names.person(rng).first} had a meeting on {WEEKDAYS[i]}.",
                        f"{hour} p.m. is {hour + 12}:00.",
                        f"{hour} o'clock in the {'evening' if hour > 5 else 'afternoon'} is {hour + 12}:00.",
                    ]
                )
            )
    return "\n".join(lines)


def page(rng: random.Random, names: Names) -> str:
    kinds = ((contacts, 42), (notations, 12), (inventory, 10), (name_list, 12), (arithmetic, 14), (calendar, 10))
    return rng.choices([k for k, _ in kinds], [n for _, n in kinds])[0](rng, names)


def country_page(rng: random.Random, names: Names) -> str:
    return (country_sheet if rng.random() < 0.6 else country_list)(rng, names)
