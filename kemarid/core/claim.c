/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/pair_priv.h"

#include <string.h>

#include "core/text.h"

/* The pair's claims to the record, and what becomes of them. */

/* Ours, as the record names it. */
static void set_self(const struct kmr_pair *pair, struct kmr_inst *ret_inst)
{
    memset(ret_inst, 0, sizeof(*ret_inst));
    kmr_text_set(ret_inst->node, sizeof(ret_inst->node), pair->node);
    kmr_text_set(ret_inst->id, sizeof(ret_inst->id), pair->instance);
    ret_inst->boot = pair->boot;
}

static void set_candidate(const struct kmr_pair *pair,
                          struct kmr_inst *ret_inst)
{
    const struct kmr_peer *peer = kmr_pair_peer(pair, pair->peer_node);

    memset(ret_inst, 0, sizeof(*ret_inst));
    kmr_text_set(ret_inst->node, sizeof(ret_inst->node), pair->peer_node);
    kmr_text_set(ret_inst->id, sizeof(ret_inst->id), pair->peer);
    ret_inst->boot = peer ? peer->boot : 0;
}

/*
 * Without us the others have to be enough. While one of them is away, or has
 * lost its file, our vote is needed when we are back.
 */
static bool can_do_without_us(const struct kmr_pair *pair,
                              const struct kmr_record *record)
{
    for (unsigned i = 0; i < kmr_record_voters(record); i++) {
        const struct kmr_voter *voter = &record->voters[i];
        const struct kmr_peer *peer = kmr_pair_peer(pair, voter->node);

        if (!kmr_text_same(voter->node, pair->node) &&
            (!peer || !peer->present ||
             !kmr_text_same(kmr_consensus_id_of(&pair->agreed, voter->node),
                            voter->id))) {
            return false;
        }
    }
    return kmr_record_voters(record) > 1;
}

/* One voter more, under another id or less; false: all is as it should be. */
static bool change_voters(const struct kmr_pair *pair, struct kmr_record *next)
{
    const struct kmr_consensus *agreed = &pair->agreed;
    bool votes = kmr_consensus_votes(agreed);

    if (pair->leaving) {
        if (!kmr_record_voter(next, pair->node) ||
            !can_do_without_us(pair, next)) {
            return false;
        }
        kmr_record_remove_voter(next, pair->node);
        return true;
    }
    if (!votes && agreed->id[0] != '\0') {
        return kmr_record_add_voter(next, pair->node, agreed->id);
    }
    for (unsigned i = 0; i < KMR_PEERS_MAX; i++) {
        const struct kmr_peer *peer = &pair->peers[i];
        const char *id = kmr_consensus_id_of(agreed, peer->node);
        const struct kmr_voter *voter = kmr_record_voter(next, peer->node);

        if (peer->node[0] != '\0' && peer->present && id[0] != '\0' &&
            (!voter || !kmr_text_same(voter->id, id)) &&
            kmr_record_add_voter(next, peer->node, id)) {
            return true;
        }
    }
    return false;
}

/* The record that `claim` is for. */
static bool make_record(const struct kmr_pair *pair, enum kmr_claim claim,
                        struct kmr_record *ret_next)
{
    const struct kmr_record *record = &pair->agreed.record;
    const struct kmr_voter *gone = kmr_consensus_alone_without(&pair->agreed);
    bool same = claim == KMR_CLAIM_DOWN || claim == KMR_CLAIM_VOTERS;

    kmr_record_next(record, same ? record->owner.id : pair->instance, ret_next);
    ret_next->mode = KMR_MODE_SOLO;
    switch (claim) {
    case KMR_CLAIM_NONE:
        return false;
    case KMR_CLAIM_BOOT:
    case KMR_CLAIM_SOLO:
    case KMR_CLAIM_TAKEOVER:
        set_self(pair, &ret_next->owner);
        break;
    case KMR_CLAIM_PAIR:
        ret_next->mode = KMR_MODE_PAIRED;
        set_self(pair, &ret_next->owner);
        set_candidate(pair, &ret_next->standby);
        break;
    case KMR_CLAIM_DOWN:
        ret_next->mode = KMR_MODE_DOWN;
        ret_next->owner = record->owner;
        break;
    case KMR_CLAIM_VOTERS:
        ret_next->mode = record->mode;
        ret_next->owner = record->owner;
        ret_next->standby = record->standby;
        return change_voters(pair, ret_next);
    }
    if (gone) {
        kmr_record_remove_voter(ret_next, gone->node);
    }
    return true;
}

bool kmr_claim_voters_wanted(const struct kmr_pair *pair)
{
    struct kmr_record next;

    return pair->agreed.record.generation != 0 &&
           make_record(pair, KMR_CLAIM_VOTERS, &next);
}

void kmr_claim_make(struct kmr_step *step, enum kmr_claim claim)
{
    struct kmr_pair *pair = step->pair;
    struct kmr_consensus_out out = { .count = 0 };
    struct kmr_record next;

    if (claim == KMR_CLAIM_BOOT && pair->instance[0] == '\0') {
        kmr_text_set(pair->instance, sizeof(pair->instance),
                     step->event->fresh);
    }
    if (!make_record(pair, claim, &next)) {
        return;
    }
    pair->claim = claim;
    pair->proposed |= claim == KMR_CLAIM_PAIR;
    kmr_consensus_claim(&pair->agreed, &next, step->event->now_ms,
                        step->event->fresh, &out);
    kmr_claim_out(step, &out);
}

/*
 * R8: an operator says that nothing of the VM runs anywhere. Not agreed with
 * anybody: the generation is beyond all that the others may decide meanwhile,
 * and this node is the only voter.
 */
void kmr_claim_force(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    struct kmr_consensus_out out = { .count = 0 };

    if (kmr_phase_has_qemu(pair->phase)) {
        kmr_step_note(step, "not forced: a QEMU of it is here");
        return;
    }
    for (unsigned i = 0; i < KMR_PEERS_MAX; i++) {
        if (pair->peers[i].present && pair->peers[i].has_qemu) {
            kmr_step_note(step, "not forced: another node has a QEMU of it");
            return;
        }
    }
    pair->claim = KMR_CLAIM_NONE;
    pair->instance[0] = '\0';
    kmr_consensus_force(&pair->agreed, step->event->fresh, &out);
    kmr_claim_out(step, &out);
    kmr_step_note(step, "FORCED: down, an operator says; may lose data");
}

/* R3, two voters: what may the other one have decided while we were away? */
void kmr_claim_probe(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_voter *other = kmr_consensus_stranger(&pair->agreed);
    const struct kmr_peer *peer =
        other ? kmr_pair_peer(pair, other->node) : NULL;
    struct kmr_consensus_out out = { .count = 0 };

    if (peer && peer->present && pair->synced) {
        kmr_consensus_probe(&pair->agreed, step->event->now_ms,
                            step->event->fresh, &out);
        kmr_claim_out(step, &out);
    }
}

static bool majority_is_there(const struct kmr_pair *pair)
{
    const struct kmr_consensus *agreed = &pair->agreed;
    unsigned voters = kmr_record_voters(&agreed->record);
    unsigned there = 0;

    if (agreed->record.generation == 0) {
        return agreed->nodes != 0 && agreed->there > agreed->nodes / 2;
    }
    for (unsigned i = 0; i < voters; i++) {
        const char *node = agreed->record.voters[i].node;
        const struct kmr_peer *peer = kmr_pair_peer(pair, node);

        there += kmr_text_same(node, pair->node) || (peer && peer->present);
    }
    return there > voters / 2 || kmr_consensus_alone_without(agreed);
}

enum kmr_gate kmr_claim_gate(const struct kmr_pair *pair, enum kmr_claim claim)
{
    const struct kmr_record *record = &pair->agreed.record;
    enum kmr_gate gate = KMR_GATE_OK;

    switch (claim) {
    case KMR_CLAIM_NONE:
    case KMR_CLAIM_DOWN:
    case KMR_CLAIM_VOTERS:
        break;
    case KMR_CLAIM_BOOT:
        gate = kmr_record_may_boot(record);
        if (gate == KMR_GATE_OK && !pair->synced) {
            gate = KMR_GATE_NOT_SYNCED; /* somebody may know better */
        }
        break;
    case KMR_CLAIM_PAIR:
        gate = kmr_record_may_pair(record, pair->instance);
        break;
    case KMR_CLAIM_SOLO:
        gate = kmr_record_may_go_solo(record, pair->instance);
        break;
    case KMR_CLAIM_TAKEOVER:
        gate = kmr_record_may_take_over(record, pair->instance);
        break;
    }
    if (gate == KMR_GATE_OK && !majority_is_there(pair)) {
        gate = KMR_GATE_NO_MAJORITY;
    }
    return gate;
}

static const char *node_of(const struct kmr_record *record, enum kmr_gate gate)
{
    if (gate == KMR_GATE_OWNER_ALIVE) {
        return record->owner.node;
    }
    if (gate == KMR_GATE_STANDBY_ALIVE) {
        return record->standby.node;
    }
    for (unsigned i = 0; gate == KMR_GATE_EARLIER_ALIVE && i < KMR_EARLIER_MAX;
         i++) {
        if (record->earlier[i].id[0] != '\0' && !record->earlier[i].dead) {
            return record->earlier[i].node;
        }
    }
    return NULL;
}

void kmr_claim_held(struct kmr_step *step, enum kmr_claim claim,
                    enum kmr_gate gate)
{
    struct kmr_pair *pair = step->pair;
    char text[KMR_REASON_MAX] = "can't ";
    const char *node = node_of(&pair->agreed.record, gate);

    if (pair->held == gate) {
        return;
    }
    pair->held = gate;
    kmr_text_add(text, sizeof(text), kmr_claim_text(claim));
    kmr_text_add(text, sizeof(text), ": ");
    kmr_text_add(text, sizeof(text), kmr_gate_text(gate));
    if (node) {
        const struct kmr_peer *peer = kmr_pair_peer(pair, node);

        kmr_text_add(text, sizeof(text), " (node ");
        kmr_text_add(text, sizeof(text), node);
        kmr_text_add(text, sizeof(text),
                     kmr_text_same(node, pair->node) || (peer && peer->present)
                         ? ")"
                         : " is not in the group and not fenced)");
    }
    kmr_text_set(pair->reason, sizeof(pair->reason), text);
    kmr_step_note(step, text);
}

static bool came_true(const struct kmr_pair *pair, enum kmr_claim claim)
{
    const struct kmr_record *record = &pair->agreed.record;
    bool ours = kmr_inst_is(&record->owner, pair->instance);

    switch (claim) {
    case KMR_CLAIM_NONE:
    case KMR_CLAIM_VOTERS:
        return true;
    case KMR_CLAIM_BOOT:
    case KMR_CLAIM_SOLO:
    case KMR_CLAIM_TAKEOVER:
        return ours && record->mode == KMR_MODE_SOLO;
    case KMR_CLAIM_PAIR:
        return ours && kmr_inst_is(&record->standby, pair->peer);
    case KMR_CLAIM_DOWN:
        return record->mode == KMR_MODE_DOWN;
    }
    return false;
}

static void decided(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    enum kmr_claim claim = pair->claim;
    char text[KMR_REASON_MAX] = "another claim was first: could not ";

    pair->claim = KMR_CLAIM_NONE;
    pair->proposed = false;
    pair->held = KMR_GATE_OK;
    if (came_true(pair, claim)) {
        return;
    }
    kmr_text_add(text, sizeof(text), kmr_claim_text(claim));
    kmr_step_note(step, text);
    if (pair->phase == KMR_PHASE_IDLE) {
        pair->instance[0] = '\0';
    }
}

void kmr_claim_out(struct kmr_step *step, const struct kmr_consensus_out *out)
{
    for (unsigned i = 0; i < out->count; i++) {
        struct kmr_effect *effect = kmr_step_effect(step, KMR_EFFECT_SEND);

        effect->paxos = out->list[i];
        effect->durable = out->durable[i];
    }
    if (out->persist) {
        kmr_step_effect(step, KMR_EFFECT_PERSIST);
    }
    if (out->decided) {
        decided(step);
    }
}

/* What has to be done when a record was decided under our feet. */
static void superseded(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_record *record = &pair->agreed.record;

    if (record->mode == KMR_MODE_DOWN ||
        kmr_inst_is(&record->standby, pair->instance) ||
        kmr_inst_is(&record->owner, pair->instance) ||
        !kmr_phase_has_qemu(pair->phase) || kmr_phase_is_owner(pair->phase) ||
        pair->phase == KMR_PHASE_KILLING || pair->phase == KMR_PHASE_ADOPTING) {
        return;
    }
    kmr_step_kill(step, "the owner goes on without it");
}

void kmr_claim_event(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_event *event = step->event;
    bool was_standby =
        kmr_inst_is(&pair->agreed.record.standby, pair->instance);
    struct kmr_consensus_out out = { .count = 0 };

    if (event->type == KMR_EVENT_PAXOS) {
        kmr_consensus_message(&pair->agreed, event->node, &event->paxos,
                              event->now_ms, event->fresh, &out);
    } else {
        kmr_consensus_learn(&pair->agreed, event->node, &event->record,
                            event->id, event->fresh, &out);
    }
    kmr_claim_out(step, &out);
    if (out.decided && was_standby) {
        superseded(step);
    }
}

void kmr_claim_tick(struct kmr_step *step)
{
    struct kmr_consensus_out out = { .count = 0 };

    kmr_consensus_tick(&step->pair->agreed, step->event->now_ms,
                       step->event->fresh, &out);
    kmr_claim_out(step, &out);
}
