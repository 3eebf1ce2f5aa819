/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_CORE_RECORD_H
#define KMR_CORE_RECORD_H

/*
 * Who owns a VM, as far as this node knows, and who may change that.
 *
 * Every kemarid holds a copy. It is changed only by messages that CPG
 * delivers in the same order everywhere: claims (a new record on top of a
 * named generation) and facts (an instance is dead, or frozen for good by a
 * handover). This is not yet the decided record of R3: there is no consensus
 * and so a claim is only made where the other instance is certainly dead.
 */

#include <stdbool.h>
#include <stdint.h>

#define KMR_NODE_MAX 64 /* with the NUL, as all of these */
#define KMR_VM_MAX 65
#define KMR_UUID_MAX 37
#define KMR_REASON_MAX 256

#define KMR_MODES(X)                                            \
    X(NONE, "none")     /* never ran, as far as anyone knows */ \
    X(DOWN, "down")     /* stopped on purpose */                \
    X(SOLO, "solo")     /* an owner, nobody may take over */    \
    X(PAIRED, "paired") /* an owner and its synchronised standby */

enum kmr_mode {
#define X(name, text) KMR_MODE_##name,
    KMR_MODES(X)
#undef X
};
#define KMR_MODE_COUNT 4
const char *kmr_mode_text(enum kmr_mode mode);

/* One QEMU. `boot` is the incarnation of its node. */
struct kmr_inst {
    char node[KMR_NODE_MAX];
    char id[KMR_UUID_MAX]; /* "": none */
    uint64_t boot;
    bool dead;   /* reaped by its kemarid, or its node power-fenced */
    bool frozen; /* handed over: will never run nor write again */
};

struct kmr_record {
    uint64_t generation;
    enum kmr_mode mode;
    struct kmr_inst owner;
    struct kmr_inst standby;
};

/* Why a change is refused; OK means it is allowed. */
#define KMR_GATES(X)                                                   \
    X(OK, "allowed")                                                   \
    X(NO_QUORUM, "no quorum")                                          \
    X(NOT_SYNCED, "not every kemarid of the cluster has reported yet") \
    X(OWNER_ALIVE, "the owner is not confirmed dead")                  \
    X(STANDBY_ALIVE, "the standby is not confirmed dead")              \
    X(NOT_OWNER, "this instance is not the owner")                     \
    X(NOT_STANDBY, "this instance is not the synchronised standby")    \
    X(STALE, "the record has changed meanwhile")

enum kmr_gate {
#define X(name, text) KMR_GATE_##name,
    KMR_GATES(X)
#undef X
};
const char *kmr_gate_text(enum kmr_gate gate);

bool kmr_inst_is(const struct kmr_inst *inst, const char *id);

/* R8, R4(c): a cold boot */
enum kmr_gate kmr_record_may_boot(const struct kmr_record *record);
/* R2, R4(b): standby `id` becomes the owner */
enum kmr_gate kmr_record_may_take_over(const struct kmr_record *record,
                                       const char *id);
/* R1(b): owner `id` goes on without its standby */
enum kmr_gate kmr_record_may_go_solo(const struct kmr_record *record,
                                     const char *id);
/* R1, into paired: owner `id` names its standby */
enum kmr_gate kmr_record_may_pair(const struct kmr_record *record,
                                  const char *id);

/*
 * A claim was delivered: `next` on top of generation `base`. Checked by every
 * node for itself, whoever made it. OK: `record` is `next` now.
 */
enum kmr_gate kmr_record_claim(struct kmr_record *record, uint64_t base,
                               const struct kmr_record *next);

/* Another node's copy: the higher generation wins; of equals the facts are
 * joined. True when `record` changed. */
bool kmr_record_adopt(struct kmr_record *record,
                      const struct kmr_record *other);

/* Facts. True when `record` changed. */
bool kmr_record_dead(struct kmr_record *record, const char *id);
bool kmr_record_frozen(struct kmr_record *record, const char *id,
                       uint64_t generation);

#endif
