/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_ATTR_H
#define KMR_IO_ATTR_H

/*
 * Node attributes and promotion scores, through Pacemaker's attribute
 * manager (transient: they end with the node's membership). Each write is a
 * child (attrd_updater) with a deadline; at most KMR_ATTR_CHILDREN at a time.
 * Only the newest value of a name is ever written (coalescing); a failed
 * write is retried with back-off until it succeeds or a newer value replaces
 * it. Setting what is already written does nothing.
 *
 * A promotion score is the node attribute `master-RSC` of Pacemaker 2.1
 * (what crm_attribute --promotion writes, with lifetime reboot, after asking
 * the cluster for more than is needed here: 470 ms against 7, measured).
 */

#include <stdbool.h>
#include <stdint.h>

#include <qb/qbloop.h>

#define KMR_ATTR_NAME_MAX 128
#define KMR_ATTR_VALUE_MAX 256
#define KMR_ATTR_NAMES_MAX 4096 /* different (name, node)s */
#define KMR_ATTR_CHILDREN 4
#define KMR_ATTR_TIMEOUT_MS 5000u

struct kmr_attr;

struct kmr_attr_note {
    const char *name;
    const char *value; /* NULL: removed */
    int err;           /* 0: written; else first failure, -ETIMEDOUT, -EIO */
    const char *error; /* one line, "" when written */
};
/* Told when a value was written, and at the first failure of a value (the
 * retries that follow are silent). */
typedef void (*kmr_attr_cb)(const struct kmr_attr_note *note, void *user);

/* `updater`: program, NULL: attrd_updater from PATH. `cb` may be NULL. */
int kmr_attr_new(qb_loop_t *loop, const char *updater, kmr_attr_cb cb,
                 void *user, struct kmr_attr **ret_attr);

/* Kills children; what was not written is lost. NULL is allowed. */
void kmr_attr_free(struct kmr_attr *attr);

/*
 * Sets (value NULL: removes) an attribute of this node (`node` NULL) or of
 * another. Returns 0, -EINVAL (name or value of characters or length that
 * don't go), -ENOBUFS, -ENOMEM.
 */
int kmr_attr_set(struct kmr_attr *attr, const char *node, const char *name,
                 const char *value);

/*
 * The same, but the write waits for KMR_ATTR_LATER_MS since the first change
 * that is not written: what follows meanwhile goes with it. Each write is a
 * child here, and has Pacemaker compute all anew: not while a guest that has to
 * go is on its way. With the health of its node written at once its client
 * waited for 177 ms in the median, so for 128; 136 with an operator's handover
 * (tests/bench/blackout, two cores).
 */
#define KMR_ATTR_LATER_MS 500u
int kmr_attr_set_later(struct kmr_attr *attr, const char *node,
                       const char *name, const char *value);

/*
 * A score that falls is written only when it has not risen again within
 * KMR_ATTR_SETTLE_MS. A dip of some milliseconds made Pacemaker (2.1.5) begin
 * a demote, cancel the promoted instance's monitor for it, drop the demote
 * when the score came back, and never start the monitor again: from then on
 * nobody would have noticed the VM's death. The score is a hint (R8), so being
 * late with a lower one is safe.
 */
#define KMR_ATTR_SETTLE_MS 700u

/* Promotion score of a resource (its id as OCF_RESOURCE_INSTANCE has it). */
#define KMR_ATTR_SCORE_NONE INT32_MIN /* remove: this copy has no score */
int kmr_attr_set_score(struct kmr_attr *attr, const char *node,
                       const char *resource, int32_t score);

/* Nothing waits, runs or is to be retried. */
bool kmr_attr_is_idle(const struct kmr_attr *attr);

/* Writes everything once more: after the attribute manager or the cluster on
 * this node was restarted (it forgets). */
void kmr_attr_rewrite(struct kmr_attr *attr);

#endif
