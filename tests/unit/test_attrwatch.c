/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process of that name ends, and another one comes: that is a restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/attrwatch.h"
#include "loop_help.h"

#define NAME "kmr-test-attrd" /* at most 15 characters */

static qb_loop_t *the_loop;
static unsigned told;

static void restarted(void *user)
{
    (void)user;
    told++;
}

static bool enough(void *arg)
{
    return told >= *(unsigned *)arg;
}

static bool told_within(unsigned times, unsigned ms)
{
    return run_until(the_loop, enough, &times, ms);
}

static pid_t begin(void)
{
    int ends[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_NAME, NAME);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (write(ends[1], "x", 1) == 1) {
            pause();
        }
        _exit(0);
    }
    assert_int_equal(read(ends[0], &byte, 1), 1); /* it has its name */
    close(ends[0]);
    close(ends[1]);
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void a_restart(void **state)
{
    struct kmr_attrwatch *watch;
    pid_t pid = begin();

    (void)state;
    the_loop = qb_loop_create();
    assert_int_equal(kmr_attrwatch_start(the_loop, NAME, restarted, NULL,
                                         &watch),
                     0);
    end(pid);
    pid = begin();
    assert_true(told_within(2, 20000)); /* lest it was too early */
    end(pid);
    pid = begin();
    assert_true(told_within(4, 20000));
    end(pid);
    kmr_attrwatch_stop(watch);
    assert_int_equal(told, 4);
    qb_loop_destroy(the_loop);
}

/* The first one is no restart, whenever it comes. */
static void the_first(void **state)
{
    struct kmr_attrwatch *watch;
    pid_t pid;

    (void)state;
    told = 0;
    the_loop = qb_loop_create();
    assert_int_equal(kmr_attrwatch_start(the_loop, NAME, restarted, NULL,
                                         &watch),
                     0);
    pid = begin();
    run_for(the_loop, KMR_ATTRWATCH_MS + KMR_ATTRWATCH_AGAIN_MS);
    assert_int_equal(told, 0);
    end(pid);
    pid = begin();
    assert_true(told_within(1, 20000));
    end(pid);
    kmr_attrwatch_stop(watch);
    qb_loop_destroy(the_loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restart),
        cmocka_unit_test(the_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
