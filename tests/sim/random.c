/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * random --seed S --steps N [--nodes N] [--kind K] [--trace]: worlds with
 * random faults, one after another from seed S on, until N steps are done.
 * Exit 1 and the end of the trace when a rule was broken. Without --kind every
 * fourth world is of a VM alone, and every fourth has a hasty Pacemaker.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define EPISODE_STEPS 20000
#define WELL_MS 900000 /* to run again, after the last fault */
#define PROTECTED_MS 1800000

static struct sim sim;
static enum sim_world kind = SIM_WORLDS;

static enum sim_world world_of(uint64_t seed)
{
    static const enum sim_world usual[] = { SIM_PAIR, SIM_PAIR, SIM_ALONE,
                                            SIM_HASTY };

    return kind == SIM_WORLDS ? usual[seed % 4] : kind;
}

static bool until(bool protected, uint64_t ms)
{
    uint64_t end_ms = sim.now_ms + ms;

    while (sim.now_ms < end_ms) {
        if (!sim_run(&sim, 1000)) {
            return false;
        }
        if (sim_is_well(&sim, protected)) {
            return true;
        }
    }
    sim_fail(&sim, "rule 7: not %s in %u s", protected ? "protected" : "well",
             (unsigned)(ms / 1000));
    return false;
}

static int running(void)
{
    for (unsigned n = 0; n < sim.nodes; n++) {
        if (sim.node[n].qemu >= 0 && sim.insts[sim.node[n].qemu].guest) {
            return (int)n;
        }
    }
    return -1;
}

/* Every kemarid is there for a while, and nothing is asked of any. */
static bool idle(void)
{
    unsigned calm = 0;

    for (unsigned s = 0; s < 300 && calm < 40 && sim_run(&sim, 1000); s++) {
        calm = sim_is_busy(&sim) || !sim_is_well(&sim, true) ? 0 : calm + 1;
        for (unsigned n = 0; n < sim.nodes; n++) {
            calm = sim.node[n].kemarid && sim.node[n].pair.synced ? calm : 0;
        }
    }
    return sim.failure[0] == '\0' && calm == 40;
}

/*
 * One thing more, where nothing goes wrong but this: the guest has to go on,
 * on another node where it was to move.
 */
static bool exam(void)
{
    int n = idle() ? running() : -1;
    int inst = n < 0 ? -1 : sim.node[n].qemu;
    unsigned what = sim_random(&sim, 3);
    bool moves = true;

    if (inst < 0) {
        sim_fail(&sim, "rule 7: it is never calm");
        return false;
    }
    sim_say(&sim, "---- exam %u", what);
    sim.op.ban_ms[n] = sim.now_ms + WELL_MS;
    if (sim.world == SIM_ALONE) {
        if (what == 0) { /* Pacemaker knows nothing of it */
            memset(sim.op.role, 0, sizeof(sim.op.role));
            memset(sim.op.ban_ms, 0, sizeof(sim.op.ban_ms));
            moves = false;
        }
    } else {
        if (what == 0 && sim.insts[inst].link >= 0) {
            sim_qemu_dies(&sim, sim.insts[inst].link, true);
        }
        sim.faults.handover_fails = what == 1;
        sim_begin(&sim, SIM_DEMOTE, (unsigned)n, true);
    }
    for (unsigned s = 0; s < 300; s++) {
        if (!sim_run(&sim, 1000)) {
            return false;
        }
        n = running();
        if (n >= 0 && (sim.node[n].qemu != inst) == moves &&
            sim_goes_on_with(&sim, sim.node[n].qemu, inst) &&
            sim_is_well(&sim, true)) {
            return true;
        }
    }
    sim_fail(&sim, "rule 7: the guest does not go on as it was asked to");
    return false;
}

/* False: a rule was broken. */
static bool episode(uint64_t seed, unsigned nodes)
{
    static const uint32_t means[] = { 400, 1500, 5000, 20000 };

    sim_init(&sim, nodes, seed, world_of(seed));
    if (nodes == 0) {
        static const unsigned usual[] = { 2, 3, 3, 3, 4, 5 };

        sim.nodes = 0;
        nodes = usual[sim_random(&sim, 6)];
        sim_init(&sim, nodes, seed, world_of(seed));
        sim_random(&sim, 6);
    }
    sim.op.freezes = sim_chance(&sim, 50);
    sim.faults.mean_ms = means[sim_random(&sim, 4)];
    sim.faults.paxos = sim_chance(&sim, 30);
    sim.faults.files = sim_chance(&sim, 30);
    sim.faults.slow_disk = sim_chance(&sim, 30);
    sim.faults.memory = seed % 16 == 8; /* other seeds stay as they were */
    sim.faults.health = seed % 16 == 12;
    sim.faults.trouble = seed % 8 == 5 || seed % 16 == 10 || seed % 16 == 15;
    sim.faults.at_ms = sim.now_ms + sim_random(&sim, 20000);
    sim.faults.quiet = false;
    while (sim.failure[0] == '\0' && sim.steps < EPISODE_STEPS &&
           sim.fresh + 20000 < SIM_IDS && sim.inst_count + 60 < SIM_INSTS) {
        sim_next(&sim);
    }
    if (sim.failure[0] != '\0') {
        return false;
    }
    sim_heal(&sim);
    return until(false, WELL_MS) && until(true, PROTECTED_MS) &&
           (sim.world == SIM_PAIR || exam());
}

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 10);
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, steps = 100000, done = 0, virtual_ms = 0;
    unsigned nodes = 0, episodes = 0;
    bool keep_on = false, trace = false;
    unsigned failed = 0;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            trace = true;
        } else if (strcmp(argv[i], "--keep-on") == 0) {
            keep_on = true;
        } else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
            seed = number(argv[++i]);
        } else if (i + 1 < argc && strcmp(argv[i], "--steps") == 0) {
            steps = number(argv[++i]);
        } else if (i + 1 < argc && strcmp(argv[i], "--nodes") == 0) {
            nodes = (unsigned)number(argv[++i]);
        } else if (i + 1 < argc && strcmp(argv[i], "--kind") == 0 &&
                   sim_world_of(argv[i + 1]) != SIM_WORLDS) {
            kind = sim_world_of(argv[++i]);
        } else {
            fprintf(stderr,
                    "usage: %s [--seed S] [--steps N] [--nodes 2..5] "
                    "[--kind pair|alone|hasty] [--trace] [--keep-on]\n",
                    argv[0]);
            return 2;
        }
    }
    sim_tracing = trace;
    for (; done < steps; seed++, episodes++) {
        if (!episode(seed, nodes)) {
            failed++;
            if (keep_on) {
                printf("seed %" PRIu64 ", step %" PRIu64 ": %s\n", seed,
                       sim.steps, sim.failure);
                fflush(stdout);
            } else {
                sim_tracing = true;
                episode(seed, nodes);
                sim_print_trace();
                sim_print_world(&sim);
                printf("seed %" PRIu64 ", step %" PRIu64 ": %s\nagain: %s "
                       "--seed %" PRIu64 " --steps 1 --kind %s%s%s\n",
                       seed, sim.steps, sim.failure, argv[0], seed,
                       sim_world_text(sim.world), nodes ? " --nodes " : "",
                       nodes == 2   ? "2"
                       : nodes == 3 ? "3"
                       : nodes == 4 ? "4"
                       : nodes == 5 ? "5"
                                    : "");
                return 1;
            }
        }
        done += sim.steps;
        virtual_ms += sim.now_ms;
    }
    if (trace) {
        sim_print_trace();
    }
    printf("%u worlds, %" PRIu64 " steps, %" PRIu64
           " virtual minutes, %u failed\n",
           episodes, done, virtual_ms / 60000, failed);
    return failed ? 1 : 0;
}
