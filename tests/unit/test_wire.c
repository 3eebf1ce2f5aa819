/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages between kemarids: there and back, cut off, bent, and random. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/wire.h"

#define UUID_A "11111111-2222-4333-8444-555555555555"
#define UUID_B "66666666-2222-4333-8444-555555555555"

static uint8_t buf[KMR_WIRE_MAX + 16], again[KMR_WIRE_MAX];
static struct kmr_pair_status pairs[KMR_WIRE_PAIRS_MAX];
static struct kmr_pair_status decoded_pairs[KMR_WIRE_PAIRS_MAX];
static struct kmr_node_health health, decoded_health;

static void fill_record(struct kmr_record *record)
{
    record->generation = UINT64_MAX - 1;
    record->mode = KMR_MODE_PAIRED;
    strcpy(record->owner.node, "node1");
    strcpy(record->owner.id, UUID_A);
    record->owner.boot = 0x0102030405060708;
    record->owner.frozen = true;
    strcpy(record->standby.node, "node2");
    strcpy(record->standby.id, UUID_B);
    record->standby.dead = true;
}

static void fill_voters(struct kmr_record *record)
{
    strcpy(record->earlier[0].node, "node3");
    strcpy(record->earlier[0].id, UUID_B);
    record->earlier[0].until = 12;
    for (int i = 0; i < KMR_VOTERS_MAX; i++) {
        snprintf(record->voters[i].node, KMR_NODE_MAX, "node%d", i);
        strcpy(record->voters[i].id, UUID_A);
    }
}

static void fill_paxos(struct kmr_paxos *paxos, enum kmr_paxos_kind kind)
{
    memset(paxos, 0, sizeof(*paxos));
    paxos->kind = kind;
    paxos->generation = UINT64_MAX - 1;
    paxos->ballot.round = 7;
    strcpy(paxos->ballot.id, UUID_A);
    if (kind == KMR_PAXOS_PREPARE) {
        fill_record(&paxos->base);
        fill_voters(&paxos->base);
        for (int i = 0; i < KMR_VOTERS_MAX; i++) {
            paxos->seen[i] = (uint64_t)i << 40;
        }
        return;
    }
    if (kind == KMR_PAXOS_PROMISE || kind == KMR_PAXOS_REJECT) {
        paxos->other.round = UINT32_MAX;
        strcpy(paxos->other.id, UUID_B);
    }
    if (kind == KMR_PAXOS_PROMISE || kind == KMR_PAXOS_ACCEPTED) {
        strcpy(paxos->id, UUID_B);
        paxos->writes = 99;
    }
    if (kind != KMR_PAXOS_REJECT && kind != KMR_PAXOS_ACCEPTED) {
        fill_record(&paxos->value);
        fill_voters(&paxos->value);
    }
}

static void fill(struct kmr_msg *msg, enum kmr_msg_type type)
{
    static const char xml[] = "<domain>\n\0bytes</domain>";

    memset(msg, 0, sizeof(*msg));
    msg->type = type;
    strcpy(msg->node, "node1");
    msg->boot = 0xfedcba9876543210;
    strcpy(msg->vm, "vm-0.a_b");
    strcpy(msg->id, UUID_A);
    strcpy(msg->peer, UUID_B);
    strcpy(msg->target, "node2");
    msg->generation = 41;
    fill_paxos(&msg->paxos, KMR_PAXOS_PROMISE);
    strcpy(msg->reason, "because of \"that\"");
    strcpy(msg->address, "tcp:10.77.2.12:49300");
    msg->blob = xml;
    msg->blob_len = sizeof(xml) - 1;
    strcpy(msg->from, "SOLO");
    strcpy(msg->to, "SYNCING");
    msg->time_us = 1795240873925488;
    msg->mono_us = 7;
    msg->step = KMR_FENCE_DONE;
    msg->action = KMR_FENCE_ACTION_OFF;
    msg->target_boot = 0x1122334455667788;
    msg->settle_ms = KMR_FENCE_SETTLE_MAX_MS;
    msg->last = true;
    msg->count = 2;
    msg->health = &health;
    memset(&health, 0, sizeof(health));
    health.mced = KMR_MCED_ENDED;
    health.colour = KMR_COLOUR_RED;
    strcpy(health.reason, "10 corrected errors of DIMM A1 in 24 h");
    health.lost = 3;
    memset(health.sources, ' ', sizeof(health.sources) - 1);
    health.count = KMR_SAID_MAX;
    health.said[KMR_SAID_MAX - 1].time_us = 1795240873925488;
    health.said[KMR_SAID_MAX - 1].verdict = KMR_VERDICT_TAKEOVER;
    health.said[KMR_SAID_MAX - 1].colour = KMR_COLOUR_YELLOW;
    strcpy(health.said[KMR_SAID_MAX - 1].scope, "block:8:16");
    msg->pairs = pairs;
    memset(pairs, 0, sizeof(pairs));
    for (int i = 0; i < 2; i++) {
        snprintf(pairs[i].vm, sizeof(pairs[i].vm), "vm%d", i);
        pairs[i].phase = KMR_PHASE_PROTECTED;
        pairs[i].want = KMR_WANT_PROMOTED;
        fill_record(&pairs[i].record);
        pairs[i].progress = 100;
        pairs[i].ack_us.max = 1ULL << 40;
    }
}

/* Whatever is decoded encodes to the very same bytes. */
static bool decodes(const uint8_t *bytes, size_t len)
{
    struct kmr_msg msg = { .pairs = decoded_pairs, .health = &decoded_health };

    if (!kmr_wire_decode(bytes, len, &msg)) {
        return false;
    }
    assert_int_equal(kmr_wire_encode(&msg, again, sizeof(again)), len);
    assert_memory_equal(again, bytes, len);
    return true;
}

static void test_there_and_back(void **state)
{
    (void)state;
    for (int type = 0; type < KMR_MSG_COUNT; type++) {
        struct kmr_msg msg,
            got = { .pairs = decoded_pairs, .health = &decoded_health };
        size_t len;

        fill(&msg, (enum kmr_msg_type)type);
        len = kmr_wire_encode(&msg, buf, sizeof(buf));
        assert_true(len > KMR_WIRE_HEADER);
        assert_true(decodes(buf, len));
        assert_true(kmr_wire_decode(buf, len, &got));
        assert_int_equal(got.type, type);
        assert_string_equal(got.node, "node1");
        assert_true(got.boot == msg.boot);
        if (type == KMR_MSG_INVITE || type == KMR_MSG_INPUT) {
            assert_int_equal(got.blob_len, msg.blob_len);
            assert_memory_equal(got.blob, msg.blob, msg.blob_len);
        }
        if (type == KMR_MSG_PAXOS) {
            assert_memory_equal(&got.paxos, &msg.paxos, sizeof(msg.paxos));
        }
        if (type == KMR_MSG_FENCE) {
            assert_int_equal(got.step, KMR_FENCE_DONE);
            assert_int_equal(got.action, KMR_FENCE_ACTION_OFF);
            assert_string_equal(got.target, "node2");
            assert_string_equal(got.id, UUID_A);
            assert_true(got.target_boot == msg.target_boot);
            assert_int_equal(got.settle_ms, KMR_FENCE_SETTLE_MAX_MS);
        }
        if (type == KMR_MSG_STATUS) {
            assert_int_equal(got.count, 2);
            assert_string_equal(got.pairs[1].vm, "vm1");
            assert_true(got.pairs[1].ack_us.max == 1ULL << 40);
        }
    }
}

static void test_paxos(void **state)
{
    (void)state;
    for (int kind = 0; kind < KMR_PAXOS_COUNT; kind++) {
        struct kmr_msg msg,
            got = { .pairs = decoded_pairs, .health = &decoded_health };
        size_t len;

        fill(&msg, KMR_MSG_PAXOS);
        fill_paxos(&msg.paxos, (enum kmr_paxos_kind)kind);
        len = kmr_wire_encode(&msg, buf, sizeof(buf));
        assert_true(len > KMR_WIRE_HEADER);
        assert_true(kmr_wire_decode(buf, len, &got));
        assert_memory_equal(&got.paxos, &msg.paxos, sizeof(msg.paxos));
        for (size_t cut = 0; cut < len; cut++) {
            assert_false(decodes(buf, cut));
        }
    }
}

/* Cut off at every length, in a buffer of just that size (for the
 * sanitizers), and with a byte too much: refused. */
static void test_lengths(void **state)
{
    (void)state;
    for (int type = 0; type < KMR_MSG_COUNT; type++) {
        struct kmr_msg msg;
        size_t len;

        fill(&msg, (enum kmr_msg_type)type);
        len = kmr_wire_encode(&msg, buf, sizeof(buf));
        for (size_t cut = 0; cut < len; cut++) {
            uint8_t *exact = malloc(cut ? cut : 1);

            memcpy(exact, buf, cut);
            assert_false(decodes(exact, cut));
            if (cut > KMR_WIRE_HEADER) { /* a header that fits the cut */
                exact[8] = (uint8_t)(cut >> 24);
                exact[9] = (uint8_t)(cut >> 16);
                exact[10] = (uint8_t)(cut >> 8);
                exact[11] = (uint8_t)cut;
                assert_false(decodes(exact, cut));
            }
            free(exact);
        }
        buf[len] = 0;
        assert_false(decodes(buf, len + 1));
        for (size_t size = 0; size < len; size++) {
            assert_int_equal(kmr_wire_encode(&msg, again, size), 0);
        }
    }
}

/* Any single byte changed: refused, or a message of its own right. */
static void test_bent(void **state)
{
    (void)state;
    for (int type = 0; type < KMR_MSG_COUNT; type++) {
        struct kmr_msg msg;
        size_t len;

        fill(&msg, (enum kmr_msg_type)type);
        len = kmr_wire_encode(&msg, buf, sizeof(buf));
        for (size_t at = 0; at < len; at++) {
            uint8_t was = buf[at];

            for (int value = 0; value < 256; value += 5) {
                buf[at] = (uint8_t)value;
                decodes(buf, len);
            }
            buf[at] = (uint8_t)~was;
            if (at < 8) {
                assert_false(decodes(buf, len)); /* magic, version, type */
            }
            buf[at] = was;
        }
    }
}

static void test_random(void **state)
{
    unsigned taken = 0;

    (void)state;
    srandom(20261121);
    for (int round = 0; round < 200000; round++) {
        size_t len = (size_t)random() % 400;
        struct kmr_msg msg;

        for (size_t i = 0; i < len; i++) {
            buf[i] = (uint8_t)random();
        }
        if (round % 2 && len > KMR_WIRE_HEADER) { /* past the first checks */
            memset(&msg, 0, sizeof(msg));
            fill(&msg, (enum kmr_msg_type)(random() % KMR_MSG_COUNT));
            kmr_wire_encode(&msg, again, sizeof(again));
            memcpy(buf, again, KMR_WIRE_HEADER + 15);
            buf[8] = buf[9] = 0;
            buf[10] = (uint8_t)(len >> 8);
            buf[11] = (uint8_t)len;
        }
        taken += decodes(buf, len);
    }
    print_message("%u of 200000 taken\n", taken);
}

static void test_limits(void **state)
{
    static char xml[KMR_WIRE_XML_MAX + 1];
    struct kmr_msg msg, got = { 0 };
    size_t len;

    (void)state;
    fill(&msg, KMR_MSG_INVITE);
    msg.blob = xml;
    msg.blob_len = KMR_WIRE_XML_MAX;
    len = kmr_wire_encode(&msg, buf, sizeof(buf));
    assert_true(len > KMR_WIRE_XML_MAX);
    assert_true(decodes(buf, len));
    msg.blob_len++;
    assert_int_equal(kmr_wire_encode(&msg, buf, sizeof(buf)), 0);
    fill(&msg, KMR_MSG_INPUT);
    msg.blob = xml;
    msg.blob_len = KMR_WIRE_INPUT_MAX + 1;
    assert_int_equal(kmr_wire_encode(&msg, buf, sizeof(buf)), 0);
    fill(&msg, KMR_MSG_STATUS);
    msg.count = KMR_WIRE_PAIRS_MAX + 1;
    assert_int_equal(kmr_wire_encode(&msg, buf, sizeof(buf)), 0);
    msg.count = 1;
    len = kmr_wire_encode(&msg, buf, sizeof(buf));
    assert_false(kmr_wire_decode(buf, len, &got)); /* no room for pairs */
    fill(&msg, KMR_MSG_DEATH);
    strcpy(msg.id, "not-a-uuid");
    assert_int_equal(kmr_wire_encode(&msg, buf, sizeof(buf)), 0);
    fill(&msg, KMR_MSG_FENCE);
    msg.settle_ms++;
    assert_int_equal(kmr_wire_encode(&msg, buf, sizeof(buf)), 0);
    fill(&msg, KMR_MSG_DEATH);
    strcpy(msg.vm, "../etc");
    assert_int_equal(kmr_wire_encode(&msg, buf, sizeof(buf)), 0);
}

/* An owner without an id would end the list before those behind it. */
static void test_empty_earlier(void **state)
{
    static const char id[] = UUID_B;
    struct kmr_msg msg;
    size_t len, at = 0;

    (void)state;
    fill(&msg, KMR_MSG_PAXOS);
    len = kmr_wire_encode(&msg, buf, sizeof(buf));
    assert_true(decodes(buf, len));
    /* a voter has this name, too, but comes later */
    for (size_t i = 0; at == 0 && i + 43 < len; i++) {
        if (memcmp(buf + i, "node3", 5) == 0) {
            at = i + 5;
        }
    }
    assert_true(at > 0 && memcmp(buf + at + 2, id, 36) == 0);
    buf[at + 1] = 0; /* the length of its id */
    memmove(buf + at + 2, buf + at + 2 + 36, len - at - 2 - 36);
    len -= 36;
    buf[10] = (uint8_t)(len >> 8);
    buf[11] = (uint8_t)len;
    assert_false(decodes(buf, len));
}

/* The room for pairs is used again and again. */
static void test_used_pairs(void **state)
{
    struct kmr_msg msg,
        got = { .pairs = decoded_pairs, .health = &decoded_health };
    size_t len;

    (void)state;
    fill(&msg, KMR_MSG_STATUS);
    fill_voters(&pairs[0].record);
    len = kmr_wire_encode(&msg, buf, sizeof(buf));
    assert_true(kmr_wire_decode(buf, len, &got));
    assert_int_equal(kmr_record_voters(&got.pairs[0].record), KMR_VOTERS_MAX);
    fill(&msg, KMR_MSG_STATUS);
    len = kmr_wire_encode(&msg, buf, sizeof(buf));
    assert_true(kmr_wire_decode(buf, len, &got));
    assert_int_equal(kmr_record_voters(&got.pairs[0].record), 0);
    assert_int_equal(got.pairs[0].record.earlier[0].id[0], 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_paxos),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_bent),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_empty_earlier),
        cmocka_unit_test(test_used_pairs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
