# SPDX-License-Identifier: Apache-2.0
# What generate prints, in every form, and what it says when it cannot.
# shellcheck shell=sh disable=SC2034
prompt='Return the currency of the given country.

Input: Switzerland
Output: Swiss Franc

Input: India
Output:'

run 0 generate -p "$prompt" --stop '
'
prints ' Indian Rupee'
answer=$(cat out)
n_prompt=$(count "$prompt")
n_answer=$(count "$answer")
[ "$(cat err)" = 'mask: prefix (attn.bias in the checkpoint is all ones)' ] || die "the mask is not told"
run 0 generate -p "$prompt" --stop '
' --quiet --no-stream --return-full-text
prints "$prompt$answer"
[ ! -s err ] || die "--quiet says something"
run 0 generate --quiet --return-full-text -p "$prompt" --stop "${answer##* }"
prints "$prompt${answer% *} "
echo "$prompt" >prompt
run 0 generate --max-new-tokens "$n_answer" <prompt
prints "$answer"
run 0 generate --prompt-mask causal --max-new-tokens 3 -f prompt
grep -q '^mask: causal' err || die "the mask is not told"
run 0 generate --max-new-tokens 0 -p a
prints ''
run 0 generate -p "$prompt" --max-new-tokens 3 --timings
grep -q "^prompt: $n_prompt tokens in .* text: 3 tokens in " err || die "no timings"

run 0 generate -p "$prompt" --max-new-tokens "$n_answer" --seed 7 --json
has '^{"model": "gpt-jt-tiny", "prompt_mask": "prefix", "seed": 7, "prompt_tokens": '"$n_prompt"', "results": \[{"generated_text"'
has '"timings": {"prefill_s": [0-9.e-]*, "decode_s": [0-9.e-]*, "tokens_per_s": [0-9.e+]*}'
has "\"generated_text\": \"$answer\", \"tokens\": \[$(ids "$answer" | sed 's/,/, /g')\], \"logprobs\": \[-.*\], \"finish_reason\": \"length\"}\$"

run 0 generate -p "$prompt" --num-return-sequences 2 --do-sample --seed 9 --max-new-tokens 8 --quiet
has '^--- 1 ---$'
has '^--- 2 ---$'
cp out first
run 0 generate -p "$prompt" --num-return-sequences 2 --temperature 1 --seed 9 --max-new-tokens 8 --quiet
cmp -s out first || die "the same seed gives other text"
run 0 generate -p "$prompt" --num-return-sequences 2 --do-sample --json
lacks '"tokens_per_s": [0-9.e+]*}, "generated_text"'
run 2 generate -p a --num-return-sequences 2
complains 'greedy continuations are all the same'
run 2 generate -p a --num-return-sequences 2 --temperature 0
complains 'greedy continuations are all the same'
run 0 generate -p a --top-k 3
grep -q '^warning: --top-k has no effect without --do-sample' err || die "no warning"
run 0 generate -p a --top-k 3 --do-sample
! grep -q warning err || die "a warning without reason"

# What is forced comes, what is banned does not, and penalties undo a repetition.
forced=$(ids ' Japan')
forced=${forced%%,*}
run 0 generate -p "$prompt" --logit-bias "$forced=1000" --max-new-tokens 3 --json
has "\"tokens\": \[$forced, $forced, $forced\]"
run 0 generate -p "$prompt" --logit-bias "$forced=1000" --presence-penalty 2000 --max-new-tokens 2 --json
lacks "\"tokens\": \[$forced, $forced\]"
run 0 generate -p "$prompt" --logit-bias "$forced=1000" --frequency-penalty 600 --max-new-tokens 3 --json
has "\"tokens\": \[$forced, $forced, [0-9]*\]"
lacks "\"tokens\": \[$forced, $forced, $forced\]"
run 0 generate -p "$prompt" --typical-p 0.2 --top-k 0 --do-sample --seed 3 --max-new-tokens 8 --quiet
cp out first
run 0 generate -p "$prompt" --top-k 0 --do-sample --seed 3 --max-new-tokens 8 --quiet
! cmp -s out first || die "--typical-p changes nothing"
run 0 generate -p a --typical-p 0.5
grep -q '^warning: --typical-p has no effect without --do-sample' err || die "no warning"

# The model's own settings: sampling, and 50 tokens with the prompt; what the user gave wins.
run 0 generate -p "$prompt" --hf-defaults --seed 3 --json
has '"prompt_tokens": '"$n_prompt"
cp out first
run 0 generate -p "$prompt" --do-sample --max-new-tokens $((50 - n_prompt)) --seed 3 --json
[ "$(sed 's/"timings.*//' out)" = "$(sed 's/"timings.*//' first)" ] || die "--hf-defaults is not what the files say"
run 0 generate -p "$prompt" --hf-defaults --no-do-sample --max-new-tokens "$n_answer" --quiet
prints "$answer"

# The window of 512.
run 1 generate -p "$prompt" --max-new-tokens 500
complains "a prompt of $n_prompt tokens and 500 new ones do not fit in the window of 512"
run 0 generate -p "$prompt" --max-new-tokens 500 --truncate left --stop '
' --json
has '"prompt_tokens": 12'
run 1 generate -p "$prompt" --max-new-tokens 512 --truncate left
complains 'leaves no room for a prompt'

# Without tokenizer files ids still work.
mkdir bare
ln -s "$MODEL/config.json" "$MODEL/pytorch_model.bin" bare
india=$(ids 'Input: India
Output:')
run 0 generate -m bare --ids "$india" --max-new-tokens 2 --quiet
has '^[0-9]* [0-9]*$'
run 0 generate -m bare --ids "$india" --max-new-tokens 2 --json
has '"generated_text": null, "tokens": \[[0-9]*, [0-9]*\]'
run 2 generate -m bare -p a
says 'gptjt generate: bare has no tokenizer files (vocab.json + merges.txt or tokenizer.json); give --ids'
run 2 generate -m bare --ids 1 --stop x
complains 'has no tokenizer files'
# Nor does a tokenizer that cannot be used stand in the way of ids.
echo '{}' >bare/vocab.json && echo >bare/merges.txt
run 0 generate -m bare --ids "$india" --max-new-tokens 2 --quiet
run 2 generate -m bare -p a
complains 'bare/vocab.json: .*; give --ids$'
run 2 generate --ids "$VOCAB"
says "gptjt generate: --ids: token $VOCAB is not in the vocabulary of gpt-jt-tiny (0..$((VOCAB - 1)))"
run 2 generate -p ''
says 'gptjt generate: the prompt is empty'
run 2 generate
says 'gptjt generate: the prompt is empty'

# Ctrl-C ends the text cleanly: once the first byte is there, the program is waiting for nothing but its own tokens. A
# model with random weights does not end it before.
run 0 synth -o random --tokenizer "$MODEL" --vocab-size "$VOCAB" --n-layer 4 --n-embd 256 --n-head 8 --n-positions 512 --quiet
mkfifo pipe
command='generate, interrupted'
env --default-signal=INT "$GPTJT" generate -m random -p "$prompt" --max-new-tokens 450 --threads 1 --cpu ref >pipe 2>err &
exec 3<pipe
dd bs=1 count=1 <&3 >out 2>/dev/null
kill -INT $!
cat <&3 >>out
code=0
wait $! || code=$?
[ $code = 130 ] || die "exit code $code, not 130"
[ "$(tail -c 1 out | od -An -c | tr -d ' ')" = '\n' ] || die "no newline at the end"

# Bytes that are no UTF-8 are a prompt like any other; in JSON they come back replaced.
run 0 generate -p "$(printf 'a\377b\303')" --max-new-tokens 2 --return-full-text --json --quiet
has '"generated_text": "a\(�\|\\ufffd\)b\(�\|\\ufffd\)'
