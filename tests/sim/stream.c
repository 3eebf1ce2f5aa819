/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim.h"

/*
 * A guest that counts, and the stream to its standby. Each number is an output
 * that is released when the engine may, and a write to the shared disk.
 */

#define UNACKED_MAX 5 /* a guest waits when so much is held */


uint64_t sim_inst_next(const struct sim *sim, const struct sim_inst *inst)
{
    const uint64_t at[] = { inst->run_ms, inst->work_ms, inst->broken_ms,
                            inst->carry_ms, inst->ack_ms };
    uint64_t next = 0;

    (void)sim;
    for (unsigned i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
        if (at[i] != 0 && (next == 0 || at[i] < next)) {
            next = at[i];
        }
    }
    return next;
}

static void broken(struct sim *sim, int index)
{
    struct sim_inst *inst = &sim->insts[index];
    enum kmr_engine before = inst->state;

    sim_close_stream(sim, index);
    switch (inst->state) {
    case KMR_ENGINE_SYNCING:
        if (inst->role == KMR_ENGINE_ROLE_PRIMARY) {
            inst->state = KMR_ENGINE_NONE;
            inst->role = KMR_ENGINE_ROLE_NONE;
            inst->hold = false;
        } else {
            inst->state = KMR_ENGINE_FAILED;
        }
        break;
    case KMR_ENGINE_IN_STEP:
    case KMR_ENGINE_PROTECTED:
    case KMR_ENGINE_HANDING_OVER:
        inst->state = KMR_ENGINE_HOLDING;
        break;
    case KMR_ENGINE_SYNCHRONISED:
        inst->state = KMR_ENGINE_PRIMARY_LOST;
        break;
    default:
        break;
    }
    if (inst->state != before) {
        sim_say(sim, "%s i%u notices that the stream broke",
                sim->node[inst->node].name, inst->id);
        sim_news(sim, index, inst->state, false);
    }
}

static void carried(struct sim *sim, int index)
{
    struct sim_inst *inst = &sim->insts[index];
    struct sim_inst *other = &sim->insts[inst->link];

    if (!sim_repl_is_up(sim, inst->node, other->node)) {
        inst->carry_ms = sim->now_ms + 50;
        return;
    }
    inst->carry_ms = 0;
    if (!other->exists || other->link != index || other->shut) {
        return;
    }
    other->have = inst->carried;
    other->have_run = inst->carried_run;
    if (other->state == KMR_ENGINE_SYNCING) {
        other->state = KMR_ENGINE_SYNCHRONISED;
        sim_news(sim, inst->link, KMR_ENGINE_SYNCHRONISED, false);
    }
    inst->ack_ms = sim->now_ms + sim_delay(sim, 1, 4);
}

static void acknowledged(struct sim *sim, int index)
{
    struct sim_inst *inst = &sim->insts[index];

    if (!sim_repl_is_up(sim, inst->node, sim->insts[inst->link].node)) {
        inst->ack_ms = sim->now_ms + 50;
        return;
    }
    inst->ack_ms = 0;
    inst->acked = inst->carried;
    if (inst->state == KMR_ENGINE_SYNCING) {
        inst->state = KMR_ENGINE_IN_STEP;
        sim_news(sim, index, KMR_ENGINE_IN_STEP, false);
    } else if (inst->state == KMR_ENGINE_PROTECTED) {
        sim_release_up_to(sim, index, inst->acked);
    } else if (inst->state == KMR_ENGINE_HANDING_OVER) {
        if (inst->last) {
            inst->state = KMR_ENGINE_HANDED_OVER;
            sim_news(sim, index, KMR_ENGINE_HANDED_OVER, false);
        } else {
            sim_release_up_to(sim, index, inst->acked);
        }
    }
}

/* It takes no more checkpoints, and its standby misses them after a second. */
static bool loses_memory(struct sim *sim, int index)
{
    struct sim_inst *inst = &sim->insts[index];

    if (!sim->faults.memory || sim->faults.quiet ||
        (inst->state != KMR_ENGINE_IN_STEP &&
         inst->state != KMR_ENGINE_PROTECTED &&
         inst->state != KMR_ENGINE_HANDING_OVER) ||
        !sim_chance(sim, 3)) {
        return false;
    }
    inst->state = KMR_ENGINE_MEMORY_LOST;
    sim->insts[inst->link].broken_ms = sim->now_ms + 1000;
    sim_say(sim, "%s i%u has lost memory", sim->node[inst->node].name,
            inst->id);
    sim_news(sim, index, KMR_ENGINE_MEMORY_LOST, false);
    return true;
}

void sim_ask_guest(struct sim *sim, unsigned n)
{
    struct sim_node *node = &sim->node[n];
    unsigned before = node->news_count;

    if (sim->faults.trouble && node->qemu >= 0) {
        sim_news(sim, node->qemu, sim->insts[node->qemu].state, false);
        if (node->news_count > before) {
            node->news[before].guest = true;
        }
    }
}

bool sim_resume(struct sim *sim, int index)
{
    struct sim_inst *inst = &sim->insts[index];

    if (!inst->exists || inst->role == KMR_ENGINE_ROLE_STANDBY ||
        inst->frozen) {
        return false;
    }
    inst->guest = true;
    inst->run = KMR_RUN_RUNNING;
    sim_check_alone(sim, index);
    return true;
}

static void stops(struct sim *sim, int index, enum kmr_run run)
{
    struct sim_inst *inst = &sim->insts[index];

    inst->guest = false;
    inst->run = run;
    sim_say(sim, "%s i%u: its guest stops: %s", sim->node[inst->node].name,
            inst->id, kmr_run_text(run));
    sim_ask_guest(sim, inst->node);
}

/* Nothing of it lands before the guest runs again, here or elsewhere. */
static bool write_fails(struct sim *sim, int index)
{
    struct sim_inst *inst = &sim->insts[index];

    if (inst->run == KMR_RUN_IO_ERROR) {
        return true;
    }
    if (!sim->node[inst->node].bad_path || !inst->ran) {
        return false;
    }
    if (inst->guest) {
        stops(sim, index, KMR_RUN_IO_ERROR);
    }
    return true;
}

static void guest_fails(struct sim *sim, int index)
{
    struct sim_inst *inst = &sim->insts[index];

    if (!sim->faults.trouble || sim->faults.quiet || !inst->guest ||
        !sim_chance(sim, 1)) {
        return;
    }
    stops(sim, index,
          sim_chance(sim, 50) ? KMR_RUN_PANICKED : KMR_RUN_INTERNAL_ERROR);
}

/* It takes no checkpoints until it is reset, and its standby misses them. */
static bool is_stuck(struct sim *sim, int index)
{
    struct sim_inst *inst = &sim->insts[index];

    if (inst->run != KMR_RUN_INTERNAL_ERROR ||
        (inst->state != KMR_ENGINE_IN_STEP &&
         inst->state != KMR_ENGINE_PROTECTED)) {
        return false;
    }
    if (sim->insts[inst->link].broken_ms == 0) {
        sim->insts[inst->link].broken_ms = sim->now_ms + 1000;
    }
    return true;
}

static void transact(struct sim *sim, int index)
{
    struct sim_inst *inst = &sim->insts[index];

    if (inst->link < 0 || inst->carry_ms != 0 || inst->ack_ms != 0 ||
        inst->role != KMR_ENGINE_ROLE_PRIMARY ||
        inst->state == KMR_ENGINE_HANDED_OVER ||
        inst->state == KMR_ENGINE_MEMORY_LOST || loses_memory(sim, index) ||
        is_stuck(sim, index)) {
        return;
    }
    if (inst->state == KMR_ENGINE_HANDING_OVER) {
        /* those that failed are in flight in the last checkpoint */
        if (inst->landed != inst->released && inst->run != KMR_RUN_IO_ERROR) {
            return;
        }
        inst->last = true;
    }
    inst->hold = true;
    inst->carried = inst->made;
    inst->carried_run = inst->run;
    inst->carry_ms = sim->now_ms + sim_delay(sim, 1, 4);
}

static void work(struct sim *sim, int index)
{
    struct sim_inst *inst = &sim->insts[index];

    inst->work_ms = sim->now_ms + sim_delay(sim, 40, 300);
    if (inst->landed < inst->released && !write_fails(sim, index) &&
        !sim_chance(sim, 40)) {
        sim_check_release(sim, index, "writes late");
        inst->landed = inst->released;
    }
    guest_fails(sim, index);
    if (inst->guest && inst->made - inst->acked < UNACKED_MAX) {
        inst->made++;
    }
    if (inst->guest && !inst->hold) {
        inst->acked = inst->made;
        sim_release_up_to(sim, index, inst->made);
    }
    transact(sim, index);
    if (inst->guest && inst->powers_off) {
        sim_news(sim, index, inst->state, true);
        sim_kill(sim, inst->node, index, 6);
    }
}

static void runs(struct sim *sim, int index)
{
    struct sim_inst *inst = &sim->insts[index];

    inst->run_ms = 0;
    inst->role = KMR_ENGINE_ROLE_NONE;
    inst->state = KMR_ENGINE_NONE;
    inst->ran = true;
    inst->guest = inst->have_run != KMR_RUN_PANICKED &&
                  inst->have_run != KMR_RUN_INTERNAL_ERROR;
    inst->run = inst->guest ? KMR_RUN_RUNNING : inst->have_run;
    inst->hold = false;
    inst->start = inst->made = inst->acked = inst->released = inst->landed =
        inst->have;
    inst->parent = inst->peer;
    inst->work_ms = sim->now_ms + sim_delay(sim, 5, 100);
    sim_check_alone(sim, index);
    sim_say(sim, "%s QEMU i%u goes on from output %u",
            sim->node[inst->node].name, inst->id, inst->have);
    sim_news(sim, index, KMR_ENGINE_RUNNING, false);
    sim_ask_guest(sim, inst->node);
}

void sim_inst_due(struct sim *sim, int index)
{
    struct sim_inst *inst = &sim->insts[index];
    uint64_t now_ms = sim_inst_next(sim, inst);

    if (inst->broken_ms == now_ms) {
        broken(sim, index);
    } else if (inst->carry_ms == now_ms) {
        carried(sim, index);
    } else if (inst->ack_ms == now_ms) {
        acknowledged(sim, index);
    } else if (inst->run_ms == now_ms) {
        runs(sim, index);
    } else {
        work(sim, index);
    }
}
