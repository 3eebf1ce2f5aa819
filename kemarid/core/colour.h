/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_CORE_COLOUR_H
#define KMR_CORE_COLOUR_H

#include "core/text.h"

/* The health of a node, as Pacemaker's #health-... attributes name it. */

#define KMR_COLOURS(X)                                            \
    X(NONE, "unknown") /* no kemari-mced has said anything yet */ \
    X(GREEN, "green")                                             \
    X(YELLOW, "yellow") /* degraded: no place to move to from */  \
    X(RED, "red")       /* about to fail: no place for a primary */

enum kmr_colour {
#define X(name, text) KMR_COLOUR_##name,
    KMR_COLOURS(X)
#undef X
        KMR_COLOUR_COUNT
};

/* 0 is best. Unknown is worse than green, and better than known bad. */
static inline unsigned kmr_colour_rank(enum kmr_colour colour)
{
    return colour == KMR_COLOUR_GREEN  ? 0
           : colour == KMR_COLOUR_NONE ? 1
                                       : (unsigned)colour;
}

#define X(name, text) text,
static inline KMR_TEXT_OF(kmr_colour_text, kmr_colour, KMR_COLOURS(X))
#undef X

#endif
