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
 * `monitor` and failures don't count. A *reported* one is only Pacemaker's
 * word that the topology level succeeded; whether the devices in it cut power
 * or a fabric is told by `power`: false when a device that acted is known to
 * be fabric-only (an operator lists those in kemari.conf, `fabric_devices`),
 * or when the device is not named.
 *
 * Binding to an incarnation (R3, R4: "power-fenced *incarnation*"). The
 * fencer knows node names and wall-clock seconds only. So the core must bind
 * by order: it counts a confirmation for an incarnation of a node only if
 *   (a) `seen` is false for history (or: `completed_us` is later than the
 *       moment that this node last saw that incarnation alive, by this node's
 *       own wall clock; a clock that differs between nodes makes this unsafe
 *       in the direction of *too early* only if the fencer's node is ahead,
 *       so history needs a margin), and
 *   (b) the incarnation had left the CPG membership before, and has not been
 *       seen since.
 * For a notification (`history` false) the arrival itself, `mono_us`, is the
 * upper bound of the fencing's end; the fencing began after the fencer was
 * asked to, which Pacemaker does only after the node left the membership (or
 * by an operator's order).
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
 * `fabric`: NULL-terminated names of devices that don't cut power; copied;
 * may be NULL. Returns at once: 0 or -errno.
 */
int kmr_fencewatch_start(qb_loop_t *loop, const char *const *fabric,
                         const struct kmr_fencewatch_ops *ops, void *user,
                         struct kmr_fencewatch **ret_watch);

/* Ends it without a callback; never waits for a hung fencer. NULL allowed. */
void kmr_fencewatch_stop(struct kmr_fencewatch *watch);

#endif
