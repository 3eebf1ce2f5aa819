/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define INPUT_MAX 4096 /* fits a pipe without blocking */
#define ENV_MAX 64

extern char **environ;

struct sink {
    int fd; /* -1: closed */
    char *buf;
    size_t len;
};

struct kmr_child {
    qb_loop_t *loop;
    pid_t pid;
    int pidfd;
    struct sink out, err;
    size_t out_max;
    bool truncated, timed_out, cancelled;
    uint64_t started_ms;
    qb_loop_timer_handle timer;
    bool timer_set;
    kmr_child_cb cb;
    void *user;
};

static unsigned alive;

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

unsigned kmr_child_count(void)
{
    return alive;
}

static void sink_close(struct kmr_child *child, struct sink *sink)
{
    if (sink->fd >= 0) {
        qb_loop_poll_del(child->loop, sink->fd);
        close(sink->fd);
        sink->fd = -1;
    }
}

/* Reads what is there, at most one buffer's worth: 1, 0 at the end, -errno. */
static int sink_read(struct kmr_child *child, struct sink *sink)
{
    char tmp[8192];
    ssize_t n = read(sink->fd, tmp, sizeof(tmp));
    size_t room;

    if (n <= 0) {
        return n < 0 ? -errno : 0;
    }
    room = child->out_max - sink->len;
    if ((size_t)n > room) {
        n = (ssize_t)room;
        child->truncated = true;
    }
    memcpy(sink->buf + sink->len, tmp, (size_t)n);
    sink->len += (size_t)n;
    return 1;
}

static int32_t readable(int32_t fd, int32_t revents, void *data)
{
    struct kmr_child *child = data;
    struct sink *sink = fd == child->out.fd ? &child->out : &child->err;
    int rc;

    (void)revents;
    rc = sink_read(child, sink);
    if (rc <= 0 && rc != -EAGAIN && rc != -EINTR) {
        sink_close(child, sink);
    }
    return 0;
}

static void child_free(struct kmr_child *child)
{
    sink_close(child, &child->out);
    sink_close(child, &child->err);
    if (child->timer_set) {
        qb_loop_timer_del(child->loop, child->timer);
    }
    if (child->pidfd >= 0) {
        qb_loop_poll_del(child->loop, child->pidfd);
        close(child->pidfd);
    }
    free(child->out.buf);
    free(child->err.buf);
    free(child);
}

/* Not yet waited for, so the group id can't have been used again. */
static void kill_group(struct kmr_child *child)
{
    kill(-child->pid, SIGKILL);
}

static void expired(void *data)
{
    struct kmr_child *child = data;

    child->timer_set = false;
    child->timed_out = true;
    kill_group(child);
}

/* What the pipe still holds. A grandchild that keeps it open and writes on
 * must not keep us here: the bound is the pipe's size. */
static void drain(struct kmr_child *child, struct sink *sink)
{
    for (int i = 0; i < 16 && sink->fd >= 0; i++) {
        if (sink_read(child, sink) <= 0) {
            break;
        }
    }
}

static void finish(struct kmr_child *child, const siginfo_t *info)
{
    struct kmr_child_result res = { 0 };

    drain(child, &child->out);
    drain(child, &child->err);
    child->out.buf[child->out.len] = '\0';
    while (child->err.len && child->err.buf[child->err.len - 1] == '\n') {
        child->err.len--;
    }
    child->err.buf[child->err.len] = '\0';
    if (child->timed_out) {
        res.end = KMR_CHILD_TIMEOUT;
    } else if (info->si_code == CLD_EXITED) {
        res.end = KMR_CHILD_EXITED;
        res.code = info->si_status;
    } else {
        res.end = KMR_CHILD_SIGNALED;
        res.code = info->si_status;
    }
    res.out = child->out.buf;
    res.out_len = child->out.len;
    res.err = child->err.buf;
    res.err_len = child->err.len;
    res.truncated = child->truncated;
    res.took_ms = (uint32_t)(now_ms() - child->started_ms);
    child->cb(&res, child->user);
}

static int32_t ended(int32_t fd, int32_t revents, void *data)
{
    struct kmr_child *child = data;
    siginfo_t info = { 0 };

    (void)fd;
    (void)revents;
    /* while the leader is an unreaped zombie its group can be killed safely:
     * nothing that it started outlives it */
    kill_group(child);
    if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG) < 0) {
        info.si_code = CLD_KILLED; /* someone else reaped it */
    } else if (info.si_pid == 0) {
        return 0; /* not yet */
    }
    alive--;
    if (!child->cancelled) {
        finish(child, &info);
    }
    child_free(child);
    return 0;
}

static char **make_env(const char *const *extra)
{
    size_t n = 0, m = 0, i = 0;
    char **env;

    while (environ && environ[n]) {
        n++;
    }
    while (extra && extra[m] && m < ENV_MAX) {
        m++;
    }
    env = calloc(n + m + 1, sizeof(*env));
    if (!env) {
        return NULL;
    }
    for (size_t k = 0; k < m; k++) {
        env[i++] = (char *)extra[k];
    }
    for (size_t k = 0; k < n; k++) {
        const char *eq = strchr(environ[k], '=');
        bool shadowed = false;

        for (size_t j = 0; eq && j < m; j++) {
            if (strncmp(environ[k], extra[j], (size_t)(eq - environ[k]) + 1) ==
                0) {
                shadowed = true;
            }
        }
        if (!shadowed) {
            env[i++] = environ[k];
        }
    }
    return env;
}

static int spawn(const struct kmr_child_spec *spec, int in, int out, int err,
                 pid_t *ret_pid)
{
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t at;
    sigset_t none, all;
    char **env = make_env(spec->env);
    int rc;

    if (!env) {
        return -ENOMEM;
    }
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&fa);
    posix_spawnattr_init(&at);
    posix_spawn_file_actions_adddup2(&fa, in, 0);
    posix_spawn_file_actions_adddup2(&fa, out, 1);
    posix_spawn_file_actions_adddup2(&fa, err, 2);
    posix_spawn_file_actions_addclosefrom_np(&fa, 3);
    posix_spawnattr_setflags(&at, POSIX_SPAWN_SETPGROUP |
                                      POSIX_SPAWN_SETSIGMASK |
                                      POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&at, 0);
    posix_spawnattr_setsigmask(&at, &none);
    posix_spawnattr_setsigdefault(&at, &all);
    rc = posix_spawnp(ret_pid, spec->argv[0], &fa, &at,
                      (char *const *)spec->argv, env);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&at);
    free(env);
    if (rc == 0) {
        /* The daemon's own priority is for decisions. */
        setpriority(PRIO_PROCESS, (id_t)*ret_pid, KMR_CHILD_NICE);
    }
    return -rc;
}

/* stdin of the child: the input in a pipe, or nothing at all. */
static int make_stdin(const struct kmr_child_spec *spec)
{
    int p[2], fd;

    if (!spec->input_len) {
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
    }
    if (pipe2(p, O_CLOEXEC) < 0) {
        return -errno;
    }
    if (write(p[1], spec->input, spec->input_len) != (ssize_t)spec->input_len) {
        close(p[0]);
        close(p[1]);
        return -EIO;
    }
    close(p[1]);
    return p[0];
}

static int sink_open(struct kmr_child *child, struct sink *sink, int *ret_w)
{
    int p[2];

    sink->buf = malloc(child->out_max + 1);
    if (!sink->buf) {
        return -ENOMEM;
    }
    if (pipe2(p, O_CLOEXEC) < 0) {
        return -errno;
    }
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    sink->fd = p[0];
    *ret_w = p[1];
    return qb_loop_poll_add(child->loop, QB_LOOP_MED, sink->fd, POLLIN, child,
                            readable);
}

int kmr_child_start(qb_loop_t *loop, const struct kmr_child_spec *spec,
                    kmr_child_cb cb, void *user, struct kmr_child **ret_child)
{
    struct kmr_child *child;
    int in = -1, out_w = -1, err_w = -1, err;

    if (!spec->argv || !spec->argv[0] || spec->input_len > INPUT_MAX ||
        spec->out_max > KMR_CHILD_OUTPUT_MAX || spec->timeout_ms == 0 ||
        spec->timeout_ms > KMR_CHILD_DEADLINE_MAX_MS) {
        return -EINVAL;
    }
    if (alive >= KMR_CHILD_MAX) {
        return -EAGAIN;
    }
    child = calloc(1, sizeof(*child));
    if (!child) {
        return -ENOMEM;
    }
    child->loop = loop;
    child->pidfd = child->out.fd = child->err.fd = -1;
    child->out_max = spec->out_max;
    child->cb = cb;
    child->user = user;
    child->started_ms = now_ms();

    err = sink_open(child, &child->out, &out_w);
    if (err == 0) {
        err = sink_open(child, &child->err, &err_w);
    }
    if (err < 0) {
        goto out;
    }
    in = make_stdin(spec);
    if (in < 0) {
        err = in;
        goto out;
    }
    err = spawn(spec, in, out_w, err_w, &child->pid);
    if (err < 0) {
        goto out;
    }
    child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0u);
    if (child->pidfd < 0) {
        err = -errno;
        kill_group(child);
        waitpid(child->pid, NULL, 0); /* SIGKILLed: at once */
        goto out;
    }
    /* from here on it exists, and is waited for whatever happens */
    err =
        qb_loop_poll_add(loop, QB_LOOP_MED, child->pidfd, POLLIN, child, ended);
    if (err == 0) {
        err = qb_loop_timer_add(loop, QB_LOOP_MED,
                                (uint64_t)spec->timeout_ms * 1000000, child,
                                expired, &child->timer);
        child->timer_set = err == 0;
    }
    if (err < 0) {
        kill_group(child);
        waitpid(child->pid, NULL, 0);
        goto out;
    }
    alive++;
    if (ret_child) {
        *ret_child = child;
    }
out:
    if (in >= 0) {
        close(in);
    }
    if (out_w >= 0) {
        close(out_w);
    }
    if (err_w >= 0) {
        close(err_w);
    }
    if (err < 0) {
        child_free(child);
    }
    return err;
}

void kmr_child_cancel(struct kmr_child *child)
{
    if (!child) {
        return;
    }
    child->cancelled = true;
    kill_group(child);
}
