/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine's JSON: what is taken, what is refused, what is sent. */
#include "loop_help.h"

#include <errno.h>
#include <string.h>

#include "io/qmp.h"

#define UUID_A "11111111-2222-4333-8444-555555555555"
#define UUID_B "66666666-2222-4333-8444-555555555555"

static void test_event(void **state)
{
    struct kmr_qmp_status st;

    (void)state;
    assert_int_equal(
        kmr_qmp_parse_event(
            "{\"state\":\"preparing\",\"instance\":"
            "\"" UUID_A "\",\"checkpoint\":"
            "41,\"role\":\"primary\",\"reason\":\"a\\nb\",\"generation\":8}",
            &st),
        0);
    assert_int_equal(st.state, KMR_QMP_PREPARING);
    assert_int_equal(st.role, KMR_QMP_ROLE_PRIMARY);
    assert_int_equal(st.generation, 8);
    assert_int_equal(st.checkpoint, 41);
    assert_string_equal(st.instance, UUID_A);
    assert_string_equal(st.peer, "");
    assert_string_equal(st.reason, "a b"); /* one line */
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "x",
        "[]",
        "{}",
        "{\"role\":\"primary\"}",
        "{\"role\":\"primary\",\"state\":\"happy\",\"generation\":1}",
        "{\"role\":\"boss\",\"state\":\"none\",\"generation\":1}",
        "{\"role\":\"primary\",\"state\":\"none\",\"generation\":-1}",
        "{\"role\":\"primary\",\"state\":\"none\",\"generation\":\"1\"}",
        "{\"role\":\"primary\",\"state\":\"none\",\"generation\":1.5}",
        "{\"role\":\"primary\",\"state\":\"none\",\"generation\":1,"
        "\"instance\":\"zz\"}",
        "{\"role\":\"primary\",\"state\":\"none\",\"generation\":1,"
        "\"generation\":2}",
        "{\"role\":\"primary\",\"state\":\"none\",\"generation\":1} x",
        "{\"role\":\"primary\",\"state\":\"none\",\"generation\":1,"
        "\"reason\":3}",
        "{\"role\":\"primary\",\"state\":\"none\",\"generation\":"
        "99999999999999999999}",
    };
    struct kmr_qmp_status st = { .generation = 77 };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (kmr_qmp_parse_event(bad[i], &st) != -EBADMSG) {
            fail_msg("taken: %s", bad[i]);
        }
    }
    assert_int_equal(st.generation, 77); /* untouched */
}

static void test_query(void **state)
{
    struct kmr_qmp_status st;

    (void)state;
    assert_int_equal(
        kmr_qmp_parse_query(
            "{\"return\":{\"role\":\"standby\",\"state\":\"synchronised\","
            "\"generation\":3,\"instance\":"
            "\"" UUID_A "\",\"peer\":\"" UUID_B
            "\",\"reason\":\"\",\"checkpoint\":9,\"checkpoints\":10,"
            "\"freeze-us\":{\"p50\":1,\"p95\":2,\"p99\":3,\"max\":4},"
            "\"ack-us\":{\"p50\":5,\"p95\":6,\"p99\":7,\"max\":8},\"pages\":11,"
            "\"bytes\":12,\"held-requests\":13,\"held-packets\":14,"
            "\"lag-ms\":15,\"throttle\":16,\"overload\":{\"active\":true,"
            "\"policy\":\"unprotected\",\"staging\":67108864},"
            "\"new-member\":true},\"id\":\"x\"}",
            &st),
        0);
    assert_int_equal(st.role, KMR_QMP_ROLE_STANDBY);
    assert_int_equal(st.state, KMR_QMP_SYNCHRONISED);
    assert_string_equal(st.peer, UUID_B);
    assert_int_equal(st.freeze_us.p99, 3);
    assert_int_equal(st.ack_us.max, 8);
    assert_int_equal(st.held_packets, 14);
    assert_int_equal(st.lag_ms, 15);
    assert_int_equal(st.throttle, 16);
    assert_true(st.overload);
    assert_true(st.unprotected);
    assert_int_equal(kmr_qmp_parse_query("{\"error\":{}}", &st), -EBADMSG);
    assert_int_equal(
        kmr_qmp_parse_query("{\"return\":{\"role\":\"none\",\"state\":\"none\","
                            "\"generation\":0,"
                            "\"lag-ms\":\"x\"}}",
                            &st),
        -EBADMSG);
}

static void test_overload(void **state)
{
    struct kmr_qmp_status st;
    static const char *const bad[] = {
        "{\"active\":true,\"policy\":\"wait\",\"throttle\":101,"
        "\"instance\":\"" UUID_A "\",\"generation\":7}",
        "{\"active\":1,\"policy\":\"wait\",\"throttle\":9,"
        "\"instance\":\"" UUID_A "\",\"generation\":7}",
        "{\"active\":true,\"throttle\":9,"
        "\"instance\":\"" UUID_A "\",\"generation\":7}",
        "junk",
    };

    (void)state;
    assert_int_equal(
        kmr_qmp_parse_overload("{\"active\":true,\"policy\":\"throttle\","
                               "\"throttle\":61,\"instance\":\"" UUID_A
                               "\",\"generation\":7,\"checkpoint\":8}",
                               &st),
        0);
    assert_string_equal(st.instance, UUID_A);
    assert_int_equal(st.throttle, 61);
    assert_true(st.overload);
    assert_false(st.unprotected);
    assert_int_equal(kmr_qmp_parse_overload("{\"active\":false,\"policy\":"
                                            "\"unprotected\",\"throttle\":0,"
                                            "\"instance\":\"" UUID_A
                                            "\",\"generation\":7}",
                                            &st),
                     0);
    assert_false(st.overload);
    assert_false(st.unprotected); /* it is over: nothing is to be done */
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(kmr_qmp_parse_overload(bad[i], &st), -EBADMSG);
    }
}

static void test_migrate(void **state)
{
    unsigned percent = 5;
    char text[32];

    (void)state;
    assert_int_equal(kmr_qmp_parse_migrate("{\"return\":{}}", &percent, text,
                                           sizeof(text)),
                     0);
    assert_int_equal(percent, 0);
    assert_string_equal(text, "none");
    assert_int_equal(
        kmr_qmp_parse_migrate(
            "{\"return\":{\"status\":\"active\",\"ram\":{\"total\":268435456,"
            "\"remaining\":67108864}}}",
            &percent, text, sizeof(text)),
        0);
    assert_in_range(percent, 74, 75);
    assert_string_equal(text, "active");
    assert_int_equal(
        kmr_qmp_parse_migrate("{\"return\":{\"status\":\"kemari\"}}", &percent,
                              text, sizeof(text)),
        0);
    assert_int_equal(percent, 100);
    assert_int_equal(kmr_qmp_parse_migrate("{\"return\":{\"status\":7}}",
                                           &percent, text, sizeof(text)),
                     -EBADMSG);
}

static void test_run(void **state)
{
    char text[16];

    (void)state;
    assert_int_equal(kmr_qmp_parse_run("{\"return\": {\"running\": false, "
                                       "\"status\": \"io-error\"}}",
                                       text, sizeof(text)),
                     0);
    assert_string_equal(text, "io-error");
    assert_int_equal(kmr_qmp_parse_run("{\"return\": {\"status\": 1}}", text,
                                       sizeof(text)),
                     -EBADMSG);
    assert_int_equal(kmr_qmp_parse_run("{\"return\": {\"status\": "
                                       "\"guest-panicked-and-more\"}}",
                                       text, sizeof(text)),
                     -EBADMSG);
}

static void test_errors(void **state)
{
    char text[128];

    (void)state;
    assert_true(kmr_qmp_is_error(
        "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"}}", text,
        sizeof(text)));
    assert_string_equal(text, "GenericError: no");
    assert_true(kmr_qmp_is_error("junk", text, sizeof(text)));
    assert_true(kmr_qmp_is_error("{}", text, sizeof(text)));
    assert_false(kmr_qmp_is_error("{\"return\":{}}", text, sizeof(text)));
}

static void test_commands(void **state)
{
    char text[KMR_QMP_COMMAND_MAX];
    static const struct kmr_qmp_settings settings = {
        .lost_ms = 1000,
        .overload = "wait",
        .staging_mib = 4096,
    };

    (void)state;
    assert_int_equal(kmr_qmp_prepare(UUID_A, UUID_B, 7, &settings, text,
                                     sizeof(text)),
                     0);
    assert_string_equal(
        text, "{\"execute\":\"x-kemari-prepare\",\"arguments\":{\"instance\":"
              "\"" UUID_A "\",\"generation\":7,\"peer\":\"" UUID_B "\","
              "\"timeout-ms\":1000,\"overload\":\"wait\","
              "\"staging\":4294967296,\"confirm\":true}}");
    assert_int_equal(kmr_qmp_confirm(UUID_A, 8, text, sizeof(text)), 0);
    assert_string_equal(
        text, "{\"execute\":\"x-kemari-confirm\",\"arguments\":{\"instance\":"
              "\"" UUID_A "\",\"generation\":8}}");
    assert_int_equal(kmr_qmp_takeover(UUID_A, 8, text, sizeof(text)), 0);
    assert_string_equal(
        text, "{\"execute\":\"x-kemari-takeover\",\"arguments\":{\"instance\":"
              "\"" UUID_A "\",\"generation\":8}}");
    assert_int_equal(kmr_qmp_release(UUID_A, 9, text, sizeof(text)), 0);
    assert_non_null(strstr(text, "x-kemari-release"));
    assert_int_equal(kmr_qmp_handover(UUID_A, 9, text, sizeof(text)), 0);
    assert_non_null(strstr(text, "x-kemari-handover"));
    assert_int_equal(kmr_qmp_retry(UUID_A, 9, true, text, sizeof(text)), 0);
    assert_non_null(strstr(text, "x-kemari-retry"));
    assert_non_null(strstr(text, "\"report\":true"));
    assert_int_equal(kmr_qmp_restart(UUID_A, 9, text, sizeof(text)), 0);
    assert_non_null(strstr(text, "x-kemari-restart"));
    assert_non_null(strstr(text, UUID_A));
    assert_int_equal(kmr_qmp_set_capability(text, sizeof(text)), 0);
    assert_string_equal(
        text,
        "{\"execute\":\"migrate-set-capabilities\",\"arguments\":"
        "{\"capabilities\":[{\"capability\":\"x-kemari\",\"state\":true}]}}");
    assert_int_equal(kmr_qmp_migrate("tcp:10.77.2.12:5000", true, text,
                                     sizeof(text)),
                     0);
    assert_string_equal(text, "{\"execute\":\"migrate-incoming\","
                              "\"arguments\":{\"uri\":"
                              "\"tcp:10.77.2.12:5000\"}}");
    assert_int_equal(kmr_qmp_migrate("a\"b\\", false, text, sizeof(text)), 0);
    assert_string_equal(text, "{\"execute\":\"migrate\",\"arguments\":"
                              "{\"uri\":\"a\\\"b\\\\\"}}");
    assert_int_equal(kmr_qmp_remove_keys(true, text, sizeof(text)), 0);
    assert_string_equal(text, "{\"execute\":\"object-del\",\"arguments\":"
                              "{\"id\":\"kemari-standby-keys\"}}");
    assert_int_equal(kmr_qmp_add_keys("x509", "/etc/k", true, text,
                                      sizeof(text)),
                     0);
    assert_string_equal(text, "{\"execute\":\"object-add\",\"arguments\":"
                              "{\"id\":\"kemari-standby-keys\",\"endpoint\":"
                              "\"server\",\"dir\":\"/etc/k\",\"qom-type\":"
                              "\"tls-creds-x509\"}}");
    assert_int_equal(kmr_qmp_add_keys("psk", "/etc/k", false, text,
                                      sizeof(text)),
                     0);
    assert_string_equal(text, "{\"execute\":\"object-add\",\"arguments\":"
                              "{\"id\":\"kemari-primary-keys\",\"endpoint\":"
                              "\"client\",\"dir\":\"/etc/k\",\"qom-type\":"
                              "\"tls-creds-psk\",\"priority\":\"NORMAL:"
                              "-CHACHA20-POLY1305\",\"username\":\"kemari\"}}");
    assert_int_equal(kmr_qmp_set_parameters("psk", false, 128, text,
                                            sizeof(text)),
                     0);
    assert_string_equal(text, "{\"execute\":\"migrate-set-parameters\","
                              "\"arguments\":{\"tls-creds\":"
                              "\"kemari-primary-keys\","
                              "\"max-bandwidth\":134217728}}");
    assert_int_equal(kmr_qmp_set_parameters(NULL, true, 100000, text,
                                            sizeof(text)),
                     0);
    assert_string_equal(text, "{\"execute\":\"migrate-set-parameters\","
                              "\"arguments\":{\"tls-creds\":\"\","
                              "\"max-bandwidth\":104857600000}}");
    assert_int_equal(kmr_qmp_simple("query-kemari", text, sizeof(text)), 0);
    assert_string_equal(text, "{\"execute\":\"query-kemari\"}");
    assert_int_equal(kmr_qmp_simple("query-kemari", text, 20), -ENOSPC);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_query),    cmocka_unit_test(test_migrate),
        cmocka_unit_test(test_overload), cmocka_unit_test(test_run),
        cmocka_unit_test(test_errors),   cmocka_unit_test(test_commands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
