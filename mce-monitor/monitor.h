/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_MCE_MONITOR_H
#define KMR_MCE_MONITOR_H

/* What is done with each record, wherever it comes from: decoded, judged,
 * logged, counted. */

#include <stdbool.h>
#include <stdint.h>

#include "mce-monitor/policy.h"

#define KMR_MONITOR_LOG_RATE 10 /* records logged in a second */

struct kmr_monitor {
    struct kmr_policy policy;
    void (*said)(const struct kmr_hw_verdict *verdict, void *user);
    /* NULL, or told of every record before it is judged. */
    void (*saw)(const struct kmr_hw_record *record,
                const struct kmr_hw_finding *finding, void *user);
    void *user;
    bool quiet; /* records are not logged */
    uint64_t records, lost, unlogged;
    uint64_t log_us;
    unsigned logged;
};

void kmr_monitor_init(struct kmr_monitor *monitor,
                      const struct kmr_health_limits *limits);
void kmr_monitor_record(struct kmr_monitor *monitor,
                        const struct kmr_hw_record *record, uint64_t now_us);
/* All that was due until then, each at its time. */
void kmr_monitor_time(struct kmr_monitor *monitor, uint64_t now_us);

/* A record and what was made of it, as a line of JSON. */
void kmr_monitor_json(const struct kmr_hw_record *record,
                      const struct kmr_hw_finding *finding, char *ret_text,
                      size_t size);
/* Text as a JSON string, with its quotes; cut off to what fits. */
void kmr_monitor_quote(const char *text, char *ret_text, size_t size);

#endif
