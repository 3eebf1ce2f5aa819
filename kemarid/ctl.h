/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_CTL_H
#define KMR_CTL_H

/* The parts of kemarictl: what it shows (ctl_show.c) and what it does without
 * kemarid (ctl_local.c, ctl_devices.c). */

enum {
    KMR_CTL_DONE = 0,
    KMR_CTL_FAILED = 1,
    KMR_CTL_USAGE = 2,
    KMR_CTL_NO_KEMARID = 3,
};

enum kmr_ctl_format { KMR_CTL_TEXT, KMR_CTL_JSON, KMR_CTL_XML };

/* Prints kemarid's JSON: as it is, as XML, or for people by `command`
 * ("status", "events", "health"; others: as it is). */
int kmr_ctl_show(const char *command, const char *json,
                 enum kmr_ctl_format format);

/* `check FILE`: every finding, worst last; the exit code. */
int kmr_ctl_check(const char *path, enum kmr_ctl_format format,
                  const char *config_path);

/* `devices`: what the device table says of these types; of none: all of it.
 * The exit code: KMR_CTL_FAILED when one of the types is not accepted. */
int kmr_ctl_devices(int count, const char *const *types,
                    enum kmr_ctl_format format);

/*
 * The agent's action when kemarid gave no answer (`err`, `why`): `stop` kills
 * what the run-time file names, `monitor` says "not running" only when it is
 * certain. The OCF code; the reason is on stderr.
 */
int kmr_ctl_resource(const char *action, const char *vm, int timeout_ms,
                     int err, const char *why);

#endif
