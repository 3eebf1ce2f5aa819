/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_VIRT_H
#define KMR_IO_VIRT_H

/*
 * libvirt: events, and orders that can hang.
 *
 * One connection takes events; it is opened by a thread of its own, kept
 * alive, and opened again with back-off when libvirtd goes away. Every pair
 * has a worker: a thread with its own connection and a bounded queue, so that
 * neither a hung libvirtd nor another pair's stuck order stalls anything.
 * Every callback comes in the loop's thread, from the loop.
 *
 * kmr_virt_loop_init() must have been called before kmr_virt_start().
 */

#include <stdbool.h>
#include <stdint.h>

#include <qb/qbloop.h>

#define KMR_VIRT_QUEUE_MAX 16        /* orders waiting, per worker */
#define KMR_VIRT_TEXT_MAX (1u << 20) /* largest XML, command or reply */
#define KMR_VIRT_DEADLINE_MAX_MS 600000u
#define KMR_VIRT_URI_DEFAULT "qemu:///system"

struct kmr_virt;
struct kmr_virt_worker;

/* A domain's state as libvirt tells it, reduced to what matters. */
#define KMR_VIRT_STATES(X)                                               \
    X(NONE, "none")         /* no such domain (or not active) */         \
    X(RUNNING, "running")   /* vCPUs run (also blocked) */               \
    X(INCOMING, "incoming") /* paused, waits for or takes a migration */ \
    X(PAUSED, "paused")     /* paused for any other reason */            \
    X(SHUTDOWN, "shutdown") /* guest is being or has been powered off */ \
    X(CRASHED, "crashed")   /* guest panicked */

enum kmr_virt_state {
#define X(name, text) KMR_VIRT_##name,
    KMR_VIRT_STATES(X)
#undef X
};
const char *kmr_virt_state_text(enum kmr_virt_state state);

/*
 * Events. Between a connected(false) and the next connected(true) events are
 * lost: after each connected(true) ask for the state of every domain.
 *
 * How a QEMU ended. libvirt passes -no-shutdown: on a guest's power-off QEMU
 * pauses and emits SHUTDOWN; libvirtd then kills it (on_poweroff=destroy).
 * KMR_VIRT_EV_SHUTDOWN with `by_guest` comes first, then KMR_VIRT_EV_STOPPED.
 * Only `by_guest` means a power-off: a SIGTERM from anyone, and libvirt's own
 * destroy, emit SHUTDOWN without it, and then STOPPED with `how` SHUTDOWN or
 * DESTROYED. The pidfd (pidwatch.h) is quicker than STOPPED (1 ms after a
 * SIGKILL against 10 to 210, libvirtd looks every 200 ms) and tells no reason.
 * libvirtd queues SHUTDOWN before it kills, so it comes before the pidfd or a
 * few ms after it: when the death is seen and neither SHUTDOWN was nor did we
 * kill it, and libvirt is connected, wait some 30 ms for one before calling
 * it a crash; STOPPED only confirms. With
 * libvirtd away a power-off can't end the process at all: it stays paused.
 */
#define KMR_VIRT_EVENTS(X)                                                   \
    X(STARTED, "started")                                                    \
    X(RESUMED, "resumed")                                                    \
    X(SUSPENDED, "suspended") /* `text`: libvirt's reason, e.g. ioerror */   \
    X(SHUTDOWN, "shutdown")   /* see by_guest; process still there */        \
    X(STOPPED, "stopped")     /* process ended; see `how` */                 \
    X(CRASHED, "crashed")     /* guest panicked; process still there */      \
    X(REBOOT, "reboot")       /* guest reset itself */                       \
    X(IO_ERROR, "io-error")   /* `text`: device alias; see io_action */      \
    X(MEMORY_FAILURE, "memory-failure") /* `text`: recipient action flags */ \
    X(ENGINE, "engine") /* raw KEMARI_* event; see qmp_event, text */

enum kmr_virt_event_type {
#define X(name, text) KMR_VIRT_EV_##name,
    KMR_VIRT_EVENTS(X)
#undef X
};
const char *kmr_virt_event_text(enum kmr_virt_event_type type);

enum kmr_virt_stop {
    KMR_VIRT_STOP_SHUTDOWN,  /* power-off or SIGTERM; see above */
    KMR_VIRT_STOP_DESTROYED, /* someone ordered it through libvirt */
    KMR_VIRT_STOP_CRASHED,   /* guest panic with on_crash=destroy */
    KMR_VIRT_STOP_FAILED,    /* the process died by itself or by a signal */
    KMR_VIRT_STOP_OTHER,     /* migrated, saved, restored from snapshot */
};

struct kmr_virt_event {
    enum kmr_virt_event_type type;
    const char *domain; /* libvirt name; valid during the callback */
    char uuid[37];
    int id;                 /* libvirt's domain id, -1 when gone */
    enum kmr_virt_stop how; /* STOPPED only */
    bool by_guest;          /* SHUTDOWN: the guest powered off */
    bool io_stopped;        /* IO_ERROR: the guest was paused by it */
    bool guest_memory;      /* MEMORY_FAILURE: hit the guest's memory */
    const char *qmp_event;  /* ENGINE: e.g. "KEMARI_STATE" */
    const char *text;       /* ENGINE: the event's data, JSON; or see above;
                                * never NULL */
    uint64_t qmp_us;        /* ENGINE: QEMU's wall clock, us since 1970 */
};

struct kmr_virt_ops {
    /* `reason`: why it went, or "" when `up`. Every attempt that fails is
     * reported once per change of its reason, so logging all is fine. */
    void (*connected)(bool up, const char *reason, void *user);
    void (*event)(const struct kmr_virt_event *event, void *user);
};

/*
 * Starts connecting to `uri` (NULL: the default); returns at once. `ops` is
 * copied. Returns 0 or -errno.
 */
int kmr_virt_start(qb_loop_t *loop, const char *uri,
                   const struct kmr_virt_ops *ops, void *user,
                   struct kmr_virt **ret_virt);

/*
 * Ends it, without a callback, also when libvirtd hangs (its thread is then
 * left behind). Free the workers first. NULL is allowed.
 */
void kmr_virt_stop(struct kmr_virt *virt);

bool kmr_virt_is_connected(const struct kmr_virt *virt);

/* ---- orders ---- */

#define KMR_VIRT_OPS(X)                                                       \
    X(CREATE, "create")       /* transient domain from `text` (XML) */        \
    X(MONITOR, "monitor")     /* QMP command `text` (JSON) */                 \
    X(GET_XML, "get-xml")     /* what runs, migratable and with secrets */    \
    X(GET_STATE, "get-state") /* of the domain; absent is NONE, no error */   \
    X(RESUME, "resume")                                                       \
    X(DUMP, "dump") /* its memory, into the file `text`; libvirtd takes no  \
                     * other order for it meanwhile */ \
    X(SHUTDOWN, "shutdown") /* ACPI power button; done when pressed */        \
    X(DESTROY, "destroy")   /* SIGTERM, SIGKILL by libvirtd; ends the process */

enum kmr_virt_op {
#define X(name, text) KMR_VIRT_OP_##name,
    KMR_VIRT_OPS(X)
#undef X
};
const char *kmr_virt_op_text(enum kmr_virt_op op);

struct kmr_virt_order {
    enum kmr_virt_op op;
    const char *text;    /* CREATE, MONITOR, DUMP: copied */
    bool paused;         /* CREATE: don't run the guest */
    int id;              /* RESUME, SHUTDOWN, DESTROY: only if the domain still
                          * has this libvirt id, else -ESTALE; 0: any */
    uint32_t timeout_ms; /* from now, waiting in the queue included */
};

/*
 * `err`: 0 done, or
 *   -ENOENT     no such domain                -EEXIST  CREATE: it runs already
 *   -ENOTCONN   libvirtd can't be reached     -ESTALE  another id by now
 *   -ETIMEDOUT  deadline; `maybe` tells if it may still take effect later
 *               (it is in libvirtd's hands: that's why R7 puts generation and
 *               instance in every engine command), or was never started
 *   -EREMOTEIO  MONITOR: QEMU answered with an error (`text` has the reply,
 *               `error` its class and description)
 *   -EIO        anything else that libvirt says
 */
struct kmr_virt_reply {
    enum kmr_virt_op op;
    int err;
    bool maybe;
    const char *error;         /* one line; "" when err is 0 */
    const char *text;          /* MONITOR: the reply, JSON; GET_XML: XML;
                                 * else ""; valid during the callback */
    enum kmr_virt_state state; /* GET_STATE, CREATE */
    int id;                    /* libvirt id of the domain, or -1 */
    uint32_t took_us;          /* from order to answer */
};

typedef void (*kmr_virt_cb)(const struct kmr_virt_reply *reply, void *user);

/* A worker for the domain of this name. No connection is made until the first
 * order, and a lost one is made again at the next order. Returns 0/-errno. */
int kmr_virt_worker_new(struct kmr_virt *virt, const char *domain,
                        struct kmr_virt_worker **ret_worker);

/*
 * Queues an order; orders of one worker run one after another. The callback
 * comes exactly once, later, from the loop. Returns 0, -ENOBUFS (queue full),
 * -EINVAL, -E2BIG or -ENOMEM; then there is no callback.
 */
int kmr_virt_order(struct kmr_virt_worker *worker,
                   const struct kmr_virt_order *order, kmr_virt_cb cb,
                   void *user);

/* Ends it: orders not answered yet get no callback. Never waits: a thread
 * stuck in libvirt cleans up after itself. NULL is allowed. */
void kmr_virt_worker_free(struct kmr_virt_worker *worker);

/* Killing a QEMU is not an order: kmr_proc_kill() in pidwatch.h, at once. */

#endif
