/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_CORE_PAIR_PRIV_H
#define KMR_CORE_PAIR_PRIV_H

/* What the files of the pair's state machine share. */

#include "core/pair.h"

/* One step under way. */
struct kmr_step {
    struct kmr_pair *pair;
    const struct kmr_event *event;
    struct kmr_effects *effects;
};

struct kmr_effect *kmr_step_effect(struct kmr_step *step,
                                   enum kmr_effect_type type);
void kmr_step_move(struct kmr_step *step, enum kmr_phase to,
                   const char *reason);
void kmr_step_note(struct kmr_step *step, const char *reason);
/* Deadline of the phase, from now; 0: none. */
void kmr_step_within(struct kmr_step *step, uint32_t ms);
bool kmr_step_expired(const struct kmr_step *step);
/*
 * R7: above that of every order that any kemarid of this node ever gave to this
 * QEMU, also of those that hang in libvirtd since a kemarid that has ended. The
 * node's monotonic clock, in us: no QEMU outlives it.
 */
uint64_t kmr_step_order_generation(const struct kmr_step *step);
void kmr_step_order(struct kmr_step *step, enum kmr_order order,
                    uint64_t generation);
/* Kill our QEMU; KILLING until it is reaped. */
void kmr_step_kill(struct kmr_step *step, const char *reason);
struct kmr_peer *kmr_step_peer(struct kmr_step *step, const char *node);

/* ---- claim.c ---- */
/* The gate for `claim`, a majority included. */
enum kmr_gate kmr_claim_gate(const struct kmr_pair *pair, enum kmr_claim claim);
/* Notes once why `claim` has to wait. */
void kmr_claim_held(struct kmr_step *step, enum kmr_claim claim,
                    enum kmr_gate gate);
/* Claims, or changes the claim that is under way. */
void kmr_claim_make(struct kmr_step *step, enum kmr_claim claim);
bool kmr_claim_voters_wanted(const struct kmr_pair *pair);
void kmr_claim_out(struct kmr_step *step, const struct kmr_consensus_out *out);
void kmr_claim_event(struct kmr_step *step); /* PAXOS, RECORD */
void kmr_claim_tick(struct kmr_step *step);
void kmr_claim_probe(struct kmr_step *step);
void kmr_claim_force(struct kmr_step *step);

/* ---- fact.c ---- */
void kmr_fact_fenced(struct kmr_step *step);
void kmr_fact_peer(struct kmr_step *step);
void kmr_fact_health(struct kmr_step *step);
void kmr_fact_dead(struct kmr_step *step);
void kmr_fact_frozen(struct kmr_step *step);
/* Instances of ours that the record names and that are no more. */
void kmr_fact_announce(struct kmr_step *step);

/* ---- place.c: where the standby should be ---- */
/* The best node that could take one, by health, or NULL; one that is not better
 * than `than` (a rank) counts for nothing. */
const struct kmr_peer *kmr_place_best(const struct kmr_pair *pair,
                                      uint64_t now_ms, unsigned than);
/* A node that is only a standby and is about to fail loses that role where
 * there is a better one. True: its standby is being replaced. */
bool kmr_place_replace(struct kmr_step *step);

/* ---- alone.c: the VM without `promotable` ---- */
void kmr_alone_start(struct kmr_step *step);   /* START, `flag` */
void kmr_alone_stop(struct kmr_step *step);    /* STOP of its owner */
void kmr_alone_migrate(struct kmr_step *step); /* MIGRATE */
void kmr_alone_arrive(struct kmr_step *step);  /* ARRIVE */
/* Forgets the migration, and says why; nothing where there is none. */
void kmr_alone_migration_failed(struct kmr_step *step, const char *reason);
void kmr_alone_consider_start(struct kmr_step *step, enum kmr_gate gate);
void kmr_alone_consider_solo(struct kmr_step *step);
/* A standby that no migration wants. True: it was, or is being, dropped. */
bool kmr_alone_consider_standby(struct kmr_step *step);

/* ---- trouble.c: a guest that stopped without being asked to ---- */
void kmr_trouble_reset(struct kmr_pair *pair);
void kmr_trouble_adopted(struct kmr_step *step);
void kmr_trouble_heard(struct kmr_step *step); /* GUEST */
void kmr_trouble_done(struct kmr_step *step);
void kmr_trouble_consider(struct kmr_step *step);
uint64_t kmr_trouble_deadline(const struct kmr_pair *pair);

/* Facts have changed: is there anything to do? */
void kmr_owner_consider(struct kmr_step *step);
void kmr_standby_consider(struct kmr_step *step);

/* Events about our QEMU, by side. */
void kmr_owner_engine(struct kmr_step *step);
void kmr_standby_engine(struct kmr_step *step);
void kmr_owner_done(struct kmr_step *step);
void kmr_standby_done(struct kmr_step *step);
void kmr_owner_invited(struct kmr_step *step); /* READY, REFUSED */
void kmr_owner_invite(struct kmr_step *step, const struct kmr_peer *peer);
void kmr_owner_forget_candidate(struct kmr_pair *pair);
void kmr_owner_lost_candidate(struct kmr_step *step, const char *reason);
/* Tells the standby to go, and again until it is dead: that is what lets the
 * record go solo (R4). */
void kmr_owner_drop_standby(struct kmr_step *step, const char *reason);
void kmr_owner_hand_over(struct kmr_step *step, const char *reason);
void kmr_owner_shut_down(struct kmr_step *step, const char *reason);
void kmr_owner_down(struct kmr_step *step, const char *reason);
void kmr_standby_invite(struct kmr_step *step);
void kmr_pair_adopted(struct kmr_step *step);

#endif
