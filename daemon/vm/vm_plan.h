/* SPDX-License-Identifier: ISC */
/*
 * vm_plan.h: what the files of the plans share (create, start, stop, delete). A task is the
 * context of one operation on one VM: the VM, the parameters of the request, and the one thing
 * that its present step waits for.
 */
#ifndef BG_DAEMON_VM_VM_PLAN_H
#define BG_DAEMON_VM_VM_PLAN_H

#include "common/priv_proto.h"
#include "daemon/driver/disk.h"
#include "daemon/driver/guest.h"
#include "daemon/driver/net.h"
#include "daemon/driver/storage.h"
#include "daemon/driver/vmm.h"
#include "daemon/op/op.h"
#include "daemon/vm/boot_gate.h"
#include "daemon/vm/vm.h"
#include "daemon/vm/vm_set.h"

struct vm_keeping;

struct vm_task {
	struct engine *engine;
	struct vm *vm; /* NULL once it was removed */
	struct op *op;
	enum vm_state before; /* the request */
	unsigned stop_timeout_s;
	int signo;
	struct net_reach reach;	     /* wanted */
	bool own_disk;		     /* no overlay of the disk helper's for the VM that is made */
	struct vm_settings settings; /* of a SET */
	bool grown;		     /* a disk of a running VM */
	char said[256];		     /* what the guest said to what it was told (vm_tell.h) */
	void (*told)(struct vm_task *task, struct bg_err *err);
	uint64_t deadline_usec; /* of the boot */
	uint32_t wanted_flags;	/* enum bg_agent_flag: any of them ends the wait */
	struct net_card card;	/* of this start */
	/* of this start; empty: the disk is a file */
	char node[sizeof(BG_DISK_NODE_DIR) + 1 + PRIV_NAME];
	struct boot_turn *turn; /* from before the VMM until the guest is ready */
	/* of a request that waits for another operation (vm_ask.c); vm is NULL meanwhile */
	enum vm_event event;
	bool force, joins, waited, by_itself;
	bool unpaused;		    /* it stood still, and was made to go on */
	struct vm_keeping *keeping; /* of a suspend or resume, see vm_keeping.h */
	char vm_id[BG_ID_LEN + 1];
	struct op_watch *other;
	struct bg_err *failed; /* what the step will fail with, once its tap is gone */
	/* waits; freed by vm_task_forget */
	struct loop_source *timer;
	struct net_call *net_call;
	struct disk_call *disk_call;
	struct guest_call *guest_call;
	struct storage_call *clone;
	struct seed_call *seed;
	struct vmm_call *vmm_call;
	struct guest_stream *stream;
	struct job *job;
	/* Of a VM that is made; not of one step (vm_flush.c). */
	struct job *flush;	  /* runs */
	struct bg_err *flush_err; /* how it ended */
	bool flush_awaited;	  /* by the present step */
};

extern const struct op_plan vm_plan_create;	 /* made and left stopped */
extern const struct op_plan vm_plan_create_boot; /* made and started */
extern const struct op_plan vm_plan_start;
extern const struct op_plan vm_plan_stop;
extern const struct op_plan vm_plan_restart;
extern const struct op_plan vm_plan_kill;
extern const struct op_plan vm_plan_delete;
extern const struct op_plan vm_plan_set;
/* after a process that ended by itself, or because the guest rebooted */
extern const struct op_plan vm_plan_down;
extern const struct op_plan vm_plan_reboot;
extern const struct op_plan vm_plan_pause;
extern const struct op_plan vm_plan_unpause; /* the process goes on */
extern const struct op_plan vm_plan_suspend;
/* the end of a suspend, when its memory is on the disk */
extern const struct op_plan vm_plan_put_away;
extern const struct op_plan vm_plan_resume;  /* from the disk */
extern const struct op_plan vm_plan_forget;  /* a suspended VM becomes a stopped one */
extern const struct op_plan vm_plan_nothing; /* it is so already */

struct vm_task *vm_task_new(struct engine *engine, struct vm *vm);
void vm_task_free(void *task);
/* Frees whatever the present step waits for, and takes the exit hook back. */
void vm_task_forget(struct vm_task *task);
/* A call that a step waited for has ended, and with it the step; userdata is the task. err goes with the call. */
void vm_task_call_ended(struct bg_err *err, void *userdata);

/* The end of an operation for its VM: nothing is waited for, it is free for the next, its error is err (NULL clears). */
void vm_task_release(struct vm_task *task, const struct bg_err *err);
/* After adoption: NAT as each row has it. */
void vm_restore_nat(struct vm *vm);
/* A VM without a process keeps no slot: gives it back where its operation could not. */
void vm_settle(struct vm *vm);

/*
 * vm_ask without the table: starts plan on vm and binds the two. The task is taken.
 */
int vm_task_start(
	struct vm_task *task, const struct op_plan *plan, struct op **ret, struct bg_err **err);

/* Steps that several plans use; see the files that define them. */
#define VM_STEPS_START                                                                             \
	{"network", "attaching the network", false, vm_step_probe, vm_step_cancel, NULL},          \
		{"network", "attaching the network", false, vm_step_attach, vm_step_cancel,        \
			vm_step_detach},                                                           \
		{"network", "attaching the disk", false, vm_step_disk, vm_step_cancel, NULL},      \
		{"network", "turning NAT on", false, vm_step_nat, vm_step_cancel, NULL},           \
		{"network", "publishing its ports", false, vm_step_publish, NULL, NULL},           \
		{"turn", "waiting for its turn to boot", false, vm_step_turn, vm_step_cancel_turn, \
			vm_step_end_turn, .rare = true},                                           \
		{"vmm", "starting the VMM", false, vm_step_initrd, vm_step_cancel, NULL},          \
		{"vmm", "starting the VMM", true, vm_step_spawn, NULL, vm_step_kill},              \
		{"boot", "waiting for the guest", false, vm_step_wait_agent, vm_step_cancel,       \
			NULL},                                                                     \
		{"packages", "installing missing packages in the guest", false,                    \
			vm_step_wait_setup, vm_step_cancel, NULL, .rare = true},                   \
	{                                                                                          \
		"ssh", "waiting for ssh", false, vm_step_wait_ssh, vm_step_cancel, NULL            \
	}

/* The end of a creation: what was written in it is on the disk (vm_flush.c). */
#define VM_STEP_FLUSH                                                                              \
	{                                                                                          \
		"flush", "waiting for the disk", false, vm_step_flushed, vm_flush_cancel, NULL,    \
			.rare = true                                                               \
	}

/* NAT on or off: of a VM with a slot at once (OP_WAIT), else with its next start (0). */
int vm_set_nat(struct vm_task *task, struct net_reach reach, struct bg_err **err);
/* The image's file of a disk that the guest joins with it, without links in its path: *ret is the caller's. NULL: of another disk. */
int vm_disk_base(const struct vm *vm, char **ret, struct bg_err **err);
/* Bytes of the store at the beginning of its own file; 0: of another disk. */
int vm_disk_store(const struct vm *vm, uint64_t *ret, struct bg_err **err);
/* Bytes of the file that makes a root disk of mib: over a base it is not the disk's own size. */
int vm_disk_file_size(const struct vm *vm, uint64_t mib, uint64_t *ret, struct bg_err **err);

/* Steps of vm_plan_set (vm_grow.c): the files and, where there is a VMM, its disks; then the guest's file systems. */
int vm_step_grow_root(struct op *op, void *ctx, struct bg_err **err);
int vm_step_grow_work(struct op *op, void *ctx, struct bg_err **err);
int vm_step_grow_guest(struct op *op, void *ctx, struct bg_err **err);
/* The same plan (vm_rename.c): before the record, and after it. The undo is for what fails in between. */
int vm_step_rename(struct op *op, void *ctx, struct bg_err **err);
int vm_step_tell_name(struct op *op, void *ctx, struct bg_err **err);
void vm_rename_undo(struct vm_task *task);

/* Private host key of this VM, text in OpenSSH form; *ret is the caller's. */
int vm_host_key(const struct vm *vm, char **ret, struct bg_err **err);

/* Files, row and known_hosts entry of the task's VM, which is gone afterwards (task->vm is NULL). */
int vm_erase(struct vm_task *task, struct bg_err **err);

/* Begins to write the new VM's files to the disk, beside the steps that follow. */
int vm_flush_begin(struct vm_task *task, struct bg_err **err);
int vm_step_flushed(struct op *op, void *ctx, struct bg_err **err);
void vm_flush_cancel(struct op *op, void *ctx);

int vm_step_probe(struct op *op, void *ctx, struct bg_err **err);
int vm_step_attach(struct op *op, void *ctx, struct bg_err **err);
int vm_step_storage(struct op *op, void *ctx, struct bg_err **err);
int vm_step_seed(struct op *op, void *ctx, struct bg_err **err);
int vm_step_disk(struct op *op, void *ctx, struct bg_err **err);
/* Asks for the end of its slot's disk; before that of the slot. OP_WAIT when done will be called, 0 when there is none. */
int vm_disk_release(struct vm_task *task, disk_done_fn done, struct bg_err **err);
/* Disk and network of its slot. */
int vm_step_publish(struct op *op, void *ctx, struct bg_err **err);
int vm_step_nat(struct op *op, void *ctx, struct bg_err **err);
int vm_step_detach(struct op *op, void *ctx, struct bg_err **err);
int vm_step_turn(struct op *op, void *ctx, struct bg_err **err);
void vm_step_cancel_turn(struct op *op, void *ctx);
int vm_step_end_turn(struct op *op, void *ctx, struct bg_err **err);
int vm_step_initrd(struct op *op, void *ctx, struct bg_err **err);
int vm_step_spawn(struct op *op, void *ctx, struct bg_err **err);
int vm_step_kill(struct op *op, void *ctx, struct bg_err **err);
int vm_step_wait_agent(struct op *op, void *ctx, struct bg_err **err);
int vm_step_wait_setup(struct op *op, void *ctx, struct bg_err **err);
int vm_step_wait_ssh(struct op *op, void *ctx, struct bg_err **err);
/* VM_STATE, NO_SPACE: may it be paused, or suspended, now? */
int vm_check_still(const struct vm *vm, enum vm_event event, struct bg_err **err);
/* The end of a step that waited for the VMM; userdata is the task. */
void vm_vmm_done(const struct bg_err *err, void *userdata);
/* A guest that stands still by its user's wish goes on, so that it can be asked to shut down. */
int vm_step_unpause(struct op *op, void *ctx, struct bg_err **err);
/* Its process ended while an operation worked on it: says why, and what becomes of it. */
void vm_note_gone(struct vm *vm);
/* A digest of what a start of this VM would give its VMM now. */
int vm_machine_of(const struct vm_task *task, char ret[VMM_MACHINE_TEXT], struct bg_err **err);
/* Starts its VMM, which the VM then holds. kept NULL: a boot, with the VMM that is chosen now. */
int vm_spawn(struct vm_task *task, const struct vmm_kept *kept, struct bg_err **err);
/* Would this signal end a VMM? The others (STOP, CONT, USR1, ...) are sent and not waited for. */
bool vm_signal_ends(int signo);
int vm_step_shutdown(struct op *op, void *ctx, struct bg_err **err);
void vm_step_cancel(struct op *op, void *ctx);
/* Puts the VM into the state that its process says it is in, and publishes the record as result. */
void vm_finish_boot(struct op *op, void *ctx, const struct bg_err *err);

#endif
