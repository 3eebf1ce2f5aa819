/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_IPC_STAY_H
#define KMR_IO_IPC_STAY_H

/*
 * A connection to kemarid that stays, in a loop that must not block: it is
 * made again when it breaks (100 ms later, then 200 ms, up to 5 s). Answers
 * come in the order of what was sent.
 */

#include <qb/qbloop.h>

#include "io/ipc.h"

#define KMR_IPC_STAY_AHEAD 8 /* sent, and not answered yet */
#define KMR_IPC_STAY_ANSWER_MS 10000u
#define KMR_IPC_STAY_BACKOFF_MIN_MS 100u
#define KMR_IPC_STAY_BACKOFF_MAX_MS 5000u

struct kmr_ipc_stay;

struct kmr_ipc_stay_ops {
    void (*up)(void *user);
    /* What was not answered may have arrived, or not. */
    void (*down)(void *user);
    void (*answer)(int code, const char *error, void *user);
};

int kmr_ipc_stay_start(qb_loop_t *loop, const struct kmr_ipc_stay_ops *ops,
                       void *user, struct kmr_ipc_stay **ret_stay);
void kmr_ipc_stay_stop(struct kmr_ipc_stay *stay); /* NULL is allowed */

/* 0, -ENOTCONN, -EAGAIN (too much is under way: after the next answer), or
 * another -errno. */
int kmr_ipc_stay_send(struct kmr_ipc_stay *stay, int argc,
                      const char *const *argv);

#endif
