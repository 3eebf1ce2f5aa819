/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_CORE_WIRE_H
#define KMR_CORE_WIRE_H

/*
 * Messages between the kemarids. Big-endian, versioned; every length and
 * count from the peer is checked before it is used. A message of another
 * version is refused as a whole.
 *
 *   u32 magic "KMRD", u16 version, u16 type, u32 length (all of it),
 *   str node, u64 boot, then the body of its type
 *   (str: u16 length, bytes without NUL; blob: u32 length, bytes)
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/health.h"
#include "core/nodefence.h"
#include "core/pair.h"

#define KMR_WIRE_MAGIC 0x4b4d5244u
#define KMR_WIRE_VERSION 5
#define KMR_WIRE_MAX (512u * 1024)      /* bytes of a message */
#define KMR_WIRE_XML_MAX (384u * 1024)  /* bytes of an XML */
#define KMR_WIRE_INPUT_MAX (64u * 1024) /* bytes of frames */
#define KMR_WIRE_PAIRS_MAX 32           /* pairs in one STATUS */
#define KMR_WIRE_HEADER 12

#define KMR_MSGS(X)                                                            \
    X(STATUS, "status") /* pairs of the sender; `last`: the end */             \
    X(PAXOS, "paxos")   /* consensus.h */                                      \
    X(DEATH, "death")                                                          \
    X(FROZEN, "frozen")                                                        \
    X(INVITE, "invite")                                                        \
    X(READY, "ready")                                                          \
    X(REFUSE, "refuse")                                                        \
    X(DROP, "drop")                                                            \
    X(HANDOVER, "handover")                                                    \
    X(TAKEOVER, "takeover")                                                    \
    X(EVENT, "event") /* a transition, for `kemarictl events`; of the node's \
                       * health, if `vm` is empty */ \
    X(FENCE, "fence") /* a step of a node's fencing, see nodefence.h */        \
    X(INPUT, "input") /* frames for a guest whose QEMU is no more */           \
    X(HEALTH, "health") /* of the sender's node */                             \
    X(MOVING, "moving") /* the sender is about to give up a guest for its \
                         * node's health: health.h */

enum kmr_msg_type {
#define X(name, text) KMR_MSG_##name,
    KMR_MSGS(X)
#undef X
        KMR_MSG_COUNT
};
const char *kmr_msg_text(enum kmr_msg_type type);

struct kmr_quantiles {
    uint64_t p50, p95, p99, max;
};

/* Is the node's hardware watched? */
#define KMR_MCEDS(X)          \
    X(NONE, "no kemari-mced") \
    X(THERE, "watched")       \
    X(BLIND, "no sources")    \
    X(ENDED, "kemari-mced has ended")
enum kmr_mced {
#define X(name, text) KMR_MCED_##name,
    KMR_MCEDS(X)
#undef X
        KMR_MCED_COUNT
};
const char *kmr_mced_text(enum kmr_mced mced);

#define KMR_SAID_MAX 16 /* reports and decisions that are shown */
#define KMR_SCOPE_MAX 64
#define KMR_SOURCES_MAX 4096 /* with the NUL */

/* One report of a kemari-mced, or what was decided then: scope pair:VM. */
struct kmr_said {
    uint64_t time_us; /* since 1970 */
    uint8_t verdict, colour;
    char scope[KMR_SCOPE_MAX];
    char reason[KMR_REASON_MAX];
};

/* What one node says of its hardware. */
struct kmr_node_health {
    uint8_t mced, colour;
    char reason[KMR_REASON_MAX];
    uint64_t lost;                 /* records that the kernel dropped */
    uint64_t reports, moves;       /* since its kemarid was started */
    uint64_t memory_failures;      /* of QEMUs, as libvirt says */
    char sources[KMR_SOURCES_MAX]; /* JSON, {"NAME": "ok" or why not} */
    uint8_t count;
    struct kmr_said said[KMR_SAID_MAX]; /* the newest last */
};

/* What one node says of one pair. */
struct kmr_pair_status {
    char vm[KMR_VM_MAX];
    uint8_t phase, want;
    char instance[KMR_UUID_MAX];
    char reason[KMR_REASON_MAX];
    struct kmr_record record;
    char voter[KMR_UUID_MAX]; /* the id of its state file, or "" */
    uint32_t progress;        /* percent */
    uint32_t throttle;        /* the same: held for so much of the time */
    uint64_t checkpoints, lag_ms;
    struct kmr_quantiles freeze_us, ack_us;
};

struct kmr_msg {
    enum kmr_msg_type type;
    char node[KMR_NODE_MAX]; /* sender */
    uint64_t boot;
    char vm[KMR_VM_MAX];
    char id[KMR_UUID_MAX];
    char peer[KMR_UUID_MAX];
    char target[KMR_NODE_MAX];
    uint64_t generation;
    struct kmr_paxos paxos;
    char reason[KMR_REASON_MAX];
    char address[KMR_NODE_MAX]; /* READY: "tcp:ADDR:PORT" */
    /* INVITE: the XML, INPUT: frames (io/taps.c); in the message itself */
    const char *blob;
    uint32_t blob_len;
    bool moving;           /* INVITE: for a migration */
    char from[32], to[32]; /* EVENT */
    uint64_t time_us, mono_us;
    /* FENCE; with target, id, reason */
    enum kmr_fence_step step;
    enum kmr_fence_action action;
    uint64_t target_boot;
    uint32_t settle_ms;
    bool last; /* STATUS */
    uint16_t count;
    struct kmr_pair_status *pairs;  /* room for KMR_WIRE_PAIRS_MAX */
    struct kmr_node_health *health; /* HEALTH: room for one */
};

/* Bytes written, or 0: no room, or something is too long. */
size_t kmr_wire_encode(const struct kmr_msg *msg, uint8_t *buf, size_t size);

/* False: malformed. `msg->pairs` and `msg->health` are to be set beforehand (a
 * message that has no room is refused); `msg->blob` points into `buf`. Names,
 * UUIDs and enums are checked. */
bool kmr_wire_decode(const uint8_t *buf, size_t len, struct kmr_msg *msg);

#endif
