#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/dist.sh OUT PROGRAM [EXECUTABLE ...]
# Makes OUT/gptjt-VERSION-linux-MACHINE and a .tar.zst of it: PROGRAM (build-dist/gptjt), the model that ships with it,
# its manual (man -M share/man gptjt), the shell's completion and the libraries it needs. The folder runs wherever it is put, on a machine with no packages of ours, whose glibc is
# not older than this machine's. EXECUTABLEs go into its bin/ too: tests, say, that are to run on that machine.
# Build PROGRAM with -Dmpi=disabled, as `make dist` does: a copy of Open MPI's library does not find its plugins, so the
# folder has no ranks under mpirun.
set -euo pipefail
out=$1
shift
root=$(dirname "$0")/..
version=$("$1" --version)
name=gptjt-${version#gptjt }-linux-$(uname -m)
# What the machine must have itself: glibc's libraries, and NVIDIA's.
not_ours='^(ld-linux.*|lib(c|m|mvec|dl|rt|pthread|resolv|util|anl|nss_[a-z]*)|lib(cuda|cublas|nccl|nvrtc|nvJitLink|nvidia).*)\.so'

new=$out/$name.$$.tmp
trap 'rm -rf "$new" "$new.tar.zst"' EXIT
mkdir -p "$new/bin" "$new/lib" "$new/share/gptjt/models"
cp -r "$root/models/gpt-jt-tiny" "$new/share/gptjt/models/"
install -m 644 "$root/LICENSE" "$root/README.md" "$new"
install -m 755 "$@" "$new/bin"
install -D -m 644 -t "$new/share/man/man1" "$(dirname "$1")"/packaging/gptjt*.1
install -D -m 644 -t "$new/share/bash-completion/completions" "$(dirname "$1")/packaging/gptjt"

needed=$(ldd "$@")
while read -r library arrow path _; do
    [ "$arrow" = '=>' ] || continue
    if [[ $library =~ $not_ours || -e $new/lib/$library ]]; then continue; fi
    [ "$path" != not ] || { echo "dist.sh: $library is not found" >&2; exit 1; }
    [[ $library != libmpi.* ]] || echo "dist.sh: $library comes without its plugins: there will be no mpirun" >&2
    install -m 644 "$path" "$new/lib/$library"
done <<< "$needed"

# RPATH, not RUNPATH: an LD_LIBRARY_PATH, usual beside GPUs, must not mix other versions in.
# shellcheck disable=SC2016 # $ORIGIN is for the loader
patchelf --force-rpath --set-rpath '$ORIGIN/../lib' "$new"/bin/*
# shellcheck disable=SC2016
patchelf --force-rpath --set-rpath '$ORIGIN' "$new"/lib/*

tar -C "$new" --sort=name --owner=0 --group=0 --numeric-owner --transform "s,^\.,$name," -cf - . |
    zstd -q -12 -T0 -o "$new.tar.zst"
rm -rf "${out:?}/$name"
mv "$new" "$out/$name"
mv "$new.tar.zst" "$out/$name.tar.zst"
cd "$out"
du -h -d 1 "$name"
du -h "$name.tar.zst"
