/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The libvirt adapters against a real libvirtd and a real QEMU. Run inside
 * libvirt-sandbox; argv[1] or KEMARI_QEMU is the emulator.
 */
#include "loop_help.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/check.h"
#include "io/child.h"
#include "io/domxml.h"
#include "io/pidwatch.h"
#include "io/qmp.h"
#include "io/virt.h"
#include "io/virt_loop.h"

static const char *emulator;
static qb_loop_t *loop;
static struct kmr_virt *virt;
static struct kmr_virt_worker *worker;

static bool is_up;
static unsigned changes;
static unsigned seen[16]; /* events by type */
static enum kmr_virt_stop how;
static char engine_text[1024];
static bool powers_off; /* the guest under test does it by itself */
static uint64_t shutdown_ms;

static void on_connected(bool up, const char *reason, void *user)
{
    (void)user;
    is_up = up;
    changes++;
    print_message("connected %d %s\n", up, reason);
}

static void on_event(const struct kmr_virt_event *ev, void *user)
{
    (void)user;
    print_message("event %s %s id %d %s\n", kmr_virt_event_text(ev->type),
                  ev->domain, ev->id, ev->text);
    assert_string_equal(ev->domain, "t0");
    seen[ev->type]++;
    if (ev->type == KMR_VIRT_EV_SHUTDOWN) {
        assert_int_equal(ev->by_guest, powers_off);
        shutdown_ms = help_now_ms();
    }
    if (ev->type == KMR_VIRT_EV_STOPPED) {
        how = ev->how;
    }
    if (ev->type == KMR_VIRT_EV_ENGINE) {
        assert_string_equal(ev->qmp_event, "KEMARI_STATE");
        snprintf(engine_text, sizeof(engine_text), "%s", ev->text);
    }
}

struct answer {
    unsigned count;
    struct kmr_virt_reply reply;
    char error[512];
    char text[65536];
};

static void on_reply(const struct kmr_virt_reply *reply, void *user)
{
    struct answer *a = user;

    a->count++;
    a->reply = *reply;
    snprintf(a->error, sizeof(a->error), "%s", reply->error);
    snprintf(a->text, sizeof(a->text), "%s", reply->text);
    print_message("%s: %d %s (%u us)\n", kmr_virt_op_text(reply->op),
                  reply->err, reply->error, reply->took_us);
}

static bool is_answered(void *arg)
{
    return ((struct answer *)arg)->count > 0;
}

static bool flag(void *arg)
{
    return *(bool *)arg;
}

static bool unflag(void *arg)
{
    return !*(bool *)arg;
}

static bool some(void *arg)
{
    return *(unsigned *)arg > 0;
}

static struct answer answer;

/* One order, to its end; its error. */
static int order(struct kmr_virt_order spec)
{
    if (spec.timeout_ms == 0) {
        spec.timeout_ms = 20000;
    }
    memset(&answer, 0, sizeof(answer));
    assert_int_equal(kmr_virt_order(worker, &spec, on_reply, &answer), 0);
    assert_true(run_until(loop, is_answered, &answer, spec.timeout_ms + 2000));
    assert_int_equal(answer.count, 1);
    return answer.reply.err;
}

#define ORDER(...) order((struct kmr_virt_order){ __VA_ARGS__ })

static char *domain_xml(enum kmr_domxml_role role)
{
    static const char text[] =
        "<domain type='qemu'"
        " xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
        "<name>t0</name><memory unit='MiB'>64</memory>"
        "<os><type arch='x86_64' machine='pc'>hvm</type></os>"
        "<features><acpi/></features><devices>"
        "<disk type='file'><source file='%s/disk.raw'/>"
        "<driver name='qemu' type='raw'/><target dev='vda' bus='virtio'/>"
        "</disk><serial type='file'><source path='%s/serial.log'/></serial>"
        "<memballoon model='none'/></devices><qemu:commandline>"
        "<qemu:arg value='-L'/><qemu:arg value='/usr/share/seabios'/>"
        "<qemu:arg value='-L'/><qemu:arg value='/usr/share/qemu'/>"
        "<qemu:arg value='-L'/><qemu:arg value='/usr/lib/ipxe/qemu'/>"
        "</qemu:commandline></domain>";
    struct kmr_domxml_pair pair = {
        .role = role,
        .instance = "11111111-2222-4333-8444-555555555555",
        .generation = 7,
    };
    const char *disks = getenv("TEST_DISKS");
    char buf[4096], *ret = NULL;
    struct kmr_domxml *dom;

    snprintf(buf, sizeof(buf), text, disks, disks);
    assert_int_equal(kmr_domxml_read_text(buf, strlen(buf), "test", &dom, NULL),
                     0);
    assert_int_equal(kmr_domxml_derive(dom, emulator, &pair, &ret), 0);
    kmr_domxml_free(dom);
    return ret;
}

static void start(enum kmr_domxml_role role)
{
    char *xml = domain_xml(role);

    memset(seen, 0, sizeof(seen));
    assert_int_equal(ORDER(.op = KMR_VIRT_OP_CREATE, .text = xml,
                           .paused = role == KMR_DOMXML_STANDBY),
                     0);
    free(xml);
    assert_true(answer.reply.id > 0);
    assert_true(run_until(loop, some, &seen[KMR_VIRT_EV_STARTED], 2000));
}

static void test_life(void **state)
{
    struct kmr_domxml_pair pair;
    struct kmr_domxml *dom;
    int id;

    (void)state;
    assert_int_equal(ORDER(.op = KMR_VIRT_OP_GET_STATE), 0);
    assert_int_equal(answer.reply.state, KMR_VIRT_NONE);
    start(KMR_DOMXML_PRIMARY);
    id = answer.reply.id;
    char *xml = domain_xml(KMR_DOMXML_PRIMARY);
    assert_int_equal(ORDER(.op = KMR_VIRT_OP_CREATE, .text = xml), -EEXIST);
    free(xml);
    assert_int_equal(ORDER(.op = KMR_VIRT_OP_GET_STATE), 0);
    assert_int_equal(answer.reply.state, KMR_VIRT_RUNNING);
    assert_int_equal(ORDER(.op = KMR_VIRT_OP_MONITOR,
                           .text = "{\"execute\":\"query-status\"}"),
                     0);
    assert_non_null(strstr(answer.text, "\"running\""));
    assert_int_equal(ORDER(.op = KMR_VIRT_OP_MONITOR,
                           .text = "{\"execute\":\"no-such\"}"),
                     -EREMOTEIO);
    assert_non_null(strstr(answer.error, "CommandNotFound"));

    /* what runs can be read, and a standby derived from it */
    assert_int_equal(ORDER(.op = KMR_VIRT_OP_GET_XML), 0);
    assert_int_equal(kmr_domxml_read_text(answer.text, strlen(answer.text),
                                          "live", &dom, NULL),
                     0);
    assert_int_equal(kmr_domxml_get_pair(dom, &pair), 0);
    assert_int_equal(pair.generation, 7);
    assert_int_equal(pair.role, KMR_DOMXML_PRIMARY);
    kmr_domxml_free(dom);

    assert_int_equal(ORDER(.op = KMR_VIRT_OP_DESTROY, .id = id + 1000),
                     -ESTALE);
    assert_int_equal(ORDER(.op = KMR_VIRT_OP_DESTROY, .id = id), 0);
    assert_true(run_until(loop, some, &seen[KMR_VIRT_EV_STOPPED], 5000));
    assert_int_equal(how, KMR_VIRT_STOP_DESTROYED);
    assert_int_equal(ORDER(.op = KMR_VIRT_OP_GET_XML), -ENOENT);
}

static bool died;
static uint64_t died_ms;

static void on_death(const struct kmr_proc *proc, void *user)
{
    assert_int_equal(proc->pid, ((struct kmr_proc *)user)->pid);
    died = true;
    died_ms = help_now_ms();
}

static void test_standby_and_kill(void **state)
{
    struct kmr_pidwatch *watch;
    struct kmr_proc proc, bad;
    uint64_t t0;

    (void)state;
    start(KMR_DOMXML_STANDBY);
    assert_int_equal(ORDER(.op = KMR_VIRT_OP_MONITOR,
                           .text = "{\"execute\":\"query-status\"}"),
                     0);
    assert_non_null(strstr(answer.text, "\"inmigrate\""));
    assert_int_equal(kmr_proc_of_domain(NULL, "t0", NULL, &proc), 0);
    assert_int_equal(kmr_proc_of_domain(NULL, "t0",
                                        "00000000-0000-0000-0000-000000000000",
                                        &bad),
                     -ESRCH);
    assert_int_equal(kmr_proc_of_domain(NULL, "t1", NULL, &bad), -ENOENT);
    died = false;
    assert_int_equal(kmr_pidwatch_start(loop, &proc, on_death, &proc, &watch),
                     0);
    bad = proc;
    bad.start++;
    assert_int_equal(kmr_proc_kill(&bad), -ESRCH);
    assert_int_equal(kmr_proc_alive(&proc), 1);
    t0 = help_now_ms();
    assert_int_equal(kmr_proc_kill(&proc), 0);
    assert_true(run_until(loop, flag, &died, 5000));
    print_message("death seen after %u ms\n", (unsigned)(died_ms - t0));
    assert_int_equal(kmr_proc_alive(&proc), 0);
    assert_true(run_until(loop, some, &seen[KMR_VIRT_EV_STOPPED], 5000));
    print_message("STOPPED event after %u ms\n",
                  (unsigned)(help_now_ms() - t0));
    assert_int_equal(how, KMR_VIRT_STOP_FAILED);
}

/* A boot sector that powers the machine off through ACPI (PIIX4's PM1a
 * control register), or nothing bootable. */
static void set_boot_sector(bool bootable)
{
    static const unsigned char code[] = {
        0xba, 0x04, 0x06, /* mov dx, 0x604 */
        0xb8, 0x00, 0x20, /* mov ax, 0x2000: SLP_EN, S5 */
        0xef,             /* out dx, ax */
        0xf4, 0xeb, 0xfd, /* hlt; jmp back */
    };
    unsigned char sector[512] = { 0 };
    char path[256];
    FILE *f;

    if (bootable) {
        memcpy(sector, code, sizeof(code));
        sector[510] = 0x55;
        sector[511] = 0xaa;
    }
    snprintf(path, sizeof(path), "%s/disk.raw", getenv("TEST_DISKS"));
    f = fopen(path, "r+");
    assert_non_null(f);
    assert_int_equal(fwrite(sector, sizeof(sector), 1, f), 1);
    fclose(f);
}

/* A guest that powers itself off: told as such, and in time. */
static void test_poweroff(void **state)
{
    struct kmr_pidwatch *watch;
    struct kmr_proc proc;

    (void)state;
    set_boot_sector(true);
    powers_off = true;
    died = false;
    start(KMR_DOMXML_PRIMARY);
    assert_int_equal(kmr_proc_of_domain(NULL, "t0", NULL, &proc), 0);
    assert_int_equal(kmr_pidwatch_start(loop, &proc, on_death, &proc, &watch),
                     0);
    assert_true(run_until(loop, flag, &died, 30000));
    assert_true(run_until(loop, some, &seen[KMR_VIRT_EV_STOPPED], 5000));
    assert_int_equal(seen[KMR_VIRT_EV_SHUTDOWN], 1);
    assert_int_equal(how, KMR_VIRT_STOP_SHUTDOWN);
    print_message("power-off: SHUTDOWN %d ms before the death\n",
                  (int)(died_ms - shutdown_ms));
    assert_true((int64_t)(shutdown_ms - died_ms) < 30); /* what virt.h says */
    powers_off = false;
    set_boot_sector(false);
}

static enum kmr_check_emulator checked;
static bool check_done;

static void on_checked(enum kmr_check_emulator what, const char *text,
                       void *user)
{
    (void)user;
    checked = what;
    check_done = true;
    print_message("emulator: %d %s\n", what, text);
}

/* Only a patched emulator has engine events; an unpatched one must be told
 * apart, and then there is nothing to see. */
static void test_engine_event(void **state)
{
    static const struct kmr_qmp_settings settings = {
        .lost_ms = 1000,
        .overload = "throttle",
        .staging_mib = 64,
    };
    struct kmr_qmp_status st;
    char cmd[KMR_QMP_COMMAND_MAX];

    (void)state;
    assert_int_equal(kmr_check_emulator(loop, emulator, on_checked, NULL), 0);
    assert_true(run_until(loop, flag, &check_done, 12000));
    start(KMR_DOMXML_PRIMARY);
    kmr_qmp_simple("query-kemari", cmd, sizeof(cmd));
    if (checked == KMR_CHECK_EMULATOR_UNPATCHED) {
        assert_int_equal(ORDER(.op = KMR_VIRT_OP_MONITOR, .text = cmd),
                         -EREMOTEIO);
    } else {
        assert_int_equal(checked, KMR_CHECK_EMULATOR_PATCHED);
        assert_int_equal(ORDER(.op = KMR_VIRT_OP_MONITOR, .text = cmd), 0);
        assert_int_equal(kmr_qmp_parse_query(answer.text, &st), 0);
        assert_int_equal(st.role, KMR_QMP_ROLE_NONE);
        kmr_qmp_prepare("11111111-2222-4333-8444-555555555555",
                        "66666666-2222-4333-8444-555555555555", 8, &settings,
                        cmd, sizeof(cmd));
        assert_int_equal(ORDER(.op = KMR_VIRT_OP_MONITOR, .text = cmd), 0);
        assert_true(run_until(loop, some, &seen[KMR_VIRT_EV_ENGINE], 2000));
        assert_int_equal(kmr_qmp_parse_event(engine_text, &st), 0);
        assert_int_equal(st.state, KMR_QMP_PREPARING);
        assert_int_equal(st.generation, 8);
    }
    assert_int_equal(ORDER(.op = KMR_VIRT_OP_DESTROY), 0);
}

/* A libvirtd that hangs: the loop goes on, orders are answered in time. */
static void test_hang(void **state)
{
    pid_t libvirtd = (pid_t)atoi(getenv("LIBVIRTD_PID"));
    uint64_t t0;

    (void)state;
    start(KMR_DOMXML_PRIMARY);
    assert_int_equal(kill(libvirtd, SIGSTOP), 0);
    t0 = help_now_ms();
    assert_int_equal(ORDER(.op = KMR_VIRT_OP_GET_STATE, .timeout_ms = 300),
                     -ETIMEDOUT);
    assert_true(answer.reply.maybe);
    assert_in_range(help_now_ms() - t0, 290, 600);
    assert_int_equal(ORDER(.op = KMR_VIRT_OP_GET_STATE, .timeout_ms = 300),
                     -ETIMEDOUT);
    assert_false(answer.reply.maybe);
    /* a worker that is freed while its thread hangs: no callback, no wait */
    t0 = help_now_ms();
    struct kmr_virt_order spec = { .op = KMR_VIRT_OP_GET_STATE,
                                   .timeout_ms = 200 };
    struct answer none = { 0 };
    assert_int_equal(kmr_virt_order(worker, &spec, on_reply, &none), 0);
    kmr_virt_worker_free(worker);
    assert_in_range(help_now_ms() - t0, 0, 50);
    assert_int_equal(kmr_virt_worker_new(virt, "t0", &worker), 0);
    assert_int_equal(ORDER(.op = KMR_VIRT_OP_GET_STATE, .timeout_ms = 300),
                     -ETIMEDOUT);
    assert_int_equal(none.count, 0);
    /* keep-alive notices */
    assert_true(run_until(loop, unflag, &is_up, 12000));
    print_message("hang noticed after %u ms\n", (unsigned)(help_now_ms() - t0));
    assert_int_equal(kill(libvirtd, SIGCONT), 0);
    assert_true(run_until(loop, flag, &is_up, 12000));
    assert_int_equal(ORDER(.op = KMR_VIRT_OP_GET_STATE), 0);
    assert_int_equal(answer.reply.state, KMR_VIRT_RUNNING);
}

static void child_gone(const struct kmr_child_result *res, void *user)
{
    (void)res;
    (void)user;
}

/* libvirtd dies and comes back; the domain of the test before lives on. */
static void test_restart(void **state)
{
    pid_t libvirtd = (pid_t)atoi(getenv("LIBVIRTD_PID"));
    const char *const argv[] = { "libvirtd-again", NULL };
    struct kmr_child_spec spec = { .argv = argv, .timeout_ms = 60000 };
    struct kmr_proc proc;
    struct kmr_child *child;

    (void)state;
    assert_int_equal(kmr_proc_of_domain(NULL, "t0", NULL, &proc), 0);
    assert_int_equal(kill(libvirtd, SIGKILL), 0);
    assert_true(run_until(loop, unflag, &is_up, 3000));
    assert_int_equal(ORDER(.op = KMR_VIRT_OP_GET_STATE), -ENOTCONN);
    assert_int_equal(kmr_proc_alive(&proc), 1);
    assert_int_equal(kmr_child_start(loop, &spec, child_gone, NULL, &child), 0);
    assert_true(run_until(loop, flag, &is_up, 15000));
    assert_int_equal(ORDER(.op = KMR_VIRT_OP_GET_STATE), 0);
    assert_int_equal(answer.reply.state, KMR_VIRT_RUNNING);
    memset(seen, 0, sizeof(seen));
    assert_int_equal(kmr_proc_kill(&proc), 0);
    assert_true(run_until(loop, some, &seen[KMR_VIRT_EV_STOPPED], 5000));
    kmr_child_cancel(child);
}

static void test_queue_full(void **state)
{
    struct kmr_virt_order spec = { .op = KMR_VIRT_OP_GET_STATE,
                                   .timeout_ms = 5000 };
    static struct answer a[64];
    unsigned taken = 0, answered = 0;
    int err = 0;

    (void)state;
    while (taken < 64 && err == 0) {
        err = kmr_virt_order(worker, &spec, on_reply, &a[taken]);
        taken += err == 0;
    }
    assert_int_equal(err, -ENOBUFS);
    /* the thread takes some out meanwhile */
    assert_in_range(taken, KMR_VIRT_QUEUE_MAX, 63);
    run_for(loop, 2000);
    for (unsigned i = 0; i < taken; i++) {
        answered += a[i].count;
    }
    assert_int_equal(answered, taken);
}

static int setup(void **state)
{
    struct kmr_virt_ops ops = { on_connected, on_event };

    (void)state;
    loop = qb_loop_create();
    assert_int_equal(kmr_virt_loop_init(loop), 0);
    assert_int_equal(kmr_virt_start(loop, NULL, &ops, NULL, &virt), 0);
    assert_int_equal(kmr_virt_worker_new(virt, "t0", &worker), 0);
    assert_true(run_until(loop, flag, &is_up, 15000));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kmr_virt_worker_free(worker);
    kmr_virt_stop(virt);
    run_for(loop, 500);
    kmr_virt_loop_fini();
    qb_loop_destroy(loop);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_standby_and_kill),
        cmocka_unit_test(test_poweroff),
        cmocka_unit_test(test_engine_event),
        cmocka_unit_test(test_queue_full),
        cmocka_unit_test(test_hang),
        cmocka_unit_test(test_restart),
    };

    emulator = argc > 1 ? argv[1] : getenv("KEMARI_QEMU");
    if (!emulator || !getenv("LIBVIRTD_PID") || !getenv("TEST_DISKS")) {
        fprintf(stderr, "run me by test_virt.sh\n");
        return 2;
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
