/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mce-monitor/monitor.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <qb/qbdefs.h>
#include <qb/qblog.h>

#define S_US UINT64_C(1000000)

void kmr_monitor_init(struct kmr_monitor *monitor,
                      const struct kmr_health_limits *limits)
{
    memset(monitor, 0, sizeof(*monitor));
    kmr_policy_init(&monitor->policy, limits);
}

static void say(struct kmr_monitor *monitor, unsigned count,
                const struct kmr_hw_verdict *verdicts)
{
    for (unsigned i = 0; i < count; i++) {
        monitor->said(&verdicts[i], monitor->user);
    }
}

/* Raw, so that what was decoded wrongly is not lost. */
static void log_record(struct kmr_monitor *monitor,
                       const struct kmr_hw_record *record,
                       const struct kmr_hw_finding *finding, uint64_t now_us)
{
    char line[1024];

    if (now_us >= monitor->log_us + S_US) {
        if (monitor->unlogged > 0) {
            qb_log(LOG_NOTICE, "%llu more records were not logged",
                   (unsigned long long)monitor->unlogged);
        }
        monitor->log_us = now_us;
        monitor->logged = 0;
        monitor->unlogged = 0;
    }
    if (monitor->logged >= KMR_MONITOR_LOG_RATE) {
        monitor->unlogged++;
        return;
    }
    monitor->logged++;
    kmr_hw_record_print(record, line, sizeof(line));
    qb_log(finding->class > KMR_HW_CORRECTED ? LOG_WARNING : LOG_NOTICE,
           "%s%s%s: %s (%llu us ago)", kmr_hw_class_text(finding->class),
           finding->why[0] ? ", " : "", finding->why, line,
           (unsigned long long)(record->time_us && record->time_us < now_us
                                    ? now_us - record->time_us
                                    : 0));
}

void kmr_monitor_record(struct kmr_monitor *monitor,
                        const struct kmr_hw_record *record, uint64_t now_us)
{
    struct kmr_hw_verdict verdicts[KMR_POLICY_VERDICTS];
    struct kmr_hw_finding finding;

    kmr_monitor_time(monitor, now_us);
    monitor->records++;
    if (record->event == KMR_HW_LOST) {
        monitor->lost += record->number[KMR_HW_RECORDS_AT];
    }
    kmr_hw_decode(record, &finding);
    if (monitor->saw) {
        monitor->saw(record, &finding, monitor->user);
    }
    say(monitor,
        kmr_policy_step(&monitor->policy, record, &finding, now_us, verdicts),
        verdicts);
    if (!monitor->quiet) { /* a log may take its time */
        log_record(monitor, record, &finding, now_us);
    }
}

void kmr_monitor_time(struct kmr_monitor *monitor, uint64_t now_us)
{
    struct kmr_hw_verdict verdicts[KMR_POLICY_VERDICTS];
    uint64_t at_us;

    while ((at_us = kmr_policy_deadline(&monitor->policy)) != 0 &&
           at_us <= now_us) {
        if (at_us < monitor->policy.now_us) {
            at_us = monitor->policy.now_us;
        }
        say(monitor,
            kmr_policy_step(&monitor->policy, NULL, NULL, at_us, verdicts),
            verdicts);
    }
}

void kmr_monitor_quote(const char *text, char *ret_text, size_t size)
{
    size_t at = 0;

    ret_text[at++] = '"';
    for (; *text && at + 8 < size; text++) {
        unsigned char byte = (unsigned char)*text;

        if (byte == '"' || byte == '\\') {
            ret_text[at++] = '\\';
            ret_text[at++] = (char)byte;
        } else if (byte < 0x20 || byte >= 0x7f) {
            at += (size_t)snprintf(ret_text + at, size - at, "\\u%04x", byte);
        } else {
            ret_text[at++] = (char)byte;
        }
    }
    ret_text[at++] = '"';
    ret_text[at] = '\0';
}

/* `name`: `text`, quoted. */
static void add_text(char *ret_text, size_t size, const char *name,
                     const char *text)
{
    char quoted[KMR_POLICY_REASON * 2];
    size_t used = strlen(ret_text);

    kmr_monitor_quote(text, quoted, sizeof(quoted));
    snprintf(ret_text + used, size - used, ", \"%s\": %s", name, quoted);
}

void kmr_monitor_json(const struct kmr_hw_record *record,
                      const struct kmr_hw_finding *finding, char *ret_text,
                      size_t size)
{
    unsigned count;
    const struct kmr_hw_field *fields =
        kmr_hw_event_fields(record->event, &count);
    char text[KMR_HW_NAME_MAX + 96];
    size_t used;

    snprintf(ret_text, size,
             "{\"time-us\": %llu, \"event\": \"%s\", \"raw\": {",
             (unsigned long long)record->time_us,
             kmr_hw_event_full(record->event));
    for (unsigned i = 0, said = 0; i < count; i++) {
        used = strlen(ret_text);
        if (record->have & UINT32_C(1) << i) {
            snprintf(ret_text + used, size - used, "%s\"%s\": \"0x%llx\"",
                     said++ ? ", " : "", fields[i].name,
                     (unsigned long long)record->number[i]);
        }
    }
    used = strlen(ret_text);
    snprintf(ret_text + used, size - used, "}, \"count\": %u", finding->count);
    if (record->text[0]) {
        add_text(ret_text, size, kmr_hw_event_text(record->event),
                 record->text);
    }
    add_text(ret_text, size, "class", kmr_hw_class_text(finding->class));
    if (finding->why[0]) {
        add_text(ret_text, size, "why", finding->why);
    }
    add_text(ret_text, size, "source", kmr_hw_kind_text(finding->kind));
    kmr_hw_name(record, finding, text, sizeof(text));
    add_text(ret_text, size, "name", text);
    kmr_hw_detail(record, text, sizeof(text));
    add_text(ret_text, size, "detail", text);
    used = strlen(ret_text);
    snprintf(ret_text + used, size - used, "}");
}
