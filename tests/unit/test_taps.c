/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames that no QEMU reads, with real taps and a real bridge in a network
 * namespace. Exit 77 without root. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop_help.h"

#include "io/taps.h"

#define VNET_LEN 12 /* as QEMU sets it */
#define GUEST "\x52\x54\x00\x00\x00\x01"
#define OTHER "\x52\x54\x00\x00\x00\x02"
#define EVERYBODY "\xff\xff\xff\xff\xff\xff"
#define CLIENT "\x02\x00\x00\x00\x00\x09"
#define FRAME_LEN 60

static uint8_t blob[KMR_TAPS_BLOB];
static size_t blob_len;
static unsigned blobs;

static void shell(const char *command)
{
    assert_int_equal(system(command), 0);
}

/* A tap as libvirt makes it: the guest's address, but for the first byte. */
static int make_tap(const char *name)
{
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq request;
    char command[96];

    assert_true(fd >= 0);
    memset(&request, 0, sizeof(request));
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    strcpy(request.ifr_name, name);
    assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
    snprintf(command, sizeof(command),
             "ip link set %s address fe:54:00:00:00:01 up", name);
    shell(command);
    return fd;
}

static void transmit(const char *interface, const char *to, const char *from,
                     char mark)
{
    struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_halen = 6 };
    uint8_t frame[FRAME_LEN] = { 0 };
    static int fd = -1;

    if (fd < 0) {
        fd = socket(AF_PACKET, SOCK_RAW, 0);
    }
    memcpy(frame, to, 6);
    memcpy(frame + 6, from, 6);
    frame[12] = 0x88;
    frame[13] = 0xb5; /* for experiments */
    frame[14] = (uint8_t)mark;
    address.sll_ifindex = (int)if_nametoindex(interface);
    assert_int_equal(sendto(fd, frame, sizeof(frame), 0,
                            (struct sockaddr *)&address, sizeof(address)),
                     FRAME_LEN);
}

/* The mark of the next frame in a tap; 0: there is none. */
static char receive(int fd)
{
    uint8_t buf[VNET_LEN + FRAME_LEN + 1];
    ssize_t len = read(fd, buf, sizeof(buf));

    if (len < 0) {
        assert_int_equal(errno, EAGAIN);
        return 0;
    }
    assert_int_equal(len, sizeof(struct virtio_net_hdr) + FRAME_LEN);
    return (char)buf[sizeof(struct virtio_net_hdr) + 14];
}

static void passed(const uint8_t *data, size_t len, void *user)
{
    (void)user;
    assert_true(len <= sizeof(blob));
    memcpy(blob, data, len);
    blob_len = len;
    blobs++;
}

static bool is_passed(void *arg)
{
    return blobs == *(unsigned *)arg;
}

/* libqb sleeps 100 ms in each round in which it hears of a descriptor that it
 * has forgotten. */
static bool is_round(void *arg)
{
    unsigned *rounds = arg;

    return --*rounds == 0;
}

/* A process with a tap, as a QEMU that hangs: `*ret_talk` makes it do what
 * QEMU does when the guest's driver has said what it can. */
static pid_t hanging(const char *name, int *ret_talk)
{
    int talk[2], len = VNET_LEN;
    char byte = 'r';
    pid_t pid;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, talk), 0);
    pid = fork();
    if (pid == 0) {
        int fd = make_tap(name);

        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails just ends */
        close(talk[0]);
        while (write(talk[1], &byte, 1) == 1 && read(talk[1], &byte, 1) == 1) {
            assert_int_equal(ioctl(fd, TUNSETVNETHDRSZ, &len), 0);
        }
        pause();
    }
    close(talk[1]);
    assert_int_equal(read(talk[0], &byte, 1), 1);
    *ret_talk = talk[0];
    return pid;
}

static void negotiate(int talk)
{
    char byte = 'n';

    assert_int_equal(write(talk, &byte, 1), 1);
    assert_int_equal(read(talk, &byte, 1), 1);
    close(talk);
}

static struct kmr_taps *share(qb_loop_t *loop, pid_t pid)
{
    struct kmr_taps *taps;
    struct kmr_proc proc;

    assert_int_equal(kmr_proc_read(pid, &proc), 0);
    assert_int_equal(kmr_taps_open(loop, &proc, &taps), 0);
    return taps;
}

static void end(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Where the mark of the only frame is, in a blob. */
static char mark_of(void)
{
    assert_int_equal(blob_len, 7 + 10 + FRAME_LEN);
    return (char)blob[7 + 10 + 14];
}

static void test_passed_on(void **state)
{
    qb_loop_t *loop = qb_loop_create();
    int old_talk, new_talk;
    pid_t old_pid = hanging("old0", &old_talk);
    pid_t new_pid = hanging("new0", &new_talk);
    struct kmr_taps *old = share(loop, old_pid);
    struct kmr_taps *taps = share(loop, new_pid);
    unsigned wanted = 1;

    (void)state;
    blobs = 0;
    negotiate(old_talk);
    negotiate(new_talk);
    transmit("old0", GUEST, CLIENT, 'a');
    transmit("old0", EVERYBODY, CLIENT, 'b');
    transmit("old0", OTHER, CLIENT, 'c');
    /* It outlives its QEMU, and what comes later is passed on, too. */
    end(old_pid);
    kmr_taps_pass_on(old, passed, NULL);
    assert_true(run_until(loop, is_passed, &wanted, 5000));
    assert_int_equal(mark_of(), 'a');
    transmit("old0", GUEST, CLIENT, 'd');
    wanted++;
    assert_true(run_until(loop, is_passed, &wanted, 5000));
    assert_int_equal(mark_of(), 'd');
    kmr_taps_keep(old);
    transmit("old0", GUEST, CLIENT, 'e');
    run_for(loop, 20);
    assert_int_equal(blobs, wanted);

    /* A card that the guest has not, and whatever is malformed. */
    blob[0] ^= 1;
    assert_int_equal(kmr_taps_put(taps, blob, blob_len), 0);
    blob[0] ^= 1;
    for (size_t len = 0; len < blob_len; len++) {
        assert_int_equal(kmr_taps_put(taps, blob, len), 0);
    }
    blob[6]--; /* the length */
    assert_int_equal(kmr_taps_put(taps, blob, blob_len), 1);
    blob[6]++;
    assert_int_equal(kmr_taps_put(taps, blob, blob_len), 1);
    blob[5] = blob[6] = 0;
    assert_int_equal(kmr_taps_put(taps, blob, blob_len), 0);
    /* Seen by the new one's QEMU: the shorter frame, and the whole one. */
    blob_len = 0;
    kmr_taps_pass_on(taps, passed, NULL);
    wanted++;
    assert_true(run_until(loop, is_passed, &wanted, 5000));
    assert_int_equal(blob_len, 2 * (7 + 10 + FRAME_LEN) - 1);
    assert_int_equal(blob[7 + 10 + 14], 'd');

    assert_true(kmr_taps_are_named(old));
    kmr_taps_close(old);
    assert_int_equal(if_nametoindex("old0"), 0);
    kmr_taps_close(taps);
    end(new_pid);
    qb_loop_destroy(loop);
}

/* A guest under load: no more than the limit is passed on. */
static void test_limit(void **state)
{
    qb_loop_t *loop = qb_loop_create();
    int talk;
    pid_t pid = hanging("old0", &talk);
    struct kmr_taps *taps = share(loop, pid);
    unsigned rounds = 40;

    (void)state;
    blobs = 0;
    negotiate(talk);
    kmr_taps_pass_on(taps, passed, NULL);
    for (unsigned i = 0; i < 2 * KMR_TAPS_BYTES_MAX / FRAME_LEN; i += 100) {
        for (unsigned j = 0; j < 100; j++) {
            transmit("old0", GUEST, CLIENT, 'a');
        }
        run_for(loop, 2);
    }
    assert_in_range(blobs, KMR_TAPS_BYTES_MAX / KMR_TAPS_BLOB,
                    KMR_TAPS_BYTES_MAX / FRAME_LEN);
    /* What lies there now is nobody's: the loop goes round as ever. */
    transmit("old0", GUEST, CLIENT, 'a');
    assert_true(run_until(loop, is_round, &rounds, 2000));
    /* Kept and begun again: the limit is that of one time. */
    kmr_taps_keep(taps);
    blobs = 0;
    kmr_taps_pass_on(taps, passed, NULL);
    run_for(loop, 20);
    assert_true(blobs > 0);
    kmr_taps_close(taps);
    end(pid);
    qb_loop_destroy(loop);
}

/* The bridge has learned that the guest is behind the other port. */
static void test_expect(void **state)
{
    qb_loop_t *loop = qb_loop_create();
    int fd = make_tap("new0");
    struct kmr_taps *taps = share(loop, getpid());
    char mark = 0;

    (void)state;
    shell("ip link add br0 type bridge forward_delay 0 mcast_snooping 0 && "
          "ip link set br0 up && ip link add v0 type veth peer name v1 && "
          "ip link set v0 master br0 up && ip link set v1 up && "
          "ip link set new0 master br0");
    transmit("v1", EVERYBODY, GUEST, 'a');
    transmit("v1", GUEST, CLIENT, 'b');
    kmr_taps_expect(taps);
    assert_int_equal(receive(fd), 0);
    for (unsigned i = 0; mark == 0 && i < 5000; i++) {
        transmit("v1", GUEST, CLIENT, 'c');
        run_for(loop, 1);
        mark = receive(fd);
    }
    assert_int_equal(mark, 'c');
    kmr_taps_close(taps);
    close(fd);
    qb_loop_destroy(loop);
}

static void test_none(void **state)
{
    qb_loop_t *loop = qb_loop_create();
    struct kmr_taps *taps;
    struct kmr_proc proc;

    (void)state;
    assert_int_equal(kmr_proc_read(getpid(), &proc), 0);
    assert_int_equal(kmr_taps_open(loop, &proc, &taps), 0);
    kmr_taps_expect(taps);
    kmr_taps_pass_on(taps, passed, NULL);
    kmr_taps_close(taps);
    proc.start++;
    assert_int_equal(kmr_taps_open(loop, &proc, &taps), -ESRCH);
    kmr_taps_close(NULL);
    qb_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_passed_on),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_expect),
    };

    if (geteuid() != 0) {
        puts("not root");
        return 77;
    }
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("sysfs", "/sys", "sysfs", 0, NULL) < 0 ||
        access("/dev/net/tun", R_OK | W_OK) < 0) {
        puts("no namespaces, or no taps");
        return 77;
    }
    shell("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 "
          "net.ipv6.conf.default.disable_ipv6=1");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
