#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/test.sh DIR [argument of meson test ...]: runs the suite; its last line is "N passed, N failed".
set -u
dir=$1
shift
log=$dir/meson-logs/testlog.json
rm -f "$log"
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1}
meson test -C "$dir" --print-errorlogs "$@"
status=$?
[ -f "$log" ] || { echo "no results in $log" >&2; exit 1; }

count() {
    grep -cE "\"result\": \"($1)\"" "$log"
}
passed=$(count 'OK|EXPECTEDFAIL')
skipped=$(count SKIP)
failed=$(($(count '[A-Z]+') - passed - skipped))
[ "$skipped" = 0 ] || echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ "$status" = 0 ] && [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
