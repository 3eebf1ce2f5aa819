/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The walk over a machine's objects: what is asked, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/qomwalk.h"

/* What QEMU would answer: by path, the rest of a list; NULL ends it. */
struct object {
    const char *path, *list;
};

#define CHILD(name, type) \
    "{\"name\":\"" name "\",\"type\":\"child<" type ">\"},"
#define END "{\"name\":\"type\",\"type\":\"string\"}]}"
#define TYPES(more) "{\"return\":[{\"name\":\"VGA\"}" more "]}"

static int last_err;
static unsigned asked;
static bool asked_types;

static const char *answer(const struct object *tree, const char *command,
                          const char *types)
{
    static char reply[1024];
    char part[600];

    if (strstr(command, "\"qom-list-types\"")) {
        assert_non_null(strstr(command, "\"implements\":\"device\""));
        asked_types = true;
        return types;
    }
    for (; tree->path; tree++) {
        snprintf(part, sizeof(part), "\"path\":\"%s\"", tree->path);
        if (strstr(command, part)) {
            snprintf(reply, sizeof(reply), "{\"return\":[%s%s", tree->list,
                     END);
            return reply;
        }
    }
    return "{\"return\":[" END;
}

/* Walks the tree. "" accepted, else why not; NULL: last_err. */
static const char *walk_tree(const struct object *tree, const char *types)
{
    static char text[512];
    struct kmr_qomwalk *walk = kmr_qomwalk_new();
    char command[1024];

    assert_non_null(walk);
    asked = 0;
    asked_types = false;
    last_err = 0;
    while (!last_err && kmr_qomwalk_next(walk, command, sizeof(command))) {
        asked++;
        last_err = kmr_qomwalk_take(walk, answer(tree, command, types));
    }
    assert_false(kmr_qomwalk_next(walk, command, sizeof(command)));
    snprintf(text, sizeof(text), "%s", kmr_qomwalk_refused(walk));
    kmr_qomwalk_free(walk);
    return last_err ? NULL : text;
}

static const struct object good[] = {
    { "/machine",
      CHILD("unattached", "container") CHILD("peripheral", "container") },
    { "/machine/unattached",
      CHILD("device[0]", "qemu64-x86_64-cpu") CHILD("io", "memory-region")
          CHILD("device[1]", "ICH9-LPC") CHILD("irq[0]", "irq") },
    { "/machine/unattached/device[1]", CHILD("isa.0", "ISA") },
    { "/machine/peripheral",
      CHILD("net0",
            "virtio-net-pci") "{\"name\":\"x\",\"type\":\"link<edu>\"}," },
    { "/machine/peripheral/net0",
      CHILD("virtio-backend", "virtio-net-device") },
    { NULL, NULL },
};

static void accepted(void **state)
{
    static const struct object small[] = {
        { "/machine", CHILD("a", "VGA") CHILD("b", "memory-region") },
        { NULL, NULL },
    };

    (void)state;
    assert_string_equal(walk_tree(good, TYPES("")), "");
    /* all objects but leaves, and then the types */
    assert_int_equal(asked, 9);
    assert_true(asked_types);
    assert_string_equal(walk_tree(small, ""), "");
    assert_int_equal(asked, 2);
    assert_false(asked_types); /* nothing was unknown */
}

static void refusals(void **state)
{
    static const struct object named[] = {
        { "/machine", CHILD("peripheral", "container") },
        { "/machine/peripheral", CHILD("disk0", "pvscsi") },
        { NULL, NULL },
    };
    static const struct object deep[] = {
        { "/machine", CHILD("peripheral-anon", "container") },
        { "/machine/peripheral-anon", CHILD("device[0]", "VGA") },
        { "/machine/peripheral-anon/device[0]", CHILD("x", "PCI") },
        { "/machine/peripheral-anon/device[0]/x", CHILD("y", "ide-hd") },
        { NULL, NULL },
    };

    (void)state;
    assert_string_equal(walk_tree(named, TYPES("")),
                        "device disk0 is pvscsi: not tried with Kemari yet: "
                        "use virtio-blk-pci");
    assert_string_equal(walk_tree(deep, TYPES("")),
                        "ide-hd: can't be protected: its writes can't be "
                        "held: use virtio-blk-pci");
}

/* Fail closed: a device that no line is for; but not what is no device. */
static void unknown_types(void **state)
{
    (void)state;
    assert_string_equal(walk_tree(good, TYPES(",{\"name\":\"ISA\"}")),
                        "ISA: this version of Kemari does not know it: "
                        "remove it");
    assert_string_equal(walk_tree(good, TYPES(",{\"name\":\"PCI\"}")), "");
    assert_null(walk_tree(good, "{\"return\":[]}"));
    assert_int_equal(last_err, -EBADMSG);
    assert_null(walk_tree(good, "{\"return\":[{\"n\":\"VGA\"}]}"));
    assert_int_equal(last_err, -EBADMSG);
}

static void bad_replies(void **state)
{
    static const char *const bad[] = {
        "",
        "x",
        "[]",
        "{}",
        "{\"return\":{}}",
        "{\"error\":{\"class\":\"GenericError\",\"desc\":\"gone\"}}",
        "{\"return\":[1]}",
        "{\"return\":[{\"name\":\"a\"}]}",
        "{\"return\":[{\"type\":\"child<a>\"}]}",
        "{\"return\":[{\"name\":\"a\",\"type\":\"child<\"}]}",
        "{\"return\":[{\"name\":\"a\",\"type\":\"child<a\"}]}",
        "{\"return\":[{\"name\":\"a\",\"name\":\"b\",\"type\":\"string\"}]}",
    };
    char command[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct kmr_qomwalk *walk = kmr_qomwalk_new();

        assert_true(kmr_qomwalk_next(walk, command, sizeof(command)));
        assert_int_equal(kmr_qomwalk_take(walk, bad[i]), -EBADMSG);
        assert_false(kmr_qomwalk_next(walk, command, sizeof(command)));
        kmr_qomwalk_free(walk);
    }
}

/* A machine without end, a path that is too long, names that JSON quotes. */
static void limits(void **state)
{
    struct kmr_qomwalk *walk = kmr_qomwalk_new();
    char command[1024], reply[256];
    unsigned n = 0;
    int err = 0;

    (void)state;
    while (!err) {
        assert_true(kmr_qomwalk_next(walk, command, sizeof(command)));
        err = kmr_qomwalk_take(walk, "{\"return\":[" CHILD("a", "VGA") END);
    }
    assert_int_equal(err, -E2BIG); /* the path */
    kmr_qomwalk_free(walk);

    walk = kmr_qomwalk_new();
    for (err = 0; !err; n++) {
        if (!kmr_qomwalk_next(walk, command, sizeof(command))) {
            break;
        }
        snprintf(reply, sizeof(reply), "{\"return\":[" CHILD("a%u", "t%u") END,
                 n, n);
        err = kmr_qomwalk_take(walk, reply);
    }
    assert_int_equal(err, -E2BIG); /* types that nobody knows */
    assert_int_equal(n, KMR_QOMWALK_UNKNOWN_MAX + 1);
    kmr_qomwalk_free(walk);

    walk = kmr_qomwalk_new();
    assert_true(kmr_qomwalk_next(walk, command, sizeof(command)));
    assert_int_equal(kmr_qomwalk_take(walk, "{\"return\":[" CHILD("a\\\"b",
                                                                  "VGA") END),
                     0);
    assert_true(kmr_qomwalk_next(walk, command, sizeof(command)));
    assert_non_null(strstr(command, "/machine/a\\\"b\""));
    assert_int_equal(kmr_qomwalk_take(walk,
                                      "{\"return\":[" CHILD("c", "VGA") END),
                     0);
    assert_false(kmr_qomwalk_next(walk, command, 20)); /* no room to ask */
    assert_true(kmr_qomwalk_refused(walk)[0] != '\0');
    kmr_qomwalk_free(walk);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted),      cmocka_unit_test(refusals),
        cmocka_unit_test(unknown_types), cmocka_unit_test(bad_replies),
        cmocka_unit_test(limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
