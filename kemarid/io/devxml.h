/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_DEVXML_H
#define KMR_IO_DEVXML_H

/*
 * Which of QEMU's devices an element of a domain leads to, as far as the XML
 * says so: libvirt has the last word, and kemarid looks at the machine itself
 * before it is protected.
 */

#include <stdbool.h>

#include "xmltree.h"

#define KMR_DEVXML_MAX 64

struct kmr_devxml {
    const xmlNode *at;          /* where the model stands; never NULL */
    const char *attr;           /* its attribute */
    char value[KMR_DEVXML_MAX]; /* "(none given)" when it is absent */
    /* QEMU's type; "" no device of its own, or one that every board has */
    char type[KMR_DEVXML_MAX];
    const char *hint; /* an attribute that would be accepted; or NULL */
};

/* false: nothing is known of such an element. An unknown model of a known
 * element is told as a type that no table has. */
bool kmr_devxml_find(const xmlNode *node, struct kmr_devxml *ret_device);

/* Of a disk: `bus` as in <target bus=>, `device` as in <disk device=>, "" is
 * a disk. Never NULL. */
const char *kmr_devxml_disk(const char *bus, const char *device);

#endif
