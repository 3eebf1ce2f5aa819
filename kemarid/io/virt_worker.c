/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "virt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>

#include "qmp.h"
#include "virt_priv.h"

#define ERROR_MAX 512

enum where {
    QUEUED,    /* the worker has not seen it */
    RUNNING,   /* the thread is in libvirt with it */
    ANSWERED,  /* result on its way into the loop */
    ABANDONED, /* RUNNING, but nobody waits any more: the thread frees it */
};

/*
 * An order belongs to the loop's thread, but for `result` and what `where`
 * (under the worker's lock) says.
 */
struct order {
    struct kmr_post_item item;
    struct order *queue_next;
    struct order *prev, *next; /* all unanswered ones; loop's thread */
    struct kmr_virt_worker *worker;
    enum where where;

    enum kmr_virt_op op;
    char *text;
    bool paused;
    int want_id;
    kmr_virt_cb cb;
    void *user;
    qb_loop_timer_handle timer;
    bool timer_set;
    uint64_t started_us;

    struct kmr_virt_reply result; /* text, error point to the two below */
    char *result_text;
    char error[ERROR_MAX];
};

struct kmr_virt_worker {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    unsigned refs; /* the owner and the thread */
    bool stop;
    struct order *queue, **queue_tail;
    unsigned queued;

    qb_loop_t *loop;
    struct kmr_post *post;
    char *uri, *name;
    struct order *all; /* loop's thread */

    virConnectPtr conn; /* the thread's */
    virDomainPtr dom;   /* the thread's; found once, good by its UUID */
};

static const char *const op_text[] = {
#define X(name, text) text,
    KMR_VIRT_OPS(X)
#undef X
};

const char *kmr_virt_op_text(enum kmr_virt_op op)
{
    return op_text[op];
}

static uint64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void order_free(struct order *order)
{
    free(order->text);
    free(order->result_text);
    free(order);
}

static void worker_unref(struct kmr_virt_worker *worker)
{
    unsigned left;

    pthread_mutex_lock(&worker->lock);
    left = --worker->refs;
    pthread_mutex_unlock(&worker->lock);
    if (left == 0) {
        kmr_post_unref(worker->post);
        pthread_mutex_destroy(&worker->lock);
        pthread_cond_destroy(&worker->cond);
        free(worker->uri);
        free(worker->name);
        free(worker);
    }
}

/* ---- the thread: what an order does ---- */

static void forget_domain(struct kmr_virt_worker *worker)
{
    if (worker->dom) {
        virDomainFree(worker->dom);
        worker->dom = NULL;
    }
}

static void hang_up(struct kmr_virt_worker *worker)
{
    forget_domain(worker);
    if (worker->conn) {
        virConnectClose(worker->conn);
        worker->conn = NULL;
    }
}

/* -errno of the last libvirt error; its text goes into the order. */
static int lv_error(struct order *order)
{
    int code = kmr_virt_last_error(order->error, sizeof(order->error));

    switch (code) {
    case VIR_ERR_NO_DOMAIN:
        return -ENOENT;
    case VIR_ERR_OPERATION_INVALID:
        if (order->op == KMR_VIRT_OP_CREATE) {
            return -EEXIST; /* "already active", even if only just */
        }
        break;
    default:
        break;
    }
    /* asking resets the error: last */
    return order->worker->conn && virConnectIsAlive(order->worker->conn) == 1
               ? -EIO
               : -ENOTCONN;
}

static int need_conn(struct kmr_virt_worker *worker, struct order *order)
{
    if (worker->conn && virConnectIsAlive(worker->conn) == 1) {
        return 0;
    }
    hang_up(worker);
    worker->conn =
        kmr_virt_open(worker->uri, order->error, sizeof(order->error));
    return worker->conn ? 0 : -ENOTCONN;
}

static int need_domain(struct kmr_virt_worker *worker, struct order *order,
                       bool fresh)
{
    if (fresh) {
        forget_domain(worker);
    }
    if (!worker->dom) {
        worker->dom = virDomainLookupByName(worker->conn, worker->name);
    }
    return worker->dom ? 0 : lv_error(order);
}

static int do_create(struct kmr_virt_worker *worker, struct order *order)
{
    unsigned flags = order->paused ? VIR_DOMAIN_START_PAUSED : 0;
    virDomainPtr dom;
    int err;

    dom = virDomainCreateXML(worker->conn, order->text, flags);
    if (!dom) {
        err = lv_error(order);
        if (err == -EIO) {
            dom = virDomainLookupByName(worker->conn, worker->name);
            if (dom) {
                err = virDomainIsActive(dom) == 1 ? -EEXIST : err;
                virDomainFree(dom);
            }
        }
        return err;
    }
    if (strcmp(virDomainGetName(dom), worker->name) != 0) {
        snprintf(order->error, sizeof(order->error),
                 "the XML is of domain %.64s, not %.64s", virDomainGetName(dom),
                 worker->name);
        virDomainDestroy(dom);
        virDomainFree(dom);
        return -EIO;
    }
    forget_domain(worker);
    worker->dom = dom;
    order->result.id = (int)virDomainGetID(dom);
    order->result.state = order->paused ? KMR_VIRT_PAUSED : KMR_VIRT_RUNNING;
    return 0;
}

static int do_monitor(struct kmr_virt_worker *worker, struct order *order)
{
    if (virDomainQemuMonitorCommand(worker->dom, order->text,
                                    &order->result_text, 0) < 0) {
        return lv_error(order);
    }
    if (strlen(order->result_text) > KMR_VIRT_TEXT_MAX) {
        free(order->result_text);
        order->result_text = NULL;
        snprintf(order->error, sizeof(order->error), "reply too large");
        return -EIO;
    }
    if (kmr_qmp_is_error(order->result_text, order->error,
                         sizeof(order->error))) {
        return -EREMOTEIO;
    }
    return 0;
}

static int do_state(struct kmr_virt_worker *worker, struct order *order)
{
    int state, reason;

    if (virDomainGetState(worker->dom, &state, &reason, 0) < 0) {
        return lv_error(order);
    }
    order->result.state = kmr_virt_map_state(state, reason);
    return 0;
}

static int do_domain(struct kmr_virt_worker *worker, struct order *order)
{
    int rc = 0;

    switch (order->op) {
    case KMR_VIRT_OP_MONITOR:
        return do_monitor(worker, order);
    case KMR_VIRT_OP_GET_STATE:
        return do_state(worker, order);
    case KMR_VIRT_OP_GET_XML:
        order->result_text =
            virDomainGetXMLDesc(worker->dom, VIR_DOMAIN_XML_SECURE |
                                                 VIR_DOMAIN_XML_MIGRATABLE);
        rc = order->result_text ? 0 : -1;
        break;
    case KMR_VIRT_OP_RESUME:
        rc = virDomainResume(worker->dom);
        break;
    case KMR_VIRT_OP_DUMP:
        rc = virDomainCoreDumpWithFormat(worker->dom, order->text,
                                         VIR_DOMAIN_CORE_DUMP_FORMAT_KDUMP_ZLIB,
                                         VIR_DUMP_MEMORY_ONLY);
        break;
    case KMR_VIRT_OP_SHUTDOWN:
        rc = virDomainShutdownFlags(worker->dom,
                                    VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN);
        break;
    case KMR_VIRT_OP_DESTROY:
        rc = virDomainDestroy(worker->dom);
        break;
    case KMR_VIRT_OP_CREATE:
        rc = -1;
        break;
    }
    return rc < 0 ? lv_error(order) : 0;
}

static int execute(struct kmr_virt_worker *worker, struct order *order)
{
    bool cached, checked = order->want_id > 0;
    int err = need_conn(worker, order);

    if (err < 0) {
        return err;
    }
    if (order->op == KMR_VIRT_OP_CREATE) {
        return do_create(worker, order);
    }
    cached = worker->dom && !checked;
    err = need_domain(worker, order, checked);
    if (err == 0 && checked &&
        (int)virDomainGetID(worker->dom) != order->want_id) {
        snprintf(order->error, sizeof(order->error),
                 "domain %.64s has id %d now, not %d", worker->name,
                 (int)virDomainGetID(worker->dom), order->want_id);
        return -ESTALE;
    }
    if (err == 0) {
        err = do_domain(worker, order);
    }
    if (err == -ENOENT && cached) {
        /* the name may belong to another UUID by now */
        err = need_domain(worker, order, true);
        if (err == 0) {
            err = do_domain(worker, order);
        }
    }
    if (err == -EIO && worker->dom && virDomainIsActive(worker->dom) == 0) {
        err = -ENOENT; /* defined, but not running: no domain to us */
    }
    if (err == -ENOENT) {
        forget_domain(worker);
        if (order->op == KMR_VIRT_OP_GET_STATE) {
            order->result.state = KMR_VIRT_NONE;
            err = 0;
        }
    }
    if (err == 0 && worker->dom) {
        order->result.id = (int)virDomainGetID(worker->dom);
    }
    return err;
}

static void *run(void *arg)
{
    struct kmr_virt_worker *worker = arg;
    struct order *order;
    bool abandoned;

    pthread_mutex_lock(&worker->lock);
    while (!worker->stop) {
        order = worker->queue;
        if (!order) {
            pthread_cond_wait(&worker->cond, &worker->lock);
            continue;
        }
        worker->queue = order->queue_next;
        if (!worker->queue) {
            worker->queue_tail = &worker->queue;
        }
        worker->queued--;
        order->where = RUNNING;
        pthread_mutex_unlock(&worker->lock);

        order->result.err = execute(worker, order);
        if (order->result.err == -ENOTCONN) {
            hang_up(worker);
        }

        pthread_mutex_lock(&worker->lock);
        abandoned = order->where == ABANDONED;
        order->where = ANSWERED;
        if (!abandoned) {
            kmr_post_send(worker->post, &order->item);
        } else {
            order_free(order);
        }
    }
    pthread_mutex_unlock(&worker->lock);
    hang_up(worker);
    worker_unref(worker);
    return NULL;
}

/* ---- the loop ---- */

static void order_unlink(struct order *order)
{
    if (order->timer_set) {
        qb_loop_timer_del(order->worker->loop, order->timer);
        order->timer_set = false;
    }
    if (order->prev) {
        order->prev->next = order->next;
    } else {
        order->worker->all = order->next;
    }
    if (order->next) {
        order->next->prev = order->prev;
    }
}

static void answered(struct kmr_post_item *item)
{
    struct order *order = (struct order *)item;
    struct kmr_virt_reply *res = &order->result;

    order_unlink(order);
    res->op = order->op;
    res->error = res->err ? order->error : "";
    res->text = order->result_text ? order->result_text : "";
    res->took_us = (uint32_t)(now_us() - order->started_us);
    order->cb(res, order->user);
    order_free(order);
}

static void dropped(struct kmr_post_item *item)
{
    order_free((struct order *)item); /* kmr_virt_worker_free() unlinked it */
}

static void queue_remove(struct kmr_virt_worker *worker, struct order *order)
{
    for (struct order **p = &worker->queue; *p; p = &(*p)->queue_next) {
        if (*p == order) {
            *p = order->queue_next;
            if (!*p) {
                worker->queue_tail = p;
            }
            worker->queued--;
            return;
        }
    }
}

static void expired(void *data)
{
    struct order *order = data;
    struct kmr_virt_worker *worker = order->worker;
    struct kmr_virt_reply res = {
        .op = order->op, .err = -ETIMEDOUT, .text = "", .id = -1
    };
    kmr_virt_cb cb = order->cb;
    void *user = order->user;
    enum where was;

    order->timer_set = false;
    pthread_mutex_lock(&worker->lock);
    was = order->where;
    if (was == QUEUED) {
        queue_remove(worker, order);
    } else if (was == RUNNING) {
        order_unlink(order);
        order->where = ABANDONED;
    }
    pthread_mutex_unlock(&worker->lock);
    if (was == ANSWERED) {
        return; /* its answer comes in this round */
    }
    res.took_us = (uint32_t)(now_us() - order->started_us);
    if (was == QUEUED) {
        res.error = "deadline passed before it could start "
                    "(libvirt is busy with an earlier order)";
        order_unlink(order);
        order_free(order);
    } else {
        res.maybe = true;
        res.error = "libvirt did not answer in time";
    }
    cb(&res, user);
}

int kmr_virt_order(struct kmr_virt_worker *worker,
                   const struct kmr_virt_order *spec, kmr_virt_cb cb,
                   void *user)
{
    bool wants_text = spec->op == KMR_VIRT_OP_CREATE ||
                      spec->op == KMR_VIRT_OP_MONITOR ||
                      spec->op == KMR_VIRT_OP_DUMP;
    struct order *order;
    bool full;
    int err;

    if (spec->timeout_ms == 0 || spec->timeout_ms > KMR_VIRT_DEADLINE_MAX_MS ||
        wants_text != (spec->text != NULL)) {
        return -EINVAL;
    }
    if (wants_text && strlen(spec->text) > KMR_VIRT_TEXT_MAX) {
        return -E2BIG;
    }
    order = calloc(1, sizeof(*order));
    if (!order) {
        return -ENOMEM;
    }
    if (wants_text) {
        order->text = strdup(spec->text);
        if (!order->text) {
            free(order);
            return -ENOMEM;
        }
    }
    order->item.run = answered;
    order->item.drop = dropped;
    order->worker = worker;
    order->op = spec->op;
    order->paused = spec->paused;
    order->want_id = spec->id;
    order->cb = cb;
    order->user = user;
    order->started_us = now_us();
    order->result.id = -1;
    err = qb_loop_timer_add(worker->loop, QB_LOOP_MED,
                            (uint64_t)spec->timeout_ms * 1000000, order,
                            expired, &order->timer);
    if (err < 0) {
        order_free(order);
        return err;
    }
    order->timer_set = true;
    order->next = worker->all;
    if (order->next) {
        order->next->prev = order;
    }
    worker->all = order;

    pthread_mutex_lock(&worker->lock);
    full = worker->queued >= KMR_VIRT_QUEUE_MAX;
    if (!full) {
        *worker->queue_tail = order;
        worker->queue_tail = &order->queue_next;
        worker->queued++;
        pthread_cond_signal(&worker->cond);
    }
    pthread_mutex_unlock(&worker->lock);
    if (full) {
        order_unlink(order);
        order_free(order);
        return -ENOBUFS;
    }
    return 0;
}

int kmr_virt_worker_new(struct kmr_virt *virt, const char *domain,
                        struct kmr_virt_worker **ret_worker)
{
    struct kmr_virt_worker *worker = calloc(1, sizeof(*worker));
    int err;

    if (!worker) {
        return -ENOMEM;
    }
    worker->refs = 2;
    worker->loop = kmr_virt_loop_of(virt);
    worker->queue_tail = &worker->queue;
    worker->uri = strdup(kmr_virt_uri(virt));
    worker->name = strdup(domain);
    if (!worker->uri || !worker->name) {
        err = -ENOMEM;
        goto out;
    }
    err = kmr_post_new(worker->loop, &worker->post);
    if (err < 0) {
        goto out;
    }
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->cond, NULL);
    err = kmr_virt_thread(run, worker);
    if (err < 0) {
        kmr_post_unref(worker->post);
        goto out;
    }
    *ret_worker = worker;
    return 0;
out:
    free(worker->uri);
    free(worker->name);
    free(worker);
    return err;
}

void kmr_virt_worker_free(struct kmr_virt_worker *worker)
{
    struct order *order, *next;

    if (!worker) {
        return;
    }
    pthread_mutex_lock(&worker->lock);
    worker->stop = true;
    for (order = worker->all; order; order = next) {
        next = order->next;
        order_unlink(order);
        if (order->where == QUEUED) {
            order_free(order);
        } else if (order->where == RUNNING) {
            order->where = ABANDONED;
        } /* ANSWERED: in the letter box, dropped below */
    }
    worker->queue = NULL;
    worker->queue_tail = &worker->queue;
    worker->queued = 0;
    pthread_cond_signal(&worker->cond);
    pthread_mutex_unlock(&worker->lock);
    kmr_post_close(worker->post);
    worker_unref(worker);
}
