/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kemarictl: kemarid's command line, and what ocf:kemari:vm calls. It hands
 * its words to kemarid and shows the answer; only `check`, `devices`, and the
 * agent's `stop` and `monitor` when there is no kemarid, are done here.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/nodefence.h"
#include "ctl.h"
#include "io/ipc.h"

#define CONFIG_FILE KMR_SYSCONFDIR "/kemari/kemari.conf"
#define TIMEOUT_MS 10000
#define TIMEOUT_MAX_MS 3600000
#define WATCH_MS 1000
#define RETRY_MS 100    /* between two attempts to reach kemarid */
#define RESTART_MS 2000 /* a restart of kemarid takes less */
#define GRACE_MS 2000   /* kemarid's own deadline comes first */
#define WORDS_MAX 64

static const char usage_text[] =
    "usage: kemarictl [--output-as=text|json|xml] COMMAND\n"
    "  status [VM]      the pairs of the cluster\n"
    "  watch [VM]       the same, again and again\n"
    "  events [VM]      what happened, newest last\n"
    "  handover VM      move it to its standby's node\n"
    "  takeover VM      the standby's node takes over, if that is safe\n"
    "  resync VM        look for a standby now\n"
    "  force-boot VM --accept-data-loss\n"
    "                   nothing of it runs anywhere, whatever was agreed\n"
    "  check FILE.xml   can this domain be protected, and by this host?\n"
    "  devices [TYPE...]\n"
    "                   which devices may be in a VM that is protected\n"
    "  health           of the nodes: what watches them, what was found\n"
    "  fence NODE [--action=reboot|off] [--confirm-ms=N] [--leave-ms=N]\n"
    "                   have its kemarid end its QEMUs and put it down\n"
    "  fence --status NODE | fence --list\n"
    "                   can they be fenced from here?\n"
    "  resource ACTION VM [--config=FILE] [--timeout-ms=N] [NAME=VALUE...]\n"
    "                   what the resource agent calls\n"
    "exit codes: 0 done, 1 failed, 2 usage, 3 no kemarid; resource: OCF's\n";

/* name, least and most words after it (but options) */
static const struct command {
    const char *name;
    int min, max;
} commands[] = {
    { "status", 0, 1 },   { "watch", 0, 1 },      { "events", 0, 1 },
    { "handover", 1, 1 }, { "takeover", 1, 1 },   { "resync", 1, 1 },
    { "check", 1, 1 },    { "health", 0, 0 },     { "resource", 2, 60 },
    { "fence", 0, 1 },    { "force-boot", 1, 1 }, { "devices", 0, 60 },
};

/* Options of one command; kemarid knows those with a value as plain words. */
static const struct {
    const char *command, *option;
} options[] = {
    { "resource", "--config=" }, { "resource", "--timeout-ms=" },
    { "fence", "--action=" },    { "fence", "--confirm-ms=" },
    { "fence", "--leave-ms=" },  { "fence", "--status" },
    { "fence", "--list" },       { "force-boot", "--accept-data-loss" },
};

static bool is_option_of(const struct command *command, const char *word)
{
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        const char *name = options[i].option;
        size_t len = strlen(name);

        if (strcmp(options[i].command, command->name) == 0 &&
            strncmp(name, word, len) == 0 &&
            (name[len - 1] == '=' || word[len] == '\0')) {
            return true;
        }
    }
    return false;
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

/* The value of option NAME=, or NULL. */
static const char *option(int argc, char **argv, const char *name)
{
    size_t len = strlen(name);

    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], name, len) == 0 && argv[i][len] == '=') {
            return argv[i] + len + 1;
        }
    }
    return NULL;
}

static int usage_error(const char *what, const char *word)
{
    fprintf(stderr, "kemarictl: %s%s\n%s", what, word, usage_text);
    return KMR_CTL_USAGE;
}

/* -1: not a time. */
static int ms_of(int argc, char **argv, const char *name, int otherwise,
                 int most)
{
    const char *text = option(argc, argv, name);
    char *end;
    long ms;

    if (!text) {
        return otherwise;
    }
    errno = 0;
    ms = strtol(text, &end, 10);
    return errno || end == text || *end || ms < 1 || ms > most ? -1 : (int)ms;
}

/* How long an answer may take. */
static int timeout_of(const char *command, bool asks_only, int argc,
                      char **argv)
{
    int confirm_ms, leave_ms;

    if (strcmp(command, "fence") != 0) {
        return ms_of(argc, argv, "timeout-ms", TIMEOUT_MS, TIMEOUT_MAX_MS);
    }
    confirm_ms = ms_of(argc, argv, "confirm-ms", KMR_FENCE_CONFIRM_MS,
                       KMR_FENCE_LIMIT_MAX_MS);
    leave_ms = ms_of(argc, argv, "leave-ms", KMR_FENCE_LEAVE_MS,
                     KMR_FENCE_LIMIT_MAX_MS);
    if (confirm_ms < 0 || leave_ms < 0 || asks_only) {
        return confirm_ms < 0 || leave_ms < 0 ? -1 : TIMEOUT_MS;
    }
    /* A node that is back has `leave_ms` once more to say so. */
    return confirm_ms + 2 * leave_ms + (int)KMR_FENCE_SETTLE_MAX_MS;
}

static const char *call_error(int err)
{
    switch (err) {
    case -ENOTCONN:
        return "no kemarid runs on this node";
    case -ETIMEDOUT:
        return "kemarid did not answer in time";
    case -EACCES:
    case -EPERM:
        return "kemarid lets in root and the group haclient only";
    case -EPROTO:
        return "kemarid is of another version";
    default:
        return strerror(-err);
    }
}

struct question {
    const char *command;
    const char *words[WORDS_MAX];
    int count, timeout_ms;
    enum kmr_ctl_format format;
};

/* One question; shows the answer. The code, or -errno (nothing shown). */
static int ask(const struct question *q)
{
    char *out = NULL, *err = NULL;
    int code =
        kmr_ipc_call(q->count, q->words, q->timeout_ms + GRACE_MS, &out, &err);

    if (code >= 0) {
        if (out && *out) {
            kmr_ctl_show(q->command, out, q->format);
        }
        if (err && *err) {
            fprintf(stderr, "%s%s", err,
                    err[strlen(err) - 1] == '\n' ? "" : "\n");
        }
    }
    free(out);
    free(err);
    return code;
}

/*
 * An action of the agent outlasts a restart of kemarid: a monitor or stop
 * waits a little, the others (nothing can be done without it) all their time.
 */
static int ask_patiently(struct question *q)
{
    const char *action = q->words[1];
    bool brief = strcmp(action, "monitor") == 0 ||
                 strcmp(action, "stop") == 0 || strcmp(action, "notify") == 0;
    int left_ms =
        brief && q->timeout_ms > RESTART_MS ? RESTART_MS : q->timeout_ms;
    int code;

    while ((code = ask(q)) == -ENOTCONN && left_ms > 0) {
        poll(NULL, 0, RETRY_MS);
        left_ms -= RETRY_MS;
    }
    return code;
}

static int watch(struct question *q)
{
    bool tty = isatty(STDOUT_FILENO);
    int code;

    q->words[0] = "status";
    while (true) {
        if (tty) {
            fputs("\033[H\033[2J", stdout);
        }
        code = ask(q);
        if (code != 0) {
            return code;
        }
        if (fflush(stdout) != 0) {
            return KMR_CTL_FAILED; /* the reader went away */
        }
        poll(NULL, 0, WATCH_MS);
    }
}

static int format_of(const char *text)
{
    if (!text || strcmp(text, "text") == 0) {
        return KMR_CTL_TEXT;
    }
    if (strcmp(text, "json") == 0) {
        return KMR_CTL_JSON;
    }
    return strcmp(text, "xml") == 0 ? KMR_CTL_XML : -1;
}

int main(int argc, char **argv)
{
    struct question q = { 0 };
    const struct command *command = NULL;
    int given = 0, format, code;
    bool asks_only = false;

    for (int i = 1; i < argc; i++) {
        bool is_option = argv[i][0] == '-';

        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage_text, stdout);
            return KMR_CTL_DONE;
        }
        if (!command && !is_option) {
            command = find_command(argv[i]);
            if (!command) {
                return usage_error("unknown command ", argv[i]);
            }
        } else if (!is_option) {
            given++;
        } else if (strncmp(argv[i], "--output-as=", 12) == 0) {
            continue; /* ours; kemarid gives data */
        } else if (!command || !is_option_of(command, argv[i])) {
            return usage_error("unknown option ", argv[i]);
        }
        if (q.count == WORDS_MAX) {
            return usage_error("too many words", "");
        }
        asks_only = asks_only || strcmp(argv[i], "--status") == 0 ||
                    strcmp(argv[i], "--list") == 0;
        if (is_option && strchr(argv[i], '=')) {
            argv[i] += 2;
        }
        q.words[q.count++] = argv[i];
    }
    if (!command) {
        return usage_error("no command", "");
    }
    if (given < command->min || given > command->max) {
        return usage_error("wrong number of words for ", command->name);
    }
    format = format_of(option(argc, argv, "--output-as"));
    q.timeout_ms = timeout_of(command->name, asks_only, argc, argv);
    if (format < 0 || q.timeout_ms < 0) {
        return usage_error(format < 0 ? "unknown format" : "bad time-out", "");
    }
    q.command = command->name;
    q.format = (enum kmr_ctl_format)format;
    if (strcmp(command->name, "check") == 0) {
        return kmr_ctl_check(q.words[1], q.format, CONFIG_FILE);
    }
    if (strcmp(command->name, "devices") == 0) {
        return kmr_ctl_devices(given, q.words + 1, q.format);
    }
    code = strcmp(command->name, "watch") == 0      ? watch(&q)
           : strcmp(command->name, "resource") == 0 ? ask_patiently(&q)
                                                    : ask(&q);
    if (code >= 0) {
        return code;
    }
    if (strcmp(command->name, "resource") == 0) {
        return kmr_ctl_resource(q.words[1], q.words[2], q.timeout_ms, code,
                                call_error(code));
    }
    fprintf(stderr, "kemarictl: %s\n", call_error(code));
    return code == -ENOTCONN ? KMR_CTL_NO_KEMARID : KMR_CTL_FAILED;
}
