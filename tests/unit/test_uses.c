/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which hardware a process uses: this one's own files, on a made-up /sys (the
 * disks of the machine are none of a test's business); and a real tap on a real
 * bridge, where this machine lets us make them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "io/uses.h"

static char sys[] = "/tmp/kemari-test-uses.XXXXXX";

static void make(const char *script)
{
    char command[2048];

    snprintf(command, sizeof(command), "cd %s && { %s ; }", sys, script);
    assert_int_equal(system(command), 0);
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(sys) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", sys);
    return system(command);
}

/* A file on a volume on a multipath device of two disks, one by a partition. */
static void disks(void **state)
{
    char script[1024], path[128];
    struct stat status;
    unsigned dev_major, dev_minor;
    int fd = -1;

    (void)state;
    snprintf(path, sizeof(path), "%s/image", sys);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    dev_major = major(status.st_dev);
    dev_minor = minor(status.st_dev);
    snprintf(script, sizeof(script),
             "mkdir -p dev/block/%u:%u/slaves/dm-1 "
             "dev/block/253:1/slaves/sda1 dev/block/253:1/slaves/sdb "
             "dev/block/8:16 devices/sda/sda1 && "
             "echo 253:1 >dev/block/%u:%u/slaves/dm-1/dev && "
             "echo 8:1 >dev/block/253:1/slaves/sda1/dev && "
             "echo 8:16 >dev/block/253:1/slaves/sdb/dev && "
             "ln -s ../../devices/sda/sda1 dev/block/8:1 && "
             "echo 1 >devices/sda/sda1/partition && "
             "echo 8:0 >devices/sda/dev",
             dev_major, dev_minor, dev_major, dev_minor);
    make(script);
    assert_true(kmr_uses_block(getpid(), dev_major, dev_minor, sys));
    assert_true(kmr_uses_block(getpid(), 253, 1, sys));
    assert_true(kmr_uses_block(getpid(), 8, 16, sys));
    assert_true(kmr_uses_block(getpid(), 8, 1, sys));
    assert_true(kmr_uses_block(getpid(), 8, 0, sys));
    assert_false(kmr_uses_block(getpid(), 8, 32, sys));
    /* one that is made of itself has an end */
    make("mkdir -p dev/block/8:16/slaves/sdb && "
         "echo 8:16 >dev/block/8:16/slaves/sdb/dev");
    assert_false(kmr_uses_block(getpid(), 8, 32, sys));
    close(fd);
    assert_int_equal(unlink(path), 0);
    assert_false(kmr_uses_block(1 << 30, 8, 0, sys));
}

/* A tap on a bridge whose port is a VLAN on a bond of two cards. */
static void links(void **state)
{
    struct ifreq wanted = { .ifr_flags = IFF_TAP | IFF_NO_PI };
    int fd = -1;

    (void)state;
    if (unshare(CLONE_NEWNET) != 0 ||
        (fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC)) < 0) {
        print_message("no taps here\n");
        skip();
    }
    strcpy(wanted.ifr_name, "tap7");
    if (ioctl(fd, TUNSETIFF, &wanted) != 0) {
        close(fd);
        print_message("no taps here\n");
        skip();
    }
    make("mkdir -p class/net/tap7 class/net/br0/lower_tap7 "
         "class/net/br0/lower_bond0.5 class/net/bond0.5/lower_bond0 "
         "class/net/bond0/lower_eth0 class/net/bond0/lower_eth1 "
         "class/net/eth2 && ln -s ../br0 class/net/tap7/master");
    assert_true(kmr_uses_link(getpid(), "tap7", sys));
    assert_true(kmr_uses_link(getpid(), "br0", sys));
    assert_true(kmr_uses_link(getpid(), "bond0.5", sys));
    assert_true(kmr_uses_link(getpid(), "bond0", sys));
    assert_true(kmr_uses_link(getpid(), "eth1", sys));
    assert_false(kmr_uses_link(getpid(), "eth2", sys));
    close(fd);
    assert_false(kmr_uses_link(getpid(), "eth1", sys));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disks),
        cmocka_unit_test(links),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
