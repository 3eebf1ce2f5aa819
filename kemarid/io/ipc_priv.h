/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_IPC_PRIV_H
#define KMR_IO_IPC_PRIV_H

/* What goes over the wire: shared by ipc.c and ipc_stay.c. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <qb/qbipc_common.h>

#include "io/ipc.h"

/* Both ends are on one machine: native numbers, but versioned. */
struct kmr_ipc_request {
    struct qb_ipc_request_header header;
    uint32_t version;
    uint32_t words;
    char text[];
};

struct kmr_ipc_answer {
    struct qb_ipc_response_header header;
    uint32_t version;
    int32_t code;
    uint32_t out_len, err_len; /* each followed by a NUL */
    char text[];
};

/* The words as a request, for free(); NULL: too many, or no memory. */
static inline struct kmr_ipc_request *kmr_ipc_pack(int argc,
                                                   const char *const *argv)
{
    struct kmr_ipc_request *request;
    size_t size = sizeof(*request);
    size_t at = 0;

    for (int i = 0; i < argc; i++) {
        size += strlen(argv[i]) + 1;
    }
    if (argc > KMR_IPC_WORDS_MAX || size > KMR_IPC_MAX / 2) {
        return NULL;
    }
    request = calloc(1, size);
    if (!request) {
        return NULL;
    }
    request->header.size = (int32_t)size;
    request->version = KMR_IPC_VERSION;
    request->words = (uint32_t)argc;
    for (int i = 0; i < argc; i++) {
        size_t len = strlen(argv[i]) + 1;

        memcpy(request->text + at, argv[i], len);
        at += len;
    }
    return request;
}

#endif
