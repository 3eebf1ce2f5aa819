/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client's side of ipc.h. */
#include "ipc.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <qb/qbipcc.h>

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int left_ms(uint64_t end)
{
    uint64_t now = now_ms();

    return now >= end ? 0 : (int)(end - now);
}

/* qb_ipcc_connect() waits for ever when the server hangs; this doesn't. */
static int connect_until(const char *name, uint64_t end,
                         qb_ipcc_connection_t **ret_conn)
{
    struct pollfd pfd = { .events = POLLIN };
    qb_ipcc_connection_t *conn;
    uid_t uid;
    gid_t gid;
    pid_t pid;
    int err;

    conn = qb_ipcc_connect_async(name, KMR_IPC_BUFFER, &pfd.fd);
    if (!conn) {
        err = -errno;
        return err == -ENOENT || err == -ENOTCONN || err == 0 ? -ECONNREFUSED
                                                              : err;
    }
    err = poll(&pfd, 1, left_ms(end));
    if (err <= 0) {
        /* libqb has no way to give up a half-made connection but its end */
        return err < 0 ? -errno : -ETIMEDOUT;
    }
    err = qb_ipcc_connect_continue(conn); /* frees it when it fails */
    if (err != 0) {
        return err < 0 ? err : -ECONNREFUSED;
    }
    /* whoever listens there has to be root: the name is anyone's to take */
    if (qb_ipcc_auth_get(conn, &pid, &uid, &gid) == 0 && uid != 0 &&
        uid != geteuid()) {
        qb_ipcc_disconnect(conn);
        return -EACCES;
    }
    *ret_conn = conn;
    return 0;
}

static int send_until(qb_ipcc_connection_t *conn, const char *text, size_t len,
                      uint64_t end)
{
    struct qb_ipc_request_header qb = { .id = 1 };
    struct kmr_ipc_head head = { .version = KMR_IPC_VERSION,
                                 .len = (uint32_t)len };
    struct iovec iov[3] = {
        { &qb, sizeof(qb) },
        { &head, sizeof(head) },
        { (void *)(uintptr_t)text, len },
    };
    ssize_t n;

    qb.size = (int32_t)(sizeof(qb) + sizeof(head) + len);
    while ((n = qb_ipcc_sendv(conn, iov, len ? 3 : 2)) == -EAGAIN) {
        if (left_ms(end) == 0) {
            return -ETIMEDOUT;
        }
        poll(NULL, 0, 5);
    }
    return n < 0 ? (int)n : 0;
}

static int receive_until(qb_ipcc_connection_t *conn, uint64_t end,
                         int32_t *ret_status, char **ret_text, size_t *ret_len)
{
    struct qb_ipc_response_header qb;
    struct kmr_ipc_head head;
    char *buf = malloc(KMR_IPC_BUFFER + 1);
    size_t fixed = sizeof(qb) + sizeof(head);
    ssize_t n;

    if (!buf) {
        return -ENOMEM;
    }
    do {
        n = qb_ipcc_recv(conn, buf, KMR_IPC_BUFFER, left_ms(end));
    } while ((n == -EAGAIN || n == -EINTR) && left_ms(end) > 0);
    if (n == -EAGAIN || n == -EINTR) {
        n = -ETIMEDOUT;
    } else if (n >= 0 && (size_t)n < fixed) {
        n = -EPROTO;
    }
    if (n < 0) {
        free(buf);
        return (int)n;
    }
    memcpy(&head, buf + sizeof(qb), sizeof(head));
    if (head.version != KMR_IPC_VERSION || head.status == -EPROTO ||
        head.len != (size_t)n - fixed) {
        free(buf);
        return -EPROTO;
    }
    memmove(buf, buf + fixed, head.len);
    buf[head.len] = '\0';
    *ret_status = head.status;
    *ret_text = buf;
    *ret_len = head.len;
    return 0;
}

int kmr_ipc_request(const char *name, const char *text, size_t len,
                    unsigned timeout_ms, int32_t *ret_status, char **ret_text,
                    size_t *ret_len)
{
    uint64_t end = now_ms() + timeout_ms;
    qb_ipcc_connection_t *conn = NULL;
    int err;

    if (len > KMR_IPC_TEXT_MAX) {
        return -E2BIG;
    }
    err = connect_until(name ? name : KMR_IPC_NAME, end, &conn);
    if (err < 0) {
        return err;
    }
    err = send_until(conn, text, len, end);
    if (err == 0) {
        err = receive_until(conn, end, ret_status, ret_text, ret_len);
    }
    qb_ipcc_disconnect(conn);
    return err;
}
