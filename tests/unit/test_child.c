/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Children with deadlines, and processes that are not ours. */
#include "loop_help.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/child.h"
#include "io/pidwatch.h"

static qb_loop_t *loop;

struct got {
    unsigned count;
    struct kmr_child_result res;
    char out[8192], err[8192];
};

static void on_end(const struct kmr_child_result *res, void *user)
{
    struct got *got = user;

    got->count++;
    got->res = *res;
    snprintf(got->out, sizeof(got->out), "%s", res->out);
    snprintf(got->err, sizeof(got->err), "%s", res->err);
}

static bool has_ended(void *arg)
{
    return ((struct got *)arg)->count > 0;
}

static bool none_left(void *arg)
{
    (void)arg;
    return kmr_child_count() == 0;
}

static struct got got;

static void sh(const char *script, struct kmr_child_spec spec)
{
    const char *const argv[] = { "sh", "-c", script, NULL };

    memset(&got, 0, sizeof(got));
    spec.argv = argv;
    spec.timeout_ms = spec.timeout_ms ? spec.timeout_ms : 5000;
    spec.out_max = spec.out_max ? spec.out_max : 4096;
    assert_int_equal(kmr_child_start(loop, &spec, on_end, &got, NULL), 0);
    assert_int_equal(got.count, 0);
    assert_true(run_until(loop, has_ended, &got, 8000));
    assert_int_equal(got.count, 1);
}

#define SH(script, ...) sh(script, (struct kmr_child_spec){ __VA_ARGS__ })

static void test_exit(void **state)
{
    const char *const env[] = { "KMR_TEST=two words", "HOME=/nowhere", NULL };

    (void)state;
    SH("echo out; echo err >&2; exit 3", .input_len = 0);
    assert_int_equal(got.res.end, KMR_CHILD_EXITED);
    assert_int_equal(got.res.code, 3);
    assert_string_equal(got.out, "out\n");
    assert_string_equal(got.err, "err");
    SH("echo $KMR_TEST; echo $HOME; echo ${PATH:+path}", .env = env);
    assert_string_equal(got.out, "two words\n/nowhere\npath\n");
    SH("kill -TERM $$", .input_len = 0);
    assert_int_equal(got.res.end, KMR_CHILD_SIGNALED);
    assert_int_equal(got.res.code, SIGTERM);
    SH("cat; echo end", .input = "hello\n", .input_len = 6);
    assert_string_equal(got.out, "hello\nend\n");
    SH("ls /proc/self/fd | wc -l; cat", .input_len = 0);
    assert_string_equal(got.out, "4\n"); /* 0, 1, 2 and ls's own */
}

static void test_bounds(void **state)
{
    (void)state;
    SH("head -c 300000 /dev/zero | tr '\\0' x; echo more >&2", .out_max = 100);
    assert_int_equal(got.res.end, KMR_CHILD_EXITED);
    assert_int_equal(got.res.code, 0);
    assert_int_equal(got.res.out_len, 100);
    assert_true(got.res.truncated);
    assert_string_equal(got.err, "more");
}

/* The deadline reaps the whole group, also what ignores SIGTERM. */
static void test_deadline(void **state)
{
    pid_t grandchild;
    uint64_t t0 = help_now_ms();

    (void)state;
    SH("trap '' TERM; sleep 100 & echo $!; wait", .timeout_ms = 200);
    assert_int_equal(got.res.end, KMR_CHILD_TIMEOUT);
    assert_in_range(help_now_ms() - t0, 190, 1000);
    grandchild = (pid_t)atoi(got.out);
    assert_true(grandchild > 1);
    for (int i = 0; i < 100 && kill(grandchild, 0) == 0; i++) {
        struct kmr_proc proc;

        if (kmr_proc_read(grandchild, &proc) < 0 ||
            kmr_proc_alive(&proc) == 0) {
            break; /* a zombie that init has not collected */
        }
        usleep(10000);
        assert_int_not_equal(i, 99);
    }
    assert_int_equal(kmr_child_count(), 0);
}

/* A grandchild that keeps the pipe doesn't keep us. */
static void test_left_behind(void **state)
{
    uint64_t t0 = help_now_ms();

    (void)state;
    SH("sleep 5 & echo here", .timeout_ms = 4000);
    assert_int_equal(got.res.end, KMR_CHILD_EXITED);
    assert_string_equal(got.out, "here\n");
    assert_in_range(help_now_ms() - t0, 0, 1000);
}

static void test_cancel_and_limit(void **state)
{
    const char *const argv[] = { "sleep", "100", NULL };
    const char *const missing[] = { "kmr-no-such-program", NULL };
    struct kmr_child_spec spec = { .argv = argv, .timeout_ms = 60000 };
    struct kmr_child *children[KMR_CHILD_MAX];

    (void)state;
    memset(&got, 0, sizeof(got));
    for (unsigned i = 0; i < KMR_CHILD_MAX; i++) {
        assert_int_equal(kmr_child_start(loop, &spec, on_end, &got,
                                         &children[i]),
                         0);
    }
    assert_int_equal(kmr_child_start(loop, &spec, on_end, &got, NULL), -EAGAIN);
    for (unsigned i = 0; i < KMR_CHILD_MAX; i++) {
        kmr_child_cancel(children[i]);
    }
    assert_true(run_until(loop, none_left, NULL, 5000));
    assert_int_equal(got.count, 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no zombie left */
    spec.argv = missing;
    assert_int_equal(kmr_child_start(loop, &spec, on_end, &got, NULL), -ENOENT);
    assert_int_equal(kmr_child_count(), 0);
}

/* ---- pidwatch ---- */

static unsigned deaths;

static void on_death(const struct kmr_proc *proc, void *user)
{
    (void)proc;
    (void)user;
    deaths++;
}

static bool has_died(void *arg)
{
    (void)arg;
    return deaths > 0;
}

static void test_pidwatch(void **state)
{
    struct kmr_pidwatch *watch;
    struct kmr_proc proc, other;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        pause();
        _exit(0);
    }
    deaths = 0;
    assert_int_equal(kmr_proc_read(pid, &proc), 0);
    assert_int_equal(kmr_proc_alive(&proc), 1);
    other = proc;
    other.start--;
    assert_int_equal(kmr_proc_alive(&other), 0);
    assert_int_equal(kmr_pidwatch_start(loop, &other, on_death, NULL, &watch),
                     -ESRCH);
    assert_int_equal(kmr_proc_kill(&other), -ESRCH); /* a stranger lives */
    run_for(loop, 20);
    assert_int_equal(kmr_proc_alive(&proc), 1);
    assert_int_equal(kmr_pidwatch_start(loop, &proc, on_death, NULL, &watch),
                     0);
    kmr_pidwatch_stop(watch); /* no callback from this one */
    assert_int_equal(kmr_pidwatch_start(loop, &proc, on_death, NULL, &watch),
                     0);
    run_for(loop, 20);
    assert_int_equal(deaths, 0);
    assert_int_equal(kmr_proc_kill(&proc), 0);
    assert_true(run_until(loop, has_died, NULL, 1000));
    /* dead though nobody has waited for it */
    assert_int_equal(kmr_proc_alive(&proc), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(kmr_proc_kill(&proc), -ESRCH);
    assert_int_equal(deaths, 1);
    other.pid = 1;
    assert_int_equal(kmr_proc_kill(&other), -EINVAL);
    other.pid = 0;
    assert_int_equal(kmr_proc_kill(&other), -EINVAL);
}

/* Stands in for a QEMU's command line. */
static void test_of_domain(void **state)
{
    char dir[] = "/tmp/kmr-test-XXXXXX", path[64];
    struct kmr_proc proc, found;
    pid_t pid;
    FILE *f;

    (void)state;
    assert_non_null(mkdtemp(dir));
    pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "qemu", "-c", "read x < /dev/zero", "-name",
              "guest=vm0,debug-threads=on", "-uuid",
              "11111111-2222-4333-8444-555555555555", (char *)NULL);
        _exit(127);
    }
    usleep(100000);
    snprintf(path, sizeof(path), "%s/vm0.pid", dir);
    f = fopen(path, "w");
    fprintf(f, "%d\n", (int)pid);
    fclose(f);
    assert_int_equal(kmr_proc_read(pid, &proc), 0);
    assert_int_equal(kmr_proc_of_domain(dir, "vm0", NULL, &found), 0);
    assert_int_equal(found.pid, pid);
    assert_int_equal(found.start, proc.start);
    assert_int_equal(kmr_proc_of_domain(dir, "vm0",
                                        "11111111-2222-4333-8444-555555555555",
                                        &found),
                     0);
    assert_int_equal(kmr_proc_of_domain(dir, "vm0",
                                        "21111111-2222-4333-8444-555555555555",
                                        &found),
                     -ESRCH);
    assert_int_equal(kmr_proc_of_domain(dir, "vm", NULL, &found), -ENOENT);
    assert_int_equal(kmr_proc_of_domain(dir, "../vm0", NULL, &found), -EINVAL);
    f = fopen(path, "w");
    fprintf(f, "%d", (int)getpid()); /* used again by another program */
    fclose(f);
    assert_int_equal(kmr_proc_of_domain(dir, "vm0", NULL, &found), -ESRCH);
    f = fopen(path, "w");
    fprintf(f, "12x");
    fclose(f);
    assert_int_equal(kmr_proc_of_domain(dir, "vm0", NULL, &found), -EBADMSG);
    assert_int_equal(kmr_proc_kill(&proc), 0);
    waitpid(pid, NULL, 0);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_left_behind),
        cmocka_unit_test(test_cancel_and_limit),
        cmocka_unit_test(test_pidwatch),
        cmocka_unit_test(test_of_domain),
    };
    int failed;

    loop = qb_loop_create();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    qb_loop_destroy(loop);
    return failed;
}
