/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long was the service away after a fault? The longest time between two
 * consecutive replies, over all connections, that begins within 10 s after
 * the fault, or spans it.
 */
#include "client.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define WITHIN_US (10u * 1000 * 1000)

static int blackout_of(FILE *log, uint64_t at_us)
{
    uint64_t before = 0;
    uint64_t longest = 0;
    uint64_t start = 0;
    uint64_t now;
    char line[128];
    bool seen = false;

    while (fgets(line, sizeof(line), log)) {
        if (!strchr(line, '\n') || sscanf(line, "%lu", &now) != 1) {
            continue; /* being written */
        }
        if (before && now >= at_us && before <= at_us + WITHIN_US) {
            seen = true;
            if (now - before > longest) {
                longest = now - before;
                start = before;
            }
        }
        before = now;
    }
    if (!seen) {
        fprintf(stderr, "client: no reply after the fault\n");
        return 1;
    }
    /* milliseconds, last reply before it, first reply after it */
    printf("%.1f %lu %lu\n", (double)longest / 1000, start, start + longest);
    return 0;
}

int client_blackout_main(int argc, char **argv)
{
    static const struct option options[] = {
        { "log", required_argument, NULL, 'l' },
        { "at", required_argument, NULL, 'a' },
        { NULL, 0, NULL, 0 },
    };
    const char *log = NULL;
    uint64_t at_us = 0;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'l') {
            log = optarg;
        } else if (option == 'a') {
            at_us = strtoull(optarg, NULL, 10);
        } else {
            return 2;
        }
    }
    if (!log || !at_us) {
        fprintf(stderr, "usage: client blackout --log FILE --at MONO_US\n");
        return 2;
    }
    FILE *file = fopen(log, "re");
    if (!file) {
        perror(log);
        return 1;
    }
    int ret = blackout_of(file, at_us);
    fclose(file);
    return ret;
}
