/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What people do to a cluster that the record has to follow: a kemarid is
 * stopped, and what was agreed is overruled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cluster.h"

static struct sim sim;

static unsigned voters(unsigned node)
{
    return kmr_record_voters(&sim.nodes[node].pair.agreed.record);
}

/* The third node's kemarid is stopped: two voters are left, and one of them
 * may die confirmed without the other being stuck. */
static void test_leave(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    assert_int_equal(voters(0), 3);
    sim_event(&sim, 2, KMR_EVENT_LEAVE, false);
    sim_run(&sim, 100);
    assert_true(kmr_pair_left(&sim.nodes[2].pair));
    assert_int_equal(voters(0), 2);
    assert_int_equal(voters(1), 2);
    sim_kemarid_dies(&sim, 2);
    sim_expect(&sim, "");
    sim_power_cut(&sim, 0);
    sim_fenced(&sim, 0);
    sim_run(&sim, 500);
    assert_true(kmr_pair_owns(&sim.nodes[1].pair));
    assert_int_equal(voters(1), 1);
    assert_int_equal(sim.max_running, 1);
}

/* It is back: the owner admits it again. */
static void test_back(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim_event(&sim, 2, KMR_EVENT_LEAVE, false);
    sim_run(&sim, 100);
    sim_kemarid_dies(&sim, 2);
    sim_run(&sim, 5000);
    assert_int_equal(voters(0), 2);
    sim_kemarid_back(&sim, 2);
    sim_run(&sim, 5000);
    assert_int_equal(voters(0), 3);
    assert_true(kmr_consensus_votes(&sim.nodes[2].pair.agreed));
}

/* Where a QEMU of the VM is, the vote stays: the kemarid is only restarted. */
static void test_no_leave(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim_event(&sim, 0, KMR_EVENT_LEAVE, false);
    sim_event(&sim, 1, KMR_EVENT_LEAVE, false);
    sim_run(&sim, 100);
    assert_true(kmr_pair_left(&sim.nodes[0].pair));
    assert_int_equal(voters(2), 3);
    sim_expect(&sim, "");
}

/* R8: the owner and its standby are gone, and nobody will ever confirm it. */
static void test_force(void **state)
{
    uint64_t generation;

    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim_power_cut(&sim, 0);
    sim_power_cut(&sim, 1);
    sim_event(&sim, 2, KMR_EVENT_START, false);
    sim_event(&sim, 2, KMR_EVENT_PROMOTE, false);
    sim_run(&sim, 60000);
    assert_false(kmr_phase_has_qemu(sim.nodes[2].pair.phase));
    generation = sim.nodes[2].pair.agreed.record.generation;
    sim.trace[0] = '\0';
    sim_event(&sim, 2, KMR_EVENT_FORCE, false);
    sim_event(&sim, 2, KMR_EVENT_PROMOTE, false);
    sim_run(&sim, 1000);
    sim_expect(&sim, "node3 FORCED: down, an operator says; may lose data\n"
                     "node3 IDLE -> BOOTING (promoted by Pacemaker)\n"
                     "node3 BOOTING -> SOLO (the guest boots)\n");
    assert_true(sim.nodes[2].pair.agreed.record.generation >
                generation + KMR_FORCED_GENERATIONS);
    /* One that comes back has nothing to say about it. */
    sim_boot(&sim, 0);
    sim_event(&sim, 0, KMR_EVENT_START, false);
    sim_run(&sim, 10000);
    assert_true(kmr_pair_owns(&sim.nodes[2].pair));
    assert_true(sim.nodes[0].pair.agreed.record.generation ==
                sim.nodes[2].pair.agreed.record.generation);
}

/* Not while a QEMU of it is known to be somewhere. */
static void test_no_force(void **state)
{
    uint64_t generation;

    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    generation = sim.nodes[2].pair.agreed.record.generation;
    for (unsigned i = 0; i < 3; i++) {
        sim_event(&sim, i, KMR_EVENT_FORCE, false);
        assert_true(sim.nodes[i].pair.agreed.record.generation == generation);
    }
    sim_expect(&sim, "node1 not forced: a QEMU of it is here\n"
                     "node2 not forced: a QEMU of it is here\n"
                     "node3 not forced: another node has a QEMU of it\n");
}

/*
 * Pacemaker wants it on another node just when it has no standby (campaign,
 * fault 448: corosync lost a node for less than a second): the guest is not
 * shut down for that, it moves when there is one.
 */
static void test_demote_without_standby(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim.nodes[0].sync_fails = true;
    sim_kill_qemu(&sim, 1);
    sim_run(&sim, 100);
    assert_int_equal(sim.nodes[0].pair.phase, KMR_PHASE_SOLO);
    sim.nodes[0].sync_fails = false;
    sim_event(&sim, 0, KMR_EVENT_DEMOTE, true);
    sim_event(&sim, 1, KMR_EVENT_PROMOTE, false);
    sim_run(&sim, 20000);
    assert_true(kmr_pair_owns(&sim.nodes[1].pair));
    assert_true(strstr(sim.trace, "node1 PROTECTED -> HANDING_OVER"));
    assert_null(strstr(sim.trace, "SHUTTING_DOWN"));
    assert_int_equal(sim.max_running, 1);
}

/*
 * Nor where nobody who could be the standby is heard of: the other kemarids
 * have ended, or corosync has lost their nodes for a moment.
 */
static void test_demote_where_nobody_is(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim.nodes[0].sync_fails = true;
    sim_kill_qemu(&sim, 1);
    sim_run(&sim, 100);
    sim_kemarid_dies(&sim, 1);
    sim_kemarid_dies(&sim, 2);
    sim_run(&sim, 100);
    assert_int_equal(sim.nodes[0].pair.phase, KMR_PHASE_SOLO);
    sim_event(&sim, 0, KMR_EVENT_DEMOTE, true);
    sim_run(&sim, 5000);
    assert_int_equal(sim.nodes[0].pair.phase, KMR_PHASE_SOLO);
    assert_true(kmr_pair_demote_waits(&sim.nodes[0].pair));
    sim.nodes[0].sync_fails = false;
    sim_kemarid_back(&sim, 1);
    sim_run(&sim, 20000);
    assert_true(strstr(sim.trace, "node1 PROTECTED -> HANDING_OVER"));
    assert_true(kmr_pair_owns(&sim.nodes[1].pair));
    assert_null(strstr(sim.trace, "SHUTTING_DOWN"));
    assert_false(kmr_pair_demote_waits(&sim.nodes[0].pair));
}

/* A handover that fails is ordered again, as long as the demote waits. */
static void test_demote_again(void **state)
{
    struct kmr_event event = { .type = KMR_EVENT_DONE,
                               .order = KMR_ORDER_HANDOVER };

    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim.nodes[0].mute = true;
    sim_event(&sim, 0, KMR_EVENT_DEMOTE, true);
    assert_int_equal(sim.nodes[0].pair.phase, KMR_PHASE_HANDING_OVER);
    assert_false(kmr_pair_demote_waits(&sim.nodes[0].pair));
    sim.nodes[0].mute = false;
    sim.nodes[0].waiting = KMR_ORDER_NONE;
    event.tag = sim.nodes[0].pair.tag;
    sim_step(&sim, 0, &event);
    assert_int_equal(sim.nodes[0].pair.phase, KMR_PHASE_PROTECTED);
    assert_true(kmr_pair_demote_waits(&sim.nodes[0].pair));
    sim_run(&sim, 5000);
    assert_true(kmr_pair_owns(&sim.nodes[1].pair));
    assert_null(strstr(sim.trace, "SHUTTING_DOWN"));
}

/* Whose input is passed on when it dies: the owner's, while there is another
 * that may go on; not that of a standby, nor of the only one. */
static void test_goes_on(void **state)
{
    const struct kmr_record *record = &sim.nodes[0].pair.agreed.record;
    char old[KMR_UUID_MAX], new[KMR_UUID_MAX];

    (void)state;
    sim_init(&sim, 2);
    sim_protect(&sim);
    strcpy(old, sim.nodes[0].pair.instance);
    strcpy(new, sim.nodes[1].pair.instance);
    assert_true(kmr_record_goes_on(record, old));
    assert_false(kmr_record_goes_on(record, new));
    sim_event(&sim, 0, KMR_EVENT_DEMOTE, true);
    sim_run(&sim, 100);
    assert_true(kmr_inst_is(&record->owner, new));
    assert_true(kmr_record_goes_on(record, old));
    assert_false(kmr_record_goes_on(record, new));
    assert_false(kmr_record_goes_on(record, ""));
}

/* The owner hangs, and its kemarid is restarted meanwhile: the new one finds
 * a QEMU that never says what it is, and which another has to see dead. */
static void test_adopts_a_hanging_owner(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim.nodes[0].mute = true;
    sim_kemarid_dies(&sim, 0);
    sim_kemarid_back(&sim, 0);
    assert_int_equal(sim.nodes[0].pair.phase, KMR_PHASE_ADOPTING);
    /* a report about its disk is about a guest of this node */
    assert_true(kmr_pair_guest_here(&sim.nodes[0].pair));
    assert_false(kmr_pair_owns(&sim.nodes[0].pair));
    assert_false(kmr_pair_guest_here(&sim.nodes[1].pair));
    sim_engine(&sim, 1, KMR_ENGINE_PRIMARY_LOST, "silent");
    sim_run(&sim, 500);
    assert_int_equal(sim.nodes[0].pair.phase, KMR_PHASE_KILLING);
    sim_kill_qemu(&sim, 0);
    sim_run(&sim, 500);
    assert_int_equal(sim.nodes[1].pair.phase, KMR_PHASE_SOLO);
    assert_int_equal(sim.max_running, 1);
}

/* The same with a standby: it stays while the record names it, and is ended
 * when that is no longer so and it has not answered for a while. */
static void test_adopts_a_hanging_standby(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim.nodes[1].mute = true;
    sim_kemarid_dies(&sim, 1);
    sim_kemarid_back(&sim, 1);
    sim_run(&sim, 2 * KMR_ADOPT_MS);
    assert_int_equal(sim.nodes[1].pair.phase, KMR_PHASE_ADOPTING);
    assert_false(kmr_pair_guest_here(&sim.nodes[1].pair));
    sim_engine(&sim, 0, KMR_ENGINE_HOLDING, "silent");
    sim_run(&sim, 500);
    assert_true(kmr_pair_owns(&sim.nodes[0].pair));
    assert_int_equal(sim.nodes[1].pair.phase, KMR_PHASE_KILLING);
}

/* A page of the owner's memory is lost: the standby has it as it was. */
static void test_memory_lost(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim_engine(&sim, 0, KMR_ENGINE_MEMORY_LOST, "a page is lost");
    sim_run(&sim, 100);
    sim_expect(
        &sim,
        "node2 SYNCHRONISED -> CLAIMED (the record names it the owner)\n"
        "node2 can't take over: an earlier owner is not confirmed dead (node "
        "node1)\n"
        "node1 PROTECTED -> KILLING (another instance is the owner)\n"
        "node1 KILLING -> IDLE (QEMU is dead)\n"
        "node2 CLAIMED -> TAKING_OVER (no earlier owner can write any more)\n"
        "node2 TAKING_OVER -> SOLO (took over, the guest runs)\n");
    assert_int_equal(sim.max_running, 1);
}

/* A page of a standby's is lost, in whatever it does: it is made anew. */
static void drop_standby_in(enum kmr_phase phase)
{
    struct kmr_event drop = { .type = KMR_EVENT_DROP };
    struct kmr_pair *pair = &sim.nodes[1].pair;
    char instance[sizeof(pair->instance)];

    sim_init(&sim, 3);
    sim.nodes[1].loads_slowly = phase == KMR_PHASE_STANDBY_SYNCING;
    sim_event(&sim, 0, KMR_EVENT_START, false);
    sim_event(&sim, 1, KMR_EVENT_START, false);
    sim_run(&sim, 10);
    sim_event(&sim, 0, KMR_EVENT_PROMOTE, false);
    sim_run(&sim, 100);
    assert_int_equal(pair->phase, phase);
    assert_true(kmr_pair_copy_here(pair));
    assert_false(kmr_pair_copy_here(&sim.nodes[0].pair));
    assert_false(kmr_pair_copy_here(&sim.nodes[2].pair));
    memcpy(instance, pair->instance, sizeof(instance));
    memcpy(drop.id, instance, sizeof(instance));
    strcpy(drop.reason, "memory failure");
    sim_step(&sim, 1, &drop);
    assert_false(kmr_pair_copy_here(pair));
    sim.nodes[1].loads_slowly = false;
    sim_run(&sim, 60000);
    assert_int_equal(sim.nodes[0].pair.phase, KMR_PHASE_PROTECTED);
    assert_string_not_equal(pair->instance, instance);
    assert_int_equal(sim.max_running, 1);
}

static void test_standby_memory_lost(void **state)
{
    (void)state;
    drop_standby_in(KMR_PHASE_STANDBY_SYNCING);
    drop_standby_in(KMR_PHASE_SYNCHRONISED);
}

/* The standby is lost as well, as it happens: the guest copes by itself. */
static void test_memory_lost_alone(void **state)
{
    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    sim_power_cut(&sim, 1);
    sim_engine(&sim, 0, KMR_ENGINE_MEMORY_LOST, "a page is lost");
    sim_run(&sim, 60000);
    assert_true(kmr_pair_owns(&sim.nodes[0].pair));
    assert_int_equal(sim.nodes[0].pair.phase, KMR_PHASE_SOLO);
    assert_int_equal(sim.max_running, 1);
}

/* The engine asks for it: solo by record, and no new standby at once. */
static void test_overload(void **state)
{
    struct kmr_event event = { .type = KMR_EVENT_ENGINE,
                               .engine = KMR_ENGINE_PROTECTED,
                               .role = KMR_ENGINE_ROLE_PRIMARY,
                               .checkpoint = 2 };

    (void)state;
    sim_init(&sim, 3);
    sim_protect(&sim);
    event.generation = sim.nodes[0].qemu.generation;
    memcpy(event.id, sim.nodes[0].qemu.id, sizeof(event.id));
    memcpy(event.peer, sim.nodes[0].qemu.peer, sizeof(event.peer));
    sim_step(&sim, 0, &event); /* nothing is asked */
    event.overloaded = true;
    sim_step(&sim, 0, &event); /* the synchronisation's */
    sim_run(&sim, KMR_OVERLOAD_CALM_MS);
    sim_expect(&sim, "");
    sim_step(&sim, 0, &event);
    sim_run(&sim, 1000);
    assert_string_equal(sim.nodes[0].pair.agreed.record.owner.node, "node1");
    assert_int_equal(sim.nodes[0].pair.agreed.record.mode, KMR_MODE_SOLO);
    assert_int_equal(sim.nodes[0].pair.phase, KMR_PHASE_SOLO);
    sim_run(&sim, KMR_OVERLOAD_MS - 3000);
    assert_int_equal(sim.nodes[0].pair.phase, KMR_PHASE_SOLO);
    sim_run(&sim, 10000);
    assert_int_equal(sim.nodes[0].pair.phase, KMR_PHASE_PROTECTED);
    assert_int_equal(sim.max_running, 1);
}

/* A handover is asked for while a claim is under way: it has to wait. */
static void ask_too_early(void)
{
    /* its file is new: it votes under another id */
    struct kmr_event votes = { .type = KMR_EVENT_RECORD,
                               .node = "node3",
                               .id = "00000000-0000-4000-8000-999999999999" };

    sim_init(&sim, 3);
    sim_protect(&sim);
    sim_step(&sim, 0, &votes);
    assert_int_equal(sim.nodes[0].pair.claim, KMR_CLAIM_VOTERS);
    sim_event(&sim, 0, KMR_EVENT_HANDOVER, false);
    sim_expect(&sim, "");
}

/* Then it is told with its own reason. */
static void test_handover_waits(void **state)
{
    (void)state;
    ask_too_early();
    sim_run(&sim, 1);
    sim_expect(&sim,
               "node1 PROTECTED -> HANDING_OVER (asked)\n"
               "node1 HANDING_OVER -> HANDED_OVER (frozen, the standby has all "
               "of it)\n"
               "node2 SYNCHRONISED -> CLAIMED (the record names it the "
               "owner)\n"
               "node2 CLAIMED -> TAKING_OVER (no earlier owner can write any "
               "more)\n"
               "node2 TAKING_OVER -> SOLO (took over, the guest runs)\n");
}

/* And it is forgotten with the standby that it was for. */
static void test_handover_forgotten(void **state)
{
    (void)state;
    ask_too_early();
    sim_kill_qemu(&sim, 1);
    sim_run(&sim, 10000);
    assert_null(strstr(sim.trace, "HANDING_OVER"));
    assert_int_equal(sim.nodes[0].pair.phase, KMR_PHASE_PROTECTED);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overload),
        cmocka_unit_test(test_leave),
        cmocka_unit_test(test_back),
        cmocka_unit_test(test_no_leave),
        cmocka_unit_test(test_force),
        cmocka_unit_test(test_no_force),
        cmocka_unit_test(test_demote_without_standby),
        cmocka_unit_test(test_demote_where_nobody_is),
        cmocka_unit_test(test_demote_again),
        cmocka_unit_test(test_handover_waits),
        cmocka_unit_test(test_handover_forgotten),
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_adopts_a_hanging_owner),
        cmocka_unit_test(test_adopts_a_hanging_standby),
        cmocka_unit_test(test_memory_lost),
        cmocka_unit_test(test_standby_memory_lost),
        cmocka_unit_test(test_memory_lost_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
