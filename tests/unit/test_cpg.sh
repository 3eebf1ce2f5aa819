#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# test_cpg beside a corosync of its own, of one node, in namespaces of its own.

set -eu

if [ "${1-}" != --inside ]; then
    [ "$(id -u)" = 0 ] || { echo "not root"; exit 77; }
    [ -x /usr/sbin/corosync ] || { echo "no corosync"; exit 77; }
    unshare -m -p -n -u -i --fork true 2>/dev/null ||
        { echo "no namespaces"; exit 77; }
    program=${TEST_CPG:-${top_builddir:-.}/tests/unit/test_cpg}
    program=$(realpath "$program")
    scratch=$(mktemp -d)
    trap 'rmdir "$scratch"' EXIT
    KMR_TMP=$scratch unshare -m -p -n -u -i --fork --kill-child \
        --propagation private "$(realpath "$0")" --inside "$program"
    exit
fi

mount -t tmpfs -o mode=755 kemari-test "$KMR_TMP"
mount -t proc proc /proc
for dir in run dev/shm etc/corosync var/lib/corosync var/log/corosync; do
    mkdir -p "/$dir"
    mount -t tmpfs -o mode=1777 kemari-test "/$dir"
done
ip link set lo up
cat >/etc/corosync/corosync.conf <<'EOF'
totem {
    version: 2
    cluster_name: kemari-test
    transport: udpu
}
nodelist {
    node {
        ring0_addr: 127.0.0.1
        name: node1
        nodeid: 1
    }
}
quorum {
    provider: corosync_votequorum
}
logging {
    to_syslog: no
    to_stderr: yes
}
EOF
cat >"$KMR_TMP/start" <<'EOF'
#!/bin/sh
setsid corosync -f >>"$KMR_TMP/corosync.log" 2>&1 </dev/null &
echo $! >"$KMR_TMP/corosync.pid"
i=0
until corosync-quorumtool -s >/dev/null 2>&1; do
    i=$((i + 1))
    [ $i -lt 100 ] || { cat "$KMR_TMP/corosync.log"; exit 1; }
    sleep 0.1
done
EOF
cat >"$KMR_TMP/stop" <<'EOF'
#!/bin/sh
kill -KILL "$(cat "$KMR_TMP/corosync.pid")"
EOF
chmod +x "$KMR_TMP/start" "$KMR_TMP/stop"
export COROSYNC_START=$KMR_TMP/start COROSYNC_STOP=$KMR_TMP/stop
"$COROSYNC_START"
shift
"$@"
