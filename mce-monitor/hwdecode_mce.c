/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Machine checks of Intel and AMD (and Hygon, whose are AMD's). */
#include "mce-monitor/hwdecode.h"

#include <stdio.h>
#include <string.h>

/* The firmware's reports come as a machine check of this bank (apei.c). */
#define BANK_FIRMWARE 255
#define PAGE_SHIFT 12

static bool is_amd(const struct kmr_hw_record *record)
{
    return record->number[KMR_MCE_CPUVENDOR] == KMR_HW_AMD ||
           record->number[KMR_MCE_CPUVENDOR] == KMR_HW_HYGON;
}

/* ---- error codes: bits 0 to 15 of the status ---- */

enum code {
    CODE_OTHER,
    CODE_CACHE,
    CODE_TLB,
    CODE_MEMORY,
    CODE_BUS,
    CODE_INTERNAL
};

static enum code intel_code(uint64_t status)
{
    unsigned code = status & 0xefff; /* without the filter bit */

    if ((code & 0xff80) == 0x0080 || (code & 0xff80) == 0x0280) {
        return CODE_MEMORY; /* 000F 00x0 1MMM CCCC */
    } else if ((code & 0xfff0) == 0x0010) {
        return CODE_TLB; /* 000F 0000 0001 TTLL */
    } else if ((code & 0xfffc) == 0x000c || (code & 0xff00) == 0x0100) {
        return CODE_CACHE; /* 000F 0000 0000 11LL, 000F 0001 RRRR TTLL */
    } else if ((code & 0xf800) == 0x0800) {
        return CODE_BUS; /* 000F 1PPT RRRR IILL */
    } else if (code == 5 || (code & 0xfc00) == 0x0400) {
        return CODE_INTERNAL;
    }
    return CODE_OTHER;
}

/* Type of a scalable bank: bits 32 to 43 and 48 to 63 of MCA_IPID. */
#define SMCA(hwid, type) ((uint32_t)(hwid) << 16 | (type))

static uint32_t smca_type(const struct kmr_hw_record *record)
{
    uint64_t ipid = record->number[KMR_MCE_IPID];

    return SMCA((ipid >> 32) & 0xfff, (ipid >> 48) & 0xffff);
}

static const char *smca_name(uint32_t type)
{
    static const struct {
        uint32_t type;
        const char *name;
    } names[] = {
        { SMCA(0xb0, 0x00), "load-store unit" },
        { SMCA(0xb0, 0x10), "load-store unit" },
        { SMCA(0xb0, 0x01), "instruction fetch unit" },
        { SMCA(0xb0, 0x02), "L2 cache" },
        { SMCA(0xb0, 0x03), "decode unit" },
        { SMCA(0xb0, 0x05), "execution unit" },
        { SMCA(0xb0, 0x06), "floating point unit" },
        { SMCA(0xb0, 0x07), "L3 cache" },
        { SMCA(0x2e, 0x00), "coherent slave" },
        { SMCA(0x2e, 0x02), "coherent slave" },
        { SMCA(0x2e, 0x01), "power, interrupts" },
        { SMCA(0x96, 0x00), "memory controller" },
        { SMCA(0x96, 0x01), "memory controller" },
        { SMCA(0x05, 0x00), "parameter block" },
        { SMCA(0xff, 0x00), "security processor" },
        { SMCA(0xff, 0x01), "security processor" },
        { SMCA(0x01, 0x00), "system management unit" },
        { SMCA(0x01, 0x01), "system management unit" },
        { SMCA(0x18, 0x00), "I/O unit" },
        { SMCA(0x46, 0x00), "PCIe root" },
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].type == type) {
            return names[i].name;
        }
    }
    return NULL;
}

static bool smca_memory(uint32_t type)
{
    return type == SMCA(0x96, 0) || type == SMCA(0x96, 1);
}

static enum code amd_code(const struct kmr_hw_record *record)
{
    uint64_t status = record->number[KMR_MCE_STATUS];
    unsigned code = status & 0xffff;

    if (record->number[KMR_MCE_IPID] != 0) {
        if (smca_memory(smca_type(record))) {
            return CODE_MEMORY;
        }
    } else if (record->number[KMR_MCE_BANK] == 4 &&
               (status & (KMR_MCI_CECC | KMR_MCI_UECC))) {
        return CODE_MEMORY; /* the northbridge of before */
    }
    if ((code & 0xfff0) == 0x0010) {
        return CODE_TLB; /* 0000 0000 0001 TTLL */
    } else if ((code & 0xff00) == 0x0100) {
        return CODE_CACHE; /* 0000 0001 RRRR TTLL */
    } else if ((code & 0xf800) == 0x0800) {
        return CODE_BUS; /* 0000 1PPT RRRR IILL */
    } else if ((code & 0xfc00) == 0x0400) {
        return CODE_INTERNAL; /* 0000 01UU 0000 0000 */
    }
    return CODE_OTHER;
}

static enum code code_of(const struct kmr_hw_record *record)
{
    return is_amd(record) ? amd_code(record)
                          : intel_code(record->number[KMR_MCE_STATUS]);
}

int kmr_hw_channel(const struct kmr_hw_record *record)
{
    unsigned channel = record->number[KMR_MCE_STATUS] & 0xf;

    if (code_of(record) != CODE_MEMORY) {
        return -1;
    }
    if (is_amd(record)) {
        /* InstanceId of MCA_IPID: the same bank is another one on each die */
        uint64_t ipid = record->number[KMR_MCE_IPID];

        return ipid ? (int)((ipid & UINT32_MAX) >> 20) : -1;
    }
    return channel == 0xf ? -1 : (int)channel;
}

/* ---- classes ---- */

/* 16.6.3 of the SDM: what UC, EN, PCC, S and AR mean together. */
static enum kmr_hw_class intel_class(uint64_t cap, uint64_t status,
                                     const char **ret_why)
{
    bool s = status & KMR_MCI_S, ar = status & KMR_MCI_AR;

    if (!(status & KMR_MCI_UC)) {
        if (status & KMR_MCI_PCC) {
            *ret_why = "corrected, and the processor's context corrupt";
            return KMR_HW_UNKNOWN;
        }
        return KMR_HW_CORRECTED; /* S and AR have other meanings here */
    }
    if (status & KMR_MCI_PCC) {
        return KMR_HW_FATAL;
    }
    /* An injected record has no MCG_CAP; a real one has never 0. */
    if (cap != 0 && !(cap & KMR_MCG_SER)) {
        return KMR_HW_FATAL; /* no way to recover from any */
    }
    if (ar && !s) {
        *ret_why = "action required, but not signalled";
        return KMR_HW_UNKNOWN;
    }
    if (ar && !(status & KMR_MCI_EN)) {
        *ret_why = "action required, but not enabled";
        return KMR_HW_UNKNOWN;
    }
    return ar ? KMR_HW_REQUIRED : s ? KMR_HW_OPTIONAL : KMR_HW_DEFERRED;
}

static enum kmr_hw_class amd_class(uint64_t status, const char **ret_why)
{
    if (!(status & KMR_MCI_UC)) {
        if (status & KMR_MCI_PCC) {
            *ret_why = "corrected, and the processor's context corrupt";
            return KMR_HW_UNKNOWN;
        }
        if (status & KMR_MCI_DEFERRED) {
            return KMR_HW_DEFERRED;
        }
        if (status & KMR_MCI_POISON) {
            *ret_why = "corrected, and poison was consumed";
            return KMR_HW_UNKNOWN;
        }
        return KMR_HW_CORRECTED;
    }
    if (status & KMR_MCI_PCC) {
        return KMR_HW_FATAL;
    }
    if (status & KMR_MCI_DEFERRED) {
        *ret_why = "both deferred and uncorrected";
        return KMR_HW_UNKNOWN;
    }
    return KMR_HW_REQUIRED;
}

/* How many corrected errors: bits 38 to 52, and what they did to the bank's
 * own limit: bits 53 and 54. Intel's only. */
static void intel_counts(const struct kmr_hw_record *record,
                         struct kmr_hw_finding *finding)
{
    uint64_t cap = record->number[KMR_MCE_MCGCAP];
    uint64_t status = record->number[KMR_MCE_STATUS];
    uint32_t count = (uint32_t)(status >> 38) & 0x7fff;

    if (finding->class != KMR_HW_CORRECTED) {
        return;
    }
    if ((cap & KMR_MCG_CMCI) && count > 0) {
        finding->count = count;
    }
    finding->warned = (cap & KMR_MCG_TES) && ((status >> 53) & 3) == 2;
}

static bool has_page(const struct kmr_hw_record *record)
{
    uint64_t status = record->number[KMR_MCE_STATUS];

    if (!(status & KMR_MCI_ADDRV) || !(record->have & 1u << KMR_MCE_ADDR)) {
        return false;
    }
    /* Intel: bits 6 to 8 of MISC say what kind of address it is, 2 being a
     * physical one. */
    return is_amd(record) || !(status & KMR_MCI_MISCV) ||
           ((record->number[KMR_MCE_MISC] >> 6) & 7) == 2;
}

/* Why no sense can be made of it, or NULL. */
static const char *nonsense(const struct kmr_hw_record *record)
{
    uint64_t banks = record->number[KMR_MCE_MCGCAP] & 0xff;
    uint64_t bank = record->number[KMR_MCE_BANK];

    if (!is_amd(record) && record->number[KMR_MCE_CPUVENDOR] != KMR_HW_INTEL) {
        return "unknown vendor";
    }
    if (bank != BANK_FIRMWARE && banks != 0 && bank >= banks) {
        return "no such bank";
    }
    if (!(record->number[KMR_MCE_STATUS] & KMR_MCI_VAL)) {
        return "status not valid";
    }
    return NULL;
}

void kmr_hw_decode_mce(const struct kmr_hw_record *record,
                       struct kmr_hw_finding *ret_finding)
{
    const uint64_t *number = record->number;
    uint64_t status = number[KMR_MCE_STATUS];
    struct kmr_hw_finding *f = ret_finding;

    f->why = nonsense(record);
    if (f->why) {
        f->class = KMR_HW_UNKNOWN;
    } else {
        f->why = "";
        f->class = is_amd(record)
                       ? amd_class(status, &f->why)
                       : intel_class(number[KMR_MCE_MCGCAP], status, &f->why);
    }
    if (f->class == KMR_HW_UNKNOWN) {
        f->kind = KMR_HW_K_UNKNOWN;
        return;
    }
    f->overflow = status & KMR_MCI_OVER;
    if (!is_amd(record)) {
        intel_counts(record, f);
    }
    if (code_of(record) == CODE_MEMORY) {
        int channel = kmr_hw_channel(record);

        f->kind = KMR_HW_K_CHANNEL;
        f->key = number[KMR_MCE_SOCKETID] << 32 | number[KMR_MCE_BANK] << 16 |
                 (uint64_t)(channel < 0 ? 0xffff : channel);
        f->has_page = has_page(record);
        /* AMD's address is the memory controller's own */
        f->page =
            number[KMR_MCE_ADDR] >> PAGE_SHIFT ^ f->key << 48 ^ f->key << 20;
    } else {
        f->kind = KMR_HW_K_BANK;
        f->key = number[KMR_MCE_CPU] << 8 | number[KMR_MCE_BANK];
    }
}

/* ---- words ---- */

static const char *const levels[] = { "L0", "L1", "L2", "generic" };
static const char *const types[] = { "instruction", "data", "generic", "" };
static const char *const requests[] = {
    "error", "read",     "write",    "data read", "data write",
    "fetch", "prefetch", "eviction", "snoop",
};
static const char *const memory[] = { "error", "read", "write", "address",
                                      "scrubbing" };

#define NAME_OF(names, i) \
    ((i) < sizeof(names) / sizeof((names)[0]) ? (names)[i] : "?")

void kmr_hw_detail_mce(const struct kmr_hw_record *record, char *ret_text,
                       size_t size)
{
    uint64_t status = record->number[KMR_MCE_STATUS];
    unsigned code = status & 0xffff;
    const char *unit = is_amd(record) && record->number[KMR_MCE_IPID]
                           ? smca_name(smca_type(record))
                           : NULL;
    const char *level = levels[code & 3], *type = types[(code >> 2) & 3];
    const char *request = NAME_OF(requests, (code >> 4) & 0xf);

    switch (code_of(record)) {
    case CODE_MEMORY:
        if (is_amd(record)) {
            snprintf(ret_text, size, "memory, %s%s",
                     code & 0x10 ? request : "ECC error",
                     status & KMR_MCI_SCRUB ? ", scrubbing" : "");
        } else {
            snprintf(ret_text, size, "memory, %s",
                     NAME_OF(memory, (code >> 4) & 7));
        }
        break;
    case CODE_CACHE:
        snprintf(ret_text, size, "%s%scache %s %s, %s", unit ? unit : "",
                 unit ? ", " : "", level, type,
                 (code & 0xff00) == 0x0100 ? request : "error");
        break;
    case CODE_TLB:
        snprintf(ret_text, size, "%s%sTLB %s %s", unit ? unit : "",
                 unit ? ", " : "", level, type);
        break;
    case CODE_BUS:
        snprintf(ret_text, size, "%s%sbus or interconnect, %s%s",
                 unit ? unit : "", unit ? ", " : "", request,
                 code & 0x100 ? ", timed out" : "");
        break;
    case CODE_INTERNAL:
        snprintf(ret_text, size, "%sinternal error 0x%x", unit ? unit : "",
                 code);
        break;
    case CODE_OTHER:
        snprintf(ret_text, size, "%s%serror code 0x%x", unit ? unit : "",
                 unit ? ", " : "", code);
        break;
    }
}
