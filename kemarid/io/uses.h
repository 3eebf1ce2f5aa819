/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_USES_H
#define KMR_IO_USES_H

/*
 * Which hardware a QEMU uses, by its open files: nobody else knows what its
 * images, its taps and the storage below them have become since it was started.
 * Nothing here waits for a server or a disk.
 */

#include <stdbool.h>
#include <sys/types.h>

/*
 * Does the process have that block device open, a file on it, or either on
 * something that is made of it (partitions, LVM, multipath, RAID)? `sys`: where
 * sysfs is, NULL: /sys.
 */
bool kmr_uses_block(pid_t pid, unsigned major, unsigned minor, const char *sys);

/* Is one of its taps that interface, or on a bridge that the interface, a bond
 * or a VLAN of it, connects to the world? */
bool kmr_uses_link(pid_t pid, const char *name, const char *sys);

#endif
