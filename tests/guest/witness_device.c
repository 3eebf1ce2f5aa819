/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Users of devices that are neither disk nor network card. Each says on the
 * console that it is alive, a few times a second, as long as its device works.
 */
#include "witness_guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define STEP_NS (5 * 1000 * 1000)
#define ALIVE_NS (200 * 1000 * 1000)
#define PORT_WAIT_MS 5000

static void say_alive(const char *what, uint64_t *last_ns)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ns =
        (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    if (now_ns - *last_ns >= ALIVE_NS) {
        *last_ns = now_ns;
        wit_say("alive: %s", what);
    }
}

static void step(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = STEP_NS }, NULL);
}

/* A request that a takeover loses is never answered: then it says no more. */
static void *rng_main(void *arg)
{
    int fd = (int)(intptr_t)arg;
    uint64_t said = 0;

    for (;;) {
        uint8_t bytes[16];
        uint8_t zero[sizeof(bytes)] = { 0 };
        ssize_t got = read(fd, bytes, sizeof(bytes));
        if (got <= 0) {
            wit_say("FAILED: hwrng: %s", strerror(errno));
        } else if (got == sizeof(bytes) &&
                   memcmp(bytes, zero, sizeof(bytes)) == 0) {
            wit_say("FAILED: hwrng gives zeros");
        } else {
            say_alive("rng", &said);
        }
        step();
    }
    return NULL;
}

/*
 * Flash memory as UEFI's variables are in, by the commands of Intel's: numbers
 * are written into one sector, and all that were must be there.
 */
#define FLASH_SECTOR 4096
#define FLASH_CELLS (FLASH_SECTOR / sizeof(uint64_t))

enum { PROGRAM = 0x40, ERASE = 0x20, CONFIRM = 0xd0, READ_ARRAY = 0xff };

static void flash_put(volatile uint8_t *flash, size_t cell, uint64_t value)
{
    volatile uint8_t *at = flash + cell * sizeof(value);

    if (cell == 0) {
        *flash = ERASE;
        *flash = CONFIRM;
    }
    for (unsigned i = 0; i < sizeof(value); i++) {
        at[i] = PROGRAM;
        at[i] = (uint8_t)(value >> (8 * i));
    }
    *flash = READ_ARRAY;
}

static void *flash_main(void *arg)
{
    volatile uint8_t *flash = arg;
    const volatile uint64_t *cells = arg;
    uint64_t said = 0;

    for (uint64_t n = 0;; n++) {
        size_t last = n % FLASH_CELLS;
        bool good = true;
        flash_put(flash, last, n);
        for (size_t i = 0; i <= last; i++) {
            if (cells[i] != n - last + i) {
                wit_say("FAILED: flash: cell %zu has %lx, not %lx", i, cells[i],
                        n - last + i);
                good = false;
                break;
            }
        }
        if (good) {
            say_alive("flash", &said);
        }
        step();
    }
    return NULL;
}

static int start(void *(*run)(void *), int fd)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, run, (void *)(intptr_t)fd);

    if (!error) {
        pthread_detach(thread);
    }
    return -error;
}

int wit_flash_start(unsigned long address)
{
    pthread_t thread;
    int fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
    void *flash;
    int error;

    if (fd < 0) {
        return -errno;
    }
    flash = mmap(NULL, FLASH_SECTOR, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                 (off_t)address);
    close(fd);
    if (flash == MAP_FAILED) {
        return -errno;
    }
    error = pthread_create(&thread, NULL, flash_main, flash);
    if (!error) {
        pthread_detach(thread);
    }
    return -error;
}

int wit_rng_start(void)
{
    int fd = open("/dev/hwrng", O_RDONLY | O_CLOEXEC);

    return fd < 0 ? -errno : start(rng_main, fd);
}

/*
 * What an agent is told it does, and says so: "set N" is answered by "done N",
 * "get" by "have N" with the last N. Who was told "done" must find it done.
 */
static void answer(int fd, const char *line, unsigned long *have)
{
    char text[64];
    int bytes;

    if (sscanf(line, "set %lu", have) == 1) {
        bytes = snprintf(text, sizeof(text), "done %lu\n", *have);
    } else {
        bytes = snprintf(text, sizeof(text), "have %lu\n", *have);
    }
    if (write(fd, text, (size_t)bytes) != bytes) {
        wit_say("agent: write: %s", strerror(errno));
    }
}

static void *agent_main(void *arg)
{
    int fd = (int)(intptr_t)arg;
    unsigned long have = 0;
    char line[64];
    size_t used = 0;

    for (;;) {
        char byte;
        if (read(fd, &byte, 1) != 1) {
            used = 0; /* nobody at the other end: half a line is none */
            step();
        } else if (byte == '\n') {
            line[used] = '\0';
            answer(fd, line, &have);
            used = 0;
        } else if (used < sizeof(line) - 1) {
            line[used++] = byte;
        }
    }
    return NULL;
}

static int open_port(void)
{
    DIR *dir = opendir("/dev");
    struct dirent *entry;
    int fd = -1;

    if (!dir) {
        return -1;
    }
    while (fd < 0 && (entry = readdir(dir))) {
        /* port 0 is a console's */
        if (strncmp(entry->d_name, "vport", 5) == 0) {
            fd = openat(dirfd(dir), entry->d_name, O_RDWR | O_CLOEXEC);
        }
    }
    closedir(dir);
    return fd;
}

int wit_agent_start(void)
{
    for (int waited_ms = 0; waited_ms < PORT_WAIT_MS; waited_ms += 5) {
        int fd = open_port();
        if (fd >= 0) {
            return start(agent_main, fd);
        }
        step();
    }
    return -ENODEV;
}
