/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_CORE_LIMITS_H
#define KMR_CORE_LIMITS_H

/* Deadlines that an operator may set: [limits] of kemari.conf. None of them
 * decides anything: they say when to try, or when to say something. */

#include <stdint.h>

/* key without its _ms, least, default, most: milliseconds */
#define KMR_LIMITS(X)                                                         \
    /* The stream broke, the owner's node is there: its kemarid may reap    \
     * it, or go solo, which saves a synchronisation. */ \
    X(takeover, 20, 40, 10000)                                                \
    /* A peer's QEMU is silent: its stream counts as broken. */               \
    X(lost, 100, 1000, 600000)                                                \
    /* the initial synchronisation */                                         \
    X(sync, 10000, 900000, 86400000)                                          \
    /* A handover that leads to nothing is given up. */                       \
    X(handover, 1000, 15000, 600000)                                          \
    /* A standby gets ready, and gets its stream. */                          \
    X(ready, 5000, 45000, 600000)                                             \
    /* for the guest to power off by its button */                            \
    X(shutdown, 1000, 30000, 3600000)

struct kmr_limits {
#define X(name, least, preset, most) uint32_t name##_ms;
    KMR_LIMITS(X)
#undef X
};

static inline struct kmr_limits kmr_limits_default(void)
{
    return (struct kmr_limits){
#define X(name, least, preset, most) .name##_ms = (preset),
        KMR_LIMITS(X)
#undef X
    };
}

#endif
