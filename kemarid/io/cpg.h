/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_CPG_H
#define KMR_IO_CPG_H

/*
 * Corosync's closed process group: every kemarid of the cluster, messages in
 * the same order everywhere, and who is there. Nothing here blocks: messages
 * wait in a bounded queue while corosync says "try again".
 */

#include <stddef.h>
#include <stdint.h>

#include <qb/qbloop.h>

#define KMR_CPG_GROUP "kemari"
#define KMR_CPG_MEMBERS_MAX 128
#define KMR_CPG_MESSAGE_MAX (512u * 1024)
#define KMR_CPG_QUEUE_MAX 4096 /* messages that wait */
#define KMR_CPG_QUEUE_BYTES (16u * 1024 * 1024)

struct kmr_cpg;

struct kmr_cpg_member {
    uint32_t nodeid;
    uint32_t pid;
};

struct kmr_cpg_ops {
    /* Delivered, ours included. */
    void (*message)(uint32_t nodeid, uint32_t pid, const void *buf, size_t len,
                    void *user);
    /* The membership changed; in order with the messages. `left` has those
     * that went since the last call. */
    void (*members)(const struct kmr_cpg_member *now, unsigned now_count,
                    const struct kmr_cpg_member *left, unsigned left_count,
                    void *user);
    /* corosync is gone, or not there yet: told once per change of `reason`.
     * The group is joined again by itself; then members() comes. What waited
     * in the queue is dropped. */
    void (*lost)(const char *reason, void *user);
};

/* Returns at once: 0 or -errno. `ops` is copied. */
int kmr_cpg_start(qb_loop_t *loop, const char *group,
                  const struct kmr_cpg_ops *ops, void *user,
                  struct kmr_cpg **ret_cpg);

/* Leaves the group. NULL is allowed. */
void kmr_cpg_stop(struct kmr_cpg *cpg);

/* Sends to the whole group, in the order of the calls; copied. Returns 0,
 * -ENOTCONN (not joined), -ENOBUFS (queue full), -E2BIG, -ENOMEM. */
int kmr_cpg_send(struct kmr_cpg *cpg, const void *buf, size_t len);

/* This node's id; 0 while not joined. */
uint32_t kmr_cpg_nodeid(const struct kmr_cpg *cpg);

#endif
