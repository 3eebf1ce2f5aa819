/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kemari-mced: options, and what it does without a loop. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <qb/qbdefs.h>
#include <qb/qblog.h>

#include "config.h"

#include "io/log.h"
#include "mce-monitor/daemon.h"
#include "mce-monitor/monitor.h"
#include "mce-monitor/replay.h"
#include "mce-monitor/now.h"

#define RUN_DIR "/run/kemari"
#define CONFIG KMR_SYSCONFDIR "/kemari/kemari.conf"
#define NICE (-15) /* as kemarid: before guests */
#define INSTANCE "kemari"

/* ---- a recording, without anybody to tell ---- */

struct offline {
    struct kmr_monitor monitor;
    bool dump;
    bool pace;
    uint64_t first_us, start_us; /* of the recording, of ours */
};

static void on_said(const struct kmr_hw_verdict *verdict, void *user)
{
    struct offline *offline = user;

    kmr_mced_print(verdict, offline->monitor.policy.now_us);
}

static void on_record(const struct kmr_hw_record *record, void *user)
{
    struct offline *offline = user;

    kmr_monitor_record(&offline->monitor, record, record->time_us);
}

/* As long after our start as it was after the recording's. */
static void on_due(uint64_t time_us, void *user)
{
    struct offline *offline = user;
    uint64_t at_us;
    struct timespec ts;

    if (offline->start_us == 0) {
        offline->start_us = kmr_now_us();
        offline->first_us = time_us;
    }
    at_us = offline->start_us + (time_us - offline->first_us);
    ts.tv_sec = (time_t)(at_us / 1000000);
    ts.tv_nsec = (long)(at_us % 1000000 * 1000);
    while (time_us > offline->first_us &&
           clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) ==
               EINTR) {
    }
}

static uint64_t cpu_us(const struct rusage *usage)
{
    return (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) *
               1000000 +
           (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
}

static int replay(const struct kmr_config *config, const char *path, bool dump,
                  bool pace, uint64_t until_us)
{
    struct offline *offline = calloc(1, sizeof(*offline));
    struct kmr_pages_stats stats;
    struct rusage before, after;
    char error[512];
    int err;

    if (!offline) {
        return 1;
    }
    kmr_monitor_init(&offline->monitor, &config->health);
    offline->monitor.said = on_said;
    offline->monitor.saw = dump ? kmr_mced_show : NULL;
    offline->monitor.user = offline;
    offline->monitor.quiet = true;
    offline->pace = pace;
    getrusage(RUSAGE_SELF, &before);
    err = kmr_replay(path, pace ? on_due : NULL, on_record, offline, &stats,
                     error, sizeof(error));
    getrusage(RUSAGE_SELF, &after);
    if (err) {
        fprintf(stderr, "kemari-mced: %s\n", error);
        free(offline);
        return 1;
    }
    kmr_monitor_time(&offline->monitor, until_us);
    fflush(stdout);
    fprintf(stderr,
            "{\"records\": %" PRIu64 ", \"pages\": %" PRIu64
            ", \"lost\": %" PRIu64 ", \"broken\": %" PRIu64
            ", \"foreign\": %" PRIu64 ", \"unknown\": %" PRIu64
            ", \"cpu-us\": %" PRIu64 ", \"elapsed-us\": %" PRIu64
            ", \"peak-rss-kib\": %ld, \"health\": \"%s\"}\n",
            stats.records, stats.pages, stats.lost, stats.broken, stats.foreign,
            offline->monitor.policy.seen[KMR_HW_UNKNOWN],
            cpu_us(&after) - cpu_us(&before),
            offline->start_us ? kmr_now_us() - offline->start_us : 0,
            after.ru_maxrss,
            kmr_colour_text(kmr_policy_health(&offline->monitor.policy)));
    free(offline);
    return 0;
}

/* ---- start ---- */

/* One kemari-mced per instance: the lock ends with the process. */
static int lock_instance(const char *instance)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    char path[256];
    int fd;

    if (mkdir(RUN_DIR, 0755) != 0 && errno != EEXIST) {
        return -errno;
    }
    snprintf(path, sizeof(path), RUN_DIR "/mced-%s.lock", instance);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        return -errno;
    }
    return fcntl(fd, F_SETLK, &lock) == 0 ? 0 : -errno;
}

static void usage(FILE *file)
{
    fputs(
        "usage: kemari-mced [-f] [-d] [-c FILE] [-i INSTANCE] [--source PATH]\n"
        "       kemari-mced [-c FILE] [-i INSTANCE] --dump | --sources\n"
        "       kemari-mced [-c FILE] --replay PATH [--dump] [--pace]"
        " [--until SECONDS]\n"
        "  -f             log to stderr, too\n"
        "  -d             debug messages\n"
        "  -c FILE        configuration (default: " CONFIG ")\n"
        "  -i INSTANCE    of tracefs (default: " INSTANCE ")\n"
        "  --source PATH  a recording, not the kernel; again at SIGUSR1\n"
        "  --dump         records as JSON, a line each; nobody is told\n"
        "  --sources      say which sources there are, as JSON, and end\n"
        "  --replay PATH  what would be said about a recording, and end\n"
        "  --pace         as fast as it was\n"
        "  --until SECONDS  let time go on to this point after it\n"
        "kemari-mced stays in the foreground; see kemari-mced(8).\n",
        file);
}

enum {
    OPTION_SOURCE = 256,
    OPTION_DUMP,
    OPTION_SOURCES,
    OPTION_REPLAY,
    OPTION_PACE,
    OPTION_UNTIL
};

struct arguments {
    struct kmr_mced_options options;
    const char *replay;
    uint64_t until_us;
    bool to_stderr, debug, pace, config_given;
};

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct arguments *a)
{
    static const struct option longs[] = {
        { "source", required_argument, NULL, OPTION_SOURCE },
        { "dump", no_argument, NULL, OPTION_DUMP },
        { "sources", no_argument, NULL, OPTION_SOURCES },
        { "replay", required_argument, NULL, OPTION_REPLAY },
        { "pace", no_argument, NULL, OPTION_PACE },
        { "until", required_argument, NULL, OPTION_UNTIL },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
        { NULL, 0, NULL, 0 },
    };
    int option;
    char *end;

    while ((option = getopt_long(argc, argv, "fdc:i:hV", longs, NULL)) != -1) {
        switch (option) {
        case 'f':
            a->to_stderr = true;
            break;
        case 'd':
            a->debug = true;
            break;
        case 'c':
            a->options.config = optarg;
            a->config_given = true;
            break;
        case 'i':
            a->options.instance = optarg;
            break;
        case OPTION_SOURCE:
            a->options.source = optarg;
            break;
        case OPTION_DUMP:
            a->options.dump = true;
            a->options.report = false;
            break;
        case OPTION_SOURCES:
            a->options.once = true;
            break;
        case OPTION_REPLAY:
            a->replay = optarg;
            break;
        case OPTION_PACE:
            a->pace = true;
            break;
        case OPTION_UNTIL:
            errno = 0;
            a->until_us = strtoull(optarg, &end, 10) * 1000000;
            if (errno || *end || a->until_us > UINT64_C(1) << 60) {
                usage(stderr);
                return 2;
            }
            break;
        case 'h':
            usage(stdout);
            return 0;
        case 'V':
            puts("kemari-mced " PACKAGE_VERSION);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    if (optind < argc || strchr(a->options.instance, '/') ||
        a->options.instance[0] == '.' || !a->options.instance[0] ||
        strlen(a->options.instance) > 64) {
        usage(stderr);
        return 2;
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct arguments a = {
        .options = { .config = CONFIG, .instance = INSTANCE, .report = true }
    };
    struct kmr_config config;
    char error[512];
    int code = parse(argc, argv, &a), err;

    if (code >= 0) {
        return code;
    }
    /* 1. configuration */
    kmr_config_init(&config);
    err = kmr_config_read(a.options.config, &config, error, sizeof(error));
    if (err && (err != -ENOENT || a.config_given)) {
        fprintf(stderr, "kemari-mced: %s\n", error);
        return 1;
    }
    if (a.replay) {
        return replay(&config, a.replay, a.options.dump, a.pace, a.until_us);
    }
    /* 2. the lock */
    err = lock_instance(a.options.instance);
    if (err && !a.options.once) {
        fprintf(stderr, "kemari-mced: %s: %s\n", RUN_DIR,
                err == -EAGAIN || err == -EACCES
                    ? "another kemari-mced has this instance"
                    : strerror(-err));
        return 1;
    } else if (err) {
        a.options.instance = INSTANCE "-look";
    }
    /* 3. log */
    if (access("/dev/log", F_OK) != 0) {
        a.to_stderr = true; /* no syslog: rather there than nowhere */
    }
    if (kmr_log_init("kemari-mced", a.debug ? LOG_DEBUG : config.log_level,
                     a.to_stderr, NULL)) {
        fprintf(stderr, "kemari-mced: can't log\n");
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    if (a.options.report && setpriority(PRIO_PROCESS, 0, NICE) != 0) {
        qb_log(LOG_INFO, "can't raise the priority: %s", strerror(errno));
    }
    /* 4. everything else */
    code = kmr_mced_run(&config, &a.options);
    kmr_log_fini();
    return code;
}
