#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/net_mpirun.sh PROGRAM: ranks as processes do what ranks as threads do, to the bit and to the byte; messages
# move while ranks compute; who fails or hangs is named by the others. Skipped (77) where there is no mpirun.
set -eu
program=$1
command -v mpirun > /dev/null || { echo "SKIPPED: no mpirun"; exit 77; }
status=0
"$program" built || status=$?
[ $status != 77 ] || { echo "SKIPPED: built without MPI"; exit 77; }

dir=$(mktemp -d)
trap 'rm -r "$dir"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_orte_tmpdir_base=$dir # several mpirun that begin and end at a time make and remove the common one
ranks() { # number, arguments
    local n=$1
    shift
    timeout 120 mpirun -n "$n" --oversubscribe "$program" "$@"
}

for n in 2 4; do
    "$program" local $n > "$dir/local"
    ranks $n mpi > "$dir/mpi"
    [ "$(wc -l < "$dir/mpi")" = $n ] || { echo "no results of $n ranks"; exit 1; }
    cmp "$dir/local" "$dir/mpi" || { diff "$dir/local" "$dir/mpi"; exit 1; }
done

ranks 3 away

expect() { # fixed string
    grep -qF "$1" "$dir/said" || { echo "nobody says: $1"; cat "$dir/said"; exit 1; }
}
for what in fails hangs; do
    status=0
    ranks 3 $what > "$dir/said" 2>&1 || status=$?
    if [ $status = 0 ] || [ $status = 124 ]; then
        echo "$what: status $status"
        cat "$dir/said"
        exit 1
    fi
    case $what in
    fails) expect 'rank 1 says: shard 7 is cut off'
           expect 'waiting for 4 bytes from rank 1 (sync, tag 5): rank 1 failed: shard 7 is cut off' ;;
    hangs) expect 'waiting for 4 bytes from rank 1 (sync, tag 5): waited 0.5 s' ;;
    esac
done
