/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "child.h"
#include "xmltree.h"

#define PROBE_OUTPUT_MAX (512u << 10)
#define TEXT_MAX 768

/* ---- this host ---- */

static unsigned complain(kmr_check_cb report, void *user, const char *element,
                         const char *text)
{
    struct kmr_check_finding finding = { .error = true,
                                         .element = element,
                                         .text = text };

    report(&finding, user);
    return 1;
}

/* Does the domain have a network card on a tap? No domain: assume so. */
static bool needs_tap(const struct kmr_domxml *dom)
{
    const xmlNode *root, *devices;

    if (!dom) {
        return true;
    }
    root = xmlDocGetRootElement(kmr_domxml_doc(dom));
    devices = kmr_xml_child(root, "devices");
    for (const xmlNode *n = devices ? devices->children : NULL; n;
         n = n->next) {
        if (kmr_xml_is(n, "interface") && !kmr_xml_prop_is(n, "type", "user")) {
            return true;
        }
    }
    return false;
}

static int can_open(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    close(fd);
    return 0;
}

unsigned kmr_check_host(const struct kmr_domxml *dom, kmr_check_cb report,
                        void *user)
{
    unsigned errors = 0;
    char text[TEXT_MAX];
    int err;

    if (geteuid() != 0) {
        errors += complain(report, user, "host",
                           "not root: kemarid and this check need it");
    }
    if (needs_tap(dom)) {
        err = can_open("/dev/net/tun");
        if (err < 0) {
            snprintf(text, sizeof(text),
                     "/dev/net/tun: %s: the guest's network needs it (load "
                     "the kernel module tun)",
                     strerror(-err));
            errors += complain(report, user, "host", text);
        }
    }
    if (dom && kmr_xml_prop_is(xmlDocGetRootElement(kmr_domxml_doc(dom)),
                               "type", "kvm")) {
        err = can_open("/dev/kvm");
        if (err < 0) {
            snprintf(text, sizeof(text),
                     "/dev/kvm: %s: type='kvm' needs it (without hardware "
                     "virtualization say type='qemu')",
                     strerror(-err));
            errors += complain(report, user, "host", text);
        }
    }
    return errors;
}

/* ---- the emulator ---- */

struct probe {
    kmr_check_emulator_cb cb;
    void *user;
};

/* A QMP session is one JSON object per line. */
static enum kmr_check_emulator read_session(const char *out, char *ret_text,
                                            size_t size)
{
    bool has_query = false, has_commands = false;
    char version[128] = "";
    const char *line = out;

    while (*line) {
        size_t len = strcspn(line, "\n");
        json_t *root = json_loadb(line, len, 0, NULL);
        json_t *ret = json_object_get(root, "return"), *item;
        size_t i;

        json_array_foreach(ret, i, item) {
            const char *name = json_string_value(json_object_get(item, "name"));

            has_commands = true;
            if (name && strcmp(name, "query-kemari") == 0) {
                has_query = true;
            }
        }
        item = json_object_get(json_object_get(ret, "qemu"), "major");
        if (json_is_integer(item)) {
            json_t *qemu = json_object_get(ret, "qemu");

            snprintf(version, sizeof(version), "QEMU %d.%d.%d",
                     (int)json_integer_value(item),
                     (int)json_integer_value(json_object_get(qemu, "minor")),
                     (int)json_integer_value(json_object_get(qemu, "micro")));
        }
        json_decref(root);
        line += len + (line[len] == '\n');
    }
    if (!has_commands || !version[0]) {
        snprintf(ret_text, size, "does not talk QMP like QEMU");
        return KMR_CHECK_EMULATOR_BROKEN;
    }
    snprintf(ret_text, size, "%s", version);
    return has_query ? KMR_CHECK_EMULATOR_PATCHED
                     : KMR_CHECK_EMULATOR_UNPATCHED;
}

static void probed(const struct kmr_child_result *res, void *user)
{
    struct probe *probe = user;
    enum kmr_check_emulator what = KMR_CHECK_EMULATOR_BROKEN;
    char text[TEXT_MAX];
    int cut = (int)strcspn(res->err, "\n");

    if (res->end == KMR_CHILD_TIMEOUT) {
        snprintf(text, sizeof(text), "did not answer within %u s",
                 KMR_CHECK_PROBE_TIMEOUT_MS / 1000);
    } else if (res->end == KMR_CHILD_SIGNALED) {
        snprintf(text, sizeof(text), "was ended by signal %d", res->code);
    } else if (res->code != 0) {
        snprintf(text, sizeof(text), "exited with status %d: %.*s", res->code,
                 cut > 400 ? 400 : cut, res->err);
    } else {
        what = read_session(res->out, text, sizeof(text));
    }
    probe->cb(what, text, probe->user);
    free(probe);
}

struct missing {
    kmr_check_emulator_cb cb;
    void *user;
    char text[TEXT_MAX];
};

static void tell_missing(void *data)
{
    struct missing *missing = data;

    missing->cb(KMR_CHECK_EMULATOR_MISSING, missing->text, missing->user);
    free(missing);
}

int kmr_check_emulator(qb_loop_t *loop, const char *path,
                       kmr_check_emulator_cb cb, void *user)
{
    static const char session[] =
        "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"query-version\"}\n"
        "{\"execute\":\"query-commands\"}\n{\"execute\":\"quit\"}\n";
    const char *argv[] = { path,
                           "-machine",
                           "none,accel=kvm:tcg",
                           "-nodefaults",
                           "-no-user-config",
                           "-display",
                           "none",
                           "-qmp",
                           "stdio",
                           NULL };
    struct kmr_child_spec spec = {
        .argv = argv,
        .input = session,
        .input_len = sizeof(session) - 1,
        .timeout_ms = KMR_CHECK_PROBE_TIMEOUT_MS,
        .out_max = PROBE_OUTPUT_MAX,
    };
    struct probe *probe;
    int err;

    if (path[0] != '/' || access(path, X_OK) < 0) {
        struct missing *missing = calloc(1, sizeof(*missing));

        if (!missing) {
            return -ENOMEM;
        }
        missing->cb = cb;
        missing->user = user;
        snprintf(missing->text, sizeof(missing->text), "%s",
                 path[0] != '/' ? "not an absolute path" : strerror(errno));
        err = qb_loop_job_add(loop, QB_LOOP_MED, missing, tell_missing);
        if (err < 0) {
            free(missing);
        }
        return err;
    }
    probe = calloc(1, sizeof(*probe));
    if (!probe) {
        return -ENOMEM;
    }
    probe->cb = cb;
    probe->user = user;
    err = kmr_child_start(loop, &spec, probed, probe, NULL);
    if (err < 0) {
        free(probe);
    }
    return err;
}

/* ---- all of it ---- */

struct all {
    const struct kmr_domxml *dom;
    kmr_check_cb report;
    kmr_check_done_cb done;
    void *user;
    unsigned errors;
    char emulator[256], patched[256];
    int line;
};

static void report_emulator(struct all *all, enum kmr_check_emulator what,
                            const char *text)
{
    struct kmr_check_finding finding = { .error = true,
                                         .line = all->line,
                                         .element = "emulator" };
    char line[TEXT_MAX + 900], where[600];

    if (all->patched[0] && strcmp(all->patched, all->emulator) != 0) {
        snprintf(where, sizeof(where),
                 "the patched one is %s (in "
                 "kemari.conf: emulator = %s)",
                 all->patched, all->patched);
    } else {
        snprintf(where, sizeof(where),
                 "build the patched one with "
                 "qemu-patches/build, which prints its path, and name it in "
                 "kemari.conf: emulator = PATH");
    }
    switch (what) {
    case KMR_CHECK_EMULATOR_PATCHED:
        finding.error = false;
        snprintf(line, sizeof(line), "%s is the patched emulator (%s)",
                 all->emulator, text);
        break;
    case KMR_CHECK_EMULATOR_UNPATCHED:
        snprintf(line, sizeof(line),
                 "%s is unpatched (%s without query-kemari): %s", all->emulator,
                 text, where);
        break;
    case KMR_CHECK_EMULATOR_MISSING:
        snprintf(line, sizeof(line), "emulator %s: %s: %s", all->emulator, text,
                 where);
        break;
    case KMR_CHECK_EMULATOR_BROKEN:
        snprintf(line, sizeof(line), "emulator %s %s: %s", all->emulator, text,
                 where);
        break;
    }
    finding.text = line;
    all->errors += finding.error;
    all->report(&finding, all->user);
}

static void emulator_known(enum kmr_check_emulator what, const char *text,
                           void *user)
{
    struct all *all = user;

    report_emulator(all, what, text);
    all->done(all->errors, all->user);
    free(all);
}

static void everything_but_emulator(void *data)
{
    struct all *all = data;

    all->errors += kmr_check_xml(all->dom, all->report, all->user);
    all->errors += kmr_check_host(all->dom, all->report, all->user);
}

static void without_emulator(void *data)
{
    struct all *all = data;

    everything_but_emulator(all);
    all->errors += complain(all->report, all->user, "emulator",
                            "no emulator: neither kemari.conf (emulator = "
                            "PATH) nor the XML (<emulator>) names one");
    all->done(all->errors, all->user);
    free(all);
}

struct first {
    qb_loop_t *loop;
    struct all *all;
};

static void start(void *data)
{
    struct first *first = data;
    struct all *all = first->all;
    int err;

    everything_but_emulator(all);
    err = kmr_check_emulator(first->loop, all->emulator, emulator_known, all);
    if (err < 0) {
        emulator_known(KMR_CHECK_EMULATOR_BROKEN, strerror(-err), all);
    }
    free(first);
}

int kmr_check_domain(qb_loop_t *loop, const struct kmr_domxml *dom,
                     const char *emulator, const char *patched,
                     kmr_check_cb report, kmr_check_done_cb done, void *user)
{
    struct all *all = calloc(1, sizeof(*all));
    struct first *first = calloc(1, sizeof(*first));
    const xmlNode *root = xmlDocGetRootElement(kmr_domxml_doc(dom));
    const char *path = emulator ? emulator : kmr_domxml_emulator(dom);
    int err = -ENOMEM;

    if (!all || !first) {
        goto out;
    }
    all->dom = dom;
    all->report = report;
    all->done = done;
    all->user = user;
    snprintf(all->patched, sizeof(all->patched), "%s", patched ? patched : "");
    if (!path) {
        free(first);
        first = NULL;
        err = qb_loop_job_add(loop, QB_LOOP_MED, all, without_emulator);
        goto out;
    }
    if (strlen(path) >= sizeof(all->emulator)) {
        err = -ENAMETOOLONG;
        goto out;
    }
    memcpy(all->emulator, path, strlen(path) + 1);
    if (!emulator) {
        all->line = kmr_xml_line(
            kmr_xml_child(kmr_xml_child(root, "devices"), "emulator"));
    }
    first->loop = loop;
    first->all = all;
    err = qb_loop_job_add(loop, QB_LOOP_MED, first, start);
out:
    if (err < 0) {
        free(all);
        free(first);
    }
    return err;
}

struct file_check {
    qb_loop_t *loop;
    unsigned errors;
    kmr_check_cb report;
    void *user;
};

static void file_report(const struct kmr_check_finding *finding, void *user)
{
    struct file_check *check = user;

    check->report(finding, check->user);
}

static void file_done(unsigned errors, void *user)
{
    struct file_check *check = user;

    check->errors = errors;
    qb_loop_stop(check->loop);
}

unsigned kmr_check_file(const char *path, const char *emulator,
                        const char *patched, kmr_check_cb report, void *user)
{
    struct file_check check = { .errors = 1, .report = report, .user = user };
    struct kmr_domxml_error error = { 0 };
    struct kmr_domxml *dom;
    int err;

    err = kmr_domxml_read_file(path, &dom, &error);
    if (err < 0) {
        struct kmr_check_finding finding = {
            .error = true,
            .line = error.line,
            .element = "domain",
            .text = error.text[0] ? error.text : strerror(-err),
        };

        report(&finding, user);
        return 1;
    }
    check.loop = qb_loop_create();
    err = check.loop ? kmr_check_domain(check.loop, dom, emulator, patched,
                                        file_report, file_done, &check)
                     : -ENOMEM;
    if (err < 0) {
        complain(report, user, "host", strerror(-err));
    } else {
        qb_loop_run(check.loop);
    }
    if (check.loop) {
        qb_loop_destroy(check.loop);
    }
    kmr_domxml_free(dom);
    return check.errors;
}
