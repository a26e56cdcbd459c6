#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/check_packages.sh DIST [deb] [dist] [container]: takes what `make deb` and `make dist` have put into DIST to
# clean Debian roots, installs it there, uses it, removes it and looks at what is left; container does the steps of
# packaging/Dockerfile. Without names: all of them. As root; debootstrap and apt fetch from MIRROR with the settings
# that this machine's apt has. What is checked is one function, check_NAME, that begins with a root of its own.
set -euo pipefail
dist=$(realpath "$1")
shift
cd "$(dirname "$0")/.."
mirror=${MIRROR:-http://deb.debian.org/debian}
health='curl -fsS http://127.0.0.1:8080/health'
[ "$(id -u)" = 0 ] || { echo "check_packages.sh: roots are root's to make" >&2; exit 1; }

work=$(mktemp -d "${TMPDIR:-/var/tmp}/gptjt-roots.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
root=$work/base
checked=base

die() {
    echo "check_packages.sh: $checked: $*" >&2
    exit 1
}

same() { # what it is, what it should be, what was found
    [ "$2" = "$3" ] || die "$1: '$3', not '$2'"
    printf '%-9s  %s: %s\n' "$checked" "$1" "$3"
}

# ---- Roots ----

# The command has processes, mounts and a loopback of its own, so nothing of it survives; NETWORK=1 leaves it the
# machine's network. AS is the user's id, IN the directory.
in_root() {
    local own=(--mount --pid --fork --kill-child --net)
    [ -z "${NETWORK-}" ] || unset 'own[-1]'
    # shellcheck disable=SC2016
    unshare "${own[@]}" sh -euc 'root=$1 user=$2 directory=$3 && shift 3
        mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && ip link set lo up
        exec chroot --userspec="$user" "$root" env -i -C "$directory" HOME=/root LANG=C.UTF-8 \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"' \
        in_root "$root" "${AS:-0}" "${IN:-/}" "$@"
}

quietly() { # what is said is shown if it fails
    "$@" > "$work/log" 2>&1 || { tail -n 30 "$work/log" >&2; die "failed: $*"; }
}

apt() {
    NETWORK=1 quietly in_root DEBIAN_FRONTEND=noninteractive apt-get -y -q --no-install-recommends "$@"
}

make_base() {
    local proxy=
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    quietly env http_proxy="${proxy:-${http_proxy-}}" debootstrap --variant=minbase bookworm "$root" "$mirror"
    apt-config dump | grep -E '^Acquire::(https?::|Check-)' > "$root/etc/apt/apt.conf.d/99host" || true
    apt update
}

new_root() { # NAME
    root=$work/$1
    cp -a "$work/base" "$root"
}

everything() { # names of all files, but for those of apt and dpkg, logs and the cache of man
    (cd "$root" && find . -xdev \( -path ./var/log -o -path ./var/lib/apt -o -path ./var/lib/dpkg -o -path ./var/cache/apt \
        -o -path ./var/cache/man -o -path ./debs -o -path ./run -o -path ./tmp \) -prune -o -printf '/%P\n') | sort
}

# ---- Using the program ----

card() { # what of the model card is answered right
    in_root "$1" generate -p $'Return the currency of the given country.\n\nInput: Switzerland\nOutput: Swiss Franc\n\nInput: India\nOutput:' \
        --stop $'\n' --quiet
}

use() { # PROGRAM
    same "$1 generate" ' Indian Rupee' "$(card "$1")"
    same "$1 classify" joy "$(in_root "$1" classify --labels sadness,joy,anger -p 'i feel so happy and thankful today' \
        --instruction "The task is to label the post's emotion as sadness, joy or anger." --quiet | awk 'NR == 1 { print $1 }')"
}

# A server that becomes healthy, answers, and ends when it is told to. Its command is in "$@", HEALTH asks how it is.
# shellcheck disable=SC2016
serving='set -eu
    "$@" 2> /tmp/serve.log &
    server=$!
    until sh -c "$HEALTH" > /dev/null 2>&1; do
        kill -0 $server 2> /dev/null && sleep 0.2 || { cat /tmp/serve.log >&2; exit 1; }
    done
    curl -fsS 127.0.0.1:8080/generate -d "{\"inputs\": \"Country: India\nCurrency:\", \"parameters\": {\"stop\": [\"\n\"]}}"
    kill -TERM $server
    wait $server'

serve() { # COMMAND...
    same "${*##*/} is asked" '{"generated_text":" Indian Rupee"}' \
        "$(in_root "${environment[@]}" HEALTH="$health" timeout 300 sh -c "$serving" serve "$@")"
}
environment=()

# ---- Debian packages ----

check_manual() {
    local command commands
    commands=$(in_root gptjt help | sed -n 's/^  \([a-z]*\)  *[a-z].*/gptjt-\1/p')
    for command in gptjt $commands; do
        in_root MANWIDTH=100 man --warnings "$command" > "$work/page" 2> "$work/log" || die "no page $command(1)"
        [ ! -s "$work/log" ] || die "man $command warns: $(cat "$work/log")"
        grep -q '^SYNOPSIS' "$work/page" || die "$command(1) is empty"
    done
    same 'pages of the manual' "$(wc -w <<< "gptjt $commands")" "$(find "$root/usr/share/man/man1" -name 'gptjt*.1.gz' | wc -l)"
}

# Keys as they are typed, tabs among them, for an interactive shell that shows what gptjt is given.
check_completion() {
    local typed
    # shellcheck disable=SC2016
    typed=$(printf '%s\n' '. /usr/share/bash-completion/bash_completion' 'gptjt() { echo "<$*>"; }' \
        $'gptjt gen\t--prompt-m\tpre\t-f /etc/hostn\t' exit |
        in_root TERM=dumb HISTFILE= script -qec 'bash --norc --noprofile -i' /dev/null | sed -n 's/^.*\(<gen[^>]*>\).*/\1/p')
    same 'completion' '<generate --prompt-mask prefix -f /etc/hostname>' "$typed"
}

check_library() {
    # shellcheck disable=SC2016
    quietly in_root sh -c 'cc -Wall -Werror /usr/share/doc/libgptjt-dev/examples/complete.c \
        $(pkg-config --cflags --libs gptjt) -o /tmp/complete'
    same 'a program with libgptjt' ' Indian Rupee' \
        "$(in_root /tmp/complete /usr/share/gptjt/models/gpt-jt-tiny $'Country: India\nCurrency:' | sed -n 1p)"
    same 'version of gptjt.pc' "$(in_root gptjt --version)" "gptjt $(in_root pkg-config --modversion gptjt)"
}

check_examples() { # recipes find what belongs to them where they are copied to; under mpirun there are two ranks
    quietly in_root sh -euc 'cp -r /usr/share/doc/gptjt/examples /tmp && cd /tmp/examples
        gptjt train recipes/finetune.yaml --steps 2 -m /usr/share/gptjt/models/gpt-jt-tiny -o /tmp/run --quiet
        gptjt generate -m /tmp/run/checkpoint-2 -p Hello --quiet
        set -- classify --labels billing,delivery -i recipes/finetune/held-out.csv --text-field message --quiet
        gptjt "$@" -o alone.csv
        mpirun --allow-run-as-root --oversubscribe -n 2 gptjt "$@" -o ranks.csv
        cmp alone.csv ranks.csv'
}

check_deb() {
    local all program
    new_root deb
    mkdir "$root/debs"
    cp "$dist"/*gptjt*_*.deb "$root/debs"
    mapfile -t all < <(find "$root/debs" -name '*.deb' -printf '/debs/%P\n')
    # First where there is nothing else, to see that dependencies are complete.
    mapfile -t program < <(printf '%s\n' "${all[@]}" | grep -v libgptjt)
    apt install "${program[@]}"
    use gptjt
    apt purge gptjt gptjt-model-tiny
    apt install bash-completion curl gcc libc6-dev man-db openmpi-bin pkg-config systemd
    everything > "$work/before"

    apt install "${all[@]}"
    AS=65534 use gptjt
    serve gptjt serve
    check_manual
    check_completion
    check_library
    check_examples
    same 'systemd-analyze verify gptjt.service' '' "$(in_root systemd-analyze verify gptjt.service 2>&1)"

    mkdir -p "$root/var/cache/private/gptjt/hub" # as if the unit had pulled a model
    apt remove '*gptjt*'
    everything | comm -13 "$work/before" - | grep gptjt > "$work/left" || true
    same 'left by remove' /etc/gptjt/serve.env "$(grep -x '/etc/.*env' "$work/left")"
    apt purge '*gptjt*'
    same 'left by purge' '' "$(everything | comm -3 "$work/before" -)"
}

# ---- The folder for machines without packages ----

check_dist() {
    local folder
    new_root dist
    tar -C "$root/opt" -xf "$(find "$dist" -maxdepth 1 -name 'gptjt-*-linux-*.tar.zst')"
    folder=$(basename "$root"/opt/gptjt-*)
    AS=65534 use "/opt/$folder/bin/gptjt"
    apt install curl man-db
    serve "/opt/$folder/bin/gptjt" serve
    same 'first line of its manual' 'GPTJT-SERVE(1)' \
        "$(in_root man -M "/opt/$folder/share/man" gptjt-serve | awk 'NR == 1 { print $1 }')"
}

# ---- The container ----

json_words() { # a JSON array of strings as words for the shell
    python3 -c 'import json, shlex, sys; print(shlex.join(json.loads(sys.argv[1])))' "$1"
}

check_container() {
    local word rest directory=/ user=0 entry=''
    health=false
    while read -r word rest <&3; do
        case $word in
        FROM)
            new_root "container-${rest##* }"
            directory=/ user=0 environment=()
            ;;
        RUN) NETWORK=1 AS=$user IN=$directory quietly in_root "${environment[@]}" sh -c "$rest" ;;
        WORKDIR) directory=$rest && mkdir -p "$root$directory" ;;
        COPY) # from the stage that is named, or what git tracks
            if [[ $rest =~ ^--from=([a-z]+)\ ([^ ]+)\ ([^ ]+)$ ]]; then
                cp -r "$work/container-${BASH_REMATCH[1]}${BASH_REMATCH[2]}/." "$root${BASH_REMATCH[3]}"
            else
                [ "$rest" = '. .' ] || die "does not know COPY $rest"
                git ls-files -z | tar --null -T - -cf - | tar -C "$root$directory" --no-same-owner -xf -
            fi
            ;;
        ENV) environment+=("$rest") ;;
        VOLUME) [ -d "$root$rest" ] || die "$rest is no directory" ;;
        USER) user=$rest ;;
        HEALTHCHECK) health=$(json_words "${rest##*CMD }") ;;
        ENTRYPOINT) entry=$(json_words "$rest") ;;
        EXPOSE | STOPSIGNAL) ;;
        *) die "does not know $word" ;;
        esac
    done 3< <(sed -e '/^#/d; /^$/d' -e ':more; /\\$/{N; s/\\\n *//; b more}' packaging/Dockerfile)
    [ "$user" != 0 ] || die "runs as root"
    same 'uid' "$user" "$(AS=$user in_root id -u)"
    AS=$user quietly in_root touch /models/writable
    # shellcheck disable=SC2086 # words that shlex has quoted
    eval "AS=$user serve $entry"
}

make_base
[ $# -gt 0 ] || set -- deb dist container
for checked; do
    "check_$checked"
    rm -rf --one-file-system "$root"
done
