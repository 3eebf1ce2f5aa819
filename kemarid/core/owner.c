/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/pair_priv.h"

#include "core/text.h"

/* The owner's side of a pair: what it wants. owner_engine.c: what it hears. */

/* The back-off after `failures` in a row. */
static uint64_t backoff_ms(unsigned failures)
{
    uint64_t ms = KMR_BACKOFF_MIN_MS;

    while (failures-- > 1 && ms < KMR_BACKOFF_MAX_MS) {
        ms *= 2;
    }
    return ms < KMR_BACKOFF_MAX_MS ? ms : KMR_BACKOFF_MAX_MS;
}

void kmr_owner_forget_candidate(struct kmr_pair *pair)
{
    pair->peer[0] = '\0';
    pair->peer_node[0] = '\0';
}

void kmr_owner_lost_candidate(struct kmr_step *step, const char *reason)
{
    struct kmr_pair *pair = step->pair;
    uint64_t now_ms = step->event->now_ms;
    struct kmr_peer *peer = kmr_step_peer(step, pair->peer_node);
    struct kmr_effect *effect = kmr_step_effect(step, KMR_EFFECT_DROP);
    char text[KMR_REASON_MAX] = "standby on ";

    kmr_text_set(effect->id, sizeof(effect->id), pair->peer);
    kmr_text_set(effect->reason, sizeof(effect->reason),
                 "given up by the owner");
    pair->failures++;
    pair->retry_ms = now_ms + KMR_BACKOFF_MIN_MS / 2;
    if (peer) {
        peer->avoid_until_ms = now_ms + backoff_ms(pair->failures);
    }
    kmr_text_add(text, sizeof(text), pair->peer_node);
    kmr_text_add(text, sizeof(text), ": ");
    kmr_text_add(text, sizeof(text), reason);
    kmr_owner_forget_candidate(pair);
    pair->order = KMR_ORDER_NONE;
    pair->engine = KMR_ENGINE_NONE;
    kmr_alone_migration_failed(step, text);
    kmr_step_move(step, KMR_PHASE_SOLO, text);
}

void kmr_owner_down(struct kmr_step *step, const char *reason)
{
    struct kmr_pair *pair = step->pair;

    kmr_text_set(pair->down_id, sizeof(pair->down_id), pair->instance);
    kmr_step_effect(step, KMR_EFFECT_PERSIST);
    pair->claim = KMR_CLAIM_NONE;
    kmr_step_kill(step, reason);
}

void kmr_owner_shut_down(struct kmr_step *step, const char *reason)
{
    struct kmr_pair *pair = step->pair;
    uint32_t limit_ms = step->event->limit_ms;
    uint32_t most_ms = pair->limits.shutdown_ms;

    if (!kmr_phase_may_move(pair->phase, KMR_PHASE_SHUTTING_DOWN)) {
        if (pair->phase != KMR_PHASE_SHUTTING_DOWN) {
            kmr_owner_down(step, reason);
        }
        return;
    }
    if (pair->phase == KMR_PHASE_HOLDING) {
        /* It may never answer: its disk is held. */
        kmr_owner_down(step, reason);
        return;
    }
    kmr_step_move(step, KMR_PHASE_SHUTTING_DOWN, reason);
    /* a guest that ignores it has to be gone before Pacemaker's patience */
    kmr_step_within(step,
                    limit_ms != 0 && limit_ms < most_ms ? limit_ms : most_ms);
    kmr_step_order(step, KMR_ORDER_SHUTDOWN, 0);
}

void kmr_owner_drop_standby(struct kmr_step *step, const char *reason)
{
    struct kmr_pair *pair = step->pair;
    struct kmr_effect *effect;

    if (pair->deadline_ms != 0 && !kmr_step_expired(step)) {
        return;
    }
    effect = kmr_step_effect(step, KMR_EFFECT_DROP);
    kmr_text_set(effect->id, sizeof(effect->id), pair->peer);
    kmr_text_set(effect->reason, sizeof(effect->reason), reason);
    kmr_step_within(step, KMR_DROP_MS);
}

void kmr_owner_hand_over(struct kmr_step *step, const char *reason)
{
    struct kmr_pair *pair = step->pair;
    enum kmr_gate gate = kmr_claim_gate(pair, KMR_CLAIM_SOLO);

    if (pair->claim != KMR_CLAIM_NONE || pair->order != KMR_ORDER_NONE) {
        /* Frozen is said of a generation: let that be the last one. */
        pair->handover_wanted = true;
        kmr_text_set(pair->handover_why, sizeof(pair->handover_why), reason);
        return;
    }
    pair->handover_wanted = false;
    if (pair->agreed.record.mode != KMR_MODE_PAIRED ||
        pair->agreed.record.standby.dead) {
        gate = KMR_GATE_NOT_STANDBY;
    }
    if (gate != KMR_GATE_OK) {
        char text[KMR_REASON_MAX] = "no handover: ";

        if (pair->held == gate) {
            return; /* said already */
        }
        pair->held = gate;
        kmr_text_add(text, sizeof(text), kmr_gate_text(gate));
        kmr_step_note(step, text);
        return;
    }
    kmr_step_move(step, KMR_PHASE_HANDING_OVER, reason);
    kmr_step_within(step, pair->limits.handover_ms);
    kmr_step_order(step, KMR_ORDER_HANDOVER, kmr_step_order_generation(step));
}

void kmr_owner_invite(struct kmr_step *step, const struct kmr_peer *peer)
{
    struct kmr_pair *pair = step->pair;
    struct kmr_effect *effect;
    char text[KMR_REASON_MAX] = "a standby is started on ";

    kmr_text_set(pair->peer, sizeof(pair->peer), step->event->fresh);
    kmr_text_set(pair->peer_node, sizeof(pair->peer_node), peer->node);
    kmr_text_add(text, sizeof(text), peer->node);
    kmr_step_move(step, KMR_PHASE_INVITING, text);
    kmr_step_within(step, pair->limits.ready_ms);
    effect = kmr_step_effect(step, KMR_EFFECT_INVITE);
    effect->moving = pair->alone;
    kmr_text_set(effect->node, sizeof(effect->node), peer->node);
    kmr_text_set(effect->id, sizeof(effect->id), pair->peer);
    kmr_text_set(effect->peer, sizeof(effect->peer), pair->instance);
}

/* Whoever is in the group should have a vote. */
static void consider_voters(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;

    if (pair->claim == KMR_CLAIM_NONE && pair->synced &&
        kmr_claim_voters_wanted(pair) &&
        kmr_claim_gate(pair, KMR_CLAIM_VOTERS) == KMR_GATE_OK) {
        kmr_claim_make(step, KMR_CLAIM_VOTERS);
    }
}

static void consider_solo(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    uint64_t now_ms = step->event->now_ms;
    const struct kmr_peer *best;

    if (now_ms >= pair->retry_ms) {
        pair->retry_ms = 0;
    }
    for (unsigned i = 0; i < KMR_PEERS_MAX; i++) {
        struct kmr_peer *peer = &pair->peers[i];

        if (now_ms >= peer->avoid_until_ms) {
            peer->avoid_until_ms = 0;
        }
    }
    consider_voters(step);
    if (pair->alone) {
        kmr_alone_consider_solo(step);
        return;
    }
    if (pair->retry_ms != 0 || !pair->quorate || !pair->synced ||
        pair->claim != KMR_CLAIM_NONE || pair->order != KMR_ORDER_NONE) {
        return;
    }
    best = kmr_place_best(pair, now_ms, KMR_COLOUR_COUNT);
    if (best) {
        kmr_owner_invite(step, best);
    }
}

static void consider_candidate(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_peer *peer = kmr_pair_peer(pair, pair->peer_node);

    if (kmr_alone_consider_standby(step)) {
        return;
    }
    if (pair->peer_node[0] != '\0' && (!peer || !peer->present)) {
        kmr_owner_lost_candidate(step, "its node left the group");
    } else if (kmr_step_expired(step)) {
        kmr_owner_lost_candidate(step, pair->phase == KMR_PHASE_INVITING
                                           ? "not ready in time"
                                           : "not in step in time");
    }
}

/* R1: nothing is released before the record says paired. */
static void consider_in_step(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    enum kmr_gate gate;

    if (pair->retry_ms != 0 && step->event->now_ms >= pair->retry_ms) {
        pair->retry_ms = 0;
    }
    if (kmr_inst_is(&pair->agreed.record.standby, pair->peer)) {
        if (pair->engine == KMR_ENGINE_PROTECTED) {
            pair->retry_ms = 0;
            kmr_step_move(step, KMR_PHASE_PROTECTED,
                          "the record says paired: output is released");
        } else if (pair->order == KMR_ORDER_NONE && pair->retry_ms == 0) {
            kmr_step_order(step, KMR_ORDER_CONFIRM,
                           kmr_step_order_generation(step));
        }
        return;
    }
    if (pair->claim != KMR_CLAIM_NONE) {
        return;
    }
    if (pair->peer_node[0] == '\0') {
        /* Adopted: a record that names no node could never be superseded. */
        pair->retry_ms = 0;
        kmr_step_move(step, KMR_PHASE_HOLDING,
                      "it is not known where its standby is");
        return;
    }
    gate = kmr_claim_gate(pair, KMR_CLAIM_PAIR);
    if (gate != KMR_GATE_OK) {
        kmr_claim_held(step, KMR_CLAIM_PAIR, gate);
        return;
    }
    kmr_claim_make(step, KMR_CLAIM_PAIR);
}

static void consider_protected(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;

    if (pair->retry_ms != 0 && step->event->now_ms >= pair->retry_ms) {
        pair->retry_ms = 0;
    }
    if (pair->agreed.record.standby.dead) {
        pair->retry_ms = 0;
        kmr_step_move(step, KMR_PHASE_HOLDING, "the standby died");
    } else if (kmr_alone_consider_standby(step)) {
        return;
    } else if ((pair->handover_wanted || pair->demoted) &&
               pair->retry_ms == 0 && pair->claim == KMR_CLAIM_NONE &&
               pair->order == KMR_ORDER_NONE) {
        char why[KMR_REASON_MAX] = "demoted by Pacemaker";

        if (pair->handover_wanted) {
            kmr_text_set(why, sizeof(why), pair->handover_why);
        }
        kmr_owner_hand_over(step, why);
    } else if (!kmr_place_replace(step)) {
        consider_voters(step);
    }
}

static void consider_holding(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    enum kmr_gate gate;

    if (pair->retry_ms != 0 && step->event->now_ms >= pair->retry_ms) {
        pair->retry_ms = 0;
    }
    if (pair->order != KMR_ORDER_NONE || pair->retry_ms != 0) {
        return;
    }
    if (pair->agreed.record.mode == KMR_MODE_SOLO && !pair->proposed) {
        /* Nobody may take over under such a record: R1(b). */
        kmr_step_order(step, KMR_ORDER_RELEASE,
                       kmr_step_order_generation(step));
        return;
    }
    gate = kmr_claim_gate(pair, KMR_CLAIM_SOLO);
    if (gate != KMR_GATE_OK) {
        kmr_claim_held(step, KMR_CLAIM_SOLO, gate);
    } else if (pair->claim != KMR_CLAIM_SOLO) {
        kmr_claim_make(step, KMR_CLAIM_SOLO);
    }
}

/* R2, R6: the owner by record resumes when no earlier one can write. */
static void consider_claimed(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    enum kmr_gate gate =
        kmr_record_may_resume(&pair->agreed.record, pair->instance);

    if (gate != KMR_GATE_OK) {
        kmr_claim_held(step, KMR_CLAIM_TAKEOVER, gate);
        return;
    }
    kmr_step_move(step, KMR_PHASE_TAKING_OVER,
                  "no earlier owner can write any more");
    kmr_step_within(step, KMR_ORDER_MS);
    kmr_step_order(step, KMR_ORDER_TAKEOVER, kmr_step_order_generation(step));
}

static void consider_handover(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_peer *peer =
        kmr_pair_peer(pair, pair->agreed.record.standby.node);
    const char *reason = NULL;

    if (pair->agreed.record.standby.dead) {
        reason = "the standby died in the handover";
    } else if (!peer || !peer->up) {
        reason = "the standby's node died in the handover";
    } else if (kmr_step_expired(step)) {
        reason = "the handover led to nothing";
    }
    if (reason) {
        pair->retry_ms = 0;
        kmr_alone_migration_failed(step, reason);
        kmr_step_move(step, KMR_PHASE_HOLDING, reason);
    }
}

void kmr_owner_consider(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;

    if (!kmr_inst_is(&pair->agreed.record.owner, pair->instance) ||
        pair->agreed.record.mode == KMR_MODE_DOWN) {
        if (pair->phase == KMR_PHASE_HANDED_OVER &&
            step->event->now_ms < pair->since_ms + KMR_SETTLE_MS) {
            /* Frozen for good: its end would cost the new owner CPU. */
            pair->deadline_ms = pair->since_ms + KMR_SETTLE_MS;
            return;
        }
        kmr_step_kill(step, pair->phase == KMR_PHASE_HANDED_OVER
                                ? "handed over"
                                : "another instance is the owner");
        return;
    }
    if (pair->agreed.record.owner.dead) {
        /* Whoever said so, others have acted on it. */
        kmr_step_kill(step, "this instance was declared dead");
        return;
    }
    kmr_trouble_consider(step);
    switch (pair->phase) {
    case KMR_PHASE_SOLO:
        consider_solo(step);
        break;
    case KMR_PHASE_INVITING:
    case KMR_PHASE_SYNCING:
        consider_candidate(step);
        break;
    case KMR_PHASE_IN_STEP:
        consider_in_step(step);
        break;
    case KMR_PHASE_PROTECTED:
        consider_protected(step);
        break;
    case KMR_PHASE_HOLDING:
        consider_holding(step);
        break;
    case KMR_PHASE_HANDING_OVER:
    case KMR_PHASE_HANDED_OVER:
        consider_handover(step);
        break;
    case KMR_PHASE_CLAIMED:
        consider_claimed(step);
        break;
    case KMR_PHASE_SHUTTING_DOWN:
        if (kmr_step_expired(step)) {
            kmr_owner_down(step, "the guest did not power off in time");
        }
        break;
    case KMR_PHASE_BOOTING:
    case KMR_PHASE_TAKING_OVER:
        if (kmr_step_expired(step) && pair->order == KMR_ORDER_NONE) {
            /* `expired` stays, so that the answer is taken for one. */
            kmr_step_order(step, KMR_ORDER_QUERY, 0);
        }
        break;
    case KMR_PHASE_STOPPED:
    case KMR_PHASE_IDLE:
    case KMR_PHASE_ADOPTING:
    case KMR_PHASE_STANDBY_STARTING:
    case KMR_PHASE_STANDBY_PREPARING:
    case KMR_PHASE_STANDBY_READY:
    case KMR_PHASE_STANDBY_SYNCING:
    case KMR_PHASE_SYNCHRONISED:
    case KMR_PHASE_PRIMARY_LOST:
    case KMR_PHASE_KILLING:
    case KMR_PHASE_COUNT:
        break;
    }
}
