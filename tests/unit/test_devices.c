/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The device table: which line counts for a type, and what is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "io/devices.h"

static char text[KMR_DEVICE_TEXT_MAX];

static void is(const char *type, const char *line, enum kmr_device_class class)
{
    const struct kmr_device *device = kmr_device_find(type);

    if (!device) {
        fail_msg("no line for %s", type);
        return;
    }
    assert_string_equal(device->type, line);
    assert_int_equal(device->class, class);
}

static void names_and_patterns(void **state)
{
    (void)state;
    is("virtio-blk-pci", "virtio-blk-pci", KMR_DEVICE_PROTECTED);
    is("VGA", "VGA", KMR_DEVICE_LOOSE);
    is("qemu64-x86_64-cpu", "*-x86_64-cpu", KMR_DEVICE_MACHINE);
    is("kvm-apic", "kvm-apic", KMR_DEVICE_KVM);
    is("e1000-82545em", "e1000*", KMR_DEVICE_UNTRIED);
    is("vfio-pci", "vfio-pci*", KMR_DEVICE_REFUSED);
    is("migration", "migration", KMR_DEVICE_INTERNAL);
    /* a name counts before every pattern that fits it, too */
    is("usb-kbd", "usb-kbd", KMR_DEVICE_PROTECTED);
    is("ps2-kbd", "ps2-kbd", KMR_DEVICE_MACHINE);
}

static void unknown(void **state)
{
    static const char *const types[] = {
        "",         "vga", "VGA2",        "virtio-blk-pci ", "virtio-blk",
        "x86_64-c", "*",   "e1000x\nVGA", "qxl-vga",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        const struct kmr_device *device = kmr_device_find(types[i]);

        /* what fits a pattern is refused by it; no such name is accepted */
        assert_true(!device || !kmr_device_class_accepts(device->class));
        assert_false(kmr_device_accepted(types[i], text, sizeof(text)));
    }
    assert_null(kmr_device_find("qxl-vga"));
    kmr_device_accepted("qxl-vga", text, sizeof(text));
    assert_string_equal(text, "qxl-vga: this version of Kemari does not know "
                              "it: remove it");
    /* nor does the pattern itself */
    assert_false(kmr_device_accepted("*-x86_64-cp", text, sizeof(text)));
}

static void what_is_said(void **state)
{
    char small[12];

    (void)state;
    text[0] = '\0';
    assert_true(kmr_device_accepted("virtio-net-pci", text, sizeof(text)));
    assert_true(kmr_device_accepted("isa-serial", text, sizeof(text)));
    assert_true(kmr_device_accepted("max-x86_64-cpu", text, sizeof(text)));
    assert_string_equal(text, "");
    assert_false(kmr_device_accepted("rtl8139", text, sizeof(text)));
    assert_string_equal(text, "rtl8139: not tried with Kemari yet: use "
                              "virtio-net-pci");
    assert_false(kmr_device_accepted("ide-hd", text, sizeof(text)));
    assert_string_equal(text, "ide-hd: can't be protected: its writes can't "
                              "be held: use virtio-blk-pci");
    assert_false(kmr_device_accepted("edu", text, sizeof(text)));
    assert_non_null(strstr(text, "edu: not for guests: "));
    assert_false(kmr_device_accepted("rtl8139", small, sizeof(small)));
    assert_string_equal(small, "rtl8139: no");
}

/* Every text fits what carries it, and every class is there. */
static void all_lines(void **state)
{
    unsigned seen[KMR_DEVICE_INTERNAL + 1] = { 0 };
    const struct kmr_device *device;
    size_t count = 0;

    (void)state;
    for (; (device = kmr_device_line(count)); count++) {
        seen[device->class]++;
        assert_true(device->reason[0] != '\0');
        if (!kmr_device_class_accepts(device->class)) {
            assert_true(strlen(device->type) + strlen(device->reason) + 40 <
                        KMR_DEVICE_TEXT_MAX);
        }
        assert_ptr_equal(strchr(device->type, '*')
                             ? device
                             : kmr_device_find(device->type),
                         device);
    }
    assert_true(count > 100);
    for (size_t i = 0; i <= KMR_DEVICE_INTERNAL; i++) {
        assert_true(seen[i] > 0);
        assert_true(strlen(kmr_device_class_text(i)) > 0);
    }
    assert_null(kmr_device_line(count));
    assert_null(kmr_device_line((size_t)-1));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_patterns),
        cmocka_unit_test(unknown),
        cmocka_unit_test(what_is_said),
        cmocka_unit_test(all_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
