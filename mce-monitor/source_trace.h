/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_MCE_SOURCE_TRACE_H
#define KMR_MCE_SOURCE_TRACE_H

/* The kernel's tracepoints, through a tracefs instance of our own. */

#include <stdint.h>

#include <qb/qbloop.h>

#include "mce-monitor/pages.h"

#define KMR_TRACE_CPUS_MAX 4096
#define KMR_TRACE_TURN_PAGES 64 /* read in one turn of the loop */
/* In a storm each record would wake us up: from so many wake-ups in a tenth
 * of a second on, we look when this time is over. */
#define KMR_TRACE_WAKES 30
#define KMR_TRACE_STORM_MS 3u

struct kmr_trace;

/* Always gives a source: what it lacks, it says. Fails for want of memory
 * only. Blocks for as long as the kernel needs to set up the instance. */
int kmr_trace_start(qb_loop_t *loop, const char *instance, uint32_t ring_kib,
                    kmr_pages_cb cb, void *user, struct kmr_trace **ret_trace);
/* The instance is gone afterwards. NULL is allowed. */
void kmr_trace_stop(struct kmr_trace *trace);

/* NULL: this event is read; else why not. */
const char *kmr_trace_lacks(const struct kmr_trace *trace,
                            enum kmr_hw_event event);
/* NULL where there is no tracefs. */
const struct kmr_pages_stats *kmr_trace_stats(const struct kmr_trace *trace);

#endif
