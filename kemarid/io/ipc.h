/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_IPC_H
#define KMR_IO_IPC_H

/*
 * kemarictl's way to kemarid: a list of words there, a code and two texts
 * back. Only root and the group haclient are let in.
 */

#include <stdint.h>

#include <qb/qbloop.h>

#define KMR_IPC_NAME "kemarid"
#define KMR_IPC_VERSION 1
#define KMR_IPC_MAX (512 * 1024) /* bytes of a request or an answer */
#define KMR_IPC_WORDS_MAX 64
#define KMR_IPC_CLIENTS_MAX 64
#define KMR_IPC_GROUP "haclient"

struct kmr_ipc;
struct kmr_ipc_client;

/* `client` is valid until kmr_ipc_reply(), which has to come once. */
typedef void (*kmr_ipc_cb)(struct kmr_ipc_client *client, int argc,
                           const char *const *argv, void *user);

int kmr_ipc_start(qb_loop_t *loop, kmr_ipc_cb cb, void *user,
                  struct kmr_ipc **ret_ipc);
void kmr_ipc_stop(struct kmr_ipc *ipc); /* NULL is allowed */

/* Who asks: the same for all requests of one connection. */
const void *kmr_ipc_connection(const struct kmr_ipc_client *client);
int kmr_ipc_pid(const struct kmr_ipc_client *client); /* 0: unknown */
/* Told when a connection ends. */
void kmr_ipc_on_closed(struct kmr_ipc *ipc,
                       void (*closed)(const void *connection, void *user));

/* Also when the other side has gone; texts are cut off to what fits. */
void kmr_ipc_reply(struct kmr_ipc_client *client, int code, const char *out,
                   const char *err);

/*
 * The other end, blocking. One connection for several questions: 0, or
 * -ENOTCONN (no kemarid), -ETIMEDOUT, -EACCES.
 */
struct kmr_ipc_door;
int kmr_ipc_open(int timeout_ms, struct kmr_ipc_door **ret_door);
/* code (>= 0) or -errno. Free the texts. */
int kmr_ipc_ask(struct kmr_ipc_door *door, int argc, const char *const *argv,
                int timeout_ms, char **ret_out, char **ret_err);
void kmr_ipc_close(struct kmr_ipc_door *door); /* NULL is allowed */

/* All of it for one question. */
int kmr_ipc_call(int argc, const char *const *argv, int timeout_ms,
                 char **ret_out, char **ret_err);

#endif
