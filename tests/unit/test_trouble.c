/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cluster.h"

static struct sim sim;

static const char moves[] =
    "node1 PROTECTED -> HANDING_OVER (I/O error on virtio-disk0)\n"
    "node1 HANDING_OVER -> HANDED_OVER (frozen, the standby has all of it)\n"
    "node2 SYNCHRONISED -> CLAIMED (the record names it the owner)\n"
    "node2 CLAIMED -> TAKING_OVER (no earlier owner can write any more)\n"
    "node2 TAKING_OVER -> SOLO (took over, the guest runs)\n";

static void protect(struct kmr_guest_policy policy)
{
    sim_init(&sim, 2);
    sim.nodes[0].pair.policy = sim.nodes[1].pair.policy = policy;
    sim_protect(&sim);
}

/* The answer to an order that a mute node was given. */
static void answer(enum kmr_order order, bool good)
{
    struct kmr_event event = { .type = KMR_EVENT_DONE, .order = order };

    event.tag = sim.nodes[0].pair.tag;
    event.flag = good;
    strcpy(event.reason, good ? "" : "no");
    sim_step(&sim, 0, &event);
}

/* The next lines of the trace; what follows them is kept. */
static void expect_next(const char *expected)
{
    size_t len = strlen(expected);

    if (strncmp(sim.trace, expected, len) != 0) {
        fail_msg("expected:\n%sgot:\n%s", expected, sim.trace);
    }
    memmove(sim.trace, sim.trace + len, strlen(sim.trace + len) + 1);
}

static unsigned count(const char *what)
{
    unsigned n = 0;

    for (const char *at = strstr(sim.trace, what); at;
         at = strstr(at + 1, what)) {
        n++;
    }
    return n;
}

/* Protected again, by the other node. */
static void await_protected(unsigned owner)
{
    for (unsigned i = 0; i < 100; i++) {
        if (sim.nodes[owner].pair.phase == KMR_PHASE_PROTECTED) {
            return;
        }
        sim_run(&sim, 100);
    }
    fail_msg("not protected:\n%s", sim.trace);
}

/* ---- I/O errors ---- */

/* The pair moves with the request that failed. */
static void test_moves(void **state)
{
    (void)state;
    protect(kmr_guest_policy_default());
    sim_guest(&sim, 0, KMR_RUN_IO_ERROR, "virtio-disk0");
    sim_run(&sim, 100);
    expect_next("node1 I/O error on virtio-disk0\n");
    expect_next(moves);
    assert_int_equal(sim.max_running, 1);
}

/* The other path is bad, too: back once, and then no more for a while. */
static void test_both_bad(void **state)
{
    (void)state;
    protect(kmr_guest_policy_default());
    sim.nodes[0].bad_disk = sim.nodes[1].bad_disk = true;
    sim_guest(&sim, 0, KMR_RUN_IO_ERROR, "virtio-disk0");
    sim_run(&sim, 100);
    sim.trace[0] = '\0';
    sim_guest(&sim, 1, KMR_RUN_IO_ERROR, "virtio-disk0");
    assert_string_equal(kmr_pair_reason(&sim.nodes[1].pair),
                        "I/O error on virtio-disk0");
    while (sim.nodes[0].pair.phase != KMR_PHASE_SOLO) {
        sim_run(&sim, 10);
        assert_in_range(sim.now_ms, 0, 60000);
    }
    assert_int_equal(count("PROTECTED -> HANDING_OVER"), 1);
    sim_guest(&sim, 0, KMR_RUN_IO_ERROR, "virtio-disk0");
    sim.trace[0] = '\0';
    await_protected(0);
    sim_run(&sim, 9000);
    assert_int_equal(count("HANDING_OVER"), 0);
    /* 1, 1, 2, 4 s from one to the next */
    assert_int_equal(count("the request is tried again"), 4);
    /* The disk is there again. */
    sim.nodes[0].bad_disk = false;
    sim_run(&sim, 8000);
    assert_int_equal(count("the guest runs again"), 1);
    assert_string_not_equal(kmr_pair_reason(&sim.nodes[0].pair),
                            "I/O error on virtio-disk0");
    assert_int_equal(sim.nodes[0].pair.phase, KMR_PHASE_PROTECTED);
    assert_int_equal(sim.max_running, 1);
}

/* After a while the other path may be better. */
static void test_moves_again(void **state)
{
    (void)state;
    protect(kmr_guest_policy_default());
    sim_guest(&sim, 0, KMR_RUN_IO_ERROR, "virtio-disk0");
    sim_run(&sim, 100);
    await_protected(1);
    sim_event(&sim, 1, KMR_EVENT_HANDOVER, false);
    sim_run(&sim, 1000);
    await_protected(0);
    sim_run(&sim, KMR_IO_AGAIN_MS);
    sim.trace[0] = '\0';
    sim_guest(&sim, 0, KMR_RUN_IO_ERROR, "virtio-disk0");
    sim_run(&sim, 100);
    expect_next("node1 I/O error on virtio-disk0\n");
    expect_next(moves);
}

/* A handover that fails is tried again, a second later. */
static void test_refused(void **state)
{
    (void)state;
    protect(kmr_guest_policy_default());
    sim.nodes[0].mute = sim.nodes[0].bad_disk = true;
    sim_guest(&sim, 0, KMR_RUN_IO_ERROR, "virtio-disk0");
    sim_run(&sim, 100);
    sim_expect(&sim, "node1 I/O error on virtio-disk0\n"
                     "node1 PROTECTED -> HANDING_OVER (I/O error on "
                     "virtio-disk0)\n");
    sim.nodes[0].mute = false;
    answer(KMR_ORDER_HANDOVER, false);
    sim_run(&sim, 900);
    sim_expect(&sim, "node1 HANDING_OVER -> PROTECTED (no)\n"
                     "node1 I/O error on virtio-disk0: the request is tried "
                     "again\n");
    sim_run(&sim, 200);
    expect_next(moves);
}

static void boot_alone(struct kmr_guest_policy policy)
{
    sim_init(&sim, 1);
    sim.nodes[0].pair.policy = policy;
    sim_event(&sim, 0, KMR_EVENT_START, false);
    sim_event(&sim, 0, KMR_EVENT_PROMOTE, false);
    sim_run(&sim, 1000);
    assert_int_equal(sim.nodes[0].pair.phase, KMR_PHASE_SOLO);
}

static void test_report(void **state)
{
    struct kmr_guest_policy policy = kmr_guest_policy_default();

    (void)state;
    policy.io_error = KMR_REMEDY_REPORT;
    boot_alone(policy);
    assert_int_equal(sim.nodes[0].pair.phase, KMR_PHASE_SOLO);
    sim.trace[0] = '\0';
    sim_guest(&sim, 0, KMR_RUN_IO_ERROR, "virtio-disk0");
    sim_run(&sim, 10);
    expect_next("node1 I/O error on virtio-disk0\n"
                "node1 I/O error on virtio-disk0: the guest is told\n"
                "node1 the guest runs again\n");
    /* From then on errors stop it again: another node may come. */
    sim_run(&sim, KMR_REPORT_MS - 100);
    assert_true(sim.nodes[0].pair.trouble.report_ms != 0);
    sim_run(&sim, 200);
    assert_true(sim.nodes[0].pair.trouble.report_ms == 0);
    assert_int_equal(count("tried again"), 0);
}

/* QEMU knows nothing of the minute: a kemarid that is restarted ends it. */
static void test_report_restarted(void **state)
{
    struct kmr_guest_policy policy = kmr_guest_policy_default();

    (void)state;
    policy.io_error = KMR_REMEDY_REPORT;
    boot_alone(policy);
    sim_guest(&sim, 0, KMR_RUN_IO_ERROR, "virtio-disk0");
    sim_run(&sim, 10);
    assert_true(sim.nodes[0].qemu.reports);
    sim_kemarid_dies(&sim, 0);
    sim_run(&sim, 1000);
    sim_kemarid_back(&sim, 0);
    sim_run(&sim, KMR_REPORT_MS - 100);
    assert_int_equal(sim.nodes[0].pair.phase, KMR_PHASE_SOLO);
    assert_true(sim.nodes[0].qemu.reports);
    sim_run(&sim, 2000);
    assert_false(sim.nodes[0].qemu.reports);

    /* at once, where this is no policy any more */
    sim_guest(&sim, 0, KMR_RUN_IO_ERROR, "virtio-disk0");
    sim_run(&sim, 2000);
    assert_true(sim.nodes[0].qemu.reports);
    sim_kemarid_dies(&sim, 0);
    sim.nodes[0].pair.policy = kmr_guest_policy_default();
    sim_kemarid_back(&sim, 0);
    sim_run(&sim, 5000);
    assert_false(sim.nodes[0].qemu.reports);

    /* a QEMU that does not know the order is not asked all the time */
    sim_kemarid_dies(&sim, 0);
    sim.nodes[0].pair.policy = policy;
    sim_kemarid_back(&sim, 0);
    sim_run(&sim, KMR_REPORT_MS - 100);
    sim.nodes[0].mute = true;
    sim.trace[0] = '\0';
    for (unsigned i = 0; i < 300; i++) {
        sim_run(&sim, 1000);
        if (sim.nodes[0].pair.order == KMR_ORDER_RETRY) {
            answer(KMR_ORDER_RETRY, false);
        }
    }
    assert_in_range(count("no\n"), 8, 12);
}

static void test_stop(void **state)
{
    struct kmr_guest_policy policy = kmr_guest_policy_default();

    (void)state;
    policy.io_error = KMR_REMEDY_STOP;
    boot_alone(policy);
    sim.trace[0] = '\0';
    sim_guest(&sim, 0, KMR_RUN_IO_ERROR, "");
    sim_run(&sim, 100);
    sim_expect(&sim, "node1 I/O error\n"
                     "node1 SOLO -> KILLING (I/O error)\n"
                     "node1 KILLING -> IDLE (QEMU is dead)\n");
    assert_int_equal(sim.nodes[0].pair.agreed.record.mode, KMR_MODE_DOWN);
}

/* ---- a guest that fails ---- */

/* Where it is: the standby has the same memory. Not at full speed for ever. */
static void test_panic(void **state)
{
    (void)state;
    protect(kmr_guest_policy_default());
    sim_guest(&sim, 0, KMR_RUN_PANICKED, "");
    sim_run(&sim, 10);
    sim_expect(&sim, "node1 the guest panicked\n"
                     "node1 the guest panicked: it is restarted\n"
                     "node1 the guest runs again\n");
    sim_run(&sim, 5000);
    sim_guest(&sim, 0, KMR_RUN_PANICKED, "");
    sim_run(&sim, 900);
    sim_expect(&sim, "node1 the guest panicked\n");
    sim_run(&sim, 200);
    sim_expect(&sim, "node1 the guest panicked: it is restarted\n"
                     "node1 the guest runs again\n");
    assert_int_equal(sim.nodes[0].pair.phase, KMR_PHASE_PROTECTED);
    /* once it ran for a while, all is forgotten */
    sim_run(&sim, KMR_CALM_MS);
    sim_guest(&sim, 0, KMR_RUN_PANICKED, "");
    sim_run(&sim, 10);
    assert_int_equal(count("it is restarted"), 1);
}

static void test_panic_held(void **state)
{
    struct kmr_guest_policy policy = kmr_guest_policy_default();

    (void)state;
    policy.panic = KMR_REMEDY_HOLD;
    protect(policy);
    sim_guest(&sim, 0, KMR_RUN_PANICKED, "");
    sim_run(&sim, 200000);
    sim_expect(&sim, "node1 the guest panicked\n");
    sim_guest(&sim, 0, KMR_RUN_RUNNING, "");
    sim_expect(&sim, "node1 the guest runs again\n");
}

static void test_dump_first(void **state)
{
    struct kmr_guest_policy policy = kmr_guest_policy_default();

    (void)state;
    policy.dump = true;
    protect(policy);
    sim.nodes[0].mute = true;
    sim_guest(&sim, 0, KMR_RUN_WATCHDOG, "");
    sim_run(&sim, 500000);
    sim_expect(&sim, "node1 the guest hangs, says its watchdog\n"
                     "node1 the guest hangs, says its watchdog: its memory is "
                     "dumped\n");
    /* also when that fails */
    sim.nodes[0].mute = false;
    answer(KMR_ORDER_DUMP, false);
    sim_run(&sim, 10);
    sim_expect(&sim, "node1 no\n"
                     "node1 the guest hangs, says its watchdog: it is "
                     "restarted\n"
                     "node1 the guest runs again\n");
    /* not for the same again and again, before it ran for a minute */
    sim_guest(&sim, 0, KMR_RUN_WATCHDOG, "");
    sim_run(&sim, 2000);
    assert_int_equal(count("dumped"), 0);
    assert_int_equal(count("it is restarted"), 1);
    sim_guest(&sim, 0, KMR_RUN_PANICKED, "");
    sim_run(&sim, 5000);
    assert_int_equal(count("dumped"), 1);
    sim_run(&sim, KMR_CALM_MS);
    sim_guest(&sim, 0, KMR_RUN_PANICKED, "");
    sim_run(&sim, 5000);
    assert_int_equal(count("dumped"), 2);
}

/* The last checkpoint is from before it. */
static void test_internal_error(void **state)
{
    (void)state;
    protect(kmr_guest_policy_default());
    sim_guest(&sim, 0, KMR_RUN_INTERNAL_ERROR, "");
    sim_run(&sim, 100);
    expect_next("node1 QEMU stopped with an internal error\n"
                "node2 SYNCHRONISED -> CLAIMED (the record names it the "
                "owner)\n");
    sim_run(&sim, 500);
    assert_int_equal(count("node2 TAKING_OVER -> SOLO"), 1);
    assert_int_equal(sim.max_running, 1);
    /* and where nobody has one it is restarted */
    assert_int_equal(sim.nodes[1].pair.phase, KMR_PHASE_SOLO);
    sim_guest(&sim, 1, KMR_RUN_INTERNAL_ERROR, "");
    sim_run(&sim, 10);
    assert_int_equal(count("node2 QEMU stopped with an internal error: it is "
                           "restarted"),
                     1);
}

/* Whatever was on its way of another QEMU is forgotten with it. */
static void test_forgotten(void **state)
{
    (void)state;
    protect(kmr_guest_policy_default());
    sim.nodes[0].bad_disk = true;
    sim_kill_qemu(&sim, 1);
    sim_run(&sim, 300);
    sim_guest(&sim, 0, KMR_RUN_IO_ERROR, "virtio-disk0");
    sim_kill_qemu(&sim, 0);
    sim_run(&sim, 100);
    assert_int_equal(sim.nodes[0].pair.trouble.run, KMR_RUN_UNKNOWN);
    assert_string_equal(sim.nodes[0].pair.trouble_text, "");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_both_bad),
        cmocka_unit_test(test_moves_again),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_report_restarted),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_panic),
        cmocka_unit_test(test_panic_held),
        cmocka_unit_test(test_dump_first),
        cmocka_unit_test(test_internal_error),
        cmocka_unit_test(test_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
