/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim.h"

#include <string.h>

/*
 * One action on one node: the agent, kemarictl and kemarid's shell_request.c,
 * with Pacemaker's time-out. Keep it as they are. In a world of SIM_PAIR the
 * agent is poorer: it asks once, and a kemarid that has restarted knows nothing
 * of it.
 */

#define PATIENCE_MS 100000u
#define CALM_MS 60000u   /* after the last fault */
#define RESTART_MS 2000u /* a stop waits so long for a kemarid */

static const enum kmr_event_type events[] = {
    [SIM_START] = KMR_EVENT_START,     [SIM_STOP] = KMR_EVENT_STOP,
    [SIM_PROMOTE] = KMR_EVENT_PROMOTE, [SIM_DEMOTE] = KMR_EVENT_DEMOTE,
    [SIM_MIGRATE] = KMR_EVENT_MIGRATE, [SIM_ARRIVE] = KMR_EVENT_ARRIVE,
};

bool sim_is_busy(const struct sim *sim)
{
    for (unsigned n = 0; n < sim->nodes; n++) {
        if (sim->op.run[n].action != SIM_IDLE) {
            return true;
        }
    }
    return false;
}

/* kemarid gets the question. False: it answers it at once. */
static bool ask(struct sim *sim, unsigned n, int *ret_code)
{
    struct sim_node *node = &sim->node[n];
    struct sim_run *run = &sim->op.run[n];
    struct kmr_event event = { .type = events[run->action] };
    uint64_t patience_ms = run->end_ms - run->since_ms;

    run->life = node->lives;
    kmr_text_set(event.reason, sizeof(event.reason), "asked");
    if (sim->world != SIM_PAIR) {
        if (run->action == SIM_PROMOTE && node->pair.want == KMR_WANT_STOPPED) {
            *ret_code = KMR_OCF_NOT_RUNNING;
            return false;
        }
        event.limit_ms = (uint32_t)(patience_ms - patience_ms / 4);
        run->half_ms = sim->now_ms + patience_ms / 2;
    }
    if (run->action == SIM_START) {
        event.flag = sim->world == SIM_ALONE;
    } else if (run->action == SIM_DEMOTE) {
        event.flag = run->other;
    } else if (run->action == SIM_MIGRATE) {
        kmr_text_set(event.node, sizeof(event.node),
                     sim->node[sim->op.target].name);
        memcpy(run->owner, node->pair.instance, sizeof(run->owner));
    }
    sim_step(sim, n, &event);
    return true;
}

void sim_begin(struct sim *sim, enum sim_action action, unsigned n, bool other)
{
    struct sim_run *run = &sim->op.run[n];
    bool hurried = sim->world != SIM_PAIR && !sim->faults.quiet &&
                   sim_chance(sim, action == SIM_MIGRATE ? 20 : 5);
    int code;

    if (sim->world == SIM_PAIR ? !sim->node[n].kemarid
                               : run->action != SIM_IDLE) {
        return; /* again when it is back; one after another */
    }
    sim_say(sim, "Pacemaker: %s %s%s", kmr_event_text(events[action]),
            sim->node[n].name, other ? " in favour of another" : "");
    memset(run, 0, sizeof(*run));
    run->action = action;
    run->other = other;
    run->since_ms = sim->now_ms;
    run->end_ms =
        sim->now_ms + (hurried ? sim_delay(sim, 200, 10000) : PATIENCE_MS);
    if (sim->node[n].kemarid && !ask(sim, n, &code)) {
        run->action = SIM_IDLE;
        sim_ended(sim, action, n, code);
    }
}

static int answer(struct sim *sim, unsigned n)
{
    const struct sim_run *run = &sim->op.run[n];
    const struct kmr_pair *pair = &sim->node[n].pair;
    char reason[KMR_REASON_MAX];

    switch (run->action) {
    case SIM_IDLE:
        break;
    case SIM_START:
        return kmr_answer_start(pair, reason);
    case SIM_STOP:
        return kmr_answer_stop(pair, reason);
    case SIM_PROMOTE:
        return kmr_answer_promote(pair, reason);
    case SIM_DEMOTE:
        return kmr_answer_demote(pair, reason);
    case SIM_MIGRATE:
        return kmr_answer_migrate(pair, run->owner,
                                  sim->node[sim->op.target].name, reason);
    case SIM_ARRIVE:
        return kmr_answer_arrive(pair, reason);
    }
    return KMR_OCF_PENDING;
}

/* Half of the time is over: shell_request.c gives the handover up. */
static void half_time(struct sim *sim, unsigned n)
{
    struct sim_run *run = &sim->op.run[n];
    struct kmr_event event = { .type = KMR_EVENT_DEMOTE };
    uint64_t left_ms = run->end_ms - run->half_ms;

    if (run->action != SIM_DEMOTE || run->half_ms == 0 ||
        sim->now_ms < run->half_ms) {
        return;
    }
    run->half_ms = 0;
    event.limit_ms = (uint32_t)(left_ms - left_ms / 4);
    if (kmr_pair_demote_waits(&sim->node[n].pair)) {
        sim_say(sim, "%s half of the demote's time is over", sim->node[n].name);
        sim_step(sim, n, &event);
    }
}

/* Its code, as far as it is known. */
static int look(struct sim *sim, unsigned n)
{
    struct sim_node *node = &sim->node[n];
    struct sim_run *run = &sim->op.run[n];
    int code;

    if (node->kemarid) {
        if (run->life != node->lives && sim->world != SIM_PAIR &&
            !ask(sim, n, &code)) {
            return code;
        }
        half_time(sim, n);
        return answer(sim, n);
    }
    if (sim->world != SIM_PAIR && run->action == SIM_STOP &&
        sim->now_ms > run->since_ms + RESTART_MS) {
        /* kemarictl does it, by the process */
        if (node->qemu >= 0) {
            sim_qemu_dies(sim, node->qemu, true);
        }
        return KMR_OCF_SUCCESS;
    }
    return KMR_OCF_PENDING;
}

static void out_of_time(struct sim *sim, unsigned n, uint8_t part)
{
    struct sim_run *run = &sim->op.run[n];
    enum sim_action action = run->action;
    struct kmr_event event = { .type = KMR_EVENT_MIGRATE };

    sim_say(sim, "Pacemaker has no more patience with %s", sim->node[n].name);
    if (sim->world != SIM_PAIR && sim->faults.quiet &&
        run->since_ms > sim->faults.quiet_ms + CALM_MS) {
        sim_fail(sim, "rule 7: %s of %s runs out of time",
                 kmr_event_text(events[action]), sim->node[n].name);
    }
    run->action = SIM_IDLE;
    if (action == SIM_STOP ||
        (!sim->node[n].kemarid && sim->world == SIM_PAIR)) {
        sim_fence(sim, n, part);
    } else if (sim->world == SIM_ALONE) {
        if (action == SIM_MIGRATE && sim->node[n].kemarid) {
            sim_step(sim, n, &event); /* to nowhere */
        }
        sim_ended(sim, action, n, SIM_NO_PATIENCE);
    } else {
        sim_begin(sim, SIM_STOP, n, false);
    }
}

void sim_check_action(struct sim *sim, unsigned n, uint8_t part)
{
    struct sim_run *run = &sim->op.run[n];
    enum sim_action action = run->action;
    int code;

    if (action == SIM_IDLE) {
        return;
    }
    if ((part & (1u << n)) == 0) {
        if (sim->world == SIM_PAIR) {
            run->action = SIM_IDLE;
        }
        return; /* it is fenced, or will be */
    }
    code = look(sim, n);
    if (code != KMR_OCF_PENDING) {
        run->action = SIM_IDLE;
        if (code == KMR_OCF_SUCCESS && sim->world != SIM_PAIR) {
            sim_check_answer(sim, action, n);
        }
        sim_ended(sim, action, n, code);
    } else if (sim->now_ms > run->end_ms) {
        out_of_time(sim, n, part);
    }
}
