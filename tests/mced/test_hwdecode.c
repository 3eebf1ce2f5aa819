/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records and what they mean: by the bits of Intel's and AMD's manuals, and by
 * the numbers of the kernel's own enums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mce-monitor/hwdecode.h"

static struct kmr_hw_record record;
static struct kmr_hw_finding finding;

static void decode(const char *line)
{
    if (!kmr_hw_record_parse(line, &record)) {
        fail_msg("not a record: %s", line);
    }
    memset(&finding, 0xa5, sizeof(finding));
    kmr_hw_decode(&record, &finding);
}

/* A status by its bits: what the manuals name, and nothing else. */
struct bits {
    const char *name;
    uint64_t bit;
};
static const struct bits bits[] = {
    { "VAL", 63 },    { "OVER", 62 },  { "UC", 61 },     { "EN", 60 },
    { "MISCV", 59 },  { "ADDRV", 58 }, { "PCC", 57 },    { "S", 56 },
    { "AR", 55 },     { "TCC", 55 },   { "SYNDV", 53 },  { "CECC", 46 },
    { "UECC", 45 },   { "DEF", 44 },   { "POISON", 43 }, { "SCRUB", 40 },
    { "YELLOW", 54 }, { "GREEN", 53 },
};

static uint64_t status_of(const char *names, unsigned code)
{
    uint64_t status = code;

    while (*(names += strspn(names, " "))) {
        size_t len = strcspn(names, " ");
        bool found = false;

        for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
            if (strlen(bits[i].name) == len &&
                memcmp(bits[i].name, names, len) == 0) {
                status |= UINT64_C(1) << bits[i].bit;
                found = true;
            }
        }
        assert_true(found);
        names += len;
    }
    return status;
}

#define SER 0x1000c14 /* SER_P, TES_P, CMCI_P, 20 banks */
#define OLD 0x14      /* nothing, 20 banks */

static void machine_checks(void **state)
{
    static const struct {
        unsigned vendor;
        uint64_t cap;
        const char *bits;
        unsigned code;
        enum kmr_hw_class class;
        enum kmr_hw_kind kind;
    } table[] = {
        /* Intel: table 16-7 of the SDM, row by row */
        { 0, SER, "VAL EN ADDRV MISCV", 0x9f, KMR_HW_CORRECTED,
          KMR_HW_K_CHANNEL },
        { 0, SER, "VAL UC EN PCC S AR", 0x134, KMR_HW_FATAL, KMR_HW_K_BANK },
        { 0, SER, "VAL UC EN PCC", 0x134, KMR_HW_FATAL, KMR_HW_K_BANK },
        { 0, SER, "VAL UC EN S AR ADDRV MISCV", 0x134, KMR_HW_REQUIRED,
          KMR_HW_K_BANK },
        { 0, SER, "VAL UC EN S AR ADDRV MISCV", 0x150, KMR_HW_REQUIRED,
          KMR_HW_K_BANK },
        { 0, SER, "VAL UC EN S ADDRV MISCV", 0xc0, KMR_HW_OPTIONAL,
          KMR_HW_K_CHANNEL },
        { 0, SER, "VAL UC EN S ADDRV MISCV", 0x17a, KMR_HW_OPTIONAL,
          KMR_HW_K_BANK },
        { 0, SER, "VAL UC S", 0xcf, KMR_HW_OPTIONAL, KMR_HW_K_CHANNEL },
        { 0, SER, "VAL UC EN ADDRV MISCV", 0x9f, KMR_HW_DEFERRED,
          KMR_HW_K_CHANNEL },
        { 0, SER, "VAL OVER UC", 0xa1, KMR_HW_DEFERRED, KMR_HW_K_CHANNEL },
        { 0, SER, "VAL UC AR", 0x134, KMR_HW_UNKNOWN, KMR_HW_K_UNKNOWN },
        { 0, SER, "VAL UC S AR", 0x134, KMR_HW_UNKNOWN, KMR_HW_K_UNKNOWN },
        { 0, SER, "VAL EN PCC", 0x134, KMR_HW_UNKNOWN, KMR_HW_K_UNKNOWN },
        { 0, SER, "UC EN S AR", 0x134, KMR_HW_UNKNOWN, KMR_HW_K_UNKNOWN },
        /* no recovery: S and AR mean nothing */
        { 0, OLD, "VAL UC EN", 0x134, KMR_HW_FATAL, KMR_HW_K_BANK },
        { 0, OLD, "VAL UC EN AR", 0x134, KMR_HW_FATAL, KMR_HW_K_BANK },
        { 0, OLD, "VAL EN S AR", 0x134, KMR_HW_CORRECTED, KMR_HW_K_BANK },
        /* mce-inject fills in no MCG_CAP */
        { 0, 0, "VAL UC EN S", 0xc0, KMR_HW_OPTIONAL, KMR_HW_K_CHANNEL },
        /* kinds of codes, with and without the filter bit */
        { 0, SER, "VAL", 0x108f, KMR_HW_CORRECTED, KMR_HW_K_CHANNEL },
        { 0, SER, "VAL", 0x0285, KMR_HW_CORRECTED, KMR_HW_K_CHANNEL },
        { 0, SER, "VAL", 0x1019, KMR_HW_CORRECTED, KMR_HW_K_BANK },
        { 0, SER, "VAL", 0x0e0b, KMR_HW_CORRECTED, KMR_HW_K_BANK },
        { 0, SER, "VAL", 0x0400, KMR_HW_CORRECTED, KMR_HW_K_BANK },
        { 0, SER, "VAL", 0x0005, KMR_HW_CORRECTED, KMR_HW_K_BANK },
        /* AMD */
        { 2, 0x117, "VAL EN", 0x135, KMR_HW_CORRECTED, KMR_HW_K_BANK },
        { 2, 0x117, "VAL EN SYNDV ADDRV DEF", 0x135, KMR_HW_DEFERRED,
          KMR_HW_K_BANK },
        { 2, 0x117, "VAL EN DEF POISON", 0x135, KMR_HW_DEFERRED,
          KMR_HW_K_BANK },
        { 2, 0x117, "VAL UC EN TCC POISON", 0x135, KMR_HW_REQUIRED,
          KMR_HW_K_BANK },
        { 2, 0x117, "VAL UC EN", 0x135, KMR_HW_REQUIRED, KMR_HW_K_BANK },
        { 2, 0x117, "VAL UC EN PCC TCC", 0x135, KMR_HW_FATAL, KMR_HW_K_BANK },
        { 2, 0x117, "VAL UC DEF", 0x135, KMR_HW_UNKNOWN, KMR_HW_K_UNKNOWN },
        { 2, 0x117, "VAL POISON", 0x135, KMR_HW_UNKNOWN, KMR_HW_K_UNKNOWN },
        { 2, 0x117, "VAL PCC", 0x135, KMR_HW_UNKNOWN, KMR_HW_K_UNKNOWN },
        { 2, 0x117, "EN", 0x135, KMR_HW_UNKNOWN, KMR_HW_K_UNKNOWN },
        /* Hygon's are AMD's; of others nothing is known */
        { 9, 0x117, "VAL DEF", 0x135, KMR_HW_DEFERRED, KMR_HW_K_BANK },
        { 5, SER, "VAL", 0x135, KMR_HW_UNKNOWN, KMR_HW_K_UNKNOWN },
        { 255, SER, "VAL", 0x135, KMR_HW_UNKNOWN, KMR_HW_K_UNKNOWN },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char line[256];

        snprintf(line, sizeof(line),
                 "1.5 mce:mce_record cpu=3 bank=7 cpuvendor=%u mcgcap=0x%llx "
                 "status=0x%llx",
                 table[i].vendor, (unsigned long long)table[i].cap,
                 (unsigned long long)status_of(table[i].bits, table[i].code));
        decode(line);
        if (finding.class != table[i].class || finding.kind != table[i].kind) {
            fail_msg("%u %s 0x%x: %s, %s", table[i].vendor, table[i].bits,
                     table[i].code, kmr_hw_class_text(finding.class),
                     kmr_hw_kind_text(finding.kind));
        }
        /* what is unknown says why, and nothing else does */
        assert_int_equal(finding.why[0] != '\0',
                         finding.class == KMR_HW_UNKNOWN);
        assert_int_equal(finding.class == KMR_HW_UNKNOWN
                             ? false
                             : strstr(table[i].bits, "OVER") != NULL,
                         finding.overflow);
    }
}

static void mce(const char *bits_, unsigned code, const char *more)
{
    char line[512];

    snprintf(line, sizeof(line), "1.5 mce:mce_record status=0x%llx %s",
             (unsigned long long)status_of(bits_, code), more);
    decode(line);
}

static void banks(void **state)
{
    (void)state;
    mce("VAL", 0x135, "cpu=3 bank=19 cpuvendor=0 mcgcap=0x14");
    assert_int_equal(finding.class, KMR_HW_CORRECTED);
    mce("VAL", 0x135, "cpu=3 bank=20 cpuvendor=0 mcgcap=0x14");
    assert_int_equal(finding.class, KMR_HW_UNKNOWN);
    assert_string_equal(finding.why, "no such bank");
    /* the firmware's own */
    mce("VAL EN ADDRV", 0x9f, "cpu=0 bank=255 cpuvendor=0 mcgcap=0x14");
    assert_int_equal(finding.kind, KMR_HW_K_CHANNEL);
}

static void counts(void **state)
{
    (void)state;
    /* bits 38 to 52, only where MCG_CAP has CMCI_P, only of corrected ones */
    mce("VAL", 0x135, "cpu=3 bank=1 cpuvendor=0 mcgcap=0xc14");
    assert_int_equal(finding.count, 1);
    decode("1.0 mce:mce_record cpu=3 bank=1 cpuvendor=0 mcgcap=0xc14 "
           "status=0x8000014000000135");
    assert_int_equal(finding.count, 5);
    decode("1.0 mce:mce_record cpu=3 bank=1 cpuvendor=0 mcgcap=0x14 "
           "status=0x8000014000000135");
    assert_int_equal(finding.count, 1);
    decode("1.0 mce:mce_record cpu=3 bank=1 cpuvendor=2 mcgcap=0xc14 "
           "status=0x8000014000000135");
    assert_int_equal(finding.count, 1);
    decode("1.0 mce:mce_record cpu=3 bank=1 cpuvendor=0 mcgcap=0xc14 "
           "status=0x801fffc000000135");
    assert_int_equal(finding.count, 0x7fff);
    /* bits 53 and 54: 2 is yellow, where MCG_CAP has TES_P */
    mce("VAL YELLOW", 0x135, "cpu=3 bank=1 cpuvendor=0 mcgcap=0xc14");
    assert_true(finding.warned);
    mce("VAL GREEN", 0x135, "cpu=3 bank=1 cpuvendor=0 mcgcap=0xc14");
    assert_false(finding.warned);
    mce("VAL YELLOW GREEN", 0x135, "cpu=3 bank=1 cpuvendor=0 mcgcap=0xc14");
    assert_false(finding.warned);
    mce("VAL YELLOW", 0x135, "cpu=3 bank=1 cpuvendor=0 mcgcap=0x414");
    assert_false(finding.warned);
    mce("VAL UC EN YELLOW S", 0x135,
        "cpu=3 bank=1 cpuvendor=0 mcgcap=0x1000c14");
    assert_false(finding.warned);
}

static void sources(void **state)
{
    char name[KMR_HW_NAME_MAX], detail[96];
    uint64_t key;

    (void)state;
    /* Intel: a channel of a socket's bank, and a physical page */
    mce("VAL ADDRV MISCV", 0x91,
        "cpu=9 socketid=1 bank=7 cpuvendor=0 mcgcap=0x14 addr=0x12345678 "
        "misc=0x86");
    kmr_hw_name(&record, &finding, name, sizeof(name));
    assert_string_equal(name, "socket 1 bank 7 channel 1");
    assert_true(finding.has_page);
    key = finding.key;
    mce("VAL ADDRV MISCV", 0x92,
        "cpu=9 socketid=1 bank=7 cpuvendor=0 mcgcap=0x14 addr=0x12345678 "
        "misc=0x46");
    assert_int_not_equal(finding.key, key);
    assert_false(finding.has_page); /* MISC: a linear address */
    mce("VAL MISCV", 0x92,
        "cpu=9 socketid=1 bank=7 cpuvendor=0 mcgcap=0x14 addr=0x12345678");
    assert_false(finding.has_page);
    kmr_hw_detail(&record, detail, sizeof(detail));
    assert_string_equal(detail, "memory, read");
    /* AMD: MCA_IPID says what the bank is */
    mce("VAL ADDRV SYNDV CECC", 0x11b,
        "cpu=4 socketid=0 bank=17 cpuvendor=2 mcgcap=0x117 "
        "ipid=0x9600150f00 addr=0x1000");
    kmr_hw_name(&record, &finding, name, sizeof(name));
    assert_int_equal(finding.kind, KMR_HW_K_CHANNEL);
    assert_string_equal(name, "socket 0 bank 17 channel 1");
    assert_true(finding.has_page);
    mce("VAL", 0x11b,
        "cpu=4 bank=2 cpuvendor=2 mcgcap=0x117 "
        "ipid=0x200b000000000");
    assert_int_equal(finding.kind, KMR_HW_K_BANK);
    kmr_hw_detail(&record, detail, sizeof(detail));
    assert_string_equal(detail, "L2 cache, cache generic generic, read");
    kmr_hw_name(&record, &finding, name, sizeof(name));
    assert_string_equal(name, "CPU 4 bank 2");
    /* before MCA_IPID: ECC errors of the northbridge */
    mce("VAL CECC", 0x0813, "cpu=0 bank=4 cpuvendor=2 mcgcap=0x106");
    assert_int_equal(finding.kind, KMR_HW_K_CHANNEL);
    mce("VAL", 0x0813, "cpu=0 bank=4 cpuvendor=2 mcgcap=0x106");
    assert_int_equal(finding.kind, KMR_HW_K_BANK);
}

static void others(void **state)
{
    static const struct {
        const char *line;
        enum kmr_hw_class class;
        enum kmr_hw_kind kind;
        const char *name;
    } table[] = {
        { "1.0 ras:mc_event error_type=0 error_count=2 label=DIMM_A1",
          KMR_HW_CORRECTED, KMR_HW_K_DIMM, "DIMM_A1" },
        { "1.0 ras:mc_event error_type=1 error_count=1 mc_index=2 top_layer=1 "
          "middle_layer=0 lower_layer=-1",
          KMR_HW_OPTIONAL, KMR_HW_K_DIMM, "mc2 1:0:-1" },
        { "1.0 ras:mc_event error_type=2 error_count=1", KMR_HW_DEFERRED,
          KMR_HW_K_DIMM, "mc0 0:0:0" },
        { "1.0 ras:mc_event error_type=3 error_count=1", KMR_HW_FATAL,
          KMR_HW_K_DIMM, "mc0 0:0:0" },
        { "1.0 ras:mc_event error_type=4 error_count=1", KMR_HW_INFO,
          KMR_HW_K_DIMM, "mc0 0:0:0" },
        { "1.0 ras:mc_event error_type=5 error_count=1", KMR_HW_UNKNOWN,
          KMR_HW_K_UNKNOWN, "" },
        { "1.0 ras:memory_failure_event pfn=0x1234 result=0", KMR_HW_OPTIONAL,
          KMR_HW_K_MEMORY, "" },
        { "1.0 ras:memory_failure_event pfn=0x1234 result=1", KMR_HW_OPTIONAL,
          KMR_HW_K_MEMORY, "" },
        { "1.0 ras:memory_failure_event pfn=0x1234 result=2", KMR_HW_DEFERRED,
          KMR_HW_K_MEMORY, "" },
        { "1.0 ras:memory_failure_event pfn=0x1234 result=3 type=99",
          KMR_HW_DEFERRED, KMR_HW_K_MEMORY, "" },
        { "1.0 ras:memory_failure_event pfn=0x1234 result=4", KMR_HW_UNKNOWN,
          KMR_HW_K_UNKNOWN, "" },
        { "1.0 ras:memory_failure_event pfn=0x1234 result=-1", KMR_HW_UNKNOWN,
          KMR_HW_K_UNKNOWN, "" },
        { "1.0 ras:aer_event status=1 severity=2 dev_name=0000:03:00.0",
          KMR_HW_CORRECTED, KMR_HW_K_PCI, "0000:03:00.0" },
        { "1.0 ras:aer_event status=0x1000 severity=0 dev_name=0000:03:00.0",
          KMR_HW_DEFERRED, KMR_HW_K_PCI, "0000:03:00.0" },
        { "1.0 ras:aer_event status=0x40000 severity=1 dev_name=0000:03:00.0",
          KMR_HW_FATAL, KMR_HW_K_PCI, "0000:03:00.0" },
        { "1.0 ras:aer_event status=1 severity=3", KMR_HW_UNKNOWN,
          KMR_HW_K_UNKNOWN, "" },
        { "1.0 ras:extlog_mem_event sev=0 pa=0x1000 fru_text=P1-DIMM2",
          KMR_HW_OPTIONAL, KMR_HW_K_DIMM, "P1-DIMM2" },
        { "1.0 ras:extlog_mem_event sev=1", KMR_HW_FATAL, KMR_HW_K_DIMM,
          "without a name" },
        { "1.0 ras:extlog_mem_event sev=2", KMR_HW_CORRECTED, KMR_HW_K_DIMM,
          "without a name" },
        { "1.0 ras:extlog_mem_event sev=3", KMR_HW_INFO, KMR_HW_K_DIMM,
          "without a name" },
        { "1.0 ras:extlog_mem_event sev=200", KMR_HW_UNKNOWN, KMR_HW_K_UNKNOWN,
          "" },
        { "1.0 block:block_rq_error dev=0x800010 error=-5 rwbs=WS",
          KMR_HW_OPTIONAL, KMR_HW_K_DISK, "8:16" },
        { "1.0 block:block_rq_error dev=0x800010 error=-61 rwbs=R",
          KMR_HW_OPTIONAL, KMR_HW_K_DISK, "8:16" },
        { "1.0 block:block_rq_error dev=0x800010 error=-5 rwbs=RA", KMR_HW_INFO,
          KMR_HW_K_DISK, "8:16" },
        { "1.0 block:block_rq_error dev=0x800010 error=-95 rwbs=D", KMR_HW_INFO,
          KMR_HW_K_DISK, "8:16" },
        { "1.0 block:block_bio_complete dev=0xfd00003 error=-5 rwbs=W",
          KMR_HW_OPTIONAL, KMR_HW_K_DISK, "253:3" },
        { "1.0 block:block_bio_complete dev=0xfd00003 error=0 rwbs=W",
          KMR_HW_UNKNOWN, KMR_HW_K_UNKNOWN, "" },
        { "1.0 block:block_rq_error dev=0xfd00003 error=-5000", KMR_HW_UNKNOWN,
          KMR_HW_K_UNKNOWN, "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char name[KMR_HW_NAME_MAX];

        decode(table[i].line);
        kmr_hw_name(&record, &finding, name, sizeof(name));
        if (finding.class != table[i].class || finding.kind != table[i].kind ||
            strcmp(name, table[i].name) != 0) {
            fail_msg("%s: %s, %s, '%s'", table[i].line,
                     kmr_hw_class_text(finding.class),
                     kmr_hw_kind_text(finding.kind), name);
        }
    }
}

static void pages(void **state)
{
    uint64_t edac;

    (void)state;
    decode("1.0 ras:mc_event error_type=0 error_count=1 address=0x12345678");
    assert_true(finding.has_page);
    edac = finding.page;
    decode("1.0 ras:mc_event error_type=0 error_count=1 address=0x12345fff");
    assert_int_equal(finding.page, edac);
    decode("1.0 ras:mc_event error_type=0 error_count=1 address=0");
    assert_false(finding.has_page);
    /* by the firmware it may be the same error: not to be added up */
    decode("1.0 ras:extlog_mem_event sev=2 pa=0x12345678");
    assert_true(finding.has_page);
    assert_int_not_equal(finding.page, edac);
}

/* Whatever the fields are: a class, a name, nothing unbounded. */
static void anything(void **state)
{
    char name[KMR_HW_NAME_MAX], detail[96];
    uint64_t x = 88172645463325252u;

    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        memset(&record, 0, sizeof(record));
        record.event = (enum kmr_hw_event)(i % KMR_HW_EVENT_COUNT);
        for (unsigned k = 0; k < KMR_HW_NUMBERS_MAX; k++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            record.number[k] = x >> (x & 63);
        }
        record.have = (uint32_t)x;
        memset(record.text, 'x', sizeof(record.text) - 1);
        kmr_hw_decode(&record, &finding);
        assert_true(finding.class < KMR_HW_CLASS_COUNT);
        assert_true(finding.kind < KMR_HW_KIND_COUNT);
        assert_true(finding.count > 0);
        kmr_hw_name(&record, &finding, name, sizeof(name));
        kmr_hw_detail(&record, detail, sizeof(detail));
        assert_true(detail[0] != '\0');
    }
}

/* What is printed is read again to the same. */
static void text(void **state)
{
    static const char *const wrong[] = {
        "",
        "mce:mce_record",
        "x mce:mce_record",
        "1.0 mce:other",
        "1.0 mce:mce_record status",
        "1.0 mce:mce_record status=",
        "1.0 mce:mce_record status=1x",
        "1.0 mce:mce_record status=0x1ffffffffffffffff",
        "1.0 mce:mce_record nonsense=1",
    };
    struct kmr_hw_record other;
    char line[1024], again[1024];

    (void)state;
    decode("12.345678 ras:mc_event error_type=0 error_count=2 top_layer=-1 "
           "address=0x1000 label=CPU_SrcID#0_Ha#0_Chan#1");
    assert_int_equal(record.time_us, 12345678);
    kmr_hw_record_print(&record, line, sizeof(line));
    assert_true(kmr_hw_record_parse(line, &other));
    assert_memory_equal(&record, &other, sizeof(record));
    kmr_hw_record_print(&other, again, sizeof(again));
    assert_string_equal(line, again);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (kmr_hw_record_parse(wrong[i], &other)) {
            fail_msg("taken: %s", wrong[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(machine_checks), cmocka_unit_test(banks),
        cmocka_unit_test(counts),         cmocka_unit_test(sources),
        cmocka_unit_test(others),         cmocka_unit_test(pages),
        cmocka_unit_test(anything),       cmocka_unit_test(text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
