/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_FUZZ_STAND_IN_H
#define KMR_FUZZ_STAND_IN_H

/*
 * What migration/kemari-stream.c and net/filter-kemari.c use of QEMU and that
 * can't be had without the rest of it. tests/fuzz/run puts this file, behind
 * QEMU's compiler.h, in place of each of those headers; byte order, vectors
 * and UUIDs are QEMU's own.
 *
 * Pages have 64 bytes here, so that short inputs have many of them.
 */

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>
#include <glib.h>

#define coroutine_fn
#define HOST_BIG_ENDIAN (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
#undef ARRAY_SIZE
#define ARRAY_SIZE(x) (sizeof(x) / sizeof((x)[0]))

/* ---- errors ---- */

typedef struct Error Error;
void error_setg(Error **errp, const char *format, ...) G_GNUC_PRINTF(2, 3);
void error_prepend(Error **errp, const char *format, ...) G_GNUC_PRINTF(2, 3);
void error_propagate(Error **errp, Error *err);
void error_report(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* ---- the stream: an input of the fuzzer ---- */

typedef struct QIOChannel {
    int fd;
} QIOChannel;
typedef QIOChannel QIOChannelSocket;
typedef struct QIOChannelTLS {
    QIOChannel *master;
} QIOChannelTLS;
typedef struct QEMUFile QEMUFile;
#define QIO_CHANNEL_ERR_BLOCK (-2)
#define TYPE_QIO_CHANNEL_SOCKET "socket"
#define TYPE_QIO_CHANNEL_TLS "tls"
#define object_dynamic_cast(obj, type) ((type)[0] == 's' ? (obj) : NULL)
#define qio_channel_set_blocking(ioc, enabled, errp) 0
#define qio_channel_set_delay(ioc, enabled) ((void)(ioc))
ssize_t qio_channel_readv(QIOChannel *ioc, const struct iovec *iov, size_t n,
                          Error **errp);
ssize_t qio_channel_writev(QIOChannel *ioc, const struct iovec *iov, size_t n,
                           Error **errp);
size_t qemu_get_buffer(QEMUFile *f, uint8_t *buf, size_t size);

/* The engine's sources are compiled with these names defined to ours. */
struct pollfd;
int fuzz_poll(struct pollfd *fds, unsigned long n, int timeout_ms);
gint64 fuzz_time(void);
void *fuzz_mmap(void *at, size_t size, int prot, int flags, int fd, off_t from);
int fuzz_munmap(void *at, size_t size);

/* ---- memory of the VM ---- */

typedef struct RAMBlock {
    uint8_t *host;
    uint64_t used_length, max_length;
    char idstr[256];
    bool ignored;
} RAMBlock;
#define FUZZ_BLOCKS 3
extern RAMBlock fuzz_blocks[FUZZ_BLOCKS];
#define RAMBLOCK_FOREACH_NOT_IGNORED(rb)                         \
    for (rb = fuzz_blocks; rb < fuzz_blocks + FUZZ_BLOCKS; rb++) \
        if (rb->ignored) {                                       \
        } else
#define RCU_READ_LOCK_GUARD() ((void)0)
#define WITH_RCU_READ_LOCK_GUARD()

static inline size_t qemu_target_page_size(void)
{
    return 64;
}

#define sizeof_field(type, field) sizeof(((type *)0)->field)
#define qemu_isprint(c) ((unsigned char)(c) >= 32 && (unsigned char)(c) < 127)
#define QEMU_VERSION_MAJOR 10
#define QEMU_VERSION_MINOR 0

static inline void pstrcpy(char *buf, int size, const char *text)
{
    g_strlcpy(buf, text, (gsize)size);
}

/* of iov.c, in functions that are not called */
void qemu_hexdump(FILE *to, const char *prefix, const void *data, size_t len);
bool buffer_is_zero(const void *data, size_t len);

/* ---- the rest of the engine ---- */

typedef int KemariRole;
typedef int KemariState;
typedef int KemariReason;
typedef struct BlockBackend BlockBackend;
#define KEMARI_REASON__MAX 1
typedef struct Stat64 {
    uint64_t value;
} Stat64;
typedef int KemariOverloadPolicy;
#define qatomic_set(at, value) (*(at) = (value))
struct MigrationState;
struct MigrationIncomingState;

/* ---- network ---- */

typedef struct Object Object;
typedef struct ObjectClass ObjectClass;
typedef struct NetClientState NetClientState;
typedef struct NetFilterState NetFilterState;
typedef void NetPacketSent(NetClientState *sender, ssize_t result);
struct NetClientState {
    char *name;
    NetClientState *peer;
};
typedef struct NICConf {
    struct {
        int queues;
    } peers;
} NICConf;
typedef struct NICState {
    NetClientState *ncs;
    NICConf *conf;
} NICState;
struct NetFilterState {
    char *netdev_id;
};
typedef struct UserCreatable UserCreatable;
typedef struct UserCreatableClass {
    bool (*can_be_deleted)(UserCreatable *uc);
} UserCreatableClass;
#define USER_CREATABLE_CLASS(oc) ((UserCreatableClass *)(oc))
typedef struct NetFilterClass {
    void (*setup)(NetFilterState *nf, Error **errp);
    void (*cleanup)(NetFilterState *nf);
    bool (*may_change)(NetFilterState *nf, Error **errp);
    ssize_t (*receive_iov)(NetFilterState *nf, NetClientState *sender,
                           unsigned flags, const struct iovec *iov, int n,
                           NetPacketSent *sent_cb);
    bool per_queue;
} NetFilterClass;
typedef struct TypeInfo {
    const char *name, *parent;
    void (*class_init)(ObjectClass *oc, void *data);
    size_t instance_size;
} TypeInfo;
#define TYPE_NETFILTER "netfilter"
#define NETFILTER(obj) ((NetFilterState *)(obj))
#define NETFILTER_CLASS(oc) ((NetFilterClass *)(oc))
#define OBJECT(obj) ((Object *)(obj))
#define OBJECT_DECLARE_SIMPLE_TYPE(name, NAME) \
    typedef struct name name;                  \
    static inline name *NAME(const void *obj)  \
    {                                          \
        return (name *)(uintptr_t)obj;         \
    }
#define type_init(function)         \
    void fuzz_use_##function(void); \
    void fuzz_use_##function(void)  \
    {                               \
        function();                 \
    }
void type_register_static(const TypeInfo *info);
bool netfilter_new_on_queue(const char *type, const char *id,
                            const char *netdev_id, unsigned index,
                            Error **errp);
void object_unparent(Object *obj);
NetClientState *qemu_get_queue(NICState *nic);
void qemu_foreach_nic(void (*function)(NICState *nic, void *opaque),
                      void *opaque);
NetClientState *qemu_find_netdev(const char *name);
ssize_t qemu_netfilter_pass_to_next(NetClientState *sender, unsigned flags,
                                    const struct iovec *iov, int n,
                                    void *opaque);
ssize_t qemu_send_packet(NetClientState *nc, const uint8_t *buf, int size);
ssize_t qemu_send_packet_raw(NetClientState *nc, const uint8_t *buf, int size);
#define QEMU_NET_PACKET_FLAG_RAW (1 << 0)
#define NET_BUFSIZE (4096 + 65536)
#define trace_filter_kemari_hold(id, epoch, size) ((void)(id))
#define trace_filter_kemari_resend(name, size) ((void)(name))

#endif
