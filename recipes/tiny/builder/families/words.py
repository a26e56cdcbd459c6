# SPDX-License-Identifier: Apache-2.0
"""Words: what they are, what is alike or opposite, and how they are written."""
from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from ..entities import CATEGORIES, Entities, Split, fraction, split_of
from ..sources import ascii_text, calendar_names, language_names, populations, territory_names
from .base import Family, Phrasing, Row

Draw = Callable[[random.Random, Split], Row]


# ---- What they are ----

CATEGORY = (
    Phrasing("Say what kind of thing the word is.", "Word", "Kind", list_labels=True),
    Phrasing("Put the word into one of the categories.", "Word", "Category", list_labels=True),
    Phrasing("What is it?", "Thing", "Answer"),
)
LIVING = (
    Phrasing("Is it a living thing? Answer yes or no.", "Word", "Answer"),
    Phrasing("Does the word name something alive?", "Noun", "Alive", {"yes": "alive", "no": "not alive"}),
    Phrasing("Label the word as living or not living.", "Input", "Output", {"yes": "living", "no": "not living"}),
)
ALIVE = {"animal": "yes", "plant": "yes", "occupation": "yes", "clothing": "no", "vehicle": "no", "building": "no",
         "tool": "no", "musical instrument": "no"}  # fmt: skip


def _by_label(items: dict[tuple[Split, str], list[str]], labels: Sequence[str]) -> Draw:
    def draw(rng: random.Random, split: Split) -> Row:
        label = rng.choice(labels)
        return Row(rng.choice(items[split, label]), label)

    return draw


def _kinds(data: Entities) -> list[Family]:
    kinds: dict[tuple[Split, str], list[str]] = {}
    alive: dict[tuple[Split, str], list[str]] = {}
    for thing in data.things:
        kinds.setdefault((thing.split, thing.category), []).append(thing.word)
        if thing.category in ALIVE:
            alive.setdefault((thing.split, ALIVE[thing.category]), []).append(thing.word)
    labels = tuple(CATEGORIES)
    return [
        Family("category", CATEGORY, _by_label(kinds, labels), labels, None,
               ("What kind of thing is a {}?", "A {} is a kind of"), True, max_tokens=6),
        Family("living", LIVING, _by_label(alive, ("yes", "no")), ("yes", "no"), None, ("Is a {} alive?",), True,
               max_tokens=4),
    ]  # fmt: skip


# ---- Language ----

LANGUAGE = (
    Phrasing("Name the language of the words.", "Words", "Language", list_labels=True),
    Phrasing("Which language is this?", "Text", "Language"),
    Phrasing("Detect the language.", "Input", "Output", list_labels=True),
)
LOCALES = {"French": "fr", "German": "de", "Spanish": "es", "Italian": "it", "Polish": "pl", "Swedish": "sv",
           "Finnish": "fi", "Turkish": "tr"}  # fmt: skip


def _foreign_words() -> dict[tuple[Split, str], list[str]]:
    """Names of countries, languages, months and days that are not the same in two of the languages, by split."""
    found: dict[str, set[str]] = {}
    for language, locale in LOCALES.items():
        territories = [n for code, n in territory_names(locale).items() if populations().get(code, 0) > 100_000]
        for name in territories + list(language_names(locale).values()) + calendar_names(locale):
            if 4 <= len(name) <= 18 and "(" not in name and "-" not in name:
                found.setdefault(ascii_text(name), set()).add(language)
    english = {ascii_text(n) for n in (*territory_names("en").values(), *language_names("en").values())}
    words: dict[tuple[Split, str], list[str]] = {}
    for word, languages in sorted(found.items()):
        if len(languages) == 1 and word not in english and word != "India":
            words.setdefault((split_of("foreign", word), min(languages)), []).append(word)
    return words


def _language() -> Family:
    words, labels = _foreign_words(), tuple(LOCALES)

    def draw(rng: random.Random, split: Split) -> Row:
        label = rng.choice(labels)
        return Row(", ".join(rng.sample(words[split, label], rng.choice((1, 2, 3, 3)))), label)

    return Family("language", LANGUAGE, draw, labels, None, ("Which language is {}?",), True, max_tokens=4)


# ---- Lookups ----

ANTONYM = (
    Phrasing("Return the opposite of the word."),
    Phrasing("What is the antonym?", "Word", "Antonym"),
    Phrasing("Give the word that means the contrary.", "Adjective", "Contrary"),
)
SYNONYM = (
    Phrasing("Give a word that means about the same.", "Word", "Similar word"),
    Phrasing("Name a synonym.", "Word", "Synonym"),
)
PLURAL = (
    Phrasing("Write the plural of the noun.", "Noun", "Plural"),
    Phrasing("Return the word for more than one.", "Singular", "Plural"),
    Phrasing("Many of them: what is the word?", "Input", "Output"),
)
LANGUAGE_CODE = (
    Phrasing("Return the two-letter code of the language."),
    Phrasing("What is the ISO 639 code?", "Language", "Code"),
    Phrasing("Abbreviate the language.", "Name of language", "Abbreviation"),
)
IRREGULAR = dict(
    pair.split("=")
    for pair in """man=men woman=women child=children foot=feet tooth=teeth mouse=mice goose=geese person=people
    leaf=leaves life=lives knife=knives wife=wives shelf=shelves half=halves wolf=wolves calf=calves
    loaf=loaves""".split()
)
UNCOUNTED = ("ness", "ics", "ing", "ism", "s", "ment", "ity", "men", "fish", "man", "f", "fe", "sis", "is", "us", "um",
             "x", "phy", "ence", "ance", "acy", "th", "z", "tion", "sion", "ogy", "o", "ship", "ure", "ice", "ty", "cy",
             "y", "ae")  # fmt: skip


def plural(noun: str) -> str:
    if noun in IRREGULAR:
        return IRREGULAR[noun]
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("ch", "sh", "s", "x", "z")) else "s")


def _antonym(data: Entities) -> Family:
    opposite = {a: b for pair in data.antonyms for a, b in (pair, pair[::-1])}
    reserved = {w for pair in data.antonyms if fraction("antonym", pair[0]) < 0.25 for w in pair}
    words = {"train": sorted(opposite), "test": sorted(reserved)}

    def draw(rng: random.Random, split: Split) -> Row:
        word = rng.choice(words["test" if split == "test" else "train"])
        return Row(word, opposite[word])

    return Family("antonym", ANTONYM, draw, (), lambda row: row.text in reserved,
                  ("What is the opposite of {}?", "The opposite of {} is"), True, max_tokens=8)  # fmt: skip


def _synonym(data: Entities) -> Family:
    """Of words of feeling; the answer is always one that may be trained on, and never told with its emotion."""
    splits = {f.word: f.split for f in data.feelings}
    known = {f.word: next((s for s in f.synonyms if splits[s] == "train"), None) for f in data.feelings}
    words = sorted(w for w, s in known.items() if s)
    reserved = {w for w in words if fraction("synonym", w) < 0.15}

    def draw(rng: random.Random, split: Split) -> Row:
        word = rng.choice(sorted(reserved) if split == "test" else words)
        return Row(word, known[word] or "")

    return Family("synonym", SYNONYM, draw, (), lambda row: row.text in reserved,
                  ("Another word for {} is", "What means about the same as {}?"), True, max_tokens=8)  # fmt: skip


def _plural(data: Entities) -> Family:
    countable = ("animal", "plant", "clothing", "vehicle", "building", "tool", "musical instrument", "occupation")
    nouns = {
        split: [t.word for t in data.things if t.split == split and t.category in countable
                and (t.word in IRREGULAR or not t.word.endswith(UNCOUNTED))]
        for split in ("train", "validation", "test")
    }  # fmt: skip
    nouns["train"] += sorted(IRREGULAR)

    def draw(rng: random.Random, split: Split) -> Row:
        noun = rng.choice(nouns[split])
        return Row(noun, plural(noun))

    return Family("plural", PLURAL, draw, (), None, ("What is the plural of {}?", "One {}, two"), True, max_tokens=10)


def _language_code(data: Entities) -> Family:
    reserved = {name for _, name in data.languages if fraction("language", name) < 0.25}

    def draw(rng: random.Random, split: Split) -> Row:
        code, name = rng.choice([p for p in data.languages if split != "test" or p[1] in reserved])
        return Row(name, code)

    return Family("language_code", LANGUAGE_CODE, draw, (), lambda row: row.text in reserved,
                  ("What is the code of the language {}?",), True, max_tokens=6)  # fmt: skip


# ---- How they are written ----

SHOUT = (
    Phrasing("Write the words in capital letters.", "Words", "Capitals"),
    Phrasing("Convert to upper case.", "Input", "Output"),
    Phrasing("Shout it.", "Text", "Loud"),
)
SORT = (
    Phrasing("Sort the words by the alphabet.", "Words", "Sorted"),
    Phrasing("Put the words into alphabetical order.", "Input", "Output"),
    Phrasing("Order them as a dictionary does.", "List", "Ordered list"),
)
REVERSE = (
    Phrasing("Write the words in reverse order.", "Words", "Reversed"),
    Phrasing("Say them backwards, the last word first.", "Input", "Output"),
    Phrasing("Turn the list around.", "List", "Turned"),
)
LAST = (
    Phrasing("Return the last word.", "Words", "Last"),
    Phrasing("Which word comes last?", "Text", "Word"),
    Phrasing("Copy the final word of the line.", "Line", "Final word"),
)
FIRST = (
    Phrasing("Return the first word.", "Words", "First"),
    Phrasing("Which word comes first?", "Text", "Word"),
    Phrasing("Copy the word that the line begins with.", "Line", "Word"),
)
NAME_ORDER = (
    Phrasing("Write the name with the family name first.", "Name", "Sorted name"),
    Phrasing("How is the person listed in an index?", "Person", "Index entry"),
    Phrasing("Put it as Last, First.", "Input", "Output"),
)
INITIALS = (
    Phrasing("Write the initials of the person.", "Name", "Initials"),
    Phrasing("Abbreviate the name to its first letters.", "Person", "Letters"),
    Phrasing("Give the initials.", "Input", "Output"),
)


def _some_words(data: Entities, rng: random.Random, split: Split, n: int) -> list[str]:
    return rng.sample(data.nouns[split] + data.adjectives[split], n)


def _listed(name: str, phrasings: Sequence[Phrasing], data: Entities, n: Sequence[int], join: str,
            answer: Callable[[list[str]], str], question: str) -> Family:  # fmt: skip

    def draw(rng: random.Random, split: Split) -> Row:
        words = _some_words(data, rng, split, rng.choice(n))
        return Row(join.join(words), answer(words))

    return Family(name, phrasings, draw, questions=(question,), max_tokens=40)


def _person(name: str, phrasings: Sequence[Phrasing], data: Entities, answer: Callable[[str, str], str],
            question: str) -> Family:  # fmt: skip

    def draw(rng: random.Random, split: Split) -> Row:
        given, family = data.given_names.draw(rng, split), data.family_names.draw(rng, split)
        return Row(f"{given} {family}", answer(given, family))

    return Family(name, phrasings, draw, questions=(question,), short=True, max_tokens=16)


def _written(data: Entities) -> list[Family]:
    return [
        _listed("upper_case", SHOUT, data, (3, 4), " ", lambda w: " ".join(w).upper(), "In capital letters, {} is"),
        _listed("sort_words", SORT, data, (3,), ", ", lambda w: ", ".join(sorted(w)), "{} in alphabetical order:"),
        _listed("reverse", REVERSE, data, (3, 4), " ", lambda w: " ".join(w[::-1]), "{} in reverse order:"),
        _listed("last_word", LAST, data, (3, 4, 5, 6), " ", lambda w: w[-1], 'What is the last word of "{}"?'),
        _listed("first_word", FIRST, data, (3, 4, 5, 6), " ", lambda w: w[0], 'What is the first word of "{}"?'),
        _person("name_order", NAME_ORDER, data, lambda g, f: f"{f}, {g}", "With the family name first, {} is"),
        _person("initials", INITIALS, data, lambda g, f: f"{g[0]}. {f[0]}.", "The initials of {} are"),
    ]


def families(data: Entities) -> list[Family]:
    lookups = [_antonym(data), _synonym(data), _plural(data), _language_code(data)]
    return [*_kinds(data), _language(), *lookups, *_written(data)]
