/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_MCE_RINGPAGE_H
#define KMR_MCE_RINGPAGE_H

/*
 * A page of the kernel's ring buffer, as trace_pipe_raw gives it. Pure. No
 * length in it is trusted: libtraceevent's kbuffer does, and a page may come
 * from a file (tests/mced/test_pages.c compares the two).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where things are in a page: from events/header_page. */
struct kmr_ringpage_layout {
    size_t commit_at, commit_size; /* how much of the page is used */
    size_t data_at;
    size_t size; /* of the page */
};

struct kmr_ringpage {
    const uint8_t *data;
    size_t used; /* bytes of data */
    size_t at;   /* the next entry */
    uint64_t time;
    uint64_t lost;  /* records that the kernel dropped before this page; */
    bool lost_some; /* true: their number is not known, at least 1 */
    bool broken;    /* a length that can't be: the rest is not read */
};

/* False where it is no page at all. */
bool kmr_ringpage_open(struct kmr_ringpage *page,
                       const struct kmr_ringpage_layout *layout,
                       const void *bytes, size_t size);

/* The next record and its time in ns, or false. */
bool kmr_ringpage_next(struct kmr_ringpage *page, const uint8_t **ret_record,
                       size_t *ret_size, uint64_t *ret_time_ns);

#endif
