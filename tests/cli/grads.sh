# SPDX-License-Identifier: Apache-2.0
# Gradients of a batch from a file: the numbers themselves are in tests/test_training.c.
# shellcheck shell=sh disable=SC2034,SC2059,SC2154
goldens=$here/../data/goldens
micro=$goldens/micro-a/safetensors-fp32
batch=$goldens/train/grads_prefix.safetensors

run 0 grads "$micro" --batch "$batch" -o fp32.safetensors
has '^loss 7.685471[78][0-9]*$'
run 0 grads "$micro" --batch "$batch" -o again.safetensors --recompute --threads 3
cmp fp32.safetensors again.safetensors || die "threads or recomputing change bits"
run 0 grads "$micro" --batch "$batch" -o bf16.safetensors --precision bf16
! cmp -s fp32.safetensors bf16.safetensors || die "bf16 is fp32"

run 2 grads "$micro" -o x.safetensors
says 'gptjt grads: no rows: give --batch FILE'
run 2 grads "$micro" --batch "$batch"
says 'gptjt grads: no output: give -o FILE'
run 1 grads "$micro" --batch absent.safetensors -o x.safetensors
complains 'absent.safetensors: No such file'
run 1 grads "$micro" --batch "$micro/model.safetensors" -o x.safetensors
complains 'has no ids of \[sequences, tokens\]'
[ ! -e x.safetensors ] || die "a failed run has left a file"

# Rows that no model could have: a file of one sequence of two tokens, by hand.
rows() { # IDS LO HI TARGET, each two numbers below 128 as octal bytes
    header='{"ids":{"dtype":"I32","shape":[1,2],"data_offsets":[0,8]},"lo":{"dtype":"I32","shape":[1,2],"data_offsets":[8,16]},"hi":{"dtype":"I32","shape":[1,2],"data_offsets":[16,24]},"target":{"dtype":"I32","shape":[1,2],"data_offsets":[24,32]}}'
    printf "\\$(printf %o $((${#header} % 256)))\\$(printf %o $((${#header} / 256)))\\0\\0\\0\\0\\0\\0%s" "$header"
    for byte in "$@"; do printf "\\$(printf %o "$byte")\\0\\0\\0"; done
}
rows 5 6 0 0 1 2 6 7 >rows.safetensors
run 0 grads "$micro" --batch rows.safetensors -o x.safetensors
rows 5 6 0 0 1 3 6 7 >rows.safetensors
run 1 grads "$micro" --batch rows.safetensors -o y.safetensors
complains 'row 1 of sequence 0: it sees no interval of its sequence'
rows 5 6 0 1 2 1 6 7 >rows.safetensors
run 1 grads "$micro" --batch rows.safetensors -o y.safetensors
complains 'row 1 of sequence 0: it sees no interval of its sequence'
