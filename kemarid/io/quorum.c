/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io/quorum.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <corosync/cmap.h>
#include <corosync/corotypes.h>
#include <corosync/quorum.h>
#include <qb/qbdefs.h>
#include <qb/qblog.h>

struct kmr_quorum {
    qb_loop_t *loop;
    kmr_quorum_cb cb;
    void *user;
    quorum_handle_t handle;
    int fd; /* -1: not connected */
    qb_loop_timer_handle timer;
};

static void try_connect(void *data);

/* Entries of corosync's node list; 0: it has none, or can't be asked. */
static unsigned count_listed(void)
{
    char key[CMAP_KEYNAME_MAXLEN + 1];
    cmap_iter_handle_t iter;
    cmap_handle_t cmap;
    unsigned count = 0;

    if (cmap_initialize(&cmap) != CS_OK) {
        return 0;
    }
    if (cmap_iter_init(cmap, "nodelist.node.", &iter) == CS_OK) {
        while (cmap_iter_next(cmap, iter, key, NULL, NULL) == CS_OK) {
            const char *dot = strrchr(key, '.');

            count += strcmp(dot, ".nodeid") == 0;
        }
        cmap_iter_finalize(cmap, iter);
    }
    cmap_finalize(cmap);
    return count;
}

static void notify(quorum_handle_t handle, uint32_t quorate, uint64_t ring_seq,
                   uint32_t entries, uint32_t *list)
{
    const void *context = NULL;
    const struct kmr_quorum *quorum;

    (void)ring_seq;
    if (quorum_context_get(handle, &context) == CS_OK && context) {
        quorum = context;
        quorum->cb(quorate != 0, list,
                   entries < KMR_QUORUM_NODES_MAX ? entries
                                                  : KMR_QUORUM_NODES_MAX,
                   count_listed(), quorum->user);
    }
}

static void retry(struct kmr_quorum *quorum)
{
    qb_loop_timer_add(quorum->loop, QB_LOOP_MED,
                      KMR_QUORUM_RETRY_MS * QB_TIME_NS_IN_MSEC, quorum,
                      try_connect, &quorum->timer);
}

static void drop(struct kmr_quorum *quorum)
{
    if (quorum->fd >= 0) {
        qb_loop_poll_del(quorum->loop, quorum->fd);
        quorum->fd = -1;
        quorum_finalize(quorum->handle);
    }
}

static int32_t dispatch(int32_t fd, int32_t revents, void *data)
{
    struct kmr_quorum *quorum = data;

    (void)fd;
    if ((revents & (POLLERR | POLLHUP | POLLNVAL)) ||
        quorum_dispatch(quorum->handle, CS_DISPATCH_ALL) != CS_OK) {
        qb_log(LOG_WARNING, "lost corosync's quorum service");
        drop(quorum);
        quorum->cb(false, NULL, 0, 0, quorum->user);
        retry(quorum);
    }
    return 0;
}

static void try_connect(void *data)
{
    struct kmr_quorum *quorum = data;
    quorum_callbacks_t callbacks = { .quorum_notify_fn = notify };
    uint32_t type;

    quorum->timer = 0;
    if (quorum_initialize(&quorum->handle, &callbacks, &type) != CS_OK) {
        retry(quorum);
        return;
    }
    quorum_context_set(quorum->handle, quorum);
    if (quorum_trackstart(quorum->handle,
                          CS_TRACK_CURRENT | CS_TRACK_CHANGES) != CS_OK ||
        quorum_fd_get(quorum->handle, &quorum->fd) != CS_OK) {
        quorum_finalize(quorum->handle);
        quorum->fd = -1;
        retry(quorum);
        return;
    }
    qb_loop_poll_add(quorum->loop, QB_LOOP_HIGH, quorum->fd, POLLIN, quorum,
                     dispatch);
    quorum_dispatch(quorum->handle, CS_DISPATCH_ALL);
}

int kmr_quorum_start(qb_loop_t *loop, kmr_quorum_cb cb, void *user,
                     struct kmr_quorum **ret_quorum)
{
    struct kmr_quorum *quorum = calloc(1, sizeof(*quorum));

    if (!quorum) {
        return -ENOMEM;
    }
    quorum->loop = loop;
    quorum->cb = cb;
    quorum->user = user;
    quorum->fd = -1;
    *ret_quorum = quorum;
    try_connect(quorum);
    return 0;
}

void kmr_quorum_stop(struct kmr_quorum *quorum)
{
    if (!quorum) {
        return;
    }
    if (quorum->timer) {
        qb_loop_timer_del(quorum->loop, quorum->timer);
    }
    drop(quorum);
    free(quorum);
}
