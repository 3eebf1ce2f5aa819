/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_QUORUM_H
#define KMR_IO_QUORUM_H

/* corosync's quorum: is this partition quorate, and which nodes are in it. */

#include <stdbool.h>
#include <stdint.h>

#include <qb/qbloop.h>

struct kmr_quorum;

struct kmr_quorum_ops {
    /* On every change, and once after the start. Without corosync: not
     * quorate, and `reason` says why (else ""). */
    void (*changed)(bool quorate, const uint32_t *nodes, unsigned count,
                    const char *reason, void *user);
};

/* Returns at once: 0 or -errno. Connects again by itself. */
int kmr_quorum_start(qb_loop_t *loop, const struct kmr_quorum_ops *ops,
                     void *user, struct kmr_quorum **ret_quorum);
void kmr_quorum_stop(struct kmr_quorum *quorum); /* NULL is allowed */

#endif
