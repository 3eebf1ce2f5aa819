/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mce-monitor/limits.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S_US UINT64_C(1000000)

void kmr_health_limits_init(struct kmr_health_limits *limits)
{
    memset(limits, 0, sizeof(*limits));
#define X(name, most, count_, period_s) \
    limits->name = (struct kmr_rate){ (count_), (period_s)*S_US };
    KMR_HEALTH_RATES(X)
#undef X
#define X(name, least, preset, most) limits->name##_ms = (preset);
    KMR_HEALTH_TIMES(X)
#undef X
#define X(name, least, preset, most) limits->name = (preset);
    KMR_HEALTH_NUMBERS(X)
#undef X
}

/* A number, and where it ends. */
static int number(const char **at, uint64_t least, uint64_t most,
                  uint64_t *ret_number)
{
    unsigned long long value;
    char *end;

    if (!isdigit((unsigned char)**at)) {
        return -EINVAL;
    }
    errno = 0;
    value = strtoull(*at, &end, 10);
    if (errno || value < least || value > most) {
        return -EINVAL;
    }
    *at = end;
    *ret_number = value;
    return 0;
}

static void spaces(const char **at)
{
    while (isspace((unsigned char)**at)) {
        (*at)++;
    }
}

static const struct {
    const char *name;
    uint64_t seconds;
} units[] = {
    { "d", 86400 }, { "h", 3600 }, { "min", 60 }, { "s", 1 }, { "", 1 },
};

static int set_rate(struct kmr_rate *ret_rate, uint32_t most, const char *value)
{
    uint64_t count, period;

    if (number(&value, 1, most, &count)) {
        return -EINVAL;
    }
    spaces(&value);
    if (*value++ != '/') {
        return -EINVAL;
    }
    spaces(&value);
    if (number(&value, 1, KMR_HEALTH_PERIOD_MAX_S, &period)) {
        return -EINVAL;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(value, units[i].name) == 0) {
            period *= units[i].seconds;
            if (period > KMR_HEALTH_PERIOD_MAX_S) {
                return -EINVAL;
            }
            ret_rate->count = (uint32_t)count;
            ret_rate->period_us = period * S_US;
            return 0;
        }
    }
    return -EINVAL;
}

static int set_number(uint32_t *ret_number, uint32_t least, uint32_t most,
                      const char *value)
{
    uint64_t got;

    if (number(&value, least, most, &got) || *value) {
        return -EINVAL;
    }
    *ret_number = (uint32_t)got;
    return 0;
}

int kmr_health_limits_set(struct kmr_health_limits *limits, const char *key,
                          const char *value)
{
#define X(name, most, count, period_s)                   \
    if (strcmp(key, #name) == 0) {                       \
        return set_rate(&limits->name, (most), (value)); \
    }
    KMR_HEALTH_RATES(X)
#undef X
#define X(name, least, preset, most)                                   \
    if (strcmp(key, #name "_ms") == 0) {                               \
        return set_number(&limits->name##_ms, (least), (most), value); \
    }
    KMR_HEALTH_TIMES(X)
#undef X
#define X(name, least, preset, most)                              \
    if (strcmp(key, #name) == 0) {                                \
        return set_number(&limits->name, (least), (most), value); \
    }
    KMR_HEALTH_NUMBERS(X)
#undef X
    if (strcmp(key, "interfaces") == 0) {
        if (strlen(value) >= sizeof(limits->interfaces)) {
            return -EINVAL;
        }
        strcpy(limits->interfaces, value);
        return 0;
    }
    return -ENOENT;
}

void kmr_health_limits_allowed(const char *key, char *ret_text, size_t size)
{
    snprintf(ret_text, size, "at most %d characters",
             KMR_HEALTH_INTERFACES - 1);
#define X(name, most, count, period_s)                          \
    if (strcmp(key, #name) == 0) {                              \
        snprintf(ret_text, size, "1 to %d / 1s to %dd", (most), \
                 KMR_HEALTH_PERIOD_MAX_S / 86400);              \
    }
    KMR_HEALTH_RATES(X)
#undef X
#define X(name, least, preset, most)                                          \
    if (strcmp(key, #name "_ms") == 0) {                                      \
        snprintf(ret_text, size, "%d to %d (milliseconds)", (least), (most)); \
    }
    KMR_HEALTH_TIMES(X)
#undef X
#define X(name, least, preset, most)                           \
    if (strcmp(key, #name) == 0) {                             \
        snprintf(ret_text, size, "%d to %d", (least), (most)); \
    }
    KMR_HEALTH_NUMBERS(X)
#undef X
}

void kmr_rate_text(const struct kmr_rate *rate, char *ret_text, size_t size)
{
    uint64_t seconds = rate->period_us / S_US;

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        /* 24h, not 1d: as the references have it */
        if (seconds % units[i].seconds == 0 &&
            seconds / units[i].seconds > (i == 0 ? 1 : 0)) {
            snprintf(ret_text, size, "%u / %llu%s", rate->count,
                     (unsigned long long)(seconds / units[i].seconds),
                     units[i].name);
            return;
        }
    }
}
