# SPDX-License-Identifier: Apache-2.0
# A model as other programs read it: what is in its directory, that it computes what the source does, shards, adapters,
# and that nothing is left of one that could not be made.
# shellcheck shell=sh
logits() { # MODEL_DIRECTORY PREFIX
    run 0 logits "$1" --ids 390,268,356,77,12 --prefix "$2" --compute fp32 -o "$2.safetensors" --quiet
    mv "$2.safetensors" logits
}

tells() { # a line of stderr
    grep -q -e "$1" err || die "no line of stderr matches: $1"
}

logits "$MODEL" 3
mv logits whole
for dtype in fp16 fp32; do # the model's own weights are fp16, so neither loses anything
    run 0 export "$MODEL" --dtype $dtype -o $dtype
    [ ! -s out ] || die "there is something on stdout"
    tells '^mask: prefix (attn.bias in the checkpoint is all ones)$'
    tells "^$dtype: [0-9.]* MB in 1 file, in [0-9.]* s\$"
    [ "$(cd $dtype && echo *)" = 'added_tokens.json config.json merges.txt model.safetensors special_tokens_map.json tokenizer.json tokenizer_config.json vocab.json' ] ||
        die "other files: $(cd $dtype && echo *)"
    cmp -s "$MODEL/tokenizer.json" $dtype/tokenizer.json || die "tokenizer.json is not the same"
    logits $dtype 3
    cmp -s logits whole || die "other logits"
    run 0 inspect $dtype --tensors
    has '^  mask  *prefix (attn.bias in the checkpoint is all ones)$'
    has '^transformer.h.5.attn.bias  *U8  *\[1, 1, 512, 512\]'
    has '^  prompt_mask  *prefix$'
done
has '^  torch_dtype  *float32$'
has '^transformer.h.0.ln_1.bias  *F32  *\[256\]'
run 0 export fp32 --dtype fp32 -o again --quiet
[ ! -s err ] || die "--quiet says something"
cmp -s fp32/model.safetensors again/model.safetensors || die "fp32 exported as fp32 is not the same file"

# The default is what was published: fp16. A causal model gets no buffers.
run 0 export -m "$MODEL" --prompt-mask causal -o causal --quiet
run 0 inspect causal --tensors
has '^  torch_dtype  *float16$'
has '^  mask  *causal (prompt_mask in config.json)$'
lacks 'attn.bias'

# Shards, with an index that Hugging Face's readers and ours take.
run 0 export "$MODEL" --max-shard-size 3MB -o shards
tells '^shards: 15.2 MB in [67] files, in '
logits shards 3
cmp -s logits whole || die "other logits from shards"
# shellcheck disable=SC2034
command='python3: index against shards'
python3 - >out 2>err <<'PYTHON' || die "the index is wrong"
import glob, json
index = json.load(open("shards/model.safetensors.index.json"))
held, total = {}, 0
for path in sorted(glob.glob("shards/model-*.safetensors")):
    data = open(path, "rb").read()
    header = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
    assert header.pop("__metadata__") == {"format": "pt"}
    size = max(t["data_offsets"][1] for t in header.values())
    assert size <= 3_000_000, (path, size)
    total += size
    held.update((name, path.split("/")[1]) for name in header)
assert held == index["weight_map"] and total == index["metadata"]["total_size"]
PYTHON

# An adapter: rank 2, W + alpha / r B A with numbers that fp32 adds exactly.
# shellcheck disable=SC2034
command='python3: an adapter'
python3 - >out 2>err <<'PYTHON' || die "cannot make an adapter"
import json, os, struct
os.mkdir("adapter")
D, r, names = 256, 2, {}
data = b""
for l in range(6):
    for part, shape in ("A", [r, D]), ("B", [D, r]):
        values = [(i * 7 % 5 - 2) / 64 for i in range(r * D)]
        block = struct.pack(f"<{r * D}f", *values)
        names[f"base_model.model.transformer.h.{l}.attn.out_proj.lora_{part}.weight"] = {
            "dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(block)]}
        data += block
header = json.dumps(names).encode()
open("adapter/adapter_model.safetensors", "wb").write(struct.pack("<Q", len(header)) + header + data)
json.dump({"peft_type": "LORA", "r": r, "lora_alpha": 4, "target_modules": ["out_proj"], "bias": "none",
           "task_type": "CAUSAL_LM", "base_model_name_or_path": "gpt-jt-tiny"}, open("adapter/adapter_config.json", "w"))
PYTHON
run 0 export fp32 --adapter adapter --dtype fp32 -o merged
tells '^adapter: rank 2, scale 2, 6 matrices$'
# shellcheck disable=SC2034
command='python3: what was merged'
python3 - >out 2>err <<'PYTHON' || die "merged otherwise"
import json, struct
def read(path):
    data = open(path, "rb").read()
    n = 8 + int.from_bytes(data[:8], "little")
    return {k: data[n + v["data_offsets"][0]:n + v["data_offsets"][1]]
            for k, v in json.loads(data[8:n]).items() if k != "__metadata__"}
f32 = lambda b: struct.unpack(f"<{len(b) // 4}f", b)
base, merged = read("fp32/model.safetensors"), read("merged/model.safetensors")
x = [(i * 7 % 5 - 2) / 64 for i in range(2 * 256)]
changed = 0
for name in base:
    if "out_proj" not in name:
        assert base[name] == merged[name], name
        continue
    w, m = f32(base[name]), f32(merged[name])
    for o in range(256):
        for i in range(256):
            delta = 2 * (x[o * 2] * x[i] + x[o * 2 + 1] * x[256 + i])
            want = struct.unpack("<f", struct.pack("<f", w[o * 256 + i] + delta))[0]
            assert m[o * 256 + i] == want, (name, o, i, m[o * 256 + i], want)
            changed += delta != 0
assert changed > 50000
PYTHON
sed 's/"bias": "none"/"bias": "all"/' adapter/adapter_config.json >config && mv config adapter/adapter_config.json
run 1 export fp32 --adapter adapter -o refused
says 'gptjt export: adapter/adapter_config.json: "bias" is "all": trained biases are not read'
run 1 export fp32 --adapter none -o refused
says 'gptjt export: none/adapter_config.json: No such file or directory'
[ ! -e refused ] || die "a directory is left behind"

# Not over something else, not without a place, not from a quantised one, not with a size that is none.
run 2 export "$MODEL" -o fp16
complains '^gptjt export: fp16: is not empty (it has .*); give another directory or --force$'
run 2 export "$MODEL"
says 'gptjt export: no output: give -o DIR'
run 2 export -m "$MODEL" "$MODEL" -o other
complains 'the model is given twice'
run 2 export "$MODEL" -o other --max-shard-size 5GiB
says 'gptjt export: --max-shard-size is 5GiB, not a size like 5GB'
run 2 export "$MODEL" -o fp16 --force --max-shard-size 1MB --quiet
says 'gptjt export: fp16/model.safetensors: is there and would be read instead of the shards; remove it or ask for larger shards'
run 0 quantize "$MODEL" --type q8 -o q8 --quiet
run 1 export q8 -o other
says 'gptjt export: q8: is quantised (q8); give the model it was made from'
[ ! -e other ] || die "a directory is left behind"

# A disk that is full.
mkdir there
# shellcheck disable=SC2034
command='export with a limited file size'
code=0
(ulimit -f 100 && "$GPTJT" export "$MODEL" -o there --quiet >out 2>err) || code=$?
[ $code = 1 ] || die "exit code $code with a full disk"
complains 'there/model.safetensors.tmp.*: File too large'
[ -z "$(ls there)" ] || die "something is left behind: $(ls there)"
