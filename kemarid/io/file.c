/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_all(int fd, const char *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, buf, len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        buf += n;
        len -= (size_t)n;
    }
    return 0;
}

static int sync_folder(const char *path)
{
    char copy[PATH_MAX];
    int fd, err = 0;

    snprintf(copy, sizeof(copy), "%s", path);
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    if (fsync(fd) < 0) {
        err = -errno;
    }
    close(fd);
    return err;
}

int kmr_file_write(const char *path, const void *buf, size_t len, mode_t mode)
{
    char temp[PATH_MAX];
    int fd, err;

    if ((size_t)snprintf(temp, sizeof(temp), "%s.new", path) >= sizeof(temp)) {
        return -ENAMETOOLONG;
    }
    fd =
        open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return -errno;
    }
    err = write_all(fd, buf, len);
    if (err == 0 && fsync(fd) < 0) {
        err = -errno;
    }
    if (close(fd) < 0 && err == 0) {
        err = -errno;
    }
    if (err == 0 && rename(temp, path) < 0) {
        err = -errno;
    }
    if (err < 0) {
        unlink(temp);
        return err;
    }
    return sync_folder(path);
}

int kmr_file_read(const char *path, size_t max, char **ret_buf, size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t len = 0;
    ssize_t n;
    char *buf;

    if (fd < 0) {
        return -errno;
    }
    buf = malloc(max + 2);
    if (!buf) {
        close(fd);
        return -ENOMEM;
    }
    do {
        n = read(fd, buf + len, max + 1 - len);
        len += n > 0 ? (size_t)n : 0;
    } while ((n > 0 && len <= max) || (n < 0 && errno == EINTR));
    n = n < 0 ? -errno : 0;
    close(fd);
    if (n == 0 && len > max) {
        n = -EFBIG;
    }
    if (n < 0) {
        free(buf);
        return (int)n;
    }
    buf[len] = '\0';
    *ret_buf = buf;
    *ret_len = len;
    return 0;
}

int kmr_file_remove(const char *path)
{
    if (unlink(path) < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    return sync_folder(path);
}
