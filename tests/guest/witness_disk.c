/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The witness's records: on the disk, and in a table in memory beside it. */
#include "witness_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <linux/fs.h>
#include <unistd.h>

#define RING_MAX 8192
#define WRITER_BLOCKS_MAX 2048

/* What the block of the same number was last written with. */
struct entry {
    uint64_t client;
    uint64_t seq; /* 0: not since the guest booted */
    uint64_t sum; /* of the whole block */
    uint32_t connection;
    uint32_t check;
};

static int disk_fds[WIT_MAX_DISKS];
static unsigned disk_count;
/* of each disk; as on the smallest */
static uint64_t ring_blocks = RING_MAX;
static uint64_t writer_start = UINT64_MAX; /* block */
static uint64_t writer_blocks = WRITER_BLOCKS_MAX;
static struct entry *table;
static uint64_t table_sum; /* of all entries, order does not matter */
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t smaller(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

int wit_disk_open(const char *path)
{
    struct stat st;
    uint64_t bytes = 0;
    uint64_t half;
    int fd;

    if (disk_count == WIT_MAX_DISKS) {
        return -E2BIG;
    }
    fd = open(path, O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC);

    /* a file on tmpfs: only outside of a guest, when the tests try this */
    if (fd < 0 && errno == EINVAL && getpid() != 1) {
        fd = open(path, O_RDWR | O_DSYNC | O_CLOEXEC);
    }
    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, &st) < 0) {
        goto fail;
    }
    if (S_ISBLK(st.st_mode)) {
        if (ioctl(fd, BLKGETSIZE64, &bytes) < 0) {
            goto fail;
        }
    } else {
        bytes = (uint64_t)st.st_size;
    }
    half = bytes / WIT_BLOCK / 2;
    ring_blocks = smaller(ring_blocks, half / WIT_MAX_CONNECTIONS);
    writer_start = smaller(writer_start, half);
    writer_blocks = smaller(writer_blocks, (bytes / WIT_BLOCK - writer_start) /
                                               WIT_MAX_WRITERS);
    if (ring_blocks < WIT_VERIFY_MAX || writer_blocks < 1) {
        errno = ENOSPC;
        goto fail;
    }
    if (!table) {
        table = calloc(ring_blocks * WIT_MAX_CONNECTIONS, sizeof(*table));
    }
    if (!table) {
        errno = ENOMEM;
        goto fail;
    }
    disk_fds[disk_count++] = fd;
    return 0;

fail:;
    int error = errno;
    close(fd);
    return -error;
}

uint64_t wit_disk_ring(void)
{
    return ring_blocks;
}

static uint64_t entry_sum(const struct entry *entry)
{
    return entry->seq ? wit_sum(entry, sizeof(*entry)) : 0;
}

static uint64_t record_sum(struct wit_record *record)
{
    uint64_t kept = record->sum;

    record->sum = 0;
    uint64_t sum = wit_sum(record, WIT_BLOCK);
    record->sum = kept;
    return sum;
}

/* Whole, and the record of this request? */
static bool is_record(struct wit_record *record, uint64_t client,
                      uint32_t connection, uint64_t seq)
{
    return record->magic == WIT_MAGIC && record->client == client &&
           record->connection == connection && record->seq == seq &&
           record_sum(record) == record->sum;
}

static uint16_t check_before(const struct wit_request *request,
                             struct wit_record *record, struct entry known,
                             uint64_t block)
{
    uint16_t status = 0;

    if (is_record(record, request->client, request->connection, request->seq)) {
        wit_say("EARLY block %lu has connection %u seq %lu already", block,
                request->connection, request->seq);
        wit_count(&wit_state.early);
        status |= WIT_EARLY;
    } else if (known.seq &&
               (!is_record(record, known.client, known.connection, known.seq) ||
                record->sum != known.sum)) {
        wit_say("LOST block %lu has connection %u seq %lu, not seq %lu", block,
                record->connection, record->seq, known.seq);
        wit_count(&wit_state.lost);
        status |= WIT_PREVIOUS;
    }
    return status;
}

uint16_t wit_disk_write(unsigned slot, const struct wit_request *request,
                        const uint8_t *payload, void *block)
{
    struct wit_record *record = block;
    uint64_t number = slot * ring_blocks + request->seq % ring_blocks;
    off_t offset = (off_t)(number * WIT_BLOCK);
    int fd = disk_fds[slot % disk_count];
    struct entry *entry = &table[number];
    struct entry now;
    uint16_t status = 0;
    uint64_t real_ns;

    pthread_mutex_lock(&table_lock);
    struct entry known = *entry;
    pthread_mutex_unlock(&table_lock);
    if (pread(fd, block, WIT_BLOCK, offset) != WIT_BLOCK) {
        wit_say("I/O error: read of block %lu: %s", number, strerror(errno));
        wit_count(&wit_state.io_errors);
        return WIT_IO_ERROR;
    }
    status |= check_before(request, record, known, number);

    memset(record, 0, sizeof(*record));
    record->magic = WIT_MAGIC;
    record->connection = request->connection;
    record->client = request->client;
    record->seq = request->seq;
    memcpy(record->boot_id, wit_boot_id, sizeof(wit_boot_id));
    wit_clock(&record->mono_ns, &real_ns);
    record->check = request->check;
    record->payload = request->payload;
    memcpy(record->data, payload, request->payload);
    record->sum = record_sum(record);
    if (pwrite(fd, block, WIT_BLOCK, offset) != WIT_BLOCK) {
        wit_say("I/O error: write of block %lu: %s", number, strerror(errno));
        wit_count(&wit_state.io_errors);
        return status | WIT_IO_ERROR;
    }
    now = (struct entry){ .client = request->client,
                          .seq = request->seq,
                          .sum = record->sum,
                          .connection = request->connection,
                          .check = request->check };
    pthread_mutex_lock(&table_lock);
    table_sum += entry_sum(&now) - entry_sum(entry);
    *entry = now;
    pthread_mutex_unlock(&table_lock);
    return status;
}

static uint32_t answer_disk(struct wit_record *record,
                            const struct wit_request *request, uint64_t seq)
{
    if (is_record(record, request->client, request->connection, seq)) {
        return record->check;
    }
    if (record->client == request->client && record->seq > seq &&
        is_record(record, request->client, request->connection, record->seq)) {
        return WIT_OVERWRITTEN;
    }
    return WIT_MISSING;
}

static uint32_t answer_memory(const struct entry *entry,
                              const struct wit_request *request, uint64_t seq)
{
    if (entry->client != request->client ||
        entry->connection != request->connection || entry->seq < seq) {
        return WIT_MISSING;
    }
    return entry->seq == seq ? entry->check : WIT_OVERWRITTEN;
}

void wit_disk_verify(unsigned slot, const struct wit_request *request,
                     struct wit_answer *answer, void *buffer)
{
    struct wit_record *record = buffer;

    for (uint32_t i = 0; i < request->count;) {
        uint64_t start = (request->seq + i) % ring_blocks;
        uint64_t number = slot * ring_blocks + start;
        uint64_t run = request->count - i;
        if (run > ring_blocks - start) {
            run = ring_blocks - start;
        }
        ssize_t got = pread(disk_fds[slot % disk_count], buffer,
                            run * WIT_BLOCK, (off_t)(number * WIT_BLOCK));
        if (got != (ssize_t)(run * WIT_BLOCK)) {
            wit_say("I/O error: read of block %lu: %s", number,
                    strerror(errno));
            wit_count(&wit_state.io_errors);
            memset(buffer, 0, run * WIT_BLOCK);
        }
        pthread_mutex_lock(&table_lock);
        for (uint64_t k = 0; k < run; k++) {
            uint64_t seq = request->seq + i + k;
            answer[i + k].disk = answer_disk(&record[k], request, seq);
            answer[i + k].memory =
                answer_memory(&table[number + k], request, seq);
        }
        pthread_mutex_unlock(&table_lock);
        i += (uint32_t)run;
    }
}

void wit_disk_check_table(void)
{
    uint64_t sum = 0;

    pthread_mutex_lock(&table_lock);
    for (uint64_t i = 0; i < ring_blocks * WIT_MAX_CONNECTIONS; i++) {
        sum += entry_sum(&table[i]);
    }
    bool good = sum == table_sum;
    pthread_mutex_unlock(&table_lock);
    if (!good) {
        wit_say("TABLE damaged: sum %lx, should be %lx", sum, table_sum);
        wit_count(&wit_state.table_bad);
    }
}

/* Writes its own blocks round and round, and believes none of them. */
static void *writer_main(void *arg)
{
    unsigned number = (unsigned)(uintptr_t)arg;
    uint64_t first = writer_start + number * writer_blocks;
    int fd = disk_fds[number % disk_count];
    uint64_t client = 0xb0000000u + number;
    uint64_t *known = calloc(writer_blocks, sizeof(*known));
    struct wit_record *record = NULL;

    if (!known || posix_memalign((void **)&record, WIT_BLOCK, WIT_BLOCK)) {
        wit_say("writer %u: no memory", number);
        free(known);
        return NULL;
    }
    for (uint64_t seq = 1;; seq++) {
        uint64_t i = seq % writer_blocks;
        uint64_t real_ns;
        off_t offset = (off_t)((first + i) * WIT_BLOCK);
        if (pread(fd, record, WIT_BLOCK, offset) != WIT_BLOCK) {
            wit_count(&wit_state.io_errors);
            wit_say("writer %u: read: %s", number, strerror(errno));
            known[i] = 0; /* or the next round misses what is written now */
            continue;
        }
        uint32_t boot;
        memcpy(&boot, wit_boot_id, sizeof(boot));
        if (is_record(record, client, boot, seq)) {
            wit_count(&wit_state.early);
            wit_say("EARLY writer %u: seq %lu", number, seq);
        } else if (known[i] &&
                   !is_record(record, client, boot, seq - writer_blocks)) {
            wit_count(&wit_state.lost);
            wit_say("LOST writer %u: block %lu has %lu, not %lu", number, i,
                    record->seq, seq - writer_blocks);
        }
        memset(record, 0, sizeof(*record));
        record->magic = WIT_MAGIC;
        record->client = client;
        record->connection = boot;
        record->seq = seq;
        wit_clock(&record->mono_ns, &real_ns);
        record->sum = record_sum(record);
        if (pwrite(fd, record, WIT_BLOCK, offset) != WIT_BLOCK) {
            wit_count(&wit_state.io_errors);
            wit_say("writer %u: write: %s", number, strerror(errno));
            known[i] = 0;
            continue;
        }
        known[i] = seq;
        wit_count(&wit_state.writes);
    }
    return NULL;
}

int wit_disk_start_writers(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        pthread_t thread;
        int error =
            pthread_create(&thread, NULL, writer_main, (void *)(uintptr_t)i);
        if (error) {
            return -error;
        }
        pthread_detach(thread);
    }
    return 0;
}
