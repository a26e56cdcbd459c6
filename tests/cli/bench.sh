# SPDX-License-Identifier: Apache-2.0
# Numbers differ from run to run, what they are called and where they lie does not. Fractions are only above 0 here: other
# tests run beside this one and disturb the probes.
# shellcheck shell=sh
fractions_are_positive() {
    grep -o '"fraction": [^,]*' out | awk '{ n++; bad += !($2 > 0) } END { exit bad || !n }' ||
        die "a fraction is not above 0"
}

run 0 bench --synthetic tiny --weights bf16,q4 --prompt 5,64 --decode 3 --batch 1,17 --repeats 2 --json --quiet
[ ! -s err ] || die "there is something on stderr"
has '^{"machine": {"isa": "[a-z0-9]*", "threads": [1-9][0-9]*, "read_gbps": [0-9.]*, "bf16_tflops": [0-9.nul]*, '
has '"bf16_tflops": [^,]*, "fp32_tflops": [0-9.e-]*, "int8_tops": [^}]*}, "model": "synthetic tiny", "rows": \['
row='"compute": "[a-z0-9]*", "prompt": [0-9]*, "batch": [0-9]*, "ms": [0-9.e-]*, "tokens_per_s": [0-9.]*, '
row=$row'"gbps": [0-9.e-]*, "tflops": [0-9.e-]*, "fraction": [0-9.e-]*, "floor": "compute", '
has "{\"phase\": \"prefill\", \"weights\": \"bf16\", $row"
has "{\"phase\": \"decode\", \"weights\": \"q4\", $row"
[ "$(grep -o '"phase"' out | wc -l)" = 8 ] || die "not two prompts and two batches for each of two types"
has '"layers": 2, "partial": false'
lacks '"partial": true'
fractions_are_positive

# Too few layers would be measured in the cache; what is left out is said.
run 0 bench --synthetic 350m --weights fp32 --layers 1 --prompt 0 --decode 1 --batch 1 --repeats 1 --json
grep -q '^--layers 1: [0-9]* of 24, fewer would stay in the cache$' err || die "it is not said that there are more layers"
grep -q '"layers": 24' out || has '"floor": "[a-z]*", .*"partial": true'
fractions_are_positive

# For people; a model from files; the slowest kernels and one thread.
run 0 bench "$MODEL" --prompt 8 --decode 2 --batch 1 --repeats 1 --cpu ref --threads 1 --profile
has '^machine: ref kernels, 1 threads, last-level cache [0-9.]* [KMG]B$'
has '^model: gpt-jt-tiny, [0-9]* of [0-9]* layers$'
has '^prefill  fp16    fp32 .* %'
has '^decode   fp16    fp32 .* %'
has '^  *embed [0-9.]* %, .* linear [0-9.]* %, .* rest -*[0-9.]* %$'

run 2 bench --synthetic 7b
says 'gptjt bench: --synthetic is "7b", not one of tiny, 125m, 350m, 1.3b, 2.7b, 6b'
run 2 bench "$MODEL" --synthetic tiny
says 'gptjt bench: give a model or --synthetic, not both'
run 2 bench --synthetic tiny --weights fp32,fp8
complains "^gptjt bench: --weights: 'fp8' is not one of auto|fp32|"
run 2 bench --synthetic tiny --prompt 64,,2
says "gptjt bench: --prompt: '' is not a whole number within 0..1048576"
run 2 bench --synthetic tiny --batch 0
says "gptjt bench: --batch: '0' is not a whole number within 1..1048576"
run 2 bench --synthetic tiny --cpu sse
complains '^gptjt bench: cpu level "sse" is not known'
run 1 bench /nonexistent
says 'gptjt bench: /nonexistent: no such directory'
run 2 bench --synthetic tiny --prompt 257 --json
says 'gptjt bench: --prompt: 257 tokens do not fit the window of 256'

# Training steps: by hand their loss is that of a model that knows nothing.
run 0 bench --synthetic tiny --train 32 --micro-batch-size 2 --repeats 1 --json
has '"precision": "bf16", "seq_len": 32, "micro_batch_size": 2, "recompute": false'
has '"loss": [0-9]*\.[0-9]*, "phases_s": {"forward": '
run 0 bench --synthetic tiny --train 32 --repeats 1 --precision fp32 --recompute --profile
has '^train    fp32 '
has ' forward .*, head .*, backward .*, update '
run 2 bench --synthetic tiny --train 4096 --json
complains 'seq_len is 4096, but synthetic tiny has a window of'
