# SPDX-License-Identifier: Apache-2.0
"""Documents about feelings: which words there are, what they mean, and how people show what they feel.

These teach in plain text that somebody cranky feels anger, for all words of `lexicon`, so also for words that the
emotion tasks hold out: a model should know a word from general text before it is asked about it. The sentences are
unlike the tasks' posts: they speak of others, or are a diary's.
"""

from __future__ import annotations

import random
import re
from functools import cache

from . import lexicon, sources
from .stream_words import _definition
from .stream_world import WEEKDAYS, Names, Person, articles, capital, expand, listing

# What each emotion comes from, what it brings about, and what it is called. {A} feels it, {B} is somebody else; {he},
# {his} and {him} are A's.
CAUSES = {
    "joy": """{A} had passed the exam|{A} had won the first prize|the holidays had begun|{B} had come home at last|
        the whole family was together|{A} got a letter with good news|the sun was out and the work was done|
        it was {A}'s birthday|the team had won the cup|{A} had found the lost ring|the garden was full of flowers|
        there was music and cake|{B} had told a good joke|the long winter was over|{A} got the job""",
    "sadness": """{A}'s old dog had died|{B} had moved away|nobody came to the party|{A} had lost the game|
        {A} had to say goodbye to {B}|the old house was sold|{A} had failed the exam|{A} missed home very much|
        {B} had forgotten {A}'s birthday|the letter brought bad news|{A} had nobody to talk to|
        {A} had lost {his} job|the friends were gone|the rain had spoiled the harvest""",
    "anger": """{B} had broken the cup and told a lie|somebody had stolen {A}'s bicycle|the bus was late again|
        {B} had not kept a promise|the neighbours were loud all night|{B} had read {A}'s letters|
        the bill was wrong for the third time|{B} took the last piece without asking|somebody had cut in line|
        {B} had laughed at {A}'s work|the shop would not take the broken radio back|
        {B} was rude to {A}'s mother|they had cheated {A}""",
    "fear": """there was a noise in the dark|a big dog stood in the way|the storm came closer|
        {A} had to speak in front of everyone|
        {A} was alone in the forest at night|the doctor had not called yet|the ladder was high and old|
        {A} had lost the way in the fog|the ship began to shake|somebody was following {A}|
        the exam was near and {A} had not learned|the lights went out|there was a snake in the grass""",
    "love": """{B} was always there for {A}|{A} had married {B}|{B} was the kindest person {A} knew|
        {A} held the new baby for the first time|{B} had written {A} a poem|
        {A} and {B} had been together for forty years|
        {A} thought of {B} day and night|{B} had looked after {A} for so long|{A} and {B} walked hand in hand|
        {A} kept every letter from {B}""",
    "surprise": """{B} stood at the door after twenty years|there was money in the old coat|
        the small team had beaten the champion|
        a rabbit came out of the hat|it snowed in June|the quiet boy began to sing like a star|
        {A} found a door behind the bookcase|all the friends jumped out and called {A}'s name|
        the egg had two yolks|{A} had won without knowing it|the cat opened the door by itself|
        the answer was quite different from what {A} had thought""",
}

SIGNS = {
    "joy": "laughed out loud|smiled all day|sang in the kitchen|danced around the room|"
    "clapped {his} hands|jumped up and down|beamed|whistled a song",
    "sadness": "cried for a long time|wept|had tears in {his} eyes|sighed and said nothing|"
    "stayed in bed all day|did not want to eat|looked at the floor|sat alone",
    "anger": "shouted|slammed the door|stamped {his} foot|turned red in the face|banged "
    "on the table|yelled at {B}|would not talk to {B}|clenched {his} fists",
    "fear": "trembled|hid under the bed|turned pale|ran away as fast as {he} could|could "
    "not sleep|screamed|held {his} breath|did not dare to move",
    "love": "hugged {B}|kissed {B}|held {B}'s hand|gave {B} a rose|wrote {B} a long letter|"
    "cooked {B}'s favourite meal|cared for {B} day and night|smiled at {B}",
    "surprise": "gasped|could not believe it|stared with open mouth|blinked|dropped the cup|"
    "said: What? Really?|rubbed {his} eyes|had not expected that",
}

NAMES = {
    "joy": ("joy", "happiness"),
    "sadness": ("sadness", "sorrow"),
    "anger": ("anger", "rage"),
    "fear": ("fear", "fright"),
    "love": ("love", "affection"),
    "surprise": ("surprise", "astonishment"),
}
BASIC = {
    "joy": "happy",
    "sadness": "sad",
    "anger": "angry",
    "fear": "afraid",
    "love": "loving",
    "surprise": "surprised",
}


def _usable(word: str) -> bool:
    return word.count("-") < 2 and word not in ("hysterical", "sensual", "lustful")


@cache
def groups() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(emotion, near-synonyms that can follow "I feel")"""
    usable = ((e, tuple(w for w in words if _usable(w))) for e, words in lexicon.groups(lexicon.ADJECTIVES))
    return tuple((e, words) for e, words in usable if words)


@cache
def words(emotion: str) -> tuple[str, ...]:
    return tuple(w for e, group in groups() if e == emotion for w in group)


@cache
def nouns(emotion: str) -> tuple[str, ...]:
    return tuple(w for e, group in lexicon.groups(lexicon.NOUNS) if e == emotion for w in group if _usable(w))


def _emotion(rng: random.Random) -> str:
    return rng.choice(lexicon.EMOTIONS)


def _group(rng: random.Random, emotion: str) -> list[str]:
    """Two to five words of one emotion, near-synonyms first."""
    own = [list(group) for e, group in groups() if e == emotion]
    chosen = rng.choice(own)
    rng.shuffle(chosen)
    return list(dict.fromkeys(chosen[:3] + rng.sample(words(emotion), 3)))[: rng.randint(2, 5)]


def _alternatives(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split("|")]


def _fill(rng: random.Random, text: str, a: Person, b: Person, **slots: object) -> str:
    return expand(rng, text, A=a.first, B=b.first, **a.pronouns(), **slots)


def cause(rng: random.Random, emotion: str, a: Person, b: Person) -> str:
    return _fill(rng, rng.choice(_alternatives(CAUSES[emotion])), a, b)


_FIRST_PERSON = (
    (r"\{A\} was\b", "I was"),
    (r"\{A\} and \{B\}", "{B} and I"),
    (r"\{A\}'s|\{his\}", "my"),
    (r"\b(after|for|following|cheated|written) \{A\}", r"\1 me"),
    (r"\{A\}", "I"),
)


def my_cause(rng: random.Random, emotion: str, b: Person) -> str:
    """A cause as who feels it tells it."""
    text = rng.choice(_alternatives(CAUSES[emotion]))
    for pattern, mine in _FIRST_PERSON:
        text = re.sub(pattern, mine, text)
    return text.format(B=b.first)


def sign(rng: random.Random, emotion: str, a: Person, b: Person) -> str:
    return _fill(rng, rng.choice(_alternatives(SIGNS[emotion])), a, b)


# ---- Documents ----


@cache
def _meaning(word: str, emotion: str) -> str:
    """The definition of the sense that is a feeling: one with the emotion's other words about it, as blue has gloomy."""
    related = {*words(emotion), *nouns(emotion), emotion} - {word}
    for synset in sources.lookup(word, "a"):
        near = {w for key in synset.targets("&") for w in sources.synsets("a")[key].words}
        if related & {*synset.words, *near, *synset.definition.split()}:
            return _definition(synset)
    return ""


def word_page(rng: random.Random) -> str:
    """Near-synonyms, what they are words for, and what a dictionary says."""
    emotion = _emotion(rng)
    group = _group(rng, emotion)
    n1 = NAMES[emotion][0]
    lines = [
        capital(
            expand(
                rng,
                "[{s} are words of {n}.|{s} are all words for a kind of {n}.|{s}: these are "
                "words of {n}.|The words {s} speak of {n}.|"
                "People who are {o} feel {n}.]",
                s=listing(group),
                o=listing(group, "or"),
                n=n1,
            )
        )
    ]
    for word in group:
        lines.append(
            capital(
                expand(
                    rng,
                    "[To be {w} is a kind of {n}.|Somebody {w} feels {n}.|A {w} person is full "
                    "of {n}.|{w} people feel {n}.|"
                    "Being {w} is being {b}.|Being {w} is {n}.|If "
                    "you are {w}, what you feel is {n}.]",
                    w=word,
                    n=n1,
                    b=BASIC[emotion],
                )
            )
        )
        if rng.random() < 0.4 and (meaning := _meaning(word, emotion)):
            lines.append(capital(f"{word} means {meaning}."))
    return rng.choice([" ", " ", "\n"]).join(lines)


def noun_page(rng: random.Random) -> str:
    """Kinds of joy, of fear, ... and of which feeling they are."""
    chosen = rng.sample(lexicon.EMOTIONS, rng.randint(1, 3))
    lines = []
    for emotion in chosen:
        kinds = rng.sample(nouns(emotion), min(4, len(nouns(emotion))))
        kinds = [k for k in kinds if k != emotion][:3]
        lines.append(
            capital(
                expand(
                    rng,
                    "[{s} are kinds of {n}.|{s} are feelings of {n}.|{s} all belong to {n}.|Under {n} we count {s}.]",
                    s=listing(kinds),
                    n=emotion,
                )
            )
        )
        lines += [
            capital(
                expand(
                    rng,
                    "[{k} is a kind of {n}.|Who feels {k} is {w}.|{k} is what a {w} person feels.]",
                    k=k,
                    n=emotion,
                    w=rng.choice(words(emotion)),
                )
            )
            for k in kinds
        ]
    return rng.choice([" ", "\n"]).join(lines)


def word_list(rng: random.Random) -> str:
    """Lists and tables of words by emotion."""
    chosen = rng.sample(lexicon.EMOTIONS, rng.randint(2, 4))
    style = rng.randrange(6)
    if style == 0:
        return "\n".join(f"{e}: {', '.join(rng.sample(words(e), 5))}" for e in chosen)
    pairs = [(w, e) for e in chosen for w in rng.sample(words(e), 3)]
    rng.shuffle(pairs)
    if style == 1:
        return "word,feeling\n" + "\n".join(f"{w},{e}" for w, e in pairs)
    if style == 2:
        return expand(rng, "[Words and feelings|What they feel|A small table of feelings]\n\n") + "\n".join(
            f"{w} - {e}" for w, e in pairs
        )
    if style == 3:
        return "\n".join(f"What does somebody {w} feel? {capital(e)}." for w, e in pairs)
    if style == 4:
        return "\n".join(f"I am {w}. It is {e}." for w, e in pairs)
    return " ".join(capital(f"{w} is a word of {e}.") for w, e in pairs)


def diary(rng: random.Random, names: Names) -> str:
    """A few days; each is of one emotion, which is named at its end."""
    b = names.person(rng)
    entries = []
    start = rng.randrange(7)
    for i in range(rng.randint(2, 4)):
        emotion = _emotion(rng)
        w = _group(rng, emotion)
        told = my_cause(rng, emotion, b)
        text = expand(
            rng,
            "{d}: [{w} [since|because] {c}. |I was {w} this morning, because {c}. |Today "
            "{c}. That made me {w}. |Today {c}, and I felt {w}. |"
            "Woke up {w}. |What a day! So {w}, for {c}. ]"
            "[By noon I was {v} too. |In the evening still {v}. |{B} says I looked {v}. "
            "|{B} saw that I was {v}. |Never been so {v}. |]"
            "[A day of {n}.|So much {n}!|I write this with {n} in my heart.|It was {n}, "
            "nothing else.|What I feel is {n}.|All this {n}...]",
            d=WEEKDAYS[(start + i) % 7],
            w=w[0],
            v=w[-1],
            c=told,
            n=NAMES[emotion][0],
            B=b.first,
        )
        entries.append(capital(text))
    return "\n\n".join(entries)


def scene(rng: random.Random, names: Names) -> str:
    """Somebody feels something, shows it, and somebody else understands what it is."""
    a, b = names.persons(rng, 2)
    emotion = _emotion(rng)
    w = _group(rng, emotion)
    parts = [
        expand(
            rng,
            "[{A} was {w}.|{A} felt {w} that day.|That morning {A} was very {w}.|{A} came "
            "home {w}.|{A} looked {w}.|{B} had never seen {A} so {w}.]",
            A=a.first,
            B=b.first,
            w=w[0],
        ),
        capital(
            expand(
                rng,
                "[It was because {c}.|The reason was that {c}.|You see, {c}.|{c}.|After all, {c}.]",
                c=cause(rng, emotion, a, b),
            )
        ),
        expand(rng, "{A} {s}[ and {t}|].", A=a.first, s=sign(rng, emotion, a, b), t=sign(rng, emotion, a, b)),
        expand(
            rng,
            '["You are {v}, {A}," said {B}.|"Why are you so {v}?" asked {B}.|{B} saw '
            "the {n} in {A}'s face.|{B} could see that {A} was {v}.|"
            '"I am {v}," said {A}. "Really {v}."|Even {B} was {v} now.]',
            A=a.first,
            B=b.first,
            v=w[-1],
            n=NAMES[emotion][0],
        ),
        expand(
            rng,
            "[{A}'s heart was full of {n}.|It was {n} that {A} felt.|That is what {n} is "
            "like.|Such {n} does not last forever.|{A} was {x}, and {x} is a word of {n}.|"
            "What {A} felt was {n}.|And so the day was one of {n}.]",
            A=a.first,
            n=NAMES[emotion][0],
            x=w[1 % len(w)],
        ),
    ]
    return " ".join(parts)


def thread(rng: random.Random, names: Names) -> str:
    """What somebody writes, and what others read in it."""
    a, b = names.persons(rng, 2)
    lines = []
    for _ in range(rng.randint(1, 3)):
        emotion = _emotion(rng)
        w = _group(rng, emotion)
        c = my_cause(rng, emotion, b)
        written = expand(
            rng,
            "[{c}. makes me [so|really|quite] {w}|so {w}, and all because {c}|{c} and now "
            "i am {w}|cannot help being {w}, {c}|{w}, {w}, {w}! {c}|no words, just {w}|"
            "who else gets {w} when {c}?|{w} is what i am. {c}|i guess i am the {w} one "
            "here|i got {w} and {v} when {c}]",
            c=c,
            w=w[0],
            v=w[-1],
        )
        answer = expand(
            rng,
            "[such {n}|I hear {n} in that|that is {n}|so much {n}!|your {n} will pass|{n}, "
            "what else|I know that {n}|there is a lot of {n} in your words|this is what "
            "{n} sounds like]",
            n=NAMES[emotion][0],
        )
        lines += [f"{a.first}: {written.lower() if rng.random() < 0.5 else written}", f"{b.first}: {answer}"]
    return "\n".join(lines)


def comparison(rng: random.Random, names: Names) -> str:
    """Several people, each with a feeling, and who feels what."""
    people = names.persons(rng, rng.randint(3, 5))
    feelings = [(p, e, rng.choice(words(e))) for p in people for e in [_emotion(rng)]]
    text = " ".join(expand(rng, "{A} [is|feels|looks] {w}.", A=p.first, w=w) for p, _, w in feelings)
    p, e, w = rng.choice(feelings)
    answers = [f"{q.first} feels {f}" for q, f, _ in feelings]
    return expand(
        rng,
        "{t} [{s}.|Who is {w}? {A} is {w}.|So {s}.|{A} is {w}, which is to say that "
        "{A} feels {e}.|One of them is {w}: it is {A}. Such is {e}.]",
        t=text,
        s=listing(answers),
        A=p.first,
        w=w,
        e=e,
    )


def speech(rng: random.Random, names: Names) -> str:
    """Kind words and unkind ones, and that the latter are hate when they are about a whole group of people."""
    a, b = names.persons(rng, 2)
    group = rng.choice(["women", "immigrants", "refugees", "girls", "foreigners", "newcomers", "mothers", "migrants"])
    bad = expand(
        rng,
        "[all {g} are [stupid|lazy|liars|useless|dirty|weak|bad]|{g} should [go away|"
        "shut up|not be here|have no rights]|nobody wants {g} here|{g} ruin everything]",
        g=group,
    )
    good = expand(
        rng,
        "[{g} are welcome here|{g} have the same rights as anyone|we should listen "
        "to {g}|{g} work hard|I am glad that so many {g} came|thank you to all the "
        "{g} who helped]",
        g=group,
    )
    return expand(
        rng,
        "[{A} wrote that {bad}.|Somebody wrote: {bad}.|On the wall it said that {bad}.] "
        "[That is hate.|These are words of hate.|This is hateful and unkind.|It is "
        "hate against {g}.|"
        "{B} called it hate speech.] [{B} wrote that {good}.|Somebody else wrote: {good}.|"
        "{B} answered: {good}.] [That is kind, not hate.|There is no hate in that.|"
        "This is a kind word.|These are friendly words.]"
        "[ Who speaks badly of all {g} speaks with hate.| One may be angry with one "
        "person and not hate all {g}.| Words about {g} can be kind or full of hate.|]",
        A=a.first,
        B=b.first,
        bad=bad,
        good=good,
        g=group,
    )


def page(rng: random.Random, names: Names) -> str:
    kinds = (
        (word_page, 45),
        (noun_page, 12),
        (word_list, 30),
        (diary, 18),
        (scene, 20),
        (thread, 12),
        (comparison, 6),
        (speech, 4),
    )
    kind = rng.choices([k for k, _ in kinds], [n for _, n in kinds])[0]
    text = kind(rng) if kind in (word_page, noun_page, word_list) else kind(rng, names)
    return articles(text)
