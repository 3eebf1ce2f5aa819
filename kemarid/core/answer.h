/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_CORE_ANSWER_H
#define KMR_CORE_ANSWER_H

/*
 * What Pacemaker and people are told of a pair: the agent's OCF codes, the
 * state's name, the promotion score. Derived, never stored.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/pair.h"

enum kmr_ocf {
    KMR_OCF_SUCCESS = 0,
    KMR_OCF_ERR_GENERIC = 1,
    KMR_OCF_ERR_INSTALLED = 5,
    KMR_OCF_ERR_CONFIGURED = 6,
    KMR_OCF_NOT_RUNNING = 7,
    KMR_OCF_RUNNING_PROMOTED = 8,
    KMR_OCF_FAILED_PROMOTED = 9,
    KMR_OCF_DEGRADED = 190,
    KMR_OCF_DEGRADED_PROMOTED = 191,
    KMR_OCF_PENDING = -1, /* not decided yet: ask again after the next step */
};

/* `reason` (KMR_REASON_MAX) is always set when the code isn't 0. */
int kmr_answer_start(const struct kmr_pair *pair, char *ret_reason);
int kmr_answer_stop(const struct kmr_pair *pair, char *ret_reason);
int kmr_answer_promote(const struct kmr_pair *pair, char *ret_reason);
int kmr_answer_demote(const struct kmr_pair *pair, char *ret_reason);
/* Of a VM alone. `instance`: that ran when the migration was asked for. */
int kmr_answer_migrate(const struct kmr_pair *pair, const char *instance,
                       const char *target, char *ret_reason);
int kmr_answer_arrive(const struct kmr_pair *pair, char *ret_reason);
/* `probe`: tell what is, not what Pacemaker asked for */
int kmr_answer_monitor(const struct kmr_pair *pair, bool probe, uint64_t now_ms,
                       char *ret_reason);

#define KMR_STATES(X)                                                        \
    X(PROTECTED, "protected")                                                \
    X(SYNCING, "syncing")                                                    \
    X(SOLO, "solo")               /* lost its standby, or looks for one */   \
    X(HOLDING, "holding")         /* waits for a decision; output is held */ \
    X(UNPROTECTED, "unprotected") /* a standby is not even started */        \
    X(STOPPED, "stopped")                                                    \
    X(FAILED, "failed") /* should run, and nobody can say it does */
enum kmr_state {
#define X(name, text) KMR_STATE_##name,
    KMR_STATES(X)
#undef X
};
const char *kmr_state_text(enum kmr_state state);

/* The pair's state as the owner's side in `phase` gives it; `standbys`: a
 * member that could be the standby exists. */
enum kmr_state kmr_state_of_owner(enum kmr_phase phase, bool standbys);
enum kmr_state kmr_answer_state(const struct kmr_pair *pair);

/*
 * Promotion scores, a ladder: the higher, the better this node's copy.
 * NONE: must not be promoted here.
 */
#define KMR_SCORE_NONE INT32_MIN
#define KMR_SCORE_OWNER 10000       /* runs the VM, also after a takeover */
#define KMR_SCORE_SYNCHRONISED 1000 /* in step with the owner */
#define KMR_SCORE_LAST_OWNER 100    /* nobody runs it; ran here last */
#define KMR_SCORE_MEMBER 50         /* nobody runs it; may boot here */
int32_t kmr_answer_score(const struct kmr_pair *pair);

#endif
