/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_FENCEWATCH_H
#define KMR_IO_FENCEWATCH_H

/*
 * Fencing confirmations from Pacemaker's fencer, by subscription.
 *
 * A thread of its own talks to the fencer (libstonithd blocks), and posts
 * into the loop. When the fencer goes away it connects again with back-off;
 * after each (re)connection the fencer's history is read, so that what was
 * confirmed meanwhile is not lost. The same completion is reported once only,
 * with whatever it came first (key: target, action, completion time).
 *
 * What counts: an action `reboot` or `off` that ended well. `on`, `unfence`,
 * `monitor` and failures don't count. It is Pacemaker's word that the whole
 * topology level succeeded; the fencer names no device, so whether power or
 * only a fabric was cut is the operator's knowledge: `power` is false when a
 * device that kemari.conf lists as fabric (`fabric_devices`) *could* have
 * fenced this target. A level of fence_kemari counts as power: it succeeds only
 * when the QEMUs' end was confirmed by their own kemarid, nothing can start
 * there any more, and the node is gone (docs/fencing.md).
 *
 * Binding to an incarnation (R3, R4: the node's *incarnation* was fenced). The
 * fencer knows node names and wall-clock times only, so the core binds by
 * order. A confirmation counts for an incarnation of a node if
 *   (a) that incarnation left the CPG membership before, and neither it nor a
 *       newer one has been seen since; and
 *   (b) the fencing *began* after that. The fencer does not tell its
 *       beginning. A notification (`history` false) that arrives after the
 *       node left the membership is one that ended after it; Pacemaker asks
 *       for fencing only after the node left, and an operator's order that
 *       began a moment earlier cut the power of that same incarnation, since
 *       no newer one was seen between. So for notifications (a) is enough.
 *   (c) From history (`history` true): only when `completed_us` is later than
 *       the wall-clock time at which this node last saw the incarnation
 *       alive. That time is stamped by the node that coordinated the fencing:
 *       demand a margin for clocks that differ, and otherwise wait for, or
 *       ask for, another fencing: an old confirmation must never count for a
 *       node that has booted since.
 * `mono_us` is the arrival; the completion was 5 to 7 ms earlier (measured).
 */

#include <stdbool.h>
#include <stdint.h>

#include <qb/qbloop.h>

#define KMR_FENCEWATCH_HISTORY_MAX 256 /* completions remembered */

struct kmr_fencewatch;

struct kmr_fence_event {
    const char *target;      /* node name; valid during the callback */
    const char *action;      /* "reboot", "off" */
    bool ok;                 /* false: it failed (for the log) */
    bool power;              /* ok, and no fabric-only device took part */
    bool history;            /* read after a (re)connection, may be old */
    const char *device;      /* that acted, or "" */
    const char *executioner; /* node that did it, or "" */
    const char *id;          /* fencer's operation id, or "" for history */
    const char *reason;      /* why it failed, or "" */
    uint64_t completed_us;   /* wall clock, us since 1970, of its end; for a
                             * notification: of its arrival */
    uint64_t mono_us;        /* CLOCK_MONOTONIC of its arrival here */
};

struct kmr_fencewatch_ops {
    void (*connected)(bool up, const char *reason, void *user);
    void (*fenced)(const struct kmr_fence_event *event, void *user);
};

/*
 * One watch at a time in a process (it runs GLib's default context).
 * `fabric`: NULL-terminated names of devices that don't cut power; copied;
 * may be NULL. Returns at once: 0 or -errno.
 */
int kmr_fencewatch_start(qb_loop_t *loop, const char *const *fabric,
                         const struct kmr_fencewatch_ops *ops, void *user,
                         struct kmr_fencewatch **ret_watch);

/* Ends it without a callback; never waits for a hung fencer. NULL allowed. */
void kmr_fencewatch_stop(struct kmr_fencewatch *watch);

#endif
