# SPDX-License-Identifier: Apache-2.0
# What inspect says of a good model, and how a broken one is told, by inspect and by the commands that run it.
# shellcheck shell=sh
run 0 inspect
has '^gpt-jt-tiny ('
has '^  n_embd  *256$'
has '^  n_inner  *1024 (4 n_embd)$'
has '^  parameters  *6,831,104$'
has '^  mask  *prefix (attn.bias in the checkpoint is all ones)$'
has '^  generation settings  *do_sample true, temperature 1, top_k 50'
has 'from task_specific_params; applied only with --hf-defaults'
has '^  weights  *pytorch zip, 15.3 MB$'
has '^  *F16  *71 tensors  *13.7 MB$'
has '^  tokenizer  *4096 tokens$'
has '^  --weights auto  *13.6 MB  *94.2 KB$'
has '^  --weights fp32  *0 B  *27.4 MB$'
has '^  512  *6.7 MB '
[ ! -s err ] || die "there is something on stderr"
run 0 inspect -m "$MODEL" --prompt-mask causal
has '^  mask  *causal (as requested)$'
run 2 inspect -m "$MODEL" "$MODEL"
complains 'the model is given twice'

run 0 inspect --json
[ "$(wc -l <out)" = 1 ] || die "not one line"
has '^{"model": "gpt-jt-tiny", "directory": ".*", "config": {"architectures": \["GPTJForCausalLM"\], "model_type": "gptj"'
has '"parameters": 6831104, "prompt_mask": "prefix", "prompt_mask_reason": "attn.bias in the checkpoint is all ones"'
has '"generation_config": {"origin": "task_specific_params", "applied_with": "--hf-defaults", "do_sample": true'
has '"weights": {"kind": "pytorch zip", "file_bytes": '"$(wc -c <"$MODEL/pytorch_model.bin")"', "dtypes": \[{"dtype": "F16", "tensors": 71, "bytes"'
has '"tokenizer": {"size": 4096}'
has '{"weights": "fp32", "mapped_bytes": 0, "heap_bytes": 27357184}'
has '"contexts": \[{"tokens": 256, "kv_bytes": 3538944, .*{"tokens": 512,'
lacks '"tensors": \[{'
lacks '"non_finite"'

run 0 inspect --context 300
has '^  300 '
run 0 inspect --context 512
[ "$(grep -c '^  512 ' out)" = 1 ] || die "512 tokens are not listed once"
run 1 inspect --context 513
says "gptjt inspect: --context is 513, more than the model's window of 512"

run 0 inspect --tensors
has '^transformer.h.5.mlp.fc_in.weight  *F16  *\[1024, 256\]  *524288$'
has '^transformer.h.0.attn.bias  *U8  *\[1, 1, 512, 512\]  *262144$'
run 0 inspect --tensors --json
has '{"name": "transformer.h.5.mlp.fc_in.weight", "dtype": "F16", "shape": \[1024, 256\], "bytes": 524288}'
run 0 inspect --verify
has '^all values of 65 tensors are finite$'
run 0 inspect --verify --json
has '"non_finite": \[\]}$'

# A value that is no number. lm_head.bias, the last parameter, ends the file; the final norm's bias is before the head.
run 0 synth -o good --quiet --prompt-mask causal
bytes=$(wc -c <good/model.safetensors)
patch() { # offset, octal bytes
    # shellcheck disable=SC2059
    printf "$2" | dd of=bad/model.safetensors bs=1 seek="$1" conv=notrunc 2>/dev/null
}
cp -r good bad
patch $((bytes - 2)) '\000\174' # infinity in fp16
patch $((bytes - 512 * 2)) '\001\376'
run 1 inspect bad --verify --quiet
has '^lm_head.bias: 2 values are NaN or infinity, the first at 0$'
lacks 'are finite'
[ "$(cat err)" = 'gptjt inspect: bad: 1 of 25 tensors have values that are NaN or infinity, the first is lm_head.bias' ] ||
    die "stderr does not name the tensor"
run 1 inspect bad --verify --json
has '"non_finite": \[{"name": "lm_head.bias", "values": 2, "first": 0}\]}$'
run 0 inspect bad
for arguments in 'generate --ids 1,2' 'logits --ids 1,2 -o rows' 'score --prompt-ids 1,2 --continuation-ids 3'; do
    # shellcheck disable=SC2086
    run 1 $arguments -m bad --quiet
    complains 'is not finite; gptjt inspect --verify names bad weights$'
done
[ ! -e rows ] || die "rows that are not finite are left behind"
patch $((bytes - 512 * 2 * 65 - 2)) '\000\374'
run 1 inspect bad --verify
has '^transformer.ln_f.bias: 1 values are NaN or infinity, the first at 63$'
has '^lm_head.bias: 2 '
complains_of() { # a model that does not open, in one line and in the same words whoever opens it
    run 1 inspect "$1"
    complains "$2"
    tail -n 1 err | sed 's/^gptjt inspect//' >told
    run 1 generate -m "$1" --ids 1 --quiet
    sed 's/^gptjt generate//' err | cmp -s - told || die "generate says something else of $1"
}

# Broken and missing files.
cp -r good short
dd if=good/model.safetensors of=short/model.safetensors bs=1000 count=100 2>/dev/null
complains_of short 'short/model.safetensors: .*truncated'
cp -r good cut
head -c 100 good/model.safetensors >cut/model.safetensors
complains_of cut 'cut/model.safetensors: '
cp -r good wide
sed 's/"n_embd": 64/"n_embd": 128/' good/config.json >wide/config.json
complains_of wide '^gptjt inspect: wide: weights do not fit config.json: transformer.wte.weight is \[512, 64\], config.json says \[512, 128\]; .* and [0-9]* more$'
cp -r good deep
sed 's/"n_layer": 2/"n_layer": 1/' good/config.json >deep/config.json
complains_of deep 'deep: weights do not fit config.json: transformer.h.1.attn.k_proj.weight is not a tensor of this model; '
cp -r good neox
sed 's/"gptj"/"gpt_neox"/' good/config.json >neox/config.json
complains_of neox 'neox/config.json: "model_type" is "gpt_neox", this program runs gptj'
cp -r good mask
sed 's/"causal"/"both"/' good/config.json >mask/config.json
complains_of mask 'mask/config.json: "prompt_mask" is "both", neither "prefix" nor "causal"'
mkdir bare
cp good/config.json bare
complains_of bare '^gptjt inspect: bare: '
run 1 inspect /nonexistent
says 'gptjt inspect: /nonexistent: no such directory'
