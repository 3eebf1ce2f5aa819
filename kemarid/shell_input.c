/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "shell.h"

#include <errno.h>
#include <string.h>

#include <qb/qblog.h>

#include "core/text.h"
#include "io/taps.h"

/*
 * What comes in for a guest while no QEMU runs it: see io/taps.h. No rule
 * rests on any of it.
 */

void kmr_input_watch(struct kmr_vm *vm)
{
    int err;

    if (vm->taps) {
        return;
    }
    err = kmr_taps_open(vm->shell->loop, &vm->proc, &vm->taps);
    if (err && err != -ESRCH) { /* it has just died: the watch says so */
        qb_log(LOG_WARNING, "pair %s: can't share the taps of pid %d: %s",
               vm->pair.vm, (int)vm->proc.pid, strerror(-err));
    }
}

static void send_on(const uint8_t *blob, size_t len, void *user)
{
    struct kmr_vm *vm = user;
    struct kmr_msg msg = { .type = KMR_MSG_INPUT };

    kmr_text_set(msg.vm, sizeof(msg.vm), vm->pair.vm);
    msg.blob = (const char *)blob;
    msg.blob_len = (uint32_t)len;
    kmr_shell_send(vm->shell, &msg);
}

void kmr_input_engine(struct kmr_vm *vm, enum kmr_engine engine)
{
    if (!vm->taps || engine == vm->input_engine) {
        return; /* it is told again and again */
    }
    vm->input_engine = engine;
    if (engine == KMR_ENGINE_PRIMARY_LOST) {
        kmr_taps_expect(vm->taps);
    } else if (engine == KMR_ENGINE_HANDED_OVER) {
        kmr_taps_pass_on(vm->taps, send_on, vm);
    } else {
        kmr_taps_keep(vm->taps);
    }
}

static void late(void *data)
{
    struct kmr_vm *vm = data;

    vm->late = 0;
    kmr_taps_close(vm->dead_taps);
    vm->dead_taps = NULL;
}

static void let_go(struct kmr_vm *vm)
{
    if (vm->late) {
        qb_loop_timer_del(vm->shell->loop, vm->late);
        late(vm);
    }
}

void kmr_input_make_room(struct kmr_vm *vm)
{
    if (vm->dead_taps && kmr_taps_are_named(vm->dead_taps)) {
        let_go(vm);
    }
}

void kmr_input_dead(struct kmr_vm *vm)
{
    struct kmr_taps *taps = vm->taps;

    vm->taps = NULL;
    vm->input_engine = KMR_ENGINE_NONE;
    if (!taps) {
        return;
    }
    /* Not of a standby: what was flooded to it since it began was the
     * owner's, which has had it long ago. */
    if (!kmr_record_goes_on(&vm->pair.agreed.record, vm->pair.instance)) {
        kmr_taps_close(taps);
        return;
    }
    let_go(vm);
    vm->dead_taps = taps;
    kmr_taps_pass_on(taps, send_on, vm);
    kmr_shell_timer(vm->shell, KMR_INPUT_MS, vm, late, &vm->late);
}

void kmr_input_got(struct kmr_vm *vm, const struct kmr_msg *msg)
{
    unsigned count;

    if (!vm->taps || strcmp(msg->node, vm->shell->config.node_name) == 0) {
        return;
    }
    count = kmr_taps_put(vm->taps, (const uint8_t *)msg->blob, msg->blob_len);
    if (count != 0) {
        qb_log(LOG_NOTICE, "pair %s: %u frames that %s had not read",
               vm->pair.vm, count, msg->node);
    }
}

void kmr_input_free(struct kmr_vm *vm)
{
    let_go(vm);
    kmr_taps_close(vm->taps);
    vm->taps = NULL;
}
