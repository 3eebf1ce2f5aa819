/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_MCE_NOW_H
#define KMR_MCE_NOW_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC in us: the clock that the kernel's records are asked for. */
static inline uint64_t kmr_now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

#endif
