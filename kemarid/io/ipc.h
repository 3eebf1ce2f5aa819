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

/* Also when the other side has gone; texts are cut off to what fits. */
void kmr_ipc_reply(struct kmr_ipc_client *client, int code, const char *out,
                   const char *err);

/* The other end, blocking: code (>= 0), or -ENOTCONN (no kemarid), or another
 * -errno. Free the texts. */
int kmr_ipc_call(int argc, const char *const *argv, int timeout_ms,
                 char **ret_out, char **ret_err);

#endif
