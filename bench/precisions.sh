#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# bench/precisions.sh [PROGRAM]: a small model learns this project's own sources in fp32, in bf16 and in fp16, the last
# from a loss scale of 2^24 that overflows; prints what the last 100 of STEPS (2000) steps lost on average, and how far
# that is from fp32, for each of SEEDS (0 1 2) and over all. Fails if the latter is more than a percent: a step that is
# skipped early sends a run another way, of one seed to a percent better or worse. A quarter of an hour on two cores.
set -eu
cd "$(dirname "$0")/.."
program=$(realpath "${1:-build/gptjt}")
steps=${STEPS:-2000}
seeds=${SEEDS:-0 1 2}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for file in README.md docs/*.md src/*/*.[ch] src/*/*/*.[ch] tests/*.[ch]; do cp "$file" "$work/${file//\//-}.txt"; done
"$program" synth --n-layer 2 --n-embd 96 --n-head 4 --rotary-dim 16 --vocab-size 4096 --n-positions 128 --dtype fp32 \
    --tokenizer models/gpt-jt-tiny -o "$work/model" --quiet
cat > "$work/recipe.yaml" << EOF
model: $work/model
output: $work/run
steps: $steps
batch_size: 8
micro_batch_size: 4
seq_len: 128
objective: prefix
learning_rate: 2.0e-3
warmup_steps: 100
loss_scale: 16777216
loss_scale_window: 200
save_steps: 0
sources:
  - {format: pile, paths: "$work/*.txt"}
EOF

mean_of_last() { # of the last 100 steps in metrics.jsonl
    tail -n 100 "$1" | sed 's/.*"loss": \([0-9.e-]*\),.*/\1/' | awk '{ sum += $1 } END { printf "%.5f\n", sum / NR }'
}

mean() { printf '%s\n' "$@" | awk '{ sum += $1 } END { printf "%.5f\n", sum / NR }'; }

percent_off() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%+.2f", 100 * (a / b - 1) }'; }

declare -A loss
failed=0
for precision in fp32 bf16 fp16; do
    all=()
    for seed in $seeds; do
        "$program" train "$work/recipe.yaml" --precision $precision --seed "$seed" --no-recompute -o "$work/$precision.$seed"
        metrics=$work/$precision.$seed/metrics.jsonl
        loss[$precision.$seed]=$(mean_of_last "$metrics")
        all+=("${loss[$precision.$seed]}")
        skipped=$(grep -c '"skipped": true' "$metrics" || true)
        echo "$precision, seed $seed: loss ${all[-1]}," \
            "$(percent_off "${all[-1]}" "${loss[fp32.$seed]}") % from fp32, $skipped steps skipped"
        [ $precision != fp16 ] || [ "$skipped" -gt 0 ] || { echo "fp16: the loss scale of 2^24 has not overflowed"; failed=1; }
    done
    loss[$precision]=$(mean "${all[@]}")
    off=$(percent_off "${loss[$precision]}" "${loss[fp32]}")
    echo "$precision: loss ${loss[$precision]}, $off % from fp32"
    awk -v off="$off" 'BEGIN { exit !(off > 1 || off < -1) }' && failed=1
done
exit $failed
