/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A background load that dirties memory and checks what it finds there. */
#include "witness_guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE 4096
#define PAGES_PER_STEP 64
#define STEP_NS (5 * 1000 * 1000)

struct load {
    uint64_t *memory;
    uint64_t pages;
    bool full;
};

static void *load_main(void *arg)
{
    struct load *load = arg;
    uint64_t n = 0;

    for (;;) {
        for (unsigned i = 0; i < PAGES_PER_STEP; i++, n++) {
            uint64_t *page =
                &load->memory[(n % load->pages) * (PAGE / sizeof(uint64_t))];
            uint64_t round = n / load->pages;
            /* first and last word: a torn page shows */
            if (page[0] != round || page[511] != ~round + 1) {
                wit_count(&wit_state.memory_bad);
                wit_say("MEMORY page %lu has %lu/%lu, not %lu", n % load->pages,
                        page[0], -page[511], round);
            }
            page[0] = round + 1;
            page[511] = ~(round + 1) + 1;
        }
        if (!load->full) {
            nanosleep(&(struct timespec){ .tv_nsec = STEP_NS }, NULL);
        }
    }
    return NULL;
}

/* MIB of memory, at a pace or as fast as it goes; each once at most. */
int wit_load_start(unsigned mib, bool full)
{
    static struct load loads[2];
    struct load *load = &loads[full];
    pthread_t thread;

    load->full = full;
    load->pages = (uint64_t)mib * 1024 * 1024 / PAGE;
    load->memory = mmap(NULL, load->pages * PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (load->memory == MAP_FAILED) {
        return -errno;
    }
    int error = pthread_create(&thread, NULL, load_main, load);
    if (!error) {
        pthread_detach(thread);
    }
    return -error;
}

/* A guest that has just booted has little free memory that is not zero. */
int wit_load_soil(unsigned mib)
{
    size_t bytes = (size_t)mib * 1024 * 1024;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        return -errno;
    }
    memset(memory, 0x5a, bytes);
    munmap(memory, bytes);
    return 0;
}
