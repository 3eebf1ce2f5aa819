/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Target: the messages of another kemarid. What is decoded is encoded to the
 * very same bytes, and every text, name and count in it is in bounds.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "core/wire.h"

#define UUID "11111111-2222-4333-8444-555555555555"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned seed);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct kmr_pair_status pairs[KMR_WIRE_PAIRS_MAX];
static struct kmr_node_health health;
static uint8_t again[KMR_WIRE_MAX];
static uint64_t accepted[KMR_MSG_COUNT];

static void check(bool right, const char *what)
{
    if (!right) {
        fprintf(stderr, "wrong: %s\n", what);
        abort();
    }
}

#define CHECK_TEXT(text) check(memchr(text, 0, sizeof(text)), #text)

static void check_inst(const struct kmr_inst *inst)
{
    CHECK_TEXT(inst->node);
    CHECK_TEXT(inst->id);
    check(!inst->node[0] || kmr_text_is_name(inst->node), "node's name");
    check(!inst->id[0] || kmr_text_is_uuid(inst->id), "instance's id");
}

static void check_record(const struct kmr_record *record)
{
    check((unsigned)record->mode < KMR_MODE_COUNT, "mode");
    check_inst(&record->owner);
    check_inst(&record->standby);
    for (unsigned i = 0; i < KMR_EARLIER_MAX; i++) {
        check_inst(&record->earlier[i]);
    }
    check(kmr_record_voters(record) <= KMR_VOTERS_MAX, "voters");
}

static void check_health(void)
{
    CHECK_TEXT(health.reason);
    CHECK_TEXT(health.sources);
    check(health.mced < KMR_MCED_COUNT, "mced");
    check(health.colour < KMR_COLOUR_COUNT, "colour");
    check(health.count <= KMR_SAID_MAX, "reports");
    for (unsigned i = 0; i < KMR_SAID_MAX; i++) {
        CHECK_TEXT(health.said[i].scope);
        CHECK_TEXT(health.said[i].reason);
        check(health.said[i].verdict < KMR_VERDICT_COUNT, "verdict");
        check(health.said[i].colour < KMR_COLOUR_COUNT, "its colour");
        check(i < health.count || health.said[i].time_us == 0,
              "something of the message before");
    }
}

static void check_message(const struct kmr_msg *msg, const uint8_t *data,
                          size_t size)
{
    CHECK_TEXT(msg->node);
    CHECK_TEXT(msg->vm);
    CHECK_TEXT(msg->id);
    CHECK_TEXT(msg->peer);
    CHECK_TEXT(msg->target);
    CHECK_TEXT(msg->reason);
    CHECK_TEXT(msg->address);
    CHECK_TEXT(msg->from);
    CHECK_TEXT(msg->to);
    check(kmr_text_is_name(msg->node), "sender's name");
    if (msg->type == KMR_MSG_PAXOS) {
        check_record(&msg->paxos.base);
        check_record(&msg->paxos.value);
    }
    if (msg->type == KMR_MSG_HEALTH) {
        check_health();
    }
    if (msg->blob_len > 0) {
        const uint8_t *blob = (const uint8_t *)msg->blob;

        check(blob >= data && blob + msg->blob_len <= data + size, "blob");
    }
    check(msg->count <= KMR_WIRE_PAIRS_MAX, "count");
    for (unsigned i = 0; i < msg->count; i++) {
        CHECK_TEXT(pairs[i].vm);
        CHECK_TEXT(pairs[i].instance);
        CHECK_TEXT(pairs[i].reason);
        CHECK_TEXT(pairs[i].voter);
        check(pairs[i].phase < KMR_PHASE_COUNT, "phase");
        check_record(&pairs[i].record);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kmr_msg msg = { .pairs = pairs, .health = &health };

    memset(&health, 'x', sizeof(health));
    memset(pairs, 'x', 3 * sizeof(pairs[0])); /* what was there before */
    if (!kmr_wire_decode(data, size, &msg)) {
        return 0;
    }
    check((unsigned)msg.type < KMR_MSG_COUNT, "type");
    check_message(&msg, data, size);
    check(kmr_wire_encode(&msg, again, sizeof(again)) == size &&
              memcmp(again, data, size) == 0,
          "it encodes to something else");
    /* a buffer that is too small is no place to write past */
    check(kmr_wire_encode(&msg, again, size - 1) == 0, "no room, and yet");
    accepted[msg.type]++;
    return 0;
}

/* Magic, version and length can't be guessed. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned seed)
{
    size = LLVMFuzzerMutate(data, size, max_size);
    if (size >= KMR_WIRE_HEADER && seed % 8 != 0) {
        memcpy(data, "KMRD", 4);
        data[4] = 0;
        data[5] = KMR_WIRE_VERSION;
        data[6] = 0;
        data[7] %= KMR_MSG_COUNT;
        for (int i = 0; i < 4; i++) {
            data[8 + i] = (uint8_t)(size >> (24 - 8 * i));
        }
    }
    return size;
}

/* ---- start ---- */

static void fill_record(struct kmr_record *record)
{
    record->generation = 41;
    record->mode = KMR_MODE_PAIRED;
    strcpy(record->owner.node, "node1");
    strcpy(record->owner.id, UUID);
    record->standby = record->earlier[0] = record->owner;
    record->standby.dead = true;
    for (int i = 0; i < 3; i++) {
        snprintf(record->voters[i].node, KMR_NODE_MAX, "node%d", i);
        strcpy(record->voters[i].id, UUID);
    }
}

static void fill(struct kmr_msg *msg, enum kmr_msg_type type,
                 enum kmr_paxos_kind kind)
{
    static const char xml[] = "<domain/>";

    memset(msg, 0, sizeof(*msg));
    msg->type = type;
    strcpy(msg->node, "node1");
    strcpy(msg->vm, "vm0");
    strcpy(msg->id, UUID);
    strcpy(msg->peer, UUID);
    strcpy(msg->target, "node2");
    strcpy(msg->reason, "because");
    strcpy(msg->address, "tcp:10.77.2.12:49300");
    strcpy(msg->from, "SOLO");
    strcpy(msg->to, "SYNCING");
    msg->blob = xml;
    msg->blob_len = sizeof(xml) - 1;
    msg->paxos.kind = kind;
    msg->paxos.generation = 41;
    msg->paxos.ballot.round = msg->paxos.other.round = 7;
    strcpy(msg->paxos.ballot.id, UUID);
    strcpy(msg->paxos.other.id, UUID);
    strcpy(msg->paxos.id, UUID);
    fill_record(&msg->paxos.base);
    fill_record(&msg->paxos.value);
    msg->health = &health;
    memset(&health, 0, sizeof(health));
    health.colour = KMR_COLOUR_RED;
    strcpy(health.sources, "{\"mce:mce_record\":\"ok\"}");
    health.count = 2;
    strcpy(health.said[1].scope, "block:8:16");
    msg->pairs = pairs;
    msg->count = 2;
    for (int i = 0; i < 2; i++) {
        memset(&pairs[i], 0, sizeof(pairs[i]));
        strcpy(pairs[i].vm, "vm0");
        strcpy(pairs[i].voter, UUID);
        fill_record(&pairs[i].record);
    }
}

static void write_seed(const char *folder, enum kmr_msg_type type,
                       enum kmr_paxos_kind kind)
{
    struct kmr_msg msg;
    char path[4096];
    size_t len;
    FILE *file;

    fill(&msg, type, kind);
    len = kmr_wire_encode(&msg, again, sizeof(again));
    snprintf(path, sizeof(path), "%s/%s-%d", folder, kmr_msg_text(type), kind);
    file = fopen(path, "w");
    check(len > 0 && file && fwrite(again, len, 1, file) == 1 &&
              fclose(file) == 0,
          "can't write a seed");
}

static void report(void)
{
    fprintf(stderr, "accepted:");
    for (int type = 0; type < KMR_MSG_COUNT; type++) {
        fprintf(stderr, " %" PRIu64 " %s", accepted[type],
                kmr_msg_text((enum kmr_msg_type)type));
    }
    fprintf(stderr, "\n");
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    if (*argc == 3 && strcmp((*argv)[1], "--seeds") == 0) {
        for (int type = 0; type < KMR_MSG_COUNT; type++) {
            write_seed((*argv)[2], (enum kmr_msg_type)type, 0);
        }
        for (int kind = 1; kind < KMR_PAXOS_COUNT; kind++) {
            write_seed((*argv)[2], KMR_MSG_PAXOS, (enum kmr_paxos_kind)kind);
        }
        exit(0);
    }
    atexit(report);
    return 0;
}
