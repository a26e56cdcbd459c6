#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/kill_loop.sh PROGRAM [ROUNDS]: kill -9 at random times must lose nothing. A file is classified by a program that
# is killed again and again and must end with the bytes of an undisturbed run; a model that is being written must be
# whole or absent.
set -eu
program=$(realpath "$1")
rounds=${2:-20}
KILL_AT_LIBRARY=$(realpath "$(dirname "$1")/tests/cli/libkill_at.so") KILL_FIRST=1 KILL_STEP=1 KILL_ROUNDS=$rounds \
    GPTJT=$program tests/cli/run.sh train
KILL_STEP=1 KILL_ROUNDS=$rounds tests/train_mpirun.sh "$program" "$(dirname "$1")/tests/cli/libkill_at.so" || [ $? = 77 ]
model=$(realpath models/gpt-jt-tiny)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

{
    echo 'id,text'
    for i in $(seq 400); do echo "$i,\"i feel number $i, and \"\"quoted\"\" too\""; done
} > in.csv
classify=("$program" classify -m "$model" --labels "joy,sadness,anger" -i in.csv --quiet)
"${classify[@]}" -o whole.csv

kills=0
for round in $(seq "$rounds"); do
    rm -f out.csv
    until [ -f out.csv ]; do
        "${classify[@]}" -o out.csv &
        sleep "0.$((RANDOM % 4))$((RANDOM % 10))" # the whole takes about a second
        kill -9 $! 2> /dev/null && kills=$((kills + 1))
        wait $! 2> /dev/null || true
    done
    cmp out.csv whole.csv || { echo "round $round: other bytes after being killed"; exit 1; }
done

for round in $(seq "$rounds"); do
    rm -rf model
    "$program" synth --preset tiny --vocab-size 400000 -o model --quiet &
    sleep "0.0$((RANDOM % 10))"
    kill -9 $! 2> /dev/null && kills=$((kills + 1))
    wait $! 2> /dev/null || true
    [ ! -e model/model.safetensors ] || "$program" inspect model --verify > /dev/null
done
echo "killed $kills times, nothing lost"
