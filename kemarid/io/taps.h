/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_TAPS_H
#define KMR_IO_TAPS_H

/*
 * The kernel's side of a QEMU's network cards: frames that came in for the
 * guest and were not read. While a QEMU hangs, or is frozen for good, or has
 * just died, its clients' requests lie there, and nobody repeats them before
 * its TCP timer does: after a second's silence that takes another.
 *
 * The taps are shared with the QEMU (pidfd_getfd(2)), so that they outlive it
 * for a moment. Nothing is ever sent into the network from here; what is put
 * into a guest twice, late or not at all is what a network may do anyway.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <qb/qbloop.h>

#include "io/pidwatch.h"

#define KMR_TAPS_MAX 64           /* queues of one QEMU; more are left out */
#define KMR_TAPS_BLOB (16 * 1024) /* bytes that are passed on at a time */
/* Passed on in all: a guest under heavy load is not worth the cluster's
 * network. */
#define KMR_TAPS_BYTES_MAX (256 * 1024)

struct kmr_taps;

/* Frames that were read, as kmr_taps_put() takes them. In the loop. */
typedef void (*kmr_taps_cb)(const uint8_t *blob, size_t len, void *user);

/* The taps that `proc` has open; there may be none. 0 or -errno. */
int kmr_taps_open(qb_loop_t *loop, const struct kmr_proc *proc,
                  struct kmr_taps **ret_taps);
void kmr_taps_close(struct kmr_taps *taps); /* NULL is allowed */

/* One of them has a name of the operator's (<target dev=>), which the next
 * QEMU of the domain can't have before this one is closed. */
bool kmr_taps_are_named(const struct kmr_taps *taps);

/*
 * Frames for the guest itself (no broadcasts: those reach every node) are
 * taken out and passed on as they come, until kmr_taps_close() or
 * kmr_taps_keep(), at most KMR_TAPS_BYTES_MAX. Only for a QEMU that will not
 * read them.
 */
void kmr_taps_pass_on(struct kmr_taps *taps, kmr_taps_cb cb, void *user);
void kmr_taps_keep(struct kmr_taps *taps);

/*
 * Of a standby that may have to resume: what lies there now is as old as the
 * standby, and is dropped; and its bridges forget where they have seen the
 * guest, so that they flood what still comes for it, also to these taps.
 */
void kmr_taps_expect(struct kmr_taps *taps);

/* Into the guest, whose MAC addresses the frames name. What does not fit any
 * of its cards, or is malformed, is dropped. Returns the frames put in. */
unsigned kmr_taps_put(struct kmr_taps *taps, const uint8_t *blob, size_t len);

#endif
