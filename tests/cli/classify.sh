# SPDX-License-Identifier: Apache-2.0
# One text, files in both formats, and a run that is stopped and goes on.
# shellcheck shell=sh disable=SC2034,SC2086
echo "The task is to label the post's emotion as sadness, joy, love, anger, fear, or surprise." >task.txt
cat >shots.csv <<'EOF'
text,label
I'm feeling quite sad and sorry for myself but ill snap out of it,sadness
I am just feeling cranky and blue.,anger
EOF
task='--instruction @task.txt --shots shots.csv --text-name Input --label-name Output --no-list-labels'
all='--labels sadness,joy,love,anger,fear,surprise'
joy='I can have for a treat or if i am feeling festive.'

run 0 classify $task $all -p "$joy"
best=$(sed 's/ .*//; q' out)
[ "$best" = joy ] || die "joy is not first"
head -n 1 out | grep -q "^$best       [01]\.[0-9]* " || die "the likeliest label has no probability"
[ "$(wc -l <out)" = 6 ] || die "not one line a label"
grep -q '^mask: prefix' err || die "the mask is not told"
command='classify in the C locale'
LC_ALL=C "$GPTJT" classify $task $all -p "$joy" --quiet >out 2>err
has '####$'
run 0 classify $task $all -p "$joy" --prompt-mask causal
grep -q '^mask: causal' err || die "the mask is not told"

# The scores are those of gptjt score, with the newline that ends a label.
run 0 classify $task $all -p "$joy" --show-prompt
has "^Input: $joy\$"
[ "$(tail -n 1 out)" = 'Output:' ] || die "the prompt does not end in Output:"
prompt=$(cat out)
run 0 score -p "$prompt" -c ' joy
' --json
likelihood=$(sed 's/.*"log_likelihood": \([^,]*\),.*/\1/' out)
run 0 classify $task $all -p "$joy" --json
has '^{"model": "gpt-jt-tiny", "prompt_mask": "prefix", "label": "'"$best"'", "probabilities": {"sadness": [0-9.e-]*, "joy": [01]'
has "\"log_likelihoods\": {.*\"joy\": $likelihood, "
has "\"prompt_tokens\": $(count "$prompt")}\$"

# Labels come from the shots if none are given; the list of them is in the prompt.
run 0 classify --shots shots.csv -p "$joy"
[ "$(wc -l <out)" = 2 ] || die "not the two labels of the shots"
run 0 classify --labels 'a, b' --label c,d -p x --show-prompt
prints 'Possible labels:
1. a
2. b
3. c,d

Text: x
Label:'
run 0 classify --labels a,b --calibrate -p N/A --json
has '"probabilities": {"a": 0.5, "b": 0.5}'

# Too long: the text is cut, the end of the prompt is not.
long=$(head -c 20000 /dev/zero | tr '\0' x)
run 0 classify $task $all -p "$long" --show-prompt
[ "$(tail -n 1 out)" = 'Output:' ] || die "the prompt does not end in Output:"
run 0 classify $task $all -p "$long"
grep -q '^warning: the text is too long: its last [0-9]* tokens are cut$' err || die "the cut is not told"

# Files: rows keep their order and fields; label is taken, so ours is predicted_label.
cat >in.csv <<EOF
id,text,label
1,"$joy",joy
2,"well, $joy",anger
3,"i feel ""terrified""
of it",surprise
EOF
run 0 classify $task $all -i in.csv -o out.csv
[ ! -s out ] || die "there is something on stdout"
right=$(grep -c -e '^1,.*,joy,joy,' -e '^2,.*,anger,anger,' -e '^of it",surprise,surprise,' out.csv || true)
grep -q "^accuracy: [01]\.[0-9]* ($right of 3, field \"label\")\$" err || die "the accuracy is not told"
head -n 1 out.csv | grep -q '^id,text,label,predicted_label,probability,p(sadness),p(joy),p(love),p(anger),p(fear),p(surprise)$' ||
    die "the header is not as expected"
grep -q "^1,I can have for a treat or if i am feeling festive.,joy,$best,[01]" out.csv || die "row 1 is not as expected"
grep -q '^of it",surprise,[a-z]*,[01]' out.csv || die "row 3 is not as expected"
[ "$(ls)" = "$(printf '%s\n' err in.csv out out.csv shots.csv task.txt)" ] || die "files are left behind: $(ls)"
run 0 classify $task $all -i in.csv --quiet
cmp -s out out.csv || die "standard output is not what the file gets"
run 0 classify $task $all -i in.csv -o out.jsonl --quiet
tail -n 1 out.jsonl | grep -q '^{"id": "3", "text": "i feel \\"terrified\\"\\nof it", "label": "surprise", "predicted_label": "[a-z]*", "probability": [01]' ||
    die "the last row is not as expected"
printf '{"post": "%s", "n": 0.10}\n' "$joy" >in.jsonl
run 1 classify $task $all --text-field post -i in.jsonl
complains 'shots.csv line 2: no field "post" (there are: "text", "label")'
run 0 classify --labels a,b --fields n,post -i in.jsonl --show-prompt
has '^n: 0.1$'
has "^post: $joy\$"

# Stopped by Ctrl-C, and killed outright: the same command goes on, and the result is the same.
for i in $(seq 1000); do printf '%s,"row %s, of\nmany"\n' "$i" "$i"; done >rows
{ echo id,text && cat rows; } >many.csv
run 0 classify --labels a,b -i many.csv -o whole.csv --quiet
wait_for_rows() {
    until [ "$(cat many.out.csv.part-* 2>/dev/null | wc -l)" -gt "$1" ]; do
        kill -0 "$2" 2>/dev/null || die "it ended too early"
    done
}
command='classify, interrupted'
env --default-signal=INT "$GPTJT" classify --labels a,b -i many.csv -o many.out.csv >out 2>err &
wait_for_rows 8 $!
kill -INT $!
code=0
wait $! || code=$?
[ "$code" = 130 ] || die "exit code $code, not 130"
grep -q '^stopped after [0-9]* of 1000 rows; they are in many.out.csv.part-[0-9a-f]*, and the same command goes on' err ||
    die "how to go on is not told"
[ ! -e many.out.csv ] || die "there is a result already"
part=$(echo many.out.csv.part-*)
printf '7,"torn' >>"$part"
done=$(sed -n 's/^stopped after \([0-9]*\) .*/\1/p' err)
command='classify, killed'
"$GPTJT" classify --labels a,b -i many.csv -o many.out.csv >out 2>err &
wait_for_rows $((2 * done + 4)) $!
kill -KILL $!
wait $! || true
[ "$(echo many.out.csv.part-*)" = "$part" ] || die "it is not the same part file"
run 0 classify --labels a,b -i many.csv -o many.out.csv
grep -q '^going on after [0-9]* of 1000 rows$' err || die "it does not go on"
cmp -s many.out.csv whole.csv || die "the result is not that of a run in one go"
[ ! -e "$part" ] || die "the part file is left behind"

# What is wrong is said in one line.
run 2 classify --labels a,b
says 'gptjt classify: give a text with -p or a file with -i, and not both'
run 2 classify -p x
says 'gptjt classify: which labels? give --labels A,B or --shots FILE'
run 2 classify --labels a -p x
says 'gptjt classify: labels: 1 given, two or more are needed'
run 2 classify --labels a,b,a -p x
says 'gptjt classify: labels: "a" is given twice'
run 2 classify --labels a,,b -p x
says 'gptjt classify: labels: one is empty'
run 2 classify --labels a,b -i in.csv -o in.csv
says 'gptjt classify: -o in.csv: is the input; it would be replaced'
run 2 classify --labels a,b -i in.csv -o /dev/null
complains 'neither .csv nor .jsonl'
run 2 classify --labels a,b -i rows
says 'gptjt classify: rows: neither .csv nor .jsonl'
run 1 classify --labels a,b -i missing.csv
says 'gptjt classify: missing.csv: No such file or directory'
run 1 classify --labels joy,love -i in.csv --gold label
says 'gptjt classify: in.csv line 3: "anger" in field "label" is not one of the labels'
printf 'a,b\n1,2\n' >two.csv
run 2 classify --labels a,b -i two.csv
complains 'which field is the text? there are: "a", "b"; choose with --text-field or --fields'
printf 'text\nok\nbad "quote"\n' >bad.csv
run 1 classify --labels a,b -i bad.csv -o bad.out.csv
complains 'bad.csv line 3: a quote inside a field'
[ ! -e bad.out.csv ] || die "a broken input gave a result"
run 0 classify --help
has '--calibrate'
