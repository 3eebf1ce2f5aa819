/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "shell.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <qb/qbdefs.h>
#include <qb/qblog.h>

#include "core/text.h"
#include "io/domxml.h"

static uint64_t clock_us(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

uint64_t kmr_mono_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

uint64_t kmr_wall_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

uint64_t kmr_now_ms(void)
{
    return kmr_mono_us() / 1000u;
}

int kmr_shell_timer(struct kmr_shell *shell, uint64_t ms, void *data,
                    void (*fn)(void *), qb_loop_timer_handle *ret_timer)
{
    return qb_loop_timer_add(shell->loop, QB_LOOP_HIGH, ms * QB_TIME_NS_IN_MSEC,
                             data, fn, ret_timer);
}

struct kmr_vm *kmr_shell_vm(struct kmr_shell *shell, const char *name,
                            bool create)
{
    struct kmr_vm *vm;

    for (unsigned i = 0; i < shell->vm_count; i++) {
        if (strcmp(shell->vms[i]->pair.vm, name) == 0) {
            return shell->vms[i];
        }
    }
    if (!create || shell->vm_count == KMR_VMS_MAX || !kmr_text_is_name(name) ||
        strlen(name) >= KMR_VM_MAX) {
        return NULL;
    }
    vm = calloc(1, sizeof(*vm));
    if (!vm) {
        return NULL;
    }
    vm->shell = shell;
    strcpy(vm->pid_text, "?"); /* what an earlier kemarid wrote */
    vm->health_said = true;    /* it may have */
    kmr_pair_init(&vm->pair, name, shell->config.node_name, shell->boot);
    vm->pair.limits = shell->config.limits;
    vm->pair.policy = shell->config.policy;
    vm->pair.quorate = shell->quorate;
    vm->pair.synced = shell->synced;
    vm->pair.agreed.nodes = shell->listed;
    vm->pair.agreed.there = kmr_shell_there(shell);
    shell->vms[shell->vm_count++] = vm;
    vm->unread = true;
    if (shell->loaded) {
        kmr_state_adopt(vm); /* its state file is lost, or there was none */
        kmr_shell_tell_peers(vm);
    }
    return vm;
}

/* ---- attributes ---- */

static void write_attr(struct kmr_shell *shell, const char *name,
                       const char *value,
                       int (*write)(struct kmr_attr *, const char *,
                                    const char *, const char *))
{
    char text[KMR_ATTR_VALUE_MAX];
    size_t len = 0;

    if (!shell->attr) {
        return;
    }
    for (; value && value[len] && len + 1 < sizeof(text); len++) {
        unsigned char c = (unsigned char)value[len];

        text[len] = c < ' ' || c > '~' ? '?' : (char)c;
    }
    text[len] = '\0';
    write(shell->attr, NULL, name, value ? text : NULL);
}

void kmr_shell_attr_later(struct kmr_shell *shell, const char *name,
                          const char *value)
{
    write_attr(shell, name, value, kmr_attr_set_later);
}

static void set_attr(struct kmr_vm *vm, const char *what, const char *value)
{
    char name[KMR_ATTR_NAME_MAX];

    if (snprintf(name, sizeof(name), "kemari-%s-%s", vm->pair.vm, what) <
        (int)sizeof(name)) {
        write_attr(vm->shell, name, value, kmr_attr_set);
    }
}

static void publish(void *data)
{
    struct kmr_vm *vm = data;
    const struct kmr_pair *pair = &vm->pair;
    char state[64];
    int32_t score = kmr_answer_score(pair);

    vm->publish = 0;
    if (!vm->shell->attr || !vm->shell->joined) {
        return;
    }
    if (vm->resource[0]) {
        kmr_attr_set_score(vm->shell->attr, NULL, vm->resource,
                           score == KMR_SCORE_NONE ? KMR_ATTR_SCORE_NONE
                                                   : score);
    }
    if (pair->want == KMR_WANT_STOPPED && !kmr_phase_has_qemu(pair->phase)) {
        set_attr(vm, "state", NULL);
        set_attr(vm, "peer", NULL);
        set_attr(vm, "lag", NULL);
        set_attr(vm, "reason", NULL);
        return;
    }
    snprintf(state, sizeof(state), "%s",
             kmr_state_text(kmr_answer_state(pair)));
    if (kmr_answer_state(pair) == KMR_STATE_SYNCING &&
        pair->phase == KMR_PHASE_SYNCING) {
        /* In tens: each change is a write to the cluster's database. */
        snprintf(state, sizeof(state), "syncing %u%%", vm->progress / 10 * 10);
    }
    set_attr(vm, "state", state);
    set_attr(vm, "peer", pair->peer_node[0] ? pair->peer_node : NULL);
    if (pair->phase == KMR_PHASE_PROTECTED) {
        snprintf(state, sizeof(state), "%" PRIu64 "s",
                 vm->engine.lag_ms / 1000);
        set_attr(vm, "lag", state);
    } else {
        set_attr(vm, "lag", NULL);
    }
    if (pair->phase == KMR_PHASE_PROTECTED && vm->engine.throttle > 0) {
        /* no figure: each change is a write */
        set_attr(vm, "reason",
                 "overload: the guest is held back, it dirties memory faster "
                 "than the link carries it");
    } else {
        const char *reason = kmr_pair_reason(pair);

        set_attr(vm, "reason", reason[0] ? reason : NULL);
    }
}

void kmr_shell_publish(struct kmr_vm *vm, bool anew)
{
    uint64_t now_ms = kmr_now_ms();

    if (vm->publish && !anew) {
        return;
    }
    if (!vm->publish) {
        vm->publish_since_ms = now_ms;
    } else if (now_ms + KMR_PUBLISH_MS >
               vm->publish_since_ms + KMR_PUBLISH_MAX_MS) {
        return;
    } else {
        qb_loop_timer_del(vm->shell->loop, vm->publish);
    }
    kmr_shell_timer(vm->shell, KMR_PUBLISH_MS, vm, publish, &vm->publish);
}

/* ---- steps ---- */

static int level_of(const struct kmr_effect *effect)
{
    switch (effect->to) {
    case KMR_PHASE_HOLDING:
    case KMR_PHASE_PRIMARY_LOST:
    case KMR_PHASE_TAKING_OVER:
        return LOG_WARNING;
    default:
        if (effect->from == KMR_PHASE_PROTECTED &&
            effect->to == KMR_PHASE_IDLE) {
            return LOG_ERR;
        }
        return LOG_NOTICE;
    }
}

static void moved(struct kmr_vm *vm, const struct kmr_effect *effect)
{
    struct kmr_msg msg = { .type = KMR_MSG_EVENT };

    qb_log(level_of(effect), "pair %s: %s -> %s (%s)", vm->pair.vm,
           kmr_phase_text(effect->from), kmr_phase_text(effect->to),
           effect->reason);
    kmr_text_set(msg.vm, sizeof(msg.vm), vm->pair.vm);
    kmr_text_set(msg.from, sizeof(msg.from), kmr_phase_text(effect->from));
    kmr_text_set(msg.to, sizeof(msg.to), kmr_phase_text(effect->to));
    kmr_text_set(msg.reason, sizeof(msg.reason), effect->reason);
    msg.time_us = kmr_wall_us();
    msg.mono_us = kmr_mono_us();
    if (vm->shell->joined) {
        kmr_shell_send(vm->shell, &msg);
    } else {
        kmr_text_set(msg.node, sizeof(msg.node), vm->shell->config.node_name);
        kmr_shell_remember(vm->shell, &msg);
    }
}

/* An effect that is a message to the group. */
static void broadcast(struct kmr_vm *vm, const struct kmr_effect *effect,
                      enum kmr_msg_type type)
{
    struct kmr_msg msg = { .type = type };

    kmr_text_set(msg.vm, sizeof(msg.vm), vm->pair.vm);
    kmr_text_set(msg.id, sizeof(msg.id), effect->id);
    kmr_text_set(msg.reason, sizeof(msg.reason), effect->reason);
    msg.generation = effect->generation;
    if (type == KMR_MSG_READY) {
        kmr_text_set(msg.address, sizeof(msg.address), vm->address);
    }
    if (type == KMR_MSG_DEATH) {
        qb_log(LOG_NOTICE, "pair %s: instance %s is dead (%s)", vm->pair.vm,
               effect->id, effect->reason);
    }
    kmr_shell_send(vm->shell, &msg);
}

/* R3: an answer leaves when what it says is on disk. */
static void send_paxos(struct kmr_vm *vm, const struct kmr_effect *effect)
{
    struct kmr_msg msg = { .type = KMR_MSG_PAXOS };

    kmr_text_set(msg.vm, sizeof(msg.vm), vm->pair.vm);
    msg.paxos = effect->paxos;
    if (effect->durable) {
        kmr_state_send_later(vm, &msg);
    } else {
        kmr_shell_send(vm->shell, &msg);
    }
}

static void act(struct kmr_vm *vm, const struct kmr_effect *effect)
{
    switch (effect->type) {
    case KMR_EFFECT_ORDER:
        kmr_vm_order(vm, effect);
        break;
    case KMR_EFFECT_KILL:
        kmr_vm_kill(vm, effect);
        break;
    case KMR_EFFECT_SEND:
        send_paxos(vm, effect);
        break;
    case KMR_EFFECT_DEATH:
        broadcast(vm, effect, KMR_MSG_DEATH);
        break;
    case KMR_EFFECT_FROZEN:
        broadcast(vm, effect, KMR_MSG_FROZEN);
        break;
    case KMR_EFFECT_INVITE:
        kmr_vm_invite(vm, effect);
        break;
    case KMR_EFFECT_READY:
        broadcast(vm, effect, KMR_MSG_READY);
        break;
    case KMR_EFFECT_REFUSE:
        broadcast(vm, effect, KMR_MSG_REFUSE);
        break;
    case KMR_EFFECT_DROP:
        broadcast(vm, effect, KMR_MSG_DROP);
        break;
    case KMR_EFFECT_HANDOVER:
        broadcast(vm, effect, KMR_MSG_HANDOVER);
        break;
    case KMR_EFFECT_TAKEOVER:
        broadcast(vm, effect, KMR_MSG_TAKEOVER);
        break;
    case KMR_EFFECT_MOVED:
        moved(vm, effect);
        break;
    case KMR_EFFECT_NOTE:
        qb_log(LOG_WARNING, "pair %s: %s: %s", vm->pair.vm,
               kmr_phase_text(vm->pair.phase), effect->reason);
        break;
    case KMR_EFFECT_PERSIST:
        break; /* after the step, with the pair as it is then */
    case KMR_EFFECT_BUG:
        qb_log(LOG_CRIT, "pair %s: BUG: %s -> %s: %s", vm->pair.vm,
               kmr_phase_text(effect->from), kmr_phase_text(effect->to),
               effect->reason);
        abort();
    }
}

static void on_tick(void *data)
{
    struct kmr_vm *vm = data;
    struct kmr_event event = { .type = KMR_EVENT_TICK };

    vm->tick = 0;
    vm->tick_ms = 0;
    kmr_shell_step(vm, &event);
}

static void set_tick(struct kmr_vm *vm)
{
    uint64_t when = kmr_pair_deadline(&vm->pair);
    uint64_t now = kmr_now_ms();

    if (when == vm->tick_ms) {
        return;
    }
    if (vm->tick) {
        qb_loop_timer_del(vm->shell->loop, vm->tick);
        vm->tick = 0;
    }
    vm->tick_ms = when;
    if (when != 0) {
        /* Never a busy loop, whatever the core says. */
        kmr_shell_timer(vm->shell, when > now + 5 ? when - now : 5, vm, on_tick,
                        &vm->tick);
    }
}

static void end_if_left(struct kmr_shell *shell)
{
    for (unsigned i = 0; i < shell->vm_count; i++) {
        if (!kmr_pair_left(&shell->vms[i]->pair)) {
            return;
        }
    }
    qb_loop_stop(shell->loop);
}

static void stay_no_longer(void *data)
{
    struct kmr_shell *shell = data;

    qb_log(LOG_WARNING, "ends as a voter: nobody agreed to go on without it");
    qb_loop_stop(shell->loop);
}

/* How long agreement took, fsyncs included. */
static void time_claim(struct kmr_vm *vm, uint64_t begun_us)
{
    const struct kmr_record *record = &vm->pair.agreed.record;
    enum kmr_claim now = vm->pair.claim;

    if (now == vm->claim) {
        return;
    }
    if (vm->claim != KMR_CLAIM_NONE) {
        qb_log(LOG_INFO,
               "pair %s: claim to %s settled in %" PRIu64
               " us: generation %" PRIu64 ", %s, %u voters",
               vm->pair.vm, kmr_claim_text(vm->claim),
               kmr_mono_us() - vm->claim_us, record->generation,
               kmr_mode_text(record->mode), kmr_record_voters(record));
    }
    vm->claim = now;
    vm->claim_us = begun_us;
}

void kmr_shell_step(struct kmr_vm *vm, struct kmr_event *event)
{
    struct kmr_effects *effects = malloc(sizeof(*effects));
    enum kmr_phase phase = vm->pair.phase;
    enum kmr_want want = vm->pair.want;
    enum kmr_run run = vm->pair.trouble.run;
    uint64_t generation = vm->pair.agreed.record.generation;
    uint64_t begun_us = kmr_mono_us();

    if (!effects) {
        qb_log(LOG_CRIT, "out of memory");
        abort();
    }
    event->now_ms = kmr_now_ms();
    kmr_domxml_new_instance(event->fresh);
    kmr_pair_step(&vm->pair, event, effects);
    time_claim(vm, begun_us);
    for (unsigned i = 0; i < effects->count; i++) {
        act(vm, &effects->list[i]);
    }
    free(effects);
    kmr_state_write(vm);
    set_tick(vm);
    if (vm->pair.phase != phase || vm->pair.want != want ||
        vm->pair.trouble.run != run) {
        kmr_shell_status_soon(vm->shell);
    }
    kmr_shell_publish(vm, vm->pair.phase != phase);
    if (vm->pair.phase != phase ||
        vm->pair.agreed.record.generation != generation) {
        kmr_shell_health_soon(vm->shell);
    }
    kmr_shell_answer(vm);
    kmr_shell_fence_check(vm->shell);
    if (vm->shell->ending) {
        end_if_left(vm->shell);
    }
}

void kmr_shell_step_all(struct kmr_shell *shell, const struct kmr_event *ev)
{
    for (unsigned i = 0; i < shell->vm_count; i++) {
        struct kmr_event event = *ev;

        kmr_shell_step(shell->vms[i], &event);
    }
}

void kmr_shell_leave(struct kmr_shell *shell)
{
    struct kmr_event event = { .type = KMR_EVENT_LEAVE };
    qb_loop_timer_handle timer;

    if (shell->ending || !shell->joined || !shell->quorate) {
        qb_loop_stop(shell->loop);
        return;
    }
    kmr_shell_timer(shell, KMR_LEAVE_MS, shell, stay_no_longer, &timer);
    kmr_shell_step_all(shell, &event);
    shell->ending = true;
    kmr_shell_status_soon(shell); /* it votes no more */
    end_if_left(shell);
}
