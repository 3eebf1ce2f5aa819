/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "shell.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qb/qbdefs.h>
#include <qb/qblog.h>

#include "core/text.h"
#include "io/domxml.h"

#define TIMEOUT_MS 20000u
#define TIMEOUT_MAX_MS 3600000u
#define REQUESTS_MAX 64

/* name, text, waits for the pair */
#define ACTIONS(X)              \
    X(START, "start")           \
    X(STOP, "stop")             \
    X(PROMOTE, "promote")       \
    X(DEMOTE, "demote")         \
    X(MONITOR, "monitor")       \
    X(NOTIFY, "notify")         \
    X(MIGRATE_TO, "migrate_to") \
    X(MIGRATE_FROM, "migrate_from")

enum action {
#define X(name, text) ACTION_##name,
    ACTIONS(X)
#undef X
        ACTION_COUNT,
    ACTION_HANDOVER /* an operator's */
};

struct kmr_request {
    struct kmr_request *next;
    struct kmr_shell *shell;
    struct kmr_ipc_client *client;
    struct kmr_vm *vm;
    enum action action;
    qb_loop_timer_handle timer;
    uint64_t left_ms;          /* after the first half */
    char owner[KMR_UUID_MAX];  /* HANDOVER, MIGRATE_TO: the one that is to */
    char target[KMR_NODE_MAX]; /* MIGRATE_TO */
};

static void reply(struct kmr_ipc_client *client, int code, const char *err)
{
    kmr_ipc_reply(client, code, "", err);
}

static void finish(struct kmr_request *request, int code, const char *reason)
{
    struct kmr_request **at = &request->shell->requests;

    while (*at != request) {
        at = &(*at)->next;
    }
    *at = request->next;
    if (request->timer) {
        qb_loop_timer_del(request->shell->loop, request->timer);
    }
    reply(request->client, code, reason);
    free(request);
}

static int ask(const struct kmr_request *request, char *ret_reason)
{
    const struct kmr_pair *pair = &request->vm->pair;

    switch (request->action) {
    case ACTION_START:
        return kmr_answer_start(pair, ret_reason);
    case ACTION_STOP:
        return kmr_answer_stop(pair, ret_reason);
    case ACTION_PROMOTE:
        return kmr_answer_promote(pair, ret_reason);
    case ACTION_DEMOTE:
        return kmr_answer_demote(pair, ret_reason);
    case ACTION_MIGRATE_TO:
        return kmr_answer_migrate(pair, request->owner, request->target,
                                  ret_reason);
    case ACTION_MIGRATE_FROM:
        return kmr_answer_arrive(pair, ret_reason);
    case ACTION_HANDOVER:
        if (pair->agreed.record.mode != KMR_MODE_NONE &&
            !kmr_inst_is(&pair->agreed.record.owner, request->owner)) {
            return KMR_OCF_SUCCESS;
        }
        kmr_text_set(ret_reason, KMR_REASON_MAX, "not handed over: ");
        kmr_text_add(ret_reason, KMR_REASON_MAX, pair->reason);
        return KMR_OCF_PENDING;
    default:
        return KMR_OCF_SUCCESS;
    }
}

void kmr_shell_answer(struct kmr_vm *vm)
{
    struct kmr_request *request = vm->shell->requests;

    while (request) {
        struct kmr_request *next = request->next;
        char reason[KMR_REASON_MAX] = "";
        int code;

        if (request->vm == vm) {
            code = ask(request, reason);
            if (code != KMR_OCF_PENDING) {
                finish(request, code, reason);
            }
        }
        request = next;
    }
}

/* What the guest may take of the time that Pacemaker waits. */
static uint32_t power_off_ms(uint64_t timeout_ms)
{
    return (uint32_t)(timeout_ms - timeout_ms / 4);
}

static void on_timeout(void *data)
{
    struct kmr_request *request = data;
    struct kmr_event event = { .type = KMR_EVENT_DEMOTE };
    char reason[KMR_REASON_MAX] = "";
    struct kmr_vm *vm;
    bool migrates;
    int code;

    request->timer = 0;
    if (request->left_ms != 0) {
        event.limit_ms = power_off_ms(request->left_ms);
        /* No handover in half of the time: the guest has to go down. */
        kmr_shell_timer(request->shell, request->left_ms, request, on_timeout,
                        &request->timer);
        request->left_ms = 0;
        if (kmr_pair_demote_waits(&request->vm->pair)) {
            kmr_shell_step(request->vm, &event);
        }
        return;
    }
    code = ask(request, reason);
    if (code == KMR_OCF_PENDING) {
        code = KMR_OCF_ERR_GENERIC;
    }
    vm = request->vm;
    migrates = request->action == ACTION_MIGRATE_TO;
    finish(request, code, reason);
    if (migrates && code != KMR_OCF_SUCCESS) {
        event.type = KMR_EVENT_MIGRATE; /* to nowhere: given up */
        kmr_shell_step(vm, &event);
    }
}

static struct kmr_request *wait_for(struct kmr_ipc_client *client,
                                    struct kmr_vm *vm, enum action action,
                                    uint64_t timeout_ms)
{
    struct kmr_shell *shell = vm->shell;
    struct kmr_request *request;
    unsigned count = 0;

    for (request = shell->requests; request; request = request->next) {
        count++;
    }
    request = count < REQUESTS_MAX ? calloc(1, sizeof(*request)) : NULL;
    if (!request) {
        reply(client, KMR_OCF_ERR_GENERIC, "too many requests wait");
        return NULL;
    }
    request->shell = shell;
    request->client = client;
    request->vm = vm;
    request->action = action;
    if (action == ACTION_DEMOTE) {
        request->left_ms = timeout_ms - timeout_ms / 2;
        timeout_ms /= 2;
    }
    request->next = shell->requests;
    shell->requests = request;
    kmr_shell_timer(shell, timeout_ms, request, on_timeout, &request->timer);
    return request;
}

const char *kmr_shell_value(int argc, const char *const *argv, const char *name)
{
    size_t len = strlen(name);

    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];

        if (strncmp(word, "--", 2) == 0) {
            word += 2;
        }
        if (strncmp(word, name, len) == 0 && word[len] == '=') {
            return word + len + 1;
        }
    }
    return "";
}

/* Does the list name another node than ours? */
static bool names_another(const char *list, const char *self)
{
    char copy[1024];
    char *rest = NULL;

    snprintf(copy, sizeof(copy), "%s", list);
    for (char *name = strtok_r(copy, " ", &rest); name;
         name = strtok_r(NULL, " ", &rest)) {
        if (strcmp(name, self) != 0) {
            return true;
        }
    }
    return false;
}

/* The operator's XML has to be there and in order. 0 or an OCF code. */
static int check_config(const char *vm, const char *path, char *ret_reason)
{
    struct kmr_domxml_error error;
    struct kmr_domxml *dom;
    int err;

    if (path[0] != '/' || strlen(path) >= 256) {
        kmr_text_set(ret_reason, KMR_REASON_MAX,
                     "config: not an absolute path: ");
        kmr_text_add(ret_reason, KMR_REASON_MAX, path);
        return KMR_OCF_ERR_CONFIGURED;
    }
    err = kmr_domxml_read_file(path, &dom, &error);
    if (err) {
        kmr_text_set(ret_reason, KMR_REASON_MAX, error.text);
        return KMR_OCF_ERR_INSTALLED;
    }
    err = 0;
    if (strcmp(kmr_domxml_name(dom), vm) != 0) {
        snprintf(ret_reason, KMR_REASON_MAX,
                 "%.100s: the domain's name is "
                 "%.60s, not %.60s",
                 path, kmr_domxml_name(dom), vm);
        err = KMR_OCF_ERR_INSTALLED;
    }
    kmr_domxml_free(dom);
    return err;
}

static void set_resource(struct kmr_vm *vm, const char *resource)
{
    size_t len = strcspn(resource, ":"); /* without an instance's number */

    if (len > 0 && len < sizeof(vm->resource)) {
        memcpy(vm->resource, resource, len);
        vm->resource[len] = '\0';
    }
}

static void monitor(struct kmr_ipc_client *client, struct kmr_vm *vm,
                    bool probe)
{
    char reason[KMR_REASON_MAX] = "";
    int code;

    code = kmr_answer_monitor(&vm->pair, probe, kmr_now_ms(), reason);
    if (!vm->shell->config.degraded_monitor || (!probe && vm->first_monitor)) {
        /*
         * Pacemaker 2.1.5 keeps a recurring monitor "pending" for ever when
         * its first result is a degraded one; after a stop that entry makes
         * it take another node's instance for an orphan, and stop it. And when
         * its DC dies while the last result is one, the next DC waits 80 s for
         * the end of that monitor, and what it does then rests on roles that
         * are long over.
         */
        code = code == KMR_OCF_DEGRADED            ? KMR_OCF_SUCCESS
               : code == KMR_OCF_DEGRADED_PROMOTED ? KMR_OCF_RUNNING_PROMOTED
                                                   : code;
    }
    if (!probe) {
        vm->first_monitor = false;
    }
    if (code != KMR_OCF_NOT_RUNNING && code != KMR_OCF_SUCCESS &&
        code != KMR_OCF_RUNNING_PROMOTED && !vm->shell->joined) {
        kmr_text_add(reason, sizeof(reason), " (no corosync)");
    }
    reply(client, code, reason);
}

static void resource(struct kmr_shell *shell, struct kmr_ipc_client *client,
                     enum action action, const char *name, int argc,
                     const char *const *argv)
{
    static const enum kmr_event_type events[] = {
        [ACTION_START] = KMR_EVENT_START,
        [ACTION_STOP] = KMR_EVENT_STOP,
        [ACTION_PROMOTE] = KMR_EVENT_PROMOTE,
        [ACTION_DEMOTE] = KMR_EVENT_DEMOTE,
        [ACTION_MIGRATE_TO] = KMR_EVENT_MIGRATE,
        [ACTION_MIGRATE_FROM] = KMR_EVENT_ARRIVE,
    };
    const char *config = kmr_shell_value(argc, argv, "config");
    const char *target = kmr_shell_value(argc, argv, "migrate-target");
    uint64_t timeout_ms =
        strtoull(kmr_shell_value(argc, argv, "timeout-ms"), NULL, 10);
    char reason[KMR_REASON_MAX] = "";
    struct kmr_event event = { .type = KMR_EVENT_TICK };
    bool needed = action == ACTION_START || action == ACTION_PROMOTE ||
                  action == ACTION_MIGRATE_FROM;
    struct kmr_request *request;
    struct kmr_vm *vm;
    int code;

    if (timeout_ms == 0 || timeout_ms > TIMEOUT_MAX_MS) {
        timeout_ms = TIMEOUT_MS;
    }
    vm = kmr_shell_vm(shell, name, needed);
    if (!vm) {
        code = action == ACTION_MONITOR ? KMR_OCF_NOT_RUNNING
               : action == ACTION_STOP || action == ACTION_NOTIFY ||
                       action == ACTION_DEMOTE
                   ? KMR_OCF_SUCCESS
                   : KMR_OCF_ERR_GENERIC;
        reply(client, code, "no such VM here");
        return;
    }
    if (needed) {
        code = check_config(name, config, reason);
        if (code) {
            reply(client, code, reason);
            return;
        }
        kmr_text_set(vm->config, sizeof(vm->config), config);
    }
    if (action != ACTION_NOTIFY) {
        set_resource(vm, kmr_shell_value(argc, argv, "resource"));
    }
    switch (action) {
    case ACTION_MONITOR:
        monitor(client, vm,
                strcmp(kmr_shell_value(argc, argv, "interval-ms"), "0") == 0);
        return;
    case ACTION_NOTIFY:
        reply(client, KMR_OCF_SUCCESS, "");
        return;
    case ACTION_MIGRATE_TO:
        if (!kmr_text_is_name(target) || strlen(target) >= KMR_NODE_MAX) {
            reply(client, KMR_OCF_ERR_GENERIC, "migrate_to: no target");
            return;
        }
        break;
    default:
        break;
    }
    if (action == ACTION_PROMOTE && vm->pair.want == KMR_WANT_STOPPED) {
        reply(client, KMR_OCF_NOT_RUNNING, "not started here");
        return;
    }
    vm->first_monitor = true;
    event.type = events[action];
    if (action == ACTION_DEMOTE || action == ACTION_STOP) {
        event.limit_ms = power_off_ms(timeout_ms);
    }
    if (action == ACTION_START) {
        event.flag =
            strcmp(kmr_shell_value(argc, argv, "promotable"), "0") == 0;
    } else if (action == ACTION_DEMOTE) {
        event.flag = names_another(kmr_shell_value(argc, argv, "promote-nodes"),
                                   shell->config.node_name);
    }
    kmr_text_set(event.node, sizeof(event.node), target);
    request = wait_for(client, vm, action, timeout_ms);
    if (request) {
        kmr_text_set(request->owner, sizeof(request->owner), vm->pair.instance);
        kmr_text_set(request->target, sizeof(request->target), target);
        kmr_shell_step(vm, &event);
    }
}

/* A handover, or by force: a takeover from the last committed checkpoint. */
static void move_vm(struct kmr_shell *shell, struct kmr_ipc_client *client,
                    struct kmr_vm *vm, enum kmr_msg_type type)
{
    struct kmr_msg msg = { .type = type };
    const struct kmr_record *record = &vm->pair.agreed.record;
    struct kmr_request *request;

    if (!shell->joined) {
        reply(client, 1, "no connection to corosync");
    } else if (!shell->quorate) {
        reply(client, 1, "no quorum");
    } else if (record->mode != KMR_MODE_PAIRED) {
        reply(client, 1, "the VM has no synchronised standby");
    } else {
        request = wait_for(client, vm, ACTION_HANDOVER, TIMEOUT_MS);
        if (!request) {
            return;
        }
        kmr_text_set(request->owner, sizeof(request->owner), record->owner.id);
        kmr_text_set(msg.vm, sizeof(msg.vm), vm->pair.vm);
        kmr_text_set(msg.reason, sizeof(msg.reason), "by an operator");
        kmr_shell_send(shell, &msg);
    }
}

/* R8: what the record says is not true any more, an operator says. */
static void force(struct kmr_shell *shell, struct kmr_ipc_client *client,
                  struct kmr_vm *vm, int argc, const char *const *argv)
{
    struct kmr_event event = { .type = KMR_EVENT_FORCE };
    const struct kmr_record *record = &vm->pair.agreed.record;
    uint64_t generation = record->generation;
    char text[KMR_REASON_MAX];
    int err;

    if (argc < 1 || strcmp(argv[0], "--accept-data-loss") != 0) {
        snprintf(text, sizeof(text),
                 "generation %" PRIu64 " (%s) is of %.60s: see to it that no "
                 "QEMU of %.60s runs anywhere, then add --accept-data-loss",
                 generation, kmr_mode_text(record->mode),
                 record->owner.node[0] ? record->owner.node : "nobody",
                 vm->pair.vm);
        reply(client, 2, text);
        return;
    }
    if (!shell->synced) {
        reply(client, 1, "not all kemarids of the group were heard");
        return;
    }
    err = kmr_state_forced(vm);
    if (err) {
        snprintf(text, sizeof(text), "can't be logged: %s", strerror(-err));
        reply(client, 1, text);
        return;
    }
    kmr_shell_step(vm, &event);
    if (record->generation == generation) {
        reply(client, 1, "refused: a node of the group has a QEMU of it");
    } else {
        reply(client, 0, "");
    }
}

static void health(struct kmr_shell *shell, struct kmr_ipc_client *client)
{
    char *json = kmr_shell_health_json(shell);
    char text[256] = "";
    bool virt = kmr_virt_is_connected(shell->virt);
    bool good = shell->joined && shell->quorate && shell->synced && virt &&
                shell->fence_up;

    if (!good) {
        snprintf(text, sizeof(text),
                 "corosync %s, quorum %s, all kemarids heard %s, libvirt %s, "
                 "fencer %s",
                 shell->joined ? "yes" : "NO", shell->quorate ? "yes" : "NO",
                 shell->synced ? "yes" : "NO", virt ? "yes" : "NO",
                 shell->fence_up ? "yes" : "NO");
    }
    kmr_ipc_reply(client, good ? 0 : 1, json ? json : "", text);
    free(json);
}

static void show(struct kmr_ipc_client *client, char *json)
{
    kmr_ipc_reply(client, json ? 0 : 1, json ? json : "",
                  json ? "" : "out of memory");
    free(json);
}

void kmr_shell_request(struct kmr_ipc_client *client, int argc,
                       const char *const *argv, void *user)
{
    static const char *const names[] = {
#define X(name, text) text,
        ACTIONS(X)
#undef X
    };
    struct kmr_shell *shell = user;
    const char *what = argc > 0 ? argv[0] : "";
    const char *name = argc > 1 && argv[1][0] ? argv[1] : NULL;
    struct kmr_vm *vm;

    if (strcmp(what, "resource") == 0 && argc >= 3) {
        for (unsigned i = 0; i < ACTION_COUNT; i++) {
            if (strcmp(names[i], argv[1]) == 0) {
                resource(shell, client, (enum action)i, argv[2], argc - 3,
                         argv + 3);
                return;
            }
        }
        reply(client, 3, "unknown action");
        return;
    }
    if (strcmp(what, "fence") == 0) {
        kmr_shell_fence_ask(shell, client, argc - 1, argv + 1);
        return;
    }
    if (strcmp(what, "hardware") == 0) {
        kmr_shell_health_ask(shell, client, argc - 1, argv + 1);
        return;
    }
    vm = name ? kmr_shell_vm(shell, name, false) : NULL;
    if (name && !vm) {
        char text[KMR_REASON_MAX];

        snprintf(text, sizeof(text), "no such VM: %.100s", name);
        reply(client, 1, text);
    } else if (strcmp(what, "status") == 0) {
        show(client, kmr_shell_status_json(shell, name));
    } else if (strcmp(what, "events") == 0) {
        show(client, kmr_shell_events_json(shell, name));
    } else if (strcmp(what, "health") == 0) {
        health(shell, client);
    } else if (vm && strcmp(what, "handover") == 0) {
        move_vm(shell, client, vm, KMR_MSG_HANDOVER);
    } else if (vm && strcmp(what, "takeover") == 0) {
        move_vm(shell, client, vm, KMR_MSG_TAKEOVER);
    } else if (vm && strcmp(what, "force-boot") == 0) {
        force(shell, client, vm, argc - 2, argv + 2);
    } else if (vm && strcmp(what, "resync") == 0) {
        struct kmr_event event = { .type = KMR_EVENT_RESYNC };

        kmr_shell_step(vm, &event);
        reply(client, 0, "");
    } else {
        reply(client, 2, "unknown command");
    }
}
