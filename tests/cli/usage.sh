# SPDX-License-Identifier: Apache-2.0
# Options that are unknown, refused or contradict each other: exit 2 and one line that names them.
# shellcheck shell=sh disable=SC2034
run 2 generate -p a --tpo-k 3
says 'gptjt generate: unknown option --tpo-k; did you mean --top-k?'
run 2 generate -p a stray
says "gptjt generate: unexpected argument 'stray'"
run 2 generate -p a --max-new-tokens many
complains '^gptjt generate: --max-new-tokens is many, not a whole number'
run 2 generate -p a --temperature nan
complains '^gptjt generate: --temperature is nan'
run 2 generate -p a --weights q5
complains '^gptjt generate: --weights is q5, not one of auto'
run 2 generate -p a --compute fp8
complains '^gptjt generate: --compute is fp8, not one of auto'
run 2 generate -p a --top-p 0
complains '^gptjt generate: --top-p is 0'
run 2 generate -p a --repetition-penalty 0
complains '^gptjt generate: --repetition-penalty is 0'
run 2 generate -p a --typical-p 0
complains '^gptjt generate: --typical-p is 0'
for bias in 1 1= =1 1=x 1=2x x=1 -1=1 1=nan 1=1e7 99999999999=1; do
    run 2 generate -p a --logit-bias "$bias"
    complains "^gptjt generate: --logit-bias is $bias, not a token id"
done
run 2 generate -p a --logit-bias 999999=1
grep -q 'logit_bias: token 0 is 999999, not within the vocabulary' err || die "the token is not named"
run 2 generate -p a --seed 9223372036854775808
complains '^gptjt generate: --seed is 9223372036854775808'
run 2 generate -p a --stop ''
complains '^gptjt generate: --stop is empty'

for refused in max-length min-length min-new-tokens max-time prefix num-beams num-beam-groups diversity-penalty \
    length-penalty early-stopping penalty-alpha no-repeat-ngram-size encoder-repetition-penalty \
    epsilon-cutoff eta-cutoff bad-words-ids force-words-ids sequence-bias guidance-scale; do
    run 2 generate -p a "--$refused" 1
    complains "^gptjt generate: --$refused is refused: .* .*"
done
run 2 generate -p a --max_length 30
complains 'use --max-new-tokens'

run 2 generate -p a -f b
says 'gptjt generate: give one of -p, -f and --ids, not several'
run 2 generate --ids 1,2x
says "gptjt generate: --ids: '2x' is not a token id"
run 2 generate --ids 1,,2
says 'gptjt generate: --ids: a token id is missing beside a comma'
run 2 generate --ids 4294967296
complains 'not a token id'
run 2 generate --ids ' '
says 'gptjt generate: --ids: no token ids'
run 1 generate -f missing.txt
says 'gptjt generate: missing.txt: No such file or directory'

run 2 score -p a
says 'gptjt score: no continuation: give --continuation or --continuation-ids'
run 2 score -c a
says 'gptjt score: no prompt: give --prompt, --prompt-ids or -i FILE'
run 2 score -i pairs.jsonl -p a
complains 'give only one of the two'
run 2 logits "$MODEL" --ids 1,2
says 'gptjt logits: no output: give -o FILE'
run 2 logits "$MODEL" -m "$MODEL" --ids 1,2 -o x
complains 'the model is given twice'
run 2 tokenize --ids 1,2
says 'gptjt tokenize: --ids needs --decode'
run 2 tokenize --jsonl --json
says 'gptjt tokenize: give --json or --jsonl, not both'
run 2 tokenize --decode -p a
complains 'takes ids'

# Output that goes nowhere is an error, for the smallest of outputs too.
command='--version, help and tokenize on a full disk'
for arguments in --version help 'help generate' 'tokenize -p a'; do
    code=0
    # shellcheck disable=SC2086
    "$GPTJT" $arguments >/dev/full 2>err || code=$?
    : >out
    [ $code = 1 ] || die "$arguments: exit code $code, not 1"
    complains 'cannot write to standard output: No space left on device$'
done

# A closed descriptor is not taken by the next file: nothing of ours ends up in it.
command='logits with all descriptors closed'
"$GPTJT" logits --ids 1,2,3 -o closed.safetensors <&- >&- 2>&- || die "exit code $?"
run 0 logits --ids 1,2,3 -o open.safetensors
cmp -s open.safetensors closed.safetensors || die "the files differ"

# A file larger than the shell allows: a message, and nothing left.
code=0
command='logits under ulimit -f'
(ulimit -f 1 && exec "$GPTJT" logits --ids 1,2,3 -o large.safetensors >out 2>err) || code=$?
[ $code = 1 ] || die "exit code $code, not 1"
grep -q 'File too large$' err || die "the cause is not told"
[ -z "$(find . -name 'large.*')" ] || die "something is left behind"
