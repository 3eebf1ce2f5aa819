/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim.h"

#include <string.h>

/* What goes wrong in a random run, and how all of it ends. */

/* A voter may just be leaving, without anybody knowing that it is decided. */
static bool may_be_leaving(const struct sim_node *node, unsigned nodes)
{
    return node->has_file && node->disk.accepted.round != 0 &&
           kmr_record_voters(&node->disk.value) < nodes;
}

/* Everybody else has a vote and says so: one file may be lost. */
static bool others_vote(const struct sim *sim, unsigned n)
{
    for (unsigned m = 0; m < sim->nodes; m++) {
        const struct kmr_consensus *agreed = &sim->node[m].pair.agreed;

        if (may_be_leaving(&sim->node[m], sim->nodes)) {
            return false;
        }
        if (m != n && (!sim->node[m].kemarid || !sim->node[m].has_file ||
                       agreed->record.generation == 0 ||
                       agreed->record.generation != sim->newest ||
                       sim->node[m].disk.record.generation != sim->newest ||
                       !kmr_consensus_votes(agreed))) {
            return false;
        }
    }
    return sim->nodes > 2;
}

static void file_fault(struct sim *sim, unsigned n)
{
    struct sim_node *node = &sim->node[n];

    if (!sim->faults.files || node->kemarid || !others_vote(sim, n) ||
        !node->has_file) {
        return;
    }
    sim_say(sim, "%s its state file is lost", node->name);
    node->has_file = false;
    node->checked = 0;
}

static void cut_cluster(struct sim *sim)
{
    for (unsigned n = 0; n < sim->nodes; n++) {
        sim->cluster[n] = (uint8_t)sim_random(sim, 2);
    }
    sim_say(sim, "the cluster link is cut: %u%u%u%u%u", sim->cluster[0],
            sim->cluster[1], sim->cluster[2], sim->cluster[3], sim->cluster[4]);
    sim_links_changed(sim, true);
}

static void heal_cluster(struct sim *sim)
{
    sim_say(sim, "the cluster link is whole");
    memset(sim->cluster, 0, sizeof(sim->cluster));
    sim_links_changed(sim, false);
}

/* corosync loses a node for a moment. */
static void blink(struct sim *sim, unsigned n)
{
    memset(sim->cluster, 0, sizeof(sim->cluster));
    sim->cluster[n] = 1;
    sim_reform(sim);
    heal_cluster(sim);
}

static void cut_repl(struct sim *sim)
{
    for (unsigned n = 0; n < sim->nodes; n++) {
        sim->repl[n] = (uint8_t)sim_random(sim, 2);
    }
    sim_say(sim, "the replication link is cut");
    sim_repl_changed(sim);
}

/* What kemari-mced says of a node is heard by every kemarid. */
static void colour(struct sim *sim, unsigned n, enum kmr_colour colour)
{
    sim->node[n].colour = colour;
    sim_say(sim, "%s is %s", sim->node[n].name, kmr_colour_text(colour));
    for (unsigned m = 0; m < sim->nodes; m++) {
        sim_tell_health(sim, m, n);
    }
}

void sim_fault(struct sim *sim)
{
    unsigned n = sim_random(sim, sim->nodes);
    struct sim_node *node = &sim->node[n];

    if (sim->faults.trouble && sim_chance(sim, 30)) {
        node->bad_path = !node->bad_path;
        sim_say(sim, "%s its path to the disk is %s", node->name,
                node->bad_path ? "bad" : "good");
    }
    sim->faults.at_ms =
        sim->now_ms + 1 + sim_random(sim, 2 * sim->faults.mean_ms);
    if (sim->world != SIM_PAIR && sim_chance(sim, 8)) {
        blink(sim, n);
        return;
    }
    if (sim->faults.health && sim_chance(sim, 30)) {
        colour(sim, n,
               (enum kmr_colour)(KMR_COLOUR_GREEN + sim_random(sim, 3)));
        return;
    }
    switch (sim_random(sim, 16)) {
    case 0:
    case 1:
        if (node->qemu >= 0) {
            sim_qemu_dies(sim, node->qemu, true);
        }
        break;
    case 2:
        sim_power_off(sim, n);
        break;
    case 3:
    case 4:
        if (node->kemarid && sim_chance(sim, 50)) {
            sim_kemarid_leave(sim, n);
        } else if (node->kemarid) {
            sim_kemarid_stop(sim, n);
            node->back_ms =
                sim->now_ms +
                sim_delay(sim, 50, sim_chance(sim, 10) ? 60000 : 8000);
        }
        break;
    case 5:
        file_fault(sim, n);
        break;
    case 6:
        cut_cluster(sim);
        break;
    case 7:
    case 8:
        heal_cluster(sim);
        break;
    case 9:
        cut_repl(sim);
        break;
    case 10:
    case 11:
        memset(sim->repl, 0, sizeof(sim->repl));
        break;
    case 12:
        if (node->qemu >= 0) {
            sim_break_stream(sim, node->qemu);
        }
        break;
    case 13:
        node->mute = !node->mute;
        break;
    case 14:
        node->full = !node->full;
        break;
    default:
        for (unsigned m = 0; m < sim->nodes; m++) {
            sim->node[m].full = sim->node[m].mute = false;
        }
        break;
    }
}

void sim_heal(struct sim *sim)
{
    sim_say(sim, "---- no more faults");
    sim->faults.quiet = true;
    sim->faults.quiet_ms = sim->now_ms;
    heal_cluster(sim);
    memset(sim->repl, 0, sizeof(sim->repl));
    sim->op.disabled = false;
    memset(sim->op.standby, 0, sizeof(sim->op.standby));
    for (unsigned n = 0; n < sim->nodes; n++) {
        struct sim_node *node = &sim->node[n];

        node->mute = node->full = node->bad_path = false;
        if (!node->power && node->boot_ms == 0) {
            node->boot_ms = sim->now_ms + 5000;
        } else if (node->power && !node->kemarid && node->back_ms == 0) {
            node->back_ms = sim->now_ms + 1000;
        }
    }
}

static bool runs(const struct sim *sim, unsigned n)
{
    const struct sim_inst *inst =
        sim->node[n].qemu >= 0 ? &sim->insts[sim->node[n].qemu] : NULL;

    return inst && inst->guest &&
           (!inst->hold || inst->state == KMR_ENGINE_PROTECTED);
}

/* Of a VM alone: it runs where Pacemaker thinks, and nothing is to be done. */
static bool is_known(const struct sim *sim)
{
    for (unsigned n = 0; n < sim->nodes; n++) {
        if (sim->op.failed[n] || (sim->node[n].qemu >= 0) != runs(sim, n) ||
            (sim->op.role[n] == SIM_STARTED) != runs(sim, n)) {
            return false;
        }
    }
    return sim->op.leg == 0 && !sim_is_busy(sim);
}

bool sim_is_well(const struct sim *sim, bool protected)
{
    unsigned running = 0;

    for (unsigned n = 0; n < sim->nodes; n++) {
        const struct sim_node *node = &sim->node[n];

        if (runs(sim, n)) {
            running += !protected || sim->world == SIM_ALONE ||
                       (node->pair.phase == KMR_PHASE_PROTECTED &&
                        node->pair.agreed.record.mode == KMR_MODE_PAIRED);
        }
    }
    return running == 1 && (sim->world != SIM_ALONE || is_known(sim));
}
