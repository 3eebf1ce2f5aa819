/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * random --seed S --steps N [--nodes N] [--trace]: worlds with random faults,
 * one after another from seed S on, until N steps are done. Exit 1 and the
 * end of the trace when a rule was broken.
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

/* False: a rule was broken. */
static bool episode(uint64_t seed, unsigned nodes)
{
    static const uint32_t means[] = { 400, 1500, 5000, 20000 };

    sim_init(&sim, nodes, seed);
    if (nodes == 0) {
        static const unsigned usual[] = { 2, 3, 3, 3, 4, 5 };

        sim.nodes = 0;
        nodes = usual[sim_random(&sim, 6)];
        sim_init(&sim, nodes, seed);
        sim_random(&sim, 6);
    }
    sim.op.freezes = sim_chance(&sim, 50);
    sim.faults.mean_ms = means[sim_random(&sim, 4)];
    sim.faults.paxos = sim_chance(&sim, 30);
    sim.faults.files = sim_chance(&sim, 30);
    sim.faults.slow_disk = sim_chance(&sim, 30);
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
    return until(false, WELL_MS) && until(true, PROTECTED_MS);
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
        } else {
            fprintf(stderr,
                    "usage: %s [--seed S] [--steps N] [--nodes 2..5] "
                    "[--trace] [--keep-on]\n",
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
                       "--seed %" PRIu64 " --steps 1%s%s\n",
                       seed, sim.steps, sim.failure, argv[0], seed,
                       nodes ? " --nodes " : "",
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
