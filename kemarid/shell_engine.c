/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "shell.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <qb/qblog.h>

#include "core/text.h"

static void run_sequence(struct kmr_vm *vm);

bool kmr_vm_is_ours(const struct kmr_vm *vm, const char *instance)
{
    return instance[0] == '\0' || strcmp(instance, vm->pair.instance) == 0;
}

void kmr_vm_tell_engine(struct kmr_vm *vm, const struct kmr_qmp_status *now)
{
    struct kmr_event event = { .type = KMR_EVENT_ENGINE };
    const char *state = kmr_qmp_state_text(now->state);
    static const char *const names[] = {
#define X(name, text) text,
        KMR_ENGINES(X)
#undef X
    };

    for (unsigned i = 0; i < KMR_ENGINE_COUNT; i++) {
        if (strcmp(names[i], state) == 0) {
            event.engine = (enum kmr_engine)i;
        }
    }
    event.role = now->role == KMR_QMP_ROLE_PRIMARY   ? KMR_ENGINE_ROLE_PRIMARY
                 : now->role == KMR_QMP_ROLE_STANDBY ? KMR_ENGINE_ROLE_STANDBY
                                                     : KMR_ENGINE_ROLE_NONE;
    event.overloaded = now->unprotected;
    event.generation = now->generation;
    event.checkpoint = now->checkpoint;
    kmr_text_set(event.id, sizeof(event.id), now->instance);
    kmr_text_set(event.peer, sizeof(event.peer), now->peer);
    kmr_text_set(event.reason, sizeof(event.reason), now->reason);
    kmr_shell_step(vm, &event);
    kmr_input_engine(vm, event.engine);
    if (event.engine == KMR_ENGINE_RUNNING) {
        kmr_vm_ask_guest(vm); /* what was taken over may have been stopped */
    }
}

static void on_queried(const struct kmr_virt_reply *reply, void *user)
{
    struct kmr_vm *vm = user;
    struct kmr_sequence *sequence = &vm->sequence;
    struct kmr_qmp_status status;
    uint32_t tag = sequence->tag;
    enum kmr_order order = sequence->order;

    sequence->busy = false;
    if (vm->proc.pid == 0 && !kmr_vm_search(vm)) {
        return; /* it was never there */
    }
    if (reply->err == 0 && kmr_qmp_parse_query(reply->text, &status) == 0) {
        vm->engine = status;
        kmr_vm_tell_engine(vm, &status);
        kmr_vm_done(vm, order, tag, true, false, "");
    } else if (reply->err == -EREMOTEIO) {
        /* Unpatched: it runs all the same. */
        memset(&status, 0, sizeof(status));
        kmr_vm_tell_engine(vm, &status);
        kmr_vm_done(vm, order, tag, true, false, "");
    } else {
        kmr_vm_done(vm, order, tag, false, true, reply->error);
    }
}

static void on_sequence(const struct kmr_virt_reply *reply, void *user)
{
    struct kmr_vm *vm = user;
    struct kmr_sequence *sequence = &vm->sequence;
    char text[KMR_REASON_MAX];

    bool passed = reply->err == 0 || (reply->err == -EREMOTEIO &&
                                      sequence->may_fail >> sequence->at & 1);

    if (passed && ++sequence->at < sequence->count) {
        run_sequence(vm);
        return;
    }
    sequence->busy = false;
    kmr_guest_ordered(vm, sequence->order);
    if (reply->err == -EREMOTEIO && strstr(reply->error, "CommandNotFound")) {
        snprintf(text, sizeof(text), "%.200s is not the patched emulator",
                 vm->shell->emulator[0] ? vm->shell->emulator
                                        : "the domain's <emulator>");
    } else {
        kmr_text_set(text, sizeof(text), reply->error);
    }
    kmr_vm_done(vm, sequence->order, sequence->tag, reply->err == 0,
                reply->err != 0 && reply->err != -EREMOTEIO, text);
}

static void run_sequence(struct kmr_vm *vm)
{
    struct kmr_sequence *sequence = &vm->sequence;
    int err;

    sequence->busy = true;
    err = kmr_vm_give(vm, KMR_VIRT_OP_MONITOR, sequence->text[sequence->at],
                      false, KMR_ORDER_MS, on_sequence);
    if (err) {
        sequence->busy = false;
        kmr_vm_done(vm, sequence->order, sequence->tag, false, false,
                    strerror(-err));
    }
}

/* A port of ours that nobody listens on; the engine binds it right after. */
static int free_port(struct kmr_vm *vm)
{
    const struct kmr_config *config = &vm->shell->config;
    unsigned count = config->port_last - config->port_first + 1;

    for (unsigned i = 0; i < count; i++) {
        struct sockaddr_in address = { .sin_family = AF_INET };
        unsigned port = config->port_first + (vm->port + 1 + i) % count;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int one = 1;
        int err;

        if (fd < 0) {
            return -errno;
        }
        address.sin_port = htons((uint16_t)port);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        err = bind(fd, (struct sockaddr *)&address, sizeof(address));
        close(fd);
        if (err == 0) {
            vm->port = port - config->port_first;
            return (int)port;
        }
    }
    return -EADDRINUSE;
}

static void prepare(struct kmr_vm *vm, const struct kmr_effect *effect,
                    char *ret_text)
{
    const struct kmr_config *config = &vm->shell->config;
    const struct kmr_qmp_settings settings = {
        .lost_ms = config->limits.lost_ms,
        .overload = config->overload,
        .staging_mib = config->staging_mib,
    };

    kmr_qmp_prepare(effect->id, effect->peer, effect->generation, &settings,
                    ret_text, KMR_QMP_COMMAND_MAX);
}

/* What goes before `migrate` (primary) or `migrate-incoming` (standby), and
 * that. */
static int make_stream(struct kmr_vm *vm, const struct kmr_effect *effect,
                       bool standby)
{
    const struct kmr_config *config = &vm->shell->config;
    struct kmr_sequence *sequence = &vm->sequence;
    const char *kind =
        config->tls != KMR_TLS_NO ? kmr_tls_text(config->tls) : NULL;
    unsigned n = 0;
    int err = 0;

    prepare(vm, effect, sequence->text[n++]);
    kmr_qmp_set_capability(sequence->text[n++], KMR_QMP_COMMAND_MAX);
    if (kind) {
        sequence->may_fail = 1u << n;
        kmr_qmp_remove_keys(standby, sequence->text[n++], KMR_QMP_COMMAND_MAX);
        err = kmr_qmp_add_keys(kind, config->tls_dir, standby,
                               sequence->text[n++], KMR_QMP_COMMAND_MAX);
    }
    kmr_qmp_set_parameters(kind, standby, config->sync_mib_s,
                           sequence->text[n++], KMR_QMP_COMMAND_MAX);
    if (err == 0) {
        err = kmr_qmp_migrate(vm->address, standby, sequence->text[n++],
                              KMR_QMP_COMMAND_MAX);
    }
    sequence->count = n;
    return err;
}

static int order_prepare(struct kmr_vm *vm, const struct kmr_effect *effect)
{
    const char *host = vm->shell->config.replication_address;
    int port = free_port(vm);

    if (port < 0) {
        return port;
    }
    if (snprintf(vm->address, sizeof(vm->address), "tcp:%s:%d", host, port) >=
        (int)sizeof(vm->address)) {
        return -ENAMETOOLONG;
    }
    return make_stream(vm, effect, true);
}

static void on_shutdown(const struct kmr_virt_reply *reply, void *user)
{
    struct kmr_vm *vm = user;

    vm->sequence.busy = false;
    kmr_vm_done(vm, KMR_ORDER_SHUTDOWN, vm->sequence.tag, reply->err == 0,
                false, reply->error);
}

void kmr_vm_order(struct kmr_vm *vm, const struct kmr_effect *effect)
{
    struct kmr_sequence *sequence = &vm->sequence;
    char query[KMR_QMP_COMMAND_MAX];
    int err = 0;

    sequence->order = effect->order;
    sequence->tag = effect->tag;
    sequence->at = 0;
    sequence->count = 1;
    sequence->may_fail = 0;
    switch (effect->order) {
    case KMR_ORDER_CREATE_PRIMARY:
    case KMR_ORDER_CREATE_STANDBY:
        vm->create_since_ms = kmr_now_ms();
        vm->killing = false;
        vm->death[0] = '\0';
        vm->creating = true;
        kmr_vm_create_later(vm, effect->durable);
        return;
    case KMR_ORDER_PREPARE:
        err = order_prepare(vm, effect);
        break;
    case KMR_ORDER_SYNC:
        err = make_stream(vm, effect, false);
        if (vm->poll) {
            qb_loop_timer_del(vm->shell->loop, vm->poll);
            vm->poll = 0;
        }
        kmr_shell_timer(vm->shell, KMR_POLL_SYNC_MS, vm, kmr_vm_poll,
                        &vm->poll);
        break;
    case KMR_ORDER_CONFIRM:
        err = kmr_qmp_confirm(effect->id, effect->generation, sequence->text[0],
                              KMR_QMP_COMMAND_MAX);
        break;
    case KMR_ORDER_RELEASE:
        err = kmr_qmp_release(effect->id, effect->generation, sequence->text[0],
                              KMR_QMP_COMMAND_MAX);
        break;
    case KMR_ORDER_TAKEOVER:
        err = kmr_qmp_takeover(effect->id, effect->generation,
                               sequence->text[0], KMR_QMP_COMMAND_MAX);
        break;
    case KMR_ORDER_HANDOVER:
        err = kmr_qmp_handover(effect->id, effect->generation,
                               sequence->text[0], KMR_QMP_COMMAND_MAX);
        break;
    case KMR_ORDER_RETRY:
    case KMR_ORDER_REPORT:
    case KMR_ORDER_RESTART:
        err =
            kmr_guest_order(vm, effect, sequence->text[0], KMR_QMP_COMMAND_MAX);
        break;
    case KMR_ORDER_DUMP:
        err = kmr_guest_dump(vm);
        if (!err) {
            return;
        }
        break;
    case KMR_ORDER_SHUTDOWN:
        err = kmr_vm_give(vm, KMR_VIRT_OP_SHUTDOWN, NULL, false, KMR_ORDER_MS,
                          on_shutdown);
        if (!err) {
            return;
        }
        break;
    case KMR_ORDER_QUERY:
        kmr_qmp_simple("query-kemari", query, sizeof(query));
        err = kmr_vm_give(vm, KMR_VIRT_OP_MONITOR, query, false, KMR_ORDER_MS,
                          on_queried);
        if (!err) {
            return;
        }
        break;
    case KMR_ORDER_NONE:
        return;
    }
    if (err) {
        qb_log(LOG_ERR, "pair %s: %s: %s", vm->pair.vm,
               kmr_order_text(effect->order), strerror(-err));
        sequence->text[0][0] = '\0'; /* refused by the engine: an answer */
        sequence->count = 1;
    }
    run_sequence(vm);
}

/* ---- the invitation ---- */

static void on_xml(const struct kmr_virt_reply *reply, void *user)
{
    struct kmr_vm *vm = user;
    struct kmr_msg msg = { .type = KMR_MSG_INVITE };

    if (strcmp(vm->pair.peer, vm->invite_id) != 0) {
        return; /* given up meanwhile */
    }
    if (reply->err) {
        qb_log(LOG_ERR, "pair %s: no XML from libvirt: %s", vm->pair.vm,
               reply->error);
        return; /* the deadline of the invitation tries again */
    }
    msg.moving = vm->pair.alone;
    kmr_text_set(msg.vm, sizeof(msg.vm), vm->pair.vm);
    kmr_text_set(msg.target, sizeof(msg.target), vm->invite_node);
    kmr_text_set(msg.id, sizeof(msg.id), vm->invite_id);
    kmr_text_set(msg.peer, sizeof(msg.peer), vm->pair.instance);
    msg.blob = reply->text;
    msg.blob_len = (uint32_t)strlen(reply->text);
    kmr_shell_send(vm->shell, &msg);
}

void kmr_vm_invite(struct kmr_vm *vm, const struct kmr_effect *effect)
{
    kmr_text_set(vm->invite_node, sizeof(vm->invite_node), effect->node);
    kmr_text_set(vm->invite_id, sizeof(vm->invite_id), effect->id);
    kmr_vm_look(vm);
}

void kmr_vm_invite_now(struct kmr_vm *vm)
{
    int err =
        kmr_vm_give(vm, KMR_VIRT_OP_GET_XML, NULL, false, KMR_ORDER_MS, on_xml);
    if (err) {
        qb_log(LOG_ERR, "pair %s: can't ask libvirt: %s", vm->pair.vm,
               strerror(-err));
    }
}

/* ---- the engine is asked now and then ---- */

static void on_progress(const struct kmr_virt_reply *reply, void *user)
{
    struct kmr_vm *vm = user;
    char status[32];
    unsigned percent;

    if (reply->err == 0 && kmr_qmp_parse_migrate(reply->text, &percent, status,
                                                 sizeof(status)) == 0) {
        vm->progress = percent;
        kmr_shell_publish(vm, false);
    }
}

static void on_poll(const struct kmr_virt_reply *reply, void *user)
{
    struct kmr_vm *vm = user;
    struct kmr_qmp_status status;

    if (reply->err != 0 || kmr_qmp_parse_query(reply->text, &status) != 0 ||
        !kmr_vm_is_ours(vm, status.instance)) {
        return;
    }
    vm->engine = status;
    /*
     * What it says is news only if an event was lost; an order since it was
     * asked makes it old. Not its own generation: an order that libvirtd lost
     * with its end is one that the engine never heard of.
     */
    if (vm->pair.order == KMR_ORDER_NONE &&
        vm->pair.phase != KMR_PHASE_ADOPTING &&
        vm->pair.engine_generation == vm->polled_generation) {
        kmr_vm_tell_engine(vm, &status);
    }
    kmr_shell_publish(vm, false);
}

void kmr_vm_poll(void *data)
{
    struct kmr_vm *vm = data;
    char text[KMR_QMP_COMMAND_MAX];
    bool syncing = vm->pair.phase == KMR_PHASE_SYNCING;
    /* the guest waits for what is decided about it */
    bool often = syncing || vm->engine.unprotected;

    vm->poll = 0;
    if (!kmr_phase_has_qemu(vm->pair.phase)) {
        return;
    }
    kmr_shell_timer(vm->shell, often ? KMR_POLL_SYNC_MS : KMR_POLL_MS, vm,
                    kmr_vm_poll, &vm->poll);
    if (!kmr_virt_is_connected(vm->shell->virt) ||
        vm->pair.order != KMR_ORDER_NONE || vm->creating || vm->killing) {
        return;
    }
    vm->polled_generation = vm->pair.engine_generation;
    kmr_qmp_simple("query-kemari", text, sizeof(text));
    kmr_vm_give(vm, KMR_VIRT_OP_MONITOR, text, false, KMR_ORDER_MS, on_poll);
    kmr_vm_ask_guest(vm);
    if (syncing) {
        kmr_qmp_simple("query-migrate", text, sizeof(text));
        kmr_vm_give(vm, KMR_VIRT_OP_MONITOR, text, false, KMR_ORDER_MS,
                    on_progress);
    }
}
