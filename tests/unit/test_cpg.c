/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The group and the quorum against a real corosync of one node. Run by
 * test_cpg.sh, which gives COROSYNC_START and COROSYNC_STOP.
 */
#include "loop_help.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/cpg.h"
#include "io/quorum.h"

#define BIG (400u * 1024)

static const char group[] = "kemari-test";

static qb_loop_t *loop;
static struct kmr_cpg *cpg;
static struct kmr_quorum *quorum;

static unsigned member_count, losses, received, wrong;
static uint32_t nodeid;
static size_t last_len;
static bool quorate;

static void on_message(uint32_t from, const uint8_t *buf, size_t len,
                       void *user)
{
    unsigned n;

    (void)user;
    assert_int_equal(from, nodeid);
    last_len = len;
    if (len == sizeof(n)) {
        memcpy(&n, buf, sizeof(n));
        wrong += n != received;
    } else {
        for (size_t i = 0; i < len; i++) {
            wrong += buf[i] != (uint8_t)(i * 7);
        }
    }
    received++;
}

static void on_members(const uint32_t *nodeids, unsigned count, void *user)
{
    (void)nodeids;
    (void)user;
    member_count = count;
}

static uint32_t up;
static unsigned listed;

static void on_connected(bool connected, uint32_t id, void *user)
{
    (void)user;
    nodeid = id;
    if (!connected) {
        losses++;
        member_count = 0;
    }
}

static void on_quorum(bool is_quorate, const uint32_t *nodeids, unsigned count,
                      unsigned nodes_listed, void *user)
{
    (void)user;
    quorate = is_quorate;
    up = count == 1 ? nodeids[0] : 0;
    listed = nodes_listed;
}

static bool one_member(void *arg)
{
    (void)arg;
    return member_count == 1 && quorate;
}

static bool is_lost(void *arg)
{
    (void)arg;
    return losses > 0 && !quorate;
}

static bool all_received(void *arg)
{
    return received == *(unsigned *)arg;
}

static int send_number(unsigned n)
{
    return kmr_cpg_send(cpg, (const uint8_t *)&n, sizeof(n));
}

static void test_order(void **state)
{
    unsigned want = 3000, full = 0;

    (void)state;
    assert_true(run_until(loop, one_member, NULL, 10000));
    assert_true(nodeid != 0);
    assert_int_equal(up, nodeid);
    assert_int_equal(listed, 1);
    for (unsigned i = 0; i < want; i++) {
        int err = send_number(i);

        if (err == -ENOBUFS) { /* bounded: the rest when there is room */
            full++;
            run_for(loop, 5);
            err = send_number(i);
        }
        assert_int_equal(err, 0);
    }
    print_message("queue full %u times\n", full);
    assert_true(run_until(loop, all_received, &want, 20000));
    assert_int_equal(wrong, 0);
}

static void test_big(void **state)
{
    static unsigned char buf[BIG];
    unsigned want = 5;

    (void)state;
    for (size_t i = 0; i < BIG; i++) {
        buf[i] = (unsigned char)(i * 7);
    }
    received = 0;
    for (unsigned i = 0; i < want; i++) {
        assert_int_equal(kmr_cpg_send(cpg, buf, BIG), 0);
    }
    assert_true(run_until(loop, all_received, &want, 10000));
    assert_int_equal(last_len, BIG);
    assert_int_equal(wrong, 0);
}

static void test_corosync_restart(void **state)
{
    unsigned want = 1;

    (void)state;
    losses = 0;
    assert_int_equal(system(getenv("COROSYNC_STOP")), 0);
    assert_true(run_until(loop, is_lost, NULL, 5000));
    assert_int_equal(send_number(0), -ENOTCONN);
    run_for(loop, 1200);
    assert_int_equal(losses, 1);
    assert_int_equal(system(getenv("COROSYNC_START")), 0);
    assert_true(run_until(loop, one_member, NULL, 15000));
    received = 0;
    assert_int_equal(send_number(0), 0);
    assert_true(run_until(loop, all_received, &want, 5000));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_big),
        cmocka_unit_test(test_corosync_restart),
    };
    struct kmr_cpg_ops ops = { on_connected, on_members, on_message };
    int failed;

    if (!getenv("COROSYNC_STOP")) {
        fprintf(stderr, "run me by test_cpg.sh\n");
        return 2;
    }
    loop = qb_loop_create();
    if (kmr_cpg_start(loop, group, &ops, NULL, &cpg) < 0 ||
        kmr_quorum_start(loop, on_quorum, NULL, &quorum) < 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    kmr_cpg_stop(cpg);
    kmr_quorum_stop(quorum);
    qb_loop_destroy(loop);
    return failed;
}
