/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_QUORUM_H
#define KMR_IO_QUORUM_H

#include <stdbool.h>

#include <qb/qbloop.h>

#define KMR_QUORUM_RETRY_MS 1000

struct kmr_quorum;

/* Without a connection to corosync nothing is quorate. */
typedef void (*kmr_quorum_cb)(bool quorate, void *user);

/* Tracks, and connects again when corosync goes away. 0 or -errno. */
int kmr_quorum_start(qb_loop_t *loop, kmr_quorum_cb cb, void *user,
                     struct kmr_quorum **ret_quorum);
void kmr_quorum_stop(struct kmr_quorum *quorum); /* NULL is allowed */

#endif
