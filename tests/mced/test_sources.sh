#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# kemari-mced's sources as they are: interfaces in a network namespace, the
# running kernel's tracepoints through an instance that ends with the test, a
# disk that really fails (a loop device whose file is too short); and what is
# said where a source is missing. In namespaces of its own.

set -u
# Of all that run at the same time: there is one kernel.
: "${name:=mced-test-$$}"
export name

if [ "${1-}" != --inside ]; then
    [ "$(id -u)" = 0 ] || { echo "not root"; exit 77; }
    unshare -m -p -n -i --fork true 2>/dev/null ||
        { echo "no namespaces"; exit 77; }
    MCED=$(realpath "${top_builddir:-.}/kemari-mced")
    TEST_SOURCES=$(realpath "${top_builddir:-.}/tests/mced/test_sources")
    export MCED TEST_SOURCES
    exec unshare -m -p -n -i --fork --kill-child --propagation private \
        "$(realpath "$0")" --inside
fi

mount -t proc proc /proc
for dir in run dev/shm tmp; do
    mount -t tmpfs -o mode=1777 kemari-test "/$dir"
done
mount -t sysfs sysfs /sys 2>/dev/null
cd /tmp || exit 99
failed=0
mced_pid=

not_ok()
{
    echo "wrong: $*"
    failed=1
}

# line FILE REGEX [TIMES]: waits until it is there.
line()
{
    for _ in $(seq 200); do
        [ "$(grep -cE -- "$2" "$1")" -ge "${3-1}" ] && return 0
        sleep 0.05
    done
    not_ok "'$2' is not in $1:"
    cat "$1"
    return 1
}

start()
{
    : >log # the child opens it when it gets to run: the last one's is ready
    "$MCED" -f -c mced.conf -i "$name" "$@" >out 2>log &
    mced_pid=$!
    line log "ready"
}

stop()
{
    kill -TERM "$mced_pid"
    wait "$mced_pid" || not_ok "code $?"
    mced_pid=
}

"$TEST_SOURCES" || failed=1

# ---- interfaces ----
ip link set lo up
ip link add br0 type bridge
ip link add port0 type veth peer name cable0
ip link add own0 type veth peer name cable1
ip link add other0 type veth peer name cable2
ip tuntap add tap0 mode tap
ip link set port0 master br0
ip link set tap0 master br0
ip address add 10.9.9.9/24 dev own0
for link in br0 port0 cable0 own0 cable1 other0 cable2 tap0; do
    ip link set "$link" up
done
cat >mced.conf <<END
[node]
replication_address = 10.9.9.9
[health]
link_down_ms = 50
END
start
"$MCED" -c mced.conf -i "$name" --sources >sources 2>/dev/null
line sources '"mce:mce_record": "no tracefs"'
line sources '"link": "ok"'
line log "no sources of the kernel's hardware errors"
ip link set cable0 down
line log "move-pair link:port0, yellow: interface port0: is down"
ip link set cable0 up
line log "interface port0: has its carrier again"
ip link set cable1 down
line log "move-pair link:own0, yellow"
ip link set cable2 down
ip link del tap0
ip link set own0 down
# an order of these: when the last is there, so are the others
ip link set cable0 down
line log "up=0x0 name=port0" 2
for link in other0 cable0 tap0 br0 lo; do
    ! grep -q "interface $link:" log || not_ok "$link is watched"
done
# a configuration that is wrong, and one that isn't
echo "dimm = 0 / 24h" >>mced.conf
kill -HUP "$mced_pid"
line log "mced.conf:5: bad value for 'dimm' in .health.: 1 to 1000000 / 1s"
line log "the configuration stays as it was"
sed -i 's/^dimm.*/interfaces = other0/' mced.conf
kill -HUP "$mced_pid"
line log "configuration read again"
line log "link:other0" # named, and without a carrier from the start
ip link set cable2 up
line log "interface other0: has its carrier again"
ip link del other0 # as hardware may go
line log "up=0x0 name=other0" 2
"$MCED" -f -c mced.conf -i "$name" 2>&1 |
    grep -q "another kemari-mced has this instance" ||
    not_ok "two of one instance"
stop
# nothing stays lost that nobody looks at any more, or that is back
set_interfaces()
{
    sed -i "s/^interfaces.*/interfaces = $1/" mced.conf
    [ -z "$mced_pid" ] || kill -HUP "$mced_pid"
}
new_other0()
{
    ip link add "${1-other0}" type veth peer name cable2
    [ -z "${1-}" ] || ip link set "$1" name other0 # as udev does
    ip link set cable2 up
    ip link set other0 up # the message that says so has the carrier
}
set_interfaces port0
start
line log "up=0x0 name=port0" # its cable0 is down
set_interfaces other0
line log "up=0x1 name=port0"
new_other0
ip link del other0
line log "up=0x0 name=other0"
new_other0
line log "up=0x1 name=other0"
ip link del other0
line log "up=0x0 name=other0" 2
new_other0 eth7
line log "up=0x1 name=other0" 2
stop
ip link del other0
# no more than ten records in a second: these are in another log
set_interfaces port0
start
line log "up=0x0 name=port0"
set_interfaces other0
line log "up=0x1 name=port0"
new_other0
ip link del other0
line log "up=0x0 name=other0"
set_interfaces port0 # while other0 is gone
line log "up=0x1 name=other0"
line log "up=0x0 name=port0" 2
# the same one, by another list: nothing has become of it
set_interfaces "port0 own0"
line log "configuration read again" 3
ip link set cable0 up
line log "up=0x1 name=port0" 2
[ "$(grep -c "up=0x0 name=port0" log)" = 2 ] || not_ok "port0 was lost again"
stop

# ---- a recording in place of the kernel ----
cat >recorded.day <<END
1 x10/1 ras:mc_event error_type=0 error_count=1 label=DIMM_A1
END
start --source recorded.day
line log "move-node node, red: DIMM DIMM_A1"
kill -USR1 "$mced_pid"
line log "recorded.day: 10 records"
stop

# ---- the kernel's ----
if ! mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null ||
    ! [ -e /sys/kernel/tracing/events/block/block_rq_error ]; then
    echo "no tracefs, or no block events: the kernel's are left out"
    exit "$failed"
fi
printf '[health]\nring_kib = 64\n' >mced.conf
truncate -s 4M disk.img
disk=$(losetup -f --show disk.img) || exit "$failed"
start
[ -d "/sys/kernel/tracing/instances/$name" ] || not_ok "no instance"
for file in buffer_percent:0 tracing_on:1; do
    [ "$(cat "/sys/kernel/tracing/instances/$name/${file%%:*}")" = \
        "${file##*:}" ] || not_ok "$file"
done
[ "$(cat "/sys/kernel/tracing/instances/$name/buffer_size_kb")" -ge 64 ] ||
    not_ok "size of the buffer"
grep -q '\[mono\]' "/sys/kernel/tracing/instances/$name/trace_clock" ||
    not_ok "clock"
# What is read of the disk that is still whole is no error.
dd if="$disk" of=/dev/null bs=4k count=16 iflag=direct 2>/dev/null
truncate -s 0 disk.img
for i in 1 2 3; do
    dd if="$disk" of=/dev/null bs=4k count=1 skip="$i" iflag=direct \
        2>/dev/null && not_ok "the disk does not fail"
done
number=$(cat "/sys/class/block/${disk##*/}/dev")
line log "move-pair block:$number, yellow: disk $number: 3\.0 failed requests of 3"
[ "$(grep -c 'block:block_rq_error' log)" = 3 ] || not_ok "not three records"
# Too slow for what comes: what the kernel drops is said.
kill -STOP "$mced_pid"
dd if="$disk" of=/dev/null bs=512 count=8000 iflag=direct conv=noerror \
    2>/dev/null
kill -CONT "$mced_pid"
line log "degrade node, yellow: ring buffer: [0-9]+ records lost"
stop
line log "ends; [0-9]+ records, [1-9][0-9]* lost"
[ ! -e "/sys/kernel/tracing/instances/$name" ] || not_ok "an instance is left"
losetup -d "$disk"
exit "$failed"
