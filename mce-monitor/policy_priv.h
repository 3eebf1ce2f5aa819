/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_MCE_POLICY_PRIV_H
#define KMR_MCE_POLICY_PRIV_H

/* Shared by policy.c and policy_sources.c. */

#include "mce-monitor/policy.h"

/* The limit of the source's bucket. */
const struct kmr_rate *kmr_policy_rate(const struct kmr_policy *policy,
                                       const struct kmr_policy_source *source);
/* What has not leaked out of it by `now_us`. */
double kmr_policy_fill_at(const struct kmr_policy_source *source,
                          const struct kmr_rate *rate, uint64_t now_us);
void kmr_policy_fill(const struct kmr_policy *policy,
                     struct kmr_policy_source *source, uint32_t errors);

/* The source; where there is none yet, NULL. */
struct kmr_policy_source *kmr_policy_find(struct kmr_policy *policy,
                                          enum kmr_hw_kind kind,
                                          bool uncorrected, uint64_t key);
/* In place of another one where the table is full. */
struct kmr_policy_source *kmr_policy_add(struct kmr_policy *policy,
                                         enum kmr_hw_kind kind,
                                         bool uncorrected, uint64_t key);
void kmr_policy_set_health(struct kmr_policy *policy,
                           struct kmr_policy_source *source,
                           enum kmr_colour health);

#endif
