#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/demo.sh [PROGRAM]: answers the five example prompts of GPT-JT's model card with the model that ships with the
# project (a very small one: it knows the tasks of these five, not the world). GPTJT_MODEL=DIR takes another model.
set -eu
program=${1:-build/gptjt}
examples=(
    "sentiment:Sentiment Analysis"
    "currency:Country Currency"
    "hate:Tweet Eval Hate"
    "entities:Entity Recognition"
    "csv:Data Cleaning"
)
echo "model: ${GPTJT_MODEL:-models/gpt-jt-tiny}"
number=0
for example in "${examples[@]}"; do
    number=$((number + 1))
    file=models/examples/${example%%:*}.txt
    printf '\n=== %d of %d: %s\n' $number ${#examples[@]} "${example#*:}"
    sed '$s/$/ .../' "$file"
    start=$(date +%s%N)
    answer=$("$program" generate -f "$file" --max-new-tokens 32 --stop $'\n' --quiet)
    ms=$((($(date +%s%N) - start) / 1000000))
    printf -- '--- answer, after %d.%03d s: %s\n' $((ms / 1000)) $((ms % 1000)) "$answer"
done
