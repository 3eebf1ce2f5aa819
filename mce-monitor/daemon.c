/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mce-monitor/daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <qb/qbdefs.h>
#include <qb/qblog.h>
#include <qb/qbloop.h>

#include "mce-monitor/monitor.h"
#include "mce-monitor/replay.h"
#include "mce-monitor/report.h"
#include "mce-monitor/source_edac.h"
#include "mce-monitor/source_link.h"
#include "mce-monitor/source_trace.h"
#include "mce-monitor/now.h"

#define EDAC "/sys/devices/system/edac/mc"
#define DISKS 64
#define HELLO_MS 1000u

struct disk {
    uint64_t dev, whole; /* the kernel's */
};

struct mced {
    qb_loop_t *loop;
    const struct kmr_mced_options *options;
    struct kmr_config config;
    struct kmr_monitor monitor;
    struct kmr_trace *trace;
    struct kmr_link *link;
    struct kmr_edac *edac;
    const char *edac_lacks;
    int link_err;
    struct kmr_report *report;
    qb_loop_timer_handle timer, hello;
    uint64_t timer_us; /* when it is due */
    uint64_t lost_said;
    struct disk disks[DISKS];
    unsigned disk_count;
};

/* ---- what is said ---- */

void kmr_mced_print(const struct kmr_hw_verdict *verdict, uint64_t at_us)
{
    printf("%" PRIu64 ".%06" PRIu64 " %s %s %s %s\n", at_us / 1000000,
           at_us % 1000000, kmr_verdict_text(verdict->word), verdict->scope,
           kmr_colour_text(verdict->health), verdict->reason);
}

static void on_said(const struct kmr_hw_verdict *verdict, void *user)
{
    struct mced *mced = user;
    static const int levels[] = {
        [KMR_VERDICT_NOTE] = LOG_NOTICE,   [KMR_VERDICT_DEGRADE] = LOG_WARNING,
        [KMR_VERDICT_MOVE_PAIR] = LOG_ERR, [KMR_VERDICT_MOVE_NODE] = LOG_ERR,
        [KMR_VERDICT_TAKEOVER] = LOG_CRIT,
    };
    uint64_t now = kmr_now_us();

    if (mced->report) {
        kmr_report_say(mced->report, verdict);
    } else if (!mced->options->dump) {
        kmr_mced_print(verdict, now);
        fflush(stdout);
    }
    qb_log(levels[verdict->word], "%s %s, %s: %s (%" PRIu64 " us)",
           kmr_verdict_text(verdict->word), verdict->scope,
           kmr_colour_text(verdict->health), verdict->reason,
           verdict->record_us && verdict->record_us <= now
               ? now - verdict->record_us
               : 0);
}

void kmr_mced_show(const struct kmr_hw_record *record,
                   const struct kmr_hw_finding *finding, void *unused)
{
    char line[2048];

    (void)unused;
    kmr_monitor_json(record, finding, line, sizeof(line));
    puts(line);
    fflush(stdout);
}

/* ---- time ---- */

static void on_timer(void *data);

static void arm(struct mced *mced)
{
    uint64_t at_us = kmr_policy_deadline(&mced->monitor.policy);
    uint64_t now = kmr_now_us();

    if (at_us == 0 || (mced->timer && mced->timer_us <= at_us)) {
        return;
    }
    if (mced->timer) {
        qb_loop_timer_del(mced->loop, mced->timer);
    }
    mced->timer_us = at_us;
    qb_loop_timer_add(mced->loop, QB_LOOP_MED,
                      at_us > now ? (at_us - now) * QB_TIME_NS_IN_USEC : 0,
                      mced, on_timer, &mced->timer);
}

static void on_timer(void *data)
{
    struct mced *mced = data;

    mced->timer = 0;
    kmr_monitor_time(&mced->monitor, kmr_now_us());
    arm(mced);
}

/* ---- records ---- */

/* A partition's errors are its disk's. */
static uint64_t whole_disk(uint64_t dev)
{
    char path[128], real[PATH_MAX], file[PATH_MAX + 16];
    unsigned major, minor;
    uint64_t whole = dev;
    FILE *in;

    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", (unsigned)(dev >> 20),
             (unsigned)(dev & 0xfffff));
    if (!realpath(path, real)) {
        return dev;
    }
    snprintf(file, sizeof(file), "%s/partition", real);
    if (access(file, F_OK) != 0) {
        return dev;
    }
    snprintf(file, sizeof(file), "%s/../dev", real);
    in = fopen(file, "re");
    if (in) {
        if (fscanf(in, "%u:%u", &major, &minor) == 2) {
            whole = (uint64_t)major << 20 | minor;
        }
        fclose(in);
    }
    return whole;
}

static uint64_t disk_of(struct mced *mced, uint64_t dev)
{
    struct disk *disk;

    for (unsigned i = 0; i < mced->disk_count; i++) {
        if (mced->disks[i].dev == dev) {
            return mced->disks[i].whole;
        }
    }
    if (mced->disk_count == DISKS) {
        mced->disk_count = 0; /* looked up anew */
    }
    disk = &mced->disks[mced->disk_count++];
    disk->dev = dev;
    disk->whole = whole_disk(dev);
    return disk->whole;
}

static void on_hello(void *data)
{
    struct mced *mced = data;

    mced->hello = 0;
    mced->lost_said = mced->monitor.lost;
    kmr_report_hello(mced->report);
}

static void on_again(void *user)
{
    struct mced *mced = user;
    struct kmr_hw_verdict verdict;
    unsigned at = 0;

    while (kmr_policy_standing(&mced->monitor.policy, &at, &verdict)) {
        on_said(&verdict, mced);
    }
}

static void on_record(const struct kmr_hw_record *record, void *user)
{
    struct mced *mced = user;
    struct kmr_hw_record other;

    if (record->event == KMR_HW_RQ || record->event == KMR_HW_BIO) {
        uint64_t dev = record->number[KMR_HW_DEV_AT];
        uint64_t whole = disk_of(mced, dev);

        if (whole != dev) {
            other = *record;
            other.number[KMR_HW_DEV_AT] = whole;
            record = &other;
        }
    }
    kmr_monitor_record(&mced->monitor, record, kmr_now_us());
    arm(mced);
    if (mced->report && !mced->hello && mced->lost_said != mced->monitor.lost) {
        qb_loop_timer_add(mced->loop, QB_LOOP_LOW,
                          HELLO_MS * QB_TIME_NS_IN_MSEC, mced, on_hello,
                          &mced->hello);
    }
}

/* ---- sources ---- */

static void on_sources(char *ret_json, size_t size, void *user)
{
    struct mced *mced = user;
    char quoted[512], why[300];
    size_t used;

    snprintf(ret_json, size, "{");
    for (int event = 0; event < KMR_HW_TRACEPOINTS; event++) {
        const char *lacks =
            mced->trace ? kmr_trace_lacks(mced->trace, (enum kmr_hw_event)event)
                        : "recorded";

        used = strlen(ret_json);
        kmr_monitor_quote(lacks ? lacks : "ok", quoted, sizeof(quoted));
        snprintf(ret_json + used, size - used, "\"%s\": %s, ",
                 kmr_hw_event_full((enum kmr_hw_event)event), quoted);
    }
    used = strlen(ret_json);
    kmr_monitor_quote(mced->edac ? "ok" : mced->edac_lacks, quoted,
                      sizeof(quoted));
    snprintf(ret_json + used, size - used, "\"edac\": %s, ", quoted);
    snprintf(why, sizeof(why), "%s",
             !mced->link                       ? strerror(mced->link_err)
             : kmr_link_count(mced->link) == 0 ? "no interface to watch"
                                               : "ok");
    used = strlen(ret_json);
    kmr_monitor_quote(why, quoted, sizeof(quoted));
    snprintf(ret_json + used, size - used, "\"link\": %s, ", quoted);
    kmr_policy_why(&mced->monitor.policy, why, sizeof(why));
    kmr_monitor_quote(why, quoted, sizeof(quoted));
    used = strlen(ret_json);
    snprintf(ret_json + used, size - used,
             "\"lost\": %" PRIu64 ", \"records\": %" PRIu64
             ", \"health\": \"%s\", \"why\": %s}",
             mced->monitor.lost, mced->monitor.records,
             kmr_colour_text(kmr_policy_health(&mced->monitor.policy)), quoted);
}

static void start_links(struct mced *mced)
{
    const char *names = mced->config.health.interfaces;
    const char *address = mced->config.replication_address;
    int err = mced->link ? kmr_link_set(mced->link, names, address)
                         : kmr_link_start(mced->loop, names, address, on_record,
                                          mced, &mced->link);

    mced->link_err = -err;
    if (err) {
        qb_log(LOG_WARNING, "no interfaces: %s", strerror(-err));
    }
}

static int start_sources(struct mced *mced)
{
    const char *no_mc;
    unsigned have = 0;
    int err;

    if (mced->options->source) {
        mced->edac_lacks = "recorded";
    } else {
        err = kmr_trace_start(mced->loop, mced->options->instance,
                              mced->config.health.ring_kib, on_record, mced,
                              &mced->trace);
        if (err) {
            return err;
        }
        for (int event = 0; event < KMR_HW_TRACEPOINTS; event++) {
            const char *lacks =
                kmr_trace_lacks(mced->trace, (enum kmr_hw_event)event);

            have += !lacks;
            if (lacks) {
                qb_log(LOG_NOTICE, "source %s: %s",
                       kmr_hw_event_full((enum kmr_hw_event)event), lacks);
            }
        }
        /* They are what mc_event says, too: not twice. */
        no_mc = kmr_trace_lacks(mced->trace, KMR_HW_MC);
        mced->edac_lacks = "not needed: ras:mc_event";
        if (no_mc) {
            mced->edac_lacks = "no memory controller";
            if (kmr_edac_start(mced->loop, EDAC, on_record, mced,
                               &mced->edac) != 0) {
                mced->edac = NULL;
            }
        }
    }
    start_links(mced);
    if (!mced->options->source && have == 0 && !mced->edac) {
        qb_log(LOG_ERR, "health: no sources of the kernel's hardware errors");
    }
    return 0;
}

/* As of now: what it was then has no meaning to this machine's clock. */
static void on_recorded(const struct kmr_hw_record *record, void *user)
{
    struct kmr_hw_record now = *record;

    now.time_us = kmr_now_us();
    on_record(&now, user);
}

static int32_t on_play(int32_t signal_number, void *data)
{
    struct mced *mced = data;
    struct kmr_pages_stats stats;
    char error[512];

    (void)signal_number;
    if (mced->options->source) {
        if (kmr_replay(mced->options->source, NULL, on_recorded, mced, &stats,
                       error, sizeof(error)) != 0) {
            qb_log(LOG_ERR, "%s", error);
        } else {
            qb_log(LOG_NOTICE, "%s: %" PRIu64 " records", mced->options->source,
                   stats.records);
        }
    }
    return 0;
}

/* ---- signals ---- */

static int32_t on_end(int32_t signal_number, void *data)
{
    struct mced *mced = data;

    qb_log(LOG_NOTICE, "signal %d: ends; %" PRIu64 " records, %" PRIu64 " lost",
           signal_number, mced->monitor.records, mced->monitor.lost);
    qb_loop_stop(mced->loop);
    return 0;
}

static int32_t on_reload(int32_t signal_number, void *data)
{
    struct mced *mced = data;
    struct kmr_config config;
    char error[512];
    int err;

    (void)signal_number;
    kmr_config_init(&config);
    err = kmr_config_read(mced->options->config, &config, error, sizeof(error));
    if (err && err != -ENOENT) {
        qb_log(LOG_ERR, "%s; the configuration stays as it was", error);
        return 0;
    }
    kmr_policy_set_limits(&mced->monitor.policy, &config.health);
    if (strcmp(config.health.interfaces, mced->config.health.interfaces) != 0 ||
        strcmp(config.replication_address, mced->config.replication_address)) {
        mced->config = config;
        start_links(mced);
    }
    mced->config = config;
    qb_log(LOG_NOTICE, "configuration read again");
    arm(mced);
    if (mced->report) {
        kmr_report_hello(mced->report);
    }
    return 0;
}

static void on_first(void *data)
{
    struct mced *mced = data;
    char sources[KMR_REPORT_SOURCES_MAX];

    if (mced->options->once) {
        on_sources(sources, sizeof(sources), mced);
        puts(sources);
        qb_loop_stop(mced->loop);
    } else if (mced->options->source) {
        on_play(0, mced);
    }
}

int kmr_mced_run(const struct kmr_config *config,
                 const struct kmr_mced_options *options)
{
    struct mced *mced = calloc(1, sizeof(*mced));
    qb_loop_timer_handle first;
    int err;

    if (!mced || !(mced->loop = qb_loop_create())) {
        free(mced);
        return 1;
    }
    /* 1. what decides */
    mced->options = options;
    mced->config = *config;
    kmr_monitor_init(&mced->monitor, &config->health);
    mced->monitor.said = on_said;
    mced->monitor.saw = options->dump ? kmr_mced_show : NULL;
    mced->monitor.user = mced;
    /* 2. sources: they may take a second */
    err = start_sources(mced);
    /* 3. who is told */
    if (!err && options->report && !options->once) {
        err = kmr_report_start(mced->loop, on_sources, on_again, mced,
                               &mced->report);
    }
    if (!err) {
        qb_loop_signal_add(mced->loop, QB_LOOP_HIGH, SIGTERM, mced, on_end,
                           NULL);
        qb_loop_signal_add(mced->loop, QB_LOOP_HIGH, SIGINT, mced, on_end,
                           NULL);
        qb_loop_signal_add(mced->loop, QB_LOOP_MED, SIGHUP, mced, on_reload,
                           NULL);
        qb_loop_signal_add(mced->loop, QB_LOOP_MED, SIGUSR1, mced, on_play,
                           NULL);
        /* after the first answer of rtnetlink */
        qb_loop_timer_add(mced->loop, QB_LOOP_LOW, 10 * QB_TIME_NS_IN_MSEC,
                          mced, on_first, &first);
        qb_log(LOG_NOTICE, "ready");
        qb_loop_run(mced->loop);
    } else {
        qb_log(LOG_CRIT, "can't start: %s", strerror(-err));
    }
    kmr_report_stop(mced->report);
    kmr_link_stop(mced->link);
    kmr_edac_stop(mced->edac);
    kmr_trace_stop(mced->trace);
    qb_loop_destroy(mced->loop);
    free(mced);
    return err ? 1 : 0;
}
