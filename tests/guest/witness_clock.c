/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looks at all clocks on each CPU in turn, a thousand times a second: a CPU
 * whose clock is behind another's shows only there.
 */
#include "witness_guest.h"

#include <sched.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define STEP_NS (1000 * 1000)

static void *clock_main(void *arg)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t last_tsc = 0;
    uint64_t mono_ns;
    uint64_t real_ns;
    uint64_t tsc;

    (void)arg;
    for (long cpu = 0;; cpu = (cpu + 1) % cpus) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)cpu, &set);
        sched_setaffinity(0, sizeof(set), &set);
        wit_clock(&mono_ns, &real_ns);
        _mm_lfence();
        tsc = __rdtsc();
        if (tsc < last_tsc) {
            wit_count(&wit_state.clock_backwards);
            wit_say("CLOCK went back: TSC of CPU %ld %lu cycles", cpu,
                    last_tsc - tsc);
        }
        last_tsc = tsc;
        nanosleep(&(struct timespec){ .tv_nsec = STEP_NS }, NULL);
    }
    return NULL;
}

int wit_clock_start(void)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, clock_main, NULL);

    if (!error) {
        pthread_detach(thread);
    }
    return -error;
}
