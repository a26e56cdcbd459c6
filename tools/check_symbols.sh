#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/check_symbols.sh LIBRARY: every global symbol begins with the name of its directory, of its file, of a header
# beside it or of a struct that such a header declares, or with k_ (kernels) or gptjt_ (the public API); and no object
# holds variables that outlive a call (of those that nvcc makes only the compiler's launching does).
set -eu
cd "$(dirname "$0")/.."

other_names="fail dtype_"                # base/status.h, tensor/tensor.h
variables="src_base_log.c.o:state"       # the log's sink, set once by the program

prefixes() { # src_DIR_STEM.c.o, or x86_STEM.c.o of a library of its own
    local path=${1#src_} dir stem header
    [[ $1 == *_*.o && $1 == @(src|x86)_* ]] || echo 'cuda_ ops_cuda_' # a library of its own, without its path
    path=${path/#x86_/kernels_x86_}
    dir=${path%%_*}
    stem=${path#*_}
    echo "k_ gptjt_ ${dir}_ ${stem%.c.o}_ $other_names"
    for header in "src/$dir"/*.h "src/$dir"/x86/*.h; do
        [ -f "$header" ] || continue
        echo "$(basename "$header" .h)_"
        sed -nE 's/^struct ([a-z0-9_]+) \{.*/\1_/p' "$header"
    done
}

bad=0
last=
while IFS=: read -r object symbol; do
    if [ "$object" != "$last" ]; then
        mapfile -t known < <(prefixes "$object" | tr ' ' '\n')
        last=$object
    fi
    for prefix in "${known[@]}"; do
        if [[ $prefix == *_ && $symbol == "$prefix"* || $symbol == "$prefix" ]]; then continue 2; fi
    done
    echo "$object: global $symbol is not named after its module"
    bad=1
done < <(nm -A -P -g --defined-only "$1" | sed -E 's/^[^[]*\[([^]]*)\]: ([^ ]+) .*/\1:\2/; s/^[^:]*\///')

while read -r variable; do
    [[ " $variables " == *" $variable "* ]] && continue
    echo "$variable is global mutable state"
    bad=1
done < <(objdump -t "$1" | awk '/file format/ { sub(":$", "", $1); sub(".*/", "", $1); object = $1 }
                                object !~ /\.cu\.o$/ && $3 == "O" && ($4 == ".data" || $4 == ".bss") { print object ":" $NF }')
exit $bad
