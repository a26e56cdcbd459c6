#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# pack.sh HEADER PAGE POLICY EXAMPLE...
# Makes one page of what lies beside this script and of the example files, and writes it three times over: as a C header
# (PAGE_BYTES, PAGE_ETAG, PAGE_POLICY), as the page itself, and its Content-Security-Policy (both for the tests).
# The policy names the one script and the one style by their SHA-256, so that nothing else runs, and no outside resource
# can be asked for. Only coreutils and awk.
set -eu -o pipefail
export LC_ALL=C
here=$(dirname "$0")
header=$1 page=$2 policy=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sha256() { # file; in base64
    sha256sum "$1" | cut -c 1-64 | tr a-f A-F | basenc --base16 -d | base64 -w 0
}

named() { # attribute="VALUE" of index.html's lines that match: their values, as paths
    sed -nE "s|^<$1=\"([^\"]+)\".*|$here/\\1|p" "$here/index.html"
}

mapfile -t styles < <(named 'link rel="stylesheet" href')
mapfile -t scripts < <(named 'script src')
cat "${styles[@]}" > "$work/style"
cat "${scripts[@]}" > "$work/script"
if grep -qi '</\(script\|style\)' "$work/script" "$work/style"; then
    echo "pack.sh: a script or style holds the tag that would end it" >&2
    exit 1
fi

for example in "$@"; do # the last line break of the file is not part of the prompt
    name=${example##*/}
    printf '<template data-example="%s">' "${name%.txt}"
    printf '%s' "$(cat "$example")" | sed 's/&/\&amp;/g; s/</\&lt;/g'
    printf '</template>\n'
done > "$work/examples"

insert() { # tag, file
    printf '<%s>' "$1"
    cat "$2"
    printf '</%s>\n' "$1"
}

while IFS= read -r line; do
    case $line in
    '<link rel="stylesheet"'*) insert style "$work/style" ;;
    '<!-- examples -->') cat "$work/examples" ;;
    '<script src='*)
        if [ -e "$work/script" ]; then # where the first one is stand all of them
            insert script "$work/script"
            mv "$work/script" "$work/script.done"
        fi ;;
    *) printf '%s\n' "$line" ;;
    esac
done < "$here/index.html" > "$page"

printf '%s' "default-src 'none'; script-src 'sha256-$(sha256 "$work/script.done")'; style-src 'sha256-$(sha256 "$work/style")'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'" > "$policy"

{
    echo '/* Made by src/server/page/pack.sh. */'
    printf '#define PAGE_ETAG "\\"%s\\""\n' "$(sha256sum "$page" | cut -c 1-32)"
    printf '#define PAGE_POLICY "%s"\n' "$(cat "$policy")"
    printf '#define PAGE_BYTES \\\n'
    od -An -v -t u1 -w32 "$page" | sed -E 's/ +([0-9]+)/\1,/g; s/$/ \\/'
    printf '\n'
} > "$header"
