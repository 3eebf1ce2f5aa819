/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * R6 and R8 on mirrored disks: leg 0 is on the owner's node, leg 1 on the
 * standby's. Writes go to blocks of their own, so that a leg is a set of them.
 * The record is what pair.pml shows it to be. README.md lists every -D.
 */
#define BIT(i) (1 << (i))

#define PAIRED 1
#define SOLO 2  /* the owner alone */
#define TAKEN 3 /* the standby is the owner */
byte mode = PAIRED, claims;
byte current = 3;  /* legs that the record calls current: bits */
#define C_SOLO 1
#define C_TAKE 2

byte asked;   /* writes that the guest asked for */
byte let;     /* ... released to the legs */
byte leg[2];  /* ... that are on a leg */
byte told;    /* ... that the guest was told are done */
byte seen;    /* ... and that the outside saw to be done */
byte late;    /* ... under way to leg 1's export */
byte landed;  /* ... and carried out there */
byte held, held_told; /* the standby's checkpoint: asked, told */
bool alive = true, solo_known;
bool shut, closed, resumed, booted;

/* A write is asked for; it waits for the checkpoint that holds it. */
#define WRITE(i)                                                  \
    :: d_step {                                                   \
        alive && !(asked & BIT(i)) -> asked = asked | BIT(i)      \
    }                                                             \
    :: d_step {                                                   \
        alive && (asked & BIT(i)) && !(let & BIT(i)) &&           \
        RELEASED(i) -> let = let | BIT(i)                         \
    }                                                             \
    :: d_step { /* on the owner's disk */                         \
        alive && (let & BIT(i)) && !(leg[0] & BIT(i)) ->          \
        leg[0] = leg[0] | BIT(i)                                  \
    }                                                             \
    :: d_step { /* under way to the standby's */                  \
        alive && (let & BIT(i)) && SENDS && !(late & BIT(i)) ->   \
        late = late | BIT(i)                                      \
    }                                                             \
    :: d_step { /* NO LATE WRITE: not once the standby runs */    \
        (late & ~landed & BIT(i)) && OPEN ->                      \
        assert(!resumed);                                         \
        leg[1] = leg[1] | BIT(i); landed = landed | BIT(i)        \
    }                                                             \
    :: d_step { /* told that it is done */                        \
        alive && (leg[0] & BIT(i)) && !(told & BIT(i)) &&         \
        (BOTH(i) || ALONE) -> told = told | BIT(i)                \
    }
#define SENDS (mode != SOLO || !solo_known)
#ifdef RELEASE_EARLY /* before a checkpoint holds it */
#define RELEASED(i) true
#else
#define RELEASED(i) ((held & BIT(i)) || ALONE)
#endif
#ifdef ONE_LEG /* while paired, as QEMU's own mirror does it */
#define BOTH(i) true
#else
#define BOTH(i) (leg[1] & BIT(i))
#endif
#ifdef ALONE_EARLY /* when solo is claimed */
#define ALONE ((mode == SOLO && solo_known) || (claims & C_SOLO))
#else
#define ALONE (mode == SOLO && solo_known)
#endif
#ifdef LEGS_KEPT /* solo, and both legs are said to be current */
#define SOLO_LEGS 3
#else
#define SOLO_LEGS 1
#endif
#ifdef NO_COPY /* paired though leg 1 lacks what was written meanwhile */
#define COPIED true
#else
#define COPIED ((leg[0] & ~leg[1]) == 0 && told == (told & leg[1]))
#endif
#ifdef NO_CLOSE /* resumes while requests may be under way */
#define MAY_RESUME shut
#else
#define MAY_RESUME (shut && closed)
#endif
#ifdef RECONNECT /* the old client finds the new export, by its old name */
#define OPEN true
#else
#define OPEN !closed
#endif
#ifdef NO_REPLAY
#define REPLAY skip
#else
#define REPLAY leg[1] = leg[1] | (held & ~held_told)
#endif
#ifdef ANY_COPY /* the best that is reachable */
#define MAY_BOOT(n) true
#else
#define MAY_BOOT(n) ((current & BIT(n)) != 0)
#endif
/* NOTHING MISSING: what the outside saw to be done is on the disk. */
#define BOOT(n)                                                   \
    :: d_step {                                                   \
        !alive && !booted && mode == SOLO && MAY_BOOT(n) ->       \
        booted = true; assert((seen & ~leg[n]) == 0)              \
    }

active proctype all()
{
end:
    do
    WRITE(0) WRITE(1)
    :: d_step { /* a checkpoint, committed and acknowledged */
        alive && mode == PAIRED && !shut &&
        (held != asked || held_told != told) ->
        held = asked; held_told = told
    }
    :: d_step { /* output, covered by a checkpoint; or alone */
        alive && mode == PAIRED && !shut && seen != (seen | held_told) ->
        seen = seen | held_told
    }
    :: d_step {
        alive && ALONE && seen != told -> seen = seen | told
    }
    /* the record */
    :: d_step {
        alive && mode == PAIRED && !(claims & C_SOLO) ->
        claims = claims | C_SOLO
    }
    :: d_step {
        mode == PAIRED && !(claims & C_TAKE) -> claims = claims | C_TAKE
    }
    :: d_step {
        (claims & C_SOLO) -> mode = SOLO; claims = 0; current = SOLO_LEGS;
        solo_known = false
    }
    :: d_step { mode == SOLO && !solo_known && alive -> solo_known = true }
    :: d_step { (claims & C_TAKE) -> mode = TAKEN; claims = 0; current = 2 }
    /* paired again: copied, a checkpoint of after that, the record */
    :: d_step { /* what it lacks is copied */
        alive && mode == SOLO && solo_known && !shut &&
        leg[1] != (leg[1] | leg[0]) -> leg[1] = leg[1] | leg[0]
    }
    :: d_step {
        alive && mode == SOLO && solo_known && COPIED && !shut ->
        mode = PAIRED; current = 3; claims = 0; held = asked; held_told = told
    }
    /* takeover */
    :: d_step { mode == TAKEN && !shut -> shut = true }
    :: d_step { /* what the export has received is waited for */
        shut && !closed && late == landed -> closed = true
    }
    :: d_step { /* NOTHING MISSING, and nothing that it never asked for */
        mode == TAKEN && MAY_RESUME && !resumed ->
        assert((leg[1] & ~held) == 0);
        REPLAY; resumed = true;
        assert((seen & ~leg[1]) == 0 && (held & ~leg[1]) == 0)
    }
    :: d_step { alive -> alive = false }
    BOOT(0) BOOT(1)
    od
}
