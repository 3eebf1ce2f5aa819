/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim.h"

#include <string.h>

/*
 * corosync. In one part of the cluster all messages and all changes of the
 * membership are delivered in one order, to each node at its own pace. While a
 * member can't be reached nothing is ordered, until the membership changes.
 * And what kemarid/shell_cluster.c makes of it; keep it as it is there.
 */

#define FENCE_MS 60000u

/* ---- messages ---- */

int sim_msg_new(struct sim *sim)
{
    for (unsigned i = 0; i < SIM_POOL; i++) {
        if (sim->pool[i].refs == 0) {
            memset(&sim->pool[i], 0, sizeof(sim->pool[i]));
            sim->pool[i].refs = 1;
            if (i >= sim->pool_top) {
                sim->pool_top = i + 1;
            }
            return (int)i;
        }
    }
    sim_fail(sim, "too many messages under way");
    return SIM_POOL - 1;
}

void sim_msg_drop(struct sim *sim, int msg)
{
    if (sim->pool[msg].refs > 0) {
        sim->pool[msg].refs--;
    }
    while (sim->pool_top > 0 && sim->pool[sim->pool_top - 1].refs == 0) {
        sim->pool_top--;
    }
}

void sim_send(struct sim *sim, unsigned n, int msg)
{
    struct sim_node *node = &sim->node[n];
    struct sim_msg *it = &sim->pool[msg];

    it->from = (uint8_t)n;
    it->boot = node->boot;
    if (!node->kemarid) {
        sim_msg_drop(sim, msg);
        return;
    }
    if (node->out_count == SIM_OUT) {
        sim_fail(sim, "%s: too many messages to send", node->name);
        sim_msg_drop(sim, msg);
        return;
    }
    if (node->out_count == 0) {
        node->out_ms = sim->now_ms + sim_delay(sim, 0, 2);
    }
    node->out[node->out_count++] = (int16_t)msg;
}

void sim_send_status(struct sim *sim, unsigned n)
{
    struct sim_node *node = &sim->node[n];
    int msg = sim_msg_new(sim);
    struct sim_msg *it = &sim->pool[msg];

    it->kind = SIM_MSG_STATUS;
    it->to = SIM_NODES;
    it->phase = node->pair.phase;
    it->want = node->pair.want;
    if (!node->pair.leaving && node->has_file &&
        strcmp(node->disk.id, node->pair.agreed.id) == 0) {
        memcpy(it->voter, node->disk.id, sizeof(it->voter));
    }
    it->paxos.value = node->pair.agreed.record;
    node->status_ms = sim->now_ms + 5000;
    sim_send(sim, n, msg);
}

static bool reaches(const struct sim *sim, unsigned a, unsigned b)
{
    return sim->node[a].power && sim->node[b].power &&
           sim->cluster[a] == sim->cluster[b];
}

bool sim_can_sequence(const struct sim *sim, unsigned n)
{
    for (unsigned m = 0; m < sim->nodes; m++) {
        if ((sim->node[n].corosync & (1u << m)) && !reaches(sim, n, m)) {
            return false;
        }
    }
    return true;
}

static void put(struct sim *sim, unsigned n, int msg, uint64_t delay_ms)
{
    struct sim_node *node = &sim->node[n];
    struct sim_item *item;
    uint64_t at_ms = sim->now_ms + delay_ms;

    if (node->in_count == SIM_IN) {
        sim_fail(sim, "%s: too many messages to deliver", node->name);
        return;
    }
    if (node->in_count > 0) {
        item = &node->in[(node->in_head + node->in_count - 1) % SIM_IN];
        at_ms = item->at_ms > at_ms ? item->at_ms : at_ms;
    }
    item = &node->in[(node->in_head + node->in_count++) % SIM_IN];
    item->at_ms = at_ms;
    item->msg = (int16_t)msg;
    sim->pool[msg].refs++;
}

/* As no corosync would do it: safety must not rest on the order. */
static bool put_badly(struct sim *sim, unsigned n, int msg)
{
    struct sim_later stray = { .kind = SIM_LATER_STRAY, .a = msg };
    uint32_t luck = sim_random(sim, 100);

    if (luck < 10) {
        sim_say(sim, "(lost on the way to %s: %s)", sim->node[n].name,
                kmr_paxos_text(sim->pool[msg].paxos.kind));
        return true;
    }
    if (luck < 30) {
        stray.at_ms = sim->now_ms + sim_delay(sim, 0, luck < 20 ? 20 : 1500);
        sim->pool[msg].refs++;
        sim_later_add(sim, n, &stray);
        return luck < 25; /* or both */
    }
    return false;
}

void sim_sequence(struct sim *sim, unsigned n)
{
    struct sim_node *node = &sim->node[n];
    int msg = node->out[0];
    const struct sim_msg *it = &sim->pool[msg];

    node->out_count--;
    memmove(node->out, node->out + 1, node->out_count * sizeof(node->out[0]));
    node->out_ms = sim->now_ms;
    for (unsigned m = 0; m < sim->nodes; m++) {
        if (!(node->corosync & (1u << m)) || !sim->node[m].kemarid ||
            (it->to != SIM_NODES && it->to != m)) {
            continue;
        }
        if (it->kind == SIM_MSG_PAXOS && sim->faults.paxos &&
            !sim->faults.quiet && put_badly(sim, m, msg)) {
            continue;
        }
        put(sim, m, msg,
            m == n ? 0 : sim_delay(sim, 1, sim_chance(sim, 2) ? 60 : 3));
    }
    sim_msg_drop(sim, msg);
}

/* ---- membership ---- */

static void tell(struct sim *sim, unsigned n, enum sim_kind kind, uint8_t mask)
{
    int msg = sim_msg_new(sim);

    sim->pool[msg].kind = kind;
    sim->pool[msg].mask = mask;
    put(sim, n, msg, sim_delay(sim, 0, 3));
    sim_msg_drop(sim, msg);
}

static uint8_t kemarids(const struct sim *sim, uint8_t corosync)
{
    uint8_t mask = 0;

    for (unsigned m = 0; m < sim->nodes; m++) {
        if ((corosync & (1u << m)) && sim->node[m].kemarid) {
            mask |= (uint8_t)(1u << m);
        }
    }
    return mask;
}

/* The kemarid of `n` came or went. */
void sim_group_changed(struct sim *sim, unsigned n)
{
    uint8_t corosync = sim->node[n].corosync;

    for (unsigned m = 0; m < sim->nodes; m++) {
        if ((corosync & (1u << m)) && sim->node[m].kemarid &&
            sim->node[m].corosync == corosync) {
            if (m == n) {
                tell(sim, m, SIM_QUORUM, corosync);
            }
            tell(sim, m, SIM_MEMBERS, kemarids(sim, corosync));
        }
    }
}

void sim_links_changed(struct sim *sim, bool slowly)
{
    if (sim->reform_ms == 0) {
        sim->reform_ms = sim->now_ms + (slowly ? sim_delay(sim, 1000, 2500)
                                               : sim_delay(sim, 50, 800));
    }
}

void sim_reform(struct sim *sim)
{
    sim->reform_ms = 0;
    for (unsigned n = 0; n < sim->nodes; n++) {
        uint8_t mask = 0;

        for (unsigned m = 0; m < sim->nodes; m++) {
            if (reaches(sim, n, m)) {
                mask |= (uint8_t)(1u << m);
            }
        }
        if (!sim->node[n].power || mask == sim->node[n].corosync) {
            continue;
        }
        sim_say(sim, "%s corosync: members %x", sim->node[n].name, mask);
        sim->node[n].corosync = mask;
        sim->node[n].alone &= (mask & (mask - 1)) == 0;
        if (sim->node[n].kemarid) {
            tell(sim, n, SIM_QUORUM, mask);
            tell(sim, n, SIM_MEMBERS, kemarids(sim, mask));
        }
    }
}

/* ---- the shell's side ---- */

static unsigned ones(uint8_t mask)
{
    unsigned count = 0;

    for (; mask != 0; mask &= (uint8_t)(mask - 1)) {
        count++;
    }
    return count;
}

void sim_tell_health(struct sim *sim, unsigned n, unsigned m)
{
    struct kmr_event event = { .type = KMR_EVENT_HEALTH };

    if (sim->node[n].kemarid && (n == m || sim->node[n].views[m].named)) {
        kmr_text_set(event.node, sizeof(event.node), sim->node[m].name);
        event.colour = sim->node[m].colour;
        sim_step(sim, n, &event);
    }
}

static void tell_peer(struct sim *sim, unsigned n, unsigned m)
{
    const struct sim_view *view = &sim->node[n].views[m];
    struct kmr_event event = { .type = KMR_EVENT_PEER };

    if (!view->named || n == m) {
        return;
    }
    kmr_text_set(event.node, sizeof(event.node), sim->node[m].name);
    event.boot = view->boot;
    event.present = view->present && view->heard;
    event.up = view->up;
    event.started =
        event.present && view->seen && view->want != KMR_WANT_STOPPED;
    event.idle = event.started && view->phase == KMR_PHASE_IDLE;
    event.has_qemu =
        event.present && view->seen && kmr_phase_has_qemu(view->phase);
    sim_step(sim, n, &event);
    if (sim->faults.health) {
        sim_tell_health(sim, n, m);
    }
}

static void check_synced(struct sim *sim, unsigned n)
{
    struct sim_node *node = &sim->node[n];
    struct kmr_event event = { .type = KMR_EVENT_CLUSTER };
    bool synced = node->joined && node->up != 0;

    for (unsigned m = 0; m < sim->nodes; m++) {
        if (node->views[m].present && !node->views[m].heard) {
            synced = false;
        }
        event.there += node->views[m].present;
    }
    event.quorate =
        sim->nodes == 2 ? node->up != 0 : ones(node->up) > sim->nodes / 2;
    event.synced = synced;
    event.nodes = node->up != 0 ? sim->nodes : 0;
    if (node->pair.quorate != event.quorate || node->pair.synced != synced ||
        node->pair.agreed.nodes != event.nodes ||
        node->pair.agreed.there != event.there) {
        sim_step(sim, n, &event);
    }
}

static void got_quorum(struct sim *sim, unsigned n, uint8_t mask)
{
    struct sim_node *node = &sim->node[n];

    node->up = mask;
    check_synced(sim, n);
    for (unsigned m = 0; m < sim->nodes; m++) {
        bool up = (mask & (1u << m)) != 0;

        if (node->views[m].up != up) {
            node->views[m].up = up;
            tell_peer(sim, n, m);
        }
    }
}

static void got_fenced(struct sim *sim, unsigned n, unsigned who)
{
    struct kmr_event event = { .type = KMR_EVENT_FENCED };

    kmr_text_set(event.node, sizeof(event.node), sim->node[who].name);
    sim_step(sim, n, &event);
}

static void got_members(struct sim *sim, unsigned n, uint8_t mask)
{
    struct sim_node *node = &sim->node[n];

    node->joined = (mask & (1u << n)) != 0;
    for (unsigned m = 0; m < sim->nodes; m++) {
        struct sim_view *view = &node->views[m];

        if (view->present && !(mask & (1u << m))) {
            bool fenced = view->fenced_ms != 0 &&
                          sim->now_ms < view->fenced_ms + FENCE_MS;

            view->present = view->heard = false;
            view->fenced_ms = 0;
            tell_peer(sim, n, m);
            if (fenced && node->joined) {
                got_fenced(sim, n, m);
            }
        }
    }
    for (unsigned m = 0; m < sim->nodes; m++) {
        struct sim_view *view = &node->views[m];

        if (!view->present && (mask & (1u << m))) {
            view->present = true;
            view->heard = false;
            view->joined_ms = sim->now_ms;
        }
    }
    check_synced(sim, n);
    sim_send_status(sim, n);
}

static void got_status(struct sim *sim, unsigned n, const struct sim_msg *msg)
{
    struct sim_view *view = &sim->node[n].views[msg->from];
    struct kmr_event event = { .type = KMR_EVENT_RECORD };
    bool heard = view->heard;

    view->named = view->seen = true;
    view->boot = msg->boot;
    view->phase = msg->phase;
    view->want = msg->want;
    if (msg->from != n) {
        event.record = msg->paxos.value;
        kmr_text_set(event.node, sizeof(event.node), sim->node[msg->from].name);
        memcpy(event.id, msg->voter, sizeof(event.id));
        sim_step(sim, n, &event);
    }
    view->heard = true;
    tell_peer(sim, n, msg->from);
    if (!heard) {
        check_synced(sim, n);
    }
}

void sim_deliver_msg(struct sim *sim, unsigned n, int index)
{
    struct sim_msg *msg = &sim->pool[index];
    struct kmr_event event = { .type = msg->type };

    if (msg->kind == SIM_MEMBERS) {
        got_members(sim, n, msg->mask);
        return;
    }
    if (msg->kind == SIM_QUORUM) {
        got_quorum(sim, n, msg->mask);
        return;
    }
    if (!sim->node[n].views[msg->from].present) {
        return;
    }
    if (msg->kind == SIM_MSG_STATUS) {
        got_status(sim, n, msg);
        return;
    }
    kmr_text_set(event.node, sizeof(event.node), sim->node[msg->from].name);
    if (msg->kind == SIM_MSG_PAXOS) {
        event.type = KMR_EVENT_PAXOS;
        event.paxos = msg->paxos;
        sim_say(sim, "%s hears %s: %s of %u, ballot %u i%u", sim->node[n].name,
                event.node, kmr_paxos_text(msg->paxos.kind),
                (unsigned)msg->paxos.generation, msg->paxos.ballot.round,
                sim_uuid_number(msg->paxos.ballot.id));
    } else {
        memcpy(event.id, msg->id, sizeof(event.id));
        memcpy(event.peer, msg->peer, sizeof(event.peer));
        event.generation = msg->generation;
        event.flag = msg->flag;
        kmr_text_set(event.reason, sizeof(event.reason),
                     kmr_event_text(msg->type));
    }
    sim_step(sim, n, &event);
}

void sim_deliver(struct sim *sim, unsigned n)
{
    struct sim_node *node = &sim->node[n];
    int msg = node->in[node->in_head].msg;

    node->in_head = (node->in_head + 1) % SIM_IN;
    node->in_count--;
    sim_deliver_msg(sim, n, msg);
    sim_msg_drop(sim, msg);
}

/* Pacemaker's fencer says that `who` was power-fenced. */
void sim_fenced(struct sim *sim, unsigned n, unsigned who)
{
    struct sim_view *view = &sim->node[n].views[who];

    sim_say(sim, "%s is told that %s was fenced", sim->node[n].name,
            sim->node[who].name);
    if (view->present) {
        if (sim->now_ms > view->joined_ms + FENCE_MS) {
            view->fenced_ms = sim->now_ms;
        }
        return;
    }
    got_fenced(sim, n, who);
}
