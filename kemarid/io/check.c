/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "xmltree.h"

#define QEMU_NS "http://libvirt.org/schemas/domain/qemu/1.0"
#define VCPUS_MAX 2u
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

    if (kmr_xml_prop(driver, "type", value, sizeof(value)) &&
        strcmp(value, "raw") != 0) {
        say(ctx, true, at, name,
            "format %s can't be protected, only raw: convert the image with "
            "`qemu-img convert -O raw` and say type='raw'",
            value);
    }
    if (kmr_xml_prop(driver, "cache", value, sizeof(value)) &&
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
    if (kmr_xml_prop(driver, "iothread", value, sizeof(value)) ||
        kmr_xml_child(driver, "iothreads")) {
        say(ctx, true, at, name,
            "iothread= can't be protected yet: remove the attribute");
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
            "<encryption> makes the image luks, only raw can be protected");
    }
    if (kmr_xml_child(kmr_xml_child(disk, "source"), "reservations")) {
        say(ctx, true, disk, name,
            "<reservations> (SCSI reservations) belong to this host and "
            "don't move: remove them");
    }
}

static void check_disk(struct ctx *ctx, const xmlNode *disk)
{
    char name[VALUE_MAX + 8], bus[VALUE_MAX], dev[VALUE_MAX] = "";

    label("disk", disk, "target", "dev", name, sizeof(name));
    kmr_xml_prop(disk, "device", dev, sizeof(dev));
    if (strcmp(dev, "cdrom") == 0 || kmr_xml_child(disk, "readonly")) {
        return; /* nothing to hold */
    }
    if (strcmp(dev, "floppy") == 0) {
        say(ctx, true, disk, name,
            "a writable floppy can't be protected: add <readonly/> or "
            "remove it");
        return;
    }
    if (strcmp(dev, "lun") == 0) {
        say(ctx, true, disk, name,
            "device='lun' passes SCSI commands through, which can't be "
            "repeated: say device='disk'");
    }
    if (!kmr_xml_prop(kmr_xml_child(disk, "target"), "bus", bus, sizeof(bus))) {
        /* libvirt guesses from the name, as we do */
        char target[VALUE_MAX];

        kmr_xml_prop(kmr_xml_child(disk, "target"), "dev", target,
                     sizeof(target));
        snprintf(bus, sizeof(bus), "%s",
                 strncmp(target, "vd", 2) == 0   ? "virtio"
                 : strncmp(target, "hd", 2) == 0 ? "ide"
                 : strncmp(target, "sd", 2) == 0 ? "scsi"
                                                 : "unknown");
    }
    if (strcmp(bus, "virtio") != 0) {
        say(ctx, true, disk, name,
            "a writable disk on bus '%s' can't be protected yet: say "
            "bus='virtio' (and dev='vdX') or add <readonly/>",
            bus);
    }
    check_disk_driver(ctx, disk, name);
    check_disk_source(ctx, disk, name);
}

/* Where the engine knows some models only (its migration/kemari-devices.c). */
static const struct {
    const char *element, *when, *when_is; /* only if this attribute is that */
    const char *child, *attr; /* where the model stands; child may be NULL */
    const char *known[6];     /* first: what to say instead */
    bool required;            /* libvirt's default is none of them */
} models[] = {
    { "interface",
      NULL,
      NULL,
      "model",
      "type",
      { "virtio", "virtio-transitional", "virtio-non-transitional" },
      true },
    { "memballoon", NULL, NULL, NULL, "model", { "none" }, true },
    { "video", NULL, NULL, "model", "type", { "vga", "bochs", "none" }, true },
    { "input", NULL, NULL, NULL, "bus", { "usb", "ps2" }, false },
    { "console", NULL, NULL, "target", "type", { "serial" }, false },
    { "channel", NULL, NULL, "target", "type", { "guestfwd" }, false },
    { "panic", NULL, NULL, NULL, "model", { "isa", "pvpanic" }, false },
    { "controller",
      NULL,
      NULL,
      NULL,
      "type",
      { "pci", "usb", "ide", "sata", "fdc", "isa" },
      false },
    { "controller",
      "type",
      "usb",
      NULL,
      "model",
      { "qemu-xhci", "piix3-uhci", "piix4-uhci", "none" },
      false },
};

static void check_models(struct ctx *ctx, const xmlNode *node)
{
    const char *element = (const char *)node->name;

    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        const xmlNode *at = node;
        char value[VALUE_MAX];
        bool ok = false;

        if (!kmr_xml_is(node, models[i].element) ||
            (models[i].when &&
             !kmr_xml_prop_is(node, models[i].when, models[i].when_is))) {
            continue;
        }
        if (models[i].child) {
            at = kmr_xml_child(node, models[i].child);
        }
        if (!kmr_xml_prop(at, models[i].attr, value, sizeof(value))) {
            ok = !models[i].required;
            snprintf(value, sizeof(value), "(none given)");
        }
        for (size_t k = 0; k < 6 && models[i].known[k]; k++) {
            ok = ok || strcmp(value, models[i].known[k]) == 0;
        }
        if (!ok) {
            say(ctx, true, at ? at : node, element,
                "%s '%s' can't be protected yet: say %s='%s' or remove it",
                models[i].attr, value, models[i].attr, models[i].known[0]);
        }
    }
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
    check_models(ctx, nic);
    is_virtio = kmr_xml_prop(kmr_xml_child(nic, "model"), "type", value,
                             sizeof(value)) &&
                strncmp(value, "virtio", 6) == 0;
    if (is_virtio && strcmp(type, "user") != 0 &&
        !kmr_xml_prop_is(driver, "name", "qemu")) {
        say(ctx, true, driver ? driver : nic, name,
            "vhost sends from the kernel, so its packets can't be held: add "
            "<driver name='qemu'/>");
    }
    if (kmr_xml_prop(driver, "queues", value, sizeof(value)) &&
        strcmp(value, "1") != 0) {
        say(ctx, true, driver, name,
            "queues='%s' (multiqueue) can't be protected yet: remove it",
            value);
    }
}

/* Devices whose mere presence is an error, and why. */
static const struct {
    const char *element;
    const char *why;
} refused[] = {
    { "hostdev", "a host device's state can't be copied: remove it" },
    { "redirdev", "a redirected USB device's state can't be copied: "
                  "remove it" },
    { "filesystem", "a shared directory is changed without being held: put "
                    "the data on a virtio disk" },
    { "shmem", "memory shared with others is changed without being held: "
               "remove it" },
    { "tpm", "a TPM's state can't be held: remove it" },
    { "vsock", "vhost-vsock talks to this host only and bypasses QEMU: "
               "remove it" },
    { "memory", "memory hot-plug can't be protected: give all of it in "
                "<memory>" },
    { "smartcard", "a smart card's state can't be copied: remove it" },
    { "crypto", "a crypto device's state can't be copied: remove it" },
    { "iommu", "an IOMMU can't be protected yet: remove it" },
    { "nvram", "a writable NVRAM can't be held: remove it" },
    { "rng", "virtio-rng can't be protected yet: remove it" },
    { "sound", "a sound card can't be protected yet: remove it" },
    { "watchdog", "a watchdog device can't be protected yet: remove it" },
    { "hub", "a USB hub can't be protected yet: remove it" },
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
        check_models(ctx, node);
    }
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (kmr_xml_is(node, refused[i].element)) {
            say(ctx, true, node, refused[i].element, "%s", refused[i].why);
        }
    }
}

static void check_firmware(struct ctx *ctx, const xmlNode *root)
{
    const xmlNode *os = kmr_xml_child(root, "os");
    const xmlNode *loader = kmr_xml_child(os, "loader");
    const xmlNode *nvram = kmr_xml_child(os, "nvram");

    if (nvram || kmr_xml_prop_is(os, "firmware", "efi") ||
        (kmr_xml_prop_is(loader, "type", "pflash") &&
         !kmr_xml_prop_is(loader, "readonly", "yes"))) {
        say(ctx, true,
            nvram    ? nvram
            : loader ? loader
                     : os,
            "os",
            "UEFI's variable store (pflash) is written by the guest and "
            "can't be held: use BIOS, or a read-only stateless loader");
    }
}

static void check_limits(struct ctx *ctx, const struct kmr_domxml *dom,
                         const xmlNode *root)
{
    const xmlNode *vcpu = kmr_xml_child(root, "vcpu");
    const xmlNode *node = kmr_xml_child(root, "iothreads");
    char value[VALUE_MAX], *text;

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
    text = kmr_xml_text(node);
    if (text && strtoul(text, NULL, 10) > 0) {
        say(ctx, true, node, "iothreads",
            "<iothreads> can't be protected yet: remove it");
    }
    free(text);
    node = kmr_xml_child(root, "features");
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
    node = kmr_xml_child(kmr_xml_child(root, "features"), "vmcoreinfo");
    if (node) {
        say(ctx, true, node, "features",
            "<vmcoreinfo> can't be protected yet: remove it");
    }
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
