/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/pair_priv.h"

#include "core/text.h"

/* Where the standby should be, by the health of the nodes. */

const struct kmr_peer *kmr_place_best(const struct kmr_pair *pair,
                                      uint64_t now_ms, unsigned than)
{
    const struct kmr_peer *best = NULL;

    for (unsigned i = 0; i < KMR_PEERS_MAX; i++) {
        const struct kmr_peer *peer = &pair->peers[i];

        if (peer->node[0] != '\0' && peer->present && peer->started &&
            peer->idle && now_ms >= peer->avoid_until_ms &&
            kmr_colour_rank(peer->colour) < than) {
            best = peer;
            than = kmr_colour_rank(peer->colour);
        }
    }
    return best;
}

/* The node whose standby is to take this one's place, or NULL. */
static const struct kmr_peer *better_place(const struct kmr_pair *pair,
                                           uint64_t now_ms)
{
    const struct kmr_peer *standby = kmr_pair_peer(pair, pair->peer_node);
    unsigned rank;

    if (!standby || pair->peer_node[0] == '\0' ||
        (standby->colour != KMR_COLOUR_YELLOW &&
         standby->colour != KMR_COLOUR_RED) ||
        !pair->quorate || !pair->synced || pair->promote || pair->demoted ||
        pair->handover_wanted || pair->claim != KMR_CLAIM_NONE ||
        pair->retry_ms != 0 || pair->replace_ms != 0) {
        return NULL;
    }
    rank = kmr_colour_rank(standby->colour);
    if (kmr_colour_rank(pair->colour) > rank) {
        return NULL; /* the guest is better off there, and is to go there */
    }
    return kmr_place_best(pair, now_ms, rank);
}

bool kmr_place_replace(struct kmr_step *step)
{
    struct kmr_pair *pair = step->pair;
    uint64_t now_ms = step->event->now_ms;
    const struct kmr_peer *standby = kmr_pair_peer(pair, pair->peer_node);
    const struct kmr_peer *better;
    char text[KMR_REASON_MAX] = "the standby on ";
    uint64_t ms = KMR_REPLACE_MIN_MS;

    if (pair->replacing) {
        kmr_owner_drop_standby(step, "a better node is there");
        return true;
    }
    if (pair->replace_ms != 0 && now_ms >= pair->replace_ms) {
        pair->replace_ms = 0;
        if (standby && standby->colour == KMR_COLOUR_GREEN) {
            pair->replaced = 0;
        }
    }
    better = better_place(pair, now_ms);
    if (!better) {
        return false;
    }
    kmr_text_add(text, sizeof(text), pair->peer_node);
    kmr_text_add(text, sizeof(text), ", which is ");
    kmr_text_add(text, sizeof(text), kmr_colour_text(standby->colour));
    kmr_text_add(text, sizeof(text), ", makes way for one on ");
    kmr_text_add(text, sizeof(text), better->node);
    kmr_step_note(step, text);
    for (unsigned i = 0; i < pair->replaced && ms < KMR_REPLACE_MAX_MS; i++) {
        ms *= 2;
    }
    pair->replace_ms =
        now_ms + (ms < KMR_REPLACE_MAX_MS ? ms : KMR_REPLACE_MAX_MS);
    pair->replaced++;
    pair->replacing = true;
    pair->deadline_ms = 0;
    kmr_owner_drop_standby(step, text);
    return true;
}
