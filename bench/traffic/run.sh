#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Traffic against quality: four replicas train the same small model on the same tokens, kept together by one algorithm
# after another. Every algorithm is tried at three learning rates with seed 1, and at its best one with seeds 2 and 3.
#
#     recipes/tiny/make.sh experiment     first: its data, and its causal models after stage 1, where training starts
#     bench/traffic/run.sh [NAME ...]     all algorithms below, or those named: runs/traffic/NAME/RATE-SEED
#     bench/traffic/table.py              what came of it
#
# Run it in the project's root. What is there is not run again: interrupted, it goes on where it was. GPTJT names the
# program. A run takes about five minutes of two cores, all of them about three hours.
set -euo pipefail

gptjt=${GPTJT:-build/gptjt}
here=$(dirname "$0")
runs=runs/traffic
rates="1e-3 2e-3 4e-3"

# Replicas meet every 50 steps (streaming: a quarter of the model every 12; sparse, which sends least: every 10). No dense
# steps at first: the model that training starts from has had its own.
declare -A algorithms=(
    [allreduce]="--sync allreduce"
    [proxskip]="--sync proxskip"
    [cocktail]="--sync cocktail"
    [diloco-fp16]="--sync diloco --sync-steps 50 --sync-wire fp16"
    [diloco-int4]="--sync diloco --sync-steps 50 --sync-wire int4"
    [streaming-int4]="--sync streaming --sync-steps 48 --sync-wire int4"
    [sparse]="--sync sparse --sync-steps 10"
)
order=(allreduce proxskip cocktail diloco-fp16 diloco-int4 streaming-int4 sparse)

train() { # NAME RATE SEED
    local dir=$runs/$1/$2-$3
    [ -s "$dir/report" ] && return
    mkdir -p "$dir"
    # shellcheck disable=SC2086 # options are words
    "$gptjt" train "$here/recipe.yaml" --resume --ranks 4 --threads 1 -m "runs/tiny/experiment/causal-$3/stage1/checkpoint-300" \
        -o "$dir" --seed "$3" --learning-rate "$2" ${algorithms[$1]} 2>&1 | tee "$dir/report.part"
    mv "$dir/report.part" "$dir/report"
}

[ $# -gt 0 ] || set -- "${order[@]}"
for name in "$@"; do
    [ -n "${algorithms[$name]:-}" ] || { echo "bench/traffic/run.sh: $name is none of: ${order[*]}" >&2; exit 2; }
    for rate in $rates; do train "$name" "$rate" 1; done
    best=$("$here/table.py" --best "$name")
    for seed in 2 3; do train "$name" "$best" "$seed"; done
done
