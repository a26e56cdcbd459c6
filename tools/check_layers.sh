#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Includes follow the layers, libraries stay where they are confined, and lower layers do not do what is not theirs.
# Prints one line for every breach and fails if there was one. tests/, fuzz/ and bench/ may include everything.
set -eu
cd "$(dirname "$0")/.."

# What a directory of src/ may include besides itself; what those may include, it may too.
declare -A uses=(
    [base]="" [html]="base" [tensor]="base" [kernels]="base" [ops]="kernels tensor" [formats]="tensor" [tokenizer]="base"
    [model]="ops formats" [hub]="base" [net]="base" [stage]="model net" [engine]="stage tokenizer hub" [eval]="engine html"
    [data]="tokenizer" [train]="data stage html" [dist]="train net" [server]="eval"
    [bench]="engine train"
    [cli]="eval bench dist server hub"
)
# Exceptions to that closure: the server hands requests to the engine and knows no model.
declare -A never=([server]="tensor kernels ops formats model stage net hub")

closure() { # $1: directory
    echo "$1"
    for lower in ${uses[$1]}; do closure "$lower"; done
}

breaches=0
breach() {
    echo "$1"
    breaches=$((breaches + 1))
}

# Directives and code without comments; line structure does not matter here.
stripped() {
    gcc -fpreprocessed -dD -E -P -x c "$1" 2> /dev/null
}

only_in() { # file, its code, what is confined (regular expression), where it may be (regular expression), why
    if [[ ! $1 =~ $4 ]] && grep -qE "$3" <<< "$2"; then
        breach "$1: $(grep -oE -m 1 "$3" <<< "$2" | head -n 1): $5"
    fi
}

check_file() {
    local file=$1 dir code header
    dir=${file#src/}
    dir=${dir%%/*}
    if [ -z "${uses[$dir]+known}" ]; then
        breach "$file: src/$dir is not a layer that tools/check_layers.sh knows"
        return
    fi
    code=$(stripped "$file")
    local allowed=" ${closures[$dir]} "
    while read -r header; do
        local to=${header%%/*}
        if [ "$header" = gptjt.h ]; then
            [[ $dir =~ ^(engine|eval|server|cli)$ ]] || breach "$file: includes $header, which is for the users of the library"
        elif [ "$to" = "$header" ]; then
            breach "$file: includes \"$header\"; write it from src/ on: \"$dir/$header\""
        elif [[ $allowed != *" $to "* ]]; then
            breach "$file: includes \"$header\"; $dir may include only:$allowed"
        fi
    done < <(grep -oE '^ *# *include *"[^"]*"' <<< "$code" | cut -d '"' -f 2)

    local include='# *include *<'
    only_in "$file" "$code" "${include}jansson\.h" '^src/base/json\.h$' 'only base/json.h includes it'
    only_in "$file" "$code" "${include}pcre2" '^src/tokenizer/pretok\.c$' 'only tokenizer/pretok.c includes it'
    only_in "$file" "$code" "${include}minizip|${include}(un)?zip\.h" '^tests/test_torchbin\.c$' \
        'only its test, to write zips'
    only_in "$file" "$code" "${include}(zlib|zstd)\.h" '^src/data/bytes\.c$' 'only data/bytes.c includes it'
    only_in "$file" "$code" "${include}csv\.h" '^src/(eval|data)/' 'only eval/ and data/ include it'
    only_in "$file" "$code" "${include}yaml\.h" '^src/base/yaml\.c$' 'only base/yaml.c includes it'
    only_in "$file" "$code" "${include}(pthread|threads)\.h" '^src/(base/|server/|ops/cuda/|net/(local|shaped|mpi)\.c$)' \
        'only base/ makes threads, transports in net/, and the server; a GPU is shared by them'
    only_in "$file" "$code" "${include}microhttpd\.h" '^src/server/http\.c$' 'only server/http.c includes it'
    only_in "$file" "$code" "${include}[a-z0-9]*intrin\.h" '^src/kernels/x86/' 'only kernels/x86/ includes it'
    only_in "$file" "$code" "${include}mpi\.h" '^src/net/mpi\.c$' 'only net/mpi.c includes it'
    only_in "$file" "$code" "${include}curl/" '^src/hub/http\.c$' 'only hub/http.c includes it'
    only_in "$file" "$code" "${include}openssl/" '^src/hub/digest\.c$' 'only hub/digest.c includes it'
    only_in "$file" "$code" "${include}(cuda|cublas)" '^src/ops/cuda/' 'only ops/cuda/ includes it'
    only_in "$file" "$code" '\<(secure_)?getenv *\(' '^src/(cli/|hub/(environment|model_path)\.c$)' \
        'only cli/ reads the environment, and what finds models by name'
    only_in "$file" "$code" '\<(_?exit|abort|printf|puts|putchar) *\(' '^src/cli/' 'only cli/ prints and exits'
    only_in "$file" "$code" '\<(malloc|calloc|realloc(array)?|aligned_alloc|free|mmap|fopen|open|pthread_[a-z_]+) *\(' \
        '^src/(base|hub|html|tensor|ops|formats|tokenizer|model|net|stage|engine|eval|bench|data|train|dist|server|cli)/' \
        'kernels never allocate, thread or read files'
}

declare -A closures
for dir in "${!uses[@]}"; do
    closures[$dir]=
    for lower in $(closure "$dir" | sort -u); do
        [[ " ${never[$dir]-} " == *" $lower "* ]] || closures[$dir]+=" $lower"
    done
done
for file in $(git ls-files 'src/*.c' 'src/*.h'); do
    check_file "$file"
done
[ $breaches = 0 ]
