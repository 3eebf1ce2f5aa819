/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_DEVICES_H
#define KMR_IO_DEVICES_H

/*
 * The device table: a verdict on every type of device that the emulator
 * knows. kemarid/devices.table has the lines; they are compiled in
 * (docs/devices.md says why). No I/O here.
 */

#include <stdbool.h>
#include <stddef.h>

/* name, in the table, may it be in a machine that is protected, and what is
 * said of one that may not */
#define KMR_DEVICE_CLASSES(X)                                 \
    X(PROTECTED, "protected", true, "")                       \
    X(LOOSE, "loose", true, "")                               \
    X(MACHINE, "machine", true, "")                           \
    X(KVM, "kvm", true, "")                                   \
    X(UNTRIED, "untried", false, "not tried with Kemari yet") \
    X(REFUSED, "refused", false, "can't be protected")        \
    X(INTERNAL, "internal", false, "not for guests")

enum kmr_device_class {
#define X(name, text, accepted, why) KMR_DEVICE_##name,
    KMR_DEVICE_CLASSES(X)
#undef X
};

struct kmr_device {
    const char *type; /* QEMU's name, or a pattern with * */
    enum kmr_device_class class;
    const char *reason; /* never empty */
};

#define KMR_DEVICE_TEXT_MAX 256

const char *kmr_device_class_text(enum kmr_device_class class);
bool kmr_device_class_accepts(enum kmr_device_class class);

/* The table's lines, in its order; NULL after the last one. */
const struct kmr_device *kmr_device_line(size_t i);

/* The line for this type: the one with its name, else the first pattern that
 * fits. NULL: no line, the type is unknown. */
const struct kmr_device *kmr_device_find(const char *type);

/* May it be in a machine that is protected? false: `ret_text` says what it
 * is, why not, and what to do; one line, no full stop. */
bool kmr_device_accepted(const char *type, char *ret_text, size_t size);

#endif
