/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_POST_H
#define KMR_IO_POST_H

/*
 * A letter box between a thread and the loop: any thread puts an item in, the
 * loop runs it. Reference-counted, because a thread that hangs in a library
 * outlives whoever it works for.
 */

#include <qb/qbloop.h>

struct kmr_post;

/* Embedded first in the sender's own struct. Exactly one of the two is called
 * once, both in the loop's thread or (`drop` only) in the sender's; it frees
 * the item. */
struct kmr_post_item {
    struct kmr_post_item *next;
    void (*run)(struct kmr_post_item *item);
    void (*drop)(struct kmr_post_item *item); /* the box was closed */
};

/* One reference for the caller. 0 or -errno. */
int kmr_post_new(qb_loop_t *loop, struct kmr_post **ret_post);
struct kmr_post *kmr_post_ref(struct kmr_post *post);
void kmr_post_unref(struct kmr_post *post);

/* Takes `item`. Any thread. Items run in the order they were sent. */
void kmr_post_send(struct kmr_post *post, struct kmr_post_item *item);

/* Loop's thread: items that wait, and those still to come, are dropped. */
void kmr_post_close(struct kmr_post *post);

#endif
