/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_CHILD_H
#define KMR_IO_CHILD_H

/*
 * Children that can be killed, for whatever may hang: crm tools, an emulator
 * that is asked for its commands. Each has a deadline, its own process group
 * (killed as a whole) and a bounded output. Everything runs in the loop.
 *
 * The process must not ignore SIGCHLD, and nothing in it may wait() for
 * children that it did not start.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <qb/qbloop.h>

#define KMR_CHILD_MAX 64                /* at a time, in the process */
#define KMR_CHILD_NICE 5                /* what children run at */
#define KMR_CHILD_OUTPUT_MAX (1u << 20) /* largest out_max */
#define KMR_CHILD_DEADLINE_MAX_MS 600000u

struct kmr_child;

struct kmr_child_spec {
    const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH */
    const char *const *env;  /* "NAME=VALUE", added to ours; may be NULL */
    const char *input;       /* written to stdin, which is then closed ... */
    size_t input_len;        /* ... 0: stdin is /dev/null; at most 4096 */
    uint32_t timeout_ms;     /* 1 .. KMR_CHILD_DEADLINE_MAX_MS */
    size_t out_max;          /* bytes kept of stdout and of stderr, each;
                              * the rest is read and dropped */
};

enum kmr_child_end {
    KMR_CHILD_EXITED,   /* code: exit status */
    KMR_CHILD_SIGNALED, /* code: signal */
    KMR_CHILD_TIMEOUT,  /* killed by us at the deadline; code 0 */
};

struct kmr_child_result {
    enum kmr_child_end end;
    int code;
    const char *out; /* stdout, NUL-terminated, valid during the callback */
    size_t out_len;
    const char *err; /* stderr, likewise; a trailing newline is cut off */
    size_t err_len;
    bool truncated; /* some output was dropped */
    uint32_t took_ms;
};

typedef void (*kmr_child_cb)(const struct kmr_child_result *result, void *user);

/*
 * Starts a child. The callback comes exactly once, later, from the loop, and
 * then the child is freed. Everything in `spec` is copied. Returns 0, -EAGAIN
 * (KMR_CHILD_MAX reached), -ENOENT (no such program) or another -errno; then
 * there is no callback. `ret_child` may be NULL.
 */
int kmr_child_start(qb_loop_t *loop, const struct kmr_child_spec *spec,
                    kmr_child_cb cb, void *user, struct kmr_child **ret_child);

/*
 * Kills the child's group and forgets it: no callback. Its end is still
 * waited for in the loop, so no zombie stays. NULL is allowed.
 */
void kmr_child_cancel(struct kmr_child *child);

/* Children that have not been reaped. */
unsigned kmr_child_count(void);

#endif
