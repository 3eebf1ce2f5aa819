/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/consensus_priv.h"

#include <string.h>

#include "core/text.h"

#define X(name, text) text,
KMR_TEXT_OF(kmr_paxos_text, kmr_paxos_kind, KMR_PAXOS_KINDS(X))
#undef X

void kmr_consensus_init(struct kmr_consensus *us, const char *node)
{
    memset(us, 0, sizeof(*us));
    kmr_text_set(us->node, sizeof(us->node), node);
    us->there = 1;
}

/* < 0, 0, > 0 as strcmp(). */
static int compare(const struct kmr_ballot *a, const struct kmr_ballot *b)
{
    if (a->round != b->round) {
        return a->round < b->round ? -1 : 1;
    }
    return strcmp(a->id, b->id);
}

static uint64_t next_generation(const struct kmr_consensus *us)
{
    return us->record.generation + 1;
}

bool kmr_consensus_votes(const struct kmr_consensus *us)
{
    const struct kmr_voter *voter = kmr_record_voter(&us->record, us->node);

    if (us->record.generation == 0) {
        /* Whoever lost a file may have lost more than "nothing". */
        return !us->lost;
    }
    return voter && us->id[0] != '\0' && kmr_text_same(voter->id, us->id);
}

/* ---- sending ---- */

static struct kmr_paxos *add(struct kmr_consensus *us,
                             struct kmr_consensus_out *out,
                             enum kmr_paxos_kind kind, bool durable)
{
    unsigned at =
        out->count < KMR_CONSENSUS_OUT_MAX ? out->count++ : out->count - 1;
    struct kmr_paxos *msg = &out->list[at];

    memset(msg, 0, sizeof(*msg));
    msg->kind = kind;
    msg->generation = next_generation(us);
    out->durable[at] = durable;
    return msg;
}

static void send_decided(struct kmr_consensus *us,
                         struct kmr_consensus_out *out)
{
    struct kmr_paxos *msg = add(us, out, KMR_PAXOS_DECIDED, false);

    msg->generation = us->record.generation;
    msg->value = us->record;
}

static void persist(struct kmr_consensus *us, const char *fresh,
                    struct kmr_consensus_out *out)
{
    if (us->id[0] == '\0') {
        kmr_text_set(us->id, sizeof(us->id), fresh);
    }
    us->writes++;
    out->persist = true;
}

/* ---- learning ---- */

static void forget_claim(struct kmr_consensus *us)
{
    us->proposer = KMR_PROPOSER_IDLE;
    us->probing = false;
    us->tally_count = 0;
    us->attempts = 0;
    us->deadline_ms = 0;
}

static void learn(struct kmr_consensus *us, const struct kmr_record *record,
                  const char *fresh, struct kmr_consensus_out *out)
{
    bool newer;

    struct kmr_record before = us->record;

    if (!kmr_record_learn(&us->record, record, &newer)) {
        return;
    }
    persist(us, fresh, out);
    if (newer) {
        kmr_consensus_forget_gone(us, &before);
        /* Promises were of a generation that is decided now. */
        memset(&us->promised, 0, sizeof(us->promised));
        memset(&us->accepted, 0, sizeof(us->accepted));
        memset(&us->value, 0, sizeof(us->value));
        forget_claim(us);
        us->highest_round = 0;
        us->lost = false;
        out->decided = true;
    }
}

void kmr_consensus_learn(struct kmr_consensus *us, const char *node,
                         const struct kmr_record *record, const char *id,
                         const char *fresh, struct kmr_consensus_out *out)
{
    struct kmr_acquaintance *other = kmr_consensus_other(us, node);

    learn(us, record, fresh, out);
    kmr_consensus_heard(us, node, id, 0);
    if (other && id[0] == '\0') {
        other->id[0] = '\0'; /* it gives up its vote, or has none */
    }
}

/* ---- the voter ---- */

/* False: the message is of another generation, and is dealt with. */
static bool is_current(struct kmr_consensus *us, const struct kmr_paxos *msg,
                       struct kmr_consensus_out *out)
{
    if (msg->generation < next_generation(us)) {
        send_decided(us, out);
        return false;
    }
    return msg->generation == next_generation(us);
}

/*
 * Somebody remembers more writes of our file than it has: it is an old copy.
 * What was promised since is forgotten, so it is as good as lost.
 */
static bool rolled_back(struct kmr_consensus *us, const struct kmr_paxos *msg,
                        const char *fresh, struct kmr_consensus_out *out)
{
    for (unsigned i = 0; i < kmr_record_voters(&msg->base); i++) {
        const struct kmr_voter *voter = &msg->base.voters[i];

        if (kmr_consensus_is_us(us, voter->node) && us->id[0] != '\0' &&
            kmr_text_same(voter->id, us->id) && msg->seen[i] > us->writes) {
            kmr_text_set(us->id, sizeof(us->id), fresh);
            us->writes = 0;
            memset(&us->promised, 0, sizeof(us->promised));
            memset(&us->accepted, 0, sizeof(us->accepted));
            us->lost = true;
            persist(us, fresh, out);
            return true;
        }
    }
    return false;
}

static void reject(struct kmr_consensus *us, const struct kmr_ballot *ballot,
                   struct kmr_consensus_out *out)
{
    struct kmr_paxos *msg = add(us, out, KMR_PAXOS_REJECT, false);

    msg->ballot = *ballot;
    msg->other = us->promised;
}

static void on_prepare(struct kmr_consensus *us, const struct kmr_paxos *msg,
                       const char *fresh, struct kmr_consensus_out *out)
{
    struct kmr_paxos *answer;

    learn(us, &msg->base, fresh, out);
    if (rolled_back(us, msg, fresh, out) || !is_current(us, msg, out) ||
        !kmr_consensus_votes(us)) {
        return;
    }
    if (compare(&msg->ballot, &us->promised) < 0) {
        reject(us, &msg->ballot, out);
        return;
    }
    us->promised = msg->ballot;
    persist(us, fresh, out);
    answer = add(us, out, KMR_PAXOS_PROMISE, true);
    answer->ballot = us->promised;
    answer->other = us->accepted;
    answer->value = us->value;
    kmr_text_set(answer->id, sizeof(answer->id), us->id);
    answer->writes = us->writes;
}

static void on_accept(struct kmr_consensus *us, const struct kmr_paxos *msg,
                      const char *fresh, struct kmr_consensus_out *out)
{
    struct kmr_paxos *answer;

    if (!is_current(us, msg, out) || !kmr_consensus_votes(us)) {
        return;
    }
    if (compare(&msg->ballot, &us->promised) < 0) {
        reject(us, &msg->ballot, out);
        return;
    }
    us->promised = us->accepted = msg->ballot;
    us->value = msg->value;
    persist(us, fresh, out);
    answer = add(us, out, KMR_PAXOS_ACCEPTED, true);
    answer->ballot = msg->ballot;
    kmr_text_set(answer->id, sizeof(answer->id), us->id);
    answer->writes = us->writes;
}

/* ---- the proposer ---- */

static void begin(struct kmr_consensus *us, uint64_t now_ms, const char *fresh,
                  struct kmr_consensus_out *out)
{
    struct kmr_paxos *msg;

    if (us->promised.round > us->highest_round) {
        us->highest_round = us->promised.round;
    }
    us->highest_round++;
    us->ballot.round = us->highest_round;
    kmr_text_set(us->ballot.id, sizeof(us->ballot.id), fresh);
    memset(&us->best, 0, sizeof(us->best));
    us->driven = us->mine;
    us->tally_count = 0;
    us->attempts++;
    us->proposer = KMR_PROPOSER_PREPARING;
    us->began_ms = now_ms;
    us->deadline_ms = now_ms + KMR_ROUND_MS;
    msg = add(us, out, KMR_PAXOS_PREPARE, false);
    msg->ballot = us->ballot;
    msg->base = us->record;
    for (unsigned i = 0; i < kmr_record_voters(&us->record); i++) {
        const struct kmr_voter *voter = &us->record.voters[i];
        const struct kmr_acquaintance *other =
            kmr_consensus_known(us, voter->node);

        if (other && kmr_text_same(other->id, voter->id)) {
            msg->seen[i] = other->writes;
        }
    }
}

/* The next ballot: later the more were lost, by a time that differs. */
static void lost_ballot(struct kmr_consensus *us, uint64_t now_ms,
                        const char *fresh)
{
    uint64_t span_ms = KMR_BALLOT_MIN_MS;
    uint64_t spread = 0;

    for (unsigned i = 1; i < us->attempts && span_ms < KMR_BALLOT_MAX_MS; i++) {
        span_ms *= 2;
    }
    for (const char *at = fresh; *at != '\0'; at++) {
        spread = spread * 31 + (unsigned char)*at;
    }
    us->proposer = KMR_PROPOSER_WAITING;
    us->deadline_ms = now_ms + KMR_BALLOT_MIN_MS + spread % (span_ms + 1);
}

void kmr_consensus_claim(struct kmr_consensus *us,
                         const struct kmr_record *wanted, uint64_t now_ms,
                         const char *fresh, struct kmr_consensus_out *out)
{
    us->mine = *wanted;
    if (us->proposer == KMR_PROPOSER_IDLE || us->probing) {
        us->probing = false;
        begin(us, now_ms, fresh, out);
    }
}

void kmr_consensus_force(struct kmr_consensus *us, const char *fresh,
                         struct kmr_consensus_out *out)
{
    struct kmr_record record = { .mode = KMR_MODE_DOWN };

    if (us->id[0] == '\0') {
        kmr_text_set(us->id, sizeof(us->id), fresh);
    }
    record.generation = us->record.generation + KMR_FORCED_GENERATIONS;
    kmr_record_add_voter(&record, us->node, us->id);
    learn(us, &record, fresh, out);
    send_decided(us, out);
}

/* Its promise tells what the peer may have decided without us. */
void kmr_consensus_probe(struct kmr_consensus *us, uint64_t now_ms,
                         const char *fresh, struct kmr_consensus_out *out)
{
    if (us->proposer == KMR_PROPOSER_IDLE) {
        us->probing = true;
        begin(us, now_ms, fresh, out);
    }
}

void kmr_consensus_hurry(struct kmr_consensus *us, uint64_t now_ms)
{
    if (us->proposer == KMR_PROPOSER_IDLE) {
        return;
    }
    us->attempts = 0;
    us->proposer = KMR_PROPOSER_WAITING;
    us->deadline_ms = now_ms;
}

static void count(struct kmr_consensus *us, const char *node, const char *id)
{
    const struct kmr_voter *voter = kmr_record_voter(&us->record, node);

    if (us->record.generation != 0 &&
        (!voter || !kmr_text_same(voter->id, id))) {
        return;
    }
    for (unsigned i = 0; i < us->tally_count; i++) {
        if (kmr_text_same(us->tally[i].node, node)) {
            return;
        }
    }
    if (us->tally_count < KMR_TALLY_MAX) {
        kmr_text_set(us->tally[us->tally_count].node, KMR_NODE_MAX, node);
        kmr_text_set(us->tally[us->tally_count].id, KMR_UUID_MAX, id);
        us->tally_count++;
    }
}

/* The exception of R3: see docs/authority.md, "Two voters". */
static bool alone_is_enough(const struct kmr_consensus *us)
{
    const struct kmr_voter *peer = kmr_consensus_alone_without(us);

    return peer && us->tally_count == 1 &&
           kmr_text_same(us->tally[0].node, us->node) &&
           (us->best.round != 0 || !kmr_record_voter(&us->driven, peer->node));
}

static bool have_majority(const struct kmr_consensus *us)
{
    unsigned voters =
        us->record.generation == 0 ? us->nodes : kmr_record_voters(&us->record);

    return (voters != 0 && us->tally_count > voters / 2) || alone_is_enough(us);
}

static void propose(struct kmr_consensus *us, uint64_t now_ms,
                    struct kmr_consensus_out *out)
{
    struct kmr_paxos *msg;

    if (us->probing && us->best.round == 0) {
        forget_claim(us); /* there is nothing to be decided */
        return;
    }
    if (us->record.generation == 0 && us->best.round == 0) {
        /* The first record: whoever promised is a voter from now on. */
        memset(us->driven.voters, 0, sizeof(us->driven.voters));
        kmr_record_add_voter(&us->driven, us->node, us->id);
        for (unsigned i = 0; i < us->tally_count; i++) {
            kmr_record_add_voter(&us->driven, us->tally[i].node,
                                 us->tally[i].id);
        }
    }
    us->proposer = KMR_PROPOSER_ACCEPTING;
    us->tally_count = 0;
    us->deadline_ms = now_ms + KMR_ROUND_MS;
    msg = add(us, out, KMR_PAXOS_ACCEPT, false);
    msg->ballot = us->ballot;
    msg->value = us->driven;
}

static void on_promise(struct kmr_consensus *us, const char *node,
                       const struct kmr_paxos *msg, uint64_t now_ms,
                       struct kmr_consensus_out *out)
{
    if (compare(&msg->ballot, &us->ballot) != 0) {
        return;
    }
    if (compare(&msg->other, &us->accepted) <= 0) {
        kmr_consensus_exchanged(us, node, msg->id);
    }
    if (us->proposer != KMR_PROPOSER_PREPARING) {
        return;
    }
    count(us, node, msg->id);
    if (compare(&msg->other, &us->best) > 0) {
        us->best = msg->other;
        us->driven = msg->value;
    }
    if (!have_majority(us)) {
        return;
    }
    if (us->record.generation == 0 && us->tally_count < us->there &&
        now_ms < us->began_ms + KMR_GATHER_MS) {
        us->deadline_ms = us->began_ms + KMR_GATHER_MS;
        return;
    }
    propose(us, now_ms, out);
}

static void on_accepted(struct kmr_consensus *us, const char *node,
                        const struct kmr_paxos *msg, const char *fresh,
                        struct kmr_consensus_out *out)
{
    struct kmr_record driven = us->driven;

    if (us->proposer != KMR_PROPOSER_ACCEPTING ||
        compare(&msg->ballot, &us->ballot) != 0) {
        return;
    }
    count(us, node, msg->id);
    if (have_majority(us)) {
        for (unsigned i = 0; i < us->tally_count; i++) {
            kmr_consensus_exchanged(us, us->tally[i].node, us->tally[i].id);
        }
        learn(us, &driven, fresh, out);
        send_decided(us, out);
    }
}

static void on_reject(struct kmr_consensus *us, const struct kmr_paxos *msg,
                      uint64_t now_ms, const char *fresh)
{
    if ((us->proposer != KMR_PROPOSER_PREPARING &&
         us->proposer != KMR_PROPOSER_ACCEPTING) ||
        compare(&msg->ballot, &us->ballot) != 0) {
        return;
    }
    if (msg->other.round > us->highest_round) {
        us->highest_round = msg->other.round;
    }
    lost_ballot(us, now_ms, fresh);
}

void kmr_consensus_message(struct kmr_consensus *us, const char *node,
                           const struct kmr_paxos *msg, uint64_t now_ms,
                           const char *fresh, struct kmr_consensus_out *out)
{
    switch (msg->kind) {
    case KMR_PAXOS_PREPARE:
        on_prepare(us, msg, fresh, out);
        break;
    case KMR_PAXOS_PROMISE:
        if (msg->generation == next_generation(us)) {
            on_promise(us, node, msg, now_ms, out);
        }
        break;
    case KMR_PAXOS_REJECT:
        if (msg->generation == next_generation(us)) {
            on_reject(us, msg, now_ms, fresh);
        }
        break;
    case KMR_PAXOS_ACCEPT:
        on_accept(us, msg, fresh, out);
        break;
    case KMR_PAXOS_ACCEPTED:
        if (msg->generation == next_generation(us)) {
            on_accepted(us, node, msg, fresh, out);
        }
        break;
    case KMR_PAXOS_DECIDED:
        learn(us, &msg->value, fresh, out);
        break;
    case KMR_PAXOS_COUNT:
        break;
    }
    kmr_consensus_heard(us, node, msg->id, msg->writes);
}

void kmr_consensus_tick(struct kmr_consensus *us, uint64_t now_ms,
                        const char *fresh, struct kmr_consensus_out *out)
{
    if (us->deadline_ms == 0 || now_ms < us->deadline_ms) {
        return;
    }
    switch (us->proposer) {
    case KMR_PROPOSER_IDLE:
        us->deadline_ms = 0;
        break;
    case KMR_PROPOSER_PREPARING:
        if (have_majority(us)) {
            propose(us, now_ms, out);
            break;
        }
        lost_ballot(us, now_ms, fresh);
        break;
    case KMR_PROPOSER_ACCEPTING:
        lost_ballot(us, now_ms, fresh);
        break;
    case KMR_PROPOSER_WAITING:
        if (us->probing && us->attempts >= KMR_PROBES_MAX) {
            forget_claim(us);
            break;
        }
        begin(us, now_ms, fresh, out);
        break;
    }
}

uint64_t kmr_consensus_deadline(const struct kmr_consensus *us)
{
    return us->deadline_ms;
}
