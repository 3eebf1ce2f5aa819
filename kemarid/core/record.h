/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_CORE_RECORD_H
#define KMR_CORE_RECORD_H

/*
 * Who may run a VM: the record that the kemarids agreed upon, and who may
 * supersede it (R4, R8). docs/authority.md has the rules; consensus.h makes
 * the agreement.
 *
 * `dead` and `frozen` are not part of what is agreed: they are facts, true
 * once and for all, that each node adds to its copy as it learns of them.
 */

#include <stdbool.h>
#include <stdint.h>

#define KMR_NODE_MAX 64 /* with the NUL, as all of these */
#define KMR_VM_MAX 65
#define KMR_UUID_MAX 37
#define KMR_REASON_MAX 256
#define KMR_VOTERS_MAX 9  /* more only make a decision slower */
#define KMR_EARLIER_MAX 4 /* owners that nobody knows dead yet */

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
    uint64_t until; /* of an earlier owner: the generation that ended it */
    bool dead;      /* reaped by its kemarid, or its node power-fenced */
    bool frozen;    /* handed over: will never run nor write again */
};

/* Who decides the next generation: a node, by the id of its state file. */
struct kmr_voter {
    char node[KMR_NODE_MAX]; /* "": none, nor any after it */
    char id[KMR_UUID_MAX];
};

struct kmr_record {
    uint64_t generation;
    enum kmr_mode mode;
    struct kmr_inst owner;
    struct kmr_inst standby;
    struct kmr_inst earlier[KMR_EARLIER_MAX]; /* the first are used */
    struct kmr_voter voters[KMR_VOTERS_MAX];
};

/* Why a claim is not made; OK means that it may be. */
#define KMR_GATES(X)                                                   \
    X(OK, "allowed")                                                   \
    X(NO_MAJORITY, "no majority of the voters is in the group")        \
    X(NOT_SYNCED, "not every kemarid of the cluster has reported yet") \
    X(OWNER_ALIVE, "the owner is not confirmed dead")                  \
    X(EARLIER_ALIVE, "an earlier owner is not confirmed dead")         \
    X(STANDBY_ALIVE, "the standby is not confirmed dead")              \
    X(NOT_OWNER, "this instance is not the owner")                     \
    X(NOT_STANDBY, "this instance is not the synchronised standby")    \
    X(TOO_MANY, "too many earlier owners are not confirmed dead")

enum kmr_gate {
#define X(name, text) KMR_GATE_##name,
    KMR_GATES(X)
#undef X
};
const char *kmr_gate_text(enum kmr_gate gate);

bool kmr_inst_is(const struct kmr_inst *inst, const char *id);

unsigned kmr_record_voters(const struct kmr_record *record);
/* The voter of that node, or NULL. */
const struct kmr_voter *kmr_record_voter(const struct kmr_record *record,
                                         const char *node);
/* False: there is no room. The id of a node that is there is replaced. */
bool kmr_record_add_voter(struct kmr_record *record, const char *node,
                          const char *id);
void kmr_record_remove_voter(struct kmr_record *record, const char *node);

/* R8, R4(c): a cold boot */
enum kmr_gate kmr_record_may_boot(const struct kmr_record *record);
/* R4(b): standby `id` may claim to be the owner */
enum kmr_gate kmr_record_may_take_over(const struct kmr_record *record,
                                       const char *id);
/* R2, R6 (shared storage): owner `id` may resume */
enum kmr_gate kmr_record_may_resume(const struct kmr_record *record,
                                    const char *id);
/* R1(b), R4(a): owner `id` goes on without its standby */
enum kmr_gate kmr_record_may_go_solo(const struct kmr_record *record,
                                     const char *id);
/* R1, into paired: owner `id` names its standby */
enum kmr_gate kmr_record_may_pair(const struct kmr_record *record,
                                  const char *id);

/* Was `id` an owner, which is not known dead, before the present one? */
bool kmr_record_was_owner(const struct kmr_record *record, const char *id);

/* Was `id` an owner, of which another instance goes on, or may? */
bool kmr_record_goes_on(const struct kmr_record *record, const char *id);

/*
 * The beginning of the record that follows `record`: the next generation, the
 * same voters, and of the earlier owners (the present one among them, unless
 * `id` is the same instance) those that are not known dead. The rest is the
 * claimant's.
 */
void kmr_record_next(const struct kmr_record *record, const char *id,
                     struct kmr_record *ret_next);

/*
 * Another node's decided record: the higher generation wins, facts are joined.
 * `ret_newer`: its generation was higher. True when `record` changed.
 */
bool kmr_record_learn(struct kmr_record *record, const struct kmr_record *other,
                      bool *ret_newer);

/* Facts. True when `record` changed. */
bool kmr_record_dead(struct kmr_record *record, const char *id);
bool kmr_record_frozen(struct kmr_record *record, const char *id,
                       uint64_t generation);

#endif
