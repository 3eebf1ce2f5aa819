/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "attr.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"

#define RETRY_MIN_MS 500u
#define RETRY_MAX_MS 30000u
#define OUTPUT_MAX 1024

enum phase {
    CLEAN,   /* written */
    DIRTY,   /* waits for a child */
    WRITING, /* a child is at it */
    WAITING, /* it failed, or is in no hurry: the timer makes it dirty */
};

struct entry {
    struct entry *next;
    struct kmr_attr *attr;
    char name[KMR_ATTR_NAME_MAX + 1];
    char node[KMR_ATTR_NAME_MAX + 1]; /* "": this one */
    char value[KMR_ATTR_VALUE_MAX + 1];
    bool is_set;  /* else: to be removed */
    bool changed; /* a newer value came while WRITING */
    bool told;    /* this value's failure was reported */
    enum phase phase;
    unsigned retry_ms;
    qb_loop_timer_handle timer;
    bool timer_set;
    struct kmr_child *child;
    /* a lower score that waits: see attr.h */
    char lower[KMR_ATTR_VALUE_MAX + 1];
    bool lower_is_set;
    qb_loop_timer_handle settle;
    bool settling;
};

struct kmr_attr {
    qb_loop_t *loop;
    char *updater;
    kmr_attr_cb cb;
    void *user;
    struct entry *head, **tail; /* in order of appearance: fair */
    unsigned count, running;
};

static void pump(struct kmr_attr *attr);

static void tell(struct entry *e, int err, const char *error)
{
    struct kmr_attr_note note = { .name = e->name,
                                  .value = e->is_set ? e->value : NULL,
                                  .err = err,
                                  .error = error };

    if (err && e->told) {
        return;
    }
    e->told = err != 0;
    if (e->attr->cb) {
        e->attr->cb(&note, e->attr->user);
    }
}

static void write_now(void *data)
{
    struct entry *e = data;

    e->timer_set = false;
    e->phase = DIRTY;
    pump(e->attr);
}

static void wait_for(struct entry *e, unsigned ms)
{
    e->timer_set =
        qb_loop_timer_add(e->attr->loop, QB_LOOP_LOW, (uint64_t)ms * 1000000, e,
                          write_now, &e->timer) == 0;
    /* without a timer: the next pump() takes it */
    e->phase = e->timer_set ? WAITING : DIRTY;
}

static void back_off(struct entry *e)
{
    e->retry_ms = e->retry_ms == 0 ? RETRY_MIN_MS : e->retry_ms * 2;
    if (e->retry_ms > RETRY_MAX_MS) {
        e->retry_ms = RETRY_MAX_MS;
    }
    wait_for(e, e->retry_ms);
}

static void written(const struct kmr_child_result *res, void *user)
{
    struct entry *e = user;
    struct kmr_attr *attr = e->attr;
    char text[OUTPUT_MAX + 64];
    int err = 0;

    e->child = NULL;
    attr->running--;
    if (res->end == KMR_CHILD_TIMEOUT) {
        err = -ETIMEDOUT;
        snprintf(text, sizeof(text), "attrd_updater did not end in time");
    } else if (res->end == KMR_CHILD_SIGNALED || res->code != 0) {
        err = -EIO;
        snprintf(text, sizeof(text), "attrd_updater: %s %d: %.*s",
                 res->end == KMR_CHILD_SIGNALED ? "signal" : "status",
                 res->code, (int)strcspn(res->err, "\n"), res->err);
    }
    if (e->changed) {
        e->changed = false;
        e->phase = DIRTY; /* what was written is old news */
    } else if (err) {
        back_off(e);
        tell(e, err, text);
    } else {
        e->phase = CLEAN;
        e->retry_ms = 0;
        tell(e, 0, "");
    }
    pump(attr);
}

static int start(struct entry *e)
{
    struct kmr_attr *attr = e->attr;
    char name[KMR_ATTR_NAME_MAX + 16], node[KMR_ATTR_NAME_MAX + 16];
    char value[KMR_ATTR_VALUE_MAX + 16];
    const char *argv[6];
    struct kmr_child_spec spec = { .argv = argv,
                                   .timeout_ms = KMR_ATTR_TIMEOUT_MS,
                                   .out_max = OUTPUT_MAX };
    int n = 0, err;

    /* one word each: a value may begin with a dash */
    snprintf(name, sizeof(name), "--name=%s", e->name);
    snprintf(value, sizeof(value), "--update=%s", e->value);
    snprintf(node, sizeof(node), "--node=%s", e->node);
    argv[n++] = attr->updater;
    argv[n++] = name;
    argv[n++] = e->is_set ? value : "--delete";
    if (e->node[0]) {
        argv[n++] = node;
    }
    argv[n] = NULL;
    err = kmr_child_start(attr->loop, &spec, written, e, &e->child);
    if (err == 0) {
        e->phase = WRITING;
        attr->running++;
    }
    return err;
}

static void pump(struct kmr_attr *attr)
{
    for (struct entry *e = attr->head; e; e = e->next) {
        int err;

        if (attr->running >= KMR_ATTR_CHILDREN) {
            return;
        }
        if (e->phase != DIRTY) {
            continue;
        }
        err = start(e);
        if (err < 0) {
            back_off(e);
            tell(e, err, strerror(-err));
        }
    }
}

int kmr_attr_new(qb_loop_t *loop, const char *updater, kmr_attr_cb cb,
                 void *user, struct kmr_attr **ret_attr)
{
    struct kmr_attr *attr = calloc(1, sizeof(*attr));

    if (!attr) {
        return -ENOMEM;
    }
    attr->updater = strdup(updater ? updater : "attrd_updater");
    if (!attr->updater) {
        free(attr);
        return -ENOMEM;
    }
    attr->loop = loop;
    attr->cb = cb;
    attr->user = user;
    attr->tail = &attr->head;
    *ret_attr = attr;
    return 0;
}

void kmr_attr_free(struct kmr_attr *attr)
{
    struct entry *e, *next;

    if (!attr) {
        return;
    }
    for (e = attr->head; e; e = next) {
        next = e->next;
        kmr_child_cancel(e->child);
        if (e->timer_set) {
            qb_loop_timer_del(attr->loop, e->timer);
        }
        if (e->settling) {
            qb_loop_timer_del(attr->loop, e->settle);
        }
        free(e);
    }
    free(attr->updater);
    free(attr);
}

/* Printable, no control characters; names and nodes as XML ids are. */
static bool word_ok(const char *s, size_t max)
{
    size_t len = strlen(s);

    return len > 0 && len <= max && s[0] != '-' &&
           strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                     "0123456789._-#:") == len;
}

static bool value_ok(const char *s)
{
    size_t len = strlen(s);

    if (len > KMR_ATTR_VALUE_MAX) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)s[i] < ' ' || s[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static int find_or_add(struct kmr_attr *attr, const char *node,
                       const char *name, struct entry **ret)
{
    struct entry *e;

    for (e = attr->head; e; e = e->next) {
        if (strcmp(e->name, name) == 0 && strcmp(e->node, node) == 0) {
            *ret = e;
            return 0;
        }
    }
    if (attr->count >= KMR_ATTR_NAMES_MAX) {
        return -ENOBUFS;
    }
    e = calloc(1, sizeof(*e));
    if (!e) {
        return -ENOMEM;
    }
    e->attr = attr;
    snprintf(e->name, sizeof(e->name), "%s", name);
    snprintf(e->node, sizeof(e->node), "%s", node);
    *attr->tail = e;
    attr->tail = &e->next;
    attr->count++;
    *ret = e;
    return 1; /* new */
}

static void make_dirty(struct entry *e)
{
    if (e->timer_set) {
        qb_loop_timer_del(e->attr->loop, e->timer);
        e->timer_set = false;
    }
    e->retry_ms = 0;
    e->told = false;
    if (e->phase == WRITING) {
        e->changed = true;
    } else {
        e->phase = DIRTY;
    }
}

static int set(struct kmr_attr *attr, const char *node, const char *name,
               const char *value, unsigned wait_ms)
{
    struct entry *e;
    bool waits;
    int rc;

    if (!word_ok(name, KMR_ATTR_NAME_MAX) ||
        (node && !word_ok(node, KMR_ATTR_NAME_MAX)) ||
        (value && !value_ok(value))) {
        return -EINVAL;
    }
    rc = find_or_add(attr, node ? node : "", name, &e);
    if (rc < 0) {
        return rc;
    }
    if (e->settling) { /* overtaken */
        qb_loop_timer_del(attr->loop, e->settle);
        e->settling = false;
    }
    if (rc == 0 && e->is_set == (value != NULL) &&
        (!value || strcmp(e->value, value) == 0)) {
        return 0; /* it is that, or is about to be */
    }
    e->is_set = value != NULL;
    snprintf(e->value, sizeof(e->value), "%s", value ? value : "");
    if (wait_ms != 0 && e->phase == WAITING && e->retry_ms == 0) {
        return 0; /* since the first change: this one goes with it */
    }
    waits = wait_ms != 0 && (e->phase == CLEAN || e->phase == WAITING);
    make_dirty(e);
    if (waits) {
        wait_for(e, wait_ms);
    }
    pump(attr);
    return 0;
}

int kmr_attr_set(struct kmr_attr *attr, const char *node, const char *name,
                 const char *value)
{
    return set(attr, node, name, value, 0);
}

int kmr_attr_set_later(struct kmr_attr *attr, const char *node,
                       const char *name, const char *value)
{
    return set(attr, node, name, value, KMR_ATTR_LATER_MS);
}

static void settled(void *data)
{
    struct entry *e = data;

    e->settling = false;
    kmr_attr_set(e->attr, e->node[0] ? e->node : NULL, e->name,
                 e->lower_is_set ? e->lower : NULL);
}

int kmr_attr_set_score(struct kmr_attr *attr, const char *node,
                       const char *resource, int32_t score)
{
    char name[KMR_ATTR_NAME_MAX + 1], value[32];
    bool is_set = score != KMR_ATTR_SCORE_NONE;
    struct entry *e;

    if ((size_t)snprintf(name, sizeof(name), "master-%s", resource) >=
        sizeof(name)) {
        return -EINVAL;
    }
    snprintf(value, sizeof(value), "%d", score);
    for (e = attr->head; e; e = e->next) {
        if (strcmp(e->name, name) == 0 &&
            strcmp(e->node, node ? node : "") == 0) {
            break;
        }
    }
    if (!e || !e->is_set || (is_set && score >= atoi(e->value))) {
        return kmr_attr_set(attr, node, name, is_set ? value : NULL);
    }
    /* lower than what is written */
    memcpy(e->lower, value, sizeof(value));
    e->lower_is_set = is_set;
    if (!e->settling) {
        e->settling = qb_loop_timer_add(attr->loop, QB_LOOP_LOW,
                                        (uint64_t)KMR_ATTR_SETTLE_MS * 1000000,
                                        e, settled, &e->settle) == 0;
        if (!e->settling) {
            return kmr_attr_set(attr, node, name, is_set ? value : NULL);
        }
    }
    return 0;
}

bool kmr_attr_is_idle(const struct kmr_attr *attr)
{
    for (const struct entry *e = attr->head; e; e = e->next) {
        if (e->phase != CLEAN || e->settling) {
            return false;
        }
    }
    return true;
}

void kmr_attr_rewrite(struct kmr_attr *attr)
{
    for (struct entry *e = attr->head; e; e = e->next) {
        make_dirty(e);
    }
    pump(attr);
}
