/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io/config.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <syslog.h>

#include "core/text.h"

#define PORT_FIRST 49300
#define PORT_LAST 49363
#define SETTLE_MAX_MS 120000 /* KMR_FENCE_SETTLE_MAX_MS */
/* the engine's: qapi/kemari.json */
#define STAGING_MIN_MIB 64
#define STAGING_MIB 128
#define STAGING_MAX_MIB 65536
#define SYNC_MIB_S 128 /* QEMU's own */
#define SYNC_MAX_MIB_S 100000

void kmr_config_init(struct kmr_config *config)
{
    struct utsname name;

    memset(config, 0, sizeof(*config));
    if (uname(&name) == 0) {
        snprintf(config->node_name, sizeof(config->node_name), "%s",
                 name.nodename);
    }
    config->port_first = PORT_FIRST;
    config->port_last = PORT_LAST;
    config->log_level = LOG_INFO;
    config->overload = "throttle";
    config->staging_mib = STAGING_MIB;
    config->sync_mib_s = SYNC_MIB_S;
    config->limits = kmr_limits_default();
    kmr_health_limits_init(&config->health);
    config->moves = kmr_move_limits_default();
    config->policy = kmr_guest_policy_default();
}

static char *trim(char *text)
{
    char *end;

    while (isspace((unsigned char)*text)) {
        text++;
    }
    end = text + strlen(text);
    while (end > text && isspace((unsigned char)end[-1])) {
        *--end = '\0';
    }
    return text;
}

static int set_text(char *target, const char *value)
{
    if (strlen(value) >= KMR_CONFIG_TEXT) {
        return -E2BIG;
    }
    strcpy(target, value);
    return 0;
}

/* Names of VMs, the most important first. */
static int set_priority(char *target, const char *value)
{
    char copy[KMR_CONFIG_LINE_MAX], *rest = NULL;

    snprintf(copy, sizeof(copy), "%s", value);
    for (char *name = strtok_r(copy, " ,", &rest); name;
         name = strtok_r(NULL, " ,", &rest)) {
        if (!kmr_text_is_name(name) || strlen(name) >= KMR_VM_MAX) {
            return -EINVAL;
        }
    }
    snprintf(target, KMR_CONFIG_LINE_MAX, "%s", value);
    return 0;
}

static int set_ports(struct kmr_config *config, const char *value)
{
    unsigned first, last;
    char rest;

    if (sscanf(value, "%u-%u%c", &first, &last, &rest) != 2 || first < 1024 ||
        last < first || last > 65535) {
        return -EINVAL;
    }
    config->port_first = first;
    config->port_last = last;
    return 0;
}

static int set_number(uint32_t *ret_number, const char *value, uint32_t least,
                      uint32_t most)
{
    unsigned long number;
    char *end;

    if (!isdigit((unsigned char)value[0])) {
        return -EINVAL;
    }
    errno = 0;
    number = strtoul(value, &end, 10);
    if (errno || *end || number < least || number > most) {
        return -EINVAL;
    }
    *ret_number = (uint32_t)number;
    return 0;
}

struct limit {
    const char *key;
    size_t offset;
    uint32_t least, most;
};

static const struct limit *find_limit(const char *section, const char *key)
{
    static const struct limit limits[] = {
#define X(name, least, preset, most) \
    { #name "_ms", offsetof(struct kmr_limits, name##_ms), (least), (most) },
        KMR_LIMITS(X)
#undef X
    };

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        if (strcmp(section, "limits") == 0 && strcmp(key, limits[i].key) == 0) {
            return &limits[i];
        }
    }
    return NULL;
}

static int set_bool(bool *ret_value, const char *value)
{
    if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0) {
        return -EINVAL;
    }
    *ret_value = strcmp(value, "yes") == 0;
    return 0;
}

/* The index of `value`, or -1. */
static int find(const char *const *names, size_t count, const char *value)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(value, names[i]) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static const char *const tls_names[] = {
    [KMR_TLS_NO] = "no",
    [KMR_TLS_PSK] = "psk",
    [KMR_TLS_X509] = "x509",
};

const char *kmr_tls_text(enum kmr_tls tls)
{
    return tls_names[tls];
}

static int set_tls(enum kmr_tls *ret_tls, const char *value)
{
    int i = find(tls_names, sizeof(tls_names) / sizeof(tls_names[0]), value);

    if (i < 0) {
        return -EINVAL;
    }
    *ret_tls = (enum kmr_tls)i;
    return 0;
}

static int set_policy(const char **ret_policy, const char *value)
{
    static const char *const policies[] = { "throttle", "wait", "unprotected" };
    int i = find(policies, sizeof(policies) / sizeof(policies[0]), value);

    if (i < 0) {
        return -EINVAL;
    }
    *ret_policy = policies[i];
    return 0;
}

static const char *const remedy_names[] = {
#define X(name, text) text,
    KMR_REMEDIES(X)
#undef X
};
#define REMEDY_COUNT (sizeof(remedy_names) / sizeof(remedy_names[0]))

struct remedy {
    const char *name;
    size_t offset;
    unsigned allowed; /* bits */
};

static const struct remedy *find_remedy(const char *section, const char *key)
{
#define BIT(name) (1u << KMR_REMEDY_##name)
    static const struct remedy remedies[] = {
        { "io_error.policy", offsetof(struct kmr_guest_policy, io_error),
          BIT(HOLD) | BIT(REPORT) | BIT(STOP) },
        { "guest.panic", offsetof(struct kmr_guest_policy, panic),
          BIT(RESTART) | BIT(STOP) | BIT(HOLD) },
        { "guest.watchdog", offsetof(struct kmr_guest_policy, watchdog),
          BIT(RESTART) | BIT(STOP) | BIT(HOLD) },
        { "guest.internal_error",
          offsetof(struct kmr_guest_policy, internal_error),
          BIT(TAKEOVER) | BIT(RESTART) | BIT(STOP) | BIT(HOLD) },
    };
#undef BIT
    char name[128];

    snprintf(name, sizeof(name), "%s.%s", section, key);
    for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++) {
        if (strcmp(name, remedies[i].name) == 0) {
            return &remedies[i];
        }
    }
    return NULL;
}

static int set_remedy(struct kmr_guest_policy *policy,
                      const struct remedy *remedy, const char *value)
{
    for (unsigned i = 0; i < REMEDY_COUNT; i++) {
        if ((remedy->allowed >> i & 1) != 0 &&
            strcmp(remedy_names[i], value) == 0) {
            *(enum kmr_remedy *)(void *)((char *)policy + remedy->offset) =
                (enum kmr_remedy)i;
            return 0;
        }
    }
    return -EINVAL;
}

static int set_dump_dir(struct kmr_config *config, const char *value)
{
    if (value[0] != '/') {
        return -EINVAL;
    }
    config->policy.dump = true;
    return set_text(config->dump_dir, value);
}

static int set_level(struct kmr_config *config, const char *value)
{
    static const struct {
        const char *name;
        int level;
    } levels[] = {
        { "err", LOG_ERR },       { "warning", LOG_WARNING },
        { "notice", LOG_NOTICE }, { "info", LOG_INFO },
        { "debug", LOG_DEBUG },
    };

    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (strcmp(value, levels[i].name) == 0) {
            config->log_level = levels[i].level;
            return 0;
        }
    }
    return -EINVAL;
}

static int set(struct kmr_config *config, const char *section, const char *key,
               const char *value)
{
    const struct limit *limit = find_limit(section, key);
    const struct remedy *remedy = find_remedy(section, key);
    char name[128];

    if (remedy) {
        return set_remedy(&config->policy, remedy, value);
    }
    if (limit) {
        return set_number((uint32_t *)(void *)((char *)&config->limits +
                                               limit->offset),
                          value, limit->least, limit->most);
    }
    snprintf(name, sizeof(name), "%s.%s", section, key);
    if (strcmp(name, "node.name") == 0) {
        return set_text(config->node_name, value);
    } else if (strcmp(name, "node.replication_address") == 0) {
        return set_text(config->replication_address, value);
    } else if (strcmp(name, "node.replication_ports") == 0) {
        return set_ports(config, value);
    } else if (strcmp(name, "replication.tls") == 0) {
        return set_tls(&config->tls, value);
    } else if (strcmp(name, "replication.tls_dir") == 0) {
        return value[0] == '/' ? set_text(config->tls_dir, value) : -EINVAL;
    } else if (strcmp(name, "replication.sync_mib_s") == 0) {
        return set_number(&config->sync_mib_s, value, 1, SYNC_MAX_MIB_S);
    } else if (strcmp(name, "engine.emulator") == 0) {
        return set_text(config->emulator, value);
    } else if (strcmp(name, "overload.policy") == 0) {
        return set_policy(&config->overload, value);
    } else if (strcmp(name, "overload.staging_mib") == 0) {
        return set_number(&config->staging_mib, value, STAGING_MIN_MIB,
                          STAGING_MAX_MIB);
    } else if (strcmp(name, "health.parallel_moves") == 0) {
        return set_number(&config->moves.parallel_moves, value, 1,
                          KMR_MOVES_PARALLEL_MAX);
    } else if (strcmp(name, "health.vm_moves_per_hour") == 0) {
        return set_number(&config->moves.moves_per_hour, value, 1,
                          KMR_MOVES_KEPT);
    } else if (strcmp(name, "health.priority") == 0) {
        return set_priority(config->priority, value);
    } else if (strcmp(name, "guest.dump_dir") == 0) {
        return set_dump_dir(config, value);
    } else if (strcmp(name, "libvirt.uri") == 0) {
        return set_text(config->libvirt_uri, value);
    } else if (strcmp(name, "pacemaker.degraded_monitor") == 0) {
        return set_bool(&config->degraded_monitor, value);
    } else if (strcmp(name, "fencing.fabric_devices") == 0) {
        return set_text(config->fabric, value);
    } else if (strcmp(name, "fencing.down_command") == 0) {
        return set_text(config->down_command, value);
    } else if (strcmp(name, "fencing.settle_ms") == 0) {
        return set_number(&config->settle_ms, value, 0, SETTLE_MAX_MS);
    } else if (strcmp(name, "log.file") == 0) {
        return set_text(config->log_file, value);
    } else if (strcmp(name, "log.level") == 0) {
        return set_level(config, value);
    } else if (strcmp(section, "health") == 0) {
        return kmr_health_limits_set(&config->health, key, value);
    }
    return -ENOENT;
}

/* What the key takes, where that is short. */
static const char *takes_what(const char *section, const char *key)
{
#define TEXT_(n) #n
#define TEXT(n) TEXT_(n)
    static const struct {
        const char *section, *key, *text;
    } list[] = {
        { "health", "parallel_moves", "1 to " TEXT(KMR_MOVES_PARALLEL_MAX) },
        { "health", "vm_moves_per_hour", "1 to " TEXT(KMR_MOVES_KEPT) },
        { "health", "priority", "names of virtual machines" },
    };
#undef TEXT
#undef TEXT_

    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        if (strcmp(section, list[i].section) == 0 &&
            strcmp(key, list[i].key) == 0) {
            return list[i].text;
        }
    }
    return NULL;
}

/* What is wrong with the line, with what would be right where that is short. */
static void explain(char *ret_error, size_t size, const char *section,
                    const char *key, int err)
{
    const struct limit *limit = find_limit(section, key);
    const char *takes = takes_what(section, key);
    const struct remedy *remedy = find_remedy(section, key);

    if (err == -ENOENT) {
        snprintf(ret_error, size, "unknown key '%s' in [%s]", key, section);
    } else if (limit) {
        snprintf(ret_error, size,
                 "bad value for '%s' in [%s]: %u to %u (milliseconds)", key,
                 section, limit->least, limit->most);
    } else if (takes) {
        snprintf(ret_error, size, "bad value for '%s' in [%s]: %s", key,
                 section, takes);
    } else if (strcmp(section, "health") == 0) {
        char allowed[128];

        kmr_health_limits_allowed(key, allowed, sizeof(allowed));
        snprintf(ret_error, size, "bad value for '%s' in [health]: %s", key,
                 allowed);
    } else if (remedy) {
        int used = snprintf(ret_error, size, "bad value for '%s' in [%s]:", key,
                            section);

        for (unsigned i = 0; i < REMEDY_COUNT && used < (int)size; i++) {
            if ((remedy->allowed >> i & 1) != 0) {
                used += snprintf(ret_error + used, size - (size_t)used, " %s",
                                 remedy_names[i]);
            }
        }
    } else {
        snprintf(ret_error, size, "bad value for '%s' in [%s]", key, section);
    }
}

static int parse(struct kmr_config *config, FILE *file, const char *path,
                 char *ret_error, size_t size)
{
    char line[KMR_CONFIG_LINE_MAX];
    char section[64] = "";
    unsigned number = 0;

    while (fgets(line, sizeof(line), file)) {
        char *text = trim(line);
        char *equals;
        int err;

        number++;
        if (*text == '\0' || *text == '#' || *text == ';') {
            continue;
        }
        if (*text == '[' && text[strlen(text) - 1] == ']') {
            text[strlen(text) - 1] = '\0';
            snprintf(section, sizeof(section), "%s", trim(text + 1));
            continue;
        }
        equals = strchr(text, '=');
        if (!equals) {
            snprintf(ret_error, size,
                     "%s:%u: neither [section] nor "
                     "key = value",
                     path, number);
            return -EBADMSG;
        }
        *equals = '\0';
        err = set(config, section, trim(text), trim(equals + 1));
        if (err) {
            char why[256];

            explain(why, sizeof(why), section, trim(text), err);
            snprintf(ret_error, size, "%s:%u: %s", path, number, why);
            return -EBADMSG;
        }
    }
    return 0;
}

int kmr_config_read(const char *path, struct kmr_config *config,
                    char *ret_error, size_t size)
{
    FILE *file = fopen(path, "re");
    int err;

    if (!file) {
        err = -errno;
        snprintf(ret_error, size, "%s: %s", path, strerror(-err));
        return err;
    }
    err = parse(config, file, path, ret_error, size);
    fclose(file);
    return err;
}
