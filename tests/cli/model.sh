# SPDX-License-Identifier: Apache-2.0
# Where a model is looked for: a directory, the Hugging Face cache, $GPTJT_MODEL, beside the program.
# shellcheck shell=sh
run 1 generate -m /nonexistent -p a
says 'gptjt generate: /nonexistent: no such directory'
echo >file
run 1 tokenize -m file -p a
says 'gptjt tokenize: file: is a file, not the directory of a model'
run 2 tokenize -m '' -p a
says "gptjt tokenize: the model's name is empty"
mkdir empty
run 1 tokenize -m empty -p a
complains '^gptjt tokenize: empty: .*vocab.json'
run 1 generate -m empty -p a
complains '^gptjt generate: empty.*config.json'

HF_HOME=$PWD/hf
export HF_HOME
run 1 tokenize -m owner/name -p a
complains "not in the Hugging Face cache ($HF_HOME/hub); 'gptjt pull owner/name' downloads it"
repository=hf/hub/models--owner--name
mkdir -p "$repository/refs" "$repository/snapshots"
printf '0123abcd' >"$repository/refs/main"
run 1 tokenize -m owner/name -p a
complains "not in the Hugging Face cache"
run 1 tokenize -m owner/name@v1 -p a
complains "'gptjt pull owner/name@v1' downloads it"
run 2 tokenize -m owner/name@../main -p a
complains 'owner/name: "../main" is not the name of a revision'
ln -s "$MODEL" "$repository/snapshots/0123abcd"
run 0 tokenize -m owner/name -p a
cp out cached
run 0 tokenize -m "$MODEL" -p a
cmp -s out cached || die "not the same ids as from the cache"
run 0 generate -m owner/name -p a --json
has '"model": "owner/name"'
printf '../../../..' >"$repository/refs/main"
run 1 tokenize -m owner/name -p a
complains 'does not hold the name of a commit'
commit=0123456789abcdef0123456789abcdef01234567
ln -s "$MODEL" "$repository/snapshots/$commit"
run 0 tokenize -m "owner/name@$commit" -p a
mkdir "$repository/refs/pr"
printf %s "$commit" >"$repository/refs/pr/1"
run 0 tokenize -m owner/name@pr/1 -p a
cmp -s out cached || die "not the same ids by another revision"

# Where the cache is: as huggingface_hub finds it.
unset HF_HOME
# shellcheck disable=SC2016,SC2034
for where in 'HF_HUB_CACHE=hf/hub' 'HUGGINGFACE_HUB_CACHE=$PWD/hf/hub' 'HF_HOME=~/hf' 'HF_HOME=${HOME}/hf' \
    'XDG_CACHE_HOME=caches' 'HF_HUB_CACHE= HF_HOME=hf'; do
    mkdir -p caches && ln -sfn ../hf caches/huggingface
    command="tokenize, $where"
    # shellcheck disable=SC2086
    env HOME="$PWD" $where "$GPTJT" tokenize -m owner/name@pr/1 -p a >out 2>err || die "exit code $?"
done
env HOME="$PWD/caches" "$GPTJT" tokenize -m owner/name -p a 2>err && die "found without a cache"
grep -q "$PWD/caches/.cache/huggingface/hub" err || die "the default is another one"
HF_HOME=$PWD/hf
export HF_HOME

GPTJT_MODEL=$MODEL
export GPTJT_MODEL
run 0 tokenize -p a
cmp -s out cached || die "GPTJT_MODEL is not used"
GPTJT_MODEL=/nonexistent
run 1 tokenize -p a
complains '/nonexistent: no such directory'
unset GPTJT_MODEL

# As installed: bin/gptjt and share/gptjt/models.
mkdir -p prefix/bin prefix/share/gptjt/models
cp "$GPTJT" prefix/bin/gptjt
GPTJT=$PWD/prefix/bin/gptjt
run 2 tokenize -p a
complains 'no model: give -m MODEL or set GPTJT_MODEL'
ln -s "$MODEL" prefix/share/gptjt/models/gpt-jt-tiny
run 0 tokenize -p a
cmp -s out cached || die "the installed model is not found"
