# SPDX-License-Identifier: Apache-2.0
"""Writes bench/data/quality.jsonl: what bench/quality asks the bundled model, in the formats it was trained on.

One object a line: task, prompt, answer. Rows of a task with "choose" are also classified: the right answer is one label,
the answers of the rows after it are the others."""
import json, random, re, sys

CURRENCIES = """Afghanistan:Afghan Afghani:AF Albania:Albanian Lek:AL Algeria:Algerian Dinar:DZ Angola:Angolan Kwanza:AO
Argentina:Argentine Peso:AR Armenia:Armenian Dram:AM Australia:Australian Dollar:AU Austria:Euro:AT
Azerbaijan:Azerbaijani Manat:AZ Bahamas:Bahamian Dollar:BS Bahrain:Bahraini Dinar:BH Bangladesh:Bangladeshi Taka:BD
Barbados:Barbadian Dollar:BB Belarus:Belarusian Ruble:BY Belgium:Euro:BE Belize:Belize Dollar:BZ
Botswana:Botswanan Pula:BW Brazil:Brazilian Real:BR Brunei:Brunei Dollar:BN Bulgaria:Bulgarian Lev:BG
Burundi:Burundian Franc:BI Cambodia:Cambodian Riel:KH Canada:Canadian Dollar:CA Chile:Chilean Peso:CL
China:Chinese Yuan:CN Colombia:Colombian Peso:CO Cuba:Cuban Peso:CU Cyprus:Euro:CY Czechia:Czech Koruna:CZ
Denmark:Danish Krone:DK Djibouti:Djiboutian Franc:DJ Ecuador:US Dollar:EC Egypt:Egyptian Pound:EG
Eritrea:Eritrean Nakfa:ER Estonia:Euro:EE Ethiopia:Ethiopian Birr:ET Fiji:Fijian Dollar:FJ Finland:Euro:FI
France:Euro:FR Gambia:Gambian Dalasi:GM Georgia:Georgian Lari:GE Germany:Euro:DE Ghana:Ghanaian Cedi:GH Greece:Euro:GR
Grenada:East Caribbean Dollar:GD Guatemala:Guatemalan Quetzal:GT Guinea:Guinean Franc:GN Guyana:Guyanaese Dollar:GY
Haiti:Haitian Gourde:HT Honduras:Honduran Lempira:HN Hungary:Hungarian Forint:HU Iceland:Icelandic Króna:IS
India:Indian Rupee:IN Indonesia:Indonesian Rupiah:ID Iran:Iranian Rial:IR Iraq:Iraqi Dinar:IQ Ireland:Euro:IE
Israel:Israeli New Shekel:IL Italy:Euro:IT Jamaica:Jamaican Dollar:JM Japan:Japanese Yen:JP Jordan:Jordanian Dinar:JO
Kazakhstan:Kazakhstani Tenge:KZ Kenya:Kenyan Shilling:KE Kuwait:Kuwaiti Dinar:KW Laos:Laotian Kip:LA
Lebanon:Lebanese Pound:LB Lesotho:Lesotho Loti:LS Liberia:Liberian Dollar:LR Libya:Libyan Dinar:LY
Madagascar:Malagasy Ariary:MG Malawi:Malawian Kwacha:MW Malaysia:Malaysian Ringgit:MY Maldives:Maldivian Rufiyaa:MV
Malta:Euro:MT Mauritius:Mauritian Rupee:MU Mexico:Mexican Peso:MX Moldova:Moldovan Leu:MD Mongolia:Mongolian Tugrik:MN
Morocco:Moroccan Dirham:MA Mozambique:Mozambican Metical:MZ Namibia:Namibian Dollar:NA Nepal:Nepalese Rupee:NP
Netherlands:Euro:NL Nicaragua:Nicaraguan Córdoba:NI Nigeria:Nigerian Naira:NG Norway:Norwegian Krone:NO
Oman:Omani Rial:OM Pakistan:Pakistani Rupee:PK Panama:Panamanian Balboa:PA Paraguay:Paraguayan Guarani:PY
Peru:Peruvian Sol:PE Philippines:Philippine Peso:PH Poland:Polish Zloty:PL Portugal:Euro:PT Qatar:Qatari Riyal:QA
Romania:Romanian Leu:RO Russia:Russian Ruble:RU Rwanda:Rwandan Franc:RW Samoa:Samoan Tala:WS
Serbia:Serbian Dinar:RS Seychelles:Seychellois Rupee:SC Singapore:Singapore Dollar:SG Somalia:Somali Shilling:SO
Spain:Euro:ES Sudan:Sudanese Pound:SD Suriname:Surinamese Dollar:SR Sweden:Swedish Krona:SE Switzerland:Swiss Franc:CH
Taiwan:New Taiwan Dollar:TW Thailand:Thai Baht:TH Tonga:Tongan Paʻanga:TO Tunisia:Tunisian Dinar:TN
Uganda:Ugandan Shilling:UG Ukraine:Ukrainian Hryvnia:UA Uruguay:Uruguayan Peso:UY Vanuatu:Vanuatu Vatu:VU
Vietnam:Vietnamese Dong:VN Yemen:Yemeni Rial:YE Zambia:Zambian Kwacha:ZM"""

FEELINGS = {
    "sadness": "sad,miserable,gloomy,lonely,hopeless,unhappy,blue,heartbroken,sorry,depressed",
    "joy": "happy,pleased,festive,cheerful,delighted,thankful,glad,joyful,proud,content",
    "love": "loving,cherished,tender,passionate,caring,affectionate,romantic,sympathetic,fond,loved",
    "anger": "angry,hostile,cranky,furious,annoyed,irritated,mad,bitter,outraged,resentful",
    "fear": "scared,afraid,nervous,anxious,terrified,worried,frightened,shaky,uneasy,fearful",
    "surprise": "surprised,amazed,funny,shocked,stunned,astonished,curious,impressed,strange,dazed",
}
OPENINGS = ["I am feeling {}", "i feel {}", "im so {}", "I'm feeling quite {}", "she makes me feel {}"]
ENDINGS = ["with my family", "as if it were a holiday", "today", "and tired", "about it all"]
FIRST = "Jane Peter Olga Grace Nina Elsa Tom Oscar Lena Maria Ivan Felix Chloe Noah Emma".split()
LAST = "Doe Lee Weber Chen Lopez Clark Gupta Ito Khan Moore Costa Fischer Young Jones Lang".split()
PLACES = "Boston Austin Cairo Rome Seattle Denver Tokyo Lima Portland Bahamas".split()
FIRMS = "Microsoft Toyota Google Intel Sony".split()

pick = random.Random(1)
rows = []


def add(task, head, shots, question, answer, choose):
    inp, out = ("Sentence:", "Entities:") if task == "entities" else ("Input:", "Output:")
    body = "".join(f"\n\n{inp} {q}\n{out} {a}" for q, a in shots)
    row = {"task": task, "prompt": f"{head}{body}\n\n{inp} {question}\n{out}", "answer": " " + answer}
    rows.append(row | ({"choose": True} if choose else {}))


def table(task, head, pairs):
    for i, (question, answer) in enumerate(pairs):
        add(task, head, pick.sample(pairs[:i] + pairs[i + 1:], 1), question, answer, True)


def contact():
    first, last, area = pick.choice(FIRST), pick.choice(LAST), pick.randint(200, 989)
    middle, end = pick.randint(200, 999), pick.randint(1000, 9999)
    mail = pick.choice(["", f"{first.lower()}@{pick.choice(['mail.com', 'post.net', 'example.org'])}"])
    phone = pick.choice([f"({area}) {middle} {end}", f"{area}.{middle}.{end}", f"({area}) {middle}-{end}"])
    return f"{first} {last} {phone}" + (f" email: {mail}" if mail else ""), f"{first} {last},{mail},{area}-{middle}-{end}"


def sentence():
    first, last, place, other = pick.choice(FIRST), pick.choice(LAST), *pick.sample(PLACES, 2)
    firm, friend = pick.choice(FIRMS), pick.choice(FIRST)
    return pick.choice([
        (f"{first} {last}, the CEO of {firm}, was visiting {place} last May.", f"{first} {last}, {firm}, {place}"),
        (f"Yesterday {first} {last} met {friend} in {place}.", f"{first} {last}, {friend}, {place}"),
        (f"Cities include {place} and {other}, which I have visited with {first}.", f"{place}, {other}, {first}"),
    ])


countries = re.findall(r"\s*([^:]+):([^:]+):([A-Z]{2})", CURRENCIES.replace("\n", " "))
feelings = [(pick.choice(OPENINGS).format(word) + " " + pick.choice(ENDINGS), label)
            for label, words in FEELINGS.items() for word in words.split(",")]
pick.shuffle(feelings)
table("currency", "Return the currency of the given country.", [(name, currency) for name, currency, _ in countries])
table("code", "Return the two-letter code of the given country.", [(name, code) for name, _, code in countries])
table("emotion", "The task is to label the post's emotion as sadness, joy, love, anger, fear, or surprise.", feelings)
for _ in range(40):
    add("csv", "Format the data into a CSV file:", [contact()], *contact(), False)
    add("entities", "Extract all the names of people, places, and organizations from the following sentences.",
        [sentence()], *sentence(), False)
with open(sys.argv[1], "w", encoding="utf-8") as f:
    f.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
