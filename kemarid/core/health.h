/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_CORE_HEALTH_H
#define KMR_CORE_HEALTH_H

/*
 * From a verdict about this node to a move: which guests go to their standby,
 * in what order, how often at most, and where they had better stay. No clock,
 * no call: kemari-mced's reports and what is known of the pairs come in,
 * decisions go out. docs/health.md has the rules in words.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/colour.h"
#include "core/record.h"
#include "core/verdict.h"

#define KMR_HEALTH_VMS_MAX 256      /* as KMR_VMS_MAX of the shell */
#define KMR_HEALTH_DECISIONS_MAX 16 /* of one look; more: look again */
#define KMR_HEALTH_WINDOW_MS 3600000u
#define KMR_MOVES_KEPT 60 /* of one VM in that window */
/* An order that has changed nothing after so long has failed. */
#define KMR_HEALTH_HANDOVER_MS 1000u
#define KMR_HEALTH_TAKEOVER_MS 5000u
#define KMR_HEALTH_RETRY_MIN_MS 1000u
#define KMR_HEALTH_RETRY_MAX_MS 60000u
/* A move that was announced and is not seen by then did not happen. */
#define KMR_HEALTH_MOVING_MS 60000u
/* A kemari-mced that was restarted knows nothing of what its last run saw: its
 * word that things are better is believed after so long. */
#define KMR_HEALTH_QUIET_MS 600000u

/* Why a guest that should go doesn't. */
#define KMR_STAYS(X)                                                    \
    X(NONE, "nothing is wrong")                                         \
    X(ALONE, "it has no standby: where it goes is Pacemaker's to say")  \
    X(UNPROTECTED, "it has no synchronised standby now")                \
    X(NOT_BETTER, "its standby's node is no better")                    \
    X(CAME_FROM, "it came from its standby's node, which is not green") \
    X(RATE, "it was moved too often in the last hour")                  \
    X(FAILED, "it could not be moved")                                  \
    X(TURN, "others go first")

enum kmr_stay {
#define X(name, text) KMR_STAY_##name,
    KMR_STAYS(X)
#undef X
        KMR_STAY_COUNT
};
const char *kmr_stay_text(enum kmr_stay stay);

struct kmr_move_limits {
    uint32_t parallel_moves; /* handovers under way on this node */
    uint32_t moves_per_hour; /* of one VM, by anybody's health */
};

#define KMR_MOVES_PARALLEL 1
#define KMR_MOVES_PARALLEL_MAX 16
#define KMR_MOVES_PER_HOUR 2

static inline struct kmr_move_limits kmr_move_limits_default(void)
{
    return (struct kmr_move_limits){ KMR_MOVES_PARALLEL, KMR_MOVES_PER_HOUR };
}

struct kmr_health_vm {
    char vm[KMR_VM_MAX]; /* "": free */
    /* what reports want of it, beside the node's colour */
    bool move, takeover;
    char why[KMR_REASON_MAX];
    /* an order that is under way */
    enum kmr_verdict order; /* MOVE_PAIR: handover, TAKEOVER; NOTE: none */
    uint64_t ordered_ms;
    unsigned failures; /* in a row */
    uint64_t retry_ms;
    enum kmr_stay stay; /* as said last */
    /* moves, by any node */
    char moving_from[KMR_NODE_MAX]; /* announced; "": none */
    uint64_t moving_ms;
    char came_from[KMR_NODE_MAX];      /* counts as long as the move does */
    uint64_t moved_ms[KMR_MOVES_KEPT]; /* the last ones, a ring */
    unsigned moved;
    bool changed; /* these have, since the shell last wrote them down */
};

struct kmr_health {
    char node[KMR_NODE_MAX];
    struct kmr_move_limits limits;
    enum kmr_colour colour;
    char reason[KMR_REASON_MAX]; /* of the colour */
    enum kmr_verdict verdict;    /* that this reason came with */
    bool leave;                  /* every guest has to go, a report said */
    bool heard, there;           /* a kemari-mced was heard; is connected now */
    bool blind;       /* it has nothing that could tell: never green */
    uint64_t last_id; /* of its reports */
    /* This run came after one that had left it ill: what is better than the
     * colour is not believed before; 0: it is. */
    uint64_t unsure_ms;
    enum kmr_colour better; /* what is believed then; NONE: nothing waits */
    struct kmr_health_vm vms[KMR_HEALTH_VMS_MAX];
};

struct kmr_health_report {
    enum kmr_verdict verdict;
    enum kmr_colour colour;
    uint64_t id; /* 0: none, never a duplicate */
    const char *reason;
    bool node; /* it is about the node, not about what `vms` use */
    const char *const *vms;
    unsigned vm_count;
};

/* A pair as this node knows it now. */
struct kmr_health_pair {
    const char *vm;
    const char *owner;   /* node, by the record; "": it runs nowhere */
    const char *standby; /* node; "": none */
    enum kmr_colour standby_colour;
    bool owns;  /* its guest runs here */
    bool alone; /* has no standby by its nature */
    bool ready; /* protected */
    bool busy;  /* is being handed over */
};

#define KMR_HEALTH_ACTS(X)                                       \
    X(HANDOVER, "handover") /* announce it, then order it */     \
    X(TAKEOVER, "takeover") /* the same, from the last commit */ \
    X(STAY, "stays")        /* say why */                        \
    X(MOVED, "moved")       /* what was ordered has happened */

enum kmr_health_act {
#define X(name, text) KMR_HEALTH_ACT_##name,
    KMR_HEALTH_ACTS(X)
#undef X
};
const char *kmr_health_act_text(enum kmr_health_act act);

struct kmr_health_decision {
    enum kmr_health_act act;
    enum kmr_stay stay;
    char vm[KMR_VM_MAX];
    char reason[KMR_REASON_MAX];
};

struct kmr_health_out {
    unsigned count;
    struct kmr_health_decision list[KMR_HEALTH_DECISIONS_MAX];
};

void kmr_health_init(struct kmr_health *health, const char *node);
/* Its entry, a new one if need be; NULL: there are too many. */
struct kmr_health_vm *kmr_health_vm(struct kmr_health *health, const char *vm);

/* kemari-mced is there; `new_run`: not the one that was there last. `colour`
 * NONE: it has no source. `why`: of the colour, may be empty. */
void kmr_health_hello(struct kmr_health *health, enum kmr_colour colour,
                      const char *why, bool new_run, uint64_t now_ms);
void kmr_health_gone(struct kmr_health *health);

/* False: a duplicate. */
bool kmr_health_report(struct kmr_health *health,
                       const struct kmr_health_report *report);

/* What QEMU's MEMORY_FAILURE event asks for; `action` as QMP names it. */
enum kmr_verdict kmr_health_memory(bool guest, const char *action);
/* One guest has to go: MOVE_PAIR or TAKEOVER; else nothing. */
void kmr_health_want(struct kmr_health *health, const char *vm,
                     enum kmr_verdict verdict, const char *reason);

/* Node `from` has announced that it moves `vm` away. */
void kmr_health_moving(struct kmr_health *health, const char *vm,
                       const char *from, uint64_t now_ms);

/*
 * `pairs`: all of them, the most important first. `out` is overwritten; true:
 * it is full, look again.
 */
bool kmr_health_look(struct kmr_health *health,
                     const struct kmr_health_pair *pairs, unsigned count,
                     uint64_t now_ms, struct kmr_health_out *out);

/* When to look again; 0: at the next change. */
uint64_t kmr_health_deadline(const struct kmr_health *health);

#endif
