/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_MCE_LIMITS_H
#define KMR_MCE_LIMITS_H

/*
 * [health] of kemari.conf: how many errors of what are too many. Where a
 * default comes from: dimm and channel are mcelog's (10 of a DIMM, 100 of a
 * socket), page and bank rasdaemon's (50 of a page, 18 of a CPU), all in 24
 * hours. The others have no reference; docs/health.md says why they are so.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KMR_HEALTH_COUNT_MAX 1000000
#define KMR_HEALTH_MOVES_MAX 16 /* kept one by one */
#define KMR_HEALTH_PERIOD_MIN_S 1
#define KMR_HEALTH_PERIOD_MAX_S (30 * 86400)
#define KMR_HEALTH_INTERFACES 256

/* key = COUNT / PERIOD: key, most, default count, default period in s.
 *
 * dimm, page, channel, bank: corrected errors of one of these. Machine checks
 * name no DIMM, only the channel of a memory controller; the banks are those
 * of caches, TLBs and buses.
 * deferred: errors that nobody corrected, but that nobody consumed either.
 * pci: errors that a device's link corrected: they only degrade.
 * disk: failed requests of one. flaps: losses of an interface's carrier.
 * unknown: records that make no sense: they only degrade.
 * moves: that this node may ask for, whatever the reasons: of all guests, and,
 * counted for themselves, of those that use a disk or a link. */
#define KMR_HEALTH_RATES(X)                         \
    X(dimm, KMR_HEALTH_COUNT_MAX, 10, 86400)        \
    X(page, KMR_HEALTH_COUNT_MAX, 50, 86400)        \
    X(channel, KMR_HEALTH_COUNT_MAX, 100, 86400)    \
    X(bank, KMR_HEALTH_COUNT_MAX, 18, 86400)        \
    X(deferred, KMR_HEALTH_COUNT_MAX, 1, 86400)     \
    X(pci, KMR_HEALTH_COUNT_MAX, 1000, 3600)        \
    X(pci_nonfatal, KMR_HEALTH_COUNT_MAX, 3, 86400) \
    X(disk, KMR_HEALTH_COUNT_MAX, 3, 3600)          \
    X(flaps, KMR_HEALTH_COUNT_MAX, 5, 600)          \
    X(unknown, KMR_HEALTH_COUNT_MAX, 100, 3600)     \
    X(moves, KMR_HEALTH_MOVES_MAX, 2, 3600)

/* key, least, default, most: milliseconds */
#define KMR_HEALTH_TIMES(X)                                                 \
    /* What comes within this may be the same error once more. */           \
    X(debounce, 0, 100, 60000)                                              \
    /* An interface without a carrier for so long is down. */               \
    X(link_down, 0, 1000, 600000)                                           \
    /* A source that was silent for so long may be called healthy again. */ \
    X(recover, 1000, 3600000, 604800000)

/* key, least, default, most */
#define KMR_HEALTH_NUMBERS(X)                         \
    /* Of a limit: from here on, a node is yellow. */ \
    X(degrade_percent, 1, 50, 100)                    \
    /* the kernel's ring buffer, for each CPU */      \
    X(ring_kib, 16, 256, 65536)

struct kmr_rate {
    uint32_t count;
    uint64_t period_us;
};

struct kmr_health_limits {
#define X(name, most, count, period_s) struct kmr_rate name;
    KMR_HEALTH_RATES(X)
#undef X
#define X(name, least, preset, most) uint32_t name##_ms;
    KMR_HEALTH_TIMES(X)
#undef X
#define X(name, least, preset, most) uint32_t name;
    KMR_HEALTH_NUMBERS(X)
#undef X
    /* separated by spaces; "": those that kemari-mced finds by itself */
    char interfaces[KMR_HEALTH_INTERFACES];
};

void kmr_health_limits_init(struct kmr_health_limits *limits);

/* One line of [health]. 0, -ENOENT (no such key), -EINVAL. */
int kmr_health_limits_set(struct kmr_health_limits *limits, const char *key,
                          const char *value);

/* What the key takes, for people: "1 to 16 / 1s to 30d". */
void kmr_health_limits_allowed(const char *key, char *ret_text, size_t size);

/* "10 / 24h" */
void kmr_rate_text(const struct kmr_rate *rate, char *ret_text, size_t size);

#endif
