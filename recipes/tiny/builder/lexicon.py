# SPDX-License-Identifier: Apache-2.0
"""Words of feeling, by emotion, chosen by hand: what one can put after "I feel".

A line is a group of near-synonyms, which is what the texts about words are made of ("festive: joyful, merry"). A word
is in one group only, and words of two minds ("moved", "sick", "sorry for") are left out: a wrong label teaches noise.
Nouns are what one can be "full of". Common words, and no more of them than a model of a few million parameters can
learn from ten million tokens."""
from __future__ import annotations

ADJECTIVES = {
    "joy": """
        happy glad pleased content satisfied
        joyful cheerful merry jolly festive
        delighted thrilled elated overjoyed
        excited eager enthusiastic
        bright radiant upbeat
        hopeful optimistic confident
        proud triumphant
        calm peaceful relaxed
        playful carefree
        lucky blessed thankful grateful
        lively energetic
        wonderful terrific
    """,
    "sadness": """
        sad unhappy sorrowful tearful
        depressed dejected discouraged
        miserable gloomy dreary
        lonely abandoned isolated unloved
        heartbroken devastated crushed
        hopeless defeated
        disappointed
        guilty ashamed sorry regretful
        humiliated embarrassed
        worthless useless
        empty hollow
        melancholy homesick
        hurt rejected neglected
        weary
    """,
    "anger": """
        angry mad furious enraged livid
        annoyed irritated exasperated
        grumpy cranky grouchy
        bitter resentful
        offended insulted outraged
        hostile aggressive
        spiteful hateful
        violent fierce
        jealous envious
        frustrated impatient
        rude disgusted
        selfish stubborn
        cheated betrayed
        cruel mean
    """,
    "fear": """
        afraid scared frightened terrified
        anxious nervous worried uneasy tense jumpy
        panicked alarmed frantic
        timid shy
        threatened vulnerable unsafe insecure
        hesitant doubtful unsure uncertain
        suspicious paranoid
        shaky trembling
        intimidated horrified
        restless agitated distressed
        haunted spooked skittish
    """,
    "love": """
        loving affectionate fond adoring devoted
        tender gentle warmhearted
        romantic passionate lovesick
        caring compassionate sympathetic
        loyal faithful
        beloved cherished treasured adored
        sentimental
        longing yearning
        supportive protective
        generous giving
        attached intimate
        lovely sweet
    """,
    "surprise": """
        surprised astonished amazed astounded
        shocked stunned startled
        dumbfounded flabbergasted thunderstruck
        speechless
        curious inquisitive intrigued
        bewildered baffled perplexed mystified puzzled
        awestruck
        impressed dazzled
        dazed staggered
        incredulous
        taken_aback
    """,
}  # fmt: skip

NOUNS = {
    "joy": "happiness joy delight glee bliss pleasure gratitude pride",
    "sadness": "sadness sorrow grief misery gloom despair loneliness regret",
    "anger": "anger rage fury annoyance resentment hatred jealousy",
    "fear": "fear terror dread panic anxiety worry horror",
    "love": "love affection fondness tenderness devotion passion",
    "surprise": "surprise astonishment amazement wonder shock awe",
}

EMOTIONS = ("sadness", "joy", "love", "anger", "fear", "surprise")


def _word(text: str) -> str:
    return text.replace("_", " ")


def groups(table: dict[str, str] = ADJECTIVES) -> list[tuple[str, tuple[str, ...]]]:
    """(emotion, near-synonyms), as written above."""
    return [
        (emotion, tuple(_word(w) for w in line.split()))
        for emotion, lines in table.items()
        for line in lines.strip().splitlines()
        if line.strip()
    ]
