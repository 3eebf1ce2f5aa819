/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_TESTS_UNIT_CLUSTER_H
#define KMR_TESTS_UNIT_CLUSTER_H

/*
 * A cluster in one process for tests of the pair's core: virtual time, an
 * ordered message queue in place of CPG, QEMUs that answer by the contract of
 * docs/interfaces.md. Each transition is a line of the trace.
 */

#include <stdbool.h>
#include <stdint.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/pair.h"
#include "core/wire.h"

#define SIM_NODES 3
#define SIM_QUEUE 256
#define SIM_TRACE 16384

struct sim_qemu {
    bool exists, frozen, running;
    bool reports; /* errors of disks, to its guest */
    char id[KMR_UUID_MAX], peer[KMR_UUID_MAX];
    enum kmr_engine_role role;
    enum kmr_engine state;
    uint64_t generation;
};

struct sim_node {
    char name[16];
    uint64_t boot;
    bool powered;
    bool present; /* in the group */
    bool quorate;
    bool mute; /* orders are not answered */
    bool sync_fails, create_fails;
    bool bad_disk;     /* what is tried again fails again */
    bool loads_slowly; /* as a standby: the test says `synchronised` */
    struct kmr_pair pair;
    struct sim_qemu qemu;
    enum kmr_order waiting; /* of a mute node */
};

struct sim_msg {
    struct kmr_msg msg;
    unsigned from;
};

struct sim {
    uint64_t now_ms;
    unsigned fresh;
    struct sim_node nodes[SIM_NODES];
    struct sim_msg queue[SIM_QUEUE];
    unsigned head, count;
    char trace[SIM_TRACE];
    unsigned max_running; /* most QEMUs whose guest ran at a time */
};

void sim_init(struct sim *sim, unsigned nodes);
/* Its time and its fresh UUID are filled in. */
void sim_step(struct sim *sim, unsigned node, struct kmr_event *event);
/* An event at one node; then everything that follows from it. */
void sim_event(struct sim *sim, unsigned node, enum kmr_event_type type,
               bool flag);
void sim_engine(struct sim *sim, unsigned node, enum kmr_engine state,
                const char *reason);
void sim_fenced(struct sim *sim, unsigned node);
/* Messages and deadlines until `ms` from now. */
void sim_run(struct sim *sim, uint64_t ms);
/* QEMU dies by itself / the node loses power / its kemarid restarts. */
void sim_kill_qemu(struct sim *sim, unsigned node);
void sim_power_cut(struct sim *sim, unsigned node);
void sim_boot(struct sim *sim, unsigned node);
void sim_kemarid_dies(struct sim *sim, unsigned node);
void sim_kemarid_back(struct sim *sim, unsigned node);
/* Boots on node 0 and protects by node 1; empties the trace. */
void sim_protect(struct sim *sim);

/* What QEMU says of its guest. */
static inline void sim_guest(struct sim *sim, unsigned node, enum kmr_run run,
                             const char *disk)
{
    struct kmr_event event = { .type = KMR_EVENT_GUEST, .run = run };

    snprintf(event.reason, sizeof(event.reason), "%s", disk);
    sim_step(sim, node, &event);
}

/* Fails the test with both texts when they differ; empties the trace. */
static inline void sim_expect(struct sim *sim, const char *expected)
{
    const char *update = getenv("KMR_TRACES");

    if (update) {
        FILE *file = fopen(update, "a");

        assert_non_null(file);
        fprintf(file, "%s----\n", sim->trace);
        fclose(file);
    } else if (strcmp(sim->trace, expected) != 0) {
        fail_msg("\n---- expected\n%s---- got\n%s----\n", expected, sim->trace);
    }
    sim->trace[0] = '\0';
    assert_true(sim->max_running <= 1);
}

#endif
