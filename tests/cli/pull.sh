# SPDX-License-Identifier: Apache-2.0
# gptjt pull against a stand-in for the Hub (tests/hub/hub.py), with all that can go wrong on the way.
# shellcheck shell=sh disable=SC2034,SC2154
unset HF_ENDPOINT HF_TOKEN HUGGING_FACE_HUB_TOKEN HF_TOKEN_PATH HF_HUB_OFFLINE TRANSFORMERS_OFFLINE \
    HF_HUB_DISABLE_IMPLICIT_TOKEN REQUESTS_CA_BUNDLE CURL_CA_BUNDLE SSL_CERT_FILE http_proxy https_proxy all_proxy \
    HTTP_PROXY HTTPS_PROXY ALL_PROXY
HF_HOME=$PWD/hf
export HF_HOME

run 2 pull
says 'gptjt pull: no model: give OWNER/NAME'
for name in '' gpt2 /etc/passwd a/b/c ../b a/.. .a/b a/b- a--b/c 'a/b c' a/b.git a/b@ a/b@.. a/b@x..y a/b@/x 'a/b@x y' \
    a/b@-x 'a/b@x:y' a/b@x.lock; do
    run 2 pull "$name"
    complains 'is not the name of a'
done
run 2 pull a/b --revision v1
complains 'refused: write OWNER/NAME@REVISION'
run 2 pull a/b --token secret
complains 'refused: .*HF_TOKEN'
run 2 pull a/b --all --include x
says 'gptjt pull: give --all or --include, not both'
HF_ENDPOINT=ftp://localhost
export HF_ENDPOINT
"$GPTJT" pull a/b >out 2>err || true
if grep -q 'built without libcurl' err; then
    run 1 pull a/b
    complains "'hf download' puts models where gptjt finds them"
    echo "gptjt is built without libcurl and libcrypto"
    exit 77
fi
run 2 pull a/b
says 'gptjt pull: ftp://localhost: is not the http or https URL of a Hub (HF_ENDPOINT)'

# ---- The stand-in ----

hub=$here/../hub/hub.py
server=
trap 'kill $server 2>/dev/null || true; rm -rf "$directory"' EXIT

serve() { # ROOT [CERTIFICATE KEY]
    rm -f "$1/ports"
    python3 "$hub" "$@" &
    server="$server $!"
    until [ -f "$1/ports" ]; do sleep 0.05; done
    read -r hub_port _ <"$1/ports"
}

faults() { # JSON; also forgets the requests so far, and what has been downloaded unless KEEP is set
    printf '%s' "$1" >root/faults.tmp
    mv root/faults.tmp root/faults.json
    : >root/log
    [ -n "${KEEP-}" ] || rm -rf hf
}

requests() { # PATTERN: how many there were
    grep -c -e "$1" root/log || true
}

asked() { # PATTERN N
    [ "$(requests "$1")" = "$2" ] || die "$(requests "$1") requests, not $2, match: $1"
}

told() { # PATTERN: on stderr, among other lines
    grep -q -e "$1" err || die "no line of stderr matches: $1"
}

no_snapshot() {
    [ -z "$(find hf -path '*snapshots/*' -o -name '*.bin')" ] || die "there is a snapshot"
}

mkdir -p root/models/org/tiny root/models/org/other/main/onnx root/models/org/weightless/main
cp -r "$MODEL" root/models/org/tiny/main
echo '{}' >root/models/org/other/main/config.json
echo '{}' >root/models/org/other/main/model.safetensors.index.json
echo one >root/models/org/other/main/model-00001-of-00002.safetensors
echo two >root/models/org/other/main/model-00002-of-00002.safetensors
echo old >root/models/org/other/main/pytorch_model.bin
echo onnx >"root/models/org/other/main/onnx/a model%.onnx"
: >root/models/org/other/main/empty.txt
echo hello >root/models/org/weightless/main/README.md
serve root
HF_ENDPOINT=http://127.0.0.1:$hub_port/
repository=hf/hub/models--org--tiny
weights=pytorch_model.bin
config_size=$(wc -c <"$MODEL/config.json")
weights_hash=$(sha256sum "$MODEL/$weights" | cut -d ' ' -f 1)
partial=$repository/blobs/$weights_hash.incomplete

# ---- A model is pulled, and used ----

faults '{}'
run 0 pull org/tiny --dry-run
[ ! -s out ] || die "--dry-run prints a directory"
[ ! -e hf ] || die "--dry-run writes"
run 1 generate -m org/tiny -p a
complains "not in the Hugging Face cache ($HF_HOME/hub); 'gptjt pull org/tiny' downloads it"
run 0 pull org/tiny
snapshot=$(cat out)
told '^org/tiny at main ([0-9a-f]*): 8 files, 15.5 MB$'
told ' 15.3 MB  pytorch_model.bin$'
told '  left out: 2 files'
for file in config.json added_tokens.json merges.txt special_tokens_map.json tokenizer.json tokenizer_config.json \
    vocab.json $weights; do
    cmp -s "$snapshot/$file" "$MODEL/$file" || die "$file is another one"
    case $(readlink "$snapshot/$file") in ../../blobs/*) ;; *) die "$file is no link to a blob" ;; esac
done
[ "$(readlink "$snapshot/$weights")" = "../../blobs/$weights_hash" ] || die "the blob has not the name of its SHA-256"
[ "$(readlink "$snapshot/config.json")" = "../../blobs/$(git hash-object "$MODEL/config.json")" ] ||
    die "the blob has not the name that git gives it"
[ "$(cat $repository/refs/main)" = "${snapshot##*/}" ] || die "refs/main is another commit"
[ -z "$(find $repository -name '*.incomplete' -o -name '*.tmp*')" ] || die "something is left over"
[ -f "hf/hub/.locks/models--org--tiny/$weights_hash.lock" ] || die "there is no lock file"
asked '"where": "cdn"' 1
run 0 score -m org/tiny -p 'Label: ' -c positive
cp out pulled
run 0 score -m "$MODEL" -p 'Label: ' -c positive
cmp -s out pulled || die "not the numbers of the same model elsewhere"
KEEP=1 faults '{}'
run 0 pull org/tiny
prints "$snapshot"
told '8 files, 15.5 MB, all there$'
asked . 1
chmod -R a-w hf # somebody else's cache will do, where everything is there
run 0 pull org/tiny
chmod -R u+w hf
run 0 pull org/tiny --json
has '"there": true'
has "\"sha256\": \"$weights_hash\""
run 0 pull "org/tiny@${snapshot##*/}" --quiet
prints "$snapshot"
[ ! -s err ] || die "--quiet says something"
[ "$(ls $repository/refs)" = main ] || die "a commit has got a reference"
run 0 tokenize -m "org/tiny@${snapshot##*/}" -p a
HF_HUB_OFFLINE=1 run 0 pull org/tiny
prints "$snapshot"
HF_HUB_OFFLINE=yes run 1 pull org/tiny@v1
complains 'HF_HUB_OFFLINE is set, and revision v1 is not in the cache'

# Revisions: a branch with a slash in its name; main moves on, and shares what has not changed.
cp -r root/models/org/tiny/main root/models/org/tiny/feat%2Fx
echo '{"model_type": "gptj"}' >root/models/org/tiny/feat%2Fx/generation_config.json
KEEP=1 faults '{}'
run 0 pull org/tiny@feat/x
asked '"where": "cdn"' 0
asked '/resolve/' 1
asked '/revision/feat%2Fx?' 1
[ -f "$(cat out)/generation_config.json" ] || die "what is new is not there"
run 0 tokenize -m org/tiny@feat/x -p a
rm -r root/models/org/tiny/feat%2Fx
echo '{"model_type": "gptj", "top_k": 3}' >root/models/org/tiny/main/generation_config.json
KEEP=1 faults '{"org/tiny generation_config.json": {"status": [500]}}'
run 1 pull org/tiny --tries 0
[ "$(cat $repository/refs/main)" = "${snapshot##*/}" ] || die "refs/main is a commit that is not there"
run 0 pull org/tiny
[ "$(cat $repository/refs/main)" = "$(basename "$(cat out)")" ] || die "refs/main has not moved"
[ -f "$snapshot/config.json" ] || die "the old snapshot is gone"
rm root/models/org/tiny/main/generation_config.json

# What is chosen.
faults '{}'
run 0 pull org/other
(cd "$(cat out)" && find . -type l | sort | tr '\n' ' ') >names
[ "$(cat names)" = './config.json ./model-00001-of-00002.safetensors ./model-00002-of-00002.safetensors ./model.safetensors.index.json ' ] ||
    die "not what is needed: $(cat names)"
run 0 pull org/other --all
[ "$(cat "$(cat out)/onnx/a model%.onnx")" = onnx ] || die "not all is there"
[ "$(readlink "$(cat out)/onnx/a model%.onnx")" = "../../../blobs/$(echo onnx | git hash-object --stdin)" ] ||
    die "a link from a directory is wrong"
[ -f "$(cat out)/empty.txt" ] || die "the empty file is not there"
run 0 pull org/other --include '*.json' --include onnx/ --exclude 'model*' --dry-run --json
has '"name": "config.json"'
has '"name": "onnx/a model%.onnx"'
lacks 'index.json'
run 2 pull org/other --include '*.nothing' --quiet
complains 'none of its 7 files is to be downloaded'
run 1 pull org/weightless --quiet
complains 'has neither model.safetensors nor pytorch_model.bin'
run 0 pull org/weightless --all

# ---- Connections that break ----

faults '{"org/tiny pytorch_model.bin": {"break_at": [1000000, 0, 2000000]}}'
run 0 pull org/tiny
told '^pytorch_model.bin: broken off after 1.0 MB: http://127.*; again in 0.5 s (1 of 5)$'
cmp -s "$(cat out)/$weights" "$MODEL/$weights" || die "the file is another one"
asked '"cdn".*"range": "bytes=1000000-"' 2
asked '"cdn".*"range": "bytes=3000000-"' 1
faults '{"org/tiny config.json": {"short": 10}}'
run 1 pull org/tiny --tries 0 --quiet
complains "config.json: ends at byte $((config_size - 10)) of $config_size\$"

# The server cannot go on in the middle: all over; and where it always breaks, there is an end to it.
faults '{"org/tiny pytorch_model.bin": {"break_at": [1000000], "ignore_range": true}}'
run 0 pull org/tiny
told 'the server cannot go on in the middle'
faults '{"org/tiny pytorch_model.bin": {"break_at": 1000000, "ignore_range": true}}'
run 1 pull org/tiny --tries 1 --quiet
complains 'gave up after 2 tries'
asked '"where": "cdn"' 2
no_snapshot

# Another file by now, as its ETag says: all over, and the hash decides.
faults "{\"org/tiny pytorch_model.bin\": {\"break_at\": [1000000], \"etag\": \"$(printf '%064d' 1)\"}}"
run 0 pull org/tiny
told 'is another one by now'
asked '"cdn".*"range": null' 2

# ---- Killed, interrupted, two at once ----

until_bytes() { # N: that many of the weights are there
    for _ in $(seq 200); do
        [ "$( (wc -c <"$partial") 2>/dev/null || echo 0)" -lt "$1" ] || return 0
        sleep 0.05
    done
    die "the download does not get to byte $1"
}

faults '{"org/tiny pytorch_model.bin": {"stall_at": 3000000}}'
"$GPTJT" pull org/tiny >out 2>err &
pid=$!
until_bytes 3000000
kill -9 $pid
wait $pid || true
no_snapshot
[ ! -e "$repository/blobs/$weights_hash" ] || die "half a file is a blob"
run 1 tokenize -m org/tiny -p a
complains "'gptjt pull org/tiny' downloads it"
KEEP=1 faults '{}'
run 0 pull org/tiny
told 'org/tiny at main .* of it there$'
told 'going on after the 3.0 MB that are there$'
asked '"cdn".*"range": "bytes=3000000-"' 1
asked '/resolve/' 5 # those that were not there yet
run 0 tokenize -m org/tiny -p a

faults '{"org/tiny pytorch_model.bin": {"stall_at": 3000000}}'
"$GPTJT" pull org/tiny >out 2>err &
pid=$!
until_bytes 3000000
kill -TERM $pid
code=0
wait $pid || code=$?
command='pull, interrupted'
[ $code = 130 ] || die "exit code $code, not 130"
told '^interrupted; the same command goes on from here$'

# What is there was damaged meanwhile, is too long, or is the whole file.
printf X | dd of="$partial" bs=1 seek=1000 conv=notrunc 2>/dev/null
KEEP=1 faults '{}'
run 0 pull org/tiny
told 'its hash is wrong, so what was there is damaged'
cmp -s "$(cat out)/$weights" "$MODEL/$weights" || die "the damage is still there"
rm -r "$(cat out)"
mv "$repository/blobs/$weights_hash" "$partial"
KEEP=1 faults '{}'
run 0 pull org/tiny
asked '"where": "cdn"' 0
rm -r "$(cat out)"
mv "$repository/blobs/$weights_hash" "$partial"
echo more >>"$partial"
run 0 pull org/tiny
asked '"where": "cdn"' 1
cmp -s "$(cat out)/$weights" "$MODEL/$weights" || die "the file is another one"

faults '{"org/tiny pytorch_model.bin": {"stall_at": 3000000}}'
"$GPTJT" pull org/tiny >first.out 2>first.err &
first=$!
until_bytes 3000000
"$GPTJT" pull org/tiny >second.out 2>second.err &
second=$!
for _ in $(seq 200); do
    ! grep -q 'another process is downloading it; waiting' second.err || break
    sleep 0.05
done
command='pull, two at once'
KEEP=1 faults '{}'
wait $first || die "the first fails: $(cat first.err)"
wait $second || die "the second fails: $(cat second.err)"
grep -q 'pytorch_model.bin: another process is downloading it; waiting' second.err || die "the second does not wait"
cmp -s first.out second.out || die "they say different things"
asked '"where": "cdn"' 1 # the first one's second half

# ---- Busy servers, refusals ----

faults '{"org/tiny api": {"status": [500, 503]}, "org/tiny config.json": {"status": [502, 504], "retry_after": 0}, "org/tiny pytorch_model.bin": {"cdn_status": [403, 500]}}'
run 0 pull org/tiny
told 'org/tiny: HTTP 500; again'
told 'config.json: HTTP 504; again'
told 'pytorch_model.bin: HTTP 403; again'
faults '{"org/tiny api": {"status": [429], "retry_after": 1}}'
run 0 pull org/tiny
told 'too many requests (HTTP 429); again in 1 s'
faults '{"org/tiny api": {"status": [429], "retry_after": "\"api\";r=0;t=2"}}'
run 0 pull org/tiny
told 'too many requests (HTTP 429); again in 2 s'
faults '{"org/tiny api": {"status": [429], "retry_after": 4000}}'
run 1 pull org/tiny
complains 'HTTP 429.; the server asks to come back in 4000 s$'
faults '{"org/tiny api": {"status": [500, 500]}}'
run 1 pull org/tiny --tries 1 --quiet
complains 'org/tiny: HTTP 500 (gave up after 2 tries)$'
faults '{"org/tiny config.json": {"status": [404]}}'
run 1 pull org/tiny --quiet
complains 'config.json: is listed but not there'
run 1 pull org/tiny@v9
says 'gptjt pull: org/tiny: has no revision v9'
run 1 pull org/nothing
complains "org/nothing: there is no such model on ${HF_ENDPOINT%/}, or it is private or gated and needs a token: in HF_TOKEN, or in $HF_HOME/token$"
HF_ENDPOINT=http://127.0.0.1:1 run 1 pull org/tiny
complains '^gptjt pull: http://127.0.0.1:1: .*onnect'

http_proxy=http://127.0.0.1:1 run 1 pull org/tiny
complains '^gptjt pull: http://127.*: Failed to connect to 127.0.0.1 port 1 '
http_proxy=http://127.0.0.1:1 no_proxy=127.0.0.1 run 0 pull org/tiny

# Gated and private models; the token goes to the Hub and nowhere else.
faults '{"org/tiny": {"token": "files", "gated": true}}'
run 1 pull org/tiny --quiet
complains "org/tiny is gated: accept its conditions at ${HF_ENDPOINT%/}/org/tiny, then give a token .* in HF_TOKEN or in $HF_HOME/token$"
HF_TOKEN=bad run 1 pull org/tiny --quiet
complains 'gated, and the account of the token that was sent has no access: .*Access to model org/tiny is restricted'
HF_TOKEN='good ' run 0 pull org/tiny
asked '"hub".*"Bearer good"' 9
asked '"cdn".*"auth": null' 1
asked '"cdn".*Bearer' 0
faults '{"org/tiny": {"token": "all"}}'
run 1 pull org/tiny
complains 'private or gated and needs a token'
mkdir -p hf && echo good >hf/token
HF_HUB_DISABLE_IMPLICIT_TOKEN=1 run 1 pull org/tiny
run 0 pull org/tiny
HF_TOKEN='a
b' run 2 pull org/tiny
complains 'the token has a character that no token has'

# Redirects: to where there is nothing, in circles, to files of this machine.
faults '{"org/tiny config.json": {"redirect": "file:///etc/passwd"}}'
run 1 pull org/tiny --quiet
complains 'redirects to what is not http or https'
faults '{"org/tiny config.json": {"redirect": "/org/tiny/resolve/main/config.json"}}'
run 1 pull org/tiny --quiet
complains 'more than 10 redirects'
asked 'config.json' 11
faults '{"org/tiny config.json": {"redirect": "http://"}}'
run 1 pull org/tiny --quiet
no_snapshot

# ---- Wrong contents ----

faults '{"org/tiny pytorch_model.bin": {"corrupt": [true]}}'
run 1 pull org/tiny --quiet
complains "pytorch_model.bin: its hash is [0-9a-f]*, the Hub's list says $weights_hash; nothing of it is kept"
[ -z "$(find hf -name "$weights_hash*" ! -name '*.lock')" ] || die "something of it is kept"
run 0 pull org/tiny
faults "{\"org/tiny\": {\"move\": {\"config.json\": \"$(printf '%040d' 7)\"}}}"
run 1 pull org/tiny --quiet
complains 'config.json: its hash is '
zeros=$(printf '%064d' 7)
faults "{\"org/tiny\": {\"move\": {\"$weights\": \"$zeros\"}}, \"org/tiny $weights\": {\"break_at\": [3000000]}}"
run 1 pull org/tiny
told 'is another one by now'
told '^gptjt pull: pytorch_model.bin: its hash is'
asked '"where": "cdn"' 3
faults "{\"org/tiny\": {\"move\": {\"$weights\": \"$zeros\"}}, \"org/tiny $weights\": {\"break_at\": 3000000, \"etag\": \"$zeros\"}}"
run 1 pull org/tiny
told 'what was there is damaged'
told '^gptjt pull: pytorch_model.bin: its hash is'
asked '"where": "cdn"' 12 # twice, each time in six pieces
for length in $((config_size - 1)) $((config_size + 1)) 99999999999999; do
    faults "{\"org/tiny config.json\": {\"length\": $length}}"
    run 1 pull org/tiny --quiet
    complains "config.json: the server has [0-9]* bytes for it, the Hub's list says $config_size\$"
done
faults '{"org/tiny config.json": {"extra": 1}}'
run 1 pull org/tiny --quiet
complains "config.json: the server sends more than the $config_size bytes of the Hub's list"
no_snapshot

# ---- Hostile lists ----

git_hash=0123456789012345678901234567890123456789
hostile() { # PATTERN ENTRY
    faults "{\"org/tiny\": {\"siblings\": [$2]}}"
    run 1 pull org/tiny
    complains "$1"
    [ ! -e hf ] || die "something is written"
}
for name in ../evil ../../../../../../../../evil /etc/evil '' . .. a/../../evil a/.. ./a a//b a/ 'a\u0000b' 'a\nb' '\u001b[2J' \
    'a\u009b2J' 'a\\\\b' "$(printf '%02000d' 0)" "$(printf '%0256d' 0)"; do
    hostile 'is not a name that a file can be stored under$\|a file has no name$' \
        "{\"rfilename\": \"$name\", \"size\": 1, \"blobId\": \"$git_hash\"}"
done
hostile 'a file has no name' '7'
hostile 'a file has no name' '{"rfilename": ["a"]}'
for size in -1 1.5 1e300 '"7"' null 9007199254740993 99999999999999999999999999 '[]'; do
    hostile 'the size of "a" is missing, or not a number of bytes' \
        "{\"rfilename\": \"a\", \"size\": $size, \"blobId\": \"$git_hash\"}"
done
for hash in '"blobId": "0123"' '"blobId": 7' '"oid": "x"' '"blobId": "../../../../../../../../../../../tmp/abcdef"' \
    "\"blobId\": \"$git_hash\", \"lfs\": {}" "\"blobId\": \"$git_hash\", \"lfs\": {\"sha256\": \"$git_hash\"}"; do
    hostile 'that it could be checked by$' "{\"rfilename\": \"a\", \"size\": 1, $hash}"
done
entry="\"size\": 1, \"blobId\": \"$git_hash\"}"
hostile '"config.json" is there twice' "{\"rfilename\": \"config.json\", $entry"
huge='"size": 4e15, "blobId": "'$git_hash'"}'
faults "{\"org/tiny\": {\"siblings\": [{\"rfilename\": \"model.safetensors\", $huge]}}"
run 1 pull org/tiny --quiet
complains 'PB are to be downloaded, and the disk has .* free'

for body in '' '{' '[]' '7' '{\"sha\": \"main\", \"siblings\": []}' "{\\\"sha\\\": \\\"$git_hash\\\"}" 'hello' \
    "$(printf '%0100000d' 0 | tr 0 '[')"; do
    faults "{\"org/tiny api\": {\"body\": \"$body\"}}"
    run 1 pull org/tiny
    complains '^gptjt pull: org/tiny: '
done
faults '{"org/tiny api": {"endless": true}}'
run 1 pull org/tiny
complains "the Hub's answer has more than 16 MB"
faults '{"org/tiny api": {"head": true}}'
run 1 pull org/tiny
complains 'headers of an answer have no end\|[Hh]eader'

# ---- TLS ----

if command -v openssl >/dev/null; then
    mkdir secure
    ln -s "$PWD/root/models" secure/models
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost \
        -addext 'subjectAltName=DNS:localhost' 2>/dev/null
    serve secure cert.pem key.pem
    HF_ENDPOINT=https://localhost:$hub_port
    rm -rf hf
    run 1 pull org/tiny
    complains "^gptjt pull: $HF_ENDPOINT: .*SSL_CERT_FILE"
    SSL_CERT_FILE=$PWD/cert.pem
    export SSL_CERT_FILE
    run 0 pull org/tiny --include '*.json'
    HF_TOKEN=good run 1 pull org/tiny --quiet
    complains 'redirects from https to another protocol'
fi
