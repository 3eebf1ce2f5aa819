/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_MCE_SOURCE_EDAC_H
#define KMR_MCE_SOURCE_EDAC_H

/* EDAC's counters of DIMMs in sysfs, where the kernel has no ras:mc_event:
 * what they grow by comes as such a record. */

#include <qb/qbloop.h>

#include "mce-monitor/hwrecord.h"

#define KMR_EDAC_DIMMS_MAX 256
#define KMR_EDAC_EVERY_MS 5000u

struct kmr_edac;

/* `root`: "/sys/devices/system/edac/mc". 0, -ENOENT (no memory controller),
 * or another -errno. */
int kmr_edac_start(qb_loop_t *loop, const char *root,
                   void (*cb)(const struct kmr_hw_record *record, void *user),
                   void *user, struct kmr_edac **ret_edac);
void kmr_edac_stop(struct kmr_edac *edac); /* NULL is allowed */
/* Looks now. Returns the number of DIMMs. */
unsigned kmr_edac_look(struct kmr_edac *edac);

#endif
