/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gaps, latencies, and the JSON file with the verdict. */
#include "client.h"

#include <stdlib.h>
#include <string.h>

void client_add_gap(struct client *client, uint64_t at_us, uint64_t us)
{
    unsigned i = CLIENT_GAPS;

    while (i > 0 && client->gaps[i - 1].us < us) {
        i--;
    }
    if (i < CLIENT_GAPS) {
        memmove(&client->gaps[i + 1], &client->gaps[i],
                (CLIENT_GAPS - 1 - i) * sizeof(client->gaps[0]));
        client->gaps[i] = (struct gap){ .at_us = at_us, .us = us };
    }
}

void client_add_sample(struct client *client, uint64_t us)
{
    struct samples *samples = &client->latency;

    if (samples->count == samples->room) {
        size_t room = samples->room ? samples->room * 2 : 4096;
        uint32_t *grown = realloc(samples->us, room * sizeof(*grown));
        if (!grown) {
            return;
        }
        samples->us = grown;
        samples->room = room;
    }
    samples->us[samples->count++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

static uint32_t percentile(const struct samples *samples, unsigned percent)
{
    if (samples->count == 0) {
        return 0;
    }
    return samples->us[(samples->count - 1) * percent / 100];
}

bool client_is_good(const struct client *client)
{
    const struct counts *counts = &client->counts;

    return counts->acknowledged > 0 && counts->unanswered == 0 &&
           counts->unverified == 0 && counts->lost == 0 &&
           counts->duplicated == 0 && counts->resets == 0 &&
           counts->clock_backwards == 0 && counts->reboots == 0 &&
           counts->early == 0 && counts->guest_errors == 0 &&
           counts->protocol_errors == 0;
}

static void write_report(struct client *client, FILE *file)
{
    const struct counts *counts = &client->counts;

    fprintf(file,
            "{\"good\": %s, \"requests\": %lu, \"acknowledged\": %lu,\n"
            " \"unanswered\": %lu, \"unverified\": %lu, \"lost\": %lu,\n"
            " \"duplicated\": %lu, \"resets\": %lu,\n"
            " \"clock_backwards\": %lu, \"reboots\": %lu, \"early\": %lu,\n"
            " \"guest_errors\": %lu, \"protocol_errors\": %lu,\n",
            client_is_good(client) ? "true" : "false", counts->requests,
            counts->acknowledged, counts->unanswered, counts->unverified,
            counts->lost, counts->duplicated, counts->resets,
            counts->clock_backwards, counts->reboots, counts->early,
            counts->guest_errors, counts->protocol_errors);
    fprintf(file, " \"longest_gap_ms\": %.1f,\n \"gaps\": [",
            (double)client->gaps[0].us / 1000);
    for (unsigned i = 0; i < CLIENT_GAPS && client->gaps[i].us; i++) {
        fprintf(file, "%s{\"at_us\": %lu, \"ms\": %.1f}", i ? ", " : "",
                client->gaps[i].at_us, (double)client->gaps[i].us / 1000);
    }
    fprintf(file,
            "],\n \"latency_us\": {\"p50\": %u, \"p95\": %u, \"p99\": %u}}\n",
            percentile(&client->latency, 50), percentile(&client->latency, 95),
            percentile(&client->latency, 99));
}

int client_write_report(struct client *client)
{
    FILE *file = stdout;
    int failed;

    if (client->latency.count) {
        qsort(client->latency.us, client->latency.count, sizeof(uint32_t),
              compare_u32);
    }
    if (client->options.json) {
        file = fopen(client->options.json, "we");
        if (!file) {
            perror(client->options.json);
            return -1;
        }
    }
    write_report(client, file);
    failed = ferror(file);
    if (file != stdout && fclose(file)) {
        failed = 1;
    }
    return failed ? -1 : 0;
}
