/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Node attributes: a script stands in for attrd_updater. */
#include "loop_help.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/attr.h"
#include "io/child.h"

static qb_loop_t *loop;
static char dir[] = "/tmp/kmr-test-XXXXXX";
static char program[64], log_path[64];
static unsigned notes, failures;
static char last_error[256];

static void on_note(const struct kmr_attr_note *note, void *user)
{
    (void)user;
    notes++;
    if (note->err) {
        failures++;
        snprintf(last_error, sizeof(last_error), "%s", note->error);
    }
}

static void script(const char *body)
{
    FILE *f = fopen(program, "w");

    fprintf(f, "#!/bin/sh\necho \"$*\" >>%s\n%s\n", log_path, body);
    fclose(f);
    chmod(program, 0755);
}

static const char *read_log(void)
{
    static char buf[65536];
    FILE *f = fopen(log_path, "r");
    size_t n = f ? fread(buf, 1, sizeof(buf) - 1, f) : 0;

    if (f) {
        fclose(f);
    }
    buf[n] = '\0';
    return buf;
}

static bool idle(void *arg)
{
    return kmr_attr_is_idle(arg);
}

static struct kmr_attr *fresh(const char *body)
{
    struct kmr_attr *attr;

    unlink(log_path);
    notes = failures = 0;
    script(body);
    assert_int_equal(kmr_attr_new(loop, program, on_note, NULL, &attr), 0);
    return attr;
}

static void test_words(void **state)
{
    struct kmr_attr *attr = fresh("");

    (void)state;
    assert_int_equal(kmr_attr_set(attr, NULL, "kemari-vm0-state",
                                  "syncing 40%"),
                     0);
    assert_true(run_until(loop, idle, attr, 3000));
    assert_int_equal(kmr_attr_set(attr, "node2", "a", NULL), 0);
    assert_true(run_until(loop, idle, attr, 3000));
    assert_int_equal(kmr_attr_set_score(attr, NULL, "vm0", -10), 0);
    assert_true(run_until(loop, idle, attr, 3000));
    assert_int_equal(kmr_attr_set_score(attr, NULL, "vm0", KMR_ATTR_SCORE_NONE),
                     0);
    assert_true(run_until(loop, idle, attr, 3000));
    assert_string_equal(read_log(),
                        "--name=kemari-vm0-state --update=syncing 40%\n"
                        "--name=a --delete --node=node2\n"
                        "--name=master-vm0 --update=-10\n"
                        "--name=master-vm0 --delete\n");
    assert_int_equal(notes, 4);
    /* the same again does nothing */
    assert_int_equal(kmr_attr_set(attr, "node2", "a", NULL), 0);
    assert_true(kmr_attr_is_idle(attr));
    assert_int_equal(kmr_attr_set(attr, NULL, "-x", "1"), -EINVAL);
    assert_int_equal(kmr_attr_set(attr, NULL, "a b", "1"), -EINVAL);
    assert_int_equal(kmr_attr_set(attr, NULL, "a", "1\n2"), -EINVAL);
    assert_int_equal(kmr_attr_set(attr, "", "a", "1"), -EINVAL);
    kmr_attr_free(attr);
}

/* Many values while a write is under way: only the newest is written. */
static void test_coalescing(void **state)
{
    struct kmr_attr *attr = fresh("sleep 0.2");
    char value[16];

    (void)state;
    for (int i = 0; i < 100; i++) {
        snprintf(value, sizeof(value), "%d", i);
        assert_int_equal(kmr_attr_set(attr, NULL, "lag", value), 0);
    }
    assert_true(run_until(loop, idle, attr, 3000));
    assert_string_equal(read_log(), "--name=lag --update=0\n"
                                    "--name=lag --update=99\n");
    kmr_attr_free(attr);
}

/* What is in no hurry waits for what follows it; what is, takes it along. */
static void test_later(void **state)
{
    struct kmr_attr *attr = fresh("");

    (void)state;
    assert_int_equal(kmr_attr_set_later(attr, NULL, "state", "holding"), 0);
    assert_int_equal(kmr_attr_set_later(attr, NULL, "state", "solo"), 0);
    assert_int_equal(kmr_child_count(), 0);
    assert_false(kmr_attr_is_idle(attr));
    assert_int_equal(kmr_attr_set_score(attr, NULL, "vm0", 1), 0);
    assert_int_equal(kmr_child_count(), 1);
    assert_true(run_until(loop, idle, attr, 3000));
    assert_string_equal(read_log(), "--name=master-vm0 --update=1\n"
                                    "--name=state --update=solo\n");
    assert_int_equal(kmr_attr_set_later(attr, NULL, "state", "syncing"), 0);
    assert_int_equal(kmr_attr_set(attr, NULL, "state", "protected"), 0);
    assert_int_equal(kmr_child_count(), 1);
    assert_true(run_until(loop, idle, attr, 3000));
    assert_int_equal(notes, 3);
    assert_non_null(strstr(read_log(), "--update=protected\n"));
    kmr_attr_free(attr);
}

/* Bounded children, and each name gets its turn. */
static void test_bounded(void **state)
{
    struct kmr_attr *attr = fresh("sleep 0.05");
    char name[16];

    (void)state;
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        assert_int_equal(kmr_attr_set(attr, NULL, name, "1"), 0);
        assert_true(kmr_child_count() <= KMR_ATTR_CHILDREN);
    }
    assert_true(run_until(loop, idle, attr, 5000));
    assert_int_equal(notes, 20);
    assert_non_null(strstr(read_log(), "n19"));
    kmr_attr_free(attr);
}

static void test_retry(void **state)
{
    struct kmr_attr *attr;
    char body[256];

    (void)state;
    /* fails twice, then works */
    snprintf(body, sizeof(body),
             "[ $(wc -l <%s) -ge 3 ] || { echo no attrd >&2; exit 107; }",
             log_path);
    attr = fresh(body);
    assert_int_equal(kmr_attr_set(attr, NULL, "a", "1"), 0);
    assert_true(run_until(loop, idle, attr, 5000));
    assert_int_equal(failures, 1); /* told once */
    assert_int_equal(notes, 2);
    assert_string_equal(last_error, "attrd_updater: status 107: no attrd");
    assert_string_equal(read_log(), "--name=a --update=1\n"
                                    "--name=a --update=1\n"
                                    "--name=a --update=1\n");
    kmr_attr_rewrite(attr);
    assert_true(run_until(loop, idle, attr, 3000));
    assert_int_equal(notes, 3);
    kmr_attr_free(attr);
}

/* A score that dips is not written; one that falls is, a little later. */
static void test_score_settles(void **state)
{
    struct kmr_attr *attr = fresh("");

    (void)state;
    assert_int_equal(kmr_attr_set_score(attr, NULL, "vm0", 10000), 0);
    assert_true(run_until(loop, idle, attr, 3000));
    assert_int_equal(kmr_attr_set_score(attr, NULL, "vm0", KMR_ATTR_SCORE_NONE),
                     0);
    run_for(loop, 100);
    assert_int_equal(kmr_attr_set_score(attr, NULL, "vm0", 100), 0);
    run_for(loop, 100);
    assert_int_equal(kmr_attr_set_score(attr, NULL, "vm0", 10000), 0);
    run_for(loop, KMR_ATTR_SETTLE_MS + 200);
    assert_string_equal(read_log(), "--name=master-vm0 --update=10000\n");
    assert_int_equal(kmr_attr_set_score(attr, NULL, "vm0", KMR_ATTR_SCORE_NONE),
                     0);
    run_for(loop, 100);
    assert_int_equal(kmr_attr_set_score(attr, NULL, "vm0", 100), 0);
    assert_false(kmr_attr_is_idle(attr));
    assert_true(run_until(loop, idle, attr, 3000));
    assert_string_equal(read_log(), "--name=master-vm0 --update=10000\n"
                                    "--name=master-vm0 --update=100\n");
    assert_int_equal(kmr_attr_set_score(attr, NULL, "vm0", 1000), 0);
    run_for(loop, 100); /* up: at once */
    assert_non_null(strstr(read_log(), "--update=1000\n"));
    kmr_attr_free(attr);
}

static void test_free_while_writing(void **state)
{
    struct kmr_attr *attr = fresh("sleep 100");

    (void)state;
    assert_int_equal(kmr_attr_set(attr, NULL, "a", "1"), 0);
    kmr_attr_free(attr);
    run_for(loop, 200);
    assert_int_equal(kmr_child_count(), 0);
    assert_int_equal(notes, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_coalescing),
        cmocka_unit_test(test_later),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_retry),
        cmocka_unit_test(test_score_settles),
        cmocka_unit_test(test_free_while_writing),
    };
    int failed;

    if (!mkdtemp(dir)) {
        return 1;
    }
    snprintf(program, sizeof(program), "%s/updater", dir);
    snprintf(log_path, sizeof(log_path), "%s/log", dir);
    loop = qb_loop_create();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    qb_loop_destroy(loop);
    unlink(program);
    unlink(log_path);
    rmdir(dir);
    return failed;
}
