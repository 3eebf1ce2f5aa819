/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "shell_fence.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <qb/qblog.h>

#include "core/text.h"
#include "io/domxml.h"

void kmr_fence_send(struct kmr_shell *shell, enum kmr_fence_step step,
                    const char *target, uint64_t boot, const char *id,
                    enum kmr_fence_action action, const char *reason)
{
    struct kmr_msg msg = { .type = KMR_MSG_FENCE };

    msg.step = step;
    msg.action = action;
    msg.target_boot = boot;
    msg.settle_ms = shell->config.settle_ms;
    kmr_text_set(msg.target, sizeof(msg.target), target);
    kmr_text_set(msg.id, sizeof(msg.id), id);
    kmr_text_set(msg.reason, sizeof(msg.reason), reason);
    kmr_shell_send(shell, &msg);
}

static void ask_step(struct kmr_ask *ask, struct kmr_fencer_event *event);

static void on_ask_timer(void *data)
{
    struct kmr_ask *ask = data;
    struct kmr_fencer_event event = { .type = KMR_FENCER_EVENT_TICK };

    ask->timer = 0;
    ask_step(ask, &event);
}

static void finish(struct kmr_ask *ask)
{
    bool gone = ask->fencer.phase == KMR_FENCER_GONE;
    char text[KMR_REASON_MAX + KMR_NODE_MAX + 16];

    snprintf(text, sizeof(text), "%s: %s%s", ask->node,
             gone ? "" : "not fenced: ", ask->fencer.reason);
    kmr_ipc_reply(ask->client, gone ? 0 : 1, gone ? text : "",
                  gone ? "" : text);
    ask->client = NULL;
}

static void ask_step(struct kmr_ask *ask, struct kmr_fencer_event *event)
{
    struct kmr_shell *shell = ask->shell;
    struct kmr_fencer *fencer = &ask->fencer;
    enum kmr_fencer_phase before = fencer->phase;

    event->now_ms = kmr_now_ms();
    if (kmr_fencer_step(fencer, event)) {
        kmr_fence_send(shell, KMR_FENCE_GO, ask->node, fencer->boot, fencer->id,
                       ask->action, "");
    }
    if (fencer->phase != before) {
        qb_log(fencer->phase == KMR_FENCER_FAILED ? LOG_ERR : LOG_NOTICE,
               "fence %s: %s -> %s (%s)", ask->node,
               kmr_fencer_phase_text(before),
               kmr_fencer_phase_text(fencer->phase), fencer->reason);
    }
    if (ask->timer) {
        qb_loop_timer_del(shell->loop, ask->timer);
        ask->timer = 0;
    }
    if (kmr_fencer_is_over(fencer)) {
        finish(ask);
        return;
    }
    kmr_shell_timer(shell,
                    fencer->deadline_ms > event->now_ms
                        ? fencer->deadline_ms - event->now_ms
                        : 1,
                    ask, on_ask_timer, &ask->timer);
}

/* Every request that waits; nodeid 0: of any node. */
static void each(struct kmr_shell *shell, uint32_t nodeid,
                 const struct kmr_fencer_event *event)
{
    for (unsigned i = 0; shell->nodefence && i < KMR_ASKS_MAX; i++) {
        struct kmr_ask *ask = &shell->nodefence->asks[i];
        struct kmr_fencer_event copy = *event;

        if (ask->client && (nodeid == 0 || ask->nodeid == nodeid)) {
            ask_step(ask, &copy);
        }
    }
}

void kmr_shell_fence_message(struct kmr_shell *shell, struct kmr_node *node,
                             const struct kmr_msg *msg)
{
    struct kmr_fencer_event event = { .type = KMR_FENCER_EVENT_MESSAGE,
                                      .step = msg->step,
                                      .id = msg->id,
                                      .boot = msg->target_boot,
                                      .settle_ms = msg->settle_ms,
                                      .reason = msg->reason };
    bool ours = strcmp(msg->target, shell->config.node_name) == 0;

    if (msg->step == KMR_FENCE_DONE || msg->step == KMR_FENCE_REFUSE) {
        each(shell, node->nodeid, &event);
    } else if (ours && node->nodeid != shell->nodeid) {
        kmr_fence_ordered(shell, msg);
    }
}

void kmr_shell_fence_heard(struct kmr_shell *shell, struct kmr_node *node,
                           uint64_t boot)
{
    struct kmr_fencer_event event = { .type = KMR_FENCER_EVENT_HEARD,
                                      .boot = boot };

    each(shell, node->nodeid, &event);
}

void kmr_shell_fence_quit(struct kmr_shell *shell, struct kmr_node *node)
{
    struct kmr_fencer_event event = { .type = KMR_FENCER_EVENT_QUIT };

    each(shell, node->nodeid, &event);
}

void kmr_shell_fence_lost(struct kmr_shell *shell)
{
    struct kmr_fencer_event event = { .type = KMR_FENCER_EVENT_LOST };

    each(shell, 0, &event);
}

static bool in(const uint32_t *list, unsigned count, uint32_t nodeid)
{
    for (unsigned i = 0; i < count; i++) {
        if (list[i] == nodeid) {
            return true;
        }
    }
    return false;
}

static void on_members(const uint32_t *members, unsigned count,
                       const uint32_t *left, unsigned left_count, void *user)
{
    struct kmr_shell *shell = user;

    if (count == 0) {
        kmr_shell_fence_lost(shell);
        return;
    }
    for (unsigned i = 0; i < KMR_ASKS_MAX; i++) {
        struct kmr_ask *ask = &shell->nodefence->asks[i];
        struct kmr_fencer_event event = { .type = KMR_FENCER_EVENT_LEFT };

        if (!ask->client) {
            continue;
        }
        event.present = in(members, count, ask->nodeid);
        if (!in(left, left_count, ask->nodeid) && event.present) {
            event.type = KMR_FENCER_EVENT_BACK;
        }
        ask_step(ask, &event);
    }
}

/* ---- start and end ---- */

int kmr_shell_fence_start(struct kmr_shell *shell)
{
    int err;

    shell->nodefence = calloc(1, sizeof(*shell->nodefence));
    if (!shell->nodefence) {
        return -ENOMEM;
    }
    err = kmr_fence_resume(shell);
    return err ? err
               : kmr_members_start(shell->loop, on_members, shell,
                                   &shell->nodefence->members);
}

void kmr_shell_fence_stop(struct kmr_shell *shell)
{
    if (shell->nodefence) {
        kmr_members_stop(shell->nodefence->members);
        free(shell->nodefence);
        shell->nodefence = NULL;
    }
}

/* ---- kemarictl fence ---- */

/* Why the node can't be fenced from here, or NULL. */
static const char *obstacle(struct kmr_shell *shell,
                            const struct kmr_node *node)
{
    if (shell->barred) {
        return "this node was fenced itself";
    }
    if (!shell->joined) {
        return "no connection to corosync";
    }
    if (!node || !node->name[0]) {
        return "no kemarid of such a node was ever heard";
    }
    if (!node->present || !node->heard) {
        return "its kemarid is not in the group";
    }
    if (!kmr_members_has(shell->nodefence->members, node->nodeid)) {
        return "it is not in corosync's membership";
    }
    return NULL;
}

static void show(struct kmr_shell *shell, struct kmr_ipc_client *client,
                 const char *name)
{
    const char *why = shell->joined ? NULL : obstacle(shell, NULL);
    json_t *root = json_object();
    char *text;

    for (unsigned i = 0; i < KMR_CPG_NODES_MAX; i++) {
        const struct kmr_node *node = &shell->nodes[i];

        if (node->nodeid != 0 && node->name[0] &&
            (!name || strcmp(node->name, name) == 0)) {
            const char *bad = obstacle(shell, node);

            json_object_set_new(root, node->name,
                                json_string(bad ? "unknown" : "on"));
            why = name ? bad : why;
        }
    }
    if (!why && name && json_object_size(root) == 0) {
        why = obstacle(shell, NULL);
    }
    text = json_dumps(root, JSON_COMPACT);
    kmr_ipc_reply(client, why || !text ? 1 : 0, !why && text ? text : "",
                  why ? why : "");
    free(text);
    json_decref(root);
}

static bool read_ms(const char *text, uint32_t *ret_ms)
{
    char *end;
    unsigned long ms = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end || ms == 0 ||
        ms > KMR_FENCE_LIMIT_MAX_MS) {
        return false;
    }
    *ret_ms = (uint32_t)ms;
    return true;
}

static void start_ask(struct kmr_shell *shell, struct kmr_ipc_client *client,
                      const struct kmr_node *node, enum kmr_fence_action action,
                      uint32_t confirm_ms, uint32_t leave_ms)
{
    char id[KMR_UUID_MAX];
    struct kmr_ask *ask = shell->nodefence->asks;
    struct kmr_ask *end = ask + KMR_ASKS_MAX;

    while (ask < end && ask->client) {
        ask++;
    }
    if (ask == end) {
        kmr_ipc_reply(client, 1, "", "too many nodes are being fenced");
        return;
    }
    memset(ask, 0, sizeof(*ask));
    ask->shell = shell;
    ask->client = client;
    ask->nodeid = node->nodeid;
    ask->action = action;
    kmr_text_set(ask->node, sizeof(ask->node), node->name);
    kmr_domxml_new_instance(id);
    kmr_fencer_start(&ask->fencer, id, node->boot, confirm_ms, leave_ms,
                     shell->config.settle_ms, kmr_now_ms());
    qb_log(LOG_NOTICE,
           "fence %s: its kemarid is asked to end its QEMUs and "
           "to go down (%s)",
           ask->node, kmr_fence_action_text(action));
    kmr_fence_send(shell, KMR_FENCE_REQUEST, ask->node, node->boot, id, action,
                   "");
    kmr_shell_timer(shell, confirm_ms, ask, on_ask_timer, &ask->timer);
}

void kmr_shell_fence_ask(struct kmr_shell *shell, struct kmr_ipc_client *client,
                         int argc, const char *const *argv)
{
    uint32_t confirm_ms = KMR_FENCE_CONFIRM_MS;
    uint32_t leave_ms = KMR_FENCE_LEAVE_MS;
    enum kmr_fence_action action = KMR_FENCE_ACTION_REBOOT;
    bool list = false, status = false, good = true;
    const char *name = NULL, *why;
    const struct kmr_node *node;

    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];

        if (strcmp(word, "--list") == 0) {
            list = true;
        } else if (strcmp(word, "--status") == 0) {
            status = true;
        } else if (strncmp(word, "action=", 7) == 0) {
            good = good && kmr_fence_action_read(word + 7, &action);
        } else if (strncmp(word, "confirm-ms=", 11) == 0) {
            good = good && read_ms(word + 11, &confirm_ms);
        } else if (strncmp(word, "leave-ms=", 9) == 0) {
            good = good && read_ms(word + 9, &leave_ms);
        } else {
            good = good && !name;
            name = word;
        }
    }
    if (!good || (list && (status || name)) || (!list && !name)) {
        kmr_ipc_reply(client, 2, "", "fence: which node, and how?");
        return;
    }
    if (list || status) {
        show(shell, client, name);
        return;
    }
    node = kmr_shell_node(shell, name);
    why = obstacle(shell, node);
    if (!why && node->nodeid == shell->nodeid) {
        why = "a node can't verify its own end";
    }
    if (why) {
        char text[KMR_REASON_MAX];

        snprintf(text, sizeof(text), "%.64s: not fenced: %s", name, why);
        qb_log(LOG_ERR, "fence %s", text);
        kmr_ipc_reply(client, 1, "", text);
        return;
    }
    start_ask(shell, client, node, action, confirm_ms, leave_ms);
}
