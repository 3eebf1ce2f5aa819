/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/record.h"

#include <string.h>

#include "core/text.h"

const char *kmr_mode_text(enum kmr_mode mode)
{
    switch (mode) {
#define X(name, text)     \
    case KMR_MODE_##name: \
        return text;
        KMR_MODES(X)
#undef X
    }
    return "?";
}

const char *kmr_gate_text(enum kmr_gate gate)
{
    switch (gate) {
#define X(name, text)     \
    case KMR_GATE_##name: \
        return text;
        KMR_GATES(X)
#undef X
    }
    return "?";
}

bool kmr_inst_is(const struct kmr_inst *inst, const char *id)
{
    return inst->id[0] != '\0' && kmr_text_same(inst->id, id);
}

static bool is_gone(const struct kmr_inst *inst)
{
    return inst->id[0] == '\0' || inst->dead;
}

enum kmr_gate kmr_record_may_boot(const struct kmr_record *record)
{
    if (record->mode == KMR_MODE_NONE) {
        return KMR_GATE_OK;
    }
    if (!is_gone(&record->owner)) {
        return KMR_GATE_OWNER_ALIVE;
    }
    /* It may be about to take over, and knows more than the disk. */
    if (record->mode == KMR_MODE_PAIRED && !is_gone(&record->standby)) {
        return KMR_GATE_STANDBY_ALIVE;
    }
    return KMR_GATE_OK;
}

enum kmr_gate kmr_record_may_take_over(const struct kmr_record *record,
                                       const char *id)
{
    if (record->mode != KMR_MODE_PAIRED || !kmr_inst_is(&record->standby, id) ||
        record->standby.dead) {
        return KMR_GATE_NOT_STANDBY;
    }
    if (!is_gone(&record->owner) && !record->owner.frozen) {
        return KMR_GATE_OWNER_ALIVE;
    }
    return KMR_GATE_OK;
}

static bool is_owner(const struct kmr_record *record, const char *id)
{
    return (record->mode == KMR_MODE_SOLO || record->mode == KMR_MODE_PAIRED) &&
           kmr_inst_is(&record->owner, id) && !record->owner.dead;
}

enum kmr_gate kmr_record_may_go_solo(const struct kmr_record *record,
                                     const char *id)
{
    if (!is_owner(record, id)) {
        return KMR_GATE_NOT_OWNER;
    }
    if (record->mode == KMR_MODE_PAIRED && !is_gone(&record->standby)) {
        return KMR_GATE_STANDBY_ALIVE;
    }
    return KMR_GATE_OK;
}

enum kmr_gate kmr_record_may_pair(const struct kmr_record *record,
                                  const char *id)
{
    if (!is_owner(record, id)) {
        return KMR_GATE_NOT_OWNER;
    }
    if (record->mode != KMR_MODE_SOLO) {
        return KMR_GATE_STANDBY_ALIVE;
    }
    return KMR_GATE_OK;
}

static enum kmr_gate check(const struct kmr_record *record,
                           const struct kmr_record *next)
{
    bool same = kmr_inst_is(&record->owner, next->owner.id);

    switch (next->mode) {
    case KMR_MODE_NONE:
        return KMR_GATE_STALE;
    case KMR_MODE_DOWN:
        return same ? KMR_GATE_OK : KMR_GATE_NOT_OWNER;
    case KMR_MODE_PAIRED:
        return kmr_record_may_pair(record, next->owner.id);
    case KMR_MODE_SOLO:
        if (same) {
            return kmr_record_may_go_solo(record, next->owner.id);
        }
        if (kmr_inst_is(&record->standby, next->owner.id) &&
            record->mode == KMR_MODE_PAIRED) {
            return kmr_record_may_take_over(record, next->owner.id);
        }
        return kmr_record_may_boot(record);
    }
    return KMR_GATE_STALE;
}

enum kmr_gate kmr_record_claim(struct kmr_record *record, uint64_t base,
                               const struct kmr_record *next)
{
    enum kmr_gate gate;

    if (record->generation != base || next->generation <= base) {
        return KMR_GATE_STALE;
    }
    gate = check(record, next);
    if (gate == KMR_GATE_OK) {
        *record = *next;
    }
    return gate;
}

static bool join_dead(struct kmr_inst *inst, const struct kmr_inst *other)
{
    if (!kmr_inst_is(inst, other->id) || !other->dead || inst->dead) {
        return false;
    }
    inst->dead = true;
    return true;
}

static bool join(struct kmr_inst *inst, const struct kmr_inst *other)
{
    bool changed = join_dead(inst, other);

    if (kmr_inst_is(inst, other->id) && other->frozen && !inst->frozen) {
        inst->frozen = changed = true;
    }
    return changed;
}

bool kmr_record_adopt(struct kmr_record *record, const struct kmr_record *other)
{
    bool changed;

    if (other->generation > record->generation) {
        struct kmr_record old = *record;

        *record = *other;
        /*
         * Dead stays dead, whoever had not heard of it. Frozen belongs to
         * its generation: an owner whose standby died goes on.
         */
        join_dead(&record->owner, &old.owner);
        join_dead(&record->owner, &old.standby);
        join_dead(&record->standby, &old.standby);
        join_dead(&record->standby, &old.owner);
        return true;
    }
    if (other->generation == record->generation) {
        changed = join(&record->owner, &other->owner);
    } else {
        changed = join_dead(&record->owner, &other->owner);
    }
    changed |= join_dead(&record->owner, &other->standby);
    changed |= join_dead(&record->standby, &other->standby);
    changed |= join_dead(&record->standby, &other->owner);
    return changed;
}

bool kmr_record_dead(struct kmr_record *record, const char *id)
{
    bool changed = false;

    if (kmr_inst_is(&record->owner, id) && !record->owner.dead) {
        record->owner.dead = changed = true;
    }
    if (kmr_inst_is(&record->standby, id) && !record->standby.dead) {
        record->standby.dead = changed = true;
    }
    return changed;
}

bool kmr_record_frozen(struct kmr_record *record, const char *id,
                       uint64_t generation)
{
    if (!kmr_inst_is(&record->owner, id) || record->owner.frozen ||
        record->generation != generation) {
        return false;
    }
    record->owner.frozen = true;
    return true;
}
