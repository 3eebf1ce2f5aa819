/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "virt.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>

#include "virt_priv.h"

#define BACKOFF_MIN_MS 200
#define BACKOFF_MAX_MS 5000
#define REASON_MAX 256

/*
 * The thread owns the connection. `stopped` and `up` belong to the loop's
 * thread, `stop` and `lost` to the lock. The struct lives until the thread
 * and every callback registration have let go of it.
 */
struct kmr_virt {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    unsigned refs;
    bool stop, lost;
    char why_lost[64];

    qb_loop_t *loop;
    struct kmr_post *post;
    char *uri;
    struct kmr_virt_ops ops;
    void *user;
    bool stopped, up;
    char last_reason[REASON_MAX];
};

struct note {
    struct kmr_post_item item;
    struct kmr_virt *virt;
    bool up;
    char reason[REASON_MAX];
};

static const char *const state_text[] = {
#define X(name, text) text,
    KMR_VIRT_STATES(X)
#undef X
};
static const char *const event_text[] = {
#define X(name, text) text,
    KMR_VIRT_EVENTS(X)
#undef X
};

const char *kmr_virt_state_text(enum kmr_virt_state state)
{
    return state_text[state];
}

const char *kmr_virt_event_text(enum kmr_virt_event_type type)
{
    return event_text[type];
}

const char *kmr_virt_uri(const struct kmr_virt *virt)
{
    return virt->uri;
}

qb_loop_t *kmr_virt_loop_of(const struct kmr_virt *virt)
{
    return virt->loop;
}

struct kmr_post *kmr_virt_post(const struct kmr_virt *virt)
{
    return virt->post;
}

bool kmr_virt_is_connected(const struct kmr_virt *virt)
{
    return virt->up;
}

/* ---- shared with virt_worker.c ---- */

static void quiet(void *user, virErrorPtr error)
{
    (void)user;
    (void)error; /* it is returned; nothing is printed behind our back */
}

int kmr_virt_last_error(char *ret_error, size_t size)
{
    virErrorPtr e = virGetLastError();

    snprintf(ret_error, size, "%s",
             e && e->message ? e->message : "unknown libvirt error");
    for (char *p = ret_error; *p; p++) {
        if ((unsigned char)*p < ' ') {
            *p = ' ';
        }
    }
    return e ? e->code : 0;
}

virConnectPtr kmr_virt_open(const char *uri, char *ret_error, size_t size)
{
    virConnectPtr conn = virConnectOpen(uri);

    if (!conn) {
        kmr_virt_last_error(ret_error, size);
        return NULL;
    }
    if (virConnectSetKeepAlive(conn, KMR_VIRT_KEEPALIVE_S,
                               KMR_VIRT_KEEPALIVE_COUNT) < 0) {
        kmr_virt_last_error(ret_error, size);
        virConnectClose(conn);
        return NULL;
    }
    return conn;
}

int kmr_virt_thread(void *(*run)(void *), void *arg)
{
    pthread_attr_t attr;
    sigset_t all, old;
    pthread_t thread;
    int rc;

    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 1 << 20);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&thread, &attr, run, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return -rc;
}

enum kmr_virt_state kmr_virt_map_state(int state, int reason)
{
    switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
        return KMR_VIRT_RUNNING;
    case VIR_DOMAIN_PAUSED:
        return reason == VIR_DOMAIN_PAUSED_MIGRATION ? KMR_VIRT_INCOMING
                                                     : KMR_VIRT_PAUSED;
    case VIR_DOMAIN_PMSUSPENDED:
        return KMR_VIRT_PAUSED;
    case VIR_DOMAIN_SHUTDOWN:
        return KMR_VIRT_SHUTDOWN;
    case VIR_DOMAIN_CRASHED:
        return KMR_VIRT_CRASHED;
    default:
        return KMR_VIRT_NONE;
    }
}

/* ---- life ---- */

static void unref(struct kmr_virt *virt)
{
    unsigned left;

    pthread_mutex_lock(&virt->lock);
    left = --virt->refs;
    pthread_mutex_unlock(&virt->lock);
    if (left == 0) {
        kmr_post_unref(virt->post);
        pthread_mutex_destroy(&virt->lock);
        pthread_cond_destroy(&virt->cond);
        free(virt->uri);
        free(virt);
    }
}

static void *get(struct kmr_virt *virt)
{
    pthread_mutex_lock(&virt->lock);
    virt->refs++;
    pthread_mutex_unlock(&virt->lock);
    return virt;
}

static void put(void *opaque)
{
    unref(opaque);
}

static void note_drop(struct kmr_post_item *item)
{
    struct note *note = (struct note *)item;

    unref(note->virt);
    free(note);
}

static void note_run(struct kmr_post_item *item)
{
    struct note *note = (struct note *)item;
    struct kmr_virt *virt = note->virt;

    if (!virt->stopped &&
        (note->up != virt->up || strcmp(note->reason, virt->last_reason))) {
        virt->up = note->up;
        memcpy(virt->last_reason, note->reason, REASON_MAX);
        if (virt->ops.connected) {
            virt->ops.connected(note->up, note->reason, virt->user);
        }
    }
    note_drop(item);
}

static void tell(struct kmr_virt *virt, bool up, const char *reason)
{
    struct note *note = calloc(1, sizeof(*note));

    if (!note) {
        return; /* the next change tells */
    }
    note->item.run = note_run;
    note->item.drop = note_drop;
    note->virt = get(virt);
    note->up = up;
    snprintf(note->reason, sizeof(note->reason), "%s", reason);
    kmr_post_send(virt->post, &note->item);
}

/* ---- events, in the loop's thread ---- */

static void deliver(struct kmr_virt *virt, virDomainPtr dom,
                    struct kmr_virt_event *event)
{
    if (virt->stopped || !virt->ops.event) {
        return;
    }
    event->domain = virDomainGetName(dom);
    if (virDomainGetUUIDString(dom, event->uuid) < 0) {
        event->uuid[0] = '\0';
    }
    event->id = (int)virDomainGetID(dom);
    if (!event->text) {
        event->text = "";
    }
    virt->ops.event(event, virt->user);
}

static const char *suspended_text(int detail)
{
    switch (detail) {
    case VIR_DOMAIN_EVENT_SUSPENDED_PAUSED:
        return "paused";
    case VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED:
        return "migrated";
    case VIR_DOMAIN_EVENT_SUSPENDED_IOERROR:
        return "ioerror";
    case VIR_DOMAIN_EVENT_SUSPENDED_WATCHDOG:
        return "watchdog";
    default:
        return "other";
    }
}

static enum kmr_virt_stop stop_how(int detail)
{
    switch (detail) {
    case VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN:
        return KMR_VIRT_STOP_SHUTDOWN;
    case VIR_DOMAIN_EVENT_STOPPED_DESTROYED:
        return KMR_VIRT_STOP_DESTROYED;
    case VIR_DOMAIN_EVENT_STOPPED_CRASHED:
        return KMR_VIRT_STOP_CRASHED;
    case VIR_DOMAIN_EVENT_STOPPED_FAILED:
        return KMR_VIRT_STOP_FAILED;
    default:
        return KMR_VIRT_STOP_OTHER;
    }
}

static int on_lifecycle(virConnectPtr conn, virDomainPtr dom, int event,
                        int detail, void *opaque)
{
    struct kmr_virt_event ev = { 0 };

    (void)conn;
    switch (event) {
    case VIR_DOMAIN_EVENT_STARTED:
        ev.type = KMR_VIRT_EV_STARTED;
        break;
    case VIR_DOMAIN_EVENT_RESUMED:
        ev.type = KMR_VIRT_EV_RESUMED;
        break;
    case VIR_DOMAIN_EVENT_SUSPENDED:
        ev.type = KMR_VIRT_EV_SUSPENDED;
        ev.text = suspended_text(detail);
        break;
    case VIR_DOMAIN_EVENT_SHUTDOWN:
        ev.type = KMR_VIRT_EV_SHUTDOWN;
        ev.by_guest = detail == VIR_DOMAIN_EVENT_SHUTDOWN_GUEST;
        break;
    case VIR_DOMAIN_EVENT_STOPPED:
        ev.type = KMR_VIRT_EV_STOPPED;
        ev.how = stop_how(detail);
        break;
    case VIR_DOMAIN_EVENT_CRASHED:
        ev.type = KMR_VIRT_EV_CRASHED;
        break;
    default:
        return 0; /* defined, undefined, suspended to disk */
    }
    deliver(opaque, dom, &ev);
    return 0;
}

static void on_reboot(virConnectPtr conn, virDomainPtr dom, void *opaque)
{
    struct kmr_virt_event ev = { .type = KMR_VIRT_EV_REBOOT };

    (void)conn;
    deliver(opaque, dom, &ev);
}

static void on_io_error(virConnectPtr conn, virDomainPtr dom, const char *path,
                        const char *alias, int action, const char *reason,
                        void *opaque)
{
    struct kmr_virt_event ev = { .type = KMR_VIRT_EV_IO_ERROR };

    (void)conn;
    (void)path;
    (void)reason;
    ev.text = alias;
    ev.io_stopped = action == VIR_DOMAIN_EVENT_IO_ERROR_PAUSE;
    deliver(opaque, dom, &ev);
}

static void on_memory_failure(virConnectPtr conn, virDomainPtr dom,
                              int recipient, int action, unsigned int flags,
                              void *opaque)
{
    static const char *const actions[] = { "ignore", "inject", "fatal",
                                           "reset" };
    struct kmr_virt_event ev = { .type = KMR_VIRT_EV_MEMORY_FAILURE };
    char text[96];

    (void)conn;
    ev.guest_memory =
        recipient == VIR_DOMAIN_EVENT_MEMORY_FAILURE_RECIPIENT_GUEST;
    snprintf(text, sizeof(text), "%s %s%s%s",
             ev.guest_memory ? "guest" : "hypervisor",
             action >= 0 && action < 4 ? actions[action] : "?",
             flags & VIR_DOMAIN_MEMORY_FAILURE_ACTION_REQUIRED
                 ? " action-required"
                 : "",
             flags & VIR_DOMAIN_MEMORY_FAILURE_RECURSIVE ? " recursive" : "");
    ev.text = text;
    deliver(opaque, dom, &ev);
}

static void on_engine(virConnectPtr conn, virDomainPtr dom, const char *event,
                      long long seconds, unsigned int micros,
                      const char *details, void *opaque)
{
    struct kmr_virt_event ev = { .type = KMR_VIRT_EV_ENGINE };

    (void)conn;
    ev.qmp_event = event;
    ev.text = details;
    ev.qmp_us = (uint64_t)seconds * 1000000 + micros;
    deliver(opaque, dom, &ev);
}

static void on_close(virConnectPtr conn, int reason, void *opaque)
{
    static const char *const reasons[] = { "connection error",
                                           "libvirtd closed the connection",
                                           "keep-alive timeout", "closed" };
    struct kmr_virt *virt = opaque;

    (void)conn;
    pthread_mutex_lock(&virt->lock);
    virt->lost = true;
    snprintf(virt->why_lost, sizeof(virt->why_lost), "%s",
             reason >= 0 && reason < 4 ? reasons[reason] : "lost");
    pthread_cond_signal(&virt->cond);
    pthread_mutex_unlock(&virt->lock);
}

/* ---- the thread ---- */

static const struct {
    int id;
    virConnectDomainEventGenericCallback cb;
} wanted[] = {
    { VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle) },
    { VIR_DOMAIN_EVENT_ID_REBOOT, VIR_DOMAIN_EVENT_CALLBACK(on_reboot) },
    { VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON,
      VIR_DOMAIN_EVENT_CALLBACK(on_io_error) },
    { VIR_DOMAIN_EVENT_ID_MEMORY_FAILURE,
      VIR_DOMAIN_EVENT_CALLBACK(on_memory_failure) },
};
#define WANTED (sizeof(wanted) / sizeof(wanted[0]))

struct registrations {
    int ids[WANTED];
    int engine;
    bool close;
};

static int subscribe(struct kmr_virt *virt, virConnectPtr conn,
                     struct registrations *reg)
{
    for (size_t i = 0; i < WANTED; i++) {
        reg->ids[i] = -1;
    }
    reg->engine = -1;
    reg->close = false;
    if (virConnectRegisterCloseCallback(conn, on_close, get(virt), put) < 0) {
        unref(virt);
        return -1;
    }
    reg->close = true;
    for (size_t i = 0; i < WANTED; i++) {
        reg->ids[i] =
            virConnectDomainEventRegisterAny(conn, NULL, wanted[i].id,
                                             wanted[i].cb, get(virt), put);
        if (reg->ids[i] < 0) {
            unref(virt);
            return -1;
        }
    }
    reg->engine = virConnectDomainQemuMonitorEventRegister(
        conn, NULL, "^KEMARI_", on_engine, get(virt), put,
        VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_REGEX);
    if (reg->engine < 0) {
        unref(virt);
        return -1;
    }
    return 0;
}

/* On a lost connection these fail quickly; the ff callbacks come anyway. */
static void unsubscribe(virConnectPtr conn, struct registrations *reg)
{
    if (reg->engine >= 0) {
        virConnectDomainQemuMonitorEventDeregister(conn, reg->engine);
    }
    for (size_t i = 0; i < WANTED; i++) {
        if (reg->ids[i] >= 0) {
            virConnectDomainEventDeregisterAny(conn, reg->ids[i]);
        }
    }
    if (reg->close) {
        virConnectUnregisterCloseCallback(conn, on_close);
    }
}

/* Until lost or stopped (wait_ms 0), or the time is over. */
static void wait_for(struct kmr_virt *virt, unsigned wait_ms)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    ts.tv_sec += wait_ms / 1000 + ts.tv_nsec / 1000000000;
    ts.tv_nsec %= 1000000000;
    pthread_mutex_lock(&virt->lock);
    while (!virt->stop && !(wait_ms == 0 && virt->lost)) {
        if (wait_ms == 0) {
            pthread_cond_wait(&virt->cond, &virt->lock);
        } else if (pthread_cond_timedwait(&virt->cond, &virt->lock, &ts)) {
            break;
        }
    }
    pthread_mutex_unlock(&virt->lock);
}

static bool should_stop(struct kmr_virt *virt)
{
    bool ret;

    pthread_mutex_lock(&virt->lock);
    ret = virt->stop;
    pthread_mutex_unlock(&virt->lock);
    return ret;
}

static void *run(void *arg)
{
    struct kmr_virt *virt = arg;
    unsigned backoff_ms = BACKOFF_MIN_MS;
    struct registrations reg;
    char error[REASON_MAX];
    virConnectPtr conn;

    while (!should_stop(virt)) {
        pthread_mutex_lock(&virt->lock);
        virt->lost = false;
        pthread_mutex_unlock(&virt->lock);
        conn = kmr_virt_open(virt->uri, error, sizeof(error));
        if (conn) {
            if (subscribe(virt, conn, &reg) == 0) {
                backoff_ms = BACKOFF_MIN_MS;
                tell(virt, true, "");
                wait_for(virt, 0);
                snprintf(error, sizeof(error), "%s", virt->why_lost);
            } else {
                kmr_virt_last_error(error, sizeof(error));
            }
            if (!should_stop(virt)) {
                tell(virt, false, error); /* before the closing, which can
                                           * take its time */
            }
            unsubscribe(conn, &reg);
            virConnectClose(conn);
        } else {
            tell(virt, false, error);
        }
        wait_for(virt, backoff_ms);
        backoff_ms =
            backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : backoff_ms * 2;
    }
    unref(virt);
    return NULL;
}

int kmr_virt_start(qb_loop_t *loop, const char *uri,
                   const struct kmr_virt_ops *ops, void *user,
                   struct kmr_virt **ret_virt)
{
    struct kmr_virt *virt = calloc(1, sizeof(*virt));
    pthread_condattr_t attr;
    int err;

    if (!virt) {
        return -ENOMEM;
    }
    virSetErrorFunc(NULL, quiet);
    virt->uri = strdup(uri ? uri : KMR_VIRT_URI_DEFAULT);
    if (!virt->uri) {
        free(virt);
        return -ENOMEM;
    }
    err = kmr_post_new(loop, &virt->post);
    if (err < 0) {
        free(virt->uri);
        free(virt);
        return err;
    }
    pthread_mutex_init(&virt->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&virt->cond, &attr);
    pthread_condattr_destroy(&attr);
    virt->refs = 2; /* the caller's and the thread's */
    virt->loop = loop;
    virt->ops = *ops;
    virt->user = user;
    err = kmr_virt_thread(run, virt);
    if (err < 0) {
        unref(virt);
        kmr_virt_stop(virt);
        return err;
    }
    *ret_virt = virt;
    return 0;
}

void kmr_virt_stop(struct kmr_virt *virt)
{
    if (!virt) {
        return;
    }
    virt->stopped = true;
    pthread_mutex_lock(&virt->lock);
    virt->stop = true;
    pthread_cond_signal(&virt->cond);
    pthread_mutex_unlock(&virt->lock);
    kmr_post_close(virt->post);
    unref(virt);
}
