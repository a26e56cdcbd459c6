#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/demo.sh [PROGRAM]: answers five example prompts with the model that ships with the project.
set -eu
program=${1:-build/gptjt}
examples=(
    "sentiment:is this tweet positive, negative or neutral?"
    "currency:which currency does this country use?"
    "hate:is this sentence hate speech?"
    "entities:which people and organisations does this text name?"
    "csv:turn a sentence into a line of CSV"
)
number=0
for example in "${examples[@]}"; do
    file=models/examples/${example%%:*}.txt
    prompt=$(cat "$file") # without the newlines at its end: the answer follows on the same line
    number=$((number + 1))
    printf '\n=== %d of %d: %s\n%s\n' $number ${#examples[@]} "${example#*:}" "$prompt"
    start=$(date +%s%N)
    answer=$("$program" generate --prompt="$prompt" --max-new-tokens 32 --stop $'\n')
    end=$(date +%s%N)
    ms=$(((end - start) / 1000000))
    printf -- '--- answer, after %d.%03d seconds\n%s\n' $((ms / 1000)) $((ms % 1000)) "$answer"
done
