/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * record PORT FILE: writes the head of every frame on an interface to a pcap
 * file with nanoseconds. Its clock is CLOCK_MONOTONIC, so that the record can
 * be laid beside the other logs of the lab.
 *
 * Only what comes out of the node is kept by default (a frame that the
 * switch sends to it is in the record of the port it came from).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SNAP 256 /* bytes kept of a frame */
#define SOCKET_BUFFER (8 << 20)

static volatile sig_atomic_t ending;

struct pcap_header {
    uint32_t magic;
    uint16_t major, minor;
    int32_t zone;
    uint32_t figures, snap, network;
};

struct pcap_frame {
    uint32_t sec, nsec, kept, len;
};

static void on_signal(int number)
{
    (void)number;
    ending = 1;
}

static void fail(const char *what)
{
    fprintf(stderr, "record: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int open_port(const char *name)
{
    struct sockaddr_ll address = { .sll_family = AF_PACKET };
    int on = 1;
    int size = SOCKET_BUFFER;
    int fd;

    address.sll_ifindex = if_nametoindex(name);
    address.sll_protocol = htons(ETH_P_ALL);
    if (!address.sll_ifindex) {
        fail(name);
    }
    /* no protocol until it is bound: nothing of other ports comes in */
    fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) ||
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) ||
        bind(fd, (struct sockaddr *)&address, sizeof(address))) {
        fail("packet socket");
    }
    return fd;
}

static int open_file(const char *path)
{
    struct pcap_header header = { 0xa1b23c4d, 2, 4, 0, 0, SNAP, 1 };
    struct stat st;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

    if (fd < 0 || fstat(fd, &st) < 0) {
        fail(path);
    }
    /* a node that boots again goes on with its file */
    if (st.st_size == 0 &&
        write(fd, &header, sizeof(header)) != sizeof(header)) {
        fail(path);
    }
    return fd;
}

static void keep(int file, const uint8_t *frame, size_t len, int64_t ns)
{
    uint8_t out[sizeof(struct pcap_frame) + SNAP];
    struct pcap_frame head = {
        .sec = ns / 1000000000,
        .nsec = ns % 1000000000,
        .kept = len < SNAP ? len : SNAP,
        .len = len,
    };

    memcpy(out, &head, sizeof(head));
    memcpy(out + sizeof(head), frame, head.kept);
    if (write(file, out, sizeof(head) + head.kept) !=
        (ssize_t)(sizeof(head) + head.kept)) {
        fail("write");
    }
}

/* Returns false when there is nothing to read now. */
static int take(int port, int file)
{
    uint8_t frame[SNAP];
    char control[128];
    struct iovec iov = { frame, sizeof(frame) };
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    ssize_t len = recvmsg(port, &msg, MSG_DONTWAIT | MSG_TRUNC);
    struct cmsghdr *cmsg;
    int64_t ns = clock_ns(CLOCK_REALTIME);

    if (len < 0) {
        /* the port is down, or gone with its node */
        return errno == EINTR || errno == ENETDOWN;
    }
    for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
        if (cmsg->cmsg_level == SOL_SOCKET &&
            cmsg->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec stamp;

            memcpy(&stamp, CMSG_DATA(cmsg), sizeof(stamp));
            ns = (int64_t)stamp.tv_sec * 1000000000 + stamp.tv_nsec;
        }
    }
    keep(file, frame, len,
         ns - clock_ns(CLOCK_REALTIME) + clock_ns(CLOCK_MONOTONIC));
    return 1;
}

static unsigned int dropped(int port)
{
    struct tpacket_stats stats = { 0 };
    socklen_t len = sizeof(stats);

    getsockopt(port, SOL_PACKET, PACKET_STATISTICS, &stats, &len);
    return stats.tp_drops;
}

int main(int argc, char **argv)
{
    struct sigaction action = { .sa_handler = on_signal };
    struct pollfd poller = { .events = POLLIN };
    unsigned int lost;
    int file;

    if (argc != 3) {
        fprintf(stderr, "usage: record PORT FILE\n");
        return 2;
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    poller.fd = open_port(argv[1]);
    file = open_file(argv[2]);
    while (!ending) {
        if (poll(&poller, 1, 1000) < 0 && errno != EINTR) {
            fail("poll");
        }
        while (take(poller.fd, file)) {
        }
        lost = dropped(poller.fd);
        if (lost) {
            /* the detector looks for this line */
            fprintf(stderr, "record: %u frames lost\n", lost);
        }
    }
    return 0;
}
