#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Traffic against quality: four replicas train the same small model on the same tokens, kept together by one algorithm
# after another. Every algorithm is tried at three learning rates with seed 1, and at its best one with seeds 2 and 3.
#
#     recipes/tiny/make.sh experiment     first: its data, and its causal models after stage 2, where training starts
#     bench/traffic/run.sh [NAME ...]     all algorithms below, or those named: runs/traffic/NAME/RATE-SEED
#     bench/traffic/table.py              what came of it
#
# Run it in the project's root. What is there is not run again: interrupted, it goes on where it was. GPTJT names the
# program. A run takes about four minutes of two cores, all of them about two and a half hours.
set -euo pipefail

gptjt=${GPTJT:-build/gptjt}
here=$(dirname "$0")
runs=runs/traffic
rates="3e-4 1e-3 3e-3"

# Replicas meet as often as makes a hundred times less traffic than gradients in fp16; proxskip as GPT-JT did, and fp16
# as often as int4. The outer optimizer was chosen on seed 1, docs/DISTRIBUTED.md. No dense steps at
# first: the model that training starts from has had its own.
outer="--outer-learning-rate 1 --outer-momentum 0.5"
declare -A algorithms=(
    [allreduce]="--sync allreduce"
    [proxskip]="--sync proxskip"
    [cocktail]="--sync cocktail"
    [diloco-fp16]="--sync diloco --sync-steps 26 --sync-wire fp16 $outer"
    [diloco-int4]="--sync diloco --sync-steps 26 --sync-wire int4 $outer"
    [streaming-int4]="--sync streaming --sync-steps 26 --sync-fragments 2 --sync-wire int4 $outer"
    [sparse]="--sync sparse --sync-steps 3"
)
order=(allreduce proxskip cocktail diloco-fp16 diloco-int4 streaming-int4 sparse)

# The model that everybody has before fine-tuning: a causal one, trained further until it learns slowly.
start() { # SEED
    local dir=$runs/start/$1
    [ -d "$dir/checkpoint-4000" ] && return
    "$gptjt" train "$here/recipe.yaml" --resume --ranks 4 --threads 1 -m "runs/tiny/experiment/causal-$1/stage2/checkpoint-1000" \
        -o "$dir" --seed "1$1" --objective causal --precision fp32 --steps 4000 --batch-size 8 --adam-beta2 0.95 --warmup-steps 50 \
        --learning-rate 3e-3 --min-learning-rate 3e-4 \
        --eval-steps 500 --save-steps 4000
}

train() { # NAME RATE SEED
    local dir=$runs/$1/$2-$3
    [ -s "$dir/report" ] && return
    mkdir -p "$dir"
    # shellcheck disable=SC2086 # options are words
    "$gptjt" train "$here/recipe.yaml" --resume --ranks 4 --threads 1 -m "$runs/start/$3/checkpoint-4000" \
        -o "$dir" --seed "$3" --learning-rate "$2" ${algorithms[$1]} 2>&1 | tee "$dir/report.part"
    mv "$dir/report.part" "$dir/report"
}

[ $# -gt 0 ] || set -- "${order[@]}"
for name in "$@"; do
    [ -n "${algorithms[$name]:-}" ] || { echo "bench/traffic/run.sh: $name is none of: ${order[*]}" >&2; exit 2; }
done
for seed in 1 2 3; do
    start $seed
    for name in "$@"; do
        [ $seed = 1 ] || best=$("$here/table.py" --best "$name")
        for rate in ${best:-$rates}; do train "$name" "$rate" $seed; done
    done
done
