/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

static const char *str(const json_t *obj, const char *key)
{
    const char *s = json_string_value(json_object_get(obj, key));

    return s ? s : "";
}

static long long num(const json_t *obj, const char *key)
{
    return (long long)json_integer_value(json_object_get(obj, key));
}

/* ---- XML: the same tree; members are elements, list items <item> ---- */

static void xml_text(const char *s)
{
    for (; *s; s++) {
        switch (*s) {
        case '<':
            fputs("&lt;", stdout);
            break;
        case '>':
            fputs("&gt;", stdout);
            break;
        case '&':
            fputs("&amp;", stdout);
            break;
        default:
            if ((unsigned char)*s >= ' ' || *s == '\n' || *s == '\t') {
                putchar(*s);
            }
        }
    }
}

static void xml_value(const char *name, json_t *value, int depth)
{
    const char *key;
    json_t *item;
    size_t i;

    printf("%*s<%s>", depth * 2, "", name);
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        putchar('\n');
        json_object_foreach(value, key, item) {
            xml_value(key, item, depth + 1);
        }
        printf("%*s", depth * 2, "");
        break;
    case JSON_ARRAY:
        putchar('\n');
        json_array_foreach(value, i, item) {
            xml_value("item", item, depth + 1);
        }
        printf("%*s", depth * 2, "");
        break;
    case JSON_STRING:
        xml_text(json_string_value(value));
        break;
    case JSON_INTEGER:
        printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        printf("%g", json_real_value(value));
        break;
    case JSON_TRUE:
        fputs("true", stdout);
        break;
    case JSON_FALSE:
        fputs("false", stdout);
        break;
    case JSON_NULL:
        break;
    }
    printf("</%s>\n", name);
}

/* ---- for people ---- */

static void show_side(const char *what, const json_t *side)
{
    if (json_is_object(side)) {
        printf("  %-9s %s (instance %s)\n", what, str(side, "node"),
               str(side, "instance"));
    }
}

static void show_quantiles(const char *what, const json_t *q)
{
    if (json_is_object(q) && num(q, "max") > 0) {
        printf("  %-9s p50 %lld  p95 %lld  p99 %lld  max %lld us\n", what,
               num(q, "p50"), num(q, "p95"), num(q, "p99"), num(q, "max"));
    }
}

static void show_status(const json_t *root)
{
    const json_t *pair;
    size_t i;

    printf("node %s, %s\n", str(root, "node"),
           json_is_true(json_object_get(root, "quorate")) ? "quorate"
                                                          : "NO QUORUM");
    json_array_foreach(json_object_get(root, "pairs"), i, pair) {
        const char *state = str(pair, "state");

        printf("%s: %s", str(pair, "name"), state);
        if (strcmp(state, "syncing") == 0) {
            printf(" %lld%%", num(pair, "progress"));
        }
        printf(" (generation %lld%s%s)\n", num(pair, "generation"),
               *str(pair, "reason") ? "; " : "", str(pair, "reason"));
        show_side("primary", json_object_get(pair, "primary"));
        show_side("standby", json_object_get(pair, "standby"));
        if (num(pair, "checkpoints") > 0) {
            printf("  %-9s %lld checkpoints, the last one %lld ms ago\n",
                   "engine", num(pair, "checkpoints"), num(pair, "lag_ms"));
        }
        if (num(pair, "throttle") > 0) {
            printf("  %-9s held for %lld %% of the time: it dirties memory "
                   "faster than the link carries it\n",
                   "overload", num(pair, "throttle"));
        }
        show_quantiles("freeze", json_object_get(pair, "freeze_us"));
        show_quantiles("ack", json_object_get(pair, "ack_us"));
    }
    if (json_array_size(json_object_get(root, "pairs")) == 0) {
        puts("no pairs");
    }
}

static void show_events(const json_t *root)
{
    const json_t *e;
    size_t i;

    json_array_foreach(root, i, e) {
        const char *vm = str(e, "vm");

        printf("%s %s %s: %s -> %s (%s)\n", str(e, "time"), str(e, "node"),
               *vm ? vm : "health", str(e, "from"), str(e, "to"),
               str(e, "reason"));
    }
}

static const char *yes(const json_t *root, const char *key)
{
    return json_is_true(json_object_get(root, key)) ? "yes" : "NO";
}

static void show_node_health(json_t *node)
{
    const char *reason = str(node, "reason");
    const json_t *source, *said;
    size_t i;

    printf("%s: %s, %s%s%s%s\n", str(node, "node"), str(node, "health"),
           str(node, "watched"), *reason ? " (" : "", reason,
           *reason ? ")" : "");
    json_array_foreach(json_object_get(node, "sources"), i, source) {
        if (strcmp(str(source, "state"), "ok") == 0) {
            printf("  source   %s\n", str(source, "name"));
        } else {
            printf("  MISSING  %s: %s\n", str(source, "name"),
                   str(source, "state"));
        }
    }
    if (num(node, "lost") > 0) {
        printf("  LOST     %lld records\n", num(node, "lost"));
    }
    if (num(node, "memory_failures") > 0) {
        printf("  MEMORY   %lld failures in a QEMU\n",
               num(node, "memory_failures"));
    }
    json_array_foreach(json_object_get(node, "last"), i, said) {
        printf("  %s %s, %s: %s (%s)\n", str(said, "time"),
               str(said, "verdict"), str(said, "scope"), str(said, "reason"),
               str(said, "health"));
    }
}

static void show_health(const json_t *root)
{
    json_t *node;
    size_t i;

    printf("%s: corosync %s, quorum %s, all kemarids heard %s, libvirt %s, "
           "fencer %s\n",
           str(root, "node"), yes(root, "corosync"), yes(root, "quorate"),
           yes(root, "all_heard"), yes(root, "libvirt"), yes(root, "fencer"));
    json_array_foreach(json_object_get(root, "nodes"), i, node) {
        show_node_health(node);
    }
}

/* Everything else that is an object: key: value, one a line. */
static void show_plain(json_t *root)
{
    const char *key;
    json_t *value;

    json_object_foreach(root, key, value) {
        char *text = json_is_string(value)
                         ? strdup(json_string_value(value))
                         : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

        printf("%s: %s\n", key, text ? text : "");
        free(text);
    }
}

int kmr_ctl_show(const char *command, const char *json,
                 enum kmr_ctl_format format)
{
    json_t *root = json_loads(json, 0, NULL);

    if (!root) {
        /* no data but words, say of a command that just does something */
        if (*json) {
            printf("%s%s", json, json[strlen(json) - 1] == '\n' ? "" : "\n");
        }
        return KMR_CTL_DONE;
    }
    if (format == KMR_CTL_JSON) {
        char *text = json_dumps(root, JSON_INDENT(2));

        puts(text ? text : json);
        free(text);
    } else if (format == KMR_CTL_XML) {
        puts("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
        xml_value("kemari", root, 0);
    } else if (strcmp(command, "status") == 0 ||
               strcmp(command, "watch") == 0) {
        show_status(root);
    } else if (strcmp(command, "events") == 0) {
        show_events(root);
    } else if (strcmp(command, "health") == 0) {
        show_health(root);
    } else {
        show_plain(root);
    }
    json_decref(root);
    return KMR_CTL_DONE;
}
