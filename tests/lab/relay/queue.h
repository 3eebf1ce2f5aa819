/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames in the order in which they are due; equal times in the order of
 * their arrival.
 */
#ifndef KMR_LAB_QUEUE_H
#define KMR_LAB_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KMR_QUEUE_MAX 8192 /* frames */

struct kmr_frame {
    int64_t due_ns;
    uint64_t number;
    int to;
    size_t len;
    uint8_t data[];
};

struct kmr_queue {
    struct kmr_frame *heap[KMR_QUEUE_MAX];
    size_t count;
    uint64_t next_number;
};

/* Copies the frame. False: full, or no memory. */
bool kmr_queue_put(struct kmr_queue *queue, int to, int64_t due_ns,
                   const uint8_t *data, size_t len);

/* The one that is due first, NULL when empty. It stays the queue's. */
struct kmr_frame *kmr_queue_first(struct kmr_queue *queue);

void kmr_queue_drop_first(struct kmr_queue *queue);
void kmr_queue_clear(struct kmr_queue *queue);

#endif
