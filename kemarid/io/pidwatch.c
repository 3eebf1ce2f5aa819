/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pidwatch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RUN_DIR "/run/libvirt/qemu"
#define CMDLINE_MAX 65536
#define NAME_MAX_LEN 255

struct kmr_pidwatch {
    qb_loop_t *loop;
    struct kmr_proc proc;
    int fd;
    kmr_pidwatch_cb cb;
    void *user;
};

static int sys_pidfd_open(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0u);

    return fd < 0 ? -errno : fd;
}

/* Whole small file into buf, NUL-terminated; length or -errno. */
static ssize_t slurp(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n;

    if (fd < 0) {
        return -errno;
    }
    while (len < size - 1) {
        n = read(fd, buf + len, size - 1 - len);
        if (n < 0) {
            n = -errno;
            close(fd);
            return n;
        }
        if (n == 0) {
            break;
        }
        len += (size_t)n;
    }
    close(fd);
    buf[len] = '\0';
    return (ssize_t)len;
}

/* State letter and start time; -ESRCH when there is no such process. */
static int read_stat(pid_t pid, char *ret_state, uint64_t *ret_start)
{
    char path[64], buf[1024], state;
    unsigned long long start;
    const char *p;
    ssize_t n;

    if (pid <= 0) {
        return -ESRCH;
    }
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    n = slurp(path, buf, sizeof(buf));
    if (n < 0) {
        return n == -ENOENT ? -ESRCH : (int)n;
    }
    p = strrchr(buf, ')'); /* the name before it may hold anything */
    if (!p || sscanf(p + 1,
                     " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u"
                     " %*d %*d %*d %*d %*d %*d %llu",
                     &state, &start) != 2) {
        return -EBADMSG;
    }
    *ret_state = state;
    *ret_start = start;
    return 0;
}

int kmr_proc_read(pid_t pid, struct kmr_proc *ret_proc)
{
    uint64_t start;
    char state;
    int err = read_stat(pid, &state, &start);

    if (err < 0) {
        return err;
    }
    ret_proc->pid = pid;
    ret_proc->start = start;
    return 0;
}

int kmr_proc_alive(const struct kmr_proc *proc)
{
    uint64_t start;
    char state;
    int err = read_stat(proc->pid, &state, &start);

    if (err == -ESRCH) {
        return 0;
    }
    if (err < 0) {
        return err;
    }
    if (start != proc->start) {
        return 0;
    }
    if (state != 'Z' && state != 'X') {
        return 1;
    }
    /* a zombie leader can still have threads that run: ask the pidfd */
    int fd = sys_pidfd_open(proc->pid);

    if (fd < 0) {
        return fd == -ESRCH ? 0 : fd;
    }
    struct pollfd pfd = { .fd = fd, .events = POLLIN };
    int n = poll(&pfd, 1, 0);

    close(fd);
    return n == 0;
}

/* Does an argument after `-name` say guest=NAME, and one after -uuid UUID? */
static bool cmdline_matches(const char *args, size_t len, const char *name,
                            const char *uuid)
{
    bool name_ok = false, uuid_ok = !uuid;
    const char *prev = "";
    char want[NAME_MAX_LEN + 8];
    size_t want_len;

    want_len = (size_t)snprintf(want, sizeof(want), "guest=%s", name);
    for (const char *p = args; p < args + len; p += strlen(p) + 1) {
        if (strcmp(prev, "-name") == 0 && strncmp(p, want, want_len) == 0 &&
            (p[want_len] == '\0' || p[want_len] == ',')) {
            name_ok = true;
        }
        if (uuid && strcmp(prev, "-uuid") == 0 && strcasecmp(p, uuid) == 0) {
            uuid_ok = true;
        }
        prev = p;
    }
    return name_ok && uuid_ok;
}

static int verify_cmdline(pid_t pid, const char *name, const char *uuid)
{
    char path[64];
    char *buf = malloc(CMDLINE_MAX);
    ssize_t n;
    int err;

    if (!buf) {
        return -ENOMEM;
    }
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    n = slurp(path, buf, CMDLINE_MAX);
    if (n < 0) {
        err = n == -ENOENT ? -ESRCH : (int)n;
    } else {
        err = cmdline_matches(buf, (size_t)n, name, uuid) ? 0 : -ESRCH;
    }
    free(buf);
    return err;
}

int kmr_proc_of_domain(const char *rundir, const char *name, const char *uuid,
                       struct kmr_proc *ret_proc)
{
    char path[4096], buf[64], *end;
    struct kmr_proc proc;
    ssize_t n;
    long pid;
    int err;

    if (!*name || strchr(name, '/') || strlen(name) > NAME_MAX_LEN) {
        return -EINVAL;
    }
    if ((size_t)snprintf(path, sizeof(path), "%s/%s.pid",
                         rundir ? rundir : RUN_DIR, name) >= sizeof(path)) {
        return -ENAMETOOLONG;
    }
    n = slurp(path, buf, sizeof(buf));
    if (n < 0) {
        return (int)n;
    }
    errno = 0;
    pid = strtol(buf, &end, 10);
    if (errno || end == buf || (*end && *end != '\n') || pid <= 1 ||
        pid > INT32_MAX) {
        return -EBADMSG;
    }
    /* start time first: if the pid changes hands after it, the start time
     * no longer fits and every later use fails safely */
    err = kmr_proc_read((pid_t)pid, &proc);
    if (err < 0) {
        return err;
    }
    err = verify_cmdline((pid_t)pid, name, uuid);
    if (err < 0) {
        return err;
    }
    *ret_proc = proc;
    return 0;
}

int kmr_proc_open(const struct kmr_proc *proc)
{
    struct kmr_proc now;
    int fd, err;

    if (proc->pid <= 1 || proc->start == 0) {
        return -EINVAL;
    }
    /* Opened first, compared then. */
    fd = sys_pidfd_open(proc->pid);
    if (fd < 0) {
        return fd == -EINVAL ? -ESRCH : fd;
    }
    err = kmr_proc_read(proc->pid, &now);
    if (err == 0 && now.start != proc->start) {
        err = -ESRCH;
    }
    if (err < 0) {
        close(fd);
        return err;
    }
    return fd;
}

int kmr_proc_kill(const struct kmr_proc *proc)
{
    int fd = kmr_proc_open(proc);
    int err = 0;

    if (fd < 0) {
        return fd;
    }
    if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0u) < 0) {
        err = -errno;
    }
    close(fd);
    return err;
}

static int32_t dead(int32_t fd, int32_t revents, void *data)
{
    struct kmr_pidwatch *watch = data;
    struct kmr_proc proc = watch->proc;
    kmr_pidwatch_cb cb = watch->cb;
    void *user = watch->user;

    (void)fd;
    (void)revents;
    kmr_pidwatch_stop(watch);
    cb(&proc, user);
    return 0;
}

int kmr_pidwatch_start(qb_loop_t *loop, const struct kmr_proc *proc,
                       kmr_pidwatch_cb cb, void *user,
                       struct kmr_pidwatch **ret_watch)
{
    struct kmr_pidwatch *watch;
    int fd = kmr_proc_open(proc);
    int err;

    if (fd < 0) {
        return fd;
    }
    watch = calloc(1, sizeof(*watch));
    if (!watch) {
        close(fd);
        return -ENOMEM;
    }
    watch->loop = loop;
    watch->proc = *proc;
    watch->fd = fd;
    watch->cb = cb;
    watch->user = user;
    err = qb_loop_poll_add(loop, QB_LOOP_HIGH, fd, POLLIN, watch, dead);
    if (err < 0) {
        close(fd);
        free(watch);
        return err;
    }
    *ret_watch = watch;
    return 0;
}

void kmr_pidwatch_stop(struct kmr_pidwatch *watch)
{
    if (!watch) {
        return;
    }
    qb_loop_poll_del(watch->loop, watch->fd);
    close(watch->fd);
    free(watch);
}
