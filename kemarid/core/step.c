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
    effect->generation = pair->agreed.record.generation;
    kmr_text_set(effect->reason, sizeof(effect->reason), reason);
    kmr_text_set(pair->reason, sizeof(pair->reason), reason);
    pair->phase = to;
    pair->since_ms = step->event->now_ms;
    pair->deadline_ms = 0;
    pair->loading = false;
    pair->takeover_asked = false;
    pair->handover_wanted = false; /* of the standby that there was */
    pair->replacing = false;
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

uint64_t kmr_step_order_generation(const struct kmr_step *step)
{
    uint64_t last = step->pair->engine_generation;
    uint64_t now = step->event->now_ms * 1000;

    return now > last ? now : last + 1;
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
    /* Or a kemarid that dies just now would not know of that QEMU. */
    effect->durable =
        order == KMR_ORDER_CREATE_PRIMARY || order == KMR_ORDER_CREATE_STANDBY;
    kmr_text_set(effect->id, sizeof(effect->id), pair->instance);
    kmr_text_set(effect->peer, sizeof(effect->peer), pair->peer);
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
