/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/answer.h"

#include "core/text.h"

static void say(char *ret_reason, const char *a, const char *b)
{
    kmr_text_set(ret_reason, KMR_REASON_MAX, a);
    kmr_text_add(ret_reason, KMR_REASON_MAX, b);
}

const char *kmr_state_text(enum kmr_state state)
{
    switch (state) {
#define X(name, text)      \
    case KMR_STATE_##name: \
        return text;
        KMR_STATES(X)
#undef X
    }
    return "?";
}

/* It owns the VM, and the guest runs or is only held. */
static bool runs(const struct kmr_pair *pair)
{
    return kmr_pair_owns(pair) && pair->phase != KMR_PHASE_BOOTING &&
           pair->phase != KMR_PHASE_CLAIMED &&
           pair->phase != KMR_PHASE_TAKING_OVER;
}

int kmr_answer_start(const struct kmr_pair *pair, char *ret_reason)
{
    if (pair->alone && pair->want != KMR_WANT_STOPPED) {
        return kmr_answer_promote(pair, ret_reason);
    }
    if (pair->want == KMR_WANT_STOPPED) {
        say(ret_reason, "not started: ", pair->reason);
        return KMR_OCF_PENDING;
    }
    return KMR_OCF_SUCCESS;
}

int kmr_answer_stop(const struct kmr_pair *pair, char *ret_reason)
{
    if (kmr_phase_has_qemu(pair->phase)) {
        say(ret_reason, "QEMU is not dead yet: ", pair->reason);
        return KMR_OCF_PENDING;
    }
    return KMR_OCF_SUCCESS;
}

int kmr_answer_promote(const struct kmr_pair *pair, char *ret_reason)
{
    if (runs(pair)) {
        return KMR_OCF_SUCCESS;
    }
    if (pair->failure[0] != '\0') {
        say(ret_reason, "", pair->failure);
        return KMR_OCF_ERR_GENERIC;
    }
    if (pair->want != KMR_WANT_PROMOTED) {
        say(ret_reason, "overtaken by another action", "");
        return KMR_OCF_ERR_GENERIC;
    }
    say(ret_reason,
        pair->alone ? "not started yet: " : "not promoted yet: ", pair->reason);
    return KMR_OCF_PENDING;
}

int kmr_answer_migrate(const struct kmr_pair *pair, const char *instance,
                       const char *target, char *ret_reason)
{
    const struct kmr_record *record = &pair->agreed.record;

    if (!kmr_inst_is(&record->owner, instance)) {
        if (record->mode == KMR_MODE_SOLO &&
            kmr_text_same(record->owner.node, target)) {
            return KMR_OCF_SUCCESS;
        }
        say(ret_reason, "not migrated: it was stopped, or runs on ",
            record->owner.node);
        return KMR_OCF_ERR_GENERIC;
    }
    if (pair->moving_to[0] == '\0') {
        say(ret_reason, "not migrated: ", pair->migration);
        return KMR_OCF_ERR_GENERIC;
    }
    say(ret_reason, "not migrated yet: ", pair->reason);
    return KMR_OCF_PENDING;
}

int kmr_answer_arrive(const struct kmr_pair *pair, char *ret_reason)
{
    if (runs(pair)) {
        return KMR_OCF_SUCCESS;
    }
    say(ret_reason, "the guest does not run here: ", pair->reason);
    /* One that is in step hears of the decision in a moment. */
    return kmr_phase_has_qemu(pair->phase) && pair->phase != KMR_PHASE_KILLING
               ? KMR_OCF_PENDING
               : KMR_OCF_ERR_GENERIC;
}

int kmr_answer_demote(const struct kmr_pair *pair, char *ret_reason)
{
    if (!kmr_phase_is_owner(pair->phase) &&
        (pair->phase != KMR_PHASE_KILLING ||
         !kmr_inst_is(&pair->agreed.record.owner, pair->instance)) &&
        pair->phase != KMR_PHASE_ADOPTING) {
        return KMR_OCF_SUCCESS;
    }
    say(ret_reason, "not demoted yet: ", pair->reason);
    return KMR_OCF_PENDING;
}

/* 190 and 191 are 0 and 8 without protection; shell_request.c may turn them
 * back. */
static int as_owner(const struct kmr_pair *pair, char *ret_reason)
{
    if (pair->phase == KMR_PHASE_PROTECTED ||
        pair->phase == KMR_PHASE_HANDING_OVER) {
        say(ret_reason, "protected: ", pair->reason);
        return KMR_OCF_RUNNING_PROMOTED;
    }
    say(ret_reason, "not protected: ", pair->reason);
    return KMR_OCF_DEGRADED_PROMOTED;
}

/*
 * Never degraded: that the VM is not protected is said by its owner. Where the
 * last result of a recurring monitor is 190, and the DC dies together with the
 * primary, Pacemaker 2.1.5's next DC waits 80 s for the end of that monitor
 * before it promotes.
 */
static int as_unpromoted(const struct kmr_pair *pair, char *ret_reason)
{
    say(ret_reason,
        pair->phase == KMR_PHASE_SYNCHRONISED ? "" : "not in step: ",
        pair->reason);
    return KMR_OCF_SUCCESS;
}

/*
 * Of a VM alone: it runs here, or it doesn't; a standby is on its way and not
 * yet here. Never degraded: no standby is wanted.
 */
static int monitor_alone(const struct kmr_pair *pair, char *ret_reason)
{
    bool owner = kmr_phase_is_owner(pair->phase) &&
                 kmr_inst_is(&pair->agreed.record.owner, pair->instance) &&
                 !pair->agreed.record.owner.dead;

    say(ret_reason, "", pair->reason);
    return owner || (pair->phase == KMR_PHASE_ADOPTING &&
                     pair->want == KMR_WANT_PROMOTED)
               ? KMR_OCF_SUCCESS
               : KMR_OCF_NOT_RUNNING;
}

int kmr_answer_monitor(const struct kmr_pair *pair, bool probe, uint64_t now_ms,
                       char *ret_reason)
{
    bool owns = kmr_pair_owns(pair);
    bool patient =
        pair->mismatch_ms != 0 && now_ms < pair->mismatch_ms + KMR_MISMATCH_MS;
    const struct kmr_record *record = &pair->agreed.record;
    bool runs_elsewhere =
        (record->mode == KMR_MODE_SOLO || record->mode == KMR_MODE_PAIRED) &&
        (!record->owner.dead ||
         (record->mode == KMR_MODE_PAIRED && !record->standby.dead));

    if (pair->phase == KMR_PHASE_STOPPED) {
        say(ret_reason, "not started", "");
        return KMR_OCF_NOT_RUNNING;
    }
    if (pair->alone) {
        return monitor_alone(pair, ret_reason);
    }
    if (pair->phase == KMR_PHASE_ADOPTING) {
        /* It runs; as what, the engine will say. */
        if (pair->want == KMR_WANT_PROMOTED) {
            return as_owner(pair, ret_reason);
        }
        return as_unpromoted(pair, ret_reason);
    }
    if (probe && pair->want == KMR_WANT_STOPPED) {
        if (owns) {
            return as_owner(pair, ret_reason);
        }
        return as_unpromoted(pair, ret_reason);
    }
    if (owns) {
        if (pair->want == KMR_WANT_PROMOTED || !patient) {
            return as_owner(pair, ret_reason);
        }
        /* Took over; the promote is still to come. */
        say(ret_reason, "runs the VM, not yet promoted: ", pair->reason);
        return KMR_OCF_SUCCESS;
    }
    if (pair->want == KMR_WANT_PROMOTED) {
        if (runs_elsewhere && patient) {
            say(ret_reason, "runs elsewhere, not yet demoted: ", pair->reason);
            return KMR_OCF_DEGRADED_PROMOTED;
        }
        if (kmr_phase_has_qemu(pair->phase)) {
            return as_unpromoted(pair, ret_reason);
        }
        say(ret_reason, "the VM does not run here: ", pair->reason);
        return KMR_OCF_NOT_RUNNING;
    }
    return as_unpromoted(pair, ret_reason);
}

enum kmr_state kmr_state_of_owner(enum kmr_phase phase, bool standbys)
{
    switch (phase) {
    case KMR_PHASE_PROTECTED:
    case KMR_PHASE_HANDING_OVER:
        return KMR_STATE_PROTECTED;
    case KMR_PHASE_INVITING:
    case KMR_PHASE_SYNCING:
    case KMR_PHASE_IN_STEP:
        return KMR_STATE_SYNCING;
    case KMR_PHASE_HOLDING:
    case KMR_PHASE_CLAIMED:
    case KMR_PHASE_HANDED_OVER:
        return KMR_STATE_HOLDING;
    case KMR_PHASE_SOLO:
    case KMR_PHASE_TAKING_OVER:
    case KMR_PHASE_SHUTTING_DOWN:
        return standbys ? KMR_STATE_SOLO : KMR_STATE_UNPROTECTED;
    case KMR_PHASE_BOOTING:
    case KMR_PHASE_ADOPTING:
        return KMR_STATE_UNPROTECTED;
    case KMR_PHASE_STOPPED:
    case KMR_PHASE_IDLE:
    case KMR_PHASE_KILLING:
    case KMR_PHASE_STANDBY_STARTING:
    case KMR_PHASE_STANDBY_PREPARING:
    case KMR_PHASE_STANDBY_READY:
    case KMR_PHASE_STANDBY_SYNCING:
    case KMR_PHASE_SYNCHRONISED:
    case KMR_PHASE_PRIMARY_LOST:
    case KMR_PHASE_COUNT:
        break;
    }
    return KMR_STATE_FAILED;
}

enum kmr_state kmr_answer_state(const struct kmr_pair *pair)
{
    bool standbys = false;

    for (unsigned i = 0; i < KMR_PEERS_MAX && !pair->alone; i++) {
        standbys |= pair->peers[i].present && pair->peers[i].started;
    }
    if (kmr_phase_is_owner(pair->phase)) {
        return kmr_state_of_owner(pair->phase, standbys);
    }
    switch (pair->phase) {
    case KMR_PHASE_STANDBY_STARTING:
    case KMR_PHASE_STANDBY_PREPARING:
    case KMR_PHASE_STANDBY_READY:
    case KMR_PHASE_STANDBY_SYNCING:
        return KMR_STATE_SYNCING;
    case KMR_PHASE_SYNCHRONISED:
        return KMR_STATE_PROTECTED;
    case KMR_PHASE_PRIMARY_LOST:
        return KMR_STATE_HOLDING;
    case KMR_PHASE_STOPPED:
    case KMR_PHASE_IDLE:
    case KMR_PHASE_ADOPTING:
    case KMR_PHASE_BOOTING:
    case KMR_PHASE_SOLO:
    case KMR_PHASE_INVITING:
    case KMR_PHASE_SYNCING:
    case KMR_PHASE_IN_STEP:
    case KMR_PHASE_PROTECTED:
    case KMR_PHASE_HOLDING:
    case KMR_PHASE_HANDING_OVER:
    case KMR_PHASE_HANDED_OVER:
    case KMR_PHASE_SHUTTING_DOWN:
    case KMR_PHASE_CLAIMED:
    case KMR_PHASE_TAKING_OVER:
    case KMR_PHASE_KILLING:
    case KMR_PHASE_COUNT:
        break;
    }
    if (pair->agreed.record.mode == KMR_MODE_NONE ||
        pair->agreed.record.mode == KMR_MODE_DOWN) {
        return KMR_STATE_STOPPED;
    }
    return pair->agreed.record.owner.dead ? KMR_STATE_FAILED
                                          : KMR_STATE_UNPROTECTED;
}

int32_t kmr_answer_score(const struct kmr_pair *pair)
{
    if (pair->want == KMR_WANT_STOPPED || pair->alone) {
        return KMR_SCORE_NONE;
    }
    if (kmr_pair_owns(pair)) {
        return KMR_SCORE_OWNER;
    }
    if ((pair->phase == KMR_PHASE_SYNCHRONISED ||
         pair->phase == KMR_PHASE_PRIMARY_LOST) &&
        pair->agreed.record.mode == KMR_MODE_PAIRED &&
        kmr_inst_is(&pair->agreed.record.standby, pair->instance)) {
        return KMR_SCORE_SYNCHRONISED;
    }
    if (pair->failure[0] != '\0') {
        return KMR_SCORE_NONE; /* or Pacemaker tries for ever, at once */
    }
    if (pair->phase == KMR_PHASE_IDLE && pair->synced &&
        kmr_record_may_boot(&pair->agreed.record) == KMR_GATE_OK) {
        return kmr_text_same(pair->agreed.record.owner.node, pair->node)
                   ? KMR_SCORE_LAST_OWNER
                   : KMR_SCORE_MEMBER;
    }
    return KMR_SCORE_NONE;
}
