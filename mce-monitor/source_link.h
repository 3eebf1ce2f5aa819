/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_MCE_SOURCE_LINK_H
#define KMR_MCE_SOURCE_LINK_H

/*
 * The carrier of network interfaces, over rtnetlink. Without a list: those of
 * hardware, those in a bridge that are not a guest's (tun), and the one that
 * has the replication address. An interface that is administratively down is
 * not looked at; one that has no carrier when it is seen first only counts if
 * it is in the list. One of the list, or of hardware, that goes altogether is
 * down, until one of its name has a carrier, or it is not wanted any more.
 */

#include <qb/qbloop.h>

#include "mce-monitor/hwrecord.h"

#define KMR_LINKS_MAX 256

struct kmr_link;

/* `names` and `address`: "" for none. 0 or -errno. */
int kmr_link_start(qb_loop_t *loop, const char *names, const char *address,
                   void (*cb)(const struct kmr_hw_record *record, void *user),
                   void *user, struct kmr_link **ret_link);
void kmr_link_stop(struct kmr_link *link); /* NULL is allowed */
/* Another list, or another address. What is told to be down, and is not wanted
 * by these, is told to be up: nobody looks at it any more. 0 or -errno. */
int kmr_link_set(struct kmr_link *link, const char *names, const char *address);
/* How many interfaces are watched. */
unsigned kmr_link_count(const struct kmr_link *link);

#endif
