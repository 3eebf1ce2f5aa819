/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "shell.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
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
    kmr_pair_init(&vm->pair, name, shell->config.node_name, shell->boot);
    vm->pair.quorate = shell->quorate;
    vm->pair.synced = shell->synced;
    shell->vms[shell->vm_count++] = vm;
    kmr_shell_tell_peers(vm);
    return vm;
}

/* ---- the state file ---- */

static void add(char *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add(char *text, const char *format, ...)
{
    size_t used = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + used, KMR_STATEFILE_MAX - used, format, args);
    va_end(args);
}

static void add_inst(char *text, const char *what, const struct kmr_inst *inst)
{
    if (inst->id[0]) {
        add(text, "%s=%s %016" PRIx64 " %s %d %d\n", what, inst->node,
            inst->boot, inst->id, inst->dead, inst->frozen);
    }
}

void kmr_shell_persist(struct kmr_vm *vm)
{
    const struct kmr_pair *pair = &vm->pair;
    char text[KMR_STATEFILE_MAX] = "";
    char name[KMR_VM_MAX + 8];

    add(text, "version=1\ngeneration=%" PRIu64 "\nmode=%s\n",
        pair->record.generation, kmr_mode_text(pair->record.mode));
    add_inst(text, "owner", &pair->record.owner);
    add_inst(text, "standby", &pair->record.standby);
    add(text, "boot=%016" PRIx64 "\nwant=%s\n", pair->boot,
        kmr_want_text(pair->want));
    add(text, "config=%s\nresource=%s\n", vm->config, vm->resource);
    if (kmr_phase_has_qemu(pair->phase)) {
        add(text, "instance=%s\n", pair->instance);
    }
    if (vm->proc.pid) {
        add(text, "pid=%d\nstart=%" PRIu64 "\n", (int)vm->proc.pid,
            vm->proc.start);
    }
    if (pair->down_id[0]) {
        add(text, "down=%s\n", pair->down_id);
    }
    if (strcmp(text, vm->state_text) == 0) {
        return;
    }
    strcpy(vm->state_text, text);
    snprintf(name, sizeof(name), "%s.state", pair->vm);
    kmr_statefile_write(vm->shell->states, name, text);

    snprintf(name, sizeof(name), "%s.pid", pair->vm);
    text[0] = '\0';
    if (vm->proc.pid) {
        add(text, "pid=%d\nstart=%" PRIu64 "\ninstance=%s\n", (int)vm->proc.pid,
            vm->proc.start, pair->instance);
    } else if (kmr_phase_has_qemu(pair->phase)) {
        add(text, "instance=%s\n", pair->instance);
    }
    if (text[0]) {
        add(text, "want=%s\n", kmr_want_text(pair->want));
    }
    kmr_statefile_write(vm->shell->pids, name, text[0] ? text : NULL);
}

static void parse_inst(const char *text, const char *what,
                       struct kmr_inst *inst)
{
    char value[256];
    int dead, frozen;

    if (kmr_statefile_get(text, what, value, sizeof(value)) &&
        sscanf(value, "%63s %" SCNx64 " %36s %d %d", inst->node, &inst->boot,
               inst->id, &dead, &frozen) == 5 &&
        kmr_text_is_name(inst->node) && kmr_text_is_uuid(inst->id)) {
        inst->dead = dead != 0;
        inst->frozen = frozen != 0;
    }
}

static uint64_t parse_number(const char *text, const char *key, int base)
{
    char value[64];

    if (!kmr_statefile_get(text, key, value, sizeof(value))) {
        return 0;
    }
    return strtoull(value, NULL, base);
}

/* What this boot of the node knew of its QEMU. */
static void parse_local(struct kmr_vm *vm, const char *text)
{
    struct kmr_pair *pair = &vm->pair;
    struct kmr_event event = { .type = KMR_EVENT_ADOPT };
    char value[64];

    kmr_statefile_get(text, "down", pair->down_id, sizeof(pair->down_id));
    if (kmr_statefile_get(text, "want", value, sizeof(value))) {
        pair->want = strcmp(value, "promoted") == 0     ? KMR_WANT_PROMOTED
                     : strcmp(value, "unpromoted") == 0 ? KMR_WANT_UNPROMOTED
                                                        : KMR_WANT_STOPPED;
    }
    pair->phase =
        pair->want == KMR_WANT_STOPPED ? KMR_PHASE_STOPPED : KMR_PHASE_IDLE;
    if (!kmr_statefile_get(text, "instance", event.id, sizeof(event.id)) ||
        !kmr_text_is_uuid(event.id)) {
        return;
    }
    vm->proc.pid = (pid_t)parse_number(text, "pid", 10);
    vm->proc.start = parse_number(text, "start", 10);
    if (vm->proc.pid == 0 &&
        kmr_proc_of_domain(NULL, pair->vm, NULL, &vm->proc) != 0) {
        memset(&vm->proc, 0, sizeof(vm->proc));
    }
    if (vm->proc.pid != 0 && kmr_proc_alive(&vm->proc) == 0) {
        memset(&vm->proc, 0, sizeof(vm->proc));
        return; /* the core will say that it is dead */
    }
    /* Without a pid libvirtd may be starting it just now: not dead yet. */
    vm->create_since_ms = kmr_now_ms();
    kmr_shell_step(vm, &event);
    if (vm->proc.pid != 0) {
        kmr_vm_watch(vm);
    }
}

static void parse(struct kmr_vm *vm, const char *text)
{
    struct kmr_record *record = &vm->pair.record;
    char value[64];

    record->generation = parse_number(text, "generation", 10);
    if (kmr_statefile_get(text, "mode", value, sizeof(value))) {
        for (int i = 0; i < KMR_MODE_COUNT; i++) {
            if (strcmp(value, kmr_mode_text((enum kmr_mode)i)) == 0) {
                record->mode = (enum kmr_mode)i;
            }
        }
    }
    parse_inst(text, "owner", &record->owner);
    parse_inst(text, "standby", &record->standby);
    kmr_statefile_get(text, "config", vm->config, sizeof(vm->config));
    kmr_statefile_get(text, "resource", vm->resource, sizeof(vm->resource));
    if (parse_number(text, "boot", 16) == vm->shell->boot) {
        parse_local(vm, text);
    }
}

int kmr_shell_load(struct kmr_shell *shell)
{
    DIR *folder = opendir(KMR_STATE_DIR);
    struct dirent *entry;

    if (!folder) {
        return -errno;
    }
    while ((entry = readdir(folder))) {
        char name[KMR_VM_MAX];
        char *dot = strstr(entry->d_name, ".state");
        char *text;
        struct kmr_vm *vm;
        int err;

        if (!dot || strcmp(dot, ".state") != 0 ||
            (size_t)(dot - entry->d_name) >= sizeof(name)) {
            continue;
        }
        memcpy(name, entry->d_name, (size_t)(dot - entry->d_name));
        name[dot - entry->d_name] = '\0';
        err = kmr_statefile_read(KMR_STATE_DIR, entry->d_name, &text);
        if (err) {
            qb_log(LOG_ERR, "%s/%s: %s", KMR_STATE_DIR, entry->d_name,
                   strerror(-err));
            continue;
        }
        vm = kmr_shell_vm(shell, name, true);
        if (vm) {
            parse(vm, text);
        }
        free(text);
    }
    closedir(folder);
    return 0;
}

/* ---- attributes ---- */

static void set_attr(struct kmr_vm *vm, const char *what, const char *value)
{
    char name[KMR_ATTR_NAME_MAX];
    char text[KMR_ATTR_VALUE_MAX];

    if (snprintf(name, sizeof(name), "kemari-%s-%s", vm->pair.vm, what) >=
        (int)sizeof(name)) {
        return;
    }
    if (value) {
        size_t len = 0;

        for (; value[len] && len + 1 < sizeof(text); len++) {
            unsigned char c = (unsigned char)value[len];

            text[len] = c < ' ' || c > '~' ? '?' : (char)c;
        }
        text[len] = '\0';
    }
    kmr_attr_set(vm->shell->attr, NULL, name, value ? text : NULL);
}

void kmr_shell_publish(struct kmr_vm *vm)
{
    const struct kmr_pair *pair = &vm->pair;
    char state[64];
    int32_t score = kmr_answer_score(pair);

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
    set_attr(vm, "reason", pair->reason[0] ? pair->reason : NULL);
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
    msg.base = effect->base;
    msg.record = effect->record;
    if (type == KMR_MSG_READY) {
        kmr_text_set(msg.address, sizeof(msg.address), vm->address);
    }
    if (type == KMR_MSG_DEATH) {
        qb_log(LOG_NOTICE, "pair %s: instance %s is dead (%s)", vm->pair.vm,
               effect->id, effect->reason);
    }
    kmr_shell_send(vm->shell, &msg);
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
    case KMR_EFFECT_CLAIM:
        broadcast(vm, effect, KMR_MSG_CLAIM);
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

void kmr_shell_step(struct kmr_vm *vm, struct kmr_event *event)
{
    struct kmr_effects *effects = malloc(sizeof(*effects));
    enum kmr_phase phase = vm->pair.phase;
    enum kmr_want want = vm->pair.want;

    if (!effects) {
        qb_log(LOG_CRIT, "out of memory");
        abort();
    }
    event->now_ms = kmr_now_ms();
    kmr_domxml_new_instance(event->fresh);
    kmr_pair_step(&vm->pair, event, effects);
    for (unsigned i = 0; i < effects->count; i++) {
        act(vm, &effects->list[i]);
    }
    free(effects);
    kmr_shell_persist(vm);
    set_tick(vm);
    if (vm->pair.phase != phase || vm->pair.want != want) {
        kmr_shell_status_soon(vm->shell);
    }
    kmr_shell_publish(vm);
    kmr_shell_answer(vm);
}

void kmr_shell_step_all(struct kmr_shell *shell, const struct kmr_event *ev)
{
    for (unsigned i = 0; i < shell->vm_count; i++) {
        struct kmr_event event = *ev;

        kmr_shell_step(shell->vms[i], &event);
    }
}
