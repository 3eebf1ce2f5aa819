/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_SHELL_FENCE_H
#define KMR_SHELL_FENCE_H

/* What shell_fence.c (another node is fenced) and shell_fenced.c (this one
 * is) share. */

#include "core/nodefence.h"
#include "io/members.h"
#include "shell.h"

#define KMR_ASKS_MAX 8 /* requests at a time */

/* A request of ours that somebody waits for. */
struct kmr_ask {
    struct kmr_shell *shell;
    struct kmr_ipc_client *client; /* NULL: free */
    char node[KMR_NODE_MAX];
    uint32_t nodeid;
    enum kmr_fence_action action;
    struct kmr_fencer fencer;
    qb_loop_timer_handle timer;
};

struct kmr_shell_fence {
    struct kmr_members *members;
    struct kmr_fenced fenced; /* this node */
    qb_loop_timer_handle timer, down_timer;
    struct kmr_ask asks[KMR_ASKS_MAX];
};

/* `target` is the node that is fenced, also in what it says itself. */
void kmr_fence_send(struct kmr_shell *shell, enum kmr_fence_step step,
                    const char *target, uint64_t boot, const char *id,
                    enum kmr_fence_action action, const char *reason);
/* REQUEST or GO for this node. */
void kmr_fence_ordered(struct kmr_shell *shell, const struct kmr_msg *msg);
/* A kemarid that starts: was this boot of the node fenced? 0 or -errno. */
int kmr_fence_resume(struct kmr_shell *shell);

#endif
