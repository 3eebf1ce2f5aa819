/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_QMP_H
#define KMR_IO_QMP_H

/*
 * The engine's JSON (docs/interfaces.md), read strictly: a missing or
 * mistyped member that is not optional, an unknown state, a number out of
 * range or a duplicate key is -EBADMSG. No I/O here.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KMR_QMP_REASON_MAX 256

#define KMR_QMP_ROLES(X) \
    X(NONE, "none") X(PRIMARY, "primary") X(STANDBY, "standby")

#define KMR_QMP_STATES(X)           \
    X(NONE, "none")                 \
    X(PREPARING, "preparing")       \
    X(SYNCING, "syncing")           \
    X(IN_STEP, "in-step")           \
    X(PROTECTED, "protected")       \
    X(HOLDING, "holding")           \
    X(MEMORY_LOST, "memory-lost")   \
    X(HANDING_OVER, "handing-over") \
    X(HANDED_OVER, "handed-over")   \
    X(SYNCHRONISED, "synchronised") \
    X(PRIMARY_LOST, "primary-lost") \
    X(TAKING_OVER, "taking-over")   \
    X(RUNNING, "running")           \
    X(FAILED, "failed")

enum kmr_qmp_role {
#define X(name, text) KMR_QMP_ROLE_##name,
    KMR_QMP_ROLES(X)
#undef X
};
enum kmr_qmp_state {
#define X(name, text) KMR_QMP_##name,
    KMR_QMP_STATES(X)
#undef X
};
const char *kmr_qmp_role_text(enum kmr_qmp_role role);
const char *kmr_qmp_state_text(enum kmr_qmp_state state);

struct kmr_qmp_quantiles {
    uint64_t p50, p95, p99, max;
};

struct kmr_qmp_status {
    enum kmr_qmp_role role;
    enum kmr_qmp_state state;
    uint64_t generation;
    char instance[37];               /* "" when not prepared */
    char peer[37];                   /* "" when not prepared; not in events */
    char reason[KMR_QMP_REASON_MAX]; /* cut off when longer; "" */
    uint64_t checkpoint;
    /* query-kemari only, else 0: */
    uint64_t checkpoints, pages, bytes, held_requests, held_packets, lag_ms;
    struct kmr_qmp_quantiles freeze_us, ack_us;
    /* query-kemari and KEMARI_OVERLOAD */
    uint64_t throttle; /* percent of the last second */
    bool overload;     /* the guest dirties memory too fast */
    bool unprotected;  /* ... and we are to go on without the standby */
};

/* Data of a KEMARI_STATE event (`kmr_virt_event.text`). 0 or -EBADMSG. */
int kmr_qmp_parse_event(const char *json, struct kmr_qmp_status *ret_status);

/* Data of a KEMARI_OVERLOAD event: instance, generation and those. */
int kmr_qmp_parse_overload(const char *json, struct kmr_qmp_status *ret_status);

/* Whole reply to query-kemari, `{"return": {...}}`. 0 or -EBADMSG. */
int kmr_qmp_parse_query(const char *json, struct kmr_qmp_status *ret_status);

/* From the whole reply to query-migrate: transferred share of RAM, 0..100
 * (100 when status is "kemari"), and the status text. 0 or -EBADMSG. */
int kmr_qmp_parse_migrate(const char *json, unsigned *ret_percent,
                          char *ret_status, size_t status_size);

/* The run state in the whole reply to query-status. 0 or -EBADMSG. */
int kmr_qmp_parse_run(const char *json, char *ret_status, size_t size);

/* Is the reply an error? true: its class and text go into `ret_text`. Also
 * true for what is no JSON at all. */
bool kmr_qmp_is_error(const char *json, char *ret_text, size_t size);

/*
 * Commands as JSON text, quoted properly, into `ret_text`; 0 or -ENOSPC.
 * `peer`, `uri` may be NULL where the command has none.
 */
#define KMR_QMP_COMMAND_MAX 1024
struct kmr_qmp_settings {
    uint32_t lost_ms; /* a peer that is silent for so long is lost */
    const char *overload;
    uint32_t staging_mib;
};
int kmr_qmp_prepare(const char *instance, const char *peer, uint64_t generation,
                    const struct kmr_qmp_settings *settings, char *ret_text,
                    size_t size);
int kmr_qmp_set_capability(char *ret_text, size_t size); /* x-kemari: true */
/* The keys of a stream over TLS: the object is made anew (what is in `dir` may
 * be newer; removing may fail, it may be the first time), then used; `kind` is
 * "psk" or "x509". Or, with NULL, no TLS. `server`: the standby's side.
 * `sync_mib_s`: MiB a second, of the memory's first copy only. */
int kmr_qmp_remove_keys(bool server, char *ret_text, size_t size);
int kmr_qmp_add_keys(const char *kind, const char *dir, bool server,
                     char *ret_text, size_t size);
int kmr_qmp_set_parameters(const char *kind, bool server, uint32_t sync_mib_s,
                           char *ret_text, size_t size);
int kmr_qmp_migrate(const char *uri, bool incoming, char *ret_text,
                    size_t size); /* `migrate` or `migrate-incoming` */
int kmr_qmp_confirm(const char *instance, uint64_t generation, char *ret_text,
                    size_t size);
int kmr_qmp_release(const char *instance, uint64_t generation, char *ret_text,
                    size_t size);
int kmr_qmp_takeover(const char *instance, uint64_t generation, char *ret_text,
                     size_t size);
int kmr_qmp_handover(const char *instance, uint64_t generation, char *ret_text,
                     size_t size);
/* The guest goes on after an I/O error, and is told of the next ones or not */
int kmr_qmp_retry(const char *instance, uint64_t generation, bool report,
                  char *ret_text, size_t size);
int kmr_qmp_restart(const char *instance, uint64_t generation, char *ret_text,
                    size_t size);
int kmr_qmp_simple(const char *command, char *ret_text, size_t size);

#endif
