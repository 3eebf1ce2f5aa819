/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From pages to records: what real kernels wrote, read as libtraceevent's own
 * kbuffer reads it; and the same pages broken in every way that comes to mind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kbuffer.h>

#include "mce-monitor/hwdecode.h"
#include "mce-monitor/pages.h"
#include "mce-monitor/replay.h"
#include "mce-monitor/ringpage.h"

#define PAGE 4096
#define RECORDED TESTS "/hardware/recorded/6.1"
#define NEWER TESTS "/mced/formats/6.12"

static const struct kmr_ringpage_layout layout = { 8, 8, 16, PAGE };
static const char *const recordings[] = {
    RECORDED "/a/cpu0.raw",
    RECORDED "/a/cpu1.raw",
    RECORDED "/b/cpu0.raw",
    RECORDED "/b/cpu1.raw",
};
#define RECORDINGS (sizeof(recordings) / sizeof(recordings[0]))

static uint8_t page[PAGE + 64];
static char lines[65536];

static void load(const char *path)
{
    FILE *file = fopen(path, "re");

    assert_non_null(file);
    memset(page, 0, sizeof(page));
    assert_int_equal(fread(page, 1, PAGE, file), PAGE);
    fclose(file);
}

static void put(size_t at, uint64_t number, size_t size)
{
    memcpy(page + at, &number, size);
}

/* Each record, its size and time: as kbuffer has them. */
static unsigned compare(void)
{
    struct kbuffer *kbuf =
        kbuffer_alloc(KBUFFER_LSIZE_8, KBUFFER_ENDIAN_LITTLE);
    unsigned long long time;
    struct kmr_ringpage ours;
    const uint8_t *record;
    unsigned count = 0;
    uint64_t time_ns;
    uint8_t *theirs;
    size_t size;

    assert_non_null(kbuf);
    assert_int_equal(kbuffer_load_subbuffer(kbuf, page), 0);
    assert_true(kmr_ringpage_open(&ours, &layout, page, PAGE));
    for (theirs = kbuffer_read_event(kbuf, &time); theirs;
         theirs = kbuffer_next_event(kbuf, &time)) {
        assert_true(kmr_ringpage_next(&ours, &record, &size, &time_ns));
        assert_ptr_equal(record, theirs);
        assert_int_equal(size, kbuffer_event_size(kbuf));
        assert_int_equal(time_ns, time);
        count++;
    }
    assert_false(kmr_ringpage_next(&ours, &record, &size, &time_ns));
    assert_false(ours.broken);
    kbuffer_free(kbuf);
    return count;
}

static void as_kbuffer(void **state)
{
    unsigned count = 0;

    (void)state;
    for (size_t i = 0; i < RECORDINGS; i++) {
        load(recordings[i]);
        count += compare();
    }
    assert_int_equal(count, 17);
}

/* Entries that no recording has: discarded records, time stamps. */
static void made_up(void **state)
{
    struct kmr_ringpage ours;
    const uint8_t *record;
    unsigned count = 0;
    uint64_t time_ns;
    size_t at = 16, size;

    (void)state;
    memset(page, 0, sizeof(page));
    put(0, UINT64_C(5000000000), 8);
    put(at, 2 | 100 << 5, 4); /* 8 bytes, 100 ns later */
    at += 12;
    put(at, 30 | UINT64_C(7) << 5, 4); /* 7 + 3 << 27 ns pass */
    put(at + 4, 3, 4);
    at += 8;
    put(at, 0 | 50 << 5, 4); /* of any length: 16 bytes and its own 4 */
    put(at + 4, 20, 4);
    at += 4 + 20;
    put(at, 29 | 1 << 5, 4); /* thrown away: 12 bytes */
    put(at + 4, 12, 4);
    at += 16;
    put(at, 1 | 9 << 5, 4);
    at += 8;
    put(at, 31 | UINT64_C(11) << 5, 4); /* 11 + 60 << 27 ns, whatever was */
    put(at + 4, 60, 4);
    at += 8;
    put(at, 1 | 1 << 5, 4);
    at += 8;
    put(8, at - 16, 8);
    assert_int_equal(compare(), 4);
    /* Nothing up to the end: kbuffer finds records in that. */
    put(at, 29, 4);
    put(8, at - 16 + 40, 8);
    assert_true(kmr_ringpage_open(&ours, &layout, page, PAGE));
    while (kmr_ringpage_next(&ours, &record, &size, &time_ns)) {
        count++;
    }
    assert_int_equal(count, 4);
    assert_false(ours.broken);
}

static void on_line(const struct kmr_hw_record *record, void *user)
{
    size_t used = strlen(lines);

    (void)user;
    if (record->broken) {
        snprintf(lines + used, sizeof(lines) - used, "broken ");
        used = strlen(lines);
    }
    kmr_hw_record_print(record, lines + used, sizeof(lines) - used - 2);
    strcat(lines, "\n");
}

static struct kmr_pages *open_pages(const char *folder)
{
    struct kmr_pages *pages;
    char events[512];

    snprintf(events, sizeof(events), "%s/events", folder);
    assert_int_equal(kmr_pages_new(events, &pages), 0);
    lines[0] = '\0';
    return pages;
}

static void has_line(const char *line)
{
    if (!strstr(lines, line)) {
        fail_msg("'%s' is not in\n%s", line, lines);
    }
}

/* Fields as they are in the bytes of a real kernel 6.1. */
static void fields(void **state)
{
    struct kmr_pages *pages = open_pages(RECORDED);

    (void)state;
    assert_null(kmr_pages_lacks(pages, KMR_HW_MCE));
    for (size_t i = 0; i < 2; i++) {
        load(recordings[i]);
        kmr_pages_read(pages, page, PAGE, on_line, NULL);
    }
    has_line("44.714338 ras:mc_event error_type=0x0 error_count=0x3 "
             "mc_index=0x0 top_layer=0x0 middle_layer=0x1 "
             "lower_layer=0xffffffffffffffff address=0x1234040 grain_bits=0x3 "
             "syndrome=0x5a label=FAKE_DIMM_1\n");
    has_line("46.010285 ras:memory_failure_event pfn=0xf0ae type=0xd "
             "result=0x3\n");
    has_line("block:block_rq_error dev=0x800000 sector=0x60 nr_sector=0x8 "
             "error=0xffffffffffffffc3 rwbs=RS\n");
    has_line("block:block_bio_complete dev=0xfd00000 sector=0x0 "
             "nr_sector=0x20 error=0xfffffffffffffffb rwbs=RA\n");
    has_line("57.640551 ras:aer_event status=0x1000 severity=0x0 "
             "tlp_header_valid=0x1 dev_name=0000:03:00.0\n");
    has_line("58.199235 mce:mce_record mcgcap=0x100010a mcgstatus=0x5 "
             "status=0xbd00000000000174 addr=0x3f000000 misc=0x8c ");
    assert_int_equal(kmr_pages_stats(pages)->records, 10);
    assert_int_equal(kmr_pages_stats(pages)->broken, 0);
    kmr_pages_free(pages);
}

/* The layouts of 6.12: fields have moved, ids are others, ppin is new. */
static void newer(void **state)
{
    struct kmr_pages *pages = open_pages(NEWER);
    unsigned at, size;
    bool dynamic;

    (void)state;
    assert_non_null(kmr_pages_lacks(pages, KMR_HW_BIO)); /* no format file */
    assert_null(kmr_pages_lacks(pages, KMR_HW_RQ));
    assert_true(
        kmr_pages_where(pages, KMR_HW_MCE, "cpu", &at, &size, &dynamic));
    assert_int_equal(at, 96);
    memset(page, 0, sizeof(page));
    put(0, UINT64_C(7000000000), 8);
    put(16, 0, 4);
    put(20, 4 + 120, 4);
    put(24, 113, 2);                     /* mce_record */
    put(24 + 24, 0xbd000000000000c0, 8); /* status */
    put(24 + 80, 0x1122334455667788, 8); /* ppin */
    put(24 + 96, 5, 4);                  /* cpu */
    put(24 + 113, 7, 1);                 /* bank */
    put(24 + 116, 0xabcd, 4);            /* microcode */
    put(8, 8 + 120, 8);
    kmr_pages_read(pages, page, PAGE, on_line, NULL);
    has_line("7.000000 mce:mce_record ");
    has_line("status=0xbd000000000000c0");
    has_line("ppin=0x1122334455667788");
    has_line(" cpu=0x5 ");
    has_line(" bank=0x7 ");
    has_line("microcode=0xabcd");
    kmr_pages_free(pages);
}

static void on_decode(const struct kmr_hw_record *record, void *user)
{
    struct kmr_hw_finding finding;
    uint64_t *unknown = user;
    char text[256];

    kmr_hw_decode(record, &finding);
    kmr_hw_name(record, &finding, text, sizeof(text));
    kmr_hw_detail(record, text, sizeof(text));
    *unknown += finding.class == KMR_HW_UNKNOWN;
}

static void cut_off(void **state)
{
    struct kmr_pages *pages = open_pages(RECORDED);
    uint64_t unknown = 0;

    (void)state;
    /* a record that is shorter than its layout: the mce_record of 120 bytes
     * has 60, what is behind says so of the others */
    memset(page, 0, sizeof(page));
    put(16, 15, 4);
    put(20, 113, 2);
    put(8, 64, 8);
    kmr_pages_read(pages, page, PAGE, on_line, NULL);
    assert_int_equal(strncmp(lines, "broken ", 7), 0);
    assert_int_equal(kmr_pages_stats(pages)->broken, 1);
    kmr_pages_read(pages, page, PAGE, on_decode, &unknown);
    assert_int_equal(unknown, 1);
    /* a text that points out of its record */
    lines[0] = '\0';
    memset(page, 0, sizeof(page));
    put(16, 15, 4);
    put(20, 1227, 2); /* mc_event */
    put(20 + 16, 0xffffffff, 4);
    put(8, 64, 8);
    kmr_pages_read(pages, page, PAGE, on_line, NULL);
    assert_int_equal(strncmp(lines, "broken ", 7), 0);
    /* a page cut off at each byte */
    for (size_t size = 0; size < PAGE; size++) {
        uint8_t *copy = malloc(size + 1); /* the sanitizer sees its end */

        load(recordings[0]);
        memcpy(copy, page, size);
        kmr_pages_read(pages, copy, size, on_decode, &unknown);
        free(copy);
    }
    kmr_pages_free(pages);
}

/* Bits turned over, thousands of times. */
static void damaged(void **state)
{
    struct kmr_pages *pages = open_pages(RECORDED);
    uint64_t x = 88172645463325252u, unknown = 0;

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        uint8_t *copy = malloc(PAGE);

        if (i % 1000 == 0) {
            load(recordings[i / 1000 % RECORDINGS]);
        }
        memcpy(copy, page, PAGE);
        for (unsigned k = 0; k <= i % 16; k++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            copy[x % 600] ^= (uint8_t)(1u << (x >> 32) % 8);
        }
        kmr_pages_read(pages, copy, PAGE, on_decode, &unknown);
        free(copy);
    }
    assert_true(unknown > 0);
    assert_true(kmr_pages_stats(pages)->broken > 0);
    assert_true(kmr_pages_stats(pages)->foreign > 0);
    kmr_pages_free(pages);
}

static void lost(void **state)
{
    struct kmr_pages *pages = open_pages(RECORDED);

    (void)state;
    load(recordings[0]);
    page[8 + 3] |= 0x80; /* missed, and nobody says how many */
    kmr_pages_read(pages, page, PAGE, on_line, NULL);
    has_line("trace:lost records=0x1\n");
    lines[0] = '\0';
    load(recordings[0]);
    page[8 + 3] |= 0xc0; /* their number is behind the data */
    put(16 + 0xd8, 1234, 8);
    kmr_pages_read(pages, page, PAGE, on_line, NULL);
    has_line("trace:lost records=0x4d2\n");
    assert_int_equal(kmr_pages_stats(pages)->lost, 1235);
    kmr_pages_free(pages);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Formats that make no sense: a source that says so, nothing worse. */
static void formats(void **state)
{
    static const char *const texts[] = {
        "\n",
        "name: mce_record\n",
        "name: mce_record\nID: 113\nformat:\n",
        "name: mce_record\nID: 113\nformat:\n\tfield:unsigned short "
        "common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\tfield:u64 status;"
        "\toffset:8;\tsize:8;\tsigned:0;\n\nprint fmt: \"x\"\n",
        "name: mce_record\nID: 0\nformat:\n\tfield:unsigned short common_type;",
        "ID: 99999999999999\n",
        "\xff\xfe garbage { ; } field:",
    };
    char folder[] = "/tmp/kemari-test-formats.XXXXXX", path[256], work[256];
    struct kmr_pages *pages;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(work, sizeof(work), "mkdir -p %s/mce/mce_record", folder);
    assert_int_equal(system(work), 0);
    assert_int_not_equal(kmr_pages_new(folder, &pages), 0); /* no header */
    snprintf(path, sizeof(path), "%s/header_page", folder);
    write_file(path, "\tfield: u64 timestamp;\toffset:0;\tsize:8;\n");
    assert_int_not_equal(kmr_pages_new(folder, &pages), 0);
    write_file(path, "\tfield: local_t commit;\toffset:8;\tsize:8;\n"
                     "\tfield: char data;\toffset:16;\tsize:99999999;\n");
    assert_int_not_equal(kmr_pages_new(folder, &pages), 0);
    write_file(path, "\tfield: local_t commit;\toffset:8;\tsize:8;\n"
                     "\tfield: char data;\toffset:16;\tsize:4080;\n");
    assert_int_equal(kmr_pages_new(folder, &pages), 0);
    assert_string_equal(kmr_pages_lacks(pages, KMR_HW_MCE),
                        "not in this kernel");
    kmr_pages_free(pages);
    snprintf(path, sizeof(path), "%s/mce/mce_record/format", folder);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        write_file(path, texts[i]);
        assert_int_equal(kmr_pages_new(folder, &pages), 0);
        assert_non_null(kmr_pages_lacks(pages, KMR_HW_MCE));
        load(recordings[0]);
        kmr_pages_read(pages, page, PAGE, on_line, NULL);
        kmr_pages_free(pages);
    }
    snprintf(work, sizeof(work), "rm -r %s", folder);
    assert_int_equal(system(work), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_kbuffer), cmocka_unit_test(made_up),
        cmocka_unit_test(fields),     cmocka_unit_test(newer),
        cmocka_unit_test(cut_off),    cmocka_unit_test(damaged),
        cmocka_unit_test(lost),       cmocka_unit_test(formats),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
