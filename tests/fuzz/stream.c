/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Target: what a standby receives, and the few things that a primary does.
 *
 * Not only that nothing crashes: what was accepted must be exactly what the
 * sender's half of the same file makes of it, the memory of the VM must be
 * what a naive reading of the table says, and the receiver may not allocate
 * much more than it was sent.
 */
#include "qemu/osdep.h"

#include "stream.h"

#include "kemari.h"
#include "net/filter-kemari.h"
#include "qemu/bswap.h"
#include "qemu/units.h"

#define PAGE 64
#define BLOCK0 40 /* pages */
#define BLOCK1 24
#define SMALL (1024 * 1024)   /* bytes that the receiver may allocate at once */
#define ZEROS (3 * SMALL / 2) /* of a peer that goes on and on */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

KemariVM kemari;
GByteArray *fuzz_hello, *fuzz_ready;
static QIOChannel channel;
static KemariCheckpoint c;
static uint8_t *shadow[2]; /* the memory, as it should be */
static uint64_t accepted[4];
static const QemuUUID own = { .data = "own instance...." };
static const QemuUUID other = { .data = "the other one..." };

static void check(bool right, const char *what)
{
    if (!right) {
        fprintf(stderr, "wrong: %s\n", what);
        abort();
    }
}

static void swap_sides(void)
{
    QemuUUID uuid = kemari.instance;

    kemari.instance = kemari.peer;
    kemari.peer = uuid;
}

/* What was read since `from` is what was "sent". */
static void check_same(size_t from, const char *what)
{
    size_t len = fuzz_sent->len;
    g_autofree uint8_t *heard = g_malloc0(len);

    check(fuzz_in.at - from == len, what);
    if (from < fuzz_in.size) { /* what is behind it is zeros */
        memcpy(heard, fuzz_in.data + from, MIN(len, fuzz_in.size - from));
    }
    check(memcmp(fuzz_sent->data, heard, len) == 0, what);
    g_byte_array_set_size(fuzz_sent, 0);
}

static void check_hello(void)
{
    size_t from = fuzz_in.at;
    Error *err = NULL;

    if (kemari_recv_hello(NULL, &err)) {
        check(!err, "an error beside success");
        swap_sides();
        kemari_send_hello(&channel, &err);
        swap_sides();
        check_same(from, "a hello that nobody sends");
        accepted[0]++;
        check(kemari_send_ready(&channel, &err), "ready is not sent");
        g_byte_array_set_size(fuzz_sent, 0);
    } else {
        check(err, "no error beside failure");
        kemari_send_refusal(&channel, "a reason");
        g_byte_array_set_size(fuzz_sent, 0);
    }
    fuzz_error_free(err);
}

/* Nothing is read behind a header that announces too much. */
static void check_refusal(size_t from)
{
    bool much = c.n_pages > c.max_pages;

    much = much || c.device_len > KEMARI_MAX_DEVICE_STATE;
    much = much || c.packets_len > KEMARI_MAX_PACKETS;
    check(!much || fuzz_in.at - from <= FUZZ_HEAD, "more than there may be");
}

static void check_checkpoint(size_t from, uint64_t seq)
{
    Error *err = NULL;
    uint64_t n = c.n_pages;

    check(c.seq == seq, "a checkpoint out of order");
    check(kemari_send_checkpoint(&channel, &c, &err) && !err, "not to be sent");
    check_same(from, "a checkpoint that nobody sends");
    for (uint64_t i = 0; i < n; i++) {
        uint64_t page = be64_to_cpu(c.table[i]);
        uint64_t block = KEMARI_PAGE_BLOCK(page);

        check(block < 2, "a block that is not there");
        check(KEMARI_PAGE_NUMBER(page) < (block ? BLOCK1 : BLOCK0),
              "a page that is not there");
        memcpy(shadow[block] + KEMARI_PAGE_NUMBER(page) * PAGE,
               c.pages + i * PAGE, PAGE);
    }
    kemari_apply_checkpoint(&c);
    check(memcmp(shadow[0], fuzz_blocks[0].host, BLOCK0 * PAGE) == 0 &&
              memcmp(shadow[1], fuzz_blocks[2].host, BLOCK1 * PAGE) == 0,
          "the memory is not what the table says");
    kemari_checkpoint_trim(&c);
}

static void check_packets(void)
{
    size_t at = 0;

    if (c.packets_len == 0) {
        return;
    }
    /* a second reading of what filter_kemari_check() said yes to */
    while (at < c.packets_len) {
        const uint8_t *head = c.packets + at;

        check(c.packets_len - at >= 9, "half the head of a packet");
        check(ldl_be_p(head) <= NET_BUFSIZE, "too large a packet");
        check(!(ldl_be_p(head + 4) & ~QEMU_NET_PACKET_FLAG_RAW),
              "a flag that nobody sets");
        check(!memchr(head + 9, 0, MIN(head[8], c.packets_len - at - 9)),
              "a name with a NUL");
        at += 9 + head[8] + (size_t)ldl_be_p(head);
    }
    check(at == c.packets_len, "a packet that goes on past the end");
    fuzz_packets = c.packets;
    fuzz_packets_end = c.packets + c.packets_len;
    filter_kemari_resend(c.packets, c.packets_len);
    accepted[3]++;
}

/* As kemari_receive() and kemari_keep_devices() of the standby. */
static void receive(void)
{
    uint8_t *kept = NULL;
    uint32_t kept_alloc = 0;
    uint64_t seq = 0;
    Error *err = NULL;

    for (;;) {
        size_t from = fuzz_in.at;
        bool good = kemari_recv_checkpoint(&channel, &c, &err);
        uint8_t *device = c.device;
        uint32_t alloc = c.device_alloc;

        check(alloc <= SMALL + 2 * fuzz_in.at, "an allocation in advance");
        if (!good) {
            check(err, "no error beside failure");
            check_refusal(from);
            break;
        }
        check(!err, "an error beside success");
        check_checkpoint(from, ++seq);
        check_packets();
        check(kemari_send_ack(&channel, c.seq, &err) && !err, "no ack");
        check(fuzz_sent->len == FUZZ_MARK, "the length of an ack");
        g_byte_array_set_size(fuzz_sent, 0);
        accepted[1]++;
        c.device = kept;
        c.device_alloc = kept_alloc;
        kept = device;
        kept_alloc = alloc;
    }
    fuzz_error_free(err);
    g_free(kept);
    g_free(c.device);
    c.device = NULL;
    c.device_alloc = 0;
    c.seq = 0;
}

static void be_primary(void)
{
    Error *err = NULL;
    size_t from = fuzz_in.at;

    if (kemari_recv_ready(&channel, &err)) {
        swap_sides();
        kemari_send_ready(&channel, &err);
        swap_sides();
        check_same(from, "a ready that nobody sends");
        for (uint64_t seq = 1;; seq++) {
            from = fuzz_in.at;
            if (!kemari_recv_ack(&channel, seq, &err)) {
                break;
            }
            accepted[2]++;
            kemari_send_ack(&channel, seq, &err);
            check_same(from, "an acknowledgement that nobody sends");
        }
    }
    check(err, "no error beside failure");
    fuzz_error_free(err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < FUZZ_PRELUDE) {
        return 0;
    }
    fuzz_in = (struct fuzz_stream){ .data = data,
                                    .size = size,
                                    .at = FUZZ_PRELUDE,
                                    .pieces = data[1] & 0x7f,
                                    .trouble = data[2] & 0x80 ? data[2] : 0 };
    fuzz_in.zeros = data[0] & FUZZ_ENDLESS ? ZEROS : 0;
    kemari.instance = own;
    kemari.peer = other;
    kemari.staging = KEMARI_STAGING_MAX; /* so what the peer says counts */
    g_byte_array_set_size(fuzz_sent, 0);
    memset(fuzz_blocks[0].host, 0, BLOCK0 * PAGE);
    memset(fuzz_blocks[2].host, 0, BLOCK1 * PAGE);
    memset(shadow[0], 0, BLOCK0 * PAGE);
    memset(shadow[1], 0, BLOCK1 * PAGE);
    if (data[0] & FUZZ_PRIMARY) {
        be_primary();
        return 0;
    }
    if (data[0] & FUZZ_HELLO) {
        check_hello();
    }
    receive();
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned seed)
{
    size = LLVMFuzzerMutate(data, size, max_size);
    if (size > 0 && seed % 256 != 0) {
        data[0] &= (uint8_t)~FUZZ_ENDLESS; /* takes a hundred times as long */
    }
    if (seed % 4 != 0) {
        fuzz_repair(data, size, seed);
    }
    return size;
}

/* ---- start ---- */

static void add_block(RAMBlock *block, const char *name, size_t pages)
{
    g_strlcpy(block->idstr, name, sizeof(block->idstr));
    block->used_length = pages * PAGE;
    block->max_length = block->used_length * 2; /* it could grow */
    block->host = g_malloc(block->used_length);
}

static void save(const char *folder, const char *name, uint8_t mode)
{
    g_autofree char *path = g_strdup_printf("%s/%s", folder, name);
    const uint8_t prelude[FUZZ_PRELUDE] = { mode, 0, 0 };

    g_byte_array_prepend(fuzz_sent, prelude, sizeof(prelude));
    check(g_file_set_contents(path, (char *)fuzz_sent->data, fuzz_sent->len,
                              NULL),
          "can't write a seed");
    g_byte_array_set_size(fuzz_sent, 0);
}

static void send_some(void)
{
    /* two packets, the second one without bytes */
    static uint8_t tail[] = "state of the devices"
                            "\0\0\0\5\0\0\0\1\4net0hello"
                            "\0\0\0\0\0\0\0\0\4bare";
    Error *err = NULL;

    for (c.seq = 1; c.seq <= 3; c.seq++) {
        c.flags = c.seq == 3 ? KEMARI_CKPT_FINAL : KEMARI_CKPT_RUNNING;
        c.n_pages = 3;
        for (uint32_t i = 0; i < c.n_pages; i++) {
            c.table[i] = cpu_to_be64(KEMARI_PAGE(i / 2, c.seq * i));
        }
        memset(c.pages, (int)c.seq, c.n_pages * PAGE);
        c.device = tail;
        c.device_len = 20;
        c.packets = tail + 20;
        c.packets_len = c.seq == 1 ? 0 : sizeof(tail) - 1 - 20;
        kemari_send_checkpoint(&channel, &c, &err);
    }
    c.device = NULL;
    c.device_len = 0;
    c.seq = 0;
}

/* More than what is allocated at first. */
static void send_large(void)
{
    const uint32_t sizes[] = { 150 * 1000, 100, 70 * 1000, 300 * 1000 };
    Error *err = NULL;

    c.n_pages = 0;
    c.packets_len = 0;
    for (c.seq = 1; c.seq <= G_N_ELEMENTS(sizes); c.seq++) {
        c.device_len = sizes[c.seq - 1];
        c.device = g_malloc(c.device_len);
        for (uint32_t i = 0; i < c.device_len; i++) {
            c.device[i] = (uint8_t)(i * 7 + i / 256);
        }
        kemari_send_checkpoint(&channel, &c, &err);
        g_free(c.device);
    }
    c.device = NULL;
    c.device_len = 0;
    c.seq = 0;
}

/* A header that announces more than there may be, or as much; then zeros. */
static void save_boast(const char *folder, const char *name, size_t field,
                       uint32_t value)
{
    Error *err = NULL;

    c.n_pages = 0;
    c.seq = 1;
    kemari_send_checkpoint(&channel, &c, &err);
    stl_be_p(fuzz_sent->data + field, value);
    g_byte_array_set_size(fuzz_sent, FUZZ_HEAD);
    save(folder, name, FUZZ_ENDLESS);
    c.seq = 0;
}

/* Inputs that the sender's half makes: right in every version. */
static void write_seeds(const char *folder)
{
    Error *err = NULL;

    send_some();
    save(folder, "checkpoints", 0);
    g_byte_array_append(fuzz_sent, fuzz_hello->data, fuzz_hello->len);
    send_some();
    save(folder, "whole", FUZZ_HELLO);
    g_byte_array_append(fuzz_sent, fuzz_ready->data, fuzz_ready->len);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        kemari_send_ack(&channel, seq, &err);
    }
    save(folder, "primary", FUZZ_PRIMARY);
    kemari_send_refusal(&channel, "instance \1 is not the expected peer");
    save(folder, "refused", FUZZ_PRIMARY);
    send_large();
    save(folder, "large", 0);
    save_boast(folder, "most-pages", 16, c.max_pages);
    save_boast(folder, "too-many-pages", 16, UINT32_MAX);
    save_boast(folder, "most-devices", 20, KEMARI_MAX_DEVICE_STATE);
    save_boast(folder, "too-many-devices", 20, UINT32_MAX);
    save_boast(folder, "most-packets", 24, KEMARI_MAX_PACKETS);
    save_boast(folder, "too-many-packets", 24, UINT32_MAX);
}

/* What the other side says first. */
static void make_beginnings(void)
{
    Error *err = NULL;

    swap_sides();
    kemari_send_hello(&channel, &err);
    fuzz_hello = fuzz_sent;
    fuzz_sent = g_byte_array_new();
    kemari_send_ready(&channel, &err);
    fuzz_ready = fuzz_sent;
    fuzz_sent = g_byte_array_new();
    swap_sides();
}

static void report(void)
{
    fprintf(stderr,
            "accepted: %" PRIu64 " hellos, %" PRIu64 " checkpoints, %" PRIu64
            " acknowledgements, %" PRIu64 " with packets\n",
            accepted[0], accepted[1], accepted[2], accepted[3]);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    add_block(&fuzz_blocks[0], "pc.ram", BLOCK0);
    add_block(&fuzz_blocks[1], "nobody's", 8);
    fuzz_blocks[1].ignored = true;
    add_block(&fuzz_blocks[2], "0000:00:02.0/vga.vram", BLOCK1);
    shadow[0] = g_malloc(BLOCK0 * PAGE);
    shadow[1] = g_malloc(BLOCK1 * PAGE);
    fuzz_sent = g_byte_array_new();
    kemari.timeout_ms = 1000;
    kemari.instance = own;
    kemari.peer = other;
    kemari.staging = KEMARI_STAGING_MAX;
    kemari_checkpoint_init(&c);
    kemari_checkpoint_destroy(&c);
    kemari_checkpoint_init(&c);
    make_beginnings();
    if (*argc == 3 && strcmp((*argv)[1], "--seeds") == 0) {
        write_seeds((*argv)[2]);
        exit(0);
    }
    atexit(report);
    return 0;
}
