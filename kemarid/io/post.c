/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "post.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct kmr_post {
    pthread_mutex_t lock;
    unsigned refs;
    bool closed;
    int fd;
    qb_loop_t *loop;
    struct kmr_post_item *head, **tail;
};

static struct kmr_post_item *take_all(struct kmr_post *post, bool close_it)
{
    struct kmr_post_item *list;

    pthread_mutex_lock(&post->lock);
    list = post->head;
    post->head = NULL;
    post->tail = &post->head;
    post->closed = post->closed || close_it;
    pthread_mutex_unlock(&post->lock);
    return list;
}

static int32_t arrived(int32_t fd, int32_t revents, void *data)
{
    struct kmr_post *post = data;
    struct kmr_post_item *item, *next;
    uint64_t n;

    (void)revents;
    if (read(fd, &n, sizeof(n)) < 0) {
        return 0;
    }
    kmr_post_ref(post); /* an item may close the box */
    for (item = take_all(post, false); item; item = next) {
        next = item->next;
        if (post->closed) {
            item->drop(item);
        } else {
            item->run(item);
        }
    }
    kmr_post_unref(post);
    return 0;
}

int kmr_post_new(qb_loop_t *loop, struct kmr_post **ret_post)
{
    struct kmr_post *post = calloc(1, sizeof(*post));
    int err;

    if (!post) {
        return -ENOMEM;
    }
    pthread_mutex_init(&post->lock, NULL);
    post->refs = 1;
    post->loop = loop;
    post->tail = &post->head;
    post->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (post->fd < 0) {
        err = -errno;
        free(post);
        return err;
    }
    err = qb_loop_poll_add(loop, QB_LOOP_HIGH, post->fd, POLLIN, post, arrived);
    if (err < 0) {
        close(post->fd);
        free(post);
        return err;
    }
    *ret_post = post;
    return 0;
}

struct kmr_post *kmr_post_ref(struct kmr_post *post)
{
    pthread_mutex_lock(&post->lock);
    post->refs++;
    pthread_mutex_unlock(&post->lock);
    return post;
}

void kmr_post_unref(struct kmr_post *post)
{
    unsigned left;

    pthread_mutex_lock(&post->lock);
    left = --post->refs;
    pthread_mutex_unlock(&post->lock);
    if (left == 0) {
        if (!post->closed) {
            kmr_post_close(post); /* only the loop's thread can get here */
        }
        close(post->fd);
        pthread_mutex_destroy(&post->lock);
        free(post);
    }
}

void kmr_post_send(struct kmr_post *post, struct kmr_post_item *item)
{
    uint64_t one = 1;
    bool closed;
    ssize_t n;

    item->next = NULL;
    pthread_mutex_lock(&post->lock);
    closed = post->closed;
    if (!closed) {
        *post->tail = item;
        post->tail = &item->next;
    }
    pthread_mutex_unlock(&post->lock);
    if (closed) {
        item->drop(item);
        return;
    }
    n = write(post->fd, &one, sizeof(one));
    (void)n; /* fails only at 2^64-2 letters unread: then it is readable */
}

void kmr_post_close(struct kmr_post *post)
{
    struct kmr_post_item *item, *next;

    qb_loop_poll_del(post->loop, post->fd);
    for (item = take_all(post, true); item; item = next) {
        next = item->next;
        item->drop(item);
    }
}
