/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A binary heap. */
#include "queue.h"

#include <stdlib.h>
#include <string.h>

static bool is_before(const struct kmr_frame *a, const struct kmr_frame *b)
{
    if (a->due_ns != b->due_ns) {
        return a->due_ns < b->due_ns;
    }
    return a->number < b->number;
}

static void swap(struct kmr_queue *queue, size_t a, size_t b)
{
    struct kmr_frame *frame = queue->heap[a];

    queue->heap[a] = queue->heap[b];
    queue->heap[b] = frame;
}

bool kmr_queue_put(struct kmr_queue *queue, int to, int64_t due_ns,
                   const uint8_t *data, size_t len)
{
    struct kmr_frame *frame;
    size_t i;

    if (queue->count == KMR_QUEUE_MAX) {
        return false;
    }
    frame = malloc(sizeof(*frame) + len);
    if (!frame) {
        return false;
    }
    frame->due_ns = due_ns;
    frame->number = queue->next_number++;
    frame->to = to;
    frame->len = len;
    memcpy(frame->data, data, len);
    i = queue->count++;
    queue->heap[i] = frame;
    while (i > 0 && is_before(queue->heap[i], queue->heap[(i - 1) / 2])) {
        swap(queue, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
    return true;
}

struct kmr_frame *kmr_queue_first(struct kmr_queue *queue)
{
    return queue->count ? queue->heap[0] : NULL;
}

void kmr_queue_drop_first(struct kmr_queue *queue)
{
    size_t i = 0;

    if (queue->count == 0) {
        return;
    }
    free(queue->heap[0]);
    queue->heap[0] = queue->heap[--queue->count];
    for (;;) {
        size_t least = i;
        size_t child = 2 * i + 1;

        if (child < queue->count &&
            is_before(queue->heap[child], queue->heap[least])) {
            least = child;
        }
        child++;
        if (child < queue->count &&
            is_before(queue->heap[child], queue->heap[least])) {
            least = child;
        }
        if (least == i) {
            return;
        }
        swap(queue, i, least);
        i = least;
    }
}

void kmr_queue_clear(struct kmr_queue *queue)
{
    while (queue->count > 0) {
        free(queue->heap[--queue->count]);
    }
}
