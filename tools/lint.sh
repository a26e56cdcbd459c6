#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a reviewer should not have to look for. Each check prints one line, or its findings; fails if any failed.
# tools/lint.sh NAME ... runs only the named checks.
set -u
cd "$(dirname "$0")/.." || exit 1
mapfile -t c_files < <(git ls-files '*.c' '*.h')
mapfile -t scripts < <(git ls-files '*.sh' .ci/run)
mapfile -t headers < <(git ls-files 'src/*.h' 'include/*.h' ':!src/ops/cuda') # those of CUDA need its headers
mapfile -t cuda_files < <(git ls-files '*.cu' '*.cuh')

strict_build() { # compiler
    CC=$1 tools/build.sh "build-lint-$1" -Dwerror=true -Dbuildtype=debugoptimized
}

check_format() {
    clang-format --dry-run -Werror "${c_files[@]}" "${cuda_files[@]}"
}

check_layers() {
    tools/check_layers.sh
}

check_headers() { # each compiles alone
    local status=0 header
    for header in "${headers[@]}"; do
        echo "#include \"${header#*/}\"" |
            gcc -x c -fsyntax-only -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -Isrc -Iinclude - || status=1
    done
    return $status
}

check_gcc() {
    strict_build gcc
}

check_clang() {
    strict_build clang
}

check_symbols() {
    tools/check_symbols.sh build-lint-gcc/libgptjt_core.a
}

check_scripts() {
    shellcheck "${scripts[@]}"
}

check_licence() {
    local status=0 file
    for file in "${c_files[@]}" "${scripts[@]}" Makefile; do
        head -n 2 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' && continue
        echo "$file: no SPDX line"
        status=1
    done
    return $status
}

check_length() {
    local status=0 file lines
    for file in $(git ls-files 'src/*'); do
        lines=$(wc -l < "$file")
        [ "$lines" -le 800 ] && continue
        echo "$file: $lines lines, more than 800"
        status=1
    done
    return $status
}

check_todos() { # "TODO" followed by an issue number is fine
    ! git grep -nIE '\<(TODO|FIXME|XXX)\>' -- ':!tools/lint.sh' ':!tests/data' ':!fuzz/corpus' | grep -vE 'TODO ?\(?#[0-9]+'
}

check_tidy() {
    git ls-files 'src/*.c' 'fuzz/*.c' | xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p build-lint-clang 2> /dev/null
}

checks=("$@")
[ $# -gt 0 ] || checks=(format layers headers gcc clang symbols scripts licence length todos tidy)
failed=0
for name in "${checks[@]}"; do
    if output=$("check_$name" 2>&1); then
        echo "ok      $name"
    else
        echo "FAILED  $name"
        tail -n 60 <<< "$output" | sed 's/^/        /'
        failed=$((failed + 1))
    fi
done
[ $failed = 0 ] || { echo "$failed of ${#checks[@]} checks failed"; exit 1; }
