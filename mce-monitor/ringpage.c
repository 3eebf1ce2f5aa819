/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mce-monitor/ringpage.h"

#include <string.h>

/* The kernel's include/linux/ring_buffer.h and kernel/trace/ring_buffer.c */
#define ENTRY 4 /* bytes: 5 bits of type, 27 of time */
#define TYPE_PADDING 29
#define TYPE_TIME_EXTEND 30
#define TYPE_TIME_STAMP 31
#define TIME_SHIFT 27
/* An absolute time has 59 bits; the others are the page's. */
#define STAMP_MASK ((UINT64_C(1) << 59) - 1)

#define COMMIT_MASK ((UINT64_C(1) << 27) - 1)
#define LOST_STORED (UINT64_C(1) << 30) /* their number follows the data */
#define LOST_SOME (UINT64_C(1) << 31)

static uint32_t u32_at(const uint8_t *bytes)
{
    uint32_t number;

    memcpy(&number, bytes, sizeof(number));
    return number;
}

static uint64_t u64_at(const uint8_t *bytes)
{
    uint64_t number;

    memcpy(&number, bytes, sizeof(number));
    return number;
}

bool kmr_ringpage_open(struct kmr_ringpage *page,
                       const struct kmr_ringpage_layout *layout,
                       const void *bytes, size_t size)
{
    const uint8_t *from = bytes;
    uint64_t commit;

    if (size < layout->data_at || layout->data_at < sizeof(uint64_t) ||
        layout->commit_at + layout->commit_size > layout->data_at ||
        (layout->commit_size != 4 && layout->commit_size != 8)) {
        return false;
    }
    memset(page, 0, sizeof(*page));
    page->time = u64_at(from);
    commit = layout->commit_size == 8 ? u64_at(from + layout->commit_at)
                                      : u32_at(from + layout->commit_at);
    page->data = from + layout->data_at;
    page->used = (size_t)(commit & COMMIT_MASK);
    if (page->used > size - layout->data_at) {
        page->used = size - layout->data_at;
        page->broken = true;
    }
    if (commit & LOST_SOME) {
        if ((commit & LOST_STORED) &&
            size - layout->data_at - page->used >= sizeof(uint64_t)) {
            page->lost = u64_at(page->data + page->used);
        } else {
            page->lost = 1;
            page->lost_some = true;
        }
    }
    return true;
}

bool kmr_ringpage_next(struct kmr_ringpage *page, const uint8_t **ret_record,
                       size_t *ret_size, uint64_t *ret_time_ns)
{
    while (page->used - page->at >= ENTRY) {
        const uint8_t *entry = page->data + page->at;
        size_t left = page->used - page->at - ENTRY;
        uint32_t head = u32_at(entry);
        unsigned type = head & 31;
        uint64_t delta = head >> 5;
        size_t size;

        if (type >= TYPE_PADDING || type == 0) {
            if (type == TYPE_PADDING && delta == 0) {
                return false; /* up to the end */
            }
            if (left < sizeof(uint32_t)) {
                page->broken = true;
                return false;
            }
        }
        switch (type) {
        case TYPE_TIME_EXTEND:
            page->time +=
                delta + ((uint64_t)u32_at(entry + ENTRY) << TIME_SHIFT);
            page->at += ENTRY + sizeof(uint32_t);
            continue;
        case TYPE_TIME_STAMP:
            page->time =
                (page->time & ~STAMP_MASK) |
                ((delta + ((uint64_t)u32_at(entry + ENTRY) << TIME_SHIFT)) &
                 STAMP_MASK);
            page->at += ENTRY + sizeof(uint32_t);
            continue;
        case TYPE_PADDING: /* a record that its filter has thrown away */
        case 0:
            size = u32_at(entry + ENTRY); /* itself included */
            if (size < sizeof(uint32_t) || size > left) {
                page->broken = true;
                return false;
            }
            page->at += ENTRY + ((size + 3) & ~(size_t)3);
            entry += ENTRY + sizeof(uint32_t);
            size -= sizeof(uint32_t);
            break;
        default:
            size = type * sizeof(uint32_t);
            if (size > left) {
                page->broken = true;
                return false;
            }
            page->at += ENTRY + size;
            entry += ENTRY;
            break;
        }
        if (page->at > page->used) {
            page->at = page->used; /* rounded up past the end */
        }
        page->time += delta;
        if (type == TYPE_PADDING) {
            continue;
        }
        *ret_record = entry;
        *ret_size = size;
        *ret_time_ns = page->time;
        return true;
    }
    return false;
}
