/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/consensus_priv.h"

#include "core/text.h"

/* What a node remembers of the other voters. */

bool kmr_consensus_is_us(const struct kmr_consensus *us, const char *node)
{
    return kmr_text_same(us->node, node);
}

struct kmr_acquaintance *kmr_consensus_other(struct kmr_consensus *us,
                                             const char *node)
{
    struct kmr_acquaintance *spare = NULL;

    for (unsigned i = 0; i < KMR_TALLY_MAX; i++) {
        if (kmr_text_same(us->others[i].node, node)) {
            return &us->others[i];
        }
        if (!spare && us->others[i].node[0] == '\0') {
            spare = &us->others[i];
        }
    }
    if (spare && node[0] != '\0') {
        kmr_text_set(spare->node, sizeof(spare->node), node);
        return spare;
    }
    return NULL;
}

const struct kmr_acquaintance *kmr_consensus_known(
    const struct kmr_consensus *us, const char *node)
{
    for (unsigned i = 0; i < KMR_TALLY_MAX; i++) {
        if (kmr_text_same(us->others[i].node, node)) {
            return &us->others[i];
        }
    }
    return NULL;
}

void kmr_consensus_heard(struct kmr_consensus *us, const char *node,
                         const char *id, uint64_t writes)
{
    struct kmr_acquaintance *other = kmr_consensus_other(us, node);

    if (!other || kmr_consensus_is_us(us, node)) {
        return;
    }
    other->fenced = false;
    if (id[0] == '\0') {
        return;
    }
    if (!kmr_text_same(other->id, id)) {
        kmr_text_set(other->id, sizeof(other->id), id);
        other->writes = 0;
    }
    if (writes > other->writes) {
        other->writes = writes;
    }
}

void kmr_consensus_fenced(struct kmr_consensus *us, const char *node)
{
    struct kmr_acquaintance *other = kmr_consensus_other(us, node);

    if (other && !kmr_consensus_is_us(us, node)) {
        other->fenced = true;
    }
}

bool kmr_consensus_is_fenced(const struct kmr_consensus *us, const char *node)
{
    const struct kmr_acquaintance *other = kmr_consensus_known(us, node);

    return other && other->fenced;
}

const char *kmr_consensus_id_of(const struct kmr_consensus *us,
                                const char *node)
{
    const struct kmr_acquaintance *other = kmr_consensus_known(us, node);

    if (kmr_consensus_is_us(us, node)) {
        return us->id;
    }
    return other ? other->id : "";
}

/* Of two voters, if we are one: the other. Or NULL. */
static const struct kmr_voter *other_of_two(const struct kmr_consensus *us)
{
    const struct kmr_voter *voters = us->record.voters;

    if (kmr_record_voters(&us->record) != 2 || !kmr_consensus_votes(us)) {
        return NULL;
    }
    return kmr_consensus_is_us(us, voters[0].node) ? &voters[1] : &voters[0];
}

const struct kmr_voter *kmr_consensus_alone_without(
    const struct kmr_consensus *us)
{
    const struct kmr_voter *peer = other_of_two(us);
    const struct kmr_acquaintance *other =
        peer ? kmr_consensus_known(us, peer->node) : NULL;

    return other && other->fenced && other->exchanged ? peer : NULL;
}

/*
 * `node`, by its file `id`, answered a message of ours, and what it had
 * accepted is known here. As it heard us, it decides nothing without us until
 * we are fenced.
 */
void kmr_consensus_exchanged(struct kmr_consensus *us, const char *node,
                             const char *id)
{
    const struct kmr_voter *voter = kmr_record_voter(&us->record, node);
    struct kmr_acquaintance *other = kmr_consensus_other(us, node);

    if (other && voter && kmr_text_same(voter->id, id)) {
        other->exchanged = true;
    }
}

const struct kmr_voter *kmr_consensus_stranger(const struct kmr_consensus *us)
{
    const struct kmr_voter *peer = other_of_two(us);
    const struct kmr_acquaintance *other =
        peer ? kmr_consensus_known(us, peer->node) : NULL;

    return other && other->exchanged ? NULL : peer;
}

void kmr_consensus_forget_gone(struct kmr_consensus *us,
                               const struct kmr_record *before)
{
    for (unsigned i = 0; i < kmr_record_voters(before); i++) {
        const struct kmr_voter *voter = &before->voters[i];
        struct kmr_acquaintance *other;

        if (kmr_consensus_is_us(us, voter->node) ||
            kmr_record_voter(&us->record, voter->node)) {
            continue;
        }
        other = kmr_consensus_other(us, voter->node);
        if (other && kmr_text_same(other->id, voter->id)) {
            other->id[0] = '\0';
        }
    }
}
