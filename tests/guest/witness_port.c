/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A background load that sends bytes through the second serial port in its
 * loopback mode, with OUT and with REP OUTS, and reads them back: a byte that
 * a takeover drops or writes twice shows.
 */
#include "witness_guest.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/io.h>
#include <time.h>

#define BASE 0x2f8
#define FIFO 16
#define ROUNDS 8
#define STEP_NS (2 * 1000 * 1000)

enum { DATA = 0, INTERRUPTS = 1, FIFOS = 2, LINE = 3, MODEM = 4, STATUS = 5 };

/* insb() and outsb() of the C library don't say that they use memory. */
static void send_string(const uint8_t *data, size_t count)
{
    __asm__ __volatile__("rep outsb"
                         : "+S"(data), "+c"(count)
                         : "d"(BASE + DATA)
                         : "memory");
}

static void receive_string(uint8_t *data, size_t count)
{
    __asm__ __volatile__("rep insb"
                         : "+D"(data), "+c"(count)
                         : "d"(BASE + DATA)
                         : "memory");
}

static void expect(bool string, const uint8_t *sent, const uint8_t *got,
                   bool more)
{
    unsigned at = 0;

    while (at < FIFO && sent[at] == got[at]) {
        at++;
    }
    if (at < FIFO || more) {
        wit_count(&wit_state.memory_bad);
        wit_say("PORT %s: byte %u of %u is %02x%s", string ? "REP OUTS" : "OUT",
                at, FIFO, at < FIFO ? got[at] : 0,
                more ? ", there are too many" : "");
        outb(0x07, BASE + FIFOS); /* empty them, and go on */
    }
}

static void *port_main(void *arg)
{
    uint8_t sent[FIFO];
    uint8_t got[FIFO];
    uint8_t value = 0;

    (void)arg;
    for (unsigned round = 1;; round++) {
        bool string = round % 2;
        for (unsigned i = 0; i < FIFO; i++) {
            sent[i] = value++;
        }
        memset(got, 0, sizeof(got));
        if (string) {
            send_string(sent, FIFO);
        } else {
            for (unsigned i = 0; i < FIFO; i++) {
                outb(sent[i], BASE + DATA);
            }
        }
        receive_string(got, FIFO);
        expect(string, sent, got, inb(BASE + STATUS) & 1);
        if (round % ROUNDS == 0) {
            nanosleep(&(struct timespec){ .tv_nsec = STEP_NS }, NULL);
        }
    }
    return NULL;
}

int wit_port_start(void)
{
    pthread_t thread;

    if (ioperm(BASE, 8, 1) < 0) { /* threads inherit it */
        return -errno;
    }
    outb(0, BASE + INTERRUPTS);
    outb(3, BASE + LINE); /* 8 bits */
    outb(0x07, BASE + FIFOS);
    outb(0x10, BASE + MODEM); /* loopback */
    if (inb(BASE + LINE) != 3) {
        return -ENODEV;
    }
    int error = pthread_create(&thread, NULL, port_main, NULL);
    if (!error) {
        pthread_detach(thread);
    }
    return -error;
}
