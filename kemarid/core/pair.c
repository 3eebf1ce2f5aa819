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
}

bool kmr_pair_owns(const struct kmr_pair *pair)
{
    return kmr_phase_is_owner(pair->phase) &&
           pair->phase != KMR_PHASE_HANDED_OVER &&
           kmr_inst_is(&pair->record.owner, pair->instance) &&
           !pair->record.owner.dead;
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

static void earliest(uint64_t *ret_when, uint64_t when)
{
    if (when != 0 && (*ret_when == 0 || when < *ret_when)) {
        *ret_when = when;
    }
}

uint64_t kmr_pair_deadline(const struct kmr_pair *pair)
{
    uint64_t when = 0;

    earliest(&when, pair->deadline_ms);
    earliest(&when, pair->announce_ms);
    earliest(&when, pair->failure_ms);
    if (pair->claim != KMR_CLAIM_NONE) {
        earliest(&when, pair->claim_deadline_ms);
    }
    if (pair->phase == KMR_PHASE_SOLO || pair->phase == KMR_PHASE_HOLDING) {
        earliest(&when, pair->retry_ms);
    }
    if (pair->phase == KMR_PHASE_SOLO) {
        for (unsigned i = 0; i < KMR_PEERS_MAX; i++) {
            earliest(&when, pair->peers[i].avoid_until_ms);
        }
    }
    return when;
}

static void set_peer(struct kmr_step *step)
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
    peer->started = event->started;
    peer->idle = event->idle;
}

/* `inst` is certainly gone: its node was fenced, or has booted again. */
static void announce_lost(struct kmr_step *step, const struct kmr_inst *inst,
                          const char *reason)
{
    struct kmr_effect *effect;

    if (inst->id[0] == '\0' || inst->dead) {
        return;
    }
    effect = kmr_step_effect(step, KMR_EFFECT_DEATH);
    kmr_text_set(effect->id, sizeof(effect->id), inst->id);
    kmr_text_set(effect->reason, sizeof(effect->reason), reason);
}

static void fenced(struct kmr_step *step)
{
    const struct kmr_event *event = step->event;
    const struct kmr_peer *peer = kmr_pair_peer(step->pair, event->node);
    struct kmr_record *record = &step->pair->record;

    /* Its incarnation has to be out of the group: fencewatch.h, (b). */
    if ((peer && peer->present) ||
        kmr_text_same(event->node, step->pair->node)) {
        return;
    }
    if (kmr_text_same(record->owner.node, event->node)) {
        announce_lost(step, &record->owner, "its node was fenced");
    }
    if (kmr_text_same(record->standby.node, event->node)) {
        announce_lost(step, &record->standby, "its node was fenced");
    }
}

/* Of a peer that is there with a newer boot, older instances are dead. */
static void check_boots(struct kmr_step *step)
{
    const struct kmr_event *event = step->event;
    struct kmr_record *record = &step->pair->record;

    if (!event->present || event->boot == 0) {
        return;
    }
    if (kmr_text_same(record->owner.node, event->node) &&
        record->owner.boot != event->boot) {
        announce_lost(step, &record->owner, "its node has booted again");
    }
    if (kmr_text_same(record->standby.node, event->node) &&
        record->standby.boot != event->boot) {
        announce_lost(step, &record->standby, "its node has booted again");
    }
}

static void claimed(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const struct kmr_event *event = step->event;
    bool ours = event->flag && pair->claim != KMR_CLAIM_NONE &&
                pair->claim_base == event->base;
    enum kmr_gate gate =
        kmr_record_claim(&pair->record, event->base, &event->record);

    if (gate == KMR_GATE_OK) {
        kmr_step_effect(step, KMR_EFFECT_PERSIST);
        pair->held = KMR_GATE_OK;
        if (ours) {
            pair->claim = KMR_CLAIM_NONE;
        }
        return;
    }
    if (ours) {
        char text[KMR_REASON_MAX] = "claim refused: ";

        kmr_text_add(text, sizeof(text), kmr_claim_text(pair->claim));
        kmr_text_add(text, sizeof(text), ": ");
        kmr_text_add(text, sizeof(text), kmr_gate_text(gate));
        pair->claim = KMR_CLAIM_NONE;
        kmr_step_note(step, text);
        if (pair->phase == KMR_PHASE_IDLE) {
            pair->instance[0] = '\0';
        }
    }
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
        pair->announce_ms = step->event->now_ms + KMR_CLAIM_MS;
    }
    pair->instance[0] = '\0';
    pair->peer[0] = '\0';
    pair->peer_node[0] = '\0';
    pair->engine_generation = 0;
    pair->engine = KMR_ENGINE_NONE;
    pair->handover_wanted = false;
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
    kmr_step_effect(step, KMR_EFFECT_PERSIST);
    if (pair->phase == KMR_PHASE_IDLE) {
        pair->instance[0] = '\0';
        if (pair->claim != KMR_CLAIM_DOWN) {
            pair->claim = KMR_CLAIM_NONE;
        }
        kmr_step_move(step, KMR_PHASE_STOPPED, "stopped by Pacemaker");
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
    kmr_step_effect(step, KMR_EFFECT_PERSIST);
    if (!kmr_pair_owns(pair)) {
        if (pair->phase == KMR_PHASE_IDLE) {
            pair->instance[0] = '\0';
        }
        return;
    }
    if (!step->event->flag) {
        kmr_owner_shut_down(step, "demoted by Pacemaker, nobody promoted");
    } else if (pair->phase == KMR_PHASE_PROTECTED) {
        kmr_owner_hand_over(step, "demoted by Pacemaker");
    } else if (pair->phase == KMR_PHASE_SOLO ||
               pair->phase == KMR_PHASE_BOOTING) {
        kmr_owner_shut_down(step, "demoted by Pacemaker without a standby");
    } else {
        pair->handover_wanted = true;
    }
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

static void fact_dead(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    const char *id = step->event->id;

    if (kmr_text_same(pair->announced, id)) {
        pair->announced[0] = '\0';
        pair->announce_ms = 0;
    }
    if (kmr_record_dead(&pair->record, id)) {
        kmr_step_effect(step, KMR_EFFECT_PERSIST);
    }
    if (pair->peer[0] != '\0' && kmr_text_same(pair->peer, id) &&
        (pair->phase == KMR_PHASE_INVITING ||
         pair->phase == KMR_PHASE_SYNCING)) {
        kmr_owner_lost_candidate(step, "the new standby died");
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
        break;
    case KMR_EVENT_PEER:
        set_peer(step);
        check_boots(step);
        break;
    case KMR_EVENT_FENCED:
        fenced(step);
        break;
    case KMR_EVENT_START:
        if (pair->want == KMR_WANT_STOPPED) {
            pair->want = KMR_WANT_UNPROMOTED;
            kmr_step_effect(step, KMR_EFFECT_PERSIST);
        }
        if (pair->phase == KMR_PHASE_STOPPED) {
            kmr_step_move(step, KMR_PHASE_IDLE, "started by Pacemaker");
        }
        break;
    case KMR_EVENT_PROMOTE:
        pair->want = KMR_WANT_PROMOTED;
        pair->promote = !kmr_pair_owns(pair);
        pair->handover_asked = false;
        pair->failure[0] = '\0';
        pair->failure_ms = 0;
        pair->held = KMR_GATE_OK;
        kmr_step_effect(step, KMR_EFFECT_PERSIST);
        break;
    case KMR_EVENT_DEMOTE:
        action_demote(step);
        break;
    case KMR_EVENT_STOP:
        action_stop(step);
        break;
    case KMR_EVENT_HANDOVER:
        if (pair->phase == KMR_PHASE_PROTECTED) {
            kmr_owner_hand_over(step, event->reason);
        }
        break;
    case KMR_EVENT_RESYNC:
        pair->failures = 0;
        pair->retry_ms = 0;
        for (unsigned i = 0; i < KMR_PEERS_MAX; i++) {
            pair->peers[i].avoid_until_ms = 0;
        }
        break;
    case KMR_EVENT_ADOPT:
        adopt(step);
        break;
    case KMR_EVENT_CLAIMED:
        claimed(step);
        break;
    case KMR_EVENT_RECORD:
        if (kmr_record_adopt(&pair->record, &event->record)) {
            kmr_step_effect(step, KMR_EFFECT_PERSIST);
        }
        break;
    case KMR_EVENT_DEAD:
        fact_dead(step);
        break;
    case KMR_EVENT_FROZEN:
        if (kmr_record_frozen(&pair->record, event->id, event->generation)) {
            kmr_step_effect(step, KMR_EFFECT_PERSIST);
        }
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
    case KMR_EVENT_REAPED:
        reaped(step);
        break;
    }
}

/* An instance of ours in the record that is not our QEMU is gone. */
static void announce_ours(struct kmr_step *step, const struct kmr_inst *inst)
{
    struct kmr_pair *pair = step->pair;
    struct kmr_effect *effect;

    if (!kmr_text_same(inst->node, pair->node) || inst->dead ||
        inst->id[0] == '\0' || kmr_text_same(inst->id, pair->instance) ||
        kmr_text_same(inst->id, pair->down_id)) {
        return;
    }
    if (kmr_text_same(pair->announced, inst->id) &&
        step->event->now_ms < pair->announce_ms) {
        return;
    }
    kmr_text_set(pair->announced, sizeof(pair->announced), inst->id);
    pair->announce_ms = step->event->now_ms + KMR_CLAIM_MS;
    effect = kmr_step_effect(step, KMR_EFFECT_DEATH);
    kmr_text_set(effect->id, sizeof(effect->id), inst->id);
    kmr_text_set(effect->reason, sizeof(effect->reason),
                 "no such process on its node");
}

static void consider_facts(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;

    if (pair->claim != KMR_CLAIM_NONE &&
        step->event->now_ms >= pair->claim_deadline_ms) {
        pair->claim = KMR_CLAIM_NONE;
    }
    if (pair->down_id[0] != '\0') {
        if (!kmr_inst_is(&pair->record.owner, pair->down_id) ||
            pair->record.mode == KMR_MODE_DOWN) {
            pair->down_id[0] = '\0';
            kmr_step_effect(step, KMR_EFFECT_PERSIST);
        } else if (pair->claim == KMR_CLAIM_NONE) {
            kmr_step_claim(step, KMR_CLAIM_DOWN);
        }
    }
    if (pair->failure_ms != 0 && step->event->now_ms >= pair->failure_ms) {
        pair->failure_ms = 0;
        pair->failure[0] = '\0';
    }
    announce_ours(step, &pair->record.owner);
    announce_ours(step, &pair->record.standby);
    if (pair->announced[0] == '\0' ||
        (step->event->now_ms >= pair->announce_ms &&
         !kmr_text_same(pair->announced, pair->record.owner.id) &&
         !kmr_text_same(pair->announced, pair->record.standby.id))) {
        pair->announced[0] = '\0';
        pair->announce_ms = 0;
    }
}

static void consider_idle(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    enum kmr_gate gate;

    if (kmr_inst_is(&pair->record.owner, pair->instance) &&
        !pair->record.owner.dead) {
        kmr_step_move(step, KMR_PHASE_BOOTING, "promoted by Pacemaker");
        kmr_step_within(step, KMR_CREATE_MS);
        kmr_step_order(step, KMR_ORDER_CREATE_PRIMARY, pair->record.generation);
        return;
    }
    if (!pair->promote || pair->claim != KMR_CLAIM_NONE) {
        return;
    }
    gate = kmr_step_gate(step, KMR_CLAIM_BOOT);
    if (gate != KMR_GATE_OK) {
        kmr_step_held(step, KMR_CLAIM_BOOT, gate);
        return;
    }
    kmr_step_claim(step, KMR_CLAIM_BOOT);
}

static void consider(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;

    consider_facts(step);
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
        /* The others may know a newer record than our disk. */
        if (pair->synced && pair->order == KMR_ORDER_NONE &&
            (pair->deadline_ms == 0 || kmr_step_expired(step))) {
            kmr_step_order(step, KMR_ORDER_QUERY, 0);
            pair->deadline_ms = 0;
        }
    } else if (kmr_phase_is_owner(pair->phase)) {
        kmr_owner_consider(step);
    } else {
        kmr_standby_consider(step);
    }
    if (pair->promote && kmr_pair_owns(pair) &&
        pair->phase != KMR_PHASE_BOOTING &&
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
    do {
        before = pair->phase;
        consider(&step);
    } while (pair->phase != before && effects->count < 8);
    note_mismatch(&step);
}
