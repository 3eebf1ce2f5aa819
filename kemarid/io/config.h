/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_CONFIG_H
#define KMR_IO_CONFIG_H

/* kemari.conf: `key = value` under `[section]`, # or ; for comments. An
 * unknown section or key is an error: a typo must not be a default. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/health.h"
#include "core/limits.h"
#include "mce-monitor/limits.h"
#include "core/trouble.h"

#define KMR_CONFIG_TEXT 256
#define KMR_CONFIG_FABRIC_MAX 32
#define KMR_CONFIG_LINE_MAX 1024

/* How the streams between QEMUs are kept from others. */
enum kmr_tls { KMR_TLS_NO, KMR_TLS_PSK, KMR_TLS_X509 };
const char *kmr_tls_text(enum kmr_tls tls);

struct kmr_config {
    char node_name[KMR_CONFIG_TEXT];           /* [node] name */
    char replication_address[KMR_CONFIG_TEXT]; /* [node] */
    unsigned port_first, port_last;     /* [node] replication_ports = A-B */
    enum kmr_tls tls;                   /* [replication] tls */
    char tls_dir[KMR_CONFIG_TEXT];      /* [replication] tls_dir */
    uint32_t sync_mib_s;                /* [replication] 1 .. 100000 */
    char emulator[KMR_CONFIG_TEXT];     /* [engine] */
    const char *overload;               /* [overload] policy */
    uint32_t staging_mib;               /* [overload] 64 .. 65536 */
    char libvirt_uri[KMR_CONFIG_TEXT];  /* [libvirt] uri */
    char fabric[KMR_CONFIG_TEXT];       /* [fencing] fabric_devices */
    bool degraded_monitor;              /* [pacemaker]; default no */
    char down_command[KMR_CONFIG_TEXT]; /* [fencing]; "": the kernel's reboot */
    unsigned settle_ms;                 /* [fencing] 0 .. 120000 */
    char log_file[KMR_CONFIG_TEXT];     /* [log] file */
    int log_level;                      /* [log] level */
    struct kmr_limits limits;           /* [limits] NAME_ms */
    struct kmr_health_limits health;    /* [health] */
    struct kmr_move_limits moves;       /* [health] parallel_moves, ... */
    char priority[KMR_CONFIG_LINE_MAX]; /* [health] priority = VM VM ... */
    struct kmr_guest_policy policy;     /* [io_error] policy, [guest] */
    char dump_dir[KMR_CONFIG_TEXT];     /* [guest] dump_dir */
};

/* Defaults that need no file. */
void kmr_config_init(struct kmr_config *config);

/* 0, -ENOENT, another -errno, or -EBADMSG; `ret_error` names file and line.
 */
int kmr_config_read(const char *path, struct kmr_config *config,
                    char *ret_error, size_t size);

#endif
