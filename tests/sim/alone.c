/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim.h"

/*
 * Pacemaker, where the VM has no `promotable`: it runs one instance, moves it
 * by migrate_to on the source, migrate_from on the target and a stop on the
 * source, and stops both after a migration that failed. `role` is STARTED where
 * it may be. A new DC may stop the target while the source still migrates.
 */

#define BAN_MS 60000u /* where a start failed */

static bool in(uint8_t mask, unsigned n)
{
    return (mask & (1u << n)) != 0;
}

/* Both may have it. */
static void stop_both(struct sim_operator *op)
{
    op->failed[op->source] = op->failed[op->target] = true;
    op->role[op->target] = SIM_STARTED;
    op->leg = 0;
}

void sim_alone_ended(struct sim *sim, enum sim_action action, unsigned n,
                     int code)
{
    struct sim_operator *op = &sim->op;

    if (code != KMR_OCF_SUCCESS) {
        sim_say(sim, "Pacemaker: it failed on %s (%d)", sim->node[n].name,
                code);
    }
    switch (action) {
    case SIM_START:
        op->role[n] = SIM_STARTED;
        if (code != KMR_OCF_SUCCESS) {
            op->failed[n] = true;
            op->ban_ms[n] = sim->now_ms + BAN_MS;
        }
        break;
    case SIM_STOP:
        op->role[n] = SIM_STOPPED;
        op->failed[n] = false;
        break;
    case SIM_MIGRATE:
        if (op->leg == 0) {
            break; /* another DC has given it up */
        }
        op->role[op->target] = SIM_STARTED;
        if (op->leg == 1 && code == KMR_OCF_SUCCESS) {
            op->leg = 2;
        } else {
            stop_both(op);
        }
        break;
    case SIM_ARRIVE:
        if (op->leg == 0) {
            break;
        }
        if (op->leg == 2 && code == KMR_OCF_SUCCESS) {
            op->failed[op->source] = true; /* what is left of it */
            op->leg = 0;
        } else {
            stop_both(op);
        }
        break;
    case SIM_IDLE:
    case SIM_PROMOTE:
    case SIM_DEMOTE:
        break;
    }
}

/* crm_resource --refresh: what the agent says counts. */
void sim_alone_probe(struct sim *sim, uint8_t part)
{
    struct sim_operator *op = &sim->op;
    char reason[KMR_REASON_MAX];

    if (op->leg != 0 || sim_is_busy(sim)) {
        return;
    }
    sim_say(sim, "Pacemaker asks where it runs");
    for (unsigned n = 0; n < sim->nodes; n++) {
        op->ban_ms[n] = 0;
        if (in(part, n) && sim->node[n].kemarid) {
            op->role[n] =
                kmr_answer_monitor(&sim->node[n].pair, true, sim->now_ms,
                                   reason) == KMR_OCF_NOT_RUNNING
                    ? SIM_STOPPED
                    : SIM_STARTED;
            op->failed[n] = false;
        }
    }
}

static bool may_run(const struct sim *sim, uint8_t part, unsigned n)
{
    return in(part, n) && !sim->op.standby[n] &&
           sim->now_ms >= sim->op.ban_ms[n];
}

/* A node where it may run, or -1. */
static int choose(struct sim *sim, uint8_t part, int but)
{
    unsigned from = sim->fixed ? 0 : sim_random(sim, sim->nodes);

    for (unsigned i = 0; i < sim->nodes; i++) {
        unsigned n = (from + i) % sim->nodes;

        if ((int)n != but && may_run(sim, part, n)) {
            return (int)n;
        }
    }
    return -1;
}

/* True: something has to be stopped, or was just begun. */
static bool stop_some(struct sim *sim, uint8_t part)
{
    struct sim_operator *op = &sim->op;
    bool some = false;

    for (unsigned n = 0; n < sim->nodes; n++) {
        if (op->role[n] == SIM_STOPPED) {
            op->failed[n] = false;
        } else if (op->failed[n] || op->disabled) {
            some = true;
            if (in(part, n)) {
                sim_begin(sim, SIM_STOP, n, false);
            }
        }
    }
    return some;
}

static void move(struct sim *sim, uint8_t part, unsigned n)
{
    struct sim_operator *op = &sim->op;
    int to = choose(sim, part, (int)n);

    if (to < 0 || !sim->node[n].kemarid || sim_chance(sim, 10)) {
        if (op->standby[n]) {
            sim_begin(sim, SIM_STOP, n, false);
        }
        return;
    }
    op->source = n;
    op->target = (unsigned)to;
    op->leg = 1;
    op->moved = sim_inst_index(sim, sim->node[n].pair.instance);
    sim_say(sim, "Pacemaker: from %s to %s", sim->node[n].name,
            sim->node[to].name);
    sim_begin(sim, SIM_MIGRATE, n, false);
    if (!sim->faults.quiet && sim_chance(sim, 50)) {
        sim->faults.at_ms = sim->now_ms + sim_random(sim, 2000);
    }
}

static void watch(struct sim *sim, uint8_t part, unsigned n)
{
    struct sim_operator *op = &sim->op;
    const struct sim_node *node = &sim->node[n];
    char reason[KMR_REASON_MAX];

    if (node->kemarid && kmr_answer_monitor(&node->pair, false, sim->now_ms,
                                            reason) != KMR_OCF_SUCCESS) {
        sim_say(sim, "Pacemaker: it does not run on %s (%s)", node->name,
                reason);
        op->failed[n] = true;
    } else if (!may_run(sim, part, n) ||
               (!sim->faults.quiet && sim_chance(sim, 4))) {
        move(sim, part, n);
    }
}

/* It may think of the migration what it will. */
static void new_dc(struct sim *sim, uint8_t part)
{
    struct sim_operator *op = &sim->op;

    sim_say(sim, "Pacemaker elects a DC in a migration");
    switch (sim_random(sim, 3)) {
    case 0:
        stop_both(op);
        stop_some(sim, part);
        break;
    case 1: /* it ends where it is */
        op->leg = 0;
        op->failed[op->source] = true;
        break;
    default:
        if (in(part, op->target)) {
            sim_begin(sim, SIM_ARRIVE, op->target, false);
        }
        break;
    }
}

void sim_alone_decide(struct sim *sim, uint8_t part)
{
    struct sim_operator *op = &sim->op;
    unsigned active = 0, last = 0;
    int to;

    if (sim_is_busy(sim)) {
        if (op->leg != 0 && !sim->faults.quiet && sim_chance(sim, 6)) {
            new_dc(sim, part);
        }
        return;
    }
    if (op->leg == 1 || (op->leg == 2 && op->role[op->target] == SIM_STOPPED)) {
        stop_both(op); /* its node was fenced */
    }
    if (op->leg == 2) {
        if (in(part, op->target)) {
            sim_begin(sim, SIM_ARRIVE, op->target, false);
        }
        return;
    }
    if (stop_some(sim, part)) {
        return;
    }
    for (unsigned n = 0; n < sim->nodes; n++) {
        if (op->role[n] != SIM_STOPPED) {
            active++;
            last = n;
        }
    }
    if (active > 1) {
        for (unsigned n = 0; n < sim->nodes; n++) {
            op->failed[n] = op->role[n] != SIM_STOPPED;
        }
        sim_say(sim, "Pacemaker: it is active on %u nodes", active);
    } else if (active == 1) {
        if (in(part, last)) {
            watch(sim, part, last);
        }
    } else if (!op->disabled) {
        to = choose(sim, part, -1);
        if (to >= 0) {
            sim_begin(sim, SIM_START, (unsigned)to, false);
        }
    }
}
