/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/nodefence.h"

#include <string.h>

#include "core/text.h"

#define TEXTS(function, list, type, count)                   \
    const char *function(type value)                         \
    {                                                        \
        static const char *const texts[] = { list(TEXT) };   \
        return (unsigned)value < count ? texts[value] : "?"; \
    }
#define TEXT(name, text) text,
TEXTS(kmr_fence_step_text, KMR_FENCE_STEPS, enum kmr_fence_step,
      KMR_FENCE_STEP_COUNT)
TEXTS(kmr_fence_action_text, KMR_FENCE_ACTIONS, enum kmr_fence_action,
      KMR_FENCE_ACTION_COUNT)
TEXTS(kmr_fencer_phase_text, KMR_FENCER_PHASES, enum kmr_fencer_phase,
      KMR_FENCER_PHASE_COUNT)
TEXTS(kmr_fenced_phase_text, KMR_FENCED_PHASES, enum kmr_fenced_phase,
      KMR_FENCED_PHASE_COUNT)

bool kmr_fence_action_read(const char *text, enum kmr_fence_action *ret_action)
{
    for (int i = 0; i < KMR_FENCE_ACTION_COUNT; i++) {
        if (strcmp(text, kmr_fence_action_text((enum kmr_fence_action)i)) ==
            0) {
            *ret_action = (enum kmr_fence_action)i;
            return true;
        }
    }
    return false;
}

/* ---- the asker ---- */

void kmr_fencer_start(struct kmr_fencer *fencer, const char *id, uint64_t boot,
                      uint32_t confirm_ms, uint32_t leave_ms,
                      uint32_t settle_ms, uint64_t now_ms)
{
    memset(fencer, 0, sizeof(*fencer));
    fencer->phase = KMR_FENCER_ASKED;
    kmr_text_set(fencer->id, sizeof(fencer->id), id);
    fencer->boot = boot;
    fencer->leave_ms = leave_ms;
    fencer->settle_ms = settle_ms;
    fencer->present = true;
    fencer->deadline_ms = now_ms + confirm_ms;
    kmr_text_set(fencer->reason, sizeof(fencer->reason),
                 "its kemarid was asked");
}

bool kmr_fencer_is_over(const struct kmr_fencer *fencer)
{
    return fencer->phase == KMR_FENCER_GONE ||
           fencer->phase == KMR_FENCER_FAILED;
}

static void to(struct kmr_fencer *fencer, enum kmr_fencer_phase phase,
               uint64_t deadline_ms, const char *reason)
{
    fencer->phase = phase;
    fencer->deadline_ms = deadline_ms;
    kmr_text_set(fencer->reason, sizeof(fencer->reason), reason);
}

static void fail(struct kmr_fencer *fencer, const char *reason)
{
    to(fencer, KMR_FENCER_FAILED, 0, reason);
}

static bool on_message(struct kmr_fencer *fencer,
                       const struct kmr_fencer_event *event)
{
    if (fencer->phase != KMR_FENCER_ASKED || event->boot != fencer->boot ||
        strcmp(event->id, fencer->id) != 0) {
        return false; /* another request's, or another boot's */
    }
    switch (event->step) {
    case KMR_FENCE_DONE:
        if (event->settle_ms > fencer->settle_ms) {
            fencer->settle_ms = event->settle_ms;
        }
        to(fencer, KMR_FENCER_CONFIRMED, event->now_ms + fencer->leave_ms,
           "its kemarid confirmed the end of its QEMUs");
        return true;
    case KMR_FENCE_REFUSE:
        fail(fencer, "its kemarid refused: ");
        kmr_text_add(fencer->reason, sizeof(fencer->reason), event->reason);
        return false;
    case KMR_FENCE_REQUEST:
    case KMR_FENCE_GO:
    case KMR_FENCE_STEP_COUNT:
        break;
    }
    return false;
}

static void on_heard(struct kmr_fencer *fencer, uint64_t boot)
{
    bool same = boot == fencer->boot;

    switch (fencer->phase) {
    case KMR_FENCER_ASKED:
        if (!same) {
            fail(fencer, "it rebooted before it confirmed anything");
        }
        break;
    case KMR_FENCER_CONFIRMED:
    case KMR_FENCER_SETTLING:
    case KMR_FENCER_RETURNED:
        if (!same) {
            /* The best proof: nothing of a boot outlives it. */
            to(fencer, KMR_FENCER_GONE, 0, "it has rebooted");
        } else if (fencer->phase != KMR_FENCER_CONFIRMED) {
            fail(fencer, "it is back without having rebooted");
        }
        break;
    case KMR_FENCER_GONE:
    case KMR_FENCER_FAILED:
    case KMR_FENCER_PHASE_COUNT:
        break;
    }
}

static void on_left(struct kmr_fencer *fencer,
                    const struct kmr_fencer_event *event)
{
    fencer->present = event->present;
    if (fencer->phase == KMR_FENCER_ASKED) {
        fail(fencer, "it left the membership before it confirmed anything");
    } else if (fencer->phase == KMR_FENCER_CONFIRMED) {
        to(fencer, KMR_FENCER_SETTLING, event->now_ms + fencer->settle_ms,
           "it left the membership");
    }
}

static void on_deadline(struct kmr_fencer *fencer, uint64_t now_ms)
{
    switch (fencer->phase) {
    case KMR_FENCER_ASKED:
        fail(fencer, "its kemarid did not confirm in time");
        break;
    case KMR_FENCER_CONFIRMED:
        fail(fencer, "its QEMUs have ended, but it is still in the membership");
        break;
    case KMR_FENCER_SETTLING:
        if (fencer->present) {
            to(fencer, KMR_FENCER_RETURNED, now_ms + fencer->leave_ms,
               "it is in the membership again");
        } else {
            to(fencer, KMR_FENCER_GONE, 0, "it left the membership");
        }
        break;
    case KMR_FENCER_RETURNED:
        fail(fencer, "it came back and does not say that it rebooted");
        break;
    case KMR_FENCER_GONE:
    case KMR_FENCER_FAILED:
    case KMR_FENCER_PHASE_COUNT:
        break;
    }
}

bool kmr_fencer_step(struct kmr_fencer *fencer,
                     const struct kmr_fencer_event *event)
{
    bool go = false;

    if (kmr_fencer_is_over(fencer)) {
        return false;
    }
    switch (event->type) {
    case KMR_FENCER_EVENT_MESSAGE:
        go = on_message(fencer, event);
        break;
    case KMR_FENCER_EVENT_HEARD:
        on_heard(fencer, event->boot);
        break;
    case KMR_FENCER_EVENT_QUIT:
        if (fencer->phase == KMR_FENCER_ASKED) {
            fail(fencer, "its kemarid left the group before it confirmed");
        }
        break;
    case KMR_FENCER_EVENT_LEFT:
        on_left(fencer, event);
        break;
    case KMR_FENCER_EVENT_BACK:
        fencer->present = true;
        break;
    case KMR_FENCER_EVENT_LOST:
        fail(fencer, "this node lost corosync");
        break;
    case KMR_FENCER_EVENT_TICK:
    case KMR_FENCER_EVENT_COUNT:
        break;
    }
    if (fencer->deadline_ms != 0 && event->now_ms >= fencer->deadline_ms) {
        on_deadline(fencer, event->now_ms);
    }
    return go;
}

/* ---- the node that is fenced ---- */

void kmr_fenced_init(struct kmr_fenced *fenced, uint64_t boot)
{
    memset(fenced, 0, sizeof(*fenced));
    fenced->boot = boot;
}

uint64_t kmr_fenced_deadline(const struct kmr_fenced *fenced)
{
    return fenced->phase == KMR_FENCED_ENDING      ? fenced->again_ms
           : fenced->phase == KMR_FENCED_CONFIRMED ? fenced->deadline_ms
                                                   : 0;
}

static bool knows(const struct kmr_fenced *fenced, const char *id)
{
    for (unsigned i = 0; i < fenced->count; i++) {
        if (strcmp(fenced->ids[i], id) == 0) {
            return true;
        }
    }
    return false;
}

static unsigned refuse(struct kmr_fenced *fenced, const char *id,
                       const char *why)
{
    kmr_text_set(fenced->refused, sizeof(fenced->refused), id);
    fenced->refusal = why;
    return KMR_FENCED_DO_REFUSE;
}

static unsigned on_request(struct kmr_fenced *fenced,
                           const struct kmr_fenced_event *event)
{
    if (event->boot != fenced->boot) {
        return refuse(fenced, event->id, "another boot of it was meant");
    }
    if (fenced->phase == KMR_FENCED_DOWN || knows(fenced, event->id)) {
        return 0;
    }
    if (fenced->count == KMR_FENCE_IDS_MAX) {
        return refuse(fenced, event->id, "too many ask for it");
    }
    kmr_text_set(fenced->ids[fenced->count++], KMR_UUID_MAX, event->id);
    if (fenced->phase == KMR_FENCED_CONFIRMED) {
        return KMR_FENCED_DO_DONE;
    }
    if (fenced->phase != KMR_FENCED_FREE) {
        return 0;
    }
    fenced->action = event->action;
    fenced->phase = KMR_FENCED_BARRING;
    return KMR_FENCED_DO_BAR;
}

static unsigned end_all(struct kmr_fenced *fenced, uint64_t now_ms)
{
    fenced->phase = KMR_FENCED_ENDING;
    fenced->deadline_ms = now_ms + KMR_FENCE_END_MS;
    fenced->again_ms = now_ms + KMR_FENCE_AGAIN_MS;
    return KMR_FENCED_DO_KILL;
}

static unsigned on_barred(struct kmr_fenced *fenced,
                          const struct kmr_fenced_event *event)
{
    if (fenced->phase != KMR_FENCED_BARRING) {
        return 0;
    }
    if (event->flag) {
        return end_all(fenced, event->now_ms);
    }
    /* A start could not be excluded: nothing is done, the next level is. */
    fenced->phase = KMR_FENCED_FREE;
    fenced->count = 0;
    return refuse(fenced, fenced->ids[0], "starts could not be barred");
}

static unsigned go_down(struct kmr_fenced *fenced)
{
    fenced->phase = KMR_FENCED_DOWN;
    return KMR_FENCED_DO_DOWN;
}

static unsigned on_empty(struct kmr_fenced *fenced, uint64_t now_ms)
{
    if (fenced->phase != KMR_FENCED_ENDING) {
        return 0;
    }
    if (fenced->count == 0) {
        return go_down(fenced); /* resumed: nobody waits */
    }
    fenced->phase = KMR_FENCED_CONFIRMED;
    fenced->deadline_ms = now_ms + KMR_FENCE_GO_MS;
    return KMR_FENCED_DO_DONE;
}

static unsigned on_tick(struct kmr_fenced *fenced, uint64_t now_ms)
{
    bool late = now_ms >= fenced->deadline_ms;

    if (fenced->phase == KMR_FENCED_CONFIRMED && late) {
        return go_down(fenced);
    }
    if (fenced->phase != KMR_FENCED_ENDING || now_ms < fenced->again_ms) {
        return 0;
    }
    if (late) {
        return go_down(fenced); /* and was never confirmed */
    }
    fenced->again_ms = now_ms + KMR_FENCE_AGAIN_MS;
    return KMR_FENCED_DO_KILL;
}

unsigned kmr_fenced_step(struct kmr_fenced *fenced,
                         const struct kmr_fenced_event *event)
{
    switch (event->type) {
    case KMR_FENCED_EVENT_REQUEST:
        return on_request(fenced, event);
    case KMR_FENCED_EVENT_BARRED:
        return on_barred(fenced, event);
    case KMR_FENCED_EVENT_EMPTY:
        return on_empty(fenced, event->now_ms);
    case KMR_FENCED_EVENT_GO:
        if (fenced->phase == KMR_FENCED_CONFIRMED && knows(fenced, event->id)) {
            return go_down(fenced);
        }
        return 0;
    case KMR_FENCED_EVENT_RESUME:
        if (fenced->phase != KMR_FENCED_FREE) {
            return 0;
        }
        fenced->action = event->action;
        return end_all(fenced, event->now_ms);
    case KMR_FENCED_EVENT_TICK:
        return on_tick(fenced, event->now_ms);
    case KMR_FENCED_EVENT_COUNT:
        break;
    }
    return 0;
}
