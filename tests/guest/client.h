/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The witness's client: what its files promise to each other. */
#ifndef TESTS_GUEST_CLIENT_H
#define TESTS_GUEST_CLIENT_H

#include "witness.h"

#include <netinet/in.h>
#include <stdio.h>

#define CLIENT_GAPS 10
/*
 * Requests on their way, per connection. With one, a connection whose request
 * the guest had received when the fault came goes on as soon as the guest
 * does; what is sent behind it would wait for the client's own timer.
 */
#define CLIENT_WINDOW 1
#define CLIENT_SLOTS (CLIENT_WINDOW * 2)
#define CLIENT_REQUESTS_MAX (8u * 1024 * 1024) /* per connection */

struct options {
    struct sockaddr_in server;
    const char *ledger;
    const char *log;
    const char *json;
    double seconds; /* 0: until SIGTERM or SIGINT */
    unsigned connections;
    unsigned interval_ms;
    unsigned payload; /* bytes */
    unsigned drain_ms;
    bool quiet;
};

struct gap {
    uint64_t at_us; /* of the reply before it */
    uint64_t us;
};

struct samples {
    uint32_t *us;
    size_t count;
    size_t room;
};

struct counts {
    uint64_t requests;
    uint64_t acknowledged;
    uint64_t unanswered; /* sent, and no reply before the end */
    uint64_t unverified; /* acknowledged, and no answer at the end */
    uint64_t lost;
    uint64_t duplicated;
    uint64_t resets;
    uint64_t clock_backwards;
    uint64_t reboots;
    uint64_t early;
    uint64_t guest_errors; /* I/O errors, damaged memory */
    uint64_t protocol_errors;
};

struct connection {
    int fd; /* -1: not connected */
    uint32_t number;
    uint64_t next_seq;
    uint64_t base;    /* seq before the first of this TCP connection */
    uint64_t replied; /* seq of the last reply */
    uint64_t due_us;
    uint64_t retry_us;
    uint64_t sent_us[CLIENT_SLOTS];
    uint64_t sent_mono_ns[CLIENT_SLOTS]; /* guest's clock known then */
    uint64_t sent_real_ns[CLIENT_SLOTS];
    uint32_t *ledger; /* [seq]: check of an acknowledged request, else 0 */
    uint64_t room;
    uint8_t in[sizeof(struct wit_reply) +
               WIT_VERIFY_MAX * sizeof(struct wit_answer)];
    size_t have;
    bool greeted;
};

struct client {
    struct options options;
    struct counts counts;
    struct connection connection[WIT_MAX_CONNECTIONS];
    struct samples latency;
    struct gap gaps[CLIENT_GAPS]; /* longest first */
    uint64_t id;
    uint64_t last_reply_us;
    uint64_t guest_mono_ns; /* highest that was seen */
    uint64_t guest_real_ns;
    uint8_t boot_id[16];
    bool has_boot_id;
    bool stopping;
    FILE *ledger_file;
    FILE *log_file;
};

uint64_t client_now_us(void); /* CLOCK_MONOTONIC */

/* One line on stderr about something that should not be. */
void client_complain(const struct client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* client_link.c: connections, requests, replies. */
void client_link_open(struct client *client, struct connection *link);
/* Counts it as a reset, and has the connection tried again. */
void client_link_broken(struct client *client, struct connection *link,
                        const char *why);
void client_link_send(struct client *client, struct connection *link);
/* Takes what has arrived. */
void client_link_receive(struct client *client, struct connection *link);
unsigned client_link_waiting(const struct connection *link);

/* client_verify.c: asks for everything that was acknowledged. */
void client_verify(struct client *client);

/* client_report.c */
void client_add_gap(struct client *client, uint64_t at_us, uint64_t us);
void client_add_sample(struct client *client, uint64_t us);
bool client_is_good(const struct client *client);
int client_write_report(struct client *client);

/* client_blackout.c: "client blackout --log FILE --at MONO_US" */
int client_blackout_main(int argc, char **argv);

#endif
