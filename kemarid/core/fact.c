/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/pair_priv.h"

#include "core/text.h"

/* Facts: which instances are certainly dead, or frozen for good. */

/* The instances that the record names, by number; NULL: no more. */
static const struct kmr_inst *named(const struct kmr_record *record, unsigned i)
{
    if (i == 0) {
        return &record->owner;
    }
    if (i == 1) {
        return &record->standby;
    }
    return i - 2 < KMR_EARLIER_MAX ? &record->earlier[i - 2] : NULL;
}

static void announce(struct kmr_step *step, const char *id, const char *reason)
{
    struct kmr_effect *effect = kmr_step_effect(step, KMR_EFFECT_DEATH);

    kmr_text_set(effect->id, sizeof(effect->id), id);
    kmr_text_set(effect->reason, sizeof(effect->reason), reason);
}

static bool alive_on(const struct kmr_inst *inst, const char *node)
{
    return inst->id[0] != '\0' && !inst->dead &&
           kmr_text_same(inst->node, node);
}

void kmr_fact_fenced(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_event *event = step->event;
    const struct kmr_peer *peer = kmr_pair_peer(pair, event->node);
    const struct kmr_inst *inst;

    /* Its incarnation has to be out of the group: fencewatch.h, (b). */
    if ((peer && peer->present) || kmr_text_same(event->node, pair->node)) {
        return;
    }
    kmr_consensus_fenced(&pair->agreed, event->node);
    for (unsigned i = 0; (inst = named(&pair->agreed.record, i)); i++) {
        if (alive_on(inst, event->node)) {
            announce(step, inst->id, "its node was fenced");
        }
    }
    if (pair->claim != KMR_CLAIM_NONE) {
        /* It may do without that voter now. */
        kmr_claim_make(step, pair->claim);
        kmr_consensus_hurry(&pair->agreed, event->now_ms);
    }
}

/* Of a peer that is there with a newer boot, older instances are dead. */
static void check_boots(struct kmr_step *step)
{
    const struct kmr_event *event = step->event;
    const struct kmr_inst *inst;

    if (!event->present || event->boot == 0) {
        return;
    }
    for (unsigned i = 0; (inst = named(&step->pair->agreed.record, i)); i++) {
        if (alive_on(inst, event->node) && inst->boot != event->boot) {
            announce(step, inst->id, "its node has booted again");
        }
    }
}

void kmr_fact_peer(struct kmr_step *step)
{
    const struct kmr_event *event = step->event;
    struct kmr_peer *peer = kmr_step_peer(step, event->node);

    if (!peer) {
        return;
    }
    if (peer->boot != event->boot && event->boot != 0) {
        peer->boot = event->boot;
        peer->avoid_until_ms = 0;
    }
    peer->present = event->present;
    peer->up = event->up;
    peer->started = event->started;
    peer->idle = event->idle;
    peer->has_qemu = event->has_qemu;
    check_boots(step);
}

void kmr_fact_health(struct kmr_step *step)
{
    const struct kmr_event *event = step->event;
    struct kmr_peer *peer = kmr_step_peer(step, event->node);

    if (peer) {
        peer->colour = event->colour;
    } else if (kmr_text_same(event->node, step->pair->node)) {
        step->pair->colour = event->colour;
    }
}

void kmr_fact_dead(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const char *id = step->event->id;

    if (kmr_text_same(pair->announced, id)) {
        pair->announced[0] = '\0';
        pair->announce_ms = 0;
    }
    if (kmr_record_dead(&pair->agreed.record, id)) {
        kmr_step_effect(step, KMR_EFFECT_PERSIST);
    }
    if (pair->peer[0] != '\0' && kmr_text_same(pair->peer, id) &&
        (pair->phase == KMR_PHASE_INVITING ||
         pair->phase == KMR_PHASE_SYNCING)) {
        kmr_owner_lost_candidate(step, "the new standby died");
    }
}

void kmr_fact_frozen(struct kmr_step *step)
{
    if (kmr_record_frozen(&step->pair->agreed.record, step->event->id,
                          step->event->generation)) {
        kmr_step_effect(step, KMR_EFFECT_PERSIST);
    }
}

/* An instance of ours in the record that is not our QEMU is gone. */
static void announce_ours(struct kmr_step *step, const struct kmr_inst *inst)
{
    struct kmr_pair *pair = step->pair;

    if (!alive_on(inst, pair->node) ||
        kmr_text_same(inst->id, pair->instance) ||
        kmr_text_same(inst->id, pair->down_id)) {
        return;
    }
    if (kmr_text_same(pair->announced, inst->id) &&
        step->event->now_ms < pair->announce_ms) {
        return;
    }
    kmr_text_set(pair->announced, sizeof(pair->announced), inst->id);
    pair->announce_ms = step->event->now_ms + KMR_ANNOUNCE_MS;
    announce(step, inst->id, "no such process on its node");
}

void kmr_fact_announce(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_inst *inst;
    bool recorded = false;

    for (unsigned i = 0; (inst = named(&pair->agreed.record, i)); i++) {
        announce_ours(step, inst);
        recorded |= kmr_inst_is(inst, pair->announced) && !inst->dead;
    }
    if (pair->announced[0] == '\0' ||
        (step->event->now_ms >= pair->announce_ms && !recorded)) {
        pair->announced[0] = '\0';
        pair->announce_ms = 0;
    }
}
