/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_CORE_CONSENSUS_H
#define KMR_CORE_CONSENSUS_H

/*
 * How the record of one VM is agreed (R3): Paxos, once per generation, by the
 * voters that the decided record names. docs/authority.md tells it in words.
 *
 * Pure: what is to be sent and written leaves in struct kmr_consensus_out. A
 * message that is `durable` leaves the node only when the state as it is after
 * the step is on disk; if it can't be written, the message is never sent.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/record.h"

#define KMR_TALLY_MAX 32     /* nodes that answer a ballot */
#define KMR_ROUND_MS 400u    /* a ballot without a majority: the next one */
#define KMR_GATHER_MS 300u   /* the first record waits for all that are there */
#define KMR_BALLOT_MIN_MS 5u /* back-off after a lost ballot, doubled ... */
#define KMR_BALLOT_MAX_MS 1000u /* ... up to this */
#define KMR_PROBES_MAX 5u       /* ballots, then not before something happens */

/* Ordered by round, then id. The id is made for one attempt: no ballot is
 * used twice, whatever a proposer forgets in a crash. Round 0: none. */
struct kmr_ballot {
    uint32_t round;
    char id[KMR_UUID_MAX];
};

#define KMR_PAXOS_KINDS(X)                                                \
    X(PREPARE, "prepare")   /* `base`, `ballot`, `seen` */                \
    X(PROMISE, "promise")   /* `ballot`; `other`, `value`: accepted */    \
    X(REJECT, "reject")     /* `ballot`; `other`: promised to that one */ \
    X(ACCEPT, "accept")     /* `ballot`, `value` */                       \
    X(ACCEPTED, "accepted") /* `ballot` */                                \
    X(DECIDED, "decided")   /* `value` */

enum kmr_paxos_kind {
#define X(name, text) KMR_PAXOS_##name,
    KMR_PAXOS_KINDS(X)
#undef X
        KMR_PAXOS_COUNT
};
const char *kmr_paxos_text(enum kmr_paxos_kind kind);

struct kmr_paxos {
    enum kmr_paxos_kind kind;
    uint64_t generation; /* the one to be decided */
    struct kmr_ballot ballot, other;
    char id[KMR_UUID_MAX]; /* PROMISE, ACCEPTED: the sender's state file */
    uint64_t writes;       /* ... and how often it was written */
    struct kmr_record base, value;
    uint64_t seen[KMR_VOTERS_MAX]; /* writes that base's voters spoke of */
};

/* What this node remembers of another voter; lost in a restart on purpose. */
struct kmr_acquaintance {
    char node[KMR_NODE_MAX];
    char id[KMR_UUID_MAX];
    uint64_t writes;
    bool exchanged; /* it answered us since our start: consensus_others.c */
    bool fenced;    /* power-fenced, and no word of it since */
};

enum kmr_proposer {
    KMR_PROPOSER_IDLE,
    KMR_PROPOSER_PREPARING,
    KMR_PROPOSER_ACCEPTING,
    KMR_PROPOSER_WAITING
};

struct kmr_consensus {
    char node[KMR_NODE_MAX];

    /* on disk */
    struct kmr_record record; /* the decided one of the highest generation */
    char id[KMR_UUID_MAX];    /* of our state file; "": not made yet */
    uint64_t writes;
    bool lost; /* there was a file that could not be used */
    struct kmr_ballot promised, accepted; /* for the next generation */
    struct kmr_record value;              /* accepted */

    /* the claim that this node drives, if any */
    enum kmr_proposer proposer;
    bool probing;             /* it wants nothing but promises */
    struct kmr_record mine;   /* what we want */
    struct kmr_record driven; /* what the ballot proposes */
    struct kmr_ballot ballot, best;
    struct kmr_voter tally[KMR_TALLY_MAX];
    unsigned tally_count;
    unsigned attempts;
    uint32_t highest_round;
    uint64_t began_ms, deadline_ms;

    /* the group */
    unsigned nodes; /* in corosync's node list; 0: unknown */
    unsigned there; /* kemarids in the group, ours included */
    struct kmr_acquaintance others[KMR_TALLY_MAX];
};

#define KMR_CONSENSUS_OUT_MAX 3

struct kmr_consensus_out {
    unsigned count;
    struct kmr_paxos list[KMR_CONSENSUS_OUT_MAX];
    bool durable[KMR_CONSENSUS_OUT_MAX];
    bool decided; /* `record` is another one now */
    bool persist;
};

void kmr_consensus_init(struct kmr_consensus *us, const char *node);

/* This node's acceptances count. */
bool kmr_consensus_votes(const struct kmr_consensus *us);

/*
 * Drives the next generation to a decision, `wanted` if that is still free. A
 * claim that is under way goes on, with `wanted` from its next ballot on.
 * `fresh`: a new UUID.
 */
void kmr_consensus_claim(struct kmr_consensus *us,
                         const struct kmr_record *wanted, uint64_t now_ms,
                         const char *fresh, struct kmr_consensus_out *out);

/* Asks the other of two voters for its promise; proposes only what that one
 * had accepted. Nothing while a claim is under way. */
void kmr_consensus_probe(struct kmr_consensus *us, uint64_t now_ms,
                         const char *fresh, struct kmr_consensus_out *out);

/* A record that nobody agreed to: down, this node its only voter, and newer
 * than what others may decide until they hear of it. */
#define KMR_FORCED_GENERATIONS 1000000u
void kmr_consensus_force(struct kmr_consensus *us, const char *fresh,
                         struct kmr_consensus_out *out);

/* The other of two voters, if it is to be asked; or NULL. */
const struct kmr_voter *kmr_consensus_stranger(const struct kmr_consensus *us);

/* Somebody came, or is known dead: the next ballot of our claim, if any, need
 * not wait. */
void kmr_consensus_hurry(struct kmr_consensus *us, uint64_t now_ms);

/* A message of `node`, our own ones included. */
void kmr_consensus_message(struct kmr_consensus *us, const char *node,
                           const struct kmr_paxos *msg, uint64_t now_ms,
                           const char *fresh, struct kmr_consensus_out *out);

/* When the deadline has come. */
void kmr_consensus_tick(struct kmr_consensus *us, uint64_t now_ms,
                        const char *fresh, struct kmr_consensus_out *out);
uint64_t kmr_consensus_deadline(const struct kmr_consensus *us);

/* The copy of `node` of the decided record; `id`: of its state file, or "". */
void kmr_consensus_learn(struct kmr_consensus *us, const char *node,
                         const struct kmr_record *record, const char *id,
                         const char *fresh, struct kmr_consensus_out *out);

/* Power fencing of the incarnation of `node` that left last is confirmed. */
void kmr_consensus_fenced(struct kmr_consensus *us, const char *node);
bool kmr_consensus_is_fenced(const struct kmr_consensus *us, const char *node);

/* The two-voter exception holds: the peer, or NULL. */
const struct kmr_voter *kmr_consensus_alone_without(
    const struct kmr_consensus *us);

/* The id of the state file that `node` last spoke of, or "". */
const char *kmr_consensus_id_of(const struct kmr_consensus *us,
                                const char *node);

#endif
