# SPDX-License-Identifier: Apache-2.0
# Training a little, being stopped and killed, and going on as if nothing had happened. KILL_STEP=1 (as in make
# check-long) kills at every point where files change and at 20 random moments.
# shellcheck shell=sh disable=SC2034,SC2154
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    echo "{\"prompt\": \"Row $i says it is\", \"completion\": \" number $i\"}"
done >train.jsonl
echo '{"prompt": "Row 13 says it is", "completion": " number 13"}' >held.jsonl
cat >recipe.yaml <<EOF
model: $MODEL
output: whole
steps: 6
batch_size: 4
micro_batch_size: 2
seq_len: 32
objective: prefix
precision: bf16
learning_rate: 1.0e-3
warmup_steps: 2
save_steps: 2
eval_steps: 3
eval_sequences: 2
seed: 7
sources:
  - {name: rows, format: prompt, paths: train.jsonl}
  - {name: text, format: pile, field: completion, paths: train.jsonl, weight: 0.5}
validation:
  - {name: held, format: prompt, paths: held.jsonl}
EOF

run 0 train recipe.yaml --dry-run
has '^parameters     6,831,104, of which 6,831,104 are trained$'
has '^steps          6 of 4 sequences of 32 tokens$'
has '^expected time  '
run 0 train recipe.yaml --dry-run --ranks 4 --pipeline-stages 2 --sync proxskip --sync-probability 1
has '^ranks          4: 2 replicas of 2 stages, 1f1b$'
has '^  stage 1   layers '
has '^  between stages    65.5 KB a step,' # one micro-batch of 2 x 32 tokens, 256 wide, in fp32
has '^  replicas          13.7 MB a step,'
run 2 train recipe.yaml --dry-run --ranks 3 --pipeline-stages 2
complains '3 ranks cannot be divided into replicas of 2 "pipeline_stages"'
[ ! -e whole ] || die "a dry run has written something"

run 0 train recipe.yaml
[ "$(ls whole)" = 'checkpoint-4
checkpoint-6
metrics.jsonl
recipe.json' ] || die "the run's directory has: $(ls whole)"
[ "$(grep -c '"loss":' whole/metrics.jsonl)" = 6 ] || die "not six steps in metrics.jsonl"
[ "$(grep -c '"validation_loss":' whole/metrics.jsonl)" = 2 ] || die "not two validations in metrics.jsonl"
run 0 inspect whole/checkpoint-6
has 'prefix'
run 0 generate -m whole/checkpoint-6 -p 'Row 3 says it is' --max-new-tokens 2

# The bits of a run: weights, moments, and the state to go on from.
same() { # RUN
    for file in model.safetensors optimizer.safetensors trainer_state.json; do
        cmp "whole/checkpoint-6/$file" "$1/checkpoint-6/$file" || die "$1: other bytes in $file"
    done
    [ "$(grep -c '"loss":' "$1/metrics.jsonl")" = 6 ] || die "$1: not six steps in metrics.jsonl"
}

run 0 train recipe.yaml -o threads --threads 3
same threads
run 0 train recipe.yaml -o workers --data-workers 3 --recompute
same workers
run 2 train recipe.yaml
complains 'whole: there is a run already, with a checkpoint of step 6; give --resume to go on'
run 0 train recipe.yaml --resume
same whole
status=0
flock whole "$GPTJT" train recipe.yaml --resume >out 2>err || status=$?
[ $status = 1 ] || die "two processes in one run: $status"
complains 'whole: another process is at work in it'

# A trace: two steps of two micro-batches each.
run 0 train recipe.yaml -o traced --trace trace.json --trace-steps 3-4
same traced
[ "$(grep -c '"name":"forward","ph":"X"' trace.json)" = 4 ] || die "not four forward passes in trace.json"
[ "$(grep -c '"name":"checkpoint","ph":"X"' trace.json)" = 1 ] || die "not one checkpoint in trace.json"
run 2 train recipe.yaml -o traced --trace-steps 3
complains '--trace-steps needs --trace'
run 2 train recipe.yaml -o traced2 --trace trace.json --trace-steps 4-3
complains '--trace-steps is 4-3, neither a number of steps nor a range'
run 1 train recipe.yaml -o traced2 --trace absent/trace.json
complains 'absent/trace.json: cannot write beside it'
[ ! -e traced2 ] || die "a run whose trace cannot be written has begun"

# What ends a job ends it behind a step.
"$GPTJT" train recipe.yaml -o ended --steps 100000 --save-steps 0 --eval-steps 0 --quiet 2>err &
pid=$!
until [ -s ended/metrics.jsonl ]; do sleep 0.1; done
kill -TERM $pid
status=0
wait $pid || status=$?
[ $status = 130 ] || die "a run that was told to end: $status"
[ -d "$(echo ended/checkpoint-*)" ] || die "a run that was told to end has saved nothing"

# Adapters: the same run in a directory as PEFT has it, used beside the model or merged into it.
run 0 train recipe.yaml -o lora --adapter lora --lora-rank 4 --lora-targets v_proj --lora-targets fc_in --steps 3 --save-steps 0
[ "$(ls lora/checkpoint-3)" = 'adapter_config.json
adapter_model.safetensors
optimizer.safetensors
trainer_state.json' ] || die "an adapter's checkpoint has: $(ls lora/checkpoint-3)"
run 0 train recipe.yaml -o lora2 --adapter lora --lora-rank 4 --lora-targets v_proj --lora-targets fc_in --steps 3 --save-steps 2
rm -r lora2/checkpoint-3
run 0 train recipe.yaml -o lora2 --adapter lora --lora-rank 4 --lora-targets v_proj --lora-targets fc_in --steps 3 --resume
cmp lora/checkpoint-3/adapter_model.safetensors lora2/checkpoint-3/adapter_model.safetensors || die "a resumed adapter differs"
run 0 export --adapter lora/checkpoint-3 --dtype fp32 -o merged
run 0 logits --ids 5,6,7,8,9 --adapter lora/checkpoint-3 --weights fp32 --compute fp32 -o beside.safetensors
run 0 logits -m merged --ids 5,6,7,8,9 --compute fp32 -o merged.safetensors
run 0 logits --ids 5,6,7,8,9 --weights fp32 --compute fp32 -o without.safetensors
near() { # FILE FILE: the largest difference of fp32 tensors of the same header is below 1e-4 of the largest value
    for file in "$1" "$2"; do tail -c $((5 * VOCAB * 4)) "$file" | od -An -v -tf4 -w4 >"$file.txt"; done
    paste "$1.txt" "$2.txt" | awk '{ d = $1 - $2; if (d < 0) d = -d; if (d > off) off = d; m = $1 < 0 ? -$1 : $1; if (m > most) most = m }
        END { exit !(off < 1e-4 * most) }'
}
near beside.safetensors merged.safetensors || die "an adapter beside the model is not what it is when merged"
! near beside.safetensors without.safetensors || die "an adapter has changed nothing"

# What goes wrong is one line, and what was there before it stays.
run 1 train recipe.yaml -o nan --learning-rate 10 --max-grad-norm 0 --warmup-steps 0 --steps 50 --save-steps 0 --quiet
grep -q '^gptjt train: step [0-9]*: the \(loss\|gradient\) is -\{0,1\}\(nan\|inf\) (sources of the batch: .*); the state before it is in nan/checkpoint-[0-9]*$' err ||
    die "a loss that is not finite is told otherwise"
[ -d "$(echo nan/checkpoint-*)" ] || die "there is no state to look for the cause in"
cp err nan-err
run 1 train recipe.yaml -o nan --learning-rate 10 --max-grad-norm 0 --warmup-steps 0 --steps 50 --save-steps 0 --quiet --resume
cmp -s err nan-err || die "the state before a step that fails does not lead to it again"
sed 's/train.jsonl/absent.jsonl/' recipe.yaml >absent.yaml
run 1 train absent.yaml -o absent
complains 'absent.jsonl'
[ ! -e absent ] || die "a run that cannot begin has made a directory"
sed 's/learning_rate/learning_rat/' recipe.yaml >typo.yaml
run 2 train typo.yaml
complains 'did you mean "learning_rate"?'
run 2 train recipe.yaml --stepps 3
run 2 train recipe.yaml --seq-len 4096 -o long
complains 'seq_len is 4096, but .* has a window of 512 positions'
cp -r whole full
rm -r full/checkpoint-6
command='train with a full disk'
code=0
(ulimit -f 4000 && exec "$GPTJT" train recipe.yaml -o full --resume --quiet) >out 2>err || code=$?
[ "$code" = 1 ] || die "a full disk ends it with $code"
complains 'checkpoint of step 6: .*model.safetensors.*: File too large'
[ "$(ls full)" = 'checkpoint-4
metrics.jsonl
recipe.json' ] || die "a full disk has left: $(ls full)"
run 0 train recipe.yaml -o full --resume
same full

# A step's worth of Ctrl-C: the checkpoint is of the step that was under way.
command='train, interrupted'
env --default-signal=INT "$GPTJT" train recipe.yaml -o stopped --steps 1000000 --save-steps 0 --quiet >out 2>err &
until [ -s stopped/metrics.jsonl ]; do sleep 0.1; done
kill -INT $!
code=0
wait $! || code=$?
[ "$code" = 130 ] || die "Ctrl-C ended it with $code"
[ -d "$(echo stopped/checkpoint-*)" ] || die "Ctrl-C has left no checkpoint: $(ls stopped)"

# Killed at a point where files change, and resumed.
if [ -n "${KILL_AT_LIBRARY:-}" ]; then
    n=${KILL_FIRST:-5}
    while :; do
        rm -rf killed
        code=0
        GPTJT_KILL_AT=$n LD_PRELOAD=$KILL_AT_LIBRARY "$GPTJT" train recipe.yaml -o killed --quiet >out 2>err || code=$?
        [ "$code" != 0 ] || break
        [ "$code" = 137 ] || die "point $n: exit code $code"
        run 0 train recipe.yaml -o killed --resume
        same killed
        [ "$(echo killed/*tmp*)" = 'killed/*tmp*' ] || die "point $n: left $(ls killed)"
        n=$((n + ${KILL_STEP:-37}))
    done
    [ "$n" -gt 100 ] || die "only $n points where files change: is the library loaded?"
fi

# Killed at a moment that nobody chose.
round=0
while [ $round -lt "${KILL_ROUNDS:-1}" ]; do
    rm -rf killed
    until [ -d killed/checkpoint-6 ]; do
        "$GPTJT" train recipe.yaml -o killed --resume --quiet >out 2>err &
        pid=$!
        sleep "0.$(od -An -N1 -tu1 /dev/urandom | tr -d ' ')"
    done
    run 0 train recipe.yaml -o killed --resume
    same killed
    round=$((round + 1))
done
