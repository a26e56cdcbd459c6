#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/build.sh DIR [-Doption=value ...]: configures DIR where that is new or options are given, and builds.
set -eu
dir=$1
shift
if [ ! -f "$dir/build.ninja" ]; then
    meson setup "$dir" "$@"
elif [ $# -gt 0 ]; then
    meson configure "$dir" "$@"
fi
ninja -C "$dir"
