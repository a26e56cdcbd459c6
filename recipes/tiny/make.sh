#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The small GPT-JT, from installed packages to weights, and the experiment that docs/QUALITY.md reports.
#
#     recipes/tiny/make.sh model        the model that ships with the project: runs/tiny/model
#     recipes/tiny/make.sh experiment   three ways to train, three seeds each, and their tests: runs/tiny/experiment
#
# Run it in the project's root. What is there already is not made again: interrupted, it goes on where it was. GPTJT names
# the program, SEEDS the seeds of the experiment ("1 2 3"), WAYS some of its ways to train ("causal:causal:causal").
# THREADS=1 leaves the other cores to another seed: models as small as these train faster side by side, one a core, than
# one after the other on two. For the same reason the model that ships is trained by two ranks instead of two threads.
set -euo pipefail

gptjt=${GPTJT:-build/gptjt}
runs=runs/tiny
threads=${THREADS:-0}
here=$(dirname "$0")

data() {
    [ -d $runs/data ] || {
        rm -rf $runs/data.part
        python3 "$here/build.py" $runs/data.part
        mv $runs/data.part $runs/data
    }
    [ -d $runs/tokenizer ] || "$gptjt" tokenizer train $runs/data/stream/train.jsonl $runs/data/p3/train.jsonl \
        --field '*' --vocab-size 4096 --extra-tokens 64 --digits apart -o $runs/tokenizer
}

init() { # DIR WIDTH LAYERS HEADS RANGE SEED: random weights
    [ -d "$1" ] || "$gptjt" synth --init --induction-heads --tokenizer $runs/tokenizer --n-embd "$2" --n-layer "$3" \
        --n-head "$4" --initializer-range "$5" --rotary-dim 16 --n-positions 512 --seed "$6" -o "$1"
}

train() { # RECIPE MODEL OUTPUT STEPS OBJECTIVE SEED [OPTION...]
    "$gptjt" train "$here/$1" --resume --threads "$threads" -m "$2" -o "$3" --steps "$4" --objective "$5" --seed "$6" "${@:7}"
}

stages() { # DIR INIT OBJECTIVE_OF_STAGE_1 OBJECTIVE SEED STEPS1 STEPS2 STEPS3 [OPTION...]
    train stage1.yaml "$2" "$1/stage1" "$6" "$3" "$5" "${@:9}"
    train stage2.yaml "$1/stage1/checkpoint-$6" "$1/stage2" "$7" "$4" $(($5 + 1000)) "${@:9}" # other documents first
    train stage3.yaml "$1/stage2/checkpoint-$7" "$1/stage3" "$8" "$4" $(($5 + 2000)) "${@:9}"
    [ -d "$1/model" ] || "$gptjt" export "$1/stage3/checkpoint-$8" --dtype fp16 -o "$1/model"
}

ask() { # DIR OUTPUT PATTERN [OPTION...]: the held-out sets whose task file has such a line
    local model=$1/model output=$1/$2 pattern=$3 task tasks=()
    shift 3
    [ -s "$output" ] && return
    for task in "$runs"/data/tasks/*.yaml; do grep -q "$pattern" "$task" && tasks+=(--tasks "$task"); done
    "$gptjt" eval -m "$model" --threads "$threads" "${tasks[@]}" "$@" --json > "$output.part"
    mv "$output.part" "$output"
}

tests() { # DIR [OPTION...]: everything after one example, as the card's prompts have; classification also after five
    local dir=$1
    shift
    ask "$dir" tests.json . "$@"
    ask "$dir" tests-5.json '^answer: choice' --shots 5 "$@"
}

model() {
    data
    init $runs/init 256 6 8 0.05 1
    stages $runs $runs/init ul2r prefix 1 500 1800 12000 --ranks 2
    tests $runs --compare-masks
}

experiment() {
    data
    mkdir -p $runs/experiment
    local seed dir
    for seed in ${SEEDS:-1 2 3}; do
        init $runs/experiment/init-"$seed" 128 4 4 0.06 "$seed"
        for way in ${WAYS:-prefix:ul2r:prefix causal:causal:causal split:prefix:prefix}; do
            IFS=: read -r way first second <<< "$way"
            dir=$runs/experiment/$way-$seed
            stages "$dir" $runs/experiment/init-"$seed" "$first" "$second" "$seed" 300 1000 5000
            if [ "$way" = causal ]; then tests "$dir"; else tests "$dir" --compare-masks; fi
        done
    done
}

case ${1:-} in
    model | experiment) "$1" ;;
    *)
        sed -n '3,12s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
