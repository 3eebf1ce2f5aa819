/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands in for kemarid in test_kemarictl.sh: answers by what it is asked,
 * and says which words it got. */
#include <stdio.h>
#include <string.h>

#include <qb/qbloop.h>

#include "io/ipc.h"

static const char status[] =
    "{\"node\":\"node1\",\"quorate\":true,\"pairs\":[{\"name\":\"vm0\","
    "\"state\":\"syncing\",\"progress\":40,\"reason\":\"a <b> & c\","
    "\"generation\":7,\"primary\":{\"node\":\"node1\",\"instance\":\"i1\"},"
    "\"standby\":null,\"checkpoints\":12,\"lag_ms\":3,"
    "\"freeze_us\":{\"p50\":1,\"p95\":2,\"p99\":3,\"max\":4}}]}";
static const char events[] =
    "[{\"time\":\"2026-11-21T06:00:00.000001Z\",\"node\":\"node1\","
    "\"vm\":\"vm0\",\"from\":\"SOLO\",\"to\":\"SYNCING\",\"reason\":\"x\"}]";

static void on_request(struct kmr_ipc_client *client, int argc,
                       const char *const *argv, void *user)
{
    char words[1024] = "";

    (void)user;
    for (int i = 0; i < argc; i++) {
        size_t used = strlen(words);

        snprintf(words + used, sizeof(words) - used, "[%s]", argv[i]);
    }
    if (argc > 1 && strcmp(argv[1], "never") == 0) {
        return; /* the caller waits */
    }
    if (argc > 0 && strcmp(argv[0], "status") == 0) {
        kmr_ipc_reply(client, 0, status, "");
    } else if (argc > 0 && strcmp(argv[0], "events") == 0) {
        kmr_ipc_reply(client, 0, events, "");
    } else if (argc > 0 && strcmp(argv[0], "resource") == 0) {
        kmr_ipc_reply(client, 8, "", words);
    } else {
        kmr_ipc_reply(client, 1, words, "it failed");
    }
}

int main(void)
{
    qb_loop_t *loop = qb_loop_create();
    struct kmr_ipc *ipc;

    if (kmr_ipc_start(loop, on_request, NULL, &ipc) < 0) {
        return 1;
    }
    puts("ready");
    fflush(stdout);
    qb_loop_run(loop);
    return 0;
}
