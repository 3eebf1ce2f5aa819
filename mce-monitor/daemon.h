/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_MCE_DAEMON_H
#define KMR_MCE_DAEMON_H

/* kemari-mced as it runs: all sources in one loop, verdicts to kemarid. */

#include <stdbool.h>

#include "io/config.h"

struct kmr_mced_options {
    const char *config;   /* path; read again at SIGHUP */
    const char *instance; /* of tracefs */
    const char *source;   /* NULL, or a recording in place of the kernel */
    bool dump;            /* records to stdout */
    bool report;          /* verdicts to kemarid, not to stdout */
    bool once;            /* say which sources there are, and end */
};

/* Until a signal ends it. Returns the exit code. */
int kmr_mced_run(const struct kmr_config *config,
                 const struct kmr_mced_options *options);

/* "TIME WORD SCOPE HEALTH REASON" */
struct kmr_hw_verdict;
void kmr_mced_print(const struct kmr_hw_verdict *verdict, uint64_t now_us);

/* A line of JSON; kmr_monitor's `saw`. Flushed, for who follows it. */
struct kmr_hw_record;
struct kmr_hw_finding;
void kmr_mced_show(const struct kmr_hw_record *record,
                   const struct kmr_hw_finding *finding, void *unused);

#endif
