/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/pair_priv.h"

#include "core/text.h"

/* The owner's side of a pair: what its engine and its candidate say. */

void kmr_owner_invited(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    char text[KMR_REASON_MAX] = "the standby on ";

    if (!kmr_text_same(pair->peer, step->event->id) || pair->peer[0] == '\0' ||
        (pair->phase != KMR_PHASE_INVITING &&
         pair->phase != KMR_PHASE_SYNCING)) {
        return;
    }
    if (step->event->type == KMR_EVENT_REFUSED) {
        kmr_owner_lost_candidate(step, step->event->reason);
        return;
    }
    if (pair->phase == KMR_PHASE_SYNCING) {
        return;
    }
    kmr_text_add(text, sizeof(text), pair->peer_node);
    kmr_text_add(text, sizeof(text), " is ready");
    kmr_step_move(step, KMR_PHASE_SYNCING, text);
    kmr_step_within(step, pair->limits.sync_ms);
    kmr_step_order(step, KMR_ORDER_SYNC, kmr_step_order_generation(step));
}

/* To begin again at once would lead to the same overload. */
static void released(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;

    kmr_owner_forget_candidate(pair);
    if (pair->overloaded) {
        pair->overloaded = false;
        pair->retry_ms = step->event->now_ms + KMR_OVERLOAD_MS;
        kmr_step_move(step, KMR_PHASE_SOLO,
                      "overload: runs on without a standby for a minute");
    } else {
        kmr_step_move(step, KMR_PHASE_SOLO, "runs on without a standby");
    }
}

void kmr_owner_done(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_event *event = step->event;

    switch (event->order) {
    case KMR_ORDER_CREATE_PRIMARY:
        if (pair->phase != KMR_PHASE_BOOTING) {
            break;
        }
        if (event->flag) {
            kmr_step_effect(step, KMR_EFFECT_PERSIST);
            kmr_step_move(step, KMR_PHASE_SOLO, "the guest boots");
        } else {
            pair->promote = false;
            kmr_text_set(pair->failure, sizeof(pair->failure), event->reason);
            pair->failure_ms = event->now_ms + KMR_FAILURE_MS;
            kmr_owner_down(step, event->reason);
        }
        break;
    case KMR_ORDER_SYNC:
        if (pair->phase == KMR_PHASE_SYNCING && !event->flag) {
            kmr_owner_lost_candidate(step, event->reason);
            kmr_step_order(step, KMR_ORDER_QUERY, 0);
        }
        break;
    case KMR_ORDER_CONFIRM:
        if (pair->phase == KMR_PHASE_IN_STEP) {
            /* The engine will say that it is protected; or not. */
            pair->retry_ms = event->now_ms + KMR_BACKOFF_MIN_MS;
            if (!event->flag) {
                kmr_step_note(step, event->reason);
                kmr_step_order(step, KMR_ORDER_QUERY, 0);
            }
        }
        break;
    case KMR_ORDER_RELEASE:
        if (pair->phase != KMR_PHASE_HOLDING) {
            break;
        }
        if (event->flag) {
            released(step);
        } else {
            /* It may have been released all the same. */
            pair->retry_ms = event->now_ms + KMR_BACKOFF_MIN_MS;
            kmr_step_note(step, event->reason);
            kmr_step_order(step, KMR_ORDER_QUERY, 0);
        }
        break;
    case KMR_ORDER_TAKEOVER:
        if (pair->phase != KMR_PHASE_TAKING_OVER) {
            break;
        }
        if (event->flag) {
            kmr_step_within(step, KMR_ORDER_MS);
        } else if (event->maybe) {
            /* The last copy: ask what became of it. */
            kmr_step_within(step, KMR_BACKOFF_MIN_MS);
        } else {
            kmr_step_kill(step, event->reason);
        }
        break;
    case KMR_ORDER_HANDOVER:
        if (pair->phase == KMR_PHASE_HANDING_OVER && !event->flag) {
            kmr_alone_migration_failed(step, event->reason);
            pair->retry_ms = event->now_ms + KMR_BACKOFF_MIN_MS;
            kmr_step_move(step, KMR_PHASE_PROTECTED, event->reason);
            kmr_step_order(step, KMR_ORDER_QUERY, 0);
        }
        break;
    case KMR_ORDER_SHUTDOWN:
        if (pair->phase == KMR_PHASE_SHUTTING_DOWN && !event->flag) {
            kmr_owner_down(step, event->reason);
        }
        break;
    case KMR_ORDER_QUERY:
        if (pair->phase != KMR_PHASE_TAKING_OVER) {
            break;
        }
        kmr_step_within(step, KMR_BACKOFF_MIN_MS);
        if (event->flag && (pair->engine == KMR_ENGINE_SYNCHRONISED ||
                            pair->engine == KMR_ENGINE_PRIMARY_LOST)) {
            /* It knows nothing of the order. */
            kmr_step_order(step, KMR_ORDER_TAKEOVER,
                           kmr_step_order_generation(step));
        }
        break;
    case KMR_ORDER_RETRY:
    case KMR_ORDER_REPORT:
    case KMR_ORDER_RESTART:
    case KMR_ORDER_DUMP:
        kmr_trouble_done(step);
        break;
    case KMR_ORDER_NONE:
    case KMR_ORDER_CREATE_STANDBY:
    case KMR_ORDER_PREPARE:
        break;
    }
}

/*
 * An order that hung fired after its candidate was given up. The engine would
 * hold output for ever, and take no other standby.
 */
static bool follows_nobody(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;

    if (step->event->role != KMR_ENGINE_ROLE_PRIMARY ||
        (pair->phase != KMR_PHASE_SOLO && pair->phase != KMR_PHASE_INVITING)) {
        return false;
    }
    if (pair->phase == KMR_PHASE_INVITING) {
        kmr_owner_lost_candidate(step, "the one before is still followed");
    }
    pair->retry_ms = 0;
    kmr_step_move(step, KMR_PHASE_HOLDING,
                  "follows a standby that was given up");
    return true;
}

static void hold(struct kmr_step *step, const char *reason)
{
    struct kmr_pair *pair = step->pair;

    pair->retry_ms = 0;
    pair->overloaded = false;
    if (reason[0] == '\0') {
        reason = "the stream broke";
    }
    kmr_alone_migration_failed(step, reason);
    kmr_step_move(step, KMR_PHASE_HOLDING, reason);
}

void kmr_owner_engine(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_event *event = step->event;
    struct kmr_effect *effect;

    if (follows_nobody(step)) {
        return;
    }
    switch (event->engine) {
    case KMR_ENGINE_NONE:
        if (pair->phase == KMR_PHASE_SYNCING && pair->order != KMR_ORDER_SYNC) {
            kmr_owner_lost_candidate(step, event->reason);
        } else if (pair->phase == KMR_PHASE_TAKING_OVER &&
                   event->role == KMR_ENGINE_ROLE_NONE) {
            kmr_owner_forget_candidate(pair);
            pair->retry_ms = event->now_ms + KMR_SETTLE_MS;
            kmr_step_move(step, KMR_PHASE_SOLO, "took over, the guest runs");
        } else if (pair->phase == KMR_PHASE_HOLDING &&
                   event->role == KMR_ENGINE_ROLE_NONE) {
            /* An order of ours whose answer was lost. */
            released(step);
        }
        break;
    case KMR_ENGINE_IN_STEP:
    case KMR_ENGINE_PROTECTED:
        if (pair->phase == KMR_PHASE_SYNCING) {
            char text[KMR_REASON_MAX] = "standby on ";

            pair->failures = 0;
            kmr_text_add(text, sizeof(text), pair->peer_node);
            kmr_text_add(text, sizeof(text), " acknowledged checkpoint ");
            kmr_text_add_u64(text, sizeof(text), event->checkpoint);
            pair->retry_ms = 0;
            kmr_step_move(step, KMR_PHASE_IN_STEP, text);
        } else if (pair->phase == KMR_PHASE_PROTECTED && event->overloaded &&
                   event->now_ms >= pair->since_ms + KMR_OVERLOAD_CALM_MS) {
            /* The engine goes on until it is released: until then, the
             * standby may take over. */
            hold(step, "overload: the guest dirties memory faster than the "
                       "link carries it");
            pair->overloaded = true;
        }
        break;
    case KMR_ENGINE_HOLDING:
        if (pair->phase == KMR_PHASE_SYNCING ||
            pair->phase == KMR_PHASE_IN_STEP ||
            pair->phase == KMR_PHASE_PROTECTED ||
            pair->phase == KMR_PHASE_HANDING_OVER) {
            hold(step, event->reason);
        }
        break;
    case KMR_ENGINE_MEMORY_LOST:
        /* Its guest knows, or will, and the standby's doesn't. Should nobody
         * hear this, the standby misses the primary, which is silent now; and
         * if the standby is gone, we go on alone as after any other loss. */
        if (pair->phase == KMR_PHASE_PROTECTED ||
            pair->phase == KMR_PHASE_HANDING_OVER) {
            effect = kmr_step_effect(step, KMR_EFFECT_TAKEOVER);
            kmr_text_set(effect->reason, sizeof(effect->reason), event->reason);
        } else if (pair->phase == KMR_PHASE_SYNCING ||
                   pair->phase == KMR_PHASE_IN_STEP) {
            hold(step, event->reason); /* nobody may take over yet */
        }
        break;
    case KMR_ENGINE_HANDED_OVER:
        if (pair->phase == KMR_PHASE_PROTECTED) {
            /* The order hung, was given up, and fired: it is frozen. */
            kmr_step_move(step, KMR_PHASE_HANDING_OVER, "late, all the same");
        }
        if (pair->phase == KMR_PHASE_HANDING_OVER) {
            kmr_step_move(step, KMR_PHASE_HANDED_OVER,
                          "frozen, the standby has all of it");
            kmr_step_within(step, pair->limits.handover_ms);
            effect = kmr_step_effect(step, KMR_EFFECT_FROZEN);
            kmr_text_set(effect->id, sizeof(effect->id), pair->instance);
            effect->generation = pair->agreed.record.generation;
        }
        break;
    case KMR_ENGINE_RUNNING:
        if (pair->phase == KMR_PHASE_TAKING_OVER) {
            kmr_owner_forget_candidate(pair);
            pair->retry_ms = event->now_ms + KMR_SETTLE_MS;
            kmr_step_move(step, KMR_PHASE_SOLO, "took over, the guest runs");
        }
        break;
    case KMR_ENGINE_FAILED:
        if (pair->phase == KMR_PHASE_TAKING_OVER ||
            pair->phase == KMR_PHASE_CLAIMED) {
            kmr_step_kill(step, event->reason);
        }
        break;
    case KMR_ENGINE_SYNCHRONISED:
    case KMR_ENGINE_PRIMARY_LOST:
        if (pair->phase == KMR_PHASE_TAKING_OVER &&
            pair->order == KMR_ORDER_NONE && kmr_step_expired(step)) {
            kmr_step_order(step, KMR_ORDER_TAKEOVER,
                           kmr_step_order_generation(step));
        }
        break;
    case KMR_ENGINE_PREPARING:
    case KMR_ENGINE_SYNCING:
    case KMR_ENGINE_HANDING_OVER:
    case KMR_ENGINE_TAKING_OVER:
    case KMR_ENGINE_COUNT:
        break;
    }
}
