/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/health.h"

#include <string.h>

#include "core/text.h"

/* Worse than red: the guest's memory here is damaged, not just in danger. */
#define RANK_DAMAGED ((unsigned)KMR_COLOUR_COUNT)

#define X(name, text) text,
KMR_TEXT_OF(kmr_stay_text, kmr_stay, KMR_STAYS(X))
KMR_TEXT_OF(kmr_health_act_text, kmr_health_act, KMR_HEALTH_ACTS(X))
#undef X

void kmr_health_init(struct kmr_health *health, const char *node)
{
    memset(health, 0, sizeof(*health));
    kmr_text_set(health->node, sizeof(health->node), node);
    health->limits = kmr_move_limits_default();
}

struct kmr_health_vm *kmr_health_vm(struct kmr_health *health, const char *vm)
{
    struct kmr_health_vm *spare = NULL;

    for (unsigned i = 0; i < KMR_HEALTH_VMS_MAX; i++) {
        struct kmr_health_vm *entry = &health->vms[i];

        if (kmr_text_same(entry->vm, vm)) {
            return entry;
        }
        if (!spare && entry->vm[0] == '\0') {
            spare = entry;
        }
    }
    if (spare) {
        kmr_text_set(spare->vm, sizeof(spare->vm), vm);
    }
    return spare;
}

/* ---- what kemari-mced says ---- */

static void set_colour(struct kmr_health *health, enum kmr_colour colour,
                       enum kmr_verdict verdict, const char *reason)
{
    health->better = KMR_COLOUR_NONE;
    /* not the last little thing, but why it is so bad */
    if (colour != health->colour || verdict >= health->verdict) {
        kmr_text_set(health->reason, sizeof(health->reason), reason);
        health->verdict = verdict;
    }
    health->colour = colour;
    if (colour == KMR_COLOUR_GREEN) {
        health->leave = false;
        for (unsigned i = 0; i < KMR_HEALTH_VMS_MAX; i++) {
            health->vms[i].move = health->vms[i].takeover = false;
        }
        if (health->blind) {
            health->colour = KMR_COLOUR_NONE; /* what it knows of is well */
        }
    }
}

/* False: the run that says so can't know, and has to be quiet for longer. */
static bool believed(struct kmr_health *health, enum kmr_colour colour)
{
    health->better = KMR_COLOUR_NONE;
    if (health->unsure_ms != 0 &&
        kmr_colour_rank(colour) < kmr_colour_rank(health->colour)) {
        health->better = colour;
    }
    return health->better == KMR_COLOUR_NONE;
}

void kmr_health_hello(struct kmr_health *health, enum kmr_colour colour,
                      const char *why, bool new_run, uint64_t now_ms)
{
    if (new_run) {
        health->last_id = 0;
    }
    if (new_run && health->heard && health->colour != KMR_COLOUR_GREEN &&
        health->colour != KMR_COLOUR_NONE) {
        health->unsure_ms = now_ms + KMR_HEALTH_QUIET_MS;
    }
    health->there = true;
    health->blind = colour == KMR_COLOUR_NONE;
    if (colour == KMR_COLOUR_NONE) {
        /* it has no source that could tell: not a green */
        health->better = KMR_COLOUR_NONE;
        if (!health->heard || health->colour == KMR_COLOUR_GREEN) {
            set_colour(health, colour, KMR_VERDICT_NOTE,
                       "kemari-mced has no sources");
        }
    } else if (!health->heard || health->colour == KMR_COLOUR_NONE) {
        set_colour(health, colour, KMR_VERDICT_NOTE,
                   why[0] ? why : "as kemari-mced found it");
    } else if (believed(health, colour) && colour != health->colour) {
        set_colour(health, colour, KMR_VERDICT_NOTE,
                   why[0] ? why : "kemari-mced said so");
    }
    health->heard = true;
}

void kmr_health_gone(struct kmr_health *health)
{
    health->there = false;
    health->better = KMR_COLOUR_NONE; /* not unsure_ms: it may come again */
}

void kmr_health_want(struct kmr_health *health, const char *vm,
                     enum kmr_verdict verdict, const char *reason)
{
    struct kmr_health_vm *entry = kmr_health_vm(health, vm);

    if (!entry ||
        (verdict != KMR_VERDICT_MOVE_PAIR && verdict != KMR_VERDICT_TAKEOVER)) {
        return;
    }
    entry->move = true;
    entry->takeover |= verdict == KMR_VERDICT_TAKEOVER;
    entry->failures = 0;
    entry->retry_ms = 0;
    entry->stay = KMR_STAY_NONE; /* why not is to be said again */
    kmr_text_set(entry->why, sizeof(entry->why), reason);
}

bool kmr_health_report(struct kmr_health *health,
                       const struct kmr_health_report *report)
{
    enum kmr_verdict verdict = report->verdict;

    if (report->id != 0 && report->id <= health->last_id) {
        return false;
    }
    if (report->id != 0) {
        health->last_id = report->id;
    }
    health->heard = true;
    if (believed(health, report->colour)) {
        set_colour(health, report->colour, verdict, report->reason);
    }
    if (verdict == KMR_VERDICT_MOVE_NODE ||
        (verdict == KMR_VERDICT_MOVE_PAIR && report->node)) {
        health->leave = true;
    } else {
        for (unsigned i = 0; i < report->vm_count; i++) {
            kmr_health_want(health, report->vms[i], verdict, report->reason);
        }
    }
    return true;
}

enum kmr_verdict kmr_health_memory(bool guest, const char *action)
{
    if (guest) {
        /* "ignore": nothing of it reached the guest */
        return kmr_text_same(action, "ignore") ? KMR_VERDICT_NOTE
                                               : KMR_VERDICT_TAKEOVER;
    }
    /* QEMU's own memory: "ignore" means that it goes on, until it touches it;
     * with "fatal" it is about to end, and its standby will notice. */
    return KMR_VERDICT_MOVE_PAIR;
}

/* ---- moves ---- */

void kmr_health_moving(struct kmr_health *health, const char *vm,
                       const char *from, uint64_t now_ms)
{
    struct kmr_health_vm *entry = kmr_health_vm(health, vm);

    if (entry) {
        kmr_text_set(entry->moving_from, sizeof(entry->moving_from), from);
        entry->moving_ms = now_ms;
        entry->changed = true;
    }
}

/* Those of the last hour; older ones are forgotten. */
static unsigned moves(struct kmr_health_vm *entry, uint64_t now_ms)
{
    unsigned count = 0;

    for (unsigned i = 0; i < KMR_MOVES_KEPT; i++) {
        if (now_ms >= entry->moved_ms[i] + KMR_HEALTH_WINDOW_MS) {
            entry->moved_ms[i] = 0;
        }
        count += entry->moved_ms[i] != 0;
    }
    return count;
}

/* Has what was announced, by whomever, happened? */
static void note_moves(struct kmr_health_vm *entry,
                       const struct kmr_health_pair *pair, uint64_t now_ms)
{
    if (entry->moving_from[0] == '\0') {
        return;
    }
    if (pair->owner[0] != '\0' &&
        !kmr_text_same(pair->owner, entry->moving_from)) {
        entry->changed = true;
        entry->moved_ms[entry->moved++ % KMR_MOVES_KEPT] = now_ms;
        kmr_text_set(entry->came_from, sizeof(entry->came_from),
                     entry->moving_from);
        entry->moving_from[0] = '\0';
    } else if (now_ms >= entry->moving_ms + KMR_HEALTH_MOVING_MS) {
        entry->changed = true;
        entry->moving_from[0] = '\0';
    }
}

static struct kmr_health_decision *decide(struct kmr_health_out *out,
                                          enum kmr_health_act act,
                                          const char *vm, const char *reason)
{
    struct kmr_health_decision *decision = &out->list[out->count++];

    memset(decision, 0, sizeof(*decision));
    decision->act = act;
    kmr_text_set(decision->vm, sizeof(decision->vm), vm);
    kmr_text_set(decision->reason, sizeof(decision->reason), reason);
    return decision;
}

static void stays(struct kmr_health_vm *entry,
                  const struct kmr_health_pair *pair, enum kmr_stay stay,
                  struct kmr_health_out *out)
{
    struct kmr_health_decision *decision;

    if (entry->stay == stay) {
        return; /* said already */
    }
    entry->stay = stay;
    decision = decide(out, KMR_HEALTH_ACT_STAY, entry->vm, kmr_stay_text(stay));
    decision->stay = stay;
    if (stay == KMR_STAY_NOT_BETTER || stay == KMR_STAY_CAME_FROM) {
        kmr_text_add(decision->reason, sizeof(decision->reason), " (");
        kmr_text_add(decision->reason, sizeof(decision->reason), pair->standby);
        kmr_text_add(decision->reason, sizeof(decision->reason), " is ");
        kmr_text_add(decision->reason, sizeof(decision->reason),
                     kmr_colour_text(pair->standby_colour));
        kmr_text_add(decision->reason, sizeof(decision->reason), ")");
    }
}

/* An order of ours: has it been followed? */
static void settle(struct kmr_health_vm *entry,
                   const struct kmr_health_pair *pair, uint64_t now_ms,
                   struct kmr_health_out *out)
{
    uint64_t ms = KMR_HEALTH_RETRY_MIN_MS;
    bool takeover = entry->order == KMR_VERDICT_TAKEOVER;

    if (entry->order == KMR_VERDICT_NOTE) {
        return;
    }
    if (!pair->owns) {
        entry->order = KMR_VERDICT_NOTE;
        entry->failures = 0;
        if (pair->owner[0] != '\0') {
            decide(out, KMR_HEALTH_ACT_MOVED, entry->vm, pair->owner);
        }
        return;
    }
    if (pair->busy) {
        entry->ordered_ms = now_ms; /* should it come back, that takes time */
        return;
    }
    if (now_ms < entry->ordered_ms + (takeover ? KMR_HEALTH_TAKEOVER_MS
                                               : KMR_HEALTH_HANDOVER_MS)) {
        return;
    }
    entry->order = KMR_VERDICT_NOTE;
    entry->takeover = false; /* by now the last commit is from afterwards */
    for (unsigned i = 0; i < entry->failures && ms < KMR_HEALTH_RETRY_MAX_MS;
         i++) {
        ms *= 2;
    }
    entry->failures++;
    entry->retry_ms =
        now_ms + (ms < KMR_HEALTH_RETRY_MAX_MS ? ms : KMR_HEALTH_RETRY_MAX_MS);
    entry->stay = KMR_STAY_NONE;
    stays(entry, pair, KMR_STAY_FAILED, out);
}

/* How bad it is for this guest to be here; 0: it is well. */
static unsigned rank_here(const struct kmr_health *health,
                          const struct kmr_health_vm *entry)
{
    unsigned rank = kmr_colour_rank(health->colour);
    unsigned least = kmr_colour_rank(KMR_COLOUR_YELLOW);

    if (entry->takeover) {
        return RANK_DAMAGED;
    }
    if (!entry->move && !health->leave && health->colour != KMR_COLOUR_RED) {
        return 0;
    }
    return rank > least ? rank : least;
}

static enum kmr_stay why_stay(const struct kmr_health *health,
                              struct kmr_health_vm *entry,
                              const struct kmr_health_pair *pair,
                              unsigned under_way, uint64_t now_ms)
{
    unsigned rank = rank_here(health, entry);

    if (rank == 0) {
        return KMR_STAY_NONE;
    }
    if (pair->alone) {
        return KMR_STAY_ALONE;
    }
    if (!pair->ready || pair->standby[0] == '\0') {
        return KMR_STAY_UNPROTECTED;
    }
    if (kmr_colour_rank(pair->standby_colour) >= rank) {
        return KMR_STAY_NOT_BETTER;
    }
    if (!entry->takeover && pair->standby_colour != KMR_COLOUR_GREEN &&
        moves(entry, now_ms) != 0 && /* it came within the last hour */
        kmr_text_same(entry->came_from, pair->standby)) {
        return KMR_STAY_CAME_FROM;
    }
    if (moves(entry, now_ms) >= health->limits.moves_per_hour) {
        return KMR_STAY_RATE;
    }
    if (now_ms < entry->retry_ms) {
        return KMR_STAY_FAILED;
    }
    if (!entry->takeover && under_way >= health->limits.parallel_moves) {
        return KMR_STAY_TURN;
    }
    return KMR_STAY_NONE;
}

static void order(struct kmr_health *health, struct kmr_health_vm *entry,
                  uint64_t now_ms, struct kmr_health_out *out)
{
    bool asked = entry->move || entry->takeover;

    entry->order =
        entry->takeover ? KMR_VERDICT_TAKEOVER : KMR_VERDICT_MOVE_PAIR;
    entry->ordered_ms = now_ms;
    entry->stay = KMR_STAY_NONE;
    kmr_health_moving(health, entry->vm, health->node, now_ms);
    decide(out,
           entry->takeover ? KMR_HEALTH_ACT_TAKEOVER : KMR_HEALTH_ACT_HANDOVER,
           entry->vm, asked ? entry->why : health->reason);
}

static unsigned handovers(const struct kmr_health *health)
{
    unsigned count = 0;

    for (unsigned i = 0; i < KMR_HEALTH_VMS_MAX; i++) {
        count += health->vms[i].order == KMR_VERDICT_MOVE_PAIR;
    }
    return count;
}

/* One pair: a takeover, or where `takeovers` is false, a handover. */
static void consider(struct kmr_health *health, struct kmr_health_vm *entry,
                     const struct kmr_health_pair *pair, bool takeovers,
                     uint64_t now_ms, struct kmr_health_out *out)
{
    enum kmr_stay stay;

    if (!pair->owns || pair->busy || entry->order != KMR_VERDICT_NOTE ||
        entry->takeover != takeovers) {
        return;
    }
    stay = why_stay(health, entry, pair, handovers(health), now_ms);
    if (stay == KMR_STAY_NONE && rank_here(health, entry) != 0) {
        order(health, entry, now_ms, out);
        return;
    }
    if (entry->takeover) {
        entry->takeover = false; /* now or never: then it goes as it is */
    }
    if (stay == KMR_STAY_NONE) {
        entry->stay = stay;
    } else {
        stays(entry, pair, stay, out);
    }
}

bool kmr_health_look(struct kmr_health *health,
                     const struct kmr_health_pair *pairs, unsigned count,
                     uint64_t now_ms, struct kmr_health_out *out)
{
    out->count = 0;
    if (health->unsure_ms != 0 && now_ms >= health->unsure_ms) {
        health->unsure_ms = 0;
        if (health->better != KMR_COLOUR_NONE) {
            set_colour(health, health->better, KMR_VERDICT_NOTE,
                       "quiet since kemari-mced was restarted");
        }
    }
    /* one decision per pair and round at most: `room` is all it takes */
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < count; i++) {
            struct kmr_health_vm *entry = kmr_health_vm(health, pairs[i].vm);

            if (!entry) {
                continue;
            }
            if (out->count == KMR_HEALTH_DECISIONS_MAX) {
                return true;
            }
            if (round == 0) {
                note_moves(entry, &pairs[i], now_ms);
                settle(entry, &pairs[i], now_ms, out);
                if (!pairs[i].owns) {
                    entry->move = entry->takeover = false;
                    entry->stay = KMR_STAY_NONE;
                    entry->retry_ms = 0;
                }
            } else {
                consider(health, entry, &pairs[i], round == 1, now_ms, out);
            }
        }
    }
    return false;
}

static void earliest(uint64_t *ret_when, uint64_t when)
{
    if (when != 0 && (*ret_when == 0 || when < *ret_when)) {
        *ret_when = when;
    }
}

uint64_t kmr_health_deadline(const struct kmr_health *health)
{
    uint64_t when = health->unsure_ms;

    for (unsigned i = 0; i < KMR_HEALTH_VMS_MAX; i++) {
        const struct kmr_health_vm *entry = &health->vms[i];

        if (entry->order != KMR_VERDICT_NOTE) {
            earliest(&when,
                     entry->ordered_ms + (entry->order == KMR_VERDICT_TAKEOVER
                                              ? KMR_HEALTH_TAKEOVER_MS
                                              : KMR_HEALTH_HANDOVER_MS));
        } else if (entry->stay == KMR_STAY_FAILED) {
            earliest(&when, entry->retry_ms);
        } else if (entry->stay == KMR_STAY_RATE ||
                   entry->stay == KMR_STAY_CAME_FROM) {
            for (unsigned j = 0; j < KMR_MOVES_KEPT; j++) {
                if (entry->moved_ms[j] != 0) {
                    earliest(&when, entry->moved_ms[j] + KMR_HEALTH_WINDOW_MS);
                }
            }
        }
    }
    return when;
}
