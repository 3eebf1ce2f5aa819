/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_CORE_VERDICT_H
#define KMR_CORE_VERDICT_H

#include "core/text.h"

/* What kemari-mced says about its node, and kemarid acts on; worst last. */
#define KMR_VERDICTS(X)                                                \
    X(NOTE, "note")           /* nothing to do, or well again */       \
    X(DEGRADE, "degrade")     /* the colour, and nothing else */       \
    X(MOVE_PAIR, "move-pair") /* the pairs that use what is failing */ \
    X(MOVE_NODE, "move-node") /* every guest of this node */           \
    X(TAKEOVER, "takeover")   /* the same, from the last commit: what the \
                               * guest has now may be damaged */

enum kmr_verdict {
#define X(name, text) KMR_VERDICT_##name,
    KMR_VERDICTS(X)
#undef X
        KMR_VERDICT_COUNT
};

#define X(name, text) text,
static inline KMR_TEXT_OF(kmr_verdict_text, kmr_verdict, KMR_VERDICTS(X))
#undef X

#endif
