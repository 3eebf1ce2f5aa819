/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * say: stands in for kemari-mced at kemarid's door. Each line of stdin is a
 * request, its words divided by tabs; the answer, "CODE TEXT", is a line of
 * stdout. The connection stays until the end of stdin, as kemari-mced's does.
 * `record-us=now` is the time of the moment.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "io/ipc.h"

#define WORDS_MAX 16
#define TIMEOUT_MS 10000

static char now_text[64];

static char *time_of(char *word)
{
    struct timespec now;

    if (strcmp(word, "record-us=now") != 0) {
        return word;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(now_text, sizeof(now_text), "record-us=%lld",
             (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    return now_text;
}

int main(void)
{
    struct kmr_ipc_door *door;
    char line[8192];
    int err = kmr_ipc_open(TIMEOUT_MS, &door);

    if (err) {
        fprintf(stderr, "say: %s\n", strerror(-err));
        return 1;
    }
    while (fgets(line, sizeof(line), stdin)) {
        const char *words[WORDS_MAX];
        char *out = NULL, *text = NULL, *rest = NULL;
        int count = 0, code;

        line[strcspn(line, "\n")] = '\0';
        for (char *word = strtok_r(line, "\t", &rest);
             word && count < WORDS_MAX; word = strtok_r(NULL, "\t", &rest)) {
            words[count++] = time_of(word);
        }
        code = kmr_ipc_ask(door, count, words, TIMEOUT_MS, &out, &text);
        printf("%d %s\n", code, text ? text : "");
        fflush(stdout);
        free(out);
        free(text);
    }
    kmr_ipc_close(door);
    return 0;
}
