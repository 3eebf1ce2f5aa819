/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devxml.h"

#include <stdio.h>
#include <string.h>

#define ANY "*"
#define SAME "="   /* QEMU's name is libvirt's */
#define NOTHING "" /* no device of its own, or a part of the board */

/* The first row that fits counts. */
static const struct {
    const char *element, *when, *when_is; /* `when`: only if it is that */
    const char *child, *attr; /* where the model stands; child may be NULL */
    const char *value;        /* NULL: the attribute is absent */
    const char *type;
} rows[] = {
    { "interface", 0, 0, "model", "type", "virtio", "virtio-net-pci" },
    { "interface", 0, 0, "model", "type", "virtio-transitional",
      "virtio-net-pci-transitional" },
    { "interface", 0, 0, "model", "type", "virtio-non-transitional",
      "virtio-net-pci-non-transitional" },
    { "interface", 0, 0, "model", "type", ANY, SAME },
    { "interface", 0, 0, "model", "type", NULL, "rtl8139" },

    { "video", 0, 0, "model", "type", "vga", "VGA" },
    { "video", 0, 0, "model", "type", "bochs", "bochs-display" },
    { "video", 0, 0, "model", "type", "cirrus", "cirrus-vga" },
    { "video", 0, 0, "model", "type", "vmvga", "vmware-svga" },
    { "video", 0, 0, "model", "type", "virtio", "virtio-vga" },
    { "video", 0, 0, "model", "type", "qxl", "qxl-vga" },
    { "video", 0, 0, "model", "type", "none", NOTHING },
    { "video", 0, 0, "model", "type", ANY, SAME },
    { "video", 0, 0, "model", "type", NULL, "cirrus-vga" },

    { "memballoon", 0, 0, NULL, "model", "none", NOTHING },
    { "memballoon", 0, 0, NULL, "model", "virtio-transitional",
      "virtio-balloon-pci-transitional" },
    { "memballoon", 0, 0, NULL, "model", "virtio-non-transitional",
      "virtio-balloon-pci-non-transitional" },
    { "memballoon", 0, 0, NULL, "model", ANY, "virtio-balloon-pci" },
    { "memballoon", 0, 0, NULL, "model", NULL, "virtio-balloon-pci" },

    { "input", "bus", "ps2", NULL, "type", ANY, NOTHING },
    { "input", "bus", "usb", NULL, "type", "tablet", "usb-tablet" },
    { "input", "bus", "usb", NULL, "type", "mouse", "usb-mouse" },
    { "input", "bus", "usb", NULL, "type", "keyboard", "usb-kbd" },
    { "input", "bus", "virtio", NULL, "type", "tablet", "virtio-tablet-pci" },
    { "input", "bus", "virtio", NULL, "type", "mouse", "virtio-mouse-pci" },
    { "input", "bus", "virtio", NULL, "type", "keyboard",
      "virtio-keyboard-pci" },
    { "input", 0, 0, NULL, "type", "passthrough", "virtio-input-host-pci" },
    { "input", 0, 0, NULL, "bus", NULL, NOTHING }, /* PS/2 or USB */

    { "serial", 0, 0, "target", "type", "isa-debug", "isa-debugcon" },
    { "serial", 0, 0, "target", "type", ANY, SAME },
    { "serial", 0, 0, "target", "type", NULL, "isa-serial" },
    { "parallel", 0, 0, NULL, "type", ANY, "isa-parallel" },
    { "parallel", 0, 0, NULL, "type", NULL, "isa-parallel" },
    { "console", 0, 0, "target", "type", "serial", NOTHING },
    { "console", 0, 0, "target", "type", "virtio", "virtconsole" },
    { "console", 0, 0, "target", "type", NULL, NOTHING },
    { "channel", 0, 0, "target", "type", "guestfwd", NOTHING },
    { "channel", 0, 0, "target", "type", "virtio", "virtserialport" },
    { "channel", 0, 0, "target", "type", NULL, "virtserialport" },

    { "panic", 0, 0, NULL, "model", "isa", "pvpanic" },
    { "panic", 0, 0, NULL, "model", "pvpanic", "pvpanic-pci" },
    { "panic", 0, 0, NULL, "model", NULL, "pvpanic" },
    { "rng", 0, 0, NULL, "model", ANY, "virtio-rng-pci" },
    { "rng", 0, 0, NULL, "model", NULL, "virtio-rng-pci" },
    { "watchdog", 0, 0, NULL, "model", NULL, "i6300esb" },
    { "watchdog", 0, 0, NULL, "model", ANY, SAME },
    { "sound", 0, 0, NULL, "model", "ac97", "AC97" },
    { "sound", 0, 0, NULL, "model", "es1370", "ES1370" },
    { "sound", 0, 0, NULL, "model", "ich6", "intel-hda" },
    { "sound", 0, 0, NULL, "model", "ich9", "ich9-intel-hda" },
    { "sound", 0, 0, NULL, "model", "usb", "usb-audio" },
    { "sound", 0, 0, NULL, "model", "virtio", "virtio-sound-pci" },
    { "sound", 0, 0, NULL, "model", ANY, SAME },
    { "sound", 0, 0, NULL, "model", NULL, "intel-hda" },
    { "crypto", 0, 0, NULL, "model", ANY, "virtio-crypto-pci" },
    { "crypto", 0, 0, NULL, "model", NULL, "virtio-crypto-pci" },
    { "iommu", 0, 0, NULL, "model", "virtio", "virtio-iommu-pci" },
    { "iommu", 0, 0, NULL, "model", ANY, "intel-iommu" },
    { "iommu", 0, 0, NULL, "model", NULL, "intel-iommu" },
    { "memory", 0, 0, NULL, "model", "nvdimm", "nvdimm" },
    { "memory", 0, 0, NULL, "model", "virtio-mem", "virtio-mem-pci" },
    { "memory", 0, 0, NULL, "model", "virtio-pmem", "virtio-pmem-pci" },
    { "memory", 0, 0, NULL, "model", "sgx-epc", "sgx-epc" },
    { "memory", 0, 0, NULL, "model", ANY, "pc-dimm" },
    { "memory", 0, 0, NULL, "model", NULL, "pc-dimm" },
    { "shmem", 0, 0, "model", "type", ANY, SAME },
    { "shmem", 0, 0, "model", "type", NULL, "ivshmem-plain" },
    { "hub", 0, 0, NULL, "type", ANY, "usb-hub" },
    { "hub", 0, 0, NULL, "type", NULL, "usb-hub" },

    { "controller", "type", "pci", "model", "name", ANY, SAME },
    { "controller", "type", "pci", NULL, "model", "pci-root", NOTHING },
    { "controller", "type", "pci", NULL, "model", "pcie-root", NOTHING },
    { "controller", "type", "pci", NULL, "model", NULL, NOTHING },
    { "controller", "type", "pci", NULL, "model", "dmi-to-pci-bridge",
      "i82801b11-bridge" },
    { "controller", "type", "pci", NULL, "model", "pcie-to-pci-bridge",
      "pcie-pci-bridge" },
    { "controller", "type", "pci", NULL, "model", "pcie-switch-upstream-port",
      "x3130-upstream" },
    { "controller", "type", "pci", NULL, "model", "pcie-switch-downstream-port",
      "xio3130-downstream" },
    { "controller", "type", "pci", NULL, "model", "pci-expander-bus", "pxb" },
    { "controller", "type", "pci", NULL, "model", "pcie-expander-bus",
      "pxb-pcie" },
    { "controller", "type", "pci", NULL, "model", ANY, SAME },
    { "controller", "type", "usb", NULL, "model", "none", NOTHING },
    { "controller", "type", "usb", NULL, "model", NULL, NOTHING },
    { "controller", "type", "usb", NULL, "model", "piix3-uhci",
      "piix3-usb-uhci" },
    { "controller", "type", "usb", NULL, "model", "piix4-uhci",
      "piix4-usb-uhci" },
    { "controller", "type", "usb", NULL, "model", "ehci", "usb-ehci" },
    { "controller", "type", "usb", NULL, "model", "ich9-ehci1",
      "ich9-usb-ehci1" },
    { "controller", "type", "usb", NULL, "model", "ich9-uhci1",
      "ich9-usb-uhci1" },
    { "controller", "type", "usb", NULL, "model", "ich9-uhci2",
      "ich9-usb-uhci2" },
    { "controller", "type", "usb", NULL, "model", "ich9-uhci3",
      "ich9-usb-uhci3" },
    { "controller", "type", "usb", NULL, "model", "nec-xhci", "nec-usb-xhci" },
    { "controller", "type", "usb", NULL, "model", ANY, SAME },
    { "controller", "type", "scsi", NULL, "model", "virtio-scsi",
      "virtio-scsi-pci" },
    { "controller", "type", "scsi", NULL, "model", "virtio-transitional",
      "virtio-scsi-pci-transitional" },
    { "controller", "type", "scsi", NULL, "model", "virtio-non-transitional",
      "virtio-scsi-pci-non-transitional" },
    { "controller", "type", "scsi", NULL, "model", "lsisas1068", "mptsas1068" },
    { "controller", "type", "scsi", NULL, "model", "lsisas1078", "megasas" },
    { "controller", "type", "scsi", NULL, "model", "vmpvscsi", "pvscsi" },
    { "controller", "type", "scsi", NULL, "model", "lsilogic", "lsi53c895a" },
    { "controller", "type", "scsi", NULL, "model", "auto", "lsi53c895a" },
    { "controller", "type", "scsi", NULL, "model", ANY, SAME },
    { "controller", "type", "scsi", NULL, "model", NULL, "lsi53c895a" },
    { "controller", "type", "virtio-serial", NULL, "type", ANY,
      "virtio-serial-pci" },
    { "controller", "type", "ccid", NULL, "type", ANY, "usb-ccid" },
    { "controller", "type", "sata", NULL, "type", ANY, "ich9-ahci" },
    { "controller", "type", "ide", NULL, "type", ANY, NOTHING },
    { "controller", "type", "fdc", NULL, "type", ANY, NOTHING },
    { "controller", "type", "isa", NULL, "type", ANY, NOTHING },
};

static const struct {
    const char *element, *when, *when_is, *hint;
} hints[] = {
    { "interface", NULL, NULL, "type='virtio'" },
    { "video", NULL, NULL, "type='vga'" },
    { "memballoon", NULL, NULL, "model='none'" },
    { "input", NULL, NULL, "bus='usb'" },
    { "controller", "type", "usb", "model='qemu-xhci'" },
};

/* What the element is about, if no row says where its model stands. */
static void unknown(const xmlNode *node, const char *attr,
                    struct kmr_devxml *ret)
{
    ret->at = node;
    ret->attr = attr;
    if (!kmr_xml_prop(node, attr, ret->value, sizeof(ret->value))) {
        snprintf(ret->value, sizeof(ret->value), "(none given)");
    }
    snprintf(ret->type, sizeof(ret->type), "%.*s", KMR_DEVXML_MAX - 1,
             ret->value);
}

static bool row_fits(size_t i, const xmlNode *node, struct kmr_devxml *ret)
{
    const xmlNode *at =
        rows[i].child ? kmr_xml_child(node, rows[i].child) : node;
    bool given;

    if (rows[i].when && !kmr_xml_prop_is(node, rows[i].when, rows[i].when_is)) {
        return false;
    }
    given = kmr_xml_prop(at, rows[i].attr, ret->value, sizeof(ret->value));
    if (rows[i].value ? !given : given) {
        return false;
    }
    if (given && strcmp(rows[i].value, ANY) != 0 &&
        strcmp(rows[i].value, ret->value) != 0) {
        return false;
    }
    ret->at = at ? at : node;
    ret->attr = rows[i].attr;
    if (!given) {
        snprintf(ret->value, sizeof(ret->value), "(none given)");
    }
    snprintf(ret->type, sizeof(ret->type), "%s",
             strcmp(rows[i].type, SAME) == 0 ? ret->value : rows[i].type);
    return true;
}

bool kmr_devxml_find(const xmlNode *node, struct kmr_devxml *ret_device)
{
    struct kmr_devxml found = { 0 };
    const char *attr = NULL;
    bool fits = false;

    for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
        if (kmr_xml_is(node, hints[i].element) &&
            (!hints[i].when ||
             kmr_xml_prop_is(node, hints[i].when, hints[i].when_is))) {
            found.hint = hints[i].hint;
        }
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && !fits; i++) {
        if (kmr_xml_is(node, rows[i].element)) {
            attr = rows[i].when ? rows[i].when : rows[i].attr;
            fits = row_fits(i, node, &found);
        }
    }
    if (!attr) {
        return false;
    }
    if (!fits) {
        unknown(node, attr, &found);
    }
    *ret_device = found;
    return true;
}

const char *kmr_devxml_disk(const char *bus, const char *device)
{
    static const struct {
        const char *bus, *device, *type;
    } disks[] = {
        { "virtio", "", "virtio-blk-pci" },
        { "ide", "cdrom", "ide-cd" },
        { "sata", "cdrom", "ide-cd" },
        { "scsi", "cdrom", "scsi-cd" },
        { "scsi", "lun", "scsi-block" },
        { "ide", "", "ide-hd" },
        { "sata", "", "ide-hd" },
        { "scsi", "", "scsi-hd" },
        { "fdc", "", "floppy" },
        { "usb", "", "usb-storage" },
        { "sd", "", "sd-card" },
    };

    for (size_t i = 0; i < sizeof(disks) / sizeof(disks[0]); i++) {
        if (strcmp(disks[i].bus, bus) == 0 &&
            (!disks[i].device[0] || strcmp(disks[i].device, device) == 0)) {
            return disks[i].type;
        }
    }
    return bus;
}
