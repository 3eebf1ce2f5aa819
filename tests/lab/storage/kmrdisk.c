/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lab's storage server: an nbdkit plugin that serves one raw file per
 * export and writes down every request that changes it. That log is what the
 * double-run detector reads.
 *
 * A flush costs nothing: this server is never cut off its power in the lab,
 * its page cache stands for an array's battery-backed one.
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#define MAX_NAME 32 /* bytes of an export's name */

static char *folder;
static char *log_path;
static int64_t disk_size = 64 << 20;
static int log_fd = -1;

struct disk {
    int fd;
    char name[MAX_NAME + 1];
    char peer[INET6_ADDRSTRLEN];
};

static void note(const struct disk *disk, const char *op, uint64_t offset,
                 uint32_t count)
{
    struct timespec now;
    char line[160];
    int len;

    clock_gettime(CLOCK_MONOTONIC, &now);
    len = snprintf(line, sizeof(line),
                   "%" PRId64 " %s %s %s %" PRIu64 " %" PRIu32 "\n",
                   (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000,
                   disk->peer, disk->name, op, offset, count);
    /* O_APPEND: one write is one line */
    if (write(log_fd, line, len) != len) {
        nbdkit_error("log: %s", strerror(errno));
        abort(); /* a hole in the log would be a silent pass */
    }
}

static int disk_config(const char *key, const char *value)
{
    if (strcmp(key, "dir") == 0) {
        folder = nbdkit_realpath(value);
        return folder ? 0 : -1;
    }
    if (strcmp(key, "log") == 0) {
        log_path = nbdkit_absolute_path(value);
        return log_path ? 0 : -1;
    }
    if (strcmp(key, "size") == 0) {
        disk_size = nbdkit_parse_size(value);
        return disk_size > 0 ? 0 : -1;
    }
    nbdkit_error("unknown parameter %s", key);
    return -1;
}

static int disk_config_complete(void)
{
    if (!folder || !log_path) {
        nbdkit_error("dir= and log= are needed");
        return -1;
    }
    return 0;
}

static int disk_get_ready(void)
{
    log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log_fd < 0) {
        nbdkit_error("%s: %s", log_path, strerror(errno));
        return -1;
    }
    return 0;
}

static void find_peer(struct disk *disk)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);

    strcpy(disk->peer, "unknown");
    if (nbdkit_peer_name((struct sockaddr *)&address, &len) < 0) {
        return;
    }
    if (address.ss_family == AF_INET) {
        inet_ntop(AF_INET, &((struct sockaddr_in *)&address)->sin_addr,
                  disk->peer, sizeof(disk->peer));
    }
}

static void *disk_open(int readonly)
{
    const char *name = nbdkit_export_name();
    struct disk *disk;
    struct stat st;
    char path[4096];

    if (!name || !*name || strlen(name) > MAX_NAME ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(name)) {
        nbdkit_error("no such export: %s", name ? name : "");
        return NULL;
    }
    disk = calloc(1, sizeof(*disk));
    if (!disk) {
        nbdkit_error("out of memory");
        return NULL;
    }
    strcpy(disk->name, name);
    find_peer(disk);
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    disk->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (disk->fd < 0 || fstat(disk->fd, &st) < 0 ||
        (st.st_size == 0 && ftruncate(disk->fd, disk_size) < 0)) {
        nbdkit_error("%s: %s", path, strerror(errno));
        if (disk->fd >= 0) {
            close(disk->fd);
        }
        free(disk);
        return NULL;
    }
    note(disk, "open", 0, readonly);
    return disk;
}

static void disk_close(void *handle)
{
    struct disk *disk = handle;

    note(disk, "close", 0, 0);
    close(disk->fd);
    free(disk);
}

static int64_t disk_get_size(void *handle)
{
    struct disk *disk = handle;
    struct stat st;

    if (fstat(disk->fd, &st) < 0) {
        nbdkit_error("fstat: %s", strerror(errno));
        return -1;
    }
    return st.st_size;
}

static int disk_can_multi_conn(void *handle)
{
    (void)handle;
    return 1;
}

static int disk_can_fua(void *handle)
{
    (void)handle;
    return NBDKIT_FUA_NATIVE;
}

static int disk_pread(void *handle, void *buf, uint32_t count, uint64_t offset,
                      uint32_t flags)
{
    struct disk *disk = handle;
    char *to = buf;

    (void)flags;
    while (count > 0) {
        ssize_t n = pread(disk->fd, to, count, offset);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            nbdkit_error("pread: %s", n ? strerror(errno) : "end of file");
            return -1;
        }
        to += n;
        offset += n;
        count -= n;
    }
    return 0;
}

static int disk_pwrite(void *handle, const void *buf, uint32_t count,
                       uint64_t offset, uint32_t flags)
{
    struct disk *disk = handle;
    const char *from = buf;

    note(disk, flags & NBDKIT_FLAG_FUA ? "write-fua" : "write", offset, count);
    while (count > 0) {
        ssize_t n = pwrite(disk->fd, from, count, offset);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            nbdkit_error("pwrite: %s", strerror(errno));
            return -1;
        }
        from += n;
        offset += n;
        count -= n;
    }
    return 0;
}

static int disk_flush(void *handle, uint32_t flags)
{
    (void)flags;
    note(handle, "flush", 0, 0);
    return 0;
}

/* clang-format off */
static struct nbdkit_plugin plugin = {
    .name            = "kmrdisk",
    .version         = "1",
    .longname        = "Kemari's lab: raw files, with a log of writes",
    .config          = disk_config,
    .config_complete = disk_config_complete,
    .config_help     = "dir=FOLDER log=FILE [size=SIZE]",
    .get_ready       = disk_get_ready,
    .open            = disk_open,
    .close           = disk_close,
    .get_size        = disk_get_size,
    .can_multi_conn  = disk_can_multi_conn,
    .can_fua         = disk_can_fua,
    .pread           = disk_pread,
    .pwrite          = disk_pwrite,
    .flush           = disk_flush,
};
/* clang-format on */

NBDKIT_REGISTER_PLUGIN(plugin)
