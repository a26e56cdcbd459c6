#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/infer_ranks.sh GPTJT threads|mpirun: classify, score and eval on several ranks write what they write alone, byte
# for byte. With mpirun also: a rank that is killed ends the run, and what was done by then is gone on with on another
# number of ranks. Skipped (77) where there is no mpirun.
set -eu
gptjt=$(realpath "$1")
how=$2
repository=$(realpath .)
export GPTJT_MODEL=$repository/models/gpt-jt-tiny
[ "$how" = threads ] || command -v mpirun > /dev/null || { echo "SKIPPED: no mpirun"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_orte_tmpdir_base=$dir # several mpirun that begin and end at a time make and remove the common one

fail() {
    echo "$1"
    head -c 4000 said
    exit 1
}
ranks() { # N, then what gptjt is to do
    local n=$1
    shift
    if [ "$how" = threads ]; then
        "$gptjt" "$@" --ranks "$n"
    else
        timeout 120 mpirun --oversubscribe -n "$n" "$gptjt" "$@"
    fi
}
same() { # what is compared, then two files or directories
    diff -r "$2" "$3" > said || fail "$1: not what one rank writes"
}

for i in $(seq 100); do
    # shellcheck disable=SC2046 # words
    echo "$i,\"row $i, of $(printf 'word %s ' $(seq $((i * 7 % 30 + 1))))\""
done > rows
{ echo id,text && cat rows; } > many.csv
labels=(--labels 'a,b,c d')

# Files.
"$gptjt" classify "${labels[@]}" -i many.csv -o alone.csv --quiet
status=0
ranks 3 classify "${labels[@]}" -i many.csv -o many.out.csv > out 2> said || status=$?
if grep -q 'built without MPI' said; then
    echo "SKIPPED: built without MPI"
    exit 77
fi
[ $status = 0 ] || fail "classify: status $status"
[ "$(grep -c '^mask: ' said)" = 1 ] || fail "classify: the mask is told more than once, or not at all"
[ ! -s out ] || fail "classify: something on stdout"
same classify alone.csv many.out.csv
ranks 2 classify "${labels[@]}" -i many.csv --quiet > out
same 'classify to stdout' alone.csv out
ranks 4 classify "${labels[@]}" -i many.csv -o many.out.csv --pipeline-stages 2 2> said || fail 'classify by two pipelines fails'
same 'classify by two pipelines' alone.csv many.out.csv
[ "$(find . -name '*.part-*')" = '' ] || fail "a part file is left behind"

# One text, which is rank 0's to look at.
"$gptjt" classify "${labels[@]}" -p 'a text' --json > alone.json 2> said
ranks 3 classify "${labels[@]}" -p 'a text' --json > out 2> said || fail 'classify -p fails'
same 'classify -p' alone.json out

# Scores of pairs of very different lengths, one of which fits no window: those before it are there.
for i in $(seq 90); do
    echo "{\"prompt\": \"Row $i says it $(seq -s ' ' $((i * 7 % 40 + 1)))\", \"continuation\": \" is number $i\"}"
done > pairs.jsonl
"$gptjt" score -i pairs.jsonl --quiet > alone.jsonl
ranks 4 score -i pairs.jsonl --quiet > out
same score alone.jsonl out
ranks 3 score -i pairs.jsonl --quiet --pipeline-stages 3 > out
same 'score by a pipeline' alone.jsonl out
{ head -n 60 pairs.jsonl && echo "{\"prompt\": \"$(seq -s ' ' 9999)\", \"continuation\": \" x\"}" && tail -n 30 pairs.jsonl; } > bad.jsonl
status=0
ranks 3 score -i bad.jsonl --quiet > out 2> said || status=$?
[ $status = 1 ] || fail "score: status $status for a pair that is too long"
grep -q '^gptjt score: bad.jsonl: line 61: a prompt of ' said || fail 'score: the line is not named'
same 'score of the lines before' <(head -n 60 alone.jsonl) out

# Tasks: labels to choose from, and answers in the model's own words, under both masks.
{ echo text,label && sed 's/^[0-9]*,//; s/$/,joy/' rows | head -n 20 && echo '"other, text",anger'; } > test.csv
head -n 6 test.csv > train.csv
echo 'much,anger' >> train.csv
for answer in choice generate; do
    printf 'fields: text\ntrain: train.csv\ntest: test.csv\nshots: 2\ntrials: 2\nanswer: %s\n' $answer > $answer.yaml
done
tasks=(eval --tasks choice.yaml --tasks generate.yaml --compare-masks --json)
"$gptjt" "${tasks[@]}" -o tasks-alone > alone.json 2> said
ranks 3 "${tasks[@]}" -o tasks-ranks > out 2> said || fail 'eval --tasks fails'
same 'eval --tasks' alone.json out
same 'eval --tasks' tasks-alone tasks-ranks
ranks 2 "${tasks[@]}" --pipeline-stages 2 > out 2> said || fail 'eval --tasks by a pipeline fails'
same 'eval --tasks by a pipeline' alone.json out

# Texts.
head -c 5000 "$repository/docs/DESIGN.md" > book.txt
sed 's/"prompt": \(.*\), "continuation": .*/"text": \1}/' pairs.jsonl | head -n 20 > last.jsonl
texts=(eval --text book.txt --last-word last.jsonl --stride 50)
"$gptjt" "${texts[@]}" -o texts-alone > alone.txt 2> said
ranks 3 "${texts[@]}" -o texts-ranks > out 2> said || fail 'eval --text fails'
same 'eval --text' alone.txt out
same 'eval --text' texts-alone texts-ranks

# HELM's runs; how long answers took and beside how many differs.
helm=(eval --helm "$repository/tests/data/helm/cases" --compare-recorded)
answers() { # DIR
    sed -E 's/"batch_(request_time|size)": *[0-9.e-]+//g' "$1/cases/scenario_state.json"
}
"$gptjt" "${helm[@]}" -o helm-alone > alone.txt 2> said
ranks 3 "${helm[@]}" -o helm-ranks > out 2> said || fail 'eval --helm fails'
same 'eval --helm' <(answers helm-alone) <(answers helm-ranks)

# What is wrong is said once, and its exit code kept.
status=0
ranks 3 classify --labels a -p x > out 2> said || status=$?
[ $status = 2 ] || fail "one label: status $status"
[ "$(grep -c 'labels: 1 given, two or more are needed' said)" = 1 ] || fail 'one label: not said once'
status=0
ranks 3 classify "${labels[@]}" -i missing.csv > out 2> said || status=$?
[ $status = 1 ] || fail "no input: status $status"
[ "$(grep -c 'missing.csv: No such file' said)" = 1 ] || fail 'no input: not said once'
status=0
ranks 3 classify "${labels[@]}" -p x --pipeline-stages 2 > out 2> said || status=$?
[ $status = 2 ] || fail "3 ranks, 2 stages: status $status"
[ "$(grep -c '3 ranks cannot be divided' said)" = 1 ] || fail '3 ranks, 2 stages: not said once'
[ "$how" = mpirun ] || exit 0

# Ranks that would give other numbers are refused before anything is computed.
status=0
timeout 60 mpirun --oversubscribe -n 1 "$gptjt" classify "${labels[@]}" -i many.csv -o other.csv --compute fp32 \
    : -n 1 "$gptjt" classify "${labels[@]}" -i many.csv -o other.csv --compute fp32 --cpu ref > said 2>&1 || status=$?
[ $status != 0 ] || [ "$("$gptjt" score -p a -c b --quiet --cpu ref)" ] || fail 'other kernels are not refused'
grep -q 'this rank has "cpu ref", rank 0 has "cpu ' said || fail 'other kernels are not named'
[ ! -e other.csv ] || fail 'other kernels have computed something'

# Killed while it writes, on one number of ranks after the other.
for i in $(seq 10); do sed "s/row/row $i/" rows; done > longer
{ echo id,text && cat longer; } > long.csv
"$gptjt" classify "${labels[@]}" -i long.csv -o alone.csv --quiet
rows_done() {
    cat long.out.csv.part-* 2> /dev/null | wc -l
}
kill_rank() { # N ranks, the one to kill, rows to wait for, and stages
    mpirun --oversubscribe -n "$1" "$gptjt" classify "${labels[@]}" -i long.csv -o long.out.csv \
        --pipeline-stages "$4" > said 2>&1 &
    local mpirun=$! pid
    until [ "$(rows_done)" -gt "$3" ]; do
        kill -0 $mpirun 2> /dev/null || fail "rank $2 of $1: the run ends before it is killed"
    done
    for pid in $(pgrep -P $mpirun gptjt); do
        if tr '\0' '\n' < "/proc/$pid/environ" | grep -qx "OMPI_COMM_WORLD_RANK=$2"; then kill -9 "$pid"; fi
    done
    timeout 60 tail --pid=$mpirun -f /dev/null || fail "rank $2 of $1 is killed: the others do not stop"
    ! wait $mpirun || fail "rank $2 of $1 is killed: the run says that it went well"
    grep -q "process rank $2 .*signal 9" said || fail "rank $2 of $1 is killed: it is not named"
    [ ! -e long.out.csv ] || fail "rank $2 of $1 is killed: there is a result"
}
kill_rank 3 1 20 1
kill_rank 2 0 $(($(rows_done) + 20)) 1
kill_rank 4 3 $(($(rows_done) + 20)) 2 # a stage
before=$(($(rows_done) - 2)) # the header, and a row that may be cut
ranks 3 classify "${labels[@]}" -i long.csv -o long.out.csv > out 2> said || fail 'it does not go on'
[ "$(sed -n 's/^going on after \([0-9]*\) of 1000 rows$/\1/p' said)" -ge $before ] || fail "not after all $before rows"
same 'what was killed three times' alone.csv long.out.csv
echo "killed 3 times, nothing lost"
