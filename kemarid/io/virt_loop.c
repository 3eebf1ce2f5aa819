/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "virt_loop.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <libvirt/libvirt.h>

/*
 * One list for handles and timeouts. An entry is looked up by its id for
 * every dispatch, so that what an earlier callback of the same round removed
 * is not called. Entries are freed by the loop's thread only.
 */

#define DISPATCH_MAX 32 /* descriptors per round: other sources run too */

struct entry {
    struct entry *next;
    int id;
    bool removed;
    bool is_timeout;
    int fd;       /* handle: in the epoll set (may be a duplicate); -1 */
    bool own_fd;  /* fd is our duplicate */
    bool polled;  /* is in the epoll set now */
    int events;   /* handle: libvirt's bits */
    int freq_ms;  /* timeout: -1 off */
    uint64_t due; /* timeout: ms */
    virEventHandleCallback handle_cb;
    virEventTimeoutCallback timeout_cb;
    virFreeCallback ff;
    void *opaque;
};

/* virEventRegisterImpl() passes no pointer of ours: the one global here. */
static struct {
    pthread_mutex_t lock;
    bool registered;
    qb_loop_t *loop;
    int epfd;
    int timerfd;
    int next_id;
    struct entry *head;
    bool garbage; /* some entry is removed and waits for its ff */
} vl = { .lock = PTHREAD_MUTEX_INITIALIZER, .epfd = -1, .timerfd = -1 };

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static struct entry *find(int id)
{
    for (struct entry *e = vl.head; e; e = e->next) {
        if (e->id == id && !e->removed) {
            return e;
        }
    }
    return NULL;
}

/* Sets the timerfd to the earliest thing to do. Locked. */
static void rearm(void)
{
    uint64_t first = UINT64_MAX;
    struct itimerspec its = { 0 };

    for (struct entry *e = vl.head; e; e = e->next) {
        if (e->is_timeout && !e->removed && e->freq_ms >= 0 && e->due < first) {
            first = e->due;
        }
    }
    if (vl.garbage) {
        first = 0;
    }
    if (first != UINT64_MAX) {
        its.it_value.tv_sec = (time_t)(first / 1000);
        its.it_value.tv_nsec = (long)(first % 1000) * 1000000;
        if (first == 0) {
            its.it_value.tv_nsec = 1; /* long past: at once */
        }
    }
    if (vl.timerfd >= 0) {
        timerfd_settime(vl.timerfd, TFD_TIMER_ABSTIME, &its, NULL);
    }
}

static uint32_t to_epoll(int events)
{
    uint32_t ret = 0;

    if (events & VIR_EVENT_HANDLE_READABLE) {
        ret |= EPOLLIN;
    }
    if (events & VIR_EVENT_HANDLE_WRITABLE) {
        ret |= EPOLLOUT;
    }
    return ret;
}

static int from_epoll(uint32_t events)
{
    int ret = 0;

    if (events & EPOLLIN) {
        ret |= VIR_EVENT_HANDLE_READABLE;
    }
    if (events & EPOLLOUT) {
        ret |= VIR_EVENT_HANDLE_WRITABLE;
    }
    if (events & EPOLLERR) {
        ret |= VIR_EVENT_HANDLE_ERROR;
    }
    if (events & EPOLLHUP) {
        ret |= VIR_EVENT_HANDLE_HANGUP;
    }
    return ret;
}

/*
 * Brings the epoll set in line with e->events. Without any event the
 * descriptor must not be in the set at all: epoll reports errors and hang-ups
 * always, and a disabled handle would spin. Locked.
 */
static int apply(struct entry *e)
{
    struct epoll_event ev = { .events = to_epoll(e->events),
                              .data.u64 = (uint64_t)e->id };

    if (!e->events) {
        if (e->polled) {
            /* fails if libvirt closed it before: then it left by itself */
            epoll_ctl(vl.epfd, EPOLL_CTL_DEL, e->fd, NULL);
            e->polled = false;
        }
        return 0;
    }
    if (epoll_ctl(vl.epfd, e->polled ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, e->fd,
                  &ev) < 0) {
        if (errno != EEXIST || e->own_fd) {
            return -errno;
        }
        /* a second watch of one descriptor: epoll needs a duplicate */
        int copy = dup(e->fd);

        if (copy < 0) {
            return -errno;
        }
        if (epoll_ctl(vl.epfd, EPOLL_CTL_ADD, copy, &ev) < 0) {
            int err = errno;

            close(copy);
            return -err;
        }
        e->fd = copy;
        e->own_fd = true;
    }
    e->polled = true;
    return 0;
}

static struct entry *add(void)
{
    struct entry *e = calloc(1, sizeof(*e));

    if (!e) {
        return NULL;
    }
    do {
        vl.next_id = vl.next_id == INT32_MAX ? 1 : vl.next_id + 1;
    } while (find(vl.next_id));
    e->id = vl.next_id;
    e->fd = -1;
    e->next = vl.head;
    vl.head = e;
    return e;
}

static int impl_add_handle(int fd, int events, virEventHandleCallback cb,
                           void *opaque, virFreeCallback ff)
{
    struct entry *e;
    int ret = -1;

    pthread_mutex_lock(&vl.lock);
    e = add();
    if (e) {
        e->fd = fd;
        e->events = events;
        e->handle_cb = cb;
        e->opaque = opaque;
        ret = e->id;
        if (apply(e) < 0) {
            e->removed = true; /* ff stays unset: the caller keeps opaque */
            vl.garbage = true;
            rearm();
            ret = -1;
        } else {
            e->ff = ff;
        }
    }
    pthread_mutex_unlock(&vl.lock);
    return ret;
}

static void impl_update_handle(int watch, int events)
{
    struct entry *e;

    pthread_mutex_lock(&vl.lock);
    e = find(watch);
    if (e && !e->is_timeout && e->events != events) {
        e->events = events;
        apply(e);
    }
    pthread_mutex_unlock(&vl.lock);
}

static int remove_entry(int id, bool is_timeout)
{
    struct entry *e;
    int ret = -1;

    pthread_mutex_lock(&vl.lock);
    e = find(id);
    if (e && e->is_timeout == is_timeout) {
        if (!is_timeout) {
            e->events = 0;
            apply(e);
        }
        e->removed = true;
        vl.garbage = true;
        rearm();
        ret = 0;
    }
    pthread_mutex_unlock(&vl.lock);
    return ret;
}

static int impl_remove_handle(int watch)
{
    return remove_entry(watch, false);
}

static int impl_add_timeout(int freq_ms, virEventTimeoutCallback cb,
                            void *opaque, virFreeCallback ff)
{
    struct entry *e;
    int ret = -1;

    pthread_mutex_lock(&vl.lock);
    e = add();
    if (e) {
        e->is_timeout = true;
        e->freq_ms = freq_ms;
        e->due = now_ms() + (freq_ms > 0 ? (uint64_t)freq_ms : 0);
        e->timeout_cb = cb;
        e->opaque = opaque;
        e->ff = ff;
        ret = e->id;
        rearm();
    }
    pthread_mutex_unlock(&vl.lock);
    return ret;
}

static void impl_update_timeout(int timer, int freq_ms)
{
    struct entry *e;

    pthread_mutex_lock(&vl.lock);
    e = find(timer);
    if (e && e->is_timeout) {
        e->freq_ms = freq_ms;
        e->due = now_ms() + (freq_ms > 0 ? (uint64_t)freq_ms : 0);
        rearm();
    }
    pthread_mutex_unlock(&vl.lock);
}

static int impl_remove_timeout(int timer)
{
    return remove_entry(timer, true);
}

/* Frees what was removed; the ff callbacks run without the lock. */
static void collect(void)
{
    struct entry *dead = NULL;

    pthread_mutex_lock(&vl.lock);
    for (struct entry **p = &vl.head; *p;) {
        struct entry *e = *p;

        if (e->removed) {
            *p = e->next;
            e->next = dead;
            dead = e;
        } else {
            p = &e->next;
        }
    }
    vl.garbage = false;
    rearm();
    pthread_mutex_unlock(&vl.lock);

    while (dead) {
        struct entry *e = dead;

        dead = e->next;
        if (e->ff) {
            e->ff(e->opaque);
        }
        if (e->own_fd) {
            close(e->fd);
        }
        free(e);
    }
}

static void dispatch_handle(int id, uint32_t revents)
{
    struct entry *e;
    virEventHandleCallback cb = NULL;
    void *opaque = NULL;
    int fd = -1;

    pthread_mutex_lock(&vl.lock);
    e = find(id);
    if (e && e->events) {
        cb = e->handle_cb;
        opaque = e->opaque;
        fd = e->fd;
    }
    pthread_mutex_unlock(&vl.lock);
    if (cb) {
        cb(id, fd, from_epoll(revents), opaque);
    }
}

static void dispatch_timeouts(void)
{
    uint64_t now = now_ms();
    int due[DISPATCH_MAX];
    unsigned n = 0;

    pthread_mutex_lock(&vl.lock);
    for (struct entry *e = vl.head; e && n < DISPATCH_MAX; e = e->next) {
        if (e->is_timeout && !e->removed && e->freq_ms >= 0 && e->due <= now) {
            due[n++] = e->id;
        }
    }
    pthread_mutex_unlock(&vl.lock);

    for (unsigned i = 0; i < n; i++) {
        virEventTimeoutCallback cb = NULL;
        void *opaque = NULL;
        struct entry *e;

        pthread_mutex_lock(&vl.lock);
        e = find(due[i]);
        if (e && e->freq_ms >= 0 && e->due <= now) {
            e->due = now + (uint64_t)e->freq_ms;
            cb = e->timeout_cb;
            opaque = e->opaque;
        }
        pthread_mutex_unlock(&vl.lock);
        if (cb) {
            cb(due[i], opaque);
        }
    }
}

static int32_t dispatch(int32_t fd, int32_t revents, void *data)
{
    struct epoll_event evs[DISPATCH_MAX];
    int n;

    (void)revents;
    (void)data;
    n = epoll_wait(fd, evs, DISPATCH_MAX, 0);
    for (int i = 0; i < n; i++) {
        if (evs[i].data.u64 == 0) {
            uint64_t ticks;

            if (read(vl.timerfd, &ticks, sizeof(ticks)) < 0) {
                continue; /* was set anew meanwhile */
            }
            dispatch_timeouts();
        } else {
            dispatch_handle((int)evs[i].data.u64, evs[i].events);
        }
    }
    collect();
    return 0;
}

int kmr_virt_loop_init(qb_loop_t *loop)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.u64 = 0 };
    int err;

    if (vl.loop) {
        return -EALREADY;
    }
    if (vl.epfd < 0) {
        vl.epfd = epoll_create1(EPOLL_CLOEXEC);
        vl.timerfd =
            timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        if (vl.epfd < 0 || vl.timerfd < 0 ||
            epoll_ctl(vl.epfd, EPOLL_CTL_ADD, vl.timerfd, &ev) < 0) {
            err = -errno;
            goto out;
        }
    }
    err = qb_loop_poll_add(loop, QB_LOOP_HIGH, vl.epfd, POLLIN, NULL, dispatch);
    if (err < 0) {
        goto out;
    }
    vl.loop = loop;
    if (!vl.registered) {
        virEventRegisterImpl(impl_add_handle, impl_update_handle,
                             impl_remove_handle, impl_add_timeout,
                             impl_update_timeout, impl_remove_timeout);
        vl.registered = true;
    }
    return 0;

out:
    if (!vl.registered) {
        if (vl.epfd >= 0) {
            close(vl.epfd);
        }
        if (vl.timerfd >= 0) {
            close(vl.timerfd);
        }
        vl.epfd = vl.timerfd = -1;
    }
    return err;
}

/*
 * The descriptors stay: a thread that hangs in libvirt may still call the
 * functions that were registered.
 */
void kmr_virt_loop_fini(void)
{
    if (!vl.loop) {
        return;
    }
    collect();
    qb_loop_poll_del(vl.loop, vl.epfd);
    vl.loop = NULL;
}
