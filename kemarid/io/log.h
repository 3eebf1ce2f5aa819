/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_LOG_H
#define KMR_IO_LOG_H

#include <stdbool.h>

/* libqb's log to syslog and, when asked for, stderr and a file (NULL: none).
 * `level`: a syslog priority. 0 or -errno. */
int kmr_log_init(const char *name, int level, bool to_stderr, const char *file);
void kmr_log_fini(void);

#endif
