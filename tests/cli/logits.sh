# SPDX-License-Identifier: Apache-2.0
# One safetensors file with one tensor, whole or not at all.
# shellcheck shell=sh disable=SC2034
run 0 logits "$MODEL" --ids 1,2,3 --compute fp32 -o a.safetensors
prints ''
grep -aq '"logits":{"dtype":"F32","shape":\[3,'"$VOCAB"'\]' a.safetensors || die "the header is not as expected"
run 0 logits -m "$MODEL" --ids 1,2,3 --prefix 3 --compute fp32 -o b.safetensors
cmp -s a.safetensors b.safetensors || die "prefix mode is not a prefix of the whole row"
run 0 logits --ids 1,2,3 --prefix 0 -o b.safetensors
! cmp -s a.safetensors b.safetensors || die "the prefix makes no difference"
run 0 logits --ids 1,2,3 --prompt-mask causal -o a.safetensors
cmp -s a.safetensors b.safetensors || die "causal mode is not a prefix of nothing"
run 2 logits --ids 1,2,3 --prefix 4 -o c.safetensors
says "gptjt logits: --prefix is 4, more than the row's 3 tokens"
run 1 logits --ids 1,2,3 -o missing/c.safetensors
complains '^gptjt logits: missing/c.safetensors: .*No such file or directory'
mkdir directory
run 1 logits --ids 1,2,3 -o directory
complains 'directory: exists and is not a regular file'
mkfifo pipe
run 1 logits --ids 1,2,3 -o pipe
complains 'pipe: exists and is not a regular file'
run 0 tokenize -p "$(printf 'a %.0s' $(seq 1 600))"
run 1 logits --ids "$(tr ' ' ',' <out)" -o c.safetensors
complains 'do.* not fit in the window of 512'

# Ctrl-C while it computes.
command='logits, interrupted'
env --default-signal=INT "$GPTJT" logits --ids "$(seq -s , 1 512)" -o c.safetensors --cpu ref --threads 1 >out 2>err &
while ! ls c.safetensors.tmp.* >/dev/null 2>&1 && kill -0 $! 2>/dev/null; do sleep 0.01; done
kill -INT $!
code=0
wait $! || code=$?
[ $code = 130 ] || die "exit code $code, not 130"
[ "$(echo ./*)" = './a.safetensors ./b.safetensors ./directory ./err ./out ./pipe' ] || die "something is left behind"
