/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mce-monitor/hwrecord.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S_US UINT64_C(1000000)

#define FIELD(id, name, needed) { (name), (needed) },
#define X(id, system, event)                                               \
    static const struct kmr_hw_field fields_##id[] = { KMR_HW_FIELDS_##id( \
        FIELD) };
KMR_HW_EVENTS(X)
#undef X

static const struct {
    const char *system, *name, *full;
    const struct kmr_hw_field *fields;
    unsigned count;
} events[] = {
#define X(id, system, event)                                        \
    [KMR_HW_##id] = { system, event, system ":" event, fields_##id, \
                      sizeof(fields_##id) / sizeof(fields_##id[0]) },
    KMR_HW_EVENTS(X)
#undef X
};

const char *kmr_hw_event_system(enum kmr_hw_event event)
{
    return events[event].system;
}

const char *kmr_hw_event_name(enum kmr_hw_event event)
{
    return events[event].name;
}

const char *kmr_hw_event_full(enum kmr_hw_event event)
{
    return events[event].full;
}

const struct kmr_hw_field *kmr_hw_event_fields(enum kmr_hw_event event,
                                               unsigned *ret_count)
{
    *ret_count = events[event].count;
    return events[event].fields;
}

const char *kmr_hw_event_text(enum kmr_hw_event event)
{
    switch (event) {
    case KMR_HW_MC:
        return "label";
    case KMR_HW_AER:
        return "dev_name";
    case KMR_HW_EXTLOG:
        return "fru_text";
    case KMR_HW_RQ:
    case KMR_HW_BIO:
        return "rwbs";
    case KMR_HW_LINK:
        return "name";
    case KMR_HW_MCE:
    case KMR_HW_MEMFAIL:
    case KMR_HW_LOST:
    case KMR_HW_EVENT_COUNT:
        break;
    }
    return NULL;
}

/* "12.5" seconds; 0 where it is none. */
static const char *parse_time(const char *at, uint64_t *ret_us)
{
    uint64_t scale = S_US / 10;
    unsigned long long seconds;
    char *end;

    if (!isdigit((unsigned char)*at)) {
        return NULL;
    }
    errno = 0;
    seconds = strtoull(at, &end, 10);
    if (errno || seconds > UINT64_MAX / S_US / 2) {
        return NULL;
    }
    *ret_us = seconds * S_US;
    if (*end == '.') {
        for (end++; isdigit((unsigned char)*end); end++) {
            *ret_us += (uint64_t)(*end - '0') * scale;
            scale /= 10;
        }
    }
    return *end == ' ' ? end : NULL;
}

static bool parse_field(struct kmr_hw_record *record, const char *name,
                        size_t name_len, const char *value, size_t len)
{
    const char *text = kmr_hw_event_text(record->event);
    unsigned count;
    const struct kmr_hw_field *fields =
        kmr_hw_event_fields(record->event, &count);
    char number[32], *end;

    if (text && strlen(text) == name_len && memcmp(text, name, name_len) == 0) {
        if (len >= sizeof(record->text)) {
            return false;
        }
        memcpy(record->text, value, len);
        record->text[len] = '\0';
        return true;
    }
    if (len == 0 || len >= sizeof(number)) {
        return false;
    }
    memcpy(number, value, len);
    number[len] = '\0';
    for (unsigned i = 0; i < count; i++) {
        if (strlen(fields[i].name) == name_len &&
            memcmp(fields[i].name, name, name_len) == 0) {
            errno = 0;
            record->number[i] = number[0] == '-'
                                    ? (uint64_t)strtoll(number, &end, 0)
                                    : strtoull(number, &end, 0);
            record->have |= UINT32_C(1) << i;
            return errno == 0 && *end == '\0';
        }
    }
    return false;
}

bool kmr_hw_record_parse(const char *line, struct kmr_hw_record *ret_record)
{
    struct kmr_hw_record record;
    const char *at;
    size_t len;

    memset(&record, 0, sizeof(record));
    at = parse_time(line, &record.time_us);
    if (!at) {
        return false;
    }
    at += strspn(at, " ");
    len = strcspn(at, " \n");
    record.event = KMR_HW_EVENT_COUNT;
    for (unsigned i = 0; i < KMR_HW_EVENT_COUNT; i++) {
        if (strlen(events[i].full) == len &&
            memcmp(events[i].full, at, len) == 0) {
            record.event = (enum kmr_hw_event)i;
        }
    }
    if (record.event == KMR_HW_EVENT_COUNT) {
        return false;
    }
    for (at += len; *(at += strspn(at, " \n"));) {
        const char *equals = strchr(at, '=');

        if (!equals) {
            return false;
        }
        len = strcspn(equals + 1, " \n");
        if (!parse_field(&record, at, (size_t)(equals - at), equals + 1, len)) {
            return false;
        }
        at = equals + 1 + len;
    }
    *ret_record = record;
    return true;
}

void kmr_hw_record_print(const struct kmr_hw_record *record, char *ret_text,
                         size_t size)
{
    const char *text = kmr_hw_event_text(record->event);
    unsigned count;
    const struct kmr_hw_field *fields =
        kmr_hw_event_fields(record->event, &count);
    size_t used;

    snprintf(ret_text, size, "%llu.%06llu %s",
             (unsigned long long)(record->time_us / S_US),
             (unsigned long long)(record->time_us % S_US),
             kmr_hw_event_full(record->event));
    for (unsigned i = 0; i < count; i++) {
        used = strlen(ret_text);
        if (record->have & UINT32_C(1) << i) {
            snprintf(ret_text + used, size - used, " %s=0x%llx", fields[i].name,
                     (unsigned long long)record->number[i]);
        }
    }
    if (text && record->text[0]) {
        used = strlen(ret_text);
        snprintf(ret_text + used, size - used, " %s=%s", text, record->text);
    }
}
