# SPDX-License-Identifier: Apache-2.0
# HELM's runs: recorded answers, a model's answers, and a run that is stopped and goes on.
# shellcheck shell=sh disable=SC2154
helm=$here/../data/helm

# Recorded answers: every row of stats.json that is computed here is the one there.
run 0 eval --helm "$helm" --recorded
has '^twitter_complaints        18  0.3333  0.3333  0.3333        0.3333  0.000 - 0.500   0.1667  0.3333  205 of 205$'
has '^cases  .*  \([0-9]*\) of \1$'
has '^mean '
grep -q '^warning: cases: 2 of [0-9]* requests have no answer, which counts as wrong$' err || die "missing answers are not told"
run 0 eval --helm "$helm/twitter_complaints" --recorded --json
has '^{"recorded": true, "runs": \[{"name": "twitter_complaints", "metrics": {"exact_match": 0.333333333333333, '
has '"trials": {"exact_match": \[0.0, 0.5, 0.5\], '
has '"stats_json": {"rows": 205, "computed": 205, "equal": 205, "different": \[\]}'
lacks num_prompt_tokens
run 0 eval --helm "$helm/twitter_complaints" --recorded --json -m "$MODEL"
has '"num_prompt_tokens": [1-9]'
cp -r "$helm/twitter_complaints" other
sed -i 's/"mean":0.3333333333333333}/"mean":0.3333}/' other/stats.json
run 0 eval --helm other --recorded
has '  20[0-4] of 205$'
grep -q '^warning: other: its stats.json has other values of .*exact_match' err || die "the difference is not told"

# A model: what is written is a run whose statistics are those beside it.
run 0 eval -m "$MODEL" --helm "$helm" -o results
grep -q '^mask: prefix' err || die "the mask is not told"
grep -q '^estimate: ' err || die "there is no estimate"
[ "$(find results -type f | sort | tr '\n' ' ')" = "results/cases/scenario_state.json results/cases/stats.json \
results/twitter_complaints/scenario_state.json results/twitter_complaints/stats.json " ] || die "other files: $(find results -type f)"
run 0 eval --helm results --recorded -m "$MODEL"
has '^twitter_complaints  .*  \([0-9]*\) of \1$'
has '^cases  .*  \([0-9]*\) of \1$'
grep -q '"model": "gpt-jt-tiny"' results/cases/scenario_state.json || die "the model is not named"
[ "$(grep -c '"batch_request_time"' results/twitter_complaints/scenario_state.json)" = 18 ] || die "not 18 answers"

# The same model on what it has written agrees with itself to the bit.
run 0 eval -m "$MODEL" --helm results/twitter_complaints --compare-recorded
has '^  recorded answers: same text 18 of 18, same tokens up to the stop 18; '
has 'recorded tokens, ours less theirs: mean 0; absolute: mean 0, median 0, largest 0 '
run 0 eval -m "$MODEL" --helm results/twitter_complaints --compare-recorded --prompt-mask causal --json
has '"model": "gpt-jt-tiny", "prompt_mask": "causal", '
has '"compare_recorded": {"requests": 18, "cut": 0, "same_text": [0-9]*, .*"max_absolute": [0-9.]*[1-9]'

# A window that is too small for the shots.
run 0 synth -o narrow --tokenizer "$MODEL" --vocab-size "$VOCAB" --n-positions 320 --prompt-mask prefix --quiet
run 0 eval -m narrow --helm "$helm/twitter_complaints" -o cut
grep -q '^warning: twitter_complaints: [1-9][0-9]* of 18 prompts have fewer shots, so that they fit the window of 320 tokens$' err ||
    die "the cut is not told"
run 0 eval -m narrow --helm cut/twitter_complaints --compare-recorded
has '^  recorded answers: same text 18 of 18, same tokens up to the stop 18; '

# Stopped after all answers to one run and some to the other, with half a line: the answers are the same.
mkdir -p again/twitter_complaints/stats.json
run 1 eval -m "$MODEL" --helm "$helm" -o again --quiet
part=$(ls again/twitter_complaints/scenario_state.json.part-*)
[ "$(wc -l <"$part")" = 18 ] || die "not 18 lines in $part"
head -n 7 "$part" >kept
sed -n 8p "$part" | head -c 100 >>kept
cp kept "$part"
rmdir again/twitter_complaints/stats.json
run 0 eval -m "$MODEL" --helm "$helm" -o again
grep -q '^twitter_complaints: going on after 7 of 18 requests$' err || die "it does not go on"
grep -q '^cases: going on after \([0-9]*\) of \1 requests$' err || die "finished answers are not found"
for name in cases twitter_complaints; do
    for dir in results again; do
        grep -v -e '"batch_size"' -e '"batch_request_time"' $dir/$name/scenario_state.json >$dir.answers
    done
    cmp results.answers again.answers || die "answers to $name differ"
done
[ -z "$(find again -name '*part*')" ] || die "a part file is left behind"

# Some requests only, and none.
run 0 eval -m "$MODEL" --helm "$helm/twitter_complaints" --limit 1 --no-perturbed
has '^twitter_complaints         3  '
run 0 eval -m "$MODEL" --helm "$helm" --dry-run -o nothing
has '^55 requests of 2 runs: [0-9,]* prompt tokens, at most [0-9,]* new ones$'
has '^measured on [14] of them: '
has '^estimate: .*, or .* if every answer is as long as it may be$'
[ ! -e nothing ] || die "a dry run writes"
run 0 eval -m "$MODEL" --helm "$helm" --dry-run --json --quiet
has '^{"runs": 2, "requests": 55, .*"estimated_s": [0-9.e-]*, "longest_s": [0-9.e-]*}$'

run 2 eval --helm "$helm" --recorded --compare-recorded
says 'gptjt eval: --compare-recorded compares a model with the answers that --recorded takes; give one'
run 2 eval --text x --recorded
says 'gptjt eval: --recorded, --compare-recorded, --dry-run and --no-perturbed go with --helm'
run 2 eval -m "$MODEL" --helm results -o results --quiet
complains '^gptjt eval: -o results: .*/results/cases/scenario_state.json would be replaced; give another directory$'
mkdir slim broken
cp "$helm/twitter_complaints/scenario_state.json" slim/scenario_state_slim.json
run 0 eval --helm slim --recorded
has '^slim        18  0.3333 '
echo '{"adapter_spec": {}, "request_states": [{"instance": {}, "request": {}}]}' >broken/scenario_state.json
run 1 eval --helm broken --recorded
says 'gptjt eval: broken/scenario_state.json: request 0: "prompt" is not a string'
run 1 eval --helm kept --recorded
complains '^gptjt eval: kept: '
