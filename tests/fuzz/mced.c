/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Target: what kemari-mced reads. The first byte chooses: a page of the ring
 * buffer (by layouts of kernels 6.1 and 6.12), a line of a recording, or a line
 * of [health]. Every record is decoded and judged; all texts are in bounds,
 * the node's health is what its sources say, and time only moves on.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mce-monitor/pages.h"
#include "mce-monitor/policy.h"

#ifndef FORMATS
#error "FORMATS: the tests folder"
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct kmr_pages *layouts[2];
static struct kmr_policy policy;
static uint64_t pages, records, broken, verdicts, lines, limits;

static void check(bool right, const char *what)
{
    if (!right) {
        fprintf(stderr, "wrong: %s\n", what);
        abort();
    }
}

static void check_policy(void)
{
    unsigned reds = 0, yellows = 0;

    for (unsigned i = 0; i < KMR_POLICY_SOURCES + KMR_POLICY_PAGES; i++) {
        const struct kmr_policy_source *source =
            i < KMR_POLICY_SOURCES ? &policy.sources[i]
                                   : &policy.pages[i - KMR_POLICY_SOURCES];

        check(source->used || source->health <= KMR_COLOUR_GREEN,
              "unused, ill");
        check(memchr(source->name, 0, sizeof(source->name)), "name");
        check(source->fill >= 0, "fill");
        reds += source->health == KMR_COLOUR_RED;
        yellows += source->health == KMR_COLOUR_YELLOW;
    }
    check(reds == policy.reds && yellows == policy.yellows, "health");
}

static void on_record(const struct kmr_hw_record *record, void *user)
{
    struct kmr_hw_verdict said[KMR_POLICY_VERDICTS];
    struct kmr_hw_finding finding;
    uint64_t before = policy.now_us;
    unsigned count;

    (void)user;
    check(memchr(record->text, 0, sizeof(record->text)), "text");
    kmr_hw_decode(record, &finding);
    count = kmr_policy_step(&policy, record, &finding, record->time_us, said);
    check(count <= KMR_POLICY_VERDICTS, "too many verdicts");
    check(policy.now_us >= before, "time goes back");
    for (unsigned i = 0; i < count; i++) {
        check(memchr(said[i].reason, 0, sizeof(said[i].reason)), "reason");
        check(memchr(said[i].scope, 0, sizeof(said[i].scope)), "scope");
        check(said[i].word < KMR_VERDICT_COUNT, "word");
    }
    check(kmr_policy_health(&policy) == KMR_COLOUR_GREEN ||
              policy.deadline_us || finding.kind == KMR_HW_K_LINK,
          "ill, and nothing will ever be looked at again");
    records++;
    broken += record->broken;
    verdicts += count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kmr_health_limits some;
    struct kmr_hw_record record;
    char line[512], text[1024], *value;

    if (size < 2) {
        return 0;
    }
    kmr_health_limits_init(&some);
    kmr_policy_init(&policy, &some);
    if (data[0] < 2) {
        kmr_pages_read(layouts[data[0]], data + 1, size - 1, on_record, NULL);
        check_policy();
        pages++;
        return 0;
    }
    size = size - 1 < sizeof(line) - 1 ? size - 1 : sizeof(line) - 1;
    memcpy(line, data + 1, size);
    line[size] = '\0';
    if (data[0] == 2) {
        if (kmr_hw_record_parse(line, &record)) {
            on_record(&record, NULL);
            kmr_hw_record_print(&record, text, sizeof(text));
            check(memchr(text, 0, sizeof(text)), "printed");
            lines++;
        }
        return 0;
    }
    value = strchr(line, '=');
    if (value) {
        *value++ = '\0';
        if (kmr_health_limits_set(&some, line, value) == 0) {
            check(some.moves.count >= 1 &&
                      some.moves.count <= KMR_HEALTH_MOVES_MAX,
                  "moves");
            check(some.dimm.count >= 1 && some.dimm.period_us > 0, "dimm");
            check(some.degrade_percent >= 1 && some.degrade_percent <= 100,
                  "percent");
            limits++;
        }
    }
    return 0;
}

/* ---- start ---- */

static void write_seed(const char *folder, const char *name, uint8_t kind,
                       const void *bytes, size_t size)
{
    char path[4096];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "w");
    check(file && fputc(kind, file) == kind &&
              fwrite(bytes, size, 1, file) == 1 && fclose(file) == 0,
          "can't write a seed");
}

static void write_seeds(const char *folder)
{
    static const char *const recorded[] = { "a/cpu0", "a/cpu1", "b/cpu0",
                                            "b/cpu1" };
    static const char *const texts[] = {
        "\2"
        "1.5 mce:mce_record status=0x9c00000000000091 cpu=0 bank=7 cpuvendor=0",
        "\2"
        "2 ras:mc_event error_type=0 error_count=10 label=DIMM_A1",
        "\2"
        "3 link:carrier up=0 name=eth1",
        "\3"
        "dimm=10 / 24h",
        "\3"
        "recover_ms=1000",
    };
    uint8_t page[4096];
    char path[4096], name[32];

    for (unsigned i = 0; i < 4; i++) {
        FILE *file;
        size_t used;

        snprintf(path, sizeof(path), FORMATS "/hardware/recorded/6.1/%s.raw",
                 recorded[i]);
        file = fopen(path, "r");
        check(file && fread(page, sizeof(page), 1, file) == 1, path);
        fclose(file);
        memcpy(&used, page + 8, sizeof(used));
        snprintf(name, sizeof(name), "page-%u", i);
        write_seed(folder, name, 0, page, 16 + (used & 0xfff));
        snprintf(name, sizeof(name), "newer-%u", i);
        write_seed(folder, name, 1, page, 16 + (used & 0xfff));
    }
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        snprintf(name, sizeof(name), "text-%u", i);
        write_seed(folder, name, (uint8_t)texts[i][0], texts[i] + 1,
                   strlen(texts[i] + 1));
    }
}

static void report(void)
{
    fprintf(stderr,
            "accepted: %" PRIu64 " pages %" PRIu64 " records %" PRIu64
            " broken %" PRIu64 " verdicts %" PRIu64 " lines %" PRIu64
            " limits\n",
            pages, records, broken, verdicts, lines, limits);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    check(kmr_pages_new(FORMATS "/hardware/recorded/6.1/events", &layouts[0]) ==
              0,
          "formats of 6.1");
    check(kmr_pages_new(FORMATS "/mced/formats/6.12/events", &layouts[1]) == 0,
          "formats of 6.12");
    if (*argc == 3 && strcmp((*argv)[1], "--seeds") == 0) {
        write_seeds((*argv)[2]);
        exit(0);
    }
    atexit(report);
    return 0;
}
