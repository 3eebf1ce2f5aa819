/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io/taps.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <qb/qblog.h>

#define FRAME_MAX 9216 /* a jumbo frame's; larger ones are the host's own */
#define VNET_MAX 64    /* of a header; today's have 10 to 20 */
#define STALE_MAX 4096 /* frames: a tap's queue holds 500 to 1000 */
#define ROUND_MAX 256  /* frames looked at before others have their turn */

/*
 * A frame in a blob: the card, u16 length of what follows (big-endian), the
 * virtio header of the kernel (checksums to be made), the frame. libvirt
 * gives a tap its guest's MAC address, but for the first byte.
 */
#define CARD_LEN (ETH_ALEN - 1)
#define VNET_LEN sizeof(struct virtio_net_hdr)
#define HEAD_LEN (CARD_LEN + 2)
#define TAKEN_MAX (HEAD_LEN + VNET_LEN + FRAME_MAX)

struct tap {
    struct kmr_taps *taps;
    int fd;
    char name[IFNAMSIZ];
    bool has_vnet; /* a header before each frame */
    uint8_t card[CARD_LEN];
    bool polled;
};

struct kmr_taps {
    qb_loop_t *loop;
    kmr_taps_cb cb; /* NULL: not passed on */
    void *user;
    size_t passed; /* bytes */
    int out;       /* into the guest; -1: not needed so far */
    unsigned count;
    struct tap tap[KMR_TAPS_MAX];
};

/* ---- sharing them ---- */

static bool is_tap(int dir, const char *name)
{
    char target[32];
    ssize_t len = readlinkat(dir, name, target, sizeof(target) - 1);

    if (len < 0) {
        return false;
    }
    target[len] = '\0';
    return strcmp(target, "/dev/net/tun") == 0;
}

static bool describe(struct tap *tap)
{
    struct ifreq request;
    int flags = fcntl(tap->fd, F_GETFL);

    memset(&request, 0, sizeof(request));
    /* A read that blocks would be ours, in the loop. */
    if (flags < 0 || !(flags & O_NONBLOCK) ||
        ioctl(tap->fd, TUNGETIFF, &request) < 0 ||
        !(request.ifr_flags & IFF_TAP)) {
        return false;
    }
    memcpy(tap->name, request.ifr_name, IFNAMSIZ);
    tap->name[IFNAMSIZ - 1] = '\0';
    tap->has_vnet = (request.ifr_flags & IFF_VNET_HDR) != 0;
    /* Of a tap this ioctl reads the interface. */
    if (ioctl(tap->fd, SIOCGIFHWADDR, &request) < 0) {
        return false;
    }
    memcpy(tap->card, (uint8_t *)request.ifr_hwaddr.sa_data + 1, CARD_LEN);
    return true;
}

static void share(struct kmr_taps *taps, int pidfd, int number)
{
    struct tap *tap = &taps->tap[taps->count];

    memset(tap, 0, sizeof(*tap));
    tap->taps = taps;
    tap->fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0u);
    if (tap->fd < 0) {
        return; /* closed meanwhile */
    }
    if (describe(tap)) {
        taps->count++;
    } else {
        close(tap->fd);
    }
}

int kmr_taps_open(qb_loop_t *loop, const struct kmr_proc *proc,
                  struct kmr_taps **ret_taps)
{
    struct kmr_taps *taps;
    struct dirent *entry;
    char path[64];
    DIR *dir;
    int pidfd = kmr_proc_open(proc);

    if (pidfd < 0) {
        return pidfd;
    }
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)proc->pid);
    dir = opendir(path);
    taps = calloc(1, sizeof(*taps));
    if (!dir || !taps) {
        int err = taps ? -errno : -ENOMEM;

        if (dir) {
            closedir(dir);
        }
        free(taps);
        close(pidfd);
        return err;
    }
    taps->loop = loop;
    taps->out = -1;
    while (taps->count < KMR_TAPS_MAX && (entry = readdir(dir))) {
        if (is_tap(dirfd(dir), entry->d_name)) {
            share(taps, pidfd, atoi(entry->d_name));
        }
    }
    closedir(dir);
    close(pidfd);
    *ret_taps = taps;
    return 0;
}

void kmr_taps_close(struct kmr_taps *taps)
{
    if (!taps) {
        return;
    }
    kmr_taps_keep(taps);
    for (unsigned i = 0; i < taps->count; i++) {
        close(taps->tap[i].fd);
    }
    if (taps->out >= 0) {
        close(taps->out);
    }
    free(taps);
}

bool kmr_taps_are_named(const struct kmr_taps *taps)
{
    for (unsigned i = 0; i < taps->count; i++) {
        if (strncmp(taps->tap[i].name, "vnet", 4) != 0) {
            return true;
        }
    }
    return false;
}

/* ---- out of the old one ---- */

/* Of the header; the guest's driver has a say in it, at any time. */
static int vnet_len(const struct tap *tap)
{
    int len = 0;

    if (tap->has_vnet && ioctl(tap->fd, TUNGETVNETHDRSZ, &len) < 0) {
        return -1;
    }
    return len;
}

/* One frame as it goes into a blob; 0: nothing more, -1: not to be kept. */
static int take(struct tap *tap, int vnet, uint8_t *out)
{
    uint8_t buf[VNET_MAX + FRAME_MAX + 1];
    ssize_t len = read(tap->fd, buf, sizeof(buf));
    const uint8_t *frame;
    size_t size;

    if (len <= 0) {
        return 0;
    }
    if (vnet < 0 || vnet > VNET_MAX || len < vnet + ETH_HLEN ||
        len > vnet + FRAME_MAX) {
        return -1;
    }
    /* The guest's own address: its first byte is not the tap's. */
    frame = buf + vnet;
    if ((frame[0] & 1) || memcmp(frame + 1, tap->card, CARD_LEN) != 0) {
        return -1;
    }
    size = (size_t)(len - vnet);
    memcpy(out, tap->card, CARD_LEN);
    out[CARD_LEN] = (uint8_t)((VNET_LEN + size) >> 8);
    out[CARD_LEN + 1] = (uint8_t)(VNET_LEN + size);
    memset(out + HEAD_LEN, 0, VNET_LEN);
    if (vnet >= (int)VNET_LEN) {
        memcpy(out + HEAD_LEN, buf, VNET_LEN);
    }
    memcpy(out + HEAD_LEN + VNET_LEN, frame, size);
    return (int)(HEAD_LEN + VNET_LEN + size);
}

static void pass(struct tap *tap)
{
    uint8_t blob[KMR_TAPS_BLOB];
    struct kmr_taps *taps = tap->taps;
    size_t len = 0;
    int vnet = vnet_len(tap);
    int got = 1;

    /* What is not kept, as broadcasts, may come for as long as we read. */
    for (unsigned n = 0;
         n < ROUND_MAX && got != 0 && taps->passed < KMR_TAPS_BYTES_MAX &&
         len + TAKEN_MAX <= sizeof(blob);
         n++) {
        got = take(tap, vnet, blob + len);
        if (got > 0) {
            len += (size_t)got;
            taps->passed += (size_t)got;
        }
    }
    if (len != 0) {
        taps->cb(blob, len, taps->user);
    }
}

static void forget(struct tap *tap)
{
    if (tap->polled) {
        qb_loop_poll_del(tap->taps->loop, tap->fd);
        tap->polled = false;
    }
}

static int32_t readable(int32_t fd, int32_t revents, void *data)
{
    struct tap *tap = data;

    (void)fd;
    if ((revents & POLLIN) && tap->taps->passed < KMR_TAPS_BYTES_MAX) {
        pass(tap);
    } else {
        /* Not by returning -1: that leaves it in the epoll set, and libqb
         * then sleeps 100 ms each time it hears of it. */
        forget(tap);
    }
    return 0;
}

void kmr_taps_pass_on(struct kmr_taps *taps, kmr_taps_cb cb, void *user)
{
    taps->cb = cb;
    taps->user = user;
    for (unsigned i = 0; i < taps->count; i++) {
        struct tap *tap = &taps->tap[i];

        if (!tap->polled) {
            tap->polled = qb_loop_poll_add(taps->loop, QB_LOOP_HIGH, tap->fd,
                                           POLLIN, tap, readable) == 0;
        }
    }
}

void kmr_taps_keep(struct kmr_taps *taps)
{
    for (unsigned i = 0; i < taps->count; i++) {
        forget(&taps->tap[i]);
    }
    taps->cb = NULL;
    taps->passed = 0;
}

/* ---- into the new one ---- */

static void *flush_bridge(void *data)
{
    char *path = data;
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    /* No bridge of the kernel's, no matter: the client asks again. */
    if (fd >= 0) {
        (void)!write(fd, "1", 1);
        close(fd);
    }
    free(path);
    return NULL;
}

/* In a thread: the kernel's lock of the network can be held for long. */
static void forget_place(const struct tap *tap)
{
    pthread_attr_t attr;
    pthread_t thread;
    char *path;

    if (asprintf(&path, "/sys/class/net/%s/master/bridge/flush", tap->name) <
        0) {
        return;
    }
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attr, flush_bridge, path) != 0) {
        free(path);
    }
    pthread_attr_destroy(&attr);
}

void kmr_taps_expect(struct kmr_taps *taps)
{
    uint8_t stale[TAKEN_MAX];

    for (unsigned i = 0; i < taps->count; i++) {
        for (unsigned n = 0; n < STALE_MAX; n++) {
            /* dropped, so how long its header is does not matter */
            if (take(&taps->tap[i], 0, stale) == 0) {
                break;
            }
        }
        forget_place(&taps->tap[i]);
    }
}

static const struct tap *card_of(const struct kmr_taps *taps,
                                 const uint8_t *card)
{
    for (unsigned i = 0; i < taps->count; i++) {
        if (memcmp(taps->tap[i].card, card, CARD_LEN) == 0) {
            return &taps->tap[i];
        }
    }
    return NULL;
}

/* Kept: closing one takes the kernel milliseconds. */
static bool open_out(struct kmr_taps *taps)
{
    int on = 1;

    if (taps->out >= 0) {
        return true;
    }
    taps->out = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (taps->out >= 0 && setsockopt(taps->out, SOL_PACKET, PACKET_VNET_HDR,
                                     &on, sizeof(on)) == 0) {
        return true;
    }
    qb_log(LOG_WARNING, "can't put frames into a guest: %s", strerror(errno));
    if (taps->out >= 0) {
        close(taps->out);
        taps->out = -1;
    }
    return false;
}

unsigned kmr_taps_put(struct kmr_taps *taps, const uint8_t *blob, size_t len)
{
    unsigned done = 0;

    if (!open_out(taps)) {
        return 0;
    }
    while (len >= HEAD_LEN) {
        const struct tap *tap = card_of(taps, blob);
        size_t size = (size_t)blob[CARD_LEN] << 8 | blob[CARD_LEN + 1];
        struct sockaddr_ll to = { .sll_family = AF_PACKET,
                                  .sll_halen = ETH_ALEN };

        if (size > len - HEAD_LEN || size < VNET_LEN + ETH_HLEN) {
            break;
        }
        if (tap) {
            to.sll_ifindex = (int)if_nametoindex(tap->name);
            done += sendto(taps->out, blob + HEAD_LEN, size, 0,
                           (struct sockaddr *)&to, sizeof(to)) > 0;
        }
        blob += HEAD_LEN + size;
        len -= HEAD_LEN + size;
    }
    return done;
}
