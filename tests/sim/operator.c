/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim.h"

#include <string.h>

/*
 * Pacemaker, as sane as it is: it acts where there is quorum, fences what it
 * lost before it promotes anybody, promotes where the score is highest, one
 * action at a time. And people, who now and then want something else.
 */

#define PATIENCE_MS 100000u

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

        if (quorate(sim, n)) {
            return sim->node[n].corosync;
        }
    }
    return 0;
}

/* ---- fencing ---- */

static void fence(struct sim *sim, unsigned n, uint8_t part)
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
    if (op->target == n) {
        op->action = SIM_IDLE;
    }
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
        if (part != 0 && !in(part, n)) {
            if (op->role[n] != SIM_STOPPED) {
                fence(sim, n, part);
            } else if (!sim->node[n].power && sim->node[n].boot_ms == 0) {
                sim->node[n].boot_ms =
                    sim->now_ms + sim_delay(sim, 5000, 40000);
            }
        }
        busy |= op->fence_ms[n] != 0;
    }
    return busy;
}

/* ---- one action at a time ---- */

static void begin(struct sim *sim, enum sim_action action, unsigned n,
                  bool other)
{
    static const enum kmr_event_type events[] = {
        [SIM_START] = KMR_EVENT_START,
        [SIM_STOP] = KMR_EVENT_STOP,
        [SIM_PROMOTE] = KMR_EVENT_PROMOTE,
        [SIM_DEMOTE] = KMR_EVENT_DEMOTE,
    };

    if (!sim->node[n].kemarid) {
        return; /* again when it is back */
    }
    sim_say(sim, "Pacemaker: %s %s", kmr_event_text(events[action]),
            sim->node[n].name);
    sim->op.action = action;
    sim->op.target = n;
    sim->op.since_ms = sim->now_ms;
    sim_event(sim, n, events[action], other);
}

static void ended(struct sim *sim, int code)
{
    struct sim_operator *op = &sim->op;
    enum sim_action action = op->action;

    op->action = SIM_IDLE;
    op->wrong[op->target] = 0;
    switch (action) {
    case SIM_IDLE:
        break;
    case SIM_START:
    case SIM_DEMOTE:
        op->role[op->target] = SIM_STARTED;
        break;
    case SIM_STOP:
        op->role[op->target] = SIM_STOPPED;
        break;
    case SIM_PROMOTE:
        op->role[op->target] = SIM_PROMOTED;
        if (code != 0) {
            begin(sim, SIM_STOP, op->target, false);
        }
        break;
    }
}

static void check_action(struct sim *sim, uint8_t part)
{
    struct sim_operator *op = &sim->op;
    const struct kmr_pair *pair = &sim->node[op->target].pair;
    char reason[KMR_REASON_MAX];
    int code = KMR_OCF_PENDING;

    if (!in(part, op->target)) {
        op->action = SIM_IDLE;
        return;
    }
    if (sim->node[op->target].kemarid) {
        switch (op->action) {
        case SIM_IDLE:
            return;
        case SIM_START:
            code = kmr_answer_start(pair, reason);
            break;
        case SIM_STOP:
            code = kmr_answer_stop(pair, reason);
            break;
        case SIM_PROMOTE:
            code = kmr_answer_promote(pair, reason);
            break;
        case SIM_DEMOTE:
            code = kmr_answer_demote(pair, reason);
            break;
        }
    }
    if (code != KMR_OCF_PENDING) {
        ended(sim, code);
    } else if (sim->now_ms > op->since_ms + PATIENCE_MS) {
        sim_say(sim, "Pacemaker has no more patience with %s",
                sim->node[op->target].name);
        if (op->action == SIM_STOP || !sim->node[op->target].kemarid) {
            op->action = SIM_IDLE;
            fence(sim, op->target, part);
        } else {
            begin(sim, SIM_STOP, op->target, false);
        }
    }
}

/* ---- what should be ---- */

static int promoted(const struct sim *sim)
{
    for (unsigned n = 0; n < sim->nodes; n++) {
        if (sim->op.role[n] == SIM_PROMOTED) {
            return (int)n;
        }
    }
    return -1;
}

static int32_t score(const struct sim *sim, uint8_t part, unsigned n)
{
    if (!in(part, n) || !sim->node[n].kemarid ||
        sim->op.role[n] == SIM_STOPPED || sim->op.standby[n] ||
        sim->now_ms < sim->op.ban_ms[n]) {
        return KMR_SCORE_NONE;
    }
    return kmr_answer_score(&sim->node[n].pair);
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
        begin(sim, SIM_STOP, n, false);
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
            (op->disabled || op->standby[n]) &&
            ((int)n == now || now < 0 || !op->disabled)) {
            begin(sim, SIM_STOP, n, false);
            return;
        }
    }
    for (unsigned n = 0; n < sim->nodes; n++) {
        if (in(part, n) && op->role[n] == SIM_STOPPED && !op->disabled &&
            !op->standby[n] && sim->node[n].kemarid) {
            begin(sim, SIM_START, n, false);
            return;
        }
        if (in(part, n) && monitor(sim, n)) {
            return;
        }
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
        begin(sim, SIM_DEMOTE, (unsigned)now, best >= 0);
    } else if (now < 0 && best >= 0) {
        begin(sim, SIM_PROMOTE, (unsigned)best, false);
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
    if (op->action != SIM_IDLE) {
        check_action(sim, part);
    } else {
        decide(sim, part);
    }
}
