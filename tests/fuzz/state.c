/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Target: a state file, as kemarid finds it when it starts. What was read is
 * written and read again: the text must be the same from then on.
 */
#include "../../kemarid/shell_state.c"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned seed);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct kmr_shell shell;
static struct kmr_vm vm;
static char first[KMR_STATEFILE_MAX];
static uint64_t accepted, refused;

static void check(bool right, const char *what)
{
    if (!right) {
        fprintf(stderr, "wrong: %s\n%s---\n%s", what, first, vm.state_text);
        abort();
    }
}

/* ---- what shell_state.c calls ---- */

/* kemarid's own is in the same file as the reader's. */
int fuzz_statefile_write(struct kmr_statefile *files, const char *name,
                         const char *text, uint64_t *ret_ticket)
{
    (void)files;
    (void)name;
    if (ret_ticket) {
        *ret_ticket = 1;
    }
    return text && strlen(text) > KMR_STATEFILE_MAX ? -E2BIG : 0;
}

void kmr_shell_send(struct kmr_shell *to, struct kmr_msg *msg)
{
    (void)to;
    (void)msg;
    abort();
}

void kmr_shell_status_soon(struct kmr_shell *of)
{
    (void)of;
}

void kmr_shell_tell_peers(struct kmr_vm *of)
{
    (void)of;
}

struct kmr_vm *kmr_shell_vm(struct kmr_shell *of, const char *name, bool create)
{
    (void)of;
    (void)name;
    (void)create;
    return &vm;
}

void kmr_shell_step(struct kmr_vm *of, struct kmr_event *event)
{
    check(kmr_text_is_uuid(event->id), "an instance without an id");
    of->pair.phase = KMR_PHASE_SOLO;
    kmr_text_set(of->pair.instance, sizeof(of->pair.instance), event->id);
}

void kmr_vm_create_written(struct kmr_vm *of)
{
    (void)of;
}

void kmr_vm_watch(struct kmr_vm *of)
{
    check(of->proc.pid != 0, "no process to watch");
}

int kmr_proc_of_domain(const char *folder, const char *domain, const char *uuid,
                       struct kmr_proc *ret_proc)
{
    (void)folder;
    (void)domain;
    (void)uuid;
    (void)ret_proc;
    return -ENOENT;
}

int kmr_proc_alive(const struct kmr_proc *proc)
{
    return proc->start % 2 == 0;
}

uint64_t kmr_now_ms(void)
{
    return 1;
}

uint64_t kmr_wall_us(void)
{
    return 1;
}

/* ---- the target ---- */

static bool load(const char *text)
{
    struct kmr_consensus agreed;

    memset(&vm, 0, sizeof(vm));
    vm.shell = &shell;
    strcpy(vm.pair.vm, "vm0");
    strcpy(vm.pair.node, "node1");
    kmr_consensus_init(&agreed, vm.pair.node);
    if (read_agreed(text, &agreed, "vm0")) {
        return false;
    }
    vm.pair.agreed = agreed;
    kmr_statefile_get(text, "config", vm.config, sizeof(vm.config));
    kmr_statefile_get(text, "resource", vm.resource, sizeof(vm.resource));
    kmr_statefile_get(text, "down", vm.pair.down_id, sizeof(vm.pair.down_id));
    read_local(&vm, text);
    return true;
}

static uint64_t parse_number(const char *text, const char *key)
{
    char value[64];

    return kmr_statefile_get(text, key, value, sizeof(value))
               ? strtoull(value, NULL, 10)
               : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text;

    if (size > KMR_STATEFILE_MAX || memchr(data, 0, size)) {
        return 0; /* kmr_statefile_read() refuses it */
    }
    text = strndup((const char *)data, size);
    if (!load(text)) {
        refused++;
        free(text);
        return 0;
    }
    accepted++;
    kmr_state_write(&vm);
    strcpy(first, vm.state_text);
    check(parse_number(first, "generation") == parse_number(text, "generation"),
          "another generation");
    check(parse_number(first, "writes") == parse_number(text, "writes"),
          "another count of writes");
    check(load(first), "what was written can't be read");
    kmr_state_write(&vm);
    check(strcmp(first, vm.state_text) == 0, "what was read is not the same");
    free(text);
    return 0;
}

/* A right sum can't be guessed. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned seed)
{
    char *end, sum[32];
    size_t at;

    size = LLVMFuzzerMutate(data, size, max_size);
    if (seed % 8 == 0 || size < 32) {
        return size;
    }
    end = memmem(data, size, "\nsum=", 5);
    at = end ? (size_t)(end - (char *)data) : size - 23;
    if (size - at < 23) {
        at = size - 23;
    }
    snprintf(sum, sizeof(sum), "\nsum=%016" PRIx64 "\n",
             sum_of((char *)data, at + 1));
    data[at] = '\n';
    snprintf(sum, sizeof(sum), "\nsum=%016" PRIx64 "\n",
             sum_of((char *)data, at + 1));
    memcpy(data + at, sum, 22);
    return at + 22;
}

/* ---- start ---- */

#define UUID "11111111-2222-4333-8444-555555555555"

static void write_seed(const char *folder, const char *name)
{
    char path[4096];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    kmr_state_write(&vm);
    file = fopen(path, "w");
    check(file && fputs(vm.state_text, file) >= 0 && fclose(file) == 0,
          "can't write a seed");
}

static void write_seeds(const char *folder)
{
    struct kmr_consensus *agreed = &vm.pair.agreed;
    struct kmr_record *record = &agreed->record;

    vm.shell = &shell;
    strcpy(vm.pair.vm, "vm0");
    kmr_consensus_init(agreed, "node1");
    strcpy(agreed->id, UUID);
    write_seed(folder, "new");
    agreed->writes = 12;
    record->generation = 41;
    record->mode = KMR_MODE_PAIRED;
    strcpy(record->owner.node, "node1");
    strcpy(record->owner.id, UUID);
    record->standby = record->earlier[0] = record->earlier[1] = record->owner;
    for (int i = 0; i < KMR_VOTERS_MAX; i++) {
        snprintf(record->voters[i].node, KMR_NODE_MAX, "node%d", i);
        strcpy(record->voters[i].id, UUID);
    }
    strcpy(vm.config, "/etc/kemari/vm0.xml");
    strcpy(vm.resource, "vm0");
    write_seed(folder, "paired");
    agreed->promised.round = agreed->accepted.round = 3;
    strcpy(agreed->promised.id, UUID);
    strcpy(agreed->accepted.id, UUID);
    agreed->value = *record;
    vm.pair.phase = KMR_PHASE_SOLO;
    vm.pair.want = KMR_WANT_PROMOTED;
    strcpy(vm.pair.instance, UUID);
    strcpy(vm.pair.down_id, UUID);
    vm.proc.pid = 4711;
    vm.proc.start = 12;
    write_seed(folder, "claims");
}

static void report(void)
{
    fprintf(stderr, "accepted: %" PRIu64 " files (refused: %" PRIu64 ")\n",
            accepted, refused);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    if (*argc == 3 && strcmp((*argv)[1], "--seeds") == 0) {
        write_seeds((*argv)[2]);
        exit(0);
    }
    atexit(report);
    return 0;
}
