/* SPDX-License-Identifier: ISC */
/*
 * Resume of a suspended VM: what it was kept as is looked at, copied into files in memory while it is hashed, and
 * given to a new VMM, which waits. `saved` goes out of the row, and only then the guest goes on: from
 * that moment its disks change, and what was saved belongs to disks that no longer exist. What does not fit is never given to a
 * VMM: the VM boots from its disks instead, and says why.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "common/log.h"
#include "daemon/driver/vmm.h"
#include "daemon/engine.h"
#include "daemon/trash.h"
#include "daemon/vm/gap.h"
#include "daemon/vm/revive.h"
#include "daemon/vm/vm_keeping.h"
#include "daemon/vm/vm_plan.h"

/* From here on the steps that go on from the saved memory do nothing. */
static void give_up(struct vm_task *task, const char *why)
{
	struct vm_keeping *k = task->keeping;

	if (k->cold)
		return;
	k->cold = true;
	if (why != k->why)
		snprintf(k->why, sizeof(k->why), "%s", why);
	log_msg(LOG_WARN, "vm", "does not go on from its saved memory", "vm", task->vm->row->name,
		"why", k->why, NULL);
}

static void on_program_hashed(const json_t *result, struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;
	const json_t *digests = json_object_get(result, "digests");

	if (digests && !vm_saved_binary_is(task->vm, json_string_value(json_array_get(digests, 0))))
		give_up(task, "its VMM's program is another one now");
	vm_task_call_ended(err, task);
}

static int hash_program(struct vm_task *task, const char *path, struct bg_err **err)
{
	struct vm_keeping *k = task->keeping;
	int r;

	k->exe = open(path, O_RDONLY | O_CLOEXEC);
	if (k->exe < 0)
		return bg_err_sys(err, BG_ERR_VMM_MISSING, errno, "open %s", path);
	r = job_start(task->engine->jobs, JOB_DIGEST, json_object(), &k->exe, 1, NULL,
		on_program_hashed, task, &task->job, err);
	return r < 0 ? r : OP_WAIT;
}

static int step_fits(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	const struct vmm_choice *choice = vmm_probe_choice(task->engine->probe);
	int r;

	(void)op;
	task->keeping = vm_keeping_new();
	if (!task->keeping)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (!choice->driver) {
		*err = bg_err_copy(choice->err);
		return -ENOENT;
	}
	r = vm_saved_fits(task->vm, choice, task->keeping->why);
	if (r == 2)
		return hash_program(task, choice->binary, err);
	if (r == 0)
		give_up(task, task->keeping->why);
	return 0;
}

/* A worker that failed or was killed says nothing about the files. */
static void on_read(const json_t *result, struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;
	bool wrong = result && !vm_saved_files_are(task->vm, json_object_get(result, "files"));

	if (wrong)
		give_up(task, "the files of its memory are damaged: their digest is another one");
	vm_task_call_ended(err, task);
}

static int open_saved(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

static int step_read(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm_keeping *k = task->keeping;
	_close_ int memory = -1, devices = -1;
	int r;

	(void)op;
	if (k->cold)
		return 0;
	memory = open_saved(task->vm->paths.memory);
	devices = open_saved(task->vm->paths.devices);
	if (memory < 0 || devices < 0) {
		give_up(task, "the files of its memory cannot be opened");
		return 0;
	}
	k->memory = memfd_create("guest memory", MFD_CLOEXEC);
	k->state = memfd_create("devices", MFD_CLOEXEC);
	if (k->memory < 0 || k->state < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, errno, "make a file in memory");
	r = job_start(task->engine->jobs, JOB_MEMORY, json_object(),
		(const int[]){memory, k->memory, devices, k->state}, 4, NULL, on_read, task,
		&task->job, err);
	return r < 0 ? r : OP_WAIT;
}

/* A step of a start, as long as the VM does not boot instead. */
#define STEP_IF_WARM(name, step)                                                                   \
	static int name(struct op *op, void *ctx, struct bg_err **err)                             \
	{                                                                                          \
		const struct vm_task *task = ctx;                                                  \
                                                                                                   \
		return task->keeping->cold ? 0 : step(op, ctx, err);                               \
	}
STEP_IF_WARM(warm_attach, vm_step_attach)
STEP_IF_WARM(warm_disk, vm_step_disk)
STEP_IF_WARM(warm_nat, vm_step_nat)
STEP_IF_WARM(warm_publish, vm_step_publish)
STEP_IF_WARM(warm_initrd, vm_step_initrd)

static int step_same(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm_keeping *k = task->keeping;
	char machine[VMM_MACHINE_TEXT];
	int r;

	(void)op;
	if (k->cold)
		return 0;
	r = vm_machine_of(task, machine, err);
	if (r >= 0 && !vm_saved_machine_is(task->vm, machine, k->why))
		give_up(task, k->why);
	return r;
}

static int step_spawn(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	const struct vm_keeping *k = task->keeping;
	const struct vmm_kept kept = {.memory = k->memory, .state = k->state};

	(void)op;
	return k->cold ? 0 : vm_spawn(task, &kept, err);
}

/* It refused, or is gone: then how it ended says whether it refused. */
static void on_loaded(const struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;

	if (err && err->errnum == EIO)
		give_up(task, "its VMM refused the saved state");
	else if (err && err->errnum != ETIMEDOUT)
		task->keeping->lost = true;
	vm_vmm_done(task->keeping->cold || task->keeping->lost ? NULL : err, task);
}

static int step_load(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm_keeping *k = task->keeping;
	int r;

	(void)op;
	if (k->cold)
		return 0;
	k->lost = !task->vm->vmm;
	if (k->lost)
		return 0;
	r = vmm_load(task->vm->vmm, k->state, on_loaded, task, &task->vmm_call, err);
	return r < 0 ? r : OP_WAIT;
}

/* Killed by a signal is nobody's word about the state: it stays suspended. */
static int judge(struct vm_task *task, struct bg_err **err)
{
	const struct vm *vm = task->vm;

	if (WIFEXITED(vm->exit_status) && vm->exit_status != -1) {
		give_up(task, "its VMM refused the saved state");
		return 0;
	}
	vm_exit_error(vm, vm->exit_status, err);
	return -ESRCH;
}

static void on_lost_exit(struct vm *vm, int status, void *userdata)
{
	struct vm_task *task = userdata;
	struct bg_err *err = NULL;
	int r;

	(void)vm;
	(void)status;
	vm_task_forget(task);
	r = judge(task, &err);
	if (r < 0)
		op_step_failed(task->op, err);
	else
		op_step_done(task->op);
}

static void on_lost_late(void *userdata)
{
	struct vm_task *task = userdata;
	struct bg_err *err = NULL;

	vm_task_forget(task);
	bg_err_set(&err, BG_ERR_TIMEOUT, ETIMEDOUT, "the VMM of VM \"%s\" does not answer",
		task->vm->row->name);
	op_step_failed(task->op, err);
}

static int step_judge(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	int r;

	(void)op;
	if (!task->keeping->lost)
		return 0;
	if (!task->vm->vmm)
		return judge(task, err);
	r = loop_add_timer(task->engine->loop, "vm-lost", BG_KILL_TIMEOUT_S * UINT64_C(1000000),
		on_lost_late, task, &task->timer);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "timer");
	task->vm->on_exit = on_lost_exit;
	task->vm->on_exit_data = task;
	return OP_WAIT;
}

static int cold_kill(struct op *op, void *ctx, struct bg_err **err)
{
	const struct vm_task *task = ctx;

	return task->keeping->cold ? vm_step_kill(op, ctx, err) : 0;
}

static int cold_detach(struct op *op, void *ctx, struct bg_err **err)
{
	const struct vm_task *task = ctx;

	return task->keeping->cold ? vm_step_detach(op, ctx, err) : 0;
}

/* As if it had been stopped by pulling the plug when it was suspended: that is what its disks are. */
static void boot_instead(struct vm_task *task)
{
	struct vm *vm = task->vm;
	const char *why = task->keeping->why;
	char *note = NULL;

	if (asprintf(&note, "booted from its disks: %s", why) < 0)
		note = NULL;
	free(vm->row->resume_note);
	vm->row->resume_note = note;
	if (note)
		op_set_text(task->op, note);
	vm_saved_drop(vm);
	vm_keeping_free(TAKE_PTR(task->keeping));
	vm_move(vm, VM_EV_BOOT);
	op_become(task->op, &vm_plan_start);
}

/* Intent before the guest runs: a daemon that finds the row without `saved` lets the process go on. */
static int step_take(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	if (task->keeping->cold) {
		boot_instead(task);
		return 0;
	}
	if (!task->vm->vmm) {
		vm_exit_error(task->vm, task->vm->exit_status, err);
		return -ESRCH;
	}
	task->keeping->saved = TAKE_PTR(task->vm->row->saved);
	vm_save(task->vm);
	return op_commit(op, err);
}

/* The guest has not run: it is suspended as it was. */
static int undo_take(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm_keeping *k = task->keeping;

	if (!k || k->ran || !k->saved)
		return 0;
	task->vm->row->saved = TAKE_PTR(k->saved);
	vm_save(task->vm);
	return op_commit_late(op, err);
}

static void on_goes_on(const struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;

	if (!err)
		vm_gap(task->vm, GAP_RESUME);
	vm_vmm_done(err, task);
}

static int step_go_on(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	int r;

	(void)op;
	if (!task->vm->vmm) {
		vm_exit_error(task->vm, task->vm->exit_status, err);
		return -ESRCH;
	}
	task->keeping->ran = true;
	r = vmm_send_command(task->vm->vmm, VMM_RESUME, on_goes_on, task, &task->vmm_call, err);
	return r < 0 ? r : OP_WAIT;
}

static void finish_resume(struct op *op, void *ctx, const struct bg_err *err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;

	vm_task_release(task, err);
	keys_settle(task->engine->keys);
	trash_unlink(task->engine->trash, vm->paths.initrd);
	if (vm->vmm && !vm_saved_is(vm)) {
		free(TAKE_PTR(vm->row->resume_note));
		vm_move(vm, VM_EV_UP);
	} else if (vm_saved_is(vm)) {
		vm_move(vm, VM_EV_SAVED);
	} else {
		vm_note_gone(vm);
	}
	if (!vm_saved_is(vm))
		vm_saved_sweep(vm);
	if (!err)
		op_set_result(op, vm_to_json(vm));
	vm_settle(vm);
}

static const struct op_step resume_steps[] = {
	{"check", "looking at its saved memory", false, vm_step_probe, vm_step_cancel, NULL},
	/* One that could not be ended by the suspend. */
	{"check", "looking at its saved memory", false, vm_step_kill, NULL, NULL},
	{"check", "looking at its saved memory", false, step_fits, vm_step_cancel, NULL},
	{"memory", "reading its memory", false, step_read, vm_step_cancel, NULL},
	{"network", "attaching the network", false, warm_attach, vm_step_cancel, vm_step_detach},
	{"network", "attaching the network", false, step_same, NULL, NULL},
	{"network", "attaching the disk", false, warm_disk, vm_step_cancel, NULL},
	{"network", "turning NAT on", false, warm_nat, vm_step_cancel, NULL},
	{"network", "publishing its ports", false, warm_publish, NULL, NULL},
	{"vmm", "starting the VMM", false, warm_initrd, vm_step_cancel, NULL},
	{"vmm", "starting the VMM", false, step_spawn, NULL, vm_step_kill},
	{"vmm", "giving it its memory", false, step_load, vm_step_cancel, NULL},
	{"vmm", "giving it its memory", false, step_judge, vm_step_cancel, NULL},
	{"vmm", "giving it its memory", false, cold_kill, NULL, NULL},
	{"vmm", "giving it its memory", false, cold_detach, NULL, NULL},
	{"resume", "letting the guest go on", false, step_take, NULL, undo_take},
	{"resume", "letting the guest go on", true, step_go_on, NULL, NULL},
	{"boot", "waiting for the guest", false, vm_step_wait_agent, vm_step_cancel, NULL},
	{"ssh", "waiting for ssh", false, vm_step_wait_ssh, vm_step_cancel, NULL},
};

const struct op_plan vm_plan_resume = {
	.kind = "vm.resume",
	.steps = resume_steps,
	.n_steps = ARRAY_SIZE(resume_steps),
	.finish = finish_resume,
	.ctx_free = vm_task_free,
	.after_cancel = "a guest that runs again already is ended",
};
