/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The witness: a server that can say afterwards whether anything was lost.
 * In a guest it is the init. Elsewhere, for its own tests:
 *   witness witness.port=N witness.disk=FILE [witness.writers=N] ...
 */
#include "witness_guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SILENCE_S 600 /* a client that says nothing for that long is gone */

/* What is known of one connection of one client; outlives the socket. */
struct slot {
    uint64_t client;
    uint32_t connection;
    bool in_use; /* a thread serves it */
    uint64_t last_seq;
    uint64_t applied;
    uint64_t freed; /* order, to take the oldest */
};

struct wit_state wit_state;
uint8_t wit_boot_id[16];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* The writer is the power button, and does not wait for a quiet moment. */
static pthread_rwlock_t serving =
    PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static struct slot slots[WIT_MAX_CONNECTIONS];
static uint64_t free_count;

void wit_say(const char *format, ...)
{
    struct timespec now;
    char line[256];
    va_list args;

    clock_gettime(CLOCK_MONOTONIC, &now);
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    printf("witness %ld.%03ld %s\n", now.tv_sec, now.tv_nsec / 1000000, line);
    fflush(stdout);
}

void wit_count(uint64_t *counter)
{
    __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

bool wit_clock(uint64_t *ret_mono_ns, uint64_t *ret_real_ns)
{
    static pthread_mutex_t clock_lock = PTHREAD_MUTEX_INITIALIZER;
    static uint64_t last_mono;
    static uint64_t last_real;
    struct timespec mono;
    struct timespec real;
    int64_t back_mono;
    int64_t back_real;

    pthread_mutex_lock(&clock_lock);
    clock_gettime(CLOCK_MONOTONIC, &mono);
    clock_gettime(CLOCK_REALTIME, &real);
    *ret_mono_ns = (uint64_t)mono.tv_sec * 1000000000u + (uint64_t)mono.tv_nsec;
    *ret_real_ns = (uint64_t)real.tv_sec * 1000000000u + (uint64_t)real.tv_nsec;
    back_mono = (int64_t)(last_mono - *ret_mono_ns);
    back_real = (int64_t)(last_real - *ret_real_ns);
    last_mono = *ret_mono_ns;
    last_real = *ret_real_ns;
    pthread_mutex_unlock(&clock_lock);
    if (back_mono <= 0 && back_real <= 0) {
        return true;
    }
    wit_count(&wit_state.clock_backwards);
    wit_say("CLOCK went back: monotonic %ld ns, real time %ld ns",
            back_mono > 0 ? back_mono : 0, back_real > 0 ? back_real : 0);
    return false;
}

static bool read_all(int fd, void *data, size_t bytes)
{
    char *at = data;

    while (bytes > 0) {
        ssize_t got = recv(fd, at, bytes, 0);
        if (got <= 0) {
            if (got < 0 && errno == EINTR) {
                continue;
            }
            return false;
        }
        at += got;
        bytes -= (size_t)got;
    }
    return true;
}

static bool send_reply(int fd, struct wit_reply *reply, const void *payload)
{
    char message[sizeof(*reply) + WIT_VERIFY_MAX * sizeof(struct wit_answer)];
    size_t bytes = sizeof(*reply) + reply->payload;
    size_t sent = 0;

    reply->magic = WIT_MAGIC;
    memcpy(reply->boot_id, wit_boot_id, sizeof(wit_boot_id));
    if (!wit_clock(&reply->mono_ns, &reply->real_ns)) {
        reply->status |= WIT_CLOCK;
    }
    memcpy(message, reply, sizeof(*reply));
    if (reply->payload) {
        memcpy(message + sizeof(*reply), payload, reply->payload);
    }
    while (sent < bytes) {
        ssize_t got = send(fd, message + sent, bytes - sent, MSG_NOSIGNAL);
        if (got < 0 && errno != EINTR) {
            return false;
        }
        sent += got > 0 ? (size_t)got : 0;
    }
    return true;
}

/* The client's own slot if it was here before, else the oldest free one. */
static struct slot *take_slot(const struct wit_request *request)
{
    struct slot *found = NULL;

    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < WIT_MAX_CONNECTIONS; i++) {
        struct slot *slot = &slots[i];
        if (slot->client == request->client &&
            slot->connection == request->connection) {
            found = slot->in_use ? NULL : slot;
            break;
        }
        if (!slot->in_use && (!found || slot->freed < found->freed)) {
            found = slot;
        }
    }
    if (found) {
        *found = (struct slot){ .client = request->client,
                                .connection = request->connection,
                                .in_use = true,
                                .last_seq = request->seq - 1,
                                .applied = request->seq - 1 };
    }
    pthread_mutex_unlock(&lock);
    return found;
}

static void free_slot(struct slot *slot)
{
    pthread_mutex_lock(&lock);
    slot->in_use = false;
    slot->freed = ++free_count;
    pthread_mutex_unlock(&lock);
}

void wit_stop_serving(void)
{
    pthread_rwlock_wrlock(&serving); /* for good */
}

struct session {
    int fd;
    struct slot *slot;
    void *buffer; /* WIT_VERIFY_MAX blocks, aligned */
};

static void serve_write(struct session *session, struct wit_request *request,
                        const uint8_t *payload, struct wit_reply *reply)
{
    struct slot *slot = session->slot;

    if (request->check != wit_check(request->client, request->connection,
                                    request->seq, payload, request->payload)) {
        reply->status |= WIT_REFUSED;
        return;
    }
    if (request->seq <= slot->last_seq) {
        reply->status |= WIT_TWICE;
        wit_count(&wit_state.twice);
        wit_say("TWICE connection %u seq %lu", slot->connection, request->seq);
    } else if (request->seq > slot->last_seq + 1) {
        reply->status |= WIT_SKIPPED;
        wit_say("SKIPPED connection %u seq %lu after %lu", slot->connection,
                request->seq, slot->last_seq);
    }
    reply->status |= wit_disk_write((unsigned)(slot - slots), request, payload,
                                    session->buffer);
    /* Also one that failed: the client is told, and does not send it again. */
    slot->applied++;
    if (request->seq > slot->last_seq) {
        slot->last_seq = request->seq;
    }
}

/* Answers one request; false ends the connection. */
static bool serve(struct session *session, struct wit_request *request,
                  const uint8_t *payload)
{
    struct wit_reply reply = { .op = request->op, .seq = request->seq };
    struct wit_answer answer[WIT_VERIFY_MAX];
    struct wit_state state;
    const void *data = NULL;

    if (request->op == WIT_HELLO && !session->slot && request->seq > 0) {
        session->slot = take_slot(request);
    }
    if (!session->slot || request->client != session->slot->client ||
        request->connection != session->slot->connection) {
        reply.status = WIT_REFUSED;
        send_reply(session->fd, &reply, NULL);
        return false;
    }
    switch (request->op) {
    case WIT_HELLO:
        break;
    case WIT_WRITE:
        serve_write(session, request, payload, &reply);
        break;
    case WIT_VERIFY:
        if (request->count < 1 || request->count > WIT_VERIFY_MAX) {
            return false;
        }
        wit_disk_verify((unsigned)(session->slot - slots), request, answer,
                        session->buffer);
        data = answer;
        reply.payload = request->count * (uint32_t)sizeof(answer[0]);
        break;
    case WIT_STATE:
        wit_disk_check_table();
        state = wit_state;
        data = &state;
        reply.payload = sizeof(state);
        break;
    default:
        return false;
    }
    reply.applied = session->slot->applied;
    return send_reply(session->fd, &reply, data);
}

static void *session_main(void *arg)
{
    struct session session = { .fd = (int)(intptr_t)arg };
    unsigned silent_ms = 0;
    int one = 1;

    setsockopt(session.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(session.fd, IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, &one,
               sizeof(one));
    if (posix_memalign(&session.buffer, WIT_BLOCK,
                       (size_t)WIT_VERIFY_MAX * WIT_BLOCK)) {
        session.buffer = NULL;
    }
    while (session.buffer && silent_ms < SILENCE_S * 1000) {
        struct pollfd poll_fd = { .fd = session.fd, .events = POLLIN };
        struct wit_request request;
        uint8_t payload[WIT_MAX_PAYLOAD];
        bool go_on;
        int ready = poll(&poll_fd, 1, WIT_BEAT_MS);
        if (ready == 0) {
            /*
             * A client's TCP that has backed off during an outage sends again
             * when it hears from the guest, and not only when its timer ends.
             */
            struct wit_reply beat = { .op = WIT_BEAT };
            silent_ms += WIT_BEAT_MS;
            if (session.slot && !send_reply(session.fd, &beat, NULL)) {
                break;
            }
            continue;
        }
        silent_ms = 0;
        if (!read_all(session.fd, &request, sizeof(request)) ||
            request.magic != WIT_MAGIC || request.payload > sizeof(payload) ||
            !read_all(session.fd, payload, request.payload)) {
            break;
        }
        pthread_rwlock_rdlock(&serving);
        go_on = serve(&session, &request, payload);
        pthread_rwlock_unlock(&serving);
        if (!go_on) {
            break;
        }
    }
    if (session.slot) {
        wit_say("connection %u of client %lx closed after seq %lu",
                session.slot->connection, session.slot->client,
                session.slot->last_seq);
        free_slot(session.slot);
    }
    free(session.buffer);
    close(session.fd);
    return NULL;
}

static int listen_on(const struct wit_config *config)
{
    struct sockaddr_in name = { .sin_family = AF_INET,
                                .sin_port = htons((uint16_t)config->port),
                                .sin_addr = config->ip };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;

    if (fd < 0) {
        return -errno;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0 ||
        listen(fd, WIT_MAX_CONNECTIONS) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

static void serve_for_ever(int listener)
{
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    for (;;) {
        pthread_t thread;
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0 && pthread_create(&thread, &attributes, session_main,
                                      (void *)(intptr_t)fd) != 0) {
            close(fd);
        }
    }
}

static void parse_word(struct wit_config *config, const char *word)
{
    char text[WIT_NAME_MAX];

    if (sscanf(word, "witness.ip2=%15[0-9.]", text) == 1) {
        config->has_ip2 = inet_pton(AF_INET, text, &config->ip2) == 1;
    } else if (sscanf(word, "witness.ip=%15[0-9.]/%u", text, &config->prefix) ==
               2) {
        config->has_ip =
            inet_pton(AF_INET, text, &config->ip) == 1 && config->prefix <= 32;
    } else if (sscanf(word, "witness.disk=%127s", text) == 1) {
        memcpy(config->disk, text, sizeof(text));
    } else if (sscanf(word, "witness.port=%u", &config->port) == 1 ||
               sscanf(word, "witness.load=mem:%u", &config->load_mib) == 1 ||
               sscanf(word, "witness.load=full:%u", &config->full_mib) == 1 ||
               sscanf(word, "witness.load=port:%u", &config->port_load) == 1 ||
               sscanf(word, "witness.soil=%u", &config->soil_mib) == 1 ||
               sscanf(word, "witness.clocks=%u", &config->clocks) == 1 ||
               sscanf(word, "witness.more=%u", &config->more) == 1 ||
               sscanf(word, "witness.rng=%u", &config->rng) == 1 ||
               sscanf(word, "witness.agent=%u", &config->agent) == 1 ||
               sscanf(word, "witness.flash=%lx", &config->flash) == 1 ||
               sscanf(word, "witness.writers=%u", &config->writers) == 1) {
        return;
    } else if (strncmp(word, "witness.", 8) == 0) {
        wit_say("not understood: %s", word);
    }
}

static void parse_kernel_line(struct wit_config *config)
{
    char line[4096] = "";
    char *rest = line;
    char *word;
    FILE *file = fopen("/proc/cmdline", "re");

    if (!file) {
        return;
    }
    if (fgets(line, sizeof(line), file)) {
        while ((word = strsep(&rest, " \n"))) {
            parse_word(config, word);
        }
    }
    fclose(file);
}

static void read_boot_id(void)
{
    char text[64] = "";
    unsigned n = 0;
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

    if (file && fgets(text, sizeof(text), file)) {
        for (char *at = text; *at && n < 32; at++) {
            unsigned digit;
            if (sscanf((char[]){ *at, '\0' }, "%x", &digit) == 1) {
                wit_boot_id[n / 2] = (uint8_t)(wit_boot_id[n / 2] << 4 | digit);
                n++;
            }
        }
    }
    if (file) {
        fclose(file);
    }
}

/* PATHS: with commas between them */
static int open_disks(const char *paths)
{
    char copy[WIT_NAME_MAX];
    char *rest = copy;
    char *path;
    int ret = 0;

    snprintf(copy, sizeof(copy), "%s", paths);
    while (ret == 0 && (path = strsep(&rest, ","))) {
        ret = wit_boot_await(path, 5000);
        ret = ret ? ret : wit_disk_open(path);
    }
    return ret;
}

int main(int argc, char **argv)
{
    struct wit_config config = { .port = 7000, .disk = "/dev/vda" };
    bool is_init = getpid() == 1;
    const char *step = "kernel";
    int ret = 0;

    signal(SIGPIPE, SIG_IGN);
    if (is_init) {
        wit_boot_mount();
        wit_boot_modules("/modules/order");
        parse_kernel_line(&config);
        if (config.more) {
            wit_boot_modules("/modules/more");
        }
    }
    for (int i = 1; i < argc && !is_init; i++) {
        parse_word(&config, argv[i]);
    }
    if (config.writers > WIT_MAX_WRITERS) {
        config.writers = WIT_MAX_WRITERS;
    }
    read_boot_id();
    if (is_init && config.has_ip) {
        step = "network";
        ret = wit_boot_network(&config);
        config.ip.s_addr =
            config.has_ip2 ? htonl(INADDR_ANY) : config.ip.s_addr;
    } else {
        config.ip.s_addr = htonl(is_init ? INADDR_ANY : INADDR_LOOPBACK);
    }
    if (ret == 0) {
        step = config.disk;
        ret = open_disks(config.disk);
    }
    if (ret == 0) {
        step = "background load";
        ret = config.soil_mib ? wit_load_soil(config.soil_mib) : 0;
        ret = ret || !config.load_mib ? ret
                                      : wit_load_start(config.load_mib, false);
        ret = ret || !config.full_mib ? ret
                                      : wit_load_start(config.full_mib, true);
        ret = ret ? ret : wit_disk_start_writers(config.writers);
        ret = ret || !config.port_load ? ret : wit_port_start();
        ret = ret || !config.clocks ? ret : wit_clock_start();
        ret = ret || !config.rng ? ret : wit_rng_start();
        ret = ret || !config.agent ? ret : wit_agent_start();
        ret = ret || !config.flash ? ret : wit_flash_start(config.flash);
    }
    if (ret == 0 && is_init && wit_power_start() < 0) {
        wit_say("no power button: who stops the guest has to kill it");
    }
    if (ret == 0) {
        step = "port";
        ret = listen_on(&config);
    }
    if (ret >= 0) {
        wit_say("ready on port %u, disk %s, ring of %lu blocks, %u writers, "
                "%u MiB load",
                config.port, config.disk, wit_disk_ring(), config.writers,
                config.load_mib);
        serve_for_ever(ret);
    }
    wit_say("FAILED: %s: %s", step, strerror(-ret));
    while (is_init) {
        pause();
    }
    return 1;
}
