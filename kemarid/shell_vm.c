/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "shell.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qb/qbdefs.h>
#include <qb/qblog.h>

#include "core/text.h"
#include "io/domxml.h"


void kmr_vm_done(struct kmr_vm *vm, enum kmr_order order, uint32_t tag, bool ok,
                 bool maybe, const char *reason)
{
    struct kmr_event event = { .type = KMR_EVENT_DONE };

    event.order = order;
    event.tag = tag;
    event.flag = ok;
    event.maybe = maybe;
    if (!ok) {
        snprintf(event.reason, sizeof(event.reason), "%s: %s",
                 kmr_order_text(order), reason);
        qb_log(LOG_WARNING, "pair %s: %s", vm->pair.vm, event.reason);
    }
    kmr_shell_step(vm, &event);
}

int kmr_vm_give(struct kmr_vm *vm, enum kmr_virt_op op, const char *text,
                bool paused, uint32_t timeout_ms, kmr_virt_cb cb)
{
    struct kmr_virt_order order = {
        .op = op,
        .text = text,
        .paused = paused,
        .timeout_ms = timeout_ms,
    };
    int err = 0;

    if (!vm->worker) {
        err = kmr_virt_worker_new(vm->shell->virt, vm->pair.vm, &vm->worker);
    }
    return err ? err : kmr_virt_order(vm->worker, &order, cb, vm);
}

/* ---- the process ---- */

static void reaped(struct kmr_vm *vm)
{
    struct kmr_event event = { .type = KMR_EVENT_REAPED };

    if (vm->grace) {
        qb_loop_timer_del(vm->shell->loop, vm->grace);
        vm->grace = 0;
    }
    snprintf(event.reason, sizeof(event.reason), "%s",
             vm->death[0] ? vm->death : "QEMU died");
    kmr_vm_forget(vm);
    kmr_shell_step(vm, &event);
}

void kmr_vm_forget(struct kmr_vm *vm)
{
    kmr_input_dead(vm);
    memset(&vm->proc, 0, sizeof(vm->proc));
    kmr_pidwatch_stop(vm->watch);
    vm->watch = NULL;
    vm->killing = false;
    vm->powered_off = false;
    vm->creating = false;
    vm->create_waits = false;
    vm->blind = false;
    vm->death[0] = '\0';
    vm->progress = 0;
    memset(&vm->engine, 0, sizeof(vm->engine));
    kmr_guest_forget(vm);
    if (vm->poll) {
        qb_loop_timer_del(vm->shell->loop, vm->poll);
        vm->poll = 0;
    }
    if (vm->again) {
        qb_loop_timer_del(vm->shell->loop, vm->again);
        vm->again = 0;
    }
    /* Answers still to come belong to nobody. */
    kmr_virt_worker_free(vm->worker);
    vm->worker = NULL;
    vm->sequence.busy = false;
    kmr_vm_look_end(vm);
}

static void on_grace(void *data)
{
    struct kmr_vm *vm = data;

    vm->grace = 0;
    reaped(vm);
}

static void on_dead(const struct kmr_proc *proc, void *user)
{
    struct kmr_vm *vm = user;

    vm->watch = NULL;
    if (vm->killing || vm->powered_off ||
        !kmr_virt_is_connected(vm->shell->virt)) {
        reaped(vm);
        return;
    }
    snprintf(vm->death, sizeof(vm->death), "QEMU (pid %d) died",
             (int)proc->pid);
    /* A power-off's SHUTDOWN can be a few ms behind: see virt.h. */
    if (!vm->grace) {
        kmr_shell_timer(vm->shell, KMR_GRACE_MS, vm, on_grace, &vm->grace);
    }
}

void kmr_vm_watch(struct kmr_vm *vm)
{
    int err =
        kmr_pidwatch_start(vm->shell->loop, &vm->proc, on_dead, vm, &vm->watch);

    if (err == -ESRCH) {
        kmr_shell_timer(vm->shell, 1, vm, on_grace, &vm->grace);
    } else if (err) {
        qb_log(LOG_ERR, "pair %s: can't watch pid %d: %s", vm->pair.vm,
               (int)vm->proc.pid, strerror(-err));
    }
    kmr_input_watch(vm);
    if (!vm->poll) {
        kmr_shell_timer(vm->shell, KMR_POLL_SYNC_MS, vm, kmr_vm_poll,
                        &vm->poll);
    }
}

static void find_process(struct kmr_vm *vm)
{
    if (vm->proc.pid == 0 &&
        kmr_proc_of_domain(NULL, vm->pair.vm, NULL, &vm->proc) != 0) {
        memset(&vm->proc, 0, sizeof(vm->proc));
    }
}

bool kmr_vm_search(struct kmr_vm *vm)
{
    find_process(vm);
    if (vm->proc.pid != 0) {
        kmr_vm_watch(vm);
    } else if (kmr_now_ms() > vm->create_since_ms + KMR_CREATE_MS) {
        reaped(vm);
        return false;
    }
    return true;
}

static void on_nothing(void *data)
{
    struct kmr_vm *vm = data;

    vm->grace = 0;
    find_process(vm);
    if (vm->proc.pid != 0) {
        return; /* the core kills again */
    }
    reaped(vm);
}

void kmr_vm_kill(struct kmr_vm *vm, const struct kmr_effect *effect)
{
    int err;

    vm->killing = true;
    kmr_text_set(vm->death, sizeof(vm->death), "killed");
    if (effect->reason[0]) {
        kmr_text_add(vm->death, sizeof(vm->death), ": ");
        kmr_text_add(vm->death, sizeof(vm->death), effect->reason);
    }
    if (vm->creating && vm->proc.pid == 0 && !vm->again) {
        return; /* libvirtd is at it; killed as soon as it is there */
    }
    if (vm->again) {
        qb_loop_timer_del(vm->shell->loop, vm->again);
        vm->again = 0;
        vm->creating = false;
        vm->create_waits = false;
    }
    find_process(vm);
    if (vm->proc.pid == 0 && vm->blind &&
        kmr_now_ms() <= vm->create_since_ms + KMR_CREATE_MS) {
        return; /* libvirtd may be at it: the core kills again */
    }
    if (vm->proc.pid == 0) {
        if (!vm->grace) {
            kmr_shell_timer(vm->shell, 1, vm, on_nothing, &vm->grace);
        }
        return;
    }
    err = kmr_proc_kill(&vm->proc);
    if (err == -ESRCH) {
        if (!vm->grace) {
            kmr_shell_timer(vm->shell, 1, vm, on_grace, &vm->grace);
        }
    } else if (err) {
        qb_log(LOG_CRIT, "pair %s: can't kill pid %d: %s", vm->pair.vm,
               (int)vm->proc.pid, strerror(-err));
    } else if (!vm->watch) {
        kmr_vm_watch(vm);
    }
}

/* ---- starting a domain ---- */

static void on_created(const struct kmr_virt_reply *reply, void *user)
{
    struct kmr_vm *vm = user;
    enum kmr_order order = vm->sequence.order;
    uint32_t tag = vm->sequence.tag;
    uint64_t now_ms = kmr_now_ms();
    bool exists = reply->err == -EEXIST ||
                  (reply->err != 0 && strstr(reply->error, "already active"));

    if (exists && !vm->killing &&
        now_ms < vm->create_since_ms + KMR_CREATE_MS / 2) {
        /* libvirtd has not noticed yet that the one before is dead. */
        kmr_shell_timer(vm->shell, KMR_EXIST_MS, vm, kmr_vm_create, &vm->again);
        return;
    }
    vm->creating = false;
    if (reply->err == 0 || reply->maybe) {
        find_process(vm);
        if (vm->proc.pid != 0) {
            kmr_vm_watch(vm);
        }
    }
    if (vm->killing) {
        struct kmr_effect effect = { .type = KMR_EFFECT_KILL };

        kmr_text_set(effect.reason, sizeof(effect.reason), "no longer wanted");
        kmr_vm_kill(vm, &effect);
        return;
    }
    if (reply->err == 0 && vm->proc.pid == 0) {
        kmr_vm_done(vm, order, tag, false, false,
                    "no process of the domain found");
        return;
    }
    kmr_vm_done(vm, order, tag, reply->err == 0, reply->maybe,
                reply->error ? reply->error : "");
}

static int derive(struct kmr_vm *vm, char **ret_text,
                  struct kmr_domxml_error *ret_error)
{
    const struct kmr_pair *pair = &vm->pair;
    struct kmr_domxml_pair want = { .generation =
                                        pair->agreed.record.generation };
    struct kmr_domxml *dom;
    bool standby = vm->sequence.order == KMR_ORDER_CREATE_STANDBY;
    int err;

    memset(ret_error, 0, sizeof(*ret_error));
    want.role = standby ? KMR_DOMXML_STANDBY : KMR_DOMXML_PRIMARY;
    kmr_text_set(want.instance, sizeof(want.instance), pair->instance);
    kmr_text_set(want.peer, sizeof(want.peer), pair->peer);
    if (standby) {
        err = kmr_domxml_read_text(vm->xml ? vm->xml : "", vm->xml_len,
                                   "the primary's XML", &dom, ret_error);
    } else {
        err = kmr_domxml_read_file(vm->config, &dom, ret_error);
    }
    if (err) {
        return err;
    }
    err = kmr_domxml_derive(dom,
                            vm->shell->emulator[0] ? vm->shell->emulator : NULL,
                            &want, ret_text);
    if (err) {
        snprintf(ret_error->text, sizeof(ret_error->text),
                 "can't derive the domain: %s", strerror(-err));
    }
    kmr_domxml_free(dom);
    return err;
}

void kmr_vm_create(void *data)
{
    struct kmr_vm *vm = data;
    struct kmr_domxml_error error;
    char *text = NULL;
    bool standby = vm->sequence.order == KMR_ORDER_CREATE_STANDBY;
    int err;

    vm->again = 0;
    if (vm->shell->barred) {
        vm->creating = false;
        kmr_vm_done(vm, vm->sequence.order, vm->sequence.tag, false, false,
                    "this node was fenced, nothing starts until it reboots");
        return;
    }
    err = derive(vm, &text, &error);
    if (!err) {
        kmr_input_make_room(vm);
        vm->creating = true;
        err = kmr_vm_give(vm, KMR_VIRT_OP_CREATE, text, standby, KMR_CREATE_MS,
                          on_created);
        snprintf(error.text, sizeof(error.text), "%s",
                 err ? strerror(-err) : "");
    }
    free(text);
    if (err) {
        vm->creating = false;
        kmr_vm_done(vm, vm->sequence.order, vm->sequence.tag, false, false,
                    error.text);
    }
}

static void on_unwritten(void *data)
{
    struct kmr_vm *vm = data;

    vm->again = 0;
    vm->creating = false;
    vm->create_waits = false;
    kmr_vm_done(vm, vm->sequence.order, vm->sequence.tag, false, false,
                "its state file can't be written");
}

/*
 * A kemarid that dies after the order and before its file names the instance
 * would find no trace of it, and say that it is dead.
 */
void kmr_vm_create_later(struct kmr_vm *vm, bool durable)
{
    vm->create_waits = durable;
    vm->create_ticket = 0;
    /* Not from inside the step: it may fail at once. */
    kmr_shell_timer(vm->shell, durable ? KMR_CREATE_MS : 0, vm,
                    durable ? on_unwritten : kmr_vm_create, &vm->again);
}

void kmr_vm_create_written(struct kmr_vm *vm)
{
    if (!vm->create_waits || vm->create_ticket == 0 ||
        vm->written < vm->create_ticket) {
        return;
    }
    vm->create_waits = false;
    qb_loop_timer_del(vm->shell->loop, vm->again);
    vm->again = 0;
    kmr_shell_timer(vm->shell, 0, vm, kmr_vm_create, &vm->again);
}

/* ---- libvirt's events ---- */

void kmr_shell_virt_connected(bool up, const char *reason, void *user)
{
    struct kmr_shell *shell = user;

    qb_log(up ? LOG_NOTICE : LOG_WARNING, "libvirt: %s%s",
           up ? "connected" : "not connected: ", up ? "" : reason);
    for (unsigned i = 0; up && i < shell->vm_count; i++) {
        struct kmr_vm *vm = shell->vms[i];

        if (vm->poll) {
            qb_loop_timer_del(shell->loop, vm->poll);
            vm->poll = 0;
            kmr_vm_poll(vm); /* events may have been lost */
        }
    }
}

void kmr_vm_powered_off(struct kmr_vm *vm)
{
    struct kmr_event event = { .type = KMR_EVENT_POWEROFF };

    vm->powered_off = true;
    kmr_text_set(vm->death, sizeof(vm->death), "the guest powered off");
    kmr_shell_step(vm, &event);
    if (vm->grace) {
        qb_loop_timer_del(vm->shell->loop, vm->grace);
        vm->grace = 0;
        reaped(vm);
    }
}

static void on_overload(struct kmr_vm *vm, const char *text)
{
    struct kmr_qmp_status status;

    if (kmr_qmp_parse_overload(text, &status) != 0) {
        qb_log(LOG_ERR, "pair %s: bad event of the engine: %s", vm->pair.vm,
               text);
    } else if (kmr_vm_is_ours(vm, status.instance)) {
        qb_log(LOG_WARNING,
               status.overload
                   ? "pair %s: overload: the guest dirties memory faster than "
                     "the link carries it, held for %u %% of the time"
                   : "pair %s: no overload any more (%u %%)",
               vm->pair.vm, (unsigned)status.throttle);
        vm->engine.unprotected = status.unprotected;
        /* what is to be done about it, the answer says */
        if (vm->poll) {
            qb_loop_timer_del(vm->shell->loop, vm->poll);
        }
        kmr_vm_poll(vm);
    }
}

void kmr_shell_virt_event(const struct kmr_virt_event *event, void *user)
{
    struct kmr_shell *shell = user;
    struct kmr_vm *vm = kmr_shell_vm(shell, event->domain, false);
    struct kmr_qmp_status status;

    if (!vm || !kmr_phase_has_qemu(vm->pair.phase)) {
        return;
    }
    switch (event->type) {
    case KMR_VIRT_EV_ENGINE:
        if (strcmp(event->qmp_event, "KEMARI_OVERLOAD") == 0) {
            on_overload(vm, event->text);
            break;
        }
        if (strcmp(event->qmp_event, "KEMARI_STATE") != 0) {
            break;
        }
        if (kmr_qmp_parse_event(event->text, &status) != 0) {
            qb_log(LOG_ERR, "pair %s: bad event of the engine: %s", vm->pair.vm,
                   event->text);
            break;
        }
        if (kmr_vm_is_ours(vm, status.instance)) {
            qb_log(LOG_INFO, "pair %s: engine: %s (%s)", vm->pair.vm,
                   kmr_qmp_state_text(status.state), status.reason);
            kmr_vm_tell_engine(vm, &status);
        }
        break;
    case KMR_VIRT_EV_SHUTDOWN:
        if (event->by_guest && !vm->killing) {
            kmr_vm_powered_off(vm);
        }
        break;
    case KMR_VIRT_EV_MEMORY_FAILURE:
        kmr_shell_health_memory(vm, event);
        break;
    case KMR_VIRT_EV_IO_ERROR:
    case KMR_VIRT_EV_CRASHED:
    case KMR_VIRT_EV_RESUMED:
    case KMR_VIRT_EV_SUSPENDED:
        kmr_guest_event(vm, event);
        break;
    case KMR_VIRT_EV_STARTED:
    case KMR_VIRT_EV_STOPPED:
    case KMR_VIRT_EV_REBOOT:
        qb_log(LOG_DEBUG, "pair %s: libvirt: %s", vm->pair.vm,
               kmr_virt_event_text(event->type));
        break;
    }
}
