#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/train_mpirun.sh GPTJT KILL_AT_LIBRARY: training on ranks that are processes has the bits of training on ranks that
# are threads, in every layout, schedule and sync, traced or not; a rank that is killed, at random or between writing and renaming a
# checkpoint, is named, and the run goes on to the bit. KILL_ROUNDS=20 KILL_STEP=1 are for make check-long. Skipped (77) where
# there is no mpirun.
set -eu
gptjt=$(realpath "$1")
library=$(realpath "$2")
rounds=${KILL_ROUNDS:-1}
step=${KILL_STEP:-29}
command -v mpirun > /dev/null || { echo "SKIPPED: no mpirun"; exit 77; }
model=$(realpath models/gpt-jt-tiny)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_orte_tmpdir_base=$dir # several mpirun that begin and end at a time make and remove the common one
for i in $(seq 40); do
    echo "{\"text\": \"Row $i says it is number $i, and that row $((i + 1)) comes next.\"}"
done > text.jsonl
cat > recipe.yaml << EOF
model: $model
output: whole
steps: 6
batch_size: 4
micro_batch_size: 1
seq_len: 24
precision: fp32
learning_rate: 1.0e-3
warmup_steps: 0
schedule: constant
save_steps: 2
save_total_limit: 0
eval_steps: 0
data_workers: 0
pipeline_stages: 2
sync: proxskip
sync_probability: 0.5
sources:
  - {name: text, format: pile, paths: text.jsonl}
EOF

fail() {
    echo "$1"
    cat said
    exit 1
}
four() { # what runs as each rank, with its arguments
    timeout 120 mpirun --oversubscribe -n 4 "$@" --quiet > said 2>&1
}
same() { # RUN [OF_RUN]
    diff -r -x 'recipe.json' -x 'metrics.jsonl' "${2:-whole}/checkpoint-6" "$1/checkpoint-6" > said || fail "$1: other bytes"
}

status=0
"$gptjt" train recipe.yaml --ranks 4 --threads 1 --quiet > said 2>&1 || fail "threads: failed"
four "$gptjt" train recipe.yaml -o processes || status=$?
if grep -q 'built without MPI' said; then
    echo "SKIPPED: built without MPI"
    exit 77
fi
[ $status = 0 ] || fail "processes: status $status"
same processes

# A trace of all of them, and the same bits.
four "$gptjt" train recipe.yaml -o traced --trace trace.json --trace-steps 2-3 || fail "traced: failed"
same traced
for rank in 0 1 2 3; do
    grep -q "\"process_name\",\"ph\":\"M\",\"pid\":$rank,.*\"rank $rank: replica $((rank / 2)), stage $((rank % 2))\"" trace.json ||
        fail "the trace knows nothing of rank $rank"
    # two sequences in each of two steps; one machine has one clock
    [ "$(grep -c "\"name\":\"forward\",\"ph\":\"X\",\"pid\":$rank," trace.json)" = 4 ] || fail "rank $rank: forward passes in the trace"
    grep -q "{\"rank\":$rank,\"dropped_events\":0,\"clock_at_begin\":{\"offset_us\":0.000," trace.json || fail "rank $rank: its clock"
done

# Replicas x stages in every schedule, and replicas in every algorithm that keeps them together.
layouts=("--pipeline-stages 1")
for schedule in gpipe 1f1b zb-h1; do
    for stages in 2 4; do layouts+=("--pipeline-stages $stages --pipeline-schedule $schedule"); done
done
for sync in allreduce sharded cocktail diloco streaming sparse; do
    layouts+=("--pipeline-stages 2 --sync $sync --sync-steps 2 --sync-fragments 2")
done
for layout in "${layouts[@]}"; do
    rm -rf threads processes
    # shellcheck disable=SC2086 # options are words
    "$gptjt" train recipe.yaml -o threads $layout --ranks 4 --threads 1 --quiet > said 2>&1 || fail "$layout, threads: failed"
    # shellcheck disable=SC2086
    four "$gptjt" train recipe.yaml -o processes $layout || fail "$layout, processes: failed"
    same processes threads
done

# Resumed until it is done, killed all the while.
until_done() { # RUN, then the command that kills
    local run=$1 times=0
    shift
    until [ -d "$run/checkpoint-6" ]; do
        "$@" && [ -d "$run/checkpoint-6" ] && break
        times=$((times + 1))
        [ $times -lt 60 ] || fail "$run: never comes to its end"
    done
    four "$gptjt" train recipe.yaml -o "$run" --resume || fail "$run: cannot go on"
    same "$run"
}
kills=0
kill_one() { # a random rank at a random time, later and later: on a slow machine ranks may take a second to begin
    local tenths=$((RANDOM % 9 + 1 + times))
    mpirun --oversubscribe -n 4 "$gptjt" train recipe.yaml -o "$run" --resume --quiet > said 2>&1 &
    local pid=$!
    sleep "$((tenths / 10)).$((tenths % 10))"
    local ranks
    mapfile -t ranks < <(pgrep -P $pid gptjt || true)
    if [ ${#ranks[@]} -gt 0 ] && kill -9 "${ranks[RANDOM % ${#ranks[@]}]}" 2> /dev/null; then
        kills=$((kills + 1))
    fi
    local waited=0
    while [ -n "$(pgrep -P $pid -r R,S,D gptjt || true)" ]; do
        waited=$((waited + 1))
        [ $waited -lt 600 ] || fail "the others of a killed rank do not stop"
        sleep 0.1
    done
    # Open MPI 4.1's mpirun may wait for ever for ranks that have ended, if one was killed inside MPI_Init.
    timeout 20 tail --pid=$pid -f /dev/null || kill -9 $pid
    wait $pid
}
for round in $(seq "$rounds"); do
    run=killed-$round
    until_done "$run" kill_one
    rm -rf "$run"
done

# Every rank in turn, in front of its N-th call that makes something durable or names it.
one_dies() { # rank, N, RUN
    local parts=() train=("$gptjt" train recipe.yaml -o "$3" --quiet)
    [ "$1" = 0 ] || parts+=(-n "$1" "${train[@]}" :)
    parts+=(-n 1 env "LD_PRELOAD=$library" "GPTJT_KILL_AT=$2" "${train[@]}")
    [ "$1" = 3 ] || parts+=(: -n $((3 - $1)) "${train[@]}")
    timeout 120 mpirun --oversubscribe "${parts[@]}" > said 2>&1
}
for rank in 0 1 2 3; do
    at=$((rank + 1))
    while :; do
        run=at-$rank-$at
        status=0
        one_dies $rank $at "$run" || status=$?
        [ $status != 124 ] || fail "rank $rank killed at $at: the others do not stop"
        [ $status != 0 ] || break
        grep -q 'signal 9' said || fail "rank $rank killed at $at: something else is wrong"
        four "$gptjt" train recipe.yaml -o "$run" --resume || fail "rank $rank killed at $at: cannot go on"
        same "$run"
        rm -rf "$run"
        kills=$((kills + 1))
        at=$((at + step))
    done
done
echo "${#layouts[@]} layouts; killed $kills times, nothing lost"
