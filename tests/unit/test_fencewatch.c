/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fencing confirmations against a real pacemaker-fenced. Run by
 * test_fencewatch.sh, which gives FENCER_START and FENCER_STOP, and a fence
 * agent that fails for the target "stubborn".
 */
#include "loop_help.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/child.h"
#include "io/fencewatch.h"

static qb_loop_t *loop;
static struct kmr_fencewatch *watch;
static bool is_up;

#define MAX 32
static struct {
    char target[64], action[16], executioner[64], id[64];
    bool ok, power, history;
    uint64_t completed_us;
} events[MAX];
static unsigned count, wanted;

static void on_connected(bool up, const char *reason, void *user)
{
    (void)user;
    is_up = up;
    print_message("fencer %s %s\n", up ? "up" : "down", reason);
}

static void on_fenced(const struct kmr_fence_event *ev, void *user)
{
    (void)user;
    print_message("fenced %s %s ok %d power %d history %d by '%s' id '%s' "
                  "at %llu %s\n",
                  ev->target, ev->action, ev->ok, ev->power, ev->history,
                  ev->executioner, ev->id, (unsigned long long)ev->completed_us,
                  ev->reason);
    assert_in_range(count, 0, MAX - 1);
    snprintf(events[count].target, 64, "%s", ev->target);
    snprintf(events[count].action, 16, "%s", ev->action);
    snprintf(events[count].id, 64, "%s", ev->id);
    events[count].ok = ev->ok;
    events[count].power = ev->power;
    events[count].history = ev->history;
    events[count].completed_us = ev->completed_us;
    count++;
}

static bool enough(void *arg)
{
    (void)arg;
    return count >= wanted;
}

static bool up(void *arg)
{
    (void)arg;
    return is_up;
}

static bool down(void *arg)
{
    (void)arg;
    return !is_up;
}

static unsigned ended;
static int status;

static void on_end(const struct kmr_child_result *res, void *user)
{
    (void)user;
    status = res->end == KMR_CHILD_EXITED ? res->code : 1000;
    if (status) {
        print_message("child: %d %s %s\n", status, res->out, res->err);
    }
    ended++;
}

static bool has_ended(void *arg)
{
    (void)arg;
    return ended > 0;
}

/* While the loop runs on. */
static int sh(const char *script)
{
    const char *const argv[] = { "sh", "-c", script, NULL };
    struct kmr_child_spec spec = { .argv = argv,
                                   .timeout_ms = 30000,
                                   .out_max = 4096 };

    ended = 0;
    assert_int_equal(kmr_child_start(loop, &spec, on_end, NULL, NULL), 0);
    assert_true(run_until(loop, has_ended, NULL, 32000));
    return status;
}

static void test_notifications(void **state)
{
    (void)state;
    assert_true(run_until(loop, up, NULL, 15000));
    assert_int_equal(count, 0);
    assert_int_equal(sh("stonith_admin --fence node8 -t 10"), 0);
    wanted = 1;
    assert_true(run_until(loop, enough, NULL, 3000));
    assert_string_equal(events[0].target, "node8");
    assert_string_equal(events[0].action, "off");
    assert_true(events[0].ok);
    assert_true(events[0].power);
    assert_false(events[0].history);
    assert_true(events[0].id[0]);
    assert_int_equal(sh("stonith_admin --reboot node9 -t 10"), 0);
    wanted = 2;
    assert_true(run_until(loop, enough, NULL, 3000));
    assert_string_equal(events[1].action, "reboot");
    /* on is not fencing */
    sh("stonith_admin --unfence node9 -t 10");
    run_for(loop, 500);
    assert_int_equal(count, 2);
    /* a failure is told, and doesn't count */
    assert_int_not_equal(sh("stonith_admin --fence stubborn -t 3"), 0);
    wanted = 3;
    assert_true(run_until(loop, enough, NULL, 5000));
    assert_string_equal(events[2].target, "stubborn");
    assert_false(events[2].ok);
    assert_false(events[2].power);
    run_for(loop, 500);
    assert_int_equal(count, 3);
}

/* A watch that starts later reads what was: this is the history. */
static void test_history(void **state)
{
    struct kmr_fencewatch_ops ops = { on_connected, on_fenced };

    (void)state;
    kmr_fencewatch_stop(watch);
    is_up = false;
    count = 0;
    assert_int_equal(kmr_fencewatch_start(loop, NULL, &ops, NULL, &watch), 0);
    assert_true(run_until(loop, up, NULL, 10000));
    run_for(loop, 300);
    assert_int_equal(count, 2); /* the failure is not among them */
    assert_true(events[0].history && events[1].history);
    assert_true(events[0].ok && events[0].power);
}

/* The fencer goes and comes; afterwards all is as before. */
static void test_fencer_restart(void **state)
{
    (void)state;
    count = 0;
    assert_int_equal(sh("$FENCER_STOP"), 0);
    assert_true(run_until(loop, down, NULL, 5000));
    run_for(loop, 700);
    assert_int_equal(sh("$FENCER_START"), 0);
    assert_true(run_until(loop, up, NULL, 15000));
    assert_int_equal(sh("stonith_admin --fence node8 -t 10"), 0);
    wanted = 1;
    assert_true(run_until(loop, enough, NULL, 3000));
    run_for(loop, 300);
    assert_int_equal(count, 1);
    assert_false(events[0].history);
}

/* A device that is configured as fabric makes its target uncertain. */
static void test_fabric(void **state)
{
    static const char *const fabric[] = { "other", "dev-test", NULL };
    struct kmr_fencewatch_ops ops = { on_connected, on_fenced };

    (void)state;
    kmr_fencewatch_stop(watch);
    is_up = false;
    assert_int_equal(kmr_fencewatch_start(loop, fabric, &ops, NULL, &watch), 0);
    assert_true(run_until(loop, up, NULL, 10000));
    run_for(loop, 300);
    count = 0;
    assert_int_equal(sh("stonith_admin --fence node8 -t 10"), 0);
    wanted = 1;
    assert_true(run_until(loop, enough, NULL, 3000));
    assert_true(events[0].ok);
    assert_false(events[0].power);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notifications),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_fencer_restart),
        cmocka_unit_test(test_fabric),
    };
    struct kmr_fencewatch_ops ops = { on_connected, on_fenced };
    int failed;

    if (!getenv("FENCER_START")) {
        fprintf(stderr, "run me by test_fencewatch.sh\n");
        return 2;
    }
    loop = qb_loop_create();
    if (kmr_fencewatch_start(loop, NULL, &ops, NULL, &watch) < 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    kmr_fencewatch_stop(watch);
    run_for(loop, 200);
    qb_loop_destroy(loop);
    return failed;
}
