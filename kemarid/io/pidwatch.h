/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_PIDWATCH_H
#define KMR_IO_PIDWATCH_H

/*
 * Processes that are not ours: the QEMUs. A process is named by its pid and
 * its start time (field 22 of /proc/PID/stat, clock ticks since boot), so
 * that a pid which was used again is never taken for the old one.
 *
 * What "dead" means here (R4: "reaped by its own kemarid"). libvirtd starts
 * QEMU as a daemon, so QEMU is init's child, not ours: we can't wait() for it
 * and need not. A pidfd becomes readable when the thread-group leader is a
 * zombie and every other thread is gone (exit_notify() in the kernel, called
 * from do_exit() after exit_mm, exit_files, exit_fs; other threads passed the
 * same do_exit() before). So, once readable:
 *   - no instruction of the process will run again, in user mode or in a
 *     system call;
 *   - its descriptor table was released by the last thread. Sockets, taps
 *     and image files were closed, unless another process shares them (QEMU
 *     forks no child that keeps them; kemarid shares the taps, to read from
 *     them: taps.h). The final fput() runs as task work in do_exit()
 *     (exit_task_work, after exit_files), i.e. before exit_notify();
 *   - requests that the kernel works on for it are another matter. A linux-aio
 *     context is waited for when the last user of the address space goes
 *     (exit_aio), which another process that just reads /proc/PID can delay;
 *     io_uring's rings are torn down by a kernel worker after the last
 *     reference. Bytes in a socket's send buffer (NBD) still travel: the
 *     server sees them before the end of the connection.
 * So "dead" is: it will issue nothing more. What it had issued to shared
 * storage is settled by the image lock (retry of the activation), by the
 * server's end of the connection, or by the disk check in domxml.h, which
 * refuses io=io_uring.
 */

#include <stdint.h>
#include <sys/types.h>

#include <qb/qbloop.h>

struct kmr_proc {
    pid_t pid;      /* 0: none */
    uint64_t start; /* clock ticks since boot; never 0 for a real process */
};

/* Start time of `pid`, or -ESRCH; a zombie counts as there. */
int kmr_proc_read(pid_t pid, struct kmr_proc *ret_proc);

/*
 * The running QEMU of a libvirt domain, without libvirt: from
 * RUNDIR/NAME.pid (`rundir` NULL: /run/libvirt/qemu), verified by its command
 * line (`-name guest=NAME`) and, when `uuid` is not NULL, `-uuid UUID`.
 * Returns 0, -ENOENT (no pid file), -ESRCH (no such process, or the pid now
 * belongs to something else), or another -errno.
 */
int kmr_proc_of_domain(const char *rundir, const char *name, const char *uuid,
                       struct kmr_proc *ret_proc);

/* 1 alive (and the same process), 0 gone or a zombie, or -errno. */
int kmr_proc_alive(const struct kmr_proc *proc);

/* A pidfd that certainly is of this process, or -ESRCH or another -errno. */
int kmr_proc_open(const struct kmr_proc *proc);

/*
 * SIGKILL through a pidfd, after the start time was compared while the pidfd
 * held the process: never hits a stranger. Never blocks, needs no libvirtd.
 * Returns 0 (sent), -ESRCH (gone already, or another process by now: for the
 * caller both mean "it is dead") or another -errno. Sent is not dead: wait
 * for kmr_pidwatch.
 */
int kmr_proc_kill(const struct kmr_proc *proc);

struct kmr_pidwatch;

/* Called once, in the loop, when the process is dead (see above). */
typedef void (*kmr_pidwatch_cb)(const struct kmr_proc *proc, void *user);

/*
 * Watches a process. The callback never comes from inside this call. Returns
 * 0, -ESRCH when it is dead already (then there is no callback), or -errno.
 * After the callback the watch is freed; `*ret_watch` is then invalid.
 */
int kmr_pidwatch_start(qb_loop_t *loop, const struct kmr_proc *proc,
                       kmr_pidwatch_cb cb, void *user,
                       struct kmr_pidwatch **ret_watch);

/* Ends the watch without a callback. NULL is allowed. */
void kmr_pidwatch_stop(struct kmr_pidwatch *watch);

#endif
