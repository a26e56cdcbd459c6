# SPDX-License-Identifier: Apache-2.0
# Tasks of one's own, under one mask and both; what is written; texts and last words.
# shellcheck shell=sh disable=SC2034,SC2154
cat >train.csv <<'EOF_'
post,mood
I'm feeling quite sad and sorry for myself but ill snap out of it,sadness
I am just feeling cranky and blue.,anger
i feel so happy today,joy
EOF_
cat >test.csv <<'EOF_'
post,mood,who
I can have for a treat or if i am feeling festive.,joy,a
i feel so angry,anger,b
"a line
and another, <b>",sadness,a
"a line
and another, <b>",joy,b
EOF_
cat >mood.yaml <<'EOF_'
instruction: Label the mood.
fields: [post: Input]
label: mood
label_name: Output
train: train.csv
test: test.csv
group: who
shots: 3
trials: 2
EOF_

# The same answers as the classifier gives with the same shots: the first trial's are train.csv in some order.
run 0 eval --tasks mood.yaml --json
grep -q '^mask: prefix' err || die "the mask is not told"
has '^{"model": "gpt-jt-tiny", "weights": "[a-z0-9]*", .*"tasks": \[{"name": "mood", "answer": "choice", "instances": 4, "trials": 2, "shots": 3, '
has '"labels": \["sadness", "anger", "joy"\], "majority": 0.5, "masks": {"prefix": {"accuracy": [01][.0-9]*, "interval": \['
has '"groups": \[{"name": "a", "instances": 2, '
lacks '"causal"'
lacks '"mean"'

run 0 eval --tasks mood.yaml --limit 2 -o results --prompt-mask causal --quiet
[ "$(ls results)" = "$(printf '%s\n' mood.jsonl results.json)" ] || die "files: $(ls results)"
[ "$(wc -l <results/mood.jsonl)" = 4 ] || die "not one line an answer"
[ ! -s err ] || die "there is something on stderr"
head -n 1 results/mood.jsonl | grep -q '^{"mask":"causal","trial":0,"instance":0,"gold":"joy","answer":"[a-z]*","correct":[a-z]*,"probability":[01][.0-9]*,"log_likelihoods":{"sadness":-' ||
    die "the first answer is not as expected"

# Other shots than the file's are other answers: what was written before does not count.
run 0 eval --tasks mood.yaml --limit 2 -o results --prompt-mask causal --shots 1 --quiet --json
has '"trials": 2, "shots": 1, '
grep -q '"shots":1' results/mood.jsonl || die "not with one shot"
run 0 eval --tasks mood.yaml --limit 2 --shots 0 --quiet --json
has '"trials": 1, "shots": 0, '
run 2 eval --text test.csv --shots 1
complains '[-]-shots goes with --tasks'

# Both masks: side by side, with their difference; the page.
run 0 eval --tasks mood.yaml --compare-masks --report page.html -o both
has '^task  mask    accuracy  95 % interval    macro-F1     exact       ECE  majority$'
has '^mood  prefix     [01]\.[0-9]*  '
has '^mood  causal     [01]\.[0-9]*  '
has '^mood  differ    [+-][01]\.[0-9]*  .*  p [0-9.]*$'
has '^  a   prefix     [01]\.'
[ "$(wc -l <both/mood.jsonl)" = 16 ] || die "not one line an answer"
grep -q '<h1>Evaluation of gpt-jt-tiny</h1>' page.html || die "the page has no title"
# Of two answers to one text, one is wrong and on the page.
grep -q 'and another, &lt;b&gt;' page.html || die "the text is not escaped, or missing"
! grep -q -e '<script' -e 'http' page.html || die "the page wants something from outside"

# The prefix answers of both runs are the same ones; and of a run that begins anew.
run 0 eval --tasks mood.yaml -o one --quiet
grep '"prefix"' both/mood.jsonl | cmp -s - one/mood.jsonl || die "answers depend on what else is asked"
cp one/mood.jsonl whole

run 0 eval --tasks mood.yaml -o one --quiet
cmp -s whole one/mood.jsonl || die "the second run answers differently"

# Words instead of labels, several tasks at once, a directory of them.
mkdir tasks
sed 's/^train: /train: ..\//; s/^test: /test: ..\//' mood.yaml >tasks/mood.yaml
printf 'answer: free\nmax_tokens: 5\nname: words\n' | cat tasks/mood.yaml - >tasks/words.yaml
printf 'answer: generate\nmax_tokens: 5\nname: said\n' | cat tasks/mood.yaml - >tasks/said.yaml
run 0 eval --tasks tasks --json --quiet
has '"name": "mood", .*"name": "said", "answer": "generate", .*"name": "words", "answer": "free", .*"labels": \[\], '
has '"quasi_exact_match": '
has '"mean": {"masks": {"prefix": {"accuracy": [01]\.[0-9]*, "interval": \['
run 0 eval --tasks tasks/mood.yaml --tasks tasks/words.yaml --quiet
has '^mean '

# Texts: the whole of a file in windows, each token once. As likely as the score command finds it.
printf 'Input: India\nOutput: Indian Rupee\n' >text.txt
run 0 eval --text text.txt --json --quiet
has '"texts": \[{"file": "text.txt", "tokens": [0-9]*, "bytes": 34, "windows": 1, "window": [0-9]*, "stride": [0-9]*, "masks": {"causal": {"log_likelihood": -'
found=$(sed 's/.*"log_likelihood": \(-[0-9]*\.[0-9]\{0,3\}\).*/\1/' out)
bits=$(sed 's/.*"bits_per_byte": \([0-9.]*\).*/\1/' out)
echo "$found $bits" | awk '{ exit !($1 < 0 && $2 > 0 && ($1 / log(2) / 34 + $2) ^ 2 < 1e-6) }' ||
    die "bits per byte do not follow from the log-likelihood"
run 0 eval --text text.txt --stride 3 --compare-masks --quiet
has '^prefix '
has '^causal '

# Last words.
printf '{"text": "Input: India\\nOutput: Indian Rupee "}\n{"text": "what a lovely day"}\n' >words.jsonl
run 0 eval --last-word words.jsonl --json --quiet
has '"texts": \[\], "last_word": {"file": "words.jsonl", "texts": 2, "masks": {"prefix": {"accuracy": [01.5]*, '
run 0 score -p 'Input: India
Output: Indian' -c ' Rupee' --json --quiet
likelihood=$(sed 's/.*"log_likelihood": \(-*[0-9.e-]*\),.*/\1/' out)
run 0 eval --last-word words.jsonl --limit 1 -o last --quiet
echo "$likelihood $(sed 's/.*"log_likelihood":\(-*[0-9.e-]*\),.*/\1/' last/last-word.jsonl)" |
    awk '{ exit !(($1 - $2) ^ 2 < 1e-10) }' || die "the last word is not as likely as the score command finds it"

# What is wrong is said before a model is opened.
run 1 eval --tasks none.yaml
says 'gptjt eval: none.yaml: No such file or directory'
printf 'fields: [post]\nshot: 3\n' >bad.yaml
run 2 eval --tasks bad.yaml
complains '^gptjt eval: bad.yaml: unknown field "shot"; did you mean "shots"?$'
run 2 eval --tasks mood.yaml --tasks mood.yaml
complains 'both called "mood"'
run 1 eval --tasks mood.yaml -m /nonexistent
run 2 eval --tasks mood.yaml --compare-masks --prompt-mask causal
complains 'leave --prompt-mask out'
run 2 eval --tasks mood.yaml --text text.txt
complains 'give one of them'
run 2 eval --text text.txt --report page.html
complains '^gptjt eval: --report goes with --tasks'
run 2 eval --text text.txt --stride 100000
complains 'less than the model.s window'
: >empty
run 1 eval --text empty
complains '^gptjt eval: empty: no tokens'
printf '{"text": "one"}\n' >short.jsonl
run 1 eval --last-word short.jsonl --quiet
complains '^gptjt eval: short.jsonl line 1: no word with another before it'
