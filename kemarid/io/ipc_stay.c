/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io/ipc_stay.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>

#include <qb/qbdefs.h>
#include <qb/qbipcc.h>
#include <qb/qblog.h>

#include "io/ipc_priv.h"

/* libqb has no descriptor for an answer: it is looked for. */
#define LOOK_FIRST_MS 1u
#define LOOK_MAX_MS 50u

struct kmr_ipc_stay {
    qb_loop_t *loop;
    const struct kmr_ipc_stay_ops *ops;
    void *user;
    qb_ipcc_connection_t *connection;
    int fd; /* in the loop; -1: not */
    bool up;
    unsigned backoff_ms;
    qb_loop_timer_handle retry, look;
    unsigned ahead;
    unsigned look_ms, waited_ms;
    struct kmr_ipc_answer *answer;
};

static void retry_later(struct kmr_ipc_stay *stay);

static void unwatch(struct kmr_ipc_stay *stay)
{
    if (stay->fd >= 0) {
        qb_loop_poll_del(stay->loop, stay->fd);
        stay->fd = -1;
    }
    if (stay->look) {
        qb_loop_timer_del(stay->loop, stay->look);
        stay->look = 0;
    }
}

static void broke(struct kmr_ipc_stay *stay)
{
    bool was_up = stay->up;

    unwatch(stay);
    stay->up = false;
    stay->ahead = 0;
    if (stay->connection) {
        qb_ipcc_disconnect(stay->connection);
        stay->connection = NULL;
    }
    retry_later(stay);
    if (was_up) {
        stay->ops->down(stay->user);
    }
}

/* One answer, if there is one. */
static bool look_once(struct kmr_ipc_stay *stay)
{
    struct kmr_ipc_answer *answer = stay->answer;
    ssize_t got = qb_ipcc_recv(stay->connection, answer, KMR_IPC_MAX, 0);

    if (got == -EAGAIN || got == -ETIMEDOUT) {
        return false;
    }
    if (got < (ssize_t)sizeof(*answer) || answer->version != KMR_IPC_VERSION ||
        (uint64_t)answer->out_len + answer->err_len + 2 >
            (size_t)got - sizeof(*answer)) {
        broke(stay);
        return false;
    }
    stay->ahead--;
    stay->waited_ms = 0;
    answer->text[answer->out_len + 1 + answer->err_len] = '\0';
    stay->ops->answer(answer->code, answer->text + answer->out_len + 1,
                      stay->user);
    return true;
}

static void on_look(void *data)
{
    struct kmr_ipc_stay *stay = data;

    stay->look = 0;
    stay->waited_ms += stay->look_ms;
    while (stay->up && stay->ahead > 0 && look_once(stay)) {
    }
    if (!stay->up || stay->ahead == 0 || stay->look) {
        return;
    }
    if (stay->waited_ms >= KMR_IPC_STAY_ANSWER_MS) {
        qb_log(LOG_WARNING, "kemarid does not answer");
        broke(stay);
        return;
    }
    stay->look_ms =
        2 * stay->look_ms < LOOK_MAX_MS ? 2 * stay->look_ms : LOOK_MAX_MS;
    qb_loop_timer_add(stay->loop, QB_LOOP_MED,
                      stay->look_ms * QB_TIME_NS_IN_MSEC, stay, on_look,
                      &stay->look);
}

/* Nothing is ever sent to us unasked: it is the end of kemarid. */
static int32_t on_end(int32_t fd, int32_t events, void *data)
{
    struct kmr_ipc_stay *stay = data;

    (void)fd;
    (void)events;
    broke(stay);
    return -1;
}

static int32_t on_door(int32_t fd, int32_t events, void *data)
{
    struct kmr_ipc_stay *stay = data;
    int err;

    (void)fd;
    (void)events;
    unwatch(stay);
    err = qb_ipcc_connect_continue(stay->connection); /* frees, if it fails */
    if (err) {
        stay->connection = NULL;
        retry_later(stay);
        return -1;
    }
    stay->up = true;
    stay->backoff_ms = KMR_IPC_STAY_BACKOFF_MIN_MS;
    if (qb_ipcc_fd_get(stay->connection, &stay->fd) != 0 ||
        qb_loop_poll_add(stay->loop, QB_LOOP_MED, stay->fd, POLLIN, stay,
                         on_end) != 0) {
        stay->fd = -1;
        broke(stay);
        return -1;
    }
    stay->ops->up(stay->user);
    return -1;
}

static void on_retry(void *data)
{
    struct kmr_ipc_stay *stay = data;

    stay->retry = 0;
    stay->connection =
        qb_ipcc_connect_async(KMR_IPC_NAME, KMR_IPC_MAX, &stay->fd);
    if (!stay->connection) {
        stay->fd = -1;
        retry_later(stay);
        return;
    }
    if (qb_loop_poll_add(stay->loop, QB_LOOP_MED, stay->fd, POLLIN, stay,
                         on_door) != 0) {
        stay->fd = -1;
        broke(stay);
    }
}

static void retry_later(struct kmr_ipc_stay *stay)
{
    if (stay->retry) {
        return;
    }
    qb_loop_timer_add(stay->loop, QB_LOOP_LOW,
                      stay->backoff_ms * QB_TIME_NS_IN_MSEC, stay, on_retry,
                      &stay->retry);
    stay->backoff_ms *= 2;
    if (stay->backoff_ms > KMR_IPC_STAY_BACKOFF_MAX_MS) {
        stay->backoff_ms = KMR_IPC_STAY_BACKOFF_MAX_MS;
    }
}

int kmr_ipc_stay_start(qb_loop_t *loop, const struct kmr_ipc_stay_ops *ops,
                       void *user, struct kmr_ipc_stay **ret_stay)
{
    struct kmr_ipc_stay *stay = calloc(1, sizeof(*stay));

    if (!stay || !(stay->answer = malloc(KMR_IPC_MAX + 1))) {
        free(stay);
        return -ENOMEM;
    }
    stay->loop = loop;
    stay->ops = ops;
    stay->user = user;
    stay->fd = -1;
    stay->backoff_ms = KMR_IPC_STAY_BACKOFF_MIN_MS;
    on_retry(stay);
    *ret_stay = stay;
    return 0;
}

void kmr_ipc_stay_stop(struct kmr_ipc_stay *stay)
{
    if (!stay) {
        return;
    }
    unwatch(stay);
    if (stay->retry) {
        qb_loop_timer_del(stay->loop, stay->retry);
    }
    if (stay->connection) {
        qb_ipcc_disconnect(stay->connection);
    }
    free(stay->answer);
    free(stay);
}

int kmr_ipc_stay_send(struct kmr_ipc_stay *stay, int argc,
                      const char *const *argv)
{
    struct kmr_ipc_request *request;
    ssize_t sent;

    if (!stay->up) {
        return -ENOTCONN;
    }
    if (stay->ahead >= KMR_IPC_STAY_AHEAD) {
        return -EAGAIN;
    }
    request = kmr_ipc_pack(argc, argv);
    if (!request) {
        return -E2BIG;
    }
    sent =
        qb_ipcc_send(stay->connection, request, (size_t)request->header.size);
    free(request);
    if (sent < 0) {
        return (int)sent; /* the ring is full, or its end will be seen */
    }
    stay->ahead++;
    if (!stay->look) {
        stay->look_ms = LOOK_FIRST_MS;
        stay->waited_ms = 0;
        qb_loop_timer_add(stay->loop, QB_LOOP_MED,
                          LOOK_FIRST_MS * QB_TIME_NS_IN_MSEC, stay, on_look,
                          &stay->look);
    }
    return 0;
}
