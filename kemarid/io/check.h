/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_CHECK_H
#define KMR_IO_CHECK_H

/*
 * What can't be protected, ahead of time and by name: each finding names the
 * element and the line of the operator's XML and says what to change. The
 * engine checks again when protection starts (its device table has the last
 * word); this is so that nobody has to find out there.
 */

#include <stdbool.h>
#include <stdint.h>

#include <qb/qbloop.h>

#include "domxml.h"

#define KMR_CHECK_PROBE_TIMEOUT_MS 10000u

struct kmr_check_finding {
    bool error;          /* false: a remark */
    int line;            /* 0: not about a line of the XML */
    const char *element; /* "disk vda", "interface 52:54:..", "host"; or "" */
    const char *text;    /* one line, no full stop */
};

typedef void (*kmr_check_cb)(const struct kmr_check_finding *finding,
                             void *user);

/* The XML alone: no system call. Returns the number of errors. */
unsigned kmr_check_xml(const struct kmr_domxml *dom, kmr_check_cb report,
                       void *user);

/* This host: root, /dev/net/tun (when `dom`, if any, needs it), /dev/kvm for
 * type='kvm'. Returns the number of errors. */
unsigned kmr_check_host(const struct kmr_domxml *dom, kmr_check_cb report,
                        void *user);

/* What is wrong with an emulator, by one start of it (-machine none). */
enum kmr_check_emulator {
    KMR_CHECK_EMULATOR_PATCHED,
    KMR_CHECK_EMULATOR_UNPATCHED, /* works, but has no query-kemari */
    KMR_CHECK_EMULATOR_MISSING,   /* no such file, or not executable */
    KMR_CHECK_EMULATOR_BROKEN,    /* doesn't start, talk, or end in time */
};
typedef void (*kmr_check_emulator_cb)(enum kmr_check_emulator what,
                                      const char *text, void *user);

/* `text`: version or what went wrong. The callback comes once, later, from
 * the loop. Returns 0 or -errno (then no callback). */
int kmr_check_emulator(qb_loop_t *loop, const char *path,
                       kmr_check_emulator_cb cb, void *user);

typedef void (*kmr_check_done_cb)(unsigned errors, void *user);

/*
 * All of it. `emulator`: the configured one, or NULL for the XML's own.
 * `patched`: where a patched one is, for the text; or NULL. Findings come
 * from the loop, then `done` once. `dom` must live until `done`. Returns 0 or
 * -errno (then nothing comes).
 */
int kmr_check_domain(qb_loop_t *loop, const struct kmr_domxml *dom,
                     const char *emulator, const char *patched,
                     kmr_check_cb report, kmr_check_done_cb done, void *user);

/* The same for a program without a loop (`kemarictl check` without kemarid):
 * reads the file, runs a loop of its own. Returns the number of errors. */
unsigned kmr_check_file(const char *path, const char *emulator,
                        const char *patched, kmr_check_cb report, void *user);

#endif
