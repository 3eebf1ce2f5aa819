/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mkpages [--cpus N] [--lost N] FORMATS RECORDS OUT
 *
 * Writes the records of a file (kemari-mced's --replay has its language) as a
 * kernel would have: ring buffer pages cpuN.raw in the folder OUT, laid out by
 * the format files in FORMATS/events. Each second goes to the next CPU's
 * buffer. With --lost, each page but the first says that so many were dropped
 * before it. The machines that build this have no such hardware, and the
 * reader must not know.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mce-monitor/replay.h"

#define PAGE 4096
#define DATA 16 /* where header_page of x86_64 puts it */
#define CPUS_MAX 64
#define EXTEND ((UINT64_C(1) << 27) - 1)

struct out {
    FILE *file;
    uint8_t page[PAGE];
    size_t used; /* of the data */
    uint64_t time_ns;
    bool begun, second;
};

static struct out outs[CPUS_MAX];
static unsigned cpus = 1;
static uint64_t lost;
static struct kmr_pages *pages;

static void die(const char *what)
{
    fprintf(stderr, "mkpages: %s\n", what);
    exit(1);
}

static void put(uint8_t *at, uint64_t number, size_t size)
{
    memcpy(at, &number, size); /* little endian, as the kernel's */
}

static void flush_page(struct out *out)
{
    uint64_t commit = out->used;

    if (!out->begun) {
        return;
    }
    if (lost && out->second && out->used + 8 <= PAGE - DATA) {
        put(out->page + DATA + out->used, lost, 8);
        commit |= UINT64_C(3) << 30; /* some are missed; so many */
    }
    put(out->page + 8, commit, 8);
    if (fwrite(out->page, PAGE, 1, out->file) != 1) {
        die("can't write");
    }
    memset(out->page, 0, PAGE);
    out->used = 0;
    out->begun = false;
    out->second = true;
}

static void put_entry(struct out *out, unsigned type, uint64_t delta)
{
    put(out->page + DATA + out->used, type | delta << 5, 4);
    out->used += 4;
}

static void put_record(struct out *out, const uint8_t *record, size_t size,
                       uint64_t time_ns)
{
    size_t need = size + 16; /* with a time extension, and a long length */
    uint64_t delta;

    size = (size + 3) & ~(size_t)3;
    if (out->begun && out->used + need + 8 > PAGE - DATA) {
        flush_page(out);
    }
    if (!out->begun) {
        out->begun = true;
        put(out->page, time_ns, 8);
        out->time_ns = time_ns;
    }
    delta = time_ns - out->time_ns;
    if (delta > EXTEND) {
        put_entry(out, 30, delta & EXTEND);
        put(out->page + DATA + out->used, delta >> 27, 4);
        out->used += 4;
        delta = 0;
    }
    if (size / 4 > 28) {
        put_entry(out, 0, delta);
        put(out->page + DATA + out->used, size + 4, 4);
        out->used += 4;
    } else {
        put_entry(out, (unsigned)(size / 4), delta);
    }
    memcpy(out->page + DATA + out->used, record, size);
    out->used += size;
    out->time_ns = time_ns;
}

static void on_record(const struct kmr_hw_record *record, void *user)
{
    uint8_t bytes[1024] = { 0 };
    unsigned count, at, size, fixed, id;
    const struct kmr_hw_field *fields =
        kmr_hw_event_fields(record->event, &count);
    const char *text = kmr_hw_event_text(record->event);
    bool dynamic;

    (void)user;
    if (record->event >= KMR_HW_TRACEPOINTS ||
        !kmr_pages_where(pages, record->event, NULL, &fixed, &id, NULL)) {
        fprintf(stderr, "mkpages: %s: no such event in this kernel\n",
                kmr_hw_event_full(record->event));
        exit(1);
    }
    put(bytes, id, 2);
    put(bytes + 4, 1234, 4); /* common_pid */
    for (unsigned i = 0; i < count; i++) {
        if (kmr_pages_where(pages, record->event, fields[i].name, &at, &size,
                            &dynamic)) {
            put(bytes + at, record->number[i], size);
        }
    }
    if (text &&
        kmr_pages_where(pages, record->event, text, &at, &size, &dynamic)) {
        size_t len = strlen(record->text) + 1;

        if (dynamic) {
            put(bytes + at, len << 16 | fixed, 4);
            memcpy(bytes + fixed, record->text, len);
            fixed += (unsigned)len;
        } else {
            memcpy(bytes + at, record->text, len < size ? len : size - 1);
        }
    }
    put_record(&outs[record->time_us / 1000000 % cpus], bytes, fixed,
               record->time_us * 1000);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "cpus", required_argument, NULL, 'c' },
        { "lost", required_argument, NULL, 'l' },
        { NULL, 0, NULL, 0 },
    };
    char path[4096], error[512];
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'c') {
            cpus = (unsigned)strtoul(optarg, NULL, 10);
        } else if (option == 'l') {
            lost = strtoull(optarg, NULL, 10);
        } else {
            return 2;
        }
    }
    if (argc - optind != 3 || cpus < 1 || cpus > CPUS_MAX) {
        fprintf(stderr, "usage: mkpages [--cpus N] [--lost N] FORMATS RECORDS"
                        " OUT\n");
        return 2;
    }
    snprintf(path, sizeof(path), "%s/events", argv[optind]);
    if (kmr_pages_new(path, &pages) != 0) {
        die("no formats");
    }
    for (unsigned i = 0; i < cpus; i++) {
        snprintf(path, sizeof(path), "%s/cpu%u.raw", argv[optind + 2], i);
        outs[i].file = fopen(path, "we");
        if (!outs[i].file) {
            die(path);
        }
    }
    if (kmr_replay(argv[optind + 1], NULL, on_record, NULL, NULL, error,
                   sizeof(error)) != 0) {
        die(error);
    }
    for (unsigned i = 0; i < cpus; i++) {
        flush_page(&outs[i]);
        if (fclose(outs[i].file) != 0) {
            die("can't write");
        }
    }
    kmr_pages_free(pages);
    return 0;
}
