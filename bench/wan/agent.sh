#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# bench/wan/agent.sh HOST COMMAND ...: for mpirun what ssh is, --mca plm_rsh_agent. Runs a command, which a shell reads as
# behind ssh, on one of the hosts that run.sh has made: in its network namespace, under its name. The environment says
# which hosts: WAN_NAME, what their namespaces' names begin with, and WAN_HOSTS, their /etc/hosts.
set -eu
host=$1
shift
# A namespace of mounts comes with `ip netns exec`, so nobody else sees the other /etc/hosts.
# shellcheck disable=SC2016 # the inner shell's variables
exec ip netns exec "$WAN_NAME-$host" unshare --uts sh -c '
    hostname "$1"
    mount --bind "$WAN_HOSTS" /etc/hosts
    eval "exec $2"' sh "$host" "$*"
