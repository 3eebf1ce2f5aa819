/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_SHELL_HEALTH_H
#define KMR_SHELL_HEALTH_H

/* What shell_health.c and shell_hardware.c share. */

#include "core/health.h"
#include "io/attrwatch.h"
#include "shell.h"

struct kmr_shell_health {
    struct kmr_health core;
    struct kmr_node_health own;
    struct kmr_node_health *nodes[KMR_CPG_NODES_MAX]; /* as shell->nodes */
    const void *connection; /* kemari-mced's; NULL: none */
    int pid;                /* its last one's */
    enum kmr_colour told;   /* the colour that everybody knows */
    struct kmr_attrwatch *attrd;
    qb_loop_timer_handle timer, send;
    bool waits, looking; /* a look is due; is under way */
    uint64_t decided_us; /* when the last look had decided */
};

/* An entry of `kemarictl events`; `vm` "": of the node. */
void kmr_shell_health_event(struct kmr_shell *shell, const char *vm,
                            const char *from, const char *to,
                            const char *reason);
/* One more of the last verdicts and decisions that are shown. */
void kmr_shell_health_remember(struct kmr_shell *shell,
                               enum kmr_verdict verdict, const char *scope,
                               const char *reason);
/* What the core says of this node, to whom it may concern. */
void kmr_shell_health_publish(struct kmr_shell *shell);
/* Decides, now, and publishes. */
void kmr_shell_health_look(struct kmr_shell *shell);

#endif
