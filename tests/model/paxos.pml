/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * R3: how a record is agreed. Ballots for each generation, the voters named by
 * the generation before, state files that are lost and made anew.
 *
 * Messages are a set that only grows: what was once sent may arrive at any
 * time, in any order, any number of times, or never. A proposer that crashes
 * is one that never goes on. A voter has all it answered for on its disk, so
 * that its crash shows only in the variants. README.md lists every -D.
 */
#ifndef GENS
#define GENS 3 /* generations; the first is decided, but with FIRST */
#endif
#ifndef BALLOTS
#define BALLOTS 2 /* attempts per generation, 2 or 3 */
#endif
#ifndef LOSSES
#define LOSSES 1 /* state files lost, all nodes together */
#endif
#ifndef CRASHES
#define CRASHES 1 /* of voters: they do something only in the variants */
#endif
#ifndef CONNECTED
#define CONNECTED 7 /* the nodes that are connected when all is calm */
#endif

#ifndef START
#define START 7 /* the voters of generation 1 */
#endif

/* Three nodes. A slot is a state file: node n's first is n, its second n+3. */
#define N 3
#define BIT(s) (1 << (s))
#define BOTH(n) (BIT(n) | BIT((n) + N))

/* A value: the slots that vote next, and what tells two claims apart. */
#define SLOTS(v) ((v) & 63)
#define TAG 64

typedef generation {
    byte phase[BALLOTS];        /* 1: PREPARE was sent, 2: ACCEPT was sent */
    byte val[BALLOTS];          /* ... with this value */
    byte promise[BALLOTS];      /* slots that promised */
    byte told[BALLOTS * 2 * N]; /* ... and had accepted this: ballot + 1 */
    byte yes[BALLOTS]           /* slots that accepted */
};
generation at[GENS + 1];
byte decided[GENS + 1]; /* what a majority accepted; 0: nothing yet */

typedef disk {
    byte file; /* which state file this is */
    byte rec;  /* generation of the record; the rest is for the next one */
    byte prom; /* highest ballot promised, + 1 */
    byte acc   /* highest ballot accepted, + 1 */
};
disk d[N];
byte losses, crashes;
bool calm; /* from now on nothing fails, and one node proposes */

#ifdef LOST_VOTES /* a new file goes on under the id of the lost one */
#define SLOT(n) (n)
#else
#define SLOT(n) ((n) + N * d[n].file)
#endif
#define ON(n) (!calm || (CONNECTED & BIT(n)))

/* ---- majorities ---- */
#define HAS(set, n) (((set) & BOTH(n)) != 0)
#define COUNT(set) (HAS(set, 0) + HAS(set, 1) + HAS(set, 2))

#ifdef FIRST /* before the first record: the nodes, whatever their file */
#define NAMED(g) ((g) == 1 -> 63 : SLOTS(decided[(g) - 1]))
#else
#define NAMED(g) SLOTS(decided[(g) - 1])
#endif
#if defined(ANY_ID) /* counts a node under any id */
#define WIDE(v) (((v) & 7) | ((v) >> 3))
#define VOTERS(g) (WIDE(NAMED(g)) | (WIDE(NAMED(g)) << 3))
#else
#define VOTERS(g) NAMED(g)
#endif
#define MORE(set, voters) (2 * COUNT((set) & (voters)) > COUNT(voters))
#if defined(HALF) /* half of the voters is enough */
#define ENOUGH(g, b, set) (2 * COUNT((set) & VOTERS(g)) >= COUNT(VOTERS(g)))
#elif defined(PRESENT) /* a majority of those that answer */
#define ENOUGH(g, b, set) (COUNT((set) & VOTERS(g)) >= 1)
#elif defined(OLD_VOTERS) /* one counts the voters of the record before */
#define COUNTS(g, b) ((g) > 2 && (b) == 0 -> NAMED((g) - 1) : NAMED(g))
#define ENOUGH(g, b, set) MORE(set, COUNTS(g, b))
#else
#define ENOUGH(g, b, set) MORE(set, VOTERS(g))
#endif

/* ---- a proposer ---- */
#define TOLD(g, b, s) at[g].told[(b) * 2 * N + (s)]
#define SAID(g, b, s) (at[g].promise[b] & BIT(s))
/* A promise that may be among those with x as the highest acceptance told. */
#if defined(ADOPT_LOWEST)
#define FITS(g, b, s, x) (TOLD(g, b, s) == 0 || TOLD(g, b, s) >= x)
#elif defined(NO_ADOPT)
#define FITS(g, b, s, x) (x == 0)
#else
#define FITS(g, b, s, x) (TOLD(g, b, s) <= x)
#endif
#define PICK(g, b, s, x) (FITS(g, b, s, x) -> SAID(g, b, s) : 0)
#define PICKED(g, b, x) (PICK(g, b, 0, x) | PICK(g, b, 1, x) |    \
                         PICK(g, b, 2, x) | PICK(g, b, 3, x) |    \
                         PICK(g, b, 4, x) | PICK(g, b, 5, x))
#define IS(g, b, s, x) (SAID(g, b, s) && TOLD(g, b, s) == x)
#define ONE_TOLD(g, b, x) (IS(g, b, 0, x) || IS(g, b, 1, x) ||    \
                           IS(g, b, 2, x) || IS(g, b, 3, x) ||    \
                           IS(g, b, 4, x) || IS(g, b, 5, x))
#ifdef LOW_ROUND /* the next ballot is not higher than those that were */
#define LEADER 0
#else
#define LEADER (BALLOTS - 1)
#endif
#define MAY(b) (!calm || (b) == LEADER)
#define KNOWN(g) (calm -> (ON(0) && d[0].rec >= (g)) ||           \
                          (ON(1) && d[1].rec >= (g)) ||           \
                          (ON(2) && d[2].rec >= (g))              \
                        : (g) == 0 || decided[g] != 0)
#define READY(g, b) (at[g].phase[b] == 1 && MAY(b))
#ifdef REUSE /* a ballot that is begun a second time */
#define READY_OWN(g, b) (at[g].phase[b] != 0 && MAY(b))
#else
#define READY_OWN(g, b) READY(g, b)
#endif

#define PREPARE(g, b)                                             \
    :: d_step {                                                   \
        at[g].phase[b] == 0 && MAY(b) && KNOWN((g) - 1) ->        \
        at[g].phase[b] = 1                                        \
    }
#define ADOPT(g, b, x)                                            \
    :: d_step {                                                   \
        READY(g, b) && ONE_TOLD(g, b, x) &&                       \
            ENOUGH(g, b, PICKED(g, b, x)) ->                         \
        at[g].phase[b] = 2; at[g].val[b] = at[g].val[(x) - 1]     \
    }
#define OWN(g, b, allowed, v)                                     \
    :: d_step {                                                   \
        READY_OWN(g, b) && (allowed) &&                           \
            ENOUGH(g, b, PICKED(g, b, 0)) ->                         \
        at[g].phase[b] = 2; at[g].val[b] = (v)                    \
    }
/* Another id instead of the old one; a removed node; and back again. */
#define RENAME(g, b, n)                                           \
    OWN(g, b, d[n].file && (NAMED(g) & BIT(n)),       \
        (NAMED(g) & ~BIT(n)) | BIT((n) + N))
#define CHANGES(g, b)                                             \
    OWN(g, b, true, NAMED(g))                                  \
    OWN(g, b, true, NAMED(g) | TAG)                            \
    OWN(g, b, COUNT(NAMED(g)) == 3,                   \
        NAMED(g) & ~BOTH(2))                                      \
    OWN(g, b, !(NAMED(g) & BOTH(2)),                  \
        NAMED(g) | BIT(SLOT(2)))                                  \
    RENAME(g, b, 0) RENAME(g, b, 1) RENAME(g, b, 2)
#define CHANGE_TO(v, allowed)                                     \
    :: d_step {                                                   \
        decided[2] == 0 && !calm && (allowed) -> decided[2] = (v) \
    }
#define BALLOT(g, b)                                              \
    PREPARE(g, b) CHANGES(g, b)
/* The first record: whoever promised is a voter. */
#define FIRST_BALLOT(b)                                           \
    PREPARE(1, b)                                                 \
    OWN(1, b, true, at[1].promise[b])                             \
    OWN(1, b, true, at[1].promise[b] | TAG)
#if BALLOTS == 2
#define ADOPTIONS(g) ADOPT(g, 1, 1) ADOPT(g, 0, 2)
#define BALLOTS_OF(g) BALLOT(g, 0) BALLOT(g, 1) ADOPTIONS(g)
#define FIRST_BALLOTS FIRST_BALLOT(0) FIRST_BALLOT(1) ADOPTIONS(1)
#else
#define ADOPTIONS(g)                                              \
    ADOPT(g, 1, 1) ADOPT(g, 2, 1) ADOPT(g, 2, 2)                  \
    ADOPT(g, 0, 2) ADOPT(g, 0, 3) ADOPT(g, 1, 3)
#define BALLOTS_OF(g)                                             \
    BALLOT(g, 0) BALLOT(g, 1) BALLOT(g, 2) ADOPTIONS(g)
#define FIRST_BALLOTS                                             \
    FIRST_BALLOT(0) FIRST_BALLOT(1) FIRST_BALLOT(2) ADOPTIONS(1)
#endif

/* ---- a voter ---- */
#if defined(FIRST) && !defined(FIRST_LOST)
/* A node whose file was lost does not vote on the first record. */
#define VOTES(n, g) ((g) == 1 -> d[n].file == 0                   \
                               : (VOTERS(g) & BIT(SLOT(n))) != 0)
#else
#define VOTES(n, g) ((SITTERS(g) & BIT(SLOT(n))) != 0)
#endif
#ifdef OLD_VOTERS
#define SITTERS(g) (COUNTS(g, 0) | COUNTS(g, 1))
#else
#define SITTERS(g) VOTERS(g)
#endif
#ifdef ANSWER_OLD /* also for a generation that it knows decided */
#define BASE(n, g) (d[n].rec >= (g) - 1)
#else
#define BASE(n, g) (d[n].rec == (g) - 1)
#endif
#if defined(ONE_PROMISE) /* never a second promise */
#define MAY_PROMISE(n, b) (d[n].prom == 0 || d[n].prom == (b) + 1)
#elif defined(ANY_PROMISE) /* a lower ballot than was promised */
#define MAY_PROMISE(n, b) true
#else
#define MAY_PROMISE(n, b) (d[n].prom <= (b) + 1)
#endif
#ifdef ANY_ACCEPT /* a lower ballot than was promised */
#define MAY_ACCEPT(n, b) true
#else
#define MAY_ACCEPT(n, b) (d[n].prom <= (b) + 1)
#endif

#define PROMISE(n, g, b)                                          \
    :: d_step {                                                   \
        at[g].phase[b] != 0 && ON(n) && VOTES(n, g) &&            \
            BASE(n, g) && MAY_PROMISE(n, b) &&                    \
            !(at[g].promise[b] & BIT(SLOT(n))) ->                 \
        at[g].promise[b] = at[g].promise[b] | BIT(SLOT(n));       \
        if                                                        \
        :: d[n].rec == (g) - 1 ->                                 \
            TOLD(g, b, SLOT(n)) = d[n].acc; d[n].prom = (b) + 1   \
        :: else /* ANSWER_OLD: it has nothing of that one left */ \
        fi                                                        \
    }
/* AGREEMENT: a generation is decided once. */
#define ACCEPT(n, g, b)                                           \
    :: d_step {                                                   \
        at[g].phase[b] == 2 && ON(n) && VOTES(n, g) &&            \
            d[n].rec == (g) - 1 && MAY_ACCEPT(n, b) &&            \
            d[n].acc != (b) + 1 ->                                \
        d[n].prom = (b) + 1; d[n].acc = (b) + 1;                  \
        at[g].yes[b] = at[g].yes[b] | BIT(SLOT(n));               \
        if                                                        \
        :: ENOUGH(g, b, at[g].yes[b]) ->                             \
            assert(decided[g] == 0 || decided[g] == at[g].val[b]);\
            decided[g] = at[g].val[b]                             \
        :: else                                                   \
        fi                                                        \
    }
/* DECIDED, STATUS, or the base of a message. */
#ifdef NO_TEACHING
#define LEARNS !calm
#else
#define LEARNS true
#endif
#define LEARN(n, g)                                               \
    :: d_step {                                                   \
        decided[g] != 0 && d[n].rec < (g) && ON(n) && LEARNS &&   \
            (KNOWN(g) || (MAY(LEADER) && at[g].phase[LEADER] == 2 \
                          && ENOUGH(g, LEADER, at[g].yes[LEADER]))) ->    \
        d[n].rec = (g); d[n].prom = 0; d[n].acc = 0               \
    }

/* ---- what goes wrong ---- */
#define LOSE(n)                                                   \
    :: d_step {                                                   \
        !calm && losses < LOSSES && d[n].file == 0 ->             \
        losses++; d[n].file = 1;                                  \
        d[n].rec = 0; d[n].prom = 0; d[n].acc = 0                 \
    }
#if defined(PROMISE_LATE) /* answered before it is on the disk */
#define FORGET(n) d[n].prom != d[n].acc -> d[n].prom = d[n].acc
#elif defined(ACCEPT_LATE)
#define FORGET(n) d[n].acc != 0 -> d[n].acc = 0
#elif defined(TWO_FILES) /* the record is older than the promises beside it */
#define FORGET(n) d[n].rec > 1 ->                                 \
    d[n].rec = d[n].rec - 1; d[n].prom = 0; d[n].acc = 0
#elif defined(ROLLED_BACK) /* an old copy of the file, not noticed */
#define FORGET(n) (d[n].prom != 0 || d[n].rec > 1) ->              \
    d[n].rec = 1; d[n].prom = 0; d[n].acc = 0
#else
#define FORGET(n) false -> skip
#endif
#define CRASH(n)                                                  \
    :: d_step { !calm && crashes < CRASHES && FORGET(n); crashes++ }

#define VOTER_B(n, b)                                             \
    VOTER(n, 1, b) VOTER(n, 2, b) VOTER(n, 3, b)
#define VOTER(n, g, b) PROMISE(n, g, b) ACCEPT(n, g, b)
#if BALLOTS == 2
#define VOTING(n, g) VOTER(n, g, 0) VOTER(n, g, 1)
#else
#define VOTING(n, g) VOTER(n, g, 0) VOTER(n, g, 1) VOTER(n, g, 2)
#endif
#define VOTERS_OF(g)                                              \
    VOTING(0, g) VOTING(1, g) VOTING(2, g)                        \
    LEARN(0, g) LEARN(1, g) LEARN(2, g)

/* ---- progress ---- */
#define SITS(n, g) ((CONNECTED & BIT(n)) && (NAMED(g) & BIT(SLOT(n))))
#define SITTING(g) ((SITS(0, g) -> 1 : 0) + (SITS(1, g) -> 1 : 0) \
                    + (SITS(2, g) -> 1 : 0))
#define MOST(g) (2 * SITTING(g) > COUNT(NAMED(g)))
/* PROGRESS: nothing is left to do, and no generation that is the last one
 * known to the connected waits though a majority of its voters is there. */
#define STUCK(g) (KNOWN((g) - 1) && !KNOWN(g) && MOST(g))

active proctype all()
{
    d_step {
#ifndef FIRST
        decided[1] = START; d[0].rec = 1; d[1].rec = 1; d[2].rec = 1;
#endif
        skip
    }
end:
    do
#ifdef FIRST
    FIRST_BALLOTS VOTERS_OF(1)
#endif
#ifndef FIRST
    LEARN(0, 1) LEARN(1, 1) LEARN(2, 1) /* by a new file */
#endif
#ifdef CHANGE /* a change of voters that was agreed somehow */
    CHANGE_TO(SLOTS(decided[1]) & ~BOTH(2), true)
    CHANGE_TO((SLOTS(decided[1]) & ~BOTH(0)) | BIT(3), d[0].file)
#ifdef JUMP /* two voters less at once */
    CHANGE_TO(1, true)
#endif
    LEARN(0, 2) LEARN(1, 2) LEARN(2, 2)
#elif GENS >= 2
    BALLOTS_OF(2) VOTERS_OF(2)
#endif
#if GENS >= 3
    BALLOTS_OF(3) VOTERS_OF(3)
#endif
#if GENS >= 4
    BALLOTS_OF(4) VOTERS_OF(4)
#endif
    LOSE(0) LOSE(1) LOSE(2)
    CRASH(0) CRASH(1) CRASH(2)
#ifdef PROGRESS
    :: !calm -> calm = true
    :: timeout ->
        assert(calm);
#ifndef CHANGE
        assert(!STUCK(2));
#endif
#if GENS >= 3
        assert(!STUCK(3));
#endif
        break
#endif
    od
}
