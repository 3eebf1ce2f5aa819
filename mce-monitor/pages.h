/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_MCE_PAGES_H
#define KMR_MCE_PAGES_H

/*
 * From pages of a ring buffer to records: layouts come from the format files
 * of the kernel that wrote them (libtraceevent reads these), whether it is
 * the running one or that of a recording.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mce-monitor/hwrecord.h"

#define KMR_PAGES_FORMAT_MAX 65536 /* bytes of a format file */
#define KMR_PAGES_SIZE_MAX 65536   /* of a page */

struct kmr_pages;

struct kmr_pages_stats {
    uint64_t pages;
    uint64_t records; /* given on */
    uint64_t foreign; /* of other events */
    uint64_t broken;  /* records cut off, pages with lengths that can't be */
    uint64_t lost;    /* dropped by the kernel: at least so many */
};

typedef void (*kmr_pages_cb)(const struct kmr_hw_record *record, void *user);

/* `events` is the folder with header_page (or its parent has it) and
 * SYSTEM/EVENT/format. 0 or -errno: no header_page that makes sense. */
int kmr_pages_new(const char *events, struct kmr_pages **ret_pages);
void kmr_pages_free(struct kmr_pages *pages); /* NULL is allowed */

/* NULL: the event can be read; else why not. */
const char *kmr_pages_lacks(const struct kmr_pages *pages,
                            enum kmr_hw_event event);
size_t kmr_pages_size(const struct kmr_pages *pages);
const struct kmr_pages_stats *kmr_pages_stats(const struct kmr_pages *pages);

/* Calls back for each record, and first for what was lost before it
 * (KMR_HW_LOST). The record is valid until the callback returns. */
void kmr_pages_read(struct kmr_pages *pages, const void *page, size_t size,
                    kmr_pages_cb cb, void *user);

/* For those that write pages (tests): where a field is in a record. Returns
 * false where the layout has it not. `name` NULL: the size of the record's
 * fixed part in *ret_at, its id in *ret_size. */
bool kmr_pages_where(const struct kmr_pages *pages, enum kmr_hw_event event,
                     const char *name, unsigned *ret_at, unsigned *ret_size,
                     bool *ret_dynamic);

#endif
