#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/plan_mpirun.sh GPTJT: what gptjt plan --measure writes under mpirun is a cluster that gptjt plan reads. All ranks
# are on one machine here; tests/test_cluster.c has hosts and links. Skipped (77) where there is no mpirun.
set -eu
gptjt=$(realpath "$1")
command -v mpirun > /dev/null || { echo "SKIPPED: no mpirun"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_orte_tmpdir_base=$dir # several mpirun that begin and end at a time make and remove the common one

fail() {
    echo "$1"
    cat said
    exit 1
}
status=0
timeout 280 mpirun --oversubscribe --bind-to none -n 2 "$gptjt" plan --measure here.yaml --measure-time 0.1 --quiet > said 2>&1 ||
    status=$?
if grep -q 'built without MPI' said; then
    echo "SKIPPED: built without MPI"
    exit 77
fi
[ $status = 0 ] || fail "measuring: status $status"
cat here.yaml >> said
[ "$(grep -c 'name: ".*", devices: 2, .*inside_gbps: .*, inside_latency_ms: ' here.yaml)" = 1 ] || fail "not one machine with two devices"
"$gptjt" plan here.yaml --preset tiny --batch-size 8 --quiet > said 2>&1 || fail "what was measured cannot be planned with"
grep -q '^measured: 2 devices of 1 machines$' said || fail "not what was measured"
status=0
"$gptjt" plan --measure x.yaml here.yaml > said 2>&1 || status=$?
[ $status = 2 ] || fail "measuring and planning at once: status $status"
grep -qF -- '--measure writes a cluster file and plans nothing' said || fail "not the reason"
