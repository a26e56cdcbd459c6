# SPDX-License-Identifier: Apache-2.0
# Log-likelihoods as a table, as one object and line by line.
# shellcheck shell=sh
prompt='Return the currency of the given country.

Input: Switzerland
Output: Swiss Franc

Input: India
Output:'

answer=' Indian Rupee'
ids=$(ids "$prompt")
answer_ids=$(ids "$answer")
run 0 score -p "$prompt" -c "$answer"
has '^greedy          yes$'
has '^log-likelihood  -[0-9]'
has "^ *${answer_ids%%,*}  *-[0-9.]*  \" [A-Za-z]*\"\$"
[ "$(wc -l <out)" = $((4 + $(count "$answer"))) ] || die "not one line a token"
grep -q '^mask: prefix' err || die "the mask is not told"
run 0 score -p "$prompt" -c ' Swiss
'
has '^greedy          no$'
has '"\\n"$'

run 0 score -p "$prompt" -c "$answer" --json
has '^{"model": "gpt-jt-tiny", "prompt_mask": "prefix", "log_likelihood": -[0-9.e-]*, "greedy": true, "prompt_tokens": '"$(count "$prompt")"
has "\"tokens\": \[$(echo "$answer_ids" | sed 's/,/, /g')\], \"texts\": \[\".*\"\], \"logprobs\": \[-"
[ "$(sed 's/.*"texts": \["\(.*\)"\], "logprobs".*/\1/; s/", "//g' out)" = "$answer" ] || die "the texts are not the answer's"
sed 's/.*"log_likelihood"/{"log_likelihood"/' out >one

run 0 score --prompt-ids "$ids" --continuation-ids "$answer_ids" --json
sed 's/.*"log_likelihood"/{"log_likelihood"/' out | cmp -s - one || die "ids are not scored as text is"

{
    printf '{"prompt_ids": [%s], "continuation_ids": [%s]}\n\n' "$ids" "$answer_ids"
    printf '{"prompt": "a", "continuation": " b"}\n'
} >pairs.jsonl
run 0 score -i pairs.jsonl
[ "$(wc -l <out)" = 2 ] || die "not one line a pair"
head -n 1 out | cmp -s - one || die "a line is not scored as the command line is"
cp out lines
run 0 score -i - <pairs.jsonl
cmp -s out lines || die "standard input is not scored as a file is"

# Lines of a file go through the model together, those of a pipe one at a time.
text='The quick brown fox jumps over the lazy dog, and nobody knows why it does that every single time. '
for n in $(seq 1 100); do
    printf '{"prompt": "%.*s%s", "continuation": " %.*s"}\n' $((n % 97)) "$text" "$n" $((1 + n % 13)) "$text"
done >pairs.jsonl
run 0 score -i pairs.jsonl
[ "$(wc -l <out)" = 100 ] || die "not one line a pair"
cp out lines
run 0 score -i - <pairs.jsonl
cmp -s out lines || die "lines together are not scored as lines alone are"
sed -i '70s/prompt/promt/' pairs.jsonl
run 1 score -i pairs.jsonl --quiet
grep -q '^gptjt score: pairs.jsonl: line 70: unknown field "promt"' err || die "the bad line is not named"
head -n 69 lines | cmp -s - out || die "the lines before a bad one are not all scored"

run 2 score -p '' -c a
says 'gptjt score: the prompt is empty'
run 2 score -p a -c ''
says 'gptjt score: the continuation is empty'
run 2 score --prompt-ids 1 --continuation-ids "$VOCAB"
complains "continuation: token $VOCAB is not in the vocabulary"
run 2 score --prompt-ids 1,x --continuation-ids 1
says "gptjt score: --prompt-ids: 'x' is not a token id"
echo '{"promt": "a", "continuation": "b"}' >pairs.jsonl
run 1 score -i pairs.jsonl --quiet
says 'gptjt score: pairs.jsonl: line 1: unknown field "promt"; did you mean "prompt"?'
echo '{"prompt": "a", "prompt_ids": [1], "continuation": "b"}' >pairs.jsonl
run 1 score -i pairs.jsonl --quiet
complains 'give "prompt" or "prompt_ids", and not both'
run 1 score -i missing.jsonl --quiet
says 'gptjt score: missing.jsonl: No such file or directory'
