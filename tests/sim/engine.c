/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim.h"

#include <stdio.h>
#include <string.h>

/*
 * libvirt, and the orders of QEMU's engine by the contract of
 * docs/interfaces.md.
 */

/* ---- instances ---- */

struct sim_inst *sim_inst(struct sim *sim, int index)
{
    return index >= 0 ? &sim->insts[index] : NULL;
}

int sim_inst_index(struct sim *sim, const char *id)
{
    unsigned number = sim_uuid_number(id);

    return number < SIM_IDS ? (int)sim->inst_of[number] - 1 : -1;
}

void sim_inst_id(const struct sim *sim, int index, char *ret_text)
{
    ret_text[0] = '\0';
    if (index >= 0) {
        snprintf(ret_text, KMR_UUID_MAX, "00000000-0000-4000-8000-%012x",
                 sim->insts[index].id);
    }
}

static int make_inst(struct sim *sim, unsigned n, const char *id)
{
    int index = sim_inst_index(sim, id);
    struct sim_inst *inst;

    if (index >= 0 || sim->inst_count == SIM_INSTS) {
        return index >= 0 ? index : SIM_INSTS - 1;
    }
    index = (int)sim->inst_count++;
    inst = &sim->insts[index];
    memset(inst, 0, sizeof(*inst));
    inst->node = (uint8_t)n;
    inst->id = sim_uuid_number(id);
    inst->parent = inst->peer = inst->link = -1;
    sim->inst_of[inst->id] = (uint16_t)(index + 1);
    return index;
}

/* ---- what is heard of it ---- */

void sim_news(struct sim *sim, int index, enum kmr_engine state, bool poweroff)
{
    const struct sim_inst *inst = &sim->insts[index];
    struct sim_node *node = &sim->node[inst->node];
    struct sim_news *it;
    uint64_t at_ms =
        sim->now_ms + sim_delay(sim, 0, sim_chance(sim, 3) ? 300 : 4);

    if (!sim->faults.quiet && !poweroff && sim_chance(sim, 1)) {
        return; /* lost; the poll will tell */
    }
    if (!node->kemarid || node->news_count == SIM_NEWS) {
        return;
    }
    if (node->news_count > 0 &&
        node->news[node->news_count - 1].at_ms > at_ms) {
        at_ms = node->news[node->news_count - 1].at_ms;
    }
    it = &node->news[node->news_count++];
    it->guest = it->overloaded = false;
    it->at_ms = at_ms;
    it->inst = index;
    it->state = state;
    it->role = inst->role;
    it->generation = inst->generation;
    it->peer = inst->peer;
    it->poweroff = poweroff;
}

/* As QEMU says when it is asked, which events are only the reason for. */
static void hear_guest(struct sim *sim, unsigned n, int index)
{
    const struct sim_inst *inst = &sim->insts[index];
    struct kmr_event event = { .type = KMR_EVENT_GUEST };

    if (!sim->faults.trouble) {
        return;
    }
    event.run = !inst->guest && inst->run == KMR_RUN_RUNNING ? KMR_RUN_PAUSED
                                                             : inst->run;
    sim_step(sim, n, &event);
}

static void hear(struct sim *sim, unsigned n, const struct sim_news *it)
{
    struct sim_node *node = &sim->node[n];
    struct kmr_event event = { .type = KMR_EVENT_ENGINE };

    if (!kmr_phase_has_qemu(node->pair.phase) ||
        sim_inst_index(sim, node->pair.instance) != it->inst) {
        return;
    }
    if (it->guest) {
        if (sim->insts[it->inst].exists) {
            hear_guest(sim, n, it->inst);
        }
        return;
    }
    if (it->poweroff) {
        sim_event(sim, n, KMR_EVENT_POWEROFF, false);
        return;
    }
    event.engine = it->state;
    event.role = it->role;
    event.generation = it->generation;
    event.checkpoint = 1;
    event.overloaded = it->overloaded;
    sim_inst_id(sim, it->inst, event.id);
    sim_inst_id(sim, it->peer, event.peer);
    sim_step(sim, n, &event);
}

void sim_news_due(struct sim *sim, unsigned n)
{
    struct sim_node *node = &sim->node[n];
    struct sim_news it = node->news[0];

    node->news_count--;
    memmove(node->news, node->news + 1,
            node->news_count * sizeof(node->news[0]));
    hear(sim, n, &it);
}

/* In every eighth world a guest is too fast now and then. Takes nothing from
 * the world's chance: the other worlds are what they were. */
static bool overloaded(const struct sim *sim, const struct sim_inst *inst)
{
    return sim->seed % 8 == 0 && !sim->fixed && !sim->faults.quiet &&
           inst->state == KMR_ENGINE_PROTECTED && sim->now_ms % 4 == 0;
}

static void hear_now(struct sim *sim, unsigned n, int index)
{
    const struct sim_inst *inst = &sim->insts[index];
    struct sim_news it = {
        .inst = index,
        .state = inst->state,
        .role = inst->role,
        .generation = inst->generation,
        .peer = inst->peer,
        .overloaded = overloaded(sim, inst),
    };

    hear(sim, n, &it);
}

void sim_poll(struct sim *sim, unsigned n)
{
    struct sim_node *node = &sim->node[n];
    const struct sim_inst *inst = &sim->insts[node->qemu];

    node->poll_ms =
        sim->now_ms + (node->pair.phase == KMR_PHASE_SYNCING ? 500 : 5000);
    if (!node->mute && node->pair.order == KMR_ORDER_NONE &&
        node->pair.phase != KMR_PHASE_ADOPTING && node->kill_ms == 0 &&
        inst->generation == node->pair.engine_generation) {
        hear_now(sim, n, node->qemu);
    }
    if (!node->mute && node->pair.order == KMR_ORDER_NONE &&
        node->kill_ms == 0) {
        hear_guest(sim, n, node->qemu);
    }
}

/* ---- its end ---- */

void sim_later_add(struct sim *sim, unsigned n, const struct sim_later *it)
{
    for (unsigned i = 0; i < SIM_LATER; i++) {
        if (sim->node[n].later[i].kind == SIM_LATER_NONE) {
            sim->node[n].later[i] = *it;
            return;
        }
    }
    sim_fail(sim, "%s: too much is to happen later", sim->node[n].name);
}

static void reap(struct sim *sim, unsigned n, int index, uint64_t after_ms)
{
    struct sim_later it = {
        .kind = SIM_LATER_REAPED,
        .at_ms = sim->now_ms + after_ms,
        .a = index,
    };

    if (sim->node[n].kemarid && index >= 0) {
        sim_later_add(sim, n, &it);
    }
}

static void notices(struct sim *sim, int index, uint64_t after_ms)
{
    struct sim_inst *inst = &sim->insts[index];

    if (inst->exists && inst->link >= 0 && inst->broken_ms == 0) {
        inst->broken_ms = sim->now_ms + after_ms;
    }
}

bool sim_repl_is_up(const struct sim *sim, unsigned a, unsigned b)
{
    return sim->node[a].power && sim->node[b].power &&
           sim->repl[a] == sim->repl[b];
}

/* This end of the stream closes; the other one notices. */
void sim_close_stream(struct sim *sim, int index)
{
    struct sim_inst *inst = &sim->insts[index];
    struct sim_inst *other = sim_inst(sim, inst->link);

    if (other && other->link == index) {
        notices(sim, inst->link,
                sim_repl_is_up(sim, inst->node, other->node)
                    ? sim_delay(sim, 1, 5)
                    : sim_delay(sim, 900, 1300));
    }
    inst->link = -1;
    inst->carry_ms = inst->ack_ms = inst->broken_ms = 0;
}

void sim_qemu_dies(struct sim *sim, int index, bool seen)
{
    struct sim_inst *inst = &sim->insts[index];
    struct sim_node *node = &sim->node[inst->node];
    bool powered = node->power;

    if (!inst->exists) {
        return;
    }
    sim_say(sim, "%s QEMU i%u dies (%u made, %u acknowledged, %u seen)",
            node->name, inst->id, inst->made, inst->acked, inst->released);
    inst->exists = inst->guest = false;
    node->power = powered && seen; /* nobody closes the connection */
    sim_close_stream(sim, index);
    node->power = powered;
    inst->run_ms = inst->work_ms = inst->broken_ms = 0;
    node->qemu = -1;
    node->kill_ms = 0;
    if (node->kemarid && seen) {
        reap(sim, inst->node, index, sim_delay(sim, 1, 15));
    }
}

void sim_kill(struct sim *sim, unsigned n, int index, uint64_t after_ms)
{
    struct sim_node *node = &sim->node[n];

    if (index < 0) {
        index = sim_inst_index(sim, node->pair.instance);
    }
    if (index >= 0 && sim->insts[index].exists) {
        if (node->kill_ms == 0 || node->kill != index) {
            node->kill = index;
            node->kill_ms = sim->now_ms + after_ms;
        }
    } else if (node->command.inst == index &&
               (node->command.order == KMR_ORDER_CREATE_PRIMARY ||
                node->command.order == KMR_ORDER_CREATE_STANDBY)) {
        if (node->command.waits) {
            node->command.order = KMR_ORDER_NONE;
            reap(sim, n, index, 1);
        } else {
            node->command.tag = 0; /* killed as soon as it is there */
        }
    } else if (sim->now_ms >= node->wait_ms) {
        reap(sim, n, index, 1);
    } /* else the core kills again */
}

void sim_break_stream(struct sim *sim, int index)
{
    struct sim_inst *inst = &sim->insts[index];
    int other = inst->link;

    if (other >= 0) {
        notices(sim, index, sim_delay(sim, 1, 1200));
        notices(sim, other, sim_delay(sim, 1, 1200));
    }
}

void sim_repl_changed(struct sim *sim)
{
    for (unsigned n = 0; n < sim->nodes; n++) {
        struct sim_inst *inst = sim_inst(sim, sim->node[n].qemu);

        if (inst && inst->link >= 0 &&
            !sim_repl_is_up(sim, n, sim->insts[inst->link].node)) {
            notices(sim, sim->node[n].qemu, sim_delay(sim, 1000, 1500));
        }
    }
}

/* ---- orders ---- */

enum outcome { WELL, FAILS, ANSWER_LOST, HANGS };

/* libvirtd gets it. */
void sim_command_go(struct sim *sim, unsigned n)
{
    struct sim_command *command = &sim->node[n].command;
    bool create = command->order == KMR_ORDER_CREATE_PRIMARY ||
                  command->order == KMR_ORDER_CREATE_STANDBY;

    command->waits = false;
    command->at_ms = sim->now_ms + sim_delay(sim, 1, create ? 400 : 8);
    if (command->outcome == HANGS) {
        struct sim_later late = {
            .kind = SIM_LATER_LATE,
            .at_ms = sim->now_ms + sim_delay(sim, 100, 25000),
            .a = command->inst,
            .order = command->order,
            .generation = command->generation,
            .peer = command->peer,
        };

        command->hangs = true;
        command->at_ms = sim->now_ms + (create ? 30000 : 10000);
        if (sim_chance(sim, 70)) {
            sim_later_add(sim, n, &late);
        }
    }
}

void sim_order(struct sim *sim, unsigned n, const struct kmr_effect *effect)
{
    struct sim_node *node = &sim->node[n];
    struct sim_command *command = &node->command;
    uint32_t luck = sim->faults.quiet ? 99 : sim_random(sim, 100);

    memset(command, 0, sizeof(*command));
    command->order = effect->order;
    command->tag = effect->tag;
    command->generation = effect->generation;
    command->inst = make_inst(sim, n, effect->id);
    command->peer = sim_inst_index(sim, effect->peer);
    command->outcome = node->mute ? HANGS
                       : luck < 2 ? FAILS
                       : luck < 4 ? ANSWER_LOST
                       : luck < 6 ? HANGS
                                  : WELL;
    if (sim->faults.handover_fails && effect->order == KMR_ORDER_HANDOVER) {
        sim->faults.handover_fails = false;
        command->outcome = FAILS;
    }
    if (effect->durable) {
        command->waits = true;
        command->at_ms = sim->now_ms + 30000;
    } else {
        sim_command_go(sim, n);
    }
    sim_say(sim, "%s order: %s i%u (%u)", node->name,
            kmr_order_text(effect->order), sim_uuid_number(effect->id),
            (unsigned)effect->generation);
}

static bool create(struct sim *sim, unsigned n, int index, bool primary,
                   int peer)
{
    struct sim_inst *inst = &sim->insts[index];
    struct sim_node *node = &sim->node[n];

    if (node->qemu >= 0 || inst->ever) {
        return false;
    }
    sim_check_create(sim, index, primary);
    inst->exists = inst->ever = true;
    inst->peer = peer;
    node->qemu = index;
    if (primary) {
        /* The disk has all that was written. */
        inst->start = inst->made = inst->acked = inst->released = inst->landed =
            sim->seen + 1;
        inst->guest = inst->ran = inst->booted = true;
        inst->run = KMR_RUN_RUNNING;
        sim_check_alone(sim, index);
    }
    inst->work_ms = sim->now_ms + sim_delay(sim, 20, 200);
    node->poll_ms = sim->now_ms + 500;
    return true;
}

static bool start_sync(struct sim *sim, int index, uint64_t generation,
                       int peer)
{
    struct sim_inst *inst = &sim->insts[index];
    struct sim_inst *other = sim_inst(sim, peer);

    if (inst->role != KMR_ENGINE_ROLE_NONE || generation <= inst->generation) {
        return false;
    }
    inst->generation = generation;
    inst->peer = peer;
    if (!other || !other->exists || other->role != KMR_ENGINE_ROLE_STANDBY ||
        other->state != KMR_ENGINE_PREPARING || other->peer != index ||
        !sim_repl_is_up(sim, inst->node, other->node)) {
        if (sim_chance(sim, 50)) {
            return false;
        }
        sim_news(sim, index, KMR_ENGINE_NONE, false);
        return true;
    }
    inst->role = KMR_ENGINE_ROLE_PRIMARY;
    inst->state = other->state = KMR_ENGINE_SYNCING;
    inst->link = peer;
    other->link = index;
    inst->work_ms = sim->now_ms + sim_delay(sim, 50, 3000);
    sim_news(sim, index, KMR_ENGINE_SYNCING, false);
    sim_news(sim, peer, KMR_ENGINE_SYNCING, false);
    return true;
}

void sim_release_up_to(struct sim *sim, int index, uint32_t number)
{
    struct sim_inst *inst = &sim->insts[index];

    if (number > inst->released) {
        sim_check_release(sim, index, "releases");
        inst->released = number;
        if (number > sim->seen) {
            sim->seen = number;
        }
    }
}

/* False: refused. */
static bool execute(struct sim *sim, unsigned n, enum kmr_order order,
                    int index, uint64_t generation, int peer)
{
    struct sim_inst *inst = &sim->insts[index];
    bool primary = inst->role == KMR_ENGINE_ROLE_PRIMARY;
    bool newer = generation > inst->generation;

    if (order == KMR_ORDER_CREATE_PRIMARY ||
        order == KMR_ORDER_CREATE_STANDBY) {
        return create(sim, n, index, order == KMR_ORDER_CREATE_PRIMARY, peer);
    }
    if (!inst->exists) {
        return false;
    }
    switch (order) {
    case KMR_ORDER_PREPARE:
        if (!newer || inst->role != KMR_ENGINE_ROLE_NONE || inst->ran) {
            return false;
        }
        inst->generation = generation;
        inst->role = KMR_ENGINE_ROLE_STANDBY;
        inst->state = KMR_ENGINE_PREPARING;
        inst->peer = peer;
        return true;
    case KMR_ORDER_SYNC:
        return start_sync(sim, index, generation, peer);
    case KMR_ORDER_CONFIRM:
        if (!newer || !primary || inst->state != KMR_ENGINE_IN_STEP) {
            return false;
        }
        inst->generation = generation;
        inst->state = KMR_ENGINE_PROTECTED;
        sim_news(sim, index, KMR_ENGINE_PROTECTED, false);
        sim_release_up_to(sim, index, inst->acked);
        return true;
    case KMR_ORDER_RELEASE:
        if (!newer || !primary) {
            return false;
        }
        inst->generation = generation;
        sim_close_stream(sim, index);
        inst->role = KMR_ENGINE_ROLE_NONE;
        inst->state = KMR_ENGINE_NONE;
        inst->hold = inst->last = false;
        if (inst->frozen && inst->run == KMR_RUN_IO_ERROR) {
            inst->run = KMR_RUN_RUNNING;
        }
        inst->frozen = false;
        inst->guest = inst->run == KMR_RUN_RUNNING;
        sim_check_alone(sim, index);
        inst->work_ms = sim->now_ms + sim_delay(sim, 5, 100);
        sim_news(sim, index, KMR_ENGINE_NONE, false);
        return true;
    case KMR_ORDER_TAKEOVER:
        if (!newer || inst->role != KMR_ENGINE_ROLE_STANDBY ||
            (inst->state != KMR_ENGINE_SYNCHRONISED &&
             inst->state != KMR_ENGINE_PRIMARY_LOST)) {
            return false;
        }
        inst->generation = generation;
        inst->shut = true;
        sim_close_stream(sim, index);
        inst->state = KMR_ENGINE_TAKING_OVER;
        inst->run_ms = sim->now_ms + sim_delay(sim, 5, 100);
        sim_check_resume(sim, index);
        return true;
    case KMR_ORDER_HANDOVER:
        if (!newer || !primary || inst->state != KMR_ENGINE_PROTECTED) {
            return false;
        }
        inst->generation = generation;
        inst->state = KMR_ENGINE_HANDING_OVER;
        inst->guest = false;
        inst->frozen = true;
        inst->work_ms = sim->now_ms + 1;
        return true;
    case KMR_ORDER_RETRY:
    case KMR_ORDER_REPORT:
        if (!newer || inst->role == KMR_ENGINE_ROLE_STANDBY || inst->frozen) {
            return false;
        }
        inst->generation = generation;
        return inst->run != KMR_RUN_IO_ERROR || sim_resume(sim, index);
    case KMR_ORDER_RESTART:
        if (!newer || !sim_resume(sim, index)) {
            return false;
        }
        inst->generation = generation;
        return true;
    case KMR_ORDER_DUMP:
        return true;
    case KMR_ORDER_SHUTDOWN:
        inst->powers_off = inst->guest && !sim_chance(sim, 15);
        return true;
    case KMR_ORDER_QUERY:
    case KMR_ORDER_NONE:
    case KMR_ORDER_CREATE_PRIMARY:
    case KMR_ORDER_CREATE_STANDBY:
        return true;
    }
    return false;
}

void sim_execute_late(struct sim *sim, unsigned n, const struct sim_later *it)
{
    sim_say(sim, "%s (an order fires late: %s)", sim->node[n].name,
            kmr_order_text(it->order));
    execute(sim, n, it->order, it->a, it->generation, it->peer);
}

void sim_command_due(struct sim *sim, unsigned n)
{
    struct sim_node *node = &sim->node[n];
    struct sim_command command = node->command;
    struct kmr_event event = { .type = KMR_EVENT_DONE };
    bool creates = command.order == KMR_ORDER_CREATE_PRIMARY ||
                   command.order == KMR_ORDER_CREATE_STANDBY;
    bool good = false;

    if (command.waits) {
        command.outcome = FAILS;
    } else if (creates && node->qemu >= 0 && node->qemu != command.inst &&
               command.outcome != HANGS) {
        node->command.at_ms = sim->now_ms + 200; /* the old domain is there */
        return;
    }
    node->command.order = KMR_ORDER_NONE;
    if (command.outcome == WELL || command.outcome == ANSWER_LOST) {
        good = execute(sim, n, command.order, command.inst, command.generation,
                       command.peer);
    }
    if (creates && command.tag == 0) {
        sim_kill(sim, n, command.inst, 1); /* no longer wanted */
        return;
    }
    if (good && command.outcome == WELL && command.order == KMR_ORDER_QUERY) {
        hear_now(sim, n, command.inst);
    }
    event.order = command.order;
    event.tag = command.tag;
    event.flag = good && command.outcome == WELL;
    event.maybe = command.outcome == HANGS || command.outcome == ANSWER_LOST;
    kmr_text_set(event.reason, sizeof(event.reason),
                 event.flag ? "" : "libvirt says no");
    sim_step(sim, n, &event);
    if (command.order == KMR_ORDER_RETRY || command.order == KMR_ORDER_REPORT ||
        command.order == KMR_ORDER_RESTART) {
        sim_ask_guest(sim, n);
    }
}
