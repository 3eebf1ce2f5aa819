/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Repairs what a mutation broke: magics, ends, counts that no input is long
 * enough for, pages that do not exist. Each with some chance only, so that
 * the broken ones come, too.
 */
#include "qemu/osdep.h"

#include "stream.h"

#include "qemu/bswap.h"

struct repair {
    uint8_t *data;
    size_t size, at;
    uint32_t chance;
    uint64_t seq;
};

static unsigned roll(struct repair *r, unsigned sides)
{
    r->chance = r->chance * 1664525u + 1013904223u;
    return (r->chance >> 8) % sides;
}

static bool mostly(struct repair *r)
{
    return roll(r, 32) != 0;
}

static void limit(struct repair *r, uint8_t *number, uint32_t most)
{
    uint32_t value = ldl_be_p(number);

    if (value > most && mostly(r)) {
        stl_be_p(number, value % (most + 1));
    }
}

static void repair_page(struct repair *r, uint8_t *entry)
{
    uint64_t page = ldq_be_p(entry);

    if (roll(r, 32) == 0) { /* the first that is not there, or beside it */
        stq_be_p(entry,
                 page % 2 ? 1ull << 48 | (23 + roll(r, 3)) : 39 + roll(r, 3));
    } else if (mostly(r)) {
        stq_be_p(entry, (page >> 48) % 2 << 48 | (page & 0xffffffff) % 24);
    }
}

/* u32 size, u32 flags, u8 length of the name, name, bytes */
static void repair_packets(struct repair *r, uint8_t *data, size_t len)
{
    static const char *const names[] = { "net0", "bare", "net1" };

    if (!mostly(r)) {
        return;
    }
    while (len >= 9) {
        size_t left = len - 9, name, size;

        if (left >= 4 && roll(r, 4) != 0) {
            data[8] = 4;
            memcpy(data + 9, names[roll(r, 3)], 4);
        }
        name = data[8];
        if (name > left) {
            name = data[8] = (uint8_t)left;
        }
        left -= name;
        stl_be_p(data + 4, ldl_be_p(data + 4) & 1);
        size = ldl_be_p(data);
        /* The last one goes to the end, or a little further. */
        if (size > left || left - size < 9) {
            size = left;
            stl_be_p(data, (uint32_t)(size + (roll(r, 16) == 0 ? name : 0)));
        }
        data += 9 + name + size;
        len = left - size;
    }
}

/* False: there is no room for another one. */
static bool repair_checkpoint(struct repair *r)
{
    uint8_t *head = r->data + r->at, *end;
    size_t left = r->size - r->at, body, pages, device, packets = 0;

    if (left < FUZZ_HEAD + FUZZ_MARK) {
        return false;
    }
    if (mostly(r)) {
        stl_be_p(head, 0x4b4d5254);
    }
    if (mostly(r)) {
        stl_be_p(head + 4, ldl_be_p(head + 4) & 3);
    }
    r->seq++;
    if (mostly(r)) {
        stq_be_p(head + 8, r->seq);
    }
    left -= FUZZ_HEAD + FUZZ_MARK;
    limit(r, head + 16, MIN(12, left / 72));
    pages = ldl_be_p(head + 16);
    if (pages > left / 72) {
        return false;
    }
    left -= pages * 72;
    limit(r, head + 20, MIN(200, left));
    device = ldl_be_p(head + 20);
    if (device > left) {
        return false;
    }
    left -= device;
    limit(r, head + 24, MIN(200, left));
    packets = ldl_be_p(head + 24);
    if (packets > left) {
        return false;
    }
    body = pages * 72 + device;
    for (size_t i = 0; i < pages; i++) {
        repair_page(r, head + FUZZ_HEAD + i * 8);
    }
    repair_packets(r, head + FUZZ_HEAD + body, packets);
    end = head + FUZZ_HEAD + body + packets;
    if (mostly(r)) {
        stl_be_p(end, 0x4b4d5243);
        stl_be_p(end + 4, 0);
        memcpy(end + 8, head + 8, 8);
    }
    r->at += FUZZ_HEAD + body + packets + FUZZ_MARK;
    return true;
}

/* What a stream begins with can't be guessed: all of it, or as it is. */
static bool repair_begin(struct repair *r, const GByteArray *right)
{
    if (right->len > r->size - r->at || roll(r, 4) == 0) {
        return false;
    }
    memcpy(r->data + r->at, right->data, right->len);
    if (roll(r, 8) == 0) {
        r->data[r->at + roll(r, right->len)] ^= (uint8_t)(1 << roll(r, 8));
    }
    r->at += right->len;
    return true;
}

static void repair_acks(struct repair *r)
{
    for (; r->size - r->at >= FUZZ_MARK; r->at += FUZZ_MARK) {
        uint8_t *ack = r->data + r->at;

        r->seq++;
        if (mostly(r)) {
            stl_be_p(ack, 0x4b4d5241);
            stl_be_p(ack + 4, 0);
            stq_be_p(ack + 8, r->seq);
        }
    }
}

void fuzz_repair(uint8_t *data, size_t size, unsigned seed)
{
    struct repair r = { data, size, FUZZ_PRELUDE, seed | 1, 0 };

    if (size < FUZZ_PRELUDE) {
        return;
    }
    if (data[0] & FUZZ_PRIMARY) {
        if (repair_begin(&r, fuzz_ready)) {
            repair_acks(&r);
        }
        return;
    }
    if ((data[0] & FUZZ_HELLO) && !repair_begin(&r, fuzz_hello)) {
        return;
    }
    while (repair_checkpoint(&r)) {
    }
}
