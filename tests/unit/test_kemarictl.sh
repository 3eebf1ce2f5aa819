#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# kemarictl with a stand-in for kemarid, and with none; in namespaces of its
# own, so that a real kemarid is neither asked nor disturbed.

set -u

if [ "${1-}" != --inside ]; then
    [ "$(id -u)" = 0 ] || { echo "not root"; exit 77; }
    unshare -m -p -n -i --fork true 2>/dev/null ||
        { echo "no namespaces"; exit 77; }
    KEMARICTL=$(realpath "${KEMARICTL:-${top_builddir:-.}/kemarictl}")
    CTL_SERVER=$(realpath \
        "${CTL_SERVER:-${top_builddir:-.}/tests/unit/ctl_server}")
    export KEMARICTL CTL_SERVER
    exec unshare -m -p -n -i --fork --kill-child --propagation private \
        "$(realpath "$0")" --inside
fi

mount -t proc proc /proc
for dir in run dev/shm; do
    mount -t tmpfs -o mode=1777 kemari-test "/$dir"
done
failed=0

# expect CODE "TEXT" ARGUMENT...: exit code, and a part of what it prints
expect()
{
    local want=$1 part=$2 got code
    shift 2
    got=$("$KEMARICTL" "$@" 2>&1)
    code=$?
    if [ "$code" != "$want" ] || [[ $got != *"$part"* ]]; then
        printf 'kemarictl %s: %s, not %s; "%s" not in:\n%s\n' "$*" "$code" \
            "$want" "$part" "$got"
        failed=1
    fi
}

expect 2 "usage:"
expect 2 "unknown command nonsense" nonsense
expect 2 "wrong number" handover
expect 2 "wrong number" status a b
expect 2 "unknown format" --output-as=yaml status
expect 2 "unknown option" status --color
expect 2 "bad time-out" resource start vm0 --timeout-ms=0
expect 2 "unknown option" fence node2 --force
expect 2 "unknown option" status --list
expect 2 "bad time-out" fence node2 --confirm-ms=soon
expect 2 "wrong number" fence node1 node2
expect 2 "wrong number" force-boot
expect 2 "unknown option" force-boot vm0 --accept
expect 0 "usage:" --help

# no kemarid
expect 3 "no kemarid" status
expect 3 "no kemarid" handover vm0
expect 3 "no kemarid" fence node2
expect 3 "no kemarid" fence --list
expect 7 "does not run" resource monitor vm0
expect 0 "" resource stop vm0
expect 1 "no kemarid" resource start vm0 --timeout-ms=300
expect 1 "No such file" check /nonexistent.xml

# no kemarid, but a QEMU that it left behind
mkdir /run/kemari
sleep 1000 &
pid=$!
start=$(sed 's/.*) //' "/proc/$pid/stat" | cut -d' ' -f20)
printf 'pid=%s\nstart=%s\ninstance=x\n' "$pid" "$start" >/run/kemari/vm0.pid
expect 1 "pid $pid) runs" resource monitor vm0
printf 'want=promoted\n' >>/run/kemari/vm0.pid
expect 8 "pid $pid) runs" resource monitor vm0
sed -i s/want=promoted/want=unpromoted/ /run/kemari/vm0.pid
# never degraded: Pacemaker would wait for the end of that monitor
expect 0 "pid $pid) runs" resource monitor vm0
expect 0 "pid $pid) runs" resource monitor vm0 interval-ms=0
expect 0 "killed" resource stop vm0
kill -0 "$pid" 2>/dev/null && [ "$(cut -d' ' -f3 "/proc/$pid/stat")" != Z ] &&
    { echo "stop did not kill"; failed=1; }
expect 7 "does not run" resource monitor vm0
# the pid belongs to another process by now: it must be left alone
sleep 1000 &
pid=$!
printf 'pid=%s\nstart=1\n' "$pid" >/run/kemari/vm0.pid
expect 7 "does not run" resource monitor vm0
expect 0 "" resource stop vm0
kill -0 "$pid" || { echo "stop killed a stranger"; failed=1; }

# a kemarid
"$CTL_SERVER" >/run/ready &
server=$!
for ((i = 0; i < 100; i++)); do
    [ -s /run/ready ] && break
    sleep 0.05
done
expect 0 "node node1, quorate" status
expect 0 "vm0: syncing 40% (generation 7; a <b> & c)" status
expect 0 "primary   node1" status vm0
expect 0 "p50 1  p95 2  p99 3  max 4 us" status
expect 0 '"progress": 40' --output-as=json status
expect 0 '<reason>a &lt;b&gt; &amp; c</reason>' status --output-as=xml
expect 0 "node1 vm0: SOLO -> SYNCING (x)" events
expect 8 "[resource][monitor][vm0][config=/x][timeout-ms=5][a=b c]" \
    resource monitor vm0 --config=/x --timeout-ms=5 "a=b c"
expect 1 "[fence][node2][action=off][confirm-ms=7]" fence node2 --action=off \
    --confirm-ms=7
expect 1 "[fence][--status][node2]" fence --status node2
expect 1 "it failed" handover vm0
expect 1 "[handover][vm0]" handover vm0
"$KEMARICTL" --output-as=json status | python3 -c 'import json, sys
assert json.load(sys.stdin)["pairs"][0]["name"] == "vm0"' || failed=1
# one that is stopped: the system still takes the connection
kill -STOP "$server"
SECONDS=0
expect 1 "did not answer" resource monitor vm0 --timeout-ms=300
[ "$SECONDS" -lt 8 ] || { echo "waited $SECONDS s"; failed=1; }
kill -CONT "$server"
# it dies while somebody waits: that is noticed before the time-out
(sleep 1; kill -9 "$server") &
SECONDS=0
expect 3 "no kemarid" fence never
[ "$SECONDS" -lt 5 ] || { echo "waited $SECONDS s"; failed=1; }
[ "$failed" = 0 ] && echo "all as expected"
exit "$failed"
