/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_CORE_CONSENSUS_PRIV_H
#define KMR_CORE_CONSENSUS_PRIV_H

/* What consensus.c and consensus_others.c share. */

#include "core/consensus.h"

bool kmr_consensus_is_us(const struct kmr_consensus *us, const char *node);
/* What is remembered of `node`; the first makes room. NULL: nothing, or none */
struct kmr_acquaintance *kmr_consensus_other(struct kmr_consensus *us,
                                             const char *node);
const struct kmr_acquaintance *kmr_consensus_known(
    const struct kmr_consensus *us, const char *node);
/* `node` spoke, of state file `id` with `writes` ("": did not say). */
void kmr_consensus_heard(struct kmr_consensus *us, const char *node,
                         const char *id, uint64_t writes);
/* Who was removed is no voter again before it says that it wants to be. */
void kmr_consensus_forget_gone(struct kmr_consensus *us,
                               const struct kmr_record *before);
void kmr_consensus_exchanged(struct kmr_consensus *us, const char *node,
                             const char *id);

#endif
