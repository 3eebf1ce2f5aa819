/* SPDX-License-Identifier: GPL-2.0-or-later */
/* At the end: is all that was acknowledged on the disk and in memory? */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_S 10
#define PATIENCE_LATER_MS 200 /* once the guest has not answered */

static bool read_all(int fd, void *data, size_t bytes)
{
    char *at = data;

    while (bytes > 0) {
        ssize_t got = recv(fd, at, bytes, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            errno = got ? errno : ECONNRESET;
            return false;
        }
        at += got;
        bytes -= (size_t)got;
    }
    return true;
}

/* Sends REQUEST and takes the answer to it; beats are passed over. */
static bool ask(struct client *client, struct connection *link,
                struct wit_request *request, void *ret_data, size_t bytes)
{
    struct wit_reply reply;

    request->magic = WIT_MAGIC;
    request->client = client->id;
    request->connection = link->number;
    if (send(link->fd, request, sizeof(*request), MSG_NOSIGNAL) !=
        sizeof(*request)) {
        return false;
    }
    do {
        if (!read_all(link->fd, &reply, sizeof(reply))) {
            return false;
        }
        if (reply.magic != WIT_MAGIC) {
            errno = EPROTO;
            return false;
        }
    } while (reply.op == WIT_BEAT);
    if (reply.op != request->op || reply.payload != bytes) {
        errno = EPROTO;
        return false;
    }
    if (memcmp(reply.boot_id, client->boot_id, sizeof(reply.boot_id)) != 0) {
        client->counts.reboots++;
    }
    return read_all(link->fd, ret_data, bytes);
}

static void compare(struct client *client, struct connection *link,
                    uint64_t seq, const struct wit_answer *answer)
{
    uint32_t check = link->ledger[seq];
    bool on_disk = answer->disk == check || answer->disk == WIT_OVERWRITTEN;
    bool in_memory =
        answer->memory == check || answer->memory == WIT_OVERWRITTEN;

    if (check == 0) {
        return; /* not acknowledged: anything is right */
    }
    /* a guest that has rebooted lost its memory: that is counted already */
    if (!on_disk || (!in_memory && client->counts.reboots == 0)) {
        client->counts.lost++;
        client_complain(client, "LOST connection %u seq %lu: %s%s",
                        link->number, seq, on_disk ? "" : "not on the disk ",
                        in_memory ? "" : "not in memory");
    }
}

static uint64_t count_acknowledged(const struct connection *link, uint64_t from)
{
    uint64_t count = 0;

    for (uint64_t seq = from; seq < link->next_seq; seq++) {
        count += link->ledger && link->ledger[seq] != 0;
    }
    return count;
}

static bool verify_link(struct client *client, struct connection *link)
{
    struct wit_answer answer[WIT_VERIFY_MAX];
    uint64_t seq = 1;

    while (seq < link->next_seq) {
        struct wit_request request = { .op = WIT_VERIFY, .seq = seq };
        uint64_t left = link->next_seq - seq;
        request.count = left < WIT_VERIFY_MAX ? (uint32_t)left : WIT_VERIFY_MAX;
        if (link->fd < 0 || !ask(client, link, &request, answer,
                                 request.count * sizeof(answer[0]))) {
            client_complain(client, "connection %u: cannot verify: %s",
                            link->number,
                            link->fd < 0 ? "closed" : strerror(errno));
            client->counts.unverified += count_acknowledged(link, seq);
            return false;
        }
        for (uint32_t i = 0; i < request.count; i++) {
            compare(client, link, seq + i, &answer[i]);
        }
        seq += request.count;
    }
    return true;
}

/* What the guest counted is added where the replies did not show it. */
static void take_state(struct client *client, const struct wit_state *state)
{
    struct counts *counts = &client->counts;

    if (state->lost > counts->lost) {
        counts->lost = state->lost;
    }
    if (state->early > counts->early) {
        counts->early = state->early;
    }
    if (state->twice > counts->duplicated) {
        counts->duplicated = state->twice;
    }
    if (state->clock_backwards > counts->clock_backwards) {
        counts->clock_backwards = state->clock_backwards;
    }
    counts->guest_errors +=
        state->io_errors + state->memory_bad + state->table_bad;
    if (state->lost || state->early || state->twice || state->clock_backwards ||
        state->io_errors || state->memory_bad || state->table_bad) {
        client_complain(client,
                        "the guest counts: lost %lu early %lu twice %lu "
                        "clock %lu I/O %lu memory %lu table %lu",
                        state->lost, state->early, state->twice,
                        state->clock_backwards, state->io_errors,
                        state->memory_bad, state->table_bad);
    }
}

void client_verify(struct client *client)
{
    struct timeval patience = { .tv_sec = PATIENCE_S };
    struct wit_request request = { .op = WIT_STATE };
    struct wit_state state;
    bool has_state = false;

    for (unsigned i = 0; i < client->options.connections; i++) {
        struct connection *link = &client->connection[i];
        if (link->fd >= 0) {
            fcntl(link->fd, F_SETFL, 0);
            setsockopt(link->fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
                       sizeof(patience));
            setsockopt(link->fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
                       sizeof(patience));
        }
        bool answers = verify_link(client, link);
        if (!answers) {
            patience = (struct timeval){ .tv_usec = PATIENCE_LATER_MS * 1000 };
        }
        if (answers && !has_state && link->fd >= 0) {
            has_state = ask(client, link, &request, &state, sizeof(state));
        }
    }
    if (has_state) {
        take_state(client, &state);
    } else {
        client->counts.protocol_errors++;
        client_complain(client, "the guest does not say what it has seen");
    }
}
