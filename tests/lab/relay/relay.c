/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * relay PORT TAP [delay=MS] [loss=PCT] [loss_out=PCT] [loss_in=PCT]
 *       [dup=PCT] [reorder=PCT] [seed=N]
 *
 * Stands between a node's port (PORT, a veth of the switch) and the bridge
 * (TAP, made here, put into the bridge by the lab) and treats the frames
 * badly, both ways alike but for loss_out (from the node) and loss_in (to it).
 * The kernels here have no netem.
 *
 * Large segments and missing checksums are passed through as they are, with
 * their virtio header.
 */
#include "queue.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_FRAME (65536 + 64)
#define REORDER_NS 3000000 /* how much later a reordered frame comes */
#define BURST 64           /* frames taken from one side in a row */

static volatile sig_atomic_t ending;

struct relay {
    int fd[2]; /* the port, the tap */
    int64_t delay_ns;
    double loss[2]; /* 0 to 1: to the port, to the tap */
    double dup, reorder;
    struct kmr_queue queue;
    unsigned long passed, lost, doubled, reordered, failed;
};

static void on_signal(int number)
{
    (void)number;
    ending = 1;
}

static void fail(const char *what)
{
    fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int open_port(const char *name)
{
    struct sockaddr_ll address = { .sll_family = AF_PACKET };
    int on = 1;
    int size = 8 << 20;
    int fd;

    address.sll_ifindex = if_nametoindex(name);
    address.sll_protocol = htons(ETH_P_ALL);
    if (!address.sll_ifindex) {
        fail(name);
    }
    fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
        setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) ||
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) ||
        bind(fd, (struct sockaddr *)&address, sizeof(address))) {
        fail("packet socket");
    }
    return fd;
}

static int open_tap(const char *name)
{
    struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        fail("/dev/net/tun");
    }
    if (strlen(name) >= IFNAMSIZ) {
        errno = ENAMETOOLONG;
        fail(name);
    }
    strcpy(request.ifr_name, name);
    if (ioctl(fd, TUNSETIFF, &request) ||
        ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)) {
        fail(name);
    }
    return fd;
}

static int chance(double probability)
{
    return probability > 0 && drand48() < probability;
}

static void admit(struct relay *relay, int to, const uint8_t *frame, size_t len,
                  int64_t now)
{
    int64_t due = now + relay->delay_ns;
    int copies = 1;

    if (chance(relay->loss[to])) {
        relay->lost++;
        return;
    }
    if (chance(relay->dup)) {
        relay->doubled++;
        copies = 2;
    }
    if (chance(relay->reorder)) {
        relay->reordered++;
        due += REORDER_NS;
    }
    while (copies-- > 0) {
        if (!kmr_queue_put(&relay->queue, to, due, frame, len)) {
            relay->lost++; /* full: as a switch would */
        }
    }
}

static void read_side(struct relay *relay, int from)
{
    static uint8_t frame[MAX_FRAME];
    int i;

    for (i = 0; i < BURST; i++) {
        ssize_t len = read(relay->fd[from], frame, sizeof(frame));

        if (len < 0) {
            /* ENETDOWN: the port was cut or is gone; others: later */
            return;
        }
        if ((size_t)len <= sizeof(struct virtio_net_hdr)) {
            continue;
        }
        admit(relay, !from, frame, len, now_ns());
    }
}

/* Returns how long to wait for the next frame, in ns; -1: for ever. */
static int64_t send_due(struct relay *relay)
{
    struct kmr_frame *frame;

    while ((frame = kmr_queue_first(&relay->queue))) {
        int64_t wait = frame->due_ns - now_ns();

        if (wait > 0) {
            return wait;
        }
        if (write(relay->fd[frame->to], frame->data, frame->len) < 0) {
            relay->failed++;
        } else {
            relay->passed++;
        }
        kmr_queue_drop_first(&relay->queue);
    }
    return -1;
}

static void set(struct relay *relay, const char *word)
{
    const char *value = strchr(word, '=');
    size_t len = value ? (size_t)(value - word) : 0;
    char *rest = "";
    double number = value ? strtod(value + 1, &rest) : -1;

    if (!value || rest == value + 1 || *rest || number < 0) {
        len = 0;
    }
    if (len == 5 && !strncmp(word, "delay", len)) {
        relay->delay_ns = number * 1e6;
    } else if (len == 4 && !strncmp(word, "loss", len)) {
        relay->loss[0] = relay->loss[1] = number / 100;
    } else if (len == 7 && !strncmp(word, "loss_in", len)) {
        relay->loss[0] = number / 100;
    } else if (len == 8 && !strncmp(word, "loss_out", len)) {
        relay->loss[1] = number / 100;
    } else if (len == 3 && !strncmp(word, "dup", len)) {
        relay->dup = number / 100;
    } else if (len == 7 && !strncmp(word, "reorder", len)) {
        relay->reorder = number / 100;
    } else if (len == 4 && !strncmp(word, "seed", len)) {
        srand48((long)number);
    } else {
        fprintf(stderr, "relay: not understood: %s\n", word);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct sigaction action = { .sa_handler = on_signal };
    struct relay relay = { 0 };
    int i;

    if (argc < 3) {
        fprintf(
            stderr,
            "usage: relay PORT TAP [delay=MS] [loss=PCT] "
            "[loss_out=PCT] [loss_in=PCT] [dup=PCT] [reorder=PCT] [seed=N]\n");
        return 2;
    }
    srand48(getpid());
    for (i = 3; i < argc; i++) {
        set(&relay, argv[i]);
    }
    sigaction(SIGTERM, &action, NULL);
    relay.fd[0] = open_port(argv[1]);
    relay.fd[1] = open_tap(argv[2]);
    while (!ending) {
        struct pollfd poller[2] = { { .fd = relay.fd[0], .events = POLLIN },
                                    { .fd = relay.fd[1], .events = POLLIN } };
        int64_t wait = send_due(&relay);
        struct timespec limit = { wait / 1000000000, wait % 1000000000 };

        if (ppoll(poller, 2, wait < 0 ? NULL : &limit, NULL) < 0 &&
            errno != EINTR) {
            fail("poll");
        }
        for (i = 0; i < 2; i++) {
            if (poller[i].revents) {
                read_side(&relay, i);
            }
        }
    }
    fprintf(stderr,
            "relay: %lu passed, %lu lost, %lu doubled, %lu reordered, "
            "%lu failed\n",
            relay.passed, relay.lost, relay.doubled, relay.reordered,
            relay.failed);
    kmr_queue_clear(&relay.queue);
    return 0;
}
