/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The witness's client: sends requests on a cadence, keeps a ledger of what
 * was acknowledged, and at the end asks for all of it. Exit code 1 if
 * anything was lost, applied twice, early, reset, or a clock went back.
 */
#include "client.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_US (10u * 1000 * 1000) /* for the first connection */
#define FLUSH_US 50000
#define COMPLAINTS_MAX 50

static volatile sig_atomic_t signalled;

static void on_signal(int number)
{
    (void)number;
    signalled = 1;
}

uint64_t client_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000;
}

void client_complain(const struct client *client, const char *format, ...)
{
    static unsigned count;
    va_list args;

    if (client->options.quiet || count++ >= COMPLAINTS_MAX) {
        return;
    }
    fprintf(stderr, "client %lu: ", client_now_us());
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

static void usage(FILE *file)
{
    fputs("usage: client --host IP --port N [--ledger FILE] [--log FILE]\n"
          "              [--json FILE] [--seconds N] [--connections N]\n"
          "              [--interval-ms N] [--payload BYTES] [--drain-ms N]\n"
          "              [--quiet]\n"
          "       client blackout --log FILE --at MONO_US\n",
          file);
}

static unsigned number(const char *name, const char *text, unsigned low,
                       unsigned high)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*text == '\0' || *end != '\0' || value < low || value > high) {
        fprintf(stderr, "client: --%s must be %u to %u, not \"%s\"\n", name,
                low, high, text);
        exit(2);
    }
    return (unsigned)value;
}

static void parse(int argc, char **argv, struct options *ret_options)
{
    static const struct option table[] = {
        { "host", required_argument, NULL, 'h' },
        { "port", required_argument, NULL, 'p' },
        { "ledger", required_argument, NULL, 'e' },
        { "log", required_argument, NULL, 'l' },
        { "json", required_argument, NULL, 'j' },
        { "seconds", required_argument, NULL, 's' },
        { "connections", required_argument, NULL, 'c' },
        { "interval-ms", required_argument, NULL, 'i' },
        { "payload", required_argument, NULL, 'b' },
        { "drain-ms", required_argument, NULL, 'd' },
        { "quiet", no_argument, NULL, 'q' },
        { NULL, 0, NULL, 0 },
    };
    struct options options = { .connections = 8,
                               .interval_ms = 2,
                               .drain_ms = 10000 };
    int option;
    int index;

    while ((option = getopt_long(argc, argv, "", table, &index)) != -1) {
        switch (option) {
        case 'h':
            options.server.sin_family = AF_INET;
            if (inet_pton(AF_INET, optarg, &options.server.sin_addr) != 1) {
                fprintf(stderr, "client: not an address: %s\n", optarg);
                exit(2);
            }
            break;
        case 'p':
            options.server.sin_port =
                htons((uint16_t)number("port", optarg, 1, 65535));
            break;
        case 'e':
            options.ledger = optarg;
            break;
        case 'l':
            options.log = optarg;
            break;
        case 'j':
            options.json = optarg;
            break;
        case 's':
            options.seconds = strtod(optarg, NULL);
            break;
        case 'c':
            options.connections =
                number("connections", optarg, 1, WIT_MAX_CONNECTIONS / 2);
            break;
        case 'i':
            options.interval_ms = number("interval-ms", optarg, 1, 60000);
            break;
        case 'b':
            options.payload = number("payload", optarg, 0, WIT_MAX_PAYLOAD);
            break;
        case 'd':
            options.drain_ms = number("drain-ms", optarg, 1, 600000);
            break;
        case 'q':
            options.quiet = true;
            break;
        default:
            usage(stderr);
            exit(2);
        }
    }
    if (!options.server.sin_family || !options.server.sin_port ||
        optind != argc) {
        usage(stderr);
        exit(2);
    }
    *ret_options = options;
}

static unsigned waiting(const struct client *client)
{
    unsigned count = 0;

    for (unsigned i = 0; i < client->options.connections; i++) {
        count += client_link_waiting(&client->connection[i]);
    }
    return count;
}

/* Sends what is due on all connections; returns when the next is. */
static uint64_t send_due(struct client *client, uint64_t now)
{
    uint64_t next = now + FLUSH_US;

    for (unsigned i = 0; i < client->options.connections; i++) {
        struct connection *link = &client->connection[i];
        if (link->fd < 0) {
            if (now >= link->retry_us) {
                client_link_open(client, link);
            }
            continue;
        }
        if (!link->greeted) {
            continue;
        }
        if (now >= link->due_us) {
            link->due_us += client->options.interval_ms * 1000;
            if (link->due_us < now) {
                link->due_us = now;
            }
            /* never more on the way than a failover should make up for */
            if (client_link_waiting(link) < CLIENT_WINDOW) {
                client_link_send(client, link);
            }
        }
        if (link->due_us < next) {
            next = link->due_us;
        }
    }
    return next;
}

static void wait_and_receive(struct client *client, uint64_t until)
{
    struct pollfd fds[WIT_MAX_CONNECTIONS];
    uint64_t now = client_now_us();
    uint64_t us = until > now ? until - now : 0;
    struct timespec timeout = { .tv_sec = (time_t)(us / 1000000),
                                .tv_nsec = (long)(us % 1000000) * 1000 };

    for (unsigned i = 0; i < client->options.connections; i++) {
        fds[i] =
            (struct pollfd){ .fd = client->connection[i].fd, .events = POLLIN };
    }
    if (ppoll(fds, client->options.connections, &timeout, NULL) <= 0) {
        return;
    }
    for (unsigned i = 0; i < client->options.connections; i++) {
        if (fds[i].revents) {
            client_link_receive(client, &client->connection[i]);
        }
    }
}

static bool connect_first(struct client *client)
{
    struct connection *link = &client->connection[0];
    uint64_t end = client_now_us() + CONNECT_US;

    while (!signalled && client_now_us() < end) {
        client_link_open(client, link);
        if (link->fd >= 0) {
            return true;
        }
        usleep(50000);
    }
    fprintf(stderr, "client: nobody answers at %s port %u\n",
            inet_ntoa(client->options.server.sin_addr),
            ntohs(client->options.server.sin_port));
    return false;
}

static void run(struct client *client)
{
    uint64_t start = client_now_us();
    uint64_t flushed = start;
    uint64_t end = UINT64_MAX;

    if (client->options.seconds > 0) {
        end = start + (uint64_t)(client->options.seconds * 1e6);
    }
    while (!signalled && !client->stopping) {
        uint64_t now = client_now_us();
        if (now >= end) {
            break;
        }
        uint64_t next = send_due(client, now);
        wait_and_receive(client, next < end ? next : end);
        if (now - flushed >= FLUSH_US) {
            flushed = now;
            if (client->log_file) {
                fflush(client->log_file);
            }
            if (client->ledger_file) {
                fflush(client->ledger_file);
            }
        }
    }
    end = client_now_us() + client->options.drain_ms * 1000u;
    while (waiting(client) > 0 && client_now_us() < end) {
        wait_and_receive(client, client_now_us() + FLUSH_US);
    }
    client->counts.unanswered += waiting(client);
}

static FILE *open_file(const char *name)
{
    FILE *file = NULL;

    if (name) {
        file = fopen(name, "we");
        if (!file) {
            perror(name);
            exit(2);
        }
    }
    return file;
}

int main(int argc, char **argv)
{
    static struct client client;

    if (argc > 1 && strcmp(argv[1], "blackout") == 0) {
        return client_blackout_main(argc - 1, argv + 1);
    }
    parse(argc, argv, &client.options);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    signal(SIGPIPE, SIG_IGN);
    client.ledger_file = open_file(client.options.ledger);
    client.log_file = open_file(client.options.log);
    if (getrandom(&client.id, sizeof(client.id), 0) != sizeof(client.id)) {
        perror("client: getrandom");
        return 2;
    }
    for (unsigned i = 0; i < WIT_MAX_CONNECTIONS; i++) {
        client.connection[i] =
            (struct connection){ .fd = -1, .number = i, .next_seq = 1 };
    }
    if (!connect_first(&client)) {
        return 1;
    }
    run(&client);
    client_verify(&client);
    if (client_write_report(&client) < 0) {
        return 2;
    }
    return client_is_good(&client) ? 0 : 1;
}
