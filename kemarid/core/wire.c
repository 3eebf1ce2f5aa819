/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/wire.h"

#include <string.h>

#include "core/text.h"

/* One walk over a message for both directions, so that they can't differ. */
struct walk {
    uint8_t *out;      /* encoding: writes here; NULL: decoding ... */
    const uint8_t *in; /* ... from here */
    size_t at, size;
    bool bad;
};

#define X(name, text) text,
KMR_TEXT_OF(kmr_msg_text, kmr_msg_type, KMR_MSGS(X))
KMR_TEXT_OF(kmr_mced_text, kmr_mced, KMR_MCEDS(X))
#undef X

static bool room(struct walk *walk, size_t bytes)
{
    if (walk->bad || bytes > walk->size - walk->at) {
        walk->bad = true;
        return false;
    }
    return true;
}

static uint64_t number(struct walk *walk, uint64_t value, unsigned bytes)
{
    uint64_t result = 0;

    if (!room(walk, bytes)) {
        return walk->out ? value : 0; /* a failed encode changes nothing */
    }
    for (unsigned i = 0; i < bytes; i++) {
        unsigned shift = 8 * (bytes - 1 - i);

        if (walk->out) {
            walk->out[walk->at++] = (uint8_t)(value >> shift);
        } else {
            result |= (uint64_t)walk->in[walk->at++] << shift;
        }
    }
    return walk->out ? value : result;
}

static void walk_u64(struct walk *walk, uint64_t *value)
{
    *value = number(walk, *value, 8);
}

static void walk_u32(struct walk *walk, uint32_t *value)
{
    *value = (uint32_t)number(walk, *value, 4);
}

static void walk_u16(struct walk *walk, uint16_t *value)
{
    *value = (uint16_t)number(walk, *value, 2);
}

static void walk_u8(struct walk *walk, uint8_t *value)
{
    *value = (uint8_t)number(walk, *value, 1);
}

static void walk_bool(struct walk *walk, bool *value)
{
    uint8_t byte = *value ? 1 : 0;

    walk_u8(walk, &byte);
    if (byte > 1) {
        walk->bad = true;
    }
    *value = byte == 1;
}

static void walk_text(struct walk *walk, char *text, size_t size)
{
    uint16_t len = walk->out ? (uint16_t)strlen(text) : 0;

    walk_u16(walk, &len);
    if (len >= size || !room(walk, len)) {
        walk->bad = true;
        return;
    }
    if (walk->out) {
        memcpy(walk->out + walk->at, text, len);
    } else {
        if (memchr(walk->in + walk->at, '\0', len)) {
            walk->bad = true;
            return;
        }
        memcpy(text, walk->in + walk->at, len);
        text[len] = '\0';
    }
    walk->at += len;
}

static void walk_name(struct walk *walk, char *text, size_t size, bool empty)
{
    walk_text(walk, text, size);
    if (!walk->bad && !(empty && text[0] == '\0') && !kmr_text_is_name(text)) {
        walk->bad = true;
    }
}

static void walk_uuid(struct walk *walk, char *text, bool empty)
{
    walk_text(walk, text, KMR_UUID_MAX);
    if (!walk->bad && !(empty && text[0] == '\0') && !kmr_text_is_uuid(text)) {
        walk->bad = true;
    }
}

static void walk_blob(struct walk *walk, const char **data, uint32_t *len,
                      uint32_t max)
{
    walk_u32(walk, len);
    if (*len > max || !room(walk, *len)) {
        walk->bad = true;
        return;
    }
    if (walk->out) {
        memcpy(walk->out + walk->at, *data, *len);
    } else {
        *data = (const char *)walk->in + walk->at;
    }
    walk->at += *len;
}

static void walk_inst(struct walk *walk, struct kmr_inst *inst)
{
    walk_name(walk, inst->node, sizeof(inst->node), true);
    walk_uuid(walk, inst->id, true);
    walk_u64(walk, &inst->boot);
    walk_u64(walk, &inst->until);
    walk_bool(walk, &inst->dead);
    walk_bool(walk, &inst->frozen);
}

/* A list ends with its first empty entry: only what is used is sent. */
static void walk_earlier(struct walk *walk, struct kmr_record *record)
{
    uint8_t count = 0;

    while (walk->out && count < KMR_EARLIER_MAX &&
           record->earlier[count].id[0] != '\0') {
        count++;
    }
    walk_u8(walk, &count);
    if (count > KMR_EARLIER_MAX) {
        walk->bad = true;
    }
    for (unsigned i = 0; !walk->bad && i < count; i++) {
        walk_inst(walk, &record->earlier[i]);
        if (record->earlier[i].id[0] == '\0') {
            walk->bad = true; /* would hide those behind it */
        }
    }
}

static void walk_voters(struct walk *walk, struct kmr_record *record)
{
    uint8_t count = walk->out ? (uint8_t)kmr_record_voters(record) : 0;

    walk_u8(walk, &count);
    if (count > KMR_VOTERS_MAX) {
        walk->bad = true;
    }
    for (unsigned i = 0; !walk->bad && i < count; i++) {
        walk_name(walk, record->voters[i].node, KMR_NODE_MAX, false);
        walk_uuid(walk, record->voters[i].id, false);
    }
}

static void walk_record(struct walk *walk, struct kmr_record *record)
{
    uint8_t mode = (uint8_t)record->mode;

    walk_u64(walk, &record->generation);
    walk_u8(walk, &mode);
    if (mode >= KMR_MODE_COUNT) {
        walk->bad = true;
        return;
    }
    record->mode = (enum kmr_mode)mode;
    walk_inst(walk, &record->owner);
    walk_inst(walk, &record->standby);
    walk_earlier(walk, record);
    walk_voters(walk, record);
}

static void walk_ballot(struct walk *walk, struct kmr_ballot *ballot)
{
    walk_u32(walk, &ballot->round);
    walk_uuid(walk, ballot->id, ballot->round == 0);
}

static void walk_paxos(struct walk *walk, struct kmr_paxos *paxos)
{
    uint8_t kind = (uint8_t)paxos->kind;

    walk_u8(walk, &kind);
    walk_u64(walk, &paxos->generation);
    if (kind >= KMR_PAXOS_COUNT || paxos->generation == 0) {
        walk->bad = true;
        return;
    }
    paxos->kind = (enum kmr_paxos_kind)kind;
    walk_ballot(walk, &paxos->ballot);
    walk_ballot(walk, &paxos->other);
    walk_uuid(walk, paxos->id, true);
    walk_u64(walk, &paxos->writes);
    if (paxos->kind == KMR_PAXOS_PREPARE) {
        walk_record(walk, &paxos->base);
        for (unsigned i = 0; i < kmr_record_voters(&paxos->base); i++) {
            walk_u64(walk, &paxos->seen[i]);
        }
    } else if (paxos->kind == KMR_PAXOS_ACCEPT ||
               paxos->kind == KMR_PAXOS_DECIDED ||
               (paxos->kind == KMR_PAXOS_PROMISE && paxos->other.round != 0)) {
        walk_record(walk, &paxos->value);
        if (paxos->value.generation != paxos->generation) {
            walk->bad = true;
        }
    }
}

static void walk_quantiles(struct walk *walk, struct kmr_quantiles *values)
{
    walk_u64(walk, &values->p50);
    walk_u64(walk, &values->p95);
    walk_u64(walk, &values->p99);
    walk_u64(walk, &values->max);
}

static void walk_pair(struct walk *walk, struct kmr_pair_status *pair)
{
    walk_name(walk, pair->vm, sizeof(pair->vm), false);
    walk_u8(walk, &pair->phase);
    walk_u8(walk, &pair->want);
    if (pair->phase >= KMR_PHASE_COUNT || pair->want > KMR_WANT_PROMOTED) {
        walk->bad = true;
    }
    walk_uuid(walk, pair->instance, true);
    walk_text(walk, pair->reason, sizeof(pair->reason));
    walk_record(walk, &pair->record);
    walk_uuid(walk, pair->voter, true);
    walk_u32(walk, &pair->progress);
    walk_u32(walk, &pair->throttle);
    walk_u64(walk, &pair->checkpoints);
    walk_u64(walk, &pair->lag_ms);
    walk_quantiles(walk, &pair->freeze_us);
    walk_quantiles(walk, &pair->ack_us);
}

static void walk_status(struct walk *walk, struct kmr_msg *msg)
{
    walk_bool(walk, &msg->last);
    walk_u16(walk, &msg->count);
    if (msg->count > KMR_WIRE_PAIRS_MAX) {
        walk->bad = true;
    }
    for (unsigned i = 0; !walk->bad && i < msg->count; i++) {
        if (!walk->out) {
            /* a list shorter than the last one's must end */
            memset(&msg->pairs[i], 0, sizeof(msg->pairs[i]));
        }
        walk_pair(walk, &msg->pairs[i]);
    }
}

static void walk_said(struct walk *walk, struct kmr_said *said)
{
    walk_u64(walk, &said->time_us);
    walk_u8(walk, &said->verdict);
    walk_u8(walk, &said->colour);
    if (said->verdict >= KMR_VERDICT_COUNT ||
        said->colour >= KMR_COLOUR_COUNT) {
        walk->bad = true;
    }
    walk_text(walk, said->scope, sizeof(said->scope));
    walk_text(walk, said->reason, sizeof(said->reason));
}

static void walk_health(struct walk *walk, struct kmr_node_health *health)
{
    if (!walk->out) {
        memset(health, 0, sizeof(*health));
    }
    walk_u8(walk, &health->mced);
    walk_u8(walk, &health->colour);
    if (health->mced >= KMR_MCED_COUNT || health->colour >= KMR_COLOUR_COUNT) {
        walk->bad = true;
    }
    walk_text(walk, health->reason, sizeof(health->reason));
    walk_u64(walk, &health->lost);
    walk_u64(walk, &health->reports);
    walk_u64(walk, &health->moves);
    walk_u64(walk, &health->memory_failures);
    walk_text(walk, health->sources, sizeof(health->sources));
    walk_u8(walk, &health->count);
    if (health->count > KMR_SAID_MAX) {
        walk->bad = true;
    }
    for (unsigned i = 0; !walk->bad && i < health->count; i++) {
        walk_said(walk, &health->said[i]);
    }
}

static void walk_fence(struct walk *walk, struct kmr_msg *msg)
{
    uint8_t step = (uint8_t)msg->step;
    uint8_t action = (uint8_t)msg->action;

    walk_u8(walk, &step);
    walk_u8(walk, &action);
    if (step >= KMR_FENCE_STEP_COUNT || action >= KMR_FENCE_ACTION_COUNT) {
        walk->bad = true;
        return;
    }
    msg->step = (enum kmr_fence_step)step;
    msg->action = (enum kmr_fence_action)action;
    walk_name(walk, msg->target, sizeof(msg->target), false);
    walk_u64(walk, &msg->target_boot);
    walk_uuid(walk, msg->id, false);
    walk_u32(walk, &msg->settle_ms);
    if (msg->settle_ms > KMR_FENCE_SETTLE_MAX_MS) {
        walk->bad = true;
    }
    walk_text(walk, msg->reason, sizeof(msg->reason));
}

static void walk_body(struct walk *walk, struct kmr_msg *msg)
{
    if (msg->type == KMR_MSG_STATUS) {
        walk_status(walk, msg);
        return;
    }
    if (msg->type == KMR_MSG_FENCE) {
        walk_fence(walk, msg); /* of a node, not of a VM */
        return;
    }
    if (msg->type == KMR_MSG_HEALTH) {
        walk_health(walk, msg->health);
        return;
    }
    walk_name(walk, msg->vm, sizeof(msg->vm), msg->type == KMR_MSG_EVENT);
    switch (msg->type) {
    case KMR_MSG_STATUS:
    case KMR_MSG_FENCE:
    case KMR_MSG_HEALTH:
    case KMR_MSG_COUNT:
        break;
    case KMR_MSG_PAXOS:
        walk_paxos(walk, &msg->paxos);
        break;
    case KMR_MSG_FROZEN:
        walk_uuid(walk, msg->id, false);
        walk_u64(walk, &msg->generation);
        break;
    case KMR_MSG_DEATH:
    case KMR_MSG_REFUSE:
    case KMR_MSG_DROP:
        walk_uuid(walk, msg->id, false);
        walk_text(walk, msg->reason, sizeof(msg->reason));
        break;
    case KMR_MSG_HANDOVER:
    case KMR_MSG_TAKEOVER:
    case KMR_MSG_MOVING:
        walk_text(walk, msg->reason, sizeof(msg->reason));
        break;
    case KMR_MSG_INVITE:
        walk_bool(walk, &msg->moving);
        walk_name(walk, msg->target, sizeof(msg->target), false);
        walk_uuid(walk, msg->id, false);
        walk_uuid(walk, msg->peer, false);
        walk_blob(walk, &msg->blob, &msg->blob_len, KMR_WIRE_XML_MAX);
        break;
    case KMR_MSG_INPUT:
        walk_blob(walk, &msg->blob, &msg->blob_len, KMR_WIRE_INPUT_MAX);
        break;
    case KMR_MSG_READY:
        walk_uuid(walk, msg->id, false);
        walk_text(walk, msg->address, sizeof(msg->address));
        break;
    case KMR_MSG_EVENT:
        walk_text(walk, msg->from, sizeof(msg->from));
        walk_text(walk, msg->to, sizeof(msg->to));
        walk_text(walk, msg->reason, sizeof(msg->reason));
        walk_u64(walk, &msg->time_us);
        walk_u64(walk, &msg->mono_us);
        break;
    }
}

/* The header; returns the length that it names. */
static uint32_t walk_header(struct walk *walk, struct kmr_msg *msg)
{
    uint32_t magic = KMR_WIRE_MAGIC;
    uint16_t version = KMR_WIRE_VERSION;
    uint16_t type = (uint16_t)msg->type;
    uint32_t length = 0;

    walk_u32(walk, &magic);
    walk_u16(walk, &version);
    walk_u16(walk, &type);
    walk_u32(walk, &length);
    if (walk->bad || magic != KMR_WIRE_MAGIC || version != KMR_WIRE_VERSION ||
        type >= KMR_MSG_COUNT) {
        walk->bad = true;
        return 0;
    }
    msg->type = (enum kmr_msg_type)type;
    walk_name(walk, msg->node, sizeof(msg->node), false);
    walk_u64(walk, &msg->boot);
    return length;
}

size_t kmr_wire_encode(const struct kmr_msg *msg, uint8_t *buf, size_t size)
{
    struct walk walk = { buf, NULL, 0, size, false };
    /* Encoding writes nothing into it. */
    struct kmr_msg *source = (struct kmr_msg *)(uintptr_t)msg;
    struct walk length = { buf, NULL, 8, KMR_WIRE_HEADER, false };

    if (size > KMR_WIRE_MAX) {
        walk.size = KMR_WIRE_MAX;
    }
    walk_header(&walk, source);
    walk_body(&walk, source);
    if (walk.bad) {
        return 0;
    }
    number(&length, walk.at, 4);
    return walk.at;
}

bool kmr_wire_decode(const uint8_t *buf, size_t len, struct kmr_msg *msg)
{
    struct walk walk = { NULL, buf, 0, len, false };
    struct kmr_pair_status *pairs = msg->pairs;
    struct kmr_node_health *health = msg->health;
    uint32_t length;

    memset(msg, 0, sizeof(*msg));
    msg->pairs = pairs;
    msg->health = health;
    if (len > KMR_WIRE_MAX) {
        return false;
    }
    length = walk_header(&walk, msg);
    if (walk.bad || length != len) {
        return false;
    }
    if ((msg->type == KMR_MSG_STATUS && !pairs) ||
        (msg->type == KMR_MSG_HEALTH && !health)) {
        return false;
    }
    walk_body(&walk, msg);
    return !walk.bad && walk.at == len;
}
