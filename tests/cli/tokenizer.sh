# SPDX-License-Identifier: Apache-2.0
# A vocabulary learned from files of every kind, and a new model for it. That the merges are the right ones is tested in
# test_bpe_train.c.
# shellcheck shell=sh disable=SC2154
train=$here/../data/train
for i in 1 2 3 4 5 6; do echo "the cat $i$i sat on the mat $i$i and the cat sat again"; done >lines.txt
printf '%s' "$(cat lines.txt)" >cat.txt

run 0 tokenizer train cat.txt --vocab-size 290 --extra-tokens 3 -o tok
has '^tok: 290 tokens in [0-9.]* s$'
has '^texts  *1 of 305 B, with [0-9]* different words$'
has '^learned  *30 tokens, the last of a pair that occurs [0-9]* times$'
has '^ids  *bytes 0 to 255, learned to 285, <|endoftext|> 286, extra tokens 287 to 289$'
has '^length  *the texts are [0-9]* tokens, [0-9.]* bytes each$'
has '^longest  *" .*, ".*"$'
[ ! -s err ] || die "there is something on stderr"
[ "$(echo tok/*)" = "tok/added_tokens.json tok/merges.txt tok/special_tokens_map.json tok/tokenizer.json \
tok/tokenizer_config.json tok/vocab.json" ] || die "not these six files"
[ "$(head -1 tok/merges.txt)" = '#version: 0.2' ] || die "merges.txt begins with something else"
[ "$(wc -l <tok/merges.txt)" = 31 ] || die "not 30 merges"
grep -q '"Ġthe": 2[0-9][0-9],$' tok/vocab.json || die " the is not learned"

# The numbers are those of the tokenizer it makes, in both of its forms.
length=$(sed -n 's/^length .* are \([0-9]*\) tokens.*/\1/p' out)
run 0 tokenize -m tok -f cat.txt --json
has "\"n\": $length}"
cp out whole.json
mkdir separate
cp tok/vocab.json tok/merges.txt tok/added_tokens.json tok/special_tokens_map.json tok/tokenizer_config.json separate
run 0 tokenize -m separate -f cat.txt --json
cmp -s out whole.json || die "the two forms encode differently"
for form in tok separate; do
    run 0 tokenize -m $form -p '<|endoftext|><|extratoken_1|><|extratoken_3|>'
    prints '286 287 289'
done

# Twice the same; statistics for programs.
run 0 tokenizer train cat.txt --vocab-size 290 --extra-tokens 3 -o again --json
has '^{"output": "again", "vocab_size": 290, "learned": 30, "end_of_text_id": 286, "last_frequency": [0-9]*, "texts": 1,'
has "\"tokens\": $length, "
diff -r tok again || die "not the same twice"

# Digits apart; lines apart; rare pairs left; another special token.
run 0 tokenizer train cat.txt --vocab-size 400 --digits apart --special '<|end|>' -o digits
grep -q '^warning: digits: [0-9]* tokens instead of 400: no other pair occurs 2 times$' err || die "nobody says that there are fewer"
run 0 tokenize -m digits -p '11<|end|>'
grep -q '^16 16 [0-9]*$' out || die "11 is not spelled"
run 0 tokenizer train cat.txt --vocab-size 400 -o merged --quiet
run 0 tokenize -m merged -p '11'
grep -q '^[0-9]*$' out || die "11 is not one token"
[ ! -s err ] || die "--quiet says something"
run 0 tokenizer train cat.txt --vocab-size 400 --by-line --min-frequency 7 -o lines --json
has '"last_frequency": \([7-9]\|[0-9][0-9]\)'

# JSON lines, JSON, csv, packed, a directory, a pattern; which member has the text.
run 0 tokenizer train "$train/documents.jsonl" --vocab-size 300 -o jsonl --json
run 0 tokenizer train "$train/p3.jsonl" --field inputs --vocab-size 300 -o p3 --json
run 0 tokenizer train "$train/ni" --field '*' --vocab-size 300 -o ni --json
printf 'text,label\n"the cat, the cat",a\nthe hat,b\n' >rows.csv
gzip -c cat.txt >packed.txt.gz
run 0 tokenizer train rows.csv --vocab-size 270 -o rows --json
has '"texts": 2, "bytes": 23,'
run 0 tokenizer train rows.csv --field '*' --vocab-size 270 -o every --json
has '"texts": 4, "bytes": 25,'
run 0 tokenizer train 'pack*.gz' --vocab-size 290 --extra-tokens 3 -o packed
cmp -s packed/tokenizer.json tok/tokenizer.json || die "gzip changes what is learned"
run 0 tokenizer train cat.txt packed.txt.gz rows.csv cat.txt cat.txt cat.txt cat.txt cat.txt cat.txt cat.txt \
    --vocab-size 290 -o many --json
has '"texts": 4,' # each file once

# A new model for it, which trains.
run 0 synth --init --tokenizer tok --n-layer 1 --n-embd 32 --n-head 2 --rotary-dim 8 --n-positions 64 --seed 1 -o new
run 0 inspect new --json
has '"vocab_size": 290, '
has '"torch_dtype": "float32"'
has '"bos_token_id": 286, "eos_token_id": 286'
run 0 synth --init --tokenizer digits --dtype fp16 --vocab-size 512 -o padded
run 0 inspect padded --json
has '"vocab_size": 512, '
has '"torch_dtype": "float16"'
end=$(sed -n 's/.*"<|end|>": \([0-9]*\).*/\1/p' digits/vocab.json)
has "\"eos_token_id\": $end"
cat >recipe.yaml <<END
model: new
output: run
steps: 30
seq_len: 32
documents: join
objective: ul2r
learning_rate: 0.01
warmup_steps: 2
sources:
  - {format: pile, paths: cat.txt}
END
run 0 train recipe.yaml --quiet
python3 - <<'END' || die "a new model does not begin at log(290), or does not learn"
import json, math
loss = [o["loss"] for o in map(json.loads, open("run/metrics.jsonl")) if "loss" in o]
assert abs(loss[0] - math.log(290)) < 0.2 and loss[-1] < 4, loss
END

run 2 synth --tokenizer tok --initializer-range 0.05 -o small
run 2 synth --init --tokenizer tok --vocab-size 289 -o small
complains '^gptjt synth: --vocab-size 289 is less than the 290 tokens of .*tok$'
run 2 tokenizer
says 'gptjt tokenizer: say what to do, and there is one thing: train FILES...'
run 2 tokenizer learn cat.txt
says 'gptjt tokenizer: say what to do, and there is one thing: train FILES...'
run 2 tokenizer train --vocab-size 300 -o x
says 'gptjt tokenizer: no texts: give files, directories or patterns after train'
run 2 tokenizer train cat.txt --vocab-size 300
says 'gptjt tokenizer: no output: give -o DIR'
run 2 tokenizer train cat.txt -o x
says 'gptjt tokenizer: no size: give --vocab-size N'
run 2 tokenizer train cat.txt --vocab-size 300 --extra-tokens 44 -o x
says 'gptjt tokenizer: --vocab-size 300 has no room for 256 bytes, 1 special and 44 extra tokens'
run 2 tokenizer train cat.txt --vocab-size 300 --special '' -o x
says 'gptjt tokenizer: --special is empty'
run 2 tokenizer train cat.txt --vocab-size 300 --special cat -o x
complains '^gptjt tokenizer: "cat" is token 2[0-9]* of what was learned$'
[ ! -e x ] || die "a directory is left behind"
run 2 tokenizer train cat.txt --vocab-size 300 -o tok
complains '^gptjt tokenizer: tok: is not empty'
run 0 tokenizer train cat.txt --vocab-size 300 -o tok --force --json
run 1 tokenizer train missing.txt --vocab-size 300 -o x
says 'gptjt tokenizer: missing.txt: No such file or directory'
run 2 tokenizer train "$train/p3.jsonl" recipe.yaml --vocab-size 300 -o x --field inputs
complains 'recipe.yaml: is none of .jsonl'
run 1 tokenizer train "$train/p3.jsonl" --vocab-size 300 -o x
complains "p3.jsonl: line 1: there is no \"text\" (--field; '\*' takes every string)\$"
[ ! -e x ] || die "a directory is left behind"
