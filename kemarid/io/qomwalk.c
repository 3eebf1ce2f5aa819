/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qomwalk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "devices.h"

#define ROOT "/machine"
#define NAMED ROOT "/peripheral/" /* devices that got their id from us */

struct type {
    char name[KMR_QOMWALK_TYPE_MAX];
};

struct kmr_qomwalk {
    char **paths; /* still to be looked at */
    unsigned count, size;
    unsigned seen;
    char *path; /* of the last command; NULL: it was about types */
    struct type unknown[KMR_QOMWALK_UNKNOWN_MAX];
    unsigned unknown_count;
    bool types_asked, over;
    char refused[KMR_DEVICE_TEXT_MAX];
};

struct kmr_qomwalk *kmr_qomwalk_new(void)
{
    struct kmr_qomwalk *walk = calloc(1, sizeof(*walk));

    if (!walk) {
        return NULL;
    }
    walk->size = 64;
    walk->paths = calloc(walk->size, sizeof(*walk->paths));
    if (!walk->paths || !(walk->paths[0] = strdup(ROOT))) {
        kmr_qomwalk_free(walk);
        return NULL;
    }
    walk->count = 1;
    return walk;
}

void kmr_qomwalk_free(struct kmr_qomwalk *walk)
{
    if (!walk) {
        return;
    }
    for (unsigned i = 0; i < walk->count; i++) {
        free(walk->paths[i]);
    }
    free(walk->paths);
    free(walk->path);
    free(walk);
}

static int push(struct kmr_qomwalk *walk, const char *parent, const char *name)
{
    char path[KMR_QOMWALK_PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/%s", parent, name);

    if (n < 0 || n >= (int)sizeof(path) ||
        ++walk->seen > KMR_QOMWALK_OBJECTS_MAX) {
        return -E2BIG;
    }
    if (walk->count == walk->size) {
        char **more =
            realloc(walk->paths, 2 * walk->size * sizeof(*walk->paths));

        if (!more) {
            return -ENOMEM;
        }
        walk->paths = more;
        walk->size *= 2;
    }
    walk->paths[walk->count] = strdup(path);
    if (!walk->paths[walk->count]) {
        return -ENOMEM;
    }
    walk->count++;
    return 0;
}

bool kmr_qomwalk_next(struct kmr_qomwalk *walk, char *ret_command, size_t size)
{
    json_t *root;
    size_t n;

    free(walk->path);
    walk->path = NULL;
    if (walk->over || walk->refused[0]) {
        return false;
    }
    if (walk->count > 0) {
        walk->path = walk->paths[--walk->count];
        root = json_pack("{s:s,s:{s:s}}", "execute", "qom-list", "arguments",
                         "path", walk->path);
    } else if (!walk->types_asked && walk->unknown_count > 0) {
        walk->types_asked = true;
        root = json_pack("{s:s,s:{s:s,s:b}}", "execute", "qom-list-types",
                         "arguments", "implements", "device", "abstract", 0);
    } else {
        walk->over = true;
        return false;
    }
    n = root ? json_dumpb(root, ret_command, size, JSON_COMPACT) : 0;
    json_decref(root);
    if (n == 0 || n >= size) {
        /* a path that is none: not looked at, so not accepted */
        snprintf(walk->refused, sizeof(walk->refused),
                 "an object of the machine has no name that can be asked for");
        return false;
    }
    ret_command[n] = '\0';
    return true;
}

static int note_unknown(struct kmr_qomwalk *walk, const char *type)
{
    for (unsigned i = 0; i < walk->unknown_count; i++) {
        if (strcmp(walk->unknown[i].name, type) == 0) {
            return 0;
        }
    }
    if (walk->unknown_count == KMR_QOMWALK_UNKNOWN_MAX) {
        return -E2BIG;
    }
    memcpy(walk->unknown[walk->unknown_count++].name, type, strlen(type) + 1);
    return 0;
}

/* An object "name" with "child<TYPE>" was found below walk->path. */
static int take_child(struct kmr_qomwalk *walk, const char *name,
                      const char *child)
{
    char type[KMR_QOMWALK_TYPE_MAX], text[KMR_DEVICE_TEXT_MAX];
    char path[KMR_QOMWALK_PATH_MAX + 1];
    size_t len = strlen(child);
    int err;

    if (len < 2 || child[len - 1] != '>' || len > sizeof(type)) {
        return -EBADMSG;
    }
    memcpy(type, child, len - 1);
    type[len - 1] = '\0';
    if (strcmp(type, "irq") == 0 || strcmp(type, "memory-region") == 0) {
        return 0; /* most of the objects, and nothing is below them */
    }
    if (!kmr_device_find(type)) {
        err = note_unknown(walk, type);
        if (err) {
            return err;
        }
    } else if (!walk->refused[0] &&
               !kmr_device_accepted(type, text, sizeof(text))) {
        snprintf(path, sizeof(path), "%s/", walk->path);
        if (strcmp(path, NAMED) == 0) {
            snprintf(walk->refused, sizeof(walk->refused),
                     "device %.40s is %.200s", name, text);
        } else {
            snprintf(walk->refused, sizeof(walk->refused), "%.240s", text);
        }
    }
    return push(walk, walk->path, name);
}

static int take_list(struct kmr_qomwalk *walk, const json_t *list)
{
    static const char start[] = "child<";
    const json_t *item;
    size_t i;

    json_array_foreach(list, i, item) {
        const char *name = json_string_value(json_object_get(item, "name"));
        const char *type = json_string_value(json_object_get(item, "type"));
        int err = -EBADMSG;

        if (name && type) {
            err = strncmp(type, start, sizeof(start) - 1) != 0
                      ? 0 /* a property, a link: seen elsewhere */
                      : take_child(walk, name, type + sizeof(start) - 1);
        }
        if (err) {
            return err;
        }
    }
    return 0;
}

/* Is something that the table has no line for a device? */
static int take_types(struct kmr_qomwalk *walk, const json_t *list)
{
    const json_t *item;
    size_t i;

    if (json_array_size(list) == 0) {
        return -EBADMSG; /* every QEMU has devices */
    }
    json_array_foreach(list, i, item) {
        const char *name = json_string_value(json_object_get(item, "name"));

        if (!name) {
            return -EBADMSG;
        }
        for (unsigned k = 0; k < walk->unknown_count && !walk->refused[0];
             k++) {
            if (strcmp(walk->unknown[k].name, name) == 0) {
                kmr_device_accepted(name, walk->refused, sizeof(walk->refused));
            }
        }
    }
    return 0;
}

int kmr_qomwalk_take(struct kmr_qomwalk *walk, const char *json)
{
    json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    const json_t *list = json_object_get(root, "return");
    int err = -EBADMSG;

    if (json_is_array(list) && !walk->over) {
        err = walk->path ? take_list(walk, list) : take_types(walk, list);
    }
    json_decref(root);
    walk->over = walk->over || err;
    return err;
}

const char *kmr_qomwalk_refused(const struct kmr_qomwalk *walk)
{
    return walk->refused;
}
