/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables of sources, and their buckets. */
#include "mce-monitor/policy_priv.h"

#include <string.h>

void kmr_policy_set_health(struct kmr_policy *policy,
                           struct kmr_policy_source *source,
                           enum kmr_colour health)
{
    policy->reds -= source->health == KMR_COLOUR_RED;
    policy->yellows -= source->health == KMR_COLOUR_YELLOW;
    source->health = health;
    policy->reds += health == KMR_COLOUR_RED;
    policy->yellows += health == KMR_COLOUR_YELLOW;
}

const struct kmr_rate *kmr_policy_rate(const struct kmr_policy *policy,
                                       const struct kmr_policy_source *source)
{
    const struct kmr_health_limits *limits = &policy->limits;
    bool uncorrected = source->uncorrected;

    switch (source->kind) {
    case KMR_HW_K_DIMM:
        return uncorrected ? &limits->deferred : &limits->dimm;
    case KMR_HW_K_CHANNEL:
        return uncorrected ? &limits->deferred : &limits->channel;
    case KMR_HW_K_BANK:
        return uncorrected ? &limits->deferred : &limits->bank;
    case KMR_HW_K_MEMORY:
        return &limits->deferred;
    case KMR_HW_K_PAGE:
        return &limits->page;
    case KMR_HW_K_PCI:
        return uncorrected ? &limits->pci_nonfatal : &limits->pci;
    case KMR_HW_K_DISK:
        return &limits->disk;
    case KMR_HW_K_LINK:
        return &limits->flaps;
    case KMR_HW_K_LOST:
    case KMR_HW_K_UNKNOWN:
    case KMR_HW_KIND_COUNT:
        break;
    }
    return &limits->unknown;
}

double kmr_policy_fill_at(const struct kmr_policy_source *source,
                          const struct kmr_rate *rate, uint64_t now_us)
{
    double leaked = (double)(now_us - source->fill_us) * rate->count /
                    (double)rate->period_us;

    return source->fill > leaked ? source->fill - leaked : 0;
}

void kmr_policy_fill(const struct kmr_policy *policy,
                     struct kmr_policy_source *source, uint32_t errors)
{
    const struct kmr_rate *rate = kmr_policy_rate(policy, source);

    source->fill = kmr_policy_fill_at(source, rate, policy->now_us) + errors;
    if (source->fill > rate->count) {
        source->fill = rate->count; /* a storm may be over some day, too */
    }
    source->fill_us = policy->now_us;
    source->last_us = policy->now_us;
    source->errors += errors;
}

static struct kmr_policy_source *table_of(struct kmr_policy *policy,
                                          enum kmr_hw_kind kind,
                                          unsigned *ret_count)
{
    if (kind == KMR_HW_K_PAGE) {
        *ret_count = KMR_POLICY_PAGES;
        return policy->pages;
    }
    *ret_count = KMR_POLICY_SOURCES;
    return policy->sources;
}

static bool is(const struct kmr_policy_source *source, enum kmr_hw_kind kind,
               bool uncorrected, uint64_t key)
{
    return source->used && source->key == key && source->kind == kind &&
           source->uncorrected == uncorrected;
}

/* Where it was found last time: a storm is of few sources. */
static uint8_t *hint_of(struct kmr_policy *policy, enum kmr_hw_kind kind,
                        uint64_t key)
{
    uint64_t mixed =
        (key ^ (uint64_t)kind << 56) * UINT64_C(0x9e3779b97f4a7c15);

    return &policy->hints[mixed >> 56];
}

struct kmr_policy_source *kmr_policy_find(struct kmr_policy *policy,
                                          enum kmr_hw_kind kind,
                                          bool uncorrected, uint64_t key)
{
    unsigned count;
    struct kmr_policy_source *table = table_of(policy, kind, &count);
    uint8_t *hint = hint_of(policy, kind, key);

    if (is(&table[*hint], kind, uncorrected, key)) {
        return &table[*hint];
    }
    for (unsigned i = 0; i < count && table[i].used; i++) {
        if (is(&table[i], kind, uncorrected, key)) {
            *hint = (uint8_t)i;
            return &table[i];
        }
    }
    return NULL;
}

/* Who is forgotten: the healthiest, the emptiest, the longest silent. */
static struct kmr_policy_source *victim(struct kmr_policy *policy,
                                        struct kmr_policy_source *table,
                                        unsigned count)
{
    struct kmr_policy_source *worst = NULL;
    double least = 0;

    for (unsigned i = 0; i < count; i++) {
        struct kmr_policy_source *source = &table[i];
        double fill;

        if (!source->used) {
            return source;
        }
        if (source->down) {
            continue; /* that it is, is all that is known of it */
        }
        fill = kmr_policy_fill_at(source, kmr_policy_rate(policy, source),
                                  policy->now_us);
        if (!worst || source->health < worst->health ||
            (source->health == worst->health &&
             (fill < least ||
              (fill == least && source->last_us < worst->last_us)))) {
            worst = source;
            least = fill;
        }
    }
    policy->evicted++;
    return worst ? worst : &table[0];
}

struct kmr_policy_source *kmr_policy_add(struct kmr_policy *policy,
                                         enum kmr_hw_kind kind,
                                         bool uncorrected, uint64_t key)
{
    unsigned count;
    struct kmr_policy_source *table = table_of(policy, kind, &count);
    struct kmr_policy_source *source = victim(policy, table, count);
    /* Where all are ill, the node's health must not get better by that. */
    enum kmr_colour health = source->used ? source->health : KMR_COLOUR_GREEN;

    memset(source, 0, sizeof(*source));
    source->used = true;
    source->kind = kind;
    source->uncorrected = uncorrected;
    source->key = key;
    source->health = health;
    source->fill_us = policy->now_us;
    source->last_us = policy->now_us;
    return source;
}
