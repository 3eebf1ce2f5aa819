/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "domxml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/tree.h>
#include <uuid/uuid.h>

#include "xmltree.h"

#define QEMU_NS "http://libvirt.org/schemas/domain/qemu/1.0"

static const char *const role_text[] = { "plain", "primary", "standby" };

static void drop(xmlNode *node)
{
    xmlUnlinkNode(node);
    xmlFreeNode(node);
}

static void set_text(xmlNode *parent, const char *name, const char *text)
{
    xmlNode *node = kmr_xml_child(parent, name);

    if (node) {
        xmlNodeSetContent(node, NULL);
        xmlNodeAddContent(node, BAD_CAST text); /* escapes */
    } else {
        xmlNewTextChild(parent, NULL, BAD_CAST name, BAD_CAST text);
    }
}

static xmlNode *ensure(xmlNode *parent, const char *name)
{
    xmlNode *node = kmr_xml_child(parent, name);

    return node ? node : xmlNewChild(parent, NULL, BAD_CAST name, NULL);
}

static void derive_disk(xmlNode *disk)
{
    xmlNode *driver;

    if (kmr_xml_child(disk, "readonly") ||
        kmr_xml_prop_is(disk, "device", "cdrom") ||
        kmr_xml_prop_is(disk, "device", "floppy")) {
        return;
    }
    driver = kmr_xml_child(disk, "driver");
    if (!driver) {
        driver = xmlNewChild(disk, NULL, BAD_CAST "driver", NULL);
        xmlSetProp(driver, BAD_CAST "name", BAD_CAST "qemu");
        xmlSetProp(driver, BAD_CAST "type", BAD_CAST "raw");
    }
    xmlSetProp(driver, BAD_CAST "error_policy", BAD_CAST "stop");
    xmlSetProp(driver, BAD_CAST "rerror_policy", BAD_CAST "stop");
    if (!xmlHasProp(driver, BAD_CAST "cache")) {
        /* what is completed must not be in a cache (check.c) */
        xmlSetProp(driver, BAD_CAST "cache",
                   BAD_CAST(kmr_xml_prop_is(driver, "type", "qcow2")
                                ? "directsync"
                                : "none"));
    }
}

/* A watchdog's own actions, but those that only tell the guest: kemari.conf
 * says what is to be done about one that hangs. */
static void derive_watchdog(xmlNode *watchdog)
{
    if (!kmr_xml_prop_is(watchdog, "action", "none") &&
        !kmr_xml_prop_is(watchdog, "action", "inject-nmi")) {
        xmlSetProp(watchdog, BAD_CAST "action", BAD_CAST "pause");
    }
}

static void derive_metadata(xmlNode *root, const struct kmr_domxml_pair *pair)
{
    xmlNode *meta = kmr_xml_child(root, "metadata");
    xmlNode *next, *node;
    char generation[32];
    xmlNs *ns;

    for (node = meta ? meta->children : NULL; node; node = next) {
        next = node->next;
        if (kmr_xml_is_ns(node, KMR_DOMXML_NS, "pair")) {
            drop(node);
        }
    }
    if (pair->role == KMR_DOMXML_PLAIN) {
        if (meta && !meta->children) {
            drop(meta);
        }
        return;
    }
    meta = ensure(root, "metadata");
    node = xmlNewChild(meta, NULL, BAD_CAST "pair", NULL);
    ns = xmlNewNs(node, BAD_CAST KMR_DOMXML_NS, BAD_CAST "kemari");
    xmlSetNs(node, ns);
    snprintf(generation, sizeof(generation), "%llu",
             (unsigned long long)pair->generation);
    xmlSetProp(node, BAD_CAST "role", BAD_CAST role_text[pair->role]);
    xmlSetProp(node, BAD_CAST "instance", BAD_CAST pair->instance);
    if (pair->peer[0]) {
        xmlSetProp(node, BAD_CAST "peer", BAD_CAST pair->peer);
    }
    xmlSetProp(node, BAD_CAST "generation", BAD_CAST generation);
}

static bool is_arg(const xmlNode *node, const char *value)
{
    return kmr_xml_is_ns(node, QEMU_NS, "arg") &&
           kmr_xml_prop_is(node, "value", value);
}

static xmlNode *next_element(xmlNode *node)
{
    do {
        node = node->next;
    } while (node && node->type != XML_ELEMENT_NODE);
    return node;
}

static void add_arg(xmlNode *cmd, xmlNs *ns, const char *value)
{
    xmlNode *arg = xmlNewChild(cmd, ns, BAD_CAST "arg", NULL);

    xmlSetProp(arg, BAD_CAST "value", BAD_CAST value);
}

static void derive_incoming(xmlNode *root, bool standby)
{
    xmlNode *cmd = NULL, *next, *node;
    xmlNs *ns;

    for (node = root->children; node; node = node->next) {
        if (kmr_xml_is_ns(node, QEMU_NS, "commandline")) {
            cmd = node;
        }
    }
    for (node = cmd ? cmd->children : NULL; node; node = next) {
        next = node->next;
        xmlNode *value = is_arg(node, "-incoming") ? next_element(node) : NULL;

        if (value && is_arg(value, "defer")) {
            next = value->next;
            drop(value);
            drop(node);
        }
    }
    if (!standby) {
        if (cmd && !cmd->children) {
            drop(cmd);
        }
        return;
    }
    if (!cmd) {
        cmd = xmlNewChild(root, NULL, BAD_CAST "commandline", NULL);
        ns = xmlSearchNsByHref(root->doc, root, BAD_CAST QEMU_NS);
        if (!ns || !ns->prefix) {
            ns = xmlNewNs(cmd, BAD_CAST QEMU_NS, BAD_CAST "qemu");
        }
        xmlSetNs(cmd, ns);
    }
    add_arg(cmd, cmd->ns, "-incoming");
    add_arg(cmd, cmd->ns, "defer");
}

static void strip_runtime(xmlNode *root)
{
    xmlNode *next;

    xmlUnsetProp(root, BAD_CAST "id");
    for (xmlNode *node = root->children; node; node = next) {
        next = node->next;
        if (kmr_xml_is(node, "seclabel") &&
            kmr_xml_prop_is(node, "type", "dynamic")) {
            drop(node);
        }
    }
}

int kmr_domxml_derive(const struct kmr_domxml *dom, const char *emulator,
                      const struct kmr_domxml_pair *pair, char **ret_text)
{
    xmlDoc *doc = xmlCopyDoc(kmr_domxml_doc(dom), 1);
    xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
    xmlNode *devices;
    xmlChar *mem = NULL;
    char *text;
    int len = 0, err = -ENOMEM;

    if (!root) {
        goto out;
    }
    strip_runtime(root);
    set_text(root, "uuid", kmr_domxml_uuid(dom));
    set_text(root, "on_poweroff", "destroy");
    set_text(root, "on_reboot", "restart");
    /* the guest stays as it is, and kemari.conf says what is to be done */
    set_text(root, "on_crash", "preserve");
    devices = ensure(root, "devices");
    if (emulator) {
        set_text(devices, "emulator", emulator);
    }
    for (xmlNode *n = devices->children; n; n = n->next) {
        if (kmr_xml_is(n, "disk")) {
            derive_disk(n);
        } else if (kmr_xml_is(n, "watchdog")) {
            derive_watchdog(n);
        }
    }
    if (!kmr_xml_child(devices, "memballoon")) {
        xmlNode *balloon = ensure(devices, "memballoon");

        xmlSetProp(balloon, BAD_CAST "model", BAD_CAST "none");
    }
    derive_metadata(root, pair);
    derive_incoming(root, pair->role == KMR_DOMXML_STANDBY);

    xmlDocDumpFormatMemoryEnc(doc, &mem, &len, "UTF-8", 1);
    if (!mem) {
        goto out;
    }
    if (len > (int)KMR_DOMXML_TEXT_MAX) {
        err = -E2BIG;
        goto out;
    }
    text = strdup((char *)mem);
    if (text) {
        *ret_text = text;
        err = 0;
    }
out:
    xmlFree(mem);
    if (doc) {
        xmlFreeDoc(doc);
    }
    return err;
}

int kmr_domxml_get_pair(const struct kmr_domxml *dom,
                        struct kmr_domxml_pair *ret_pair)
{
    xmlNode *meta =
        kmr_xml_child(xmlDocGetRootElement(kmr_domxml_doc(dom)), "metadata");
    struct kmr_domxml_pair pair = { 0 };
    char role[16], generation[32], *end;

    for (xmlNode *n = meta ? meta->children : NULL; n; n = n->next) {
        if (!kmr_xml_is_ns(n, KMR_DOMXML_NS, "pair") ||
            !kmr_xml_prop(n, "role", role, sizeof(role)) ||
            !kmr_xml_prop(n, "instance", pair.instance,
                          sizeof(pair.instance)) ||
            !kmr_xml_prop(n, "generation", generation, sizeof(generation))) {
            continue;
        }
        kmr_xml_prop(n, "peer", pair.peer, sizeof(pair.peer));
        pair.generation = strtoull(generation, &end, 10);
        if (*end || end == generation) {
            continue;
        }
        if (!strcmp(role, role_text[KMR_DOMXML_PRIMARY])) {
            pair.role = KMR_DOMXML_PRIMARY;
        } else if (!strcmp(role, role_text[KMR_DOMXML_STANDBY])) {
            pair.role = KMR_DOMXML_STANDBY;
        } else {
            continue;
        }
        *ret_pair = pair;
        return 0;
    }
    return -ENOENT;
}

/* FNV-1a over the text that a plain domain would be started from. */
uint64_t kmr_domxml_digest(const struct kmr_domxml *dom)
{
    struct kmr_domxml_pair plain = { .role = KMR_DOMXML_PLAIN };
    uint64_t hash = 14695981039346656037ULL;
    char *text;

    if (kmr_domxml_derive(dom, "", &plain, &text) < 0) {
        return 0;
    }
    for (const char *p = text; *p; p++) {
        hash = (hash ^ (unsigned char)*p) * 1099511628211ULL;
    }
    free(text);
    return hash;
}

void kmr_domxml_new_instance(char ret_uuid[37])
{
    uuid_t uuid;

    uuid_generate_random(uuid);
    uuid_unparse_lower(uuid, ret_uuid);
}
