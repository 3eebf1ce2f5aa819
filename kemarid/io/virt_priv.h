/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_VIRT_PRIV_H
#define KMR_IO_VIRT_PRIV_H

/* What virt.c (events) and virt_worker.c (orders) share. */

#include <pthread.h>

#include <libvirt/libvirt.h>

#include "post.h"
#include "virt.h"

#define KMR_VIRT_KEEPALIVE_S 2
#define KMR_VIRT_KEEPALIVE_COUNT 3

const char *kmr_virt_uri(const struct kmr_virt *virt);
qb_loop_t *kmr_virt_loop_of(const struct kmr_virt *virt);
struct kmr_post *kmr_virt_post(const struct kmr_virt *virt);

/* A connection with keep-alive; NULL: `ret_error` says why. Blocks. */
virConnectPtr kmr_virt_open(const char *uri, char *ret_error, size_t size);

/* The thread's last libvirt error in one line; its code, or 0. */
int kmr_virt_last_error(char *ret_error, size_t size);

/* Starts a detached thread with every signal blocked. 0 or -errno. */
int kmr_virt_thread(void *(*run)(void *), void *arg);

enum kmr_virt_state kmr_virt_map_state(int state, int reason);

#endif
