/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * explore --depth D [--nodes N] [--kind alone]: from the protected state, every
 * sequence of D choices out of a small alphabet: let the next thing happen,
 * let all happen until it is calm, or do harm. No chance: each delay is the
 * shortest. A world that was seen before (all of it, by a 64-bit sum) is not
 * gone through again. At each leaf all is healed, and the VM has to run again.
 * Exit 1 and the choices that led there when a rule was broken.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define DEPTH_MAX 12
#define SEEN_BITS 24

enum verb {
    NEXT,     /* whatever comes next */
    CALM,     /* 300 ms */
    LONG,     /* 4 s: corosync, Pacemaker */
    QEMU,     /* the QEMU of a node dies */
    POWER,    /* a node loses power */
    KEMARID,  /* ends; comes back after 1 s */
    ALONE,    /* a node is cut off the cluster link */
    WHOLE,    /* the links are whole */
    STREAM,   /* the replication link is cut */
    LOSE,     /* the next message to a node is lost, if it is of Paxos */
    FULL,     /* a node's disk is full, or is no longer */
    HANDOVER, /* Pacemaker moves the VM */
    VERBS
};
static const char *const verbs[] = { "next",   "calm",    "long",  "qemu",
                                     "power",  "kemarid", "alone", "whole",
                                     "stream", "lose",    "full",  "handover" };

static struct sim worlds[DEPTH_MAX + 2];
static struct {
    enum verb verb;
    unsigned n;
} path[DEPTH_MAX];
static unsigned depth = 3, nodes = 3;
static enum sim_world kind = SIM_PAIR;
static uint64_t *seen;
static uint64_t visited, known, leaves, steps;

static size_t size_of(const struct sim *sim)
{
    return offsetof(struct sim, pool) + sim->pool_top * sizeof(sim->pool[0]);
}

static void copy_world(struct sim *to, const struct sim *from)
{
    memcpy(to, from, size_of(from));
    memset(&to->pool[to->pool_top], 0,
           (SIM_POOL - to->pool_top) * sizeof(to->pool[0]));
}

static bool is_new(const struct sim *sim, unsigned left)
{
    const uint64_t *at = (const uint64_t *)(const void *)sim;
    uint64_t sum = 14695981039346656037u + left;
    size_t count = size_of(sim) / sizeof(*at);
    size_t mask = ((size_t)1 << SEEN_BITS) - 1;

    for (size_t i = 0; i < count; i++) {
        sum = (sum ^ at[i]) * 1099511628211u;
        sum ^= sum >> 29;
    }
    for (size_t i = (size_t)sum & mask;; i = (i + 1) & mask) {
        if (seen[i] == sum) {
            known++;
            return false;
        }
        if (seen[i] == 0) {
            seen[i] = sum;
            return true;
        }
    }
}

static bool has_node(enum verb verb)
{
    return verb == QEMU || verb == POWER || verb == KEMARID || verb == ALONE ||
           verb == LOSE || verb == FULL;
}

static void alone(struct sim *sim, unsigned n)
{
    for (unsigned m = 0; m < sim->nodes; m++) {
        sim->cluster[m] = m == n;
    }
    sim_links_changed(sim, true);
}

static bool lose(struct sim *sim, unsigned n)
{
    struct sim_node *node = &sim->node[n];
    int msg;

    if (node->in_count == 0) {
        return false;
    }
    msg = node->in[node->in_head].msg;
    if (sim->pool[msg].kind != SIM_MSG_PAXOS) {
        return false;
    }
    node->in_head = (node->in_head + 1) % SIM_IN;
    node->in_count--;
    sim_msg_drop(sim, msg);
    return true;
}

/* False: there is nothing to choose. */
static bool choose(struct sim *sim, enum verb verb, unsigned n)
{
    struct sim_node *node = &sim->node[n];
    uint64_t before = sim->steps;

    switch (verb) {
    case NEXT:
        sim_next(sim);
        break;
    case CALM:
        sim_run(sim, 300);
        break;
    case LONG:
        sim_run(sim, 4000);
        break;
    case QEMU:
        if (node->qemu < 0) {
            return false;
        }
        sim_qemu_dies(sim, node->qemu, true);
        break;
    case POWER:
        if (!node->power) {
            return false;
        }
        sim_power_off(sim, n);
        break;
    case KEMARID:
        if (!node->kemarid) {
            return false;
        }
        sim_kemarid_stop(sim, n);
        node->back_ms = sim->now_ms + 1000;
        break;
    case ALONE:
        if (sim->cluster[n] != 0) {
            return false;
        }
        alone(sim, n);
        break;
    case WHOLE:
        for (unsigned m = 0; m < sim->nodes; m++) {
            sim->cluster[m] = sim->repl[m] = 0;
        }
        sim_links_changed(sim, false);
        break;
    case STREAM:
        sim->repl[0] = 1;
        sim_repl_changed(sim);
        break;
    case LOSE:
        return lose(sim, n);
    case FULL:
        node->full = !node->full;
        break;
    case HANDOVER:
        sim->op.ban_ms[0] = sim->now_ms + 30000;
        break;
    case VERBS:
        break;
    }
    steps += sim->steps - before;
    return true;
}

static bool leaf(struct sim *sim, struct sim *copy)
{
    uint64_t before = sim->steps;
    bool well = false;

    leaves++;
    copy_world(copy, sim);
    sim_heal(copy);
    for (unsigned s = 0; s < 300 && !well; s++) {
        if (!sim_run(copy, 1000)) {
            break;
        }
        well = s > 5 && sim_is_well(copy, false);
    }
    steps += copy->steps - before;
    if (!well) {
        sim_fail(copy, "rule 7: not well in 300 s");
        memcpy(sim->failure, copy->failure, sizeof(sim->failure));
    }
    return well;
}

static void report(const struct sim *sim, unsigned so_far)
{
    printf("%s\n", sim->failure);
    for (unsigned i = 0; i < so_far; i++) {
        printf(" %s", verbs[path[i].verb]);
        if (has_node(path[i].verb)) {
            printf(":%u", path[i].n + 1);
        }
    }
    printf("\n");
}

static bool go(unsigned at)
{
    struct sim *sim = &worlds[at];
    struct sim *next = &worlds[at + 1];

    if (at == depth) {
        return leaf(sim, next);
    }
    for (int verb = 0; verb < VERBS; verb++) {
        for (unsigned n = 0; n < (has_node(verb) ? nodes : 1); n++) {
            copy_world(next, sim);
            path[at].verb = (enum verb)verb;
            path[at].n = n;
            if (!choose(next, (enum verb)verb, n)) {
                continue;
            }
            visited++;
            if (next->failure[0] == '\0' && !is_new(next, depth - at)) {
                continue;
            }
            if (next->failure[0] != '\0' || !go(at + 1)) {
                if (next->failure[0] != '\0') {
                    report(next, at + 1);
                }
                return false;
            }
        }
    }
    return true;
}

static bool protect(struct sim *sim)
{
    sim_init(sim, nodes, 1, kind);
    sim->fixed = true;
    for (unsigned s = 0; s < 60; s++) {
        if (!sim_run(sim, 1000)) {
            return false;
        }
        if (sim_is_well(sim, true)) {
            sim_run(sim, 6000);
            return sim_is_well(sim, true);
        }
    }
    return false;
}

/* The choices as report() prints them, with their trace. */
static int replay(int argc, char **argv)
{
    struct sim *sim = &worlds[0];

    sim_tracing = true;
    for (int i = 0; i < argc; i++) {
        const char *colon = strchr(argv[i], ':');
        size_t len = colon ? (size_t)(colon - argv[i]) : strlen(argv[i]);

        for (int verb = 0; verb < VERBS; verb++) {
            if (strlen(verbs[verb]) == len &&
                memcmp(verbs[verb], argv[i], len) == 0) {
                sim_say(sim, "---- %s", argv[i]);
                choose(sim, (enum verb)verb,
                       colon ? (unsigned)atoi(colon + 1) - 1 : 0);
            }
        }
    }
    if (sim->failure[0] == '\0') {
        leaf(sim, &worlds[1]);
    }
    sim_print_trace();
    sim_print_world(sim);
    printf("%s\n", sim->failure[0] ? sim->failure : "no rule was broken");
    return sim->failure[0] != '\0';
}

int main(int argc, char **argv)
{
    bool good;
    int i;

    for (i = 1; i < argc; i++) {
        if (i + 1 < argc && strcmp(argv[i], "--depth") == 0) {
            depth = (unsigned)atoi(argv[++i]);
        } else if (i + 1 < argc && strcmp(argv[i], "--nodes") == 0) {
            nodes = (unsigned)atoi(argv[++i]);
        } else if (i + 1 < argc && strcmp(argv[i], "--kind") == 0) {
            kind = sim_world_of(argv[++i]);
        } else {
            break;
        }
    }
    if (depth < 1 || depth > DEPTH_MAX || nodes < 2 || nodes > SIM_NODES ||
        kind == SIM_WORLDS || (i < argc && argv[i][0] == '-')) {
        fprintf(stderr,
                "usage: %s [--depth 1..%u] [--nodes 2..%u] "
                "[--kind alone] [CHOICE...]\n",
                argv[0], DEPTH_MAX, SIM_NODES);
        return 2;
    }
    if (!protect(&worlds[0])) {
        printf("not even protected: %s\n", worlds[0].failure);
        sim_print_world(&worlds[0]);
        return 1;
    }
    if (i < argc) {
        return replay(argc - i, argv + i);
    }
    seen = calloc((size_t)1 << SEEN_BITS, sizeof(*seen));
    if (!seen) {
        return 2;
    }
    good = go(0);
    printf("%u nodes, depth %u: %" PRIu64 " choices, %" PRIu64
           " worlds known already, %" PRIu64 " leaves, %" PRIu64 " steps\n",
           nodes, depth, visited, known, leaves, steps);
    free(seen);
    return good ? 0 : 1;
}
