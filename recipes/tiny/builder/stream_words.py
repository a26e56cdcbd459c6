# SPDX-License-Identifier: Apache-2.0
"""Documents about words, from WordNet: what they mean, what they are a kind of, their opposites and their forms.

Words are drawn the more often the more often they occur in WordNet's tagged texts, so common ones come back in many
documents and in different sentences, which is how a small model gets to know them.
"""

from __future__ import annotations

import random
import re
from functools import cache
from itertools import accumulate

from . import sources
from .stream_world import Names, articles, capital, expand, listing

# Not for a demonstration that anyone may run.
_UNWANTED = re.compile(
    r"sex|genital|penis|vagina|copulat|intercourse|prostitut|whore|excre|feces|urin|breast|nazi|slur|offensive|vulgar|"
    r"disparag|derogat|ethnic|negro|racis|rape|buttock|anus|semen|erotic|obscen|suicid|murder|tortur|taboo|"
    r"\bass\b|brothel|bawdy|toilet|drunk|muslim|\bjew|terroris|crusad|kill|narcotic|"
    r"heroin|\bslut|bitch|bastard|testic|contracepti|abortion|homosexual|lesbian|"
    r"\bgay\b|masturb|nude|naked",
    re.I,
)
_POS_NAMES = {"n": "noun", "v": "verb", "a": "adjective", "r": "adverb"}


def _plain(text: str) -> bool:
    return text.isascii() and not _UNWANTED.search(text)


def _definition(synset: sources.Synset) -> str:
    """A short definition without what is in brackets; empty if it is not fit to be one sentence."""
    text = re.sub(r"\s*\([^)]*\)\s*", " ", synset.definition)
    text = re.split(r';|:? ?"|:$', text)[0].strip(" .:")
    return text if 8 < len(text) <= 100 and _plain(text) and "(" not in text and text[0].isalpha() else ""


def _simple(word: str) -> bool:
    return word.isalpha() and word.islower() and 2 < len(word) <= 12 and _plain(word)


def _fits(word: str, synset: sources.Synset) -> bool:
    """Whether there is something to say; not of names, which WordNet writes with a capital."""
    return word in synset.words and bool(_definition(synset))


class _Weighted:
    """Draws words of a part of speech, frequent ones more often."""

    def __init__(self, pos: str) -> None:
        counts = {w: n for (p, w), n in sources.uses().items() if p == pos and _simple(w)}
        self.words = [w for w in counts if any(_fits(w, s) for s in sources.lookup(w, pos)[:2])]
        self.totals = list(accumulate(counts[w] ** 0.5 for w in self.words))

    def draw(self, rng: random.Random) -> str:
        return rng.choices(self.words, cum_weights=self.totals)[0]


@cache
def _weighted(pos: str) -> _Weighted:
    return _Weighted(pos)


def _sense(word: str, pos: str, rng: random.Random) -> sources.Synset:
    """One of the two most frequent senses that can be explained, mostly the first."""
    fit = [s for s in sources.lookup(word, pos)[:2] if _fits(word, s)]
    return fit[0] if rng.random() < 0.8 else fit[-1]


# ---- One word ----

_NOUN = ("{A} {w} is {d}.", "What is a {w}? It is {d}.", "A {w} is {d}.", "The word {w} means {d}.", "{w}: {d}.")
_NOUN_BARE = ("{W} is {d}.", "What is {w}? It is {d}.", "{W} means {d}.", "The word {w} means {d}.", "{w}: {d}.")
_VERB = ("To {w} is to {d}.", "To {w} means to {d}.", "{w}: {d}.", "The verb {w} means to {d}.")
_ADJECTIVE = (
    "{w} means {d}.",
    "Something {w} is {d}.",
    "{w}: {d}.",
    "The word {w} means {d}.",
    "If it is {w}, it is {d}.",
)
_ADVERB = ("{w} means {d}.", "{w}: {d}.", "The word {w} means {d}.")


def _defining(word: str, synset: sources.Synset, rng: random.Random) -> str:
    text = _definition(synset)
    if synset.pos == "n":
        counted = re.match(r"(an?|any|one) ", text)
        templates = _NOUN if counted and not word.endswith("s") else _NOUN_BARE
    else:
        templates = {"v": _VERB, "a": _ADJECTIVE, "r": _ADVERB}[synset.pos]
        text = re.sub(r"^to ", "", text)
    return articles(capital(rng.choice(templates).format(A="A", w=word, W=capital(word), d=text)))


def _example(word: str, synset: sources.Synset) -> str:
    for text in synset.examples:
        if word in text.lower() and _plain(text) and 10 < len(text) < 80:
            return capital(text) + ("" if text[-1] in ".!?" else ".")
    return ""


def _synonyms(word: str, synset: sources.Synset) -> list[str]:
    return [w for w in synset.words if w != word and _simple(w)]


def _kind(word: str, synset: sources.Synset) -> str:
    for key in synset.targets("@"):
        above = [w for w in sources.synsets("n")[key].words if _plain(w) and w != word]
        if above and len(above[0]) < 16:
            return above[0]
    return ""


def _opposites(word: str, pos: str) -> list[str]:
    """Direct antonyms of a word, of its more frequent senses."""
    found = []
    for synset in sources.lookup(word, pos)[:3]:
        for p in synset.pointers:
            if p.symbol == "!" and synset.words[p.source_word - 1].lower() == word:
                other = sources.synsets(p.target[0])[p.target].words[p.target_word - 1]
                if _simple(other) and other not in found:
                    found.append(other)
    return found


def entry(word: str, pos: str, rng: random.Random) -> str:
    """A few sentences about a word."""
    synset = _sense(word, pos, rng)
    parts = [_defining(word, synset, rng)]
    synonyms, kind, example = _synonyms(word, synset), _kind(word, synset) if pos == "n" else "", _example(word, synset)
    if kind and rng.random() < 0.7:
        counted = re.match(r"an? ", _definition(synset)) and not word.endswith("s")
        template = (
            "[A {w} is a kind of {k}.|It is a kind of {k}.|A {w} is a {k}.]" if counted else "{W} is a kind of {k}."
        )
        parts.append(expand(rng, template, w=word, W=capital(word), k=kind))
    if synonyms and rng.random() < 0.6:
        words = listing([word, *synonyms[:3]])
        parts.append(
            capital(
                expand(rng, "[{s} mean much the same|{s} mean the same|{s} are words for the same thing].", s=words)
            )
        )
    if example and rng.random() < 0.6:
        parts.append(expand(rng, "[{e}|One says: {e}|For example: {e}]", e=example))
    if (opposites := _opposites(word, pos)) and rng.random() < 0.6:
        parts.append(
            expand(
                rng,
                "[The opposite of {w} is {o}.|It is the opposite of {o}.|{W} is not {o}.]",
                w=word,
                W=capital(word),
                o=opposites[0],
            )
        )
    return " ".join(parts)


# ---- Documents ----


def definitions(rng: random.Random, names: Names) -> str:
    """A page of a small dictionary: words at random, in the order of the alphabet or of one part of speech."""
    pos = rng.choices("nvar", (50, 22, 22, 6))[0]
    words = {_weighted(pos).draw(rng) for _ in range(rng.randint(3, 8))}
    ordered = sorted(words) if rng.random() < 0.5 else sorted(words, key=lambda w: (len(w), w))
    lines = [entry(w, pos, rng) for w in ordered]
    if rng.random() < 0.15:
        lines.insert(0, expand(rng, "[Some {p}s and what they mean|A few {p}s|Words: {p}s].", p=_POS_NAMES[pos]))
    return rng.choice(["\n", "\n", "\n\n", " "]).join(lines)


CATEGORIES = """animal bird fish insect dog fruit vegetable tree flower tool vehicle garment furniture color metal sport
    game disease beverage building weapon room fabric relative musical_instrument body_part meat
    snake ship crime worker athlete musician scientist number science meal herb boat
    machine bag book house road""".split()


# Kinds whose words stand without "a": gold is a metal.
_UNCOUNTED = frozenset("food clothing color metal sport game disease beverage fabric crime number science meat".split())


def _some(name: str) -> str:
    """How a member of the category is spoken of: "a otter" or "gold"."""
    return "" if name in _UNCOUNTED else "a "


@cache
def categories() -> dict[str, dict[str, int]]:
    """Words that are first of all a kind of the category, and how often they were seen."""
    names = {sources.lookup(c.replace("_", " "), "n")[0].key: c.replace("_", " ") for c in CATEGORIES}
    found: dict[str, dict[str, int]] = {name: {} for name in names.values()}
    for (pos, word), seen in sorted(sources.uses().items()):
        first = sources.lookup(word, "n")[:1] if pos == "n" and _simple(word) else []
        for synset in first:
            if word in synset.words:
                for key in sources.hypernyms(synset.key):
                    if key in names and names[key] != word:
                        found[names[key]][word] = seen
    return found


def _choose_category(rng: random.Random, names: Names, besides: str = "") -> tuple[str, list[str]]:
    """A category and some of its words, none of which is of the category besides: one of the task's or of WordNet's."""
    if rng.random() < 0.5:
        name = rng.choice([c for c in names.things if c != besides])
        drawn = rng.sample(names.things[name], rng.randint(4, 10))
        return name, [w for w in drawn if w not in categories().get(besides, ())]
    name = rng.choice([c for c in categories() if c != besides])
    seen = {w: n for w, n in categories()[name].items() if w not in categories().get(besides, ())}
    if len(seen) < 3:
        return _choose_category(rng, names, besides)
    drawn = rng.choices(list(seen), [n**0.5 for n in seen.values()], k=rng.randint(5, 12))
    return name, list(dict.fromkeys(drawn))


def category_page(rng: random.Random, names: Names) -> str:
    """What is an animal, a fruit, a tool: the same said of several words, in one way."""
    name, members = _choose_category(rng, names)
    many = plural(name)
    style = rng.randrange(7)
    if style == 0:
        text = " ".join(capital(f"{_some(name)}{w} is a {name}.") for w in members)
    elif style == 1:
        text = expand(rng, "[Some {m}|A list of {m}|These are {m}|{M}]:\n", m=many, M=capital(many)) + "\n".join(
            f"- {w}" for w in members
        )
    elif style == 2:
        shown = members if name in _UNCOUNTED else [plural(w) for w in members]
        text = expand(rng, "{W} are {m}.", W=capital(listing(shown)), m=many)
        text += expand(
            rng,
            " [So {w} is a {n}.|Hence {w} is one of them.|And {w} is a {n}.]",
            w=_some(name) + rng.choice(members),
            n=name,
        )
    elif style == 3:
        other, others = _choose_category(rng, names, name)
        pairs = [(w, name) for w in members] + [(w, other) for w in others]
        rng.shuffle(pairs)
        template = rng.choice(["{w} is a {n}", "{w} ({n})", "{w}: {n}", "{w} is a kind of {n}"])
        text = "\n".join(template.format(w=w, n=n) for w, n in pairs)
    elif style == 4:
        other, others = _choose_category(rng, names, name)
        lines = [
            f"{w}, {n}"
            for w, n in rng.sample([(w, name) for w in members] + [(w, other) for w in others], len(members))
        ]
        text = "word, kind\n" + "\n".join(lines)
    elif style == 5:
        other, others = _choose_category(rng, names, name)
        lines = [f"Is {_some(name)}{w} a {name}? Yes, {_some(name)}{w} is a {name}." for w in members[:5]]
        lines += [f"Is {_some(other)}{w} a {name}? No, {_some(other)}{w} is a {other}." for w in others[:4]]
        text = "\n".join(rng.sample(lines, len(lines)))
    else:
        text = " ".join(entry(w, "n", rng) for w in members[:6] if w in _nouns())
    return articles(text)


@cache
def _nouns() -> frozenset[str]:
    return frozenset(_weighted("n").words)


_OPPOSITE = (
    "The opposite of {a} is {b}.",
    "{A} is the opposite of {b}.",
    "What is not {a} is {b}.",
    "{A} and {b} are opposites.",
    "Not {a}, but {b}.",
    "If one is {a}, the other is {b}.",
)


@cache
def _opposite_pairs() -> tuple[tuple[str, str], ...]:
    pairs = {(w, o) for pos in "anv" for w in _weighted(pos).words for o in _opposites(w, pos)[:1]}
    known = {word for (_, word), seen in sources.uses().items() if seen > 2}
    return tuple(sorted(p for p in pairs if known.issuperset(p)))


def opposites_page(rng: random.Random, names: Names) -> str:
    pairs = rng.sample(_opposite_pairs() if rng.random() < 0.4 else names.data.antonyms, rng.randint(4, 9))
    pairs = [p if rng.random() < 0.5 else p[::-1] for p in pairs]
    one = rng.choice(_OPPOSITE)
    lines = [(one if rng.random() < 0.6 else rng.choice(_OPPOSITE)).format(a=a, A=capital(a), b=b) for a, b in pairs]
    if rng.random() < 0.25:
        lines = [f"{a} - {b}" for a, b in pairs]
        return "\n".join(["Words and their opposites", *lines])
    return rng.choice(["\n", " "]).join(lines)


def synonyms_page(rng: random.Random, names: Names) -> str:
    """Words that mean the same, from synsets of several simple words."""
    lines = []
    while len(lines) < rng.randint(4, 8):
        pos = rng.choice("nvaa")
        word = _weighted(pos).draw(rng)
        others = _synonyms(word, _sense(word, pos, rng))
        if others:
            words = [word, *others[:3]]
            lines.append(
                capital(
                    expand(
                        rng,
                        "[{s} mean the same.|{s} mean much the same.|For {w} one can also say {o}.|"
                        "Another word for {w} is {o1}.|{w} is the same as {o1}.]",
                        s=listing(words),
                        w=word,
                        o=listing(others[:3], "or"),
                        o1=others[0],
                    )
                )
            )
    return rng.choice(["\n", " "]).join(lines)


# ---- Forms of words ----

IRREGULAR_PLURALS = dict(
    p.split("/")
    for p in """man/men woman/women child/children foot/feet tooth/teeth goose/geese
    mouse/mice louse/lice ox/oxen knife/knives wife/wives life/lives leaf/leaves wolf/wolves half/halves shelf/shelves
    thief/thieves loaf/loaves calf/calves self/selves sheep/sheep fish/fish deer/deer person/people scarf/scarves
    hoof/hooves elf/elves potato/potatoes tomato/tomatoes hero/heroes echo/echoes""".split()
)

IRREGULAR_VERBS = tuple(
    tuple(v.split("/"))
    for v in """go/went/gone see/saw/seen take/took/taken give/gave/given
    come/came/come run/ran/run eat/ate/eaten drink/drank/drunk sing/sang/sung swim/swam/swum begin/began/begun
    write/wrote/written ride/rode/ridden drive/drove/driven break/broke/broken speak/spoke/spoken steal/stole/stolen
    wear/wore/worn tear/tore/torn know/knew/known grow/grew/grown throw/threw/thrown fly/flew/flown blow/blew/blown
    draw/drew/drawn show/showed/shown fall/fell/fallen find/found/found bring/brought/brought buy/bought/bought
    think/thought/thought catch/caught/caught teach/taught/taught fight/fought/fought sell/sold/sold tell/told/told
    keep/kept/kept sleep/slept/slept feel/felt/felt leave/left/left lose/lost/lost meet/met/met send/sent/sent
    spend/spent/spent build/built/built make/made/made hear/heard/heard hold/held/held sit/sat/sat stand/stood/stood
    understand/understood/understood win/won/won hide/hid/hidden bite/bit/bitten choose/chose/chosen
    freeze/froze/frozen forget/forgot/forgotten put/put/put cut/cut/cut let/let/let pay/paid/paid say/said/said
    be/was/been have/had/had do/did/done get/got/got""".split()
)

REGULAR_VERBS = """walk talk play work help open close call ask answer look like love want need wait watch wash cook
    clean jump laugh smile cry try carry marry study stop plan drop shop visit travel live move use hope dance paint
    push pull kick rain snow start finish learn turn listen remember paint thank count""".split()


def plural(noun: str) -> str:
    head, _, last = noun.rpartition(" ")
    if last in IRREGULAR_PLURALS:
        last = IRREGULAR_PLURALS[last]
    elif re.search(r"(s|x|z|ch|sh)$", last):
        last += "es"
    elif re.search(r"[^aeiou]y$", last):
        last = last[:-1] + "ies"
    elif not last.endswith("s"):
        last += "s"
    return f"{head} {last}".strip()


def verb_forms(verb: str) -> tuple[str, str, str]:
    """walk, walked, walked"""
    if verb.endswith("e"):
        past = verb + "d"
    elif re.search(r"[^aeiou]y$", verb):
        past = verb[:-1] + "ied"
    elif re.search(r"^[^aeiou]*[aeiou][pn]$", verb) and verb not in ("rain", "clean", "open", "learn"):
        past = verb + verb[-1] + "ed"
    else:
        past = verb + "ed"
    return verb, past, past


def _ing(verb: str) -> str:
    if verb in (
        "run",
        "swim",
        "begin",
        "sit",
        "win",
        "get",
        "let",
        "put",
        "cut",
        "stop",
        "plan",
        "drop",
        "shop",
        "forget",
    ):
        return verb + verb[-1] + "ing"
    return (verb[:-1] if verb.endswith("e") and verb not in ("see", "be") else verb) + "ing"


def _third(verb: str) -> str:
    return {"have": "has", "be": "is", "do": "does", "go": "goes"}.get(verb) or plural(verb)


def forms_page(rng: random.Random, names: Names) -> str:
    """Plurals, or the forms of verbs: the same sentence for several words."""
    if rng.random() < 0.5:
        nouns = rng.sample(list(IRREGULAR_PLURALS), rng.randint(1, 3)) + [
            w for w in (_weighted("n").draw(rng) for _ in range(8)) if not w.endswith("s")
        ]
        nouns = rng.sample(sorted(set(nouns)), len(set(nouns)))
        template = rng.choice(
            [
                "One {a}, two {b}.",
                "one {a}, many {b}",
                "The plural of {a} is {b}.",
                "{a}, {b}",
                "One {a} and one more {a} are two {b}.",
                "If there is more than one {a}, we say {b}.",
            ]
        )
        return "\n".join(
            capital(template.format(a=n, b=plural(n))) if "." in template else template.format(a=n, b=plural(n))
            for n in nouns
        )
    verbs = [
        rng.choice(IRREGULAR_VERBS) if rng.random() < 0.6 else verb_forms(rng.choice(REGULAR_VERBS))
        for _ in range(rng.randint(4, 9))
    ]
    template = rng.choice(
        [
            "{a}, {b}, {c}",
            "Today I {a}. Yesterday I {b}. I have {c}.",
            "The past of {a} is {b}.",
            "We say: I {a}, she {s}, she is {i}.",
            "Now we {a}; long ago we {b}.",
            "{b} is the past form of {a}.",
        ]
    )
    verbs = [v for v in dict.fromkeys(verbs) if v[0] != "be"]
    return "\n".join(template.format(a=a, b=b, c=c, s=_third(a), i=_ing(a)) for a, b, c in verbs)


def letters_page(rng: random.Random, names: Names) -> str:
    """How words are spelled: letters, capitals, first and last letters, order of the alphabet, reversed lists."""
    words = [_weighted(rng.choice("nva")).draw(rng) for _ in range(rng.randint(4, 8))]
    words = list(dict.fromkeys(words))
    template = rng.choice(
        [
            "{w} is spelled {s}.",
            "{w}: {s}",
            "{W} has {n} letters: {s}.",
            "{w} in capital letters is {u}.",
            "{w}, {u}",
            "The first letter of {w} is {f} and the last letter is {l}.",
            "{w} begins with {f} and ends with {l}.",
            "alphabet",
            "backwards",
        ]
    )
    if template == "alphabet":
        return expand(
            rng,
            "[The words|These words:|Take the words] {a}. In the order of the alphabet: {b}.",
            a=", ".join(words),
            b=", ".join(sorted(words)),
        )
    if template == "backwards":
        return expand(
            rng,
            "[The list is|Words:|We have] {a}. [The same list from the end:|Backwards:|From last to first:] {b}.",
            a=", ".join(words),
            b=", ".join(words[::-1]),
        )
    return "\n".join(
        template.format(w=w, W=capital(w), s="-".join(w), n=len(w), u=w.upper(), f=w[0], l=w[-1]) for w in words
    )


def page(rng: random.Random, names: Names) -> str:
    kinds = (
        (definitions, 40),
        (category_page, 24),
        (opposites_page, 10),
        (synonyms_page, 9),
        (forms_page, 9),
        (letters_page, 8),
    )
    return rng.choices([k for k, _ in kinds], [n for _, n in kinds])[0](rng, names)
