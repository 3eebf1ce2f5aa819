/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mce-monitor/report.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qb/qblog.h>

#include "io/ipc_stay.h"

struct one {
    bool sent;
    uint64_t id;
    struct kmr_hw_verdict verdict;
};

struct kmr_report {
    struct kmr_ipc_stay *stay;
    kmr_report_sources_cb sources;
    kmr_report_again_cb again;
    void *user;
    struct one queue[KMR_REPORT_QUEUE];
    unsigned count;
    uint64_t last_id, dropped;
    bool hello; /* to be said, before all else */
    /* What was sent and not answered, in its order: ids, 0 is a hello. */
    uint64_t ahead[KMR_IPC_STAY_AHEAD];
    unsigned ahead_count;
    bool refused, alone; /* logged once */
};

static int send_hello(struct kmr_report *report)
{
    char sources[KMR_REPORT_SOURCES_MAX] = "sources=";
    const char *words[] = { "hardware", "hello", sources };

    report->sources(sources + strlen(sources),
                    sizeof(sources) - strlen(sources), report->user);
    return kmr_ipc_stay_send(report->stay, 3, words);
}

static int send_one(struct kmr_report *report, const struct one *one)
{
    const struct kmr_hw_verdict *verdict = &one->verdict;
    char scope[KMR_POLICY_SCOPE + 8], health[32], record[48], id[32];
    char reason[KMR_POLICY_REASON + 8];
    const char *words[] = {
        "hardware", "report", kmr_verdict_text(verdict->word),
        scope,      health,   record,
        id,         reason
    };

    snprintf(scope, sizeof(scope), "scope=%s", verdict->scope);
    snprintf(health, sizeof(health), "health=%s",
             kmr_colour_text(verdict->health));
    snprintf(record, sizeof(record), "record-us=%llu",
             (unsigned long long)verdict->record_us);
    snprintf(id, sizeof(id), "id=%llu", (unsigned long long)one->id);
    snprintf(reason, sizeof(reason), "reason=%s", verdict->reason);
    return kmr_ipc_stay_send(report->stay,
                             (int)(sizeof(words) / sizeof(words[0])), words);
}

static void flush(struct kmr_report *report)
{
    if (report->hello) {
        if (send_hello(report) != 0) {
            return;
        }
        report->hello = false;
        report->ahead[report->ahead_count++] = 0;
    }
    for (unsigned i = 0; i < report->count; i++) {
        if (!report->queue[i].sent) {
            if (send_one(report, &report->queue[i]) != 0) {
                return;
            }
            report->queue[i].sent = true;
            report->ahead[report->ahead_count++] = report->queue[i].id;
        }
    }
}

static void drop(struct kmr_report *report, unsigned i)
{
    report->count--;
    memmove(&report->queue[i], &report->queue[i + 1],
            (report->count - i) * sizeof(report->queue[0]));
}

static void on_up(void *user)
{
    struct kmr_report *report = user;

    qb_log(LOG_NOTICE, "kemarid is there");
    report->hello = true;
    report->ahead_count = 0;
    report->refused = report->alone = false;
    flush(report);
    report->again(report->user);
}

static void on_down(void *user)
{
    struct kmr_report *report = user;

    qb_log(LOG_WARNING, "kemarid is gone: verdicts wait for it");
    for (unsigned i = 0; i < report->count; i++) {
        report->queue[i].sent = false;
    }
    report->ahead_count = 0;
}

static void on_answer(int code, const char *error, void *user)
{
    struct kmr_report *report = user;
    uint64_t id;

    if (code != 0 && !report->refused) {
        qb_log(LOG_WARNING, "kemarid refused: %s", error);
        report->refused = true;
    }
    if (report->ahead_count == 0) {
        return;
    }
    id = report->ahead[0];
    report->ahead_count--;
    memmove(&report->ahead[0], &report->ahead[1],
            report->ahead_count * sizeof(report->ahead[0]));
    for (unsigned i = 0; id != 0 && i < report->count; i++) {
        if (report->queue[i].id == id) {
            drop(report, i);
            break;
        }
    }
    flush(report);
}

int kmr_report_start(qb_loop_t *loop, kmr_report_sources_cb sources,
                     kmr_report_again_cb again, void *user,
                     struct kmr_report **ret_report)
{
    static const struct kmr_ipc_stay_ops ops = { on_up, on_down, on_answer };
    struct kmr_report *report = calloc(1, sizeof(*report));
    int err;

    if (!report) {
        return -ENOMEM;
    }
    report->sources = sources;
    report->again = again;
    report->user = user;
    err = kmr_ipc_stay_start(loop, &ops, report, &report->stay);
    if (err) {
        free(report);
        return err;
    }
    *ret_report = report;
    return 0;
}

void kmr_report_stop(struct kmr_report *report)
{
    if (report) {
        kmr_ipc_stay_stop(report->stay);
        free(report);
    }
}

void kmr_report_say(struct kmr_report *report,
                    const struct kmr_hw_verdict *verdict)
{
    struct one *one;

    if (report->count == KMR_REPORT_QUEUE) {
        unsigned victim = 0;

        for (unsigned i = 0; i < report->count; i++) {
            if (report->queue[i].verdict.word == KMR_VERDICT_NOTE) {
                victim = i;
                break;
            }
        }
        drop(report, victim);
        report->dropped++;
    }
    one = &report->queue[report->count++];
    one->sent = false;
    one->id = ++report->last_id;
    one->verdict = *verdict;
    flush(report);
    if (!one->sent && !report->alone && report->count == 1) {
        qb_log(LOG_NOTICE, "no kemarid to tell: it waits");
        report->alone = true;
    }
}

void kmr_report_hello(struct kmr_report *report)
{
    report->hello = true;
    flush(report);
}

unsigned kmr_report_waiting(const struct kmr_report *report)
{
    return report->count;
}
