/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <qb/qbdefs.h>
#include <qb/qblog.h>

#include "config.h"

#include "io/log.h"
#include "io/virt_loop.h"
#include "core/text.h"
#include "shell.h"

#define GROUP "kemarid"
/* Before guests: a takeover must not wait for the CPU they use. */
#define KMR_NICE (-15)
#define CONFIG KMR_SYSCONFDIR "/kemari/kemari.conf"

static int32_t on_signal(int32_t signal_number, void *data)
{
    struct kmr_shell *shell = data;

    qb_log(LOG_NOTICE, "signal %d: ends; the pairs go on", signal_number);
    kmr_shell_leave(shell);
    return 0;
}

static uint64_t hash(uint64_t sum, const char *text)
{
    for (; *text; text++) {
        sum = (sum ^ (unsigned char)*text) * 1099511628211u;
    }
    return sum;
}

/*
 * This incarnation of the node. The kernel's boot_id alone would not do for
 * a node that is a container: pid 1's start and its pid namespace tell.
 */
static uint64_t boot_of_node(void)
{
    uint64_t sum = 14695981039346656037u;
    char text[256] = "";
    struct kmr_proc init = { 0, 0 };
    struct stat status;
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

    if (file) {
        if (fgets(text, sizeof(text), file)) {
            sum = hash(sum, text);
        }
        fclose(file);
    }
    if (kmr_proc_read(1, &init) == 0) {
        snprintf(text, sizeof(text), "%llu", (unsigned long long)init.start);
        sum = hash(sum, text);
    }
    if (stat("/proc/self/ns/pid", &status) == 0) {
        snprintf(text, sizeof(text), "%llu", (unsigned long long)status.st_ino);
        sum = hash(sum, text);
    }
    return sum != 0 ? sum : 1;
}

/* One kemarid per node: the lock ends with the process. */
static int lock_node(void)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd;

    if (mkdir(KMR_RUN_DIR, 0755) != 0 && errno != EEXIST) {
        return -errno;
    }
    fd = open(KMR_RUN_DIR "/kemarid.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        return -errno;
    }
    return fcntl(fd, F_SETLK, &lock) == 0 ? 0 : -errno;
}

static void choose_emulator(struct kmr_shell *shell)
{
    if (shell->config.emulator[0]) {
        strcpy(shell->emulator, shell->config.emulator);
    } else if (access(KMR_EMULATOR, X_OK) == 0) {
        kmr_text_set(shell->emulator, sizeof(shell->emulator), KMR_EMULATOR);
    }
}

static int start(struct kmr_shell *shell)
{
    static const struct kmr_cpg_ops cpg_ops = {
        .connected = kmr_shell_cpg_connected,
        .members = kmr_shell_cpg_members,
        .message = kmr_shell_cpg_message,
    };
    static const struct kmr_virt_ops virt_ops = {
        .connected = kmr_shell_virt_connected,
        .event = kmr_shell_virt_event,
    };
    static const struct kmr_fencewatch_ops fence_ops = {
        .connected = kmr_shell_fence_connected,
        .fenced = kmr_shell_fenced,
    };
    const char *fabric[KMR_CONFIG_FABRIC_MAX + 1] = { NULL };
    char *rest = NULL;
    unsigned count = 0;
    int err;

    for (char *name = strtok_r(shell->config.fabric, " ,", &rest);
         name && count < KMR_CONFIG_FABRIC_MAX;
         name = strtok_r(NULL, " ,", &rest)) {
        fabric[count++] = name;
    }
    /* 1. what remembers */
    if ((err = kmr_statefile_new(KMR_STATE_DIR, shell->loop, kmr_state_written,
                                 shell, &shell->states)) ||
        (err = kmr_statefile_new(KMR_RUN_DIR, shell->loop, NULL, NULL,
                                 &shell->pids)) ||
        (err = kmr_attr_new(shell->loop, NULL, NULL, NULL, &shell->attr)) ||
        (err = kmr_shell_health_start(shell))) {
        return err;
    }
    /* 2. libvirt, before what runs is adopted */
    if ((err = kmr_virt_loop_init(shell->loop)) ||
        (err = kmr_virt_start(shell->loop,
                              shell->config.libvirt_uri[0]
                                  ? shell->config.libvirt_uri
                                  : NULL,
                              &virt_ops, shell, &shell->virt)) ||
        (err = kmr_state_load(shell))) {
        return err;
    }
    /* 3. the cluster; not after a fencing, until the node has rebooted */
    if ((err = kmr_shell_fence_start(shell)) ||
        (!shell->barred && (err = kmr_cpg_start(shell->loop, GROUP, &cpg_ops,
                                                shell, &shell->cpg))) ||
        (err = kmr_quorum_start(shell->loop, kmr_shell_quorum, shell,
                                &shell->quorum)) ||
        (err = kmr_fencewatch_start(shell->loop, fabric, &fence_ops, shell,
                                    &shell->fence))) {
        return err;
    }
    /* 4. the door, last */
    err = kmr_ipc_start(shell->loop, kmr_shell_request, shell, &shell->ipc);
    if (err == 0) {
        kmr_ipc_on_closed(shell->ipc, kmr_shell_health_closed);
    }
    return err;
}

static void stop(struct kmr_shell *shell)
{
    kmr_shell_fence_stop(shell);
    kmr_ipc_stop(shell->ipc);
    kmr_fencewatch_stop(shell->fence);
    kmr_quorum_stop(shell->quorum);
    kmr_cpg_stop(shell->cpg);
    for (unsigned i = 0; i < shell->vm_count; i++) {
        kmr_virt_worker_free(shell->vms[i]->worker);
        kmr_vm_look_end(shell->vms[i]);
        kmr_pidwatch_stop(shell->vms[i]->watch);
        kmr_input_free(shell->vms[i]);
        kmr_state_free(shell->vms[i]);
    }
    kmr_virt_stop(shell->virt);
    kmr_shell_health_stop(shell);
    kmr_attr_free(shell->attr);
    kmr_statefile_free(shell->states);
    kmr_statefile_free(shell->pids);
}

static void usage(FILE *file)
{
    fputs("usage: kemarid [-f] [-d] [-c FILE]\n"
          "  -f       log to stderr, too\n"
          "  -d       debug messages\n"
          "  -c FILE  configuration (default: " CONFIG ")\n"
          "kemarid stays in the foreground; see kemarid(8).\n",
          file);
}

int main(int argc, char **argv)
{
    struct kmr_shell *shell = calloc(1, sizeof(*shell));
    const char *path = CONFIG;
    bool to_stderr = false, debug = false, given = false;
    char error[512];
    int option, err;

    while ((option = getopt(argc, argv, "fdc:hV")) != -1) {
        switch (option) {
        case 'f':
            to_stderr = true;
            break;
        case 'd':
            debug = true;
            break;
        case 'c':
            path = optarg;
            given = true;
            break;
        case 'h':
            usage(stdout);
            return 0;
        case 'V':
            puts("kemarid " PACKAGE_VERSION);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    if (!shell || geteuid() != 0) {
        fputs("kemarid: must be root\n", stderr);
        return 1;
    }
    /* 1. configuration */
    kmr_config_init(&shell->config);
    err = kmr_config_read(path, &shell->config, error, sizeof(error));
    if (err && (err != -ENOENT || given)) {
        fprintf(stderr, "kemarid: %s\n", error);
        return 1;
    }
    if (!kmr_text_is_name(shell->config.node_name) ||
        strlen(shell->config.node_name) >= KMR_NODE_MAX) {
        fprintf(stderr, "kemarid: not a node name: %s\n",
                shell->config.node_name);
        return 1;
    }
    if (shell->config.tls != KMR_TLS_NO && !shell->config.tls_dir[0]) {
        fprintf(stderr, "kemarid: tls without tls_dir in [replication]\n");
        return 1;
    }
    if (!shell->config.replication_address[0]) {
        kmr_text_set(shell->config.replication_address,
                     sizeof(shell->config.replication_address),
                     shell->config.node_name);
    }
    /* 2. folders and the lock */
    if (mkdir(KMR_STATE_DIR, 0755) != 0 && errno != EEXIST) {
        fprintf(stderr, "kemarid: %s: %s\n", KMR_STATE_DIR, strerror(errno));
        return 1;
    }
    err = lock_node();
    if (err) {
        fprintf(stderr, "kemarid: %s: %s\n", KMR_RUN_DIR,
                err == -EAGAIN || err == -EACCES
                    ? "another kemarid runs on this node"
                    : strerror(-err));
        return 1;
    }
    /* 3. log, loop, memory */
    if (access("/dev/log", F_OK) != 0) {
        to_stderr = true; /* no syslog: rather there than nowhere */
    }
    if (kmr_log_init("kemarid", debug ? LOG_DEBUG : shell->config.log_level,
                     to_stderr,
                     shell->config.log_file[0] ? shell->config.log_file
                                               : NULL)) {
        fprintf(stderr, "kemarid: can't write %s\n", shell->config.log_file);
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    if (setpriority(PRIO_PROCESS, 0, KMR_NICE) != 0) {
        qb_log(LOG_INFO, "can't raise the priority: %s", strerror(errno));
    }
    shell->loop = qb_loop_create();
    shell->boot = boot_of_node();
    shell->buf = malloc(KMR_WIRE_MAX);
    shell->pairs = calloc(KMR_WIRE_PAIRS_MAX, sizeof(*shell->pairs));
    if (!shell->loop || !shell->buf || !shell->pairs) {
        return 1;
    }
    choose_emulator(shell);
    qb_loop_signal_add(shell->loop, QB_LOOP_HIGH, SIGTERM, shell, on_signal,
                       NULL);
    qb_loop_signal_add(shell->loop, QB_LOOP_HIGH, SIGINT, shell, on_signal,
                       NULL);
    /* 4. everything else */
    err = start(shell);
    if (err) {
        qb_log(LOG_CRIT, "can't start: %s", strerror(-err));
        return 1;
    }
    qb_log(LOG_NOTICE, "kemarid " PACKAGE_VERSION " on %s, emulator %s",
           shell->config.node_name,
           shell->emulator[0] ? shell->emulator : "of the domain");
    qb_loop_run(shell->loop);
    stop(shell);
    kmr_log_fini();
    return 0;
}
