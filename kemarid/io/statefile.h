/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_STATEFILE_H
#define KMR_IO_STATEFILE_H

/*
 * Small texts that survive: FOLDER/NAME, replaced as a whole (write, fsync,
 * rename, fsync of the folder). The writing is a thread's, because fsync can
 * take seconds; of several texts for one name only the newest is written.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <qb/qbloop.h>

#define KMR_STATEFILE_MAX 16384 /* bytes of a text */

struct kmr_statefile;

/*
 * Called in the loop's thread. The text of `ticket` is on disk, and so was or
 * is that of each smaller ticket of this name; or, `err` < 0, it is not.
 */
typedef void (*kmr_statefile_cb)(const char *name, uint64_t ticket, int err,
                                 void *user);

/* `cb` may be NULL. 0 or -errno. */
int kmr_statefile_new(const char *folder, qb_loop_t *loop, kmr_statefile_cb cb,
                      void *user, struct kmr_statefile **ret_files);
/* Waits for what is still to be written. NULL is allowed. */
void kmr_statefile_free(struct kmr_statefile *files);

/* Text NULL: removes the file. `ret_ticket` may be NULL; tickets grow. 0,
 * -E2BIG, -ENOMEM. */
int kmr_statefile_write(struct kmr_statefile *files, const char *name,
                        const char *text, uint64_t *ret_ticket);

/* Reads at once. Free the text. 0 or -errno. */
int kmr_statefile_read(const char *folder, const char *name, char **ret_text);

/* The value of a `key=value` line, or false. */
bool kmr_statefile_get(const char *text, const char *key, char *ret_value,
                       size_t size);

#endif
