# SPDX-License-Identifier: Apache-2.0
# The folder that tools/dist.sh makes: unpacked elsewhere, it runs where there is nothing but itself and glibc.
# shellcheck shell=sh disable=SC2034,SC2154
for tool in patchelf zstd; do
    command -v $tool >/dev/null || { echo "$tool is not installed"; exit 77; }
done
run 0 generate -p 'Country: India' --max-new-tokens 8
cp out expected

command=dist.sh
mkdir -p root/proc root/opt
cp "$GPTJT" another
"$here/../../tools/dist.sh" made "$GPTJT" another >out 2>err || die "exit code $?"
[ "$(find made -maxdepth 1 -name '*.tmp*')" = '' ] || die "something is left over"
tar -C root/opt -xf made/gptjt-*.tar.zst
folder=$(echo "$PWD"/root/opt/gptjt-*)
program=$folder/bin/gptjt
diff -r made/gptjt-*/ "$folder" >out || die "the archive holds something else"
cmp -s "$folder/bin/another" "$program" || die "the other executable is not like the program"

for page in gptjt gptjt-generate; do
    [ -s "$folder/share/man/man1/$page.1" ] || die "has no $page(1)"
done
"$GPTJT" completion bash | cmp -s - "$folder/share/bash-completion/completions/gptjt" || die "has no completion"

# From outside come glibc's libraries alone, also where the environment offers others.
LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu ldd "$program" "$folder"/lib/* | grep -o '/[^ :]*' | grep -v "$folder" |
    sort -u >outside
grep -v -E '/(ld-linux[^/]*|lib(c|m|mvec|dl|rt|pthread|resolv))\.so[.0-9]*$' outside >out && die "needs more than glibc"
xargs cp -L --parents -t root <outside

if unshare -rmpf --mount-proc="$PWD/root/proc" true 2>/dev/null; then
    command="generate, in a root of its own"
    env -i PATH="$PATH" unshare -rmpf --mount-proc="$PWD/root/proc" \
        chroot root "${program#"$PWD/root"}" generate -p 'Country: India' --max-new-tokens 8 >out 2>err || die "exit code $?"
else
    command="generate, in the folder"
    env -i "$program" generate -p 'Country: India' --max-new-tokens 8 >out 2>err || die "exit code $?"
fi
cmp -s out expected || die "says something else than the program"
