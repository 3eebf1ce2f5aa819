/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fencewatch.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <crm/stonith-ng.h>
#include <glib-unix.h>

#include "post.h"

#define CLIENT_NAME "kemarid"
#define BACKOFF_MIN_MS 250
#define BACKOFF_MAX_MS 5000
#define HISTORY_TIMEOUT_S 10
#define TEXT_MAX 256

/* A completion that was reported, as the fencer's history knows it. */
struct seen {
    char target[TEXT_MAX];
    char action[16];
    time_t completed;
    long nsec;
};

struct kmr_fencewatch {
    pthread_mutex_t lock;
    unsigned refs;
    bool stop; /* under the lock */
    int stop_fd;

    struct kmr_post *post;
    struct kmr_fencewatch_ops ops;
    void *user;
    bool up, first_told; /* loop's thread */
    char reason[TEXT_MAX];

    /* the thread's */
    char **fabric;
    struct seen seen[KMR_FENCEWATCH_HISTORY_MAX];
    unsigned seen_count, seen_next;
    bool lost, reread;
    char told_target[TEXT_MAX], told_action[16];
};

struct letter {
    struct kmr_post_item item;
    struct kmr_fencewatch *watch;
    bool is_fence, up;
    struct kmr_fence_event event;
    char target[TEXT_MAX], action[16], device[TEXT_MAX];
    char executioner[TEXT_MAX], id[TEXT_MAX], reason[TEXT_MAX];
};

/* libstonithd's notification callback has no pointer for the user, and this
 * thread handles one watch: the one that it belongs to. */
static __thread struct kmr_fencewatch *mine;

static uint64_t clock_us(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void unref(struct kmr_fencewatch *watch)
{
    unsigned left;

    pthread_mutex_lock(&watch->lock);
    left = --watch->refs;
    pthread_mutex_unlock(&watch->lock);
    if (left > 0) {
        return;
    }
    kmr_post_unref(watch->post);
    close(watch->stop_fd);
    pthread_mutex_destroy(&watch->lock);
    for (char **f = watch->fabric; f && *f; f++) {
        free(*f);
    }
    free(watch->fabric);
    free(watch);
}

static void letter_drop(struct kmr_post_item *item)
{
    struct letter *letter = (struct letter *)item;

    unref(letter->watch);
    free(letter);
}

static void letter_run(struct kmr_post_item *item)
{
    struct letter *letter = (struct letter *)item;
    struct kmr_fencewatch *watch = letter->watch;

    if (letter->is_fence) {
        watch->ops.fenced(&letter->event, watch->user);
    } else if (!watch->first_told || letter->up != watch->up ||
               strcmp(letter->reason, watch->reason) != 0) {
        watch->first_told = true;
        watch->up = letter->up;
        memcpy(watch->reason, letter->reason, sizeof(watch->reason));
        if (watch->ops.connected) {
            watch->ops.connected(letter->up, letter->reason, watch->user);
        }
    }
    letter_drop(item);
}

static struct letter *letter_new(struct kmr_fencewatch *watch)
{
    struct letter *letter = calloc(1, sizeof(*letter));

    if (!letter) {
        abort(); /* a confirmation must not be lost silently */
    }
    letter->item.run = letter_run;
    letter->item.drop = letter_drop;
    letter->watch = watch;
    pthread_mutex_lock(&watch->lock);
    watch->refs++;
    pthread_mutex_unlock(&watch->lock);
    return letter;
}

static void tell(struct kmr_fencewatch *watch, bool up, const char *reason)
{
    struct letter *letter = letter_new(watch);

    letter->up = up;
    snprintf(letter->reason, sizeof(letter->reason), "%s", reason);
    kmr_post_send(watch->post, &letter->item);
}

static void fill(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from ? from : "");
}

static bool is_power_action(const char *action)
{
    return action &&
           (strcmp(action, "reboot") == 0 || strcmp(action, "off") == 0);
}

/*
 * The fencer names no device in its notifications. So: without fabric devices
 * in the configuration all cut power, as the operator says; with some, none
 * of those may be able to fence this target (else it is not certain who did).
 */
static bool only_power(struct kmr_fencewatch *watch, stonith_t *st,
                       const char *target)
{
    stonith_key_value_t *devices = NULL;
    bool ret = true;

    if (!watch->fabric || !watch->fabric[0]) {
        return true;
    }
    if (st->cmds->query(st, st_opt_sync_call, target, &devices,
                        HISTORY_TIMEOUT_S) <= 0) {
        return false;
    }
    for (stonith_key_value_t *d = devices; d; d = d->next) {
        for (char **f = watch->fabric; *f; f++) {
            if (d->value && strcmp(d->value, *f) == 0) {
                ret = false;
            }
        }
    }
    stonith_key_value_freeall(devices, 1, 1);
    return ret;
}

static void report(struct kmr_fencewatch *watch, stonith_t *st,
                   const char *target, const char *action, bool ok,
                   bool history, uint64_t completed_us,
                   const stonith_event_t *e, const stonith_history_t *h)
{
    struct letter *letter = letter_new(watch);
    struct kmr_fence_event *ev = &letter->event;

    letter->is_fence = true;
    fill(letter->target, sizeof(letter->target), target);
    fill(letter->action, sizeof(letter->action), action);
    fill(letter->device, sizeof(letter->device), e ? e->device : NULL);
    fill(letter->executioner, sizeof(letter->executioner),
         e ? e->executioner : h->delegate);
    fill(letter->id, sizeof(letter->id), e ? e->id : NULL);
    fill(letter->reason, sizeof(letter->reason), h ? h->exit_reason : NULL);
    ev->target = letter->target;
    ev->action = letter->action;
    ev->device = letter->device;
    ev->executioner = letter->executioner;
    ev->id = letter->id;
    ev->reason = letter->reason;
    ev->ok = ok;
    ev->power = ok && only_power(watch, st, target);
    ev->history = history;
    ev->completed_us = completed_us;
    ev->mono_us = clock_us(CLOCK_MONOTONIC);
    kmr_post_send(watch->post, &letter->item);
}

/* ---- history ---- */

static bool was_seen(struct kmr_fencewatch *watch, const stonith_history_t *h)
{
    for (unsigned i = 0; i < watch->seen_count; i++) {
        const struct seen *s = &watch->seen[i];

        if (s->completed == h->completed && s->nsec == h->completed_nsec &&
            strcmp(s->target, h->target) == 0 &&
            strcmp(s->action, h->action) == 0) {
            return true;
        }
    }
    return false;
}

static void remember(struct kmr_fencewatch *watch, const stonith_history_t *h)
{
    struct seen *s = &watch->seen[watch->seen_next];

    fill(s->target, sizeof(s->target), h->target);
    fill(s->action, sizeof(s->action), h->action);
    s->completed = h->completed;
    s->nsec = h->completed_nsec;
    watch->seen_next = (watch->seen_next + 1) % KMR_FENCEWATCH_HISTORY_MAX;
    if (watch->seen_count < KMR_FENCEWATCH_HISTORY_MAX) {
        watch->seen_count++;
    }
}

/*
 * Reports what the history has and was not reported yet. The newest success
 * that fits the notification just delivered is that very one, and is only
 * remembered.
 */
static int read_history(struct kmr_fencewatch *watch, stonith_t *st)
{
    stonith_history_t *list = NULL, *newest = NULL;
    unsigned n = 0;
    int rc =
        st->cmds->history(st, st_opt_sync_call, NULL, &list, HISTORY_TIMEOUT_S);

    if (rc < 0) {
        return rc;
    }
    for (stonith_history_t *h = list; h; h = h->next) {
        if (h->state == st_done && h->target && h->action &&
            strcmp(h->target, watch->told_target) == 0 &&
            strcmp(h->action, watch->told_action) == 0 &&
            (!newest || h->completed > newest->completed ||
             (h->completed == newest->completed &&
              h->completed_nsec > newest->completed_nsec))) {
            newest = h;
        }
    }
    for (stonith_history_t *h = list; h && n < KMR_FENCEWATCH_HISTORY_MAX;
         h = h->next) {
        if (h->state != st_done || !h->target || !is_power_action(h->action) ||
            was_seen(watch, h)) {
            continue;
        }
        n++;
        remember(watch, h);
        if (h != newest) {
            report(watch, st, h->target, h->action, true, true,
                   (uint64_t)h->completed * 1000000 +
                       (uint64_t)h->completed_nsec / 1000,
                   NULL, h);
        }
    }
    watch->told_target[0] = watch->told_action[0] = '\0';
    stonith_history_free(list);
    return 0;
}

/* ---- notifications, from stonith_dispatch() in the thread ---- */

static void on_fence(stonith_t *st, stonith_event_t *e)
{
    struct kmr_fencewatch *watch = mine;

    if (!watch || !e || !e->target || !is_power_action(e->action)) {
        return;
    }
    report(watch, st, e->target, e->action, e->result == 0, false,
           clock_us(CLOCK_REALTIME), e, NULL);
    if (e->result == 0) {
        fill(watch->told_target, sizeof(watch->told_target), e->target);
        fill(watch->told_action, sizeof(watch->told_action), e->action);
        watch->reread = true;
    }
}

static void on_history(stonith_t *st, stonith_event_t *e)
{
    (void)st;
    (void)e;
    if (mine) {
        mine->reread = true; /* a node that joined knew more */
    }
}

static void on_disconnect(stonith_t *st, stonith_event_t *e)
{
    (void)st;
    (void)e;
    if (mine) {
        mine->lost = true;
    }
}

/* ---- the thread ---- */

static bool should_stop(struct kmr_fencewatch *watch)
{
    bool ret;

    pthread_mutex_lock(&watch->lock);
    ret = watch->stop;
    pthread_mutex_unlock(&watch->lock);
    return ret;
}

/*
 * libstonithd without GLib's main loop (a descriptor and stonith_dispatch())
 * spins for ever once the fencer has died: its inner loop polls a connection
 * that is hung up (2.1.5). So: GLib's default context, which nobody else in
 * the process uses.
 */
static void serve(struct kmr_fencewatch *watch, stonith_t *st)
{
    while (!watch->lost && !should_stop(watch)) {
        if (watch->reread) {
            watch->reread = false;
            if (read_history(watch, st) < 0) {
                break;
            }
        }
        g_main_context_iteration(NULL, TRUE);
    }
}

static gboolean on_stop(gint fd, GIOCondition condition, gpointer data)
{
    (void)fd;
    (void)condition;
    (void)data;
    return G_SOURCE_CONTINUE; /* it only wakes the loop */
}

/* Connected, subscribed, history read, in this order: what is confirmed
 * between the last two comes twice at most, and is told apart by its time. */
static int open_and_serve(struct kmr_fencewatch *watch, stonith_t *st)
{
    int rc = st->cmds->connect(st, CLIENT_NAME, NULL);

    if (rc < 0) {
        return rc;
    }
    watch->lost = watch->reread = false;
    st->cmds->register_notification(st, T_STONITH_NOTIFY_DISCONNECT,
                                    on_disconnect);
    rc = st->cmds->register_notification(st, T_STONITH_NOTIFY_FENCE, on_fence);
    if (rc >= 0) {
        rc =
            st->cmds->register_notification(st, T_STONITH_NOTIFY_HISTORY_SYNCED,
                                            on_history);
    }
    if (rc >= 0) {
        rc = read_history(watch, st);
    }
    if (rc >= 0) {
        tell(watch, true, "");
        serve(watch, st);
        if (!should_stop(watch)) {
            tell(watch, false, "the fencer closed the connection");
        }
        rc = 1;
    }
    st->cmds->remove_notification(st, NULL);
    st->cmds->disconnect(st);
    return rc;
}

static void *run(void *arg)
{
    struct kmr_fencewatch *watch = arg;
    int backoff_ms = BACKOFF_MIN_MS;
    guint stop_source;

    mine = watch;
    stop_source = g_unix_fd_add(watch->stop_fd, G_IO_IN, on_stop, NULL);
    while (!should_stop(watch)) {
        stonith_t *st = stonith_api_new();
        struct pollfd pfd = { .fd = watch->stop_fd, .events = POLLIN };
        int rc = st ? open_and_serve(watch, st) : -ENOMEM;

        if (st) {
            stonith_api_delete(st);
        }
        if (rc > 0) {
            backoff_ms = BACKOFF_MIN_MS;
        } else if (!should_stop(watch)) {
            char text[TEXT_MAX];

            snprintf(text, sizeof(text), "can't reach the fencer: %s",
                     strerror(-rc));
            tell(watch, false, text);
        }
        poll(&pfd, 1, backoff_ms);
        backoff_ms =
            backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : backoff_ms * 2;
    }
    g_source_remove(stop_source);
    unref(watch);
    return NULL;
}

static char **copy_names(const char *const *names)
{
    size_t n = 0;
    char **ret;

    while (names && names[n]) {
        n++;
    }
    ret = calloc(n + 1, sizeof(*ret));
    for (size_t i = 0; ret && i < n; i++) {
        ret[i] = strdup(names[i]);
        if (!ret[i]) {
            while (i > 0) {
                free(ret[--i]);
            }
            free(ret);
            return NULL;
        }
    }
    return ret;
}

int kmr_fencewatch_start(qb_loop_t *loop, const char *const *fabric,
                         const struct kmr_fencewatch_ops *ops, void *user,
                         struct kmr_fencewatch **ret_watch)
{
    struct kmr_fencewatch *watch = calloc(1, sizeof(*watch));
    sigset_t all, old;
    pthread_attr_t attr;
    pthread_t thread;
    int err;

    if (!watch) {
        return -ENOMEM;
    }
    watch->refs = 2;
    watch->ops = *ops;
    watch->user = user;
    watch->stop_fd = eventfd(0, EFD_CLOEXEC);
    watch->fabric = copy_names(fabric);
    if (watch->stop_fd < 0 || !watch->fabric) {
        err = watch->stop_fd < 0 ? -errno : -ENOMEM;
        goto out;
    }
    err = kmr_post_new(loop, &watch->post);
    if (err < 0) {
        goto out;
    }
    pthread_mutex_init(&watch->lock, NULL);
    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    err = -pthread_create(&thread, &attr, run, watch);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (err < 0) {
        watch->refs = 1;
        unref(watch);
        return err;
    }
    *ret_watch = watch;
    return 0;
out:
    if (watch->stop_fd >= 0) {
        close(watch->stop_fd);
    }
    for (char **f = watch->fabric; f && *f; f++) {
        free(*f);
    }
    free(watch->fabric);
    free(watch);
    return err;
}

void kmr_fencewatch_stop(struct kmr_fencewatch *watch)
{
    uint64_t one = 1;
    ssize_t n;

    if (!watch) {
        return;
    }
    pthread_mutex_lock(&watch->lock);
    watch->stop = true;
    pthread_mutex_unlock(&watch->lock);
    kmr_post_close(watch->post);
    n = write(watch->stop_fd, &one, sizeof(one));
    (void)n;
    unref(watch);
}
