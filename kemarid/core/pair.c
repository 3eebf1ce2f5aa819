/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/pair.h"

#include <string.h>

#include "core/pair_priv.h"
#include "core/text.h"

void kmr_pair_init(struct kmr_pair *pair, const char *vm, const char *node,
                   uint64_t boot)
{
    memset(pair, 0, sizeof(*pair));
    kmr_text_set(pair->vm, sizeof(pair->vm), vm);
    kmr_text_set(pair->node, sizeof(pair->node), node);
    pair->boot = boot;
    pair->limits = kmr_limits_default();
    pair->policy = kmr_guest_policy_default();
    kmr_consensus_init(&pair->agreed, node);
}

bool kmr_pair_owns(const struct kmr_pair *pair)
{
    return kmr_phase_is_owner(pair->phase) &&
           pair->phase != KMR_PHASE_HANDED_OVER &&
           kmr_inst_is(&pair->agreed.record.owner, pair->instance) &&
           !pair->agreed.record.owner.dead;
}

bool kmr_pair_guest_here(const struct kmr_pair *pair)
{
    const struct kmr_inst *owner = &pair->agreed.record.owner;

    return (kmr_phase_is_owner(pair->phase) ||
            pair->phase == KMR_PHASE_ADOPTING) &&
           !owner->dead && kmr_inst_is(owner, pair->instance);
}

bool kmr_pair_copy_here(const struct kmr_pair *pair)
{
    return pair->phase == KMR_PHASE_STANDBY_READY ||
           pair->phase == KMR_PHASE_STANDBY_SYNCING ||
           pair->phase == KMR_PHASE_SYNCHRONISED;
}

const char *kmr_pair_reason(const struct kmr_pair *pair)
{
    return pair->trouble_text[0] != '\0' ? pair->trouble_text : pair->reason;
}

bool kmr_pair_demote_waits(const struct kmr_pair *pair)
{
    return pair->demoted && pair->phase != KMR_PHASE_HANDING_OVER &&
           pair->phase != KMR_PHASE_HANDED_OVER &&
           pair->phase != KMR_PHASE_SHUTTING_DOWN;
}

const struct kmr_peer *kmr_pair_peer(const struct kmr_pair *pair,
                                     const char *node)
{
    for (unsigned i = 0; i < KMR_PEERS_MAX; i++) {
        if (kmr_text_same(pair->peers[i].node, node)) {
            return &pair->peers[i];
        }
    }
    return NULL;
}

bool kmr_pair_left(const struct kmr_pair *pair)
{
    return !pair->leaving || pair->agreed.record.mode == KMR_MODE_DOWN ||
           !kmr_record_voter(&pair->agreed.record, pair->node) ||
           kmr_record_voters(&pair->agreed.record) == 1;
}

static void earliest(uint64_t *ret_when, uint64_t when)
{
    if (when != 0 && (*ret_when == 0 || when < *ret_when)) {
        *ret_when = when;
    }
}

/* Another event comes first; a deadline that has passed would spin. */
static bool waits(const struct kmr_pair *pair)
{
    if (pair->phase == KMR_PHASE_ADOPTING) {
        return !pair->synced || pair->order != KMR_ORDER_NONE;
    }
    return pair->order != KMR_ORDER_NONE &&
           (pair->phase == KMR_PHASE_BOOTING ||
            pair->phase == KMR_PHASE_TAKING_OVER ||
            pair->phase == KMR_PHASE_STANDBY_STARTING ||
            pair->phase == KMR_PHASE_STANDBY_PREPARING);
}

uint64_t kmr_pair_deadline(const struct kmr_pair *pair)
{
    uint64_t when = 0;

    if (!waits(pair)) {
        earliest(&when, pair->deadline_ms);
    }
    earliest(&when, pair->announce_ms);
    earliest(&when, pair->failure_ms);
    earliest(&when, kmr_consensus_deadline(&pair->agreed));
    earliest(&when, kmr_trouble_deadline(pair));
    if (pair->phase == KMR_PHASE_SOLO || pair->phase == KMR_PHASE_IN_STEP ||
        pair->phase == KMR_PHASE_PROTECTED ||
        pair->phase == KMR_PHASE_HOLDING) {
        earliest(&when, pair->retry_ms);
    }
    if (pair->phase == KMR_PHASE_PROTECTED) {
        earliest(&when, pair->replace_ms);
    }
    if (pair->phase == KMR_PHASE_SOLO) {
        for (unsigned i = 0; i < KMR_PEERS_MAX; i++) {
            earliest(&when, pair->peers[i].avoid_until_ms);
        }
    }
    return when;
}

static void reaped(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    struct kmr_effect *effect;
    const char *reason = step->event->reason;
    bool keep = pair->down_id[0] != '\0' &&
                kmr_text_same(pair->down_id, pair->instance);

    if (!kmr_phase_has_qemu(pair->phase)) {
        return;
    }
    if (!keep) {
        effect = kmr_step_effect(step, KMR_EFFECT_DEATH);
        kmr_text_set(effect->id, sizeof(effect->id), pair->instance);
        kmr_text_set(effect->reason, sizeof(effect->reason), reason);
        kmr_text_set(pair->announced, sizeof(pair->announced), pair->instance);
        pair->announce_ms = step->event->now_ms + KMR_ANNOUNCE_MS;
    }
    pair->instance[0] = '\0';
    pair->peer[0] = '\0';
    pair->peer_node[0] = '\0';
    pair->engine_generation = 0;
    pair->engine = KMR_ENGINE_NONE;
    pair->handover_wanted = false;
    pair->demoted = false;
    pair->takeover_asked = false;
    kmr_alone_migration_failed(step, reason);
    kmr_trouble_reset(pair);
    pair->order = KMR_ORDER_NONE;
    if (pair->claim != KMR_CLAIM_DOWN) {
        pair->claim = KMR_CLAIM_NONE;
    }
    kmr_step_effect(step, KMR_EFFECT_PERSIST);
    kmr_step_move(step,
                  pair->want == KMR_WANT_STOPPED ? KMR_PHASE_STOPPED
                                                 : KMR_PHASE_IDLE,
                  reason);
}

static void action_stop(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;

    pair->want = KMR_WANT_STOPPED;
    pair->promote = false;
    pair->demoted = false;
    kmr_step_effect(step, KMR_EFFECT_PERSIST);
    if (pair->phase == KMR_PHASE_IDLE) {
        pair->instance[0] = '\0';
        if (pair->claim != KMR_CLAIM_DOWN) {
            pair->claim = KMR_CLAIM_NONE;
        }
        kmr_step_move(step, KMR_PHASE_STOPPED, "stopped by Pacemaker");
    } else if (kmr_pair_owns(pair) && pair->alone) {
        kmr_alone_stop(step);
    } else if (kmr_pair_owns(pair)) {
        kmr_owner_down(step, "stopped by Pacemaker");
    } else if (kmr_phase_has_qemu(pair->phase) &&
               pair->phase != KMR_PHASE_KILLING) {
        kmr_step_kill(step, "stopped by Pacemaker");
    }
}

static void action_demote(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;

    pair->want = KMR_WANT_UNPROMOTED;
    pair->promote = false;
    pair->demoted = step->event->flag &&
                    (kmr_pair_owns(pair) || pair->phase == KMR_PHASE_ADOPTING);
    kmr_step_effect(step, KMR_EFFECT_PERSIST);
    if (!kmr_pair_owns(pair)) {
        if (pair->phase == KMR_PHASE_IDLE) {
            pair->instance[0] = '\0';
        }
        return;
    }
    if (!step->event->flag) {
        kmr_owner_shut_down(step, "demoted by Pacemaker, nobody promoted");
    }
    /*
     * Else as soon as it is protected, and again where that fails. The node
     * that it is for may be one that corosync has just lost, or that failed
     * just now: the guest is not shut down for that. When half of Pacemaker's
     * patience is over the shell sends another DEMOTE.
     */
}

/*
 * Where a VM runs elsewhere, its next claims should not miss the vote of a
 * kemarid that has ended. The voters of one that is down stay: whoever of them
 * comes first may start it.
 */
static void leave(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;

    pair->leaving = !kmr_phase_has_qemu(pair->phase) &&
                    (pair->agreed.record.mode == KMR_MODE_SOLO ||
                     pair->agreed.record.mode == KMR_MODE_PAIRED);
    pair->promote = false;
}

static void adopt(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;

    if (kmr_phase_has_qemu(pair->phase)) {
        return;
    }
    kmr_text_set(pair->instance, sizeof(pair->instance), step->event->id);
    kmr_step_move(step, KMR_PHASE_ADOPTING, "found running");
}

static void done(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;

    if (step->event->tag != pair->tag || pair->order == KMR_ORDER_NONE) {
        return; /* of an earlier life */
    }
    pair->order = KMR_ORDER_NONE;
    if (kmr_phase_is_owner(pair->phase)) {
        kmr_owner_done(step);
    } else if (pair->phase == KMR_PHASE_ADOPTING) {
        kmr_step_within(step, KMR_BACKOFF_MIN_MS);
    } else {
        kmr_standby_done(step);
    }
}

static void engine(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;

    if (!kmr_phase_has_qemu(pair->phase) || pair->phase == KMR_PHASE_KILLING) {
        return;
    }
    pair->engine = step->event->engine;
    if (step->event->generation > pair->engine_generation) {
        pair->engine_generation = step->event->generation;
    }
    if (pair->phase == KMR_PHASE_ADOPTING) {
        kmr_pair_adopted(step);
    } else if (kmr_phase_is_owner(pair->phase)) {
        kmr_owner_engine(step);
    } else {
        kmr_standby_engine(step);
    }
}

static void act(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_event *event = step->event;

    switch (event->type) {
    case KMR_EVENT_TICK:
        break;
    case KMR_EVENT_CLUSTER:
        pair->quorate = event->quorate;
        pair->synced = event->synced;
        if (event->there > pair->agreed.there) {
            kmr_consensus_hurry(&pair->agreed, event->now_ms);
        }
        pair->agreed.nodes = event->nodes;
        pair->agreed.there = event->there;
        break;
    case KMR_EVENT_PEER:
        kmr_fact_peer(step);
        break;
    case KMR_EVENT_HEALTH:
        kmr_fact_health(step);
        break;
    case KMR_EVENT_FENCED:
        kmr_fact_fenced(step);
        break;
    case KMR_EVENT_START:
        pair->alone = event->flag;
        if (pair->alone) {
            kmr_alone_start(step);
        } else if (pair->want == KMR_WANT_STOPPED) {
            pair->want = KMR_WANT_UNPROMOTED;
            kmr_step_effect(step, KMR_EFFECT_PERSIST);
        }
        if (pair->phase == KMR_PHASE_STOPPED) {
            kmr_step_move(step, KMR_PHASE_IDLE, "started by Pacemaker");
        }
        break;
    case KMR_EVENT_PROMOTE:
        pair->want = KMR_WANT_PROMOTED;
        /* After a boot that failed the answer is why, and nothing else
         * happens for a while: the score that goes takes Pacemaker time. */
        pair->promote = !kmr_pair_owns(pair) && pair->failure_ms == 0;
        pair->handover_asked = false;
        pair->handover_wanted = false;
        pair->demoted = false;
        pair->held = KMR_GATE_OK;
        kmr_step_effect(step, KMR_EFFECT_PERSIST);
        break;
    case KMR_EVENT_DEMOTE:
        action_demote(step);
        break;
    case KMR_EVENT_STOP:
        action_stop(step);
        break;
    case KMR_EVENT_MIGRATE:
        kmr_alone_migrate(step);
        break;
    case KMR_EVENT_ARRIVE:
        kmr_alone_arrive(step);
        break;
    case KMR_EVENT_HANDOVER:
        if (pair->phase == KMR_PHASE_PROTECTED) {
            kmr_owner_hand_over(step, event->reason);
        }
        break;
    case KMR_EVENT_TAKEOVER:
        pair->takeover_asked = true;
        break;
    case KMR_EVENT_RESYNC:
        pair->failures = 0;
        pair->retry_ms = 0;
        for (unsigned i = 0; i < KMR_PEERS_MAX; i++) {
            pair->peers[i].avoid_until_ms = 0;
        }
        break;
    case KMR_EVENT_LEAVE:
        leave(step);
        break;
    case KMR_EVENT_FORCE:
        kmr_claim_force(step);
        break;
    case KMR_EVENT_ADOPT:
        adopt(step);
        break;
    case KMR_EVENT_PAXOS:
    case KMR_EVENT_RECORD:
        kmr_claim_event(step);
        break;
    case KMR_EVENT_DEAD:
        kmr_fact_dead(step);
        break;
    case KMR_EVENT_FROZEN:
        kmr_fact_frozen(step);
        break;
    case KMR_EVENT_INVITE:
        kmr_standby_invite(step);
        break;
    case KMR_EVENT_READY:
    case KMR_EVENT_REFUSED:
        kmr_owner_invited(step);
        break;
    case KMR_EVENT_DROP:
        /* A takeover under way is settled by its claim, not by this. */
        if (kmr_text_same(pair->instance, event->id) &&
            kmr_phase_has_qemu(pair->phase) &&
            !kmr_phase_is_owner(pair->phase) &&
            pair->phase != KMR_PHASE_KILLING &&
            pair->claim != KMR_CLAIM_TAKEOVER) {
            kmr_step_kill(step, event->reason);
        }
        break;
    case KMR_EVENT_DONE:
        done(step);
        break;
    case KMR_EVENT_ENGINE:
        engine(step);
        break;
    case KMR_EVENT_POWEROFF:
        if (kmr_pair_owns(pair)) {
            kmr_owner_down(step, "the guest powered off");
        }
        break;
    case KMR_EVENT_GUEST:
        kmr_trouble_heard(step);
        break;
    case KMR_EVENT_REAPED:
        reaped(step);
        break;
    }
}

static void consider_always(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;

    if (pair->down_id[0] != '\0') {
        if (!kmr_inst_is(&pair->agreed.record.owner, pair->down_id) ||
            pair->agreed.record.mode == KMR_MODE_DOWN) {
            pair->down_id[0] = '\0';
            kmr_step_effect(step, KMR_EFFECT_PERSIST);
        } else if (pair->claim != KMR_CLAIM_DOWN &&
                   kmr_claim_gate(pair, KMR_CLAIM_DOWN) == KMR_GATE_OK) {
            kmr_claim_make(step, KMR_CLAIM_DOWN);
        }
    }
    if (pair->failure_ms != 0 && step->event->now_ms >= pair->failure_ms) {
        pair->failure_ms = 0;
        pair->failure[0] = '\0';
    }
    kmr_fact_announce(step);
    kmr_claim_probe(step);
    if (pair->leaving && pair->claim == KMR_CLAIM_NONE &&
        kmr_claim_voters_wanted(pair) &&
        kmr_claim_gate(pair, KMR_CLAIM_VOTERS) == KMR_GATE_OK) {
        kmr_claim_make(step, KMR_CLAIM_VOTERS);
    }
}

static void consider_idle(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    enum kmr_gate gate;

    if (kmr_inst_is(&pair->agreed.record.owner, pair->instance) &&
        !pair->agreed.record.owner.dead) {
        kmr_step_move(step, KMR_PHASE_BOOTING,
                      pair->alone ? "started by Pacemaker"
                                  : "promoted by Pacemaker");
        kmr_step_within(step, KMR_CREATE_MS);
        kmr_step_order(step, KMR_ORDER_CREATE_PRIMARY, 0);
        return;
    }
    if (!pair->promote) {
        pair->deadline_ms = 0;
        return;
    }
    if (pair->claim != KMR_CLAIM_NONE) {
        if (kmr_step_expired(step)) {
            kmr_step_within(step, KMR_ELSEWHERE_MS); /* it is looked at then */
        }
        return;
    }
    gate = kmr_claim_gate(pair, KMR_CLAIM_BOOT);
    if (gate != KMR_GATE_OK) {
        kmr_claim_held(step, KMR_CLAIM_BOOT, gate);
        if (pair->alone) {
            kmr_alone_consider_start(step, gate);
        }
        return;
    }
    kmr_claim_make(step, KMR_CLAIM_BOOT);
}

/*
 * A QEMU that hangs never says what it is, and whoever took over from it
 * waits for its end.
 */
static void consider_adopting(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_record *record = &pair->agreed.record;

    /* The others may know a newer record than our disk. */
    if (!pair->synced) {
        return;
    }
    if (kmr_record_was_owner(record, pair->instance)) {
        kmr_step_kill(step, "another instance is the owner");
    } else if (pair->quorate && record->generation != 0 &&
               !record->owner.dead &&
               !kmr_inst_is(&record->owner, pair->instance) &&
               !kmr_inst_is(&record->standby, pair->instance) &&
               step->event->now_ms >= pair->since_ms + KMR_ADOPT_MS) {
        kmr_step_kill(step, "no record names it, and it does not answer");
    } else if (pair->order == KMR_ORDER_NONE &&
               (pair->deadline_ms == 0 || kmr_step_expired(step))) {
        kmr_step_order(step, KMR_ORDER_QUERY, 0);
        pair->deadline_ms = 0;
    }
}

static void consider(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;

    consider_always(step);
    if (!kmr_pair_owns(pair) && pair->phase != KMR_PHASE_ADOPTING &&
        pair->phase != KMR_PHASE_HANDED_OVER) {
        pair->demoted = false;
    }
    if (pair->phase == KMR_PHASE_STOPPED) {
        return;
    }
    if (pair->phase == KMR_PHASE_IDLE) {
        consider_idle(step);
    } else if (pair->phase == KMR_PHASE_KILLING) {
        if (kmr_step_expired(step)) {
            kmr_step_effect(step, KMR_EFFECT_KILL);
            kmr_step_within(step, KMR_KILL_MS);
        }
    } else if (pair->phase == KMR_PHASE_ADOPTING) {
        consider_adopting(step);
    } else if (kmr_phase_is_owner(pair->phase)) {
        kmr_owner_consider(step);
    } else {
        kmr_standby_consider(step);
    }
    if (pair->promote && kmr_pair_owns(pair) &&
        pair->phase != KMR_PHASE_BOOTING && pair->phase != KMR_PHASE_CLAIMED &&
        pair->phase != KMR_PHASE_TAKING_OVER) {
        pair->promote = false;
    }
}

static void note_mismatch(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    bool owns = kmr_pair_owns(pair) && pair->phase != KMR_PHASE_BOOTING;

    if ((pair->want == KMR_WANT_PROMOTED) == owns) {
        pair->mismatch_ms = 0;
    } else if (pair->mismatch_ms == 0) {
        pair->mismatch_ms = step->event->now_ms;
    }
}

void kmr_pair_step(struct kmr_pair *pair, const struct kmr_event *event,
                   struct kmr_effects *effects)
{
    struct kmr_step step = { pair, event, effects };
    enum kmr_phase before;

    effects->count = 0;
    act(&step);
    kmr_claim_tick(&step);
    do {
        before = pair->phase;
        consider(&step);
    } while (pair->phase != before && effects->count < 8);
    note_mismatch(&step);
}
