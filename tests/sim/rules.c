/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim.h"

#include <inttypes.h>
#include <string.h>

/* What must never be, checked after each step. Numbers as in README.md. */

static uint64_t sum(uint64_t so_far, const void *data, size_t len)
{
    const unsigned char *at = data;

    while (len-- > 0) {
        so_far = (so_far ^ *at++) * 1099511628211u;
    }
    return so_far;
}

static uint64_t sum_inst(uint64_t so_far, const struct kmr_inst *inst)
{
    if (inst->id[0] == '\0') {
        return sum(so_far, "-", 1);
    }
    so_far = sum(so_far, inst->id, strlen(inst->id));
    so_far = sum(so_far, inst->node, strlen(inst->node));
    so_far = sum(so_far, &inst->boot, sizeof(inst->boot));
    return sum(so_far, &inst->until, sizeof(inst->until));
}

/* Over what was agreed; `dead` and `frozen` were not. */
static uint64_t sum_record(const struct kmr_record *record)
{
    uint64_t so_far = 14695981039346656037u;

    so_far = sum(so_far, &record->mode, sizeof(record->mode));
    so_far = sum_inst(so_far, &record->owner);
    so_far = sum_inst(so_far, &record->standby);
    for (unsigned i = 0; i < KMR_EARLIER_MAX; i++) {
        so_far = sum_inst(so_far, &record->earlier[i]);
    }
    for (unsigned i = 0; i < kmr_record_voters(record); i++) {
        so_far = sum(so_far, record->voters[i].node,
                     strlen(record->voters[i].node) + 1);
        so_far =
            sum(so_far, record->voters[i].id, strlen(record->voters[i].id) + 1);
    }
    return so_far == 0 ? 1 : so_far;
}

/* Rule 4: one value per generation. */
static void check_decided(struct sim *sim, unsigned n)
{
    const struct kmr_record *record = &sim->node[n].pair.agreed.record;
    struct sim_decided *decided;
    uint64_t value = sum_record(record);

    if (record->generation == 0 || record->generation >= SIM_GENERATIONS) {
        return;
    }
    decided = &sim->decided[record->generation];
    if (decided->value != 0) {
        if (decided->value != value) {
            sim_fail(sim,
                     "rule 4: %s has another record of generation %" PRIu64,
                     sim->node[n].name, record->generation);
        }
        return;
    }
    decided->value = value;
    decided->mode = record->mode;
    decided->owner = sim_inst_index(sim, record->owner.id);
    decided->standby = sim_inst_index(sim, record->standby.id);
    if (decided->standby >= 0) {
        sim->insts[decided->standby].named = true;
    }
    if (record->generation > sim->newest) {
        sim->newest = record->generation;
    }
    sim_say(sim, "%s decided %" PRIu64 ": %s i%u i%u, %u voters",
            sim->node[n].name, record->generation, kmr_mode_text(record->mode),
            sim_uuid_number(record->owner.id),
            sim_uuid_number(record->standby.id), kmr_record_voters(record));
}

/* Rule 8: dead means dead. */
static void check_dead(struct sim *sim, unsigned n, const struct kmr_inst *inst)
{
    int index;

    if (!inst->dead) {
        return;
    }
    index = sim_inst_index(sim, inst->id);
    if (index >= 0 && sim->insts[index].exists) {
        sim_fail(sim, "rule 8: %s thinks that i%u is dead, and it is not",
                 sim->node[n].name, sim->insts[index].id);
    }
}

/*
 * Rule 9: a guest ends because it wants to, because it was to be stopped, or
 * because it was to be demoted and nobody promoted.
 */
static void check_end(struct sim *sim, unsigned n,
                      const struct kmr_event *event,
                      const struct kmr_effect *moved)
{
    const struct kmr_pair *pair = &sim->node[n].pair;
    const struct kmr_record *record = &pair->agreed.record;

    if (moved->to == KMR_PHASE_KILLING) {
        if (!kmr_phase_is_owner(moved->from) ||
            moved->from == KMR_PHASE_BOOTING ||
            moved->from == KMR_PHASE_CLAIMED ||
            moved->from == KMR_PHASE_TAKING_OVER ||
            moved->from == KMR_PHASE_SHUTTING_DOWN ||
            !kmr_inst_is(&record->owner, pair->instance) ||
            record->owner.dead || record->mode == KMR_MODE_DOWN) {
            return;
        }
    } else if (moved->to != KMR_PHASE_SHUTTING_DOWN) {
        return;
    }
    if (event->type != KMR_EVENT_STOP && event->type != KMR_EVENT_POWEROFF &&
        (event->type != KMR_EVENT_DEMOTE || event->flag)) {
        sim_fail(sim, "rule 9: %s ends its guest (%s, %s)", sim->node[n].name,
                 kmr_event_text(event->type), moved->reason);
    }
}

bool sim_goes_on_with(const struct sim *sim, int index, int from)
{
    const struct sim_inst *inst;

    for (; index >= 0 && index != from; index = inst->parent) {
        inst = &sim->insts[index];
        if (!inst->ran) {
            index = inst->peer; /* it has not resumed yet */
            break;
        }
    }
    return index == from;
}

/* Rule 10: what Pacemaker was told is true. */
void sim_check_answer(struct sim *sim, enum sim_action action, unsigned n)
{
    const struct sim_operator *op = &sim->op;
    const struct sim_node *node = &sim->node[n];
    int owner = sim_inst_index(sim, node->pair.agreed.record.owner.id);

    if (action == SIM_STOP && node->qemu >= 0) {
        sim_fail(sim, "rule 10: stopped, and i%u runs on %s",
                 sim->insts[node->qemu].id, node->name);
    } else if (op->leg != 0 && op->moved >= 0 &&
               (action == SIM_MIGRATE ||
                (action == SIM_ARRIVE && node->qemu >= 0)) &&
               (owner == op->moved ||
                !sim_goes_on_with(sim, owner, op->moved))) {
        sim_fail(sim, "rule 10: migrated, and i%u is not what i%u was",
                 sim_uuid_number(node->pair.agreed.record.owner.id),
                 sim->insts[op->moved].id);
    }
}

void sim_check_step(struct sim *sim, unsigned n, const struct kmr_event *event,
                    const struct kmr_effects *did)
{
    struct sim_node *node = &sim->node[n];
    const struct kmr_record *record = &node->pair.agreed.record;

    if (did->count > KMR_EFFECTS_MAX) {
        sim_fail(sim, "rule 6: %s: %u effects", node->name, did->count);
    }
    for (unsigned i = 0; i < did->count && i < KMR_EFFECTS_MAX; i++) {
        if (did->list[i].type == KMR_EFFECT_MOVED) {
            check_end(sim, n, event, &did->list[i]);
        }
    }
    if (record->generation != node->checked) {
        if (record->generation < node->checked) {
            sim_fail(sim, "rule 4: %s went back to generation %" PRIu64,
                     node->name, record->generation);
        }
        node->checked = record->generation;
        check_decided(sim, n);
    }
    check_dead(sim, n, &record->owner);
    check_dead(sim, n, &record->standby);
    for (unsigned i = 0; i < KMR_EARLIER_MAX; i++) {
        check_dead(sim, n, &record->earlier[i]);
    }
}

/* Rule 1: one guest at a time. */
void sim_check_alone(struct sim *sim, int index)
{
    for (unsigned n = 0; n < sim->nodes; n++) {
        int other = sim->node[n].qemu;

        if (other >= 0 && other != index && sim->insts[other].guest) {
            sim_fail(sim, "rule 1: i%u runs while i%u does",
                     sim->insts[index].id, sim->insts[other].id);
        }
    }
}

void sim_check_create(struct sim *sim, int index, bool primary)
{
    const struct sim_decided *decided = &sim->decided[sim->newest];
    const struct sim_inst *inst = &sim->insts[index];

    if (inst->declared) {
        sim_fail(sim, "rule 8: i%u is started after it was said to be dead",
                 inst->id);
    }
    if (!primary) {
        return;
    }
    for (unsigned n = 0; n < sim->nodes; n++) {
        int other = sim->node[n].qemu;

        if (other < 0 || other == index) {
            continue;
        }
        if (sim->insts[other].ran) {
            sim_fail(sim, "rule 5: i%u boots while i%u lives", inst->id,
                     sim->insts[other].id);
        }
        if (decided->mode == KMR_MODE_PAIRED && decided->standby == other) {
            sim_fail(sim, "rule 5: i%u boots while i%u could take over",
                     inst->id, sim->insts[other].id);
        }
    }
}

void sim_check_resume(struct sim *sim, int index)
{
    const struct sim_inst *inst = &sim->insts[index];
    bool owner = false;
    int from = inst->peer;

    for (uint64_t g = 1; g <= sim->newest; g++) {
        owner |= sim->decided[g].owner == index;
    }
    if (!inst->named || !owner) {
        sim_fail(sim, "rule 3: i%u resumes, and no record named it", inst->id);
    }
    for (unsigned n = 0; n < sim->nodes; n++) {
        int other = sim->node[n].qemu;

        if (other >= 0 && other != index && sim->insts[other].ran &&
            sim->insts[other].state != KMR_ENGINE_HANDED_OVER) {
            sim_fail(sim, "rule 1: i%u resumes while i%u can write", inst->id,
                     sim->insts[other].id);
        }
    }
    while (from >= 0 && from != sim->visible) {
        from = sim->insts[from].parent;
    }
    if (sim->visible >= 0 && (from < 0 || inst->have < sim->seen)) {
        sim_fail(sim, "rule 2: i%u resumes from %u of i%d, seen was %u of i%u",
                 inst->id, inst->have,
                 inst->peer < 0 ? -1 : (int)sim->insts[inst->peer].id,
                 sim->seen, sim->insts[sim->visible].id);
    }
}

void sim_check_release(struct sim *sim, int index, const char *what)
{
    struct sim_inst *inst = &sim->insts[index];

    if (inst->first == 0) {
        if (inst->start < sim->seen && !inst->booted) {
            sim_fail(sim, "rule 2: i%u %s from %u, seen was %u", inst->id, what,
                     inst->start, sim->seen);
        }
        inst->first = ++sim->firsts;
        sim->visible = index;
    } else if (inst->first < sim->firsts) {
        sim_fail(sim, "rule 1: i%u %s after i%u did", inst->id, what,
                 sim->insts[sim->visible].id);
    }
}
