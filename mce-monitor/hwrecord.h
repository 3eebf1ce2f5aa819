/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_MCE_HWRECORD_H
#define KMR_MCE_HWRECORD_H

/*
 * What a source said, raw: the fields of a tracepoint under their own names
 * (or of one of our own making, in the same form), nothing interpreted. All
 * that reads, writes, prints or replays records goes by the tables here.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* id, system, event. The last two are of our own making. */
#define KMR_HW_EVENTS(X)                      \
    X(MCE, "mce", "mce_record")               \
    X(MC, "ras", "mc_event")                  \
    X(MEMFAIL, "ras", "memory_failure_event") \
    X(AER, "ras", "aer_event")                \
    X(EXTLOG, "ras", "extlog_mem_event")      \
    X(RQ, "block", "block_rq_error")          \
    X(BIO, "block", "block_bio_complete")     \
    X(LINK, "link", "carrier")                \
    X(LOST, "trace", "lost")

enum kmr_hw_event {
#define X(id, system, event) KMR_HW_##id,
    KMR_HW_EVENTS(X)
#undef X
        KMR_HW_EVENT_COUNT
};
#define KMR_HW_TRACEPOINTS KMR_HW_LINK /* those before it are the kernel's */

/* id, name, whether a layout without it is of no use. Numbers. */
#define KMR_HW_FIELDS_MCE(X)         \
    X(MCGCAP, "mcgcap", false)       \
    X(MCGSTATUS, "mcgstatus", false) \
    X(STATUS, "status", true)        \
    X(ADDR, "addr", false)           \
    X(MISC, "misc", false)           \
    X(SYND, "synd", false)           \
    X(IPID, "ipid", false)           \
    X(IP, "ip", false)               \
    X(TSC, "tsc", false)             \
    X(PPIN, "ppin", false)           \
    X(WALLTIME, "walltime", false)   \
    X(CPU, "cpu", true)              \
    X(CPUID, "cpuid", false)         \
    X(APICID, "apicid", false)       \
    X(SOCKETID, "socketid", false)   \
    X(CS, "cs", false)               \
    X(BANK, "bank", true)            \
    X(CPUVENDOR, "cpuvendor", true)  \
    X(MICROCODE, "microcode", false)
#define KMR_HW_FIELDS_MC(X)                \
    X(ERROR_TYPE, "error_type", true)      \
    X(ERROR_COUNT, "error_count", true)    \
    X(MC_INDEX, "mc_index", false)         \
    X(TOP_LAYER, "top_layer", false)       \
    X(MIDDLE_LAYER, "middle_layer", false) \
    X(LOWER_LAYER, "lower_layer", false)   \
    X(ADDRESS, "address", false)           \
    X(GRAIN_BITS, "grain_bits", false)     \
    X(SYNDROME, "syndrome", false)
#define KMR_HW_FIELDS_MEMFAIL(X) \
    X(PFN, "pfn", true)          \
    X(TYPE, "type", false)       \
    X(RESULT, "result", true)
#define KMR_HW_FIELDS_AER(X)      \
    X(ERRORS, "status", true)     \
    X(SEVERITY, "severity", true) \
    X(TLP_HEADER_VALID, "tlp_header_valid", false)
#define KMR_HW_FIELDS_EXTLOG(X)  \
    X(ERR_SEQ, "err_seq", false) \
    X(ETYPE, "etype", false)     \
    X(SEV, "sev", true)          \
    X(PA, "pa", false)           \
    X(PA_MASK_LSB, "pa_mask_lsb", false)
#define KMR_HW_FIELDS_RQ(X)          \
    X(DEV, "dev", true)              \
    X(SECTOR, "sector", false)       \
    X(NR_SECTOR, "nr_sector", false) \
    X(ERROR, "error", true)
#define KMR_HW_FIELDS_BIO(X)             \
    X(BIO_DEV, "dev", true)              \
    X(BIO_SECTOR, "sector", false)       \
    X(BIO_NR_SECTOR, "nr_sector", false) \
    X(BIO_ERROR, "error", true)
#define KMR_HW_FIELDS_LINK(X)    \
    X(IFINDEX, "ifindex", false) \
    X(UP, "up", true)
#define KMR_HW_FIELDS_LOST(X) X(RECORDS, "records", true)

/* The number's place in a record: KMR_MCE_STATUS is number[2], ... */
#define KMR_HW_ENUM_MCE(id, name, needed) KMR_MCE_##id,
#define KMR_HW_ENUM(id, name, needed) KMR_HW_##id##_AT,
enum { KMR_HW_FIELDS_MCE(KMR_HW_ENUM_MCE) KMR_HW_NUMBERS_MAX };
enum { KMR_HW_FIELDS_MC(KMR_HW_ENUM) };
enum { KMR_HW_FIELDS_MEMFAIL(KMR_HW_ENUM) };
enum { KMR_HW_FIELDS_AER(KMR_HW_ENUM) };
enum { KMR_HW_FIELDS_EXTLOG(KMR_HW_ENUM) };
enum { KMR_HW_FIELDS_RQ(KMR_HW_ENUM) };
enum { KMR_HW_FIELDS_BIO(KMR_HW_ENUM) };
enum { KMR_HW_FIELDS_LINK(KMR_HW_ENUM) };
enum { KMR_HW_FIELDS_LOST(KMR_HW_ENUM) };

/* At most one text of a record is used: a label, a device, an interface. */
#define KMR_HW_TEXT_MAX 64

struct kmr_hw_record {
    enum kmr_hw_event event;
    uint64_t time_us; /* CLOCK_MONOTONIC; 0: the source gives none */
    uint32_t have;    /* bit i: number[i] was there */
    bool broken;      /* cut off, or without what it needs to have */
    uint64_t number[KMR_HW_NUMBERS_MAX]; /* signed ones sign-extended */
    char text[KMR_HW_TEXT_MAX];          /* "" if there is none */
};

struct kmr_hw_field {
    const char *name;
    bool needed;
};

const char *kmr_hw_event_system(enum kmr_hw_event event);
const char *kmr_hw_event_name(enum kmr_hw_event event);
/* "mce:mce_record" */
const char *kmr_hw_event_full(enum kmr_hw_event event);
/* The numbers of an event, in the order of number[]. */
const struct kmr_hw_field *kmr_hw_event_fields(enum kmr_hw_event event,
                                               unsigned *ret_count);
/* The field that goes to text[], or NULL. */
const char *kmr_hw_event_text(enum kmr_hw_event event);

/* "SECONDS.MICROSECONDS SYSTEM:EVENT NAME=VALUE ...": what people can write
 * and a record says of itself. Returns false where it isn't one. */
bool kmr_hw_record_parse(const char *line, struct kmr_hw_record *ret_record);
void kmr_hw_record_print(const struct kmr_hw_record *record, char *ret_text,
                         size_t size);

#endif
