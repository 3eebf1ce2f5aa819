/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- chance ---- */

uint32_t sim_random(struct sim *sim, uint32_t below)
{
    /* xorshift64*: small, seeded, the same everywhere */
    sim->chance ^= sim->chance >> 12;
    sim->chance ^= sim->chance << 25;
    sim->chance ^= sim->chance >> 27;
    return (uint32_t)((sim->chance * 2685821657736338717u) >> 33) % below;
}

bool sim_chance(struct sim *sim, uint32_t percent)
{
    return !sim->fixed && sim_random(sim, 100) < percent;
}

uint64_t sim_delay(struct sim *sim, uint32_t least, uint32_t most)
{
    if (sim->fixed || most <= least) {
        return least;
    }
    return least + sim_random(sim, most - least + 1);
}

/* ---- the trace: the last lines, kept only when a failure is repeated ---- */

#define LINES 400
#define WIDTH 200
static char lines[LINES][WIDTH];
static unsigned line_count;
bool sim_tracing;

void sim_say(struct sim *sim, const char *format, ...)
{
    char *line = lines[line_count % LINES];
    va_list args;
    int used;

    if (!sim_tracing) {
        return;
    }
    used = snprintf(line, WIDTH, "%8" PRIu64 " ", sim->now_ms);
    va_start(args, format);
    vsnprintf(line + used, WIDTH - (size_t)used, format, args);
    va_end(args);
    line_count++;
}

static void print_node(const struct sim *sim, const struct sim_node *node)
{
    const struct kmr_pair *pair = &node->pair;
    const struct kmr_consensus *agreed = &pair->agreed;
    const struct kmr_record *record = &agreed->record;

    printf("%s: %s%s%s, %u: %s i%u%s i%u%s, claim: %s (%d), order: %s, "
           "file %u%s%s; voters",
           node->name, kmr_phase_text(pair->phase),
           node->kemarid ? "" : " (no kemarid)", node->power ? "" : " (off)",
           (unsigned)record->generation, kmr_mode_text(record->mode),
           sim_uuid_number(record->owner.id), record->owner.dead ? " dead" : "",
           sim_uuid_number(record->standby.id),
           record->standby.dead ? " dead" : "", kmr_claim_text(pair->claim),
           agreed->proposer, kmr_order_text(pair->order),
           sim_uuid_number(agreed->id), agreed->lost ? " lost" : "",
           node->full ? " full" : "");
    for (unsigned i = 0; i < kmr_record_voters(record); i++) {
        printf(" %s=%u", record->voters[i].node,
               sim_uuid_number(record->voters[i].id));
    }
    for (unsigned i = 0; i < KMR_EARLIER_MAX; i++) {
        if (record->earlier[i].id[0] != '\0') {
            printf("; earlier i%u%s%s", sim_uuid_number(record->earlier[i].id),
                   record->earlier[i].dead ? " dead" : "",
                   record->earlier[i].frozen ? " frozen" : "");
        }
    }
    if (node->qemu >= 0) {
        const struct sim_inst *inst = &sim->insts[node->qemu];

        printf("; QEMU i%u role %d state %d generation %u", inst->id,
               inst->role, inst->state, (unsigned)inst->generation);
    }
    printf("; score %d, Pacemaker: %d; %s\n", (int)kmr_answer_score(pair),
           sim->op.role[node - sim->node], pair->reason);
}

void sim_print_world(const struct sim *sim)
{
    for (unsigned n = 0; n < sim->nodes; n++) {
        print_node(sim, &sim->node[n]);
    }
}

void sim_print_trace(void)
{
    unsigned from = line_count > LINES ? line_count - LINES : 0;

    for (unsigned i = from; i < line_count; i++) {
        printf("%s\n", lines[i % LINES]);
    }
}

void sim_fail(struct sim *sim, const char *format, ...)
{
    va_list args;

    if (sim->failure[0] != '\0') {
        return; /* the first one counts */
    }
    va_start(args, format);
    vsnprintf(sim->failure, sizeof(sim->failure), format, args);
    va_end(args);
    sim_say(sim, "FAILED: %s", sim->failure);
}

/* ---- UUIDs by number ---- */

void sim_uuid(struct sim *sim, char *ret_text)
{
    if (sim->fresh + 1 < SIM_IDS) {
        sim->fresh++;
    }
    snprintf(ret_text, KMR_UUID_MAX, "00000000-0000-4000-8000-%012x",
             sim->fresh);
}

unsigned sim_uuid_number(const char *text)
{
    return text[0] == '\0' ? 0 : (unsigned)strtoul(text + 24, NULL, 16);
}

/* ---- what comes next ---- */

enum what {
    NOTHING,
    REFORM,
    OPERATE,
    FAULT,
    SEQUENCE,
    DELIVER,
    NEWS,
    COMMAND,
    WRITTEN,
    TICK,
    STATUS,
    POLL,
    KILL,
    BOOT,
    BACK,
    LEFT,
    LATER,
    QEMU
};

struct next {
    uint64_t at_ms;
    enum what what;
    unsigned n;
    int index;
};

static void earliest(struct next *next, uint64_t at_ms, enum what what,
                     unsigned n, int index)
{
    if (at_ms != 0 && (next->what == NOTHING || at_ms < next->at_ms)) {
        next->at_ms = at_ms;
        next->what = what;
        next->n = n;
        next->index = index;
    }
}

/* As kemarid/shell.c: never sooner than in 5 ms. */
static uint64_t tick_ms(const struct sim_node *node)
{
    uint64_t when = kmr_pair_deadline(&node->pair);

    return when == 0 || when > node->tick_ms ? when : node->tick_ms;
}

static void of_node(struct sim *sim, struct next *next, unsigned n)
{
    struct sim_node *node = &sim->node[n];

    earliest(next, node->boot_ms, BOOT, n, 0);
    if (!node->power) {
        return;
    }
    earliest(next, node->back_ms, BACK, n, 0);
    earliest(next, node->kill_ms, KILL, n, 0);
    for (int i = 0; i < SIM_LATER; i++) {
        if (node->later[i].kind != SIM_LATER_NONE) {
            earliest(next, node->later[i].at_ms, LATER, n, i);
        }
    }
    if (node->qemu >= 0) {
        earliest(next, sim_inst_next(sim, &sim->insts[node->qemu]), QEMU, n,
                 node->qemu);
    }
    if (!node->kemarid) {
        return;
    }
    earliest(next, node->leave_ms, LEFT, n, 0);
    if (node->in_count > 0) {
        earliest(next, node->in[node->in_head].at_ms, DELIVER, n, 0);
    }
    if (node->out_count > 0 && sim_can_sequence(sim, n)) {
        earliest(next, node->out_ms, SEQUENCE, n, 0);
    }
    if (node->news_count > 0 && !node->mute) {
        earliest(next, node->news[0].at_ms, NEWS, n, 0);
    }
    if (node->command.order != KMR_ORDER_NONE) {
        earliest(next, node->command.at_ms, COMMAND, n, 0);
    }
    if (node->writing) {
        earliest(next, node->write_ms, WRITTEN, n, 0);
    }
    earliest(next, tick_ms(node), TICK, n, 0);
    earliest(next, node->status_ms, STATUS, n, 0);
    if (node->qemu >= 0) {
        earliest(next, node->poll_ms, POLL, n, 0);
    }
}

static void find_next(struct sim *sim, struct next *next)
{
    next->what = NOTHING;
    earliest(next, sim->reform_ms, REFORM, 0, 0);
    for (unsigned n = 0; n < sim->nodes; n++) {
        of_node(sim, next, n);
    }
    earliest(next, sim->op.at_ms, OPERATE, 0, 0);
    if (!sim->faults.quiet) {
        earliest(next, sim->faults.at_ms, FAULT, 0, 0);
    }
}

static void later_due(struct sim *sim, unsigned n, int index)
{
    struct sim_later it = sim->node[n].later[index];

    sim->node[n].later[index].kind = SIM_LATER_NONE;
    switch (it.kind) {
    case SIM_LATER_NONE:
        break;
    case SIM_LATER_FENCED:
        if (sim->node[n].kemarid) {
            sim_fenced(sim, n, (unsigned)it.a);
        }
        break;
    case SIM_LATER_STRAY:
        if (sim->node[n].kemarid) {
            sim_deliver_msg(sim, n, it.a);
        }
        sim_msg_drop(sim, it.a);
        break;
    case SIM_LATER_REAPED:
        if (sim->node[n].kemarid && !sim->insts[it.a].exists &&
            sim_inst_index(sim, sim->node[n].pair.instance) == it.a) {
            sim_event(sim, n, KMR_EVENT_REAPED, false);
        }
        break;
    case SIM_LATER_LATE:
        sim_execute_late(sim, n, &it);
        break;
    }
}

static void happen(struct sim *sim, const struct next *next)
{
    struct sim_node *node = &sim->node[next->n];

    switch (next->what) {
    case NOTHING:
        break;
    case REFORM:
        sim_reform(sim);
        break;
    case OPERATE:
        sim_operate(sim);
        break;
    case FAULT:
        sim_fault(sim);
        break;
    case SEQUENCE:
        sim_sequence(sim, next->n);
        break;
    case DELIVER:
        sim_deliver(sim, next->n);
        break;
    case NEWS:
        sim_news_due(sim, next->n);
        break;
    case COMMAND:
        sim_command_due(sim, next->n);
        break;
    case WRITTEN:
        sim_written(sim, next->n);
        break;
    case TICK:
        sim_tick(sim, next->n);
        break;
    case STATUS:
        sim_send_status(sim, next->n);
        break;
    case POLL:
        sim_poll(sim, next->n);
        break;
    case KILL:
        node->kill_ms = 0;
        sim_qemu_dies(sim, node->kill, true);
        break;
    case BOOT:
        sim_power_on(sim, next->n);
        break;
    case LEFT:
        sim_kemarid_left(sim, next->n);
        break;
    case BACK:
        sim_kemarid_start(sim, next->n);
        break;
    case LATER:
        later_due(sim, next->n, next->index);
        break;
    case QEMU:
        sim_inst_due(sim, next->index);
        break;
    }
}

bool sim_next(struct sim *sim)
{
    struct next next;

    find_next(sim, &next);
    if (next.what == NOTHING) {
        return false;
    }
    if (next.at_ms > sim->now_ms) {
        sim->now_ms = next.at_ms;
    }
    sim->steps++;
    happen(sim, &next);
    return true;
}

bool sim_run(struct sim *sim, uint64_t ms)
{
    uint64_t end_ms = sim->now_ms + ms;
    struct next next;

    while (sim->failure[0] == '\0') {
        find_next(sim, &next);
        if (next.what == NOTHING || next.at_ms > end_ms) {
            sim->now_ms = end_ms;
            return true;
        }
        sim_next(sim);
    }
    return false;
}

static const char *const worlds[] = {
#define X(name, text) text,
    SIM_KINDS(X)
#undef X
};

const char *sim_world_text(enum sim_world world)
{
    return worlds[world];
}

enum sim_world sim_world_of(const char *text)
{
    unsigned world = 0;

    while (world < SIM_WORLDS && strcmp(worlds[world], text) != 0) {
        world++;
    }
    return (enum sim_world)world;
}

void sim_init(struct sim *sim, unsigned nodes, uint64_t seed,
              enum sim_world world)
{
    memset(sim, 0, sizeof(*sim));
    line_count = 0;
    sim->now_ms = 1000;
    sim->seed = seed;
    sim->chance = (seed + 1) * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < 4; i++) {
        sim_random(sim, 2);
    }
    sim->nodes = nodes;
    sim->world = world;
    sim->op.moved = -1;
    sim->visible = -1;
    for (unsigned n = 0; n < nodes; n++) {
        struct sim_node *node = &sim->node[n];

        snprintf(node->name, sizeof(node->name), "node%u", n + 1);
        node->boot = 100 * (n + 1);
        node->qemu = -1;
        node->boot_ms = sim->now_ms;
    }
    sim->op.at_ms = sim->now_ms + 100;
    sim->faults.quiet = true;
}
