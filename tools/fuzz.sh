#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/fuzz.sh DIR: runs every libFuzzer target of the build in DIR for FUZZ_SECONDS (600), starting from its corpus.
# New inputs stay in DIR/corpus, inputs that crash in DIR/crash-*; the exit status is 1 if there was one.
set -eu
dir=$1
failed=()
for source in fuzz/*.c; do
    name=$(basename "$source" .c)
    [ "$name" != replay ] || continue
    mkdir -p "$dir/corpus/$name"
    echo "fuzzing $name for ${FUZZ_SECONDS:-600} s"
    "$dir/fuzz/fuzz_$name" -max_total_time="${FUZZ_SECONDS:-600}" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
        -print_final_stats=1 -verbosity=0 -artifact_prefix="$dir/crash-$name-" \
        "$dir/corpus/$name" "fuzz/corpus/$name" || failed+=("$name")
done
[ ${#failed[@]} = 0 ] || { echo "fuzzing found errors in: ${failed[*]}"; exit 1; }
echo "fuzzing found nothing"
