/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_QUORUM_H
#define KMR_IO_QUORUM_H

/* Corosync's quorum, its membership and its node list. */

#include <stdbool.h>
#include <stdint.h>

#include <qb/qbloop.h>

#define KMR_QUORUM_RETRY_MS 1000

struct kmr_quorum;

#define KMR_QUORUM_NODES_MAX 32

/*
 * The nodes that are up, and how many corosync's node list has (0: unknown).
 * Called after every change. Without a connection nothing is quorate, and
 * nobody is up.
 */
typedef void (*kmr_quorum_cb)(bool quorate, const uint32_t *nodeids,
                              unsigned count, unsigned listed, void *user);

/* Tracks, and connects again when corosync goes away. 0 or -errno. */
int kmr_quorum_start(qb_loop_t *loop, kmr_quorum_cb cb, void *user,
                     struct kmr_quorum **ret_quorum);
void kmr_quorum_stop(struct kmr_quorum *quorum); /* NULL is allowed */

#endif
