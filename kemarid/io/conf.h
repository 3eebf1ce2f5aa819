/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_CONF_H
#define KMR_IO_CONF_H

/*
 * Configuration: `key = value` lines under `[section]`, comments with # or ;
 * at the beginning of a line. Every setting is in a table of the caller with
 * its minimum and maximum; an unknown key, a double one or a bad value is an
 * error that names file and line, and nothing is changed.
 */

#include <stddef.h>
#include <stdint.h>

enum kmr_conf_type {
    KMR_CONF_TEXT,   /* char[size]; min..max: length in bytes */
    KMR_CONF_NUMBER, /* uint32_t; min..max */
    KMR_CONF_BOOL,   /* bool: yes, no */
};

struct kmr_conf_setting {
    const char *section;
    const char *key;
    enum kmr_conf_type type;
    size_t offset; /* in the caller's struct */
    size_t size;   /* TEXT: of the array */
    uint32_t min, max;
};

/*
 * Reads `path` into `conf` (`conf_size` bytes, already holding the defaults).
 * `table` ends with a NULL section. A file that isn't there is -ENOENT.
 * Returns 0, -EBADMSG, or another -errno; `ret_error` has one line then, and
 * `conf` is as before.
 */
int kmr_conf_read(const char *path, const struct kmr_conf_setting *table,
                  void *conf, size_t conf_size, char *ret_error,
                  size_t error_size);

#endif
