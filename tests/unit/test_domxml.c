/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Domain XML: reading, deriving, and what can't be protected. */
#include "loop_help.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/check.h"
#include "io/domxml.h"

#define HEAD                                                                   \
    "<domain type='qemu'>\n<name>vm0</name>\n<memory unit='MiB'>64</memory>\n" \
    "<features><acpi/></features>\n"
#define INSTANCE "11111111-2222-4333-8444-555555555555"

static struct kmr_domxml *parse(const char *text)
{
    struct kmr_domxml_error error = { 0 };
    struct kmr_domxml *dom = NULL;

    if (kmr_domxml_read_text(text, strlen(text), "f.xml", &dom, &error)) {
        fail_msg("%s", error.text);
    }
    return dom;
}

static void refused(const char *text, int line, const char *part)
{
    struct kmr_domxml_error error = { 0 };
    struct kmr_domxml *dom = NULL;

    assert_int_equal(kmr_domxml_read_text(text, strlen(text), "f.xml", &dom,
                                          &error),
                     -EBADMSG);
    assert_null(dom);
    assert_int_equal(error.line, line);
    assert_non_null(strstr(error.text, "f.xml"));
    if (!strstr(error.text, part)) {
        fail_msg("'%s' lacks '%s'", error.text, part);
    }
}

static void test_refused(void **state)
{
    struct kmr_domxml_error error;
    struct kmr_domxml *dom = NULL;
    size_t len = KMR_DOMXML_TEXT_MAX + 1;
    char *big = calloc(1, len);

    (void)state;
    refused("", 0, "empty");
    refused("<domain type='kvm'>\n<name>a</name>\n<oops>\n</domain>\n", 4,
            "f.xml:4: ");
    refused("<network/>", 1, "<network>");
    refused("<domain type='xen'/>", 1, "type='kvm'");
    refused("<domain type='kvm'>\n<name>a/b</name></domain>", 2, "<name>");
    refused("<domain type='kvm'>\n<name>-a</name></domain>", 2, "<name>");
    refused("<domain type='kvm'>\n\n<uuid/></domain>", 1, "<name>");
    refused("<domain type='kvm'><name>a</name>\n<uuid>zz</uuid></domain>", 2,
            "UUID");
    refused("<domain type='kvm'><name>a</name></domain>", 1, "<memory>");
    refused("<domain type='kvm'><name>a</name>\n<memory>-5</memory></domain>",
            2, "<memory>");
    refused("<domain type='kvm'><name>a</name><memory>5000</memory>\n"
            "<vcpu>two</vcpu></domain>",
            2, "<vcpu>");
    refused("<!DOCTYPE domain [<!ENTITY a 'b'>]><domain type='kvm'>"
            "<name>&a;</name></domain>",
            0, "DOCTYPE");
    assert_int_equal(kmr_domxml_read_text(big, len, "f.xml", &dom, &error),
                     -E2BIG);
    assert_int_equal(kmr_domxml_read_file("/nonexistent/x.xml", &dom, &error),
                     -ENOENT);
    assert_string_equal(error.text,
                        "/nonexistent/x.xml: No such file or directory");
    assert_true(kmr_domxml_read_file("/tmp", &dom, &error) < 0);
    free(big);
}

static void test_accessors(void **state)
{
    struct kmr_domxml *dom =
        parse("<domain type='kvm'><name> vm-0.a </name>"
              "<uuid>6B656D61-7269-5D00-8000-6E616D657300</uuid>"
              "<memory unit='GiB'>2</memory><vcpu current='1'>4</vcpu>"
              "<devices><emulator>/usr/bin/q</emulator></devices></domain>");
    struct kmr_domxml *other;

    (void)state;
    assert_string_equal(kmr_domxml_name(dom), "vm-0.a");
    assert_string_equal(kmr_domxml_uuid(dom),
                        "6b656d61-7269-5d00-8000-6e616d657300");
    assert_string_equal(kmr_domxml_emulator(dom), "/usr/bin/q");
    assert_int_equal(kmr_domxml_vcpus(dom), 4);
    assert_int_equal(kmr_domxml_memory_kib(dom), 2 << 20);
    assert_int_equal(kmr_domxml_digest(dom), kmr_domxml_digest(dom));
    kmr_domxml_free(dom);

    /* no <uuid>: from the name, the same on every node and for ever */
    dom = parse(HEAD "<devices/></domain>");
    assert_string_equal(kmr_domxml_uuid(dom),
                        "11b34898-238f-54e3-b7e8-5314a2d3fa06");
    assert_null(kmr_domxml_emulator(dom));
    other = parse(HEAD "<devices><serial/></devices></domain>");
    assert_true(kmr_domxml_digest(dom) != kmr_domxml_digest(other));
    kmr_domxml_free(other);
    kmr_domxml_free(dom);
}

static char *derive(const char *text, enum kmr_domxml_role role,
                    const char *emulator)
{
    struct kmr_domxml_pair pair = { .role = role,
                                    .instance = INSTANCE,
                                    .generation = 12 };
    struct kmr_domxml *dom = parse(text);
    char *ret = NULL;

    if (role == KMR_DOMXML_STANDBY) {
        strcpy(pair.peer, "21111111-2222-4333-8444-555555555555");
    }
    assert_int_equal(kmr_domxml_derive(dom, emulator, &pair, &ret), 0);
    kmr_domxml_free(dom);
    return ret;
}

static void has(const char *text, const char *part)
{
    if (!strstr(text, part)) {
        fail_msg("no %s in\n%s", part, text);
    }
}

static void lacks(const char *text, const char *part)
{
    if (strstr(text, part)) {
        fail_msg("%s in\n%s", part, text);
    }
}

static const char full[] =
    "<domain type='qemu' id='7'"
    " xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
    "<!-- mine --><name>vm0</name><memory>65536</memory>"
    "<metadata><my:own xmlns:my='urn:x'>kept &amp; safe</my:own></metadata>"
    "<on_poweroff>preserve</on_poweroff><on_crash>coredump-restart</on_crash>"
    "<devices><emulator>/usr/bin/old</emulator>"
    "<disk type='network' device='disk'><driver name='qemu' type='raw'/>"
    "<source protocol='nbd' name='vm0'><host name='10.77.3.100'/></source>"
    "<target dev='vda' bus='virtio'/></disk>"
    "<disk type='file'><driver name='qemu' type='raw' cache='directsync'/>"
    "<target dev='vdb' bus='virtio'/></disk>"
    "<disk type='file'><driver name='qemu' type='qcow2'/>"
    "<target dev='vdc' bus='virtio'/></disk>"
    "<disk type='file' device='cdrom'><driver name='qemu'/>"
    "<target dev='sda'/></disk>"
    "<watchdog model='i6300esb' action='poweroff'/></devices>"
    "<seclabel type='dynamic' model='dac'/><seclabel type='none' model='x'/>"
    "<qemu:commandline><qemu:arg value='-L'/><qemu:arg value='/fw'/>"
    "</qemu:commandline></domain>";

static void test_derive(void **state)
{
    char *primary = derive(full, KMR_DOMXML_PRIMARY, "/opt/new&better");
    char *standby = derive(full, KMR_DOMXML_STANDBY, "/opt/new&better");
    char *chain, *again, *p;
    struct kmr_domxml_pair pair;
    struct kmr_domxml *dom;

    (void)state;
    has(primary, "<emulator>/opt/new&amp;better</emulator>");
    has(primary, "<uuid>11b34898-238f-54e3-b7e8-5314a2d3fa06</uuid>");
    has(primary, "<on_poweroff>destroy</on_poweroff>");
    has(primary, "<on_reboot>restart</on_reboot>");
    has(primary, "<on_crash>preserve</on_crash>");
    has(primary, "<driver name=\"qemu\" type=\"raw\" error_policy=\"stop\" "
                 "rerror_policy=\"stop\" cache=\"none\"/>");
    has(primary, "cache=\"directsync\" error_policy=\"stop\"");
    has(primary, "type=\"qcow2\" error_policy=\"stop\" "
                 "rerror_policy=\"stop\" cache=\"directsync\"/>");
    has(primary, "<watchdog model=\"i6300esb\" action=\"pause\"/>");
    has(primary, "<driver name=\"qemu\"/>"); /* the cdrom's */
    has(primary, "<memballoon model=\"none\"/>");
    has(primary, "kept &amp; safe");
    has(primary, "<!-- mine -->");
    has(primary, "instance=\"" INSTANCE "\"");
    has(primary, "generation=\"12\"");
    lacks(primary, "-incoming");
    lacks(primary, " id=\"7\"");
    lacks(primary, "dynamic");
    has(primary, "<seclabel type=\"none\"");
    has(standby, "<qemu:arg value=\"/fw\"/>");
    p = strstr(standby, "<qemu:arg value=\"-incoming\"/>");
    assert_non_null(p);
    has(p, "<qemu:arg value=\"defer\"/>");

    /* it is as if every one were derived from the operator's */
    chain = derive(standby, KMR_DOMXML_PRIMARY, NULL);
    assert_string_equal(chain, primary);
    again = derive(chain, KMR_DOMXML_STANDBY, NULL);
    assert_string_equal(again, standby);

    dom = parse(standby);
    assert_int_equal(kmr_domxml_get_pair(dom, &pair), 0);
    assert_int_equal(pair.role, KMR_DOMXML_STANDBY);
    assert_string_equal(pair.instance, INSTANCE);
    assert_string_equal(pair.peer, "21111111-2222-4333-8444-555555555555");
    assert_int_equal(pair.generation, 12);
    kmr_domxml_free(dom);
    dom = parse(full);
    assert_int_equal(kmr_domxml_get_pair(dom, &pair), -ENOENT);
    kmr_domxml_free(dom);
    free(primary);
    free(standby);
    free(chain);
    free(again);
}

static void test_derive_minimal(void **state)
{
    char *text = derive(HEAD "</domain>", KMR_DOMXML_STANDBY, "/e");
    char *plain;

    (void)state;
    has(text, "<qemu:commandline xmlns:qemu=\"http://libvirt.org/schemas/"
              "domain/qemu/1.0\">");
    has(text, "<emulator>/e</emulator>");
    plain = derive(text, KMR_DOMXML_PLAIN, NULL);
    lacks(plain, "incoming");
    lacks(plain, "commandline");
    lacks(plain, "metadata");
    free(text);
    free(plain);
}

static void test_instances_differ(void **state)
{
    char a[37], b[37];

    (void)state;
    kmr_domxml_new_instance(a);
    kmr_domxml_new_instance(b);
    assert_int_equal(strlen(a), 36);
    assert_string_not_equal(a, b);
}

/* ---- check ---- */

static char findings[8192];

static void collect(const struct kmr_check_finding *f, void *user)
{
    size_t n = strlen(findings);

    (void)user;
    snprintf(findings + n, sizeof(findings) - n, "%s %d [%s] %s\n",
             f->error ? "E" : "w", f->line, f->element, f->text);
}

static unsigned check(const char *text)
{
    struct kmr_domxml *dom = parse(text);
    unsigned n;

    findings[0] = '\0';
    n = kmr_check_xml(dom, collect, NULL);
    kmr_domxml_free(dom);
    return n;
}

/* One device: exactly one error, at line 6, with this label and words. */
static void bad_device(const char *xml, const char *label, const char *part)
{
    char text[4096];

    snprintf(text, sizeof(text), HEAD "<devices>\n%s</devices></domain>", xml);
    if (check(text) != 1) {
        fail_msg("%s: not one error:\n%s", xml, findings);
    }
    has(findings, label);
    has(findings, part);
    has(findings, "E 6 [");
}

static void good_device(const char *xml)
{
    char text[4096];

    snprintf(text, sizeof(text), HEAD "<devices>\n%s</devices></domain>", xml);
    if (check(text) != 0) {
        fail_msg("%s: refused:\n%s", xml, findings);
    }
}

#define DISK(attrs, driver)                                                 \
    "<disk type='file' device='disk' " attrs "><driver name='qemu' " driver \
    "/><target dev='vda' bus='virtio'/></disk>"

static void test_check_disks(void **state)
{
    (void)state;
    good_device(DISK("", "type='raw' cache='none'"));
    good_device(DISK("", "type='raw' cache='directsync' io='native'"));
    good_device(DISK("", "type='raw'"));
    good_device("<disk device='cdrom'><target dev='hda' bus='ide'/></disk>");
    good_device("<disk device='cdrom'><target dev='sda' bus='sata'/></disk>");
    good_device("<disk><target dev='vdb'/><readonly/></disk>");
    bad_device("<disk><target dev='hda' bus='ide'/><readonly/></disk>",
               "[disk hda]", "ide-hd: ");
    good_device("<disk device='cdrom'><target dev='sda' bus='scsi'/></disk>");
    good_device("<disk><target dev='sda' bus='scsi'/></disk>");
    bad_device("<disk device='lun'><target dev='sda' bus='scsi'/></disk>",
               "[disk sda]", "SG_IO");
    good_device(DISK("", "type='qcow2'"));
    good_device(DISK("", "type='qcow2' cache='directsync'"));
    bad_device(DISK("", "type='qcow2' cache='none'"), "[disk vda]",
               "say cache='directsync'");
    bad_device(DISK("", "type='qcow2' cache='writethrough'"), "[disk vda]",
               "say cache='directsync'");
    bad_device(DISK("", "type='vmdk'"), "[disk vda]", "convert");
    bad_device(DISK("", "type='raw' cache='writeback'"), "[disk vda]",
               "cache='none'");
    bad_device(DISK("", "type='raw' cache='unsafe'"), "[disk vda]", "unsafe");
    bad_device(DISK("", "type='raw' io='io_uring'"), "[disk vda]", "native");
    good_device(DISK("", "type='raw' iothread='1'"));
    bad_device("<disk><driver><iothreads/></driver><target dev='vda'/></disk>",
               "[disk vda]", "iothread=");
    bad_device("<disk><target dev='sda' bus='usb'/></disk>", "[disk sda]",
               "usb-storage: ");
    bad_device("<disk><target dev='hda'/></disk>", "[disk hda]",
               "bus ide is QEMU's ide-hd: can't be protected: its writes "
               "can't be held: use virtio-blk-pci (here: bus='virtio'");
    bad_device("<disk device='floppy'><target dev='fda'/></disk>", "[disk fda]",
               "floppy");
    bad_device("<disk type='nvme'><target dev='vda'/></disk>", "[disk vda]",
               "nvme");
    bad_device("<disk><target dev='vda'/><transient/></disk>", "[disk vda]",
               "transient");
}

static void test_check_network(void **state)
{
    (void)state;
    good_device("<interface type='bridge'><model type='virtio'/>"
                "<driver name='qemu'/></interface>");
    good_device("<interface type='bridge'><model type='e1000'/></interface>");
    good_device("<interface type='bridge'><model type='e1000e'/></interface>");
    bad_device("<interface type='bridge'><model type='rtl8139'/></interface>",
               "[interface]", "type='virtio'");
    bad_device("<interface type='bridge'/>", "[interface]", "(none given)");
    good_device("<interface type='user'><model type='virtio'/></interface>");
    has(findings, "w 6 [interface]");
    bad_device("<interface type='bridge'><mac address='52:54:00:1:2:3'/>"
               "<model type='virtio'/></interface>",
               "[interface 52:54:00:1:2:3]", "<driver name='qemu'/>");
    bad_device("<interface type='bridge'><model type='virtio'/>"
               "<driver name='vhost'/></interface>",
               "[interface]", "vhost");
    good_device("<interface type='bridge'><model type='virtio'/>"
                "<driver name='qemu' queues='2'/></interface>");
    bad_device("<interface type='hostdev'/>", "[interface]", "hostdev");
    bad_device("<interface type='vhostuser'/>", "[interface]", "vhostuser");
}

static void test_check_others(void **state)
{
    static const char *const devices[] = {
        "hostdev", "redirdev", "filesystem", "shmem",  "tpm",
        "vsock",   "memory",   "smartcard",  "crypto", "iommu",
        "nvram",   "sound",    "hub",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
        char xml[64], label[64];

        snprintf(xml, sizeof(xml), "<%s/>", devices[i]);
        snprintf(label, sizeof(label), "[%s]", devices[i]);
        bad_device(xml, label, "");
    }
    good_device("<memballoon model='none'/>");
    good_device("<memballoon model='virtio'/><rng model='virtio'/>");
    bad_device("<memballoon model='virtio-transitional'/>", "[memballoon]",
               "'none'");
    good_device("<video><model type='vga'/></video><graphics type='vnc'/>");
    bad_device("<video><model type='qxl'/></video>", "[video]", "'vga'");
    bad_device("<graphics type='vnc'/>", "[graphics]", "vga");
    good_device("<channel><target type='virtio'/></channel>"
                "<controller type='virtio-serial'/>"
                "<console type='pty'><target type='virtio'/></console>");
    good_device("<controller type='scsi' model='virtio-scsi'/>");
    bad_device("<controller type='scsi' model='lsilogic'/>", "[controller]",
               "lsi53c895a: ");
    bad_device("<controller type='pci' model='pcie-switch-upstream-port'>"
               "<model name='x3130-upstream'/></controller>",
               "[controller]", "name x3130-upstream is QEMU's x3130-upstream:");
    bad_device("<controller type='new'/>", "[controller]",
               "type new is QEMU's new: this version of Kemari does not");
    bad_device("<input type='tablet' bus='virtio'/>", "[input]",
               "virtio-tablet-pci: not tried with Kemari yet: use usb-tablet "
               "(here: bus='usb')");
    bad_device("<input type='x' bus='xen'/>", "[input]", "does not know");
    bad_device("<panic model='hyperv'/>", "[panic]", "does not know");
    bad_device("<video><model type='bochs'/></video>", "[video]",
               "bochs-display: not tried");
    bad_device("<serial type='pty'><target type='pci-serial'/></serial>",
               "[serial]", "use isa-serial");
    bad_device("<memory model='nvdimm'/>", "[memory]", "nvdimm: ");
    bad_device("<shmem name='a'><model type='ivshmem-doorbell'/></shmem>",
               "[shmem]", "ivshmem-doorbell: ");
    bad_device("<sound model='virtio'/>", "[sound]",
               "virtio-sound-pci: can't be protected: QEMU can't save");
    bad_device("<controller type='usb' model='ehci'/>", "[controller]",
               "qemu-xhci");
    good_device("<controller type='usb' model='qemu-xhci'/>"
                "<controller type='pci' model='pcie-root'/>"
                "<input type='tablet' bus='usb'/><serial type='pty'/>"
                "<console type='pty'><target type='serial'/></console>"
                "<panic model='isa'/><panic model='pvpanic'/><panic/>"
                "<controller type='pci' model='pcie-root-port'>"
                "<model name='ioh3420'/></controller>"
                "<controller type='sata'/><controller type='ide'/>"
                "<controller type='pci' model='dmi-to-pci-bridge'/>"
                "<input type='keyboard' bus='ps2'/><input type='mouse'/>"
                "<parallel type='null'/><video><model type='none'/></video>");
    bad_device("<controller type='scsi'><driver iothread='1'/></controller>",
               "[controller]", "iothread");
    assert_int_equal(check(HEAD "<vcpu>9</vcpu><devices/></domain>"), 1);
    has(findings, "E 5 [vcpu] 9 vCPUs");
    assert_int_equal(check(HEAD "<vcpu current='1'>2</vcpu><devices/>"
                                "</domain>"),
                     1);
    assert_int_equal(check(HEAD "<vcpu>8</vcpu><devices/></domain>"), 0);
    assert_int_equal(check("<domain type='qemu'><name>a</name>"
                           "<memory>1</memory><features><acpi/><vmcoreinfo/>"
                           "<hyperv><synic state='on'/><vapic state='on'/>"
                           "</hyperv></features><devices/></domain>"),
                     2);
    has(findings, "<vmcoreinfo> is QEMU's vmcoreinfo: not tried");
    has(findings, "<synic> is QEMU's hyperv-synic: not tried");
    assert_int_equal(check(HEAD "<iothreads>1</iothreads><devices/>"
                                "</domain>"),
                     0);
    assert_int_equal(check(HEAD "<maxMemory>9</maxMemory><devices/>"
                                "</domain>"),
                     1);
    assert_int_equal(check(HEAD "</domain>"), 1);
    assert_int_equal(check("<domain type='qemu'><name>a</name>"
                           "<memory>1</memory><devices/></domain>"),
                     1);
    has(findings, "[features]");
}

#define UEFI(loader, nvram) \
    HEAD "<os><loader " loader ">x</loader>" nvram "</os><devices/></domain>"

static void test_check_firmware(void **state)
{
    (void)state;
    assert_int_equal(check(HEAD "<os firmware='efi'/><devices/></domain>"), 0);
    assert_int_equal(check(UEFI("type='rom'", "")), 0);
    assert_int_equal(check(UEFI("readonly='yes' type='pflash'", "")), 0);
    assert_int_equal(check(UEFI("readonly='yes' type='pflash'",
                                "<nvram template='t'>y</nvram>")),
                     0);
    assert_int_equal(check(UEFI("readonly='yes' type='pflash'",
                                "<nvram type='file' format='raw'>"
                                "<source file='y'/></nvram>")),
                     0);
    assert_int_equal(check(UEFI("type='pflash'", "<nvram>y</nvram>")), 1);
    has(findings, "[os] a loader in flash memory that can be written to");
    assert_int_equal(check(UEFI("readonly='yes' secure='yes' type='pflash'",
                                "<nvram>y</nvram>")),
                     1);
    has(findings, "[os] secure='yes'");
    assert_int_equal(check(UEFI("readonly='yes' type='pflash'",
                                "<nvram type='network'><source/></nvram>")),
                     1);
    has(findings, "[os] <nvram type='network'>");
    assert_int_equal(check(UEFI("readonly='yes' type='pflash'",
                                "<nvram format='qcow2'>y</nvram>")),
                     1);
    has(findings, "[os] the variables of UEFI are protected in raw files only");
}

/* ---- the emulator ---- */

static char *fake_emulator(const char *dir, const char *name,
                           const char *script)
{
    static char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "#!/bin/sh\n%s\n", script);
    fclose(f);
    chmod(path, 0755);
    return path;
}

#define QMP_START                                                      \
    "echo '{\"QMP\":{}}'; echo '{\"return\":{}}'; echo '{\"return\":{" \
    "\"qemu\":{\"micro\":3,\"minor\":2,\"major\":7},\"package\":\"\"}}';"

static unsigned check_with(const char *xml, const char *emulator,
                           const char *patched)
{
    findings[0] = '\0';
    return kmr_check_file(xml, emulator, patched, collect, NULL);
}

static void test_check_file(void **state)
{
    char dir[] = "/tmp/kmr-test-XXXXXX", xml[64];
    char *emu;
    FILE *f;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(xml, sizeof(xml), "%s/vm0.xml", dir);
    assert_int_equal(check_with(xml, NULL, NULL), 1);
    has(findings, "No such file");
    f = fopen(xml, "w");
    fputs(HEAD "<devices>\n<serial/></devices></domain>", f);
    fclose(f);
    assert_true(check_with(xml, NULL, NULL) >= 1);
    has(findings, "no emulator");
    assert_true(check_with(xml, "/nonexistent/qemu", NULL) >= 1);
    has(findings, "emulator /nonexistent/qemu: No such file");
    has(findings, "qemu-patches/build");

    emu = fake_emulator(dir, "patched",
                        QMP_START "echo '{\"return\":[{\"name\":\"stop\"},"
                                  "{\"name\":\"query-kemari\"}]}'");
    check_with(xml, emu, NULL);
    has(findings, "is the patched emulator (QEMU 7.2.3)");
    emu = fake_emulator(dir, "unpatched",
                        QMP_START "echo '{\"return\":[{\"name\":\"stop\"}]}'");
    assert_true(check_with(xml, emu, "/opt/patched") >= 1);
    has(findings, "unpatched is unpatched (QEMU 7.2.3 without query-kemari): "
                  "the patched one is /opt/patched");
    emu = fake_emulator(dir, "mute", "exit 0");
    assert_true(check_with(xml, emu, NULL) >= 1);
    has(findings, "does not talk QMP");
    emu = fake_emulator(dir, "broken", "echo no such machine >&2; exit 1");
    assert_true(check_with(xml, emu, NULL) >= 1);
    has(findings, "exited with status 1: no such machine");
    for (size_t i = 0; i < 4; i++) {
        static const char *const names[] = { "patched", "unpatched", "mute",
                                             "broken" };
        char path[128];

        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    unlink(xml);
    rmdir(dir);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_accessors),
        cmocka_unit_test(test_derive),
        cmocka_unit_test(test_derive_minimal),
        cmocka_unit_test(test_instances_differ),
        cmocka_unit_test(test_check_disks),
        cmocka_unit_test(test_check_network),
        cmocka_unit_test(test_check_others),
        cmocka_unit_test(test_check_firmware),
        cmocka_unit_test(test_check_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
