# SPDX-License-Identifier: Apache-2.0
# Models with random weights: the sizes asked for, whole or not at all, and never over something else.
# shellcheck shell=sh
run 0 synth -o a
[ ! -s out ] || die "there is something on stdout"
grep -q '^a: [0-9,]* parameters, .*B, in [0-9.]* s$' err || die "what was written is not told"
[ "$(echo a/*)" = 'a/config.json a/model.safetensors' ] || die "not these two files"
run 0 generate -m a --ids 1,2,3 --max-new-tokens 4 --quiet
has '^[0-9]* [0-9]* [0-9]* [0-9]*$'

# The seed decides, threads do not.
run 0 synth -o b --threads 3 --quiet
[ ! -s err ] || die "--quiet says something"
cmp -s a/model.safetensors b/model.safetensors || die "another number of threads, another model"
run 0 synth -o c --seed 1 --quiet
! cmp -s a/model.safetensors c/model.safetensors || die "another seed, the same model"

run 0 synth -o sized --n-layer 3 --n-embd 96 --n-head 3 --n-inner 200 --rotary-dim 32 --n-positions 100 \
    --vocab-size 70 --tie-word-embeddings --dtype bf16 --prompt-mask causal
run 0 inspect sized --json
has '"vocab_size": 70, "n_positions": 100, "n_embd": 96, "n_layer": 3, "n_head": 3, "rotary_dim": 32,'
has '"tie_word_embeddings": true, "torch_dtype": "bfloat16", "n_inner": 200, "bos_token_id": 69, "eos_token_id": 69'
has '"prompt_mask": "causal", "prompt_mask_reason": "prompt_mask in config.json"'
has '"dtypes": \[{"dtype": "BF16", "tensors": 34,'
run 0 generate -m sized --ids 1 --max-new-tokens 2
run 0 synth -o wide --dtype fp32 --prompt-mask prefix --rotary-dim 0
run 0 inspect wide
has '^  torch_dtype  *float32$'
has '^  rotary_dim  *0$'
has '^  mask  *prefix (prompt_mask in config.json)$'

run 0 synth -o text --vocab-size "$VOCAB" --tokenizer "$MODEL"
run 0 generate -m text -p 'Hello' --max-new-tokens 2
run 0 inspect text
has "^  tokenizer  *$VOCAB tokens\$"

# Nothing is written over unasked, and an older model stays until the new one is there.
run 2 synth -o a
complains '^gptjt synth: a: is not empty (it has .*); give another directory or --force$'
run 0 synth -o a --force --seed 1 --quiet
cmp -s a/model.safetensors c/model.safetensors || die "--force does not write the same"
touch file
run 1 synth -o file
says 'gptjt synth: file: exists and is not a directory'
run 1 synth -o missing/a
says 'gptjt synth: missing/a: No such file or directory'

run 2 synth
says 'gptjt synth: no output: give -o DIR'
run 2 synth -o d --preset 7b
says 'gptjt synth: --preset is "7b", not one of tiny, 125m, 350m, 1.3b, 2.7b, 6b'
run 2 synth -o d --n-head 3
says 'gptjt synth: these sizes: "n_embd" 64 is not a multiple of "n_head" 3'
run 2 synth -o d --rotary-dim 18
says 'gptjt synth: these sizes: "rotary_dim" 18 is not an even number up to the head size 16'
run 1 synth -o d --tokenizer /nonexistent
says 'gptjt synth: /nonexistent: no such directory'
run 1 synth -o d --n-layer 4096 --n-embd 1048576 --n-inner 16777216
complains '^gptjt synth: d: the model needs [0-9.]* [PE]B and the disk has [0-9.]* [KMGTP]*B free$'
[ ! -e d ] || die "a directory is left behind"
