/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_CORE_TROUBLE_H
#define KMR_CORE_TROUBLE_H

/*
 * A guest that stopped without anybody asking for it, in a QEMU that is well:
 * what there is, and what an operator may want done about it.
 */

#include <stdbool.h>
#include <stdint.h>

#define KMR_IO_AGAIN_MS 30000u /* from one handover for a disk to the next */
#define KMR_IO_RETRY_MAX_MS 30000u /* between two tries of a disk */
#define KMR_REPORT_MS 60000u       /* a guest is told of errors for so long */
#define KMR_CALM_MS 60000u         /* a guest that ran for so long runs */
#define KMR_STUCK_MS 1000u         /* a takeover that nobody heard of: again */
#define KMR_REMEDY_WAIT_MS 5000u /* for a handover, before the policy is due */

/* QEMU's run state, as far as it matters; from IO_ERROR on it is trouble. */
#define KMR_RUNS(X)               \
    X(UNKNOWN, "")                \
    X(RUNNING, "running")         \
    X(PAUSED, "paused")           \
    X(IO_ERROR, "io-error")       \
    X(PANICKED, "guest-panicked") \
    X(WATCHDOG, "watchdog")       \
    X(INTERNAL_ERROR, "internal-error")
enum kmr_run {
#define X(name, text) KMR_RUN_##name,
    KMR_RUNS(X)
#undef X
        KMR_RUN_COUNT
};
const char *kmr_run_text(enum kmr_run run);

#define KMR_REMEDIES(X)   \
    X(HOLD, "hold")       \
    X(REPORT, "report")   \
    X(STOP, "stop")       \
    X(RESTART, "restart") \
    X(TAKEOVER, "takeover")
enum kmr_remedy {
#define X(name, text) KMR_REMEDY_##name,
    KMR_REMEDIES(X)
#undef X
};

struct kmr_guest_policy {
    enum kmr_remedy io_error;       /* HOLD, REPORT, STOP */
    enum kmr_remedy panic;          /* RESTART, STOP, HOLD */
    enum kmr_remedy watchdog;       /* RESTART, STOP, HOLD */
    enum kmr_remedy internal_error; /* TAKEOVER, RESTART, STOP, HOLD */
    bool dump;                      /* first, of a panic and a hang */
};

static inline struct kmr_guest_policy kmr_guest_policy_default(void)
{
    return (struct kmr_guest_policy){ KMR_REMEDY_HOLD, KMR_REMEDY_RESTART,
                                      KMR_REMEDY_RESTART, KMR_REMEDY_TAKEOVER,
                                      false };
}

/* Of the QEMU that a pair has here. */
struct kmr_trouble {
    enum kmr_run run;
    uint64_t act_ms;     /* something is done about it then; 0: nothing */
    uint64_t ran_ms;     /* since when it runs; 0: it doesn't */
    unsigned tries;      /* in a row */
    uint64_t report_ms;  /* the guest is told of errors until then; 0: not */
    unsigned refused;    /* to end that, in a row */
    enum kmr_run dumped; /* for this, in this series of tries */
};

#endif
