/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_MCE_REPLAY_H
#define KMR_MCE_REPLAY_H

/*
 * Records that were made elsewhere, or written by somebody.
 *
 * A folder: ring buffer pages, cpuN.raw (what trace_pipe_raw gave, page after
 * page) with events/ and header_page of the kernel that wrote them, in the
 * folder or in its parent. It goes through the parser of the live source.
 *
 * A file: one record a line, TIME [xCOUNT/STEP] SYSTEM:EVENT FIELD=VALUE ...;
 * TIME is H:M:S or seconds, both with a fraction if need be; COUNT records,
 * STEP seconds apart. # starts a comment. Lines need not be in order.
 */

#include <stddef.h>
#include <stdint.h>

#include "mce-monitor/pages.h"

#define KMR_REPLAY_RECORDS_MAX 4000000
#define KMR_REPLAY_CPUS_MAX 1024
#define KMR_REPLAY_LINE_MAX 1024

/* Calls back for each record, by time as far as pages allow. `due`, if it is
 * not NULL, is called before each page or record with its time, and may wait.
 * 0 or -errno with `ret_error`. `ret_stats` may be NULL. */
int kmr_replay(const char *path, void (*due)(uint64_t time_us, void *user),
               kmr_pages_cb cb, void *user, struct kmr_pages_stats *ret_stats,
               char *ret_error, size_t size);

#endif
