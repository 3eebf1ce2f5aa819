/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io/ipc_priv.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <qb/qbdefs.h>
#include <qb/qbipcc.h>
#include <qb/qbipcs.h>
#include <qb/qblog.h>

#define SLICE_MS 500

struct kmr_ipc {
    qb_loop_t *loop;
    qb_ipcs_service_t *service;
    kmr_ipc_cb cb;
    void (*closed)(const void *connection, void *user);
    void *user;
    unsigned clients;
};

struct kmr_ipc_client {
    qb_ipcs_connection_t *connection;
};

/* libqb's handlers carry no context of ours. */
static struct kmr_ipc *the_ipc;

static bool in_group(uid_t uid, gid_t gid)
{
    struct group *group = getgrnam(KMR_IPC_GROUP);
    struct passwd *user;
    gid_t wanted;

    if (!group) {
        return false;
    }
    wanted = group->gr_gid;
    if (gid == wanted) {
        return true;
    }
    user = getpwuid(uid);
    for (char **name = group->gr_mem; user && *name; name++) {
        if (strcmp(*name, user->pw_name) == 0) {
            return true;
        }
    }
    return false;
}

static int32_t on_accept(qb_ipcs_connection_t *connection, uid_t uid, gid_t gid)
{
    struct group *group;

    if (uid != 0 && !in_group(uid, gid)) {
        return -EACCES;
    }
    if (the_ipc->clients >= KMR_IPC_CLIENTS_MAX) {
        return -EAGAIN;
    }
    group = getgrnam(KMR_IPC_GROUP);
    qb_ipcs_connection_auth_set(connection, uid, group ? group->gr_gid : gid,
                                0660);
    return 0;
}

static void on_created(qb_ipcs_connection_t *connection)
{
    (void)connection;
    the_ipc->clients++;
}

static int32_t on_closed(qb_ipcs_connection_t *connection)
{
    the_ipc->clients--;
    if (the_ipc->closed) {
        the_ipc->closed(connection, the_ipc->user);
    }
    return 0;
}

static void on_destroyed(qb_ipcs_connection_t *connection)
{
    (void)connection;
}

static int split(const struct kmr_ipc_request *request, size_t len,
                 const char **ret_words)
{
    size_t at = 0;
    int count = 0;

    if (request->version != KMR_IPC_VERSION ||
        request->words > KMR_IPC_WORDS_MAX) {
        return -EPROTO;
    }
    while (at < len) {
        size_t word = strnlen(request->text + at, len - at);

        if (word == len - at || count == KMR_IPC_WORDS_MAX) {
            return -EPROTO; /* not ended by a NUL, or too many */
        }
        ret_words[count++] = request->text + at;
        at += word + 1;
    }
    return (uint32_t)count == request->words ? count : -EPROTO;
}

static int32_t on_message(qb_ipcs_connection_t *connection, void *data,
                          size_t size)
{
    struct kmr_ipc_request *request = data;
    const char *words[KMR_IPC_WORDS_MAX];
    struct kmr_ipc_client *client;
    int count = -EPROTO;

    if (size >= sizeof(*request) && request->header.size >= 0 &&
        (size_t)request->header.size <= size &&
        (size_t)request->header.size >= sizeof(*request)) {
        count = split(request, (size_t)request->header.size - sizeof(*request),
                      words);
    }
    client = calloc(1, sizeof(*client));
    if (!client) {
        return -ENOMEM;
    }
    client->connection = connection;
    qb_ipcs_connection_ref(connection);
    if (count < 0) {
        kmr_ipc_reply(client, 2, "", "request of another version, or broken");
        return 0;
    }
    the_ipc->cb(client, count, words, the_ipc->user);
    return 0;
}

const void *kmr_ipc_connection(const struct kmr_ipc_client *client)
{
    return client->connection;
}

int kmr_ipc_pid(const struct kmr_ipc_client *client)
{
    struct qb_ipcs_connection_stats stats;

    return qb_ipcs_connection_stats_get(client->connection, &stats, 0) == 0
               ? stats.client_pid
               : 0;
}

void kmr_ipc_on_closed(struct kmr_ipc *ipc,
                       void (*closed)(const void *connection, void *user))
{
    ipc->closed = closed;
}

void kmr_ipc_reply(struct kmr_ipc_client *client, int code, const char *out,
                   const char *err)
{
    size_t err_len = strlen(err);
    size_t out_len = strlen(out);
    struct kmr_ipc_answer *answer;
    size_t size;

    if (err_len > 4096) {
        err_len = 4096;
    }
    if (out_len > KMR_IPC_MAX - sizeof(*answer) - err_len - 64) {
        out_len = KMR_IPC_MAX - sizeof(*answer) - err_len - 64;
    }
    size = sizeof(*answer) + out_len + err_len + 2;
    answer = calloc(1, size);
    if (answer) {
        answer->header.size = (int32_t)size;
        answer->version = KMR_IPC_VERSION;
        answer->code = code;
        answer->out_len = (uint32_t)out_len;
        answer->err_len = (uint32_t)err_len;
        memcpy(answer->text, out, out_len);
        memcpy(answer->text + out_len + 1, err, err_len);
        if (qb_ipcs_response_send(client->connection, answer, size) < 0) {
            qb_log(LOG_DEBUG, "a client did not wait for its answer");
        }
        free(answer);
    }
    qb_ipcs_connection_unref(client->connection);
    free(client);
}

static int32_t job_add(enum qb_loop_priority p, void *data,
                       qb_loop_job_dispatch_fn fn)
{
    return qb_loop_job_add(the_ipc->loop, p, data, fn);
}

static int32_t dispatch_add(enum qb_loop_priority p, int32_t fd, int32_t events,
                            void *data, qb_ipcs_dispatch_fn_t fn)
{
    return qb_loop_poll_add(the_ipc->loop, p, fd, events, data, fn);
}

static int32_t dispatch_mod(enum qb_loop_priority p, int32_t fd, int32_t events,
                            void *data, qb_ipcs_dispatch_fn_t fn)
{
    return qb_loop_poll_mod(the_ipc->loop, p, fd, events, data, fn);
}

static int32_t dispatch_del(int32_t fd)
{
    return qb_loop_poll_del(the_ipc->loop, fd);
}

int kmr_ipc_start(qb_loop_t *loop, kmr_ipc_cb cb, void *user,
                  struct kmr_ipc **ret_ipc)
{
    struct qb_ipcs_service_handlers handlers = {
        .connection_accept = on_accept,
        .connection_created = on_created,
        .msg_process = on_message,
        .connection_closed = on_closed,
        .connection_destroyed = on_destroyed,
    };
    struct qb_ipcs_poll_handlers poll = {
        .job_add = job_add,
        .dispatch_add = dispatch_add,
        .dispatch_mod = dispatch_mod,
        .dispatch_del = dispatch_del,
    };
    struct kmr_ipc *ipc = calloc(1, sizeof(*ipc));
    int err;

    if (!ipc) {
        return -ENOMEM;
    }
    ipc->loop = loop;
    ipc->cb = cb;
    ipc->user = user;
    ipc->service = qb_ipcs_create(KMR_IPC_NAME, 0, QB_IPC_SHM, &handlers);
    if (!ipc->service) {
        free(ipc);
        return -ENOMEM;
    }
    the_ipc = ipc;
    qb_ipcs_enforce_buffer_size(ipc->service, KMR_IPC_MAX);
    qb_ipcs_poll_handlers_set(ipc->service, &poll);
    err = qb_ipcs_run(ipc->service);
    if (err < 0) {
        the_ipc = NULL;
        free(ipc);
        return err;
    }
    *ret_ipc = ipc;
    return 0;
}

void kmr_ipc_stop(struct kmr_ipc *ipc)
{
    if (ipc) {
        qb_ipcs_destroy(ipc->service);
        the_ipc = NULL;
        free(ipc);
    }
}

/* libqb looks only when its time is up whether the other end still lives. */
static ssize_t receive(qb_ipcc_connection_t *connection,
                       struct kmr_ipc_answer *answer, int timeout_ms)
{
    ssize_t got;

    do {
        int slice_ms = timeout_ms < SLICE_MS ? timeout_ms : SLICE_MS;

        got = qb_ipcc_recv(connection, answer, KMR_IPC_MAX, slice_ms);
        timeout_ms -= slice_ms;
    } while ((got == -EAGAIN || got == -ETIMEDOUT) && timeout_ms > 0);
    return got;
}

/* A kemarid that is stopped has a socket all the same. */
static qb_ipcc_connection_t *connect_within(int timeout_ms)
{
    struct pollfd door = { .events = POLLIN };
    qb_ipcc_connection_t *connection =
        qb_ipcc_connect_async(KMR_IPC_NAME, KMR_IPC_MAX, &door.fd);
    int err;

    if (!connection) {
        return NULL;
    }
    if (poll(&door, 1, timeout_ms) <= 0) {
        qb_ipcc_disconnect(connection);
        errno = ETIMEDOUT;
        return NULL;
    }
    err = qb_ipcc_connect_continue(connection); /* frees it if it fails */
    if (err) {
        errno = -err;
        return NULL;
    }
    return connection;
}

struct kmr_ipc_door {
    qb_ipcc_connection_t *connection;
    struct kmr_ipc_answer *answer; /* KMR_IPC_MAX + 1 */
};

int kmr_ipc_open(int timeout_ms, struct kmr_ipc_door **ret_door)
{
    struct kmr_ipc_door *door = calloc(1, sizeof(*door));

    if (!door) {
        return -ENOMEM;
    }
    door->answer = calloc(1, KMR_IPC_MAX + 1);
    if (!door->answer) {
        free(door);
        return -ENOMEM;
    }
    door->connection = connect_within(timeout_ms);
    if (!door->connection) {
        int err = errno == EACCES || errno == ETIMEDOUT ? -errno : -ENOTCONN;

        free(door->answer);
        free(door);
        return err;
    }
    *ret_door = door;
    return 0;
}

int kmr_ipc_ask(struct kmr_ipc_door *door, int argc, const char *const *argv,
                int timeout_ms, char **ret_out, char **ret_err)
{
    struct kmr_ipc_request *request = kmr_ipc_pack(argc, argv);
    const struct kmr_ipc_answer *answer = door->answer;
    ssize_t got;

    if (!request) {
        return -E2BIG;
    }
    got = qb_ipcc_send(door->connection, request, (size_t)request->header.size);
    free(request);
    if (got >= 0) {
        got = receive(door->connection, door->answer, timeout_ms);
    }
    if (got < 0) {
        return got == -EAGAIN ? -ETIMEDOUT : (int)got;
    }
    if ((size_t)got < sizeof(*answer) || answer->version != KMR_IPC_VERSION ||
        (uint64_t)answer->out_len + answer->err_len + 2 >
            (size_t)got - sizeof(*answer)) {
        return -EPROTO;
    }
    *ret_out = strndup(answer->text, answer->out_len);
    *ret_err = strndup(answer->text + answer->out_len + 1, answer->err_len);
    return answer->code;
}

void kmr_ipc_close(struct kmr_ipc_door *door)
{
    if (door) {
        qb_ipcc_disconnect(door->connection);
        free(door->answer);
        free(door);
    }
}

int kmr_ipc_call(int argc, const char *const *argv, int timeout_ms,
                 char **ret_out, char **ret_err)
{
    struct kmr_ipc_door *door;
    int code = kmr_ipc_open(timeout_ms, &door);

    if (code == 0) {
        code = kmr_ipc_ask(door, argc, argv, timeout_ms, ret_out, ret_err);
        kmr_ipc_close(door);
    }
    return code;
}
