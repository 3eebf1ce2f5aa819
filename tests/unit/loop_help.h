/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_TESTS_LOOP_HELP_H
#define KMR_TESTS_LOOP_HELP_H

/* Runs a qb_loop until a condition holds or a deadline passes. */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>
#include <qb/qbloop.h>

struct until {
    qb_loop_t *loop;
    bool (*cond)(void *arg);
    void *arg;
    uint64_t end_ms;
    bool ok;
};

static inline uint64_t help_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static inline void help_tick(void *data)
{
    struct until *u = data;
    qb_loop_timer_handle handle;

    u->ok = u->cond(u->arg);
    if (u->ok || help_now_ms() >= u->end_ms) {
        qb_loop_stop(u->loop);
        return;
    }
    qb_loop_timer_add(u->loop, QB_LOOP_HIGH, 1000000, u, help_tick, &handle);
}

/* True when `cond` came true within `ms`. */
static inline bool run_until(qb_loop_t *loop, bool (*cond)(void *), void *arg,
                             unsigned ms)
{
    struct until u = { loop, cond, arg, help_now_ms() + ms, false };
    qb_loop_timer_handle handle;

    qb_loop_timer_add(loop, QB_LOOP_HIGH, 0, &u, help_tick, &handle);
    qb_loop_run(loop);
    return u.ok;
}

static inline bool help_never(void *arg)
{
    (void)arg;
    return false;
}

static inline void run_for(qb_loop_t *loop, unsigned ms)
{
    run_until(loop, help_never, NULL, ms);
}

#endif
