#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/setup.sh [--check] [build] [lint] [fuzz] [dist] [deb] [wheel] [roots]
# Installs the Debian packages of the named groups (build, if none is named) that are missing, as root or through sudo.
# When nothing is missing it does nothing. With build come packages that it can do without: they are installed, but
# not asked for by --check. --check installs nothing: it names what is missing and fails.
set -eu

build=(build-essential meson ninja-build pkg-config libjansson-dev libpcre2-dev libminizip-dev zlib1g-dev libzstd-dev
       libcsv-dev libyaml-dev libcmocka-dev libmicrohttpd-dev)
optional=(libopenmpi-dev openmpi-bin         # ranks as processes
          libcurl4-openssl-dev libssl-dev  # gptjt pull
          groff-base                       # test of the manual's pages
          python3-numpy)                   # tests of the Python package
lint=(clang clang-format clang-tidy shellcheck)
fuzz=(clang libclang-rt-14-dev)
dist=(patchelf zstd)
deb=(debhelper lintian)
wheel=(python3-venv)
roots=(debootstrap zstd)

check=false
wanted=()
for word in "$@"; do
    case $word in
    --check) check=true ;;
    build) wanted+=("${build[@]}") ;;
    lint) wanted+=("${lint[@]}") ;;
    fuzz) wanted+=("${fuzz[@]}") ;;
    dist) wanted+=("${dist[@]}") ;;
    deb) wanted+=("${deb[@]}") ;;
    wheel) wanted+=("${wheel[@]}") ;;
    roots) wanted+=("${roots[@]}") ;;
    *) echo "setup.sh: unknown group '$word'; there are build, lint, fuzz, dist, deb, wheel and roots" >&2; exit 2 ;;
    esac
done
[ ${#wanted[@]} -gt 0 ] || wanted=("${build[@]}")
if ! $check && [[ " ${wanted[*]} " == *" meson "* ]]; then wanted+=("${optional[@]}"); fi

if ! command -v dpkg-query > /dev/null; then
    $check || echo "not a Debian system: install by other means what these packages hold: ${wanted[*]}" >&2
    exit 0
fi

missing=()
for package in "${wanted[@]}"; do
    status=$(dpkg-query -W -f '${db:Status-Status}\n' "$package" 2> /dev/null | head -n 1 || true)
    [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if $check; then
    echo "missing packages: ${missing[*]}; 'make setup' installs them" >&2
    exit 1
fi

as_root=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo > /dev/null || { echo "as root, run: apt-get install ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
fi
echo "installing ${missing[*]}"
install() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
}
# Package lists may be absent (a fresh image) or so old that they name files which are gone.
install || { "${as_root[@]}" apt-get update -q && install; }
