# SPDX-License-Identifier: Apache-2.0
"""Readers of the installed sources: WordNet's data files, CLDR's names and supplemental data, lists of given names.

Nothing here knows what the data is for; `entities` chooses from it. Every reader returns things in the order of its
file, so that the same packages give the same data."""
from __future__ import annotations

import gzip
import re
import unicodedata
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import cache
from pathlib import Path

WORDNET = Path("/usr/share/wordnet")
CLDR = Path("/usr/share/unicode/cldr/common")
GIVEN_NAMES = Path("/usr/share/dict/propernames.gz")
SPELLING = Path("/usr/share/dict/american-english")
BIBLE = Path("/usr/lib/bible.data")
AUSTEN = Path("/usr/lib/R/site-library/janeaustenr/data/Rdata.rdb")
GCIDE = Path("/usr/share/dictd/gcide.dict.dz")
STATE = Path("/usr/share/state")
PYTHON = Path("/usr/share/doc/python3-doc/html/_sources")

PACKAGES = {
    "wordnet-base": WORDNET / "data.noun",
    "unicode-cldr-core": CLDR / "main" / "en.xml",
    "miscfiles": GIVEN_NAMES,
    "wamerican": SPELLING,
    "bible-kjv-text": BIBLE,
    "r-cran-janeaustenr": AUSTEN,
    "dict-gcide": GCIDE,
    "python3-doc": PYTHON / "tutorial",
}


def missing_packages() -> list[str]:
    """The Debian packages that have to be installed first."""
    return [package for package, path in PACKAGES.items() if not path.exists()]


def ascii_text(text: str) -> str:
    """Text without accents: a vocabulary of two thousand has no room for them."""
    plain = (
        text.replace("’", "'")
        .replace("–", "-")
        .replace("ß", "ss")
        .replace("ø", "o")
        .replace("ł", "l")
        .replace("ı", "i")
    )
    return unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()


# ---- WordNet ----

LEXNAMES = {
    "03": "noun.Tops", "04": "noun.act", "05": "noun.animal", "06": "noun.artifact", "07": "noun.attribute",
    "08": "noun.body", "09": "noun.cognition", "10": "noun.communication", "11": "noun.event", "12": "noun.feeling",
    "13": "noun.food", "14": "noun.group", "15": "noun.location", "16": "noun.motive", "17": "noun.object",
    "18": "noun.person", "19": "noun.phenomenon", "20": "noun.plant", "21": "noun.possession", "22": "noun.process",
    "23": "noun.quantity", "24": "noun.relation", "25": "noun.shape", "26": "noun.state", "27": "noun.substance",
    "28": "noun.time",
}  # fmt: skip


@dataclass(frozen=True)
class Pointer:
    """From one synset to another; source and target are numbers of words, counted from 1, or 0 for the whole synset."""

    symbol: str  # "@" hypernym, "@i" instance of, "#p" part of, "!" antonym, "&" similar, ...
    target: tuple[str, str]  # (part of speech, offset)
    source_word: int
    target_word: int


@dataclass(frozen=True)
class Synset:
    """A sense: words that mean the same, with a definition and examples."""

    pos: str
    offset: str
    lexname: str
    words: tuple[str, ...]
    definition: str
    examples: tuple[str, ...]
    pointers: tuple[Pointer, ...]

    @property
    def key(self) -> tuple[str, str]:
        return self.pos, self.offset

    def targets(self, symbol: str) -> list[tuple[str, str]]:
        return [p.target for p in self.pointers if p.symbol == symbol]


POS_FILES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}


def _pointer(fields: list[str]) -> Pointer:
    symbol, offset, pos, words = fields
    return Pointer(symbol, (pos.replace("s", "a"), offset), int(words[:2], 16), int(words[2:], 16))


def _synset(line: str, pos: str) -> Synset:
    data, _, gloss = line.partition(" | ")
    fields = data.split()
    n_words = int(fields[3], 16)
    words = tuple(re.sub(r"\(\w+\)$", "", w).replace("_", " ") for w in fields[4 : 4 + 2 * n_words : 2])
    first = 5 + 2 * n_words
    n_pointers = int(fields[first - 1])
    pointers = tuple(_pointer(fields[first + 4 * i : first + 4 * i + 4]) for i in range(n_pointers))
    definition = re.split(r'; "', gloss.strip(), maxsplit=1)[0].strip().rstrip(";")
    examples = tuple(re.findall(r'"([^"]+)"', gloss))
    return Synset(pos, fields[0], LEXNAMES.get(fields[1], ""), words, definition, examples, pointers)


@cache
def synsets(pos: str) -> dict[tuple[str, str], Synset]:
    """All synsets of a part of speech ("n", "v", "a", "r") by key."""
    found = {}
    with open(WORDNET / f"data.{POS_FILES[pos]}", encoding="utf-8") as lines:
        for line in lines:
            if not line.startswith("  "):  # the licence
                synset = _synset(line, pos)
                found[synset.key] = synset
    return found


@cache
def senses(pos: str) -> dict[str, tuple[tuple[str, str], ...]]:
    """Keys of a lower-case word's synsets, the most frequent sense first."""
    found = {}
    with open(WORDNET / f"index.{POS_FILES[pos]}", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("  "):
                continue
            fields = line.split()
            n = int(fields[2])
            found[fields[0].replace("_", " ")] = tuple((pos, offset) for offset in fields[-n:])
    return found


def lookup(word: str, pos: str) -> list[Synset]:
    """The senses of a word, the most frequent first."""
    return [synsets(pos)[key] for key in senses(pos).get(word.lower(), ())]


@cache
def uses() -> dict[tuple[str, str], int]:
    """How often (part of speech, lower-case word) was seen in WordNet's tagged texts."""
    numbers = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}
    count: dict[tuple[str, str], int] = {}
    with open(WORDNET / "cntlist.rev", encoding="utf-8") as lines:
        for line in lines:
            sense, _, n = line.split()
            word, _, rest = sense.partition("%")
            key = numbers[rest[0]], word.replace("_", " ")
            count[key] = count.get(key, 0) + int(n)
    return count


@cache
def hypernyms(key: tuple[str, str]) -> frozenset[tuple[str, str]]:
    """A noun synset and all it is a kind or an instance of."""
    found, todo = {key}, [key]
    while todo:
        synset = synsets("n")[todo.pop()]
        for target in synset.targets("@") + synset.targets("@i"):
            if target not in found:
                found.add(target)
                todo.append(target)
    return frozenset(found)


@cache
def _kinds() -> dict[tuple[str, str], list[tuple[str, str]]]:
    """The noun synsets right below each."""
    below: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for synset in synsets("n").values():
        for pointer in synset.pointers:
            if pointer.symbol in ("@", "@i"):
                below.setdefault(pointer.target, []).append(synset.key)
    return below


def hyponyms(word: str, sense: int = 0) -> list[Synset]:
    """A sense of the word and all noun synsets that are kinds or instances of it."""
    root = lookup(word, "n")[sense].key
    found, todo = {root}, [root]
    while todo:
        new = [key for key in _kinds().get(todo.pop(), ()) if key not in found]
        found.update(new)
        todo += new
    return [synsets("n")[key] for key in sorted(found)]


# ---- CLDR ----


@cache
def _xml(path: str) -> ElementTree.Element:
    return ElementTree.parse(CLDR / path).getroot()


def _names(locale: str, kind: str) -> dict[str, str]:
    """Names of territories or languages in a locale: the ordinary one, or the short one where there is one."""
    names: dict[str, str] = {}
    for element in _xml(f"main/{locale}.xml").iterfind(f"localeDisplayNames/*/{kind}"):
        alt = element.get("alt")
        if element.text and (alt is None or alt == "short" and len(element.text) > 3):
            names[element.get("type", "")] = element.text
    return names


@cache
def territory_names(locale: str) -> dict[str, str]:
    return _names(locale, "territory")


@cache
def language_names(locale: str) -> dict[str, str]:
    return _names(locale, "language")


@cache
def calendar_names(locale: str) -> list[str]:
    """The names of months and days in a locale, as one writes them in full."""
    root = _xml(f"main/{locale}.xml")
    path = "dates/calendars/calendar[@type='gregorian']/{0}s/{0}Context[@type='format']/{0}Width[@type='wide']/{0}"
    return [e.text for kind in ("month", "day") for e in root.iterfind(path.format(kind)) if e.text]


@cache
def currency_names() -> dict[str, str]:
    """English names of currencies by code, as "Swiss Franc"."""
    names = {}
    for currency in _xml("main/en.xml").iterfind("numbers/currencies/currency"):
        name = currency.find("displayName")
        if name is not None and name.text:
            names[currency.get("type", "")] = name.text
    return names


@cache
def territory_currencies() -> dict[str, str]:
    """The code of the currency that is legal tender today, by territory; the newest where several are."""
    found = {}
    for region in _xml("supplemental/supplementalData.xml").iterfind("currencyData/region"):
        today = [c for c in region.iterfind("currency") if c.get("to") is None and c.get("tender") != "false"]
        if today:
            found[region.get("iso3166", "")] = today[0].get("iso4217", "")
    return found


@cache
def populations() -> dict[str, int]:
    territories = _xml("supplemental/supplementalData.xml").iterfind("territoryInfo/territory")
    return {t.get("type", ""): int(t.get("population", "0")) for t in territories}


CONTINENTS = {"002": "Africa", "142": "Asia", "150": "Europe", "009": "Oceania", "005": "South America",
              "021": "North America", "013": "North America", "029": "North America"}  # fmt: skip


@cache
def continents() -> dict[str, str]:
    """The continent of each territory."""
    contains: dict[str, list[str]] = {}
    for group in _xml("supplemental/supplementalData.xml").iterfind("territoryContainment/group"):
        if group.get("status") is None and group.get("grouping") is None:
            contains.setdefault(group.get("type", ""), []).extend(group.get("contains", "").split())

    def members(code: str) -> list[str]:
        return [m for part in contains[code] for m in members(part)] if code in contains else [code]

    return {member: name for code, name in CONTINENTS.items() for member in members(code)}


# ---- Names and words ----


@cache
def common_words() -> frozenset[str]:
    return frozenset(SPELLING.read_text(encoding="utf-8").split())


@cache
def given_names() -> list[str]:
    with gzip.open(GIVEN_NAMES, "rt", encoding="latin-1") as lines:
        return [line.strip() for line in lines if re.fullmatch(r"[A-Z][a-z]{2,9}", line.strip())]


# ---- Languages ----


@cache
def territory_languages() -> dict[str, list[str]]:
    """English names of the official languages of each territory, the most spoken first."""
    names = language_names("en")
    found = {}
    for territory in _xml("supplemental/supplementalData.xml").iterfind("territoryInfo/territory"):
        official = [
            p for p in territory.iterfind("languagePopulation") if p.get("officialStatus", "").endswith("official")
        ]
        official.sort(key=lambda p: -float(p.get("populationPercent", "0")))
        spoken = [names[p.get("type", "")] for p in official if p.get("type") in names]
        found[territory.get("type", "")] = [
            s for s in spoken if not any(s.startswith(f"{t} ") for t in spoken)
        ]  # not Norwegian Bokmal too
    return found
