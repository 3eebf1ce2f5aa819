/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The moves that a kemarid counted are known to the next one, and a text that
 * is not what was written is not believed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/moves.h"
#include "core/text.h"

#define BOOT 0xfedcba9876543210u

static struct kmr_health health;
static struct kmr_health_pair pair;
static struct kmr_health_out out;
static char text[KMR_MOVES_TEXT_MAX];
static uint64_t now_ms;

static enum kmr_health_act look(void)
{
    kmr_health_look(&health, &pair, 1, now_ms, &out);
    return out.count == 0 ? KMR_HEALTH_ACT_MOVED : out.list[0].act;
}

/* A kemarid that has just been started, with what the one before wrote. */
static void restart(void)
{
    kmr_moves_write(kmr_health_vm(&health, "vm0"), BOOT, text, sizeof(text));
    kmr_health_init(&health, "node1");
    assert_null(kmr_moves_read(&health, "vm0", BOOT, text, now_ms));
    kmr_health_hello(&health, KMR_COLOUR_RED, "worn out", true, now_ms);
}

static void comes(void)
{
    pair = (struct kmr_health_pair){ .vm = "vm0",
                                     .owner = "node1",
                                     .standby = "node2",
                                     .standby_colour = KMR_COLOUR_GREEN,
                                     .owns = true,
                                     .ready = true };
}

static void goes(void)
{
    pair.owner = "node2";
    pair.owns = pair.ready = false;
}

static void begin(void)
{
    now_ms = 500000000;
    kmr_health_init(&health, "node1");
    kmr_health_hello(&health, KMR_COLOUR_RED, "worn out", true, now_ms);
}

/* It dies after each order, and each time the guest comes back. */
static void a_loop_of_crashes(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < KMR_MOVES_PER_HOUR; i++) {
        comes();
        assert_int_equal(look(), KMR_HEALTH_ACT_HANDOVER);
        assert_true(kmr_health_vm(&health, "vm0")->changed);
        restart();
        goes(); /* seen by the next kemarid only */
        look();
        assert_true(kmr_health_vm(&health, "vm0")->changed);
        restart();
        now_ms += 60000;
    }
    comes();
    assert_int_equal(look(), KMR_HEALTH_ACT_STAY);
    assert_int_equal(out.list[0].stay, KMR_STAY_RATE);
    /* an hour after the first it may go again */
    now_ms += KMR_HEALTH_WINDOW_MS - KMR_MOVES_PER_HOUR * 60000u;
    restart();
    assert_int_equal(look(), KMR_HEALTH_ACT_HANDOVER);
}

/* Not back, as long as the node it came from is not green. */
static void where_it_came_from(void **state)
{
    (void)state;
    begin();
    kmr_health_moving(&health, "vm0", "node2", now_ms);
    comes();
    kmr_health_hello(&health, KMR_COLOUR_RED, "", false, now_ms);
    pair.standby_colour = KMR_COLOUR_YELLOW;
    pair.owns = pair.ready = false;
    look();
    restart();
    pair.owns = pair.ready = true;
    assert_int_equal(look(), KMR_HEALTH_ACT_STAY);
    assert_int_equal(out.list[0].stay, KMR_STAY_CAME_FROM);
}

static void nothing_to_know(void **state)
{
    (void)state;
    begin();
    kmr_moves_write(kmr_health_vm(&health, "vm0"), BOOT, text, sizeof(text));
    assert_string_equal(text, "");
}

static void all_that_is_kept(void **state)
{
    struct kmr_health_vm *entry;

    (void)state;
    begin();
    entry = kmr_health_vm(&health, "vm0");
    memset(entry->came_from, 'n', sizeof(entry->came_from) - 1);
    memset(entry->moving_from, 'm', sizeof(entry->moving_from) - 1);
    now_ms = entry->moving_ms = UINT64_MAX - KMR_HEALTH_WINDOW_MS - 1;
    for (unsigned i = 0; i < KMR_MOVES_KEPT + 7; i++) {
        entry->moved_ms[entry->moved++ % KMR_MOVES_KEPT] = now_ms - 1000 + i;
    }
    restart();
    entry = kmr_health_vm(&health, "vm0");
    assert_int_equal(entry->moved, KMR_MOVES_KEPT);
    for (unsigned i = 0; i < KMR_MOVES_KEPT; i++) {
        assert_int_equal(entry->moved_ms[i], now_ms - 1000 + 7 + i);
    }
    assert_int_equal(strlen(entry->came_from), sizeof(entry->came_from) - 1);
    assert_int_equal(entry->moving_ms, now_ms);
}

/* Nothing of it is taken then. */
static void refused(const char *given)
{
    static const struct kmr_health none;

    kmr_health_init(&health, "node1");
    assert_non_null(kmr_moves_read(&health, "vm0", 7, given, 100000));
    assert_memory_equal(health.vms, none.vms, sizeof(none.vms));
}

static void not_believed(void **state)
{
    static const char good[] = "boot=7\nmoving_from=node2\nmoving=99000\n"
                               "came_from=node3\nmoved=1000\nmoved=100000\n"
                               "end=\n";
    char many[KMR_MOVES_KEPT * 12 + 32] = "boot=7\n";

    (void)state;
    kmr_health_init(&health, "node1");
    assert_null(kmr_moves_read(&health, "vm0", 7, good, 100000));
    assert_int_equal(kmr_health_vm(&health, "vm0")->moved, 2);
    for (size_t len = 0; len + 1 < sizeof(good); len++) {
        char cut[sizeof(good)] = "";

        memcpy(cut, good, len);
        refused(cut);
    }
    refused("boot=8\nmoved=1000\nend=\n");
    refused("boot=7\nmoved=100001\nend=\n"); /* not yet */
    refused("boot=7\nmoved=0\nend=\n");
    refused("boot=7\nmoved=-1\nend=\n");
    refused("boot=7\nmoved=1 2\nend=\n");
    refused("boot=7\nmoved=18446744073709551617\nend=\n");
    refused("boot=7\nmoving=1000\nend=\n");
    refused("boot=7\nmoving_from=node2\nend=\n");
    refused("boot=7\nmoving_from=../x\nmoving=1\nend=\n");
    refused("boot=7\ncame_from=\nend=\n");
    refused("boot=7\nelse=1\nend=\n");
    refused("boot=7\nmoved=1000\nend=\nmoved=1000\n");
    refused("moved=1000\nend=\n");
    for (unsigned i = 0; i <= KMR_MOVES_KEPT; i++) {
        strcat(many, "moved=1000\n");
    }
    strcat(many, "end=\n");
    refused(many);
    kmr_health_init(&health, "node1");
    assert_non_null(kmr_moves_read(&health, "../vm0", 7, good, 100000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loop_of_crashes),
        cmocka_unit_test(where_it_came_from),
        cmocka_unit_test(nothing_to_know),
        cmocka_unit_test(all_that_is_kept),
        cmocka_unit_test(not_believed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
