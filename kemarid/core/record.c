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

unsigned kmr_record_voters(const struct kmr_record *record)
{
    unsigned count = 0;

    while (count < KMR_VOTERS_MAX && record->voters[count].node[0] != '\0') {
        count++;
    }
    return count;
}

const struct kmr_voter *kmr_record_voter(const struct kmr_record *record,
                                         const char *node)
{
    for (unsigned i = 0; i < kmr_record_voters(record); i++) {
        if (kmr_text_same(record->voters[i].node, node)) {
            return &record->voters[i];
        }
    }
    return NULL;
}

bool kmr_record_add_voter(struct kmr_record *record, const char *node,
                          const char *id)
{
    unsigned at = 0;

    while (at < KMR_VOTERS_MAX && record->voters[at].node[0] != '\0' &&
           !kmr_text_same(record->voters[at].node, node)) {
        at++;
    }
    if (at == KMR_VOTERS_MAX) {
        return false;
    }
    kmr_text_set(record->voters[at].node, KMR_NODE_MAX, node);
    kmr_text_set(record->voters[at].id, KMR_UUID_MAX, id);
    return true;
}

void kmr_record_remove_voter(struct kmr_record *record, const char *node)
{
    unsigned count = kmr_record_voters(record);
    unsigned kept = 0;

    for (unsigned i = 0; i < count; i++) {
        if (!kmr_text_same(record->voters[i].node, node)) {
            record->voters[kept++] = record->voters[i];
        }
    }
    memset(&record->voters[kept], 0,
           (KMR_VOTERS_MAX - kept) * sizeof(record->voters[0]));
}

static bool is_gone(const struct kmr_inst *inst)
{
    return inst->id[0] == '\0' || inst->dead;
}

static bool earlier_gone(const struct kmr_record *record, bool frozen_is_gone)
{
    for (unsigned i = 0; i < KMR_EARLIER_MAX; i++) {
        const struct kmr_inst *inst = &record->earlier[i];

        if (!is_gone(inst) && !(frozen_is_gone && inst->frozen)) {
            return false;
        }
    }
    return true;
}

enum kmr_gate kmr_record_may_boot(const struct kmr_record *record)
{
    if (record->mode == KMR_MODE_NONE) {
        return KMR_GATE_OK;
    }
    if (!is_gone(&record->owner)) {
        return KMR_GATE_OWNER_ALIVE;
    }
    if (!earlier_gone(record, false)) {
        return KMR_GATE_EARLIER_ALIVE;
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
    struct kmr_record next;

    if (record->mode != KMR_MODE_PAIRED || !kmr_inst_is(&record->standby, id) ||
        record->standby.dead) {
        return KMR_GATE_NOT_STANDBY;
    }
    kmr_record_next(record, id, &next);
    for (unsigned i = 0; i < KMR_EARLIER_MAX; i++) {
        if (is_gone(&record->owner) ||
            kmr_inst_is(&next.earlier[i], record->owner.id)) {
            return KMR_GATE_OK;
        }
    }
    return KMR_GATE_TOO_MANY;
}

enum kmr_gate kmr_record_may_resume(const struct kmr_record *record,
                                    const char *id)
{
    if (record->mode != KMR_MODE_SOLO || !kmr_inst_is(&record->owner, id) ||
        record->owner.dead) {
        return KMR_GATE_NOT_OWNER;
    }
    return earlier_gone(record, true) ? KMR_GATE_OK : KMR_GATE_EARLIER_ALIVE;
}

static bool is_owner(const struct kmr_record *record, const char *id)
{
    return (record->mode == KMR_MODE_SOLO || record->mode == KMR_MODE_PAIRED) &&
           kmr_inst_is(&record->owner, id) && !record->owner.dead;
}

enum kmr_gate kmr_record_may_go_solo(const struct kmr_record *record,
                                     const char *id)
{
    return is_owner(record, id) ? KMR_GATE_OK : KMR_GATE_NOT_OWNER;
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

bool kmr_record_goes_on(const struct kmr_record *record, const char *id)
{
    return (record->mode == KMR_MODE_PAIRED &&
            kmr_inst_is(&record->owner, id)) ||
           kmr_record_was_owner(record, id);
}

bool kmr_record_was_owner(const struct kmr_record *record, const char *id)
{
    for (unsigned i = 0; i < KMR_EARLIER_MAX; i++) {
        if (kmr_inst_is(&record->earlier[i], id)) {
            return true;
        }
    }
    return false;
}

static void keep_earlier(struct kmr_record *next, const struct kmr_inst *inst)
{
    if (is_gone(inst)) {
        return;
    }
    for (unsigned i = 0; i < KMR_EARLIER_MAX; i++) {
        if (next->earlier[i].id[0] == '\0') {
            next->earlier[i] = *inst;
            return;
        }
    }
}

void kmr_record_next(const struct kmr_record *record, const char *id,
                     struct kmr_record *ret_next)
{
    memset(ret_next, 0, sizeof(*ret_next));
    ret_next->generation = record->generation + 1;
    memcpy(ret_next->voters, record->voters, sizeof(ret_next->voters));
    for (unsigned i = 0; i < KMR_EARLIER_MAX; i++) {
        keep_earlier(ret_next, &record->earlier[i]);
    }
    if (!kmr_inst_is(&record->owner, id)) {
        struct kmr_inst owner = record->owner;

        owner.until = ret_next->generation;
        keep_earlier(ret_next, &owner);
    }
}

static bool join_dead(struct kmr_record *record, const struct kmr_inst *inst)
{
    return inst->dead && kmr_record_dead(record, inst->id);
}

/* What `other` knows of instances that `record` names. */
static bool join_facts(struct kmr_record *record,
                       const struct kmr_record *other)
{
    bool changed = join_dead(record, &other->owner);

    changed |= join_dead(record, &other->standby);
    for (unsigned i = 0; i < KMR_EARLIER_MAX; i++) {
        const struct kmr_inst *inst = &other->earlier[i];

        changed |= join_dead(record, inst);
        if (inst->frozen) {
            changed |= kmr_record_frozen(record, inst->id, inst->until - 1);
        }
    }
    if (other->owner.frozen) {
        changed |=
            kmr_record_frozen(record, other->owner.id, other->generation);
    }
    return changed;
}

bool kmr_record_learn(struct kmr_record *record, const struct kmr_record *other,
                      bool *ret_newer)
{
    *ret_newer = other->generation > record->generation;
    if (*ret_newer) {
        struct kmr_record old = *record;

        *record = *other;
        join_facts(record, &old);
        return true;
    }
    return join_facts(record, other);
}

static bool set_dead(struct kmr_inst *inst, const char *id)
{
    if (!kmr_inst_is(inst, id) || inst->dead) {
        return false;
    }
    inst->dead = true;
    return true;
}

bool kmr_record_dead(struct kmr_record *record, const char *id)
{
    bool changed = set_dead(&record->owner, id);

    changed |= set_dead(&record->standby, id);
    for (unsigned i = 0; i < KMR_EARLIER_MAX; i++) {
        changed |= set_dead(&record->earlier[i], id);
    }
    return changed;
}

/*
 * An owner that froze under a generation stays frozen unless it is let go
 * under a later one of its own: hence the generation.
 */
bool kmr_record_frozen(struct kmr_record *record, const char *id,
                       uint64_t generation)
{
    struct kmr_inst *inst = NULL;

    if (kmr_inst_is(&record->owner, id) && record->generation == generation) {
        inst = &record->owner;
    }
    for (unsigned i = 0; i < KMR_EARLIER_MAX; i++) {
        if (kmr_inst_is(&record->earlier[i], id) &&
            record->earlier[i].until == generation + 1) {
            inst = &record->earlier[i];
        }
    }
    if (!inst || inst->frozen) {
        return false;
    }
    inst->frozen = true;
    return true;
}
