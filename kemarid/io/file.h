/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_FILE_H
#define KMR_IO_FILE_H

/* Small files that must survive a power cut. */

#include <stddef.h>
#include <sys/types.h>

/* Writes PATH.new, fsync, rename, fsync of the folder: afterwards it is the
 * old content or the new one, never half. 0 or -errno. */
int kmr_file_write(const char *path, const void *buf, size_t len, mode_t mode);

/* Whole file, NUL-terminated, free() it. -EFBIG above `max`. 0 or -errno. */
int kmr_file_read(const char *path, size_t max, char **ret_buf,
                  size_t *ret_len);

/* Removes it; its absence is no error. 0 or -errno. */
int kmr_file_remove(const char *path);

#endif
