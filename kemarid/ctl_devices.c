/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "io/devices.h"

/* Of a type, or of a line of the table when `type` is NULL. */
static void show_text(const char *type, const struct kmr_device *device)
{
    if (device) {
        printf("%-32s %-10s %s\n", type ? type : device->type,
               kmr_device_class_text(device->class), device->reason);
    } else {
        printf("%-32s %-10s no line in the device table\n", type, "unknown");
    }
}

static json_t *to_json(const char *type, const struct kmr_device *device)
{
    json_t *item = json_object();

    if (type) {
        json_object_set_new(item, "type", json_string(type));
    }
    if (device) {
        json_object_set_new(item, "line", json_string(device->type));
    }
    json_object_set_new(item, "class",
                        json_string(device
                                        ? kmr_device_class_text(device->class)
                                        : "unknown"));
    json_object_set_new(item, "accepted",
                        json_boolean(device &&
                                     kmr_device_class_accepts(device->class)));
    json_object_set_new(item, "reason",
                        json_string(device ? device->reason
                                           : "no line in the device table"));
    return item;
}

static void show(json_t *list, const char *type,
                 const struct kmr_device *device)
{
    if (list) {
        json_array_append_new(list, to_json(type, device));
    } else {
        show_text(type, device);
    }
}

int kmr_ctl_devices(int count, const char *const *types,
                    enum kmr_ctl_format format)
{
    json_t *list = format == KMR_CTL_TEXT ? NULL : json_array();
    const struct kmr_device *device;
    int code = KMR_CTL_DONE;

    for (size_t i = 0; count == 0 && (device = kmr_device_line(i)); i++) {
        show(list, NULL, device);
    }
    for (int i = 0; i < count; i++) {
        device = kmr_device_find(types[i]);
        show(list, types[i], device);
        if (!device || !kmr_device_class_accepts(device->class)) {
            code = KMR_CTL_FAILED;
        }
    }
    if (list) {
        json_t *root = json_pack("{s:o}", "devices", list);
        char *text = json_dumps(root, JSON_COMPACT);

        kmr_ctl_show("devices", text ? text : "{}", format);
        free(text);
        json_decref(root);
    }
    return code;
}
