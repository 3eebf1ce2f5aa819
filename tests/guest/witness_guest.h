/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside the witness: what its files promise to each other. */
#ifndef TESTS_GUEST_WITNESS_GUEST_H
#define TESTS_GUEST_WITNESS_GUEST_H

#include "witness.h"
#include <netinet/in.h>
#include <pthread.h>

#define WIT_MAX_WRITERS 16
#define WIT_NAME_MAX 128
#define WIT_MAX_DISKS 4

struct wit_config {
    struct in_addr ip;
    struct in_addr ip2; /* of the second card */
    unsigned prefix;    /* bits */
    bool has_ip;
    bool has_ip2;
    unsigned port;
    char disk[WIT_NAME_MAX];
    unsigned load_mib; /* 0: none */
    unsigned soil_mib;
    unsigned full_mib; /* the same, without a pause */
    unsigned writers;
    unsigned clocks;
    unsigned port_load;
    unsigned more; /* drivers */
    unsigned rng;
    unsigned agent;
    unsigned long flash; /* its address */
};

/* Counters of the whole guest; wit_lock protects them. */
extern struct wit_state wit_state;
extern uint8_t wit_boot_id[16];

/* Prints one line with the guest's clock before it. */
void wit_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Adds one to COUNTER (a field of wit_state). */
void wit_count(uint64_t *counter);

/*
 * Reads both clocks; counts and says it, and returns false, if one of them is
 * before any earlier reading by any thread.
 */
bool wit_clock(uint64_t *ret_mono_ns, uint64_t *ret_real_ns);

/* witness_boot.c: what an init does, as process 1 only. */
void wit_boot_mount(void);
void wit_boot_modules(const char *order);
int wit_boot_network(const struct wit_config *config);
int wit_boot_await(const char *path, int timeout_ms);

/*
 * witness_disk.c: the first half of each disk has WIT_MAX_CONNECTIONS rings of
 * records, the second half is the background writers'. Rings and writers use
 * the disks in turn.
 */
int wit_disk_open(const char *path); /* once for each, all before the rest */
uint64_t wit_disk_ring(void);        /* blocks in a ring */
/* Writes the record; returns WIT_... bits. BLOCK: aligned, WIT_BLOCK bytes. */
uint16_t wit_disk_write(unsigned slot, const struct wit_request *request,
                        const uint8_t *payload, void *block);
/* BUFFER: aligned, WIT_VERIFY_MAX blocks. */
void wit_disk_verify(unsigned slot, const struct wit_request *request,
                     struct wit_answer *answer, void *buffer);
void wit_disk_check_table(void);
int wit_disk_start_writers(unsigned count);

/* witness.c: waits for the requests under way; no other is begun. */
void wit_stop_serving(void);

/* witness_power.c: the power button ends the guest. */
int wit_power_start(void);

/* witness_load.c */
int wit_load_start(unsigned mib, bool full);
int wit_load_soil(unsigned mib); /* writes to so much, and gives it back */

/* witness_port.c: needs a second serial port. */
int wit_port_start(void);

/* witness_device.c: need their device; they say it as long as they live. */
int wit_rng_start(void);
int wit_flash_start(unsigned long address);
int wit_agent_start(void);

/* witness_clock.c */
int wit_clock_start(void);

#endif
