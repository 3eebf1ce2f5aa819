/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "devices.h"
#include "devxml.h"
#include "xmltree.h"

#define QEMU_NS "http://libvirt.org/schemas/domain/qemu/1.0"
#define VCPUS_MAX 8u
#define VALUE_MAX 128

struct ctx {
    kmr_check_cb report;
    void *user;
    unsigned errors;
};

__attribute__((format(printf, 5, 6))) static void say(struct ctx *ctx,
                                                      bool error,
                                                      const xmlNode *node,
                                                      const char *element,
                                                      const char *fmt, ...)
{
    struct kmr_check_finding finding = { .error = error,
                                         .line = kmr_xml_line(node),
                                         .element = element };
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    finding.text = text;
    ctx->errors += error;
    ctx->report(&finding, ctx->user);
}

/* Name of a device for people: "disk vda". */
static void label(const char *kind, const xmlNode *node, const char *child,
                  const char *attr, char *ret, size_t size)
{
    char value[VALUE_MAX];

    if (kmr_xml_prop(child ? kmr_xml_child(node, child) : node, attr, value,
                     sizeof(value))) {
        snprintf(ret, size, "%s %s", kind, value);
    } else {
        snprintf(ret, size, "%s", kind);
    }
}

static void check_disk_driver(struct ctx *ctx, const xmlNode *disk,
                              const char *name)
{
    const xmlNode *driver = kmr_xml_child(disk, "driver");
    const xmlNode *at = driver ? driver : disk;
    char value[VALUE_MAX];

    bool tables = false; /* in the memory of QEMU */

    if (kmr_xml_prop(driver, "type", value, sizeof(value))) {
        tables = strcmp(value, "qcow2") == 0;
        if (!tables && strcmp(value, "raw") != 0) {
            say(ctx, true, at, name,
                "format %s can't be protected, only raw and qcow2: convert the "
                "image with `qemu-img convert -O raw` and say type='raw'",
                value);
        }
    }
    if (tables && kmr_xml_prop(driver, "cache", value, sizeof(value)) &&
        strcmp(value, "directsync") != 0) {
        say(ctx, true, at, name,
            "with cache='%s' the tables of a qcow2 image are in this host's "
            "memory when a write is completed, and die with it: say "
            "cache='directsync'",
            value);
    } else if (kmr_xml_prop(driver, "cache", value, sizeof(value)) &&
               strcmp(value, "none") != 0 && strcmp(value, "directsync") != 0) {
        say(ctx, true, at, name,
            "cache='%s' keeps completed writes in this host's memory, which "
            "dies with it: say cache='none' or cache='directsync'",
            value);
    }
    if (kmr_xml_prop_is(driver, "io", "io_uring")) {
        say(ctx, true, at, name,
            "io='io_uring' can finish requests after QEMU has ended: say "
            "io='native' or io='threads'");
    }
    if (kmr_xml_child(driver, "iothreads")) {
        say(ctx, true, at, name,
            "several iothreads for a disk can't be protected yet: say "
            "iothread= instead of <iothreads>");
    }
    if (kmr_xml_prop_is(driver, "copy_on_read", "on")) {
        say(ctx, true, at, name,
            "copy_on_read='on' writes behind the guest's back: remove it");
    }
}

static void check_disk_source(struct ctx *ctx, const xmlNode *disk,
                              const char *name)
{
    char type[VALUE_MAX];

    if (kmr_xml_prop(disk, "type", type, sizeof(type)) &&
        (strcmp(type, "nvme") == 0 || strcmp(type, "vhostuser") == 0 ||
         strcmp(type, "vhostvdpa") == 0)) {
        say(ctx, true, disk, name,
            "type='%s' bypasses QEMU's block layer, so its writes can't be "
            "held: use file, block or network",
            type);
    }
    if (kmr_xml_child(disk, "transient")) {
        say(ctx, true, kmr_xml_child(disk, "transient"), name,
            "<transient/> puts the writes into an overlay of this host: "
            "remove it");
    }
    if (kmr_xml_child(kmr_xml_child(disk, "source"), "encryption") ||
        kmr_xml_child(disk, "encryption")) {
        say(ctx, true, disk, name,
            "<encryption> makes the image luks, which can't be protected: "
            "encrypt in the guest or below the image");
    }
    if (kmr_xml_child(kmr_xml_child(disk, "source"), "reservations")) {
        say(ctx, true, disk, name,
            "<reservations> (SCSI reservations) belong to this host and "
            "don't move: remove them");
    }
}

static void disk_bus(const xmlNode *disk, const char *device, char *ret_bus,
                     size_t size)
{
    const xmlNode *target = kmr_xml_child(disk, "target");
    char name[VALUE_MAX];

    if (strcmp(device, "floppy") == 0) {
        snprintf(ret_bus, size, "fdc");
    } else if (!kmr_xml_prop(target, "bus", ret_bus, size)) {
        /* libvirt guesses from the name, as we do */
        kmr_xml_prop(target, "dev", name, sizeof(name));
        snprintf(ret_bus, size, "%s",
                 strncmp(name, "vd", 2) == 0   ? "virtio"
                 : strncmp(name, "hd", 2) == 0 ? "ide"
                 : strncmp(name, "sd", 2) == 0 ? "scsi"
                                               : "unknown");
    }
}

static void check_disk(struct ctx *ctx, const xmlNode *disk)
{
    char name[VALUE_MAX + 8], bus[VALUE_MAX], dev[VALUE_MAX] = "";
    char text[KMR_DEVICE_TEXT_MAX];

    label("disk", disk, "target", "dev", name, sizeof(name));
    kmr_xml_prop(disk, "device", dev, sizeof(dev));
    disk_bus(disk, dev, bus, sizeof(bus));
    if (!kmr_device_accepted(kmr_devxml_disk(bus, dev), text, sizeof(text))) {
        say(ctx, true, disk, name, "bus %s is QEMU's %s%s", bus, text,
            dev[0] == '\0' || strcmp(dev, "disk") == 0
                ? " (here: bus='virtio' and dev='vdX')"
                : "");
        return;
    }
    if (strcmp(dev, "cdrom") == 0 || kmr_xml_child(disk, "readonly")) {
        return; /* nothing to hold */
    }
    if (strcmp(dev, "lun") == 0) {
        say(ctx, true, disk, name,
            "device='lun' passes SCSI commands through, which can't be "
            "repeated: say device='disk'");
    }
    check_disk_driver(ctx, disk, name);
    check_disk_source(ctx, disk, name);
}

/* What the device table says of the device that the element leads to. */
static void check_type(struct ctx *ctx, const xmlNode *node)
{
    struct kmr_devxml device;
    char text[KMR_DEVICE_TEXT_MAX];

    if (!kmr_devxml_find(node, &device) || !device.type[0] ||
        kmr_device_accepted(device.type, text, sizeof(text))) {
        return;
    }
    say(ctx, true, device.at, (const char *)node->name,
        "%s %s is QEMU's %s%s%s%s", device.attr, device.value, text,
        device.hint ? " (here: " : "", device.hint ? device.hint : "",
        device.hint ? ")" : "");
}

static void check_interface(struct ctx *ctx, const xmlNode *nic)
{
    const xmlNode *driver = kmr_xml_child(nic, "driver");
    char name[VALUE_MAX + 16], type[VALUE_MAX], value[VALUE_MAX];
    bool is_virtio;

    label("interface", nic, "mac", "address", name, sizeof(name));
    kmr_xml_prop(nic, "type", type, sizeof(type));
    if (strcmp(type, "hostdev") == 0 || strcmp(type, "vhostuser") == 0 ||
        strcmp(type, "vdpa") == 0) {
        say(ctx, true, nic, name,
            "type='%s' sends without QEMU, so its packets can't be held: use "
            "type='bridge' with <model type='virtio'/> and <driver "
            "name='qemu'/>",
            type);
        return;
    }
    if (strcmp(type, "user") == 0) {
        say(ctx, false, nic, name,
            "type='user': its connections end at a takeover; use a bridge "
            "where the guest serves others");
    }
    check_type(ctx, nic);
    is_virtio = kmr_xml_prop(kmr_xml_child(nic, "model"), "type", value,
                             sizeof(value)) &&
                strncmp(value, "virtio", 6) == 0;
    if (is_virtio && strcmp(type, "user") != 0 &&
        !kmr_xml_prop_is(driver, "name", "qemu")) {
        say(ctx, true, driver ? driver : nic, name,
            "vhost sends from the kernel, so its packets can't be held: add "
            "<driver name='qemu'/>");
    }
}

/* Elements whose mere presence is an error, and why: what they lead to depends
 * on the host, or is in no emulator that qemu-patches/build makes. */
static const struct {
    const char *element;
    const char *why;
} refused[] = {
    { "hostdev", "a host device's state can't be copied: remove it" },
    { "redirdev", "a redirected USB device's state can't be copied: "
                  "remove it" },
    { "filesystem", "a shared directory is changed without being held: put "
                    "the data on a virtio disk" },
    { "tpm", "a TPM's state can't be held: remove it" },
    { "vsock", "vhost-vsock talks to this host only and bypasses QEMU: "
               "remove it" },
    { "smartcard", "a smart card's state can't be copied: remove it" },
    { "nvram", "that is another architecture's: remove it" },
};

static void check_device(struct ctx *ctx, const xmlNode *node)
{
    const xmlNode *driver = kmr_xml_child(node, "driver");
    char value[VALUE_MAX];

    if (kmr_xml_is(node, "disk")) {
        check_disk(ctx, node);
    } else if (kmr_xml_is(node, "interface")) {
        check_interface(ctx, node);
    } else if (kmr_xml_is(node, "controller") &&
               kmr_xml_prop(driver, "iothread", value, sizeof(value))) {
        say(ctx, true, driver, "controller",
            "iothread= can't be protected yet: remove the attribute");
    } else {
        check_type(ctx, node);
    }
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (kmr_xml_is(node, refused[i].element)) {
            say(ctx, true, node, refused[i].element, "%s", refused[i].why);
        }
    }
}

/*
 * UEFI: its code is read-only flash memory, its variables go to a file
 * of each node's own, or to one that both have: a takeover writes all of it.
 */
static void check_firmware(struct ctx *ctx, const xmlNode *root)
{
    const xmlNode *os = kmr_xml_child(root, "os");
    const xmlNode *loader = kmr_xml_child(os, "loader");
    const xmlNode *nvram = kmr_xml_child(os, "nvram");
    bool flash = kmr_xml_prop_is(loader, "type", "pflash");
    char value[VALUE_MAX];

    if (flash && !kmr_xml_prop_is(loader, "readonly", "yes")) {
        say(ctx, true, loader, "os",
            "a loader in flash memory that can be written to was not tried: "
            "say readonly='yes', and <nvram> for the variables");
    }
    if (kmr_xml_prop_is(loader, "secure", "yes")) {
        say(ctx, true, loader, "os",
            "secure='yes' (system management mode) was not tried: remove it");
    }
    if (!nvram) {
        return;
    }
    if (kmr_xml_prop(nvram, "type", value, sizeof(value)) &&
        strcmp(value, "file") != 0) {
        say(ctx, true, nvram, "os",
            "<nvram type='%s'> was not tried: use a file, of each node's own "
            "or shared",
            value);
    }
    if (kmr_xml_prop(nvram, "format", value, sizeof(value)) &&
        strcmp(value, "raw") != 0) {
        say(ctx, true, nvram, "os",
            "the variables of UEFI are protected in raw files only, not in %s: "
            "remove format=",
            value);
    }
}

/* Features that are devices, too. */
static void check_features(struct ctx *ctx, const xmlNode *features)
{
    const xmlNode *hyperv = kmr_xml_child(features, "hyperv");
    const xmlNode *const nodes[] = { kmr_xml_child(features, "vmcoreinfo"),
                                     kmr_xml_child(hyperv, "synic") };
    static const char *const types[] = { "vmcoreinfo", "hyperv-synic" };
    char text[KMR_DEVICE_TEXT_MAX];

    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
        if (nodes[i] && !kmr_xml_prop_is(nodes[i], "state", "off") &&
            !kmr_device_accepted(types[i], text, sizeof(text))) {
            say(ctx, true, nodes[i], "features", "<%s> is QEMU's %s",
                (const char *)nodes[i]->name, text);
        }
    }
}

static void check_limits(struct ctx *ctx, const struct kmr_domxml *dom,
                         const xmlNode *root)
{
    const xmlNode *vcpu = kmr_xml_child(root, "vcpu");
    const xmlNode *node = kmr_xml_child(root, "features");
    char value[VALUE_MAX];

    if (kmr_domxml_vcpus(dom) > VCPUS_MAX) {
        say(ctx, true, vcpu, "vcpu",
            "%u vCPUs can't be protected yet, at most %u: lower <vcpu>",
            kmr_domxml_vcpus(dom), VCPUS_MAX);
    }
    if (kmr_xml_prop(vcpu, "current", value, sizeof(value)) &&
        strtoul(value, NULL, 10) != kmr_domxml_vcpus(dom)) {
        say(ctx, true, vcpu, "vcpu",
            "vCPU hot-plug (current='%s') can't be protected: remove the "
            "attribute",
            value);
    }
    if (!kmr_xml_child(node, "acpi")) {
        say(ctx, true, node ? node : root, "features",
            "without ACPI the guest can't be shut down, and libvirt gives "
            "QEMU an option that it no longer has: add "
            "<features><acpi/></features>");
    }
    node = kmr_xml_child(root, "maxMemory");
    if (node) {
        say(ctx, true, node, "maxMemory",
            "memory hot-plug can't be protected: remove <maxMemory>");
    }
    node = kmr_xml_child(root, "launchSecurity");
    if (node) {
        say(ctx, true, node, "launchSecurity",
            "encrypted guest memory can't be copied: remove it");
    }
    check_features(ctx, kmr_xml_child(root, "features"));
    node = kmr_xml_child(root, "cpu");
    if (kmr_xml_prop_is(node, "mode", "host-passthrough") ||
        kmr_xml_prop_is(node, "mode", "host-model")) {
        say(ctx, false, node, "cpu",
            "the CPU of this host is given to the guest: every node of the "
            "pair needs the same processor, or name a model");
    }
}

static void check_commandline(struct ctx *ctx, const xmlNode *root)
{
    for (const xmlNode *n = root->children; n; n = n->next) {
        if (!kmr_xml_is_ns(n, QEMU_NS, "commandline")) {
            continue;
        }
        for (const xmlNode *arg = n->children; arg; arg = arg->next) {
            if (kmr_xml_prop_is(arg, "value", "-incoming")) {
                say(ctx, true, arg, "qemu:commandline",
                    "-incoming is kemarid's to give: remove it");
            }
        }
        say(ctx, false, n, "qemu:commandline",
            "these arguments are passed on unchecked; the engine checks its "
            "devices when protection starts");
    }
}

unsigned kmr_check_xml(const struct kmr_domxml *dom, kmr_check_cb report,
                       void *user)
{
    struct ctx ctx = { .report = report, .user = user };
    const xmlNode *root = xmlDocGetRootElement(kmr_domxml_doc(dom));
    const xmlNode *devices = kmr_xml_child(root, "devices");

    check_limits(&ctx, dom, root);
    check_firmware(&ctx, root);
    if (!devices) {
        say(&ctx, true, root, "domain", "there is no <devices>");
    } else {
        for (const xmlNode *n = devices->children; n; n = n->next) {
            if (n->type == XML_ELEMENT_NODE) {
                check_device(&ctx, n);
            }
        }
        if (kmr_xml_child(devices, "graphics") &&
            !kmr_xml_child(devices, "video")) {
            say(&ctx, true, kmr_xml_child(devices, "graphics"), "graphics",
                "libvirt would choose a video card that can't be protected: "
                "add <video><model type='vga'/></video>");
        }
    }
    check_commandline(&ctx, root);
    return ctx.errors;
}
