/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io/members.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <corosync/corotypes.h>
#include <corosync/quorum.h>
#include <qb/qbdefs.h>
#include <qb/qblog.h>

struct kmr_members {
    qb_loop_t *loop;
    kmr_members_cb cb;
    void *user;
    quorum_handle_t handle;
    int fd; /* -1: not connected */
    qb_loop_timer_handle timer;
    uint32_t nodes[KMR_MEMBERS_MAX];
    unsigned count;
};

static void try_connect(void *data);

/* libquorum wants one. */
static void ignore_quorum(quorum_handle_t handle, uint32_t quorate,
                          struct quorum_ring_id ring_id, uint32_t count,
                          const uint32_t *list)
{
    (void)handle;
    (void)quorate;
    (void)ring_id;
    (void)count;
    (void)list;
}

static void notify(quorum_handle_t handle, struct quorum_ring_id ring_id,
                   uint32_t count, const uint32_t *list, uint32_t joined_count,
                   const uint32_t *joined, uint32_t left_count,
                   const uint32_t *left)
{
    const void *context = NULL;
    struct kmr_members *members;

    (void)ring_id;
    (void)joined_count;
    (void)joined;
    if (quorum_context_get(handle, &context) != CS_OK || !context) {
        return;
    }
    members = (struct kmr_members *)(uintptr_t)context;
    members->count = count < KMR_MEMBERS_MAX ? count : KMR_MEMBERS_MAX;
    if (members->count > 0) {
        memcpy(members->nodes, list, members->count * sizeof(*list));
    }
    members->cb(members->nodes, members->count, left, left_count,
                members->user);
}

static void retry(struct kmr_members *members)
{
    qb_loop_timer_add(members->loop, QB_LOOP_MED,
                      KMR_MEMBERS_RETRY_MS * QB_TIME_NS_IN_MSEC, members,
                      try_connect, &members->timer);
}

static void drop(struct kmr_members *members)
{
    if (members->fd >= 0) {
        qb_loop_poll_del(members->loop, members->fd);
        members->fd = -1;
        quorum_finalize(members->handle);
    }
    members->count = 0;
}

static int32_t dispatch(int32_t fd, int32_t revents, void *data)
{
    struct kmr_members *members = data;

    (void)fd;
    if ((revents & (POLLERR | POLLHUP | POLLNVAL)) ||
        quorum_dispatch(members->handle, CS_DISPATCH_ALL) != CS_OK) {
        qb_log(LOG_WARNING, "lost corosync's membership");
        drop(members);
        members->cb(NULL, 0, NULL, 0, members->user);
        retry(members);
    }
    return 0;
}

static void try_connect(void *data)
{
    struct kmr_members *members = data;
    quorum_model_v1_data_t model = {
        .quorum_notify_fn = ignore_quorum,
        .nodelist_notify_fn = notify,
    };
    uint32_t type;

    members->timer = 0;
    if (quorum_model_initialize(&members->handle, QUORUM_MODEL_V1,
                                (quorum_model_data_t *)&model, &type,
                                members) != CS_OK) {
        retry(members);
        return;
    }
    if (quorum_trackstart(members->handle,
                          CS_TRACK_CURRENT | CS_TRACK_CHANGES) != CS_OK ||
        quorum_fd_get(members->handle, &members->fd) != CS_OK) {
        quorum_finalize(members->handle);
        members->fd = -1;
        retry(members);
        return;
    }
    qb_loop_poll_add(members->loop, QB_LOOP_HIGH, members->fd, POLLIN, members,
                     dispatch);
    quorum_dispatch(members->handle, CS_DISPATCH_ALL);
}

int kmr_members_start(qb_loop_t *loop, kmr_members_cb cb, void *user,
                      struct kmr_members **ret_members)
{
    struct kmr_members *members = calloc(1, sizeof(*members));

    if (!members) {
        return -ENOMEM;
    }
    members->loop = loop;
    members->cb = cb;
    members->user = user;
    members->fd = -1;
    *ret_members = members;
    try_connect(members);
    return 0;
}

void kmr_members_stop(struct kmr_members *members)
{
    if (!members) {
        return;
    }
    if (members->timer) {
        qb_loop_timer_del(members->loop, members->timer);
    }
    drop(members);
    free(members);
}

bool kmr_members_has(const struct kmr_members *members, uint32_t nodeid)
{
    for (unsigned i = 0; members && i < members->count; i++) {
        if (members->nodes[i] == nodeid) {
            return true;
        }
    }
    return false;
}
