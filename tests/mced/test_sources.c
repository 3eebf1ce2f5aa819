/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EDAC's counters in a folder; kemarid as a server of the real kind, asked
 * over the connection that stays. Run by test_sources.sh in namespaces of its
 * own, or a kemarid of this machine would be told.
 */
#include "tests/unit/loop_help.h"

#include <errno.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/ipc.h"
#include "mce-monitor/report.h"
#include "mce-monitor/source_edac.h"

#define PATIENCE_MS 20000

static qb_loop_t *loop;

/* ---- EDAC ---- */

static struct kmr_hw_record edac[8];
static unsigned edac_count;

static void on_edac(const struct kmr_hw_record *record, void *user)
{
    (void)user;
    assert_true(edac_count < 8);
    edac[edac_count++] = *record;
}

static void put(const char *root, const char *file, const char *text)
{
    char path[512];
    FILE *out;

    snprintf(path, sizeof(path), "%s/%s", root, file);
    out = fopen(path, "we");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

static void counters(void **state)
{
    char root[] = "/tmp/kemari-test-edac.XXXXXX", path[128];
    struct kmr_edac *source;

    (void)state;
    assert_non_null(mkdtemp(root));
    assert_int_equal(kmr_edac_start(loop, root, on_edac, NULL, &source),
                     -ENOENT);
    snprintf(path, sizeof(path), "%s/mc1", root);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/mc1/dimm3", root);
    assert_int_equal(mkdir(path, 0700), 0);
    put(root, "mc1/dimm3/dimm_label", "CPU 1 DIMM B\n");
    put(root, "mc1/dimm3/dimm_ce_count", "100\n");
    put(root, "mc1/dimm3/dimm_ue_count", "0\n");
    assert_int_equal(kmr_edac_start(loop, root, on_edac, NULL, &source), 0);
    assert_int_equal(kmr_edac_look(source), 1);
    assert_int_equal(edac_count, 0); /* what was before us */
    put(root, "mc1/dimm3/dimm_ce_count", "107\n");
    kmr_edac_look(source);
    assert_int_equal(edac_count, 1);
    assert_string_equal(edac[0].text, "CPU_1_DIMM_B");
    assert_int_equal(edac[0].number[KMR_HW_ERROR_COUNT_AT], 7);
    assert_int_equal(edac[0].number[KMR_HW_ERROR_TYPE_AT], 0);
    assert_int_equal(edac[0].number[KMR_HW_MC_INDEX_AT], 1);
    assert_int_equal(edac[0].number[KMR_HW_TOP_LAYER_AT], 3);
    put(root, "mc1/dimm3/dimm_ue_count", "1\n");
    put(root, "mc1/dimm3/dimm_ce_count", "2\n"); /* reset by somebody */
    kmr_edac_look(source);
    assert_int_equal(edac_count, 3);
    assert_int_equal(edac[1].number[KMR_HW_ERROR_COUNT_AT], 2);
    assert_int_equal(edac[2].number[KMR_HW_ERROR_TYPE_AT], 1);
    /* and set to 0: no error of either kind */
    put(root, "mc1/dimm3/dimm_ce_count", "0\n");
    put(root, "mc1/dimm3/dimm_ue_count", "0\n");
    kmr_edac_look(source);
    assert_int_equal(edac_count, 3);
    put(root, "mc1/dimm3/dimm_ce_count", "1\n");
    put(root, "mc1/dimm3/dimm_ue_count", "2\n");
    kmr_edac_look(source);
    assert_int_equal(edac_count, 5);
    assert_int_equal(edac[3].number[KMR_HW_ERROR_COUNT_AT], 1);
    assert_int_equal(edac[4].number[KMR_HW_ERROR_COUNT_AT], 2);
    put(root, "mc1/dimm3/dimm_ce_count", "");
    kmr_edac_look(source);
    assert_int_equal(edac_count, 5);
    kmr_edac_stop(source);
    snprintf(path, sizeof(path), "rm -r %s", root);
    assert_int_equal(system(path), 0);
}

/* ---- kemarid ---- */

static struct kmr_ipc *server;
static char heard[65536]; /* words, with a space between, a line each */
static unsigned hellos, reports;
static bool silent;
static int answer_code;

static void on_request(struct kmr_ipc_client *client, int argc,
                       const char *const *argv, void *user)
{
    (void)user;
    assert_string_equal(argv[0], "hardware");
    hellos += strcmp(argv[1], "hello") == 0;
    reports += strcmp(argv[1], "report") == 0;
    for (int i = 1; i < argc; i++) {
        assert_true(strlen(heard) + strlen(argv[i]) + 2 < sizeof(heard));
        strcat(heard, argv[i]);
        strcat(heard, i + 1 < argc ? " " : "\n");
    }
    if (!silent) {
        kmr_ipc_reply(client, answer_code, "", answer_code ? "no" : "");
    }
}

static void on_sources(char *ret_json, size_t size, void *user)
{
    (void)user;
    snprintf(ret_json, size, "{\"health\": \"green\"}");
}

static struct kmr_report *report;

static bool connected(void *arg)
{
    (void)arg;
    return hellos > 0;
}

static bool all_answered(void *arg)
{
    (void)arg;
    return kmr_report_waiting(report) == 0;
}

static bool got_reports(void *arg)
{
    return reports >= *(unsigned *)arg;
}

static void say(enum kmr_verdict word, const char *reason)
{
    struct kmr_hw_verdict verdict = { .word = word,
                                      .health = KMR_COLOUR_RED,
                                      .record_us = 12345,
                                      .scope = "block:8:16" };

    snprintf(verdict.reason, sizeof(verdict.reason), "%s", reason);
    kmr_report_say(report, &verdict);
}

static void start_server(void)
{
    heard[0] = '\0';
    hellos = reports = 0;
    assert_int_equal(kmr_ipc_start(loop, on_request, NULL, &server), 0);
}

static void has(const char *line)
{
    if (!strstr(heard, line)) {
        fail_msg("'%s' is not in\n%s", line, heard);
    }
}

static unsigned agains;

static void on_again(void *user)
{
    (void)user;
    agains++;
}

static void told(void **state)
{
    (void)state;
    start_server();
    assert_int_equal(kmr_report_start(loop, on_sources, on_again, NULL,
                                      &report),
                     0);
    assert_true(run_until(loop, connected, NULL, PATIENCE_MS));
    say(KMR_VERDICT_MOVE_PAIR, "the disk \"is\" dying");
    assert_true(run_until(loop, all_answered, NULL, PATIENCE_MS));
    assert_string_equal(heard,
                        "hello sources={\"health\": \"green\"}\n"
                        "report move-pair scope=block:8:16 health=red "
                        "record-us=12345 id=1 reason=the disk \"is\" dying\n");
    /* more than may be under way at once, in their order, each once */
    heard[0] = '\0';
    for (int i = 0; i < 40; i++) {
        say(KMR_VERDICT_DEGRADE, "many");
    }
    kmr_report_hello(report);
    assert_true(run_until(loop, all_answered, NULL, PATIENCE_MS));
    assert_int_equal(reports, 41);
    for (const char *at = heard, *next; (next = strchr(at, '\n'));
         at = next + 1) {
        static unsigned id = 2;
        char want[32];

        if (strncmp(at, "report", 6) == 0) {
            snprintf(want, sizeof(want), " id=%u ", id++);
            assert_memory_equal(strstr(at, " id="), want, strlen(want));
        }
    }
    /* refused: not said again */
    answer_code = 1;
    say(KMR_VERDICT_NOTE, "refused");
    assert_true(run_until(loop, all_answered, NULL, PATIENCE_MS));
    answer_code = 0;
    kmr_report_stop(report);
    kmr_ipc_stop(server);
}

/* kemarid comes later, goes in the middle, and comes back. */
static void waits(void **state)
{
    unsigned wanted = 1;

    (void)state;
    agains = 0;
    assert_int_equal(kmr_report_start(loop, on_sources, on_again, NULL,
                                      &report),
                     0);
    say(KMR_VERDICT_MOVE_NODE, "the one that counts");
    for (int i = 0; i < 200; i++) {
        say(KMR_VERDICT_NOTE, "noise");
    }
    assert_int_equal(kmr_report_waiting(report), KMR_REPORT_QUEUE);
    run_for(loop, 50);
    start_server();
    assert_true(run_until(loop, all_answered, NULL, PATIENCE_MS));
    assert_int_equal(strncmp(heard, "hello ", 6), 0);
    has("report move-node scope=block:8:16 health=red record-us=12345 id=1 "
        "reason=the one that counts\n");
    assert_int_equal(reports, KMR_REPORT_QUEUE);
    /* heard, but it ends before it answers: said again to the next one */
    silent = true;
    reports = 0;
    say(KMR_VERDICT_TAKEOVER, "twice");
    assert_true(run_until(loop, got_reports, &wanted, PATIENCE_MS));
    kmr_ipc_stop(server);
    silent = false;
    run_for(loop, 50);
    assert_int_equal(kmr_report_waiting(report), 1);
    start_server();
    assert_true(run_until(loop, all_answered, NULL, PATIENCE_MS));
    assert_int_equal(hellos, 1);
    assert_int_equal(agains, 2);
    has("report takeover scope=block:8:16 health=red record-us=12345 id=202 "
        "reason=twice\n");
    kmr_report_stop(report);
    kmr_ipc_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters),
        cmocka_unit_test(told),
        cmocka_unit_test(waits),
    };

    loop = qb_loop_create();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
