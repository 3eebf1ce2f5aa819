/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "shell.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>

#include <qb/qblog.h>

#include "core/text.h"

/*
 * The guest of a QEMU that lives: does it run? QEMU limits its events of I/O
 * errors, and libvirt drops some: an event is only a reason to ask.
 */

static enum kmr_run run_of(const char *status)
{
    static const char *const names[] = {
#define X(name, text) text,
        KMR_RUNS(X)
#undef X
    };

    for (unsigned i = KMR_RUN_RUNNING; i < KMR_RUN_COUNT; i++) {
        if (strcmp(names[i], status) == 0) {
            return (enum kmr_run)i;
        }
    }
    return KMR_RUN_PAUSED; /* a handover, a standby, an operator's doing */
}

static void on_resumed(const struct kmr_virt_reply *reply, void *user)
{
    (void)reply; /* libvirt may have known better */
    (void)user;
}

static void on_guest(const struct kmr_virt_reply *reply, void *user)
{
    struct kmr_vm *vm = user;
    struct kmr_event event = { .type = KMR_EVENT_GUEST };
    char status[32];

    vm->asking = false;
    if (vm->ask_again) {
        vm->ask_again = false;
        kmr_vm_ask_guest(vm);
    }
    if (reply->err != 0 ||
        kmr_qmp_parse_run(reply->text, status, sizeof(status)) != 0) {
        return; /* the next poll asks again */
    }
    if (strcmp(status, "shutdown") == 0) {
        if (!vm->killing && !vm->powered_off) {
            kmr_vm_powered_off(vm);
        }
        return;
    }
    event.run = run_of(status);
    if (event.run == KMR_RUN_IO_ERROR) {
        kmr_text_set(event.reason, sizeof(event.reason), vm->disk);
    } else if (event.run == KMR_RUN_RUNNING && vm->crashed) {
        /* libvirt calls it crashed for ever, unless it may resume it */
        vm->crashed = false;
        kmr_vm_give(vm, KMR_VIRT_OP_RESUME, NULL, false, KMR_ORDER_MS,
                    on_resumed);
    }
    if (event.run != vm->pair.trouble.run) {
        kmr_shell_step(vm, &event);
    }
}

void kmr_vm_ask_guest(struct kmr_vm *vm)
{
    char text[KMR_QMP_COMMAND_MAX];

    if (!kmr_phase_has_qemu(vm->pair.phase) || vm->creating || vm->killing ||
        !kmr_virt_is_connected(vm->shell->virt)) {
        return;
    }
    if (vm->asking) {
        vm->ask_again = true;
        return;
    }
    kmr_qmp_simple("query-status", text, sizeof(text));
    vm->asking = kmr_vm_give(vm, KMR_VIRT_OP_MONITOR, text, false, KMR_ORDER_MS,
                             on_guest) == 0;
}

void kmr_guest_event(struct kmr_vm *vm, const struct kmr_virt_event *event)
{
    if (event->type == KMR_VIRT_EV_IO_ERROR) {
        if (strcmp(vm->disk, event->text) != 0 || !event->io_stopped) {
            qb_log(LOG_ERR, "pair %s: I/O error on %s%s", vm->pair.vm,
                   event->text, event->io_stopped ? "" : ", the guest is told");
        }
        kmr_text_set(vm->disk, sizeof(vm->disk), event->text);
    } else if (event->type == KMR_VIRT_EV_CRASHED) {
        vm->crashed = true;
    }
    kmr_vm_ask_guest(vm);
}

/* ---- orders ---- */

int kmr_guest_order(struct kmr_vm *vm, const struct kmr_effect *effect,
                    char *ret_text, size_t size)
{
    (void)vm;
    if (effect->order == KMR_ORDER_RESTART) {
        return kmr_qmp_restart(effect->id, effect->generation, ret_text, size);
    }
    return kmr_qmp_retry(effect->id, effect->generation,
                         effect->order == KMR_ORDER_REPORT, ret_text, size);
}

void kmr_guest_ordered(struct kmr_vm *vm, enum kmr_order order)
{
    if (order == KMR_ORDER_RETRY || order == KMR_ORDER_REPORT ||
        order == KMR_ORDER_RESTART) {
        kmr_vm_ask_guest(vm);
    }
}

static void on_dumped(const struct kmr_virt_reply *reply, void *user)
{
    struct kmr_vm *vm = user;

    qb_log(reply->err ? LOG_ERR : LOG_NOTICE, "pair %s: %s %s", vm->pair.vm,
           reply->err ? "its memory could not be written to"
                      : "its memory is in",
           vm->dump);
    kmr_vm_done(vm, KMR_ORDER_DUMP, vm->sequence.tag, reply->err == 0,
                reply->maybe, reply->error);
}

/* A guest that panics whenever it has booted must not fill the disk. */
static bool has_enough(const struct kmr_vm *vm)
{
    char pattern[sizeof(vm->dump) + 16];
    glob_t found = { .gl_pathc = 0 };
    bool enough;

    snprintf(pattern, sizeof(pattern), "%s/%s-[0-9]*.kdump",
             vm->shell->config.dump_dir, vm->pair.vm);
    enough = glob(pattern, GLOB_NOSORT, NULL, &found) == 0 &&
             found.gl_pathc >= KMR_DUMPS_MAX;
    globfree(&found);
    return enough;
}

/*
 * By libvirt's function, not the monitor's command: at the event of its end
 * libvirtd 9.0 dies if it did not begin it.
 */
int kmr_guest_dump(struct kmr_vm *vm)
{
    if (has_enough(vm)) {
        qb_log(LOG_WARNING, "pair %s: %s has %u dumps of it, and gets no more",
               vm->pair.vm, vm->shell->config.dump_dir, KMR_DUMPS_MAX);
        return -EDQUOT;
    }
    snprintf(vm->dump, sizeof(vm->dump), "%s/%s-%llu.kdump",
             vm->shell->config.dump_dir, vm->pair.vm,
             (unsigned long long)(kmr_wall_us() / 1000000u));
    return kmr_vm_give(vm, KMR_VIRT_OP_DUMP, vm->dump, false,
                       KMR_VIRT_DEADLINE_MAX_MS, on_dumped);
}

void kmr_guest_forget(struct kmr_vm *vm)
{
    vm->asking = vm->ask_again = vm->crashed = false;
    vm->disk[0] = vm->dump[0] = '\0';
}
