/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_TESTS_SIM_SIM_H
#define KMR_TESTS_SIM_SIM_H

/*
 * A cluster in one process over the core that ships: virtual time, seeded
 * faults, and rules that are checked after every step. README.md says what is
 * modelled. One struct is the whole world, without pointers, so that a copy of
 * it is a copy of the world.
 *
 *   world.c     time, chance, the trace, what comes next
 *   node.c      one kemarid: its steps, its state file, its deadlines
 *   group.c     corosync: links, membership, messages
 *   engine.c    libvirt and QEMU: processes and orders
 *   stream.c    a guest that counts, and its checkpoints
 *   operator.c  Pacemaker and people
 *   action.c    one action of the agent on one node
 *   alone.c     Pacemaker, where the VM has no `promotable`
 *   faults.c    what goes wrong in a random run
 *   rules.c     what must never be
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/answer.h"
#include "core/pair.h"
#include "core/text.h"

#define SIM_NODES 5
#define SIM_POOL 384  /* messages under way */
#define SIM_IN 192    /* of these, to one node */
#define SIM_OUT 64    /* not yet sent, of one node */
#define SIM_NEWS 32   /* of one QEMU, not yet heard */
#define SIM_LATER 48  /* of one node */
#define SIM_INSTS 512 /* QEMUs that ever were */
#define SIM_GENERATIONS 2048
#define SIM_IDS 65536 /* UUIDs that were made */

/* What kind of a world it is. */
#define SIM_KINDS(X)                                                   \
    X(PAIR, "pair")   /* a promotable VM, a Pacemaker in its senses */ \
    X(ALONE, "alone") /* a VM without `promotable`, which migrates */  \
    X(HASTY, "hasty") /* promotable; elections one after another */
enum sim_world {
#define X(name, text) SIM_##name,
    SIM_KINDS(X)
#undef X
        SIM_WORLDS
};

/* ---- QEMU ---- */

struct sim_inst {
    uint8_t node;
    bool exists;   /* its process */
    bool ever;     /* ... at some time */
    bool ran;      /* its guest, at some time */
    bool booted;   /* from the disk, not by a takeover */
    bool named;    /* a decided record had it as the standby */
    bool declared; /* somebody said that it is dead */
    int parent;    /* whose guest it goes on with; -1: none */
    uint32_t id;
    /* the engine */
    enum kmr_engine_role role;
    enum kmr_engine state;
    uint64_t generation;
    int peer; /* that it was prepared for; -1 */
    bool guest, frozen, hold, shut, confirmed, powers_off;
    enum kmr_run run, carried_run, have_run; /* in worlds with trouble */
    int link;                                /* the stream's other end; -1 */
    uint64_t carry_ms; /* a checkpoint arrives at the standby then; 0: none */
    uint64_t ack_ms;   /* its acknowledgement arrives then; 0 */
    uint32_t carried;
    bool last;          /* it is the handover's */
    uint64_t broken_ms; /* it notices then that the stream broke; 0 */
    uint64_t run_ms;    /* the received state is loaded then; 0 */
    uint64_t work_ms;   /* the guest, or the engine, does something */
    /* the guest: outputs, by number */
    uint32_t start;    /* what it began with */
    uint32_t made;     /* up to here */
    uint32_t acked;    /* of these, in the standby */
    uint32_t released; /* of these, seen */
    uint32_t landed;   /* of these, written on the disk */
    uint32_t have;     /* standby: what it would go on with */
    uint32_t first;    /* its rank among those that released; 0: none yet */
};

/* ---- messages ---- */

enum sim_kind {
    SIM_MSG_PAXOS,
    SIM_MSG_STATUS,
    SIM_MSG_EVENT, /* any other: `event` has it all */
    SIM_MEMBERS,   /* `mask`: kemarids in the group */
    SIM_QUORUM     /* `mask`: nodes in corosync's membership */
};

struct sim_msg {
    enum sim_kind kind;
    uint8_t refs, from, to; /* to: a node, or SIM_NODES for all */
    uint8_t mask;
    uint64_t boot;
    enum kmr_event_type type;
    uint64_t generation;
    char id[KMR_UUID_MAX], peer[KMR_UUID_MAX];
    bool flag;
    /* STATUS */
    enum kmr_phase phase;
    enum kmr_want want;
    char voter[KMR_UUID_MAX];
    struct kmr_paxos paxos; /* STATUS: its `value` is the record */
};

struct sim_item {
    uint64_t at_ms;
    int16_t msg;
};

enum sim_later_kind {
    SIM_LATER_NONE,
    SIM_LATER_FENCED, /* `a`: a node */
    SIM_LATER_STRAY,  /* `a`: a message that lost its place in the order */
    SIM_LATER_REAPED, /* `a`: an instance */
    SIM_LATER_LATE    /* an order that hung: `order` of instance `a` */
};

struct sim_later {
    enum sim_later_kind kind;
    uint64_t at_ms;
    int a;
    enum kmr_order order;
    uint64_t generation;
    int peer;
};

struct sim_news {
    uint64_t at_ms;
    int inst;
    enum kmr_engine state;
    enum kmr_engine_role role;
    uint64_t generation;
    int peer;
    bool poweroff;
    bool overloaded;
    bool guest; /* its run state changed: it is asked for */
};

/* ---- a node ---- */

struct sim_disk {
    struct kmr_record record, value;
    char id[KMR_UUID_MAX];
    uint64_t writes, boot;
    bool lost;
    struct kmr_ballot promised, accepted;
    enum kmr_want want;
    char instance[KMR_UUID_MAX], down_id[KMR_UUID_MAX];
    bool pid; /* its process is known */
    bool alone;
};

/* What the shell knows of another node. */
struct sim_view {
    bool named, present, heard, up, seen;
    uint64_t boot, joined_ms, fenced_ms;
    enum kmr_phase phase;
    enum kmr_want want;
};

struct sim_command {
    enum kmr_order order; /* NONE: nothing under way */
    uint32_t tag;
    uint64_t generation, at_ms;
    int inst, peer;
    uint8_t outcome;
    bool waits; /* for the state file, which has to name the instance */
    bool hangs; /* libvirtd may do it at any time */
};

struct sim_node {
    char name[8];
    uint64_t boot;
    bool power, kemarid;
    enum kmr_colour colour;
    uint64_t boot_ms, back_ms; /* it boots, its kemarid starts; 0: not */
    uint64_t wait_ms; /* a QEMU that was being started may still come */
    uint8_t corosync; /* the membership that it is in */
    bool alone;       /* wait_for_all: no other was seen since its boot */
    struct kmr_pair pair;
    /* the shell */
    struct sim_view views[SIM_NODES];
    bool joined;
    uint8_t up;
    uint64_t checked; /* rule 4: the generation that it has */
    uint64_t status_ms, poll_ms, tick_ms;
    unsigned ticks; /* in the second that began at ... */
    uint64_t ticks_since_ms;
    unsigned lives; /* of its kemarid */
    /* /run/kemari/VM.pid, while a QEMU is there, or is being started */
    int run_inst; /* + 1, as the last kemarid left it; 0: none */
    bool run_pid; /* and its process */
    enum kmr_want pid_want;
    bool pid_alone;
    /* the state file */
    bool has_file;
    struct sim_disk disk, handed, next;
    bool writing, queued, changed;
    uint64_t write_ms, ticket, ticket_writing;
    bool full;     /* the disk */
    bool bad_path; /* to the guest's disk */
    struct {
        uint64_t ticket;
        int16_t msg;
    } outbox[SIM_OUT];
    unsigned outbox_count;
    /* libvirt */
    int qemu; /* the instance that runs here; -1 */
    struct sim_command command;
    bool mute;         /* libvirt doesn't answer */
    uint64_t leave_ms; /* its kemarid ends then, or when it has left; 0 */
    uint64_t kill_ms;
    int kill;
    /* corosync */
    struct sim_item in[SIM_IN];
    unsigned in_head, in_count;
    int16_t out[SIM_OUT];
    unsigned out_count;
    uint64_t out_ms;
    struct sim_news news[SIM_NEWS];
    unsigned news_count;
    struct sim_later later[SIM_LATER];
};

/* ---- Pacemaker ---- */

enum sim_role { SIM_STOPPED, SIM_STARTED, SIM_PROMOTED };
enum sim_action {
    SIM_IDLE,
    SIM_START,
    SIM_STOP,
    SIM_PROMOTE,
    SIM_DEMOTE,
    SIM_MIGRATE, /* migrate_to */
    SIM_ARRIVE   /* migrate_from */
};

/* An action that is under way on a node. */
struct sim_run {
    enum sim_action action;
    bool other; /* DEMOTE: another node is to be promoted */
    uint64_t since_ms, end_ms, half_ms;
    unsigned life;            /* of the kemarid that was asked; 0: not yet */
    char owner[KMR_UUID_MAX]; /* MIGRATE: that was there */
};

struct sim_operator {
    uint64_t at_ms;
    enum sim_role role[SIM_NODES];
    bool unclean[SIM_NODES], standby[SIM_NODES];
    uint64_t fence_ms[SIM_NODES]; /* it is being fenced, done then; 0 */
    uint8_t fencers[SIM_NODES];
    uint64_t ban_ms[SIM_NODES];
    struct sim_run run[SIM_NODES];
    bool disabled, freezes;
    uint8_t wrong[SIM_NODES]; /* monitors in a row */
    /* ALONE: a migration, and what has to be stopped for its failures */
    unsigned source, target, leg; /* 0: none; 1: migrate_to; 2: migrate_from */
    int moved;                    /* the instance; -1 */
    bool failed[SIM_NODES];
    /* HASTY: until then the scores that it goes by are old, or none */
    uint64_t election_ms;
    uint8_t part;
    uint8_t sight[SIM_NODES];
    int32_t old[SIM_NODES];
};

struct sim_faults {
    bool quiet;        /* none any more ... */
    uint64_t quiet_ms; /* ... since */
    uint64_t at_ms;
    uint32_t mean_ms;
    bool paxos; /* the agreement's messages are lost, doubled, delayed */
    bool handover_fails; /* once */
    bool files;          /* state files are lost, or come back old */
    bool slow_disk;
    bool memory;  /* pages of a primary's memory are lost */
    bool trouble; /* guests panic, disks have errors, QEMU doesn't go on */
    bool health;  /* nodes become yellow, red, and green again */
};

struct sim_decided {
    uint64_t value; /* a sum over it; 0: not seen yet */
    enum kmr_mode mode;
    int owner, standby;
};

struct sim {
    uint64_t now_ms, seed, chance, steps;
    unsigned nodes;
    enum sim_world world;
    bool fixed; /* no chance: each delay is the shortest */
    char failure[256];
    /* links: who is in the same part */
    uint8_t cluster[SIM_NODES], repl[SIM_NODES];
    uint64_t reform_ms;
    struct sim_operator op;
    struct sim_faults faults;
    unsigned fresh;
    uint16_t inst_of[SIM_IDS]; /* of a UUID's number; 0: none, else + 1 */
    struct sim_inst insts[SIM_INSTS];
    unsigned inst_count;
    struct sim_decided decided[SIM_GENERATIONS];
    uint64_t newest; /* decided generation */
    /* what the world saw */
    int visible;   /* the instance that released last; -1 */
    uint32_t seen; /* the highest output */
    uint32_t firsts;
    struct sim_node node[SIM_NODES];
    unsigned pool_top; /* messages beyond it are unused */
    struct sim_msg pool[SIM_POOL];
};

/* ---- world.c ---- */
void sim_init(struct sim *sim, unsigned nodes, uint64_t seed,
              enum sim_world world);
/* SIM_WORLDS: there is no such kind. */
enum sim_world sim_world_of(const char *text);
const char *sim_world_text(enum sim_world world);
/* The next thing happens. False: nothing ever will. */
bool sim_next(struct sim *sim);
/* Everything up to then. False: a rule was broken. */
bool sim_run(struct sim *sim, uint64_t ms);
uint32_t sim_random(struct sim *sim, uint32_t below);
bool sim_chance(struct sim *sim, uint32_t percent);
/* Between the two; the first one where nothing is left to chance. */
uint64_t sim_delay(struct sim *sim, uint32_t least, uint32_t most);
void sim_fail(struct sim *sim, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
extern bool sim_tracing;
void sim_say(struct sim *sim, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void sim_print_trace(void);
void sim_print_world(const struct sim *sim);
void sim_uuid(struct sim *sim, char *ret_text);
unsigned sim_uuid_number(const char *text);

/* ---- node.c ---- */
void sim_step(struct sim *sim, unsigned n, struct kmr_event *event);
void sim_event(struct sim *sim, unsigned n, enum kmr_event_type type,
               bool flag);
void sim_kemarid_start(struct sim *sim, unsigned n);
void sim_kemarid_stop(struct sim *sim, unsigned n);
/* It is asked to end / has given up its vote, or waited long enough. */
void sim_kemarid_leave(struct sim *sim, unsigned n);
void sim_kemarid_left(struct sim *sim, unsigned n);
void sim_power_off(struct sim *sim, unsigned n);
void sim_power_on(struct sim *sim, unsigned n);
void sim_written(struct sim *sim, unsigned n);
void sim_tick(struct sim *sim, unsigned n);

/* ---- group.c ---- */
int sim_msg_new(struct sim *sim);
void sim_msg_drop(struct sim *sim, int msg);
void sim_send(struct sim *sim, unsigned n, int msg);
void sim_send_status(struct sim *sim, unsigned n);
void sim_sequence(struct sim *sim, unsigned n);
bool sim_can_sequence(const struct sim *sim, unsigned n);
void sim_deliver(struct sim *sim, unsigned n);
void sim_deliver_msg(struct sim *sim, unsigned n, int msg);
/* Links or nodes changed; corosync notices after a while. */
/* Node `n` hears of the health of node `m`. */
void sim_tell_health(struct sim *sim, unsigned n, unsigned m);
void sim_links_changed(struct sim *sim, bool slowly);
void sim_reform(struct sim *sim);
void sim_group_changed(struct sim *sim, unsigned n);
void sim_fenced(struct sim *sim, unsigned n, unsigned who);

/* ---- engine.c ---- */
struct sim_inst *sim_inst(struct sim *sim, int index);
int sim_inst_index(struct sim *sim, const char *id);
void sim_inst_id(const struct sim *sim, int index, char *ret_text);
void sim_order(struct sim *sim, unsigned n, const struct kmr_effect *effect);
void sim_command_go(struct sim *sim, unsigned n);
void sim_command_due(struct sim *sim, unsigned n);
void sim_execute_late(struct sim *sim, unsigned n, const struct sim_later *it);
void sim_kill(struct sim *sim, unsigned n, int inst, uint64_t after_ms);
void sim_qemu_dies(struct sim *sim, int inst, bool seen);
void sim_break_stream(struct sim *sim, int inst);
void sim_repl_changed(struct sim *sim);
void sim_news_due(struct sim *sim, unsigned n);
void sim_poll(struct sim *sim, unsigned n);
void sim_later_add(struct sim *sim, unsigned n, const struct sim_later *it);
bool sim_repl_is_up(const struct sim *sim, unsigned a, unsigned b);
void sim_close_stream(struct sim *sim, int inst);
void sim_news(struct sim *sim, int inst, enum kmr_engine state, bool poweroff);
void sim_release_up_to(struct sim *sim, int inst, uint32_t number);

/* ---- stream.c ---- */
/* The guest runs; false: it must not. */
bool sim_resume(struct sim *sim, int index);
void sim_ask_guest(struct sim *sim, unsigned n);
uint64_t sim_inst_next(const struct sim *sim, const struct sim_inst *inst);
void sim_inst_due(struct sim *sim, int index);

/* ---- action.c ---- */
void sim_begin(struct sim *sim, enum sim_action action, unsigned n, bool other);
/* Is it done? Whoever is Pacemaker hears that by sim_ended(). */
void sim_check_action(struct sim *sim, unsigned n, uint8_t part);
bool sim_is_busy(const struct sim *sim);
#define SIM_NO_PATIENCE (-2) /* a code: time is up */

/* ---- alone.c ---- */
void sim_alone_decide(struct sim *sim, uint8_t part);
void sim_alone_ended(struct sim *sim, enum sim_action action, unsigned n,
                     int code);
void sim_alone_probe(struct sim *sim, uint8_t part);

/* ---- operator.c, faults.c ---- */
void sim_ended(struct sim *sim, enum sim_action action, unsigned n, int code);
void sim_fence(struct sim *sim, unsigned n, uint8_t part);
void sim_operate(struct sim *sim);
void sim_fault(struct sim *sim);
/* No faults any more: all that is broken is repaired. */
void sim_heal(struct sim *sim);
bool sim_is_well(const struct sim *sim, bool protected);

/* ---- rules.c ---- */
void sim_check_step(struct sim *sim, unsigned n, const struct kmr_event *event,
                    const struct kmr_effects *did);
/* Pacemaker was told that it is so. */
void sim_check_answer(struct sim *sim, enum sim_action action, unsigned n);
void sim_check_create(struct sim *sim, int inst, bool primary);
/* Does the guest of `index` go on with that of `from`? */
bool sim_goes_on_with(const struct sim *sim, int index, int from);
void sim_check_alone(struct sim *sim, int inst);
void sim_check_resume(struct sim *sim, int inst);
void sim_check_release(struct sim *sim, int inst, const char *what);

#endif
