/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a verdict to a move: each rule of docs/health.md. Random streams of
 * reports: test_flapping.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/health.h"
#include "core/text.h"

static struct kmr_health health;
static struct kmr_health_pair pairs[4];
static struct kmr_health_out out;
static uint64_t now_ms, next_id;

static const char *const names[] = { "vm0", "vm1", "vm2", "vm3" };

/* Four guests that run here, protected by node2, which is green. */
static void begin(void)
{
    kmr_health_init(&health, "node1");
    now_ms = 5000000;
    next_id = 1;
    for (unsigned i = 0; i < 4; i++) {
        pairs[i] = (struct kmr_health_pair){
            .vm = names[i],
            .owner = "node1",
            .standby = "node2",
            .standby_colour = KMR_COLOUR_GREEN,
            .owns = true,
            .ready = true,
        };
    }
    kmr_health_hello(&health, KMR_COLOUR_GREEN, "", true, now_ms);
}

static bool report(enum kmr_verdict verdict, enum kmr_colour colour,
                   const char *vm)
{
    struct kmr_health_report given = {
        .verdict = verdict,
        .colour = colour,
        .id = next_id++,
        .reason = "because",
        .node = !vm,
        .vms = &vm,
        .vm_count = vm ? 1 : 0,
    };

    return kmr_health_report(&health, &given);
}

/* What is decided now, as "vm0:handover vm1:stays(it ...)". */
static void expect(const char *expected)
{
    char text[2048] = "";
    bool more;

    do {
        more = kmr_health_look(&health, pairs, 4, now_ms, &out);
        for (unsigned i = 0; i < out.count; i++) {
            const struct kmr_health_decision *d = &out.list[i];

            kmr_text_add(text, sizeof(text), text[0] ? " " : "");
            kmr_text_add(text, sizeof(text), d->vm);
            kmr_text_add(text, sizeof(text), ":");
            kmr_text_add(text, sizeof(text), kmr_health_act_text(d->act));
            if (d->act == KMR_HEALTH_ACT_STAY) {
                kmr_text_add(text, sizeof(text), "(");
                kmr_text_add(text, sizeof(text), d->reason);
                kmr_text_add(text, sizeof(text), ")");
            }
        }
    } while (more);
    assert_string_equal(text, expected);
}

/* It is on node2 now, whose standby is here. */
static void has_moved(unsigned i)
{
    pairs[i].owner = "node2";
    pairs[i].owns = pairs[i].ready = pairs[i].busy = false;
}

static void is_back(unsigned i)
{
    pairs[i].owner = "node1";
    pairs[i].owns = pairs[i].ready = true;
}

static void red_moves_all(void **state)
{
    (void)state;
    begin();
    expect("");
    report(KMR_VERDICT_DEGRADE, KMR_COLOUR_YELLOW, NULL);
    expect(""); /* yellow alone moves nothing */
    report(KMR_VERDICT_MOVE_NODE, KMR_COLOUR_RED, NULL);
    /* one after another, the most important first */
    expect("vm0:handover vm1:stays(others go first) "
           "vm2:stays(others go first) vm3:stays(others go first)");
    expect("");
    pairs[0].busy = true;
    pairs[0].ready = false;
    now_ms += 3000;
    expect("");
    has_moved(0);
    expect("vm0:moved vm1:handover");
    has_moved(1);
    pairs[2].ready = false;
    expect("vm1:moved vm2:stays(it has no synchronised standby now) "
           "vm3:handover");
    has_moved(3);
    expect("vm3:moved");
    pairs[2].ready = true;
    expect("vm2:handover");
    has_moved(2);
    expect("vm2:moved");
    assert_int_equal(kmr_health_deadline(&health), 0);
}

static void several_at_a_time(void **state)
{
    (void)state;
    begin();
    health.limits.parallel_moves = 2;
    report(KMR_VERDICT_MOVE_NODE, KMR_COLOUR_RED, NULL);
    expect("vm0:handover vm1:handover vm2:stays(others go first) "
           "vm3:stays(others go first)");
    has_moved(1);
    expect("vm1:moved vm2:handover");
}

/* Red is a state: who is protected later goes later, whoever said it when. */
static void red_stays_red(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < 4; i++) {
        pairs[i].owns = pairs[i].ready = false;
        pairs[i].owner = "";
    }
    kmr_health_init(&health, "node1");
    kmr_health_hello(&health, KMR_COLOUR_RED, "", true, now_ms);
    expect("");
    is_back(2);
    expect("vm2:handover");
}

static void one_pair(void **state)
{
    (void)state;
    begin();
    report(KMR_VERDICT_MOVE_PAIR, KMR_COLOUR_GREEN, "vm2");
    pairs[2].standby_colour = KMR_COLOUR_YELLOW;
    expect("vm2:stays(its standby's node is no better (node2 is yellow))");
    pairs[2].standby_colour = KMR_COLOUR_NONE; /* may be bad, and may not */
    expect("vm2:handover");
    has_moved(2);
    expect("vm2:moved");
    is_back(2); /* an operator's wish: nothing is wrong here any more */
    expect("");
}

static void nowhere_better(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < 4; i++) {
        pairs[i].standby_colour = KMR_COLOUR_RED;
    }
    pairs[3].alone = true;
    report(KMR_VERDICT_MOVE_NODE, KMR_COLOUR_RED, NULL);
    expect("vm0:stays(its standby's node is no better (node2 is red)) "
           "vm1:stays(its standby's node is no better (node2 is red)) "
           "vm2:stays(its standby's node is no better (node2 is red)) "
           "vm3:stays(it has no standby: where it goes is Pacemaker's to "
           "say)");
    expect("");
    /* the standby is somewhere better now */
    pairs[1].standby = "node3";
    pairs[1].standby_colour = KMR_COLOUR_YELLOW;
    expect("vm1:handover");
}

static void takeover(void **state)
{
    (void)state;
    begin();
    pairs[1].ready = false;
    report(KMR_VERDICT_TAKEOVER, KMR_COLOUR_RED, "vm1");
    /* too late to take it over: it goes when it can, as it is then */
    expect("vm1:stays(it has no synchronised standby now) vm0:handover "
           "vm2:stays(others go first) vm3:stays(others go first)");
    /* what is damaged goes before what is in danger, also to a red node */
    pairs[3].standby_colour = KMR_COLOUR_RED;
    report(KMR_VERDICT_TAKEOVER, KMR_COLOUR_RED, "vm3");
    expect("vm3:takeover");
    now_ms += KMR_HEALTH_TAKEOVER_MS - 1;
    has_moved(0);
    expect("vm0:moved vm2:handover");
    now_ms += 1;
    has_moved(2);
    expect("vm2:moved vm3:stays(it could not be moved) vm3:stays(its standby's "
           "node is no better (node2 is red))");
    pairs[1].ready = true;
    expect("vm1:handover");
}

/* What was said while its kemarid adopts it is not lost. */
static void while_adopting(void **state)
{
    (void)state;
    begin();
    pairs[1].ready = false;
    pairs[1].standby = "";
    report(KMR_VERDICT_MOVE_PAIR, KMR_COLOUR_YELLOW, "vm1");
    expect("vm1:stays(it has no synchronised standby now)");
    now_ms += 3 * KMR_HEALTH_MOVING_MS;
    expect("");
    pairs[1].standby = "node2";
    pairs[1].ready = true;
    expect("vm1:handover");
}

static void well_again(void **state)
{
    (void)state;
    begin();
    pairs[0].ready = false;
    report(KMR_VERDICT_MOVE_PAIR, KMR_COLOUR_YELLOW, "vm0");
    expect("vm0:stays(it has no synchronised standby now)");
    report(KMR_VERDICT_NOTE, KMR_COLOUR_GREEN, NULL);
    pairs[0].ready = true;
    expect("");
    report(KMR_VERDICT_MOVE_NODE, KMR_COLOUR_YELLOW, NULL);
    report(KMR_VERDICT_NOTE, KMR_COLOUR_GREEN, NULL);
    expect("");
}

static void fails(void **state)
{
    uint64_t least = KMR_HEALTH_RETRY_MIN_MS;

    (void)state;
    begin();
    report(KMR_VERDICT_MOVE_PAIR, KMR_COLOUR_YELLOW, "vm0");
    expect("vm0:handover");
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(kmr_health_deadline(&health),
                         now_ms + KMR_HEALTH_HANDOVER_MS);
        now_ms += KMR_HEALTH_HANDOVER_MS;
        expect("vm0:stays(it could not be moved)");
        assert_int_equal(kmr_health_deadline(&health), now_ms + least);
        now_ms += least - 1;
        expect("");
        now_ms += 1;
        expect("vm0:handover");
        least = least * 2 < KMR_HEALTH_RETRY_MAX_MS ? least * 2
                                                    : KMR_HEALTH_RETRY_MAX_MS;
    }
    has_moved(0);
    expect("vm0:moved");
}

static void rate(void **state)
{
    uint64_t first_ms;

    (void)state;
    begin();
    first_ms = now_ms;
    for (unsigned i = 0; i < KMR_MOVES_PER_HOUR; i++) {
        report(KMR_VERDICT_MOVE_PAIR, KMR_COLOUR_YELLOW, "vm0");
        expect("vm0:handover");
        has_moved(0);
        expect("vm0:moved");
        is_back(0);
        now_ms += 60000;
    }
    report(KMR_VERDICT_MOVE_PAIR, KMR_COLOUR_YELLOW, "vm0");
    expect("vm0:stays(it was moved too often in the last hour)");
    assert_int_equal(kmr_health_deadline(&health),
                     first_ms + KMR_HEALTH_WINDOW_MS);
    now_ms = first_ms + KMR_HEALTH_WINDOW_MS - 1;
    expect("");
    now_ms++;
    expect("vm0:handover");
}

/* What another node's health did counts as well, from when it happened. */
static void not_back(void **state)
{
    (void)state;
    begin();
    has_moved(0);
    kmr_health_moving(&health, "vm0", "node2", now_ms);
    expect("");
    is_back(0);
    expect("");
    pairs[0].standby_colour = KMR_COLOUR_YELLOW;
    report(KMR_VERDICT_MOVE_PAIR, KMR_COLOUR_RED, "vm0");
    expect("vm0:stays(it came from its standby's node, which is not green "
           "(node2 is yellow)) vm1:handover vm2:stays(others go first) "
           "vm3:stays(others go first)");
    has_moved(1);
    has_moved(2);
    has_moved(3);
    expect("vm1:moved");
    pairs[0].standby_colour = KMR_COLOUR_GREEN;
    expect("vm0:handover");
    has_moved(0);
    expect("vm0:moved");
    /* one of node2's, one of ours: no more in this hour */
    is_back(0);
    expect("vm0:stays(it was moved too often in the last hour)");
    /* an announcement that came to nothing does not count */
    kmr_health_moving(&health, "vm1", "node2", now_ms);
    now_ms += KMR_HEALTH_MOVING_MS;
    expect("");
    is_back(1);
    expect("vm1:handover");
}

/* A node that it left long ago is one like others: better is better. */
static void back_after_an_hour(void **state)
{
    uint64_t came_ms;

    (void)state;
    begin();
    for (unsigned i = 0; i < 4; i++) {
        has_moved(i);
    }
    kmr_health_moving(&health, "vm0", "node2", now_ms);
    is_back(0);
    expect("");
    came_ms = now_ms;
    pairs[0].standby_colour = KMR_COLOUR_YELLOW;
    now_ms += KMR_HEALTH_WINDOW_MS / 2;
    report(KMR_VERDICT_MOVE_NODE, KMR_COLOUR_RED, NULL);
    expect("vm0:stays(it came from its standby's node, which is not green "
           "(node2 is yellow))");
    assert_int_equal(kmr_health_deadline(&health),
                     came_ms + KMR_HEALTH_WINDOW_MS);
    now_ms = came_ms + KMR_HEALTH_WINDOW_MS - 1;
    expect("");
    now_ms++;
    expect("vm0:handover");
}

/* The colour's reason is that of the worst that was said. */
static void reasons(void **state)
{
    struct kmr_health_report given = {
        .verdict = KMR_VERDICT_MOVE_NODE,
        .colour = KMR_COLOUR_RED,
        .reason = "a DIMM",
        .node = true,
    };

    (void)state;
    begin();
    kmr_health_report(&health, &given);
    given.verdict = KMR_VERDICT_NOTE;
    given.reason = "a disk";
    kmr_health_report(&health, &given);
    assert_string_equal(health.reason, "a DIMM");
    given.verdict = KMR_VERDICT_TAKEOVER;
    given.reason = "memory";
    kmr_health_report(&health, &given);
    assert_string_equal(health.reason, "memory");
    given.verdict = KMR_VERDICT_NOTE;
    given.colour = KMR_COLOUR_YELLOW;
    given.reason = "quieter";
    kmr_health_report(&health, &given);
    assert_string_equal(health.reason, "quieter");
}

static void duplicates(void **state)
{
    (void)state;
    begin();
    assert_true(report(KMR_VERDICT_DEGRADE, KMR_COLOUR_YELLOW, NULL));
    next_id = 1;
    assert_false(report(KMR_VERDICT_MOVE_NODE, KMR_COLOUR_RED, NULL));
    assert_int_equal(health.colour, KMR_COLOUR_YELLOW);
    expect("");
    /* it has lost its connection, and found it again */
    kmr_health_gone(&health);
    kmr_health_hello(&health, KMR_COLOUR_YELLOW, "", false, now_ms);
    next_id = 1;
    assert_false(report(KMR_VERDICT_MOVE_NODE, KMR_COLOUR_RED, NULL));
    /* it counts anew */
    kmr_health_hello(&health, KMR_COLOUR_YELLOW, "", true, now_ms);
    next_id = 1;
    assert_true(report(KMR_VERDICT_MOVE_NODE, KMR_COLOUR_RED, NULL));
}

/* A green that nobody can know is none. */
static void never_a_silent_green(void **state)
{
    (void)state;
    kmr_health_init(&health, "node1");
    assert_int_equal(health.colour, KMR_COLOUR_NONE);
    kmr_health_hello(&health, KMR_COLOUR_NONE, "", true, 1000);
    assert_int_equal(health.colour, KMR_COLOUR_NONE);
    kmr_health_hello(&health, KMR_COLOUR_GREEN, "", true, 1000);
    assert_int_equal(health.colour, KMR_COLOUR_GREEN);
    /* one that sees the links only knows when they are bad */
    kmr_health_init(&health, "node1");
    kmr_health_hello(&health, KMR_COLOUR_NONE, "", true, 1000);
    next_id = 1;
    report(KMR_VERDICT_MOVE_PAIR, KMR_COLOUR_YELLOW, "vm0");
    assert_int_equal(health.colour, KMR_COLOUR_YELLOW);
    report(KMR_VERDICT_NOTE, KMR_COLOUR_GREEN, NULL);
    assert_int_equal(health.colour, KMR_COLOUR_NONE);
    expect("");
    /* a later run has no source any more, or loses the last one */
    begin();
    kmr_health_gone(&health);
    kmr_health_hello(&health, KMR_COLOUR_NONE, "", true, now_ms);
    assert_int_equal(health.colour, KMR_COLOUR_NONE);
    assert_string_equal(health.reason, "kemari-mced has no sources");
    kmr_health_hello(&health, KMR_COLOUR_GREEN, "", false, now_ms);
    assert_int_equal(health.colour, KMR_COLOUR_GREEN);
    report(KMR_VERDICT_DEGRADE, KMR_COLOUR_YELLOW, NULL);
    kmr_health_hello(&health, KMR_COLOUR_NONE, "", false, now_ms);
    assert_int_equal(health.colour, KMR_COLOUR_YELLOW);
    begin();
    report(KMR_VERDICT_DEGRADE, KMR_COLOUR_RED, NULL);
    kmr_health_gone(&health);
    assert_int_equal(health.colour, KMR_COLOUR_RED);
    /* the next run has not seen what this one saw */
    kmr_health_hello(&health, KMR_COLOUR_GREEN, "", true, now_ms);
    assert_int_equal(health.colour, KMR_COLOUR_RED);
    for (unsigned i = 0; i < 4; i++) {
        has_moved(i);
    }
    now_ms += KMR_HEALTH_QUIET_MS - 1;
    kmr_health_hello(&health, KMR_COLOUR_GREEN, "", false, now_ms);
    expect("");
    assert_int_equal(health.colour, KMR_COLOUR_RED);
    assert_int_equal(kmr_health_deadline(&health), now_ms + 1);
    now_ms++;
    expect("");
    assert_int_equal(health.colour, KMR_COLOUR_GREEN);
    /* of the same run its word counts at once, and a worse one always */
    kmr_health_hello(&health, KMR_COLOUR_YELLOW, "", true, now_ms);
    assert_int_equal(health.colour, KMR_COLOUR_YELLOW);
    kmr_health_hello(&health, KMR_COLOUR_GREEN, "", false, now_ms);
    assert_int_equal(health.colour, KMR_COLOUR_GREEN);
    /* it ended before it was believed */
    report(KMR_VERDICT_DEGRADE, KMR_COLOUR_YELLOW, NULL);
    kmr_health_hello(&health, KMR_COLOUR_GREEN, "", true, now_ms);
    kmr_health_gone(&health);
    now_ms += KMR_HEALTH_QUIET_MS;
    expect("");
    assert_int_equal(health.colour, KMR_COLOUR_YELLOW);
}

/* What is better counts after a while only, where a run came after another one
 * that had left the node ill: also in reports, and when it connects again. */
static void another_run(void **state)
{
    (void)state;
    begin();
    report(KMR_VERDICT_MOVE_NODE, KMR_COLOUR_RED, NULL);
    report(KMR_VERDICT_NOTE, KMR_COLOUR_GREEN, NULL);
    assert_int_equal(health.colour, KMR_COLOUR_GREEN); /* the first one */
    report(KMR_VERDICT_MOVE_NODE, KMR_COLOUR_RED, NULL);
    kmr_health_gone(&health);
    kmr_health_hello(&health, KMR_COLOUR_GREEN, "", true, now_ms);
    next_id = 1;
    /* the DIMM that was full, of which this run has seen one error */
    assert_true(report(KMR_VERDICT_NOTE, KMR_COLOUR_GREEN, NULL));
    assert_int_equal(health.colour, KMR_COLOUR_RED);
    assert_true(health.leave);
    assert_string_equal(health.reason, "because");
    now_ms += KMR_HEALTH_QUIET_MS / 2;
    kmr_health_gone(&health);
    kmr_health_hello(&health, KMR_COLOUR_GREEN, "", false, now_ms);
    assert_int_equal(health.colour, KMR_COLOUR_RED);
    /* it takes back that it is better; then it is so after all */
    assert_true(report(KMR_VERDICT_DEGRADE, KMR_COLOUR_RED, NULL));
    assert_true(report(KMR_VERDICT_DEGRADE, KMR_COLOUR_YELLOW, NULL));
    assert_int_equal(health.colour, KMR_COLOUR_RED);
    for (unsigned i = 0; i < 4; i++) {
        has_moved(i);
    }
    now_ms += KMR_HEALTH_QUIET_MS / 2 - 1;
    expect("");
    assert_int_equal(health.colour, KMR_COLOUR_RED);
    assert_int_equal(kmr_health_deadline(&health), now_ms + 1);
    now_ms++;
    expect("");
    assert_int_equal(health.colour, KMR_COLOUR_YELLOW);
    /* it has been there for long enough: at once */
    report(KMR_VERDICT_NOTE, KMR_COLOUR_GREEN, NULL);
    assert_int_equal(health.colour, KMR_COLOUR_GREEN);
    assert_false(health.leave);
    /* the next one finds a node that is well: what is ill is by its own word */
    kmr_health_gone(&health);
    kmr_health_hello(&health, KMR_COLOUR_GREEN, "", true, now_ms);
    next_id = 1;
    report(KMR_VERDICT_DEGRADE, KMR_COLOUR_RED, NULL);
    report(KMR_VERDICT_NOTE, KMR_COLOUR_GREEN, NULL);
    assert_int_equal(health.colour, KMR_COLOUR_GREEN);
    /* one that ends red, though it was green for a moment */
    report(KMR_VERDICT_DEGRADE, KMR_COLOUR_RED, NULL);
    kmr_health_hello(&health, KMR_COLOUR_GREEN, "", true, now_ms);
    kmr_health_hello(&health, KMR_COLOUR_RED, "", false, now_ms);
    now_ms += KMR_HEALTH_QUIET_MS;
    expect("");
    assert_int_equal(health.colour, KMR_COLOUR_RED);
    assert_int_equal(kmr_health_deadline(&health), 0);
}

static void memory_failure(void **state)
{
    (void)state;
    assert_int_equal(kmr_health_memory(true, "inject"), KMR_VERDICT_TAKEOVER);
    assert_int_equal(kmr_health_memory(true, "reset"), KMR_VERDICT_TAKEOVER);
    assert_int_equal(kmr_health_memory(true, "fatal"), KMR_VERDICT_TAKEOVER);
    assert_int_equal(kmr_health_memory(true, "ignore"), KMR_VERDICT_NOTE);
    assert_int_equal(kmr_health_memory(false, "ignore"), KMR_VERDICT_MOVE_PAIR);
    begin();
    kmr_health_want(&health, "vm1", KMR_VERDICT_TAKEOVER, "memory");
    expect("vm1:takeover");
    has_moved(1);
    expect("vm1:moved");
    kmr_health_want(&health, "vm2", KMR_VERDICT_NOTE, "memory");
    expect("");
}

/* More pairs than fit into one answer, or are known at all. */
static void many(void **state)
{
    static struct kmr_health_pair all[KMR_HEALTH_VMS_MAX + 8];
    static char called[KMR_HEALTH_VMS_MAX + 8][16];
    unsigned said = 0;
    bool more;

    (void)state;
    begin();
    for (unsigned i = 0; i < KMR_HEALTH_VMS_MAX + 8; i++) {
        snprintf(called[i], sizeof(called[i]), "guest%u", i);
        all[i] = pairs[0];
        all[i].vm = called[i];
    }
    health.limits.parallel_moves = 16;
    report(KMR_VERDICT_MOVE_NODE, KMR_COLOUR_RED, NULL);
    do {
        more =
            kmr_health_look(&health, all, KMR_HEALTH_VMS_MAX + 8, now_ms, &out);
        for (unsigned i = 0; i < out.count; i++, said++) {
            assert_string_equal(out.list[i].vm, called[said]);
            assert_int_equal(out.list[i].act, said < 16
                                                  ? KMR_HEALTH_ACT_HANDOVER
                                                  : KMR_HEALTH_ACT_STAY);
        }
    } while (more);
    assert_int_equal(said, KMR_HEALTH_VMS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(red_moves_all),
        cmocka_unit_test(several_at_a_time),
        cmocka_unit_test(red_stays_red),
        cmocka_unit_test(one_pair),
        cmocka_unit_test(nowhere_better),
        cmocka_unit_test(takeover),
        cmocka_unit_test(while_adopting),
        cmocka_unit_test(well_again),
        cmocka_unit_test(fails),
        cmocka_unit_test(rate),
        cmocka_unit_test(not_back),
        cmocka_unit_test(back_after_an_hour),
        cmocka_unit_test(reasons),
        cmocka_unit_test(duplicates),
        cmocka_unit_test(never_a_silent_green),
        cmocka_unit_test(another_run),
        cmocka_unit_test(memory_failure),
        cmocka_unit_test(many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
