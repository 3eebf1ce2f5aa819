/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_SHELL_H
#define KMR_SHELL_H

/*
 * The shell round the core: callbacks become events, effects become calls.
 * One struct holds every handle; everything runs in the loop's thread.
 *
 *   shell.c           effects, attributes, deadlines
 *   shell_state.c     state files, and what may be said when they are written
 *   shell_vm.c        the domain and the process of a VM, libvirt's events
 *   shell_engine.c    orders to its engine
 *   shell_devices.c   which devices a QEMU has, before it is protected
 *   shell_cluster.c   messages, membership, fencing
 *   shell_guest.c     its guest: whether it runs, and why not
 *   shell_fence.c     another node is fenced, by its own kemarid
 *   shell_fenced.c    this node is fenced
 *   shell_hardware.c  what kemari-mced says of it
 *   shell_health.c    what becomes of guests when it is about to fail
 *   shell_input.c     frames that no QEMU reads
 *   shell_request.c   kemarictl and the agent
 *   shell_status.c    what is shown
 */

#include <stdbool.h>
#include <stdint.h>

#include <qb/qbloop.h>

#include "core/answer.h"
#include "core/pair.h"
#include "core/wire.h"
#include "io/attr.h"
#include "io/config.h"
#include "io/cpg.h"
#include "io/fencewatch.h"
#include "io/ipc.h"
#include "io/pidwatch.h"
#include "io/qmp.h"
#include "io/quorum.h"
#include "io/statefile.h"
#include "io/taps.h"
#include "io/virt.h"

#define KMR_VMS_MAX 256
#define KMR_RING_MAX 512      /* transitions that are kept */
#define KMR_STATUS_MS 5000u   /* between two STATUS messages, if all is calm */
#define KMR_STATUS_SOON_MS 5u /* changes are collected so long */
/* Writing the attributes takes CPU that a takeover needs: only when the pair
 * has been calm for so long, and at the latest after the longer time. */
#define KMR_PUBLISH_MS 250u
#define KMR_PUBLISH_MAX_MS 1500u
#define KMR_POLL_MS 5000u     /* the engine is asked */
#define KMR_POLL_SYNC_MS 500u /* ... while it synchronises, or is overloaded */
/* A death may yet turn out a power-off, whose SHUTDOWN comes a few ms later.
 * If even more: the standby resumes a guest that then powers itself off. */
#define KMR_GRACE_MS 2u
#define KMR_IGNORED_MS 60000u /* between two lines of ignored messages */
#define KMR_INPUT_MS 1000u    /* until the network knows a guest's new place */
#define KMR_LEAVE_MS 2000u    /* for the votes to be given up */
#define KMR_FENCE_MS 60000u   /* a node may leave so long after its fencing */
#define KMR_EXIST_MS 200u     /* libvirt still knows the old domain */
#define KMR_STATE_DIR KMR_LOCALSTATEDIR "/lib/kemari"
#define KMR_RUN_DIR "/run/kemari"
#define KMR_SEQUENCE_MAX 6

struct kmr_shell;

/* Commands to the engine, one after another, as one order. */
struct kmr_sequence {
    char text[KMR_SEQUENCE_MAX][KMR_QMP_COMMAND_MAX];
    unsigned count, at;
    unsigned may_fail; /* bit n: the engine may refuse number n */
    enum kmr_order order;
    uint32_t tag;
    bool busy;
};

struct kmr_vm {
    struct kmr_shell *shell;
    struct kmr_pair pair;
    char config[256];   /* path of the operator's XML; "" unknown */
    char resource[128]; /* Pacemaker's name; "" unknown */
    bool first_monitor; /* the next one is the first after an action */
    struct kmr_virt_worker *worker;
    struct kmr_sequence sequence;
    struct kmr_qomwalk *walk; /* its devices are looked at */
    qb_loop_timer_handle tick, poll, grace, again, publish;
    uint64_t publish_since_ms; /* something is to be published */
    uint64_t tick_ms;
    enum kmr_claim claim; /* since claim_us; in the log when it is settled */
    uint64_t claim_us;
    /* our QEMU */
    struct kmr_proc proc;
    struct kmr_pidwatch *watch;
    bool creating, killing, powered_off;
    struct kmr_taps *taps;      /* of our QEMU; NULL: not shared */
    struct kmr_taps *dead_taps; /* of the one before, until `late` */
    qb_loop_timer_handle late;
    enum kmr_engine input_engine; /* as the taps were told last */
    /* its start waits until the state file names it: that ticket, 0 if it
     * isn't handed over yet */
    bool create_waits;
    uint64_t create_ticket;
    bool blind;       /* adopted without a process: it may still be started */
    unsigned creates; /* tries */
    uint64_t create_since_ms;
    char death[KMR_REASON_MAX];
    /* its guest */
    bool asking, ask_again; /* how it is */
    bool crashed;           /* so libvirt thinks */
    char disk[64];          /* that had an error last, as libvirt calls it */
#define KMR_DUMPS_MAX 5u    /* such files of one VM */
    char dump[512];         /* the file that its memory goes to */
    /* of an invitation */
    char *xml;
    size_t xml_len;
    char address[KMR_NODE_MAX]; /* the standby's, or ours as one */
    char invite_node[KMR_NODE_MAX];
    char invite_id[KMR_UUID_MAX];
    unsigned port;              /* the last one tried */
    uint64_t polled_generation; /* the pair's, when it was asked */
    /* the engine's last answer */
    struct kmr_qmp_status engine;
    unsigned progress;
    /* what other nodes say, by index into shell->nodes */
    struct kmr_pair_status *views[KMR_CPG_NODES_MAX];
    char state_text[KMR_STATEFILE_MAX]; /* as handed over last */
    char pid_text[512];                 /* the same, of /run/kemari */
    uint64_t ticket, written;           /* of the state file */
    char id[KMR_UUID_MAX];              /* the file's, as handed over last */
    uint64_t id_ticket;
    struct kmr_outgoing *outbox; /* waits for it; the oldest first */
    bool abstains;               /* it can't be written */
    bool unread;                 /* nor may it be: it was not read yet */
    bool health_said;            /* its attribute of health is set */
};

struct kmr_node {
    uint32_t nodeid; /* 0: free */
    char name[KMR_NODE_MAX];
    uint64_t boot;
    bool present, heard;
    bool up;               /* in corosync's membership */
    uint64_t left_wall_us; /* when it left; 0: it didn't, in our time */
    uint64_t fenced_ms;    /* confirmed while it was still present */
    uint64_t joined_ms;
};

struct kmr_transition {
    uint64_t time_us, mono_us;
    char node[KMR_NODE_MAX];
    char vm[KMR_VM_MAX];
    char from[32], to[32];
    char reason[KMR_REASON_MAX];
};

struct kmr_qomwalk;
struct kmr_request; /* an agent's action that is not answered yet */
struct kmr_shell_fence;
struct kmr_shell_health;

struct kmr_shell {
    qb_loop_t *loop;
    struct kmr_config config;
    char emulator[KMR_CONFIG_TEXT]; /* "": the XML's own */
    uint64_t boot;
    struct kmr_cpg *cpg;
    struct kmr_quorum *quorum;
    struct kmr_virt *virt;
    struct kmr_attr *attr;
    struct kmr_fencewatch *fence;
    struct kmr_ipc *ipc;
    struct kmr_statefile *states, *pids;
    bool loaded; /* the state files are read */
    bool joined, quorate, synced, fence_up;
    unsigned listed; /* nodes in corosync's node list; 0: unknown */
    uint32_t up[KMR_QUORUM_NODES_MAX];
    unsigned up_count;
    uint32_t nodeid;
    struct kmr_node nodes[KMR_CPG_NODES_MAX];
    struct kmr_vm *vms[KMR_VMS_MAX];
    unsigned vm_count;
    struct kmr_transition ring[KMR_RING_MAX];
    unsigned ring_head, ring_count;
    qb_loop_timer_handle status_timer;
    uint64_t status_due_ms;
    struct kmr_request *requests;
    struct kmr_shell_fence *nodefence;
    struct kmr_shell_health *health;
    uint64_t ignored, ignored_ms; /* messages; not logged until then */
    bool ending;  /* as soon as this node's votes are given up */
    bool barred;  /* nothing starts on this node until it reboots */
    uint8_t *buf; /* KMR_WIRE_MAX */
    struct kmr_pair_status *pairs; /* KMR_WIRE_PAIRS_MAX */
    struct kmr_effects effects;
    bool stepping;
};

uint64_t kmr_now_ms(void);
uint64_t kmr_mono_us(void);
uint64_t kmr_wall_us(void);

/* ---- shell.c ---- */
struct kmr_vm *kmr_shell_vm(struct kmr_shell *shell, const char *name,
                            bool create);
/* The event's time and fresh UUID are filled in. */
void kmr_shell_step(struct kmr_vm *vm, struct kmr_event *event);
void kmr_shell_step_all(struct kmr_shell *shell, const struct kmr_event *ev);
/* Ends the loop when no VM that runs elsewhere counts on our vote; at once the
 * second time. */
void kmr_shell_leave(struct kmr_shell *shell);
/* The node attributes, soon. `anew`: the pair is not calm. */
void kmr_shell_publish(struct kmr_vm *vm, bool anew);
/*
 * An attribute of this node, after what was decided with it was begun; NULL:
 * removed. What does not go is left out.
 */
void kmr_shell_attr_later(struct kmr_shell *shell, const char *name,
                          const char *value);
int kmr_shell_timer(struct kmr_shell *shell, uint64_t ms, void *data,
                    void (*fn)(void *), qb_loop_timer_handle *ret_timer);

/* ---- shell_state.c ---- */
/* Reads the state files and adopts what runs. */
int kmr_state_load(struct kmr_shell *shell);
void kmr_state_adopt(struct kmr_vm *vm); /* what /run/kemari knows of it */
void kmr_state_write(struct kmr_vm *vm);
/* One more line of what is kept for ever: who overruled which record. */
int kmr_state_forced(const struct kmr_vm *vm);
/* The id of the state file, if that is on disk; else "". */
const char *kmr_state_id(const struct kmr_vm *vm);
/* Sent when the next kmr_state_write() is on disk, and never if it fails. */
void kmr_state_send_later(struct kmr_vm *vm, const struct kmr_msg *msg);
void kmr_state_written(const char *name, uint64_t ticket, int err, void *user);
void kmr_state_free(struct kmr_vm *vm);

/* ---- shell_engine.c ---- */
void kmr_vm_powered_off(struct kmr_vm *vm);
void kmr_vm_order(struct kmr_vm *vm, const struct kmr_effect *effect);
void kmr_vm_invite(struct kmr_vm *vm, const struct kmr_effect *effect);
void kmr_vm_poll(void *data);
bool kmr_vm_is_ours(const struct kmr_vm *vm, const char *instance);
/* ---- shell_guest.c ---- */
/* Whether the guest runs, and why not; to be asked after any event. */
void kmr_vm_ask_guest(struct kmr_vm *vm);
void kmr_guest_event(struct kmr_vm *vm, const struct kmr_virt_event *event);
/* The command of an order that is about the guest; 0 or -errno. */
int kmr_guest_order(struct kmr_vm *vm, const struct kmr_effect *effect,
                    char *ret_text, size_t size);
/* That order was answered. */
void kmr_guest_ordered(struct kmr_vm *vm, enum kmr_order order);
int kmr_guest_dump(struct kmr_vm *vm);
void kmr_guest_forget(struct kmr_vm *vm);

void kmr_vm_tell_engine(struct kmr_vm *vm, const struct kmr_qmp_status *now);
/* What `kmr_vm_invite` is for, when the devices are accepted. */
void kmr_vm_invite_now(struct kmr_vm *vm);

/* ---- shell_devices.c ---- */
/* Looks at the devices of its QEMU, then invites; or tells the core which one
 * is refused, as if the candidate had refused. */
void kmr_vm_look(struct kmr_vm *vm);
/* Its QEMU has ended: no answer will come. */
void kmr_vm_look_end(struct kmr_vm *vm);

/* ---- shell_vm.c ---- */
/* An order's end becomes an event. */
void kmr_vm_done(struct kmr_vm *vm, enum kmr_order order, uint32_t tag, bool ok,
                 bool maybe, const char *reason);
/* Queues a call to libvirt for this VM's worker. 0 or -errno. */
int kmr_vm_give(struct kmr_vm *vm, enum kmr_virt_op op, const char *text,
                bool paused, uint32_t timeout_ms, kmr_virt_cb cb);
void kmr_vm_create(void *data); /* starts the domain of vm->sequence */
/* The same, as soon as the state file is written. */
void kmr_vm_create_later(struct kmr_vm *vm, bool durable);
void kmr_vm_create_written(struct kmr_vm *vm);
void kmr_vm_kill(struct kmr_vm *vm, const struct kmr_effect *effect);
void kmr_vm_watch(struct kmr_vm *vm);
/* Its QEMU's process is not known: looks for it. False: there is none, and it
 * has been said so. */
bool kmr_vm_search(struct kmr_vm *vm);
void kmr_vm_forget(struct kmr_vm *vm); /* its process is dead */
void kmr_shell_virt_connected(bool up, const char *reason, void *user);
void kmr_shell_virt_event(const struct kmr_virt_event *event, void *user);

/* ---- shell_cluster.c ---- */
void kmr_shell_send(struct kmr_shell *shell, struct kmr_msg *msg);
void kmr_shell_status_soon(struct kmr_shell *shell);
void kmr_shell_remember(struct kmr_shell *shell, const struct kmr_msg *msg);
void kmr_shell_tell_peers(struct kmr_vm *vm);
struct kmr_node *kmr_shell_node(struct kmr_shell *shell, const char *name);
void kmr_shell_cpg_connected(bool up, uint32_t nodeid, void *user);
void kmr_shell_cpg_members(const uint32_t *ids, unsigned n, void *user);
void kmr_shell_cpg_message(uint32_t nodeid, const uint8_t *buf, size_t len,
                           void *user);
void kmr_shell_quorum(bool quorate, const uint32_t *nodeids, unsigned count,
                      unsigned listed, void *user);
unsigned kmr_shell_there(const struct kmr_shell *shell); /* kemarids */
void kmr_shell_fence_connected(bool up, const char *reason, void *user);
void kmr_shell_fenced(const struct kmr_fence_event *event, void *user);

/* ---- shell_fence.c, shell_fenced.c ---- */
int kmr_shell_fence_start(struct kmr_shell *shell); /* after the VMs */
void kmr_shell_fence_stop(struct kmr_shell *shell);
void kmr_shell_fence_ask(struct kmr_shell *shell, struct kmr_ipc_client *client,
                         int argc, const char *const *argv);
void kmr_shell_fence_message(struct kmr_shell *shell, struct kmr_node *node,
                             const struct kmr_msg *msg);
/* A message of any kind, of this boot of that node. */
void kmr_shell_fence_heard(struct kmr_shell *shell, struct kmr_node *node,
                           uint64_t boot);
void kmr_shell_fence_quit(struct kmr_shell *shell, struct kmr_node *node);
void kmr_shell_fence_lost(struct kmr_shell *shell);
/* After each step of a pair: was that the last QEMU? */
void kmr_shell_fence_check(struct kmr_shell *shell);

/* ---- shell_health.c ---- */
int kmr_shell_health_start(struct kmr_shell *shell); /* before the VMs */
void kmr_shell_health_stop(struct kmr_shell *shell);
void kmr_shell_health_ask(struct kmr_shell *shell,
                          struct kmr_ipc_client *client, int argc,
                          const char *const *argv);
void kmr_shell_health_closed(const void *connection, void *user);
/* HEALTH and MOVING, also our own */
void kmr_shell_health_message(struct kmr_shell *shell, struct kmr_node *node,
                              const struct kmr_msg *msg);
void kmr_shell_health_quit(struct kmr_shell *shell, struct kmr_node *node);
void kmr_shell_health_send(
    struct kmr_shell *shell);                  /* newcomers know nothing */
void kmr_shell_health_tell(struct kmr_vm *vm); /* a pair knows nothing yet */
/* Something has changed: is a guest to be moved? */
void kmr_shell_health_soon(struct kmr_shell *shell);
void kmr_shell_health_memory(struct kmr_vm *vm,
                             const struct kmr_virt_event *event);
/* By index into shell->nodes; -1: ours. NULL: not heard. */
const struct kmr_node_health *kmr_shell_health_of(const struct kmr_shell *shell,
                                                  int index);

/* ---- shell_input.c ---- */
void kmr_input_watch(struct kmr_vm *vm); /* its QEMU has a process */
void kmr_input_engine(struct kmr_vm *vm, enum kmr_engine engine);
void kmr_input_dead(struct kmr_vm *vm);      /* its process is dead */
void kmr_input_make_room(struct kmr_vm *vm); /* another one will start */
void kmr_input_got(struct kmr_vm *vm, const struct kmr_msg *msg);
void kmr_input_free(struct kmr_vm *vm);

/* ---- shell_request.c ---- */
/* The value of the word `name=value`, or "". */
const char *kmr_shell_value(int argc, const char *const *argv,
                            const char *name);
void kmr_shell_request(struct kmr_ipc_client *client, int argc,
                       const char *const *argv, void *user);
void kmr_shell_answer(struct kmr_vm *vm); /* who waits for this VM? */

/* ---- shell_status.c: JSON texts, to be freed ---- */
char *kmr_shell_status_json(struct kmr_shell *shell, const char *vm);
char *kmr_shell_health_json(struct kmr_shell *shell);
char *kmr_shell_events_json(struct kmr_shell *shell, const char *vm);
void kmr_vm_fill_status(struct kmr_vm *vm, struct kmr_pair_status *ret);

#endif
