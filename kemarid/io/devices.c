/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

static const struct kmr_device table[] = {
#include "kemarid/devices_table.inc"
};

#define COUNT (sizeof(table) / sizeof(table[0]))

static const struct {
    const char *text;
    bool accepted;
    const char *why;
} classes[] = {
#define X(name, text, accepted, why) { text, accepted, why },
    KMR_DEVICE_CLASSES(X)
#undef X
};

const char *kmr_device_class_text(enum kmr_device_class class)
{
    return classes[class].text;
}

bool kmr_device_class_accepts(enum kmr_device_class class)
{
    return classes[class].accepted;
}

const struct kmr_device *kmr_device_line(size_t i)
{
    return i < COUNT ? &table[i] : NULL;
}

const struct kmr_device *kmr_device_find(const char *type)
{
    const struct kmr_device *found = NULL;

    for (size_t i = 0; i < COUNT; i++) {
        if (strcmp(table[i].type, type) == 0) {
            return &table[i];
        }
        /* A pattern is no name: "*" as a type must not find one. */
        if (!found && strchr(table[i].type, '*') &&
            fnmatch(table[i].type, type, FNM_NOESCAPE) == 0) {
            found = &table[i];
        }
    }
    return found;
}

bool kmr_device_accepted(const char *type, char *ret_text, size_t size)
{
    const struct kmr_device *device = kmr_device_find(type);

    if (!device) {
        snprintf(ret_text, size,
                 "%s: this version of Kemari does not know it: remove it",
                 type);
        return false;
    }
    if (classes[device->class].accepted) {
        return true;
    }
    snprintf(ret_text, size, "%s: %s: %s", type, classes[device->class].why,
             device->reason);
    return false;
}
