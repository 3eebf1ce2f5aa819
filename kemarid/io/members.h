/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_MEMBERS_H
#define KMR_IO_MEMBERS_H

/* Corosync's own membership, with who left: a node that left and joined again
 * between two lists of members is seen all the same. */

#include <stdbool.h>
#include <stdint.h>

#include <qb/qbloop.h>

#define KMR_MEMBERS_RETRY_MS 1000
#define KMR_MEMBERS_MAX 64

struct kmr_members;

/*
 * After every change. A node that left and is back is in both lists. Without
 * a connection to corosync both are empty.
 */
typedef void (*kmr_members_cb)(const uint32_t *members, unsigned count,
                               const uint32_t *left, unsigned left_count,
                               void *user);

/* Connects, and again when corosync goes away. 0 or -errno. */
int kmr_members_start(qb_loop_t *loop, kmr_members_cb cb, void *user,
                      struct kmr_members **ret_members);
void kmr_members_stop(struct kmr_members *members); /* NULL is allowed */

bool kmr_members_has(const struct kmr_members *members, uint32_t nodeid);

#endif
