# SPDX-License-Identifier: Apache-2.0
# A quantised model: what is in its directory, that it runs as the original converted at load does, and that nothing is
# left of one that could not be made.
# shellcheck shell=sh
PROMPT='Return the currency of the given country.

Input: Switzerland
Output: Swiss Franc

Input: India
Output:'
run 0 generate -m "$MODEL" -p "$PROMPT" --max-new-tokens 12 --stop '
' --quiet
cp out answer
for type in q8 q4; do
    run 0 quantize "$MODEL" --type $type -o $type
    [ ! -s out ] || die "there is something on stdout"
    grep -q '^mask: prefix (attn.bias in the checkpoint is all ones)$' err || die "the mask is not told"
    grep -q "^$type: [0-9.]* MB, was 15.3 MB, in [0-9.]* s\$" err || die "what was written is not told"
    [ "$(cd $type && echo *)" = 'added_tokens.json config.json merges.txt model.safetensors special_tokens_map.json tokenizer.json tokenizer_config.json vocab.json' ] ||
        die "other files: $(cd $type && echo *)"
    cmp -s "$MODEL/tokenizer.json" $type/tokenizer.json || die "tokenizer.json is not the same"
    run 0 inspect $type --verify
    has '^  mask  *prefix (prompt_mask in config.json)$'
    has "^  quantised matrices  *$type, "
    [ $type = q8 ] || has '4.50 bits a weight; embedding and head q8, 8.25$'
    has 'do_sample true, temperature 1, top_k 50'
    has '^all values of 65 tensors are finite$'
    run 0 inspect $type --json
    has "\"quantization\": \"$type\"}, \"tokenizer\""
    run 0 generate -m $type -p "$PROMPT" --max-new-tokens 12 --quiet
    cp out stored
    run 0 generate -m "$MODEL" --weights $type -p "$PROMPT" --max-new-tokens 12 --quiet
    cmp -s out stored || die "converted at load it answers otherwise"
    run 0 generate -m $type --weights fp32 -p "$PROMPT" --max-new-tokens 12 --stop '
' --quiet
    cmp -s out answer || die "$type widened to fp32 answers otherwise than the model it was made from"
done
run 0 inspect --json
has '"quantization": null}'

# Options: positional or -m, the mask, the head, other floats.
run 0 quantize -m "$MODEL" --type q4 --keep-head --prompt-mask causal -o kept --quiet
[ ! -s err ] || die "--quiet says something"
run 0 inspect kept --tensors
has '^  mask  *causal (prompt_mask in config.json)$'
has "^lm_head.weight  *F16  *\[$VOCAB, 256\]"
has '^transformer.h.0.attn.q_proj.weight  *U8  *\[16, 2304\]'
run 0 quantize "$MODEL" --type bf16 -o bf16 --quiet
run 0 inspect bf16
has '^  torch_dtype  *bfloat16$'
has '^  *BF16  *38 tensors'

# The lines of docs/FORMATS.md that read a quantised matrix: what they get is the matrix, but for the rounding (q8 is off
# by 0.7 % of this one, q4 by 9 %; wrong bytes would be by more than 100 %).
# shellcheck disable=SC2016,SC2154
sed -n '/^```python$/,/^```$/p' "$here/../../docs/FORMATS.md" | sed '/^```/d' >read.py
cat >>read.py <<'PYTHON'
def plain(path, name, O, I):
    data = open(path, "rb").read()
    header = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
    begin = 8 + int.from_bytes(data[:8], "little") + header[name]["data_offsets"][0]
    return [struct.unpack_from(f"<{I}f", data, begin + o * I * 4) for o in range(O)]

out_proj, wte = "transformer.h.2.attn.out_proj.weight", "transformer.wte.weight"
for kind, name, O, bound in ("q8", out_proj, 256, 0.01), ("q4", out_proj, 256, 0.12), ("q4", wte, 50, 0.01):
    w, q = (read(kind_ + "/model.safetensors", name, O, 256) for read, kind_ in ((plain, "fp32"), (dequantise, kind)))
    off = sum((a - b) ** 2 for x, y in zip(w, q) for a, b in zip(x, y)) / sum(a * a for x in w for a in x)
    print(kind, off ** 0.5, "ok" if bound / 3 < off ** 0.5 < bound else "WRONG")
PYTHON
run 0 quantize "$MODEL" --type fp32 -o fp32 --quiet
# shellcheck disable=SC2034
command='python3 read.py'
python3 read.py >out 2>err || die "fails"
[ "$(grep -c ok out)" = 3 ] || die "reads something else"

# Not twice, not over something else, and not without a place.
run 1 quantize q8 --type q4 -o twice
says 'gptjt quantize: q8: is quantised already (q8); give the model it was made from'
[ ! -e twice ] || die "a directory is left behind"
run 2 quantize "$MODEL" -o q8
complains '^gptjt quantize: q8: is not empty (it has .*); give another directory or --force$'
run 2 quantize "$MODEL"
says 'gptjt quantize: no output: give -o DIR'
run 2 quantize "$MODEL" --type q5 -o other
complains 'q8'
run 2 quantize -m "$MODEL" "$MODEL" -o other
complains 'the model is given twice'
run 0 quantize "$MODEL" --type q4 -o q8 --force --quiet
cmp -s q8/model.safetensors q4/model.safetensors || die "--force does not write the same"

# A weight that is not finite: named, and nothing left. lm_head.bias ends the file, lm_head.weight is before it.
run 0 synth -o bad --quiet --prompt-mask causal
bytes=$(wc -c <bad/model.safetensors)
printf '\000\176' | dd of=bad/model.safetensors bs=1 seek=$((bytes - 512 * 2 - 2)) conv=notrunc 2>/dev/null
run 1 quantize bad -o out-of-bad --quiet
says 'gptjt quantize: lm_head.weight: the value in row 511, column 63 is NaN or infinity; gptjt inspect --verify lists all tensors that have such'
[ ! -e out-of-bad ] || die "a directory is left behind"

# A disk that is full: the weights do not fit below the limit.
mkdir there
# shellcheck disable=SC2034
command='quantize with a limited file size'
code=0
(ulimit -f 100 && "$GPTJT" quantize "$MODEL" -o there --quiet >out 2>err) || code=$?
[ $code = 1 ] || die "exit code $code with a full disk"
complains 'there/model.safetensors.tmp.*: File too large'
[ -z "$(ls there)" ] || die "something is left behind: $(ls there)"

# A quantised file that was tampered with.
cp -r q4 odd
sed 's/"quantization":"q4"/"quantization":"q3"/' q4/model.safetensors >odd/model.safetensors
run 1 inspect odd
says 'gptjt inspect: odd: "quantization" in the file'"'"'s metadata is "q3", this program has q8 and q4'
sed 's/"quantization":"q4"/"quantizatiom":"q4"/' q4/model.safetensors >odd/model.safetensors
run 1 generate -m odd --ids 1 --quiet
complains 'transformer.wte.weight is U8, and the file.s metadata has no "quantization" to say what its bytes mean$'
