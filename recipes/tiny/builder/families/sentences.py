# SPDX-License-Identifier: Apache-2.0
"""What a sentence is: a review, a question, a complaint, spam, about sports, ... Sentences are templates with words of
small lists. A fifth of each list of things is for tests, and the last templates of each label, too: half of the tests
are new sentences about new things, the others are of templates that training has not."""
from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache

from ..entities import Entities, Split, split_of
from .base import Family, Phrasing, Row, capitalised

THINGS = tuple(
    """phone laptop camera printer charger headset keyboard router tablet watch blender toaster kettle oven fridge
mixer heater lamp sofa mattress pillow blanket desk chair shelf carpet curtain backpack wallet jacket coat sweater boots
sandals gloves umbrella tent bike helmet racket scooter drone guitar piano game puzzle book novel album film show hotel
restaurant cafe bakery pizza burger soup salad cake coffee tea wine room flight train ferry tour museum course gym pool
garden mower drill ladder hammer paint bottle mug pan knife plate towel soap shampoo cream perfume brush
mirror""".split()
)
PEOPLE = tuple(
    """brother sister mother father uncle aunt neighbor friend teacher boss cousin doctor daughter son grandmother
grandfather coach colleague nephew niece roommate tenant landlord partner""".split()
)
FIRMS = tuple(
    """airline bank store shop company hotel carrier network insurer website app bookshop supermarket garage clinic
railway pharmacy theater restaurant team agency utility""".split()
)

Slots = Mapping[str, tuple[str, ...]]
SPLIT_FROM = 20  # words; longer lists are split
HELD_OUT = 5  # of so many templates one is for tests only


def _is_new(template: str, slots: Slots) -> bool:
    """Whether a split list makes sentences of the template new in each split."""
    return any(len(slots[name]) > SPLIT_FROM for name in re.findall(r"\{(\w+)\}", template))


@cache
def _of_split(words: tuple[str, ...], split: Split) -> tuple[str, ...]:
    if len(words) <= SPLIT_FROM:
        return words
    return tuple(w for w in words if split_of("slot", w) == split)


def _fill(rng: random.Random, split: Split, template: str, slots: Slots) -> str:
    """The template with words from the lists that its braces name, of this split where a list is split."""

    return re.sub(r"\{(\w+)\}", lambda slot: rng.choice(_of_split(slots[slot[1]], split)), template)


def _polish(rng: random.Random, text: str) -> str:
    return capitalised(text) if rng.random() < 0.8 else text


def _classifier(name: str, phrasings: Sequence[Phrasing], templates: Mapping[str, str], slots: Slots,
                question: str) -> Family:  # fmt: skip
    lines = {label: text.strip().splitlines() for label, text in templates.items()}
    known = {label: some[: len(some) - len(some) // HELD_OUT] for label, some in lines.items()}
    labels = tuple(templates)

    def draw(rng: random.Random, split: Split) -> Row:
        label = rng.choice(labels)
        new = lines[label][len(known[label]) :]
        usable = new if split == "test" and rng.random() < 0.5 else known[label]
        if split != "train":
            usable = [t for t in usable if _is_new(t, slots)]
        return Row(_polish(rng, _fill(rng, split, rng.choice(usable), slots)), label)

    return Family(name, phrasings, draw, labels, questions=(question,), max_tokens=6)


MONTHS = tuple("January February March April May June July August September October November December".split())

COMMON: Slots = {
    "thing": THINGS,
    "who": PEOPLE,
    "firm": FIRMS,
    "day": tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()),
    "month": MONTHS,
    "n": tuple(map(str, range(2, 100))),
    "year": tuple(map(str, range(1950, 2026))),
    "date": tuple(map(str, range(1, 29))),
    "user": ("@user",),
}

# ---- Reviews ----

REVIEW = (
    Phrasing("Label the review as positive or negative.", "Review", "Label"),
    Phrasing("Did the customer like it?", "Review", "Liked", {"positive": "yes", "negative": "no"}),
    Phrasing("What is the sentiment of the text?", "Text", "Sentiment", list_labels=True),
    Phrasing("Rate the review as good or bad.", "Input", "Output", {"positive": "good", "negative": "bad"}),
)
REVIEWS = {
    "positive": """
the {thing} is {good} and {good2}
i love this {thing}, it is {good}
{good} {thing}, would buy it again
my {who} says the {thing} is {good}
what a {good} {thing}
the {thing} works well and looks {good}
a {good2} {thing} for a fair price
i am very happy with the {thing}
best {thing} i ever had
the {thing} was {good}, five stars
not {bad} at all, the {thing} is {good}
i would recommend the {thing} to my {who}
we enjoyed the {thing}, it was {good}
the {thing} never failed us, {good}""",
    "negative": """
the {thing} is {bad} and {bad2}
i hate this {thing}, it is {bad}
{bad} {thing}, would not buy it again
my {who} says the {thing} is {bad}
what a {bad} {thing}
the {thing} broke after a week and looks {bad}
a {bad2} {thing} for far too much money
i am very unhappy with the {thing}
worst {thing} i ever had
the {thing} was {bad}, one star
not {good} at all, the {thing} is {bad}
i would not recommend the {thing} to my {who}
we did not enjoy the {thing}, it was {bad}
the {thing} failed us twice, {bad}""",
}
GOOD = tuple(
    "great good excellent lovely superb reliable perfect beautiful fantastic wonderful amazing brilliant solid".split()
)
BAD = tuple(
    "awful bad terrible ugly useless broken horrible dreadful poor boring cheap disappointing dull faulty".split()
)

# ---- Kinds of sentences ----

KIND = (
    Phrasing("Is the sentence a question, a statement, or a command?", "Sentence", "Kind"),
    Phrasing("Label the kind of sentence.", "Text", "Label", list_labels=True),
    Phrasing("Does it ask, tell, or order?", "Input", "Output",
             {"question": "ask", "statement": "tell", "command": "order"}),
)  # fmt: skip
KINDS = {
    "question": """
where did your {who} buy the {thing}
is the {thing} still on the table
have you seen the {thing} of my {who}
why does the {thing} cost so much
how old is your {who}
can the {who} use the {thing}
who gave you the {thing} on {day}
when will the {firm} open
does your {who} like the {thing}
what did the {who} say about the {thing}""",
    "statement": """
my {who} bought a {thing}
the {thing} is on the table
i have seen the {thing} of your {who}
the {thing} costs {n} dollars
your {who} is {n} years old
the {who} can use the {thing}
the {who} gave me the {thing} on {day}
the {firm} opens on {day}
her {who} likes the {thing}
the {who} said nothing about the {thing}""",
    "command": """
buy a {thing} for your {who}
put the {thing} on the table
look at the {thing}
pay {n} dollars for the {thing}
ask your {who} about the {thing}
let the {who} use the {thing}
give the {thing} to your {who} on {day}
go to the {firm} on {day}
please do not touch the {thing}
tell the {who} nothing about the {thing}""",
}

# ---- Topics ----

TOPIC = (
    Phrasing("What is the sentence about?", "Sentence", "Topic", list_labels=True),
    Phrasing("Name the topic: sports, food, weather, money, health, music, travel, or school.", "Text", "Topic"),
    Phrasing("Sort the news into a section.", "News", "Section", list_labels=True),
)
TOPICS = {
    "sports": """
my {who} scored a goal on {day}
the team won the match by {n} points
the coach of the {firm} said that the player will miss the race
the runner beat the champion, my {who}, in the final
our {who} plays tennis every {day}
the league has {n} clubs
my {who} swims and rows, and trains {n} hours
the goalkeeper caught the ball after {n} minutes
the {who} ran a marathon in {month}
the match between the teams was watched by my {who}""",
    "food": """
my {who} cooks soup with onions on {day}
bake the bread for {n} minutes
the recipe needs butter and {n} eggs
my {who} ate cheese and apples for lunch
the {who} fried fish for dinner
the sauce of my {who} tastes of garlic and pepper
add sugar and flour and stir for {n} minutes
the kitchen served {n} plates of rice
my {who} likes the cake with cream
for lunch my {who} had bread with butter and cheese""",
    "weather": """
it will rain for {n} hours
the storm brought {n} inches of snow
a warm wind blew around my {who}
{n} degrees and no clouds this morning
there was fog and frost, said my {who}
my {who} hopes for sunshine in {month}
thunder and lightning frightened my {who}
the sky is gray and wet, and {n} more hours of rain follow
it is hot and dry with {n} degrees
the wind and the snow surprised my {who}""",
    "money": """
the bank raised the interest to {n} percent
my {who} paid the loan in {month}
the price of the shares fell by {n} percent
taxes will rise by {n} percent in {month}
the {who} saved {n} dollars in the account
the budget was cut by {n} million
my {who} owes the bank {n} dollars
the debt of the {firm} grew to {n} million
the {who} sold the shares in {month}
the loan of the {who} costs {n} dollars of interest""",
    "health": """
the nurse gave my {who} a vaccine on {day}
the doctor treats {n} patients a day
my {who} has a fever and a cough
the hospital has {n} beds
take the pills for {n} days
the {who} broke a leg and needs surgery
the dentist pulled a tooth of my {who}
the patients sleep {n} hours after the operation
a virus made {n} people ill
the doctor gave my {who} pills for the fever""",
    "music": """
the band plays a song for my {who}
the choir of {n} sang on {day}
the singer recorded {n} albums
my {who} learns the violin
the orchestra gave {n} concerts in {month}
the melody is played by {n} drums and a flute
my {who} sings in a choir
the piano and the trumpet play for {n} minutes
the composer wrote {n} songs for the opera
the band and the singer gave my {who} an album""",
    "travel": """
the plane with my {who} leaves on {day}
my {who} booked a hotel for {n} nights
the {n} tourists took a bus to the beach
my {who} packed the suitcase for the trip
the ferry takes {n} passengers to the coast
the {who} lost a passport at the airport
{n} tourists visited the castle in {month}
the guide showed my {who} the way to the island
our cruise lasts {n} days
the passengers and my {who} wait for the plane""",
    "school": """
the pupils wrote {n} exams on {day}
the teacher gave {n} pages of homework
my {who} studies mathematics at college
the class learns to spell {n} words
lessons with my {who} begin on {day}
the {who} passed the test with {n} points
the professor read {n} essays
the pupils and my {who} learn grammar
the student forgot the homework of {n} lessons
my {who} has an exam and homework""",
}

# ---- Complaints, as of RAFT ----

COMPLAINT = (
    Phrasing("Label the tweet text based on whether it contains a complaint.", "Tweet text", "Label", list_labels=True),
    Phrasing("Is the customer complaining?", "Message", "Complaining", {"complaint": "yes", "no complaint": "no"}),
    Phrasing("Decide whether the message is a complaint or no complaint.", "Message", "Label"),
)
COMPLAINTS = {
    "complaint": """
{user} my {thing} has not arrived after {n} days
{user} your {firm} charged me twice for the {thing}
why is your {firm} never on time?
{user} i have been waiting for {n} minutes and nobody answers
the {thing} i bought from you is broken
{user} still no refund for my {thing}
your app crashes each time i order a {thing}
{user} the worst {firm} ever, my {thing} is lost
my {who} got the wrong {thing} from your {firm}
{user} your {firm} ruined our trip, {n} hours late again
this is the third time that your {firm} lost my {thing}
{user} nobody at the {firm} wants to help me with my {thing}""",
    "no complaint": """
{user} thanks for the {thing}, it arrived in {n} days
{user} does your {firm} sell a {thing}?
when does your {firm} open on {day}?
{user} i have waited for this {thing} since {month} and it is lovely
the {thing} i bought from you is perfect
{user} thank you for the refund for my {thing}
your app made it easy to order a {thing}
{user} the best {firm} ever, my {thing} works
my {who} loves the new {thing} from your {firm}
{user} your {firm} saved our trip, right on time again
this is the third {thing} that we buy from your {firm}
{user} everybody at the {firm} was kind to my {who}""",
}

# ---- Spam ----

SPAM = (
    Phrasing("Is the message spam? Answer spam or ham.", "Message", "Label"),
    Phrasing("Filter the mail.", "Mail", "Filter", {"spam": "spam", "ham": "not spam"}, list_labels=True),
    Phrasing("Would you delete this as junk?", "Message", "Junk", {"spam": "yes", "ham": "no"}),
)
SPAMS = {
    "spam": """
you won a free {thing}! click here now
cheap {thing} for only {n} dollars, click the link
claim your prize of {n} thousand dollars today
urgent: confirm your bank password to keep your {thing}
free {thing} for the first {n} callers
win a {thing}! text WIN to {n}
you are our lucky winner, claim the {thing} before {day}
earn {n} dollars an hour from home, click here
lose {n} pounds in a week with this {thing}
limited offer: {n} percent off each {thing}, order now""",
    "ham": """
did you see my {thing}? i left it at your place
i need a {thing} for {day}, can you lend me yours
my {who} will be here at noon
can we meet on {day} to talk about the {thing}?
i am late, start without me and my {who}
the {thing} is in the kitchen, see you on {day}
your {who} called, please call back before {day}
happy birthday to your {who}!
the lesson on {day} starts {n} minutes later
please bring the {thing} when you visit my {who}""",
}

# ---- Dates ----

DATED = (
    Phrasing("Does the sentence contain a date? Answer yes or no.", "Sentence", "Answer"),
    Phrasing("Is there a date in the text?", "Text", "Date", list_labels=True),
    Phrasing("Label the sentence as dated or undated.", "Input", "Output", {"yes": "dated", "no": "undated"}),
)
DATES = {
    "yes": """
the {firm} opened on {month} {date}, {year}
on {date} {month} {year} my {who} bought a {thing}
my {who} was born on {date} {month} {year}
the {thing} arrived on {month} {date}
the letter of {month} {date}, {year} was about a {thing}
since {date} {month} the {firm} is closed
the {who} signed for the {thing} on {month} {date}
we met at the {firm} on {date} {month}""",
    "no": """
the {firm} opened {n} weeks ago
my {who} bought a {thing} for {n} dollars
my {who} was born in a small town
the {thing} arrived with {n} letters
the letter was about a {thing}
the {firm} is closed again
the {who} signed for {n} of these
we met at the {firm} after lunch""",
}


def families(data: Entities) -> list[Family]:
    del data
    review: Slots = {**COMMON, "good": GOOD, "good2": GOOD, "bad": BAD, "bad2": BAD}
    kind = _classifier("sentence_type", KIND, KINDS, COMMON, 'Is "{}" a question, a statement, or a command?')
    return [
        _classifier("review", REVIEW, REVIEWS, review, "{}\nIs this review positive or negative?"),
        kind,
        _classifier("topic", TOPIC, TOPICS, COMMON, "{}\nWhich topic is this about?"),
        _classifier("complaint", COMPLAINT, COMPLAINTS, COMMON, "{}\nIs this a complaint or no complaint?"),
        _classifier("spam", SPAM, SPAMS, COMMON, "{}\nspam or ham?"),
        _classifier("has_date", DATED, DATES, COMMON, "{}\nIs there a date in it, yes or no?"),
    ]
