/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "shell.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <qb/qblog.h>

#include "core/text.h"
#include "io/qomwalk.h"

/*
 * Before a standby is invited, the devices of the QEMU that runs are looked at:
 * what the XML leads to is libvirt's to decide, and <qemu:commandline> says
 * what nobody checked.
 */

static void look_on(struct kmr_vm *vm);

/* `why` is "" when all is accepted. The candidate may be another one by now:
 * the machine is the same. */
static void ended(struct kmr_vm *vm, const char *why)
{
    struct kmr_event event = { .type = KMR_EVENT_REFUSED };

    kmr_vm_look_end(vm);
    if (!why[0]) {
        kmr_vm_invite_now(vm);
        return;
    }
    qb_log(LOG_ERR, "pair %s: not protected: %s", vm->pair.vm, why);
    kmr_text_set(event.id, sizeof(event.id), vm->invite_id);
    kmr_text_set(event.reason, sizeof(event.reason), why);
    kmr_shell_step(vm, &event);
}

static void on_looked(const struct kmr_virt_reply *reply, void *user)
{
    struct kmr_vm *vm = user;
    char text[KMR_REASON_MAX];
    int err = reply->err;

    if (err) {
        snprintf(text, sizeof(text), "can't look at its devices: %.200s",
                 reply->error);
    } else {
        err = kmr_qomwalk_take(vm->walk, reply->text);
        snprintf(text, sizeof(text), "can't look at its devices: %s",
                 strerror(-err));
    }
    if (err) {
        ended(vm, text);
    } else {
        look_on(vm);
    }
}

static void look_on(struct kmr_vm *vm)
{
    char text[KMR_QMP_COMMAND_MAX], why[KMR_REASON_MAX];
    int err;

    if (!kmr_qomwalk_next(vm->walk, text, sizeof(text))) {
        snprintf(why, sizeof(why), "%s", kmr_qomwalk_refused(vm->walk));
        ended(vm, why);
        return;
    }
    err = kmr_vm_give(vm, KMR_VIRT_OP_MONITOR, text, false, KMR_ORDER_MS,
                      on_looked);
    if (err) {
        snprintf(why, sizeof(why), "can't look at its devices: %s",
                 strerror(-err));
        ended(vm, why);
    }
}

void kmr_vm_look(struct kmr_vm *vm)
{
    if (vm->walk) {
        return; /* under way for the candidate before */
    }
    vm->walk = kmr_qomwalk_new();
    if (vm->walk) {
        look_on(vm);
    } /* else the deadline of the invitation tries again */
}

void kmr_vm_look_end(struct kmr_vm *vm)
{
    kmr_qomwalk_free(vm->walk);
    vm->walk = NULL;
}
