/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IPC between two processes, the configuration's reader, and state files. */
#include "loop_help.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/conf.h"
#include "io/file.h"
#include "io/ipc.h"

static char name[64];
static qb_loop_t *loop;
static struct kmr_ipc *ipc;
static struct kmr_ipc_call *kept;
static unsigned requests;
static pid_t client;
static int client_status;

static void on_request(struct kmr_ipc_call *call, const char *text, size_t len,
                       void *user)
{
    char answer[256];

    (void)user;
    requests++;
    assert_true(kmr_ipc_call_alive(call));
    if (strcmp(text, "later") == 0) {
        kept = call;
        return;
    }
    if (strcmp(text, "large") == 0) {
        char *big = malloc(KMR_IPC_TEXT_MAX);

        memset(big, 'x', KMR_IPC_TEXT_MAX);
        assert_int_equal(kmr_ipc_answer(call, 3, big, KMR_IPC_TEXT_MAX), 0);
        free(big);
        return;
    }
    snprintf(answer, sizeof(answer), "%zu:%.100s", len, text);
    assert_int_equal(kmr_ipc_answer(call, 7, answer, strlen(answer)), 0);
}

/* The request in a child process; its exit code tells how it went. */
static void ask(const char *text, unsigned timeout_ms, int want_err,
                int32_t want_status, const char *want_text)
{
    client = fork();
    if (client == 0) {
        char *got = NULL;
        int32_t status = -1;
        size_t len = 0;
        int err = kmr_ipc_request(name, text, strlen(text), timeout_ms, &status,
                                  &got, &len);

        if (err != want_err) {
            fprintf(stderr, "%s: error %d, not %d\n", text, err, want_err);
            _exit(1);
        }
        if (err == 0 && (status != want_status ||
                         (want_text && strcmp(got, want_text) != 0) ||
                         (!want_text && len != KMR_IPC_TEXT_MAX))) {
            fprintf(stderr, "%s: %d '%.80s'\n", text, status, got);
            _exit(2);
        }
        _exit(0);
    }
}

static bool client_ended(void *arg)
{
    (void)arg;
    return waitpid(client, &client_status, WNOHANG) == client;
}

static void client_ok(void)
{
    assert_true(run_until(loop, client_ended, NULL, 10000));
    assert_true(WIFEXITED(client_status));
    assert_int_equal(WEXITSTATUS(client_status), 0);
}

static bool is_kept(void *arg)
{
    (void)arg;
    return kept != NULL;
}

static void test_requests(void **state)
{
    (void)state;
    ask("hello", 3000, 0, 7, "5:hello");
    client_ok();
    ask("", 3000, 0, 7, "0:");
    client_ok();
    ask("large", 3000, 0, 3, NULL);
    client_ok();
    assert_int_equal(requests, 3);
}

static void test_later(void **state)
{
    (void)state;
    kept = NULL;
    ask("later", 5000, 0, 9, "at last");
    assert_true(run_until(loop, is_kept, NULL, 3000));
    run_for(loop, 300);
    assert_int_equal(kmr_ipc_answer(kept, 9, "at last", 7), 0);
    client_ok();
}

/* The client gives up; the answer comes after that, and hurts nobody. */
static void test_client_gives_up(void **state)
{
    (void)state;
    kept = NULL;
    ask("later", 200, -ETIMEDOUT, 0, "");
    assert_true(run_until(loop, is_kept, NULL, 3000));
    client_ok();
    run_for(loop, 300);
    assert_false(kmr_ipc_call_alive(kept));
    assert_int_equal(kmr_ipc_answer(kept, 0, "x", 1), -ENOTCONN);
    kept = NULL;
    ask("later", 60000, 0, 0, "");
    assert_true(run_until(loop, is_kept, NULL, 3000));
    kill(client, SIGKILL);
    assert_true(run_until(loop, client_ended, NULL, 3000));
    run_for(loop, 300);
    assert_int_equal(kmr_ipc_answer(kept, 0, "x", 1), -ENOTCONN);
}

/* A kemarid that hangs, and none at all. */
static void test_no_server(void **state)
{
    struct kmr_ipc *second;
    char *text;
    int32_t status;
    size_t len;
    uint64_t t0 = help_now_ms();

    (void)state;
    /* this very process is the server, and does not run its loop now */
    ask("x", 300, -ETIMEDOUT, 0, "");
    assert_int_equal(waitpid(client, &client_status, 0), client);
    assert_int_equal(client_status, 0);
    assert_in_range(help_now_ms() - t0, 250, 3000);
    run_for(loop, 100);
    assert_int_equal(kmr_ipc_request("kmr-test-nobody", "x", 1, 500, &status,
                                     &text, &len),
                     -ECONNREFUSED);
    assert_true(kmr_ipc_start(loop, name, on_request, NULL, &second) < 0);
    ask("hello", 3000, 0, 7, "5:hello"); /* the first one still works */
    client_ok();
}

static void test_others_refused(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    client = fork();
    if (client == 0) {
        char *text;
        int32_t status;
        size_t len;

        if (setgid(65534) < 0 || setuid(65534) < 0) {
            _exit(3);
        }
        _exit(kmr_ipc_request(name, "x", 1, 3000, &status, &text, &len) ==
                      -EACCES
                  ? 0
                  : 1);
    }
    requests = 0;
    client_ok();
    assert_int_equal(requests, 0);
}

/* ---- conf and file ---- */

struct settings {
    char text[16];
    uint32_t number;
    bool flag;
};
#define AT(member) offsetof(struct settings, member)
static const struct kmr_conf_setting table[] = {
    { "a", "text", KMR_CONF_TEXT, AT(text), 16, 1, 15 },
    { "a", "number", KMR_CONF_NUMBER, AT(number), 0, 10, 20 },
    { "b", "flag", KMR_CONF_BOOL, AT(flag), 0, 0, 0 },
    { NULL, NULL, KMR_CONF_TEXT, 0, 0, 0, 0 },
};

static char dir[] = "/tmp/kmr-test-XXXXXX", path[64], error[512];
static struct settings settings;

static int conf(const char *text)
{
    assert_int_equal(kmr_file_write(path, text, strlen(text), 0600), 0);
    settings = (struct settings){ "default", 11, false };
    return kmr_conf_read(path, table, &settings, sizeof(settings), error,
                         sizeof(error));
}

static void bad(const char *text, const char *where, const char *what)
{
    assert_int_equal(conf(text), -EBADMSG);
    if (!strstr(error, where) || !strstr(error, what)) {
        fail_msg("'%s' lacks '%s' or '%s'", error, where, what);
    }
    assert_string_equal(settings.text, "default"); /* nothing changed */
    assert_int_equal(settings.number, 11);
}

static void test_conf(void **state)
{
    (void)state;
    assert_int_equal(conf("# c\n[a]\n text = x y = z \nnumber=20\n\n;c\n"
                          "[b]\r\nflag = YES\r\n"),
                     0);
    assert_string_equal(settings.text, "x y = z");
    assert_int_equal(settings.number, 20);
    assert_true(settings.flag);
    assert_int_equal(conf(""), 0);
    assert_int_equal(settings.number, 11);
    bad("[a]\ntext = good\nnumber = 21\n", ":3:", "10 to 20");
    bad("[a]\nnumber = x\n", ":2:", "not a number");
    bad("[a]\nnumber = -11\n", ":2:", "not a number");
    bad("[a]\ntext =\n", ":2:", "characters");
    bad("[a]\ntext = 1234567890123456\n", ":2:", "characters");
    bad("[a]\nflag = yes\n", ":2:", "unknown setting flag");
    bad("[c]\nflag = yes\n", ":2:", "unknown section [c]");
    bad("number = 12\n", ":1:", "before the first");
    bad("[a]\nnumber 12\n", ":2:", "neither");
    bad("[a\n", ":1:", "section");
    bad("[a]\nnumber = 12\nnumber = 12\n", ":3:", "twice");
    bad("[b]\nflag = maybe\n", ":2:", "yes or no");
    unlink(path);
    assert_int_equal(kmr_conf_read(path, table, &settings, sizeof(settings),
                                   error, sizeof(error)),
                     -ENOENT);
    assert_non_null(strstr(error, "No such file"));
}

static void test_file(void **state)
{
    char *buf = NULL, temp[80];
    struct stat st;
    size_t len;

    (void)state;
    assert_int_equal(kmr_file_read(path, 100, &buf, &len), -ENOENT);
    assert_int_equal(kmr_file_remove(path), 0);
    assert_int_equal(kmr_file_write(path, "one", 3, 0600), 0);
    assert_int_equal(kmr_file_write(path, "second", 6, 0600), 0);
    assert_int_equal(kmr_file_read(path, 6, &buf, &len), 0);
    assert_int_equal(len, 6);
    assert_string_equal(buf, "second");
    free(buf);
    assert_int_equal(kmr_file_read(path, 5, &buf, &len), -EFBIG);
    snprintf(temp, sizeof(temp), "%s.new", path);
    assert_int_equal(stat(temp, &st), -1);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(kmr_file_write("/nonexistent/x", "x", 1, 0600), -ENOENT);
    assert_int_equal(kmr_file_remove(path), 0);
    assert_int_equal(stat(path, &st), -1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_later),
        cmocka_unit_test(test_client_gives_up),
        cmocka_unit_test(test_no_server),
        cmocka_unit_test(test_others_refused),
        cmocka_unit_test(test_conf),
        cmocka_unit_test(test_file),
    };
    int failed;

    if (!mkdtemp(dir)) {
        return 1;
    }
    snprintf(path, sizeof(path), "%s/conf", dir);
    snprintf(name, sizeof(name), "kmr-test-%d", (int)getpid());
    loop = qb_loop_create();
    if (kmr_ipc_start(loop, name, on_request, NULL, &ipc) < 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    kmr_ipc_stop(ipc);
    qb_loop_destroy(loop);
    rmdir(dir);
    return failed;
}
