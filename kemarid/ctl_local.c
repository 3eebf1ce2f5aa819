/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "core/answer.h"
#include "core/text.h"
#include "io/check.h"
#include "io/config.h"
#include "io/pidwatch.h"
#include "io/statefile.h"

#define RUN_DIR "/run/kemari"

/* ---- check ---- */

struct findings {
    const char *path;
    enum kmr_ctl_format format;
    json_t *list;
    unsigned errors;
};

static void found(const struct kmr_check_finding *f, void *user)
{
    struct findings *all = user;

    all->errors += f->error;
    json_array_append_new(all->list, json_pack("{s:s,s:i,s:s,s:s}", "severity",
                                               f->error ? "error" : "note",
                                               "line", f->line, "element",
                                               f->element, "text", f->text));
}

static void print_finding(const struct findings *all, json_t *f)
{
    const char *element = json_string_value(json_object_get(f, "element"));
    const char *text = json_string_value(json_object_get(f, "text"));
    int line = (int)json_integer_value(json_object_get(f, "line"));
    FILE *to = stdout;

    if (strcmp(json_string_value(json_object_get(f, "severity")), "error") ==
        0) {
        to = stderr;
    }
    if (strncmp(text, all->path, strlen(all->path)) == 0) {
        fprintf(to, "%s\n", text); /* names file and line itself */
    } else if (line > 0) {
        fprintf(to, "%s:%d: %s: %s\n", all->path, line, element, text);
    } else {
        fprintf(to, "%s: %s: %s\n", all->path, element, text);
    }
}

int kmr_ctl_check(const char *path, enum kmr_ctl_format format,
                  const char *config_path)
{
    struct findings all = { .path = path,
                            .format = format,
                            .list = json_array() };
    struct kmr_config config;
    char error[512], *text;
    json_t *root, *item;
    size_t i;
    int err;

    kmr_config_init(&config);
    err = kmr_config_read(config_path, &config, error, sizeof(error));
    if (err < 0 && err != -ENOENT) {
        struct kmr_check_finding f = { .error = true,
                                       .element = "kemari.conf",
                                       .text = error };

        found(&f, &all);
    }
    kmr_check_file(path, config.emulator[0] ? config.emulator : NULL,
                   config.emulator[0] ? config.emulator : NULL, found, &all);
    if (format == KMR_CTL_TEXT) {
        json_array_foreach(all.list, i, item) {
            print_finding(&all, item);
        }
        if (all.errors == 0) {
            printf("%s: can be protected\n", path);
        }
        json_decref(all.list);
    } else {
        root = json_pack("{s:s,s:b,s:o}", "file", path, "ok", all.errors == 0,
                         "findings", all.list);
        text = json_dumps(root, JSON_COMPACT);
        kmr_ctl_show("check", text ? text : "{}", format);
        free(text);
        json_decref(root);
    }
    return all.errors ? KMR_CTL_FAILED : KMR_CTL_DONE;
}

/* ---- the agent without kemarid ---- */

/* 1: its QEMU lives, as *ret_proc, and Pacemaker's last word on its role is
 * in `ret_want` (or ""), and whether it runs without a standby in *ret_alone;
 * 0: certainly none; -errno: not certain. */
static int find_qemu(const char *vm, struct kmr_proc *ret_proc,
                     char ret_want[16], bool *ret_alone)
{
    char name[KMR_VM_MAX + 8], value[64], *text;
    struct kmr_proc proc = { 0 };
    int err;

    if (!kmr_text_is_name(vm) || strlen(vm) >= KMR_VM_MAX) {
        return -EINVAL;
    }
    snprintf(name, sizeof(name), "%s.pid", vm);
    ret_want[0] = '\0';
    *ret_alone = false;
    err = kmr_statefile_read(RUN_DIR, name, &text);
    if (err == 0) {
        kmr_statefile_get(text, "want", ret_want, 16);
        *ret_alone = kmr_statefile_get(text, "alone", value, sizeof(value)) &&
                     strcmp(value, "1") == 0;
        if (kmr_statefile_get(text, "pid", value, sizeof(value))) {
            proc.pid = (pid_t)strtol(value, NULL, 10);
        }
        if (kmr_statefile_get(text, "start", value, sizeof(value))) {
            proc.start = strtoull(value, NULL, 10);
        }
        free(text);
    } else if (err != -ENOENT) {
        return err;
    }
    if (proc.pid <= 1 || kmr_proc_alive(&proc) != 1) {
        /* being started when kemarid ended, or started by someone else */
        err = kmr_proc_of_domain(NULL, vm, NULL, &proc);
        if (err == -ENOENT || err == -ESRCH) {
            return 0;
        }
        if (err < 0) {
            return err;
        }
    }
    *ret_proc = proc;
    return 1;
}

static int stop(const char *vm, int timeout_ms, const char *why)
{
    struct kmr_proc proc;
    char want[16];
    bool alone;
    int found_one = find_qemu(vm, &proc, want, &alone);

    if (found_one == 0) {
        return KMR_OCF_SUCCESS;
    }
    if (found_one < 0) {
        fprintf(stderr, "%s, and whether %s runs can't be told: %s\n", why, vm,
                strerror(-found_one));
        return KMR_OCF_ERR_GENERIC;
    }
    kmr_proc_kill(&proc);
    for (int waited = 0; waited < timeout_ms; waited += 10) {
        if (kmr_proc_alive(&proc) == 0) {
            fprintf(stderr, "%s: killed the QEMU of %s (pid %d)\n", why, vm,
                    (int)proc.pid);
            return KMR_OCF_SUCCESS;
        }
        poll(NULL, 0, 10);
    }
    fprintf(stderr, "%s, and the QEMU of %s (pid %d) does not die\n", why, vm,
            (int)proc.pid);
    return KMR_OCF_ERR_GENERIC;
}

int kmr_ctl_resource(const char *action, const char *vm, int timeout_ms,
                     int err, const char *why)
{
    struct kmr_proc proc;
    char want[16];
    bool alone;
    int alive;

    /* a kemarid that is there but slow knows better than a file */
    if (err == -ENOTCONN && strcmp(action, "stop") == 0) {
        return stop(vm, timeout_ms, why);
    }
    if (err == -ENOTCONN && strcmp(action, "monitor") == 0) {
        alive = find_qemu(vm, &proc, want, &alone);
        if (alive == 0) {
            fprintf(stderr, "%s; %s does not run\n", why, vm);
            return KMR_OCF_NOT_RUNNING;
        }
        if (alive > 0) {
            fprintf(stderr, "%s; the QEMU of %s (pid %d) runs\n", why, vm,
                    (int)proc.pid);
            /* The pair goes on without a kemarid; a failure would end it. */
            if (strcmp(want, "promoted") == 0) {
                return alone ? KMR_OCF_SUCCESS : KMR_OCF_RUNNING_PROMOTED;
            }
            return strcmp(want, "unpromoted") == 0 ? KMR_OCF_SUCCESS
                                                   : KMR_OCF_ERR_GENERIC;
        }
    }
    fprintf(stderr, "%s\n", why);
    return KMR_OCF_ERR_GENERIC;
}
