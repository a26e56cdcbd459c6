# SPDX-License-Identifier: Apache-2.0
"""Words of feeling, by emotion, chosen by hand: what one can put after "I feel".

A line is a group of near-synonyms, which is what the texts about words are made of ("festive: joyful, merry"). A word
is in one group only, and words of two minds ("moved", "sick", "sorry for") are left out: a wrong label teaches noise.
Nouns are what one can be "full of"."""
from __future__ import annotations

ADJECTIVES = {
    "joy": """
        happy glad pleased content contented satisfied gratified
        joyful joyous cheerful cheery merry jolly gleeful mirthful festive
        delighted thrilled elated ecstatic overjoyed jubilant euphoric exultant rapturous blissful
        excited eager enthusiastic exhilarated keen
        sunny bright radiant beaming upbeat buoyant perky chipper bouncy
        optimistic hopeful positive encouraged confident assured
        proud triumphant victorious successful accomplished
        calm peaceful serene tranquil relaxed comfortable
        playful carefree jaunty lighthearted frisky jovial
        lucky fortunate blessed privileged thankful grateful appreciative
        lively energetic vibrant invigorated refreshed
        terrific fantastic splendid wonderful fabulous superb
        amused entertained tickled
        welcome honored valued respected
        inspired creative productive energized motivated
        divine heavenly glorious
    """,
    "sadness": """
        sad unhappy sorrowful mournful doleful woeful rueful tearful weepy
        depressed dejected downcast despondent dispirited disheartened discouraged downhearted
        miserable wretched dismal dreary bleak gloomy glum morose sullen
        lonely lonesome forlorn abandoned forsaken isolated alone deserted unloved unwanted
        heartbroken brokenhearted devastated crushed shattered inconsolable
        grieving bereaved bereft
        hopeless despairing defeated pessimistic
        disappointed dissatisfied displeased disillusioned crestfallen
        guilty ashamed remorseful regretful sorry apologetic
        humiliated embarrassed disgraced degraded
        worthless useless inadequate inferior pathetic insignificant
        empty hollow numb lifeless joyless listless
        melancholy wistful blue homesick nostalgic
        hurt wounded tormented anguished tortured
        rejected neglected ignored excluded unimportant unappreciated
        exhausted drained weary burdened
        troubled aching low rotten lousy crummy
    """,
    "anger": """
        angry mad cross irate furious enraged infuriated livid wrathful raging
        annoyed irritated aggravated exasperated irked peeved vexed
        grumpy grouchy cranky crabby cantankerous crotchety testy
        irritable touchy snappish petulant peevish tetchy prickly
        bitter resentful indignant offended insulted affronted outraged
        hostile aggressive belligerent combative antagonistic
        spiteful vindictive vengeful malicious hateful venomous
        violent savage vicious fierce
        jealous envious grudging covetous
        frustrated impatient fed_up bothered
        rude obnoxious disgusted appalled contemptuous
        greedy selfish stubborn rebellious defiant
        incensed fuming seething boiling
        sarcastic cynical surly huffy
        wronged cheated betrayed mistreated
        dangerous cruel mean
    """,
    "fear": """
        afraid scared frightened fearful terrified petrified
        anxious nervous worried uneasy apprehensive edgy jittery jumpy tense
        panicky panicked hysterical frantic alarmed
        timid shy bashful timorous diffident
        threatened endangered vulnerable unprotected unsafe insecure
        hesitant reluctant doubtful unsure uncertain indecisive wary
        suspicious distrustful paranoid skeptical
        shaky trembling quivering shaken rattled
        intimidated daunted cowed
        horrified horror-struck
        restless agitated distressed perturbed unsettled
        neurotic stressed pressured overstrained
        cowardly spineless fainthearted
        spooked haunted creeped_out
        phobic
        squeamish skittish nervy keyed_up
    """,
    "love": """
        loving affectionate fond adoring devoted
        tender tenderhearted gentle warmhearted softhearted
        romantic amorous passionate lovesick enamored infatuated smitten besotted
        caring compassionate sympathetic kindhearted considerate
        loyal faithful steadfast
        beloved cherished treasured adored
        sentimental mushy
        longing yearning pining
        desirous lustful sensual
        supportive nurturing protective motherly fatherly
        generous giving charitable bighearted
        attached intimate
        lovely sweet cuddly
        doting charmed bewitched
    """,
    "surprise": """
        surprised astonished amazed astounded
        shocked stunned dumbfounded flabbergasted thunderstruck dumbstruck
        startled jolted
        speechless openmouthed wide-eyed
        curious inquisitive intrigued
        bewildered baffled perplexed mystified puzzled
        awestruck awed wonderstruck
        impressed dazzled
        dazed staggered bowled_over
        incredulous disbelieving
        stupefied nonplussed gobsmacked
        taken_aback
    """,
}  # fmt: skip

NOUNS = {
    "joy": """happiness gladness joy delight glee cheer merriment mirth jollity bliss elation ecstasy euphoria
        jubilation pleasure contentment satisfaction enjoyment exhilaration gratitude pride optimism enthusiasm
        serenity laughter""",
    "sadness": """sadness sorrow grief unhappiness misery gloom melancholy despair depression dejection heartache
        heartbreak loneliness remorse regret guilt shame disappointment despondency woe anguish hopelessness
        homesickness self-pity""",
    "anger": """anger rage fury wrath annoyance irritation resentment indignation outrage hatred hostility spite
        bitterness jealousy envy contempt exasperation frustration malice loathing""",
    "fear": """fear terror dread fright panic anxiety worry nervousness horror alarm apprehension unease
        trepidation timidity foreboding""",
    "love": """love affection fondness tenderness devotion adoration passion infatuation compassion longing
        adulation desire warmth""",
    "surprise": """surprise astonishment amazement wonder shock bewilderment curiosity awe puzzlement
        stupefaction disbelief""",
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
