/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fencing of a node by its own kemarid: what succeeds, and all that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/nodefence.h"

#define ID_A "11111111-2222-4333-8444-555555555555"
#define ID_B "66666666-2222-4333-8444-555555555555"
#define BOOT 7u
#define CONFIRM_MS 5000u
#define LEAVE_MS 20000u

static struct kmr_fencer fencer;
static struct kmr_fenced fenced;

static void start(uint32_t settle_ms)
{
    kmr_fencer_start(&fencer, ID_A, BOOT, CONFIRM_MS, LEAVE_MS, settle_ms,
                     1000);
    assert_int_equal(fencer.phase, KMR_FENCER_ASKED);
}

static bool says(uint64_t now_ms, enum kmr_fence_step step, const char *id,
                 uint64_t boot, uint32_t settle_ms)
{
    struct kmr_fencer_event event = { .type = KMR_FENCER_EVENT_MESSAGE,
                                      .now_ms = now_ms,
                                      .step = step,
                                      .id = id,
                                      .boot = boot,
                                      .settle_ms = settle_ms,
                                      .reason = "no" };

    return kmr_fencer_step(&fencer, &event);
}

static enum kmr_fencer_phase happens(uint64_t now_ms,
                                     enum kmr_fencer_event_type type,
                                     uint64_t boot, bool present)
{
    struct kmr_fencer_event event = {
        .type = type, .now_ms = now_ms, .boot = boot, .present = present
    };

    assert_false(kmr_fencer_step(&fencer, &event));
    return fencer.phase;
}

#define E(name) KMR_FENCER_EVENT_##name

static void confirmed(uint32_t ours_ms, uint32_t its_ms)
{
    start(ours_ms);
    assert_true(says(1100, KMR_FENCE_DONE, ID_A, BOOT, its_ms));
    assert_int_equal(fencer.phase, KMR_FENCER_CONFIRMED);
}

static void test_success(void **state)
{
    (void)state;
    confirmed(0, 0);
    assert_int_equal(happens(1200, E(QUIT), 0, false), KMR_FENCER_CONFIRMED);
    assert_int_equal(happens(3000, E(LEFT), 0, false), KMR_FENCER_GONE);
    assert_true(kmr_fencer_is_over(&fencer));
    /* nothing changes it any more */
    assert_int_equal(happens(3001, E(LOST), 0, false), KMR_FENCER_GONE);
    assert_int_equal(happens(3002, E(HEARD), BOOT, true), KMR_FENCER_GONE);
}

/* The longer one of both nodes' watchdogs counts. */
static void test_settle(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        confirmed(i ? 4000 : 0, i ? 0 : 4000);
        assert_int_equal(happens(3000, E(LEFT), 0, false), KMR_FENCER_SETTLING);
        assert_int_equal(fencer.deadline_ms, 7000);
        assert_int_equal(happens(6999, E(TICK), 0, false), KMR_FENCER_SETTLING);
        assert_int_equal(happens(7000, E(TICK), 0, false), KMR_FENCER_GONE);
    }
}

/* Another boot of the node proves that the one before is over. */
static void test_reboot(void **state)
{
    (void)state;
    confirmed(4000, 0);
    assert_int_equal(happens(1500, E(HEARD), BOOT, true), KMR_FENCER_CONFIRMED);
    assert_int_equal(happens(1600, E(HEARD), BOOT + 1, true), KMR_FENCER_GONE);
    confirmed(4000, 0);
    happens(2000, E(LEFT), 0, false);
    happens(2500, E(BACK), 0, true);
    assert_int_equal(happens(2600, E(HEARD), BOOT + 1, true), KMR_FENCER_GONE);
}

/* Left and back within one change of the membership, without a word. */
static void test_back(void **state)
{
    (void)state;
    confirmed(0, 0);
    assert_int_equal(happens(2000, E(LEFT), 0, true), KMR_FENCER_RETURNED);
    assert_int_equal(happens(2100, E(HEARD), BOOT + 1, true), KMR_FENCER_GONE);
    confirmed(0, 0);
    happens(2000, E(LEFT), 0, true);
    assert_int_equal(happens(2100, E(HEARD), BOOT, true), KMR_FENCER_FAILED);
    assert_string_equal(fencer.reason, "it is back without having rebooted");
    confirmed(0, 0);
    happens(2000, E(LEFT), 0, true);
    assert_int_equal(happens(2000 + LEAVE_MS, E(TICK), 0, true),
                     KMR_FENCER_FAILED);
    confirmed(4000, 0);
    happens(2000, E(LEFT), 0, false);
    happens(2500, E(BACK), 0, true);
    assert_int_equal(happens(6000, E(TICK), 0, true), KMR_FENCER_RETURNED);
}

/* Whatever comes instead of the confirmation. */
static void test_not_confirmed(void **state)
{
    static const struct {
        enum kmr_fencer_event_type type;
        uint64_t now_ms, boot;
    } ways[] = {
        { E(LEFT), 1100, 0 },
        { E(QUIT), 1100, 0 },
        { E(LOST), 1100, 0 },
        { E(HEARD), 1100, BOOT + 1 },
        { E(TICK), 1000 + CONFIRM_MS, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        start(0);
        assert_int_equal(happens(ways[i].now_ms, ways[i].type, ways[i].boot,
                                 false),
                         KMR_FENCER_FAILED);
        assert_true(fencer.reason[0] != '\0');
        /* too late */
        assert_false(says(1200, KMR_FENCE_DONE, ID_A, BOOT, 0));
        assert_int_equal(fencer.phase, KMR_FENCER_FAILED);
    }
    start(0);
    assert_false(says(1100, KMR_FENCE_REFUSE, ID_A, BOOT, 0));
    assert_int_equal(fencer.phase, KMR_FENCER_FAILED);
    assert_string_equal(fencer.reason, "its kemarid refused: no");
    /* a confirmation of something else is none */
    start(0);
    assert_false(says(1100, KMR_FENCE_DONE, ID_B, BOOT, 0));
    assert_false(says(1100, KMR_FENCE_DONE, ID_A, BOOT + 1, 0));
    assert_false(says(1100, KMR_FENCE_REQUEST, ID_A, BOOT, 0));
    assert_false(says(1100, KMR_FENCE_GO, ID_A, BOOT, 0));
    assert_int_equal(fencer.phase, KMR_FENCER_ASKED);
}

static void test_stays(void **state)
{
    (void)state;
    confirmed(0, 0);
    happens(1200, E(QUIT), 0, false);
    assert_int_equal(happens(1099 + LEAVE_MS, E(TICK), 0, true),
                     KMR_FENCER_CONFIRMED);
    assert_int_equal(happens(1100 + LEAVE_MS, E(TICK), 0, true),
                     KMR_FENCER_FAILED);
    confirmed(0, 0);
    assert_int_equal(happens(1200, E(LOST), 0, false), KMR_FENCER_FAILED);
    confirmed(5000, 0);
    happens(1200, E(LEFT), 0, false);
    assert_int_equal(happens(1300, E(LOST), 0, false), KMR_FENCER_FAILED);
    confirmed(5000, 0);
    happens(1200, E(LEFT), 0, false);
    assert_int_equal(happens(1300, E(HEARD), BOOT, true), KMR_FENCER_FAILED);
}

/* ---- the node that is fenced ---- */

static unsigned meets(uint64_t now_ms, enum kmr_fenced_event_type type,
                      const char *id, uint64_t boot, bool flag)
{
    struct kmr_fenced_event event = { .type = type,
                                      .now_ms = now_ms,
                                      .id = id,
                                      .boot = boot,
                                      .action = KMR_FENCE_ACTION_OFF,
                                      .flag = flag };

    return kmr_fenced_step(&fenced, &event);
}

#define F(name) KMR_FENCED_EVENT_##name

static void ending(void)
{
    kmr_fenced_init(&fenced, BOOT);
    assert_int_equal(meets(1000, F(REQUEST), ID_A, BOOT, false),
                     KMR_FENCED_DO_BAR);
    assert_int_equal(meets(1000, F(BARRED), NULL, 0, true), KMR_FENCED_DO_KILL);
    assert_int_equal(fenced.action, KMR_FENCE_ACTION_OFF);
}

static void test_fenced(void **state)
{
    (void)state;
    ending();
    assert_int_equal(meets(1010, F(GO), ID_A, 0, false), 0); /* not yet */
    assert_int_equal(meets(1199, F(TICK), NULL, 0, false), 0);
    assert_int_equal(meets(1200, F(TICK), NULL, 0, false), KMR_FENCED_DO_KILL);
    assert_int_equal(meets(1250, F(EMPTY), NULL, 0, false), KMR_FENCED_DO_DONE);
    assert_int_equal(meets(1251, F(EMPTY), NULL, 0, false), 0);
    assert_int_equal(kmr_fenced_deadline(&fenced), 1250 + KMR_FENCE_GO_MS);
    assert_int_equal(meets(1260, F(GO), ID_B, 0, false), 0);
    assert_int_equal(meets(1260, F(GO), ID_A, 0, false), KMR_FENCED_DO_DOWN);
    assert_int_equal(meets(1270, F(GO), ID_A, 0, false), 0);
    assert_int_equal(kmr_fenced_deadline(&fenced), 0);
}

/* It goes down without anybody's leave, and without confirming if its QEMUs
 * don't end. */
static void test_alone(void **state)
{
    (void)state;
    ending();
    meets(1250, F(EMPTY), NULL, 0, false);
    assert_int_equal(meets(1249 + KMR_FENCE_GO_MS, F(TICK), NULL, 0, false), 0);
    assert_int_equal(meets(1250 + KMR_FENCE_GO_MS, F(TICK), NULL, 0, false),
                     KMR_FENCED_DO_DOWN);
    ending();
    assert_int_equal(meets(1000 + KMR_FENCE_END_MS, F(TICK), NULL, 0, false),
                     KMR_FENCED_DO_DOWN);
    assert_int_equal(meets(2000 + KMR_FENCE_END_MS, F(EMPTY), NULL, 0, false),
                     0);
}

static void test_refused(void **state)
{
    (void)state;
    kmr_fenced_init(&fenced, BOOT);
    assert_int_equal(meets(1000, F(REQUEST), ID_A, BOOT - 1, false),
                     KMR_FENCED_DO_REFUSE);
    assert_int_equal(fenced.phase, KMR_FENCED_FREE);
    assert_string_equal(fenced.refused, ID_A);
    assert_int_equal(meets(1000, F(REQUEST), ID_B, BOOT, false),
                     KMR_FENCED_DO_BAR);
    assert_int_equal(meets(1000, F(BARRED), NULL, 0, false),
                     KMR_FENCED_DO_REFUSE);
    assert_string_equal(fenced.refused, ID_B);
    assert_int_equal(fenced.phase, KMR_FENCED_FREE);
    assert_int_equal(meets(1000, F(EMPTY), NULL, 0, false), 0);
    assert_int_equal(meets(1000, F(GO), ID_B, 0, false), 0);
}

static void test_several(void **state)
{
    (void)state;
    ending();
    assert_int_equal(meets(1000, F(REQUEST), ID_A, BOOT, false), 0);
    assert_int_equal(meets(1000, F(REQUEST), ID_B, BOOT, false), 0);
    assert_int_equal(fenced.count, 2);
    assert_int_equal(meets(1100, F(EMPTY), NULL, 0, false), KMR_FENCED_DO_DONE);
    assert_int_equal(meets(1110, F(REQUEST),
                           "99999999-2222-4333-8444-555555555555", BOOT, false),
                     KMR_FENCED_DO_DONE);
    assert_int_equal(meets(1110, F(REQUEST),
                           "aaaaaaaa-2222-4333-8444-555555555555", BOOT, false),
                     KMR_FENCED_DO_DONE);
    assert_int_equal(meets(1110, F(REQUEST),
                           "bbbbbbbb-2222-4333-8444-555555555555", BOOT, false),
                     KMR_FENCED_DO_REFUSE);
    assert_int_equal(meets(1120, F(GO), ID_B, 0, false), KMR_FENCED_DO_DOWN);
}

/* A restarted kemarid goes on where it was: nobody waits for it any more. */
static void test_resumed(void **state)
{
    (void)state;
    kmr_fenced_init(&fenced, BOOT);
    assert_int_equal(meets(1000, F(RESUME), NULL, 0, false),
                     KMR_FENCED_DO_KILL);
    assert_int_equal(meets(1001, F(EMPTY), NULL, 0, false), KMR_FENCED_DO_DOWN);
}

static void test_texts(void **state)
{
    enum kmr_fence_action action = KMR_FENCE_ACTION_REBOOT;

    (void)state;
    assert_true(kmr_fence_action_read("off", &action));
    assert_int_equal(action, KMR_FENCE_ACTION_OFF);
    assert_false(kmr_fence_action_read("on", &action));
    assert_false(kmr_fence_action_read("", &action));
    assert_string_equal(kmr_fence_step_text(KMR_FENCE_DONE), "done");
    assert_string_equal(kmr_fencer_phase_text(KMR_FENCER_GONE), "gone");
    assert_string_equal(kmr_fenced_phase_text(KMR_FENCED_PHASE_COUNT), "?");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_success),       cmocka_unit_test(test_settle),
        cmocka_unit_test(test_reboot),        cmocka_unit_test(test_back),
        cmocka_unit_test(test_not_confirmed), cmocka_unit_test(test_stays),
        cmocka_unit_test(test_fenced),        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_refused),       cmocka_unit_test(test_several),
        cmocka_unit_test(test_resumed),       cmocka_unit_test(test_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
