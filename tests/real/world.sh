#!/bin/sh
# Runs a command in a world of its own: its network, its mounts, its processes. Servers may have the ports that they
# have in life, and whatever the command leaves behind ends with it, even when it is killed.
set -eu
test "$(id -u)" = 0 && as="" || as="--user --map-root-user"
# shellcheck disable=SC2086 - none or two words
exec unshare $as --net --mount --pid --fork --kill-child --mount-proc sh -c '
    ip link set lo up
    mount -t tmpfs none /run
    mkdir -p /run/netns /run/sshd
    SOAR_WORLD=1 "$@"
' world "$@"
