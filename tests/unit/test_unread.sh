#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the kemarid before knew of a VM is read before anything is written: a
# QEMU that runs would be taken for dead. The state file is a pipe here, so
# that the reading takes as long as the test likes.
set -u
build=${top_builddir:-.}
if [ "${1:-}" != inside ]; then
    if ! unshare --mount --net true 2>/dev/null; then
        echo "not root, or no namespaces"
        exit 77
    fi
    exec unshare --mount --net --propagation private "$0" inside
fi
log=$(mktemp) || exit 1
state=${localstatedir:-/var}/lib/kemari
above=$state
while [ ! -d "$above" ]; do
    above=${above%/*}
done
for folder in /run "$above"; do
    mount -t tmpfs tmpfs "$folder" || exit 1
done
mkdir -p /run/kemari "$state"
mkfifo "$state/vm0.state"
exec 3<>"$state/vm0.state"
sleep 300 3>&- &
qemu=$!
pid_text="pid=$qemu
start=$(sed 's/^.*) //' /proc/$qemu/stat | cut -d ' ' -f 20)
instance=6ac6d2b6-5a1e-4c52-8b1c-1d8d3b9f6f01
want=promoted
alone=0"
printf '%s\n' "$pid_text" >/run/kemari/vm0.pid
printf '[node]\nname = node1\n' >/run/kemari.conf
"$build/kemarid/kemarid" -f -c /run/kemari.conf </dev/null >"$log" 2>&1 3>&- &
kemarid=$!

end()
{
    kill "$kemarid" "$qemu"
    wait "$kemarid" "$qemu"
    rm -f "$log"
    exit "$1"
}

bad()
{
    echo "not ok $1"
    sed 's/^/# /' "$log"
    end 1
}

await()
{
    local i
    for ((i = 0; i < 600; i++)); do
        grep -q "$1" "$log" && return 0
        kill -0 "$kemarid" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}

reads()
{
    readlink "/proc/$kemarid/fd/"* | grep -q '/vm0.state$'
}

echo 1..4
for ((i = 0; i < 600; i++)); do
    ! reads || break
    sleep 0.05
done
sleep 1 # for what must not happen
if ! reads || [ ! -p "$state/vm0.state" ] ||
    [ ! -s /run/kemari/vm0.pid ]; then
    bad "1 - nothing is written before it was read"
fi
echo "ok 1 - nothing is written before it was read"
exec 3>&-
await "can't be used" || bad "2 - a state file that can't be used"
echo "ok 2 - a state file that can't be used"
await 'vm0: .*found running' || bad "3 - its QEMU is found all the same"
echo "ok 3 - its QEMU is found all the same"
sed -n '/^want/q;p' /run/kemari/vm0.pid | cmp -s - \
    <(printf '%s\n' "$pid_text" | sed -n '/^want/q;p') ||
    bad "4 - and it is still written down"
echo "ok 4 - and it is still written down"
end 0
