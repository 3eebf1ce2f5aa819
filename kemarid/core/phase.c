/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/pair.h"

#include "core/text.h"

/* The texts of pair.h's enums, and which phase may follow which. */

#define X(name, text) text,
KMR_TEXT_OF(kmr_want_text, kmr_want, KMR_WANTS(X))
KMR_TEXT_OF(kmr_claim_text, kmr_claim, KMR_CLAIMS(X))
KMR_TEXT_OF(kmr_order_text, kmr_order, KMR_ORDERS(X))
KMR_TEXT_OF(kmr_event_text, kmr_event_type, KMR_EVENTS(X))
KMR_TEXT_OF(kmr_effect_text, kmr_effect_type, KMR_EFFECTS(X))
#undef X

#define B(name) (1u << KMR_PHASE_##name)

/* A QEMU can die, or have to be killed, at any moment. */
#define DIES (B(KILLING) | B(IDLE) | B(STOPPED))

static const struct {
    const char *text;
    bool qemu, owner;
    uint32_t to;
} phases[] = {
#define X(name, text, qemu, owner) \
    [KMR_PHASE_##name] = { text, qemu, owner, KMR_PHASE_TO_##name },
/* clang-format off */
#define KMR_PHASE_TO_STOPPED B(IDLE) | B(ADOPTING) | B(STANDBY_STARTING)
#define KMR_PHASE_TO_IDLE                                                     \
    B(STOPPED) | B(ADOPTING) | B(BOOTING) | B(STANDBY_STARTING)
#define KMR_PHASE_TO_ADOPTING                                                 \
    DIES | B(SOLO) | B(SYNCING) | B(PROTECTED) | B(HOLDING) |                 \
        B(IN_STEP) | B(CLAIMED) |                                             \
        B(HANDING_OVER) | B(HANDED_OVER) | B(STANDBY_READY) |                 \
        B(STANDBY_SYNCING) | B(SYNCHRONISED) | B(PRIMARY_LOST) |              \
        B(TAKING_OVER)
#define KMR_PHASE_TO_BOOTING DIES | B(SOLO)
#define KMR_PHASE_TO_SOLO                                                     \
    DIES | B(INVITING) | B(HOLDING) | B(SHUTTING_DOWN)
#define KMR_PHASE_TO_INVITING                                                 \
    DIES | B(SOLO) | B(SYNCING) | B(SHUTTING_DOWN)
#define KMR_PHASE_TO_SYNCING                                                  \
    DIES | B(SOLO) | B(IN_STEP) | B(HOLDING) | B(SHUTTING_DOWN)
#define KMR_PHASE_TO_IN_STEP                                                  \
    DIES | B(PROTECTED) | B(HOLDING) | B(SHUTTING_DOWN)
#define KMR_PHASE_TO_PROTECTED                                                \
    DIES | B(HOLDING) | B(HANDING_OVER) | B(SHUTTING_DOWN)
#define KMR_PHASE_TO_HOLDING DIES | B(SOLO) | B(SHUTTING_DOWN)
#define KMR_PHASE_TO_HANDING_OVER                                             \
    DIES | B(HANDED_OVER) | B(HOLDING) | B(PROTECTED)
#define KMR_PHASE_TO_HANDED_OVER DIES | B(HOLDING)
#define KMR_PHASE_TO_SHUTTING_DOWN DIES
#define KMR_PHASE_TO_STANDBY_STARTING DIES | B(STANDBY_PREPARING)
#define KMR_PHASE_TO_STANDBY_PREPARING DIES | B(STANDBY_READY)
#define KMR_PHASE_TO_STANDBY_READY                                            \
    DIES | B(STANDBY_SYNCING) | B(SYNCHRONISED) | B(PRIMARY_LOST)
#define KMR_PHASE_TO_STANDBY_SYNCING                                          \
    DIES | B(SYNCHRONISED) | B(PRIMARY_LOST)
#define KMR_PHASE_TO_SYNCHRONISED DIES | B(PRIMARY_LOST) | B(CLAIMED)
#define KMR_PHASE_TO_PRIMARY_LOST DIES | B(CLAIMED)
#define KMR_PHASE_TO_CLAIMED DIES | B(TAKING_OVER)
#define KMR_PHASE_TO_TAKING_OVER DIES | B(SOLO)
#define KMR_PHASE_TO_KILLING B(IDLE) | B(STOPPED)
    /* clang-format on */
    KMR_PHASES(X)
#undef X
};

const char *kmr_phase_text(enum kmr_phase phase)
{
    return (unsigned)phase < KMR_PHASE_COUNT ? phases[phase].text : "?";
}

bool kmr_phase_has_qemu(enum kmr_phase phase)
{
    return phases[phase].qemu;
}

bool kmr_phase_is_owner(enum kmr_phase phase)
{
    return phases[phase].owner;
}

bool kmr_phase_may_move(enum kmr_phase from, enum kmr_phase to)
{
    return (phases[from].to & (1u << to)) != 0;
}
