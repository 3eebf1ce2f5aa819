/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io/cpg.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <corosync/cpg.h>
#include <qb/qbdefs.h>
#include <qb/qblog.h>

struct item {
    struct item *next;
    size_t len;
    uint8_t data[];
};

struct kmr_cpg {
    qb_loop_t *loop;
    struct kmr_cpg_ops ops;
    void *user;
    struct cpg_name group;
    cpg_handle_t handle;
    int fd; /* -1: not connected */
    qb_loop_timer_handle timer, flush_timer;
    struct item *first, **last;
    unsigned waiting;
};

static void try_connect(void *data);
static void flush(void *data);

static struct kmr_cpg *context(cpg_handle_t handle)
{
    void *cpg = NULL;

    return cpg_context_get(handle, &cpg) == CS_OK ? cpg : NULL;
}

static void deliver(cpg_handle_t handle, const struct cpg_name *group,
                    uint32_t nodeid, uint32_t pid, void *msg, size_t len)
{
    struct kmr_cpg *cpg = context(handle);

    (void)group;
    (void)pid;
    if (cpg) {
        cpg->ops.message(nodeid, msg, len, cpg->user);
    }
}

static void confchg(cpg_handle_t handle, const struct cpg_name *group,
                    const struct cpg_address *members, size_t count,
                    const struct cpg_address *left, size_t left_count,
                    const struct cpg_address *joined, size_t joined_count)
{
    struct kmr_cpg *cpg = context(handle);
    uint32_t nodeids[KMR_CPG_NODES_MAX];
    unsigned n = 0;

    (void)group;
    (void)left;
    (void)left_count;
    (void)joined;
    (void)joined_count;
    if (!cpg) {
        return;
    }
    for (size_t i = 0; i < count && n < KMR_CPG_NODES_MAX; i++) {
        nodeids[n++] = members[i].nodeid;
    }
    cpg->ops.members(nodeids, n, cpg->user);
}

static void drop_queue(struct kmr_cpg *cpg)
{
    while (cpg->first) {
        struct item *item = cpg->first;

        cpg->first = item->next;
        free(item);
    }
    cpg->last = &cpg->first;
    cpg->waiting = 0;
}

static void disconnect(struct kmr_cpg *cpg)
{
    if (cpg->fd >= 0) {
        qb_loop_poll_del(cpg->loop, cpg->fd);
        cpg->fd = -1;
        cpg_finalize(cpg->handle);
    }
    drop_queue(cpg);
}

static void retry(struct kmr_cpg *cpg)
{
    qb_loop_timer_add(cpg->loop, QB_LOOP_MED,
                      KMR_CPG_RETRY_MS * QB_TIME_NS_IN_MSEC, cpg, try_connect,
                      &cpg->timer);
}

static int32_t dispatch(int32_t fd, int32_t revents, void *data)
{
    struct kmr_cpg *cpg = data;

    (void)fd;
    if ((revents & (POLLERR | POLLHUP | POLLNVAL)) ||
        cpg_dispatch(cpg->handle, CS_DISPATCH_ALL) != CS_OK) {
        disconnect(cpg);
        cpg->ops.connected(false, 0, cpg->user);
        retry(cpg);
    }
    return 0;
}

static void try_connect(void *data)
{
    struct kmr_cpg *cpg = data;
    cpg_model_v1_data_t model = {
        .cpg_deliver_fn = deliver,
        .cpg_confchg_fn = confchg,
    };
    uint32_t nodeid = 0;

    cpg->timer = 0;
    if (cpg_model_initialize(&cpg->handle, CPG_MODEL_V1,
                             (cpg_model_data_t *)&model, cpg) != CS_OK) {
        retry(cpg);
        return;
    }
    if (cpg_join(cpg->handle, &cpg->group) != CS_OK ||
        cpg_local_get(cpg->handle, &nodeid) != CS_OK ||
        cpg_fd_get(cpg->handle, &cpg->fd) != CS_OK) {
        cpg_finalize(cpg->handle);
        cpg->fd = -1;
        retry(cpg);
        return;
    }
    qb_loop_poll_add(cpg->loop, QB_LOOP_HIGH, cpg->fd, POLLIN, cpg, dispatch);
    cpg->ops.connected(true, nodeid, cpg->user);
}

int kmr_cpg_start(qb_loop_t *loop, const char *group,
                  const struct kmr_cpg_ops *ops, void *user,
                  struct kmr_cpg **ret_cpg)
{
    struct kmr_cpg *cpg = calloc(1, sizeof(*cpg));

    if (!cpg) {
        return -ENOMEM;
    }
    cpg->loop = loop;
    cpg->ops = *ops;
    cpg->user = user;
    cpg->fd = -1;
    cpg->last = &cpg->first;
    cpg->group.length =
        (uint32_t)snprintf(cpg->group.value, sizeof(cpg->group.value), "%s",
                           group);
    *ret_cpg = cpg;
    try_connect(cpg);
    return 0;
}

void kmr_cpg_stop(struct kmr_cpg *cpg)
{
    if (!cpg) {
        return;
    }
    if (cpg->timer) {
        qb_loop_timer_del(cpg->loop, cpg->timer);
    }
    if (cpg->flush_timer) {
        qb_loop_timer_del(cpg->loop, cpg->flush_timer);
    }
    disconnect(cpg);
    free(cpg);
}

static cs_error_t mcast(struct kmr_cpg *cpg, const uint8_t *buf, size_t len)
{
    struct iovec iov = { (void *)(uintptr_t)buf, len };

    return cpg_mcast_joined(cpg->handle, CPG_TYPE_AGREED, &iov, 1);
}

static void flush(void *data)
{
    struct kmr_cpg *cpg = data;

    cpg->flush_timer = 0;
    while (cpg->first) {
        struct item *item = cpg->first;
        cs_error_t err = mcast(cpg, item->data, item->len);

        if (err == CS_ERR_TRY_AGAIN) {
            qb_loop_timer_add(cpg->loop, QB_LOOP_HIGH,
                              KMR_CPG_FLUSH_MS * QB_TIME_NS_IN_MSEC, cpg, flush,
                              &cpg->flush_timer);
            return;
        }
        cpg->first = item->next;
        if (!cpg->first) {
            cpg->last = &cpg->first;
        }
        cpg->waiting--;
        free(item);
    }
}

int kmr_cpg_send(struct kmr_cpg *cpg, const uint8_t *buf, size_t len)
{
    struct item *item;

    if (cpg->fd < 0) {
        return -ENOTCONN;
    }
    if (!cpg->first) {
        cs_error_t err = mcast(cpg, buf, len);

        if (err != CS_ERR_TRY_AGAIN) {
            return err == CS_OK ? 0 : -ENOTCONN;
        }
    }
    if (cpg->waiting >= KMR_CPG_QUEUE_MAX) {
        return -ENOBUFS;
    }
    item = malloc(sizeof(*item) + len);
    if (!item) {
        return -ENOMEM;
    }
    item->next = NULL;
    item->len = len;
    memcpy(item->data, buf, len);
    *cpg->last = item;
    cpg->last = &item->next;
    cpg->waiting++;
    if (!cpg->flush_timer) {
        qb_loop_timer_add(cpg->loop, QB_LOOP_HIGH,
                          KMR_CPG_FLUSH_MS * QB_TIME_NS_IN_MSEC, cpg, flush,
                          &cpg->flush_timer);
    }
    return 0;
}
