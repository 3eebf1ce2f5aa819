/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mce-monitor/pages.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event-parse.h>

#include "mce-monitor/ringpage.h"

#define NS_US 1000

/* How a number or a text is found in a record: what the format file says,
 * looked up once. */
struct place {
    bool there;
    bool is_signed;
    bool dynamic; /* 4 bytes that say where it is, and how long */
    uint32_t at, size;
};

struct layout {
    bool usable;
    const char *lacks;
    uint16_t id;
    uint32_t size; /* of the fixed part */
    struct place numbers[KMR_HW_NUMBERS_MAX];
    struct place text;
};

struct kmr_pages {
    struct tep_handle *tep;
    struct kmr_ringpage_layout ring;
    struct layout layouts[KMR_HW_TRACEPOINTS];
    struct kmr_pages_stats stats;
    struct kmr_hw_record record;
};

/* A small file as a whole. */
static int slurp(const char *path, char **ret_text, size_t *ret_size)
{
    FILE *file = fopen(path, "re");
    char *text;
    size_t size;

    if (!file) {
        return -errno;
    }
    text = calloc(1, KMR_PAGES_FORMAT_MAX + 1);
    if (!text) {
        fclose(file);
        return -ENOMEM;
    }
    size = fread(text, 1, KMR_PAGES_FORMAT_MAX, file);
    fclose(file);
    if (size == 0 || size == KMR_PAGES_FORMAT_MAX) {
        free(text);
        return -EINVAL;
    }
    *ret_text = text;
    *ret_size = size;
    return 0;
}

static bool place_of(const struct tep_format_field *field, struct place *place)
{
    if (!field || field->offset < 0 || field->size <= 0 ||
        field->offset > UINT16_MAX || field->size > UINT16_MAX) {
        return false;
    }
    place->is_signed = field->flags & TEP_FIELD_IS_SIGNED;
    place->dynamic = field->flags & TEP_FIELD_IS_DYNAMIC;
    place->at = (uint32_t)field->offset;
    place->size = (uint32_t)field->size;
    return true;
}

static bool place_number(const struct tep_format_field *field,
                         struct place *place)
{
    place->there = place_of(field, place) && !place->dynamic &&
                   (place->size == 1 || place->size == 2 || place->size == 4 ||
                    place->size == 8);
    return place->there;
}

/* Text: of a fixed length (rwbs), or somewhere behind (__data_loc). */
static void place_text(const struct tep_format_field *field,
                       struct place *place)
{
    place->there = place_of(field, place) &&
                   (!place->dynamic || place->size == sizeof(uint32_t)) &&
                   !(field->flags & TEP_FIELD_IS_RELATIVE);
}

static void lay_out(struct layout *layout, enum kmr_hw_event event,
                    struct tep_event *format)
{
    const char *text = kmr_hw_event_text(event);
    unsigned count;
    const struct kmr_hw_field *fields = kmr_hw_event_fields(event, &count);
    struct tep_format_field *type =
        tep_find_common_field(format, "common_type");

    layout->lacks = "a format that is not understood";
    if (!type || type->offset != 0 || type->size != 2 || format->id <= 0 ||
        format->id > UINT16_MAX) {
        return;
    }
    layout->id = (uint16_t)format->id;
    for (struct tep_format_field *field = format->format.fields; field;
         field = field->next) {
        if ((uint32_t)(field->offset + field->size) > layout->size) {
            layout->size = (uint32_t)(field->offset + field->size);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        if (!place_number(tep_find_field(format, fields[i].name),
                          &layout->numbers[i]) &&
            fields[i].needed) {
            layout->lacks = "a format without a field that is needed";
            return;
        }
    }
    if (text) {
        place_text(tep_find_field(format, text), &layout->text);
    }
    layout->usable = true;
    layout->lacks = NULL;
}

static int load_header(struct kmr_pages *pages, const char *events)
{
    char path[4096], *text;
    unsigned at, size, found = 0;
    size_t len;
    int err;

    snprintf(path, sizeof(path), "%s/header_page", events);
    err = slurp(path, &text, &len);
    if (err == -ENOENT) {
        snprintf(path, sizeof(path), "%s/../header_page", events);
        err = slurp(path, &text, &len);
    }
    if (err) {
        return err;
    }
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        if (sscanf(line, " field: local_t commit; offset:%u; size:%u;", &at,
                   &size) == 2) {
            pages->ring.commit_at = at;
            pages->ring.commit_size = size;
            found |= 1;
        } else if (sscanf(line, " field: char data; offset:%u; size:%u;", &at,
                          &size) == 2) {
            pages->ring.data_at = at;
            pages->ring.size = (size_t)at + size;
            found |= 2;
        }
    }
    free(text);
    return found == 3 && pages->ring.size <= KMR_PAGES_SIZE_MAX ? 0 : -EINVAL;
}

static void load_event(struct kmr_pages *pages, const char *events,
                       enum kmr_hw_event event)
{
    struct layout *layout = &pages->layouts[event];
    const char *system = kmr_hw_event_system(event);
    struct tep_event *format = NULL;
    char path[4096], *text;
    size_t size;
    int err;

    layout->lacks = "not in this kernel";
    snprintf(path, sizeof(path), "%s/%s/%s/format", events, system,
             kmr_hw_event_name(event));
    err = slurp(path, &text, &size);
    if (err) {
        if (err == -EACCES || err == -EPERM) {
            layout->lacks = "no permission";
        } else if (err != -ENOENT) {
            layout->lacks = "its format can't be read";
        }
        return;
    }
    layout->lacks = "a format that is not understood";
    if (tep_parse_format(pages->tep, &format, text, size, system) == 0 &&
        format) {
        lay_out(layout, event, format);
    }
    free(text);
}

int kmr_pages_new(const char *events, struct kmr_pages **ret_pages)
{
    struct kmr_pages *pages = calloc(1, sizeof(*pages));
    int err;

    if (!pages) {
        return -ENOMEM;
    }
    tep_set_loglevel(TEP_LOG_NONE);
    pages->tep = tep_alloc();
    if (!pages->tep) {
        free(pages);
        return -ENOMEM;
    }
    err = load_header(pages, events);
    if (err) {
        kmr_pages_free(pages);
        return err;
    }
    for (int event = 0; event < KMR_HW_TRACEPOINTS; event++) {
        load_event(pages, events, (enum kmr_hw_event)event);
    }
    /* What was looked up is kept; the rest is large. */
    tep_free(pages->tep);
    pages->tep = NULL;
    *ret_pages = pages;
    return 0;
}

void kmr_pages_free(struct kmr_pages *pages)
{
    if (pages) {
        if (pages->tep) {
            tep_free(pages->tep);
        }
        free(pages);
    }
}

const char *kmr_pages_lacks(const struct kmr_pages *pages,
                            enum kmr_hw_event event)
{
    return pages->layouts[event].lacks;
}

size_t kmr_pages_size(const struct kmr_pages *pages)
{
    return pages->ring.size;
}

const struct kmr_pages_stats *kmr_pages_stats(const struct kmr_pages *pages)
{
    return &pages->stats;
}

static bool number_at(const struct place *place, const uint8_t *data,
                      size_t size, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (place->at + place->size > size) {
        return false;
    }
    memcpy(&number, data + place->at, place->size); /* little endian */
    if (place->is_signed && place->size < sizeof(number) &&
        number >> (8 * place->size - 1)) {
        number |= UINT64_MAX << (8 * place->size);
    }
    *ret_number = number;
    return true;
}

/* Kernel and firmware write what they like; these are words from here on. */
static void take_text(char *to, const uint8_t *from, size_t size)
{
    size_t i;

    for (i = 0; i < size && i < KMR_HW_TEXT_MAX - 1 && from[i]; i++) {
        to[i] = isgraph(from[i]) ? (char)from[i] : '_';
    }
    to[i] = '\0';
}

static bool text_at(const struct place *place, const uint8_t *data, size_t size,
                    char *ret_text)
{
    uint32_t where, at, len;

    ret_text[0] = '\0';
    if (!place->there) {
        return true;
    }
    if (place->at + place->size > size) {
        return false;
    }
    if (!place->dynamic) {
        take_text(ret_text, data + place->at, place->size);
        return true;
    }
    memcpy(&where, data + place->at, sizeof(where));
    at = where & 0xffff;
    len = where >> 16;
    if (at + len > size) {
        return false;
    }
    take_text(ret_text, data + at, len);
    return true;
}

static void read_record(struct kmr_pages *pages, const struct layout *layout,
                        enum kmr_hw_event event, const uint8_t *data,
                        size_t size)
{
    struct kmr_hw_record *record = &pages->record;
    unsigned count;
    const struct kmr_hw_field *fields = kmr_hw_event_fields(event, &count);

    record->event = event;
    record->have = 0;
    record->broken = false;
    for (unsigned i = 0; i < count; i++) {
        const struct place *place = &layout->numbers[i];

        record->number[i] = 0;
        if (!place->there) {
            continue;
        }
        if (number_at(place, data, size, &record->number[i])) {
            record->have |= UINT32_C(1) << i;
        } else if (fields[i].needed) {
            record->broken = true;
        }
    }
    if (!text_at(&layout->text, data, size, record->text)) {
        record->broken = true;
    }
}

/* What the kernel dropped, as a record of its own. */
static void read_lost(struct kmr_pages *pages, uint64_t lost, uint64_t time_us,
                      kmr_pages_cb cb, void *user)
{
    pages->stats.lost += lost;
    memset(&pages->record, 0, sizeof(pages->record));
    pages->record.event = KMR_HW_LOST;
    pages->record.time_us = time_us;
    pages->record.have = 1u << KMR_HW_RECORDS_AT;
    pages->record.number[KMR_HW_RECORDS_AT] = lost;
    cb(&pages->record, user);
}

void kmr_pages_read(struct kmr_pages *pages, const void *bytes, size_t size,
                    kmr_pages_cb cb, void *user)
{
    struct kmr_ringpage page;
    const uint8_t *data;
    uint64_t time_ns;
    size_t len;

    pages->stats.pages++;
    if (!kmr_ringpage_open(&page, &pages->ring, bytes, size)) {
        pages->stats.broken++;
        return;
    }
    if (page.lost > 0) {
        read_lost(pages, page.lost, page.time / NS_US, cb, user);
    }
    while (kmr_ringpage_next(&page, &data, &len, &time_ns)) {
        int event = 0;
        uint16_t id = 0;

        if (len >= sizeof(id)) {
            memcpy(&id, data, sizeof(id));
        }
        while (
            event < KMR_HW_TRACEPOINTS &&
            !(pages->layouts[event].usable && pages->layouts[event].id == id)) {
            event++;
        }
        if (event == KMR_HW_TRACEPOINTS) {
            pages->stats.foreign++;
            continue;
        }
        read_record(pages, &pages->layouts[event], (enum kmr_hw_event)event,
                    data, len);
        pages->record.time_us = time_ns / NS_US;
        pages->stats.records++;
        pages->stats.broken += pages->record.broken;
        cb(&pages->record, user);
    }
    pages->stats.broken += page.broken;
}

bool kmr_pages_where(const struct kmr_pages *pages, enum kmr_hw_event event,
                     const char *name, unsigned *ret_at, unsigned *ret_size,
                     bool *ret_dynamic)
{
    const struct layout *layout = &pages->layouts[event];
    const char *text = kmr_hw_event_text(event);
    const struct place *place = NULL;
    unsigned count;
    const struct kmr_hw_field *fields = kmr_hw_event_fields(event, &count);

    if (!name) {
        *ret_at = layout->size;
        *ret_size = layout->id;
        return layout->usable;
    }
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(fields[i].name, name) == 0) {
            place = &layout->numbers[i];
        }
    }
    if (text && strcmp(text, name) == 0) {
        place = &layout->text;
    }
    if (!place || !place->there) {
        return false;
    }
    *ret_at = place->at;
    *ret_size = place->size;
    *ret_dynamic = place->dynamic;
    return true;
}
