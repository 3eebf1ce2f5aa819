/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/answer.h"
#include "core/text.h"

static void note_running(struct sim *sim)
{
    unsigned running = 0;

    for (unsigned i = 0; i < SIM_NODES; i++) {
        running += sim->nodes[i].qemu.exists && sim->nodes[i].qemu.running;
    }
    if (running > sim->max_running) {
        sim->max_running = running;
    }
}

static void send_msg(struct sim *sim, unsigned from, const struct kmr_msg *msg)
{
    struct sim_msg *slot;

    if (!sim->nodes[from].present) {
        return;
    }
    assert_true(sim->count < SIM_QUEUE);
    slot = &sim->queue[(sim->head + sim->count++) % SIM_QUEUE];
    slot->msg = *msg;
    slot->from = from;
    kmr_text_set(slot->msg.node, sizeof(slot->msg.node), sim->nodes[from].name);
}

static void tell_peers(struct sim *sim, unsigned about)
{
    struct sim_node *node = &sim->nodes[about];

    for (unsigned i = 0; i < SIM_NODES; i++) {
        struct kmr_event event = { .type = KMR_EVENT_PEER };

        if (i == about || !sim->nodes[i].name[0] || !sim->nodes[i].present ||
            (!node->present &&
             !kmr_pair_peer(&sim->nodes[i].pair, node->name))) {
            continue; /* or not heard since its kemarid began */
        }
        snprintf(event.node, sizeof(event.node), "%s", node->name);
        event.boot = node->boot;
        event.present = node->present;
        event.up = node->present || node->powered;
        event.started = node->pair.want != KMR_WANT_STOPPED;
        event.idle = node->pair.phase == KMR_PHASE_IDLE;
        event.has_qemu = kmr_phase_has_qemu(node->pair.phase);
        sim_step(sim, i, &event);
        if (node->present) {
            event.type = KMR_EVENT_RECORD;
            kmr_text_set(event.id, sizeof(event.id),
                         node->pair.leaving ? "" : node->pair.agreed.id);
            event.record = node->pair.agreed.record;
            sim_step(sim, i, &event);
        }
    }
}

static struct sim_node *by_instance(struct sim *sim, const char *id)
{
    for (unsigned i = 0; i < SIM_NODES; i++) {
        if (sim->nodes[i].qemu.exists &&
            strcmp(sim->nodes[i].qemu.id, id) == 0) {
            return &sim->nodes[i];
        }
    }
    return NULL;
}

static unsigned index_of(struct sim *sim, struct sim_node *node)
{
    return (unsigned)(node - sim->nodes);
}

static void done(struct sim *sim, unsigned index, const struct kmr_effect *eff,
                 bool ok, const char *reason)
{
    struct kmr_event event = { .type = KMR_EVENT_DONE };

    event.order = eff->order;
    event.tag = eff->tag;
    event.flag = ok;
    snprintf(event.reason, sizeof(event.reason), "%s", reason);
    sim_step(sim, index, &event);
}

static const enum kmr_msg_type sent_as[KMR_EFFECT_BUG + 1] = {
    [KMR_EFFECT_SEND] = KMR_MSG_PAXOS,
    [KMR_EFFECT_DEATH] = KMR_MSG_DEATH,
    [KMR_EFFECT_FROZEN] = KMR_MSG_FROZEN,
    [KMR_EFFECT_INVITE] = KMR_MSG_INVITE,
    [KMR_EFFECT_READY] = KMR_MSG_READY,
    [KMR_EFFECT_REFUSE] = KMR_MSG_REFUSE,
    [KMR_EFFECT_DROP] = KMR_MSG_DROP,
    [KMR_EFFECT_HANDOVER] = KMR_MSG_HANDOVER,
    [KMR_EFFECT_TAKEOVER] = KMR_MSG_TAKEOVER,
};

/* An order to the QEMU of a node, by the engine's contract. */
static void order(struct sim *sim, unsigned index, const struct kmr_effect *eff)
{
    struct sim_node *node = &sim->nodes[index];
    struct sim_qemu *qemu = &node->qemu;
    struct sim_node *peer;

    if (node->mute) {
        node->waiting = eff->order;
        return;
    }
    switch (eff->order) {
    case KMR_ORDER_CREATE_PRIMARY:
        if (node->create_fails) {
            qemu->exists = true; /* to be reaped */
            done(sim, index, eff, false, "no BIOS");
            return;
        } /* fall through */
    case KMR_ORDER_CREATE_STANDBY:
        assert_false(qemu->exists);
        memset(qemu, 0, sizeof(*qemu));
        qemu->exists = true;
        qemu->running = eff->order == KMR_ORDER_CREATE_PRIMARY;
        snprintf(qemu->id, sizeof(qemu->id), "%s", eff->id);
        note_running(sim);
        break;
    case KMR_ORDER_PREPARE:
        assert_true(eff->generation > qemu->generation);
        qemu->generation = eff->generation;
        qemu->role = KMR_ENGINE_ROLE_STANDBY;
        snprintf(qemu->peer, sizeof(qemu->peer), "%s", eff->peer);
        break;
    case KMR_ORDER_SYNC:
        assert_true(eff->generation > qemu->generation);
        peer = by_instance(sim, eff->peer);
        if (node->sync_fails || !peer) {
            done(sim, index, eff, false, "no connection");
            return;
        }
        assert_string_equal(peer->qemu.peer, qemu->id);
        qemu->generation = eff->generation;
        qemu->role = KMR_ENGINE_ROLE_PRIMARY;
        snprintf(qemu->peer, sizeof(qemu->peer), "%s", eff->peer);
        done(sim, index, eff, true, "");
        sim_engine(sim, index_of(sim, peer), KMR_ENGINE_SYNCING, "");
        if (!peer->loads_slowly) {
            sim_engine(sim, index_of(sim, peer), KMR_ENGINE_SYNCHRONISED, "");
        }
        sim_engine(sim, index, KMR_ENGINE_IN_STEP, "");
        return;
    case KMR_ORDER_CONFIRM:
        assert_true(eff->generation > qemu->generation);
        assert_int_equal(qemu->state, KMR_ENGINE_IN_STEP);
        qemu->generation = eff->generation;
        done(sim, index, eff, true, "");
        sim_engine(sim, index, KMR_ENGINE_PROTECTED, "");
        return;
    case KMR_ORDER_RELEASE:
        assert_true(eff->generation > qemu->generation);
        assert_int_equal(qemu->role, KMR_ENGINE_ROLE_PRIMARY);
        qemu->generation = eff->generation;
        qemu->role = KMR_ENGINE_ROLE_NONE;
        qemu->frozen = false;
        qemu->running = true;
        note_running(sim);
        break;
    case KMR_ORDER_TAKEOVER:
        assert_true(eff->generation > qemu->generation);
        assert_int_equal(qemu->role, KMR_ENGINE_ROLE_STANDBY);
        assert_true(qemu->state == KMR_ENGINE_SYNCHRONISED ||
                    qemu->state == KMR_ENGINE_PRIMARY_LOST);
        qemu->generation = eff->generation;
        done(sim, index, eff, true, "");
        qemu->role = KMR_ENGINE_ROLE_NONE;
        qemu->running = true;
        note_running(sim);
        sim_engine(sim, index, KMR_ENGINE_RUNNING, "");
        return;
    case KMR_ORDER_HANDOVER:
        assert_true(eff->generation > qemu->generation);
        qemu->generation = eff->generation;
        qemu->frozen = true;
        qemu->running = false;
        done(sim, index, eff, true, "");
        sim_engine(sim, index, KMR_ENGINE_HANDED_OVER, "");
        return;
    case KMR_ORDER_RETRY:
    case KMR_ORDER_REPORT:
    case KMR_ORDER_RESTART:
        assert_true(eff->generation > qemu->generation);
        assert_false(qemu->frozen);
        qemu->generation = eff->generation;
        if (eff->order != KMR_ORDER_RESTART) {
            qemu->reports = eff->order == KMR_ORDER_REPORT;
        }
        done(sim, index, eff, true, "");
        if (eff->order != KMR_ORDER_RETRY || !node->bad_disk) {
            sim_guest(sim, index, KMR_RUN_RUNNING, "");
        }
        return;
    case KMR_ORDER_DUMP:
        break;
    case KMR_ORDER_SHUTDOWN:
        done(sim, index, eff, true, "");
        sim_event(sim, index, KMR_EVENT_POWEROFF, false);
        return;
    case KMR_ORDER_QUERY:
        sim_engine(sim, index, qemu->state, "");
        break;
    case KMR_ORDER_NONE:
        break;
    }
    done(sim, index, eff, true, "");
}

static void effect(struct sim *sim, unsigned index,
                   const struct kmr_effect *eff)
{
    struct sim_node *node = &sim->nodes[index];
    struct kmr_msg msg = { .type = sent_as[eff->type] };
    size_t used = strlen(sim->trace);

    snprintf(msg.vm, sizeof(msg.vm), "vm0");
    memcpy(msg.id, eff->id, sizeof(msg.id));
    memcpy(msg.peer, eff->peer, sizeof(msg.peer));
    memcpy(msg.reason, eff->reason, sizeof(msg.reason));
    msg.generation = eff->generation;
    switch (eff->type) {
    case KMR_EFFECT_ORDER:
        order(sim, index, eff);
        return;
    case KMR_EFFECT_KILL:
        if (!node->mute) {
            sim_kill_qemu(sim, index);
        }
        return;
    case KMR_EFFECT_SEND:
        msg.paxos = eff->paxos;
        break;
    case KMR_EFFECT_INVITE:
        memcpy(msg.target, eff->node, sizeof(msg.target));
        msg.moving = eff->moving;
        break;
    case KMR_EFFECT_DEATH:
    case KMR_EFFECT_FROZEN:
    case KMR_EFFECT_READY:
    case KMR_EFFECT_REFUSE:
    case KMR_EFFECT_DROP:
    case KMR_EFFECT_HANDOVER:
    case KMR_EFFECT_TAKEOVER:
        break;
    case KMR_EFFECT_MOVED:
        snprintf(sim->trace + used, sizeof(sim->trace) - used,
                 "%s %s -> %s (%s)\n", node->name, kmr_phase_text(eff->from),
                 kmr_phase_text(eff->to), eff->reason);
        return;
    case KMR_EFFECT_NOTE:
        snprintf(sim->trace + used, sizeof(sim->trace) - used, "%s %s\n",
                 node->name, eff->reason);
        return;
    case KMR_EFFECT_PERSIST:
        return;
    case KMR_EFFECT_BUG:
        fail_msg("%s: %s -> %s: %s", node->name, kmr_phase_text(eff->from),
                 kmr_phase_text(eff->to), eff->reason);
        return;
    }
    send_msg(sim, index, &msg);
}

void sim_step(struct sim *sim, unsigned index, struct kmr_event *event)
{
    struct sim_node *node = &sim->nodes[index];
    struct kmr_effects *effects = malloc(sizeof(*effects));
    enum kmr_phase phase = node->pair.phase;
    enum kmr_want want = node->pair.want;

    assert_non_null(effects);
    event->now_ms = sim->now_ms;
    snprintf(event->fresh, sizeof(event->fresh),
             "00000000-0000-4000-8000-%012u", ++sim->fresh);
    kmr_pair_step(&node->pair, event, effects);
    for (unsigned i = 0; i < effects->count; i++) {
        effect(sim, index, &effects->list[i]);
    }
    free(effects);
    if (node->pair.phase != phase || node->pair.want != want) {
        struct kmr_msg msg = { .type = KMR_MSG_STATUS };

        send_msg(sim, index, &msg);
    }
}

static void deliver(struct sim *sim, unsigned index, const struct kmr_msg *msg)
{
    struct kmr_event event = { .type = KMR_EVENT_TICK };

    memcpy(event.id, msg->id, sizeof(event.id));
    memcpy(event.peer, msg->peer, sizeof(event.peer));
    memcpy(event.reason, msg->reason, sizeof(event.reason));
    snprintf(event.node, sizeof(event.node), "%s", msg->node);
    event.generation = msg->generation;
    switch (msg->type) {
    case KMR_MSG_PAXOS:
        event.type = KMR_EVENT_PAXOS;
        event.paxos = msg->paxos;
        break;
    case KMR_MSG_DEATH:
        event.type = KMR_EVENT_DEAD;
        break;
    case KMR_MSG_FROZEN:
        event.type = KMR_EVENT_FROZEN;
        break;
    case KMR_MSG_INVITE:
        if (strcmp(msg->target, sim->nodes[index].name) != 0) {
            return;
        }
        event.type = KMR_EVENT_INVITE;
        event.flag = msg->moving;
        break;
    case KMR_MSG_READY:
        event.type = KMR_EVENT_READY;
        break;
    case KMR_MSG_REFUSE:
        event.type = KMR_EVENT_REFUSED;
        break;
    case KMR_MSG_DROP:
        event.type = KMR_EVENT_DROP;
        break;
    case KMR_MSG_HANDOVER:
        event.type = KMR_EVENT_HANDOVER;
        break;
    case KMR_MSG_TAKEOVER:
        event.type = KMR_EVENT_TAKEOVER;
        break;
    case KMR_MSG_STATUS: /* drain() has it */
    default:             /* EVENT, FENCE: nothing of a pair */
        return;
    }
    sim_step(sim, index, &event);
}

static void drain(struct sim *sim)
{
    while (sim->count > 0) {
        struct sim_msg msg = sim->queue[sim->head];

        sim->head = (sim->head + 1) % SIM_QUEUE;
        sim->count--;
        if (msg.msg.type == KMR_MSG_STATUS) {
            tell_peers(sim, msg.from);
            continue;
        }
        for (unsigned i = 0; i < SIM_NODES; i++) {
            if (sim->nodes[i].present) {
                deliver(sim, i, &msg.msg);
            }
        }
    }
}

void sim_run(struct sim *sim, uint64_t ms)
{
    uint64_t end = sim->now_ms + ms;
    unsigned late = 0;

    drain(sim);
    for (;;) {
        uint64_t next = 0;
        unsigned who = 0;

        for (unsigned i = 0; i < SIM_NODES; i++) {
            uint64_t when = kmr_pair_deadline(&sim->nodes[i].pair);

            if (sim->nodes[i].present && when != 0 &&
                (next == 0 || when < next)) {
                next = when;
                who = i;
            }
        }
        if (next == 0 || next > end || sim->now_ms >= end) {
            break;
        }
        if (next > sim->now_ms) {
            sim->now_ms = next;
        } else {
            /* A deadline that is not taken back when it has come. */
            assert_true(++late < 100);
            sim->now_ms++;
        }
        sim_event(sim, who, KMR_EVENT_TICK, false);
        drain(sim);
    }
    if (sim->now_ms < end) {
        sim->now_ms = end;
    }
}

void sim_event(struct sim *sim, unsigned node, enum kmr_event_type type,
               bool flag)
{
    struct kmr_event event = { .type = type, .flag = flag };

    snprintf(event.reason, sizeof(event.reason), "asked");
    sim_step(sim, node, &event);
}

void sim_engine(struct sim *sim, unsigned node, enum kmr_engine state,
                const char *reason)
{
    struct sim_qemu *qemu = &sim->nodes[node].qemu;
    struct kmr_event event = { .type = KMR_EVENT_ENGINE };

    qemu->state = state == KMR_ENGINE_RUNNING ? KMR_ENGINE_NONE : state;
    event.engine = state;
    event.role = qemu->role;
    event.generation = qemu->generation;
    event.checkpoint = 1;
    memcpy(event.id, qemu->id, sizeof(event.id));
    memcpy(event.peer, qemu->peer, sizeof(event.peer));
    snprintf(event.reason, sizeof(event.reason), "%s", reason);
    sim_step(sim, node, &event);
}

void sim_fenced(struct sim *sim, unsigned node)
{
    for (unsigned i = 0; i < SIM_NODES; i++) {
        struct kmr_event event = { .type = KMR_EVENT_FENCED };

        if (i == node || !sim->nodes[i].present) {
            continue;
        }
        snprintf(event.node, sizeof(event.node), "%s", sim->nodes[node].name);
        sim_step(sim, i, &event);
    }
    drain(sim);
}

void sim_kill_qemu(struct sim *sim, unsigned index)
{
    struct sim_node *node = &sim->nodes[index];
    struct sim_node *peer = by_instance(sim, node->qemu.peer);
    enum kmr_engine_role role = node->qemu.role;
    struct kmr_event event = { .type = KMR_EVENT_REAPED };

    if (!node->qemu.exists) {
        return;
    }
    memset(&node->qemu, 0, sizeof(node->qemu));
    if (peer && role == KMR_ENGINE_ROLE_PRIMARY &&
        peer->qemu.state == KMR_ENGINE_SYNCHRONISED) {
        sim_engine(sim, index_of(sim, peer), KMR_ENGINE_PRIMARY_LOST,
                   "connection reset");
    } else if (peer && role == KMR_ENGINE_ROLE_STANDBY &&
               (peer->qemu.state == KMR_ENGINE_PROTECTED ||
                peer->qemu.state == KMR_ENGINE_IN_STEP)) {
        sim_engine(sim, index_of(sim, peer), KMR_ENGINE_HOLDING,
                   "connection reset");
    }
    snprintf(event.reason, sizeof(event.reason), "QEMU is dead");
    if (node->present) {
        sim_step(sim, index, &event);
    }
}

static void tell_cluster(struct sim *sim)
{
    unsigned named = 0, there = 0;

    for (unsigned i = 0; i < SIM_NODES; i++) {
        named += sim->nodes[i].name[0] != '\0';
        there += sim->nodes[i].present;
    }
    for (unsigned i = 0; i < SIM_NODES; i++) {
        struct kmr_event event = { .type = KMR_EVENT_CLUSTER };

        event.quorate = sim->nodes[i].quorate;
        event.synced = true;
        event.nodes = named;
        event.there = there;
        if (sim->nodes[i].present) {
            sim_step(sim, i, &event);
        }
    }
}

void sim_kemarid_dies(struct sim *sim, unsigned index)
{
    drain(sim);
    sim->nodes[index].present = false;
    tell_peers(sim, index);
    tell_cluster(sim);
    drain(sim);
}

void sim_power_cut(struct sim *sim, unsigned index)
{
    sim->nodes[index].present = false;
    sim->nodes[index].powered = false;
    sim_kill_qemu(sim, index);
    sim_kemarid_dies(sim, index);
}

static void join(struct sim *sim, unsigned index)
{
    struct sim_node *node = &sim->nodes[index];

    node->present = node->powered = true;
    for (unsigned i = 0; i < SIM_NODES && sim->nodes[i].name[0]; i++) {
        tell_peers(sim, i);
    }
    node->quorate = true;
    tell_cluster(sim);
    drain(sim);
}

/* What is on disk; the rest is forgotten. */
static void from_file(struct kmr_pair *pair, const struct kmr_consensus *old)
{
    pair->agreed.record = old->record;
    pair->agreed.writes = old->writes;
    pair->agreed.promised = old->promised;
    pair->agreed.accepted = old->accepted;
    pair->agreed.value = old->value;
    memcpy(pair->agreed.id, old->id, sizeof(old->id));
}

void sim_boot(struct sim *sim, unsigned index)
{
    struct sim_node *node = &sim->nodes[index];
    struct kmr_consensus old = node->pair.agreed;

    node->boot++;
    kmr_pair_init(&node->pair, "vm0", node->name, node->boot);
    from_file(&node->pair, &old);
    join(sim, index);
}

void sim_kemarid_back(struct sim *sim, unsigned index)
{
    struct sim_node *node = &sim->nodes[index];
    struct kmr_pair old = node->pair;

    kmr_pair_init(&node->pair, "vm0", node->name, node->boot);
    from_file(&node->pair, &old.agreed);
    node->pair.want = old.want;
    node->pair.alone = old.alone;
    node->pair.policy = old.policy;
    node->pair.phase =
        old.want == KMR_WANT_STOPPED ? KMR_PHASE_STOPPED : KMR_PHASE_IDLE;
    if (node->qemu.exists) {
        struct kmr_event event = { .type = KMR_EVENT_ADOPT };

        memcpy(event.id, node->qemu.id, sizeof(event.id));
        sim_step(sim, index, &event);
    }
    join(sim, index);
}

void sim_init(struct sim *sim, unsigned nodes)
{
    memset(sim, 0, sizeof(*sim));
    sim->now_ms = 1000;
    for (unsigned i = 0; i < nodes; i++) {
        struct sim_node *node = &sim->nodes[i];

        snprintf(node->name, sizeof(node->name), "node%u", i + 1);
        node->boot = 100 + i;
        kmr_pair_init(&node->pair, "vm0", node->name, node->boot);
        node->powered = true;
    }
    for (unsigned i = 0; i < nodes; i++) {
        join(sim, i);
    }
}

void sim_protect(struct sim *sim)
{
    sim_event(sim, 0, KMR_EVENT_START, false);
    sim_event(sim, 1, KMR_EVENT_START, false);
    sim_run(sim, 10);
    sim_event(sim, 0, KMR_EVENT_PROMOTE, false);
    sim_run(sim, 1000);
    assert_int_equal(sim->nodes[0].pair.phase, KMR_PHASE_PROTECTED);
    assert_int_equal(sim->nodes[1].pair.phase, KMR_PHASE_SYNCHRONISED);
    assert_int_equal(sim->nodes[2].pair.agreed.record.mode,
                     sim->nodes[2].name[0] ? KMR_MODE_PAIRED : KMR_MODE_NONE);
    sim->trace[0] = '\0';
}
