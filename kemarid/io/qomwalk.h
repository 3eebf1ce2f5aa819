/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_QOMWALK_H
#define KMR_IO_QOMWALK_H

/*
 * Which devices are in the machine that runs? Walks QEMU's tree of objects,
 * one QMP command after another, and asks the device table about each type.
 * Fail closed: a type that no line is for is refused when QEMU says that it is
 * a device. No I/O here: the caller gives the commands and brings the replies.
 *
 *   while (kmr_qomwalk_next(walk, command, sizeof(command))) {
 *       ... reply ...
 *       if (kmr_qomwalk_take(walk, reply)) { unreadable }
 *   }
 *   kmr_qomwalk_refused(walk) is "", or why the machine can't be protected
 */

#include <stdbool.h>
#include <stddef.h>

#define KMR_QOMWALK_OBJECTS_MAX 4096 /* looked at; a small machine has 60 */
#define KMR_QOMWALK_PATH_MAX 512
#define KMR_QOMWALK_TYPE_MAX 64
#define KMR_QOMWALK_UNKNOWN_MAX 64 /* types that the table has not */

struct kmr_qomwalk;

/* NULL: no memory. */
struct kmr_qomwalk *kmr_qomwalk_new(void);
void kmr_qomwalk_free(struct kmr_qomwalk *walk); /* NULL is allowed */

/* The next command; false: there is none, it is over. */
bool kmr_qomwalk_next(struct kmr_qomwalk *walk, char *ret_command, size_t size);

/* The whole reply to the last command. 0, or -errno: -EBADMSG not what was
 * asked for, -E2BIG more than the limits above, -ENOMEM. It is over then. */
int kmr_qomwalk_take(struct kmr_qomwalk *walk, const char *json);

const char *kmr_qomwalk_refused(const struct kmr_qomwalk *walk);

#endif
