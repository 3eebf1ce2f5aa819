/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

static const char *const role_text[] = {
#define X(name, text) text,
    KMR_QMP_ROLES(X)
#undef X
};
static const char *const state_text[] = {
#define X(name, text) text,
    KMR_QMP_STATES(X)
#undef X
};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

const char *kmr_qmp_role_text(enum kmr_qmp_role role)
{
    return (size_t)role < COUNT(role_text) ? role_text[role] : "?";
}

const char *kmr_qmp_state_text(enum kmr_qmp_state state)
{
    return (size_t)state < COUNT(state_text) ? state_text[state] : "?";
}

static json_t *load(const char *json)
{
    json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, NULL);

    if (root && !json_is_object(root)) {
        json_decref(root);
        root = NULL;
    }
    return root;
}

static int lookup(const json_t *value, const char *const *texts, size_t count)
{
    const char *s = json_string_value(value);

    for (size_t i = 0; s && i < count; i++) {
        if (strcmp(s, texts[i]) == 0) {
            return (int)i;
        }
    }
    return -EBADMSG;
}

static int get_u64(const json_t *obj, const char *key, uint64_t *ret)
{
    const json_t *v = json_object_get(obj, key);

    if (!json_is_integer(v) || json_integer_value(v) < 0) {
        return -EBADMSG;
    }
    *ret = (uint64_t)json_integer_value(v);
    return 0;
}

/* A UUID in its usual form; absent, null and "" are "none". */
static int get_uuid(const json_t *obj, const char *key, char ret[37])
{
    const json_t *v = json_object_get(obj, key);
    const char *s;

    ret[0] = '\0';
    if (!v || json_is_null(v)) {
        return 0;
    }
    s = json_string_value(v);
    if (!s) {
        return -EBADMSG;
    }
    if (*s == '\0') {
        return 0;
    }
    if (strlen(s) != 36) {
        return -EBADMSG;
    }
    for (int i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? s[i] != '-' : !strchr("0123456789abcdefABCDEF", s[i])) {
            return -EBADMSG;
        }
    }
    memcpy(ret, s, 37);
    return 0;
}

static int get_reason(const json_t *obj, char ret[KMR_QMP_REASON_MAX])
{
    const json_t *v = json_object_get(obj, "reason");

    ret[0] = '\0';
    if (!v || json_is_null(v)) {
        return 0;
    }
    if (!json_is_string(v)) {
        return -EBADMSG;
    }
    snprintf(ret, KMR_QMP_REASON_MAX, "%s", json_string_value(v));
    for (char *p = ret; *p; p++) {
        if ((unsigned char)*p < ' ') {
            *p = ' '; /* it goes into one line of a log */
        }
    }
    return 0;
}

static int get_quantiles(const json_t *obj, const char *key,
                         struct kmr_qmp_quantiles *ret)
{
    const json_t *v = json_object_get(obj, key);

    if (!v || json_is_null(v)) {
        return 0; /* no checkpoint yet */
    }
    if (!json_is_object(v) || get_u64(v, "p50", &ret->p50) ||
        get_u64(v, "p95", &ret->p95) || get_u64(v, "p99", &ret->p99) ||
        get_u64(v, "max", &ret->max)) {
        return -EBADMSG;
    }
    return 0;
}

static int get_common(const json_t *obj, struct kmr_qmp_status *st)
{
    int role =
        lookup(json_object_get(obj, "role"), role_text, COUNT(role_text));
    int state =
        lookup(json_object_get(obj, "state"), state_text, COUNT(state_text));

    if (role < 0 || state < 0 || get_u64(obj, "generation", &st->generation) ||
        get_uuid(obj, "instance", st->instance) ||
        get_uuid(obj, "peer", st->peer) || get_reason(obj, st->reason)) {
        return -EBADMSG;
    }
    st->role = (enum kmr_qmp_role)role;
    st->state = (enum kmr_qmp_state)state;
    if (json_object_get(obj, "checkpoint") &&
        get_u64(obj, "checkpoint", &st->checkpoint)) {
        return -EBADMSG;
    }
    return 0;
}

int kmr_qmp_parse_event(const char *json, struct kmr_qmp_status *ret_status)
{
    struct kmr_qmp_status st = { 0 };
    json_t *root = load(json);
    int err;

    if (!root) {
        return -EBADMSG;
    }
    err = get_common(root, &st);
    json_decref(root);
    if (err == 0) {
        *ret_status = st;
    }
    return err;
}

/* `active` and `policy`, in the event and in the answer. */
static int get_overload(const json_t *obj, struct kmr_qmp_status *st)
{
    const json_t *active = json_object_get(obj, "active");
    const char *policy = json_string_value(json_object_get(obj, "policy"));

    if (!json_is_boolean(active) || !policy) {
        return -EBADMSG;
    }
    st->overload = json_is_true(active);
    st->unprotected = st->overload && strcmp(policy, "unprotected") == 0;
    return 0;
}

int kmr_qmp_parse_overload(const char *json, struct kmr_qmp_status *ret_status)
{
    struct kmr_qmp_status st = { 0 };
    json_t *root = load(json);
    int err = -EBADMSG;

    if (root && get_uuid(root, "instance", st.instance) == 0 &&
        get_u64(root, "generation", &st.generation) == 0 &&
        get_u64(root, "throttle", &st.throttle) == 0 && st.throttle <= 100 &&
        get_overload(root, &st) == 0) {
        *ret_status = st;
        err = 0;
    }
    json_decref(root);
    return err;
}

int kmr_qmp_parse_query(const char *json, struct kmr_qmp_status *ret_status)
{
    static const struct {
        const char *key;
        size_t offset;
    } counters[] = {
        { "checkpoints", offsetof(struct kmr_qmp_status, checkpoints) },
        { "pages", offsetof(struct kmr_qmp_status, pages) },
        { "bytes", offsetof(struct kmr_qmp_status, bytes) },
        { "held-requests", offsetof(struct kmr_qmp_status, held_requests) },
        { "held-packets", offsetof(struct kmr_qmp_status, held_packets) },
        { "lag-ms", offsetof(struct kmr_qmp_status, lag_ms) },
        { "throttle", offsetof(struct kmr_qmp_status, throttle) },
    };
    struct kmr_qmp_status st = { 0 };
    json_t *root = load(json);
    const json_t *obj = json_object_get(root, "return");
    const json_t *overload = json_object_get(obj, "overload");
    int err = -EBADMSG;

    if (overload && get_overload(overload, &st)) {
        goto out;
    }
    if (!json_is_object(obj) || get_common(obj, &st) ||
        get_quantiles(obj, "freeze-us", &st.freeze_us) ||
        get_quantiles(obj, "ack-us", &st.ack_us)) {
        goto out;
    }
    for (size_t i = 0; i < COUNT(counters); i++) {
        uint64_t *to = (uint64_t *)((char *)&st + counters[i].offset);

        if (json_object_get(obj, counters[i].key) &&
            get_u64(obj, counters[i].key, to)) {
            goto out;
        }
    }
    *ret_status = st;
    err = 0;
out:
    json_decref(root);
    return err;
}

int kmr_qmp_parse_migrate(const char *json, unsigned *ret_percent,
                          char *ret_status, size_t status_size)
{
    json_t *root = load(json);
    const json_t *obj = json_object_get(root, "return");
    const json_t *status = json_object_get(obj, "status");
    const json_t *ram = json_object_get(obj, "ram");
    const char *text = "none";
    uint64_t total, remaining;
    unsigned percent = 0;
    int err = -EBADMSG;

    if (!json_is_object(obj) || (status && !json_is_string(status))) {
        goto out;
    }
    if (status) {
        text = json_string_value(status);
    }
    if (strcmp(text, "kemari") == 0 || strcmp(text, "completed") == 0) {
        percent = 100;
    } else if (json_is_object(ram)) {
        if (get_u64(ram, "total", &total) ||
            get_u64(ram, "remaining", &remaining)) {
            goto out;
        }
        if (total > 0 && remaining <= total) {
            percent = (unsigned)((total - remaining) / (total / 100 + 1));
        }
    }
    if (strlen(text) >= status_size) {
        goto out;
    }
    memcpy(ret_status, text, strlen(text) + 1);
    *ret_percent = percent > 100 ? 100 : percent;
    err = 0;
out:
    json_decref(root);
    return err;
}

int kmr_qmp_parse_run(const char *json, char *ret_status, size_t size)
{
    json_t *root = load(json);
    const char *text = json_string_value(
        json_object_get(json_object_get(root, "return"), "status"));
    int err = -EBADMSG;

    if (text && strlen(text) < size) {
        memcpy(ret_status, text, strlen(text) + 1);
        err = 0;
    }
    json_decref(root);
    return err;
}

bool kmr_qmp_is_error(const char *json, char *ret_text, size_t size)
{
    json_t *root = load(json);
    const json_t *e = json_object_get(root, "error");
    const char *class = json_string_value(json_object_get(e, "class"));
    const char *desc = json_string_value(json_object_get(e, "desc"));
    bool is_error = true;

    if (!root) {
        snprintf(ret_text, size, "not JSON: %.80s", json);
    } else if (e) {
        snprintf(ret_text, size, "%s: %s", class ? class : "?",
                 desc ? desc : "?");
    } else if (!json_object_get(root, "return")) {
        snprintf(ret_text, size, "neither return nor error: %.80s", json);
    } else {
        is_error = false;
    }
    json_decref(root);
    return is_error;
}

/* Takes ownership of `args` (may be NULL). */
static int command(const char *name, json_t *args, char *ret_text, size_t size)
{
    json_t *root = json_object();
    size_t n;

    json_object_set_new(root, "execute", json_string(name));
    if (args) {
        json_object_set_new(root, "arguments", args);
    }
    n = json_dumpb(root, ret_text, size, JSON_COMPACT);
    json_decref(root);
    if (n == 0 || n >= size) {
        if (size) {
            ret_text[0] = '\0';
        }
        return -ENOSPC;
    }
    ret_text[n] = '\0';
    return 0;
}

static json_t *order_args(const char *instance, uint64_t generation)
{
    json_t *args = json_object();

    json_object_set_new(args, "instance", json_string(instance));
    json_object_set_new(args, "generation",
                        json_integer((json_int_t)generation));
    return args;
}

int kmr_qmp_prepare(const char *instance, const char *peer, uint64_t generation,
                    const struct kmr_qmp_settings *settings, char *ret_text,
                    size_t size)
{
    json_t *args = order_args(instance, generation);

    if (peer) {
        json_object_set_new(args, "peer", json_string(peer));
    }
    json_object_set_new(args, "timeout-ms", json_integer(settings->lost_ms));
    json_object_set_new(args, "overload", json_string(settings->overload));
    json_object_set_new(args, "staging",
                        json_integer((json_int_t)settings->staging_mib << 20));
    /* Nothing is released before `confirm`: R1. */
    json_object_set_new(args, "confirm", json_true());
    return command("x-kemari-prepare", args, ret_text, size);
}

int kmr_qmp_set_capability(char *ret_text, size_t size)
{
    json_t *args = json_pack("{s:[{s:s,s:b}]}", "capabilities", "capability",
                             "x-kemari", "state", 1);

    return command("migrate-set-capabilities", args, ret_text, size);
}

static const char *keys_id(bool server)
{
    return server ? "kemari-standby-keys" : "kemari-primary-keys";
}

int kmr_qmp_remove_keys(bool server, char *ret_text, size_t size)
{
    return command("object-del", json_pack("{s:s}", "id", keys_id(server)),
                   ret_text, size);
}

int kmr_qmp_add_keys(const char *kind, const char *dir, bool server,
                     char *ret_text, size_t size)
{
    bool psk = strcmp(kind, "psk") == 0;
    json_t *args = json_pack("{s:s,s:s,s:s}", "id", keys_id(server), "endpoint",
                             server ? "server" : "client", "dir", dir);

    json_object_set_new(args, "qom-type",
                        json_string(psk ? "tls-creds-psk" : "tls-creds-x509"));
    if (psk) {
        /* GnuTLS takes ChaCha20 first here; AES is ten times as fast. */
        json_object_set_new(args, "priority",
                            json_string("NORMAL:-CHACHA20-POLY1305"));
    }
    if (psk && !server) {
        json_object_set_new(args, "username", json_string("kemari"));
    }
    return command("object-add", args, ret_text, size);
}

int kmr_qmp_set_parameters(const char *kind, bool server, uint32_t sync_mib_s,
                           char *ret_text, size_t size)
{
    return command("migrate-set-parameters",
                   json_pack("{s:s,s:I}", "tls-creds",
                             kind ? keys_id(server) : "", "max-bandwidth",
                             (json_int_t)sync_mib_s << 20),
                   ret_text, size);
}

int kmr_qmp_migrate(const char *uri, bool incoming, char *ret_text, size_t size)
{
    return command(incoming ? "migrate-incoming" : "migrate",
                   json_pack("{s:s}", "uri", uri), ret_text, size);
}

int kmr_qmp_confirm(const char *instance, uint64_t generation, char *ret_text,
                    size_t size)
{
    return command("x-kemari-confirm", order_args(instance, generation),
                   ret_text, size);
}

int kmr_qmp_release(const char *instance, uint64_t generation, char *ret_text,
                    size_t size)
{
    return command("x-kemari-release", order_args(instance, generation),
                   ret_text, size);
}

int kmr_qmp_takeover(const char *instance, uint64_t generation, char *ret_text,
                     size_t size)
{
    return command("x-kemari-takeover", order_args(instance, generation),
                   ret_text, size);
}

int kmr_qmp_handover(const char *instance, uint64_t generation, char *ret_text,
                     size_t size)
{
    return command("x-kemari-handover", order_args(instance, generation),
                   ret_text, size);
}

int kmr_qmp_retry(const char *instance, uint64_t generation, bool report,
                  char *ret_text, size_t size)
{
    json_t *args = order_args(instance, generation);

    json_object_set_new(args, "report", json_boolean(report));
    return command("x-kemari-retry", args, ret_text, size);
}

int kmr_qmp_restart(const char *instance, uint64_t generation, char *ret_text,
                    size_t size)
{
    return command("x-kemari-restart", order_args(instance, generation),
                   ret_text, size);
}

int kmr_qmp_simple(const char *name, char *ret_text, size_t size)
{
    return command(name, NULL, ret_text, size);
}
