/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_CORE_TEXT_H
#define KMR_CORE_TEXT_H

/* Bounded text without stdio: what does not fit is cut off. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void kmr_text_set(char *buf, size_t size, const char *text);
void kmr_text_add(char *buf, size_t size, const char *text);
void kmr_text_add_u64(char *buf, size_t size, uint64_t number);
bool kmr_text_same(const char *a, const char *b);

/* A UUID in its usual text form (36 characters, lower-case or not). */
bool kmr_text_is_uuid(const char *text);

/* [A-Za-z0-9._-]+, not starting with '.' or '-': nodes and VMs; these become
 * file names and attribute names. */
bool kmr_text_is_name(const char *text);

/* Defines `const char *function(enum type)`; LIST: an X-macro's list, with X
 * giving the text and a comma. */
#define KMR_TEXT_OF(function, type, LIST)                          \
    const char *function(enum type value)                          \
    {                                                              \
        static const char *const texts[] = { LIST };               \
                                                                   \
        if ((unsigned)value >= sizeof(texts) / sizeof(texts[0])) { \
            return "?";                                            \
        }                                                          \
        return texts[value];                                       \
    }

#endif
