/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io/attrwatch.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <qb/qbdefs.h>

#include "io/pidwatch.h"

struct kmr_attrwatch {
    qb_loop_t *loop;
    char name[16];
    void (*restarted)(void *user);
    void *user;
    struct kmr_pidwatch *process;
    bool seen;     /* there was one before */
    bool again;    /* `restarted` is told a second time */
    unsigned soon; /* looks that are left at short intervals */
    qb_loop_timer_handle timer;
};

static void look(void *data);

static void in(struct kmr_attrwatch *watch, uint32_t ms, void (*fn)(void *data))
{
    qb_loop_timer_add(watch->loop, QB_LOOP_LOW, ms * QB_TIME_NS_IN_MSEC, watch,
                      fn, &watch->timer);
}

/* The same name, and not in a container's name space. */
static bool is_it(const char *pid, const char *name)
{
    char path[PATH_MAX], comm[32] = "";
    struct stat ours, its;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%s/comm", pid);
    file = fopen(path, "re");
    if (!file) {
        return false;
    }
    if (!fgets(comm, sizeof(comm), file)) {
        comm[0] = '\0';
    }
    fclose(file);
    comm[strcspn(comm, "\n")] = '\0';
    snprintf(path, sizeof(path), "/proc/%s/ns/pid", pid);
    return strcmp(comm, name) == 0 && stat(path, &its) == 0 &&
           stat("/proc/self/ns/pid", &ours) == 0 && ours.st_ino == its.st_ino;
}

static void died(const struct kmr_proc *proc, void *user)
{
    struct kmr_attrwatch *watch = user;

    (void)proc;
    watch->process = NULL;
    if (watch->timer) {
        qb_loop_timer_del(watch->loop, watch->timer);
    }
    watch->soon = KMR_ATTRWATCH_SOON_MAX;
    in(watch, KMR_ATTRWATCH_SOON_MS, look);
}

static void settled(void *data)
{
    struct kmr_attrwatch *watch = data;

    watch->timer = 0;
    if (!watch->again) {
        watch->again = true;
        in(watch, KMR_ATTRWATCH_AGAIN_MS, settled);
    }
    watch->restarted(watch->user);
}

static void look(void *data)
{
    struct kmr_attrwatch *watch = data;
    DIR *folder = opendir("/proc");
    struct dirent *entry;

    watch->timer = 0;
    while (folder && !watch->process && (entry = readdir(folder))) {
        struct kmr_proc proc;

        if (isdigit((unsigned char)entry->d_name[0]) &&
            is_it(entry->d_name, watch->name) &&
            kmr_proc_read((pid_t)atoi(entry->d_name), &proc) == 0) {
            kmr_pidwatch_start(watch->loop, &proc, died, watch,
                               &watch->process);
        }
    }
    if (folder) {
        closedir(folder);
    }
    if (!watch->process) {
        watch->soon -= watch->soon != 0;
        in(watch, watch->soon ? KMR_ATTRWATCH_SOON_MS : KMR_ATTRWATCH_MS, look);
    } else if (watch->seen) {
        watch->again = false;
        in(watch, KMR_ATTRWATCH_SETTLE_MS, settled);
    }
    watch->seen |= watch->process != NULL;
}

int kmr_attrwatch_start(qb_loop_t *loop, const char *name,
                        void (*restarted)(void *user), void *user,
                        struct kmr_attrwatch **ret_watch)
{
    struct kmr_attrwatch *watch = calloc(1, sizeof(*watch));

    if (!watch) {
        return -ENOMEM;
    }
    watch->loop = loop;
    snprintf(watch->name, sizeof(watch->name), "%s",
             name ? name : KMR_ATTRWATCH_NAME);
    watch->restarted = restarted;
    watch->user = user;
    look(watch);
    *ret_watch = watch;
    return 0;
}

void kmr_attrwatch_stop(struct kmr_attrwatch *watch)
{
    if (watch) {
        if (watch->timer) {
            qb_loop_timer_del(watch->loop, watch->timer);
        }
        kmr_pidwatch_stop(watch->process);
        free(watch);
    }
}
