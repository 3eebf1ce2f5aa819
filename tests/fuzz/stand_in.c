/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See stand_in.h and stream.h. */
#include "qemu/osdep.h"

#include <poll.h>
#include <stdarg.h>

#include "stream.h"

struct Error {
    char *text;
};

struct fuzz_stream fuzz_in;
GByteArray *fuzz_sent;
RAMBlock fuzz_blocks[FUZZ_BLOCKS];
const uint8_t *fuzz_packets, *fuzz_packets_end;
static gint64 now_us;

/* xorshift: the same input always gives the same run */
static uint32_t roll(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* ---- errors ---- */

void error_setg(Error **errp, const char *format, ...)
{
    va_list args;

    /* Two errors in one place, or one that nobody asked for: as in QEMU. */
    assert(errp && !*errp);
    *errp = g_new0(Error, 1);
    va_start(args, format);
    (*errp)->text = g_strdup_vprintf(format, args);
    va_end(args);
}

void fuzz_error_free(Error *err)
{
    if (err) {
        g_free(err->text);
        g_free(err);
    }
}

void error_prepend(Error **errp, const char *format, ...)
{
    (void)errp;
    (void)format;
}

void error_propagate(Error **errp, Error *err)
{
    *errp = err;
}

void error_report(const char *format, ...)
{
    (void)format;
}

/* ---- the stream ---- */

static size_t take(void *buf, size_t size)
{
    size_t from = fuzz_in.at, left;

    size = MIN(size, fuzz_in.size + fuzz_in.zeros - from);
    fuzz_in.at += size;
    if (size == 0) {
        return 0; /* a buffer of no bytes may be NULL */
    }
    left = from < fuzz_in.size ? MIN(size, fuzz_in.size - from) : 0;
    if (left > 0) {
        memcpy(buf, fuzz_in.data + from, left);
    }
    memset((uint8_t *)buf + left, 0, size - left);
    return size;
}

size_t qemu_get_buffer(QEMUFile *f, uint8_t *buf, size_t size)
{
    (void)f;
    return take(buf, size);
}

ssize_t qio_channel_readv(QIOChannel *ioc, const struct iovec *iov, size_t n,
                          Error **errp)
{
    size_t most = SIZE_MAX, done = 0;

    (void)ioc;
    if (fuzz_in.trouble && roll(&fuzz_in.trouble) % 64 == 0) {
        error_setg(errp, "reset by the peer");
        return -1;
    }
    if (fuzz_in.blocked) {
        return QIO_CHANNEL_ERR_BLOCK; /* until somebody waits */
    }
    fuzz_in.blocked = fuzz_in.trouble != 0 || fuzz_in.pieces % 2 != 0;
    if (fuzz_in.pieces) {
        /* not so small that a long one takes for ever */
        most = 1 + roll(&fuzz_in.pieces) % 200 + fuzz_in.zeros / 100;
    }
    for (size_t i = 0; i < n && most > 0; i++) {
        size_t want = MIN(iov[i].iov_len, most);
        size_t got = take(iov[i].iov_base, want);

        done += got;
        most -= got;
        if (got < want) {
            break;
        }
    }
    return (ssize_t)done;
}

/* Half of it now and then, and now and then nothing at first. */
ssize_t qio_channel_writev(QIOChannel *ioc, const struct iovec *iov, size_t n,
                           Error **errp)
{
    size_t done = 0;

    (void)ioc;
    (void)errp;
    if (fuzz_in.pieces && roll(&fuzz_in.pieces) % 4 == 0) {
        return QIO_CHANNEL_ERR_BLOCK;
    }
    for (size_t i = 0; i < n; i++) {
        size_t size = iov[i].iov_len;

        if (fuzz_in.pieces && size > 1 && roll(&fuzz_in.pieces) % 4 == 0) {
            size /= 2;
        }
        if (size > 0) {
            g_byte_array_append(fuzz_sent, iov[i].iov_base, (guint)size);
        }
        done += size;
        if (size < iov[i].iov_len) {
            break;
        }
    }
    return (ssize_t)done;
}

/* A signal now and then, and, rarely, a peer that says nothing more. */
int fuzz_poll(struct pollfd *fds, unsigned long n, int timeout_ms)
{
    assert(n == 1 && timeout_ms >= 0);
    if (fds->events == POLLOUT) {
        return 1; /* our own half is in no trouble */
    }
    assert(fds->events == POLLIN);
    fuzz_in.blocked = false;
    if (fuzz_in.trouble) {
        uint32_t what = roll(&fuzz_in.trouble) % 64;

        if (what == 0 || timeout_ms == 0) {
            now_us += timeout_ms * 1000LL;
            return 0;
        }
        if (what < 8) {
            now_us += roll(&fuzz_in.trouble) % (2000u * 1000);
            errno = EINTR;
            return -1;
        }
    }
    fds->revents = POLLIN;
    return 1;
}

gint64 fuzz_time(void)
{
    return now_us;
}

/* ---- memory: ends where a page begins that nobody may touch ---- */

#define GUARD 4096

static size_t whole_pages(size_t size)
{
    return (size + GUARD - 1) / GUARD * GUARD;
}

void *fuzz_mmap(void *at, size_t size, int prot, int flags, int fd, off_t from)
{
    size_t whole = whole_pages(size);
    uint8_t *p = mmap(at, whole + 2 * GUARD, PROT_NONE, flags, fd, from);

    if (p == MAP_FAILED || mprotect(p + GUARD, whole, prot) != 0) {
        return MAP_FAILED;
    }
    return p + GUARD + (whole - size);
}

int fuzz_munmap(void *at, size_t size)
{
    size_t whole = whole_pages(size);

    return munmap((uint8_t *)at - (whole - size) - GUARD, whole + 2 * GUARD);
}

/* ---- network ---- */

NetClientState *qemu_find_netdev(const char *name)
{
    static NetClientState nic, net0 = { .peer = &nic }, bare;

    return strcmp(name, "net0") == 0   ? &net0
           : strcmp(name, "bare") == 0 ? &bare
                                       : NULL;
}

ssize_t qemu_send_packet(NetClientState *nc, const uint8_t *buf, int size)
{
    assert(nc && size >= 0 && size <= NET_BUFSIZE);
    assert(buf >= fuzz_packets && buf + size <= fuzz_packets_end);
    return size;
}

ssize_t qemu_send_packet_raw(NetClientState *nc, const uint8_t *buf, int size)
{
    return qemu_send_packet(nc, buf, size);
}

/* The sender's half of the filter is not run here. */

void qemu_hexdump(FILE *to, const char *prefix, const void *data, size_t len)
{
    (void)to;
    (void)prefix;
    (void)data;
    (void)len;
    abort();
}

bool buffer_is_zero(const void *data, size_t len)
{
    (void)data;
    (void)len;
    abort();
}

void type_register_static(const TypeInfo *info)
{
    (void)info;
    abort();
}

bool netfilter_new_on_queue(const char *type, const char *id,
                            const char *netdev_id, unsigned index, Error **errp)
{
    (void)type;
    (void)id;
    (void)netdev_id;
    (void)index;
    (void)errp;
    abort();
}

void object_unparent(Object *obj)
{
    (void)obj;
    abort();
}

NetClientState *qemu_get_queue(NICState *nic)
{
    (void)nic;
    abort();
}

void qemu_foreach_nic(void (*function)(NICState *nic, void *opaque),
                      void *opaque)
{
    (void)function;
    (void)opaque;
    abort();
}

ssize_t qemu_netfilter_pass_to_next(NetClientState *sender, unsigned flags,
                                    const struct iovec *iov, int n,
                                    void *opaque)
{
    (void)sender;
    (void)flags;
    (void)iov;
    (void)n;
    (void)opaque;
    abort();
}
