/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * R1, R2, R4 to R8: who runs, what is released, who takes over. The consensus
 * is what paxos.pml and two.pml show it to be: of the claims on top of the
 * last decided record any one may be decided, at any time, also after its
 * claimant died; each node learns of it at any later time, or never.
 *
 * Four QEMUs: 0 is the first owner, 1 and 2 are candidates, 3 is one that
 * boots from the disk. Time is the number of the interval between two
 * checkpoints: checkpoint k holds all output of the intervals up to k.
 * README.md lists every -D.
 */
#ifndef GENS
#define GENS 4
#endif
#ifndef LAST
#define LAST 3 /* checkpoints */
#endif
#define I 4
#define NOBODY 4
#define BIT(i) (1 << (i))
#define PAIRS(M) M(0, 1) M(0, 2) M(1, 2)
#define ALL(M) M(0) M(1) M(2) M(3)

#define SOLO 1
#define PAIRED 2
#define DOWN 3
typedef record { byte mode, owner, standby, earlier };
record rec[GENS + 1];
byte gen; /* the last one that is decided */

/* Claims on top of rec[gen], a bit each. */
byte claims;
#define C_PAIR01 1
#define C_PAIR02 2
#define C_PAIR12 4
#define C_SOLO 8
#define C_TAKE 16
#define C_BOOT 32
#define C_DOWN 64
#define C_PAIR(p, q) (1 << ((p) + (q) - 1))

#define FRESH 0
#define STANDBY 1
#define RUNS 2
#define FROZEN 3
#define DEAD 4
#define HOLD 0 /* nothing is released */
#define FREE 1 /* without acknowledgement */
#define ACKED 2
typedef qemu {
    byte is;
    byte knows; /* generation that its kemarid knows */
    /* a primary */
    byte mode;   /* HOLD, FREE, ACKED */
    byte now;    /* the interval it is in */
    byte to;     /* its candidate or standby */
    bool link;   /* the stream to it is up */
    byte sent;   /* last checkpoint sent */
    byte since;  /* first checkpoint after it stopped releasing; 0: not yet */
    byte asked;  /* generation on which its claim to pair is based */
    byte acked;  /* last acknowledgement that arrived */
    bool write;  /* a released write is under way to the shared disk */
    /* a standby */
    byte has;    /* last checkpoint committed */
    byte said;   /* last acknowledgement sent */
    /* ghost */
    byte fork    /* another went on from here; LAST + 2: nobody did */
};
qemu q[I];
byte dead;        /* who is confirmed dead: bits */
byte frozen[2];   /* 0, 1: generations in which it froze for good: bits */
byte did_free, did_confirm; /* orders that may still hang somewhere: bits */
byte head;        /* ghost: whose history goes on */
byte visible;     /* ghost: output seen of it */
#define OPEN (LAST + 2)

#define R rec[gen]
#define K(i) rec[q[i].knows]
#define LIVE(i) (q[i].is == STANDBY || q[i].is == RUNS || q[i].is == FROZEN)
#define OWNS(i) (K(i).owner == (i) && K(i).mode != DOWN)

/* ---- claims ---- */
#ifdef NO_BASE /* on top of a record that is decided over, too */
#define BASED(i) true
#else
#define BASED(i) (q[i].knows == gen)
#endif
#define CLAIM(i, c) BASED(i) && !(claims & (c)) && gen < GENS

/* Output up to k becomes visible. ONE HISTORY: of what another went on from,
 * nothing more is released than that one has, too. */
#define SHOW(i, k)                                                \
    if                                                            \
    :: head == (i) -> visible = (visible < (k) -> (k) : visible)  \
    :: else -> assert((k) <= q[i].fork)                           \
    fi
#define DECIDED(m, o, s, e)                                       \
    rec[gen + 1].mode = (m); rec[gen + 1].owner = (o);            \
    rec[gen + 1].standby = (s);                                   \
    rec[gen + 1].earlier = (e) & ~dead;                           \
    gen++; claims = 0
#define OLD (R.earlier | (R.owner < I -> BIT(R.owner) : 0))
#define DECIDE                                                    \
    :: d_step { claims & C_PAIR(0, 1) -> DECIDED(PAIRED, 0, 1, R.earlier) } \
    :: d_step { claims & C_PAIR(0, 2) -> DECIDED(PAIRED, 0, 2, R.earlier) } \
    :: d_step { claims & C_PAIR(1, 2) -> DECIDED(PAIRED, 1, 2, R.earlier) } \
    :: d_step { claims & C_SOLO -> DECIDED(SOLO, R.owner, NOBODY, R.earlier) } \
    :: d_step { claims & C_TAKE -> DECIDED(SOLO, R.standby, NOBODY, OLD) } \
    :: d_step { claims & C_BOOT -> DECIDED(SOLO, 3, NOBODY, OLD) } \
    :: d_step { claims & C_DOWN -> DECIDED(DOWN, R.owner, NOBODY, R.earlier) }
#define LEARN(i)                                                  \
    :: d_step { q[i].knows < gen && q[i].is != DEAD -> q[i].knows = gen }

/* ---- the stream ---- */
#define STREAM(p, s)                                              \
    :: d_step { /* a candidate */                                 \
        q[p].is == RUNS && OWNS(p) && K(p).mode == SOLO &&        \
        q[p].mode == FREE && q[p].to == NOBODY &&                 \
        q[s].is == FRESH && ((s) == 1 || q[1].is != FRESH) ->     \
        q[p].to = (s); q[p].link = true; q[p].sent = 0;           \
        q[p].acked = 0; q[p].since = 0; q[s].is = STANDBY;        \
        q[s].knows = q[p].knows                                   \
    }                                                             \
    :: d_step { /* commits, acknowledges */                       \
        q[p].to == (s) && q[p].link && q[s].is == STANDBY &&      \
        q[s].has < q[p].sent ->                                   \
        q[s].has = q[p].sent; q[s].said = q[p].sent               \
    }                                                             \
    NOT_SHUT(p, s)                                                \
    :: d_step {                                                   \
        q[p].to == (s) && LIVE(p) && q[p].acked < q[s].said ->    \
        q[p].acked = q[s].said                                    \
    }                                                             \
    :: d_step { q[p].to == (s) && q[p].link -> q[p].link = false } \
    :: d_step { /* the claim to be paired */                      \
        q[p].to == (s) && q[p].is == RUNS && STOPPED_IT(p) &&     \
        SYNCED(p) && OWNS(p) && K(p).mode == SOLO &&              \
        q[p].asked < q[p].knows &&                                \
        CLAIM(p, C_PAIR(p, s)) ->                                 \
        claims = claims | C_PAIR(p, s); q[p].asked = q[p].knows   \
    }                                                             \
    :: d_step { /* the candidate is lost before that */           \
        q[p].to == (s) && q[p].is == RUNS && !q[p].link &&        \
        K(p).mode == SOLO && OWNS(p) && UNASKED(p) ->             \
        q[p].to = NOBODY; q[p].mode = FREE; q[p].since = 0        \
    }                                                             \
    :: d_step { /* confirm */                                     \
        q[p].to == (s) && q[p].is == RUNS && STOPPED_IT(p) &&     \
        OWNS(p) && K(p).mode == PAIRED && K(p).standby == (s) ->  \
        q[p].mode = ACKED; did_confirm = did_confirm | BIT(p)     \
    }                                                             \
    TAKEOVER(p, s)
#ifdef UNTAKEN /* any acknowledged checkpoint will do */
#define SYNCED(p) (q[p].acked > 0 && q[p].since != 0)
#elif defined(UNSYNCED) /* an invited candidate will do */
#define SYNCED(p) (q[p].since != 0)
#else
#define SYNCED(p) (q[p].since != 0 && q[p].acked >= q[p].since)
#endif
#ifdef ABANDON /* a claim to pair that is given up */
#define UNASKED(p) true
#else
#define UNASKED(p) (q[p].asked < q[p].knows)
#endif
#ifdef NO_SHUT /* acknowledges on while, and after, it takes over */
#define NOT_SHUT(p, s)                                            \
    :: d_step {                                                   \
        q[p].to == (s) && q[p].link && q[s].is == RUNS &&         \
        q[s].said < q[p].sent -> q[s].said = q[p].sent            \
    }
#else
#define NOT_SHUT(p, s)
#endif

#define PRIMARY(p)                                                \
    :: d_step { /* a checkpoint */                                \
        q[p].is == RUNS && q[p].to != NOBODY && q[p].now <= LAST -> \
        q[p].sent = q[p].now; q[p].now++                          \
    }                                                             \
    :: d_step { /* stops releasing without acknowledgement */     \
        q[p].is == RUNS && q[p].to != NOBODY && q[p].mode == FREE && \
        q[p].since == 0 ->                                        \
        STOP_RELEASE(p); q[p].since = q[p].now                    \
    }                                                             \
    :: d_step { /* output, and a write, without acknowledgement */ \
        q[p].is == RUNS && q[p].mode == FREE && MAY_SHOW(p) ->    \
        SHOW(p, q[p].now); q[p].write = true                      \
    }                                                             \
    :: d_step { /* the same, of an acknowledged checkpoint */     \
        q[p].is == RUNS && RELEASES(p) && q[p].acked > 0 ->       \
        SHOW(p, q[p].acked); q[p].write = true                    \
    }                                                             \
    :: d_step { /* solo again */                                  \
        OWNS(p) && K(p).mode == PAIRED && LIVE(p) &&              \
        CLAIM(p, C_SOLO) -> claims = claims | C_SOLO;             \
        SOLO_AT_ONCE(p)                                           \
    }                                                             \
    :: d_step {                                                   \
        LIVE(p) && OWNS(p) && K(p).mode == SOLO &&                \
        (q[p].is == FROZEN || q[p].mode == ACKED ||               \
         (q[p].mode == HOLD && q[p].to != NOBODY &&               \
          q[p].asked != 0 && q[p].asked < q[p].knows &&           \
          q[p].since != 0)) ->                                    \
        q[p].is = RUNS; q[p].mode = FREE; q[p].to = NOBODY;       \
        q[p].link = false; q[p].since = 0;                        \
        did_free = did_free | BIT(p)                              \
    }                                                             \
    STALE(p)
#define MAY_SHOW(p) (head != (p) || visible < q[p].now || !q[p].write)
#ifdef GO_ON /* releases on until the record says that it is paired */
#define STOP_RELEASE(p) skip
#define STOPPED_IT(p) (q[p].mode != ACKED)
#else
#define STOP_RELEASE(p) q[p].mode = HOLD
#define STOPPED_IT(p) (q[p].mode == HOLD)
#endif
#ifdef NO_WAIT /* on a candidate's acknowledgement, before it is decided */
#define RELEASES(p) (q[p].mode == ACKED || (q[p].mode == HOLD &&  \
    q[p].asked != 0 && q[p].asked == q[p].knows))
#else
#define RELEASES(p) (q[p].mode == ACKED)
#endif
#ifdef SOLO_EARLY /* goes on when it claims, not when it is decided */
#define SOLO_AT_ONCE(p) q[p].mode = FREE
#else
#define SOLO_AT_ONCE(p) skip
#endif
#ifdef STALE_FREE /* an old order to go on alone arrives again */
#define STALE(p)                                                  \
    :: d_step {                                                   \
        q[p].is == RUNS && (did_free & BIT(p)) &&                 \
        q[p].mode != FREE -> q[p].mode = FREE                     \
    }
#elif defined(STALE_CONFIRM) /* ... to release what is acknowledged */
#define STALE(p)                                                  \
    :: d_step {                                                   \
        q[p].is == RUNS && (did_confirm & BIT(p)) &&              \
        q[p].mode == HOLD && q[p].to != NOBODY -> q[p].mode = ACKED \
    }
#else
#define STALE(p)
#endif

/* ---- takeover ---- */
#ifdef ANY_STANDBY /* one that is a candidate only */
#define MAY_TAKE(p, s) (q[s].is == STANDBY && R.owner == (p))
#define TAKE_IT(s) DECIDED(SOLO, s, NOBODY, OLD)
#else
#define MAY_TAKE(p, s) (q[s].is == STANDBY &&                     \
    K(s).mode == PAIRED && K(s).standby == (s) && K(s).owner == (p))
#ifdef NO_BASE
#define TAKE_IT(s) DECIDED(SOLO, s, NOBODY, OLD)
#else
#define TAKE_IT(s) claims = claims | C_TAKE
#endif
#endif
#ifdef EARLY_RESUME /* resumes when it claims */
#define NAMED(s) ((K(s).mode == PAIRED && K(s).standby == (s)) || \
                  (K(s).mode == SOLO && OWNS(s)))
#else
#define NAMED(s) (K(s).mode == SOLO && OWNS(s))
#endif
/* On shared storage: nothing of the old owner may land later. */
#if !defined(SHARED) || defined(RESUME_ANY)
#define QUIET(p, s) true
#elif defined(FROZEN_EVER) /* a handover of long ago */
#define QUIET(p, s) ((dead & BIT(p)) || frozen[p] != 0)
#else
#define QUIET(p, s) ((dead & BIT(p)) ||                           \
                     (frozen[p] & BIT(q[s].knows - 1)))
#endif
#define TAKEOVER(p, s)                                            \
    :: d_step {                                                   \
        MAY_TAKE(p, s) && CLAIM(s, C_TAKE) -> TAKE_IT(s)          \
    }                                                             \
    :: d_step { /* resumes. NOTHING MISSING. SYNCHRONISED. */     \
        q[s].is == STANDBY && NAMED(s) && q[p].to == (s) &&       \
        QUIET(p, s) ->                                            \
        assert(head == (p) && visible <= q[s].has && q[s].has > 0); \
        q[p].fork = q[s].has; head = (s); visible = q[s].has;     \
        q[s].is = RUNS; q[s].mode = FREE; q[s].now = q[s].has + 1 \
    }
/* The primary freezes, with a last checkpoint; writes are waited for. */
#define HANDOVER(p)                                               \
    :: d_step {                                                   \
        q[p].is == RUNS && q[p].mode == ACKED && OWNS(p) &&       \
        K(p).mode == PAIRED && q[p].now <= LAST ->                \
        q[p].sent = q[p].now; q[p].now++; q[p].is = FROZEN;       \
        q[p].write = false;                                       \
        frozen[p] = frozen[p] | BIT(q[p].knows)                   \
    }

/* ---- death, and booting ---- */
#define DIE(i) q[i].is = DEAD; q[i].write = false
#define CRASH(i)                                                  \
    :: d_step { LIVE(i) -> DIE(i) }                               \
    :: d_step {                                                   \
        SURELY(i) && !(dead & BIT(i)) -> dead = dead | BIT(i)     \
    }
#ifdef SILENCE /* silence, or fabric fencing, counts as death */
#define SURELY(i) LIVE(i)
#else
#define SURELY(i) (q[i].is == DEAD)
#endif
/* LATE WRITES: nothing lands after somebody else went on. */
#ifdef SHARED
#define LAND(i)                                                   \
    :: d_step {                                                   \
        q[i].write -> assert(q[i].fork == OPEN || q[i].is == DEAD); \
        q[i].write = false                                        \
    }
#else
#define LAND(i)
#endif
#ifdef DOWN_FIRST /* claims down, then kills */
#define STOPPED(i) LIVE(i)
#else
#define STOPPED(i) (q[i].is == DEAD)
#endif
#define STOP(i)                                                   \
    :: d_step {                                                   \
        STOPPED(i) && OWNS(i) && q[i].knows == gen &&             \
        CLAIM(i, C_DOWN) -> claims = claims | C_DOWN              \
    }
#ifdef BOOT_OWNER /* the owner need not be known dead */
#define OWNER_GONE true
#else
#define OWNER_GONE (dead & BIT(R.owner))
#endif
#ifdef BOOT_EARLIER /* ... nor an earlier one */
#define EARLIER_GONE true
#else
#define EARLIER_GONE (!(R.earlier & ~dead))
#endif
#ifdef BOOT_STANDBY /* ... nor the standby, which knows more */
#define STANDBY_GONE true
#else
#define STANDBY_GONE (R.mode != PAIRED || (dead & BIT(R.standby)))
#endif
#ifdef DOWN_ENOUGH /* down: nobody is looked for */
#define MAY_BOOT (R.mode == DOWN || (OWNER_GONE && EARLIER_GONE && \
                                     STANDBY_GONE))
#else
#define MAY_BOOT ((R.mode == DOWN || OWNER_GONE) && EARLIER_GONE && \
                  STANDBY_GONE)
#endif
#ifdef BOOT_STALE /* judged by a record that is decided over */
#define BY_OLD (R.mode != PAIRED && rec[1].mode == SOLO &&        \
                (dead & BIT(rec[1].owner)))
#else
#define BY_OLD false
#endif
/* A second run: nobody else's, nor what a live standby could have saved. */
#define IDLE(i) (q[i].is != RUNS && q[i].is != FROZEN && !q[i].write)
#define COLD                                                      \
    :: d_step {                                                   \
        q[3].is == FRESH && gen < GENS && !(claims & C_BOOT) &&   \
        (MAY_BOOT || BY_OLD) -> claims = claims | C_BOOT;         \
        assert(R.mode != PAIRED || q[R.standby].is != STANDBY)    \
    }                                                             \
    :: d_step {                                                   \
        q[3].is == FRESH && R.owner == 3 ->                       \
        assert(IDLE(0) && IDLE(1) && IDLE(2));                    \
        q[3].is = DEAD                                            \
    }

active proctype all()
{
    d_step {
        gen = 1; rec[1].mode = SOLO; rec[1].owner = 0;
        rec[1].standby = NOBODY;
        q[0].is = RUNS; q[0].mode = FREE; q[0].now = 1; q[0].knows = 1;
        q[0].to = NOBODY; q[1].to = NOBODY; q[2].to = NOBODY;
        q[3].to = NOBODY;
        did_free = 1; /* generation 1's own */
#ifdef START_PAIRED
        rec[1].mode = PAIRED; rec[1].standby = 1;
        q[0].mode = ACKED; q[0].to = 1; q[0].link = true;
        q[0].sent = 1; q[0].acked = 1; q[0].now = 2; q[0].since = 1;
        visible = 1; did_confirm = 1;
        q[1].is = STANDBY; q[1].has = 1; q[1].said = 1; q[1].knows = 1;
#endif
        q[0].fork = OPEN; q[1].fork = OPEN; q[2].fork = OPEN
    }
end:
    do
    DECIDE
    PAIRS(STREAM)
    PRIMARY(0) PRIMARY(1)
    LEARN(0) LEARN(1) LEARN(2)
    HANDOVER(0) HANDOVER(1)
    CRASH(0) CRASH(1) CRASH(2)
    LAND(0) LAND(1)
    STOP(0) STOP(1)
    COLD
    od
}
