/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_ATTRWATCH_H
#define KMR_IO_ATTRWATCH_H

/*
 * Pacemaker's attribute manager forgets this node's transient attributes when
 * it is restarted (by pacemakerd, or with the whole cluster): somebody has to
 * notice. Watches the process; no other program's library is needed for that.
 */

#include <qb/qbloop.h>

#define KMR_ATTRWATCH_NAME "pacemaker-attrd" /* comm: 15 characters */
#define KMR_ATTRWATCH_MS 2000u /* between looks for one that is not there */
/* The same, just after one has ended: without a promotion score, Pacemaker may
 * well demote a primary. */
#define KMR_ATTRWATCH_SOON_MS 100u
#define KMR_ATTRWATCH_SOON_MAX 100u
/* Until the new one takes values, and has those of its peers. */
#define KMR_ATTRWATCH_SETTLE_MS 200u
#define KMR_ATTRWATCH_AGAIN_MS 3000u

struct kmr_attrwatch;

/* `restarted`: another process than the one before is there; told twice, lest
 * it was too early. `name`: NULL or
 * another program, for tests. 0 or -errno. */
int kmr_attrwatch_start(qb_loop_t *loop, const char *name,
                        void (*restarted)(void *user), void *user,
                        struct kmr_attrwatch **ret_watch);
void kmr_attrwatch_stop(struct kmr_attrwatch *watch); /* NULL is allowed */

#endif
