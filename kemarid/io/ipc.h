/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_IPC_H
#define KMR_IO_IPC_H

/*
 * kemarid's door, by libqb IPC: for kemarictl, the agent, kemari-mced and
 * fence_kemari. Root and group haclient only. Requests and answers are texts
 * (lines or JSON, the caller's business) with a version and a checked length.
 * An answer may come much later, from another callback; a client that went
 * away meanwhile is no error.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <qb/qbloop.h>

#define KMR_IPC_NAME "kemarid"
#define KMR_IPC_VERSION 1u
#define KMR_IPC_TEXT_MAX (1024u * 1024 - 4096) /* of a request, an answer */
#define KMR_IPC_CLIENTS_MAX 256
#define KMR_IPC_GROUP "haclient"

struct kmr_ipc;
struct kmr_ipc_call; /* one request that wants an answer */

/*
 * A request. It must be answered exactly once: kmr_ipc_answer() takes `call`.
 * `text` is NUL-terminated and valid during the callback.
 */
typedef void (*kmr_ipc_cb)(struct kmr_ipc_call *call, const char *text,
                           size_t len, void *user);

/* `name` NULL: KMR_IPC_NAME. 0 or -errno (-EADDRINUSE: another kemarid). */
int kmr_ipc_start(qb_loop_t *loop, const char *name, kmr_ipc_cb cb, void *user,
                  struct kmr_ipc **ret_ipc);

/* Calls not answered yet stay valid (their answers go nowhere). */
void kmr_ipc_stop(struct kmr_ipc *ipc);

/* Frees `call`. `status`: the client's exit code, say. Returns 0, -ENOTCONN
 * (the client is gone) or -E2BIG (the client gets an empty text with 1). */
int kmr_ipc_answer(struct kmr_ipc_call *call, int32_t status, const char *text,
                   size_t len);

/* The client still waits. */
bool kmr_ipc_call_alive(const struct kmr_ipc_call *call);

/* ---- the client's side; blocks, no loop ---- */

/*
 * One request and its answer. `timeout_ms` for the whole of it. Returns 0,
 * -ECONNREFUSED (no kemarid), -EACCES, -ETIMEDOUT, -EPROTO (another version),
 * -E2BIG or another -errno. free() *ret_text (NUL-terminated).
 */
int kmr_ipc_request(const char *name, const char *text, size_t len,
                    unsigned timeout_ms, int32_t *ret_status, char **ret_text,
                    size_t *ret_len);

#endif
