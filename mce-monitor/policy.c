/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mce-monitor/policy_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define EPSILON 1e-6
#define MS_US UINT64_C(1000)
#define MINUTE_US UINT64_C(60000000)

/* What a step has to do with: where verdicts go, and what led to them. */
struct step {
    struct kmr_policy *policy;
    const struct kmr_hw_record *record;
    struct kmr_hw_verdict *verdicts;
    unsigned count;
};

void kmr_policy_init(struct kmr_policy *policy,
                     const struct kmr_health_limits *limits)
{
    memset(policy, 0, sizeof(*policy));
    policy->limits = *limits;
}

void kmr_policy_set_limits(struct kmr_policy *policy,
                           const struct kmr_health_limits *limits)
{
    policy->limits = *limits;
    policy->deadline_us = policy->now_us; /* it may be another one now */
}

uint64_t kmr_policy_deadline(const struct kmr_policy *policy)
{
    return policy->deadline_us;
}

enum kmr_colour kmr_policy_health(const struct kmr_policy *policy)
{
    return policy->reds > 0      ? KMR_COLOUR_RED
           : policy->yellows > 0 ? KMR_COLOUR_YELLOW
                                 : KMR_COLOUR_GREEN;
}

static void expect(struct kmr_policy *policy, uint64_t at_us)
{
    if (policy->deadline_us == 0 || at_us < policy->deadline_us) {
        policy->deadline_us = at_us;
    }
}

/* ---- verdicts ---- */

__attribute__((format(printf, 4, 5))) static void say(
    struct step *step, enum kmr_verdict word,
    const struct kmr_policy_source *source, const char *format, ...)
{
    struct kmr_hw_verdict *verdict = &step->verdicts[step->count];
    va_list args;

    step->count++;
    memset(verdict, 0, sizeof(*verdict));
    verdict->word = word;
    verdict->health = kmr_policy_health(step->policy);
    verdict->record_us = step->record ? step->record->time_us : 0;
    if (source && source->kind == KMR_HW_K_DISK) {
        snprintf(verdict->scope, sizeof(verdict->scope), "block:%s",
                 source->name);
    } else if (source && source->kind == KMR_HW_K_LINK) {
        snprintf(verdict->scope, sizeof(verdict->scope), "link:%s",
                 source->name);
    } else {
        snprintf(verdict->scope, sizeof(verdict->scope), "node");
    }
    va_start(args, format);
    vsnprintf(verdict->reason, sizeof(verdict->reason), format, args);
    va_end(args);
}

/* ---- getting worse ---- */

/* Disks and links that no guest uses may ask as well: that must not keep the
 * guests on a node whose memory fails. */
static struct kmr_policy_moves *moves_of(struct kmr_policy *policy,
                                         enum kmr_verdict word)
{
    return word >= KMR_VERDICT_MOVE_NODE ? &policy->node_moves
                                         : &policy->pair_moves;
}

/* When the next such move is allowed; 0: now. */
static uint64_t next_move(struct kmr_policy *policy, enum kmr_verdict word)
{
    const struct kmr_rate *rate = &policy->limits.moves;
    const struct kmr_policy_moves *moves = moves_of(policy, word);
    uint64_t oldest =
        moves->at_us[(moves->next + KMR_HEALTH_MOVES_MAX - rate->count) %
                     KMR_HEALTH_MOVES_MAX];

    return oldest == 0 || policy->now_us >= oldest + rate->period_us
               ? 0
               : oldest + rate->period_us;
}

/* All of the node is on its way already. */
static bool node_moves(const struct kmr_policy *policy)
{
    for (unsigned i = 0; i < KMR_POLICY_SOURCES && policy->reds > 0; i++) {
        if (policy->sources[i].used &&
            policy->sources[i].issued >= KMR_VERDICT_MOVE_NODE) {
            return true;
        }
    }
    for (unsigned i = 0; i < KMR_POLICY_PAGES && policy->reds > 0; i++) {
        if (policy->pages[i].used &&
            policy->pages[i].issued >= KMR_VERDICT_MOVE_NODE) {
            return true;
        }
    }
    return false;
}

/* Red is for the whole node, and its guests leave it: not for what only some
 * of them use. */
static enum kmr_colour colour_of(enum kmr_verdict word)
{
    return word >= KMR_VERDICT_MOVE_NODE ? KMR_COLOUR_RED : KMR_COLOUR_YELLOW;
}

static void worsen(struct step *step, struct kmr_policy_source *source,
                   enum kmr_verdict word, const char *why)
{
    struct kmr_policy *policy = step->policy;
    struct kmr_policy_moves *moves = moves_of(policy, word);
    const char *kind = kmr_hw_kind_text(source->kind);
    char name[KMR_HW_NAME_MAX + 32];
    uint64_t again_us;

    expect(policy, policy->now_us + policy->limits.recover_ms * MS_US);
    if (word <= source->issued && source->health > KMR_COLOUR_GREEN) {
        return; /* said */
    }
    snprintf(name, sizeof(name), "%s%s%s", kind, source->name[0] ? " " : "",
             source->name);
    if (word == KMR_VERDICT_DEGRADE) {
        source->issued = word;
        kmr_policy_set_health(policy, source, colour_of(word));
        say(step, word, source, "%s: %s", name, why);
        return;
    }
    if (word != KMR_VERDICT_TAKEOVER && node_moves(policy)) {
        source->issued = word;
        source->wanted = KMR_VERDICT_NOTE;
        kmr_policy_set_health(policy, source, colour_of(word));
        say(step, KMR_VERDICT_NOTE, source, "%s: %s; the node is left already",
            name, why);
        return;
    }
    again_us = next_move(policy, word);
    if (word != KMR_VERDICT_TAKEOVER && again_us != 0) {
        /* Not red either: else Pacemaker would do what is held back here. */
        expect(policy, again_us);
        if (source->wanted == KMR_VERDICT_NOTE) {
            source->wanted = word;
            policy->withheld++;
            kmr_policy_set_health(policy, source, KMR_COLOUR_YELLOW);
            say(step, KMR_VERDICT_DEGRADE, source,
                "%s: %s; %s held back for %llu s: too many moves", name, why,
                kmr_verdict_text(word),
                (unsigned long long)((again_us - policy->now_us) / 1000000));
        }
        return;
    }
    moves->at_us[moves->next] = policy->now_us;
    moves->next = (moves->next + 1) % KMR_HEALTH_MOVES_MAX;
    source->issued = word;
    source->wanted = KMR_VERDICT_NOTE;
    kmr_policy_set_health(policy, source, colour_of(word));
    say(step, word, source, "%s: %s", name, why);
}

/* A word or two about errors that lead to nothing else. */
static void note(struct step *step, const struct kmr_policy_source *source,
                 const char *why)
{
    struct kmr_policy *policy = step->policy;

    if (policy->now_us >= policy->notes_us + MINUTE_US) {
        policy->notes_us = policy->now_us;
        policy->notes = 0;
    }
    if (policy->notes++ >= KMR_POLICY_NOTES) {
        policy->unsaid++;
        return;
    }
    say(step, KMR_VERDICT_NOTE, source, "%s%s%s: %s",
        kmr_hw_kind_text(source->kind), source->name[0] ? " " : "",
        source->name, why);
}

/* ---- findings ---- */

/* So many are in the bucket. What has leaked since the first of them does not
 * count: ten errors in a minute are ten. */
static bool reached(double fill, uint32_t errors)
{
    return fill > errors - 1 + EPSILON;
}

/* The first number that is yellow. */
static uint32_t yellow_from(const struct kmr_policy *policy,
                            const struct kmr_rate *rate)
{
    return (uint32_t)(((uint64_t)rate->count * policy->limits.degrade_percent +
                       99) /
                      100);
}

/* What errors of such a class are called there. */
static const char *called(const struct kmr_policy_source *source,
                          const struct kmr_hw_finding *f)
{
    return source->kind == KMR_HW_K_DISK ? "failed requests"
           : source->kind == KMR_HW_K_PCI && source->uncorrected
               ? "errors that are not fatal"
           : f->class == KMR_HW_CORRECTED ? "corrected errors"
           : f->class == KMR_HW_DEFERRED  ? "deferred errors"
                                          : "unknown records";
}

static void count_errors(struct step *step, struct kmr_policy_source *source,
                         const struct kmr_hw_finding *f, enum kmr_verdict full,
                         bool is_new)
{
    struct kmr_policy *policy = step->policy;
    const struct kmr_rate *rate = kmr_policy_rate(policy, source);
    char detail[96], limit[48], why[KMR_POLICY_REASON];

    kmr_policy_fill(policy, source, f->count);
    if (source->wanted >= full) {
        return; /* held back already */
    }
    if (reached(source->fill, rate->count)) {
        if (source->issued >= full && source->health > KMR_COLOUR_GREEN) {
            return;
        }
    } else if (f->warned || reached(source->fill, yellow_from(policy, rate))) {
        if (source->health > KMR_COLOUR_GREEN) {
            return;
        }
        full = KMR_VERDICT_DEGRADE;
    } else if (is_new && source->kind != KMR_HW_K_PAGE) {
        kmr_hw_detail(step->record, detail, sizeof(detail));
        snprintf(why, sizeof(why), "%s%s%s%s%s",
                 source->kind == KMR_HW_K_DISK ? ""
                                               : kmr_hw_class_text(f->class),
                 source->kind == KMR_HW_K_DISK ? "" : ": ", detail,
                 f->why[0] ? ": " : "", f->why);
        note(step, source, why);
        return;
    } else {
        return;
    }
    kmr_hw_detail(step->record, detail, sizeof(detail));
    kmr_rate_text(rate, limit, sizeof(limit));
    snprintf(why, sizeof(why), "%.1f %s of %s%s (%s)%s", source->fill,
             called(source, f), limit,
             f->warned ? ", and the CPU says too many" : "", detail,
             f->overflow ? ", more than were recorded" : "");
    worsen(step, source, full, why);
}

static void at_once(struct step *step, struct kmr_policy_source *source,
                    const struct kmr_hw_finding *f, enum kmr_verdict word)
{
    char detail[96], why[192];

    source->last_us = step->policy->now_us;
    source->errors += f->count;
    /* As if it had been full: it is red for as long as that takes. */
    source->fill = kmr_policy_rate(step->policy, source)->count;
    source->fill_us = step->policy->now_us;
    kmr_hw_detail(step->record, detail, sizeof(detail));
    snprintf(why, sizeof(why), "%s: %s", kmr_hw_class_text(f->class), detail);
    worsen(step, source, word, why);
}

/* A request that failed is reported by its driver, and again when the bio
 * above it ends; a bio-based device does only the latter. */
static bool disk_echo(const struct kmr_policy *policy,
                      struct kmr_policy_source *source, enum kmr_hw_event event)
{
    if (event == KMR_HW_RQ) {
        source->rq_us = policy->now_us;
        return false;
    }
    return source->rq_us != 0 &&
           policy->now_us - source->rq_us <= policy->limits.debounce_ms * MS_US;
}

/* One error of memory comes as several records: of each CPU, of the memory
 * controller, of the page. */
static bool grave_echo(struct kmr_policy *policy,
                       const struct kmr_hw_finding *f)
{
    bool echo =
        policy->grave_us != 0 && f->class <= policy->grave &&
        policy->now_us - policy->grave_us <= policy->limits.debounce_ms * MS_US;

    if (!echo) {
        policy->grave = f->class;
        policy->grave_us = policy->now_us;
    }
    return echo;
}

static void find_link(struct step *step, struct kmr_policy_source *source,
                      const struct kmr_hw_finding *f, bool is_new)
{
    struct kmr_policy *policy = step->policy;
    char why[128], limit[48];

    if (f->down == source->down) {
        return;
    }
    source->down = f->down;
    source->last_us = policy->now_us;
    if (!f->down) {
        if (source->health == KMR_COLOUR_GREEN ||
            policy->now_us - source->down_us >=
                policy->limits.link_down_ms * MS_US) {
            note(step, source, "has its carrier again");
        }
        expect(policy, policy->now_us + policy->limits.recover_ms * MS_US);
        return;
    }
    source->down_us = policy->now_us;
    expect(policy, policy->now_us + policy->limits.link_down_ms * MS_US);
    kmr_policy_fill(policy, source, 1);
    kmr_rate_text(&policy->limits.flaps, limit, sizeof(limit));
    snprintf(why, sizeof(why), "lost its carrier %.1f times of %s",
             source->fill, limit);
    if (reached(source->fill, policy->limits.flaps.count)) {
        worsen(step, source, KMR_VERDICT_MOVE_PAIR, why);
    } else if (is_new || source->health == KMR_COLOUR_GREEN) {
        note(step, source, why);
    }
}

static void find_errors(struct step *step, struct kmr_policy_source *source,
                        const struct kmr_hw_finding *f, bool is_new)
{
    struct kmr_policy *policy = step->policy;
    switch (source->kind) {
    case KMR_HW_K_LINK:
        find_link(step, source, f, is_new);
        return;
    case KMR_HW_K_LOST: {
        char why[96];

        source->last_us = policy->now_us;
        source->errors += step->record->number[KMR_HW_RECORDS_AT];
        snprintf(why, sizeof(why),
                 "%llu records lost: what they were is not "
                 "known",
                 (unsigned long long)source->errors);
        worsen(step, source, KMR_VERDICT_DEGRADE, why);
        return;
    }
    case KMR_HW_K_UNKNOWN:
        count_errors(step, source, f, KMR_VERDICT_DEGRADE, is_new);
        return;
    case KMR_HW_K_DISK:
        if (f->class == KMR_HW_INFO ||
            disk_echo(policy, source, step->record->event)) {
            policy->echoes++;
            return;
        }
        count_errors(step, source, f, KMR_VERDICT_MOVE_PAIR, is_new);
        return;
    case KMR_HW_K_PCI:
        if (f->class == KMR_HW_FATAL) {
            at_once(step, source, f, KMR_VERDICT_MOVE_NODE);
        } else if (f->class == KMR_HW_CORRECTED) {
            count_errors(step, source, f, KMR_VERDICT_DEGRADE, is_new);
        } else {
            count_errors(step, source, f, KMR_VERDICT_MOVE_NODE, is_new);
        }
        return;
    case KMR_HW_K_DIMM:
    case KMR_HW_K_PAGE:
    case KMR_HW_K_CHANNEL:
    case KMR_HW_K_BANK:
    case KMR_HW_K_MEMORY:
    case KMR_HW_KIND_COUNT:
        break;
    }
    /* memory and CPUs */
    switch (f->class) {
    case KMR_HW_INFO:
    case KMR_HW_UNKNOWN:
    case KMR_HW_CLASS_COUNT:
        return;
    case KMR_HW_CORRECTED:
        count_errors(step, source, f, KMR_VERDICT_MOVE_NODE, is_new);
        return;
    case KMR_HW_DEFERRED:
    case KMR_HW_OPTIONAL:
    case KMR_HW_REQUIRED:
    case KMR_HW_FATAL:
        break;
    }
    if (grave_echo(policy, f)) {
        policy->echoes++;
    } else if (f->class == KMR_HW_DEFERRED) {
        count_errors(step, source, f, KMR_VERDICT_MOVE_NODE, is_new);
    } else {
        at_once(step, source, f,
                f->class == KMR_HW_OPTIONAL ? KMR_VERDICT_MOVE_NODE
                                            : KMR_VERDICT_TAKEOVER);
    }
}

/* Errors of a kind that nobody corrected have a bucket of their own. */
static bool uncorrected(const struct kmr_hw_finding *f)
{
    return f->class >= KMR_HW_DEFERRED && f->kind != KMR_HW_K_DISK;
}

static void take(struct step *step, const struct kmr_hw_finding *f)
{
    struct kmr_policy *policy = step->policy;
    struct kmr_policy_source *source =
        kmr_policy_find(policy, f->kind, uncorrected(f), f->key);
    bool is_new = !source;

    policy->seen[f->class]++;
    if (is_new && f->kind == KMR_HW_K_LINK && !f->down) {
        return; /* that it is up for the first time is no news */
    }
    if (is_new) {
        source = kmr_policy_add(policy, f->kind, uncorrected(f), f->key);
        kmr_hw_name(step->record, f, source->name, sizeof(source->name));
    }
    find_errors(step, source, f, is_new);
    if (f->has_page && f->class == KMR_HW_CORRECTED) {
        source = kmr_policy_find(policy, KMR_HW_K_PAGE, false, f->page);
        if (!source) {
            source = kmr_policy_add(policy, KMR_HW_K_PAGE, false, f->page);
        }
        count_errors(step, source, f, KMR_VERDICT_MOVE_NODE, is_new);
    }
}

/* ---- time ---- */

static void tick_source(struct step *step, struct kmr_policy_source *source)
{
    struct kmr_policy *policy = step->policy;
    const struct kmr_rate *rate = kmr_policy_rate(policy, source);
    uint64_t quiet_us = source->last_us + policy->limits.recover_ms * MS_US;
    double low = rate->count * (double)policy->limits.degrade_percent / 200;
    double left;

    if (source->down) {
        uint64_t down_us =
            source->down_us + policy->limits.link_down_ms * MS_US;

        if (policy->now_us < down_us) {
            expect(policy, down_us);
        } else if (source->wanted == KMR_VERDICT_NOTE) {
            worsen(step, source, KMR_VERDICT_MOVE_PAIR, "is down");
        }
    }
    if (source->wanted > KMR_VERDICT_NOTE) {
        uint64_t again_us = next_move(policy, source->wanted);

        if (again_us != 0) {
            expect(policy, again_us);
        } else if (source->down ||
                   kmr_policy_fill_at(source, rate, policy->now_us) >=
                       2 * low) {
            worsen(step, source, source->wanted, "still, and was held back");
        } else {
            source->wanted = KMR_VERDICT_NOTE; /* it got better meanwhile */
        }
    }
    if (source->health == KMR_COLOUR_GREEN || source->down) {
        return;
    }
    left = kmr_policy_fill_at(source, rate, policy->now_us) - low;
    if (left > 0) {
        uint64_t leaks_us =
            policy->now_us +
            (uint64_t)(left * (double)rate->period_us / rate->count) + 1;

        quiet_us = leaks_us > quiet_us ? leaks_us : quiet_us;
    }
    if (policy->now_us < quiet_us) {
        expect(policy, quiet_us);
        return;
    }
    kmr_policy_set_health(policy, source, KMR_COLOUR_GREEN);
    source->issued = KMR_VERDICT_NOTE;
    source->wanted = KMR_VERDICT_NOTE;
    say(step, KMR_VERDICT_NOTE, source, "%s%s%s: quiet again",
        kmr_hw_kind_text(source->kind), source->name[0] ? " " : "",
        source->name);
}

static void tick(struct step *step)
{
    struct kmr_policy *policy = step->policy;

    policy->deadline_us = 0;
    for (unsigned i = 0; i < KMR_POLICY_SOURCES + KMR_POLICY_PAGES; i++) {
        struct kmr_policy_source *source =
            i < KMR_POLICY_SOURCES ? &policy->sources[i]
                                   : &policy->pages[i - KMR_POLICY_SOURCES];

        if (step->count > KMR_POLICY_VERDICTS - 3) {
            expect(policy, policy->now_us); /* the rest in the next step */
            return;
        }
        if (source->used) {
            tick_source(step, source);
        }
    }
}

unsigned kmr_policy_step(struct kmr_policy *policy,
                         const struct kmr_hw_record *record,
                         const struct kmr_hw_finding *finding, uint64_t now_us,
                         struct kmr_hw_verdict *ret_verdicts)
{
    struct step step = { policy, record, ret_verdicts, 0 };

    if (now_us == 0) {
        now_us = 1; /* 0 is never, here */
    }
    if (now_us > policy->now_us) {
        policy->now_us = now_us; /* of several CPUs, out of order */
    }
    if (finding) {
        take(&step, finding);
    }
    if (policy->deadline_us != 0 && policy->now_us >= policy->deadline_us) {
        step.record = NULL;
        tick(&step);
    }
    return step.count;
}

bool kmr_policy_standing(struct kmr_policy *policy, unsigned *at,
                         struct kmr_hw_verdict *ret_verdict)
{
    struct step step = { .policy = policy, .verdicts = ret_verdict };

    while (*at < KMR_POLICY_SOURCES && step.count == 0) {
        const struct kmr_policy_source *source = &policy->sources[(*at)++];

        if (source->used && source->issued == KMR_VERDICT_MOVE_PAIR) {
            say(&step, source->issued, source, "%s %s: still",
                kmr_hw_kind_text(source->kind), source->name);
        }
    }
    return step.count > 0;
}

void kmr_policy_why(const struct kmr_policy *policy, char *ret_text,
                    size_t size)
{
    unsigned said = 0;

    ret_text[0] = '\0';
    for (int health = KMR_COLOUR_RED; health > KMR_COLOUR_GREEN; health--) {
        for (unsigned i = 0; i < KMR_POLICY_SOURCES + KMR_POLICY_PAGES; i++) {
            const struct kmr_policy_source *source =
                i < KMR_POLICY_SOURCES ? &policy->sources[i]
                                       : &policy->pages[i - KMR_POLICY_SOURCES];
            size_t used = strlen(ret_text);

            if (!source->used || (int)source->health != health || ++said > 3) {
                continue;
            }
            snprintf(ret_text + used, size - used, "%s%s%s%s %s",
                     used ? ", " : "", kmr_hw_kind_text(source->kind),
                     source->name[0] ? " " : "", source->name,
                     kmr_colour_text(source->health));
        }
    }
}
