/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mce-monitor/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define S_US 1e6
#define NS_US 1000

/* ---- pages ---- */

struct cpu {
    int fd;
    uint8_t *page;
    ssize_t got; /* of the page: <= 0 at its end */
};

static void next_page(struct cpu *cpu, size_t size)
{
    size_t got = 0;
    ssize_t more = 1;

    while (got < size &&
           (more = read(cpu->fd, cpu->page + got, size - got)) > 0) {
        got += (size_t)more;
    }
    cpu->got = (ssize_t)got;
}

static uint64_t time_of(const struct cpu *cpu)
{
    uint64_t time_ns = 0;

    if (cpu->got >= (ssize_t)sizeof(time_ns)) {
        memcpy(&time_ns, cpu->page, sizeof(time_ns));
    }
    return time_ns;
}

static int open_cpus(const char *path, size_t size, struct cpu *cpus,
                     unsigned *ret_count)
{
    for (unsigned n = 0; n < KMR_REPLAY_CPUS_MAX; n++) {
        struct cpu *cpu = &cpus[*ret_count];
        char file[4096];

        snprintf(file, sizeof(file), "%s/cpu%u.raw", path, n);
        cpu->fd = open(file, O_RDONLY | O_CLOEXEC);
        if (cpu->fd < 0) {
            continue;
        }
        cpu->page = malloc(size);
        if (!cpu->page) {
            close(cpu->fd);
            return -ENOMEM;
        }
        (*ret_count)++;
        next_page(cpu, size);
    }
    return *ret_count > 0 ? 0 : -ENOENT;
}

static int replay_pages(const char *path,
                        void (*due)(uint64_t time_us, void *user),
                        kmr_pages_cb cb, void *user,
                        struct kmr_pages_stats *ret_stats, char *ret_error,
                        size_t size)
{
    struct cpu *cpus = calloc(KMR_REPLAY_CPUS_MAX, sizeof(*cpus));
    struct kmr_pages *pages = NULL;
    unsigned count = 0;
    char events[4096];
    int err = cpus ? 0 : -ENOMEM;

    snprintf(events, sizeof(events), "%s/events", path);
    if (access(events, F_OK) != 0) {
        snprintf(events, sizeof(events), "%s/../events", path);
    }
    if (!err && (err = kmr_pages_new(events, &pages))) {
        snprintf(ret_error, size, "%s: no events or header_page: %s", path,
                 strerror(-err));
        goto out;
    }
    if (!err && (err = open_cpus(path, kmr_pages_size(pages), cpus, &count))) {
        snprintf(ret_error, size, "%s: no cpuN.raw: %s", path, strerror(-err));
        goto out;
    }
    while (!err) {
        struct cpu *first = NULL;

        for (unsigned i = 0; i < count; i++) {
            if (cpus[i].got > 0 &&
                (!first || time_of(&cpus[i]) < time_of(first))) {
                first = &cpus[i];
            }
        }
        if (!first) {
            break;
        }
        if (due) {
            due(time_of(first) / NS_US, user);
        }
        kmr_pages_read(pages, first->page, (size_t)first->got, cb, user);
        next_page(first, kmr_pages_size(pages));
    }
    if (ret_stats) {
        *ret_stats = *kmr_pages_stats(pages);
    }
out:
    for (unsigned i = 0; i < count; i++) {
        close(cpus[i].fd);
        free(cpus[i].page);
    }
    kmr_pages_free(pages);
    free(cpus);
    return err;
}

/* ---- text ---- */

/* A line, and each time that it stands for. */
struct when {
    uint64_t time_us;
    uint32_t order; /* stable, and to its record */
    uint32_t record;
};

struct text {
    struct kmr_hw_record *records;
    struct when *whens;
    size_t records_size, whens_size;
    uint32_t record_count, when_count;
};

static int grow(void **array, size_t *size, size_t count, size_t element)
{
    if (count < *size) {
        return 0;
    }
    if (count >= KMR_REPLAY_RECORDS_MAX) {
        return -E2BIG;
    }
    *size = *size ? 2 * *size : 64;
    *array = realloc(*array, *size * element);
    return *array ? 0 : -ENOMEM;
}

static int take_line(struct text *text, const char *line)
{
    unsigned hours = 0, minutes = 0, count = 1;
    double seconds, step = 0;
    char rest[KMR_REPLAY_LINE_MAX + 64];
    int used = 0, more = 0, err;

    if (sscanf(line, "%u:%u:%lf %n", &hours, &minutes, &seconds, &used) < 3 &&
        (hours = minutes = 0, sscanf(line, "%lf %n", &seconds, &used)) < 1) {
        return -EBADMSG;
    }
    if (sscanf(line + used, "x%u/%lf %n", &count, &step, &more) == 2) {
        used += more;
    }
    if (seconds < 0 || seconds > 1e9 || step < 0 || step > 1e9 || count == 0 ||
        count > KMR_REPLAY_RECORDS_MAX) {
        return -EBADMSG;
    }
    err = grow((void **)&text->records, &text->records_size, text->record_count,
               sizeof(*text->records));
    if (err) {
        return err;
    }
    snprintf(rest, sizeof(rest), "0 %s", line + used);
    if (!kmr_hw_record_parse(rest, &text->records[text->record_count])) {
        return -EBADMSG;
    }
    for (unsigned i = 0; i < count; i++) {
        err = grow((void **)&text->whens, &text->whens_size, text->when_count,
                   sizeof(*text->whens));
        if (err) {
            return err;
        }
        text->whens[text->when_count] = (struct when){
            (uint64_t)((hours * 3600.0 + minutes * 60.0 + seconds + i * step) *
                           S_US +
                       0.5),
            text->when_count, text->record_count
        };
        text->when_count++;
    }
    text->record_count++;
    return 0;
}

static int by_time(const void *a, const void *b)
{
    const struct when *left = a, *right = b;

    if (left->time_us != right->time_us) {
        return left->time_us < right->time_us ? -1 : 1;
    }
    return left->order < right->order ? -1 : left->order > right->order;
}

static int replay_text(const char *path, FILE *file,
                       void (*due)(uint64_t time_us, void *user),
                       kmr_pages_cb cb, void *user,
                       struct kmr_pages_stats *ret_stats, char *ret_error,
                       size_t size)
{
    struct text text = { NULL, NULL, 0, 0, 0, 0 };
    char line[KMR_REPLAY_LINE_MAX];
    unsigned number = 0;
    int err = 0;

    while (!err && fgets(line, sizeof(line), file)) {
        const char *at = line + strspn(line, " \t");

        number++;
        if (*at != '#' && *at != '\n' && *at != '\0') {
            err = take_line(&text, at);
        }
    }
    if (err) {
        snprintf(ret_error, size, "%s:%u: %s", path, number,
                 err == -EBADMSG ? "not a record" : strerror(-err));
    } else if (text.when_count > 0) {
        qsort(text.whens, text.when_count, sizeof(*text.whens), by_time);
    }
    for (uint32_t i = 0; !err && i < text.when_count; i++) {
        struct kmr_hw_record *record = &text.records[text.whens[i].record];

        record->time_us = text.whens[i].time_us;
        if (due) {
            due(record->time_us, user);
        }
        cb(record, user);
    }
    if (ret_stats) {
        memset(ret_stats, 0, sizeof(*ret_stats));
        ret_stats->records = text.when_count;
    }
    free(text.records);
    free(text.whens);
    return err;
}

int kmr_replay(const char *path, void (*due)(uint64_t time_us, void *user),
               kmr_pages_cb cb, void *user, struct kmr_pages_stats *ret_stats,
               char *ret_error, size_t size)
{
    struct stat status;
    FILE *file;
    int err;

    if (stat(path, &status) != 0) {
        err = -errno;
        snprintf(ret_error, size, "%s: %s", path, strerror(-err));
        return err;
    }
    if (S_ISDIR(status.st_mode)) {
        return replay_pages(path, due, cb, user, ret_stats, ret_error, size);
    }
    file = fopen(path, "re");
    if (!file) {
        err = -errno;
        snprintf(ret_error, size, "%s: %s", path, strerror(-err));
        return err;
    }
    err = replay_text(path, file, due, cb, user, ret_stats, ret_error, size);
    fclose(file);
    return err;
}
