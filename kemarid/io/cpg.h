/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_CPG_H
#define KMR_IO_CPG_H

/* The group of the kemarids: ordered messages and membership. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <qb/qbloop.h>

#define KMR_CPG_RETRY_MS 1000 /* between attempts to connect */
#define KMR_CPG_FLUSH_MS 5    /* corosync's queue was full */
#define KMR_CPG_QUEUE_MAX 256 /* messages that wait */
#define KMR_CPG_NODES_MAX 32

struct kmr_cpg;

struct kmr_cpg_ops {
    /* We joined (`up`), or lost corosync. */
    void (*connected)(bool up, uint32_t nodeid, void *user);
    /* The whole list, after every change; ours included. */
    void (*members)(const uint32_t *nodeids, unsigned count, void *user);
    void (*message)(uint32_t nodeid, const uint8_t *buf, size_t len,
                    void *user);
};

int kmr_cpg_start(qb_loop_t *loop, const char *group,
                  const struct kmr_cpg_ops *ops, void *user,
                  struct kmr_cpg **ret_cpg);
void kmr_cpg_stop(struct kmr_cpg *cpg); /* NULL is allowed */

/* Sent in order. 0, -ENOTCONN, -ENOBUFS, -ENOMEM. Never blocks. */
int kmr_cpg_send(struct kmr_cpg *cpg, const uint8_t *buf, size_t len);

#endif
