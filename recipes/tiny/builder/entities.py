# SPDX-License-Identifier: Apache-2.0
"""The things that records are about, each in one of three splits: what is tested is never trained on.

A name's split is a hash of the name, so it stays where it is whatever else the sources hold. `Entities` is what task
families, the text stream and the chains of thought are given; those two may use `train` only, except for words (a
reader of text has met the words that a task is tested on; what it has not seen is the task done with them)."""
from __future__ import annotations

import dataclasses
import hashlib
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from . import lexicon, names, sources

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

# What the model card asks about: in no split, so that no record can give its examples away.
WIDGET_NAMES = frozenset({"Vikash", "Satya", "Nadella", "Seattle", "Portland", "Pacific Northwest", "Jane", "Doe"})


def fraction(kind: str, name: str) -> float:
    """A number of [0, 1) that depends on the name alone."""
    digest = hashlib.sha256(f"{kind}/{name}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def split_of(kind: str, name: str) -> Split:
    f = fraction(kind, name)
    return "train" if f < 0.72 else "validation" if f < 0.80 else "test"


@dataclass(frozen=True)
class Pool:
    """Different things of a kind, by split."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    @classmethod
    def of(cls, kind: str, items: Iterable[str]) -> Pool:
        unique = [i for i in dict.fromkeys(items) if i not in WIDGET_NAMES]
        return cls(*(tuple(i for i in unique if split_of(kind, i) == split) for split in SPLITS))

    def __getitem__(self, split: Split) -> tuple[str, ...]:
        return getattr(self, split)

    @property
    def all(self) -> tuple[str, ...]:
        return self.train + self.validation + self.test

    def draw(self, rng: random.Random, split: Split) -> str:
        return rng.choice(self[split])


@dataclass(frozen=True)
class InventivePool(Pool):
    """A pool of which two in three draws for training nobody can know by heart, so that they have to be copied, as those
    of tests have: any word, or the beginning of a name or word and the end of another. Words are there for their tokens,
    each of which has to be copied in training if it is to be copied in tests."""

    words: tuple[str, ...]  # written as the pool's names are
    taken: frozenset[str]  # what they must not happen to be
    several: bool  # such names may have several words

    def draw(self, rng: random.Random, split: Split) -> str:
        kind = rng.random() if split == "train" else 1
        if kind >= 2 / 3:
            return super().draw(rng, split)
        several = self.several and rng.random() < 0.3
        return " ".join(self._invent(rng, kind < 1 / 3) for _ in range(1 + several))

    def _invent(self, rng: random.Random, whole: bool) -> str:
        while True:
            name = rng.choice(self.words) if whole else self._put_together(rng)
            if 3 <= len(name) <= 14 and name not in self.taken and not UNWANTED.search(name.lower()):
                return name

    def _put_together(self, rng: random.Random) -> str:
        first, last = (rng.choice(rng.choice((self.train, self.words))) for _ in range(2))
        return first[: rng.randint(1, len(first) - 1)] + last[rng.randint(1, len(last) - 1) :]


@dataclass(frozen=True)
class Territory:
    """A country, or what has a code and a currency like one."""

    code: str
    name: str
    continent: str
    currency: str
    currency_code: str
    capital: str | None  # None: WordNet does not say
    reserved: bool  # asked in the card's format in held-out sets only


@dataclass(frozen=True)
class Feeling:
    """A word of feeling, with what dictionaries say of it."""

    word: str
    emotion: str
    kind: Literal["adjective", "noun"]
    synonyms: tuple[str, ...]  # of the same emotion; the nearest first
    gloss: str | None
    split: Split


@dataclass(frozen=True)
class Thing:
    """A word for a thing of a category, with its definition."""

    word: str
    category: str
    gloss: str
    parent: str  # what it is a kind of
    split: Split


@dataclass(frozen=True)
class Entities:
    given_names: Pool
    family_names: Pool
    cities: Pool
    places: Pool  # rivers, mountains, islands, states
    companies: Pool
    nouns: Pool
    people: Pool  # what somebody can be: "plumber"
    verbs: Pool
    adjectives: Pool
    deeds: Pool  # what he or she does, from examples of use: "wrote a letter to the mayor"
    sayings: Pool  # whole examples of use, about anything: "the dinner was good"
    remarks: Pool  # those, and more of them, in which something is named: "he obeyed the letter of the law"
    territories: tuple[Territory, ...]
    feelings: tuple[Feeling, ...]
    things: tuple[Thing, ...]
    antonyms: tuple[tuple[str, str], ...]
    languages: tuple[tuple[str, str], ...]  # (code, name)


INVENTED = ("given_names", "family_names", "cities", "places", "companies", "nouns")


def with_inventions(data: Entities) -> Entities:
    """The same things, and in training as many that do not exist."""
    pools: dict[str, Pool] = {name: getattr(data, name) for name in INVENTED}
    taken = WIDGET_NAMES.union(*(pool.all for pool in pools.values()))
    used = dict.fromkeys(w for (_, w), n in sources.uses().items() if n >= 2)
    words = [w for w in used if _is_plain(w) and not UNWANTED.search(w)]
    inventive = {
        name: InventivePool(
            *(pool[split] for split in SPLITS),
            words=tuple(words if pool.train[0].islower() else (w.capitalize() for w in words)),
            taken=taken,
            several=any(" " in thing for thing in pool.train),
        )
        for name, pool in pools.items()
    }
    return dataclasses.replace(data, **inventive)


# ---- Countries ----

TERRITORY_NAMES = {"CD": "DR Congo", "CG": "Congo", "CI": "Ivory Coast", "BA": "Bosnia and Herzegovina",
                   "LC": "Saint Lucia", "VC": "Saint Vincent and the Grenadines", "ST": "Sao Tome and Principe",
                   "TT": "Trinidad and Tobago"}  # fmt: skip
LEFT_OUT = {"EA", "IC", "VI"}  # parts of countries that have the whole's name in theirs
DISPUTED = {"IL", "PS", "EH"}
TODAY = {"LS": ("LSL", "Lesotho Loti"), "BA": ("BAM", "Convertible Mark"), "HR": ("EUR", "Euro")}
# Where WordNet has none, an older name, a second one, or another country's.
CAPITALS = dict(
    pair.split("=")
    for pair in """US=Washington GB=London MM=Naypyidaw KZ=Astana NG=Abuja BI=Gitega CI=Yamoussukro LK=Colombo
    IN=New_Delhi AU=Canberra CD=Kinshasa CG=Brazzaville CZ=Prague TT=Port_of_Spain RS=Belgrade ME=Podgorica SS=Juba
    XK=Pristina BO=La_Paz ZA=Pretoria NL=Amsterdam GE=Tbilisi KR=Seoul KP=Pyongyang BA=Sarajevo RU=Moscow TZ=Dodoma
    FM=Palikir PK=Islamabad CY=Nicosia CN=Beijing CL=Santiago BE=Brussels LB=Beirut SY=Damascus UA=Kyiv PL=Warsaw
    LU=Luxembourg MD=Chisinau IR=Tehran TM=Ashgabat KW=Kuwait_City MY=Kuala_Lumpur CA=Ottawa ID=Jakarta UG=Kampala
    BB=Bridgetown BF=Ouagadougou BN=Bandar_Seri_Begawan BT=Thimphu BZ=Belmopan GQ=Malabo MK=Skopje SZ=Mbabane TL=Dili
    TO=Nuku'alofa VC=Kingstown KM=Moroni""".split()
)


def _wordnet_capitals() -> dict[str, str]:
    """Capitals by the names of their countries."""
    countries = ((c, country) for c in sources.hyponyms("national capital") for country in c.targets("#p"))
    return {name: c.words[0] for c, country in countries for name in sources.synsets("n")[country].words}


def _capital(code: str, name: str, known: dict[str, str]) -> str | None:
    if code in DISPUTED:
        return None
    return CAPITALS[code].replace("_", " ") if code in CAPITALS else known.get(name)


def _territories() -> tuple[Territory, ...]:
    currencies, currency_names = sources.territory_currencies(), sources.currency_names()
    capitals = _wordnet_capitals()
    found = []
    for code, continent in sorted(sources.continents().items()):
        if sources.populations().get(code, 0) < 100_000 or code in LEFT_OUT:
            continue
        name = TERRITORY_NAMES.get(code) or sources.ascii_text(sources.territory_names("en")[code])
        name = name.replace(" & ", " and ").replace("St. ", "Saint ")
        currency_code, currency = TODAY.get(code) or (currencies[code], currency_names[currencies[code]])
        reserved = code in ("CH", "IN") or fraction("territory", code) < 0.3  # those two are the card's
        found.append(
            Territory(code, name, continent, sources.ascii_text(currency), currency_code,
                      _capital(code, name, capitals), reserved)
        )  # fmt: skip
    return tuple(found)


# ---- Feelings ----

# The words of the labels and of the card's examples; festive is what the card's last question turns on.
FIXED_FEELINGS: dict[str, Split] = {
    "sad": "train", "happy": "train", "joyful": "train", "angry": "train", "afraid": "train", "scared": "train",
    "loving": "train", "surprised": "train", "amazed": "train", "fearful": "train", "affectionate": "train",
    "cranky": "train", "blue": "train", "sorry": "train", "festive": "test", "merry": "train",
    "sadness": "train", "joy": "train", "love": "train", "anger": "train", "fear": "train", "surprise": "train",
}  # fmt: skip


def _stem(word: str) -> str:
    return word[:4]


def _feeling_splits() -> dict[str, Split]:
    """The split of each word: a fifth of the words of each emotion are for tests. Words with the same first four
    letters share a split: "happiness" would give "happy" away."""
    splits: dict[str, Split] = {_stem(word): split for word, split in FIXED_FEELINGS.items()}
    for emotion in lexicon.EMOTIONS:
        words = [
            w for t in (lexicon.ADJECTIVES, lexicon.NOUNS) for e, g in lexicon.groups(t) if e == emotion for w in g
        ]
        stems = sorted({_stem(w) for w in words}, key=lambda s: fraction("feeling", s))
        free = [s for s in stems if s not in splits]
        n_test, n_validation = round(0.22 * len(stems)), round(0.07 * len(stems))
        for i, stem in enumerate(free):
            splits[stem] = "test" if i < n_test else "validation" if i < n_test + n_validation else "train"
    return splits


def _gloss(word: str, pos: str, same_feeling: frozenset[str]) -> str | None:
    """The definition of the sense that has most to do with words of the same emotion."""

    def score(synset: sources.Synset) -> int:
        near = [w for t in synset.targets("&") for w in sources.synsets("a")[t].words]
        return len(same_feeling & {*synset.words, *near, *re.findall(r"[a-z]+", synset.definition)} - {word})

    found = sources.lookup(word, pos)
    if not found:
        return None
    best = max(found, key=score)  # the most frequent of equal ones
    return best.definition if score(best) or len(found) == 1 else None


def _feelings() -> tuple[Feeling, ...]:
    found, splits = [], _feeling_splits()
    words: dict[str, set[str]] = {emotion: {emotion} for emotion in lexicon.EMOTIONS}
    for table in (lexicon.ADJECTIVES, lexicon.NOUNS):
        for emotion, group in lexicon.groups(table):
            words[emotion].update(group)
    for table, kind, pos in ((lexicon.ADJECTIVES, "adjective", "a"), (lexicon.NOUNS, "noun", "n")):
        for emotion, group in lexicon.groups(table):
            for i, word in enumerate(group):
                near = tuple(group[:i][::-1] + group[i + 1 :])
                found.append(
                    Feeling(
                        word, emotion, kind, near, _gloss(word, pos, frozenset(words[emotion])), splits[_stem(word)]
                    )
                )
    return tuple(found)


# ---- Things and words ----

CATEGORIES = {  # (word, sense) whose kinds it holds
    "animal": (("animal", 0),),
    "plant": (("plant", 1),),
    "food": (("food", 0), ("food", 1)),
    "clothing": (("clothing", 0),),
    "vehicle": (("vehicle", 0),),
    "building": (("building", 0),),
    "occupation": (("worker", 0), ("professional", 0), ("skilled worker", 0)),
    "body part": (("body part", 0),),
    "musical instrument": (("musical instrument", 0),),
    "tool": (("tool", 0),),
}


LEFT_OUT_WORDS = frozenset(
    """abortionist micropenis penis vagina retarded negro slave whore whorehouse prostitute hooker coolie squaw
gook bitch cock slut nude fetus womb rape anus rectum scrotum testis vulva genitals crotch nipple breast""".split()
)


def _is_plain(word: str) -> bool:
    """A word that a spelling dictionary has, so none that only a specialist knows."""
    return (
        re.fullmatch(r"[a-z]{3,12}", word) is not None and word in sources.common_words() and word not in LEFT_OUT_WORDS
    )


def _mostly_noun(word: str) -> bool:
    """Not "technical", which is a vehicle, too."""
    uses = sources.uses()
    noun = uses.get(("n", word), 0)
    return all(uses.get((pos, word), 0) <= noun for pos in "va") and (noun > 0 or not sources.lookup(word, "a"))


def _first_sense(synset: sources.Synset) -> bool:
    return sources.lookup(synset.words[0], synset.pos)[0].key == synset.key


def _things() -> tuple[Thing, ...]:
    """Words whose most frequent sense is a kind of one category only."""
    categories: dict[str, set[str]] = {}
    chosen: dict[str, sources.Synset] = {}
    for category, roots in CATEGORIES.items():
        for synset in (s for word, sense in roots for s in sources.hyponyms(word, sense)):
            word = synset.words[0]
            if _is_plain(word) and _mostly_noun(word) and not synset.targets("@i") and _first_sense(synset):
                categories.setdefault(word, set()).add(category)
                chosen[word] = synset
    nouns = sources.synsets("n")
    return tuple(
        Thing(w, min(categories[w]), s.definition, nouns[s.targets("@")[0]].words[0], split_of("thing", w))
        for w, s in chosen.items()
        if len(categories[w]) == 1 and s.targets("@")
    )


def _frequent(pos: str, least: int) -> list[str]:
    """Words that WordNet's tagged texts use as this part of speech, and hardly as another."""
    uses = sources.uses()
    return [
        word
        for (p, word), n in sorted(uses.items())
        if p == pos and n >= least and re.fullmatch("[a-z]{3,10}", word)
        and all(uses.get((other, word), 0) * 4 < n for other in "nvar" if other != pos)
    ]  # fmt: skip


LOOSE_PAIRS = {("all", "some"), ("common", "individual"), ("full", "thin"), ("natural", "sharp"), ("active", "quiet"),
               ("little", "much"), ("half", "whole"), ("left", "right"), ("precocious", "retarded")}  # fmt: skip


def _antonyms() -> tuple[tuple[str, str], ...]:
    """Pairs of adjectives, each word in one pair."""
    uses, adjectives = sources.uses(), sources.synsets("a")
    weighed = []
    for synset in adjectives.values():
        for p in (p for p in synset.pointers if p.symbol == "!" and p.target in adjectives):
            a, b = synset.words[p.source_word - 1], adjectives[p.target].words[p.target_word - 1]
            n = min(uses.get(("a", a), 0), uses.get(("a", b), 0))
            if (
                a < b
                and n >= 2
                and (a, b) not in LOOSE_PAIRS
                and a.isalpha()
                and b.isalpha()
                and a.islower()
                and b.islower()
            ):
                weighed.append((n, a, b))
    taken: set[str] = set()
    pairs = []
    for _, a, b in sorted(weighed, key=lambda x: (-x[0], x[1:])):
        if a not in taken and b not in taken:
            taken |= {a, b}
            pairs.append((a, b))
    return tuple(pairs)


UNWANTED = re.compile(
    r"sex|kill|murder|drunk|rape|breast|naked|nude|drug|prostitut|whore|terror|bomb|jew|negro|\bgay\b|"
    r"suicid|penis|urin|corpse|\bdie[ds]?\b|\bass\b|bastard|bitch|slut|slave|nazi|hell\b|damn|crap|kiss|bed\b"
)


_AFTER = (
    "of|in|on|at|to|from|by|with|for|into|about|over|under|after|before|and|or|but|was|is|were|are|has|had|have|will|"
    "would|could|can|did|does|that|who|which|when|as|than|because|while|until|through|against|between|like|without|near"
)
# What a name could be said for: a pronoun, or an article, perhaps an adjective, and a noun.
NAMEABLE = re.compile(
    r"\b(?:(?:the|a|an|his|her|my|their|our|your|some|this|that|every|no) (?:[a-z]+ )?"
    rf"(?P<noun>(?!(?:{_AFTER})\b)[a-z]+)|s?he|him|they|them|we|us|it)(?=,| (?:{_AFTER})\b|$)"
)


def _people() -> list[str]:
    found = (w for s in sources.hyponyms("person") if not s.targets("@i") for w in s.words)
    return [w for w in found if re.fullmatch("[a-z]{3,12}", w) and ("n", w) in sources.uses() and not UNWANTED.search(w)]


def _examples() -> Iterator[str]:
    """WordNet's examples of use."""
    found = (e for pos in "nvar" for s in sources.synsets(pos).values() for e in s.examples)
    return (e for e in found if not UNWANTED.search(e))


def _deeds() -> list[str]:
    found = (m[1] for e in _examples() if (m := re.fullmatch(r"s?he ([a-z][a-z ]{12,55})", e)))
    return [d for d in found if not re.search(r"\b(i|his|her|him|himself|herself)\b", d)]


def _sayings() -> list[str]:
    found = (e for e in _examples() if re.fullmatch(r"(I|[a-z]+)( I| [a-z]+,?){2,10}", e))
    return [e for e in found if not re.match(r"s?he ", e)]  # no deeds


def _remarks() -> list[str]:
    found = (e for e in _examples() if re.fullmatch(r"(I|[a-z]+)(,? I|,? [a-z]+('[a-z]+)?){2,18}", e))
    return [e for e in found if NAMEABLE.search(e)]


# ---- Names ----


def _instances(roots: Sequence[str]) -> list[str]:
    found = (s.words[0] for root in roots for s in sources.hyponyms(root) if s.targets("@i"))
    return [n for n in found if re.fullmatch(r"[A-Z][a-z]{2,}( [A-Z][a-z]{2,}){0,2}", n)]


def _family_names() -> list[str]:
    people = (
        s.words[-1].split() for s in sources.synsets("n").values() if s.targets("@i") and s.lexname == "noun.person"
    )
    known = [p[-1] for p in people if len(p) >= 2 and re.fullmatch(r"[A-Z][a-z]{2,10}", p[-1])]
    return names.FAMILY.split() + [k for k in known if k.lower() not in sources.common_words()]  # no "the Great"


def _given_names() -> list[str]:
    known = sources.given_names()
    return names.GIVEN.split() + [
        k for k in known if k.lower() not in sources.common_words()
    ]  # no Rose at a sentence's start


LANGUAGES = """
en fr de es it pt nl sv da no fi is pl cs sk hu ro bg el ru uk sr hr sl sq mk tr ar he fa ur hi bn pa gu mr
ta te kn ml si ne th lo km my vi id ms tl zh ja ko mn ka hy az kk uz ky tg sw am so ha yo ig zu xh af mg mt ga cy eu
ca gl lv lt et be lb eo la mi sm to haw fj ps ku""".split()


def load() -> Entities:
    territories = _territories()
    countries = {t.name for t in territories}
    words = {pos: _frequent(pos, least) for pos, least in (("n", 4), ("v", 4), ("a", 3))}
    language_names = sources.language_names("en")
    return Entities(
        given_names=Pool.of("given name", _given_names()),
        family_names=Pool.of("family name", _family_names()),
        cities=Pool.of("city", [c for c in _instances(["city"]) if c not in countries]),
        places=Pool.of("place", _instances(["river", "mountain", "lake", "island", "state"])),
        companies=Pool.of("company", names.COMPANIES.split()),
        nouns=Pool.of("noun", words["n"]),
        people=Pool.of("what somebody is", _people()),
        verbs=Pool.of("verb", words["v"]),
        adjectives=Pool.of("adjective", words["a"]),
        deeds=Pool.of("deed", _deeds()),
        sayings=Pool.of("saying", _sayings()),
        remarks=Pool.of("remark", _remarks()),
        territories=territories,
        feelings=_feelings(),
        things=_things(),
        antonyms=_antonyms(),
        languages=tuple((code, language_names[code]) for code in LANGUAGES if code in language_names),
    )
