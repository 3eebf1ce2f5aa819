/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/pair_priv.h"

#include <string.h>

#include "core/text.h"

struct kmr_effect *kmr_step_effect(struct kmr_step *step,
                                   enum kmr_effect_type type)
{
    struct kmr_effects *effects = step->effects;
    struct kmr_effect *effect;

    /* The last one is overwritten rather than memory; it says BUG then. */
    if (effects->count == KMR_EFFECTS_MAX) {
        effect = &effects->list[KMR_EFFECTS_MAX - 1];
        memset(effect, 0, sizeof(*effect));
        effect->type = KMR_EFFECT_BUG;
        kmr_text_set(effect->reason, sizeof(effect->reason),
                     "too many effects in one step");
        return effect;
    }
    effect = &effects->list[effects->count++];
    memset(effect, 0, sizeof(*effect));
    effect->type = type;
    return effect;
}

void kmr_step_move(struct kmr_step *step, enum kmr_phase to, const char *reason)
{
    struct kmr_pair *pair = step->pair;
    bool allowed = kmr_phase_may_move(pair->phase, to);
    struct kmr_effect *effect =
        kmr_step_effect(step, allowed ? KMR_EFFECT_MOVED : KMR_EFFECT_BUG);

    effect->from = pair->phase;
    effect->to = to;
    effect->generation = pair->record.generation;
    kmr_text_set(effect->reason, sizeof(effect->reason), reason);
    kmr_text_set(pair->reason, sizeof(pair->reason), reason);
    pair->phase = to;
    pair->since_ms = step->event->now_ms;
    pair->deadline_ms = 0;
    pair->loading = false;
    pair->held = KMR_GATE_OK;
}

void kmr_step_note(struct kmr_step *step, const char *reason)
{
    struct kmr_effect *effect = kmr_step_effect(step, KMR_EFFECT_NOTE);

    kmr_text_set(effect->reason, sizeof(effect->reason), reason);
}

void kmr_step_within(struct kmr_step *step, uint32_t ms)
{
    step->pair->deadline_ms = ms == 0 ? 0 : step->event->now_ms + ms;
}

bool kmr_step_expired(const struct kmr_step *step)
{
    return step->pair->deadline_ms != 0 &&
           step->event->now_ms >= step->pair->deadline_ms;
}

uint64_t kmr_step_next_generation(const struct kmr_step *step)
{
    const struct kmr_pair *pair = step->pair;
    uint64_t next = pair->record.generation;

    if (pair->engine_generation > next) {
        next = pair->engine_generation;
    }
    return next + 1;
}

void kmr_step_order(struct kmr_step *step, enum kmr_order order,
                    uint64_t generation)
{
    struct kmr_pair *pair = step->pair;
    struct kmr_effect *effect = kmr_step_effect(step, KMR_EFFECT_ORDER);

    pair->order = order;
    pair->tag++;
    if (generation > pair->engine_generation) {
        pair->engine_generation = generation;
    }
    effect->order = order;
    effect->tag = pair->tag;
    effect->generation = generation;
    kmr_text_set(effect->id, sizeof(effect->id), pair->instance);
    kmr_text_set(effect->peer, sizeof(effect->peer), pair->peer);
}

/* Ours, as the record names it. */
static void set_self(const struct kmr_pair *pair, struct kmr_inst *ret_inst)
{
    memset(ret_inst, 0, sizeof(*ret_inst));
    kmr_text_set(ret_inst->node, sizeof(ret_inst->node), pair->node);
    kmr_text_set(ret_inst->id, sizeof(ret_inst->id), pair->instance);
    ret_inst->boot = pair->boot;
}

void kmr_step_claim(struct kmr_step *step, enum kmr_claim claim)
{
    struct kmr_pair *pair = step->pair;
    struct kmr_effect *effect;
    struct kmr_record *next;
    const struct kmr_peer *peer;

    if (claim == KMR_CLAIM_BOOT && pair->instance[0] == '\0') {
        kmr_text_set(pair->instance, sizeof(pair->instance),
                     step->event->fresh);
    }
    pair->claim = claim;
    pair->claim_base = pair->record.generation;
    pair->claim_deadline_ms = step->event->now_ms + KMR_CLAIM_MS;

    effect = kmr_step_effect(step, KMR_EFFECT_CLAIM);
    effect->base = pair->claim_base;
    kmr_text_set(effect->reason, sizeof(effect->reason), kmr_claim_text(claim));
    next = &effect->record;
    next->generation = kmr_step_next_generation(step);
    switch (claim) {
    case KMR_CLAIM_NONE:
        break;
    case KMR_CLAIM_DOWN:
        next->mode = KMR_MODE_DOWN;
        next->owner = pair->record.owner;
        break;
    case KMR_CLAIM_TAKEOVER:
        /* The owner may have told its engine one generation more. */
        next->generation++;
        next->mode = KMR_MODE_SOLO;
        set_self(pair, &next->owner);
        break;
    case KMR_CLAIM_BOOT:
    case KMR_CLAIM_SOLO:
        next->mode = KMR_MODE_SOLO;
        set_self(pair, &next->owner);
        break;
    case KMR_CLAIM_PAIR:
        next->mode = KMR_MODE_PAIRED;
        set_self(pair, &next->owner);
        kmr_text_set(next->standby.node, sizeof(next->standby.node),
                     pair->peer_node);
        kmr_text_set(next->standby.id, sizeof(next->standby.id), pair->peer);
        peer = kmr_pair_peer(pair, pair->peer_node);
        next->standby.boot = peer ? peer->boot : 0;
        break;
    }
    effect->generation = next->generation;
}

enum kmr_gate kmr_step_gate(const struct kmr_step *step, enum kmr_claim claim)
{
    const struct kmr_pair *pair = step->pair;
    enum kmr_gate gate = KMR_GATE_OK;

    switch (claim) {
    case KMR_CLAIM_NONE:
    case KMR_CLAIM_DOWN:
        return KMR_GATE_OK;
    case KMR_CLAIM_BOOT:
        gate = kmr_record_may_boot(&pair->record);
        break;
    case KMR_CLAIM_PAIR:
        gate = kmr_record_may_pair(&pair->record, pair->instance);
        break;
    case KMR_CLAIM_SOLO:
        gate = kmr_record_may_go_solo(&pair->record, pair->instance);
        break;
    case KMR_CLAIM_TAKEOVER:
        gate = kmr_record_may_take_over(&pair->record, pair->instance);
        break;
    }
    if (gate != KMR_GATE_OK) {
        return gate;
    }
    if (!pair->quorate) {
        return KMR_GATE_NO_QUORUM;
    }
    return pair->synced ? KMR_GATE_OK : KMR_GATE_NOT_SYNCED;
}

void kmr_step_held(struct kmr_step *step, enum kmr_claim claim,
                   enum kmr_gate gate)
{
    struct kmr_pair *pair = step->pair;
    char text[KMR_REASON_MAX] = "can't ";
    const char *node = NULL;

    if (pair->held == gate) {
        return;
    }
    pair->held = gate;
    if (gate == KMR_GATE_OWNER_ALIVE) {
        node = pair->record.owner.node;
    } else if (gate == KMR_GATE_STANDBY_ALIVE) {
        node = pair->record.standby.node;
    }
    kmr_text_add(text, sizeof(text), kmr_claim_text(claim));
    kmr_text_add(text, sizeof(text), ": ");
    kmr_text_add(text, sizeof(text), kmr_gate_text(gate));
    if (node) {
        const struct kmr_peer *peer = kmr_pair_peer(pair, node);

        kmr_text_add(text, sizeof(text), " (node ");
        kmr_text_add(text, sizeof(text), node);
        kmr_text_add(text, sizeof(text),
                     peer && peer->present
                         ? ")"
                         : " is not in the group and not fenced)");
    }
    kmr_text_set(pair->reason, sizeof(pair->reason), text);
    kmr_step_note(step, text);
}

void kmr_step_kill(struct kmr_step *step, const char *reason)
{
    struct kmr_pair *pair = step->pair;
    struct kmr_effect *effect;

    kmr_step_move(step, KMR_PHASE_KILLING, reason);
    kmr_step_within(step, KMR_KILL_MS);
    pair->order = KMR_ORDER_NONE;
    if (pair->claim != KMR_CLAIM_DOWN) {
        pair->claim = KMR_CLAIM_NONE;
    }
    effect = kmr_step_effect(step, KMR_EFFECT_KILL);
    kmr_text_set(effect->id, sizeof(effect->id), pair->instance);
    kmr_text_set(effect->reason, sizeof(effect->reason), reason);
}

struct kmr_peer *kmr_step_peer(struct kmr_step *step, const char *node)
{
    struct kmr_pair *pair = step->pair;
    struct kmr_peer *spare = NULL;

    if (node[0] == '\0' || kmr_text_same(node, pair->node)) {
        return NULL;
    }
    for (unsigned i = 0; i < KMR_PEERS_MAX; i++) {
        if (kmr_text_same(pair->peers[i].node, node)) {
            return &pair->peers[i];
        }
        if (!spare && pair->peers[i].node[0] == '\0') {
            spare = &pair->peers[i];
        }
    }
    if (spare) {
        kmr_text_set(spare->node, sizeof(spare->node), node);
    }
    return spare;
}
