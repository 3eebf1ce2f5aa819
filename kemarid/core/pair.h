/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_CORE_PAIR_H
#define KMR_CORE_PAIR_H

/*
 * One VM, as one node sees it: kmr_pair_step(state, event) -> effects.
 * No clock, no call, no allocation. What other nodes know arrives as events;
 * what is to be done leaves as effects, in the order in which it must happen.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/colour.h"
#include "core/consensus.h"
#include "core/limits.h"
#include "core/record.h"
#include "core/trouble.h"

#define KMR_PEERS_MAX 32   /* nodes of a cluster */
#define KMR_EFFECTS_MAX 24 /* of one step */

/* Deadlines and limits. None of them decides anything: they say when to try,
 * or when to say something; core/limits.h has those that are settings. */
#define KMR_CREATE_MS 30000u  /* a domain is being started */
#define KMR_ORDER_MS 10000u   /* an order to the engine */
#define KMR_ANNOUNCE_MS 2000u /* a death that nobody took note of: again */
#define KMR_KILL_MS 1000u     /* a kill that was not enough: once more */
#define KMR_ADOPT_MS 15000u   /* for the engine of a QEMU that was found */
#define KMR_LOAD_MS 20000u    /* a received checkpoint is being loaded */
#define KMR_USELESS_MS 2000u  /* a copy that nobody needs is dropped */
#define KMR_SETTLE_MS \
    800u                         /* after a takeover the guest comes first: a
                                  * new standby's start costs CPU */
#define KMR_BACKOFF_MIN_MS 1000u /* until the next try for a standby */
#define KMR_BACKOFF_MAX_MS 60000u
#define KMR_OVERLOAD_MS 60000u /* the same, after an overload */
#define KMR_OVERLOAD_CALM_MS \
    3000u /* one that is the synchronisation's own is over by then, and the \
           * engine has seen a whole second without */
#define KMR_FAILURE_MS 30000u  /* no promotion score after a failed boot */
#define KMR_MISMATCH_MS 60000u /* Pacemaker's role is reported so long */
#define KMR_ELSEWHERE_MS \
    3000u /* a start of a VM alone that runs elsewhere: what a stop there \
           * has ended may not have been heard yet */
#define KMR_DROP_MS 1000u /* a standby that has to go was told so: again */
/* Between two standbys that are replaced for their node's health; doubled each
 * time, since each time costs a synchronisation. */
#define KMR_REPLACE_MIN_MS 60000u
#define KMR_REPLACE_MAX_MS 3600000u

/* name, text, has a QEMU, is on the owner's side */
#define KMR_PHASES(X)                               \
    X(STOPPED, "STOPPED", 0, 0)                     \
    X(IDLE, "IDLE", 0, 0)                           \
    X(ADOPTING, "ADOPTING", 1, 0)                   \
    X(BOOTING, "BOOTING", 1, 1)                     \
    X(SOLO, "SOLO", 1, 1)                           \
    X(INVITING, "INVITING", 1, 1)                   \
    X(SYNCING, "SYNCING", 1, 1)                     \
    X(IN_STEP, "IN_STEP", 1, 1)                     \
    X(PROTECTED, "PROTECTED", 1, 1)                 \
    X(HOLDING, "HOLDING", 1, 1)                     \
    X(HANDING_OVER, "HANDING_OVER", 1, 1)           \
    X(HANDED_OVER, "HANDED_OVER", 1, 1)             \
    X(SHUTTING_DOWN, "SHUTTING_DOWN", 1, 1)         \
    X(STANDBY_STARTING, "STANDBY_STARTING", 1, 0)   \
    X(STANDBY_PREPARING, "STANDBY_PREPARING", 1, 0) \
    X(STANDBY_READY, "STANDBY_READY", 1, 0)         \
    X(STANDBY_SYNCING, "STANDBY_SYNCING", 1, 0)     \
    X(SYNCHRONISED, "SYNCHRONISED", 1, 0)           \
    X(PRIMARY_LOST, "PRIMARY_LOST", 1, 0)           \
    X(CLAIMED, "CLAIMED", 1, 1)                     \
    X(TAKING_OVER, "TAKING_OVER", 1, 1)             \
    X(KILLING, "KILLING", 1, 0)

enum kmr_phase {
#define X(name, text, qemu, owner) KMR_PHASE_##name,
    KMR_PHASES(X)
#undef X
        KMR_PHASE_COUNT
};
const char *kmr_phase_text(enum kmr_phase phase);
bool kmr_phase_has_qemu(enum kmr_phase phase);
bool kmr_phase_is_owner(enum kmr_phase phase);
/* Declared transitions; every move is checked against them. */
bool kmr_phase_may_move(enum kmr_phase from, enum kmr_phase to);

/* What Pacemaker asked for last. */
#define KMR_WANTS(X)            \
    X(STOPPED, "stopped")       \
    X(UNPROMOTED, "unpromoted") \
    X(PROMOTED, "promoted")
enum kmr_want {
#define X(name, text) KMR_WANT_##name,
    KMR_WANTS(X)
#undef X
};
const char *kmr_want_text(enum kmr_want want);

#define KMR_CLAIMS(X)        \
    X(NONE, "none")          \
    X(BOOT, "boot")          \
    X(PAIR, "pair")          \
    X(SOLO, "go solo")       \
    X(TAKEOVER, "take over") \
    X(DOWN, "down")          \
    X(VOTERS, "change the voters")
enum kmr_claim {
#define X(name, text) KMR_CLAIM_##name,
    KMR_CLAIMS(X)
#undef X
};
const char *kmr_claim_text(enum kmr_claim claim);

/* The engine, as docs/interfaces.md names its states. */
#define KMR_ENGINES(X)              \
    X(NONE, "none")                 \
    X(PREPARING, "preparing")       \
    X(SYNCING, "syncing")           \
    X(IN_STEP, "in-step")           \
    X(PROTECTED, "protected")       \
    X(HOLDING, "holding")           \
    X(MEMORY_LOST, "memory-lost")   \
    X(HANDING_OVER, "handing-over") \
    X(HANDED_OVER, "handed-over")   \
    X(SYNCHRONISED, "synchronised") \
    X(PRIMARY_LOST, "primary-lost") \
    X(TAKING_OVER, "taking-over")   \
    X(RUNNING, "running")           \
    X(FAILED, "failed")
enum kmr_engine {
#define X(name, text) KMR_ENGINE_##name,
    KMR_ENGINES(X)
#undef X
        KMR_ENGINE_COUNT
};
enum kmr_engine_role {
    KMR_ENGINE_ROLE_NONE,
    KMR_ENGINE_ROLE_PRIMARY,
    KMR_ENGINE_ROLE_STANDBY
};

/* Orders to libvirt and the engine; one under way per pair. */
#define KMR_ORDERS(X)                               \
    X(NONE, "none")                                 \
    X(CREATE_PRIMARY, "start the domain")           \
    X(CREATE_STANDBY, "start the standby's domain") \
    X(PREPARE, "prepare the standby")               \
    X(SYNC, "start the synchronisation")            \
    X(CONFIRM, "confirm")                           \
    X(RELEASE, "release")                           \
    X(TAKEOVER, "take over")                        \
    X(HANDOVER, "hand over")                        \
    X(SHUTDOWN, "shut the guest down")              \
    X(RETRY, "try the failed requests again")       \
    X(REPORT, "let the guest have its I/O errors")  \
    X(RESTART, "restart the guest")                 \
    X(DUMP, "dump the guest's memory")              \
    X(QUERY, "ask the engine")
enum kmr_order {
#define X(name, text) KMR_ORDER_##name,
    KMR_ORDERS(X)
#undef X
};
const char *kmr_order_text(enum kmr_order order);

#define KMR_EVENTS(X)                                                        \
    X(TICK, "tick")       /* the deadline has come, or may have */           \
    X(CLUSTER, "cluster") /* quorate, synced, nodes, there */                \
    X(PEER, "peer")       /* a node came, went, or its part changed */       \
    X(HEALTH, "health")   /* of `node`, ours included: `colour` */           \
    X(FENCED, "fenced")   /* power fencing of `node` is confirmed */         \
    X(START, "start")     /* the agent's; `flag`: a VM alone */              \
    X(PROMOTE, "promote")                                                    \
    X(DEMOTE, "demote") /* `flag`: another node is to be promoted */         \
    X(STOP, "stop")                                                          \
    X(MIGRATE, "migrate")   /* alone: to `node`; "": not any more */         \
    X(ARRIVE, "arrive")     /* alone: it was migrated to us */               \
    X(HANDOVER, "handover") /* an operator's, or another node's wish */      \
    X(TAKEOVER, "takeover") /* the standby is to take over, by force */      \
    X(RESYNC, "resync")                                                      \
    X(LEAVE, "leave")       /* this kemarid ends: give up the vote */        \
    X(FORCE, "force")       /* the VM is down, an operator says */           \
    X(ADOPT, "adopt")       /* `id`: an instance of ours was found */        \
    X(PAXOS, "paxos")       /* a message of `node`, ours included */         \
    X(RECORD, "record")     /* the copy of `node`; `id`: its state file */   \
    X(DEAD, "dead")         /* instance `id` is dead, CPG says */            \
    X(FROZEN, "frozen")     /* instance `id` handed over, CPG says */        \
    X(INVITE, "invite")     /* owner `peer` on `node` wants us, as `id`;   \
                             * `flag`: to move there */ \
    X(READY, "ready")       /* standby `id` listens */                       \
    X(REFUSED, "refused")   /* standby `id` can't */                         \
    X(DROP, "drop")         /* the owner gives standby `id` up */            \
    X(DONE, "done")         /* order `order`/`tag` ended; `flag`: well */    \
    X(ENGINE, "engine")     /* the engine's state, by event or query */      \
    X(POWEROFF, "poweroff") /* the guest powered itself off */               \
    X(GUEST, "guest")       /* whether the guest runs: `run`, `reason` */    \
    X(REAPED, "reaped")     /* our QEMU is dead */

enum kmr_event_type {
#define X(name, text) KMR_EVENT_##name,
    KMR_EVENTS(X)
#undef X
};
const char *kmr_event_text(enum kmr_event_type type);

struct kmr_event {
    enum kmr_event_type type;
    uint64_t now_ms;          /* monotonic */
    char fresh[KMR_UUID_MAX]; /* a new UUID, for whatever is started */
    bool flag;
    /* DEMOTE, STOP: what the guest may take to power off; 0:
     * limits.shutdown_ms */
    uint32_t limit_ms;
    /* CLUSTER */
    bool quorate, synced;
    unsigned nodes, there; /* as in struct kmr_consensus */
    /* PEER, FENCED, INVITE */
    char node[KMR_NODE_MAX];
    uint64_t boot;
    bool present; /* its kemarid is in the group */
    bool up;      /* it is in corosync's membership */
    bool started; /* Pacemaker started the resource there */
    bool idle;    /* and no QEMU is there */
    bool has_qemu;
    enum kmr_colour colour; /* HEALTH */
    /* instances */
    char id[KMR_UUID_MAX];
    char peer[KMR_UUID_MAX];
    uint64_t generation;
    struct kmr_record record; /* RECORD */
    struct kmr_paxos paxos;   /* PAXOS */
    /* DONE */
    enum kmr_order order;
    uint32_t tag;
    bool maybe; /* not `flag`: it may have happened, or happen still */
    /* ENGINE */
    enum kmr_engine engine;
    enum kmr_engine_role role;
    uint64_t checkpoint;
    char reason[KMR_REASON_MAX];
    bool overloaded;  /* it is to go on without its standby */
    enum kmr_run run; /* GUEST; `reason`: on which disk, or "" */
};

#define KMR_EFFECTS(X)                                                       \
    X(ORDER, "order")       /* `order`, `tag`; for our instance */           \
    X(KILL, "kill")         /* our QEMU, by its process */                   \
    X(SEND, "send")         /* broadcast `paxos`; `durable`: see there */    \
    X(DEATH, "death")       /* broadcast: `id` is dead */                    \
    X(FROZEN, "frozen")     /* broadcast: `id` is frozen (`generation`) */   \
    X(INVITE, "invite")     /* to `node`, as `id`; with our XML; `moving` */ \
    X(READY, "ready")       /* standby `id` listens */                       \
    X(REFUSE, "refuse")     /* standby `id` can't: `reason` */               \
    X(DROP, "drop")         /* standby `id` is given up */                   \
    X(HANDOVER, "handover") /* ask the owner's node for one */               \
    X(TAKEOVER, "takeover") /* ask the standby's node for one: `reason` */   \
    X(MOVED, "moved")       /* transition `from` -> `to`: `reason` */        \
    X(NOTE, "note")         /* worth a line in the log: `reason` */          \
    X(PERSIST, "persist")   /* write the state file */                       \
    X(BUG, "bug")           /* a move that was not declared: `reason` */

enum kmr_effect_type {
#define X(name, text) KMR_EFFECT_##name,
    KMR_EFFECTS(X)
#undef X
};
const char *kmr_effect_text(enum kmr_effect_type type);

struct kmr_effect {
    enum kmr_effect_type type;
    enum kmr_order order;
    uint32_t tag;
    uint64_t generation;
    char node[KMR_NODE_MAX];
    char id[KMR_UUID_MAX];   /* the instance that it is about */
    char peer[KMR_UUID_MAX]; /* its other half, or "" */
    enum kmr_phase from, to;
    char reason[KMR_REASON_MAX];
    struct kmr_paxos paxos; /* SEND */
    /* SEND, ORDER: not before the state as it is after the step is on disk */
    bool durable;
    bool moving; /* INVITE: the standby is there for a migration */
};

struct kmr_effects {
    unsigned count;
    struct kmr_effect list[KMR_EFFECTS_MAX];
};

struct kmr_peer {
    char node[KMR_NODE_MAX]; /* "": free */
    uint64_t boot;
    bool present, up, started, idle, has_qemu;
    enum kmr_colour colour;
    uint64_t avoid_until_ms; /* it failed as a standby */
};

struct kmr_pair {
    char vm[KMR_VM_MAX];
    char node[KMR_NODE_MAX]; /* this one */
    uint64_t boot;

    enum kmr_phase phase;
    uint64_t since_ms;
    char reason[KMR_REASON_MAX];
    enum kmr_want want;
    struct kmr_consensus agreed;
    bool quorate, synced;

    /* Pacemaker runs one instance and no standby; here, a standby is only on
     * its way to be the owner. */
    bool alone;
    char moving_to[KMR_NODE_MAX];   /* of the owner: a migration; "": none */
    char migration[KMR_REASON_MAX]; /* why the last one failed */

    /* our QEMU */
    char instance[KMR_UUID_MAX];
    uint64_t engine_generation; /* of the last order to it, as far as known */
    enum kmr_engine engine;

    /* its other half: invited, synchronising or in step */
    char peer[KMR_UUID_MAX];
    char peer_node[KMR_NODE_MAX];

    /* the order and the claim under way */
    enum kmr_order order;
    uint32_t tag;
    enum kmr_claim claim;
    /* A standby was proposed and no record decided since, as far as we know:
     * a solo record is no leave to release (R1). */
    bool proposed;

    bool promote;         /* asked for, not yet fulfilled */
    bool handover_asked;  /* of the owner, once per promote */
    bool loading;         /* standby: the owner is dead, we load */
    bool handover_wanted; /* when the claim is settled, once */
    char handover_why[KMR_REASON_MAX];
    bool demoted; /* another is to be promoted: handed over, until it is */
    bool takeover_asked;          /* of this standby, by an operator */
    bool leaving;                 /* this node gives up its vote */
    char down_id[KMR_UUID_MAX];   /* must be recorded as down, then dead */
    char announced[KMR_UUID_MAX]; /* DEATH was sent for it ... */
    uint64_t announce_ms;         /* ... and is sent again then */
    uint64_t deadline_ms;         /* of the phase; 0: none */
    uint64_t retry_ms;            /* not before: the next try for a standby */
    bool overloaded;              /* why it is without a standby, or will be */
    unsigned failures;            /* in a row */
    char failure[KMR_REASON_MAX]; /* why a boot failed; "" */
    uint64_t failure_ms;          /* forgotten then; until then no score */
    uint64_t mismatch_ms; /* since when role and Pacemaker's differ; 0 */
    enum kmr_gate held;   /* the gate that was noted last */

    /* health */
    enum kmr_colour colour; /* of this node */
    bool replacing;         /* the standby was told to go, for a better one */
    unsigned replaced;      /* so often, in a row */
    uint64_t replace_ms;    /* not before: the next time; 0: at once */

    struct kmr_trouble trouble; /* with the guest of our QEMU */
    char trouble_text[KMR_REASON_MAX];
    uint64_t io_moved_ms; /* it was handed over for its disk; 0: never */

    struct kmr_limits limits;
    struct kmr_guest_policy policy;
    struct kmr_peer peers[KMR_PEERS_MAX];
};

void kmr_pair_init(struct kmr_pair *pair, const char *vm, const char *node,
                   uint64_t boot);

/* `effects` is overwritten. */
void kmr_pair_step(struct kmr_pair *pair, const struct kmr_event *event,
                   struct kmr_effects *effects);

/* When a TICK is wanted; 0: not at all. */
uint64_t kmr_pair_deadline(const struct kmr_pair *pair);

/* The owner's QEMU is this node's and (as far as we know) runs. */
bool kmr_pair_owns(const struct kmr_pair *pair);
/* The same, also while it is being handed over, or adopted. */
bool kmr_pair_guest_here(const struct kmr_pair *pair);
/* A standby that can be made anew: its memory is being filled, or kept. */
bool kmr_pair_copy_here(const struct kmr_pair *pair);

/* Why it is as it is: what stopped the guest, or the last move's reason. */
const char *kmr_pair_reason(const struct kmr_pair *pair);

/* A demote in favour of another node waits until the pair is protected. */
bool kmr_pair_demote_waits(const struct kmr_pair *pair);

/* After LEAVE: nothing has to be decided any more before this kemarid ends. */
bool kmr_pair_left(const struct kmr_pair *pair);

const struct kmr_peer *kmr_pair_peer(const struct kmr_pair *pair,
                                     const char *node);

#endif
