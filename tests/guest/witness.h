/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the witness (in the guest) and its client say to each other, and the
 * records on the disk. Both ends are x86-64 programs of this tree, so the
 * structures go over the wire as they are; their sizes are asserted.
 */
#ifndef TESTS_GUEST_WITNESS_H
#define TESTS_GUEST_WITNESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

#define WIT_MAGIC 0x314b5457u /* "WTK1" */
#define WIT_BLOCK 4096
#define WIT_MAX_PAYLOAD 3072
#define WIT_MAX_CONNECTIONS 32
#define WIT_VERIFY_MAX 64 /* requests that one verify request asks about */
#define WIT_BEAT_MS 25    /* a silent connection gets a sign of life */

enum wit_op {
    WIT_HELLO = 1,  /* seq: the first that the client will use */
    WIT_WRITE = 2,  /* one record */
    WIT_VERIFY = 3, /* seq .. seq + count - 1: what is there of them? */
    WIT_STATE = 4,  /* what the guest has seen by itself */
    WIT_BEAT = 5,   /* by itself, from the guest only */
};

/* wit_reply.status */
#define WIT_EARLY 0x0001     /* the block held the new record already */
#define WIT_TWICE 0x0002     /* the request was applied before */
#define WIT_SKIPPED 0x0004   /* requests before it never arrived */
#define WIT_PREVIOUS 0x0008  /* the block did not hold what it should */
#define WIT_CLOCK 0x0010     /* a clock of the guest ran backwards */
#define WIT_IO_ERROR 0x0020  /* the disk failed */
#define WIT_TABLE_BAD 0x0040 /* the table in memory is damaged */
#define WIT_REFUSED 0x0080   /* malformed, or too many connections */

/* wit_answer.disk and .memory, besides the check of the record */
#define WIT_MISSING 0u     /* not there, or damaged */
#define WIT_OVERWRITTEN 1u /* replaced by a later one of the same connection */

struct wit_request {
    uint32_t magic;
    uint16_t op;
    uint16_t payload; /* bytes that follow, WIT_WRITE only */
    uint64_t client;
    uint32_t connection;
    uint32_t count; /* WIT_VERIFY only */
    uint64_t seq;
    uint32_t check; /* WIT_WRITE: wit_check() of the request */
    uint32_t reserved;
};
_Static_assert(sizeof(struct wit_request) == 40, "wire format");

struct wit_reply {
    uint32_t magic;
    uint16_t op;
    uint16_t status;
    uint64_t seq;
    uint8_t boot_id[16];
    uint64_t mono_ns;
    uint64_t real_ns;
    uint64_t applied; /* requests applied on this connection so far */
    uint32_t payload; /* bytes that follow: wit_answer[] or wit_state */
    uint32_t reserved;
};
_Static_assert(sizeof(struct wit_reply) == 64, "wire format");

struct wit_answer {
    uint32_t disk;
    uint32_t memory;
};

/* What the guest counted since it booted. */
struct wit_state {
    uint64_t lost;  /* blocks that did not hold what was written last */
    uint64_t early; /* blocks that held what was not yet written */
    uint64_t twice;
    uint64_t clock_backwards;
    uint64_t io_errors;
    uint64_t memory_bad; /* pages of the background load */
    uint64_t table_bad;
    uint64_t writes; /* of the background writers */
};
_Static_assert(sizeof(struct wit_state) == 64, "wire format");

/* One block of the disk. */
struct wit_record {
    uint32_t magic;
    uint32_t connection;
    uint64_t client;
    uint64_t seq;
    uint8_t boot_id[16];
    uint64_t mono_ns;
    uint32_t check;   /* as in the request */
    uint32_t payload; /* bytes */
    uint64_t sum;     /* of the whole block with sum = 0 */
    uint8_t data[WIT_BLOCK - 64];
};
_Static_assert(sizeof(struct wit_record) == WIT_BLOCK, "disk format");

static inline uint64_t wit_mix(uint64_t sum, uint64_t value)
{
    sum = (sum ^ value) * 0x9e3779b97f4a7c15u;
    return sum ^ (sum >> 29);
}

/* Sum of BYTES (a multiple of 8) at DATA (aligned to 8). */
static inline uint64_t wit_sum(const void *data, size_t bytes)
{
    const uint64_t *word = data;
    uint64_t sum = 0x4b454d415249u;

    for (size_t i = 0; i < bytes / 8; i++) {
        sum = wit_mix(sum, word[i]);
    }
    return sum;
}

/* Never WIT_MISSING or WIT_OVERWRITTEN. */
static inline uint32_t wit_check(uint64_t client, uint32_t connection,
                                 uint64_t seq, const uint8_t *payload,
                                 uint32_t bytes)
{
    uint64_t sum = wit_mix(wit_mix(wit_mix(1, client), connection), seq);

    for (uint32_t i = 0; i < bytes; i++) {
        sum = wit_mix(sum, payload[i]);
    }
    return (uint32_t)(sum >> 32) | 2u;
}

#endif
