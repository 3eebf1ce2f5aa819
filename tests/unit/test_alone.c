/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The VM without `promotable`, as protocol traces: see test_pair.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster.h"
#include "core/answer.h"

static struct sim sim;
static char reason[KMR_REASON_MAX];

static const struct kmr_pair *pair(unsigned node)
{
    return &sim.nodes[node].pair;
}

static int monitor(unsigned node)
{
    return kmr_answer_monitor(pair(node), false, sim.now_ms, reason);
}

static void migrate(const char *to)
{
    struct kmr_event event = { .type = KMR_EVENT_MIGRATE };

    snprintf(event.node, sizeof(event.node), "%s", to);
    sim_step(&sim, 0, &event);
}

/* Runs on node1, and the others have nothing of it. */
static void begin(void)
{
    sim_init(&sim, 3);
    sim_event(&sim, 0, KMR_EVENT_START, true);
    sim_run(&sim, 5000);
    sim_expect(&sim, "node1 STOPPED -> IDLE (started by Pacemaker)\n"
                     "node1 IDLE -> BOOTING (started by Pacemaker)\n"
                     "node1 BOOTING -> SOLO (the guest boots)\n");
    assert_int_equal(kmr_answer_start(pair(0), reason), KMR_OCF_SUCCESS);
    assert_int_equal(monitor(0), KMR_OCF_SUCCESS);
    assert_int_equal(monitor(1), KMR_OCF_NOT_RUNNING);
    assert_true(kmr_answer_score(pair(0)) == KMR_SCORE_NONE);
}

static int migrated(const char *instance, const char *to)
{
    return kmr_answer_migrate(pair(0), instance, to, reason);
}

/* Stop lets the guest power off, and the next start boots anywhere. */
static void test_stop(void **state)
{
    (void)state;
    begin();
    sim_event(&sim, 0, KMR_EVENT_STOP, false);
    sim_run(&sim, 1000);
    sim_expect(&sim, "node1 SOLO -> SHUTTING_DOWN (stopped by Pacemaker)\n"
                     "node1 SHUTTING_DOWN -> KILLING (the guest powered off)\n"
                     "node1 KILLING -> STOPPED (QEMU is dead)\n");
    assert_int_equal(pair(1)->agreed.record.mode, KMR_MODE_DOWN);
    sim_event(&sim, 1, KMR_EVENT_START, true);
    sim_run(&sim, 1000);
    sim_expect(&sim, "node2 STOPPED -> IDLE (started by Pacemaker)\n"
                     "node2 IDLE -> BOOTING (started by Pacemaker)\n"
                     "node2 BOOTING -> SOLO (the guest boots)\n");
    assert_int_equal(sim.max_running, 1);
}

/* Its QEMU dies: nothing happens before Pacemaker says so. */
static void test_qemu_dies(void **state)
{
    (void)state;
    begin();
    sim_kill_qemu(&sim, 0);
    sim_run(&sim, 1000);
    sim_expect(&sim, "node1 SOLO -> IDLE (QEMU is dead)\n");
    assert_int_equal(monitor(0), KMR_OCF_NOT_RUNNING);
    sim_event(&sim, 0, KMR_EVENT_STOP, false);
    sim_event(&sim, 0, KMR_EVENT_START, true);
    sim_run(&sim, 1000);
    sim_expect(&sim, "node1 IDLE -> STOPPED (stopped by Pacemaker)\n"
                     "node1 STOPPED -> IDLE (started by Pacemaker)\n"
                     "node1 IDLE -> BOOTING (started by Pacemaker)\n"
                     "node1 BOOTING -> SOLO (the guest boots)\n");
}

/* R4: its node dies; started elsewhere it boots when the fencing is known. */
static void test_node_dies(void **state)
{
    (void)state;
    begin();
    sim_power_cut(&sim, 0);
    sim_event(&sim, 1, KMR_EVENT_START, true);
    sim_run(&sim, 10000);
    sim_expect(&sim, "node2 STOPPED -> IDLE (started by Pacemaker)\n"
                     "node2 can't boot: the owner is not confirmed dead (node "
                     "node1 is not in the group and not fenced)\n");
    assert_int_equal(kmr_answer_start(pair(1), reason), KMR_OCF_PENDING);
    sim_fenced(&sim, 0);
    sim_run(&sim, 1000);
    sim_expect(&sim, "node2 IDLE -> BOOTING (started by Pacemaker)\n"
                     "node2 BOOTING -> SOLO (the guest boots)\n");
    assert_int_equal(sim.max_running, 1);
}

/* A start where it runs elsewhere fails, and does not wait for ever. */
static void test_runs_elsewhere(void **state)
{
    (void)state;
    begin();
    sim_event(&sim, 1, KMR_EVENT_START, true);
    sim_run(&sim, KMR_ELSEWHERE_MS - 500);
    assert_int_equal(kmr_answer_start(pair(1), reason), KMR_OCF_PENDING);
    sim_run(&sim, 1000);
    assert_int_equal(kmr_answer_start(pair(1), reason), KMR_OCF_ERR_GENERIC);
    assert_string_equal(reason, "it runs on node1");
    assert_int_equal(sim.max_running, 1);
}

/* The deadline of a start passes while its claim waits for answers: it is put
 * off, and does not wake kemarid every 5 ms. */
static void test_start_takes_long(void **state)
{
    struct kmr_event event = { .type = KMR_EVENT_START, .flag = true };
    uint64_t when;

    (void)state;
    sim_init(&sim, 3);
    sim_step(&sim, 0, &event);
    assert_int_equal(pair(0)->claim, KMR_CLAIM_BOOT);
    event.type = KMR_EVENT_TICK;
    for (unsigned i = 0; i < 10; i++) {
        sim.now_ms += KMR_ELSEWHERE_MS;
        sim_step(&sim, 0, &event);
        when = kmr_pair_deadline(pair(0));
        assert_true(when == 0 || when > sim.now_ms);
    }
}

#define UP_TO_SYNCING                                            \
    "node1 SOLO -> INVITING (a standby is started on node2)\n"   \
    "node2 STOPPED -> STANDBY_STARTING (invited by node1)\n"     \
    "node2 STANDBY_STARTING -> STANDBY_PREPARING (QEMU waits)\n" \
    "node2 STANDBY_PREPARING -> STANDBY_READY (listens)\n"       \
    "node1 INVITING -> SYNCING (the standby on node2 is ready)\n"

/* migrate_to, migrate_from, stop: the source records nothing. */
static void test_migrate(void **state)
{
    char instance[KMR_UUID_MAX];

    (void)state;
    begin();
    strcpy(instance, pair(0)->instance);
    migrate("node2");
    assert_int_equal(migrated(instance, "node2"), KMR_OCF_PENDING);
    sim_run(&sim, 5000);
    sim_expect(
        &sim, UP_TO_SYNCING
        "node2 STANDBY_READY -> STANDBY_SYNCING (receives RAM)\n"
        "node2 STANDBY_SYNCING -> SYNCHRONISED (holds a committed checkpoint)\n"
        "node1 SYNCING -> IN_STEP (standby on node2 acknowledged checkpoint "
        "1)\n"
        "node1 IN_STEP -> PROTECTED (the record says paired: output is "
        "released)\n"
        "node1 PROTECTED -> HANDING_OVER (migrated by Pacemaker)\n"
        "node1 HANDING_OVER -> HANDED_OVER (frozen, the standby has all of "
        "it)\n"
        "node2 SYNCHRONISED -> CLAIMED (the record names it the owner)\n"
        "node2 CLAIMED -> TAKING_OVER (no earlier owner can write any more)\n"
        "node2 TAKING_OVER -> SOLO (took over, the guest runs)\n"
        "node1 HANDED_OVER -> KILLING (handed over)\n"
        "node1 KILLING -> IDLE (QEMU is dead)\n");
    assert_int_equal(migrated(instance, "node2"), KMR_OCF_SUCCESS);
    sim_event(&sim, 1, KMR_EVENT_ARRIVE, false);
    assert_int_equal(kmr_answer_arrive(pair(1), reason), KMR_OCF_SUCCESS);
    assert_int_equal(monitor(0), KMR_OCF_NOT_RUNNING);
    assert_int_equal(monitor(1), KMR_OCF_SUCCESS);
    sim_event(&sim, 0, KMR_EVENT_STOP, false);
    sim_run(&sim, 5000);
    sim_expect(&sim, "node1 IDLE -> STOPPED (stopped by Pacemaker)\n");
    assert_int_equal(pair(1)->agreed.record.mode, KMR_MODE_SOLO);
    assert_int_equal(sim.max_running, 1);
}

/* A target that fails costs nothing but the migration. */
static void test_migration_fails(void **state)
{
    char instance[KMR_UUID_MAX];

    (void)state;
    begin();
    strcpy(instance, pair(0)->instance);
    sim.nodes[0].sync_fails = true;
    migrate("node2");
    sim_run(&sim, 10000);
    sim_expect(&sim, UP_TO_SYNCING
               "node1 SYNCING -> SOLO (standby on node2: no connection)\n"
               "node2 STANDBY_READY -> KILLING (given up by the owner)\n"
               "node2 KILLING -> STOPPED (QEMU is dead)\n");
    assert_int_equal(migrated(instance, "node2"), KMR_OCF_ERR_GENERIC);
    assert_string_equal(reason,
                        "not migrated: standby on node2: no connection");
    migrate("node9");
    assert_int_equal(migrated(instance, "node9"), KMR_OCF_ERR_GENERIC);
    assert_int_equal(monitor(0), KMR_OCF_SUCCESS);
    assert_int_equal(sim.max_running, 1);
}

/* Out of time while it synchronises: the standby goes, the source goes on. */
static void test_migration_given_up(void **state)
{
    (void)state;
    begin();
    sim.nodes[0].mute = true;
    migrate("node2");
    sim_run(&sim, 1000);
    sim.nodes[0].mute = false;
    migrate("");
    sim_run(&sim, 5000);
    sim_expect(&sim, UP_TO_SYNCING
               "node1 SYNCING -> SOLO (standby on node2: no migration wants "
               "it)\n"
               "node2 STANDBY_READY -> KILLING (given up by the owner)\n"
               "node2 KILLING -> STOPPED (QEMU is dead)\n");
    assert_int_equal(monitor(0), KMR_OCF_SUCCESS);
}

/* The source's kemarid restarts: what it finds in step, no migration wants. */
static void test_kemarid_restarts(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim.nodes[0].pair.alone = sim.nodes[1].pair.alone = true;
    sim.nodes[1].pair.want = KMR_WANT_STOPPED;
    sim_kemarid_dies(&sim, 0);
    sim_kemarid_back(&sim, 0);
    sim_run(&sim, 5000);
    sim_expect(&sim, "node1 IDLE -> ADOPTING (found running)\n"
                     "node1 ADOPTING -> PROTECTED (adopted)\n"
                     "node2 SYNCHRONISED -> KILLING (no migration wants it)\n"
                     "node1 PROTECTED -> HOLDING (connection reset)\n"
                     "node2 KILLING -> STOPPED (QEMU is dead)\n"
                     "node1 HOLDING -> SOLO (runs on without a standby)\n");
    assert_int_equal(monitor(0), KMR_OCF_SUCCESS);
    assert_int_equal(monitor(1), KMR_OCF_NOT_RUNNING);
    assert_int_equal(sim.max_running, 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_qemu_dies),
        cmocka_unit_test(test_node_dies),
        cmocka_unit_test(test_runs_elsewhere),
        cmocka_unit_test(test_start_takes_long),
        cmocka_unit_test(test_migrate),
        cmocka_unit_test(test_migration_fails),
        cmocka_unit_test(test_migration_given_up),
        cmocka_unit_test(test_kemarid_restarts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
