/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim.h"

#include <stdio.h>
#include <string.h>

/*
 * What kemarid/shell.c and shell_state.c do with a step: effects, the state
 * file, deadlines. Keep it as they are.
 */

#define STATUS_SOON_MS 5
#define STATUS_MS 5000

/* ---- the state file ---- */

static void snapshot(const struct sim_node *node, struct sim_disk *ret)
{
    const struct kmr_consensus *agreed = &node->pair.agreed;

    memset(ret, 0, sizeof(*ret));
    ret->record = agreed->record;
    memcpy(ret->id, agreed->id, sizeof(ret->id));
    ret->writes = agreed->writes;
    ret->lost = agreed->lost;
    ret->promised = agreed->promised;
    ret->accepted = agreed->accepted;
    if (agreed->accepted.round != 0) {
        ret->value = agreed->value;
    }
    ret->boot = node->boot;
    ret->want = node->pair.want;
    ret->alone = node->pair.alone;
    if (kmr_phase_has_qemu(node->pair.phase)) {
        memcpy(ret->instance, node->pair.instance, sizeof(ret->instance));
    }
    memcpy(ret->down_id, node->pair.down_id, sizeof(ret->down_id));
    ret->pid = node->qemu >= 0 &&
               node->command.order != KMR_ORDER_CREATE_PRIMARY &&
               node->command.order != KMR_ORDER_CREATE_STANDBY;
}

static void write_begins(struct sim *sim, unsigned n)
{
    struct sim_node *node = &sim->node[n];

    node->writing = true;
    node->queued = false;
    node->next = node->handed;
    node->ticket_writing = node->ticket;
    node->write_ms =
        sim->now_ms + (sim->faults.slow_disk
                           ? sim_delay(sim, 1, sim_chance(sim, 2) ? 2000 : 80)
                           : sim_delay(sim, 1, 6));
}

static void say_what_is_written(struct sim *sim, unsigned n, uint64_t ticket,
                                bool good)
{
    struct sim_node *node = &sim->node[n];
    unsigned kept = 0;

    for (unsigned i = 0; i < node->outbox_count; i++) {
        if (node->outbox[i].ticket > ticket) {
            node->outbox[kept++] = node->outbox[i];
        } else if (good) {
            sim_send(sim, n, node->outbox[i].msg);
        } else {
            sim_msg_drop(sim, node->outbox[i].msg);
        }
    }
    node->outbox_count = kept;
}

void sim_written(struct sim *sim, unsigned n)
{
    struct sim_node *node = &sim->node[n];
    uint64_t ticket = node->ticket_writing;

    node->writing = false;
    if (node->full) {
        sim_say(sim, "%s its state file can't be written", node->name);
        node->changed = true; /* the next step tries again */
        say_what_is_written(sim, n, ticket, false);
    } else {
        if (!node->has_file || strcmp(node->disk.id, node->next.id) != 0) {
            node->status_ms = sim->now_ms + STATUS_SOON_MS;
        }
        node->disk = node->next;
        node->has_file = true;
        say_what_is_written(sim, n, ticket, true);
        if (node->command.waits &&
            sim_inst_index(sim, node->disk.instance) == node->command.inst) {
            sim_command_go(sim, n);
        }
    }
    if (node->queued) {
        write_begins(sim, n);
    }
}

static void state_write(struct sim *sim, unsigned n)
{
    struct sim_node *node = &sim->node[n];
    struct sim_disk now;

    if (kmr_phase_has_qemu(node->pair.phase)) {
        node->pid_want = node->pair.want;
        node->pid_alone = node->pair.alone;
    }
    snapshot(node, &now);
    if (node->changed || memcmp(&now, &node->handed, sizeof(now)) != 0) {
        node->handed = now;
        node->changed = false;
        node->ticket++;
        if (node->writing) {
            node->queued = true;
        } else {
            write_begins(sim, n);
        }
    }
    for (unsigned i = 0; i < node->outbox_count; i++) {
        if (node->outbox[i].ticket == 0) {
            node->outbox[i].ticket = node->ticket;
        }
    }
    if (!node->writing) {
        say_what_is_written(sim, n, node->ticket, true);
    }
}

/* ---- effects ---- */

static int event_msg(struct sim *sim, enum kmr_event_type type,
                     const struct kmr_effect *effect)
{
    int msg = sim_msg_new(sim);
    struct sim_msg *it = &sim->pool[msg];

    it->kind = SIM_MSG_EVENT;
    it->type = type;
    it->to = SIM_NODES;
    it->generation = effect->generation;
    it->flag = effect->moving;
    memcpy(it->id, effect->id, sizeof(it->id));
    memcpy(it->peer, effect->peer, sizeof(it->peer));
    return msg;
}

static void send_paxos(struct sim *sim, unsigned n,
                       const struct kmr_effect *effect)
{
    struct sim_node *node = &sim->node[n];
    int msg = sim_msg_new(sim);

    sim->pool[msg].kind = SIM_MSG_PAXOS;
    sim->pool[msg].to = SIM_NODES;
    sim->pool[msg].paxos = effect->paxos;
    if (!effect->durable) {
        sim_send(sim, n, msg);
    } else if (node->outbox_count < SIM_OUT) {
        node->outbox[node->outbox_count].ticket = 0;
        node->outbox[node->outbox_count++].msg = (int16_t)msg;
    } else {
        sim_fail(sim, "%s: too many messages wait for its disk", node->name);
        sim_msg_drop(sim, msg);
    }
}

static void send_event(struct sim *sim, unsigned n, enum kmr_event_type type,
                       const struct kmr_effect *effect)
{
    int msg = event_msg(sim, type, effect);

    if (type == KMR_EVENT_DEAD) {
        int inst = sim_inst_index(sim, effect->id);

        sim_say(sim, "%s says that i%u is dead (%s)", sim->node[n].name,
                sim_uuid_number(effect->id), effect->reason);
        if (inst >= 0) {
            sim->insts[inst].declared = true;
        }
    }
    for (unsigned i = 0; type == KMR_EVENT_INVITE && i < sim->nodes; i++) {
        if (strcmp(sim->node[i].name, effect->node) == 0) {
            sim->pool[msg].to = (uint8_t)i;
        }
    }
    sim_send(sim, n, msg);
}

static void do_effect(struct sim *sim, unsigned n,
                      const struct kmr_effect *effect)
{
    struct sim_node *node = &sim->node[n];

    switch (effect->type) {
    case KMR_EFFECT_ORDER:
        sim_order(sim, n, effect);
        break;
    case KMR_EFFECT_KILL:
        sim_kill(sim, n, -1, sim_delay(sim, 1, sim_chance(sim, 5) ? 3000 : 10));
        break;
    case KMR_EFFECT_SEND:
        send_paxos(sim, n, effect);
        break;
    case KMR_EFFECT_DEATH:
        send_event(sim, n, KMR_EVENT_DEAD, effect);
        break;
    case KMR_EFFECT_FROZEN:
        send_event(sim, n, KMR_EVENT_FROZEN, effect);
        break;
    case KMR_EFFECT_INVITE:
        send_event(sim, n, KMR_EVENT_INVITE, effect);
        break;
    case KMR_EFFECT_READY:
        send_event(sim, n, KMR_EVENT_READY, effect);
        break;
    case KMR_EFFECT_REFUSE:
        send_event(sim, n, KMR_EVENT_REFUSED, effect);
        break;
    case KMR_EFFECT_DROP:
        send_event(sim, n, KMR_EVENT_DROP, effect);
        break;
    case KMR_EFFECT_HANDOVER:
        send_event(sim, n, KMR_EVENT_HANDOVER, effect);
        break;
    case KMR_EFFECT_TAKEOVER:
        send_event(sim, n, KMR_EVENT_TAKEOVER, effect);
        break;
    case KMR_EFFECT_MOVED:
        sim_say(sim, "%s %s -> %s (%s)", node->name,
                kmr_phase_text(effect->from), kmr_phase_text(effect->to),
                effect->reason);
        break;
    case KMR_EFFECT_NOTE:
        sim_say(sim, "%s %s", node->name, effect->reason);
        break;
    case KMR_EFFECT_PERSIST:
        break; /* after the step */
    case KMR_EFFECT_BUG:
        sim_fail(sim, "%s: BUG: %s -> %s: %s", node->name,
                 kmr_phase_text(effect->from), kmr_phase_text(effect->to),
                 effect->reason);
        break;
    }
}

/* Never nested: an effect only arranges what happens later. */
static struct kmr_effects effects;

void sim_step(struct sim *sim, unsigned n, struct kmr_event *event)
{
    struct sim_node *node = &sim->node[n];
    enum kmr_phase phase = node->pair.phase;
    enum kmr_want want = node->pair.want;
    enum kmr_run run = node->pair.trouble.run;

    event->now_ms = sim->now_ms;
    sim_uuid(sim, event->fresh);
    kmr_pair_step(&node->pair, event, &effects);
    for (unsigned i = 0; i < effects.count; i++) {
        do_effect(sim, n, &effects.list[i]);
    }
    state_write(sim, n);
    node->tick_ms = sim->now_ms + 5;
    if ((node->pair.phase != phase || node->pair.want != want ||
         node->pair.trouble.run != run) &&
        (node->status_ms == 0 ||
         node->status_ms > sim->now_ms + STATUS_SOON_MS)) {
        node->status_ms = sim->now_ms + STATUS_SOON_MS;
    }
    if (node->leave_ms != 0 && kmr_pair_left(&node->pair)) {
        node->leave_ms = sim->now_ms;
    }
    sim_check_step(sim, n, event, &effects);
}

void sim_event(struct sim *sim, unsigned n, enum kmr_event_type type, bool flag)
{
    struct kmr_event event = { .type = type, .flag = flag };

    kmr_text_set(event.reason, sizeof(event.reason), "asked");
    sim_step(sim, n, &event);
}

void sim_tick(struct sim *sim, unsigned n)
{
    struct sim_node *node = &sim->node[n];

    if (sim->now_ms >= node->ticks_since_ms + 1000) {
        node->ticks_since_ms = sim->now_ms;
        node->ticks = 0;
    }
    if (++node->ticks > 100) {
        sim_fail(sim, "%s: its deadlines spin in %s", node->name,
                 kmr_phase_text(node->pair.phase));
    }
    sim_event(sim, n, KMR_EVENT_TICK, false);
}

/* ---- the process ---- */

void sim_kemarid_stop(struct sim *sim, unsigned n)
{
    struct sim_node *node = &sim->node[n];

    if (!node->kemarid) {
        return;
    }
    sim_say(sim, "%s kemarid ends", node->name);
    node->kemarid = false;
    node->leave_ms = 0;
    node->run_pid = node->qemu >= 0;
    node->run_inst = kmr_phase_has_qemu(node->pair.phase)
                         ? sim_inst_index(sim, node->pair.instance) + 1
                         : 0;
    /* What was being written may have made it. */
    if (node->writing && !node->full && sim_chance(sim, 50)) {
        node->disk = node->next;
        node->has_file = true;
    }
    node->writing = node->queued = false;
    say_what_is_written(sim, n, UINT64_MAX, false);
    for (unsigned i = 0; i < node->out_count; i++) {
        sim_msg_drop(sim, node->out[i]);
    }
    node->out_count = 0;
    for (; node->in_count > 0; node->in_count--) {
        sim_msg_drop(sim, node->in[node->in_head].msg);
        node->in_head = (node->in_head + 1) % SIM_IN;
    }
    for (unsigned i = 0; i < SIM_LATER; i++) {
        if (node->later[i].kind == SIM_LATER_STRAY) {
            sim_msg_drop(sim, node->later[i].a);
        }
        if (node->later[i].kind != SIM_LATER_LATE) {
            node->later[i].kind = SIM_LATER_NONE;
        }
    }
    /* libvirtd has the order already, perhaps. */
    if (node->command.order != KMR_ORDER_NONE && !node->command.waits &&
        !node->command.hangs && sim_chance(sim, 50)) {
        struct sim_later late = {
            .kind = SIM_LATER_LATE,
            .at_ms = sim->now_ms + sim_delay(sim, 1, 3000),
            .a = node->command.inst,
            .order = node->command.order,
            .generation = node->command.generation,
            .peer = node->command.peer,
        };

        sim_later_add(sim, n, &late);
    }
    node->command.order = KMR_ORDER_NONE;
    node->news_count = 0;
    node->joined = false;
    node->status_ms = node->poll_ms = 0;
    sim_group_changed(sim, n);
}

static void load(struct sim *sim, unsigned n)
{
    struct sim_node *node = &sim->node[n];
    struct kmr_consensus *agreed = &node->pair.agreed;
    const struct sim_disk *disk = &node->disk;
    struct kmr_event event = { .type = KMR_EVENT_ADOPT };
    bool pid = false;
    int inst = -1;

    if (node->has_file) {
        agreed->record = disk->record;
        memcpy(agreed->id, disk->id, sizeof(agreed->id));
        agreed->writes = disk->writes;
        agreed->lost = disk->lost;
        agreed->promised = disk->promised;
        agreed->accepted = disk->accepted;
        agreed->value = disk->value;
    }
    if (node->has_file && disk->boot == node->boot) {
        memcpy(node->pair.down_id, disk->down_id, sizeof(disk->down_id));
        node->pair.want = disk->want;
        node->pair.alone = disk->alone;
        node->pair.phase =
            disk->want == KMR_WANT_STOPPED ? KMR_PHASE_STOPPED : KMR_PHASE_IDLE;
        inst = sim_inst_index(sim, disk->instance);
        pid = disk->pid;
    }
    if (node->qemu >= 0) {
        inst = node->qemu; /* /run/kemari and its process tell */
        if (sim->world != SIM_PAIR) {
            node->pair.want = node->pid_want;
            node->pair.alone = node->pid_alone;
            node->pair.phase = node->pid_want == KMR_WANT_STOPPED
                                   ? KMR_PHASE_STOPPED
                                   : KMR_PHASE_IDLE;
        }
    }
    if (inst < 0 && node->run_inst != 0) {
        inst = node->run_inst - 1; /* the state file is lost */
        pid = node->run_pid;
    }
    if (inst < 0 || (!sim->insts[inst].exists && pid)) {
        return;
    }
    if (!sim->insts[inst].exists) {
        /* libvirtd may be starting it just now: not dead yet. */
        struct sim_later it = {
            .kind = SIM_LATER_REAPED,
            .at_ms = sim->now_ms + KMR_CREATE_MS,
            .a = inst,
        };

        node->wait_ms = it.at_ms;
        sim_later_add(sim, n, &it);
    }
    sim_inst_id(sim, inst, event.id);
    node->poll_ms = sim->now_ms + 500;
    sim_step(sim, n, &event);
}

void sim_kemarid_start(struct sim *sim, unsigned n)
{
    struct sim_node *node = &sim->node[n];

    node->back_ms = 0;
    if (!node->power || node->kemarid) {
        return;
    }
    sim_say(sim, "%s kemarid starts", node->name);
    node->kemarid = true;
    node->lives++;
    node->wait_ms = 0;
    kmr_pair_init(&node->pair, "vm0", node->name, node->boot);
    memset(node->views, 0, sizeof(node->views));
    memset(&node->handed, 0, sizeof(node->handed));
    node->changed = true;
    node->kill_ms = 0;
    node->tick_ms = 0;
    node->checked = 0;
    load(sim, n);
    sim_group_changed(sim, n);
}

void sim_kemarid_leave(struct sim *sim, unsigned n)
{
    struct sim_node *node = &sim->node[n];

    sim_say(sim, "%s kemarid is to end", node->name);
    node->leave_ms = sim->now_ms + 2000;
    sim_event(sim, n, KMR_EVENT_LEAVE, false);
    node->status_ms = sim->now_ms;
}

void sim_kemarid_left(struct sim *sim, unsigned n)
{
    sim_kemarid_stop(sim, n);
    sim->node[n].back_ms = sim->now_ms + sim_delay(sim, 50, 8000);
}

/* ---- the node ---- */

void sim_power_off(struct sim *sim, unsigned n)
{
    struct sim_node *node = &sim->node[n];

    if (!node->power) {
        return;
    }
    sim_say(sim, "%s loses power", node->name);
    if (node->qemu >= 0) {
        sim_qemu_dies(sim, node->qemu, false);
    }
    sim_kemarid_stop(sim, n);
    memset(node->later, 0, sizeof(node->later));
    node->run_inst = 0;
    node->power = false;
    node->back_ms = node->kill_ms = 0;
    node->corosync = 0;
    sim_links_changed(sim, true);
    sim_repl_changed(sim);
}

void sim_power_on(struct sim *sim, unsigned n)
{
    struct sim_node *node = &sim->node[n];

    node->boot_ms = 0;
    if (node->power) {
        return;
    }
    node->boot++;
    node->power = true;
    node->mute = false;
    sim_say(sim, "%s boots", node->name);
    node->corosync = (uint8_t)(1u << n);
    node->alone = sim->world == SIM_ALONE && sim->nodes == 2;
    node->back_ms = sim->now_ms + sim_delay(sim, 10, 2000);
    sim_links_changed(sim, false);
    sim_repl_changed(sim);
}
