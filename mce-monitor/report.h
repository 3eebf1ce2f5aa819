/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_MCE_REPORT_H
#define KMR_MCE_REPORT_H

/*
 * Verdicts to kemarid (docs/interfaces.md). Where there is no kemarid they
 * wait for it; of more than there is room for, the oldest notes go first. One
 * is kept until it was answered.
 */

#include <stddef.h>

#include <qb/qbloop.h>

#include "mce-monitor/policy.h"

#define KMR_REPORT_QUEUE 64
#define KMR_REPORT_SOURCES_MAX 4096

struct kmr_report;

/* What `hello` says: JSON. */
typedef void (*kmr_report_sources_cb)(char *ret_json, size_t size, void *user);

/* There is a kemarid, which may be another one than before: what holds as long
 * as it lasts is to be said again. */
typedef void (*kmr_report_again_cb)(void *user);

int kmr_report_start(qb_loop_t *loop, kmr_report_sources_cb sources,
                     kmr_report_again_cb again, void *user,
                     struct kmr_report **ret_report);
void kmr_report_stop(struct kmr_report *report); /* NULL is allowed */

void kmr_report_say(struct kmr_report *report,
                    const struct kmr_hw_verdict *verdict);
/* The sources are not what they were. */
void kmr_report_hello(struct kmr_report *report);
/* Said, and not answered yet. */
unsigned kmr_report_waiting(const struct kmr_report *report);

#endif
