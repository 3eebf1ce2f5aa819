/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random streams of reports on a cluster of three nodes and four guests: no
 * guest is moved more often than it may be, to a worse node, or before a more
 * important one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/health.h"

#define NODES 3
#define GUESTS 4

static const char *const names[] = { "vm0", "vm1", "vm2", "vm3" };
static struct kmr_health node[NODES];
static struct kmr_health_out out;
static uint64_t now_ms;
static unsigned runs_on[GUESTS], standby_on[GUESTS];
static uint64_t arrives_ms[GUESTS]; /* a handover ends then; 0: none */
static bool in_step[GUESTS];
static uint64_t moved_at[GUESTS][100000];
static unsigned moved[GUESTS], handed_over;
static uint64_t ids[NODES];
static uint32_t chance_state;

static unsigned chance(unsigned n)
{
    chance_state = chance_state * 1664525u + 1013904223u;
    return (chance_state >> 8) % n;
}

static const char *const hosts[] = { "node1", "node2", "node3" };

static void see(unsigned n, struct kmr_health_pair *seen)
{
    for (unsigned v = 0; v < GUESTS; v++) {
        seen[v] = (struct kmr_health_pair){
            .vm = names[v],
            .owner = hosts[runs_on[v]],
            .standby = in_step[v] ? hosts[standby_on[v]] : "",
            .standby_colour = node[standby_on[v]].colour,
            .owns = runs_on[v] == n,
            .ready = in_step[v] && arrives_ms[v] == 0,
            .busy = arrives_ms[v] != 0,
        };
    }
}

static unsigned rank(unsigned n)
{
    return kmr_colour_rank(node[n].colour);
}

static void follow(unsigned n, const struct kmr_health_decision *d)
{
    unsigned v = (unsigned)(d->vm[2] - '0');

    if (d->act != KMR_HEALTH_ACT_HANDOVER &&
        d->act != KMR_HEALTH_ACT_TAKEOVER) {
        return;
    }
    assert_int_equal(runs_on[v], n);
    assert_true(in_step[v]);
    if (d->act == KMR_HEALTH_ACT_HANDOVER) {
        /* never to a worse node, and never past a more important guest that
         * could go as well */
        assert_true(rank(standby_on[v]) < rank(n) ||
                    ((node[n].vms[v].move || node[n].leave) &&
                     rank(standby_on[v]) < 2));
        for (unsigned w = 0; w < v; w++) {
            assert_false(runs_on[w] == n && in_step[w] && arrives_ms[w] == 0 &&
                         node[n].vms[w].order == KMR_VERDICT_NOTE &&
                         node[n].vms[w].stay == KMR_STAY_TURN);
        }
        handed_over = 0;
        for (unsigned w = 0; w < GUESTS; w++) {
            handed_over += node[n].vms[w].order == KMR_VERDICT_MOVE_PAIR;
        }
        assert_true(handed_over <= node[n].limits.parallel_moves);
    }
    for (unsigned m = 0; m < NODES; m++) {
        if (m != n) {
            kmr_health_moving(&node[m], d->vm, hosts[n], now_ms);
        }
    }
    if (chance(4) != 0) {
        arrives_ms[v] = now_ms + 1 + chance(2000);
    } /* else nothing comes of it */
}

static void arrive(unsigned v)
{
    unsigned from = runs_on[v];

    arrives_ms[v] = 0;
    if (chance(8) == 0) {
        return; /* failed at the very end */
    }
    runs_on[v] = standby_on[v];
    standby_on[v] = chance(2) ? from : 3 - from - runs_on[v];
    in_step[v] = false;
    moved_at[v][moved[v]++] = now_ms;
    assert_true(moved[v] < 100000);
    if (moved[v] > KMR_MOVES_PER_HOUR) {
        assert_true(now_ms >= moved_at[v][moved[v] - 1 - KMR_MOVES_PER_HOUR] +
                                  KMR_HEALTH_WINDOW_MS);
    }
}

static void something_happens(void)
{
    static const enum kmr_colour colours[] = { KMR_COLOUR_GREEN,
                                               KMR_COLOUR_YELLOW,
                                               KMR_COLOUR_RED };
    unsigned n = chance(NODES), v = chance(GUESTS);
    const char *vm = names[v];
    struct kmr_health_report given = {
        .verdict = (enum kmr_verdict)chance(KMR_VERDICT_COUNT),
        .colour = colours[chance(3)],
        .id = ++ids[n],
        .reason = "flaps",
        .node = chance(2) == 0,
        .vms = &vm,
    };

    given.vm_count = given.node ? 0 : 1;
    switch (chance(4)) {
    case 0:
        kmr_health_gone(&node[n]);
        /* another run is seldom: the first ten minutes it is not believed */
        kmr_health_hello(&node[n], given.colour, "", chance(100) == 0, now_ms);
        ids[n] = node[n].last_id;
        break;
    case 1:
        in_step[v] = arrives_ms[v] != 0 || chance(4) != 0;
        break;
    default:
        assert_true(kmr_health_report(&node[n], &given));
        break;
    }
}

/* Two sensors that flap can't play ball with a guest. */
static void random_streams(void **state)
{
    struct kmr_health_pair seen[GUESTS];
    unsigned total = 0;

    (void)state;
    for (unsigned world = 0; world < 40; world++) {
        chance_state = world * 77 + 1;
        now_ms = 1000;
        memset(arrives_ms, 0, sizeof(arrives_ms));
        memset(moved, 0, sizeof(moved));
        memset(ids, 0, sizeof(ids));
        for (unsigned n = 0; n < NODES; n++) {
            kmr_health_init(&node[n], hosts[n]);
            node[n].limits.parallel_moves = 1 + chance(2);
            for (unsigned v = 0; v < GUESTS; v++) {
                /* the same order in the tables as in `names` */
                kmr_health_moving(&node[n], names[v], "", now_ms);
            }
        }
        for (unsigned v = 0; v < GUESTS; v++) {
            runs_on[v] = v % NODES;
            standby_on[v] = (v + 1) % NODES;
            in_step[v] = true;
        }
        for (unsigned step = 0; step < 20000; step++) {
            now_ms += 1 + chance(1500);
            if (chance(5) == 0) {
                something_happens();
            }
            for (unsigned v = 0; v < GUESTS; v++) {
                if (arrives_ms[v] != 0 && now_ms >= arrives_ms[v]) {
                    arrive(v);
                }
            }
            for (unsigned n = 0; n < NODES; n++) {
                bool more;

                do {
                    see(n, seen);
                    more =
                        kmr_health_look(&node[n], seen, GUESTS, now_ms, &out);
                    for (unsigned i = 0; i < out.count; i++) {
                        follow(n, &out.list[i]);
                    }
                } while (more);
            }
        }
        for (unsigned v = 0; v < GUESTS; v++) {
            total += moved[v];
        }
    }
    assert_true(total > 1000); /* something did happen */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_streams),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
