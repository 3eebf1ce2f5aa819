/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "shell.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <qb/qblog.h>

#include "core/text.h"
#include "io/uses.h"
#include "shell_health.h"

/* What kemari-mced says of this node: docs/interfaces.md. */

static bool is_colour(const char *text, enum kmr_colour *ret_colour)
{
    for (unsigned i = KMR_COLOUR_GREEN; i < KMR_COLOUR_COUNT; i++) {
        if (strcmp(text, kmr_colour_text((enum kmr_colour)i)) == 0) {
            *ret_colour = (enum kmr_colour)i;
            return true;
        }
    }
    return false;
}

static bool is_verdict(const char *text, enum kmr_verdict *ret_verdict)
{
    for (unsigned i = 0; i < KMR_VERDICT_COUNT; i++) {
        if (strcmp(text, kmr_verdict_text((enum kmr_verdict)i)) == 0) {
            *ret_verdict = (enum kmr_verdict)i;
            return true;
        }
    }
    return false;
}

/* Names and states of its sources, and the few other things among them. */
static const char *read_sources(struct kmr_node_health *own, const char *text,
                                enum kmr_colour *ret_colour, char *ret_why)
{
    json_t *json = json_loads(text, 0, NULL);
    json_t *sources = json_object();
    const char *name;
    unsigned good = 0;
    json_t *value;
    char *packed;

    if (!json_is_object(json) || !sources) {
        json_decref(json);
        json_decref(sources);
        return "sources: not a JSON object";
    }
    *ret_colour = KMR_COLOUR_NONE;
    json_object_foreach(json, name, value) {
        const char *state = json_string_value(value);

        if (strcmp(name, "lost") == 0) {
            own->lost = (uint64_t)json_integer_value(value);
        } else if (strcmp(name, "health") == 0) {
            is_colour(state ? state : "", ret_colour);
        } else if (strcmp(name, "why") == 0) {
            kmr_text_set(ret_why, KMR_REASON_MAX, state ? state : "");
        } else if (state) {
            /* a cable says nothing about the machine */
            good +=
                strcmp(name, "link") != 0 &&
                (strcmp(state, "ok") == 0 || strcmp(state, "recorded") == 0);
            json_object_set(sources, name, value);
        }
    }
    json_decref(json);
    packed = json_dumps(sources, JSON_COMPACT);
    json_decref(sources);
    if (!packed || strlen(packed) >= sizeof(own->sources)) {
        free(packed);
        return "sources: too many";
    }
    strcpy(own->sources, packed);
    free(packed);
    own->mced = good != 0 ? KMR_MCED_THERE : KMR_MCED_BLIND;
    if (good == 0) {
        *ret_colour = KMR_COLOUR_NONE; /* it can't know */
    }
    return NULL;
}

static const char *hello(struct kmr_shell *shell, struct kmr_ipc_client *client,
                         int argc, const char *const *argv)
{
    struct kmr_shell_health *health = shell->health;
    const void *connection = kmr_ipc_connection(client);
    int pid = kmr_ipc_pid(client);
    enum kmr_colour colour;
    char why[KMR_REASON_MAX] = "";
    const char *wrong =
        read_sources(&health->own, kmr_shell_value(argc, argv, "sources"),
                     &colour, why);

    if (wrong) {
        return wrong;
    }
    qb_log(LOG_NOTICE, "kemari-mced (pid %d): %s, %" PRIu64 " lost: %s", pid,
           kmr_colour_text(colour), health->own.lost, health->own.sources);
    kmr_health_hello(&health->core, colour, why,
                     connection != health->connection && pid != health->pid,
                     kmr_now_ms());
    health->connection = connection;
    health->pid = pid;
    kmr_shell_health_look(shell);
    return NULL;
}

static bool uses(const struct kmr_vm *vm, const char *scope)
{
    unsigned major, minor;
    char rest;

    if (vm->proc.pid == 0) {
        return false;
    }
    if (sscanf(scope, "block:%u:%u%c", &major, &minor, &rest) == 2) {
        return kmr_uses_block(vm->proc.pid, major, minor, NULL);
    }
    return strncmp(scope, "link:", 5) == 0 &&
           kmr_uses_link(vm->proc.pid, scope + 5, NULL);
}

static bool is_scope(const char *scope)
{
    unsigned major, minor;
    char rest;

    return strcmp(scope, "node") == 0 ||
           sscanf(scope, "block:%u:%u%c", &major, &minor, &rest) == 2 ||
           (strncmp(scope, "link:", 5) == 0 && kmr_text_is_name(scope + 5) &&
            strlen(scope) < KMR_SCOPE_MAX);
}

/* Guests of this node that it is about; a takeover of the node: all. */
static unsigned affected(struct kmr_shell *shell,
                         const struct kmr_health_report *report,
                         const char *scope, const char **ret_vms)
{
    unsigned count = 0;

    for (unsigned i = 0; i < shell->vm_count; i++) {
        const struct kmr_vm *vm = shell->vms[i];

        if (kmr_pair_guest_here(&vm->pair) &&
            report->verdict >= KMR_VERDICT_MOVE_PAIR &&
            (report->node ? report->verdict == KMR_VERDICT_TAKEOVER
                          : uses(vm, scope))) {
            ret_vms[count++] = vm->pair.vm;
        }
    }
    return count;
}

static const char *got_report(struct kmr_shell *shell,
                              struct kmr_ipc_client *client, int argc,
                              const char *const *argv)
{
    struct kmr_shell_health *health = shell->health;
    const char *scope = kmr_shell_value(argc, argv, "scope");
    uint64_t record_us =
        strtoull(kmr_shell_value(argc, argv, "record-us"), NULL, 10);
    struct kmr_health_report report = { .verdict = KMR_VERDICT_NOTE };
    const char *vms[KMR_VMS_MAX];
    char why[KMR_REASON_MAX * 2];

    if (kmr_ipc_connection(client) != health->connection) {
        return "say hello first";
    }
    if (argc < 1 || !is_verdict(argv[0], &report.verdict)) {
        return "no such verdict";
    }
    if (!is_colour(kmr_shell_value(argc, argv, "health"), &report.colour)) {
        return "health: green, yellow or red";
    }
    if (!is_scope(scope)) {
        return "scope: node, block:MAJ:MIN or link:NAME";
    }
    report.id = strtoull(kmr_shell_value(argc, argv, "id"), NULL, 10);
    report.reason = kmr_shell_value(argc, argv, "reason");
    report.node = strcmp(scope, "node") == 0;
    report.vms = vms;
    report.vm_count = affected(shell, &report, scope, vms);
    if (!kmr_health_report(&health->core, &report)) {
        qb_log(LOG_INFO, "hardware: report %" PRIu64 " again", report.id);
        return NULL;
    }
    snprintf(why, sizeof(why), "%s, %.60s: %s",
             kmr_verdict_text(report.verdict), scope, report.reason);
    health->own.reports++;
    kmr_shell_health_remember(shell, report.verdict, scope, report.reason);
    if (health->core.colour == health->told &&
        report.verdict >= KMR_VERDICT_MOVE_PAIR) {
        kmr_shell_health_event(shell, "", kmr_colour_text(health->told),
                               kmr_colour_text(health->told), why);
    }
    kmr_shell_health_look(shell);
    qb_log(report.verdict >= KMR_VERDICT_MOVE_PAIR ? LOG_WARNING
           : report.verdict == KMR_VERDICT_DEGRADE ? LOG_NOTICE
                                                   : LOG_INFO,
           "hardware: report %" PRIu64 ": %s (%s)", report.id, why,
           kmr_colour_text(report.colour));
    if (!report.node) {
        qb_log(LOG_NOTICE, "hardware: %s: %u guests of this node use it", scope,
               report.vm_count);
    }
    if (record_us != 0 && record_us <= health->decided_us) {
        qb_log(LOG_INFO,
               "hardware: report %" PRIu64 ": decided %" PRIu64
               " us after the kernel's record",
               report.id, health->decided_us - record_us);
    }
    return NULL;
}

void kmr_shell_health_ask(struct kmr_shell *shell,
                          struct kmr_ipc_client *client, int argc,
                          const char *const *argv)
{
    const char *wrong = "hardware: hello or report";

    if (argc > 0 && strcmp(argv[0], "hello") == 0) {
        wrong = hello(shell, client, argc - 1, argv + 1);
    } else if (argc > 0 && strcmp(argv[0], "report") == 0) {
        wrong = got_report(shell, client, argc - 1, argv + 1);
    }
    if (wrong) {
        qb_log(LOG_ERR, "hardware: refused: %s", wrong);
    }
    kmr_ipc_reply(client, wrong ? 1 : 0, "", wrong ? wrong : "");
}

void kmr_shell_health_closed(const void *connection, void *user)
{
    struct kmr_shell *shell = user;
    struct kmr_shell_health *health = shell->health;

    if (connection != health->connection) {
        return;
    }
    health->connection = NULL;
    health->own.mced = KMR_MCED_ENDED;
    kmr_health_gone(&health->core);
    qb_log(LOG_WARNING, "kemari-mced has ended: the health stays %s",
           kmr_colour_text(health->core.colour));
    kmr_shell_health_publish(shell);
}
