/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mce-monitor/hwdecode.h"

#include <stdio.h>
#include <string.h>

#define PAGE_SHIFT 12

const char *kmr_hw_class_text(enum kmr_hw_class class)
{
    static const char *const texts[] = {
#define X(id, text) [KMR_HW_##id] = text,
        KMR_HW_CLASSES(X)
#undef X
    };

    return texts[class];
}

const char *kmr_hw_kind_text(enum kmr_hw_kind kind)
{
    static const char *const texts[] = {
#define X(id, text) [KMR_HW_##id] = text,
        KMR_HW_KINDS(X)
#undef X
    };

    return texts[kind];
}

static uint64_t hash(uint64_t sum, const char *text)
{
    for (; *text; text++) {
        sum = (sum ^ (unsigned char)*text) * UINT64_C(1099511628211);
    }
    return sum;
}

static void unknown(struct kmr_hw_finding *finding, const char *why)
{
    finding->class = KMR_HW_UNKNOWN;
    finding->kind = KMR_HW_K_UNKNOWN;
    finding->key = 0;
    finding->why = why;
}

/* enum hw_event_mc_err_type of the kernel */
static void decode_mc(const struct kmr_hw_record *record,
                      struct kmr_hw_finding *f)
{
    static const enum kmr_hw_class classes[] = {
        KMR_HW_CORRECTED, KMR_HW_OPTIONAL, KMR_HW_DEFERRED,
        KMR_HW_FATAL,     KMR_HW_INFO,
    };
    const uint64_t *number = record->number;
    uint64_t type = number[KMR_HW_ERROR_TYPE_AT];

    if (type >= sizeof(classes) / sizeof(classes[0])) {
        unknown(f, "no such type of memory error");
        return;
    }
    f->class = classes[type];
    f->kind = KMR_HW_K_DIMM;
    f->key = hash(number[KMR_HW_MC_INDEX_AT] << 24 ^
                      (number[KMR_HW_TOP_LAYER_AT] & 0xff) << 16 ^
                      (number[KMR_HW_MIDDLE_LAYER_AT] & 0xff) << 8 ^
                      (number[KMR_HW_LOWER_LAYER_AT] & 0xff),
                  record->text);
    f->count = (uint32_t)number[KMR_HW_ERROR_COUNT_AT];
    if (f->count == 0) {
        f->count = 1;
    }
    f->has_page = number[KMR_HW_ADDRESS_AT] != 0;
    f->page = number[KMR_HW_ADDRESS_AT] >> PAGE_SHIFT;
}

/* The types of pages are numbered anew from kernel to kernel; the results
 * are not: ignored, failed, delayed, recovered. */
static void decode_memory_failure(const struct kmr_hw_record *record,
                                  struct kmr_hw_finding *f)
{
    uint64_t result = record->number[KMR_HW_RESULT_AT];

    if (result > 3) {
        unknown(f, "no such result of a memory failure");
        return;
    }
    /* A page that is still in use waits for the next to touch it. */
    f->class = result <= 1 ? KMR_HW_OPTIONAL : KMR_HW_DEFERRED;
    f->kind = KMR_HW_K_MEMORY;
    f->key = 0;
}

/* AER_NONFATAL, AER_FATAL, AER_CORRECTABLE */
static void decode_aer(const struct kmr_hw_record *record,
                       struct kmr_hw_finding *f)
{
    static const enum kmr_hw_class classes[] = {
        KMR_HW_DEFERRED,
        KMR_HW_FATAL,
        KMR_HW_CORRECTED,
    };
    uint64_t severity = record->number[KMR_HW_SEVERITY_AT];

    if (severity >= sizeof(classes) / sizeof(classes[0])) {
        unknown(f, "no such severity of a PCI error");
        return;
    }
    f->class = classes[severity];
    f->kind = KMR_HW_K_PCI;
    /* What is corrected has a limit of its own. */
    f->key = hash(severity == 2, record->text);
}

/* CPER's severities: recoverable, fatal, corrected, informational */
static void decode_extlog(const struct kmr_hw_record *record,
                          struct kmr_hw_finding *f)
{
    static const enum kmr_hw_class classes[] = {
        KMR_HW_OPTIONAL,
        KMR_HW_FATAL,
        KMR_HW_CORRECTED,
        KMR_HW_INFO,
    };
    uint64_t sev = record->number[KMR_HW_SEV_AT];
    uint64_t address = record->number[KMR_HW_PA_AT];

    if (sev >= sizeof(classes) / sizeof(classes[0])) {
        unknown(f, "no such severity in the firmware's log");
        return;
    }
    f->class = classes[sev];
    f->kind = KMR_HW_K_DIMM;
    f->key = hash(UINT64_C(1) << 40, record->text);
    f->has_page = address != 0 && address != UINT64_MAX;
    /* Not the page of mc_event's: the same error may come both ways. */
    f->page = address >> PAGE_SHIFT ^ UINT64_C(1) << 60;
}

/* Errors that say nothing about the disk: what it can't do, what another
 * host has reserved, what is full, what can't be done without waiting. */
static bool harmless(int64_t error)
{
    switch (error) {
    case -11:  /* EAGAIN */
    case -28:  /* ENOSPC */
    case -52:  /* EBADE: a reservation conflict */
    case -95:  /* EOPNOTSUPP */
    case -121: /* EREMOTEIO: the target refuses such a request */
    case -125: /* ECANCELED */
        return true;
    default:
        return false;
    }
}

static void decode_block(const struct kmr_hw_record *record,
                         struct kmr_hw_finding *f)
{
    int64_t error = (int64_t)record->number[KMR_HW_ERROR_AT];

    if (error >= 0 || error < -4095) {
        unknown(f, "no such error of a disk");
        return;
    }
    /* Of a read ahead of its time nobody waits for the data. */
    f->class = harmless(error) || strchr(record->text, 'A') ? KMR_HW_INFO
                                                            : KMR_HW_OPTIONAL;
    f->kind = KMR_HW_K_DISK;
    f->key = record->number[KMR_HW_DEV_AT];
}

void kmr_hw_decode(const struct kmr_hw_record *record,
                   struct kmr_hw_finding *ret_finding)
{
    struct kmr_hw_finding *f = ret_finding;

    memset(f, 0, sizeof(*f));
    f->count = 1;
    f->why = "";
    if (record->broken) {
        unknown(f, "cut off");
        return;
    }
    switch (record->event) {
    case KMR_HW_MCE:
        kmr_hw_decode_mce(record, f);
        return;
    case KMR_HW_MC:
        decode_mc(record, f);
        return;
    case KMR_HW_MEMFAIL:
        decode_memory_failure(record, f);
        return;
    case KMR_HW_AER:
        decode_aer(record, f);
        return;
    case KMR_HW_EXTLOG:
        decode_extlog(record, f);
        return;
    case KMR_HW_RQ:
    case KMR_HW_BIO:
        decode_block(record, f);
        return;
    case KMR_HW_LINK:
        f->class = KMR_HW_INFO;
        f->kind = KMR_HW_K_LINK;
        f->key = hash(UINT64_C(14695981039346656037), record->text);
        f->down = record->number[KMR_HW_UP_AT] == 0;
        return;
    case KMR_HW_LOST:
        f->class = KMR_HW_INFO;
        f->kind = KMR_HW_K_LOST;
        return;
    case KMR_HW_EVENT_COUNT:
        break;
    }
    unknown(f, "no such event");
}

void kmr_hw_name(const struct kmr_hw_record *record,
                 const struct kmr_hw_finding *finding, char *ret_name,
                 size_t size)
{
    const uint64_t *number = record->number;

    switch (finding->kind) {
    case KMR_HW_K_DIMM:
        if (record->text[0]) {
            snprintf(ret_name, size, "%s", record->text);
        } else if (record->event == KMR_HW_MC) {
            snprintf(ret_name, size, "mc%u %d:%d:%d",
                     (unsigned)number[KMR_HW_MC_INDEX_AT],
                     (int)number[KMR_HW_TOP_LAYER_AT],
                     (int)number[KMR_HW_MIDDLE_LAYER_AT],
                     (int)number[KMR_HW_LOWER_LAYER_AT]);
        } else {
            snprintf(ret_name, size, "without a name");
        }
        return;
    case KMR_HW_K_CHANNEL: {
        int channel = kmr_hw_channel(record);

        snprintf(ret_name, size, "socket %u bank %u",
                 (unsigned)number[KMR_MCE_SOCKETID],
                 (unsigned)number[KMR_MCE_BANK]);
        if (channel >= 0) {
            size_t used = strlen(ret_name);

            snprintf(ret_name + used, size - used, " channel %d", channel);
        }
        return;
    }
    case KMR_HW_K_BANK:
        snprintf(ret_name, size, "CPU %u bank %u",
                 (unsigned)number[KMR_MCE_CPU], (unsigned)number[KMR_MCE_BANK]);
        return;
    case KMR_HW_K_PCI:
    case KMR_HW_K_LINK:
        snprintf(ret_name, size, "%s", record->text);
        return;
    case KMR_HW_K_DISK: {
        uint64_t dev = number[KMR_HW_DEV_AT];

        /* the kernel's own dev_t, not the C library's */
        snprintf(ret_name, size, "%u:%u", (unsigned)(dev >> 20),
                 (unsigned)(dev & 0xfffff));
        return;
    }
    case KMR_HW_K_PAGE:
    case KMR_HW_K_MEMORY:
    case KMR_HW_K_LOST:
    case KMR_HW_K_UNKNOWN:
    case KMR_HW_KIND_COUNT:
        break;
    }
    snprintf(ret_name, size, "%s", "");
}

static void aer_detail(const struct kmr_hw_record *record, char *ret_text,
                       size_t size)
{
    static const struct {
        bool corrected;
        unsigned bit;
        const char *name;
    } names[] = {
        { true, 0, "Receiver Error" },
        { true, 6, "Bad TLP" },
        { true, 7, "Bad DLLP" },
        { true, 8, "REPLAY_NUM Rollover" },
        { true, 12, "Replay Timer Timeout" },
        { true, 13, "Advisory Non-Fatal" },
        { true, 14, "Corrected Internal" },
        { true, 15, "Header Log Overflow" },
        { false, 4, "Data Link Protocol" },
        { false, 5, "Surprise Down" },
        { false, 12, "Poisoned TLP" },
        { false, 13, "Flow Control Protocol" },
        { false, 14, "Completion Timeout" },
        { false, 15, "Completer Abort" },
        { false, 16, "Unexpected Completion" },
        { false, 17, "Receiver Overflow" },
        { false, 18, "Malformed TLP" },
        { false, 19, "ECRC" },
        { false, 20, "Unsupported Request" },
        { false, 21, "ACS Violation" },
        { false, 22, "Uncorrectable Internal" },
    };
    uint64_t status = record->number[KMR_HW_ERRORS_AT];
    bool corrected = record->number[KMR_HW_SEVERITY_AT] == 2;

    snprintf(ret_text, size, "status 0x%llx", (unsigned long long)status);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].corrected == corrected && (status >> names[i].bit) & 1) {
            snprintf(ret_text, size, "%s", names[i].name);
            return; /* the lowest is enough for a line of the log */
        }
    }
}

void kmr_hw_detail(const struct kmr_hw_record *record, char *ret_text,
                   size_t size)
{
    static const char *const results[] = { "ignored", "failed", "delayed",
                                           "recovered" };
    const uint64_t *number = record->number;

    switch (record->event) {
    case KMR_HW_MCE:
        kmr_hw_detail_mce(record, ret_text, size);
        return;
    case KMR_HW_MC:
        snprintf(ret_text, size, "memory, address 0x%llx",
                 (unsigned long long)number[KMR_HW_ADDRESS_AT]);
        return;
    case KMR_HW_EXTLOG:
        snprintf(ret_text, size, "memory, address 0x%llx, by the firmware",
                 (unsigned long long)number[KMR_HW_PA_AT]);
        return;
    case KMR_HW_MEMFAIL:
        snprintf(ret_text, size, "page 0x%llx, recovery %s",
                 (unsigned long long)number[KMR_HW_PFN_AT],
                 number[KMR_HW_RESULT_AT] <= 3
                     ? results[number[KMR_HW_RESULT_AT]]
                     : "?");
        return;
    case KMR_HW_AER:
        aer_detail(record, ret_text, size);
        return;
    case KMR_HW_RQ:
    case KMR_HW_BIO:
        snprintf(ret_text, size, "%s%s failed with %lld at sector %llu",
                 record->text[0] ? "request " : "request", record->text,
                 (long long)number[KMR_HW_ERROR_AT],
                 (unsigned long long)number[KMR_HW_SECTOR_AT]);
        return;
    case KMR_HW_LINK:
        snprintf(ret_text, size, "%s",
                 number[KMR_HW_UP_AT] ? "carrier" : "no carrier");
        return;
    case KMR_HW_LOST:
        snprintf(ret_text, size, "%llu records lost",
                 (unsigned long long)number[KMR_HW_RECORDS_AT]);
        return;
    case KMR_HW_EVENT_COUNT:
        break;
    }
    snprintf(ret_text, size, "?");
}
