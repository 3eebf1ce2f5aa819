/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "shell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "core/text.h"

static void copy_quantiles(struct kmr_quantiles *to,
                           const struct kmr_qmp_quantiles *from)
{
    to->p50 = from->p50;
    to->p95 = from->p95;
    to->p99 = from->p99;
    to->max = from->max;
}

void kmr_vm_fill_status(struct kmr_vm *vm, struct kmr_pair_status *ret)
{
    const struct kmr_pair *pair = &vm->pair;

    memset(ret, 0, sizeof(*ret));
    kmr_text_set(ret->vm, sizeof(ret->vm), pair->vm);
    ret->phase = (uint8_t)pair->phase;
    ret->want = (uint8_t)pair->want;
    if (kmr_phase_has_qemu(pair->phase)) {
        kmr_text_set(ret->instance, sizeof(ret->instance), pair->instance);
    }
    kmr_text_set(ret->reason, sizeof(ret->reason), kmr_pair_reason(pair));
    ret->record = pair->agreed.record;
    if (!pair->leaving) {
        kmr_text_set(ret->voter, sizeof(ret->voter), kmr_state_id(vm));
    }
    ret->progress = vm->progress;
    ret->checkpoints = vm->engine.checkpoints;
    ret->lag_ms = vm->engine.lag_ms;
    ret->throttle = (uint32_t)vm->engine.throttle;
    copy_quantiles(&ret->freeze_us, &vm->engine.freeze_us);
    copy_quantiles(&ret->ack_us, &vm->engine.ack_us);
}

static json_t *quantiles(const struct kmr_quantiles *values)
{
    return json_pack("{s:I, s:I, s:I, s:I}", "p50", (json_int_t)values->p50,
                     "p95", (json_int_t)values->p95, "p99",
                     (json_int_t)values->p99, "max", (json_int_t)values->max);
}

/* Texts come from QEMU and operators: what is no UTF-8 must not lose the
 * whole answer. */
static json_t *text(const char *value)
{
    json_t *string = json_string(value);

    return string ? string : json_string("(not UTF-8)");
}

static json_t *side(const char *node, const char *instance)
{
    if (instance[0] == '\0') {
        return json_null();
    }
    return json_pack("{s:o, s:o}", "node", text(node), "instance",
                     text(instance));
}

static json_t *pair_json(struct kmr_shell *shell, struct kmr_vm *vm)
{
    struct kmr_pair_status own;
    const struct kmr_pair_status *best = NULL, *standby = NULL;
    const char *best_node = "", *standby_node = "";
    bool standbys = false;
    enum kmr_state state;
    json_t *json;

    kmr_vm_fill_status(vm, &own);
    for (int i = -1; i < KMR_CPG_NODES_MAX; i++) {
        const struct kmr_pair_status *view = i < 0 ? &own : vm->views[i];
        const struct kmr_node *node = i < 0 ? NULL : &shell->nodes[i];
        enum kmr_phase phase;

        if (!view ||
            (node && (!node->present || node->nodeid == shell->nodeid))) {
            continue;
        }
        phase = (enum kmr_phase)view->phase;
        if (kmr_phase_is_owner(phase) &&
            kmr_inst_is(&view->record.owner, view->instance)) {
            best = view;
            best_node = node ? node->name : shell->config.node_name;
        } else if (kmr_phase_has_qemu(phase) && phase != KMR_PHASE_KILLING) {
            standby = view;
            standby_node = node ? node->name : shell->config.node_name;
        }
        standbys |= view->want != KMR_WANT_STOPPED && node != NULL;
    }
    if (best) {
        state = kmr_state_of_owner((enum kmr_phase)best->phase,
                                   standbys || standby);
    } else {
        state = kmr_answer_state(&vm->pair);
        best = &own;
    }
    json = json_pack(
        "{s:o, s:s, s:i, s:o, s:I, s:o, s:o, s:I, s:o, s:o, s:I, s:i}", "name",
        text(vm->pair.vm), "state", kmr_state_text(state), "progress",
        state == KMR_STATE_PROTECTED ? 100 : (int)best->progress, "reason",
        text(best->reason), "generation", (json_int_t)best->record.generation,
        "primary", best_node[0] ? side(best_node, best->instance) : json_null(),
        "standby",
        standby ? side(standby_node, standby->instance) : json_null(),
        "checkpoints", (json_int_t)best->checkpoints, "freeze_us",
        quantiles(&best->freeze_us), "ack_us", quantiles(&best->ack_us),
        "lag_ms", (json_int_t)best->lag_ms, "throttle", (int)best->throttle);
    return json;
}

char *kmr_shell_status_json(struct kmr_shell *shell, const char *vm)
{
    json_t *pairs = json_array();
    json_t *nodes = json_array();
    json_t *top;
    char *result;

    for (unsigned i = 0; i < shell->vm_count; i++) {
        if (!vm || strcmp(vm, shell->vms[i]->pair.vm) == 0) {
            json_array_append_new(pairs, pair_json(shell, shell->vms[i]));
        }
    }
    for (unsigned i = 0; i < KMR_CPG_NODES_MAX; i++) {
        if (shell->nodes[i].nodeid && shell->nodes[i].present) {
            json_array_append_new(nodes, text(shell->nodes[i].name));
        }
    }
    top = json_pack("{s:o, s:b, s:b, s:b, s:b, s:o, s:o}", "node",
                    text(shell->config.node_name), "quorate", shell->quorate,
                    "corosync", shell->joined, "libvirt",
                    kmr_virt_is_connected(shell->virt), "fencer",
                    shell->fence_up, "nodes", nodes, "pairs", pairs);
    result = json_dumps(top, JSON_COMPACT);
    json_decref(top);
    return result;
}

static void stamp(uint64_t time_us, char *ret_when, size_t size)
{
    time_t seconds = (time_t)(time_us / 1000000u);
    char text[32];
    struct tm tm;

    gmtime_r(&seconds, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(ret_when, size, "%s.%06uZ", text, (unsigned)(time_us % 1000000u));
}

/* NULL: its kemarid has said nothing of it yet. */
static json_t *node_health(const char *name,
                           const struct kmr_node_health *health)
{
    static const struct kmr_node_health unheard = { .sources = "{}" };
    json_t *last = json_array(), *sources = json_array();
    json_t *states, *state;
    const char *source;

    if (!health) {
        health = &unheard;
    }
    for (unsigned i = 0; i < health->count; i++) {
        const struct kmr_said *said = &health->said[i];
        char when[64];

        stamp(said->time_us, when, sizeof(when));
        json_array_append_new(
            last,
            json_pack("{s:s, s:s, s:s, s:o, s:o}", "time", when, "verdict",
                      kmr_verdict_text((enum kmr_verdict)said->verdict),
                      "health", kmr_colour_text((enum kmr_colour)said->colour),
                      "scope", text(said->scope), "reason",
                      text(said->reason)));
    }
    states = json_loads(health->sources, 0, NULL); /* a peer's text */
    json_object_foreach(states, source, state) {
        json_array_append_new(sources, json_pack("{s:s, s:O}", "name", source,
                                                 "state", state));
    }
    json_decref(states);
    return json_pack("{s:o, s:s, s:o, s:s, s:o, s:I, s:I, s:I, s:I, s:o}",
                     "node", text(name), "health",
                     kmr_colour_text((enum kmr_colour)health->colour), "reason",
                     text(health->reason), "watched",
                     health == &unheard
                         ? "not heard"
                         : kmr_mced_text((enum kmr_mced)health->mced),
                     "sources", sources, "lost", (json_int_t)health->lost,
                     "reports", (json_int_t)health->reports, "moves",
                     (json_int_t)health->moves, "memory_failures",
                     (json_int_t)health->memory_failures, "last", last);
}

char *kmr_shell_health_json(struct kmr_shell *shell)
{
    json_t *nodes = json_array();
    json_t *top;
    char *result;

    json_array_append_new(nodes, node_health(shell->config.node_name,
                                             kmr_shell_health_of(shell, -1)));
    for (int i = 0; i < KMR_CPG_NODES_MAX; i++) {
        const struct kmr_node *node = &shell->nodes[i];

        if (node->nodeid && node->present && node->nodeid != shell->nodeid) {
            json_array_append_new(nodes,
                                  node_health(node->name,
                                              kmr_shell_health_of(shell, i)));
        }
    }
    top = json_pack("{s:o, s:b, s:b, s:b, s:b, s:b, s:o}", "node",
                    text(shell->config.node_name), "corosync", shell->joined,
                    "quorate", shell->quorate, "all_heard", shell->synced,
                    "libvirt", kmr_virt_is_connected(shell->virt), "fencer",
                    shell->fence_up, "nodes", nodes);
    result = json_dumps(top, JSON_COMPACT);
    json_decref(top);
    return result;
}

/* From the `first` one on. */
static char *events_from(struct kmr_shell *shell, const char *vm,
                         unsigned first)
{
    json_t *list = json_array();
    char *result;

    for (unsigned i = first; i < shell->ring_count; i++) {
        const struct kmr_transition *slot =
            &shell->ring[(shell->ring_head + i) % KMR_RING_MAX];
        char when[64];

        if (vm && strcmp(vm, slot->vm) != 0) {
            continue;
        }
        stamp(slot->time_us, when, sizeof(when));
        json_array_append_new(list,
                              json_pack("{s:s, s:I, s:o, s:o, s:s, s:s, s:o}",
                                        "time", when, "mono_us",
                                        (json_int_t)slot->mono_us, "node",
                                        text(slot->node), "vm", text(slot->vm),
                                        "from", slot->from, "to", slot->to,
                                        "reason", text(slot->reason)));
    }
    result = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return result;
}

char *kmr_shell_events_json(struct kmr_shell *shell, const char *vm)
{
    unsigned first = 0;
    char *result = events_from(shell, vm, first);

    /* The newest that fit into one answer. */
    while (result && strlen(result) > KMR_IPC_MAX - KMR_IPC_MAX / 8) {
        free(result);
        first = shell->ring_count - (shell->ring_count - first) / 2;
        result = events_from(shell, vm, first);
    }
    return result;
}
