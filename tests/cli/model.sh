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
complains "not in the Hugging Face cache ($HF_HOME/hub); get it with 'hf download owner/name'"
repository=hf/hub/models--owner--name
mkdir -p "$repository/refs" "$repository/snapshots"
printf '0123abcd' >"$repository/refs/main"
run 1 tokenize -m owner/name -p a
complains 'names a revision that is not in the cache'
ln -s "$MODEL" "$repository/snapshots/0123abcd"
run 0 tokenize -m owner/name -p a
cp out cached
run 0 tokenize -m "$MODEL" -p a
cmp -s out cached || die "not the same ids as from the cache"
run 0 generate -m owner/name -p a --json
has '"model": "owner/name"'
printf '../../../..' >"$repository/refs/main"
run 1 tokenize -m owner/name -p a
complains 'does not hold a revision'

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
