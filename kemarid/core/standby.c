/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/pair_priv.h"

#include "core/text.h"

/* The standby's side of a pair, up to the decision to take over; and what a
 * QEMU is that was found running. */

static void refuse(struct kmr_step *step, const char *id, const char *reason)
{
    struct kmr_effect *effect = kmr_step_effect(step, KMR_EFFECT_REFUSE);

    kmr_text_set(effect->id, sizeof(effect->id), id);
    kmr_text_set(effect->reason, sizeof(effect->reason), reason);
}

void kmr_standby_invite(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_event *event = step->event;
    char text[KMR_REASON_MAX] = "invited by ";

    if (pair->leaving) {
        refuse(step, event->id, "its kemarid ends");
        return;
    }
    if (pair->want == KMR_WANT_STOPPED && !event->flag) {
        refuse(step, event->id, "the resource is not started there");
        return;
    }
    if (kmr_phase_has_qemu(pair->phase)) {
        refuse(step, event->id, "another QEMU is still there");
        return;
    }
    if (pair->claim != KMR_CLAIM_NONE) {
        refuse(step, event->id, "a claim is under way there");
        return;
    }
    if (!kmr_inst_is(&pair->agreed.record.owner, event->peer) ||
        pair->agreed.record.mode != KMR_MODE_SOLO ||
        pair->agreed.record.owner.dead) {
        refuse(step, event->id, "the inviter is not the owner there");
        return;
    }
    pair->alone = event->flag;
    pair->promote = false;
    kmr_text_set(pair->instance, sizeof(pair->instance), event->id);
    kmr_text_set(pair->peer, sizeof(pair->peer), event->peer);
    kmr_text_set(pair->peer_node, sizeof(pair->peer_node), event->node);
    kmr_step_effect(step, KMR_EFFECT_PERSIST);
    kmr_text_add(text, sizeof(text), event->node);
    kmr_step_move(step, KMR_PHASE_STANDBY_STARTING, text);
    kmr_step_within(step, KMR_CREATE_MS);
    kmr_step_order(step, KMR_ORDER_CREATE_STANDBY, 0);
}

static void refuse_and_kill(struct kmr_step *step, const char *reason)
{
    refuse(step, step->pair->instance, reason);
    kmr_step_kill(step, reason);
}

void kmr_standby_done(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_event *event = step->event;
    struct kmr_effect *effect;

    if (pair->phase == KMR_PHASE_STANDBY_STARTING &&
        event->order == KMR_ORDER_CREATE_STANDBY) {
        if (!event->flag) {
            refuse_and_kill(step, event->reason);
            return;
        }
        kmr_step_effect(step, KMR_EFFECT_PERSIST);
        kmr_step_move(step, KMR_PHASE_STANDBY_PREPARING, "QEMU waits");
        kmr_step_order(step, KMR_ORDER_PREPARE,
                       kmr_step_order_generation(step));
    } else if (pair->phase == KMR_PHASE_STANDBY_PREPARING &&
               event->order == KMR_ORDER_PREPARE) {
        if (!event->flag) {
            refuse_and_kill(step, event->reason);
            return;
        }
        kmr_step_move(step, KMR_PHASE_STANDBY_READY, "listens");
        kmr_step_within(step, pair->limits.ready_ms);
        effect = kmr_step_effect(step, KMR_EFFECT_READY);
        kmr_text_set(effect->id, sizeof(effect->id), pair->instance);
    }
}

void kmr_standby_engine(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_event *event = step->event;

    switch (event->engine) {
    case KMR_ENGINE_SYNCING:
        if (pair->phase == KMR_PHASE_STANDBY_READY) {
            kmr_step_move(step, KMR_PHASE_STANDBY_SYNCING, "receives RAM");
            kmr_step_within(step, pair->limits.sync_ms);
        }
        break;
    case KMR_ENGINE_SYNCHRONISED:
        if (pair->phase == KMR_PHASE_STANDBY_READY ||
            pair->phase == KMR_PHASE_STANDBY_SYNCING) {
            kmr_step_move(step, KMR_PHASE_SYNCHRONISED,
                          "holds a committed checkpoint");
        }
        break;
    case KMR_ENGINE_PRIMARY_LOST:
        if (pair->phase == KMR_PHASE_STANDBY_READY ||
            pair->phase == KMR_PHASE_STANDBY_SYNCING ||
            pair->phase == KMR_PHASE_SYNCHRONISED) {
            kmr_step_move(step, KMR_PHASE_PRIMARY_LOST,
                          event->reason[0] != '\0' ? event->reason
                                                   : "the stream broke");
        }
        break;
    case KMR_ENGINE_FAILED:
        refuse_and_kill(step, event->reason[0] != '\0' ? event->reason
                                                       : "the engine gave up");
        break;
    case KMR_ENGINE_NONE:
    case KMR_ENGINE_PREPARING:
    case KMR_ENGINE_IN_STEP:
    case KMR_ENGINE_PROTECTED:
    case KMR_ENGINE_HOLDING:
    case KMR_ENGINE_MEMORY_LOST:
    case KMR_ENGINE_HANDING_OVER:
    case KMR_ENGINE_HANDED_OVER:
    case KMR_ENGINE_TAKING_OVER:
    case KMR_ENGINE_RUNNING:
    case KMR_ENGINE_COUNT:
        break;
    }
}

static bool in_step(const struct kmr_pair *pair)
{
    return pair->phase == KMR_PHASE_SYNCHRONISED ||
           pair->phase == KMR_PHASE_PRIMARY_LOST;
}

static void claimed(struct kmr_step *step)
{
    kmr_step_effect(step, KMR_EFFECT_PERSIST);
    kmr_step_move(step, KMR_PHASE_CLAIMED, "the record names it the owner");
}

/* Why the standby should claim now; NULL: not yet. */
static const char *why_claim(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_inst *owner = &pair->agreed.record.owner;
    const struct kmr_peer *peer = kmr_pair_peer(pair, owner->node);

    if (owner->dead) {
        return "the owner is dead";
    }
    if (owner->frozen) {
        return "the owner has handed over";
    }
    if (pair->takeover_asked) {
        return "it was asked to";
    }
    /* One that was not heard yet may be there, its kemarid starting as ours
     * did: the stream tells whether its QEMU is. */
    if (pair->synced && peer && !peer->up) {
        return "the owner's node left the cluster";
    }
    if (pair->phase != KMR_PHASE_PRIMARY_LOST) {
        return NULL;
    }
    if (step->event->now_ms >= pair->since_ms + pair->limits.takeover_ms) {
        return "the owner is silent";
    }
    pair->deadline_ms = pair->since_ms + pair->limits.takeover_ms;
    return NULL;
}

static void consider_paired(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_inst *owner = &pair->agreed.record.owner;
    const char *reason = why_claim(step);
    struct kmr_effect *effect;
    enum kmr_gate gate;

    if (reason) {
        gate = kmr_claim_gate(pair, KMR_CLAIM_TAKEOVER);
        pair->deadline_ms = 0;
        if (gate != KMR_GATE_OK) {
            kmr_claim_held(step, KMR_CLAIM_TAKEOVER, gate);
        } else if (pair->claim != KMR_CLAIM_TAKEOVER) {
            kmr_text_set(pair->reason, sizeof(pair->reason), reason);
            kmr_claim_make(step, KMR_CLAIM_TAKEOVER);
        }
    } else if (pair->phase == KMR_PHASE_SYNCHRONISED && pair->promote &&
               !pair->handover_asked) {
        pair->handover_asked = true;
        effect = kmr_step_effect(step, KMR_EFFECT_HANDOVER);
        kmr_text_set(effect->node, sizeof(effect->node), owner->node);
        kmr_text_set(effect->id, sizeof(effect->id), owner->id);
    }
}

/* In step, but R2: only a standby that a record named may resume. */
static void consider_unpaired(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;

    if (pair->agreed.record.owner.dead || kmr_step_expired(step)) {
        refuse_and_kill(step, "its copy was never recorded as in step");
    } else if (pair->phase == KMR_PHASE_PRIMARY_LOST &&
               pair->deadline_ms == 0) {
        kmr_step_within(step, KMR_USELESS_MS);
    }
}

void kmr_standby_consider(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;

    if (kmr_inst_is(&pair->agreed.record.owner, pair->instance)) {
        if (in_step(pair) && !pair->agreed.record.owner.dead) {
            claimed(step);
        } else {
            kmr_step_kill(step, "owner by record, but not in step");
        }
        return;
    }
    if (pair->agreed.record.mode == KMR_MODE_DOWN) {
        kmr_step_kill(step, "the VM was shut down");
        return;
    }
    if (!kmr_inst_is(&pair->agreed.record.owner, pair->peer)) {
        kmr_step_kill(step, "its owner is the owner no more");
        return;
    }
    if (in_step(pair)) {
        if (kmr_inst_is(&pair->agreed.record.standby, pair->instance)) {
            consider_paired(step);
        } else if (pair->agreed.record.mode == KMR_MODE_SOLO) {
            consider_unpaired(step);
        } else {
            kmr_step_kill(step, "another standby is recorded");
        }
    } else if (pair->agreed.record.owner.dead &&
               kmr_inst_is(&pair->agreed.record.standby, pair->instance)) {
        /*
         * The acknowledgement is sent when all is received, before the
         * engine says `synchronised`: it holds the checkpoint, and will.
         */
        if (!pair->loading) {
            pair->loading = true;
            kmr_step_within(step, KMR_LOAD_MS);
        } else if (kmr_step_expired(step)) {
            refuse_and_kill(step, "never became synchronised");
        }
    } else if (pair->agreed.record.owner.dead) {
        kmr_step_kill(step, "the primary died before the first checkpoint");
    } else if (kmr_step_expired(step) && pair->order == KMR_ORDER_NONE) {
        refuse_and_kill(step, "no stream in time");
    }
}

/* ---- what was found running ---- */

static void adopted_owner(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_event *event = step->event;
    struct kmr_effect *effect;

    if (event->role == KMR_ENGINE_ROLE_NONE) {
        kmr_step_move(step, KMR_PHASE_SOLO, "adopted");
        return;
    }
    if (event->role == KMR_ENGINE_ROLE_STANDBY) {
        if (event->engine == KMR_ENGINE_SYNCHRONISED ||
            event->engine == KMR_ENGINE_PRIMARY_LOST) {
            claimed(step);
        } else if (event->engine == KMR_ENGINE_TAKING_OVER ||
                   event->engine == KMR_ENGINE_RUNNING) {
            kmr_step_move(step, KMR_PHASE_TAKING_OVER, "adopted");
            kmr_step_within(step, KMR_BACKOFF_MIN_MS);
        } else {
            kmr_step_kill(step, "owner by record, but not in step");
        }
        return;
    }
    kmr_text_set(pair->peer, sizeof(pair->peer), event->peer);
    if (kmr_inst_is(&pair->agreed.record.standby, pair->peer)) {
        kmr_text_set(pair->peer_node, sizeof(pair->peer_node),
                     pair->agreed.record.standby.node);
    }
    /* What was proposed before the restart is not known any more. */
    pair->proposed = true;
    switch (event->engine) {
    case KMR_ENGINE_IN_STEP:
        kmr_step_move(step, KMR_PHASE_IN_STEP, "adopted");
        break;
    case KMR_ENGINE_PROTECTED:
        kmr_step_move(step, KMR_PHASE_PROTECTED, "adopted");
        break;
    case KMR_ENGINE_MEMORY_LOST:
        /* paired: kmr_owner_engine() asks for a takeover next time */
        kmr_step_move(step,
                      pair->agreed.record.mode == KMR_MODE_PAIRED
                          ? KMR_PHASE_PROTECTED
                          : KMR_PHASE_HOLDING,
                      "adopted");
        break;
    case KMR_ENGINE_HOLDING:
        kmr_step_move(step, KMR_PHASE_HOLDING, "adopted");
        break;
    case KMR_ENGINE_HANDING_OVER:
        kmr_step_move(step, KMR_PHASE_HANDING_OVER, "adopted");
        break;
    case KMR_ENGINE_HANDED_OVER:
        kmr_step_move(step, KMR_PHASE_HANDED_OVER, "adopted");
        effect = kmr_step_effect(step, KMR_EFFECT_FROZEN);
        kmr_text_set(effect->id, sizeof(effect->id), pair->instance);
        effect->generation = pair->agreed.record.generation;
        break;
    case KMR_ENGINE_SYNCING:
        kmr_step_move(step, KMR_PHASE_SYNCING, "adopted");
        kmr_step_within(step, pair->limits.sync_ms);
        break;
    case KMR_ENGINE_NONE:
    case KMR_ENGINE_PREPARING:
    case KMR_ENGINE_SYNCHRONISED:
    case KMR_ENGINE_PRIMARY_LOST:
    case KMR_ENGINE_TAKING_OVER:
    case KMR_ENGINE_RUNNING:
    case KMR_ENGINE_FAILED:
    case KMR_ENGINE_COUNT:
        kmr_step_move(step, KMR_PHASE_SOLO, "adopted");
        break;
    }
}

void kmr_pair_adopted(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_event *event = step->event;

    if (event->id[0] != '\0' && !kmr_text_same(event->id, pair->instance)) {
        kmr_step_kill(step, "another instance than the recorded one");
        return;
    }
    if (kmr_inst_is(&pair->agreed.record.owner, pair->instance)) {
        adopted_owner(step);
        kmr_trouble_adopted(step);
        return;
    }
    if (event->role != KMR_ENGINE_ROLE_STANDBY) {
        kmr_step_kill(step, "runs without being the owner");
        return;
    }
    kmr_text_set(pair->peer, sizeof(pair->peer), event->peer);
    kmr_text_set(pair->peer_node, sizeof(pair->peer_node),
                 pair->agreed.record.owner.node);
    if (event->engine == KMR_ENGINE_SYNCHRONISED) {
        kmr_step_move(step, KMR_PHASE_SYNCHRONISED, "adopted");
    } else if (event->engine == KMR_ENGINE_PRIMARY_LOST) {
        kmr_step_move(step, KMR_PHASE_PRIMARY_LOST, "adopted");
    } else if (event->engine == KMR_ENGINE_SYNCING) {
        kmr_step_move(step, KMR_PHASE_STANDBY_SYNCING, "adopted");
        kmr_step_within(step, pair->limits.sync_ms);
    } else {
        kmr_step_kill(step, "a standby that had not begun");
    }
}
