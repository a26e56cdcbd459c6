# SPDX-License-Identifier: Apache-2.0
# Schedules are drawn as they are known; DT-FM's first network costs what DT-FM says, the same each time; what is
# impossible is one clear error.
# shellcheck shell=sh disable=SC2154
clusters=$here/../../recipes/clusters
small='--restarts 1 --moves 20000 --quiet'

# ---- Schedules ----
run 0 plan --schedule 1f1b --stages 4 --micro-batches 8
[ "$(sed -n 3p out)" = 'stage 1 |  F0F1F2        B0--F3B1--F4B2--F5B3--F6B4--F7B5--  B6--  B7--    |  73 %' ] ||
    die "not 1F1B's second stage"
has '^F forward, B backward; 33 seconds, bubble 27.3 %$' # (M + P - 1)(F + B) = 11 * 3
has '^micro-batches held at most, stage by stage: 4 3 2 1$'
lacks gpipe
run 0 plan --stages 4 --micro-batches 8
has '^gpipe: 4 stages, 8 micro-batches$'
has '^1f1b: 4 stages'
has '^zb-h1: 4 stages'
has '; 27 seconds, bubble 11.1 %$' # M (F + B) + (P - 1) F
[ "$(grep -c '^stage 3 |' out)" = 3 ] || die "not three pictures"
run 0 plan --schedule gpipe --stages 2 --micro-batches 3 --forward 2 --backward 4 --latency 0.5 --transfer 0.25
has '; 25.5 seconds,' # 4 * 6, and one message up and one down, 0.75 each
run 0 plan --schedule zb-h1 --stages 3 --svg zb.svg --json
python3 - <<'PYTHON' || die "the JSON or the SVG is not as it should be"
import json
import xml.dom.minidom
schedule, = json.load(open('out'))['schedules']
assert schedule['schedule'] == 'zb-h1' and [len(s['actions']) for s in schedule['stages']] == [24] * 3
assert schedule['makespan_s'] == 8 * 3 + 2 == max(s['actions'][-1][2] for s in schedule['stages'])
assert xml.dom.minidom.parse('zb.svg').documentElement.tagName == 'svg'
PYTHON

# ---- Placements ----
# shellcheck disable=SC2086
run 0 plan "$clusters/dtfm-1-datacenter.yaml" --stages 8 $small --rankfile ranks --hostfile hosts --svg p.svg
has "^DT-FM's cost: 3.440 s = sync 2.912 s + 2 x pipeline 0.264 s$"
has '^      7  '
for schedule in gpipe 1f1b zb-h1; do has "^$schedule  *[0-9.]* s  *[0-9.]* s  *[0-9.]* s  *[0-9.]*%"; done
[ "$(grep -c 'best$' out)" = 1 ] || die "not one best schedule"
seq -f 'rank %.0f=' 0 63 >wanted
sed 's/=.*/=/' ranks | cmp -s - wanted || die "the rankfile has not all ranks in their order"
[ "$(sed 's/[^=]*=//' ranks | sort -u | wc -l)" = 64 ] || die "a device has two ranks"
[ "$(grep -c '^node[1-8] slots=8$' hosts)" = 8 ] || die "not the hosts"
grep -q '<svg' p.svg || die "no picture"
mv out first
# shellcheck disable=SC2086
run 0 plan "$clusters/dtfm-1-datacenter.yaml" --stages 8 $small
cmp -s out first || die "not the same placement again"

# From a bad order of devices it has to be found.
cat >mixed.yaml <<'YAML'
machine: {tflops: 10, memory_gb: 64}
link: {gbps: 0.1, latency_ms: 20}
machines: [{name: a, region: x}, {name: b, region: y}, {name: c, region: x}, {name: d, region: y}]
links: [{within: [x, y], gbps: 10, latency_ms: 0.1}]
YAML
# shellcheck disable=SC2086
run 0 plan mixed.yaml $small -m "$MODEL" --batch-size 16 --seq-len 64 --json --refine 1
python3 - <<'PYTHON' || die "the JSON is not as it should be"
import json
plan = json.load(open('out'))
best = plan['best']
ranks = plan['ranks']
assert plan['devices'] == 4 and best in plan['tried'] and len(ranks) == best['stages'] * best['replicas']
assert len({r['device'] for r in ranks}) == len(ranks) and len(plan['memory']) == best['stages']
steps = [s['step_s'] for t in plan['tried'] for s in t['steps'] if s['fits']]
assert min(steps) == min(s['step_s'] for s in best['steps'])
assert all(abs(s['pipeline_s'] + s['sync_s'] - s['step_s']) <= 1e-8 * s['step_s'] for s in best['steps'])
two = next(t for t in plan['tried'] if t['stages'] == 2)
assert two['dtfm_cost']['total_s'] > 0 and [s['schedule'] for s in two['steps']] == ['gpipe', '1f1b', 'zb-h1']
PYTHON

# DT-FM's formula over all placements of two stages and two replicas finds nothing better.
# shellcheck disable=SC2086
run 0 plan mixed.yaml $small --stages 2 --json
python3 - <<'PYTHON' || die "not the least cost"
import itertools
import json
gradients, activations = 1.3e9 * 4 / 2, 2024 * 2048 * 2 * (1.25e5 / 2048) / 2**30 * 1e9 * 8 / 2 # DT-FM's numbers, for two stages and replicas
def seconds(i, j, size): # a, c and b, d are near each other
    return 1e-4 + size / 1.25e9 if i % 2 == j % 2 else 0.02 + size / 1.25e7
def cost(a, b, c, d): # replicas a, b and c, d
    sync = 2 * max(seconds(a, c, gradients / 2), seconds(b, d, gradients / 2))
    return sync + 2 * max(seconds(a, b, activations), seconds(c, d, activations))
least = min(cost(*devices) for devices in itertools.permutations(range(4)))
best = json.load(open('out'))['best']
assert abs(best['dtfm_cost']['total_s'] - least) < 1e-8 * least, (best, least)
PYTHON
# shellcheck disable=SC2086
run 0 plan mixed.yaml $small --preset 6b --stages 2 --schedule 1f1b
has '^6b, 64 sequences of 2048 tokens a step in micro-batches of 1$'
has '^1f1b .*best$'
lacks '^gpipe '
has '^stage 1  *[0-9.]* GB '

# ---- A recipe, and what it costs to keep replicas together ----
# shellcheck disable=SC2086
run 0 plan "$clusters/gptjt.yaml" --recipe "$clusters/../gpt-jt-6b-stage1.yaml" --preset 6b --stages 2 --steps 27000 $small
has '^6b, 64 sequences of 2048 tokens a step in micro-batches of 1$'
has '^between stages a rank sends 268.4 MB a step at most$'
has '^allreduce  .* 18.15 GB    490.1 TB           653.5 TB .*<- the recipe$'
has '^cocktail 0.1/0.2/4 bits .* 103.5 MB '
# shellcheck disable=SC2086
run 0 plan "$clusters/gptjt.yaml" --recipe "$clusters/../gpt-jt-6b-stage1.yaml" --preset 6b --stages 2 --steps 27000 $small --json
python3 - <<'PYTHON' || die "not the card's numbers"
import json
N, steps = 6050882784, 27000
plan = json.load(open('out'))
rows = {s['name']: s for s in plan['synchronisations']}
dense, skip = rows['allreduce'], rows['proxskip, p 0.02']
assert len(rows) == 8 and dense['recipe'] and not skip['recipe']
assert abs(dense['copies_bytes'] / (4 * N * steps) - 1) < 1e-6 # "633 TB"
# "12.7 TB": a coin, once in 50 steps, which of 27000 is 540, with a standard deviation of 23
assert abs(skip['copies_bytes'] / dense['copies_bytes'] * steps - 540) < 4 * 23
assert all(0 < s['busy'] < 1 and s['steps'] == steps and s['memory_bytes'] > 40e9 for s in rows.values())
assert dense['step_s'] > rows['sharded']['step_s'] > skip['step_s'] > rows['diloco int4, H 100']['step_s']
assert plan['between_stages_bytes'] == 16 * 2048 * 4096 * 2
PYTHON
cat >int8.yaml <<YAML
model: $MODEL
output: nowhere
steps: 50
batch_size: 8
seq_len: 64
sync: diloco
sync_wire: int8
sync_steps: 5
pipeline_stages: 2
sources: [{format: pile, paths: none}]
YAML
# shellcheck disable=SC2086
run 0 plan mixed.yaml --recipe int8.yaml $small
has '^diloco int8, H 5 .*<- the recipe$'
has '^diloco int4, H 5 '
has ', 8 sequences of 64 tokens a step in micro-batches of 1$'
has '^stage 1  *[0-9.]* MB '

# ---- Errors ----
run 2 plan
says 'gptjt plan: nothing to plan: give a CLUSTER.yaml, or --stages for pictures of schedules'
run 2 plan --rankfile x
says 'gptjt plan: --rankfile needs a CLUSTER.yaml'
run 2 plan --stages 4 --svg x
says 'gptjt plan: --svg draws one schedule: choose it with --schedule'
run 2 plan mixed.yaml --latency 1
says 'gptjt plan: --latency is for pictures of schedules, which need no cluster'
run 2 plan mixed.yaml --batch-size 4
says "gptjt plan: --batch-size needs --preset, -m or --recipe: DT-FM's task has its own"
run 2 plan mixed.yaml --stages 5
says 'gptjt plan: 5 stages of 1 replicas need 5 devices, and there are 4'
run 2 plan mixed.yaml --stages 2 --replicas 3
says 'gptjt plan: 2 stages of 3 replicas need 6 devices, and there are 4'
run 2 plan "$clusters/dtfm-1-datacenter.yaml" --stages 25
says "gptjt plan: 25 stages are more than the model's 24 layers"
run 2 plan mixed.yaml --stages 1 --replicas 3
says 'gptjt plan: a batch of 512 sequences cannot be divided among 3 replicas in micro-batches of 1'
run 2 plan mixed.yaml --preset 7b
says 'gptjt plan: --preset is "7b", not one of tiny, 125m, 350m, 1.3b, 2.7b, 6b'
run 2 plan mixed.yaml --preset 6b -m "$MODEL"
says 'gptjt plan: give --preset or -m, not both'
run 2 plan mixed.yaml --preset 6b --seq-len 4096
says "gptjt plan: sequences of 4096 tokens are longer than the model's window of 2048"
sed 's/memory_gb/colour/' mixed.yaml >bad.yaml
run 2 plan bad.yaml
says 'gptjt plan: bad.yaml: machine: unknown field "colour"'
run 1 plan missing.yaml
says 'gptjt plan: missing.yaml: No such file or directory'
