#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs one black-box test of the program, NAME.sh beside this file, in a temporary directory:
#     GPTJT=build/gptjt tests/cli/run.sh NAME
# A test is a list of `run EXIT_CODE ARGUMENTS...` lines, each followed by what must hold for stdout and stderr. They
# use the model that ships with the project, and read standard input from /dev/null unless they redirect it.
set -eu
case $GPTJT in /*) ;; *) GPTJT=$PWD/$GPTJT ;; esac
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck disable=SC2034 # the tests use it
MODEL=$here/../../models/gpt-jt-tiny
# shellcheck disable=SC2034
VOCAB=$(sed -n 's/^ *"vocab_size": \([0-9]*\).*/\1/p' "$MODEL/config.json")
unset GPTJT_MODEL HF_HOME HF_HUB_CACHE HUGGINGFACE_HUB_CACHE XDG_CACHE_HOME
exec </dev/null
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"

die() {
    echo "FAILED: gptjt $command: $*"
    echo "--- stdout:" && cat out
    echo "--- stderr:" && cat err
    exit 1
}

run() {
    expected=$1
    shift
    command=$*
    code=0
    "$GPTJT" "$@" >out 2>err || code=$?
    [ "$code" = "$expected" ] || die "exit code $code, not $expected"
}

prints() { # the whole of stdout, but for its last newline
    [ "$(cat out)" = "$1" ] || die "stdout is not: $1"
}

has() {
    grep -q -e "$1" out || die "no line of stdout matches: $1"
}

lacks() {
    ! grep -q -e "$1" out || die "a line of stdout matches: $1"
}

says() { # an error: one line on stderr, nothing else on either
    [ "$(grep -v '^mask: ' err)" = "$1" ] || die "stderr is not: $1"
    [ ! -s out ] || die "there is something on stdout"
}

complains() { # the same, by a pattern
    [ "$(wc -l <err)" = 1 ] || die "stderr is not one line"
    grep -q -e "$1" err || die "stderr does not match: $1"
    [ ! -s out ] || die "there is something on stdout"
}

ids() { # TEXT: its tokens, as --ids takes them
    "$GPTJT" tokenize -p "$1" | tr ' ' ','
}

count() { # TEXT: how many tokens it has
    "$GPTJT" tokenize -p "$1" | wc -w | tr -d ' '
}

# shellcheck disable=SC1090
. "$here/$1.sh"
