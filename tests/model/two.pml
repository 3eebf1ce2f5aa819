/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * R3, two voters: the survivor alone may decide when its peer is confirmed
 * power-fenced, and the survivor knows what the peer may have decided. Ballots
 * as in paxos.pml, of two nodes; kemarids that start again, nodes that are
 * fenced and boot again. A node that is off is one that has booted and says
 * nothing yet. README.md lists every -D.
 */
#ifndef GENS
#define GENS 2 /* the first is decided, with both as its voters */
#endif
#ifndef BOOTS
#define BOOTS 2 /* of each node; after the last it stays off */
#endif
#ifndef BALLOTS
#define BALLOTS 2 /* of each generation, 2 or 3 */
#endif
#define BIT(n) (1 << (n))
#define PEER(n) (1 - (n))

/* Values: who votes next (1: node 0, 2: node 1, 3: both), and whose it is. */
#define VOTE(v) ((v) & 3)
#define OF(n) (4 << (n))

typedef generation {
    byte phase[BALLOTS]; /* 1 preparing, 2 accepting; +2: its start ended */
    byte by[BALLOTS];
    byte boot[BALLOTS];  /* ... in this boot */
    byte val[BALLOTS];
    bool adopted[BALLOTS];
    byte promise[BALLOTS]; /* nodes that promised */
    byte told[BALLOTS * 2]; /* ... and what they had accepted: ballot + 1 */
    byte heard[BALLOTS];    /* the boot in which the other promised */
    byte yes[BALLOTS]       /* nodes that accepted */
};
generation at[GENS + 1];
byte decided[GENS + 1];

typedef node {
    byte rec, prom, acc; /* on disk */
    byte boot;
    byte seen;   /* volatile: the peer's boot that was heard last */
    bool met;    /* volatile: it knows what the peer had accepted */
    bool fenced; /* volatile: the peer is, and was not heard since */
    byte asked;  /* of the group: 1 the peer is to be fenced, 2 it was */
    byte bound   /* ... in this boot, as far as known */
};
node a[2];
bool calm; /* from now on nothing fails, and node 0 proposes */
#define RUNS(n) (a[n].boot <= BOOTS)
#define LEADER (BALLOTS - 1)

/* ---- a start ---- */
#define DROP(n, g, b)                                             \
    if                                                            \
    :: at[g].by[b] == (n) && (at[g].phase[b] == 1 ||              \
                              at[g].phase[b] == 2) ->             \
        at[g].phase[b] = at[g].phase[b] + 2                       \
    :: else                                                       \
    fi;
#if BALLOTS == 2
#define DROPS(n, g) DROP(n, g, 0) DROP(n, g, 1)
#else
#define DROPS(n, g) DROP(n, g, 0) DROP(n, g, 1) DROP(n, g, 2)
#endif
#if GENS == 2
#define DROP_ALL(n) DROPS(n, 2)
#else
#define DROP_ALL(n) DROPS(n, 2) DROPS(n, 3)
#endif
#ifdef SURVIVES /* what the peer had accepted before is still good */
#define UNMEET(n)
#else
#define UNMEET(n) a[n].met = false;
#endif
#define AGAIN(n)                                                  \
    UNMEET(n) a[n].fenced = false; a[n].seen = 0; DROP_ALL(n)
#define START(n)                                                  \
    :: d_step { /* the kemarid */                                 \
        !calm && RUNS(n) &&                                       \
        (a[n].met || a[n].fenced || a[n].seen != 0) -> AGAIN(n)   \
    }                                                             \
    :: d_step { /* the node */                                    \
        !calm && RUNS(n) -> a[n].boot++; AGAIN(n)                 \
    }

/* ---- messages ---- */
#ifdef NO_VOID /* a confirmation holds though the peer speaks again */
#define VOID(n)
#else
#define VOID(n) a[n].fenced = false;
#endif
#define HEARD(n, k)                                               \
    VOID(n) a[n].seen = (a[n].seen < (k) -> (k) : a[n].seen)
#ifdef RECORDS /* any word of the peer's newest boot will do */
#define MEETS(n, k) a[n].met = a[n].met || (k) == a[PEER(n)].boot;
#else
#define MEETS(n, k)
#endif
#define HEAR(n, k)                                                \
    :: d_step {                                                   \
        !calm && RUNS(n) && (k) <= a[PEER(n)].boot &&             \
        (a[n].seen < (k) || a[n].fenced) ->                       \
        MEETS(n, k) HEARD(n, k)                                   \
    }
#if BOOTS == 1
#define HEARS(n) HEAR(n, 1)
#elif BOOTS == 2
#define HEARS(n) HEAR(n, 1) HEAR(n, 2)
#else
#define HEARS(n) HEAR(n, 1) HEAR(n, 2) HEAR(n, 3)
#endif
#define LEARN(n, g)                                               \
    :: d_step {                                                   \
        RUNS(n) && a[n].rec < (g) && a[PEER(n)].rec >= (g) &&     \
        (!calm || RUNS(PEER(n))) ->                               \
        a[n].rec = (g); a[n].prom = 0; a[n].acc = 0               \
    }

/* ---- fencing ---- */
#ifdef NO_BIND /* proves something about whatever boot comes after, too */
#define BINDS(n) true
#else
#define BINDS(n) (a[n].seen == 0 || a[n].seen == a[n].bound)
#endif
#ifdef FABRIC /* cut off from the disks, not from its power */
#define CUT(n) skip
#else
#define CUT(n)                                                    \
    if                                                            \
    :: RUNS(n) -> a[n].boot++; AGAIN(n)                           \
    :: else                                                       \
    fi
#endif
#ifdef SILENCE /* a peer that says nothing counts as fenced */
#define FENCE(n)                                                  \
    :: d_step { RUNS(n) && !a[n].fenced -> a[n].fenced = true }
#else
#define FENCE(n)                                                  \
    :: d_step {                                                   \
        RUNS(n) && (a[n].asked == 0 || (a[n].asked == 2 &&        \
                    a[n].seen > a[n].bound)) && a[n].seen != 0 && \
        CAN_FENCE(n) ->                                           \
        a[n].asked = 1; a[n].bound = a[n].seen                    \
    }                                                             \
    :: d_step {                                                   \
        a[n].asked == 1 && CAN_FENCE(n) ->                        \
        a[n].asked = 2; CUT(PEER(n))                              \
    }                                                             \
    :: d_step {                                                   \
        RUNS(n) && a[n].asked == 2 && !a[n].fenced && BINDS(n) && \
        CAN_FENCE(n) -> a[n].fenced = true                        \
    }
#endif
/* When all is calm, only who is off for good is (still) fenced. */
#define CAN_FENCE(n) (!calm || !RUNS(PEER(n)))

/* ---- deciding ---- */
#ifdef NO_MET /* nothing of the peer needs to be known */
#define KNOWS(n) true
#else
#define KNOWS(n) a[n].met
#endif
#ifdef NOT_ALONE
#define ALONE(n, g) false
#else
#define ALONE(n, g) (VOTE(decided[(g) - 1]) == 3 && a[n].fenced && KNOWS(n))
#endif
#define VOTES(n, g)                                               \
    (RUNS(n) && a[n].rec == (g) - 1 && (VOTE(decided[(g) - 1]) & BIT(n)))
#define MOST(g, set)                                              \
    (((set) & VOTE(decided[(g) - 1])) == VOTE(decided[(g) - 1]))
#define MINE(n, g, b, p)                                          \
    (at[g].by[b] == (n) && at[g].phase[b] == (p) && VOTES(n, g))
/* What the survivor alone may decide. */
#ifdef ANY_VALUE
#define FREE(v, n) true
#else
#define FREE(v, n) (VOTE(v) == BIT(n))
#endif
#ifdef REMOVE_ONLY /* not what it had accepted before, if that keeps both */
#define DONE(g, b, n) FREE(at[g].val[b], n)
#else
#define DONE(g, b, n) (FREE(at[g].val[b], n) || at[g].adopted[b])
#endif
#ifdef NO_ADOPT
#define HIGHEST(g, b, n) 0
#else
#define MAX(x, y) ((x) < (y) -> (y) : (x))
#define GOT(g, b, n)                                              \
    ((at[g].promise[b] & BIT(n)) -> at[g].told[(b) * 2 + (n)] : 0)
#define HIGHEST(g, b, n) MAX(GOT(g, b, 0), GOT(g, b, 1))
#endif
#define OTHER(n, g, set) (VOTE(decided[(g) - 1]) == 3 && ((set) & BIT(PEER(n))))
/* By itself: what the peer said, if it said something, did not arrive. */
#ifdef NO_ADOPT
#define OWN_HIGHEST(g, b, n) 0
#else
#define OWN_HIGHEST(g, b, n) GOT(g, b, n)
#endif
#define SELF(g, b, n, set) (((set) & BIT(n)) && ALONE(n, g))

/* AGREEMENT: a generation is decided once. */
#define DECIDE(g, v)                                              \
    assert(decided[g] == 0 || decided[g] == (v));                 \
    decided[g] = (v)
#define PASS(n, g, b)                                             \
    if                                                            \
    :: OTHER(n, g, at[g].promise[b]) -> HEARD(n, at[g].heard[b])  \
    :: else                                                       \
    fi
#define OWN(n, g, b, w)                                           \
    :: d_step {                                                   \
        MINE(n, g, b, 1) && MOST(g, at[g].promise[b]) &&          \
        HIGHEST(g, b, n) == 0 ->                                  \
        at[g].phase[b] = 2; at[g].val[b] = (w); PASS(n, g, b)     \
    }                                                             \
    :: d_step {                                                   \
        MINE(n, g, b, 1) && SELF(g, b, n, at[g].promise[b]) &&    \
        OWN_HIGHEST(g, b, n) == 0 && FREE(w, n) ->                \
        at[g].phase[b] = 2; at[g].val[b] = (w)                    \
    }
#ifdef UNKNOWN /* also one that brought something new */
#define BROUGHT(n, g, b) true
#else
#define BROUGHT(n, g, b) (at[g].told[(b) * 2 + PEER(n)] <= a[n].acc)
#endif
#ifdef OLD_START /* a ballot of an earlier start will do */
#define STARTED(n, g, b) (at[g].by[b] == (n) && VOTES(n, g))
#else
#define STARTED(n, g, b) (MINE(n, g, b, 1) || MINE(n, g, b, 2))
#endif
#define MAY(n, b) (!calm || ((n) == 0 && (b) == LEADER))
/* One ballot at a time, each higher than those before of this start. */
#define BUSY(n, g, b) (at[g].by[b] == (n) && at[g].phase[b] != 0 &&      \
                       at[g].phase[b] <= 2)
#ifdef AT_ONCE
#define HIGHER(n, g, b) true
#define LOWER_END(n, g, b)
#elif BALLOTS == 2
#define HIGHER(n, g, b) ((b) == 1 || !BUSY(n, g, 1))
#define LOWER_END(n, g, b) DROP(n, g, 0)
#else
#define HIGHER(n, g, b) (((b) == 2 || !BUSY(n, g, 2)) &&          \
                         ((b) >= 1 || !BUSY(n, g, 1)))
#define LOWER_END(n, g, b) DROP(n, g, 0) DROP(n, g, 1)
#endif
#define PROPOSER(n, g, b)                                         \
    :: d_step {                                                   \
        at[g].phase[b] == 0 && VOTES(n, g) && MAY(n, b) &&        \
        HIGHER(n, g, b) ->                                        \
        LOWER_END(n, g, b)                                        \
        at[g].phase[b] = 1; at[g].by[b] = (n);                    \
        at[g].boot[b] = a[n].boot                                 \
    }                                                             \
    OWN(n, g, b, 3 | OF(n)) OWN(n, g, b, BIT(n) | OF(n))          \
    :: d_step {                                                   \
        MINE(n, g, b, 1) && MOST(g, at[g].promise[b]) &&          \
        HIGHEST(g, b, n) != 0 ->                                  \
        at[g].phase[b] = 2; at[g].adopted[b] = true;              \
        at[g].val[b] = at[g].val[HIGHEST(g, b, n) - 1];           \
        PASS(n, g, b)                                             \
    }                                                             \
    :: d_step {                                                   \
        MINE(n, g, b, 1) && SELF(g, b, n, at[g].promise[b]) &&    \
        OWN_HIGHEST(g, b, n) != 0 ->                              \
        at[g].phase[b] = 2; at[g].adopted[b] = true;              \
        at[g].val[b] = at[g].val[OWN_HIGHEST(g, b, n) - 1]        \
    }                                                             \
    :: d_step { /* the promise arrives */                         \
        STARTED(n, g, b) && OTHER(n, g, at[g].promise[b]) &&      \
        BROUGHT(n, g, b) && !a[n].met ->                          \
        a[n].met = true; HEARD(n, at[g].heard[b])                 \
    }                                                             \
    :: d_step { /* alone; that it counted is not on disk yet */   \
        MINE(n, g, b, 2) && SELF(g, b, n, at[g].yes[b]) &&        \
        DONE(g, b, n) && decided[g] != at[g].val[b] ->            \
        DECIDE(g, at[g].val[b])                                   \
    }                                                             \
    :: d_step { /* it counted, alone */                           \
        MINE(n, g, b, 2) && decided[g] == at[g].val[b] &&         \
        SELF(g, b, n, at[g].yes[b]) && DONE(g, b, n) ->           \
        a[n].rec = (g); a[n].prom = 0; a[n].acc = 0               \
    }                                                             \
    :: d_step { /* both: the acceptance is an exchange, too */    \
        MINE(n, g, b, 2) && MOST(g, at[g].yes[b]) ->              \
        a[n].rec = (g); a[n].prom = 0; a[n].acc = 0;              \
        if                                                        \
        :: OTHER(n, g, at[g].yes[b]) ->                           \
            a[n].met = true; HEARD(n, at[g].heard[b])             \
        :: else                                                   \
        fi                                                        \
    }
#ifdef ITS_BALLOT /* that it asked us will do */
#define ASKED(n) a[n].met = true;
#else
#define ASKED(n)
#endif
#define FROM(n, g, b)                                             \
    if                                                            \
    :: at[g].by[b] != (n) -> ASKED(n) HEARD(n, at[g].boot[b]);    \
        at[g].heard[b] = a[n].boot                                \
    :: else                                                       \
    fi
#define IN_CALM(b) (!calm || ((b) == LEADER && at[2].by[LEADER] == 0))
#define VOTER(n, g, b)                                            \
    :: d_step {                                                   \
        at[g].phase[b] != 0 && VOTES(n, g) && IN_CALM(b) &&       \
        a[n].prom <= (b) + 1 && !(at[g].promise[b] & BIT(n)) ->   \
        at[g].promise[b] = at[g].promise[b] | BIT(n);             \
        at[g].told[(b) * 2 + (n)] = a[n].acc;                     \
        a[n].prom = (b) + 1;                                      \
        FROM(n, g, b)                                             \
    }                                                             \
    :: d_step {                                                   \
        (at[g].phase[b] == 2 || at[g].phase[b] == 4) &&           \
        VOTES(n, g) && a[n].prom <= (b) + 1 && IN_CALM(b) &&      \
        a[n].acc != (b) + 1 ->                                    \
        a[n].prom = (b) + 1; a[n].acc = (b) + 1;                  \
        at[g].yes[b] = at[g].yes[b] | BIT(n);                     \
        FROM(n, g, b);                                            \
        if                                                        \
        :: MOST(g, at[g].yes[b]) -> DECIDE(g, at[g].val[b])       \
        :: else                                                   \
        fi                                                        \
    }
#define GEN_B(g, b) GEN_BY(g, b, PROPOSER(0, g, b) PROPOSER(1, g, b))
#define GEN_BY(g, b, who) who VOTER(0, g, b) VOTER(1, g, b)
#define FIRST_B(g) PROPOSER(0, g, 0) VOTER(0, g, 0) VOTER(1, g, 0)
#if defined(IN_TURN) /* ballots of 0, of 1, and of 0 again */
#define MORE_B(g)                                                 \
    GEN_BY(g, 1, PROPOSER(1, g, 1)) GEN_BY(g, 2, PROPOSER(0, g, 2))
#elif BALLOTS == 2
#define MORE_B(g) GEN_B(g, 1)
#else
#define MORE_B(g) GEN_B(g, 1) GEN_B(g, 2)
#endif

active proctype all()
{
    d_step {
        decided[1] = 3;
        a[0].rec = 1; a[0].boot = 1; a[1].rec = 1; a[1].boot = 1;
        /* they met before */
        a[0].seen = 1; a[0].met = true; a[1].seen = 1; a[1].met = true
    }
end:
    do
#ifdef PROGRESS
    PROPOSER(1, 2, 0)
#endif
    /* The nodes are alike, so that the first ballot may be that of node 0. */
    FIRST_B(2) MORE_B(2) LEARN(0, 2) LEARN(1, 2)
#if GENS == 3
    FIRST_B(3) PROPOSER(1, 3, 0) MORE_B(3) LEARN(0, 3) LEARN(1, 3)
#endif
    HEARS(0) HEARS(1) FENCE(0) FENCE(1) START(0) START(1)
#ifdef PROGRESS
    /* PROGRESS: both are there; or one, who knows what the other did. */
    :: !calm && RUNS(0) && at[2].phase[LEADER] == 0 &&
        (RUNS(1) || (a[0].met && a[0].asked == 2 && BINDS(0))) -> calm = true
    :: timeout ->
        assert(!calm || a[0].rec >= 2);
        break
#endif
    od
}
