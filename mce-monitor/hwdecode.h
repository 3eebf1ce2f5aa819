/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_MCE_HWDECODE_H
#define KMR_MCE_HWDECODE_H

/*
 * What a raw record means. Pure: no clock, no memory, no call; the record is
 * not changed, so that what was decoded wrongly can be decoded again.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mce-monitor/hwrecord.h"

/* id, text: in the order of their weight */
#define KMR_HW_CLASSES(X)                                     \
    X(INFO, "information")                                    \
    X(UNKNOWN, "unknown")                                     \
    X(CORRECTED, "corrected")                                 \
    /* not corrected, and consumed by nobody so far */        \
    X(DEFERRED, "deferred")                                   \
    /* the same, and software should do something about it */ \
    X(OPTIONAL, "action optional")                            \
    /* somebody was about to consume it */                    \
    X(REQUIRED, "action required")                            \
    X(FATAL, "fatal")

enum kmr_hw_class {
#define X(id, text) KMR_HW_##id,
    KMR_HW_CLASSES(X)
#undef X
        KMR_HW_CLASS_COUNT
};

/* What has failed. id, text */
#define KMR_HW_KINDS(X)            \
    X(K_DIMM, "DIMM")              \
    X(K_PAGE, "page")              \
    X(K_CHANNEL, "memory channel") \
    X(K_BANK, "CPU bank")          \
    X(K_MEMORY, "memory")          \
    X(K_PCI, "PCI device")         \
    X(K_DISK, "disk")              \
    X(K_LINK, "interface")         \
    X(K_LOST, "ring buffer")       \
    X(K_UNKNOWN, "records without sense")

enum kmr_hw_kind {
#define X(id, text) KMR_HW_##id,
    KMR_HW_KINDS(X)
#undef X
        KMR_HW_KIND_COUNT
};

#define KMR_HW_NAME_MAX 96

struct kmr_hw_finding {
    enum kmr_hw_class class;
    enum kmr_hw_kind kind;
    uint64_t key;   /* of one source among those of its kind */
    uint32_t count; /* of errors: at least 1 */
    bool has_page;
    uint64_t page;   /* key of the page, where has_page */
    bool warned;     /* the hardware itself says that it had too many */
    bool overflow;   /* there were more errors than records */
    bool down;       /* K_LINK: no carrier */
    const char *why; /* why it is unknown; "" */
};

const char *kmr_hw_class_text(enum kmr_hw_class class);
const char *kmr_hw_kind_text(enum kmr_hw_kind kind);

void kmr_hw_decode(const struct kmr_hw_record *record,
                   struct kmr_hw_finding *ret_finding);

/* "DIMM_A1", "socket 0 bank 7 channel 1", "8:16", ... */
void kmr_hw_name(const struct kmr_hw_record *record,
                 const struct kmr_hw_finding *finding, char *ret_name,
                 size_t size);

/* What it was, in a few words: "L2 cache, data read", "Malformed TLP". */
void kmr_hw_detail(const struct kmr_hw_record *record, char *ret_text,
                   size_t size);

/* ---- hwdecode_mce.c ---- */

/* Bits of MCi_STATUS: Intel's SDM, volume 3B, 16.3.2.2 and AMD's APM, volume
 * 2, 9.3.3.3. */
#define KMR_MCI_VAL (UINT64_C(1) << 63)
#define KMR_MCI_OVER (UINT64_C(1) << 62)
#define KMR_MCI_UC (UINT64_C(1) << 61)
#define KMR_MCI_EN (UINT64_C(1) << 60)
#define KMR_MCI_MISCV (UINT64_C(1) << 59)
#define KMR_MCI_ADDRV (UINT64_C(1) << 58)
#define KMR_MCI_PCC (UINT64_C(1) << 57)
/* Intel, with software error recovery (MCG_CAP 24) */
#define KMR_MCI_S (UINT64_C(1) << 56)
#define KMR_MCI_AR (UINT64_C(1) << 55)
/* AMD */
#define KMR_MCI_TCC (UINT64_C(1) << 55)
#define KMR_MCI_SYNDV (UINT64_C(1) << 53)
#define KMR_MCI_CECC (UINT64_C(1) << 46)
#define KMR_MCI_UECC (UINT64_C(1) << 45)
#define KMR_MCI_DEFERRED (UINT64_C(1) << 44)
#define KMR_MCI_POISON (UINT64_C(1) << 43)
#define KMR_MCI_SCRUB (UINT64_C(1) << 40)

#define KMR_MCG_CMCI (UINT64_C(1) << 10)
#define KMR_MCG_TES (UINT64_C(1) << 11)
#define KMR_MCG_SER (UINT64_C(1) << 24)

/* As the kernel numbers them: field cpuvendor. */
enum kmr_hw_vendor {
    KMR_HW_INTEL = 0,
    KMR_HW_AMD = 2,
    KMR_HW_HYGON = 9,
};

void kmr_hw_decode_mce(const struct kmr_hw_record *record,
                       struct kmr_hw_finding *ret_finding);
void kmr_hw_detail_mce(const struct kmr_hw_record *record, char *ret_text,
                       size_t size);
/* The channel of a memory controller's error, or -1. */
int kmr_hw_channel(const struct kmr_hw_record *record);

#endif
