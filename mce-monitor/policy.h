/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_MCE_POLICY_H
#define KMR_MCE_POLICY_H

/*
 * From what was found to a verdict about this node. Pure: time comes in with
 * each step, one deadline goes out, nothing is allocated; all tables are
 * bounded, and what is evicted from them is said.
 *
 * Each source (a DIMM, a CPU's bank, a PCI device, a disk, an interface) has
 * a leaky bucket: an error adds 1, and as much as the limit allows leaks away
 * in the limit's period. A source is green, yellow from degrade_percent of
 * its limit on. At its limit it is red, if all of the node's guests suffer from
 * it; a disk, an interface, and what a PCI link corrected stay yellow. It only
 * gets worse, until it was silent for `recover` and its bucket is half as full
 * as for yellow: then it is green at once.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/colour.h"
#include "core/verdict.h"
#include "mce-monitor/hwdecode.h"
#include "mce-monitor/limits.h"

#define KMR_POLICY_SOURCES 192 /* all but pages */
#define KMR_POLICY_PAGES 192   /* pages with corrected errors */
#define KMR_POLICY_VERDICTS 8  /* of one step */
#define KMR_POLICY_REASON 256
#define KMR_POLICY_SCOPE (KMR_HW_NAME_MAX + 8)
#define KMR_POLICY_NOTES 20 /* of errors, in a minute */

struct kmr_hw_verdict {
    enum kmr_verdict word;
    enum kmr_colour health;       /* the node's, from now on */
    uint64_t record_us;           /* of the record that led to it; 0: none */
    char scope[KMR_POLICY_SCOPE]; /* "node", "block:8:16", "link:eth1" */
    char reason[KMR_POLICY_REASON];
};

struct kmr_policy_source {
    bool used;
    enum kmr_hw_kind kind;
    bool uncorrected; /* another bucket than for corrected errors */
    uint64_t key;
    enum kmr_colour health;
    enum kmr_verdict issued; /* the gravest since it was green */
    enum kmr_verdict wanted; /* NOTE: none is held back */
    bool down;               /* K_LINK: no carrier since down_us */
    uint64_t down_us;
    double fill; /* errors in the bucket, at fill_us */
    uint64_t fill_us;
    uint64_t last_us; /* its last error */
    uint64_t rq_us;   /* K_DISK: its last block_rq_error */
    uint64_t errors;  /* all of them */
    char name[KMR_HW_NAME_MAX];
};

/* The last ones that were said. */
struct kmr_policy_moves {
    uint64_t at_us[KMR_HEALTH_MOVES_MAX]; /* 0: never */
    unsigned next;
};

struct kmr_policy {
    struct kmr_health_limits limits;
    struct kmr_policy_source sources[KMR_POLICY_SOURCES];
    struct kmr_policy_source pages[KMR_POLICY_PAGES];
    uint8_t hints[256];
    unsigned reds, yellows; /* of all sources and pages */
    uint64_t now_us;        /* never goes back */
    uint64_t deadline_us;   /* 0: none */
    struct kmr_policy_moves pair_moves, node_moves;
    uint64_t grave_us;       /* the last memory or CPU error that was */
    enum kmr_hw_class grave; /* not corrected */
    uint64_t notes_us;       /* since then, */
    unsigned notes;          /* so many */
    uint64_t seen[KMR_HW_CLASS_COUNT];
    uint64_t echoes, evicted, unsaid, withheld;
};

void kmr_policy_init(struct kmr_policy *policy,
                     const struct kmr_health_limits *limits);
/* Buckets keep what is in them. */
void kmr_policy_set_limits(struct kmr_policy *policy,
                           const struct kmr_health_limits *limits);

/* What is to be said because of this finding, and because it is `now_us`.
 * `record` and `finding` NULL: time has passed. Returns how many. */
unsigned kmr_policy_step(struct kmr_policy *policy,
                         const struct kmr_hw_record *record,
                         const struct kmr_hw_finding *finding, uint64_t now_us,
                         struct kmr_hw_verdict *ret_verdicts);

/* Step again at this time at the latest; 0: not before the next record. */
uint64_t kmr_policy_deadline(const struct kmr_policy *policy);

enum kmr_colour kmr_policy_health(const struct kmr_policy *policy);
/* What guests that use it are kept away from as long as it lasts, one source
 * after the other, for a kemarid that was restarted. `*at`: 0, then as it was
 * left. False: there are no more. */
bool kmr_policy_standing(struct kmr_policy *policy, unsigned *at,
                         struct kmr_hw_verdict *ret_verdict);
/* Why it isn't green: the worst sources, "" if it is. */
void kmr_policy_why(const struct kmr_policy *policy, char *ret_text,
                    size_t size);

#endif
