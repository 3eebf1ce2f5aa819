/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pair's core, as protocol traces: three nodes, virtual time. Each text
 * was read and judged before it became the expectation; a change of it is a
 * change of behaviour. No test may ever have two guests running.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster.h"

static struct sim sim;

/* Promote: the guest boots, the other member becomes its standby. */
static void test_boot_and_protect(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_event(&sim, 0, KMR_EVENT_START, false);
    sim_event(&sim, 1, KMR_EVENT_START, false);
    sim_run(&sim, 10);
    sim_event(&sim, 0, KMR_EVENT_PROMOTE, false);
    sim_run(&sim, 1000);
    sim_expect(
        &sim,
        "node1 STOPPED -> IDLE (started by Pacemaker)\n"
        "node2 STOPPED -> IDLE (started by Pacemaker)\n"
        "node1 IDLE -> BOOTING (promoted by Pacemaker)\n"
        "node1 BOOTING -> SOLO (the guest boots)\n"
        "node1 SOLO -> INVITING (a standby is started on node2)\n"
        "node2 IDLE -> STANDBY_STARTING (invited by node1)\n"
        "node2 STANDBY_STARTING -> STANDBY_PREPARING (QEMU waits)\n"
        "node2 STANDBY_PREPARING -> STANDBY_READY (listens)\n"
        "node1 INVITING -> SYNCING (the standby on node2 is ready)\n"
        "node2 STANDBY_READY -> STANDBY_SYNCING (receives RAM)\n"
        "node2 STANDBY_SYNCING -> SYNCHRONISED (holds a committed checkpoint)\n"
        "node1 SYNCING -> IN_STEP (standby on node2 acknowledged checkpoint "
        "1)\n"
        "node1 IN_STEP -> PROTECTED (the record says paired: output is "
        "released)\n");
    /* R4 b: the owner is reaped, so its standby may go on */
    sim_kill_qemu(&sim, 0);
    sim_run(&sim, 5000);
    sim_expect(
        &sim,
        "node2 SYNCHRONISED -> PRIMARY_LOST (connection reset)\n"
        "node1 PROTECTED -> IDLE (QEMU is dead)\n"
        "node2 PRIMARY_LOST -> CLAIMED (the record names it the owner)\n"
        "node2 CLAIMED -> TAKING_OVER (no earlier owner can write any more)\n"
        "node2 TAKING_OVER -> SOLO (took over, the guest runs)\n"
        "node2 SOLO -> INVITING (a standby is started on node1)\n"
        "node1 IDLE -> STANDBY_STARTING (invited by node2)\n"
        "node1 STANDBY_STARTING -> STANDBY_PREPARING (QEMU waits)\n"
        "node1 STANDBY_PREPARING -> STANDBY_READY (listens)\n"
        "node2 INVITING -> SYNCING (the standby on node1 is ready)\n"
        "node1 STANDBY_READY -> STANDBY_SYNCING (receives RAM)\n"
        "node1 STANDBY_SYNCING -> SYNCHRONISED (holds a committed checkpoint)\n"
        "node2 SYNCING -> IN_STEP (standby on node1 acknowledged checkpoint "
        "1)\n"
        "node2 IN_STEP -> PROTECTED (the record says paired: output is "
        "released)\n");
    assert_int_equal(sim.max_running, 1);
}

/* R1: output is held until the standby is certainly dead. */
static void test_standby_dies(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim_kill_qemu(&sim, 1);
    sim_run(&sim, 5000);
    sim_expect(
        &sim,
        "node1 PROTECTED -> HOLDING (connection reset)\n"
        "node2 SYNCHRONISED -> IDLE (QEMU is dead)\n"
        "node1 HOLDING -> SOLO (runs on without a standby)\n"
        "node1 SOLO -> INVITING (a standby is started on node2)\n"
        "node2 IDLE -> STANDBY_STARTING (invited by node1)\n"
        "node2 STANDBY_STARTING -> STANDBY_PREPARING (QEMU waits)\n"
        "node2 STANDBY_PREPARING -> STANDBY_READY (listens)\n"
        "node1 INVITING -> SYNCING (the standby on node2 is ready)\n"
        "node2 STANDBY_READY -> STANDBY_SYNCING (receives RAM)\n"
        "node2 STANDBY_SYNCING -> SYNCHRONISED (holds a committed checkpoint)\n"
        "node1 SYNCING -> IN_STEP (standby on node2 acknowledged checkpoint "
        "1)\n"
        "node1 IN_STEP -> PROTECTED (the record says paired: output is "
        "released)\n");
    assert_int_equal(sim.max_running, 1);
}

/* R4 c: nothing happens before the fencing is confirmed; then at once. */
static void test_primary_node_dies(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim_power_cut(&sim, 0);
    sim_run(&sim, 5000);
    sim_expect(&sim,
               "node2 SYNCHRONISED -> PRIMARY_LOST (connection reset)\n"
               "node2 PRIMARY_LOST -> CLAIMED (the record names it the owner)\n"
               "node2 can't take over: an earlier owner is not confirmed dead "
               "(node node1 is not in the group and not fenced)\n");
    sim_fenced(&sim, 0);
    sim_run(&sim, 100);
    sim_expect(
        &sim,
        "node2 CLAIMED -> TAKING_OVER (no earlier owner can write any more)\n"
        "node2 TAKING_OVER -> SOLO (took over, the guest runs)\n");
    sim_boot(&sim, 0);
    sim_event(&sim, 0, KMR_EVENT_START, false);
    sim_run(&sim, 5000);
    sim_expect(
        &sim,
        "node1 STOPPED -> IDLE (started by Pacemaker)\n"
        "node2 SOLO -> INVITING (a standby is started on node1)\n"
        "node1 IDLE -> STANDBY_STARTING (invited by node2)\n"
        "node1 STANDBY_STARTING -> STANDBY_PREPARING (QEMU waits)\n"
        "node1 STANDBY_PREPARING -> STANDBY_READY (listens)\n"
        "node2 INVITING -> SYNCING (the standby on node1 is ready)\n"
        "node1 STANDBY_READY -> STANDBY_SYNCING (receives RAM)\n"
        "node1 STANDBY_SYNCING -> SYNCHRONISED (holds a committed checkpoint)\n"
        "node2 SYNCING -> IN_STEP (standby on node1 acknowledged checkpoint "
        "1)\n"
        "node2 IN_STEP -> PROTECTED (the record says paired: output is "
        "released)\n");
    assert_int_equal(sim.max_running, 1);
}

/* R3: with two of three voters the primary goes on by itself. */
static void test_standby_node_dies(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim_power_cut(&sim, 1);
    sim_run(&sim, 5000);
    sim_expect(&sim, "node1 PROTECTED -> HOLDING (connection reset)\n"
                     "node1 HOLDING -> SOLO (runs on without a standby)\n");
    assert_int_equal(sim.max_running, 1);
}

/* Two voters: the primary holds until the other is fenced. */
static void test_two_voters(void **state)
{
    (void)state;
    sim_init(&sim, 2);
    sim_protect(&sim);
    sim_power_cut(&sim, 1);
    sim_run(&sim, 5000);
    sim_expect(
        &sim,
        "node1 PROTECTED -> HOLDING (connection reset)\n"
        "node1 can't go solo: no majority of the voters is in the group\n");
    sim_fenced(&sim, 1);
    sim_run(&sim, 100);
    sim_expect(&sim, "node1 HOLDING -> SOLO (runs on without a standby)\n");
    /* its vote comes back with it */
    sim_boot(&sim, 1);
    sim_event(&sim, 1, KMR_EVENT_START, false);
    sim_run(&sim, 5000);
    sim_expect(
        &sim,
        "node2 STOPPED -> IDLE (started by Pacemaker)\n"
        "node1 SOLO -> INVITING (a standby is started on node2)\n"
        "node2 IDLE -> STANDBY_STARTING (invited by node1)\n"
        "node2 STANDBY_STARTING -> STANDBY_PREPARING (QEMU waits)\n"
        "node2 STANDBY_PREPARING -> STANDBY_READY (listens)\n"
        "node1 INVITING -> SYNCING (the standby on node2 is ready)\n"
        "node2 STANDBY_READY -> STANDBY_SYNCING (receives RAM)\n"
        "node2 STANDBY_SYNCING -> SYNCHRONISED (holds a committed checkpoint)\n"
        "node1 SYNCING -> IN_STEP (standby on node2 acknowledged checkpoint "
        "1)\n"
        "node1 IN_STEP -> PROTECTED (the record says paired: output is "
        "released)\n");
    assert_int_equal(kmr_record_voters(&sim.nodes[0].pair.agreed.record), 2);
}

/* Demote, with a node to promote; the promote that follows finds it done. */
static void test_handover(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim_event(&sim, 0, KMR_EVENT_DEMOTE, true);
    sim_run(&sim, 5000);
    sim_expect(
        &sim,
        "node1 PROTECTED -> HANDING_OVER (demoted by Pacemaker)\n"
        "node1 HANDING_OVER -> HANDED_OVER (frozen, the standby has all of "
        "it)\n"
        "node2 SYNCHRONISED -> CLAIMED (the record names it the owner)\n"
        "node2 CLAIMED -> TAKING_OVER (no earlier owner can write any more)\n"
        "node2 TAKING_OVER -> SOLO (took over, the guest runs)\n"
        "node1 HANDED_OVER -> KILLING (handed over)\n"
        "node1 KILLING -> IDLE (QEMU is dead)\n"
        "node2 SOLO -> INVITING (a standby is started on node1)\n"
        "node1 IDLE -> STANDBY_STARTING (invited by node2)\n"
        "node1 STANDBY_STARTING -> STANDBY_PREPARING (QEMU waits)\n"
        "node1 STANDBY_PREPARING -> STANDBY_READY (listens)\n"
        "node2 INVITING -> SYNCING (the standby on node1 is ready)\n"
        "node1 STANDBY_READY -> STANDBY_SYNCING (receives RAM)\n"
        "node1 STANDBY_SYNCING -> SYNCHRONISED (holds a committed checkpoint)\n"
        "node2 SYNCING -> IN_STEP (standby on node1 acknowledged checkpoint "
        "1)\n"
        "node2 IN_STEP -> PROTECTED (the record says paired: output is "
        "released)\n");
    sim_event(&sim, 1, KMR_EVENT_PROMOTE, false);
    sim_run(&sim, 10);
    sim_expect(&sim, "");
    assert_int_equal(sim.max_running, 1);
}

/* A promote on the standby asks the owner for a handover. */
static void test_promote_of_the_standby(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim_event(&sim, 1, KMR_EVENT_PROMOTE, false);
    sim_run(&sim, 5000);
    sim_expect(
        &sim,
        "node1 PROTECTED -> HANDING_OVER ()\n"
        "node1 HANDING_OVER -> HANDED_OVER (frozen, the standby has all of "
        "it)\n"
        "node2 SYNCHRONISED -> CLAIMED (the record names it the owner)\n"
        "node2 CLAIMED -> TAKING_OVER (no earlier owner can write any more)\n"
        "node2 TAKING_OVER -> SOLO (took over, the guest runs)\n"
        "node1 HANDED_OVER -> KILLING (handed over)\n"
        "node1 KILLING -> IDLE (QEMU is dead)\n"
        "node2 SOLO -> INVITING (a standby is started on node1)\n"
        "node1 IDLE -> STANDBY_STARTING (invited by node2)\n"
        "node1 STANDBY_STARTING -> STANDBY_PREPARING (QEMU waits)\n"
        "node1 STANDBY_PREPARING -> STANDBY_READY (listens)\n"
        "node2 INVITING -> SYNCING (the standby on node1 is ready)\n"
        "node1 STANDBY_READY -> STANDBY_SYNCING (receives RAM)\n"
        "node1 STANDBY_SYNCING -> SYNCHRONISED (holds a committed checkpoint)\n"
        "node2 SYNCING -> IN_STEP (standby on node1 acknowledged checkpoint "
        "1)\n"
        "node2 IN_STEP -> PROTECTED (the record says paired: output is "
        "released)\n");
    assert_int_equal(sim.max_running, 1);
}

/* The standby must not resurrect a guest that powered itself off. */
static void test_poweroff(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim_event(&sim, 0, KMR_EVENT_POWEROFF, false);
    sim_run(&sim, 5000);
    sim_expect(&sim, "node1 PROTECTED -> KILLING (the guest powered off)\n"
                     "node2 SYNCHRONISED -> PRIMARY_LOST (connection reset)\n"
                     "node1 KILLING -> IDLE (QEMU is dead)\n"
                     "node2 PRIMARY_LOST -> KILLING (the VM was shut down)\n"
                     "node2 KILLING -> IDLE (QEMU is dead)\n");
    assert_int_equal(sim.max_running, 1);
}

/* Demote with nobody to promote shuts the guest down. */
static void test_disable(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim_event(&sim, 0, KMR_EVENT_DEMOTE, false);
    sim_run(&sim, 5000);
    sim_expect(&sim,
               "node1 PROTECTED -> SHUTTING_DOWN (demoted by Pacemaker, nobody "
               "promoted)\n"
               "node1 SHUTTING_DOWN -> KILLING (the guest powered off)\n"
               "node2 SYNCHRONISED -> PRIMARY_LOST (connection reset)\n"
               "node1 KILLING -> IDLE (QEMU is dead)\n"
               "node2 PRIMARY_LOST -> KILLING (the VM was shut down)\n"
               "node2 KILLING -> IDLE (QEMU is dead)\n");
    sim_event(&sim, 0, KMR_EVENT_STOP, false);
    sim_event(&sim, 1, KMR_EVENT_STOP, false);
    sim_run(&sim, 100);
    sim_expect(&sim, "node1 IDLE -> STOPPED (stopped by Pacemaker)\n"
                     "node2 IDLE -> STOPPED (stopped by Pacemaker)\n");
    assert_int_equal(sim.max_running, 1);
}

/* Stop is quick and means down, also for the standby. */
static void test_stop_of_the_owner(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim_event(&sim, 0, KMR_EVENT_STOP, false);
    sim_run(&sim, 5000);
    sim_expect(&sim, "node1 PROTECTED -> KILLING (stopped by Pacemaker)\n"
                     "node2 SYNCHRONISED -> PRIMARY_LOST (connection reset)\n"
                     "node1 KILLING -> STOPPED (QEMU is dead)\n"
                     "node2 PRIMARY_LOST -> KILLING (the VM was shut down)\n"
                     "node2 KILLING -> IDLE (QEMU is dead)\n");
    assert_int_equal(sim.max_running, 1);
}

/* What runs is adopted and nothing stops meanwhile. */
static void test_kemarid_restarts(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim_kemarid_dies(&sim, 0);
    sim_run(&sim, 5000);
    sim_expect(&sim, "");
    sim_kemarid_back(&sim, 0);
    sim_run(&sim, 100);
    sim_expect(&sim, "node1 IDLE -> ADOPTING (found running)\n"
                     "node1 ADOPTING -> PROTECTED (adopted)\n");
    sim_kemarid_dies(&sim, 1);
    sim_run(&sim, 5000);
    sim_expect(&sim, "");
    sim_kemarid_back(&sim, 1);
    sim_run(&sim, 100);
    sim_expect(&sim, "node2 IDLE -> ADOPTING (found running)\n"
                     "node2 ADOPTING -> SYNCHRONISED (adopted)\n");
    /* a node that was not heard yet has not left the cluster */
    sim_kemarid_dies(&sim, 0);
    sim_kemarid_dies(&sim, 1);
    sim_kemarid_back(&sim, 1);
    sim_run(&sim, 1000);
    sim_expect(&sim, "node2 IDLE -> ADOPTING (found running)\n"
                     "node2 ADOPTING -> SYNCHRONISED (adopted)\n");
    /* nobody can confirm a death while its kemarid is away */
    sim_kill_qemu(&sim, 0);
    sim_run(&sim, 5000);
    sim_expect(&sim,
               "node2 SYNCHRONISED -> PRIMARY_LOST (connection reset)\n"
               "node2 PRIMARY_LOST -> CLAIMED (the record names it the owner)\n"
               "node2 can't take over: an earlier owner is not confirmed dead "
               "(node node1 is not in the group and not fenced)\n");
    sim_kemarid_back(&sim, 0);
    sim_run(&sim, 3000);
    sim_expect(
        &sim,
        "node2 CLAIMED -> TAKING_OVER (no earlier owner can write any more)\n"
        "node2 TAKING_OVER -> SOLO (took over, the guest runs)\n"
        "node2 SOLO -> INVITING (a standby is started on node1)\n"
        "node1 IDLE -> STANDBY_STARTING (invited by node2)\n"
        "node1 STANDBY_STARTING -> STANDBY_PREPARING (QEMU waits)\n"
        "node1 STANDBY_PREPARING -> STANDBY_READY (listens)\n"
        "node2 INVITING -> SYNCING (the standby on node1 is ready)\n"
        "node1 STANDBY_READY -> STANDBY_SYNCING (receives RAM)\n"
        "node1 STANDBY_SYNCING -> SYNCHRONISED (holds a committed checkpoint)\n"
        "node2 SYNCING -> IN_STEP (standby on node1 acknowledged checkpoint "
        "1)\n"
        "node2 IN_STEP -> PROTECTED (the record says paired: output is "
        "released)\n");
    assert_int_equal(sim.max_running, 1);
}

/* R5: without a majority of the voters nobody decides anything. */
static void test_no_majority(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim_kemarid_dies(&sim, 0);
    sim_kemarid_dies(&sim, 2);
    sim_kill_qemu(&sim, 0);
    sim_run(&sim, 5000);
    sim_expect(
        &sim,
        "node2 SYNCHRONISED -> PRIMARY_LOST (connection reset)\n"
        "node2 can't take over: no majority of the voters is in the group\n");
    sim_kemarid_back(&sim, 2);
    sim_run(&sim, 3000);
    sim_expect(&sim,
               "node2 PRIMARY_LOST -> CLAIMED (the record names it the owner)\n"
               "node2 can't take over: an earlier owner is not confirmed dead "
               "(node node1 is not in the group and not fenced)\n");
    sim_kemarid_back(&sim, 0);
    sim_run(&sim, 500);
    sim_expect(
        &sim,
        "node2 CLAIMED -> TAKING_OVER (no earlier owner can write any more)\n"
        "node2 TAKING_OVER -> SOLO (took over, the guest runs)\n");
    assert_int_equal(sim.max_running, 1);
}

/* Both lose the stream: the owner goes on, the standby gives way. */
static void test_replication_link(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim_engine(&sim, 0, KMR_ENGINE_HOLDING, "reset");
    sim_engine(&sim, 1, KMR_ENGINE_PRIMARY_LOST, "reset");
    sim_run(&sim, 5000);
    sim_expect(
        &sim,
        "node1 PROTECTED -> HOLDING (reset)\n"
        "node2 SYNCHRONISED -> PRIMARY_LOST (reset)\n"
        "node1 HOLDING -> SOLO (runs on without a standby)\n"
        "node2 PRIMARY_LOST -> KILLING (the owner goes on without it)\n"
        "node2 KILLING -> IDLE (QEMU is dead)\n"
        "node1 SOLO -> INVITING (a standby is started on node2)\n"
        "node2 IDLE -> STANDBY_STARTING (invited by node1)\n"
        "node2 STANDBY_STARTING -> STANDBY_PREPARING (QEMU waits)\n"
        "node2 STANDBY_PREPARING -> STANDBY_READY (listens)\n"
        "node1 INVITING -> SYNCING (the standby on node2 is ready)\n"
        "node2 STANDBY_READY -> STANDBY_SYNCING (receives RAM)\n"
        "node2 STANDBY_SYNCING -> SYNCHRONISED (holds a committed checkpoint)\n"
        "node1 SYNCING -> IN_STEP (standby on node2 acknowledged checkpoint "
        "1)\n"
        "node1 IN_STEP -> PROTECTED (the record says paired: output is "
        "released)\n");
    assert_int_equal(sim.max_running, 1);
}

/* Tries again, later each time, and the guest runs on. */
static void test_sync_fails(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim.nodes[0].sync_fails = true;
    sim_event(&sim, 0, KMR_EVENT_START, false);
    sim_event(&sim, 1, KMR_EVENT_START, false);
    sim_run(&sim, 10);
    sim_event(&sim, 0, KMR_EVENT_PROMOTE, false);
    sim_run(&sim, 10000);
    sim_expect(&sim,
               "node1 STOPPED -> IDLE (started by Pacemaker)\n"
               "node2 STOPPED -> IDLE (started by Pacemaker)\n"
               "node1 IDLE -> BOOTING (promoted by Pacemaker)\n"
               "node1 BOOTING -> SOLO (the guest boots)\n"
               "node1 SOLO -> INVITING (a standby is started on node2)\n"
               "node2 IDLE -> STANDBY_STARTING (invited by node1)\n"
               "node2 STANDBY_STARTING -> STANDBY_PREPARING (QEMU waits)\n"
               "node2 STANDBY_PREPARING -> STANDBY_READY (listens)\n"
               "node1 INVITING -> SYNCING (the standby on node2 is ready)\n"
               "node1 SYNCING -> SOLO (standby on node2: no connection)\n"
               "node2 STANDBY_READY -> KILLING (given up by the owner)\n"
               "node2 KILLING -> IDLE (QEMU is dead)\n"
               "node1 SOLO -> INVITING (a standby is started on node2)\n"
               "node2 IDLE -> STANDBY_STARTING (invited by node1)\n"
               "node2 STANDBY_STARTING -> STANDBY_PREPARING (QEMU waits)\n"
               "node2 STANDBY_PREPARING -> STANDBY_READY (listens)\n"
               "node1 INVITING -> SYNCING (the standby on node2 is ready)\n"
               "node1 SYNCING -> SOLO (standby on node2: no connection)\n"
               "node2 STANDBY_READY -> KILLING (given up by the owner)\n"
               "node2 KILLING -> IDLE (QEMU is dead)\n"
               "node1 SOLO -> INVITING (a standby is started on node2)\n"
               "node2 IDLE -> STANDBY_STARTING (invited by node1)\n"
               "node2 STANDBY_STARTING -> STANDBY_PREPARING (QEMU waits)\n"
               "node2 STANDBY_PREPARING -> STANDBY_READY (listens)\n"
               "node1 INVITING -> SYNCING (the standby on node2 is ready)\n"
               "node1 SYNCING -> SOLO (standby on node2: no connection)\n"
               "node2 STANDBY_READY -> KILLING (given up by the owner)\n"
               "node2 KILLING -> IDLE (QEMU is dead)\n"
               "node1 SOLO -> INVITING (a standby is started on node2)\n"
               "node2 IDLE -> STANDBY_STARTING (invited by node1)\n"
               "node2 STANDBY_STARTING -> STANDBY_PREPARING (QEMU waits)\n"
               "node2 STANDBY_PREPARING -> STANDBY_READY (listens)\n"
               "node1 INVITING -> SYNCING (the standby on node2 is ready)\n"
               "node1 SYNCING -> SOLO (standby on node2: no connection)\n"
               "node2 STANDBY_READY -> KILLING (given up by the owner)\n"
               "node2 KILLING -> IDLE (QEMU is dead)\n");
    assert_int_equal(sim.max_running, 1);
}

/* The acknowledgement comes before the standby has loaded: it is waited for. */
static void test_slow_load(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim.nodes[1].loads_slowly = true;
    sim_event(&sim, 0, KMR_EVENT_START, false);
    sim_event(&sim, 1, KMR_EVENT_START, false);
    sim_run(&sim, 10);
    sim_event(&sim, 0, KMR_EVENT_PROMOTE, false);
    sim_run(&sim, 1000);
    sim.trace[0] = '\0';
    sim_kill_qemu(&sim, 0);
    sim_run(&sim, 1000);
    sim_expect(&sim, "node1 PROTECTED -> IDLE (QEMU is dead)\n");
    sim_engine(&sim, 1, KMR_ENGINE_SYNCHRONISED, "");
    sim_run(&sim, 100);
    sim_expect(
        &sim,
        "node2 STANDBY_SYNCING -> SYNCHRONISED (holds a committed checkpoint)\n"
        "node2 SYNCHRONISED -> CLAIMED (the record names it the owner)\n"
        "node2 CLAIMED -> TAKING_OVER (no earlier owner can write any more)\n"
        "node2 TAKING_OVER -> SOLO (took over, the guest runs)\n");
    assert_int_equal(sim.max_running, 1);
}

/* ... but not for ever. */
static void test_load_never_ends(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim.nodes[1].loads_slowly = true;
    sim_event(&sim, 0, KMR_EVENT_START, false);
    sim_event(&sim, 1, KMR_EVENT_START, false);
    sim_run(&sim, 10);
    sim_event(&sim, 0, KMR_EVENT_PROMOTE, false);
    sim_run(&sim, 1000);
    sim.trace[0] = '\0';
    sim_kill_qemu(&sim, 0);
    sim_run(&sim, KMR_LOAD_MS - 100);
    sim_expect(&sim, "node1 PROTECTED -> IDLE (QEMU is dead)\n");
    sim_run(&sim, 1000);
    sim_expect(&sim,
               "node2 STANDBY_SYNCING -> KILLING (never became synchronised)\n"
               "node2 KILLING -> IDLE (QEMU is dead)\n");
    assert_int_equal(sim.max_running, 1);
}

/* No standby: the VM is down, and Pacemaker decides what next. */
static void test_solo_dies(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_event(&sim, 0, KMR_EVENT_START, false);
    sim_run(&sim, 10);
    sim_event(&sim, 0, KMR_EVENT_PROMOTE, false);
    sim_run(&sim, 1000);
    sim.trace[0] = '\0';
    sim_kill_qemu(&sim, 0);
    sim_run(&sim, 1000);
    sim_expect(&sim, "node1 SOLO -> IDLE (QEMU is dead)\n");
    assert_int_equal(sim.max_running, 1);
}

/* A boot that fails is not tried again at once, however often it is asked. */
static void test_failed_boot(void **state)
{
    uint64_t generation;

    (void)state;
    sim_init(&sim, 3);
    sim.nodes[0].create_fails = true;
    sim_event(&sim, 0, KMR_EVENT_START, false);
    sim_event(&sim, 0, KMR_EVENT_PROMOTE, false);
    sim_run(&sim, 1000);
    sim_expect(&sim, "node1 STOPPED -> IDLE (started by Pacemaker)\n"
                     "node1 IDLE -> BOOTING (promoted by Pacemaker)\n"
                     "node1 BOOTING -> KILLING (no BIOS)\n"
                     "node1 KILLING -> IDLE (QEMU is dead)\n");
    generation = sim.nodes[0].pair.agreed.record.generation;
    for (int i = 0; i < 10; i++) {
        sim_event(&sim, 0, KMR_EVENT_PROMOTE, false);
        sim_run(&sim, 100);
    }
    sim_expect(&sim, "");
    assert_true(generation == sim.nodes[0].pair.agreed.record.generation);
    sim.nodes[0].create_fails = false;
    sim_run(&sim, 30000);
    sim_event(&sim, 0, KMR_EVENT_PROMOTE, false);
    sim_run(&sim, 1000);
    sim_expect(&sim, "node1 IDLE -> BOOTING (promoted by Pacemaker)\n"
                     "node1 BOOTING -> SOLO (the guest boots)\n");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boot_and_protect),
        cmocka_unit_test(test_standby_dies),
        cmocka_unit_test(test_primary_node_dies),
        cmocka_unit_test(test_standby_node_dies),
        cmocka_unit_test(test_two_voters),
        cmocka_unit_test(test_handover),
        cmocka_unit_test(test_promote_of_the_standby),
        cmocka_unit_test(test_poweroff),
        cmocka_unit_test(test_disable),
        cmocka_unit_test(test_stop_of_the_owner),
        cmocka_unit_test(test_kemarid_restarts),
        cmocka_unit_test(test_no_majority),
        cmocka_unit_test(test_replication_link),
        cmocka_unit_test(test_sync_fails),
        cmocka_unit_test(test_slow_load),
        cmocka_unit_test(test_load_never_ends),
        cmocka_unit_test(test_solo_dies),
        cmocka_unit_test(test_failed_boot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
