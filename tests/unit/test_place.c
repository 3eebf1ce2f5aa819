/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the standby is, by the health of the nodes: traces, as in test_pair.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster.h"

static struct sim sim;

/* Every kemarid hears of the health of node `of`. */
static void colour(unsigned of, enum kmr_colour colour)
{
    for (unsigned i = 0; i < SIM_NODES; i++) {
        struct kmr_event event = { .type = KMR_EVENT_HEALTH };

        event.colour = colour;
        snprintf(event.node, sizeof(event.node), "node%u", of + 1);
        sim_step(&sim, i, &event);
    }
}

/* `from` is red, and node1's standby goes from there to `to`. */
static void replaced(const char *from, const char *to)
{
    static const char *const lines[] = {
        "node1 the standby on F, which is red, makes way for one on T",
        "F SYNCHRONISED -> KILLING (the standby on F, which is red, makes "
        "way for one on T)",
        "node1 PROTECTED -> HOLDING (connection reset)",
        "F KILLING -> IDLE (QEMU is dead)",
        "node1 HOLDING -> SOLO (runs on without a standby)",
        "node1 SOLO -> INVITING (a standby is started on T)",
        "T IDLE -> STANDBY_STARTING (invited by node1)",
        "T STANDBY_STARTING -> STANDBY_PREPARING (QEMU waits)",
        "T STANDBY_PREPARING -> STANDBY_READY (listens)",
        "node1 INVITING -> SYNCING (the standby on T is ready)",
        "T STANDBY_READY -> STANDBY_SYNCING (receives RAM)",
        "T STANDBY_SYNCING -> SYNCHRONISED (holds a committed checkpoint)",
        "node1 SYNCING -> IN_STEP (standby on T acknowledged checkpoint 1)",
        "node1 IN_STEP -> PROTECTED (the record says paired: output is "
        "released)",
    };
    char text[2048] = "";

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        for (const char *at = lines[i]; *at; at++) {
            char letter[2] = { *at, '\0' };
            bool name =
                (*at == 'F' || *at == 'T') &&
                (at[1] == ' ' || at[1] == ',' || at[1] == ')' || at[1] == '\0');

            strncat(text,
                    !name        ? letter
                    : *at == 'F' ? from
                                 : to,
                    sizeof(text) - strlen(text) - 1);
        }
        strncat(text, "\n", sizeof(text) - strlen(text) - 1);
    }
    sim_expect(&sim, text);
}

/* A standby on a node that is about to fail makes way for a better one. */
static void test_standby_replaced(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim_event(&sim, 2, KMR_EVENT_START, false);
    sim_run(&sim, 1000);
    colour(2, KMR_COLOUR_YELLOW);
    colour(1, KMR_COLOUR_YELLOW); /* as bad as the other: stays */
    sim_run(&sim, 1000);
    sim_expect(&sim, "node3 STOPPED -> IDLE (started by Pacemaker)\n");
    colour(1, KMR_COLOUR_RED);
    sim_run(&sim, 1000);
    replaced("node2", "node3");
    assert_int_equal(sim.max_running, 1);
    /* not again within a minute, whatever is said */
    colour(2, KMR_COLOUR_RED);
    colour(1, KMR_COLOUR_GREEN);
    sim_run(&sim, KMR_REPLACE_MIN_MS - 5000);
    sim_expect(&sim, "");
    sim_run(&sim, 10000);
    replaced("node3", "node2");
    /* and then not for two */
    colour(1, KMR_COLOUR_RED);
    colour(2, KMR_COLOUR_GREEN);
    sim_run(&sim, 2 * KMR_REPLACE_MIN_MS - 20000);
    sim_expect(&sim, "");
    /* the guest is better off on the standby's node: that is not replaced */
    colour(1, KMR_COLOUR_YELLOW);
    colour(0, KMR_COLOUR_RED);
    sim_run(&sim, 60000);
    sim_expect(&sim, "");
    assert_int_equal(sim.max_running, 1);
}

/* The first standby is on the best node that there is. */
static void test_best_place(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    colour(1, KMR_COLOUR_RED);
    colour(2, KMR_COLOUR_YELLOW);
    for (unsigned i = 0; i < SIM_NODES; i++) {
        sim_event(&sim, i, KMR_EVENT_START, false);
    }
    sim_run(&sim, 10);
    sim_event(&sim, 0, KMR_EVENT_PROMOTE, false);
    sim_run(&sim, 1000);
    assert_int_equal(sim.nodes[0].pair.phase, KMR_PHASE_PROTECTED);
    assert_int_equal(sim.nodes[2].pair.phase, KMR_PHASE_SYNCHRONISED);
    /* rather there than nowhere */
    sim_kill_qemu(&sim, 2);
    sim_event(&sim, 2, KMR_EVENT_STOP, false);
    sim_run(&sim, 5000);
    assert_int_equal(sim.nodes[0].pair.phase, KMR_PHASE_PROTECTED);
    assert_int_equal(sim.nodes[1].pair.phase, KMR_PHASE_SYNCHRONISED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_standby_replaced),
        cmocka_unit_test(test_best_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
