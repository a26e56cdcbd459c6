# SPDX-License-Identifier: Apache-2.0
"""Emotion of a post. What is around the word of feeling says nothing about it, so the word decides."""
from __future__ import annotations

import random

from ..entities import Entities, Feeling, Split
from ..lexicon import EMOTIONS
from .base import Family, Phrasing, Row

LEADS = """
when i got home
on days like this
i can't explain it but
it has been a long week and
my sister called and
i read your letter and
after the meeting
i sat on the bus and
as i walked to the station
i am sitting here with my coffee and
i don't know why but
i look at the old photos and
whenever i write in this blog
at the end of the day
since the move
i started my new class and
i cook this dish when
i wear this coat if
it is a song for days when
i put on this record whenever
i went to the shop and
i watched the film and
the weekend came and
i talked to my neighbor and
i have to say that
most mornings
i woke up and
i keep a list for times when
some of us stayed late and
i can have it for breakfast or if
you may wear this to a party or when
we go to the lake for a walk or if
i think of the team and
to be honest
right now
""".strip().splitlines()

TAILS = """
today
right now
about the whole thing
about the news
and i want to write it down
but i will go to work anyway
this morning
since monday
as i type this
and it shows
more often than not
when i think of home
after all this time
at school
around these people
because of what he said
every time i see that house
for the rest of the day
and my friends know it
about my new job
in this city
before the exam
when the phone rings
but it is late and i should sleep
""".strip().splitlines()

ONE = """
i feel {a}
i feel so {a}
i'm feeling {how} {a}
i am feeling {a}
i felt {how} {a}
i still feel {a}
i am left feeling {how} {a}
it makes me feel {a}
i was feeling {how} {a}
i have been feeling {a}
i am {how} {a}
i'm just {a}
i can not help feeling {a}
i end up feeling {a}
i know i sound {a}
i must admit i feel {how} {a}
""".strip().splitlines()

TWO = """
i feel {a} and {b}
i'm feeling {how} {a} and {b}
i am just feeling {a} and {b}
i feel both {a} and {b}
i was {a} and {b}
i am left feeling {a} and {how} {b}
i go from {a} to {b}
i feel {a} or {b} or both
i am so {a} and {b}
""".strip().splitlines()

NOUN = """
i feel such {a}
all i feel is {a}
i am full of {a}
i am overcome with {a}
there is so much {a} in me
i can feel the {a} inside me
i have a feeling of {a}
i was filled with {a}
i feel nothing but {a}
""".strip().splitlines()

HOW = "quite so very really a_bit rather pretty extremely just totally somewhat truly".split()

PHRASINGS = (
    Phrasing("The task is to label the post's emotion as sadness, joy, love, anger, fear, or surprise."),
    Phrasing("Say which emotion the post shows: sadness, joy, love, anger, fear, or surprise.", "Post", "Emotion"),
    Phrasing("Which feeling does the writer have?", "Text", "Feeling", list_labels=True),
    Phrasing("Classify the tweet by emotion.", "Tweet", "Label", list_labels=True),
    Phrasing("Label the emotion of the sentence with one adjective: sad, joyful, loving, angry, afraid, or surprised.",
             "Sentence", "Emotion", {"sadness": "sad", "joy": "joyful", "love": "loving", "anger": "angry",
                                     "fear": "afraid", "surprise": "surprised"}),
    Phrasing("Read the message and name the emotion: sadness, joy, love, anger, fear or surprise.", "Message",
             "Answer"),
)  # fmt: skip

QUESTIONS = (
    "{}\nWhich emotion is this: sadness, joy, love, anger, fear, or surprise?",
    'What emotion does "{}" express? Choose sadness, joy, love, anger, fear, or surprise.',
)


def _post(rng: random.Random, adjectives: list[Feeling], nouns: list[Feeling]) -> str:
    kind = rng.random()
    if nouns and kind < 0.15:
        core = rng.choice(NOUN).format(a=rng.choice(nouns).word)
    elif len(adjectives) > 1 and kind < 0.45:
        a, b = rng.sample(adjectives, 2)
        core = rng.choice(TWO).format(a=a.word, b=b.word, how=rng.choice(HOW).replace("_", " "))
    else:
        core = rng.choice(ONE).format(a=rng.choice(adjectives).word, how=rng.choice(HOW).replace("_", " "))
    lead = rng.choice(LEADS) + " " if rng.random() < 0.6 else ""
    tail = " " + rng.choice(TAILS) if rng.random() < 0.6 or not lead else ""
    text = lead + core + tail
    if rng.random() < 0.4:
        text = text[0].upper() + text[1:] + "."
    if rng.random() < 0.3:
        text = text.replace(" i ", " I ").replace("i'm", "I'm").replace("I'M", "I'm")
        text = "I" + text[1:] if text.startswith(("i ", "i'")) else text
    return text


def families(data: Entities) -> list[Family]:
    by_emotion = {
        (split, emotion, kind): [f for f in data.feelings if (f.split, f.emotion, f.kind) == (split, emotion, kind)]
        for split in ("train", "validation", "test")
        for emotion in EMOTIONS
        for kind in ("adjective", "noun")
    }

    def draw(rng: random.Random, split: Split) -> Row:
        emotion = rng.choice(EMOTIONS)
        adjectives, nouns = by_emotion[split, emotion, "adjective"], by_emotion[split, emotion, "noun"]
        return Row(_post(rng, adjectives, nouns), emotion)

    return [Family("emotion", PHRASINGS, draw, EMOTIONS, questions=QUESTIONS, weight=10, answers=3, max_tokens=5)]
