/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_CORE_NODEFENCE_H
#define KMR_CORE_NODEFENCE_H

/*
 * Fencing of a node by its own kemarid (fence_kemari), both ends of it.
 *
 *   asker                              node that is fenced
 *   REQUEST(boot, id) ---------------> bars every start until a reboot,
 *                                      kills its QEMUs, waits for their end
 *   CONFIRMED <----------------- DONE(boot, id, settle)
 *   GO ------------------------------> leaves the group, goes down
 *   waits until the node has left corosync's membership, then `settle`
 *
 * It fails closed: whatever else happens is a failure, and Pacemaker goes on
 * to the next level of its topology. The node goes down also without GO, and
 * when its QEMUs don't end; it says DONE only when they did.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/record.h"

#define KMR_FENCE_CONFIRM_MS 5000u      /* default: the node has confirmed */
#define KMR_FENCE_LEAVE_MS 20000u       /* default: it has left */
#define KMR_FENCE_LIMIT_MAX_MS 600000u  /* of either */
#define KMR_FENCE_SETTLE_MAX_MS 120000u /* a watchdog's limit */
#define KMR_FENCE_GO_MS 1000u           /* without GO it goes by itself */
#define KMR_FENCE_END_MS 30000u         /* QEMUs that don't end: goes down */
#define KMR_FENCE_AGAIN_MS 200u         /* kills what is left once more */
#define KMR_FENCE_IDS_MAX 4             /* askers of one fencing */

#define KMR_FENCE_STEPS(X) \
    X(REQUEST, "request")  \
    X(DONE, "done")        \
    X(GO, "go")            \
    X(REFUSE, "refuse")
enum kmr_fence_step {
#define X(name, text) KMR_FENCE_##name,
    KMR_FENCE_STEPS(X)
#undef X
        KMR_FENCE_STEP_COUNT
};
const char *kmr_fence_step_text(enum kmr_fence_step step);

#define KMR_FENCE_ACTIONS(X) \
    X(REBOOT, "reboot")      \
    X(OFF, "off")
enum kmr_fence_action {
#define X(name, text) KMR_FENCE_ACTION_##name,
    KMR_FENCE_ACTIONS(X)
#undef X
        KMR_FENCE_ACTION_COUNT
};
const char *kmr_fence_action_text(enum kmr_fence_action action);
/* False: no such action. */
bool kmr_fence_action_read(const char *text, enum kmr_fence_action *ret_action);

/* ---- the asker's end: one per request ---- */

#define KMR_FENCER_PHASES(X)                                             \
    X(ASKED, "asked")         /* waits for DONE */                       \
    X(CONFIRMED, "confirmed") /* waits until it leaves the membership */ \
    X(SETTLING, "settling")   /* left; waits for the watchdog's limit */ \
    X(RETURNED, "returned")   /* a member again: is it another boot? */  \
    X(GONE, "gone")           /* verified */                             \
    X(FAILED, "failed")       /* `reason` */
enum kmr_fencer_phase {
#define X(name, text) KMR_FENCER_##name,
    KMR_FENCER_PHASES(X)
#undef X
        KMR_FENCER_PHASE_COUNT
};
const char *kmr_fencer_phase_text(enum kmr_fencer_phase phase);

#define KMR_FENCER_EVENTS(X)                                               \
    X(MESSAGE, "message") /* from the node: `step`, `id`, ... */           \
    X(HEARD, "heard")     /* anything from the node's kemarid: `boot` */   \
    X(QUIT, "quit")       /* its kemarid left the group */                 \
    X(LEFT, "left")       /* it left the membership; `present`: is back */ \
    X(BACK, "back")       /* it joined the membership */                   \
    X(LOST, "lost")       /* we lost corosync */                           \
    X(TICK, "tick")
enum kmr_fencer_event_type {
#define X(name, text) KMR_FENCER_EVENT_##name,
    KMR_FENCER_EVENTS(X)
#undef X
        KMR_FENCER_EVENT_COUNT
};

struct kmr_fencer_event {
    enum kmr_fencer_event_type type;
    uint64_t now_ms;
    enum kmr_fence_step step;
    const char *id;
    uint64_t boot;
    uint32_t settle_ms;
    const char *reason;
    bool present;
};

struct kmr_fencer {
    enum kmr_fencer_phase phase;
    uint64_t boot; /* the incarnation that is meant */
    char id[KMR_UUID_MAX];
    uint32_t leave_ms, settle_ms;
    bool present; /* in the membership */
    uint64_t deadline_ms;
    char reason[KMR_REASON_MAX];
};

/* REQUEST is to be sent. */
void kmr_fencer_start(struct kmr_fencer *fencer, const char *id, uint64_t boot,
                      uint32_t confirm_ms, uint32_t leave_ms,
                      uint32_t settle_ms, uint64_t now_ms);
/* True: GO is to be sent. */
bool kmr_fencer_step(struct kmr_fencer *fencer,
                     const struct kmr_fencer_event *event);
bool kmr_fencer_is_over(const struct kmr_fencer *fencer);

/* ---- the end of the node that is fenced: one per kemarid ---- */

#define KMR_FENCED_PHASES(X)                                      \
    X(FREE, "free")                                               \
    X(BARRING, "barring")     /* the bar is being written down */ \
    X(ENDING, "ending")       /* QEMUs are being killed */        \
    X(CONFIRMED, "confirmed") /* none is left, DONE was said */   \
    X(DOWN, "down")           /* on its way down */
enum kmr_fenced_phase {
#define X(name, text) KMR_FENCED_##name,
    KMR_FENCED_PHASES(X)
#undef X
        KMR_FENCED_PHASE_COUNT
};
const char *kmr_fenced_phase_text(enum kmr_fenced_phase phase);

#define KMR_FENCED_EVENTS(X)                                      \
    X(REQUEST, "request") /* `id`, `action`, `boot` */            \
    X(BARRED, "barred")   /* answer to BAR; `flag`: well */       \
    X(EMPTY, "empty")     /* no QEMU is left */                   \
    X(GO, "go")           /* `id` */                              \
    X(RESUME, "resume")   /* a restarted kemarid found the bar */ \
    X(TICK, "tick")
enum kmr_fenced_event_type {
#define X(name, text) KMR_FENCED_EVENT_##name,
    KMR_FENCED_EVENTS(X)
#undef X
        KMR_FENCED_EVENT_COUNT
};

struct kmr_fenced_event {
    enum kmr_fenced_event_type type;
    uint64_t now_ms;
    const char *id;
    uint64_t boot;
    enum kmr_fence_action action;
    bool flag;
};

/* What is to be done, in this order. */
enum kmr_fenced_effect {
    KMR_FENCED_DO_BAR = 1,    /* durable until a reboot; answer BARRED */
    KMR_FENCED_DO_KILL = 2,   /* every QEMU; EMPTY when none is left */
    KMR_FENCED_DO_DONE = 4,   /* say it to all of `ids` */
    KMR_FENCED_DO_REFUSE = 8, /* say it to `refused` */
    KMR_FENCED_DO_DOWN = 16   /* leave the group, then go down: `action` */
};

struct kmr_fenced {
    enum kmr_fenced_phase phase;
    uint64_t boot;
    enum kmr_fence_action action;
    char ids[KMR_FENCE_IDS_MAX][KMR_UUID_MAX];
    unsigned count;
    char refused[KMR_UUID_MAX];
    const char *refusal; /* why; a constant */
    uint64_t deadline_ms, again_ms;
};

void kmr_fenced_init(struct kmr_fenced *fenced, uint64_t boot);
/* A set of kmr_fenced_effect. */
unsigned kmr_fenced_step(struct kmr_fenced *fenced,
                         const struct kmr_fenced_event *event);
/* When a TICK is wanted; 0: not at all. */
uint64_t kmr_fenced_deadline(const struct kmr_fenced *fenced);

#endif
