# SPDX-License-Identifier: Apache-2.0
# Text to ids and back, on a vocabulary small enough to do by hand; no weights, no config.json.
# shellcheck shell=sh
mkdir tiny
echo '{"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, "\u0120": 5, "\u00c3": 6, "\u00a9": 7, "<|end|>": 8, "\u0100": 9,
  "<": 10, "|": 11, ">": 12, "e": 13, "n": 14, "d": 15, "\u010a": 16}' >tiny/vocab.json
printf '#version: 0.2\na b\nab c\n' >tiny/merges.txt
echo '{"<|end|>": 8}' >tiny/added_tokens.json

run 0 tokenize -m tiny -p 'abc aba'
prints '4 5 3 0'
run 0 tokenize -m tiny -p 'abcé<|end|>'
prints '4 6 7 8'
run 0 tokenize -m tiny -p '<|end|>' --no-added-tokens
prints '10 11 13 14 15 11 12'
run 0 tokenize -m tiny -p ''
prints ''
run 0 tokenize -m tiny -p 'abé' --json
prints '{"ids": [3, 6, 7], "tokens": ["ab", "�", "�"], "n": 3}'

# A file's last newline is dropped, and only that one; -p text is taken as it is.
printf 'ab\n\n' >text
run 0 tokenize -m tiny -f text
prints '3 16'
run 0 tokenize -m tiny <text
prints '3 16'
run 0 tokenize -m tiny -f - <text
prints '3 16'
run 0 tokenize -m tiny -p 'ab
'
prints '3 16'

run 0 tokenize -m tiny --decode --ids '4 5,3,0'
printf 'abc aba' | cmp -s - out || die "not the exact bytes"
echo '4 6' >ids
run 0 tokenize -m tiny --decode -f ids
printf 'abc\303' | cmp -s - out || die "not the exact bytes"
run 0 tokenize -m tiny --decode --json <ids
prints '{"text": "abc�", "n": 2}'
run 2 tokenize -m tiny --decode --ids 99
complains 'token id 99 is not in the vocabulary'
run 2 tokenize -m tiny --decode
says 'gptjt tokenize: input: no token ids'

printf '{"text": "ab\\u0000"}\n\n{"text": ""}\n{"text": "abc"}' >lines
run 0 tokenize -m tiny --jsonl -f lines
prints '{"ids": [3, 9]}
{"ids": []}
{"ids": [4]}'
cp out ids
run 0 tokenize -m tiny --jsonl --decode <ids
prints '{"text": "ab\u0000"}
{"text": ""}
{"text": "abc"}'

echo '{"txt": "ab"}' >lines
run 1 tokenize -m tiny --jsonl -f lines
complains '^gptjt tokenize: lines: line 1: .*"text"'
printf '{"text": "ab"}\n{"text": ' >lines
run 1 tokenize -m tiny --jsonl -f lines
prints '{"ids": [3]}'
grep -q '^gptjt tokenize: lines: line 2: ' err || die "the broken line is not named"
echo '{"ids": [1, -1]}' >lines
run 1 tokenize -m tiny --jsonl --decode -f lines
complains 'line 1: "ids": element 1 is not a token id'

code=0
"$GPTJT" tokenize -m tiny -p ab >/dev/full 2>err || code=$?
[ $code = 1 ] || die "a full disk goes unnoticed"
grep -q 'cannot write to standard output' err || die "a full disk is not named"
