#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The example program answers the model card's currency question with the bundled model, and fails in one clear line.
set -eu
example=$1 root=$2
answer=$("$example" "$root/models/gpt-jt-tiny" "$(cat "$root/models/examples/currency.txt")")
case $answer in
" Indian Rupee"*) ;;
*) echo "answer: $answer" && exit 1 ;;
esac
if error=$("$example" no/such/model Hello 2>&1); then
    echo "a missing model was accepted" && exit 1
fi
case $error in
*no/such/model*) ;;
*) echo "error: $error" && exit 1 ;;
esac
