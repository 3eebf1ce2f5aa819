/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libvirt's event API over qb_loop, through libvirt's own entry points. */
#include "loop_help.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <libvirt/libvirt.h>

#include "io/virt_loop.h"

static qb_loop_t *loop;

struct watch {
    int id, other;
    int fds[2];
    unsigned calls, freed;
    int events;
    bool remove_self, remove_other, in_cb, freed_in_cb;
};

static void on_handle(int watch, int fd, int events, void *opaque)
{
    struct watch *w = opaque;
    char c;

    assert_int_equal(watch, w->id);
    w->calls++;
    w->events |= events;
    w->in_cb = true;
    if (events & VIR_EVENT_HANDLE_READABLE) {
        assert_int_equal(read(fd, &c, 1), 1);
    }
    if (w->remove_self) {
        assert_int_equal(virEventRemoveHandle(w->id), 0);
        assert_int_equal(w->freed, 0); /* deferred */
    }
    if (w->remove_other) {
        virEventRemoveHandle(w->other);
    }
    w->in_cb = false;
}

static void on_timeout(int timer, void *opaque)
{
    struct watch *w = opaque;

    assert_int_equal(timer, w->id);
    w->calls++;
    if (w->remove_self) {
        assert_int_equal(virEventRemoveTimeout(w->id), 0);
    }
    if (w->remove_other) {
        virEventRemoveTimeout(w->other);
    }
}

static void on_free(void *opaque)
{
    struct watch *w = opaque;

    w->freed++;
    w->freed_in_cb = w->in_cb;
}

static void add(struct watch *w, int events)
{
    memset(w, 0, sizeof(*w));
    assert_int_equal(pipe(w->fds), 0);
    w->id = virEventAddHandle(w->fds[0], events, on_handle, w, on_free);
    assert_true(w->id > 0);
}

static void done(struct watch *w)
{
    virEventRemoveHandle(w->id);
    run_for(loop, 10);
    assert_int_equal(w->freed, 1);
    close(w->fds[0]);
    if (w->fds[1] >= 0) {
        close(w->fds[1]);
    }
}

static void poke(struct watch *w)
{
    assert_int_equal(write(w->fds[1], "x", 1), 1);
}

static void test_handle(void **state)
{
    struct watch w;

    (void)state;
    add(&w, VIR_EVENT_HANDLE_READABLE);
    run_for(loop, 20);
    assert_int_equal(w.calls, 0);
    poke(&w);
    run_for(loop, 20);
    assert_int_equal(w.calls, 1);
    assert_int_equal(w.events, VIR_EVENT_HANDLE_READABLE);
    virEventUpdateHandle(w.id, 0);
    poke(&w);
    run_for(loop, 20);
    assert_int_equal(w.calls, 1); /* off */
    virEventUpdateHandle(w.id, VIR_EVENT_HANDLE_READABLE);
    run_for(loop, 20);
    assert_int_equal(w.calls, 2);
    done(&w);
    assert_int_equal(virEventRemoveHandle(w.id), -1); /* known no more */
}

/* A hang-up on a handle that is off must neither be told nor spin. */
static void test_hangup_while_off(void **state)
{
    struct watch w;

    (void)state;
    add(&w, 0);
    close(w.fds[1]);
    w.fds[1] = -1;
    run_for(loop, 20);
    assert_int_equal(w.calls, 0);
    virEventUpdateHandle(w.id, VIR_EVENT_HANDLE_WRITABLE);
    w.remove_self = true;
    run_for(loop, 20);
    assert_int_equal(w.calls, 1);
    assert_true(w.events & VIR_EVENT_HANDLE_HANGUP);
    assert_int_equal(w.freed, 1);
    close(w.fds[0]);
}

static void test_remove_in_callback(void **state)
{
    struct watch a, b;

    (void)state;
    add(&a, VIR_EVENT_HANDLE_READABLE);
    add(&b, VIR_EVENT_HANDLE_READABLE);
    a.remove_self = b.remove_self = true;
    a.remove_other = b.remove_other = true;
    a.other = b.id;
    b.other = a.id;
    poke(&a);
    poke(&b);
    run_for(loop, 20);
    /* whichever came first removed both: the other is never called */
    assert_int_equal(a.calls + b.calls, 1);
    assert_int_equal(a.freed, 1);
    assert_int_equal(b.freed, 1);
    assert_false(a.freed_in_cb || b.freed_in_cb);
    close(a.fds[0]);
    close(a.fds[1]);
    close(b.fds[0]);
    close(b.fds[1]);
}

/* libvirt closes the descriptor first sometimes, and the number comes back. */
static void test_closed_before_removed(void **state)
{
    struct watch a, b;

    (void)state;
    add(&a, VIR_EVENT_HANDLE_READABLE);
    close(a.fds[0]);
    close(a.fds[1]);
    add(&b, VIR_EVENT_HANDLE_READABLE);
    assert_int_equal(b.fds[0], a.fds[0]);
    assert_int_equal(virEventRemoveHandle(a.id), 0);
    virEventUpdateHandle(b.id,
                         VIR_EVENT_HANDLE_READABLE | VIR_EVENT_HANDLE_ERROR);
    run_for(loop, 10);
    assert_int_equal(a.freed, 1);
    done(&b);
}

static void test_two_watches_of_one_fd(void **state)
{
    struct watch a, b;

    (void)state;
    add(&a, VIR_EVENT_HANDLE_READABLE);
    memset(&b, 0, sizeof(b));
    b.id = virEventAddHandle(a.fds[1], VIR_EVENT_HANDLE_WRITABLE, on_handle, &b,
                             on_free);
    a.other = virEventAddHandle(a.fds[1], VIR_EVENT_HANDLE_WRITABLE, on_handle,
                                &b, NULL);
    assert_true(b.id > 0 && a.other > 0);
    virEventRemoveHandle(a.other);
    run_for(loop, 5);
    assert_true(b.calls > 0);
    virEventRemoveHandle(b.id);
    run_for(loop, 5);
    assert_int_equal(b.freed, 1);
    done(&a);
}

static void test_timeout(void **state)
{
    struct watch w = { 0 };

    (void)state;
    w.id = virEventAddTimeout(-1, on_timeout, &w, on_free);
    run_for(loop, 30);
    assert_int_equal(w.calls, 0);
    virEventUpdateTimeout(w.id, 20);
    run_for(loop, 130);
    assert_in_range(w.calls, 3, 6); /* again and again */
    virEventUpdateTimeout(w.id, -1);
    w.calls = 0;
    run_for(loop, 50);
    assert_int_equal(w.calls, 0);
    virEventUpdateTimeout(w.id, 0); /* every round */
    run_for(loop, 10);
    assert_true(w.calls > 2);
    w.remove_self = true;
    w.calls = 0;
    run_for(loop, 10);
    assert_int_equal(w.calls, 1);
    assert_int_equal(w.freed, 1);
    assert_int_equal(virEventRemoveTimeout(w.id), -1);
}

static void test_timeouts_remove_each_other(void **state)
{
    struct watch a = { 0 }, b = { 0 };

    (void)state;
    a.id = virEventAddTimeout(5, on_timeout, &a, on_free);
    b.id = virEventAddTimeout(5, on_timeout, &b, on_free);
    a.other = b.id;
    b.other = a.id;
    a.remove_self = b.remove_self = a.remove_other = b.remove_other = true;
    run_for(loop, 40);
    assert_int_equal(a.calls + b.calls, 1);
    assert_int_equal(a.freed + b.freed, 2);
}

/* It may be called before the other thread has its id. */
static void on_timeout_once(int timer, void *opaque)
{
    struct watch *w = opaque;

    w->calls++;
    assert_int_equal(virEventRemoveTimeout(timer), 0);
}

/* From another thread, while the loop sleeps: it has to wake. */
static void *from_thread(void *arg)
{
    usleep(20000);
    virEventAddTimeout(0, on_timeout_once, arg, on_free);
    return NULL;
}

static bool was_freed(void *arg)
{
    return ((struct watch *)arg)->freed == 1;
}

static void test_from_thread(void **state)
{
    struct watch w = { 0 };
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, from_thread, &w), 0);
    assert_true(run_until(loop, was_freed, &w, 1000));
    assert_int_equal(w.calls, 1);
    pthread_join(thread, NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handle),
        cmocka_unit_test(test_hangup_while_off),
        cmocka_unit_test(test_remove_in_callback),
        cmocka_unit_test(test_closed_before_removed),
        cmocka_unit_test(test_two_watches_of_one_fd),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_timeouts_remove_each_other),
        cmocka_unit_test(test_from_thread),
    };
    int failed;

    loop = qb_loop_create();
    if (kmr_virt_loop_init(loop) != 0 ||
        kmr_virt_loop_init(loop) != -EALREADY) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    kmr_virt_loop_fini();
    qb_loop_destroy(loop);
    return failed;
}
