/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim.h"

#include <string.h>

/*
 * Pacemaker, as sane as it is: it acts where there is quorum, fences what it
 * lost before it promotes anybody, promotes where the score is highest, one
 * action at a time. In a hasty world it elects a DC now and then, which begins
 * with scores that are old or not there, and does not wait for what the one
 * before has begun on another node. And people, who want something else.
 */

#define SIGHT_OLD 1
#define SIGHT_NONE 2

static unsigned ones(uint8_t mask)
{
    unsigned count = 0;

    for (; mask != 0; mask &= (uint8_t)(mask - 1)) {
        count++;
    }
    return count;
}

static bool in(uint8_t mask, unsigned n)
{
    return (mask & (1u << n)) != 0;
}

static bool quorate(const struct sim *sim, unsigned n)
{
    return sim->node[n].power &&
           (sim->nodes == 2 || ones(sim->node[n].corosync) > sim->nodes / 2);
}

/* The part of the cluster that acts. */
static uint8_t acting(struct sim *sim)
{
    unsigned from = sim->fixed ? 0 : sim_random(sim, sim->nodes);

    for (unsigned i = 0; i < sim->nodes; i++) {
        unsigned n = (from + i) % sim->nodes;

        if (quorate(sim, n) && !sim->node[n].alone) {
            return sim->node[n].corosync;
        }
    }
    return 0;
}

/* ---- fencing ---- */

void sim_fence(struct sim *sim, unsigned n, uint8_t part)
{
    struct sim_operator *op = &sim->op;

    if (op->fence_ms[n] == 0) {
        sim_say(sim, "Pacemaker fences %s", sim->node[n].name);
        op->fence_ms[n] =
            sim->now_ms + (sim_chance(sim, 10) ? sim_delay(sim, 300, 30000)
                                               : sim_delay(sim, 300, 3000));
        op->fencers[n] = part & (uint8_t) ~(1u << n);
    }
}

static void fence_done(struct sim *sim, unsigned n, uint8_t part)
{
    struct sim_operator *op = &sim->op;
    bool can = false;

    for (unsigned m = 0; m < sim->nodes; m++) {
        can |= in(op->fencers[n], m) && sim->node[m].power;
    }
    op->fence_ms[n] = 0;
    if (!can) {
        return; /* who would do it? */
    }
    sim_power_off(sim, n);
    op->role[n] = SIM_STOPPED;
    op->unclean[n] = op->failed[n] = false;
    op->run[n].action = SIM_IDLE;
    sim->node[n].boot_ms = sim->now_ms + sim_delay(sim, 5000, 40000);
    for (unsigned m = 0; m < sim->nodes; m++) {
        struct sim_later it = {
            .kind = SIM_LATER_FENCED,
            .at_ms = sim->now_ms + sim_delay(sim, 0, 400),
            .a = (int)n,
        };

        if (m != n && in(part | op->fencers[n], m) && sim->node[m].kemarid) {
            sim_later_add(sim, m, &it);
        }
    }
}

/* True: something is being fenced. */
static bool fencing(struct sim *sim, uint8_t part)
{
    struct sim_operator *op = &sim->op;
    bool busy = false;

    for (unsigned n = 0; n < sim->nodes; n++) {
        if (op->fence_ms[n] != 0 && sim->now_ms >= op->fence_ms[n]) {
            fence_done(sim, n, part);
        }
        if (in(part, n) && sim->world == SIM_ALONE && sim->node[n].power) {
            op->unclean[n] = true;
        }
        if (part != 0 && !in(part, n)) {
            if (op->role[n] != SIM_STOPPED || op->unclean[n]) {
                sim_fence(sim, n, part);
            } else if (!sim->node[n].power && sim->node[n].boot_ms == 0) {
                sim->node[n].boot_ms =
                    sim->now_ms + sim_delay(sim, 5000, 40000);
            }
        }
        busy |= op->fence_ms[n] != 0;
    }
    return busy;
}

/* ---- what should be ---- */

void sim_ended(struct sim *sim, enum sim_action action, unsigned n, int code)
{
    struct sim_operator *op = &sim->op;

    op->wrong[n] = 0;
    if (sim->world == SIM_ALONE) {
        sim_alone_ended(sim, action, n, code);
        return;
    }
    switch (action) {
    case SIM_IDLE:
    case SIM_MIGRATE:
    case SIM_ARRIVE:
        break;
    case SIM_START:
    case SIM_DEMOTE:
        op->role[n] = SIM_STARTED;
        break;
    case SIM_STOP:
        op->role[n] = SIM_STOPPED;
        break;
    case SIM_PROMOTE:
        op->role[n] = SIM_PROMOTED;
        if (code != 0) {
            sim_begin(sim, SIM_STOP, n, false);
        }
        break;
    }
}

static int32_t score(const struct sim *sim, uint8_t part, unsigned n)
{
    if (!in(part, n) || !sim->node[n].kemarid ||
        sim->op.role[n] == SIM_STOPPED || sim->op.standby[n] ||
        sim->now_ms < sim->op.ban_ms[n]) {
        return KMR_SCORE_NONE;
    }
    if (sim->op.sight[n] != 0) {
        return sim->op.sight[n] == SIGHT_OLD ? sim->op.old[n] : KMR_SCORE_NONE;
    }
    return kmr_answer_score(&sim->node[n].pair);
}

/* A new DC: what it knows of the scores is what attrd happens to have. */
static void elections(struct sim *sim, uint8_t part)
{
    struct sim_operator *op = &sim->op;
    bool changed = op->part != part;

    op->part = part;
    for (unsigned n = 0; n < sim->nodes; n++) {
        int32_t its = kmr_answer_score(&sim->node[n].pair);

        if (op->sight[n] == 0 && sim_chance(sim, its > 0 ? 10 : 1)) {
            op->old[n] = its;
        }
    }
    if (sim->now_ms >= op->election_ms || sim->faults.quiet) {
        op->election_ms = 0;
        memset(op->sight, 0, sizeof(op->sight));
    }
    if (!sim->faults.quiet && sim_chance(sim, changed ? 50 : 5)) {
        sim_say(sim, "Pacemaker elects a DC");
        op->election_ms = sim->now_ms + sim_delay(sim, 100, 1500);
        for (unsigned n = 0; n < sim->nodes; n++) {
            op->sight[n] = (uint8_t)sim_random(sim, 3);
        }
    }
    if (op->election_ms != 0) {
        op->at_ms = sim->now_ms + sim_delay(sim, 20, 250);
    }
}

/* Two of them: the worse one goes, and nobody is to be promoted. */
static bool one_too_many(struct sim *sim, uint8_t part)
{
    int first = -1;

    for (unsigned n = 0; n < sim->nodes; n++) {
        if (sim->op.role[n] != SIM_PROMOTED || !in(part, n)) {
            continue;
        }
        if (first >= 0) {
            sim_begin(sim, SIM_DEMOTE,
                      score(sim, part, n) > score(sim, part, (unsigned)first)
                          ? (unsigned)first
                          : n,
                      false);
            return true;
        }
        first = (int)n;
    }
    return false;
}

static int promoted(const struct sim *sim)
{
    for (unsigned n = 0; n < sim->nodes; n++) {
        if (sim->op.role[n] == SIM_PROMOTED) {
            return (int)n;
        }
    }
    return -1;
}

static bool monitor(struct sim *sim, unsigned n)
{
    struct sim_operator *op = &sim->op;
    char reason[KMR_REASON_MAX];
    bool is, should = op->role[n] == SIM_PROMOTED;
    int code;

    if (op->role[n] == SIM_STOPPED || !sim->node[n].kemarid) {
        return false;
    }
    code = kmr_answer_monitor(&sim->node[n].pair, false, sim->now_ms, reason);
    is = code == KMR_OCF_RUNNING_PROMOTED || code == KMR_OCF_DEGRADED_PROMOTED;
    if (code != KMR_OCF_NOT_RUNNING && is == should) {
        op->wrong[n] = 0;
    } else if (++op->wrong[n] >= 4) {
        sim_say(sim, "Pacemaker: monitor of %s says %d (%s)", sim->node[n].name,
                code, reason);
        sim_begin(sim, SIM_STOP, n, false);
        return true;
    }
    return false;
}

static void people(struct sim *sim, uint8_t part)
{
    struct sim_operator *op = &sim->op;
    unsigned n = sim_random(sim, sim->nodes);

    if (!in(part, n) || !sim->node[n].kemarid) {
        return;
    }
    if (sim->world == SIM_ALONE && sim_chance(sim, 20)) {
        sim_alone_probe(sim, part);
        return;
    }
    switch (sim_random(sim, 12)) {
    case 0:
        op->disabled = true;
        break;
    case 1:
        op->standby[n] = true;
        break;
    case 2:
        sim_event(sim, n, KMR_EVENT_TAKEOVER, false);
        break;
    case 3:
        sim_event(sim, n, KMR_EVENT_HANDOVER, false);
        break;
    case 4:
        sim_event(sim, n, KMR_EVENT_RESYNC, false);
        break;
    case 5:
    case 6:
        op->ban_ms[n] = sim->now_ms + 30000;
        break;
    default:
        op->disabled = false;
        memset(op->standby, 0, sizeof(op->standby));
        break;
    }
}

static void decide(struct sim *sim, uint8_t part)
{
    struct sim_operator *op = &sim->op;
    int best = -1, now = promoted(sim);
    int32_t best_score = KMR_SCORE_NONE;

    for (unsigned n = 0; n < sim->nodes; n++) {
        if (in(part, n) && op->role[n] != SIM_STOPPED &&
            op->run[n].action == SIM_IDLE && (op->disabled || op->standby[n]) &&
            ((int)n == now || now < 0 || !op->disabled)) {
            sim_begin(sim, SIM_STOP, n, false);
            return;
        }
    }
    for (unsigned n = 0; n < sim->nodes; n++) {
        if (op->run[n].action != SIM_IDLE) {
            continue;
        }
        if (in(part, n) && op->role[n] == SIM_STOPPED && !op->disabled &&
            !op->standby[n] && sim->node[n].kemarid) {
            sim_begin(sim, SIM_START, n, false);
            return;
        }
        if (in(part, n) && monitor(sim, n)) {
            return;
        }
    }
    if (sim->world == SIM_HASTY && one_too_many(sim, part)) {
        return;
    }
    for (unsigned n = 0; n < sim->nodes; n++) {
        int32_t its = score(sim, part, n);

        if (its > best_score) {
            best = (int)n;
            best_score = its;
        }
    }
    if (now >= 0 && best != now &&
        (best >= 0 ? best_score > score(sim, part, (unsigned)now)
                   : sim->now_ms < op->ban_ms[now])) {
        sim_begin(sim, SIM_DEMOTE, (unsigned)now, best >= 0);
    } else if (now < 0 && best >= 0) {
        sim_begin(sim, SIM_PROMOTE, (unsigned)best, false);
    }
}

void sim_operate(struct sim *sim)
{
    struct sim_operator *op = &sim->op;
    uint8_t part = acting(sim);

    op->at_ms = sim->now_ms + sim_delay(sim, 200, 900);
    for (unsigned n = 0; n < sim->nodes && !op->freezes; n++) {
        if (sim->node[n].kemarid && !quorate(sim, n) &&
            sim->node[n].pair.want != KMR_WANT_STOPPED) {
            sim_say(sim, "Pacemaker stops %s, which has no quorum",
                    sim->node[n].name);
            sim_event(sim, n, KMR_EVENT_STOP, false);
        }
    }
    if (fencing(sim, part) || part == 0) {
        return;
    }
    if (!sim->faults.quiet && sim_chance(sim, 3)) {
        people(sim, part);
    }
    if (sim->world == SIM_HASTY) {
        elections(sim, part);
    }
    if (sim_is_busy(sim)) {
        for (unsigned n = 0; n < sim->nodes; n++) {
            sim_check_action(sim, n, part);
        }
        if (sim->world != SIM_ALONE && op->election_ms == 0) {
            return;
        }
    }
    if (sim->world == SIM_ALONE) {
        sim_alone_decide(sim, part);
    } else {
        decide(sim, part);
    }
}
