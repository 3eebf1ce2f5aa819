/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io/log.h"

#include <syslog.h>

#include <qb/qbdefs.h>
#include <qb/qblog.h>

static void enable(int target, int level)
{
    qb_log_filter_ctl(target, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, "*",
                      level);
    qb_log_ctl(target, QB_LOG_CONF_ENABLED, QB_TRUE);
}

int kmr_log_init(const char *name, int level, bool to_stderr, const char *file)
{
    qb_log_init(name, LOG_DAEMON, LOG_EMERG);
    qb_log_filter_ctl(QB_LOG_SYSLOG, QB_LOG_FILTER_CLEAR_ALL,
                      QB_LOG_FILTER_FILE, "*", LOG_TRACE);
    qb_log_format_set(QB_LOG_SYSLOG, "%b");
    enable(QB_LOG_SYSLOG, level < LOG_NOTICE ? level : LOG_NOTICE);
    if (to_stderr) {
        qb_log_format_set(QB_LOG_STDERR, "%T %7p %b");
        enable(QB_LOG_STDERR, level);
    }
    if (file) {
        int target = qb_log_file_open(file);

        if (target < 0) {
            return target;
        }
        qb_log_format_set(target, "%T %7p %b");
        enable(target, level);
    }
    return 0;
}

void kmr_log_fini(void)
{
    qb_log_fini();
}
