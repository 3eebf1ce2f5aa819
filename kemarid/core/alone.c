/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/pair_priv.h"

#include "core/text.h"

/*
 * The VM without `promotable`: one instance, which Pacemaker starts, stops and
 * migrates. A migration is a handover to a standby that exists for that long.
 */

void kmr_alone_start(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;

    pair->want = KMR_WANT_PROMOTED;
    pair->promote = !kmr_pair_owns(pair);
    /* Pacemaker counts the failures, and says where to try again. */
    pair->failure[0] = '\0';
    pair->failure_ms = 0;
    pair->held = KMR_GATE_OK;
    kmr_step_effect(step, KMR_EFFECT_PERSIST);
    if (pair->phase == KMR_PHASE_STOPPED) {
        kmr_step_move(step, KMR_PHASE_IDLE, "started by Pacemaker");
    }
    if (pair->phase == KMR_PHASE_IDLE) {
        kmr_step_within(step, KMR_ELSEWHERE_MS);
    }
}

/*
 * The guest may power off; what its node still has of it is killed then. Where
 * it was migrated away there is nothing, and nothing is recorded.
 */
void kmr_alone_stop(struct kmr_step *step)
{
    kmr_alone_migration_failed(step, "stopped by Pacemaker");
    kmr_owner_shut_down(step, "stopped by Pacemaker");
}

/* Pacemaker started it where it runs elsewhere: it has to hear that. */
void kmr_alone_consider_start(struct kmr_step *step, enum kmr_gate gate)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_inst *owner = &pair->agreed.record.owner;
    const struct kmr_peer *peer = kmr_pair_peer(pair, owner->node);

    if (pair->deadline_ms == 0) {
        /* Asked for while the last QEMU was on its way out. */
        kmr_step_within(step, KMR_ELSEWHERE_MS);
        return;
    }
    if (!kmr_step_expired(step)) {
        return;
    }
    if (gate != KMR_GATE_OWNER_ALIVE || !peer || !peer->present ||
        !peer->has_qemu) {
        kmr_step_within(step, KMR_ELSEWHERE_MS);
        return;
    }
    pair->deadline_ms = 0;
    pair->promote = false;
    kmr_text_set(pair->failure, sizeof(pair->failure), "it runs on ");
    kmr_text_add(pair->failure, sizeof(pair->failure), owner->node);
    pair->failure_ms = step->event->now_ms + KMR_FAILURE_MS;
}

/* ---- the owner migrates ---- */

void kmr_alone_migration_failed(struct kmr_step *step, const char *reason)
{
    struct kmr_pair *pair = step->pair;

    if (pair->moving_to[0] == '\0') {
        return;
    }
    kmr_text_set(pair->migration, sizeof(pair->migration), reason);
    pair->moving_to[0] = '\0';
}

void kmr_alone_migrate(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_event *event = step->event;
    const struct kmr_peer *peer = kmr_pair_peer(pair, event->node);
    const char *reason = NULL;

    if (event->node[0] == '\0') {
        /* After the freeze the target has the word. */
        if (pair->phase != KMR_PHASE_HANDING_OVER &&
            pair->phase != KMR_PHASE_HANDED_OVER) {
            kmr_alone_migration_failed(step, "not done in time");
        }
        return;
    }
    if (kmr_text_same(pair->moving_to, event->node)) {
        return; /* asked twice */
    }
    if (!pair->alone) {
        reason = "it has a standby: use a handover";
    } else if (!kmr_pair_owns(pair) || pair->phase == KMR_PHASE_SHUTTING_DOWN) {
        reason = "it does not run here";
    } else if (pair->moving_to[0] != '\0') {
        reason = "another migration is under way";
    } else if (!peer || !peer->present) {
        reason = "no kemarid of the target is in the group";
    }
    if (reason) {
        /* Another one that is under way goes on. */
        kmr_text_set(pair->migration, sizeof(pair->migration), reason);
        return;
    }
    kmr_text_set(pair->moving_to, sizeof(pair->moving_to), event->node);
    pair->migration[0] = '\0';
}

void kmr_alone_consider_solo(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_peer *peer = kmr_pair_peer(pair, pair->moving_to);

    if (pair->moving_to[0] == '\0') {
        return;
    }
    if (!peer || !peer->present) {
        kmr_alone_migration_failed(step, "the target left the group");
    } else if (pair->quorate && pair->synced && pair->claim == KMR_CLAIM_NONE &&
               pair->order == KMR_ORDER_NONE) {
        kmr_owner_invite(step, peer);
    }
}

bool kmr_alone_consider_standby(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;

    if (!pair->alone) {
        return false;
    }
    if (pair->phase != KMR_PHASE_PROTECTED) {
        if (pair->moving_to[0] == '\0') {
            kmr_owner_lost_candidate(step, "no migration wants it");
            return true;
        }
        return false;
    }
    if (pair->moving_to[0] != '\0') {
        if (pair->claim == KMR_CLAIM_NONE && pair->order == KMR_ORDER_NONE) {
            kmr_owner_hand_over(step, "migrated by Pacemaker");
            if (pair->phase == KMR_PHASE_PROTECTED) {
                kmr_alone_migration_failed(step, "it can't be handed over");
            }
        }
        return true;
    }
    kmr_owner_drop_standby(step, "no migration wants it");
    return true;
}

/* ---- the target ---- */

void kmr_alone_arrive(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;

    if (!kmr_phase_has_qemu(pair->phase)) {
        return; /* the answer says so */
    }
    pair->alone = true;
    pair->want = KMR_WANT_PROMOTED;
    kmr_step_effect(step, KMR_EFFECT_PERSIST);
}
