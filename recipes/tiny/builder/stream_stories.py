# SPDX-License-Identifier: Apache-2.0
"""Generated prose: little stories, letters, news, dialogues, posts and notices.

Each has a few names that come back again and again, and often ends by saying who or what it was about, so that to
look back and copy is what predicts the next word best.
"""

from __future__ import annotations

import random

from .stream_feelings import NAMES as EMOTION_NAMES
from .stream_feelings import _emotion, _group, cause, my_cause, sign
from .stream_world import (
    DATE_STYLES,
    MONTHS,
    TITLES,
    WEEKDAYS,
    Names,
    Person,
    address,
    articles,
    capital,
    date,
    email,
    expand,
    listing,
    number,
)

THINGS = """ball book bicycle boat basket bell box candle chair clock coat cup drum flute hat kite knife lamp
    letter map mirror necklace pen picture plate ring rope scarf shoe spoon stick stone sword table umbrella violin
    watch wheel guitar radio key bag bottle bowl brush button coin doll feather""".split()
COLORS = "red blue green yellow black white brown grey golden silver purple orange pink".split()
SIZES = "big small little old new heavy light long short round broken shiny dusty tiny beautiful plain strange".split()
ANIMALS = """dog cat horse cow sheep goat pig hen duck goose rabbit mouse fox wolf bear owl crow otter frog hedgehog
    squirrel donkey sparrow turtle badger""".split()
FOODS = """apples bread cheese soup rice beans eggs milk tea coffee cake honey carrots potatoes onions plums pears
    cherries fish nuts butter salt sugar tomatoes lemons""".split()
ROOMS = "kitchen garden cellar attic garage bedroom hall barn library office shed yard".split()
SPOTS = "river forest hill lake market bridge harbor station school church park mill beach field road tower inn".split()
WEATHER = "raining|snowing|sunny|windy|foggy|cold|warm|hot|dark|quiet|cloudy|stormy"
JOBS = TITLES


def thing(rng: random.Random) -> str:
    return rng.choice(
        [f"{rng.choice(SIZES)} {rng.choice(THINGS)}", f"{rng.choice(COLORS)} {rng.choice(THINGS)}", rng.choice(THINGS)]
    )


def _say(rng: random.Random, template: str, people: list[Person], **slots: object) -> str:
    """Fills a template with {A}, {B}, {C} (first names), {AA}, {BB} (full names) and A's pronouns."""
    for letter, person in zip("ABC", people):
        slots[letter], slots[letter * 2] = person.first, person.name
    return expand(rng, template, **people[0].pronouns(), **slots)


# ---- Stories ----


def lost_and_found(rng: random.Random, names: Names) -> str:
    people = names.persons(rng, 2)
    item = thing(rng)
    noun = item.split()[-1]
    looked = rng.sample(ROOMS, 3)
    lines = [
        "[{A} had a {item}.|Once {A} had a {item}.|For years {A} had kept a {item}.] "
        "[It was {his} favourite {n}.|{He} liked the {n} very much.|{He} had got the "
        "{n} from {B}.]",
        "[One day|On {day}|One morning] the {n} was gone. [{A} looked in the {r0}. "
        "No {n}.|{A} looked in the {r0}, but the {n} was not in the {r0}.] "
        "[{He} looked in the {r1}. No {n} there either.|Then {he} looked in the {r1}, "
        "but it was not in the {r1} either.]",
        '[{He} asked {B}. "Did you see my {n}?" asked {A}.|"{B}, where is my {n}?" '
        'asked {A}.] ["I think the {n} is in the {r2}," said {B}.|"Did you look '
        'in the {r2}?" asked {B}.]',
        "[{A} went to the {r2}|So {A} looked in the {r2}|They went to the {r2}], and "
        "[there was the {n}|there it was: the {item}|in the {r2} they found the {item}]!",
        '[{A} thanked {B}.|"Thank you, {B}!" said {A}.|{A} was happy to have the '
        "{n} back.] [From then on the {n} stayed in the {r1}.|The {n} had been in the "
        "{r2} all the time.|]",
    ]
    return _say(
        rng,
        " ".join(lines),
        people,
        item=item,
        n=noun,
        r0=looked[0],
        r1=looked[1],
        r2=looked[2],
        day=rng.choice(WEEKDAYS),
    )


def journey(rng: random.Random, names: Names) -> str:
    people = names.persons(rng, 2)
    places = list(dict.fromkeys(names.place(rng) for _ in range(4)))[:3]
    if len(places) < 3:
        return journey(rng, names)
    lines = [
        "[{AA} lived in {p0}.|{AA} came from {p0}.|{AA} was born in {p0} and lived "
        "in {p0}.] [One {day}|In {month}|One summer] {he} [wanted to see|set out to "
        "visit|had to travel to] {B} in {p2}.",
        "[From {p0} {he} took the train to {p1}.|First {A} went from {p0} to {p1}.|"
        "The way from {p0} to {p2} goes through {p1}.] [In {p1} it was {weather}.|{A} "
        "stayed in {p1} for {n} days.|{He} bought a {item} in {p1}.|{A} liked {p1}.]",
        "[From {p1} a bus goes to {p2}.|Then {he} went on from {p1} to {p2}.|The next "
        "day {A} left {p1} and came to {p2}.] [{B} was waiting at the station of {p2}.|"
        "{B} lives in a small house in {p2}.|In {p2} {he} met {B}.]",
        '["Welcome to {p2}, {A}!" said {B}.|"How was {p1}?" asked {B}.|"So you '
        'came all the way from {p0}," said {B}.] [{A} gave {B} a {item}.|They talked '
        'until midnight.|{B} showed {A} the {spot} of {p2}.|"And how is {p0}?" {B} asked.]',
        "[After {n} days {A} went home to {p0}.|{A} stayed in {p2} for {n} days.|In "
        "the end {A} moved from {p0} to {p2}.|Then it was time to go back to {p0}.]"
        "[ The places {A} saw were {p0}, {p1} and {p2}.| So {A} knew three cities: "
        "{p0}, {p1} and {p2}.| {A} is from {p0} and {B} is from {p2}.|]",
    ]
    return _say(
        rng,
        " ".join(lines),
        people,
        p0=places[0],
        p1=places[1],
        p2=places[2],
        day=rng.choice(WEEKDAYS),
        month=rng.choice(MONTHS),
        weather=rng.choice(WEATHER.split("|")),
        n=number(rng.randint(2, 12)),
        item=thing(rng),
        spot=rng.choice(SPOTS),
    )


def fable(rng: random.Random, names: Names) -> str:
    a, b = rng.sample(ANIMALS, 2)
    adjective, food = (
        rng.choice(SIZES[:8] + ["clever", "lazy", "proud", "kind", "greedy", "hungry", "shy"]),
        rng.choice(FOODS),
    )
    lines = [
        "[A {adj} {a}|Once a {adj} {a}|Long ago a {adj} {a}] lived [by|near|not far "
        "from] the {spot}. [Every day|Every morning|In the evening] the {a} [ate {f}|"
        "looked for {f}|gathered {f}].",
        "[One day|One cold morning|In the autumn] a {b} came to the {spot}. [The {b} "
        'was hungry.|"I am hungry," said the {b}.|The {b} had not eaten for {n} days.]',
        '["Give me some of your {f}," said the {b} to the {a}.|"May I have some '
        '{f}?" the {b} asked the {a}.|"{a2}, {a2}, what nice {f} you have!" said the {b}.]',
        '["No," said the {a}, "I need the {f} myself." And the {b} went away.|"Take '
        'what you need," said the {a}. And the {b} ate.|"If you help me carry the '
        '{f}," said the {a}, "I will share." And the {b} helped the {a}.]',
        "[Then winter came, and the {a} was in need. Who helped the {a}? It was the "
        "{b}.|Later the {a} fell into the {spot}, and the {b} pulled the {a} out.|Soon "
        "the {a} and the {b} were friends.|The next day the {b} brought the {a} a {item}.]",
        "[A friend in need is a friend indeed.|So the {a} learned to share.|Who gives "
        "will be given.|Since then the {a} and the {b} live together by the {spot}.|]",
    ]
    return expand(
        rng,
        " ".join(lines),
        adj=adjective,
        a=a,
        a2=capital(a),
        b=b,
        f=food,
        spot=rng.choice(SPOTS),
        n=number(rng.randint(2, 9)),
        item=thing(rng),
    )


def shopping(rng: random.Random, names: Names) -> str:
    people = names.persons(rng, 2)
    foods = rng.sample(FOODS, rng.randint(3, 5))
    forgotten = rng.choice(foods)
    bought = [f for f in foods if f != forgotten]
    lines = [
        "[{A} went to the market.|On {day} {A} went shopping.|{B} sent {A} to the shop.] "
        '[{B} needed {all}.|The list said: {comma}.|"Bring {all}," said {B}.]',
        "{A} bought {some}. [{He} forgot the {f}.|But the shop was out of {f}.|But there was not any {f} left.]",
        '["And what about the {f}?" asked {B}.|"You brought {some}, but no {f}," '
        'said {B}.|At home {B} looked into the bag: {some}. "I miss the {f}," said {B}.]',
        '[So {A} went again and came back with the {f}.|"I forgot the {f}," said '
        '{A}.|"They had no {f}," {A} said.] [Now they had {all}.|In the end they '
        "ate {f0} without {f}.|]",
    ]
    return _say(
        rng,
        " ".join(lines),
        people,
        all=listing(foods),
        comma=", ".join(foods),
        some=listing(bought),
        f=forgotten,
        f0=bought[0],
        day=rng.choice(WEEKDAYS),
    )


def meeting(rng: random.Random, names: Names) -> str:
    """Who is who: names with jobs, ages and towns, and questions about them."""
    people = names.persons(rng, 3)
    jobs, towns = rng.sample(JOBS, 3), [names.place(rng) for _ in range(3)]
    ages = rng.sample(range(19, 80), 3)
    facts = [
        expand(
            rng,
            "[{n} is a {j} from {t}.|{n} lives in {t} and works as a {j}.|{n}, a {j}, is "
            "{y} years old and lives in {t}.|{n} comes from {t}. {h} is a {j}.]",
            n=p.name,
            j=j,
            t=t,
            y=y,
            h=p.pronouns()["He"],
        )
        for p, j, t, y in zip(people, jobs, towns, ages)
    ]
    i = rng.randrange(3)
    questions = [
        "Who is the {j}? The {j} is {n}.",
        "Where does {f} live? {f} lives in {t}.",
        "What is {f}'s job? {f} is a {j}.",
        "Who lives in {t}? {n}.",
        "What is the last name of {f}? It is {l}.",
        "The first name of the {j} is {f}.",
    ]
    asked = " ".join(
        q.format(j=jobs[i], n=people[i].name, f=people[i].first, l=people[i].last, t=towns[i])
        for q in rng.sample(questions, rng.randint(1, 3))
    )
    return articles(" ".join(facts) + rng.choice([" ", "\n\n"]) + asked)


def promise(rng: random.Random, names: Names) -> str:
    """A longer story: two people, an object that goes from hand to hand, and what they feel about it."""
    people = names.persons(rng, 3)
    a, b, c = people
    item, place, place2, emotion = thing(rng), names.place(rng), names.place(rng), _emotion(rng)
    w = _group(rng, emotion)
    lines = [
        "[{AA} was a {job} in {p}.|In {p} there lived a {job} whose name was {AA}.|"
        "This is the story of {AA}, a {job} from {p}.] [{He} had a {item}.|What {he} "
        "loved best was a {item}.]",
        "[A friend, {BB}, often came to see {him}.|{BB} was {his} best friend.|{His} "
        'neighbour was {BB}.] ["One day this {n} will be yours, {B}," {A} used to '
        'say.|"{A}, will you give me the {n}?" asked {B}.]',
        "[Then {CC} came from {q}.|One {day} {CC} arrived from {q}.|Years later {CC} "
        'moved from {q} to {p}.] [{C} saw the {n} and wanted it.|"How much is the '
        '{n}?" asked {C}.|"I will give you {m} coins for the {n}," said {C}.]',
        "[{A} sold the {n} to {C}.|{A} gave the {n} to {C} and forgot {his} promise.|"
        'But {A} said: "No, {C}, the {n} is for {B}."|{A} kept the {n}.]',
        "[When {B} heard of it, {B} was {w}.|{B} was {w} about it.|That made {B} {w}.] "
        "{B} {s}. [It was {e} that {B} felt.|{C} saw the {e} of {B}.|{A} had never "
        "seen {B} so {v}.]",
        "[In the end {C} gave the {n} to {B}.|At last {A} and {B} shook hands.|So {A}, "
        "{B} and {C} became friends.|And {C} went back to {q}.] [The {n} still stands "
        "in {p}.|Today the {n} is in the museum of {p}.|Nobody knows where the {n} is now.|]",
    ]
    return _say(
        rng,
        " ".join(lines),
        people,
        job=rng.choice(JOBS),
        p=place,
        q=place2,
        item=item,
        n=item.split()[-1],
        m=number(rng.randint(2, 20)),
        w=w[0],
        v=w[-1],
        s=sign(rng, emotion, b, a),
        e=EMOTION_NAMES[emotion][0],
        day=rng.choice(WEEKDAYS),
    )


# ---- Letters, news, notices ----


def letter(rng: random.Random, names: Names) -> str:
    people = names.persons(rng, 2)
    a, b = people
    emotion = _emotion(rng)
    w = _group(rng, emotion)
    d = date(rng)
    mail, street, town, town2 = email(rng, a), address(rng), names.place(rng), names.place(rng)
    body = [
        "[Thank you for your letter from {t2}.|I hope you are well in {t2}.|How are "
        "things in {t2}?|It is long since I heard from you, {B}.]",
        "[Here in {t} it is {weather}.|Last week I was in {t2}.|I have a new job at "
        "{o} in {t}.|You know that I work for {o} now.]",
        "[I am {w} today, because {c}.|Something happened: {c}. I was so {w}!|{B}, I feel {w}.]",
        "[Please visit me on {day}.|Will you come to {t} on {day}?|I will be in {t2} on {day}.|See you on {day}!]",
        "[My new address is {s}, {t}.|Write to me at {mail}.|You can reach me at {mail}.|"
        "My address is still {s}, {t}.|]",
    ]
    told = my_cause(rng, emotion, names.person(rng))
    text = _say(
        rng,
        " ".join(body),
        people,
        t=town,
        t2=town2,
        weather=rng.choice(WEATHER.split("|")),
        o=names.organization(rng),
        w=w[0],
        c=told,
        mail=mail,
        s=street,
        day=rng.choice(WEEKDAYS),
    )
    close = rng.choice(["Yours", "Love", "Best wishes", "Kind regards", "Sincerely", "Your friend"])
    foot = rng.choice(["", f"\n{street}, {town}", f"\n{mail}", f"\n\n{a.name}\n{street}\n{town}\n{mail}"])
    return f"{town}, {d.text(rng.randrange(2))}\n\nDear {b.first},\n\n{text}\n\n{close},\n{rng.choice([a.first, a.name])}{foot}"


def news(rng: random.Random, names: Names) -> str:
    people = names.persons(rng, 2)
    a, b = people
    org, org2, town, town2 = names.organization(rng), names.organization(rng), names.place(rng), names.place(rng)
    region = names.region(rng)
    first = rng.choice(
        [
            "{o} opened a new office in {t} on {day}.",
            "{o} will close its office in {t} in {month}.",
            "{AA} is the new head of {o}.",
            "{AA} of {o} visited {t} on {day}.",
            "{o} and {o2} will work together in {t}.",
            "{o2} bought {o} for {m} million {cur}.",
            "{AA} left {o} and went to {o2}.",
            "A fire broke out at {o} in {t} on {day}.",
            "{AA} of {t} won the prize of {o} this year.",
            "The workers of {o} in {t} went on strike on {day}.",
            "{AA}, who works for {o} in {t}, flew to {t2} last {month}.",
            "{o} looks for workers in {c}, most of all in {t} and {t2}.",
            "{A} and {B} travelled from {t} to {c} by train.",
            "{t} and {t2} are towns in {c}, said {AA} of {o}.",
        ]
    )
    more = [
        '["We are glad about it," said {AA}, who works for {o}.|"It is good news '
        'for {t}," said {AA}.|{AA} of {o} did not want to say more.|"{t} is a good '
        'place for us," {A} {AL} said.]',
        "[{BB}, a {job} in {t}, said that nobody had asked the people.|The mayor of "
        '{t}, {BB}, thanked {o}.|"I read about it in the newspaper," said {BB} from '
        "{t2}.|{BB} of {o2} was not surprised.]",
        "[{o} has {n} offices in {c}.|In {c} {o} is well known.|{A} {AL} has never "
        "been to {c}.|{o} comes from {t2} and has {n} hundred workers.|{o2} had wanted "
        "to come to {t} too.|Last year {o} was in {t2}.|Before that, {AL} lived in "
        "{t2} in {c}.]",
        "[{B} {BL} and {A} {AL} will meet in {t} on {day2}.|{AL} will speak in {t2} "
        "in {month}.|The people of {t} wait for news from {o}.|]",
    ]
    chosen = [first, *more[: rng.randint(1, 4)]]
    text = _say(
        rng,
        " ".join(chosen),
        people,
        AL=a.last,
        BL=b.last,
        o=org,
        o2=org2,
        t=town,
        t2=town2,
        c=region,
        cur="euros",
        m=rng.randint(2, 90),
        n=number(rng.randint(2, 20)),
        job=rng.choice(JOBS),
        day=rng.choice(WEEKDAYS),
        day2=rng.choice(WEEKDAYS),
        month=rng.choice(MONTHS),
    )
    return text.strip() + (_index(rng, text, people, [org, org2], [town, town2, region]) if rng.random() < 0.5 else "")


def _index(rng: random.Random, text: str, people: list[Person], organizations: list[str], places: list[str]) -> str:
    """Who and what a text was about, in the order of the text."""

    def named(candidates: list[str]) -> list[str]:
        return sorted(dict.fromkeys(c for c in candidates if c in text), key=text.index)

    who, what, where = (
        named([p.name if p.name in text else p.first for p in people]),
        named(organizations),
        named(places),
    )
    rows = [
        ("person", "people", "People", who),
        ("organization", "organizations", "Organizations", what),
        ("place", "places", "Places", where),
    ]
    style = rng.randrange(4)
    if style == 0:
        return "\n\n" + "\n".join(f"{title}: {', '.join(found)}" for *_, title, found in rows if found)
    if style == 1:
        return "\n\n" + " ".join(
            f"The {word if len(found) > 1 else one} in this report {'are' if len(found) > 1 else 'is'} "
            f"{listing(found)}."
            for one, word, _, found in rows
            if found
        )
    if style == 2:
        return "\n\nNames: " + ", ".join(sorted(who + what + where, key=text.index))
    kinds = (
        [f"{w} is a person." for w in who]
        + [f"{w} is an organization." for w in what]
        + [f"{w} is a place." for w in where]
    )
    return "\n\n" + " ".join(rng.sample(kinds, len(kinds)))


def dialogue(rng: random.Random, names: Names) -> str:
    people = names.persons(rng, 2)
    a, b = people
    item, town, day, org, n = (
        thing(rng),
        names.place(rng),
        rng.choice(WEEKDAYS),
        names.organization(rng),
        rng.randint(2, 12),
    )
    exchanges = [
        ("Good morning, {B}.", "Good morning, {A}."),
        ("Hello, my name is {AA}.", "Nice to meet you, {A}. I am {BB}."),
        ("Where are you from, {B}?", "I am from {t}.", "Ah, from {t}! I know {t} well."),
        ("What is that?", "That is a {item}.", "A {item}! How much is it?", "The {n} costs {m} coins."),
        ("When shall we meet?", "On {d}.", "On {d} I have no time, {B}.", "Then the day after {d}."),
        ("Where do you work?", "I work for {o}.", "How long have you been with {o}?", "For {m} years."),
        ("Do you have a {n}?", "Yes, I have a {item}.", "May I see the {n}?", "Here it is."),
        ("How are you today?", "I am {w}. {c}.", "I see that you are {w}."),
        ("Have you seen {C}?", "{C} went to {t}.", "To {t}? When does {C} come back?", "On {d}."),
        ("What did {C} say?", "{C} said: no.", "Then {C} does not want the {n}."),
    ]
    c = names.persons(rng, 1)[0]
    emotion = _emotion(rng)
    told = capital(my_cause(rng, emotion, c))
    chosen = [exchanges[rng.randrange(2)], *rng.sample(exchanges[2:], rng.randint(2, 4))]
    slots = dict(t=town, item=item, n=item.split()[-1], m=n, d=day, o=org, w=_group(rng, emotion)[0], c=told, C=c.first)
    lines = [_say(rng, line, people, **slots) for exchange in chosen for line in exchange]
    speakers = [p for exchange in chosen for p in (people * 3)[: len(exchange)]]
    style = rng.randrange(3)
    if style == 0:
        return "\n".join(f"{p.first}: {line}" for p, line in zip(speakers, lines))
    if style == 1:
        return "\n".join(f"- {line}" for line in lines)
    verbs = [
        "asked" if line.endswith("?") else "said" if p is a else rng.choice(["said", "answered"])
        for p, line in zip(speakers, lines)
    ]
    return "\n".join(
        f'"{line[:-1] + "," if line.endswith(".") else line}" {verb} {p.first}.'
        for p, line, verb in zip(speakers, lines, verbs)
    )


def post(rng: random.Random, names: Names) -> str:
    """A few posts of a day, as people write them on the web."""
    people = names.persons(rng, 2)
    lines = []
    for _ in range(rng.randint(3, 6)):
        emotion = _emotion(rng)
        a, b = rng.sample(people, 2)
        lines.append(
            capital(
                _say(
                    rng,
                    rng.choice(
                        [
                            "@user thanks for the {n}!!! #{tag}",
                            "just saw a {item} in {t} #{tag}",
                            "does anyone know how to fix a {n}?",
                            "new {n} today. so {w} :)",
                            "{c}... #{tag}",
                            "RT @user: {c}",
                            "good morning {t}! it is {weather} here",
                            "{o} is closed today. why, @user?",
                            "so {w} about this http://example.com/{num}",
                            "happy birthday {B}!!",
                            "@user you should read this. {o} did it again #{tag}",
                            "LOL the {n} of {B} #{tag}",
                            "NO. {c}. not again",
                            "who else is in {t} this {day}?",
                            "can somebody help me? my {n} is broken @user",
                        ]
                    ),
                    [a, b],
                    item=thing(rng),
                    n=rng.choice(THINGS),
                    t=names.place(rng),
                    w=_group(rng, emotion)[0],
                    c=cause(rng, emotion, a, b),
                    o=names.organization(rng),
                    tag=rng.choice(THINGS + ANIMALS + ["monday", "love", "news", "fail", "win", "happy"]),
                    weather=rng.choice(WEATHER.split("|")),
                    day=rng.choice(WEEKDAYS),
                    num=rng.randint(10, 999),
                )
            )
        )
    return "\n".join(lines)


def notice(rng: random.Random, names: Names) -> str:
    """An invitation, an advertisement or a notice, and the same once more in brief."""
    a, b = names.persons(rng, 2)
    d, hour, org, town, street = date(rng), rng.randint(8, 20), names.organization(rng), names.place(rng), address(rng)
    what = rng.choice(
        [
            "concert",
            "meeting",
            "party",
            "lecture",
            "market",
            "dinner",
            "exhibition",
            "reading",
            "race",
            "wedding",
            "course",
        ]
    )
    when = d.text(rng.randrange(DATE_STYLES))
    text = expand(
        rng,
        "[{o} invites you to a {w} in {t}.|There will be a {w} at {o} in {t}.|{a} and "
        "{b} invite everyone to their {w} in {t}.] [It is on {when} at {h}:00.|The "
        "{w} begins at {h}:00 on {when}.|Come on {when}, at {h}:00.] "
        "[The address is {s}, {t}.|You find us at {s} in {t}.|Where: {s}.] [Please "
        "write to {m}.|Questions? Ask {a} at {m}.|Tickets cost {p} dollars.|Entry is free.]",
        o=org,
        w=what,
        t=town,
        a=a.name,
        b=b.name,
        when=when,
        h=hour,
        s=street,
        m=email(rng, a),
        p=rng.randint(2, 50),
    )
    if rng.random() < 0.5:
        return text
    return text + rng.choice(
        [
            f"\n\nWhat: {what}\nWhen: {when}, {hour}:00\nWhere: {street}, {town}",
            f"\n\nIn brief: {what}, {town}, {when}, {hour}:00.",
            f"\n\nPlace: {town}\nDate: {when}\nTime: {hour}:00",
        ]
    )


def page(rng: random.Random, names: Names) -> str:
    kinds = (
        (lost_and_found, 10),
        (journey, 10),
        (fable, 8),
        (shopping, 8),
        (meeting, 10),
        (promise, 12),
        (letter, 12),
        (news, 20),
        (dialogue, 10),
        (post, 6),
        (notice, 8),
    )
    n = 1 if rng.random() < 0.7 else rng.randint(2, 3)
    chosen = rng.choices([k for k, _ in kinds], [w for _, w in kinds], k=n)
    return "\n\n".join(kind(rng, names).strip() for kind in chosen)
