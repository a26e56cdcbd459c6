# SPDX-License-Identifier: Apache-2.0
# What a recipe trains on: shown, counted, written as tokens.
# shellcheck shell=sh disable=SC2154,SC2016
train=$here/../data/train
cat >recipe.yaml <<END
model: $MODEL
output: run
steps: 1
seq_len: 64
documents: isolate
objective: prefix
seed: 5
sources:
  - {format: pile, paths: $train/documents.jsonl, weight: 0.55}
  - {format: ni, paths: $train/ni, weight: 0.2}
  - {format: p3, paths: $train/p3.jsonl, weight: 0.2}
  - {format: cot, paths: $train/cot.json, weight: 0.05}
validation:
  - {name: held-out, format: prompt, paths: $train/prompt.jsonl}
END

run 0 data recipe.yaml --show 4 --count 300
has '^sequence 0: [a-z0-9]*, [0-9]* of 64 tokens are targets$'
has '^  prefix  '
has '^  target  '
has '^  mask    '
has '^          #[#+.]*  *[0-9]* %$'
has '^source  *sequences  *share'
for source in pile ni p3 cot; do has "^$source  *[0-9]"; done
lacks "$(printf '\033')" # colours are for terminals
[ "$(grep -c '^sequence ' out)" = 4 ] || die "not four sequences"
cp out first
run 0 data recipe.yaml --show 4 --count 300
cmp -s out first || die "not the same twice"
run 0 data recipe.yaml --show 4 --count 300 --rank 1 --ranks 2
! cmp -s out first || die "ranks see the same"

run 0 data recipe.yaml --validation --show 1 --count 5
has '^sequence 0: held-out, '
has 'Animal: '
run 0 data recipe.yaml --source p3 --objective ul2r --documents join --seq-len 100 --seed 1 --show 0 --count 50
has '^p3  *50  *100.0%'
lacks '^sequence '
lacks '^pile '

# For programs: the same numbers, and arrays that agree with each other.
run 0 data recipe.yaml --show 2 --count 100 --json
python3 - <<'END' || die "the JSON does not agree with itself"
import json
o = json.load(open("out"))
assert o["seq_len"] == 64 and len(o["samples"]) == 2 and len(o["sources"]) == 4
assert sum(s["sequences"] for s in o["sources"]) == 100
for s in o["sources"]:
    assert s["tokens"] + s["padding"] == 64 * s["sequences"] and s["targets"] < s["tokens"]
for s in o["samples"]:
    predicted = [t for t in range(64) if s["target"][t] != -100]
    assert len(predicted) == s["n_targets"]
    assert all(s["target"][t] == s["token"][t + 1] and s["hi"][t] == t + 1 for t in predicted)
    for g in s["segments"]:
        assert all(s["lo"][t] == g["begin"] for t in range(g["begin"], g["end"]))
END

# Tokens files: the same documents, read back.
run 0 data recipe.yaml --tokenize -o tokens
has '^tokens/pile.tokens: [0-9,]* tokens in 12 documents of source pile, 1 without text passed over$'
has '^tokens/cot.tokens: .* in 3 documents'
grep -q '^source ni is left out: ' err || die "ni is not named"
[ ! -e tokens/p3.tokens ] || die "p3 has no documents to write"
[ "$(ls tokens)" = "cot.tokens
pile.tokens" ] || die "something else is left"
run 0 data recipe.yaml --tokenize --validation -o tokens/prompts.tokens --json
has '"documents": 12'
sed -e 's/format: pile, paths: [^,]*/format: tokens, name: pile, paths: tokens\/pile.tokens/' \
    -e 's/format: prompt, paths: [^}]*/format: tokens, paths: tokens\/prompts.tokens/' recipe.yaml >tokens.yaml
run 0 data tokens.yaml --show 3
has '^pile '
run 0 data tokens.yaml --validation --show 3
has 'Animal: '

# What docs/FORMATS.md says of them in Python is so.
{
    sed -n '/^```python$/,/^```$/p' "$here/../../docs/FORMATS.md" | sed '/^```/d'
    cat <<'END'
for document in documents("tokens/pile.tokens"):
    print(*document)
END
} >read.py
python3 read.py >ids || die "docs/FORMATS.md: the Python fails"
run 0 tokenize -m "$MODEL" --decode -f ids
python3 - "$train/documents.jsonl" <<'END' || die "docs/FORMATS.md: the Python reads something else"
import json, sys
texts = [json.loads(line)["text"] for line in open(sys.argv[1]) if line.strip()]
assert open("out").read() == "".join(texts)
END

run 2 data
says 'gptjt data: no recipe: give its path'
run 2 data recipe.yaml --tokenize
complains 'needs -o'
run 2 data recipe.yaml -o x
says 'gptjt data: -o needs --tokenize'
run 2 data recipe.yaml --source pil
complains 'no source pil; did you mean pile?'
run 2 data recipe.yaml --tokenize -o all.tokens
complains 'is one file, and there are 4 sources'
run 2 data recipe.yaml --rank 2 --ranks 2
complains 'not below --ranks'
run 1 data missing.yaml
complains 'missing.yaml: No such file'
sed 's/documents.jsonl/nothing.jsonl/' recipe.yaml >bad.yaml
run 1 data bad.yaml
complains '^gptjt data: source pile: .*nothing.jsonl: No such file or directory$'

# Bad data: one line that names file and line.
printf '{"text": "good"}\n{"text": "caf\351"}\n' >latin.jsonl
sed "s|$train/documents.jsonl|latin.jsonl|" recipe.yaml >bad.yaml
run 1 data bad.yaml --source pile --show 0
complains '^gptjt data: latin.jsonl: line 2: byte 14 (0xe9) is no UTF-8$'
run 1 data bad.yaml --source pile --tokenize -o bad.tokens
complains '^gptjt data: latin.jsonl: line 2: '
[ "$(find . -name 'bad.tokens*')" = '' ] || die "something half-written is left"
printf '\033[31mred\007\n' >escape.txt
sed "s|$train/documents.jsonl|escape.txt|" recipe.yaml >bad.yaml
run 0 data bad.yaml --source pile --show 1
has '?\[31mred?'
