# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What process 1 of any virtual machine of the lab begins with: file systems
# and modules. $LAB_SHARE, $LAB_HERE: folders of the machine that it needs;
# $LAB_KERNEL: what vm/build made.

# What the node must see of the machine under folders that get covered.
mount -n -t tmpfs -o mode=755 aside /mnt
shares=()
i=0
for dir in $LAB_SHARE $LAB_HERE; do
    case $dir in
    /tmp/* | /var/tmp/* | /run/*)
        mkdir "/mnt/$i"
        mount -n --rbind "$dir" "/mnt/$i"
        shares[i]=$dir
        i=$((i + 1))
        ;;
    esac
done
mount -n -t tmpfs -o mode=755,size=64m run /run
mount -n -t tmpfs -o mode=1777,size=64m tmp /tmp
mount -n -t tmpfs -o mode=1777,size=64m tmp /var/tmp
for i in "${!shares[@]}"; do
    mkdir -p "${shares[i]}"
    mount -n --move "/mnt/$i" "${shares[i]}"
done
umount -n /mnt
mkdir -p /dev/shm /dev/pts
mount -n -t tmpfs -o mode=1777,size=512m shm /dev/shm
mount -n -t devpts -o ptmxmode=0666,mode=620 devpts /dev/pts
mount -n -t debugfs debugfs /sys/kernel/debug
mount -n -t tracefs tracefs /sys/kernel/tracing
ln -sfn /proc/self/fd /dev/fd

# Its modules. kmod is not among the packages, so these are busybox's.
for name in modprobe insmod rmmod lsmod reboot poweroff halt; do
    [ -e "/usr/sbin/$name" ] || ln -s /bin/busybox "/usr/sbin/$name"
done
mkdir -p /usr/lib/modules
mount -n --bind "$LAB_KERNEL/lib/modules" /usr/lib/modules
