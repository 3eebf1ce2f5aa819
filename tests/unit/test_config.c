/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kemari.conf: what is read, what is refused, and what is said then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/config.h"

static struct kmr_config config;
static char error[512];

static int read_text(const char *text)
{
    char path[] = "/tmp/kemari-test-config.XXXXXX";
    int fd = mkstemp(path);
    int err;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    kmr_config_init(&config);
    error[0] = '\0';
    err = kmr_config_read(path, &config, error, sizeof(error));
    unlink(path);
    return err;
}

static void refused(const char *text, const char *part)
{
    assert_int_equal(read_text(text), -EBADMSG);
    if (!strstr(error, part)) {
        fail_msg("'%s' is not in '%s'", part, error);
    }
}

static void defaults(void **state)
{
    (void)state;
    assert_int_equal(read_text("# nothing\n\n; here\n"), 0);
#define X(name, least, preset, most)                   \
    assert_int_equal(config.limits.name##_ms, preset); \
    assert_true((least) <= (preset) && (preset) <= (most));
    KMR_LIMITS(X)
#undef X
    assert_int_equal(config.settle_ms, 0);
    assert_int_equal(config.port_first, 49300);
    assert_string_equal(config.overload, "throttle");
    assert_int_equal(config.staging_mib, 128);
    assert_int_equal(config.sync_mib_s, 128);
}

static void bandwidth(void **state)
{
    (void)state;
    assert_int_equal(read_text("[replication]\nsync_mib_s = 100000\n"), 0);
    assert_int_equal(config.sync_mib_s, 100000);
    refused("[replication]\nsync_mib_s = 0\n",
            ":2: bad value for 'sync_mib_s' in [replication]");
    refused("[replication]\nsync_mib_s = 100001\n", ":2: bad value");
}

static void overload(void **state)
{
    (void)state;
    assert_int_equal(read_text(
                         "[overload]\npolicy = wait\nstaging_mib = 65536\n"),
                     0);
    assert_string_equal(config.overload, "wait");
    assert_int_equal(config.staging_mib, 65536);
    assert_int_equal(read_text("[overload]\npolicy=unprotected\n"), 0);
    assert_string_equal(config.overload, "unprotected");
    refused("[overload]\npolicy = pause\n", ":2: bad value for 'policy'");
    refused("[overload]\nstaging_mib = 63\n",
            ":2: bad value for 'staging_mib' in [overload]");
    refused("[overload]\nstaging_mib = 65537\n", ":2: bad value");
}

static void moves(void **state)
{
    (void)state;
    assert_int_equal(read_text("[health]\nparallel_moves = 16\n"
                               "vm_moves_per_hour = 60\n"
                               "priority = vm1, vm0\n"),
                     0);
    assert_int_equal(config.moves.parallel_moves, 16);
    assert_int_equal(config.moves.moves_per_hour, 60);
    assert_string_equal(config.priority, "vm1, vm0");
    assert_int_equal(read_text(""), 0);
    assert_int_equal(config.moves.parallel_moves, 1);
    assert_int_equal(config.moves.moves_per_hour, 2);
    assert_string_equal(config.priority, "");
    refused("[health]\nparallel_moves = 0\n",
            ":2: bad value for 'parallel_moves' in [health]: 1 to 16");
    refused("[health]\nparallel_moves = 17\n", "1 to 16");
    refused("[health]\nvm_moves_per_hour = 0\n", "1 to 60");
    refused("[health]\nvm_moves_per_hour = 61\n", "1 to 60");
    refused("[health]\npriority = vm0 -x\n", "names of virtual machines");
}

static void remedies(void **state)
{
    (void)state;
    assert_int_equal(read_text(""), 0);
    assert_int_equal(config.policy.io_error, KMR_REMEDY_HOLD);
    assert_int_equal(config.policy.panic, KMR_REMEDY_RESTART);
    assert_int_equal(config.policy.internal_error, KMR_REMEDY_TAKEOVER);
    assert_false(config.policy.dump);
    assert_int_equal(read_text("[io_error]\npolicy = report\n[guest]\n"
                               "panic = stop\nwatchdog=hold\n"
                               "internal_error = restart\n"
                               "dump_dir = /var/crash\n"),
                     0);
    assert_int_equal(config.policy.io_error, KMR_REMEDY_REPORT);
    assert_int_equal(config.policy.panic, KMR_REMEDY_STOP);
    assert_int_equal(config.policy.watchdog, KMR_REMEDY_HOLD);
    assert_int_equal(config.policy.internal_error, KMR_REMEDY_RESTART);
    assert_true(config.policy.dump);
    assert_string_equal(config.dump_dir, "/var/crash");
    refused("[io_error]\npolicy = restart\n",
            ":2: bad value for 'policy' in [io_error]: hold report stop");
    refused("[guest]\npanic = takeover\n",
            ":2: bad value for 'panic' in [guest]: hold stop restart");
    refused("[guest]\ndump_dir = crash\n", ":2: bad value for 'dump_dir'");
}

static void limits(void **state)
{
    char text[128];

    (void)state;
#define X(name, least, preset, most)                                           \
    snprintf(text, sizeof(text), "[limits]\n%s_ms = %u\n", #name, least);      \
    assert_int_equal(read_text(text), 0);                                      \
    assert_int_equal(config.limits.name##_ms, least);                          \
    snprintf(text, sizeof(text), "[limits]\n%s_ms = %u\n", #name, most);       \
    assert_int_equal(read_text(text), 0);                                      \
    assert_int_equal(config.limits.name##_ms, most);                           \
    snprintf(text, sizeof(text), "[limits]\n%s_ms = %u\n", #name, (least)-1u); \
    refused(text, ":2: bad value for '" #name "_ms' in [limits]: " #least      \
                  " to " #most " (milliseconds)");                             \
    snprintf(text, sizeof(text), "[limits]\n%s_ms = %u\n", #name,              \
             (most) + 1u);                                                     \
    refused(text, ":2: bad value for '" #name "_ms'");
    KMR_LIMITS(X)
#undef X
}

static void one_leaves_the_others(void **state)
{
    struct kmr_limits want = kmr_limits_default();

    (void)state;
    want.sync_ms = 12345;
    assert_int_equal(read_text("[limits]\n  sync_ms=12345 \n"), 0);
    assert_memory_equal(&config.limits, &want, sizeof(want));
}

static void no_numbers(void **state)
{
    static const char *const values[] = {
        "",       "ten",        "-5000",
        "+5000",  "5000ms",     "5 000",
        "0x2000", "4294972296", "99999999999999999999999",
    };
    char text[128];

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        snprintf(text, sizeof(text), "[limits]\nready_ms = %s\n", values[i]);
        refused(text, "5000 to 600000");
        snprintf(text, sizeof(text), "[fencing]\nsettle_ms = %s\n", values[i]);
        refused(text, ":2: bad value for 'settle_ms' in [fencing]");
    }
}

static void tls(void **state)
{
    (void)state;
    assert_int_equal(read_text(""), 0);
    assert_int_equal(config.tls, KMR_TLS_NO);
    assert_int_equal(read_text("[replication]\ntls = psk\ntls_dir = /k\n"), 0);
    assert_int_equal(config.tls, KMR_TLS_PSK);
    assert_string_equal(config.tls_dir, "/k");
    assert_int_equal(read_text("[replication]\ntls = x509\n"), 0);
    assert_int_equal(config.tls, KMR_TLS_X509);
    assert_int_equal(read_text("[replication]\ntls = no\n"), 0);
    assert_int_equal(config.tls, KMR_TLS_NO);
    refused("[replication]\ntls = yes\n", ":2: bad value for 'tls'");
    refused("[replication]\ntls = PSK\n", ":2: bad value for 'tls'");
    refused("[replication]\ntls_dir = keys\n", ":2: bad value for 'tls_dir'");
    refused("[node]\ntls = psk\n", ":2: unknown key 'tls' in [node]");
}

static void unknown(void **state)
{
    (void)state;
    refused("[limits]\ntakeover = 100\n", ":2: unknown key 'takeover'");
    refused("[log]\ntakeover_ms = 100\n", "'takeover_ms' in [log]");
    refused("takeover_ms = 100\n", ":1: unknown key");
    refused("[limit]\n\nsync_ms = 20000\n", ":3: unknown key 'sync_ms'");
    refused("[limits]\nsync_ms 20000\n", ":2: neither");
    assert_int_equal(kmr_config_read("/nonexistent", &config, error,
                                     sizeof(error)),
                     -ENOENT);
}

static void health(void **state)
{
    struct kmr_health_limits want;

    (void)state;
    kmr_health_limits_init(&want);
    assert_int_equal(read_text("[health]\n"), 0);
    assert_memory_equal(&config.health, &want, sizeof(want));
    want.dimm = (struct kmr_rate){ 7, UINT64_C(3600000000) };
    strcpy(want.interfaces, "eth0 eth1");
    want.debounce_ms = 0;
    assert_int_equal(read_text("[health]\ndimm = 7 / 1h\n"
                               "interfaces = eth0 eth1\ndebounce_ms = 0\n"),
                     0);
    assert_memory_equal(&config.health, &want, sizeof(want));
    refused("[health]\n\ndimm = 0 / 24h\n",
            ":3: bad value for 'dimm' in [health]: 1 to 1000000 / 1s to 30d");
    refused("[health]\nmoves = 17 / 1h\n", "1 to 16 / 1s to 30d");
    refused("[health]\nrecover_ms = 1h\n",
            ":2: bad value for 'recover_ms' in [health]: 1000 to 604800000 "
            "(milliseconds)");
    refused("[health]\ndegrade_percent = 0\n", "[health]: 1 to 100");
    refused("[health]\ndimms = 1 / 24h\n", ":2: unknown key 'dimms'");
    refused("[limits]\ndimm = 1 / 24h\n", ":2: unknown key 'dimm'");
}

/* The example has every key with its default: taken out of its comments, it
 * must be read, and change no limit. */
static void example(void **state)
{
    FILE *file = fopen(EXAMPLE, "re");
    struct kmr_limits want = kmr_limits_default();
    struct kmr_health_limits want_health;
    char text[16384] = "", line[1024];
    unsigned found = 0, found_health = 0;
    bool in_health = false;

    (void)state;
    kmr_health_limits_init(&want_health);
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        const char *at = line;

        if (line[0] == '[') {
            in_health = strcmp(line, "[health]\n") == 0;
        }
        if (line[0] == '#' && strstr(line, " = ") && in_health &&
            !strstr(line, "interfaces") && !strstr(line, "priority")) {
            found_health++;
            at++;
        } else if (line[0] == '#' && strstr(line, "_ms = ")) {
            found++;
            at++;
        }
        assert_true(strlen(text) + strlen(at) < sizeof(text));
        strcat(text, at);
    }
    fclose(file);
    if (read_text(text) != 0) {
        fail_msg("%s", error);
    }
    assert_int_equal(found, sizeof(want) / sizeof(uint32_t) + 1);
    assert_memory_equal(&config.limits, &want, sizeof(want));
#define X(...) +1
    assert_true(found_health >= 0 KMR_HEALTH_RATES(X) KMR_HEALTH_TIMES(X)
                                    KMR_HEALTH_NUMBERS(X));
#undef X
    assert_memory_equal(&config.health, &want_health, sizeof(want_health));
    assert_int_equal(config.moves.parallel_moves, KMR_MOVES_PARALLEL);
    assert_int_equal(config.moves.moves_per_hour, KMR_MOVES_PER_HOUR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),   cmocka_unit_test(limits),
        cmocka_unit_test(no_numbers), cmocka_unit_test(one_leaves_the_others),
        cmocka_unit_test(tls),        cmocka_unit_test(unknown),
        cmocka_unit_test(moves),      cmocka_unit_test(example),
        cmocka_unit_test(bandwidth),  cmocka_unit_test(overload),
        cmocka_unit_test(remedies),   cmocka_unit_test(health),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
