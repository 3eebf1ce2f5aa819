/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_VIRT_LOOP_H
#define KMR_IO_VIRT_LOOP_H

/*
 * libvirt's event loop over libqb's.
 *
 * libvirt wants handles and timeouts added, changed and removed from any of
 * its threads; qb_loop allows none of that. So the handles live in an epoll
 * set and the timeouts in a timerfd of our own (both may be changed from any
 * thread), and the loop polls just that one descriptor. Callbacks run in the
 * loop, without a lock held. A removed handle or timeout is never called
 * again once the removal has returned in the loop's thread; its ff callback
 * runs later, from the loop, never from inside the removal.
 */

#include <qb/qbloop.h>

/*
 * Registers with libvirt; before the first connection, once in the life of a
 * process (libvirt can't take it back). `loop` must outlive every connection.
 * Returns 0 or -errno (-EALREADY: called twice).
 */
int kmr_virt_loop_init(qb_loop_t *loop);

/*
 * Takes the descriptor out of the loop and runs the ff callbacks that are
 * due. Nothing is dispatched afterwards. After the last connection is closed
 * (or given up: a connection that hangs simply stays silent). May be called
 * without an init; a later kmr_virt_loop_init() attaches again.
 */
void kmr_virt_loop_fini(void);

#endif
