#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# bench/wan/run.sh [options]: training over slow links, measured. Four hosts are network namespaces, each with a cable
# (veth) to a bridge in a fifth, where mpirun runs; tc's tbf limits both ends of a cable, so each host sends and receives
# at RATE. What is printed is throughput against the same hosts without limits.
#
#   --syncs "NAME ..."   values of a recipe's `sync` (allreduce proxskip cocktail diloco); also "diloco,sync-wire=int8":
#                        further options of gptjt train behind commas
#   --rates "RATE ..."   as tc writes them (10gbit 1gbit 100mbit 10mbit); "threads" is four threads of one process, no net
#   --steps N            100, 200 or 300 (100). Where all steps are alike fewer will do: allreduce and sharded take a tenth,
#                        cocktail a quarter
#   --repeats R          (3)
#   --program FILE       (build/gptjt)
#   --out DIR            gets runs.tsv, a line a run, and table.txt (runs/wan)
#
# Needs root, since it makes namespaces; they, their cables and processes are gone when it ends, also by Ctrl-C. Takes
# about a quarter of an hour as it is, and says after the first run how long exactly.
#
# The model. What slow links cost depends on one ratio: the time to send gradients over the time to compute them. In a ring
# of four ranks, each sends 6 bytes a parameter and step. GPT-JT 6B: 36 GB, 288 s at 1 Gbps, beside steps of 6 to 20 s, so
# 14 to 48. Here: 1.8 M parameters, 11 MB, 0.88 s at 100 Mbps and 8.8 s at 10 Mbps, beside a step in which four ranks
# share the cores of one machine, on two of them 0.06 to 0.18 s: 5 to 15, and ten times that. A slow step flatters a slow
# link, which is why model and batch are small. Hosts have one thread each.
#
# The proof. Bytes that the hosts' interfaces have sent are compared with what the transport says it has: they must agree
# within 5 %, raw, or with 66 bytes taken off every packet (Ethernet 14, IP 20, TCP 32). Without limits and at high rates
# the kernel hands packets of up to 64 KB to a cable and headers vanish; at low rates tbf cuts them to 1514 bytes, so there
# headers and acknowledgements make 5 to 7 %. Bytes a rank and step are of the whole run: proxskip's have the mean for its
# last checkpoint in them, which the seconds have not.
#
# It is not in the suite, which must not need root: this was run by hand, and interrupted at every stage.
# shellcheck disable=SC2317 # what traps call is reachable
set -eu
cd "$(dirname "$0")/../.."

syncs="allreduce proxskip cocktail diloco"
rates="10gbit 1gbit 100mbit 10mbit"
steps=100
repeats=3
program=build/gptjt
out=runs/wan
hosts=(1 2 3 4)
header_bytes=66
skipped_steps=2 # the first ones connect and touch memory

# ---- Refusals ----

refuse() {
    echo "bench/wan/run.sh: $1" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --syncs | --rates | --steps | --repeats | --program | --out)
        [ $# -gt 1 ] || refuse "$1 needs a value"
        name=${1#--}
        printf -v "$name" '%s' "$2"
        shift 2 ;;
    -h | --help) sed -n '3,/^set/{/^set/d;s/^# \{0,1\}//;p}' "bench/wan/run.sh"; exit 0 ;;
    *) refuse "$1 is no option; --help lists them" ;;
    esac
done
case $steps in 100 | 200 | 300) ;; *) refuse "--steps is 100, 200 or 300" ;; esac
[[ $repeats =~ ^[1-9][0-9]*$ ]] || refuse "--repeats is a number from 1 on"

bits_of() { # RATE
    local number=${1%%[a-z]*}
    case $1 in
    [0-9]*gbit) echo $((number * 1000000000)) ;;
    [0-9]*mbit) echo $((number * 1000000)) ;;
    [0-9]*kbit) echo $((number * 1000)) ;;
    *) return 1 ;;
    esac
}
for rate in $rates; do
    [ "$rate" = threads ] || bits_of "$rate" > /dev/null || refuse "$rate is no rate such as 1gbit, 100mbit or 500kbit"
done

[ "$(id -u)" = 0 ] || refuse "only root can make network namespaces"
needs() { # command, Debian package
    command -v "$1" > /dev/null || refuse "no $1: install Debian's $2"
}
needs ip iproute2
needs tc iproute2
needs unshare util-linux
needs mpirun openmpi-bin
[ -x "$program" ] || refuse "no $program: run make first, or give --program"
program=$(realpath "$program")

# ---- The network ----

export WAN_NAME=wan$$
work=$(mktemp -d)
export WAN_HOSTS=$work/hosts
agent=$(realpath bench/wan/agent.sh)
running='' # the process of the run under way

namespaces() {
    local host
    for host in head "${hosts[@]/#/host}"; do echo "$WAN_NAME-$host"; done
}

end_processes() {
    local namespace left
    if [ -n "$running" ] && kill -TERM "$running" 2> /dev/null; then
        timeout 10 tail --pid="$running" -f /dev/null || kill -KILL "$running" 2> /dev/null
    fi
    for namespace in $(namespaces); do
        for left in $(ip netns pids "$namespace" 2> /dev/null); do kill -KILL "$left" 2> /dev/null; done
    done
}

clean_up() {
    set +e
    trap '' INT TERM HUP
    end_processes
    local namespace
    for namespace in $(namespaces); do
        [ ! -e "/run/netns/$namespace" ] || ip netns del "$namespace" # cables go with it
    done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

make_network() {
    local namespace host head=$WAN_NAME-head
    for namespace in $(namespaces); do
        ip netns add "$namespace"
        ip -n "$namespace" link set lo up
    done
    ip -n "$head" link add bridge type bridge
    ip -n "$head" address add 10.77.0.254/24 dev bridge
    ip -n "$head" link set bridge up
    printf '127.0.0.1 localhost\n10.77.0.254 head\n' > "$WAN_HOSTS"
    for host in "${hosts[@]}"; do
        namespace=$WAN_NAME-host$host
        ip link add name cable netns "$namespace" type veth peer name "cable$host" netns "$head"
        ip -n "$head" link set "cable$host" master bridge up
        ip -n "$namespace" address add "10.77.0.$host/24" dev cable
        ip -n "$namespace" link set cable up
        echo "10.77.0.$host host$host" >> "$WAN_HOSTS"
        echo "host$host slots=1" >> "$work/hostfile"
    done
}

# A burst is 0.6 milliseconds of the rate, two packets at least, and from 1gbit on what the kernel hands over whole.
limit() { # namespace, device, RATE or none
    local burst
    if [ "$3" = none ]; then
        tc -n "$1" qdisc del dev "$2" root 2> /dev/null || true
        return
    fi
    burst=$(($(bits_of "$3") * 6 / 80000))
    tc -n "$1" qdisc replace dev "$2" root tbf rate "$3" latency 100ms burst $((burst > 3200 ? burst : 3200))
}

limit_all() { # RATE or none
    local host
    for host in "${hosts[@]}"; do
        limit "$WAN_NAME-host$host" cable "$1"
        limit "$WAN_NAME-head" "cable$host" "$1"
    done
}

counters() { # "BYTES PACKETS" that the hosts have sent
    local host
    for host in "${hosts[@]}"; do
        ip netns exec "$WAN_NAME-host$host" cat /sys/class/net/cable/statistics/tx_bytes \
            /sys/class/net/cable/statistics/tx_packets | paste -s
    done | awk '{ bytes += $1; packets += $2 } END { printf "%.0f %.0f\n", bytes, packets }'
}

# ---- The training ----

# proxskip throws a coin for each step; with this seed it shows heads twice in each of the first three hundreds of steps,
# at p = 0.02, one of them in the last step, in which replicas that are ahead wait for the others.
make_recipe() {
    local file
    for file in README.md docs/*.md src/*/*.[ch]; do cp "$file" "$work/${file//\//-}.txt"; done
    "$program" synth --init --n-layer 4 --n-embd 128 --n-head 4 --rotary-dim 16 --vocab-size 4096 --n-positions 128 \
        --tokenizer models/gpt-jt-tiny -o "$work/model" --quiet
    cat > "$work/recipe.yaml" << END
model: $work/model
batch_size: 12
micro_batch_size: 3
seq_len: 128
seed: 1790479
precision: fp32
recompute: false
learning_rate: 1.0e-4
save_steps: 0
eval_steps: 0
data_workers: 0
sync_probability: 0.02
sync_steps: 100
sources:
  - {format: pile, paths: "$work/*.txt"}
END
}
tokens_a_step=1536

steps_of() { # SYNC
    case $1 in
    allreduce* | sharded*) echo $((steps / 10)) ;;
    cocktail*) echo $((steps / 4)) ;;
    *) echo "$steps" ;;
    esac
}

mpi=(mpirun --allow-run-as-root --hostfile "$work/hostfile" --map-by node --bind-to none -n ${#hosts[@]}
    --mca plm rsh --mca plm_rsh_agent "$agent" --mca pml ob1 --mca btl "tcp,self" --mca mpi_yield_when_idle 1
    --mca btl_tcp_if_include cable --mca oob_tcp_if_include 10.77.0.0/24 --mca orte_tmpdir_base "$work")

launch() { # RATE, SYNC: the same call for all but threads
    local option train=("$program" train "$work/recipe.yaml" --steps "$(steps_of "$2")" -o "$work/run" --threads 1)
    train+=(--sync "${2%%,*}")
    for option in $(tr , ' ' <<< "${2#"${2%%,*}"}"); do train+=("--$option"); done
    if [ "$1" = threads ]; then
        exec "${train[@]}" --ranks ${#hosts[@]}
    fi
    exec "$agent" head "$(printf '%q ' "${mpi[@]}" "${train[@]}")"
}

# Seconds of a step on average, as rank 0 has measured them.
step_seconds() {
    sed -n 's/.*"seconds": \([0-9.e-]*\).*/\1/p' "$work/run/metrics.jsonl" |
        awk -v skip=$skipped_steps 'NR > skip { sum += $1; n++ } END { printf "%.6f\n", sum / n }'
}

sent() { # purpose or .*: bytes in all, as the transport has counted them
    sed -n "s/^sent for $1: .*, \([0-9,]*\) B in all.*/\1/p" "$work/said" | tr -d , | awk '{ n += $1 } END { printf "%.0f\n", n }'
}

# One run, a line of runs.tsv.
measure() { # repeat, RATE, SYNC
    local before after seconds transport bytes packets status=0
    rm -rf "$work/run"
    [ "$2" = threads ] || limit_all "$2"
    before=$(counters)
    (launch "$2" "$3") > "$work/said" 2>&1 &
    running=$!
    wait $running || status=$?
    running=''
    if [ $status != 0 ]; then
        cat "$work/said" >&2
        echo "$3 at $2: status $status" >&2
        exit 1
    fi
    after=$(counters)
    seconds=$(step_seconds)
    transport=$(sent '.*')
    read -r bytes packets < <(echo "$before $after" | awk '{ printf "%.0f %.0f\n", $3 - $1, $4 - $2 }')
    awk -v OFS='\t' -v steps="$(steps_of "$3")" -v ranks=${#hosts[@]} -v tokens=$tokens_a_step -v seconds="$seconds" \
        -v sync="$(sent sync)" -v transport="$transport" -v bytes="$bytes" -v packets="$packets" \
        -v header=$header_bytes -v key="$1	$2	$3" 'BEGIN {
            print key, steps, seconds, tokens / seconds, sync / steps / ranks, transport, bytes, packets,
                  sprintf("%.4f", bytes / transport), sprintf("%.4f", (bytes - header * packets) / transport) }' |
        tee -a "$out/runs.tsv" | awk -F '\t' '{ printf "%d  %-8s %-24s %8.0f tokens/s\n", $1, $2, $3, $6 }' >&2
}

estimate() { # from the first run, of all-reduce without limits
    awk -F '\t' -v rates="none $rates" -v syncs="$syncs" -v repeats="$repeats" -v own="$steps" 'END {
        n = split(rates, rate, " "); m = split(syncs, sync, " ")
        for (i = 1; i <= n; i++) for (j = 1; j <= m; j++) {
            bits = rate[i] ~ /gbit/ ? 1e9 * rate[i] : rate[i] ~ /mbit/ ? 1e6 * rate[i] : rate[i] ~ /kbit/ ? 1e3 * rate[i] : 1e12
            part = sync[j] ~ /^(allreduce|sharded)/ ? 1 : sync[j] ~ /^cocktail/ ? 1 / 170 : 1 / 40
            steps = sync[j] ~ /^(allreduce|sharded)/ ? own / 10 : sync[j] ~ /^cocktail/ ? own / 4 : own
            all += 3 + steps * ($5 + part * $7 * 8 / bits)
        }
        printf "about %.0f minutes\n", all * repeats / 60 }' "$out/runs.tsv" >&2
}

# ---- The table ----

show() {
    awk -F '\t' -v rates="none $rates" -v syncs="$syncs" -v repeats="$repeats" '
        function median(list, n, v, i, j, t) {
            n = split(list, v, " ")
            for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
            return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
        }
        NR > 1 {
            speed[$2, $3] = speed[$2, $3] " " $6; sync_bytes[$3] = $7
            if ($2 == "threads") next
            runs++
            off = $11 > 1 ? $11 - 1 : 1 - $11; net = $12 > 1 ? $12 - 1 : 1 - $12
            if (off > .05) by_headers++
            if (off > .05 && net > .05) { bad++; print "DISAGREE: " $3 " at " $2 ": interfaces / transport " $11 ", without headers " $12 }
            if (off > worst) worst = off
            if ((off > .05 ? net : off) > rest) rest = off > .05 ? net : off
        }
        END {
            n = split(rates, rate, " "); m = split(syncs, sync, " ")
            printf "%-24s %14s", "tokens/s", "bytes/rank/step"
            for (i = 1; i <= n; i++) printf " %16s", rate[i]
            print ""
            for (j = 1; j <= m; j++) {
                base = median(speed["none", sync[j]])
                printf "%-24s %14.0f", sync[j], sync_bytes[sync[j]]
                for (i = 1; i <= n; i++) {
                    s = median(speed[rate[i], sync[j]])
                    printf " %8.0f (%3.0f %%)", s, 100 * s / base
                    part[i, j] = s / base
                }
                print ""
            }
            printf "medians of %d; %% of the run without limits (none)\n", repeats
            printf "interfaces and transport: %d runs, raw at most %.1f %% apart; %d were more than 5 %% apart because of headers;\n", runs, 100 * worst, by_headers
            printf "without these at most %.1f %%: %s\n", 100 * rest, bad ? bad " DISAGREE" : "all agree"
            for (j = 1; j <= m; j++) if (sync[j] == "allreduce") for (i = 2; i <= n; i++) if (rate[i] != "threads" && part[i, j] < .2) {
                printf "at %s all-reduce has %.1f %%;", rate[i], 100 * part[i, j]
                for (k = 1; k <= m; k++) if (k != j) printf " %s %.1f %%", sync[k], 100 * part[i, k]
                print ""
            }
            exit bad > 0
        }' "$out/runs.tsv"
}

# ---- All of it ----

make_network
make_recipe
mkdir -p "$out"
printf 'repeat\trate\tsync\tsteps\tstep_s\ttokens_per_s\tsync_bytes_rank_step\ttransport_bytes\tinterface_bytes\tinterface_packets\traw_ratio\tratio_without_headers\n' > "$out/runs.tsv"
load=$(cut -d ' ' -f 1-3 /proc/loadavg)

# There and back, so that whatever the machine does meanwhile meets all of them.
pairs=()
for rate in none $rates; do
    for sync in $syncs; do pairs+=("$rate $sync"); done
done
for repeat in $(seq "$repeats"); do
    order=("${pairs[@]}")
    [ $((repeat % 2)) = 1 ] || mapfile -t order < <(printf '%s\n' "${pairs[@]}" | tac)
    for pair in "${order[@]}"; do
        # shellcheck disable=SC2086 # two words
        measure "$repeat" $pair
        [ "$repeat ${pair}" != "1 ${pairs[0]}" ] || estimate
    done
done
status=0
{
    echo "$(date -u +%F), $(nproc) cores, load when it began $load"
    show
} > "$out/table.txt" || status=$?
cat "$out/table.txt"
exit $status
