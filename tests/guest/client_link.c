/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One TCP connection to the witness, and what is checked in each reply. */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RETRY_US 200000
#define SLOTS CLIENT_SLOTS

/* The kernel's limit is 120 s, the least it allows 1 s (Linux 6.15). */
#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif
#define RTO_MAX_MS 1000
/*
 * With it the kernel would give a connection up after 15 tries of a second
 * each at most, while a guest may wait for its disk for minutes. This is how
 * long 15 tries take without it.
 */
#define GIVE_UP_MS 924600

unsigned client_link_waiting(const struct connection *link)
{
    return (unsigned)(link->next_seq - 1 - link->replied);
}

static bool send_all(int fd, const void *data, size_t bytes)
{
    /* a window of small requests always fits into the socket's buffer */
    return send(fd, data, bytes, MSG_NOSIGNAL) == (ssize_t)bytes;
}

void client_link_broken(struct client *client, struct connection *link,
                        const char *why)
{
    if (link->fd >= 0) {
        close(link->fd);
        link->fd = -1;
        client->counts.resets++;
        client_complain(client, "connection %u broken: %s", link->number, why);
    }
    client->counts.unanswered += client_link_waiting(link);
    link->replied = link->next_seq - 1;
    link->greeted = false;
    link->have = 0;
    link->retry_us = client_now_us() + RETRY_US;
}

void client_link_open(struct client *client, struct connection *link)
{
    struct wit_request hello = { .magic = WIT_MAGIC,
                                 .op = WIT_HELLO,
                                 .client = client->id,
                                 .connection = link->number,
                                 .seq = link->next_seq };
    int one = 1;
    int rto_max_ms = RTO_MAX_MS;
    unsigned give_up_ms = GIVE_UP_MS;
    unsigned patience_ms = 3000;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    link->retry_us = client_now_us() + RETRY_US;
    if (fd < 0) {
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, &rto_max_ms,
               sizeof(rto_max_ms));
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &give_up_ms,
               sizeof(give_up_ms));
    /* only while connecting: the time-out of a send is that of connect() */
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO,
               &(struct timeval){ .tv_sec = patience_ms / 1000 },
               sizeof(struct timeval));
    if (connect(fd, (struct sockaddr *)&client->options.server,
                sizeof(client->options.server)) < 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
        !send_all(fd, &hello, sizeof(hello))) {
        close(fd);
        return;
    }
    link->fd = fd;
    link->base = link->next_seq - 1;
    link->replied = link->base;
    link->due_us = client_now_us();
}

static bool make_room(struct connection *link)
{
    if (link->next_seq < link->room) {
        return true;
    }
    uint64_t room = link->room ? link->room * 2 : 4096;
    if (room > CLIENT_REQUESTS_MAX) {
        return false;
    }
    uint32_t *ledger = realloc(link->ledger, room * sizeof(*ledger));
    if (!ledger) {
        return false;
    }
    memset(ledger + link->room, 0, (room - link->room) * sizeof(*ledger));
    link->ledger = ledger;
    link->room = room;
    return true;
}

static void fill(uint8_t *payload, unsigned bytes, uint64_t seed)
{
    for (unsigned i = 0; i < bytes; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        payload[i] = (uint8_t)(seed >> 56);
    }
}

/* The check that the request SEQ of LINK has. */
static uint32_t make_payload(const struct client *client,
                             const struct connection *link, uint64_t seq,
                             uint8_t *payload)
{
    fill(payload, client->options.payload, seq ^ client->id);
    return wit_check(client->id, link->number, seq, payload,
                     client->options.payload);
}

void client_link_send(struct client *client, struct connection *link)
{
    struct {
        struct wit_request request;
        uint8_t payload[WIT_MAX_PAYLOAD];
    } message;
    uint64_t seq = link->next_seq;

    if (!make_room(link)) {
        client->stopping = true;
        return;
    }
    message.request =
        (struct wit_request){ .magic = WIT_MAGIC,
                              .op = WIT_WRITE,
                              .payload = (uint16_t)client->options.payload,
                              .client = client->id,
                              .connection = link->number,
                              .seq = seq,
                              .check = make_payload(client, link, seq,
                                                    message.payload) };
    link->sent_us[seq % SLOTS] = client_now_us();
    link->sent_mono_ns[seq % SLOTS] = client->guest_mono_ns;
    link->sent_real_ns[seq % SLOTS] = client->guest_real_ns;
    link->next_seq++;
    client->counts.requests++;
    if (!send_all(link->fd, &message,
                  sizeof(message.request) + client->options.payload)) {
        client_link_broken(client, link, strerror(errno));
    }
}

static void check_guest(struct client *client, const struct wit_reply *reply)
{
    if (!client->has_boot_id) {
        memcpy(client->boot_id, reply->boot_id, sizeof(client->boot_id));
        client->has_boot_id = true;
    } else if (memcmp(client->boot_id, reply->boot_id,
                      sizeof(client->boot_id)) != 0) {
        memcpy(client->boot_id, reply->boot_id, sizeof(client->boot_id));
        client->counts.reboots++;
        client->guest_mono_ns = 0;
        client->guest_real_ns = 0;
        client_complain(client, "the guest has rebooted");
    }
    if (reply->status & WIT_CLOCK) {
        client->counts.clock_backwards++;
        client_complain(client, "the guest saw its clock run backwards");
    }
}

/*
 * The guest cannot have answered before it had answered what was received
 * here before the request was sent.
 */
static void check_clocks(struct client *client, const struct wit_reply *reply,
                         uint64_t mono_ns, uint64_t real_ns)
{
    if (reply->mono_ns < mono_ns || reply->real_ns < real_ns) {
        client->counts.clock_backwards++;
        client_complain(client,
                        "the guest's clock went back: monotonic %ld, "
                        "real time %ld ns",
                        (long)(reply->mono_ns - mono_ns),
                        (long)(reply->real_ns - real_ns));
    }
    if (reply->mono_ns > client->guest_mono_ns) {
        client->guest_mono_ns = reply->mono_ns;
    }
    if (reply->real_ns > client->guest_real_ns) {
        client->guest_real_ns = reply->real_ns;
    }
}

static void check_applied(struct client *client, struct connection *link,
                          const struct wit_reply *reply)
{
    if (reply->status & WIT_EARLY) {
        client->counts.early++;
    }
    if (reply->status & WIT_TWICE) {
        client->counts.duplicated++;
    }
    if (reply->status & (WIT_PREVIOUS | WIT_SKIPPED)) {
        client->counts.lost++;
    }
    if (reply->status & WIT_IO_ERROR) {
        client->counts.guest_errors++;
    }
    if (reply->applied > reply->seq && !(reply->status & WIT_TWICE)) {
        client->counts.duplicated += reply->applied - reply->seq;
    } else if (reply->applied < reply->seq && !(reply->status & WIT_SKIPPED)) {
        client->counts.lost += reply->seq - reply->applied;
    }
    if (reply->status || reply->applied != reply->seq) {
        client_complain(client,
                        "connection %u seq %lu: status %#x, %lu "
                        "applied",
                        link->number, reply->seq, reply->status,
                        reply->applied);
    }
}

static void take_written(struct client *client, struct connection *link,
                         const struct wit_reply *reply)
{
    uint64_t now = client_now_us();
    uint8_t payload[WIT_MAX_PAYLOAD];

    if (reply->seq <= link->replied || reply->seq >= link->next_seq) {
        client->counts.duplicated++;
        client_complain(client, "connection %u: second reply to seq %lu",
                        link->number, reply->seq);
        return;
    }
    if (reply->seq != link->replied + 1) {
        client->counts.lost += reply->seq - link->replied - 1;
        client_complain(client, "connection %u: no reply to seq %lu",
                        link->number, link->replied + 1);
    }
    link->replied = reply->seq;
    check_clocks(client, reply, link->sent_mono_ns[reply->seq % SLOTS],
                 link->sent_real_ns[reply->seq % SLOTS]);
    check_applied(client, link, reply);
    if (reply->status & (WIT_REFUSED | WIT_IO_ERROR)) {
        client->counts.protocol_errors += (reply->status & WIT_REFUSED) != 0;
        return;
    }
    link->ledger[reply->seq] = make_payload(client, link, reply->seq, payload);
    client->counts.acknowledged++;
    client_add_sample(client, now - link->sent_us[reply->seq % SLOTS]);
    if (client->last_reply_us) {
        client_add_gap(client, client->last_reply_us,
                       now - client->last_reply_us);
    }
    client->last_reply_us = now;
    if (client->ledger_file) {
        fprintf(client->ledger_file, "%u %lu %u %lu\n", link->number,
                reply->seq, link->ledger[reply->seq], now);
    }
    if (client->log_file) {
        fprintf(client->log_file, "%lu %lu %u %lu\n", now, reply->seq,
                link->number, reply->mono_ns / 1000);
    }
}

static void take(struct client *client, struct connection *link,
                 const struct wit_reply *reply)
{
    check_guest(client, reply);
    switch (reply->op) {
    case WIT_HELLO:
        link->greeted = !(reply->status & WIT_REFUSED);
        if (!link->greeted) {
            client->counts.protocol_errors++;
        }
        break;
    case WIT_WRITE:
        take_written(client, link, reply);
        break;
    case WIT_BEAT:
        break;
    default:
        client->counts.protocol_errors++;
        client_complain(client, "connection %u: reply of kind %u", link->number,
                        reply->op);
    }
}

void client_link_receive(struct client *client, struct connection *link)
{
    for (;;) {
        ssize_t got = recv(link->fd, link->in + link->have,
                           sizeof(link->in) - link->have, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (got <= 0) {
            client_link_broken(client, link,
                               got ? strerror(errno) : "closed by the guest");
            return;
        }
        link->have += (size_t)got;
        size_t at = 0;
        while (link->have - at >= sizeof(struct wit_reply)) {
            struct wit_reply reply;
            memcpy(&reply, link->in + at, sizeof(reply));
            if (reply.magic != WIT_MAGIC || reply.payload) {
                client->counts.protocol_errors++;
                client_link_broken(client, link, "not a witness's reply");
                return;
            }
            take(client, link, &reply);
            at += sizeof(reply);
        }
        link->have -= at;
        memmove(link->in, link->in + at, link->have);
    }
}
