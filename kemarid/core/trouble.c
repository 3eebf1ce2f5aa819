/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/pair_priv.h"

#include <string.h>

#include "core/text.h"

/*
 * A guest that stopped because of a disk, of itself or of QEMU. Only the owner
 * does something about it, and only by orders with a generation: an order that
 * hung must not wake a guest that is elsewhere by then (R7).
 */

#define X(name, text) text,
KMR_TEXT_OF(kmr_run_text, kmr_run, KMR_RUNS(X))
#undef X

static bool is_trouble(enum kmr_run run)
{
    return run >= KMR_RUN_IO_ERROR;
}

/* The guest is here, and nothing is being decided about that. */
static bool acts(const struct kmr_pair *pair)
{
    return pair->phase == KMR_PHASE_SOLO || pair->phase == KMR_PHASE_SYNCING ||
           pair->phase == KMR_PHASE_PROTECTED;
}

static enum kmr_remedy remedy(const struct kmr_pair *pair)
{
    switch (pair->trouble.run) {
    case KMR_RUN_PANICKED:
        return pair->policy.panic;
    case KMR_RUN_WATCHDOG:
        return pair->policy.watchdog;
    case KMR_RUN_INTERNAL_ERROR:
        return pair->policy.internal_error;
    default:
        return pair->policy.io_error;
    }
}

static uint64_t doubled(uint64_t ms, unsigned times, uint64_t most)
{
    for (unsigned i = 0; i < times && ms < most; i++) {
        ms *= 2;
    }
    return ms < most ? ms : most;
}

/* Between one try and the next. The first one is at once, but for a disk,
 * which needs time to get better. */
static uint64_t wait_ms(const struct kmr_pair *pair)
{
    bool disk = pair->trouble.run == KMR_RUN_IO_ERROR;
    uint64_t most = disk ? KMR_IO_RETRY_MAX_MS : KMR_BACKOFF_MAX_MS;
    unsigned tries = pair->trouble.tries;

    if (tries == 0) {
        if (!disk) {
            return 0;
        }
        if (remedy(pair) != KMR_REMEDY_HOLD) {
            /* a standby may have a better path */
            return pair->phase == KMR_PHASE_PROTECTED ? KMR_REMEDY_WAIT_MS : 0;
        }
    }
    return doubled(KMR_BACKOFF_MIN_MS, tries > 1 ? tries - 1 : 0, most);
}

/* Whether the kemarid before this one had the guest told of errors is not
 * known; QEMU would go on with that for ever. */
void kmr_trouble_adopted(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    bool report = pair->policy.io_error == KMR_REMEDY_REPORT;

    pair->trouble.report_ms =
        step->event->now_ms + (report ? KMR_REPORT_MS : 0);
}

void kmr_trouble_reset(struct kmr_pair *pair)
{
    memset(&pair->trouble, 0, sizeof(pair->trouble));
    pair->trouble_text[0] = '\0';
}

static void describe(struct kmr_pair *pair, const char *reason)
{
    static const char *const what[] = {
        [KMR_RUN_IO_ERROR] = "I/O error",
        [KMR_RUN_PANICKED] = "the guest panicked",
        [KMR_RUN_WATCHDOG] = "the guest hangs, says its watchdog",
        [KMR_RUN_INTERNAL_ERROR] = "QEMU stopped with an internal error",
    };

    kmr_text_set(pair->trouble_text, sizeof(pair->trouble_text),
                 what[pair->trouble.run]);
    if (reason[0] != '\0') {
        kmr_text_add(pair->trouble_text, sizeof(pair->trouble_text), " on ");
        kmr_text_add(pair->trouble_text, sizeof(pair->trouble_text), reason);
    }
}

/* GUEST: what QEMU says when it is asked. */
void kmr_trouble_heard(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    struct kmr_trouble *trouble = &pair->trouble;
    const struct kmr_event *event = step->event;
    enum kmr_run before = trouble->run;

    if (!kmr_phase_has_qemu(pair->phase) || pair->phase == KMR_PHASE_KILLING ||
        event->run == before) {
        return;
    }
    trouble->run = event->run;
    if (is_trouble(event->run)) {
        if (trouble->ran_ms != 0 &&
            event->now_ms >= trouble->ran_ms + KMR_CALM_MS) {
            trouble->tries = 0;
        }
        trouble->ran_ms = 0;
        if (trouble->tries == 0) {
            trouble->dumped = KMR_RUN_RUNNING;
        }
        trouble->act_ms = event->now_ms + wait_ms(pair);
        describe(pair, event->reason);
        kmr_step_note(step, pair->trouble_text);
    } else {
        trouble->act_ms = 0;
        trouble->ran_ms = event->run == KMR_RUN_RUNNING ? event->now_ms : 0;
        pair->trouble_text[0] = '\0';
        if (is_trouble(before)) {
            kmr_step_note(step, event->run == KMR_RUN_RUNNING
                                    ? "the guest runs again"
                                    : "the guest is paused");
        }
    }
}

static void order(struct kmr_step *step, enum kmr_order order)
{
    kmr_step_order(step, order, kmr_step_order_generation(step));
}

static void note(struct kmr_step *step, const char *what)
{
    struct kmr_pair *pair = step->pair;
    char text[KMR_REASON_MAX];

    kmr_text_set(text, sizeof(text), pair->trouble_text);
    kmr_text_add(text, sizeof(text), what);
    kmr_step_note(step, text);
}

/* RETRY, REPORT, RESTART, DUMP were answered. */
void kmr_trouble_done(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    struct kmr_trouble *trouble = &pair->trouble;
    const struct kmr_event *event = step->event;
    bool ends = event->order == KMR_ORDER_RETRY && trouble->report_ms != 0 &&
                !is_trouble(trouble->run);

    if (!event->flag) {
        kmr_step_note(step, event->reason);
    }
    if (event->order == KMR_ORDER_DUMP) {
        trouble->act_ms = event->now_ms;
        return;
    }
    if (ends) {
        trouble->report_ms = event->flag
                                 ? 0
                                 : event->now_ms + doubled(KMR_BACKOFF_MIN_MS,
                                                           trouble->refused++,
                                                           KMR_BACKOFF_MAX_MS);
        return;
    }
    if (event->order == KMR_ORDER_REPORT && event->flag) {
        trouble->report_ms = event->now_ms + KMR_REPORT_MS;
        trouble->refused = 0;
    } else if (event->order == KMR_ORDER_RETRY && event->flag) {
        trouble->report_ms = 0;
    }
    /* Whether it runs now, or has stopped again, QEMU will say. */
    trouble->tries++;
    if (is_trouble(trouble->run)) {
        trouble->act_ms = event->now_ms + wait_ms(pair);
    }
}

/* The failed request is in the last checkpoint, and the standby tries it on
 * its own path. Not again and again, if that one is bad, too. */
static bool hands_over(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;

    if (pair->phase != KMR_PHASE_PROTECTED || pair->alone ||
        pair->claim != KMR_CLAIM_NONE || step->event->now_ms < pair->retry_ms ||
        (pair->io_moved_ms != 0 &&
         step->event->now_ms < pair->io_moved_ms + KMR_IO_AGAIN_MS)) {
        return false;
    }
    kmr_owner_hand_over(step, pair->trouble_text);
    return pair->phase == KMR_PHASE_HANDING_OVER;
}

static void ask_for_takeover(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    struct kmr_effect *effect = kmr_step_effect(step, KMR_EFFECT_TAKEOVER);

    kmr_text_set(effect->reason, sizeof(effect->reason), pair->trouble_text);
    pair->trouble.act_ms = step->event->now_ms + KMR_STUCK_MS;
}

static void act(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    struct kmr_trouble *trouble = &pair->trouble;
    enum kmr_remedy what = remedy(pair);

    /* should the answer to what is ordered now be lost */
    trouble->act_ms = step->event->now_ms + 2 * KMR_ORDER_MS;
    if (what == KMR_REMEDY_TAKEOVER && pair->phase == KMR_PHASE_PROTECTED) {
        ask_for_takeover(step);
        return;
    }
    if (pair->policy.dump && trouble->dumped != trouble->run &&
        (trouble->run == KMR_RUN_PANICKED ||
         trouble->run == KMR_RUN_WATCHDOG)) {
        trouble->dumped = trouble->run;
        note(step, ": its memory is dumped");
        kmr_step_order(step, KMR_ORDER_DUMP, 0);
        return;
    }
    switch (what) {
    case KMR_REMEDY_HOLD:
        if (trouble->run == KMR_RUN_IO_ERROR) {
            note(step, ": the request is tried again");
            order(step, KMR_ORDER_RETRY);
        } else {
            trouble->act_ms = 0;
        }
        break;
    case KMR_REMEDY_REPORT:
        note(step, ": the guest is told");
        order(step, KMR_ORDER_REPORT);
        break;
    case KMR_REMEDY_STOP:
        kmr_owner_down(step, pair->trouble_text);
        break;
    case KMR_REMEDY_RESTART:
    case KMR_REMEDY_TAKEOVER: /* there is nobody */
        note(step, ": it is restarted");
        order(step, KMR_ORDER_RESTART);
        break;
    }
}

void kmr_trouble_consider(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    struct kmr_trouble *trouble = &pair->trouble;
    uint64_t now_ms = step->event->now_ms;

    if (pair->phase == KMR_PHASE_HANDED_OVER &&
        trouble->run == KMR_RUN_IO_ERROR) {
        pair->io_moved_ms = now_ms;
        trouble->run = KMR_RUN_PAUSED;
    }
    if (!acts(pair) || pair->order != KMR_ORDER_NONE) {
        return;
    }
    if (!is_trouble(trouble->run)) {
        if (trouble->report_ms != 0 && now_ms >= trouble->report_ms) {
            order(step, KMR_ORDER_RETRY);
        }
        return;
    }
    if (trouble->run == KMR_RUN_IO_ERROR && hands_over(step)) {
        return;
    }
    if (trouble->act_ms != 0 && now_ms >= trouble->act_ms) {
        act(step);
    }
}

uint64_t kmr_trouble_deadline(const struct kmr_pair *pair)
{
    if (!acts(pair) || pair->order != KMR_ORDER_NONE) {
        return 0;
    }
    return is_trouble(pair->trouble.run) ? pair->trouble.act_ms
                                         : pair->trouble.report_ms;
}
