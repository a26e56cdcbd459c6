# SPDX-License-Identifier: Apache-2.0
# Help goes to stdout and lists what there is; what is not understood exits 2 with the nearest name.
# shellcheck shell=sh
run 0 --help
has '^  generate  '
has '^  tokenize  '
run 0 help
has '^usage: gptjt COMMAND'
run 0 --version
has '^gptjt [0-9]'

for command_name in generate score tokenize logits bench; do
    run 0 "$command_name" --help
    has "^usage: gptjt $command_name "
    has '^  -m, --model MODEL'
    has '^examples:'
    lacks 'num-beams'
    mv out by_option
    run 0 help "$command_name"
    cmp -s out by_option || die "not the help of $command_name --help"
    run 0 "$command_name" -m text -h
done

run 0 generate --help
has '--max-new-tokens N .*default 20'
has '--top-k N .*default 50'

run 2
[ ! -s out ] || die "help that nobody asked for is on stdout"
run 2 generat
says "gptjt: unknown command 'generat'; did you mean generate?"
run 2 help tokenise
says "gptjt: unknown command 'tokenise'; did you mean tokenize?"
run 2 xyzzy
says "gptjt: unknown command 'xyzzy'; 'gptjt --help' lists them"
