# SPDX-License-Identifier: Apache-2.0
# The script that completes command lines in bash: commands, options, their words, files, directories and models.
# shellcheck shell=sh disable=SC2034
command -v bash >/dev/null || { echo "bash is not installed"; exit 77; }
run 0 completion bash
mv out script

completes() { # EXPECTED WORD...: what the last word may become
    expected=$1
    shift
    command="completion of: $*"
    # shellcheck disable=SC2016
    bash -c '. ./script && compopt() { :; } && COMP_WORDS=("$@") && COMP_CWORD=$(($# - 1)) && _gptjt gptjt &&
        printf "%s\n" "${COMPREPLY[@]}"' bash "$@" >out 2>err || die "exit code $?"
    [ ! -s err ] || die "bash complains"
    sort out | tr '\n' ' ' | sed 's/ $//' >line
    [ "$(cat line)" = "$expected" ] || die "is '$(cat line)', not '$expected'"
}

completes generate gptjt gen
completes 'tokenize tokenizer' gptjt tok
completes '--version' gptjt --v
completes 'inspect' gptjt help insp
completes '--man' gptjt help --
completes '--text-field --text-name' gptjt classify --te
completes 'auto causal prefix' gptjt generate --prompt-mask ''
completes 'q4 q8' gptjt generate --prompt_mask prefix --weights q
completes prefix gptjt generate --prompt-mask = p
completes 'auto causal prefix' gptjt generate --prompt-mask =
completes '' gptjt generate --seed ''
completes 'train' gptjt tokenizer ''
completes 'bash' gptjt completion ''
completes '' gptjt generat --
completes '--log --log-requests' gptjt serve --log
completes '--no-log-requests' gptjt serve --no-

mkdir -p 'a directory/inside' hub/models--owner--name--x
: >'a file.csv'
completes 'a directory a file.csv' gptjt classify -i a
completes 'a directory' gptjt export --output 'a d'
completes 'a file.csv' gptjt tokenizer train 'a f'
export HF_HUB_CACHE="$PWD/hub"
completes 'a directory hub owner/name--x' gptjt generate -m ''
completes 'owner/name--x' gptjt inspect ow
unset HF_HUB_CACHE

# Nothing is missing: every option that help shows.
run 0 help
sed -n 's/^  \([a-z]*\)  *[a-z].*/\1/p' out >commands
while read -r name; do
    run 0 help "$name"
    sed -nE '/^options:/,/^examples:/s/^  (-., |    )--([][a-z0-9-]*).*/\2/p' out |
        sed 's/^\[no-\]\(.*\)/\1\nno-\1/; $a help' | sed 's/^/--/' | sort >options
    [ "$(wc -l <options)" -ge 3 ] || die "help $name shows no options"
    completes "$(tr '\n' ' ' <options | sed 's/ $//')" gptjt "$name" --
done <commands

run 2 completion
says 'gptjt completion: no shell: give bash'
run 2 completion fish
says 'gptjt completion: there is no completion for fish, only for bash'
