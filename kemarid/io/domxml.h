/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_DOMXML_H
#define KMR_IO_DOMXML_H

/*
 * A domain's XML: read the operator's, derive what is started from it. Always
 * through the tree (libxml2), never by editing text; the operator's file is
 * never written. No network, no external entities.
 *
 * What kmr_domxml_derive() changes, and nothing else:
 *   emulator        replaced, when one is configured
 *   uuid            set when absent: a UUID of version 5 from the name, the
 *                   same on every node
 *   on_poweroff     destroy (libvirt pauses QEMU first: see virt.h)
 *   on_reboot       restart (QEMU resets itself, the pair stays)
 *   on_crash        as it is; libvirt's coredump-* and restart become destroy
 *   disks           writable ones: error_policy='stop' rerror_policy='stop',
 *                   and cache='none' when no cache is given
 *   memballoon      model='none' when there is none: libvirt would add one,
 *                   and the engine can't protect it
 *   metadata        <kemari:pair xmlns:kemari=KMR_DOMXML_NS instance= peer=
 *                   generation= role=/>, replacing an older one
 *   qemu:commandline  standby: <qemu:arg value='-incoming'/>
 *                   <qemu:arg value='defer'/>; for every other role exactly
 *                   these two are removed. Other arguments stay
 *   from a live XML (a primary's, GET_XML): run-time ids of libvirt
 *                   (domain/@id) and the dynamic <seclabel> are removed
 * It is idempotent, and what is derived from a derived text is as if derived
 * from the original.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KMR_DOMXML_NS "urn:x-kemari:pair:1"
#define KMR_DOMXML_TEXT_MAX (1u << 20)
#define KMR_DOMXML_NAME_MAX 64

struct kmr_domxml;

struct kmr_domxml_error {
    int line;       /* 0: no line */
    char text[512]; /* "FILE:LINE: what is wrong" */
};

/*
 * Reads and checks that it is a <domain type='kvm|qemu'> with a <name> of
 * [A-Za-z0-9._-], at most KMR_DOMXML_NAME_MAX. Returns 0, -EBADMSG (see
 * `ret_error`), -E2BIG, or the -errno of open and read (`ret_error` filled as
 * well). `ret_error` may be NULL. Free with kmr_domxml_free().
 */
int kmr_domxml_read_file(const char *path, struct kmr_domxml **ret_dom,
                         struct kmr_domxml_error *ret_error);
/* `what` stands for the file name in errors */
int kmr_domxml_read_text(const char *text, size_t len, const char *what,
                         struct kmr_domxml **ret_dom,
                         struct kmr_domxml_error *ret_error);
void kmr_domxml_free(struct kmr_domxml *dom);

/* Valid as long as `dom`. */
const char *kmr_domxml_source(const struct kmr_domxml *dom); /* path, `what` */
const char *kmr_domxml_name(const struct kmr_domxml *dom);
const char *kmr_domxml_uuid(const struct kmr_domxml *dom); /* given/derived */
const char *kmr_domxml_emulator(const struct kmr_domxml *dom); /* NULL: none */
unsigned kmr_domxml_vcpus(const struct kmr_domxml *dom);
uint64_t kmr_domxml_memory_kib(const struct kmr_domxml *dom);
/* Hash of the parts that the operator wrote, for "did the file change?" */
uint64_t kmr_domxml_digest(const struct kmr_domxml *dom);

enum kmr_domxml_role {
    KMR_DOMXML_PLAIN,   /* not a pair: no metadata, no -incoming */
    KMR_DOMXML_PRIMARY, /* boots; may get a standby later */
    KMR_DOMXML_STANDBY, /* -incoming defer; create it with paused=true */
};

struct kmr_domxml_pair {
    enum kmr_domxml_role role;
    char instance[37];
    char peer[37]; /* "" when there is none (yet) */
    uint64_t generation;
};

/* `emulator` may be NULL: keep. Free *ret_text with free(). 0 or -errno. */
int kmr_domxml_derive(const struct kmr_domxml *dom, const char *emulator,
                      const struct kmr_domxml_pair *pair, char **ret_text);

/* Our metadata in a domain's XML: how a running QEMU was *started* (its role
 * and peer may have changed since; its instance never does). 0 or -ENOENT. */
int kmr_domxml_get_pair(const struct kmr_domxml *dom,
                        struct kmr_domxml_pair *ret_pair);

/* The tree, for check.c; not to be changed. (libxml2's xmlDoc.) */
struct _xmlDoc;
struct _xmlDoc *kmr_domxml_doc(const struct kmr_domxml *dom);

/* A new random UUID (version 4) for an instance. */
void kmr_domxml_new_instance(char ret_uuid[37]);

#endif
