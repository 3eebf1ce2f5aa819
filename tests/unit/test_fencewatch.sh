#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# test_fencewatch beside a pacemaker-fenced of its own (on a corosync of one
# node, without the rest of Pacemaker), in namespaces of its own, with a fence agent that cuts nothing.

set -eu

if [ "${1-}" != --inside ]; then
    fenced=/usr/lib/pacemaker/pacemaker-fenced
    [ "$(id -u)" = 0 ] || { echo "not root"; exit 77; }
    [ -x "$fenced" ] || { echo "no pacemaker-fenced"; exit 77; }
    [ -x /usr/sbin/corosync ] || { echo "no corosync"; exit 77; }
    unshare -m -p -n -u -i --fork true 2>/dev/null ||
        { echo "no namespaces"; exit 77; }
    program=${TEST_FENCEWATCH:-${top_builddir:-.}/tests/unit/test_fencewatch}
    program=$(realpath "$program")
    scratch=$(mktemp -d)
    trap 'rmdir "$scratch"' EXIT
    KMR_TMP=$scratch unshare -m -p -n -u -i --fork --kill-child \
        --propagation private "$(realpath "$0")" --inside "$program"
    exit
fi

mount -t tmpfs -o mode=755 kemari-test "$KMR_TMP"
mount -t proc proc /proc
for dir in run dev/shm etc/corosync var/lib/corosync var/log/corosync \
    var/lib/pacemaker var/log/pacemaker; do
    mkdir -p "/$dir"
    mount -t tmpfs -o mode=1777 kemari-test "/$dir"
done
mkdir -p /run/crm "$KMR_TMP/upper" "$KMR_TMP/work" \
    /var/lib/pacemaker/{cib,blackbox,pengine,cores}
chown -R hacluster:haclient /run/crm /var/lib/pacemaker
mount -t overlay -o "lowerdir=/usr/sbin,upperdir=$KMR_TMP/upper,workdir=$KMR_TMP/work" \
    kemari-test /usr/sbin
cat >/usr/sbin/fence_kemari_test <<'EOF'
#!/bin/sh
while read -r line; do
    case $line in
        action=*) action=${line#*=} ;;
        port=* | nodename=*) port=${line#*=} ;;
    esac
done
case $action in
    metadata) cat <<'XML'
<?xml version="1.0" ?>
<resource-agent name="fence_kemari_test" shortdesc="test">
<longdesc>test</longdesc><vendor-url></vendor-url>
<parameters><parameter name="port" unique="0" required="0">
<content type="string"/><shortdesc lang="en">node</shortdesc>
</parameter></parameters>
<actions><action name="on"/><action name="off"/><action name="reboot"/>
<action name="monitor"/><action name="status"/><action name="list"/>
<action name="metadata"/></actions></resource-agent>
XML
    ;;
esac
[ "$port" != stubborn ]
EOF
chmod 755 /usr/sbin/fence_kemari_test
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
corosync -f >"$KMR_TMP/corosync.log" 2>&1 &
for ((i = 0; i < 100; i++)); do
    corosync-quorumtool -s >/dev/null 2>&1 && break
    sleep 0.1
done
corosync-quorumtool -s >/dev/null || { cat "$KMR_TMP/corosync.log"; exit 1; }

cat >"$KMR_TMP/start" <<'EOF'
#!/bin/sh
setsid /usr/lib/pacemaker/pacemaker-fenced -c -l "$KMR_TMP/fenced.log" \
    >"$KMR_TMP/fenced.out" 2>&1 </dev/null &
echo $! >"$KMR_TMP/fenced.pid"
i=0
until stonith_admin --register dev-test --agent fence_kemari_test \
    --option pcmk_host_list="node8 node9 stubborn" >/dev/null 2>&1; do
    i=$((i + 1))
    [ $i -lt 100 ] || { cat "$KMR_TMP/fenced.log"; exit 1; }
    sleep 0.1
done
EOF
cat >"$KMR_TMP/stop" <<'EOF'
#!/bin/sh
kill -KILL "$(cat "$KMR_TMP/fenced.pid")"
EOF
chmod +x "$KMR_TMP/start" "$KMR_TMP/stop"
export FENCER_START=$KMR_TMP/start FENCER_STOP=$KMR_TMP/stop
"$FENCER_START"
shift
"$@" || { rc=$?; tail -40 "$KMR_TMP/fenced.log"; exit $rc; }
