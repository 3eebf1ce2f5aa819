/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "shell.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <qb/qbdefs.h>
#include <qb/qblog.h>

#include "core/text.h"

static void send_status(struct kmr_shell *shell);

void kmr_shell_send(struct kmr_shell *shell, struct kmr_msg *msg)
{
    size_t len;
    int err;

    if (!shell->cpg) {
        return; /* fenced: this node has left for good */
    }
    kmr_text_set(msg->node, sizeof(msg->node), shell->config.node_name);
    msg->boot = shell->boot;
    len = kmr_wire_encode(msg, shell->buf, KMR_WIRE_MAX);
    if (len == 0) {
        qb_log(LOG_ERR, "pair %s: a %s message is too large", msg->vm,
               kmr_msg_text(msg->type));
        return;
    }
    err = kmr_cpg_send(shell->cpg, shell->buf, len);
    if (err && err != -ENOTCONN) {
        qb_log(LOG_ERR, "can't send a %s message: %s", kmr_msg_text(msg->type),
               strerror(-err));
    }
}

/* ---- nodes ---- */

static struct kmr_node *by_id(struct kmr_shell *shell, uint32_t nodeid,
                              bool create)
{
    struct kmr_node *spare = NULL;

    for (unsigned i = 0; i < KMR_CPG_NODES_MAX; i++) {
        if (shell->nodes[i].nodeid == nodeid) {
            return &shell->nodes[i];
        }
        if (!spare && shell->nodes[i].nodeid == 0) {
            spare = &shell->nodes[i];
        }
    }
    if (!create || !spare) {
        return NULL;
    }
    memset(spare, 0, sizeof(*spare));
    spare->nodeid = nodeid;
    return spare;
}

struct kmr_node *kmr_shell_node(struct kmr_shell *shell, const char *name)
{
    for (unsigned i = 0; i < KMR_CPG_NODES_MAX; i++) {
        if (shell->nodes[i].nodeid != 0 &&
            strcmp(shell->nodes[i].name, name) == 0) {
            return &shell->nodes[i];
        }
    }
    return NULL;
}

static void tell_peer(struct kmr_vm *vm, unsigned index)
{
    const struct kmr_node *node = &vm->shell->nodes[index];
    const struct kmr_pair_status *view = vm->views[index];
    struct kmr_event event = { .type = KMR_EVENT_PEER };

    if (node->name[0] == '\0' || node->nodeid == vm->shell->nodeid) {
        return;
    }
    kmr_text_set(event.node, sizeof(event.node), node->name);
    event.boot = node->boot;
    event.present = node->present && node->heard;
    event.up = node->up;
    event.started = event.present && view && view->want != KMR_WANT_STOPPED;
    event.idle = event.started && view->phase == KMR_PHASE_IDLE;
    event.has_qemu = event.present && view && view->instance[0] != '\0';
    kmr_shell_step(vm, &event);
}

void kmr_shell_tell_peers(struct kmr_vm *vm)
{
    for (unsigned i = 0; i < KMR_CPG_NODES_MAX; i++) {
        tell_peer(vm, i);
    }
    kmr_shell_health_tell(vm);
}

static void check_synced(struct kmr_shell *shell)
{
    struct kmr_event event = { .type = KMR_EVENT_CLUSTER };
    bool synced = shell->joined && shell->up_count != 0;

    for (unsigned i = 0; i < KMR_CPG_NODES_MAX; i++) {
        const struct kmr_node *node = &shell->nodes[i];

        if (node->nodeid != 0 && node->present && !node->heard) {
            synced = false;
        }
    }
    shell->synced = synced;
    event.quorate = shell->quorate;
    event.synced = synced;
    event.nodes = shell->listed;
    event.there = kmr_shell_there(shell);
    for (unsigned i = 0; i < shell->vm_count; i++) {
        const struct kmr_pair *pair = &shell->vms[i]->pair;

        if (pair->quorate != shell->quorate || pair->synced != synced ||
            pair->agreed.nodes != event.nodes ||
            pair->agreed.there != event.there) {
            struct kmr_event copy = event;

            kmr_shell_step(shell->vms[i], &copy);
        }
    }
}

unsigned kmr_shell_there(const struct kmr_shell *shell)
{
    unsigned count = 0;

    for (unsigned i = 0; i < KMR_CPG_NODES_MAX; i++) {
        count += shell->nodes[i].nodeid != 0 && shell->nodes[i].present;
    }
    return count;
}

static bool is_up(const struct kmr_shell *shell, uint32_t nodeid)
{
    for (unsigned i = 0; i < shell->up_count; i++) {
        if (shell->up[i] == nodeid) {
            return true;
        }
    }
    return false;
}

void kmr_shell_quorum(bool quorate, const uint32_t *nodeids, unsigned count,
                      unsigned listed, void *user)
{
    struct kmr_shell *shell = user;

    if (quorate != shell->quorate) {
        qb_log(quorate ? LOG_NOTICE : LOG_WARNING, "quorum: %s",
               quorate ? "yes" : "no");
    }
    shell->quorate = quorate;
    shell->listed = listed;
    shell->up_count = count;
    for (unsigned i = 0; i < count; i++) {
        shell->up[i] = nodeids[i];
    }
    check_synced(shell);
    for (unsigned i = 0; i < KMR_CPG_NODES_MAX; i++) {
        struct kmr_node *node = &shell->nodes[i];
        bool up = node->nodeid != 0 && is_up(shell, node->nodeid);

        if (up != node->up) {
            node->up = up;
            for (unsigned j = 0; j < shell->vm_count; j++) {
                tell_peer(shell->vms[j], i);
            }
        }
    }
}

void kmr_shell_cpg_connected(bool up, uint32_t nodeid, void *user)
{
    struct kmr_shell *shell = user;

    qb_log(up ? LOG_NOTICE : LOG_ERR, "corosync: %s",
           up ? "joined the group" : "lost");
    shell->nodeid = up ? nodeid : 0;
    if (!up) {
        kmr_shell_fence_lost(shell);
        kmr_shell_cpg_members(NULL, 0, shell);
    }
}

static void fenced(struct kmr_shell *shell, const char *name)
{
    struct kmr_event event = { .type = KMR_EVENT_FENCED };

    kmr_text_set(event.node, sizeof(event.node), name);
    kmr_shell_step_all(shell, &event);
}

static void left(struct kmr_shell *shell, struct kmr_node *node)
{
    unsigned index = (unsigned)(node - shell->nodes);
    bool was_fenced =
        node->fenced_ms != 0 && kmr_now_ms() < node->fenced_ms + KMR_FENCE_MS;

    node->present = node->heard = false;
    node->left_wall_us = kmr_wall_us();
    node->fenced_ms = 0;
    qb_log(LOG_NOTICE, "kemarid on %s left the group", node->name);
    kmr_shell_fence_quit(shell, node);
    kmr_shell_health_quit(shell, node);
    for (unsigned i = 0; i < shell->vm_count; i++) {
        tell_peer(shell->vms[i], index);
    }
    if (was_fenced && shell->joined) {
        fenced(shell, node->name);
    }
}

void kmr_shell_cpg_members(const uint32_t *ids, unsigned count, void *user)
{
    struct kmr_shell *shell = user;
    bool joined = false;

    for (unsigned i = 0; i < count; i++) {
        joined |= ids[i] == shell->nodeid;
    }
    shell->joined = joined;
    for (unsigned i = 0; i < KMR_CPG_NODES_MAX; i++) {
        struct kmr_node *node = &shell->nodes[i];
        bool there = false;

        for (unsigned j = 0; j < count; j++) {
            there |= ids[j] == node->nodeid;
        }
        if (node->nodeid != 0 && node->present && !there) {
            left(shell, node);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        struct kmr_node *node = by_id(shell, ids[i], true);

        if (node && !node->present) {
            node->present = true;
            node->up = is_up(shell, ids[i]);
            node->heard = false;
            node->joined_ms = kmr_now_ms();
            node->left_wall_us = 0;
        }
    }
    check_synced(shell);
    if (joined) {
        send_status(shell); /* newcomers know nothing */
        kmr_shell_health_send(shell);
    }
}

/* ---- STATUS ---- */

static void on_status_timer(void *data)
{
    struct kmr_shell *shell = data;

    shell->status_timer = 0;
    send_status(shell);
}

static void status_in(struct kmr_shell *shell, uint64_t ms)
{
    uint64_t due_ms = kmr_now_ms() + ms;

    if (shell->status_timer) {
        if (shell->status_due_ms <= due_ms) {
            return;
        }
        qb_loop_timer_del(shell->loop, shell->status_timer);
    }
    shell->status_due_ms = due_ms;
    kmr_shell_timer(shell, ms, shell, on_status_timer, &shell->status_timer);
}

void kmr_shell_status_soon(struct kmr_shell *shell)
{
    status_in(shell, KMR_STATUS_SOON_MS);
}

static void send_status(struct kmr_shell *shell)
{
    unsigned done = 0;

    do {
        struct kmr_msg msg = { .type = KMR_MSG_STATUS };

        msg.pairs = shell->pairs;
        while (done < shell->vm_count && msg.count < KMR_WIRE_PAIRS_MAX) {
            kmr_vm_fill_status(shell->vms[done++], &msg.pairs[msg.count++]);
        }
        msg.last = done == shell->vm_count;
        kmr_shell_send(shell, &msg);
    } while (done < shell->vm_count);
    status_in(shell, KMR_STATUS_MS);
}

static void got_status(struct kmr_shell *shell, struct kmr_node *node,
                       const struct kmr_msg *msg)
{
    unsigned index = (unsigned)(node - shell->nodes);
    bool ours = node->nodeid == shell->nodeid;

    if (strcmp(node->name, msg->node) != 0 || node->boot != msg->boot) {
        qb_log(LOG_NOTICE, "kemarid on %s is in the group", msg->node);
    }
    kmr_text_set(node->name, sizeof(node->name), msg->node);
    node->boot = msg->boot;
    for (unsigned i = 0; i < msg->count; i++) {
        const struct kmr_pair_status *pair = &msg->pairs[i];
        struct kmr_vm *vm = kmr_shell_vm(shell, pair->vm, true);
        struct kmr_event event = { .type = KMR_EVENT_RECORD };

        if (!vm) {
            qb_log(LOG_ERR, "too many VMs: %s is left out", pair->vm);
            continue;
        }
        if (!vm->views[index]) {
            vm->views[index] = calloc(1, sizeof(*pair));
        }
        if (vm->views[index]) {
            *vm->views[index] = *pair;
        }
        if (!ours) {
            event.record = pair->record;
            kmr_text_set(event.node, sizeof(event.node), msg->node);
            kmr_text_set(event.id, sizeof(event.id), pair->voter);
            kmr_shell_step(vm, &event);
        }
    }
    if (msg->last && !node->heard) {
        node->heard = true;
        for (unsigned i = 0; i < shell->vm_count; i++) {
            tell_peer(shell->vms[i], index);
        }
        check_synced(shell);
    } else if (node->heard) {
        for (unsigned i = 0; i < msg->count; i++) {
            struct kmr_vm *vm = kmr_shell_vm(shell, msg->pairs[i].vm, false);

            if (vm) {
                tell_peer(vm, index);
            }
        }
    }
}

/* ---- messages about a pair ---- */

void kmr_shell_remember(struct kmr_shell *shell, const struct kmr_msg *msg)
{
    struct kmr_transition *slot;

    slot = &shell->ring[(shell->ring_head + shell->ring_count) % KMR_RING_MAX];
    if (shell->ring_count < KMR_RING_MAX) {
        shell->ring_count++;
    } else {
        shell->ring_head = (shell->ring_head + 1) % KMR_RING_MAX;
    }
    memset(slot, 0, sizeof(*slot));
    slot->time_us = msg->time_us;
    slot->mono_us = msg->mono_us;
    kmr_text_set(slot->node, sizeof(slot->node), msg->node);
    kmr_text_set(slot->vm, sizeof(slot->vm), msg->vm);
    kmr_text_set(slot->from, sizeof(slot->from), msg->from);
    kmr_text_set(slot->to, sizeof(slot->to), msg->to);
    kmr_text_set(slot->reason, sizeof(slot->reason), msg->reason);
}

static void got_invite(struct kmr_vm *vm, const struct kmr_msg *msg)
{
    struct kmr_event event = { .type = KMR_EVENT_INVITE };

    if (strcmp(msg->target, vm->shell->config.node_name) != 0) {
        return;
    }
    event.flag = msg->moving;
    if (!kmr_phase_has_qemu(vm->pair.phase)) {
        free(vm->xml);
        vm->xml = malloc(msg->blob_len + 1);
        if (vm->xml) {
            memcpy(vm->xml, msg->blob, msg->blob_len);
            vm->xml[msg->blob_len] = '\0';
            vm->xml_len = msg->blob_len;
        }
    }
    kmr_text_set(event.node, sizeof(event.node), msg->node);
    kmr_text_set(event.id, sizeof(event.id), msg->id);
    kmr_text_set(event.peer, sizeof(event.peer), msg->peer);
    kmr_shell_step(vm, &event);
}

static void got(struct kmr_shell *shell, const struct kmr_msg *msg)
{
    struct kmr_vm *vm = kmr_shell_vm(shell, msg->vm, true);
    struct kmr_event event = { .type = KMR_EVENT_TICK };

    if (!vm) {
        if (msg->type == KMR_MSG_EVENT) {
            kmr_shell_remember(shell, msg); /* of a node */
        }
        return;
    }
    kmr_text_set(event.node, sizeof(event.node), msg->node);
    kmr_text_set(event.id, sizeof(event.id), msg->id);
    kmr_text_set(event.reason, sizeof(event.reason), msg->reason);
    event.generation = msg->generation;
    switch (msg->type) {
    case KMR_MSG_PAXOS:
        event.type = KMR_EVENT_PAXOS;
        event.paxos = msg->paxos;
        break;
    case KMR_MSG_DEATH:
        event.type = KMR_EVENT_DEAD;
        break;
    case KMR_MSG_FROZEN:
        event.type = KMR_EVENT_FROZEN;
        break;
    case KMR_MSG_INVITE:
        got_invite(vm, msg);
        return;
    case KMR_MSG_READY:
        event.type = KMR_EVENT_READY;
        if (strcmp(vm->pair.peer, msg->id) == 0 &&
            vm->pair.phase == KMR_PHASE_INVITING) {
            kmr_text_set(vm->address, sizeof(vm->address), msg->address);
        }
        break;
    case KMR_MSG_REFUSE:
        event.type = KMR_EVENT_REFUSED;
        break;
    case KMR_MSG_DROP:
        event.type = KMR_EVENT_DROP;
        break;
    case KMR_MSG_HANDOVER:
        event.type = KMR_EVENT_HANDOVER;
        kmr_text_set(event.reason, sizeof(event.reason), "asked by ");
        kmr_text_add(event.reason, sizeof(event.reason), msg->node);
        break;
    case KMR_MSG_TAKEOVER:
        event.type = KMR_EVENT_TAKEOVER;
        break;
    case KMR_MSG_INPUT:
        kmr_input_got(vm, msg);
        return;
    case KMR_MSG_EVENT:
        kmr_shell_remember(shell, msg);
        return;
    case KMR_MSG_STATUS:
    case KMR_MSG_FENCE:
    case KMR_MSG_HEALTH:
    case KMR_MSG_MOVING:
    case KMR_MSG_COUNT:
        return;
    }
    kmr_shell_step(vm, &event);
}

/* Whatever sends these may send very many: a line a minute. */
static void ignored(struct kmr_shell *shell, uint32_t nodeid, const char *why,
                    size_t len)
{
    uint64_t now_ms = kmr_now_ms();

    shell->ignored++;
    if (shell->ignored_ms != 0 && now_ms < shell->ignored_ms) {
        return;
    }
    shell->ignored_ms = now_ms + KMR_IGNORED_MS;
    qb_log(LOG_ERR,
           "ignored messages: %" PRIu64 " so far, the last of node %u: %s "
           "(%zu bytes)",
           shell->ignored, nodeid, why, len);
}

void kmr_shell_cpg_message(uint32_t nodeid, const uint8_t *buf, size_t len,
                           void *user)
{
    struct kmr_shell *shell = user;
    struct kmr_node *node = by_id(shell, nodeid, false);
    static struct kmr_node_health health; /* large, and copied where kept */
    struct kmr_pair_status *pairs;
    struct kmr_msg msg;

    pairs = calloc(KMR_WIRE_PAIRS_MAX, sizeof(*pairs));
    if (!pairs) {
        return;
    }
    msg.pairs = pairs;
    msg.health = &health;
    if (!kmr_wire_decode(buf, len, &msg)) {
        ignored(shell, nodeid, "malformed, or of another version", len);
    } else if (!node || !node->present) {
        ignored(shell, nodeid, "of a node that is not there", len);
    } else {
        kmr_shell_fence_heard(shell, node, msg.boot);
        if (msg.type == KMR_MSG_FENCE) {
            kmr_shell_fence_message(shell, node, &msg);
        } else if (msg.type == KMR_MSG_STATUS) {
            got_status(shell, node, &msg);
        } else if (msg.type == KMR_MSG_HEALTH || msg.type == KMR_MSG_MOVING) {
            kmr_shell_health_message(shell, node, &msg);
        } else {
            got(shell, &msg);
        }
    }
    free(pairs);
}

/* ---- fencing ---- */

void kmr_shell_fence_connected(bool up, const char *reason, void *user)
{
    struct kmr_shell *shell = user;

    shell->fence_up = up;
    qb_log(up ? LOG_NOTICE : LOG_WARNING, "fencer: %s%s",
           up ? "subscribed" : "not connected: ", up ? "" : reason);
}

void kmr_shell_fenced(const struct kmr_fence_event *event, void *user)
{
    struct kmr_shell *shell = user;
    struct kmr_node *node = kmr_shell_node(shell, event->target);

    if (event->history &&
        (!node || node->present || node->left_wall_us == 0 ||
         event->completed_us + 1000000u < node->left_wall_us)) {
        return; /* of an incarnation before the one that matters */
    }
    qb_log(event->ok ? LOG_NOTICE : LOG_ERR, "fencing (%s) of %s: %s%s%s%s",
           event->action, event->target,
           event->ok ? "confirmed" : "failed: ", event->ok ? "" : event->reason,
           event->ok && !event->power ? ", but not by power" : "",
           event->history ? " (history)" : "");
    if (!event->ok || !event->power) {
        return;
    }
    if (node && node->present) {
        /*
         * It counts when the node has left; unless that incarnation joined
         * so lately that the one before it may have been meant.
         */
        if (kmr_now_ms() > node->joined_ms + KMR_FENCE_MS) {
            node->fenced_ms = kmr_now_ms();
        }
        return;
    }
    fenced(shell, event->target);
}
