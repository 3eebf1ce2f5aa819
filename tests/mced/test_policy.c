/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From findings to verdicts, in virtual time. tests/mced/days has whole days;
 * here is what they don't reach. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "mce-monitor/policy.h"

#define S_US UINT64_C(1000000)
#define HOUR_US (3600 * S_US)

static struct kmr_policy policy;
static struct kmr_health_limits limits;
static char trace[16384]; /* "TIME word scope health;" of all verdicts */
static char reasons[16384];
static unsigned moves;

static void add(unsigned count, const struct kmr_hw_verdict *verdicts,
                uint64_t now_us)
{
    assert_true(count <= KMR_POLICY_VERDICTS);
    for (unsigned i = 0; i < count; i++) {
        size_t used = strlen(trace);

        snprintf(trace + used, sizeof(trace) - used, "%.0f %s %s %s;",
                 (double)now_us / S_US, kmr_verdict_text(verdicts[i].word),
                 verdicts[i].scope, kmr_colour_text(verdicts[i].health));
        used = strlen(reasons);
        snprintf(reasons + used, sizeof(reasons) - used, "%s;",
                 verdicts[i].reason);
        moves += verdicts[i].word >= KMR_VERDICT_MOVE_PAIR;
        assert_true(verdicts[i].reason[0] != '\0');
    }
}

/* Time passes, with all deadlines in between. */
static void until(uint64_t now_us)
{
    struct kmr_hw_verdict verdicts[KMR_POLICY_VERDICTS];
    unsigned turns = 0;

    for (;;) {
        uint64_t at_us = kmr_policy_deadline(&policy);

        if (at_us == 0 || at_us > now_us) {
            return;
        }
        if (at_us < policy.now_us) {
            at_us = policy.now_us;
        }
        add(kmr_policy_step(&policy, NULL, NULL, at_us, verdicts), verdicts,
            at_us);
        assert_true(++turns < 10000); /* deadlines move on */
    }
}

static void feed(const char *line)
{
    struct kmr_hw_verdict verdicts[KMR_POLICY_VERDICTS];
    struct kmr_hw_record record;
    struct kmr_hw_finding finding;

    if (!kmr_hw_record_parse(line, &record)) {
        fail_msg("not a record: %s", line);
    }
    until(record.time_us);
    kmr_hw_decode(&record, &finding);
    add(kmr_policy_step(&policy, &record, &finding, record.time_us, verdicts),
        verdicts, record.time_us);
}

static void feed_at(double seconds, const char *rest)
{
    char line[512];

    snprintf(line, sizeof(line), "%.6f %s", seconds, rest);
    feed(line);
}

static int fresh(void **state)
{
    (void)state;
    kmr_health_limits_init(&limits);
    kmr_policy_init(&policy, &limits);
    trace[0] = reasons[0] = '\0';
    moves = 0;
    return 0;
}

static void expect_trace(const char *want)
{
    if (strcmp(trace, want) != 0) {
        fail_msg("%s\n  not %s\n  (%s)", trace, want, reasons);
    }
    trace[0] = reasons[0] = '\0';
}

#define CE "ras:mc_event error_type=0 error_count=1 label=DIMM_A1"
#define AO                                                      \
    "mce:mce_record cpu=0 bank=7 cpuvendor=0 mcgcap=0x1000c14 " \
    "status=0xbd000000000000c0 addr=0x1000 misc=0x8c"
#define AO_NO_ADDRESS                                           \
    "mce:mce_record cpu=1 bank=7 cpuvendor=0 mcgcap=0x1000c14 " \
    "status=0xb1000000000000c0"
#define AR                                                      \
    "mce:mce_record cpu=0 bank=1 cpuvendor=0 mcgcap=0x1000c14 " \
    "status=0xbd80000000000134 addr=0x1000 misc=0x8c"

static void dimm(void **state)
{
    (void)state;
    for (int i = 1; i <= 10; i++) {
        feed_at(i, CE);
    }
    expect_trace("1 note node green;5 degrade node yellow;"
                 "10 move-node node red;");
    /* a storm says no more, */
    for (int i = 0; i < 10000; i++) {
        feed_at(11 + i * 0.001, CE);
    }
    expect_trace("");
    /* and it is red until it has leaked to a quarter: 18 hours of 24 */
    until(21 * S_US + 18 * HOUR_US - 2 * S_US);
    expect_trace("");
    assert_int_equal(kmr_policy_health(&policy), KMR_COLOUR_RED);
    until(21 * S_US + 18 * HOUR_US + 2 * S_US);
    expect_trace("64821 note node green;");
    assert_int_equal(kmr_policy_health(&policy), KMR_COLOUR_GREEN);
}

static void counted_at_once(void **state)
{
    (void)state;
    feed_at(1, "ras:mc_event error_type=0 error_count=9 label=DIMM_A1");
    feed_at(2, "ras:mc_event error_type=0 error_count=1 label=DIMM_B1");
    feed_at(3, "ras:mc_event error_type=0 error_count=65535 label=DIMM_A1");
    expect_trace("1 degrade node yellow;2 note node yellow;"
                 "3 move-node node red;");
}

static void broadcast(void **state)
{
    (void)state;
    feed_at(100, AO);
    feed_at(100.000010, AO_NO_ADDRESS);
    feed_at(100.000400, "ras:memory_failure_event pfn=1 type=10 result=3");
    expect_trace("100 move-node node red;");
    assert_int_equal(policy.echoes, 2);
    /* what follows is graver: not the same */
    feed_at(100.05, AR);
    expect_trace("100 takeover node red;");
    /* and a second later it is another one, but the node is left already */
    feed_at(102, "ras:memory_failure_event pfn=2 type=10 result=3");
    expect_trace("102 note node red;");
}

static void page_and_channel(void **state)
{
    char line[256];

    (void)state;
    /* one page, by machine checks: 50 are too many, though a channel may
     * have 100 */
    for (int i = 0; i < 49; i++) {
        feed_at(i, "mce:mce_record cpu=0 bank=7 cpuvendor=0 mcgcap=0x1000c14 "
                   "status=0x9c00000000000091 misc=0x8c addr=0x5000");
    }
    assert_int_equal(moves, 0);
    feed_at(50, "mce:mce_record cpu=0 bank=7 cpuvendor=0 mcgcap=0x1000c14 "
                "status=0x9c00000000000091 misc=0x8c addr=0x5fff");
    assert_int_equal(moves, 1);
    assert_non_null(strstr(reasons, "page: 50.0 corrected errors of 50 / 24h"));
    /* others: each page once, the channel is what is too bad */
    fresh(NULL);
    for (int i = 0; i < 99; i++) {
        snprintf(line, sizeof(line),
                 "mce:mce_record cpu=0 bank=7 cpuvendor=0 mcgcap=0x1000c14 "
                 "status=0x9c00000000000091 misc=0x8c addr=0x%x000",
                 i + 1);
        feed_at(i * 0.1, line);
        assert_int_equal(moves, 0);
    }
    feed_at(10.1, line);
    assert_int_equal(moves, 1);
    assert_non_null(
        strstr(reasons, "memory channel socket 0 bank 7 channel 1"));
}

static void disks(void **state)
{
    struct kmr_hw_verdict verdict;
    unsigned at = 0;

    (void)state;
    /* the bio above it: the same error; a bio-based device: only that */
    for (int i = 0; i < 2; i++) {
        feed_at(i, "block:block_rq_error dev=0x800000 error=-5 rwbs=R");
        feed_at(i + 0.0001,
                "block:block_bio_complete dev=0x800000 error=-5 rwbs=R");
    }
    expect_trace("0 note block:8:0 green;1 degrade block:8:0 yellow;");
    feed_at(2, "block:block_rq_error dev=0x800000 error=-5 rwbs=R");
    expect_trace("2 move-pair block:8:0 yellow;");
    for (int i = 0; i < 3; i++) {
        feed_at(10 + i,
                "block:block_bio_complete dev=0xfd00000 error=-5 rwbs=R");
    }
    expect_trace("10 note block:253:0 yellow;11 degrade block:253:0 yellow;"
                 "12 move-pair block:253:0 yellow;");
    /* what says nothing about the disk */
    for (int i = 0; i < 100; i++) {
        feed_at(20 + i, "block:block_rq_error dev=0x900000 error=-95 rwbs=D");
        feed_at(20.1 + i, "block:block_rq_error dev=0x900000 error=-5 rwbs=RA");
    }
    expect_trace("");
    /* for a kemarid that was restarted, until it is over */
    assert_true(kmr_policy_standing(&policy, &at, &verdict));
    assert_string_equal(verdict.scope, "block:8:0");
    assert_true(kmr_policy_standing(&policy, &at, &verdict));
    assert_string_equal(verdict.scope, "block:253:0");
    assert_int_equal(verdict.word, KMR_VERDICT_MOVE_PAIR);
    assert_false(kmr_policy_standing(&policy, &at, &verdict));
    until(2 * HOUR_US);
    trace[0] = '\0';
    at = 0;
    assert_false(kmr_policy_standing(&policy, &at, &verdict));
}

static void links(void **state)
{
    (void)state;
    feed_at(1, "link:carrier name=eth1 up=1");
    expect_trace("");
    feed_at(2, "link:carrier name=eth1 up=0");
    feed_at(2.5, "link:carrier name=eth1 up=1");
    expect_trace("2 note link:eth1 green;2 note link:eth1 green;");
    until(10 * S_US);
    expect_trace("");
    feed_at(11, "link:carrier name=eth1 up=0");
    feed_at(11.2, "link:carrier name=eth1 up=0");
    until(20 * S_US);
    expect_trace("11 note link:eth1 green;12 move-pair link:eth1 yellow;");
    /* as long as it is down, it is yellow */
    until(100 * HOUR_US);
    expect_trace("");
    feed_at(360001, "link:carrier name=eth1 up=1");
    expect_trace("360001 note link:eth1 yellow;");
    until(102 * HOUR_US);
    expect_trace("363601 note link:eth1 green;");
}

/* What is held back is done when it is time, if it is still so. */
static void held_back(void **state)
{
    (void)state;
    feed_at(1, "link:carrier name=eth1 up=0");
    feed_at(1, "link:carrier name=eth2 up=0");
    feed_at(1, "link:carrier name=eth3 up=0");
    feed_at(1, "link:carrier name=eth4 up=0");
    trace[0] = '\0';
    until(3 * S_US);
    expect_trace("2 move-pair link:eth1 yellow;2 move-pair link:eth2 yellow;"
                 "2 degrade link:eth3 yellow;2 degrade link:eth4 yellow;");
    feed_at(100, "link:carrier name=eth4 up=1");
    trace[0] = '\0';
    until(HOUR_US + 10 * S_US);
    expect_trace("3602 move-pair link:eth3 yellow;");
    assert_int_equal(policy.withheld, 2);
    /* A takeover is not put off. */
    feed_at(3700, AO);
    feed_at(3800, AR);
    expect_trace("3700 note link:eth4 yellow;3700 move-node node red;"
                 "3800 takeover node red;");
    feed_at(3900, "link:carrier name=eth9 up=0");
    trace[0] = '\0';
    until(3902 * S_US);
    expect_trace("3901 note link:eth9 red;"); /* the node is left already */
}

/* Disks that fail, and links that are lost, whoever uses them: the node is
 * left all the same, for memory that fails. */
static void pairs_apart(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        feed_at(1, "block:block_rq_error dev=0x800000 error=-5 rwbs=R");
        feed_at(1, "block:block_bio_complete dev=0xfd00000 error=-5 rwbs=R");
        feed_at(1, "block:block_rq_error dev=0x900000 error=-5 rwbs=R");
    }
    assert_int_equal(moves, 2);
    assert_int_equal(policy.withheld, 1);
    trace[0] = '\0';
    feed_at(100, AO);
    expect_trace("100 move-node node red;");
}

/* The other way round; and of moves of the node there are not too many. */
static void nodes_apart(void **state)
{
    (void)state;
    assert_int_equal(kmr_health_limits_set(&limits, "moves", "1 / 30d"), 0);
    kmr_policy_set_limits(&policy, &limits);
    feed_at(1, AO);
    until(24 * HOUR_US);
    expect_trace("1 move-node node red;64801 note node green;");
    feed_at(90000, "link:carrier name=eth1 up=0");
    until(90010 * S_US);
    expect_trace(
        "90000 note link:eth1 green;90001 move-pair link:eth1 yellow;");
    feed_at(90020, AO);
    expect_trace("90020 degrade node yellow;");
    assert_int_equal(policy.sources[0].wanted, KMR_VERDICT_MOVE_NODE);
    feed_at(90030, AR);
    expect_trace("90030 takeover node red;");
}

static void lost(void **state)
{
    (void)state;
    feed_at(5, "trace:lost records=17");
    feed_at(6, "trace:lost records=3");
    expect_trace("5 degrade node yellow;");
    until(2 * HOUR_US);
    expect_trace("3606 note node green;");
}

static void nonsense(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        feed_at(1 + i * 0.01,
                "mce:mce_record cpu=0 bank=99 cpuvendor=0 mcgcap=0x14 "
                "status=0x9c00000000000091");
    }
    expect_trace("1 note node green;1 degrade node yellow;");
    assert_int_equal(policy.seen[KMR_HW_UNKNOWN], 1000);
}

/* More sources than there is room for: the worst stay, no note is a flood. */
static void many(void **state)
{
    char line[256];

    (void)state;
    for (int i = 0; i < 10; i++) {
        feed_at(1, CE);
    }
    for (int i = 0; i < 5000; i++) {
        snprintf(line, sizeof(line),
                 "ras:mc_event error_type=0 error_count=1 label=D%d "
                 "address=0x%x000",
                 i, i + 1);
        feed_at(2 + i * 0.001, line);
    }
    assert_true(policy.evicted > 9000);
    assert_true(policy.unsaid > 4900);
    assert_int_equal(kmr_policy_health(&policy), KMR_COLOUR_RED);
    trace[0] = '\0';
    feed_at(8, CE);
    expect_trace(""); /* still known as red */
    /* all of them red: the node does not get better by forgetting one */
    fresh(NULL);
    for (int i = 0; i < 1000; i++) {
        snprintf(line, sizeof(line),
                 "ras:mc_event error_type=0 error_count=50 label=D%d", i);
        feed_at(2 + i, line);
    }
    assert_int_equal(policy.reds, KMR_POLICY_SOURCES);
    assert_int_equal(moves, 1);
}

static void other_limits(void **state)
{
    (void)state;
    for (int i = 1; i <= 5; i++) {
        feed_at(i, CE);
    }
    expect_trace("1 note node green;5 degrade node yellow;");
    assert_int_equal(kmr_health_limits_set(&limits, "dimm", "6/1h"), 0);
    kmr_policy_set_limits(&policy, &limits);
    feed_at(6, CE);
    expect_trace("6 move-node node red;");
}

/* Records of several CPUs come out of order; time does not go back. */
static void out_of_order(void **state)
{
    (void)state;
    feed_at(100, CE);
    feed_at(50, CE);
    feed_at(101, CE);
    assert_int_equal(policy.now_us, 101 * S_US);
    feed_at(0, AO);
    assert_int_equal(kmr_policy_health(&policy), KMR_COLOUR_RED);
}

static void limit_texts(void **state)
{
    static const struct {
        const char *key, *value;
        int err;
    } table[] = {
        { "dimm", "10 / 24h", 0 },
        { "dimm", "10/1d", 0 },
        { "dimm", "1 / 30d", 0 },
        { "dimm", "1000000 / 1s", 0 },
        { "dimm", "5/90", 0 },
        { "moves", "16 / 10min", 0 },
        { "dimm", "0 / 24h", -22 },
        { "dimm", "10", -22 },
        { "dimm", "10 /", -22 },
        { "dimm", "10 / 0s", -22 },
        { "dimm", "10 / 31d", -22 },
        { "dimm", "10 / 24 hours", -22 },
        { "dimm", "-1 / 24h", -22 },
        { "dimm", "1000001 / 1h", -22 },
        { "dimm", "10 / 24h x", -22 },
        { "moves", "17 / 1h", -22 },
        { "recover_ms", "999", -22 },
        { "recover_ms", "1000", 0 },
        { "recover_ms", "1000ms", -22 },
        { "degrade_percent", "101", -22 },
        { "degrade_percent", "0", -22 },
        { "ring_kib", "16", 0 },
        { "dimms", "1", -2 },
        { "", "", -2 },
    };
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (kmr_health_limits_set(&limits, table[i].key, table[i].value) !=
            table[i].err) {
            fail_msg("%s = %s", table[i].key, table[i].value);
        }
    }
    kmr_health_limits_init(&limits);
    kmr_rate_text(&limits.dimm, text, sizeof(text));
    assert_string_equal(text, "10 / 24h");
    kmr_rate_text(&limits.flaps, text, sizeof(text));
    assert_string_equal(text, "5 / 10min");
    kmr_rate_text(&(struct kmr_rate){ 3, 30 * 24 * HOUR_US }, text,
                  sizeof(text));
    assert_string_equal(text, "3 / 30d");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(dimm, fresh),
        cmocka_unit_test_setup(counted_at_once, fresh),
        cmocka_unit_test_setup(broadcast, fresh),
        cmocka_unit_test_setup(page_and_channel, fresh),
        cmocka_unit_test_setup(disks, fresh),
        cmocka_unit_test_setup(links, fresh),
        cmocka_unit_test_setup(held_back, fresh),
        cmocka_unit_test_setup(pairs_apart, fresh),
        cmocka_unit_test_setup(nodes_apart, fresh),
        cmocka_unit_test_setup(lost, fresh),
        cmocka_unit_test_setup(nonsense, fresh),
        cmocka_unit_test_setup(many, fresh),
        cmocka_unit_test_setup(other_limits, fresh),
        cmocka_unit_test_setup(out_of_order, fresh),
        cmocka_unit_test_setup(limit_texts, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
