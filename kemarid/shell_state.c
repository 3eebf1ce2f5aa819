/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "shell.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <qb/qblog.h>

#include "core/text.h"

/*
 * /var/lib/kemari/VM.state: what is agreed and what this node promised, and
 * what it knows of its QEMU. Lines of key=value, the last one a sum of those
 * before it. A file that can't be used is put aside, and the node has no vote
 * until a decided record admits its new file (R3).
 */

#define VERSION 2

/* A message that waits until the file is written. */
struct kmr_outgoing {
    struct kmr_outgoing *next;
    uint64_t ticket; /* 0: the file is not even handed over */
    struct kmr_msg msg;
};

/* ---- writing ---- */

static void add(char *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add(char *text, const char *format, ...)
{
    size_t used = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + used, KMR_STATEFILE_MAX - used, format, args);
    va_end(args);
}

static void add_inst(char *text, const char *prefix, const char *what,
                     const struct kmr_inst *inst)
{
    if (inst->id[0]) {
        add(text, "%s%s=%s %016" PRIx64 " %s %" PRIu64 " %d %d\n", prefix, what,
            inst->node, inst->boot, inst->id, inst->until, inst->dead,
            inst->frozen);
    }
}

static void add_record(char *text, const char *prefix,
                       const struct kmr_record *record)
{
    char what[16];

    add(text, "%sgeneration=%" PRIu64 "\n%smode=%s\n", prefix,
        record->generation, prefix, kmr_mode_text(record->mode));
    add_inst(text, prefix, "owner", &record->owner);
    add_inst(text, prefix, "standby", &record->standby);
    for (unsigned i = 0; i < KMR_EARLIER_MAX; i++) {
        snprintf(what, sizeof(what), "earlier%u", i);
        add_inst(text, prefix, what, &record->earlier[i]);
    }
    for (unsigned i = 0; i < kmr_record_voters(record); i++) {
        add(text, "%svoter%u=%s %s\n", prefix, i, record->voters[i].node,
            record->voters[i].id);
    }
}

static void add_ballot(char *text, const char *what,
                       const struct kmr_ballot *ballot)
{
    if (ballot->round != 0) {
        add(text, "%s=%" PRIu32 " %s\n", what, ballot->round, ballot->id);
    }
}

static uint64_t sum_of(const char *text, size_t len)
{
    uint64_t sum = 14695981039346656037u;

    for (size_t i = 0; i < len; i++) {
        sum = (sum ^ (unsigned char)text[i]) * 1099511628211u;
    }
    return sum;
}

static void write_pid(struct kmr_vm *vm)
{
    const struct kmr_pair *pair = &vm->pair;
    const char *want = kmr_want_text(pair->want);
    char text[sizeof(vm->pid_text)] = "";
    char name[KMR_VM_MAX + 8];

    if (vm->proc.pid) {
        snprintf(text, sizeof(text),
                 "pid=%d\nstart=%" PRIu64 "\ninstance=%s\nwant=%s\nalone=%d\n",
                 (int)vm->proc.pid, vm->proc.start, pair->instance, want,
                 pair->alone);
    } else if (kmr_phase_has_qemu(pair->phase)) {
        snprintf(text, sizeof(text), "instance=%s\nwant=%s\nalone=%d\n",
                 pair->instance, want, pair->alone);
    }
    if (strcmp(text, vm->pid_text) == 0) {
        return;
    }
    strcpy(vm->pid_text, text);
    snprintf(name, sizeof(name), "%s.pid", pair->vm);
    kmr_statefile_write(vm->shell->pids, name, text[0] ? text : NULL, NULL);
}

static void send_what_is_written(struct kmr_vm *vm)
{
    while (vm->outbox && vm->outbox->ticket != 0 &&
           vm->outbox->ticket <= vm->written) {
        struct kmr_outgoing *item = vm->outbox;

        vm->outbox = item->next;
        kmr_shell_send(vm->shell, &item->msg);
        free(item);
    }
}

void kmr_state_send_later(struct kmr_vm *vm, const struct kmr_msg *msg)
{
    struct kmr_outgoing *item = calloc(1, sizeof(*item));
    struct kmr_outgoing **at = &vm->outbox;

    if (!item) {
        return; /* as if it were lost on the way */
    }
    item->msg = *msg;
    while (*at) {
        at = &(*at)->next;
    }
    *at = item;
}

void kmr_state_write(struct kmr_vm *vm)
{
    const struct kmr_pair *pair = &vm->pair;
    const struct kmr_consensus *agreed = &pair->agreed;
    char text[KMR_STATEFILE_MAX] = "";
    char name[KMR_VM_MAX + 8];

    if (vm->unread) {
        return; /* what the kemarid before knew would be overwritten */
    }
    add(text, "version=%d\nvm=%s\nid=%s\nwrites=%" PRIu64 "\nlost=%d\n",
        VERSION, pair->vm, agreed->id, agreed->writes, agreed->lost);
    add_record(text, "", &agreed->record);
    add_ballot(text, "promised", &agreed->promised);
    add_ballot(text, "accepted", &agreed->accepted);
    if (agreed->accepted.round != 0) {
        add_record(text, "value.", &agreed->value);
    }
    add(text, "boot=%016" PRIx64 "\nwant=%s\nalone=%d\n", pair->boot,
        kmr_want_text(pair->want), pair->alone);
    add(text, "config=%s\nresource=%s\n", vm->config, vm->resource);
    if (kmr_phase_has_qemu(pair->phase)) {
        add(text, "instance=%s\n", pair->instance);
    }
    if (vm->proc.pid) {
        add(text, "pid=%d\nstart=%" PRIu64 "\n", (int)vm->proc.pid,
            vm->proc.start);
    }
    if (pair->down_id[0]) {
        add(text, "down=%s\n", pair->down_id);
    }
    add(text, "sum=%016" PRIx64 "\n", sum_of(text, strlen(text)));
    if (strcmp(text, vm->state_text) != 0) {
        strcpy(vm->state_text, text);
        snprintf(name, sizeof(name), "%s.state", pair->vm);
        if (kmr_statefile_write(vm->shell->states, name, text, &vm->ticket)) {
            vm->state_text[0] = '\0';
            qb_log(LOG_ERR, "pair %s: can't write its state: no memory",
                   pair->vm);
            return;
        }
        if (strcmp(vm->id, agreed->id) != 0) {
            strcpy(vm->id, agreed->id);
            vm->id_ticket = vm->ticket;
        }
        write_pid(vm);
    }
    for (struct kmr_outgoing *item = vm->outbox; item; item = item->next) {
        if (item->ticket == 0) {
            item->ticket = vm->ticket;
        }
    }
    if (vm->create_waits && vm->create_ticket == 0) {
        vm->create_ticket = vm->ticket;
    }
    send_what_is_written(vm);
    kmr_vm_create_written(vm);
}

/* A voter by an id that a crash takes away again would never vote. */
const char *kmr_state_id(const struct kmr_vm *vm)
{
    return vm->written >= vm->id_ticket ? vm->id : "";
}

void kmr_state_written(const char *name, uint64_t ticket, int err, void *user)
{
    struct kmr_shell *shell = user;
    char vm_name[KMR_VM_MAX];
    struct kmr_vm *vm;

    snprintf(vm_name, sizeof(vm_name), "%.*s",
             (int)(strlen(name) - strlen(".state")), name);
    vm = kmr_shell_vm(shell, vm_name, false);
    if (!vm) {
        return;
    }
    if (!err) {
        if (vm->written < vm->id_ticket && ticket >= vm->id_ticket) {
            kmr_shell_status_soon(shell); /* now it may have a vote */
        }
        vm->written = ticket;
        if (vm->abstains) {
            vm->abstains = false;
            qb_log(LOG_NOTICE, "pair %s: its state file is written again",
                   vm_name);
        }
        send_what_is_written(vm);
        kmr_vm_create_written(vm);
        return;
    }
    /* What was not written must never be said. */
    while (vm->outbox && vm->outbox->ticket != 0 &&
           vm->outbox->ticket <= ticket) {
        struct kmr_outgoing *item = vm->outbox;

        vm->outbox = item->next;
        free(item);
    }
    vm->state_text[0] = '\0';
    if (!vm->abstains) {
        vm->abstains = true;
        qb_log(LOG_ERR,
               "pair %s: this node does not vote: its state can't be "
               "written: %s",
               vm_name, strerror(-err));
    }
}

void kmr_state_free(struct kmr_vm *vm)
{
    while (vm->outbox) {
        struct kmr_outgoing *item = vm->outbox;

        vm->outbox = item->next;
        free(item);
    }
}

/* ---- reading ---- */

/* Each reader is false for a line that is there and can't be right. */

static bool get(const char *text, const char *prefix, const char *what,
                char *ret_value, size_t size)
{
    char key[48];

    snprintf(key, sizeof(key), "%s%s", prefix, what);
    return kmr_statefile_get(text, key, ret_value, size);
}

static bool read_inst(const char *text, const char *prefix, const char *what,
                      struct kmr_inst *inst)
{
    char value[256];
    int dead, frozen;

    if (!get(text, prefix, what, value, sizeof(value))) {
        return true;
    }
    if (sscanf(value, "%63s %" SCNx64 " %36s %" SCNu64 " %d %d", inst->node,
               &inst->boot, inst->id, &inst->until, &dead, &frozen) != 6 ||
        !kmr_text_is_name(inst->node) || !kmr_text_is_uuid(inst->id)) {
        return false;
    }
    inst->dead = dead != 0;
    inst->frozen = frozen != 0;
    return true;
}

static bool read_voter(const char *text, const char *prefix, unsigned i,
                       struct kmr_voter *voter)
{
    char what[16], value[256];

    snprintf(what, sizeof(what), "voter%u", i);
    if (!get(text, prefix, what, value, sizeof(value))) {
        return true;
    }
    return sscanf(value, "%63s %36s", voter->node, voter->id) == 2 &&
           kmr_text_is_name(voter->node) && kmr_text_is_uuid(voter->id);
}

static bool read_number(const char *text, const char *prefix, const char *what,
                        uint64_t *ret_number)
{
    char value[64];
    char *end;

    if (!get(text, prefix, what, value, sizeof(value)) || !value[0]) {
        return false;
    }
    errno = 0;
    *ret_number = strtoull(value, &end, 10);
    return errno == 0 && *end == '\0';
}

static bool read_record(const char *text, const char *prefix,
                        struct kmr_record *record)
{
    char value[64], what[16];
    bool good = read_number(text, prefix, "generation", &record->generation) &&
                get(text, prefix, "mode", value, sizeof(value));
    bool mode = false;

    for (int i = 0; good && i < KMR_MODE_COUNT; i++) {
        if (strcmp(value, kmr_mode_text((enum kmr_mode)i)) == 0) {
            record->mode = (enum kmr_mode)i;
            mode = true;
        }
    }
    good = good && mode && read_inst(text, prefix, "owner", &record->owner) &&
           read_inst(text, prefix, "standby", &record->standby);
    for (unsigned i = 0; good && i < KMR_EARLIER_MAX; i++) {
        snprintf(what, sizeof(what), "earlier%u", i);
        good = read_inst(text, prefix, what, &record->earlier[i]);
    }
    for (unsigned i = 0; good && i < KMR_VOTERS_MAX; i++) {
        good = read_voter(text, prefix, i, &record->voters[i]);
    }
    return good && (record->generation == 0) == (record->mode == KMR_MODE_NONE);
}

static bool read_ballot(const char *text, const char *what,
                        struct kmr_ballot *ballot)
{
    char value[64];

    if (!get(text, "", what, value, sizeof(value))) {
        return true;
    }
    return sscanf(value, "%" SCNu32 " %36s", &ballot->round, ballot->id) == 2 &&
           kmr_text_is_uuid(ballot->id);
}

/* Why the file can't be used; NULL: it can. */
static const char *read_agreed(const char *text, struct kmr_consensus *agreed,
                               const char *vm)
{
    const char *end = strstr(text, "\nsum=");
    char value[KMR_VM_MAX];
    uint64_t number;

    if (!end ||
        strtoull(end + 5, NULL, 16) != sum_of(text, (size_t)(end + 1 - text))) {
        return "it is damaged";
    }
    if (!read_number(text, "", "version", &number) || number != VERSION) {
        return "it is of another version";
    }
    if (!get(text, "", "vm", value, sizeof(value)) || strcmp(value, vm) != 0) {
        return "it is another VM's";
    }
    if (!read_record(text, "", &agreed->record) ||
        !read_number(text, "", "writes", &agreed->writes) ||
        !read_number(text, "", "lost", &number) ||
        !get(text, "", "id", agreed->id, sizeof(agreed->id)) ||
        (agreed->id[0] && !kmr_text_is_uuid(agreed->id)) ||
        !read_ballot(text, "promised", &agreed->promised) ||
        !read_ballot(text, "accepted", &agreed->accepted) ||
        (agreed->accepted.round != 0 &&
         !read_record(text, "value.", &agreed->value))) {
        return "it makes no sense";
    }
    agreed->lost = number != 0;
    return NULL;
}

/* What this boot of the node knew of its QEMU. */
static void read_local(struct kmr_vm *vm, const char *text)
{
    struct kmr_pair *pair = &vm->pair;
    struct kmr_event event = { .type = KMR_EVENT_ADOPT };
    char value[64];
    uint64_t pid = 0;

    if (kmr_statefile_get(text, "want", value, sizeof(value))) {
        pair->want = strcmp(value, "promoted") == 0     ? KMR_WANT_PROMOTED
                     : strcmp(value, "unpromoted") == 0 ? KMR_WANT_UNPROMOTED
                                                        : KMR_WANT_STOPPED;
    }
    pair->alone = kmr_statefile_get(text, "alone", value, sizeof(value)) &&
                  strcmp(value, "1") == 0;
    pair->phase =
        pair->want == KMR_WANT_STOPPED ? KMR_PHASE_STOPPED : KMR_PHASE_IDLE;
    if (!kmr_statefile_get(text, "instance", event.id, sizeof(event.id)) ||
        !kmr_text_is_uuid(event.id)) {
        return;
    }
    if (read_number(text, "", "pid", &pid)) {
        vm->proc.pid = (pid_t)pid;
        read_number(text, "", "start", &vm->proc.start);
    } else if (kmr_proc_of_domain(NULL, pair->vm, NULL, &vm->proc) != 0) {
        memset(&vm->proc, 0, sizeof(vm->proc));
    }
    if (vm->proc.pid != 0 && kmr_proc_alive(&vm->proc) == 0) {
        memset(&vm->proc, 0, sizeof(vm->proc));
        return; /* the core will say that it is dead */
    }
    /* Without a pid libvirtd may be starting it just now: not dead yet. */
    vm->create_since_ms = kmr_now_ms();
    vm->blind = vm->proc.pid == 0;
    kmr_shell_step(vm, &event);
    if (vm->proc.pid != 0) {
        kmr_vm_watch(vm);
    }
}

/*
 * /run/kemari/VM.pid ends with the boot, and is of its end: where the state
 * file is lost, damaged or stale, a QEMU that runs must not be taken for dead.
 */
void kmr_state_adopt(struct kmr_vm *vm)
{
    char name[KMR_VM_MAX + 8];
    char *text;
    int err;

    snprintf(name, sizeof(name), "%s.pid", vm->pair.vm);
    err = kmr_statefile_read(KMR_RUN_DIR, name, &text);
    vm->unread = false;
    if (err == 0) {
        read_local(vm, text);
        free(text);
    }
}

int kmr_state_forced(const struct kmr_vm *vm)
{
    const struct kmr_record *record = &vm->pair.agreed.record;
    FILE *file = fopen(KMR_STATE_DIR "/forced.log", "ae");
    int err;

    if (!file) {
        return -errno;
    }
    fprintf(file,
            "%" PRIu64 " us: %s: generation %" PRIu64 " (%s, owner %s %s, "
            "standby %s %s) overruled on %s\n",
            kmr_wall_us(), vm->pair.vm, record->generation,
            kmr_mode_text(record->mode), record->owner.node, record->owner.id,
            record->standby.node, record->standby.id, vm->pair.node);
    err = fflush(file) == 0 && fsync(fileno(file)) == 0 ? 0 : -errno;
    fclose(file);
    return err;
}

static void put_aside(struct kmr_vm *vm, const char *file, const char *reason)
{
    char from[512], to[520];

    snprintf(from, sizeof(from), KMR_STATE_DIR "/%s", file);
    snprintf(to, sizeof(to), "%s.bad", from);
    if (rename(from, to) != 0) {
        qb_log(LOG_ERR, "%s: %s", from, strerror(errno));
    }
    qb_log(LOG_ERR,
           "%s can't be used: %s. It is kept as %s; this node does not vote "
           "for %s until the others admit it",
           from, reason, to, vm->pair.vm);
    vm->pair.agreed.lost = true;
}

static void load_file(struct kmr_shell *shell, const char *file)
{
    char name[KMR_VM_MAX];
    const char *reason;
    struct kmr_vm *vm;
    char *text = NULL;
    char value[32];
    int err;

    snprintf(name, sizeof(name), "%.*s", (int)(strlen(file) - strlen(".state")),
             file);
    vm = kmr_shell_vm(shell, name, true);
    if (!vm) {
        qb_log(LOG_ERR, KMR_STATE_DIR "/%s: no VM has such a name", file);
        return;
    }
    err = kmr_statefile_read(KMR_STATE_DIR, file, &text);
    if (err) {
        reason = strerror(-err);
    } else {
        struct kmr_consensus agreed;

        kmr_consensus_init(&agreed, vm->pair.node);
        reason = read_agreed(text, &agreed, name);
        if (!reason) {
            agreed.nodes = vm->pair.agreed.nodes;
            vm->pair.agreed = agreed;
            kmr_text_set(vm->id, sizeof(vm->id), agreed.id);
        }
    }
    if (reason) {
        put_aside(vm, file, reason);
        kmr_state_adopt(vm);
        kmr_state_write(vm);
        free(text);
        return;
    }
    kmr_statefile_get(text, "config", vm->config, sizeof(vm->config));
    kmr_statefile_get(text, "resource", vm->resource, sizeof(vm->resource));
    if (kmr_statefile_get(text, "boot", value, sizeof(value)) &&
        strtoull(value, NULL, 16) == shell->boot) {
        kmr_statefile_get(text, "down", vm->pair.down_id,
                          sizeof(vm->pair.down_id));
        kmr_state_adopt(vm);
        if (!kmr_phase_has_qemu(vm->pair.phase)) {
            read_local(vm, text);
        }
    }
    vm->unread = false;
    free(text);
}

int kmr_state_load(struct kmr_shell *shell)
{
    DIR *folder = opendir(KMR_STATE_DIR);
    struct dirent *entry;

    if (!folder) {
        return -errno;
    }
    while ((entry = readdir(folder))) {
        size_t len = strlen(entry->d_name);
        size_t end = strlen(".state");

        if (entry->d_name[0] != '.' && len > end && len - end < KMR_VM_MAX &&
            strcmp(entry->d_name + len - end, ".state") == 0) {
            load_file(shell, entry->d_name);
        }
    }
    closedir(folder);
    shell->loaded = true;
    for (unsigned i = 0; i < shell->vm_count; i++) {
        kmr_shell_tell_peers(shell->vms[i]);
    }
    return 0;
}
