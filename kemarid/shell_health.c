/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "shell.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qb/qbdefs.h>
#include <qb/qblog.h>

#include "core/moves.h"
#include "core/text.h"
#include "shell_health.h"

#define SOON_MS 5u /* what there is to tell others is collected so long */
#define LEAST_MS 50u

/* ---- what everybody is told ---- */

void kmr_shell_health_event(struct kmr_shell *shell, const char *vm,
                            const char *from, const char *to,
                            const char *reason)
{
    struct kmr_msg msg = { .type = KMR_MSG_EVENT };

    kmr_text_set(msg.vm, sizeof(msg.vm), vm);
    kmr_text_set(msg.from, sizeof(msg.from), from);
    kmr_text_set(msg.to, sizeof(msg.to), to);
    kmr_text_set(msg.reason, sizeof(msg.reason), reason);
    msg.time_us = kmr_wall_us();
    msg.mono_us = kmr_mono_us();
    if (shell->joined) {
        kmr_shell_send(shell, &msg);
    } else {
        kmr_text_set(msg.node, sizeof(msg.node), shell->config.node_name);
        kmr_shell_remember(shell, &msg);
    }
}

void kmr_shell_health_send(struct kmr_shell *shell)
{
    struct kmr_msg msg = { .type = KMR_MSG_HEALTH };

    msg.health = &shell->health->own;
    if (shell->joined) {
        kmr_shell_send(shell, &msg);
    }
}

static void send_now(void *data)
{
    struct kmr_shell *shell = data;

    shell->health->send = 0;
    kmr_shell_health_send(shell);
}

static void tell(struct kmr_shell *shell, struct kmr_vm *vm, const char *node,
                 enum kmr_colour colour)
{
    struct kmr_event event = { .type = KMR_EVENT_HEALTH, .colour = colour };

    (void)shell;
    kmr_text_set(event.node, sizeof(event.node), node);
    kmr_shell_step(vm, &event);
}

static void tell_all(struct kmr_shell *shell, const char *node,
                     enum kmr_colour colour)
{
    for (unsigned i = 0; i < shell->vm_count; i++) {
        tell(shell, shell->vms[i], node, colour);
    }
    kmr_shell_health_soon(shell);
}

void kmr_shell_health_tell(struct kmr_vm *vm)
{
    struct kmr_shell *shell = vm->shell;

    tell(shell, vm, shell->config.node_name, shell->health->core.colour);
    for (unsigned i = 0; i < KMR_CPG_NODES_MAX; i++) {
        if (shell->health->nodes[i] && shell->nodes[i].name[0]) {
            tell(shell, vm, shell->nodes[i].name,
                 (enum kmr_colour)shell->health->nodes[i]->colour);
        }
    }
}

void kmr_shell_health_publish(struct kmr_shell *shell)
{
    struct kmr_shell_health *health = shell->health;
    const char *why = health->core.reason;
    enum kmr_colour colour = health->core.colour;
    struct kmr_node_health *own = &health->own;

    own->colour = (uint8_t)colour;
    kmr_text_set(own->reason, sizeof(own->reason), why);
    if (!health->send) {
        kmr_shell_timer(shell, SOON_MS, shell, send_now, &health->send);
    }
    if (colour == health->told) {
        /* each write is a write to the cluster's database: not what a green
         * node notes */
        if (kmr_colour_rank(colour) >= kmr_colour_rank(KMR_COLOUR_YELLOW)) {
            kmr_shell_attr_later(shell, "kemari-health", own->reason);
        }
        return;
    }
    qb_log(colour == KMR_COLOUR_GREEN ? LOG_NOTICE : LOG_WARNING,
           "health: %s -> %s (%s)", kmr_colour_text(health->told),
           kmr_colour_text(colour), why);
    kmr_shell_health_event(shell, "", kmr_colour_text(health->told),
                           kmr_colour_text(colour), why);
    health->told = colour;
    kmr_shell_attr_later(shell, "#health-kemari",
                         colour == KMR_COLOUR_NONE ? NULL
                                                   : kmr_colour_text(colour));
    kmr_shell_attr_later(shell, "kemari-health", own->reason);
    tell_all(shell, shell->config.node_name, colour);
}

/* ---- decisions ---- */

static unsigned rank_of(const struct kmr_shell *shell, const char *vm)
{
    char list[KMR_CONFIG_LINE_MAX], *rest = NULL;
    unsigned rank = 0;

    kmr_text_set(list, sizeof(list), shell->config.priority);
    for (char *name = strtok_r(list, " ,", &rest); name;
         name = strtok_r(NULL, " ,", &rest), rank++) {
        if (strcmp(name, vm) == 0) {
            return rank;
        }
    }
    return UINT32_MAX;
}

static int by_priority(const void *a, const void *b)
{
    const struct kmr_vm *const *left = a, *const *right = b;
    unsigned l = rank_of((*left)->shell, (*left)->pair.vm);
    unsigned r = rank_of((*right)->shell, (*right)->pair.vm);

    return l < r ? -1 : l > r ? 1 : strcmp((*left)->pair.vm, (*right)->pair.vm);
}

static void view(const struct kmr_vm *vm, struct kmr_health_pair *ret_pair)
{
    const struct kmr_pair *pair = &vm->pair;
    const struct kmr_record *record = &pair->agreed.record;
    const struct kmr_peer *peer = kmr_pair_peer(pair, record->standby.node);
    bool runs =
        record->mode == KMR_MODE_SOLO || record->mode == KMR_MODE_PAIRED;
    bool paired = record->mode == KMR_MODE_PAIRED && !record->standby.dead;

    *ret_pair = (struct kmr_health_pair){
        .vm = pair->vm,
        .owner = runs && !record->owner.dead ? record->owner.node : "",
        .standby = paired && peer ? record->standby.node : "",
        .standby_colour = paired && peer ? peer->colour : KMR_COLOUR_NONE,
        .owns = kmr_pair_guest_here(pair),
        .alone = pair->alone,
        .ready = pair->phase == KMR_PHASE_PROTECTED && !pair->replacing &&
                 pair->claim == KMR_CLAIM_NONE,
        .busy = pair->phase == KMR_PHASE_HANDING_OVER ||
                pair->phase == KMR_PHASE_HANDED_OVER,
    };
}

void kmr_shell_health_remember(struct kmr_shell *shell,
                               enum kmr_verdict verdict, const char *scope,
                               const char *reason)
{
    struct kmr_node_health *own = &shell->health->own;
    struct kmr_said *said;

    if (verdict == KMR_VERDICT_NOTE && own->count != 0 &&
        own->said[own->count - 1].verdict == KMR_VERDICT_NOTE) {
        own->count--; /* many of these push out nothing of weight */
    } else if (own->count == KMR_SAID_MAX) {
        memmove(&own->said[0], &own->said[1],
                (KMR_SAID_MAX - 1) * sizeof(own->said[0]));
        own->count--;
    }
    said = &own->said[own->count++];
    memset(said, 0, sizeof(*said));
    said->time_us = kmr_wall_us();
    said->verdict = (uint8_t)verdict;
    said->colour = (uint8_t)shell->health->core.colour;
    kmr_text_set(said->scope, sizeof(said->scope), scope);
    kmr_text_set(said->reason, sizeof(said->reason), reason);
}

static void set_said(struct kmr_vm *vm, const char *text)
{
    char name[KMR_ATTR_NAME_MAX];

    vm->health_said = text != NULL;
    snprintf(name, sizeof(name), "kemari-%s-health", vm->pair.vm);
    kmr_shell_attr_later(vm->shell, name, text);
}

static void order(struct kmr_vm *vm, const struct kmr_health_decision *decision)
{
    struct kmr_shell *shell = vm->shell;
    struct kmr_msg msg = { .type = KMR_MSG_MOVING };
    struct kmr_event step = { .type = KMR_EVENT_HANDOVER };

    shell->health->own.moves++;
    kmr_text_set(msg.vm, sizeof(msg.vm), vm->pair.vm);
    kmr_text_set(msg.reason, sizeof(msg.reason), decision->reason);
    kmr_shell_send(shell, &msg); /* before the claim that it leads to */
    kmr_text_set(step.reason, sizeof(step.reason), "health: ");
    kmr_text_add(step.reason, sizeof(step.reason), decision->reason);
    if (decision->act == KMR_HEALTH_ACT_HANDOVER) {
        kmr_shell_step(vm, &step);
        return;
    }
    msg.type = KMR_MSG_TAKEOVER;
    kmr_text_set(msg.reason, sizeof(msg.reason), step.reason);
    kmr_shell_send(shell, &msg);
}

static void act(struct kmr_shell *shell,
                const struct kmr_health_decision *decision)
{
    struct kmr_vm *vm = kmr_shell_vm(shell, decision->vm, false);
    const char *what = kmr_health_act_text(decision->act);
    char text[KMR_REASON_MAX + 32], scope[KMR_SCOPE_MAX];

    if (!vm) {
        return;
    }
    qb_log(decision->act == KMR_HEALTH_ACT_STAY &&
                   decision->stay == KMR_STAY_TURN
               ? LOG_INFO
               : LOG_WARNING,
           "pair %s: health: %s (%s)", vm->pair.vm, what, decision->reason);
    if (decision->act == KMR_HEALTH_ACT_MOVED) {
        return; /* the transitions say so */
    }
    kmr_shell_health_event(shell, vm->pair.vm, kmr_phase_text(vm->pair.phase),
                           what, decision->reason);
    snprintf(text, sizeof(text), "%s: %s", what, decision->reason);
    set_said(vm, text);
    snprintf(scope, sizeof(scope), "pair:%.50s", vm->pair.vm);
    kmr_shell_health_remember(shell,
                              decision->act == KMR_HEALTH_ACT_TAKEOVER
                                  ? KMR_VERDICT_TAKEOVER
                                  : KMR_VERDICT_MOVE_PAIR,
                              scope, text);
    if (decision->act != KMR_HEALTH_ACT_STAY) {
        order(vm, decision);
    }
}

/* ---- what a restart must not forget: /run/kemari/VM.moves ---- */

#define SUFFIX ".moves"

static void keep_moves(struct kmr_shell *shell)
{
    for (unsigned i = 0; i < KMR_HEALTH_VMS_MAX; i++) {
        struct kmr_health_vm *entry = &shell->health->core.vms[i];
        char name[KMR_VM_MAX + sizeof(SUFFIX)], text[KMR_MOVES_TEXT_MAX];

        if (!entry->changed) {
            continue;
        }
        kmr_moves_write(entry, shell->boot, text, sizeof(text));
        snprintf(name, sizeof(name), "%s" SUFFIX, entry->vm);
        if (kmr_statefile_write(shell->pids, name, text[0] ? text : NULL,
                                NULL) == 0) {
            entry->changed = false;
        }
    }
}

static void read_moves(struct kmr_shell *shell)
{
    DIR *folder = opendir(KMR_RUN_DIR);
    struct dirent *entry;

    while (folder && (entry = readdir(folder))) {
        size_t len = strlen(entry->d_name), end = strlen(SUFFIX);
        char vm[KMR_VM_MAX], *text = NULL;
        const char *why = "can't be read";

        if (len <= end || len - end >= KMR_VM_MAX || entry->d_name[0] == '.' ||
            strcmp(entry->d_name + len - end, SUFFIX) != 0) {
            continue;
        }
        snprintf(vm, sizeof(vm), "%.*s", (int)(len - end), entry->d_name);
        if (kmr_statefile_read(KMR_RUN_DIR, entry->d_name, &text) == 0) {
            why = kmr_moves_read(&shell->health->core, vm, shell->boot, text,
                                 kmr_now_ms());
        }
        free(text);
        if (why) {
            qb_log(LOG_WARNING, KMR_RUN_DIR "/%s: %s: moves are not counted",
                   entry->d_name, why);
        }
    }
    if (folder) {
        closedir(folder);
    }
}

/* ---- looking ---- */

static void on_timer(void *data)
{
    struct kmr_shell *shell = data;

    shell->health->timer = 0;
    kmr_shell_health_look(shell);
}

static void set_timer(struct kmr_shell *shell)
{
    struct kmr_shell_health *health = shell->health;
    uint64_t when_ms = kmr_health_deadline(&health->core);
    uint64_t now_ms = kmr_now_ms();

    if (health->timer) {
        qb_loop_timer_del(shell->loop, health->timer);
        health->timer = 0;
    }
    if (when_ms != 0) {
        kmr_shell_timer(shell,
                        when_ms > now_ms + LEAST_MS ? when_ms - now_ms
                                                    : LEAST_MS,
                        shell, on_timer, &health->timer);
    }
}

/* Of its attribute, whoever wrote it. */
static bool nothing_to_say(const struct kmr_vm *vm)
{
    struct kmr_health *core = &vm->shell->health->core;
    const struct kmr_health_vm *entry = kmr_health_vm(core, vm->pair.vm);

    if (!kmr_pair_guest_here(&vm->pair)) {
        return true;
    }
    return vm->pair.phase == KMR_PHASE_PROTECTED &&
           (core->colour == KMR_COLOUR_GREEN ||
            core->colour == KMR_COLOUR_NONE) &&
           (!entry ||
            (entry->stay == KMR_STAY_NONE && entry->order == KMR_VERDICT_NOTE));
}

void kmr_shell_health_look(struct kmr_shell *shell)
{
    struct kmr_shell_health *health = shell->health;
    static struct kmr_health_pair pairs[KMR_VMS_MAX];
    static struct kmr_health_out out;
    struct kmr_vm *vms[KMR_VMS_MAX];
    bool more;

    if (health->looking) {
        return; /* a step that a decision has led to: it is looked again */
    }
    health->looking = true;
    memcpy(vms, shell->vms, shell->vm_count * sizeof(vms[0]));
    qsort(vms, shell->vm_count, sizeof(vms[0]), by_priority);
    do {
        for (unsigned i = 0; i < shell->vm_count; i++) {
            view(vms[i], &pairs[i]);
        }
        more = kmr_health_look(&health->core, pairs, shell->vm_count,
                               kmr_now_ms(), &out);
        health->decided_us = kmr_mono_us();
        keep_moves(shell); /* before what was decided is begun */
        for (unsigned i = 0; i < out.count; i++) {
            act(shell, &out.list[i]);
        }
    } while (more);
    for (unsigned i = 0; i < shell->vm_count; i++) {
        if (vms[i]->health_said && nothing_to_say(vms[i])) {
            set_said(vms[i], NULL);
        }
    }
    health->looking = false;
    kmr_shell_health_publish(shell);
    set_timer(shell);
}

static void look_now(void *data)
{
    struct kmr_shell *shell = data;

    shell->health->waits = false;
    kmr_shell_health_look(shell);
}

void kmr_shell_health_soon(struct kmr_shell *shell)
{
    if (shell->health && !shell->health->waits) {
        shell->health->waits =
            qb_loop_job_add(shell->loop, QB_LOOP_HIGH, shell, look_now) == 0;
    }
}

/* ---- libvirt's events ---- */

/*
 * The engine says by itself that a page of the guest's is lost, where it knows
 * (KVM): then this asks for the same once more. What it does not know of is
 * QEMU's own memory, and what was injected.
 */
void kmr_shell_health_memory(struct kmr_vm *vm,
                             const struct kmr_virt_event *event_)
{
    struct kmr_shell *shell = vm->shell;
    char action[16] = "", text[KMR_REASON_MAX] = "memory failure: ";
    enum kmr_verdict verdict;

    sscanf(event_->text, "%*15s %15s", action);
    kmr_text_add(text, sizeof(text), event_->text);
    verdict = kmr_health_memory(event_->guest_memory, action);
    shell->health->own.memory_failures++;
    qb_log(LOG_ERR, "pair %s: %s", vm->pair.vm, text);
    kmr_shell_health_event(shell, vm->pair.vm, kmr_phase_text(vm->pair.phase),
                           kmr_verdict_text(verdict), text);
    kmr_shell_health_publish(shell);
    if (kmr_pair_guest_here(&vm->pair)) {
        kmr_health_want(&shell->health->core, vm->pair.vm, verdict, text);
        kmr_shell_health_look(shell);
    } else if (kmr_pair_copy_here(&vm->pair) && verdict != KMR_VERDICT_NOTE) {
        /* a copy with a hole in it: another one is made */
        struct kmr_event drop = { .type = KMR_EVENT_DROP };

        kmr_text_set(drop.id, sizeof(drop.id), vm->pair.instance);
        kmr_text_set(drop.reason, sizeof(drop.reason), text);
        kmr_shell_step(vm, &drop);
    }
}

/* ---- other nodes ---- */

void kmr_shell_health_message(struct kmr_shell *shell, struct kmr_node *node,
                              const struct kmr_msg *msg)
{
    unsigned index = (unsigned)(node - shell->nodes);
    struct kmr_node_health **slot = &shell->health->nodes[index];
    bool changed;

    if (node->nodeid == shell->nodeid) {
        return; /* ours */
    }
    if (msg->type == KMR_MSG_MOVING) {
        qb_log(LOG_NOTICE, "pair %s: %s moves it away (health: %s)", msg->vm,
               msg->node, msg->reason);
        kmr_health_moving(&shell->health->core, msg->vm, msg->node,
                          kmr_now_ms());
        kmr_shell_health_soon(shell);
        return;
    }
    changed = !*slot || (*slot)->colour != msg->health->colour;
    if (!*slot) {
        *slot = malloc(sizeof(**slot));
    }
    if (*slot) {
        **slot = *msg->health;
    }
    if (changed) {
        qb_log(LOG_NOTICE, "health of %s: %s (%s)", msg->node,
               kmr_colour_text((enum kmr_colour)msg->health->colour),
               msg->health->reason);
        tell_all(shell, msg->node, (enum kmr_colour)msg->health->colour);
    }
}

void kmr_shell_health_quit(struct kmr_shell *shell, struct kmr_node *node)
{
    unsigned index = (unsigned)(node - shell->nodes);

    if (shell->health->nodes[index]) {
        free(shell->health->nodes[index]);
        shell->health->nodes[index] = NULL;
        tell_all(shell, node->name, KMR_COLOUR_NONE);
    }
}

const struct kmr_node_health *kmr_shell_health_of(const struct kmr_shell *shell,
                                                  int index)
{
    return index < 0 ? &shell->health->own : shell->health->nodes[index];
}

/* ---- start ---- */

static void attrd_restarted(void *user)
{
    struct kmr_shell *shell = user;

    qb_log(LOG_NOTICE, "the attribute manager was restarted: all again");
    kmr_attr_rewrite(shell->attr);
}

int kmr_shell_health_start(struct kmr_shell *shell)
{
    struct kmr_shell_health *health = calloc(1, sizeof(*health));

    if (!health) {
        return -ENOMEM;
    }
    kmr_health_init(&health->core, shell->config.node_name);
    health->core.limits = shell->config.moves;
    strcpy(health->own.sources, "{}");
    shell->health = health;
    read_moves(shell);
    return kmr_attrwatch_start(shell->loop, NULL, attrd_restarted, shell,
                               &health->attrd);
}

void kmr_shell_health_stop(struct kmr_shell *shell)
{
    struct kmr_shell_health *health = shell->health;

    kmr_attrwatch_stop(health->attrd);
    for (unsigned i = 0; i < KMR_CPG_NODES_MAX; i++) {
        free(health->nodes[i]);
    }
    free(health);
    shell->health = NULL;
}
