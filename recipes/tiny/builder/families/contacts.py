# SPDX-License-Identifier: Apache-2.0
"""Names, mail addresses and telephone numbers: to CSV, to JSON and back, and found in text."""
from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .. import names
from ..entities import Entities, Split, with_inventions
from .base import Family, Phrasing, Row


@dataclass(frozen=True)
class Contact:
    name: str
    mail: str
    digits: str  # ten

    @property
    def phone(self) -> str:
        return f"{self.digits[:3]}-{self.digits[3:6]}-{self.digits[6:]}"

    @property
    def csv(self) -> str:
        return f"{self.name},{self.mail},{self.phone}"


def mail_of(rng: random.Random, data: Entities, split: Split, given: str, family: str) -> str:
    g, f = given.lower().replace("-", ""), family.lower()
    number = str(rng.randrange(1, 100))
    local = rng.choice((f"{g}.{f}", f"{g}.{f}", f"{g}{f}", f"{g[0]}{f}", f"{g}", f"{g}_{f}", f"{f}.{g}", f"{g}{number}",
                        f"{f}{number}", f"{g[0]}.{f}"))  # fmt: skip
    if rng.random() < 0.6:
        return f"{local}@{rng.choice(names.MAIL_HOSTS)}"
    return f"{local}@{data.nouns.draw(rng, split)}.{rng.choice(names.MAIL_ENDINGS)}"


def contact(rng: random.Random, data: Entities, split: Split) -> Contact:
    given, family = data.given_names.draw(rng, split), data.family_names.draw(rng, split)
    digits = str(rng.randrange(2, 10)) + "".join(rng.choice("0123456789") for _ in range(9))
    return Contact(f"{given} {family}", mail_of(rng, data, split, given, family), digits)


PHONES = ("({}) {} {}", "({}) {}-{}", "{}-{}-{}", "{} {} {}", "{}.{}.{}", "({}){}-{}", "{}/{}-{}", "+1 {} {} {}",
          "{} {}-{}", "1-{}-{}-{}", "({}) {}.{}")  # fmt: skip


def phone_as(rng: random.Random, digits: str) -> str:
    return rng.choice(PHONES).format(digits[:3], digits[3:6], digits[6:])


MAIL_MARKS = ("", "", "", "email: ", "email: ", "e-mail: ", "Email: ", "mail: ", "email ", "E-mail ")
PHONE_MARKS = ("", "", "", "phone: ", "phone: ", "tel: ", "tel. ", "Phone: ", "call ", "mobile: ", "Tel ", "phone ")
NAME_MARKS = ("", "", "", "", "", "", "name: ", "Name: ", "contact: ")
SEPARATORS = (" ", " ", " ", " ", ", ", "; ", " | ", " - ", " / ")


def line(rng: random.Random, c: Contact) -> str:
    """The contact as someone might note it."""
    name = rng.choice(NAME_MARKS) + c.name
    mail = rng.choice(MAIL_MARKS) + (f"<{c.mail}>" if rng.random() < 0.1 else c.mail)
    parts = [mail, rng.choice(PHONE_MARKS) + phone_as(rng, c.digits)]
    rng.shuffle(parts)
    parts.insert(0 if rng.random() < 0.75 else rng.randrange(3), name)
    return rng.choice(SEPARATORS).join(parts)


CSV = (
    Phrasing("Format the data into a CSV file:"),
    Phrasing("Turn the contact into a line of CSV: name, email, phone.", "Contact", "CSV"),
    Phrasing("Write name, mail address and phone number with commas between them.", "Line", "Row"),
    Phrasing("Clean up this entry of the address book.", "Entry", "Clean"),
    Phrasing("Convert the text to comma-separated values (name,email,phone).", "Text", "Values"),
)
CSV_QUESTIONS = ("{}\nAs a line of a CSV file:", "Format as name,email,phone: {}")
MAIL = (
    Phrasing("Return the email address in the text.", "Text", "Email"),
    Phrasing("Which e-mail address does the message give?", "Message", "Address"),
    Phrasing("Extract the email.", "Input", "Output"),
)
PHONE = (
    Phrasing("Return the phone number in the text as digits with dashes.", "Text", "Phone"),
    Phrasing("Which number should one call? Write it as 123-456-7890.", "Message", "Number"),
    Phrasing("Extract the telephone number.", "Input", "Output"),
)
TO_JSON = (
    Phrasing("Convert the CSV line to JSON.", "CSV", "JSON"),
    Phrasing("Write the row as a JSON object with name, email and phone.", "Row", "Object"),
)
FROM_JSON = (
    Phrasing("Convert the JSON object to a line of CSV.", "JSON", "CSV"),
    Phrasing("Write the values of the object with commas between them.", "Object", "Values"),
)

MAIL_NOTES = (
    "Please write to {m} if you have questions.",
    "{n} can be reached at {m}.",
    "My new address is {m}, see you soon. {n}",
    "Send the report to {m} before Friday.",
    "Contact: {n}, {m}",
    "Questions? {m}",
    "The list is kept by {n} ({m}).",
    "Mail {m} to book a table.",
    "{n} wrote from {m} this morning.",
)
PHONE_NOTES = (
    "Call me at {p} after six.",
    "The number of {n} is {p}.",
    "{n}, phone {p}, is not in today.",
    "For a table, dial {p}.",
    "You can reach {n} under {p}.",
    "Our office: {p}",
    "Ring {p} and ask for {n}.",
    "{p} is the number of the shop.",
)


def _json(c: Contact) -> str:
    return json.dumps({"name": c.name, "email": c.mail, "phone": c.phone})


Draw = Callable[[random.Random, Split], Row]


def drawn_from(data: Entities) -> dict[str, Draw]:
    """How rows about contacts with such names are drawn, by family."""

    def csv(rng: random.Random, split: Split) -> Row:
        c = contact(rng, data, split)
        return Row(line(rng, c), c.csv)

    def mail(rng: random.Random, split: Split) -> Row:
        c = contact(rng, data, split)
        return Row(rng.choice(MAIL_NOTES).format(m=c.mail, n=c.name), c.mail)

    def phone(rng: random.Random, split: Split) -> Row:
        c = contact(rng, data, split)
        return Row(rng.choice(PHONE_NOTES).format(p=phone_as(rng, c.digits), n=c.name), c.phone)

    def to_json(rng: random.Random, split: Split) -> Row:
        c = contact(rng, data, split)
        return Row(c.csv, _json(c))

    def from_json(rng: random.Random, split: Split) -> Row:
        c = contact(rng, data, split)
        return Row(_json(c), c.csv)

    return {"csv": csv, "email": mail, "phone": phone, "csv_to_json": to_json, "json_to_csv": from_json}


def families(data: Entities) -> list[Family]:
    draw, asked = drawn_from(data), drawn_from(with_inventions(data))

    def family(name: str, phrasings: Sequence[Phrasing], **more: Any) -> Family:
        return Family(name, phrasings, draw[name], asked=asked[name], **more)

    return [
        family("csv", CSV, questions=CSV_QUESTIONS, weight=6, answers=60, bare=True, max_tokens=60),
        family("email", MAIL, questions=("{}\nWhat is the email address?",), max_tokens=40),
        family("phone", PHONE, questions=("{}\nWhat is the phone number?",)),
        family("csv_to_json", TO_JSON, max_tokens=80),
        family("json_to_csv", FROM_JSON, max_tokens=60),
    ]
