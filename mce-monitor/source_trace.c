/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mce-monitor/source_trace.h"
#include "mce-monitor/now.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <qb/qbdefs.h>
#include <qb/qblog.h>
#include <tracefs.h>

#define WINDOW_MS 100

struct kmr_trace {
    qb_loop_t *loop;
    kmr_pages_cb cb;
    void *user;
    struct tracefs_instance *instance;
    struct kmr_pages *pages;
    uint8_t *buf;
    const char *lacks[KMR_HW_TRACEPOINTS];
    unsigned cpus;
    int *fds;
    bool storm; /* the descriptors are out of the loop, */
    int tick;   /* this one is in it: libqb's timers spin in their last ms */
    uint64_t window_ms;
    unsigned wakes;
};

static void all_lack(struct kmr_trace *trace, const char *why)
{
    for (unsigned event = 0; event < KMR_HW_TRACEPOINTS; event++) {
        trace->lacks[event] = why;
    }
}

/* Up to KMR_TRACE_TURN_PAGES of one CPU. Returns how many. */
static unsigned drain(struct kmr_trace *trace, int fd)
{
    unsigned pages = 0;
    ssize_t got;

    while (pages < KMR_TRACE_TURN_PAGES &&
           (got = read(fd, trace->buf, kmr_pages_size(trace->pages))) > 0) {
        kmr_pages_read(trace->pages, trace->buf, (size_t)got, trace->cb,
                       trace->user);
        pages++;
    }
    return pages;
}

static int32_t on_readable(int32_t fd, int32_t events, void *data);

static void watch(struct kmr_trace *trace, bool on)
{
    for (unsigned cpu = 0; cpu < trace->cpus; cpu++) {
        if (trace->fds[cpu] >= 0 && on) {
            qb_loop_poll_add(trace->loop, QB_LOOP_HIGH, trace->fds[cpu], POLLIN,
                             trace, on_readable);
        } else if (trace->fds[cpu] >= 0) {
            qb_loop_poll_del(trace->loop, trace->fds[cpu]);
        }
    }
}

static void set_tick(const struct kmr_trace *trace, unsigned every_ms)
{
    struct itimerspec spec = { 0 };

    spec.it_value.tv_nsec = spec.it_interval.tv_nsec = every_ms * 1000000L;
    timerfd_settime(trace->tick, 0, &spec, NULL);
}

static int32_t on_tick(int32_t fd, int32_t events, void *data)
{
    struct kmr_trace *trace = data;
    unsigned pages = 0;
    uint64_t ticks;

    (void)events;
    if (read(fd, &ticks, sizeof(ticks)) < 0 || !trace->storm) {
        return 0;
    }
    for (unsigned cpu = 0; cpu < trace->cpus; cpu++) {
        if (trace->fds[cpu] >= 0) {
            pages += drain(trace, trace->fds[cpu]);
        }
    }
    if (pages == 0) {
        trace->storm = false;
        set_tick(trace, 0);
        watch(trace, true);
    }
    return 0;
}

static int32_t on_readable(int32_t fd, int32_t events, void *data)
{
    struct kmr_trace *trace = data;
    uint64_t now = kmr_now_us() / 1000;

    (void)events;
    drain(trace, fd);
    if (now >= trace->window_ms + WINDOW_MS) {
        trace->window_ms = now;
        trace->wakes = 0;
    }
    if (++trace->wakes > KMR_TRACE_WAKES && !trace->storm && trace->tick >= 0) {
        trace->storm = true;
        watch(trace, false);
        set_tick(trace, KMR_TRACE_STORM_MS);
    }
    return 0;
}

/* A setting of the instance; what can't be set is said. */
static int set(struct kmr_trace *trace, const char *file, const char *value)
{
    if (tracefs_instance_file_write(trace->instance, file, value) < 0) {
        int err = errno ? -errno : -EIO;

        qb_log(LOG_WARNING, "trace: can't write %s to %s: %s", value, file,
               strerror(-err));
        return err;
    }
    return 0;
}

static void enable(struct kmr_trace *trace, enum kmr_hw_event event)
{
    const char *system = kmr_hw_event_system(event);
    const char *name = kmr_hw_event_name(event);

    trace->lacks[event] = kmr_pages_lacks(trace->pages, event);
    if (trace->lacks[event]) {
        return;
    }
    /* Without its filter this one would be each request of every disk. */
    if (event == KMR_HW_BIO &&
        tracefs_event_file_write(trace->instance, system, name, "filter",
                                 "error != 0") < 0) {
        trace->lacks[event] = "its filter can't be set";
    } else if (tracefs_event_enable(trace->instance, system, name) < 0) {
        trace->lacks[event] = "can't be enabled";
    }
}

static void open_cpus(struct kmr_trace *trace)
{
    long count = sysconf(_SC_NPROCESSORS_CONF);
    unsigned opened = 0;

    trace->cpus = count < 1                    ? 1
                  : count > KMR_TRACE_CPUS_MAX ? KMR_TRACE_CPUS_MAX
                                               : (unsigned)count;
    trace->fds = calloc(trace->cpus, sizeof(*trace->fds));
    for (unsigned cpu = 0; trace->fds && cpu < trace->cpus; cpu++) {
        char file[64];

        snprintf(file, sizeof(file), "per_cpu/cpu%u/trace_pipe_raw", cpu);
        trace->fds[cpu] =
            tracefs_instance_file_open(trace->instance, file,
                                       O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        opened += trace->fds[cpu] >= 0;
    }
    if (!trace->fds || opened == 0) {
        trace->cpus = trace->fds ? trace->cpus : 0;
        all_lack(trace, "trace_pipe_raw can't be opened");
    }
}

static void set_up(struct kmr_trace *trace, const char *name, uint32_t ring_kib)
{
    const char *dir = NULL;
    char path[4096], number[32];

    /* not mounted by us: where it isn't, somebody has a reason */
    if (tracefs_tracing_dir_is_mounted(false, &dir) <= 0 || !dir) {
        all_lack(trace, "no tracefs");
        return;
    }
    snprintf(path, sizeof(path), "%s/events", dir);
    if (access(path, R_OK | X_OK) != 0) {
        all_lack(trace, errno == EACCES || errno == EPERM ? "no permission"
                                                          : "no tracefs");
        return;
    }
    if (kmr_pages_new(path, &trace->pages) != 0) {
        all_lack(trace, "header_page is not understood");
        return;
    }
    trace->buf = malloc(kmr_pages_size(trace->pages));
    trace->instance = trace->buf ? tracefs_instance_create(name) : NULL;
    if (!trace->instance) {
        all_lack(trace, errno == EACCES || errno == EPERM ? "no permission"
                                                          : "no instance");
        return;
    }
    if (!tracefs_instance_is_new(trace->instance)) {
        qb_log(LOG_NOTICE, "trace: instance %s was left over, is used again",
               name);
    }
    snprintf(number, sizeof(number), "%u", ring_kib);
    /* The default of 50 % would wake nobody up for a single record; before
     * the first poll, or it is too late. */
    set(trace, "tracing_on", "0");
    set(trace, "buffer_percent", "0");
    set(trace, "buffer_size_kb", number);
    set(trace, "trace_clock", "mono");
    set(trace, "trace", "");
    for (int event = 0; event < KMR_HW_TRACEPOINTS; event++) {
        enable(trace, (enum kmr_hw_event)event);
    }
    open_cpus(trace);
    set(trace, "tracing_on", "1");
    watch(trace, true);
}

int kmr_trace_start(qb_loop_t *loop, const char *instance, uint32_t ring_kib,
                    kmr_pages_cb cb, void *user, struct kmr_trace **ret_trace)
{
    struct kmr_trace *trace = calloc(1, sizeof(*trace));

    if (!trace) {
        return -ENOMEM;
    }
    trace->loop = loop;
    trace->cb = cb;
    trace->user = user;
    trace->tick = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (trace->tick >= 0 && qb_loop_poll_add(loop, QB_LOOP_HIGH, trace->tick,
                                             POLLIN, trace, on_tick) != 0) {
        close(trace->tick);
        trace->tick = -1;
    }
    set_up(trace, instance, ring_kib);
    *ret_trace = trace;
    return 0;
}

void kmr_trace_stop(struct kmr_trace *trace)
{
    if (!trace) {
        return;
    }
    if (!trace->storm) {
        watch(trace, false);
    }
    if (trace->tick >= 0) {
        qb_loop_poll_del(trace->loop, trace->tick);
        close(trace->tick);
    }
    for (unsigned cpu = 0; cpu < trace->cpus; cpu++) {
        if (trace->fds[cpu] >= 0) {
            close(trace->fds[cpu]);
        }
    }
    if (trace->instance) {
        if (tracefs_instance_destroy(trace->instance) < 0) {
            qb_log(LOG_WARNING, "trace: the instance can't be removed: %s",
                   strerror(errno));
        }
        tracefs_instance_free(trace->instance);
    }
    kmr_pages_free(trace->pages);
    free(trace->fds);
    free(trace->buf);
    free(trace);
}

const char *kmr_trace_lacks(const struct kmr_trace *trace,
                            enum kmr_hw_event event)
{
    return trace->lacks[event];
}

const struct kmr_pages_stats *kmr_trace_stats(const struct kmr_trace *trace)
{
    return trace->pages ? kmr_pages_stats(trace->pages) : NULL;
}
