# SPDX-License-Identifier: Apache-2.0
# A run as one page: the charts of what metrics.jsonl has, settings, several runs; bad input is named.
# shellcheck shell=sh
mkdir -p runs/a/checkpoint-20 runs/a/checkpoint-5 runs/b
for run in a b; do
    for step in 1 2 3 4 5 6 7 8 9; do
        echo "{\"step\": $step, \"loss\": 2.$step, \"loss_by_source\": {\"pile\": 2.4, \"ni\": 1.9}, \"learning_rate\": 1e-5," \
            "\"grad_norm\": 0.$step, \"loss_scale\": 32768, \"skipped\": $([ $step = 4 ] && echo true || echo false)," \
            "\"tokens\": ${step}000, \"tokens_per_s\": 500.5, \"tflops\": 0.11, \"seconds\": 2}"
    done >runs/$run/metrics.jsonl
    echo '{"step": 9, "validation_loss": 2.25, "validation_loss_by_source": {"pile": 2.5}}' >>runs/$run/metrics.jsonl
    printf '{"step": 10, "lo' >>runs/$run/metrics.jsonl # cut by a kill
done
echo '{"model": "models/gpt-jt-tiny", "steps": 20, "learning_rate": 1e-05, "sources": [{"name": "mine", "paths": ["a.jsonl"]}]}' >runs/a/recipe.json

run 0 report runs/a
[ ! -s out ] || die "there is something on stdout"
grep -q '^report.html: written$' err || die "what was written is not told"
run 0 report runs/a -o -
cmp -s out report.html || die "not the same page on stdout"
for title in 'Loss ' 'Loss by source' 'Validation loss by source' 'Learning rate' 'Gradient norm' 'Loss scale' Throughput; do
    has "<h3>$title"
done
has '<th>step</th><td>9 of 20</td>'
has '<th>loss</th><td>2.9</td>'
has '<th>best validation loss</th><td>2.25 at step 9</td>'
has '<th>last checkpoint</th><td>20</td>'
has '<th>tokens</th><td>9,000</td>'
has '<th>duration</th><td>0:00:18</td>'
has '<th>tokens/s on average</th><td>500.5</td>'
has 'skipped steps (1)'
has '<th>learning_rate</th><td>1e-5</td>'
has 'paths <b>a.jsonl</b>'
lacks 'https\?://'
[ "$(grep -c '<h3>' out)" = 8 ] || die "other charts"

# Two runs beside each other, one of them without recipe.json; what is missing is not drawn.
echo '{"step": 1, "loss": 3}' >runs/b/metrics.jsonl
run 0 report runs/a runs/b -o both.html --quiet
[ ! -s err ] || die "--quiet says something"
grep -q 'data-label="training, b"' both.html || die "the second run is not drawn"
grep -q '<th>b</th><td>has no recipe.json</td>' both.html || die "the missing recipe is not told"
run 0 report runs/b -o -
[ "$(grep -c '<h3>' out)" = 1 ] || die "charts without points"

run 2 report
says 'gptjt report: no run: give the directory of one or more'
run 1 report runs/none
says 'gptjt report: runs/none: is not a run'"'"'s directory'
run 1 report runs
says 'gptjt report: runs/metrics.jsonl: No such file or directory'
printf '{"step": 1, "loss": 3}\n{"step": 2, loss}\n{"step": 3}\n' >runs/b/metrics.jsonl
run 1 report runs/b -o bad.html
complains '^gptjt report: runs/b/metrics.jsonl:2: '
: >runs/b/metrics.jsonl
run 1 report runs/b -o bad.html
says 'gptjt report: runs/b/metrics.jsonl: holds no numbers yet'
run 1 report runs/a -o missing/report.html
complains '^gptjt report: missing/report.html: '
[ ! -e bad.html ] || die "a page is left behind"
