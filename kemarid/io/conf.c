/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "file.h"

#define CONF_MAX (256u * 1024)
#define SETTINGS_MAX 128

struct reader {
    const char *path;
    unsigned line;
    const struct kmr_conf_setting *table;
    char *conf; /* a copy, until all is well */
    char section[64];
    bool seen[SETTINGS_MAX];
    char *error;
    size_t error_size;
};

__attribute__((format(printf, 2, 3))) static int bad(struct reader *r,
                                                     const char *fmt, ...)
{
    char what[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    snprintf(r->error, r->error_size, "%s:%u: %s", r->path, r->line, what);
    return -EBADMSG;
}

static char *trim(char *s)
{
    char *end;

    s += strspn(s, " \t\r");
    end = s + strlen(s);
    while (end > s && strchr(" \t\r", end[-1])) {
        end--;
    }
    *end = '\0';
    return s;
}

static int set_number(struct reader *r, const struct kmr_conf_setting *s,
                      const char *value)
{
    unsigned long long n;
    uint32_t out;
    char *end;

    errno = 0;
    n = strtoull(value, &end, 10);
    if (errno || end == value || *end || strchr(value, '-')) {
        return bad(r, "%s is not a number: %.64s", s->key, value);
    }
    if (n < s->min || n > s->max) {
        return bad(r, "%s = %llu is not within %u to %u", s->key, n, s->min,
                   s->max);
    }
    out = (uint32_t)n;
    memcpy(r->conf + s->offset, &out, sizeof(out));
    return 0;
}

static int set_bool(struct reader *r, const struct kmr_conf_setting *s,
                    const char *value)
{
    bool yes = strcasecmp(value, "yes") == 0;

    if (!yes && strcasecmp(value, "no") != 0) {
        return bad(r, "%s is yes or no, not %.64s", s->key, value);
    }
    memcpy(r->conf + s->offset, &yes, sizeof(yes));
    return 0;
}

static int set_text(struct reader *r, const struct kmr_conf_setting *s,
                    const char *value)
{
    size_t len = strlen(value);

    if (len < s->min || len > s->max || len >= s->size) {
        return bad(r, "%s has %zu characters, not %u to %u", s->key, len,
                   s->min, s->max);
    }
    memcpy(r->conf + s->offset, value, len + 1);
    return 0;
}

static int set(struct reader *r, const char *key, const char *value)
{
    bool known_section = false;

    for (unsigned i = 0; r->table[i].section; i++) {
        const struct kmr_conf_setting *s = &r->table[i];

        if (strcmp(s->section, r->section) != 0) {
            continue;
        }
        known_section = true;
        if (strcmp(s->key, key) != 0) {
            continue;
        }
        if (i < SETTINGS_MAX && r->seen[i]) {
            return bad(r, "%s is set twice", key);
        }
        if (i < SETTINGS_MAX) {
            r->seen[i] = true;
        }
        switch (s->type) {
        case KMR_CONF_NUMBER:
            return set_number(r, s, value);
        case KMR_CONF_BOOL:
            return set_bool(r, s, value);
        case KMR_CONF_TEXT:
            return set_text(r, s, value);
        }
    }
    if (!r->section[0]) {
        return bad(r, "%.64s stands before the first [section]", key);
    }
    return known_section
               ? bad(r, "unknown setting %.64s in [%s]", key, r->section)
               : bad(r, "unknown section [%s]", r->section);
}

static int read_line(struct reader *r, char *line)
{
    char *eq, *end;

    line = trim(line);
    if (*line == '\0' || *line == '#' || *line == ';') {
        return 0;
    }
    if (*line == '[') {
        end = strchr(line, ']');
        if (!end || end[1] || (size_t)(end - line) > sizeof(r->section)) {
            return bad(r, "a section is [name], not %.64s", line);
        }
        *end = '\0';
        snprintf(r->section, sizeof(r->section), "%s", line + 1);
        return 0;
    }
    eq = strchr(line, '=');
    if (!eq) {
        return bad(r, "neither a section nor key = value: %.64s", line);
    }
    *eq = '\0';
    return set(r, trim(line), trim(eq + 1));
}

int kmr_conf_read(const char *path, const struct kmr_conf_setting *table,
                  void *conf, size_t conf_size, char *ret_error,
                  size_t error_size)
{
    struct reader r = { .path = path,
                        .table = table,
                        .error = ret_error,
                        .error_size = error_size };
    char *buf = NULL, *next;
    size_t len;
    int err = kmr_file_read(path, CONF_MAX, &buf, &len);

    if (err < 0) {
        snprintf(ret_error, error_size, "%s: %s", path, strerror(-err));
        return err;
    }
    r.conf = malloc(conf_size);
    if (!r.conf) {
        free(buf);
        return -ENOMEM;
    }
    memcpy(r.conf, conf, conf_size);
    if (strlen(buf) != len) {
        err = bad(&r, "has a NUL byte");
    }
    for (char *line = buf; line && err == 0; line = next) {
        next = strchr(line, '\n');
        if (next) {
            *next++ = '\0';
        }
        r.line++;
        err = read_line(&r, line);
    }
    if (err == 0) {
        memcpy(conf, r.conf, conf_size);
    }
    free(r.conf);
    free(buf);
    return err;
}
