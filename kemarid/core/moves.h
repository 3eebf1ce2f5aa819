/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_CORE_MOVES_H
#define KMR_CORE_MOVES_H

/*
 * What a kemarid that is restarted has to know of the moves that health has
 * asked for, or one that dies again and again would forget to count them: lines
 * `key=value`. Times are kmr_now_ms()'s, and of the boot that is said.
 */

#include "core/health.h"

#define KMR_MOVES_TEXT_MAX 2048

/* Empty where there is nothing to be known. */
void kmr_moves_write(const struct kmr_health_vm *entry, uint64_t boot,
                     char *text, size_t size);

/*
 * What is older than an hour is left out. NULL, or why nothing of it was taken:
 * `text` is then of another boot, damaged, or knows the future.
 */
const char *kmr_moves_read(struct kmr_health *health, const char *vm,
                           uint64_t boot, const char *text, uint64_t now_ms);

#endif
