/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "shell_fence.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

#include <qb/qblog.h>

#include "core/text.h"
#include "io/child.h"

#define BAR "fenced" /* in KMR_RUN_DIR: a reboot clears it */
#define COMMAND_MS 60000u

static void fenced_step(struct kmr_shell *shell,
                        struct kmr_fenced_event *event);

static int write_bar(struct kmr_shell *shell)
{
    char text[128];
    int len = snprintf(text, sizeof(text), "boot=%016" PRIx64 "\naction=%s\n",
                       shell->boot,
                       kmr_fence_action_text(shell->nodefence->fenced.action));
    int fd = open(KMR_RUN_DIR "/" BAR ".new",
                  O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int err = 0;

    if (fd < 0) {
        return -errno;
    }
    if (write(fd, text, (size_t)len) != len || fsync(fd) != 0) {
        err = errno ? -errno : -EIO;
    }
    close(fd);
    if (!err && rename(KMR_RUN_DIR "/" BAR ".new", KMR_RUN_DIR "/" BAR) != 0) {
        err = -errno;
    }
    return err;
}

static void bar(struct kmr_shell *shell)
{
    struct kmr_fenced_event event = { .type = KMR_FENCED_EVENT_BARRED };
    int err = write_bar(shell);

    if (err) {
        qb_log(LOG_ERR, "fence: can't write %s/%s: %s", KMR_RUN_DIR, BAR,
               strerror(-err));
    }
    shell->barred = err == 0;
    event.flag = err == 0;
    fenced_step(shell, &event);
}

/* Also one that we don't know of, but libvirt does. */
static bool lives(const struct kmr_vm *vm, struct kmr_proc *ret_stray)
{
    memset(ret_stray, 0, sizeof(*ret_stray));
    if (vm->proc.pid != 0 || vm->creating ||
        kmr_phase_has_qemu(vm->pair.phase)) {
        return true;
    }
    if (kmr_proc_of_domain(NULL, vm->pair.vm, NULL, ret_stray) == 0 &&
        kmr_proc_alive(ret_stray) != 0) {
        return true;
    }
    return false;
}

static void kill_all(struct kmr_shell *shell)
{
    struct kmr_effect effect = { .type = KMR_EFFECT_KILL };

    kmr_text_set(effect.reason, sizeof(effect.reason), "its node is fenced");
    for (unsigned i = 0; i < shell->vm_count; i++) {
        struct kmr_vm *vm = shell->vms[i];
        struct kmr_proc stray;

        if (!lives(vm, &stray)) {
            continue;
        }
        qb_log(LOG_NOTICE, "fence: kills the QEMU of %s", vm->pair.vm);
        if (stray.pid != 0) {
            kmr_proc_kill(&stray);
        } else {
            kmr_vm_kill(vm, &effect);
        }
    }
}

void kmr_shell_fence_check(struct kmr_shell *shell)
{
    struct kmr_shell_fence *fence = shell->nodefence;
    struct kmr_fenced_event event = { .type = KMR_FENCED_EVENT_EMPTY };
    struct kmr_proc stray;

    if (!fence || fence->fenced.phase != KMR_FENCED_ENDING) {
        return;
    }
    for (unsigned i = 0; i < shell->vm_count; i++) {
        if (lives(shell->vms[i], &stray)) {
            return;
        }
    }
    fenced_step(shell, &event);
}

/* At once: nothing is synchronised or asked, as in a power cut. */
static void kernel_down(struct kmr_shell *shell)
{
    enum kmr_fence_action action = shell->nodefence->fenced.action;

    qb_log(LOG_CRIT, "fence: this node goes down (%s)",
           kmr_fence_action_text(action));
    if (reboot(action == KMR_FENCE_ACTION_OFF ? RB_POWER_OFF : RB_AUTOBOOT) !=
        0) {
        qb_log(LOG_CRIT, "fence: the kernel refuses: %s", strerror(errno));
    }
}

static void on_command(const struct kmr_child_result *result, void *user)
{
    struct kmr_shell *shell = user;

    if (result->end == KMR_CHILD_EXITED && result->code == 0) {
        qb_log(LOG_CRIT, "fence: down_command has ended well; this node "
                         "should go down now");
        return;
    }
    qb_log(LOG_CRIT, "fence: down_command failed (%d): %s", result->code,
           result->err);
    kernel_down(shell);
}

static void go_down(void *data)
{
    struct kmr_shell *shell = data;
    struct kmr_shell_fence *fence = shell->nodefence;
    char action[64];
    const char *argv[] = { "sh", "-c", shell->config.down_command, NULL };
    const char *env[] = { action, NULL };
    struct kmr_child_spec spec = {
        .argv = argv, .env = env, .timeout_ms = COMMAND_MS, .out_max = 512
    };
    int err;

    fence->down_timer = 0;
    /* What it says or votes from now on would be a dead node's word. */
    kmr_cpg_stop(shell->cpg);
    shell->cpg = NULL;
    shell->nodeid = 0;
    kmr_shell_cpg_members(NULL, 0, shell);
    if (!shell->config.down_command[0]) {
        kernel_down(shell);
        return;
    }
    snprintf(action, sizeof(action), "KEMARI_FENCE_ACTION=%s",
             kmr_fence_action_text(fence->fenced.action));
    err = kmr_child_start(shell->loop, &spec, on_command, shell, NULL);
    if (err) {
        qb_log(LOG_CRIT, "fence: can't run down_command: %s", strerror(-err));
        kernel_down(shell);
    }
}

static void on_fenced_timer(void *data)
{
    struct kmr_shell *shell = data;
    struct kmr_fenced_event event = { .type = KMR_FENCED_EVENT_TICK };

    shell->nodefence->timer = 0;
    fenced_step(shell, &event);
    kmr_shell_fence_check(shell);
}

static void tell_done(struct kmr_shell *shell)
{
    const struct kmr_fenced *fenced = &shell->nodefence->fenced;

    for (unsigned i = 0; i < fenced->count; i++) {
        kmr_fence_send(shell, KMR_FENCE_DONE, shell->config.node_name,
                       fenced->boot, fenced->ids[i], fenced->action, "");
    }
}

static void fenced_step(struct kmr_shell *shell, struct kmr_fenced_event *event)
{
    struct kmr_shell_fence *fence = shell->nodefence;
    struct kmr_fenced *fenced = &fence->fenced;
    enum kmr_fenced_phase before = fenced->phase;
    unsigned todo;
    uint64_t when;

    event->now_ms = kmr_now_ms();
    todo = kmr_fenced_step(fenced, event);
    if (fenced->phase != before) {
        qb_log(LOG_CRIT, "fence: this node: %s -> %s",
               kmr_fenced_phase_text(before),
               kmr_fenced_phase_text(fenced->phase));
    }
    if (todo & KMR_FENCED_DO_REFUSE) {
        qb_log(LOG_ERR, "fence: refused: %s", fenced->refusal);
        kmr_fence_send(shell, KMR_FENCE_REFUSE, shell->config.node_name,
                       fenced->boot, fenced->refused, fenced->action,
                       fenced->refusal);
    }
    if (todo & KMR_FENCED_DO_DONE) {
        tell_done(shell);
    }
    if ((todo & KMR_FENCED_DO_DOWN) && !fence->down_timer) {
        /* Not from within a callback of what is to be closed. */
        kmr_shell_timer(shell, 1, shell, go_down, &fence->down_timer);
    }
    if (fence->timer) {
        qb_loop_timer_del(shell->loop, fence->timer);
        fence->timer = 0;
    }
    when = kmr_fenced_deadline(fenced);
    if (when != 0) {
        kmr_shell_timer(shell, when > event->now_ms ? when - event->now_ms : 1,
                        shell, on_fenced_timer, &fence->timer);
    }
    if (todo & KMR_FENCED_DO_BAR) {
        bar(shell);
    }
    if (todo & KMR_FENCED_DO_KILL) {
        kill_all(shell);
        kmr_shell_fence_check(shell);
    }
}

void kmr_fence_ordered(struct kmr_shell *shell, const struct kmr_msg *msg)
{
    struct kmr_fenced_event event = { .id = msg->id,
                                      .boot = msg->target_boot,
                                      .action = msg->action };

    event.type = msg->step == KMR_FENCE_REQUEST ? KMR_FENCED_EVENT_REQUEST
                                                : KMR_FENCED_EVENT_GO;
    qb_log(LOG_CRIT, "fence: %s (%s) for this node by %s",
           kmr_fence_step_text(msg->step), kmr_fence_action_text(msg->action),
           msg->node);
    fenced_step(shell, &event);
}

/* ---- start and end ---- */

int kmr_fence_resume(struct kmr_shell *shell)
{
    struct kmr_fenced_event event = { .type = KMR_FENCED_EVENT_RESUME };
    char *text = NULL;
    char value[64];
    int err;

    kmr_fenced_init(&shell->nodefence->fenced, shell->boot);
    err = kmr_statefile_read(KMR_RUN_DIR, BAR, &text);
    if (err == -ENOENT) {
        return 0;
    }
    if (err) {
        return err; /* not knowing is no reason to start anything */
    }
    if (kmr_statefile_get(text, "boot", value, sizeof(value)) &&
        strtoull(value, NULL, 16) == shell->boot) {
        shell->barred = true;
        if (kmr_statefile_get(text, "action", value, sizeof(value))) {
            kmr_fence_action_read(value, &event.action);
        }
        qb_log(LOG_CRIT, "fence: this boot of the node was fenced: nothing "
                         "starts, it goes down");
        fenced_step(shell, &event);
    }
    free(text);
    return 0;
}
