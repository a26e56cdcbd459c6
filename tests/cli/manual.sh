# SPDX-License-Identifier: Apache-2.0
# Pages of the manual: of the program and of every command, without anything that groff warns about, with every option
# that help shows.
# shellcheck shell=sh disable=SC2034
command -v groff >/dev/null || { echo "groff is not installed"; exit 77; }

page() { # [COMMAND]: as a terminal shows it, in page
    run 0 help --man "$@"
    groff -ww -man -Tascii -rLL=200n out 2>warnings | sed 's/.\x08//g; s/\x1b\[[0-9;]*m//g' >page
    [ ! -s warnings ] || die "groff warns: $(cat warnings)"
    mv page out
}

page
has '^GPTJT(1) '
has '^ *gptjt - GPT-JT and other'
has 'GPTJT_MODEL'
cp out program
run 0 help
sed -n 's/^  \([a-z]*\)  *[a-z].*/\1/p' out >commands
grep -q '^generate$' commands || die "help lists no commands"

while read -r name; do
    grep -q "^ *gptjt-$name(1)$" program || die "gptjt(1) does not name gptjt-$name(1)"
    run 0 help "$name"
    sed -nE '/^options:/,/^examples:/s/^  (-., |    )(--[][a-z0-9-]*).*/\2/p' out >options
    grep -q -e '^--quiet$' options || die "help $name shows no options"
    sed -n '/^examples:/,$s/^  //p' out >examples
    page "$name"
    has "^ *gptjt-$name - "
    has '^EXIT STATUS'
    while read -r option; do
        sed -n '/^OPTIONS/,/^EXAMPLES/s/^ *\(-[A-Za-z], \)*\(--[][a-z0-9-]*\).*/\2/p' out | grep -q -x -F -e "$option" ||
            die "the page does not have $option"
    done <options
    while read -r example; do
        sed 's/^ *//' out | grep -q -x -F -e "$example" || die "the page does not have the example $example"
    done <examples
done <commands

run 2 help --man generat
says "gptjt: unknown command 'generat'; did you mean generate?"
