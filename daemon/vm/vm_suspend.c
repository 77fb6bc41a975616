/* SPDX-License-Identifier: ISC */
/*
 * Suspend: the guest is stopped, its devices' state goes into a file in memory, and with its memory, which is one
 * already, to the disk (worker/memory.c). Only then the row says so (`saved`), and after that the VMM ends. Until the
 * row has it on the disk each failure lets the guest go on, and throws the files away.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "common/log.h"
#include "daemon/driver/vmm.h"
#include "daemon/engine.h"
#include "daemon/trash.h"
#include "daemon/vm/gap.h"
#include "daemon/vm/revive.h"
#include "daemon/vm/vm_keeping.h"
#include "daemon/vm/vm_plan.h"

static int no_memory(struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

/* Before the guest is stopped for it. */
static int check_room(const struct vm *vm, int memory, struct bg_err **err)
{
	uint64_t reserve = vm->engine->config->disk_reserve_mib * MIB, room, need;
	struct statvfs fs;
	struct stat st;

	if (fstat(memory, &st) < 0 || statvfs(vm->paths.dir, &fs) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "look for room in %s", vm->paths.dir);
	need = (uint64_t)st.st_blocks * 512;
	room = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (room >= need + reserve)
		return 0;
	bg_err_set(err, BG_ERR_NO_SPACE, ENOSPC,
		"the memory of VM \"%s\" takes up to %llu MiB: %llu MiB are free, and %llu MiB are "
		"kept "
		"back",
		vm->row->name, (unsigned long long)(need / MIB), (unsigned long long)(room / MIB),
		(unsigned long long)(reserve / MIB));
	bg_err_hint(err, "free some room in %s", vm->engine->paths->state_dir);
	return -ENOSPC;
}

static int open_memory(const struct vm *vm, struct bg_err **err)
{
	int fd = vmm_open_memory(vm->vmm, vm->row->memory_mib);

	if (fd == -ENOTSUP) {
		bg_err_set(err, BG_ERR_VM_STATE, ENOTSUP,
			"VM \"%s\" was started by an older banger, which kept no hold on its "
			"memory",
			vm->row->name);
		bg_err_hint(err, "`banger vm restart %s` once", vm->row->name);
		return fd;
	}
	return fd < 0 ? bg_err_sys(err, BG_ERR_VMM_FAILED, -fd, "open the memory of VM \"%s\"",
				vm->row->name)
		      : fd;
}

static int open_exe(const struct vm *vm, struct bg_err **err)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%lld/exe", (long long)vm->row->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? bg_err_sys(err, BG_ERR_VMM_FAILED, errno, "open the program of VM \"%s\"",
				vm->row->name)
		      : fd;
}

static void on_hashed(const json_t *result, struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;
	const json_t *digests = json_object_get(result, "digests");

	if (digests)
		snprintf(task->keeping->binary, sizeof(task->keeping->binary), "%s",
			json_string_value(json_array_get(digests, 0)));
	vm_task_call_ended(err, task);
}

/* What is asked while the guest still runs. */
static int step_look(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;
	struct vm_keeping *k;
	int r;

	(void)op;
	k = task->keeping = vm_keeping_new();
	if (!k)
		return no_memory(err);
	if (!vm->vmm) {
		vm_exit_error(vm, vm->exit_status, err);
		return -ESRCH;
	}
	vm_saved_sweep(vm);
	r = k->memory = open_memory(vm, err);
	if (r >= 0)
		r = check_room(vm, k->memory, err);
	if (r >= 0)
		r = k->exe = open_exe(vm, err);
	if (r >= 0)
		r = job_start(task->engine->jobs, JOB_DIGEST, json_object(), &k->exe, 1, NULL,
			on_hashed, task, &task->job, err);
	return r < 0 ? r : OP_WAIT;
}

static int step_still(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;
	int r;

	(void)op;
	if (!vm->vmm) {
		vm_exit_error(vm, vm->exit_status, err);
		return -ESRCH;
	}
	vmm_call_free(TAKE_PTR(vm->space_call));
	r = vmm_send_command(vm->vmm, VMM_PAUSE, vm_vmm_done, task, &task->vmm_call, err);
	return r < 0 ? r : OP_WAIT;
}

static void on_went_on(const struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;

	if (err)
		log_err(LOG_ERROR, "vm", task->vm->row->name, err);
	else
		vm_gap(task->vm, GAP_RESUME);
	task->unpaused = !err;
	vm_task_forget(task);
	op_step_done(task->op);
}

static int undo_still(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;

	(void)op;
	vm_task_forget(task);
	if (!vm->vmm || task->before == VM_PAUSED)
		return 0;
	return vmm_send_command(vm->vmm, VMM_RESUME, on_went_on, task, &task->vmm_call, err) < 0
		       ? -EIO
		       : OP_WAIT;
}

static int step_state(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;
	struct vm_keeping *k = task->keeping;
	int r;

	(void)op;
	if (!vm->vmm) {
		vm_exit_error(vm, vm->exit_status, err);
		return -ESRCH;
	}
	k->state = memfd_create("devices", MFD_CLOEXEC);
	if (k->state < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, errno, "make a file in memory");
	r = vmm_save(vm->vmm, k->state, vm_vmm_done, task, &task->vmm_call, err);
	return r < 0 ? r : OP_WAIT;
}

static void on_written(const json_t *result, struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;
	struct bg_err *failed = bg_err_copy(err);

	if (!failed)
		(void)vm_saved_make(task->vm, json_object_get(result, "files"),
			task->keeping->binary, task->keeping->exe, &failed);
	vm_task_forget(task);
	if (failed) {
		bg_err_context(&failed, "save the memory of VM \"%s\"", task->vm->row->name);
		op_step_failed(task->op, failed);
	} else {
		op_step_done(task->op);
	}
}

static int make_file(const char *path, struct bg_err **err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? bg_err_sys(err, BG_ERR_IO, errno, "make %s", path) : fd;
}

static int step_write(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	const struct vm_paths *paths = &task->vm->paths;
	_close_ int memory = -1, devices = -1, dir = -1;
	int r = memory = make_file(paths->memory, err);

	(void)op;
	if (r >= 0)
		r = devices = make_file(paths->devices, err);
	if (r < 0)
		return r;
	dir = open(paths->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "open %s", paths->dir);
	r = job_start(task->engine->jobs, JOB_MEMORY, json_pack("{s:b}", "sync", true),
		(const int[]){task->keeping->memory, memory, task->keeping->state, devices, dir}, 5,
		NULL, on_written, task, &task->job, err);
	return r < 0 ? r : OP_WAIT;
}

/* A worker that is being killed may still write: its file goes after it. */
static void cancel_write(struct op *op, void *ctx)
{
	struct vm_task *task = ctx;

	(void)op;
	job_free_and_throw(TAKE_PTR(task->job), task->engine->jobs, task->vm->paths.memory);
	vm_task_forget(task);
}

/* With the process gone, what is on the disk is the VM. */
static int undo_write(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	if (task->vm->vmm || !vm_saved_is(task->vm)) {
		vm_saved_drop(task->vm);
		vm_save(task->vm);
		return op_commit_late(op, err);
	}
	return 0;
}

static int step_record(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	free(TAKE_PTR(task->vm->row->resume_note));
	vm_save(task->vm);
	return op_commit(op, err);
}

static enum vm_event still(const struct vm_task *task)
{
	return task->before == VM_PAUSED ||
			       (task->keeping && !task->unpaused && task->keeping->state >= 0)
		       ? VM_EV_STILL_PAUSED
		       : VM_EV_STILL_UP;
}

static void finish_suspend(struct op *op, void *ctx, const struct bg_err *err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;

	vm_task_release(task, err);
	if (vm->vmm)
		vm_move(vm, still(task));
	else if (vm_saved_is(vm))
		vm_move(vm, VM_EV_SAVED);
	else
		vm_note_gone(vm);
	if (!vm_saved_is(vm))
		vm_saved_sweep(vm);
	if (!err)
		op_set_result(op, vm_to_json(vm));
	vm_settle(vm);
}

/* Where it could not be ended it is tried again before the VM goes on. */
static void finish_put_away(struct op *op, void *ctx, const struct bg_err *err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;

	(void)op;
	vm_task_release(task, err);
	if (vm->row->state == VM_SUSPENDED)
		vm_save(vm);
	else
		vm_move(vm, VM_EV_SAVED);
	vm_settle(vm);
}

static int step_forget(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	vm_saved_drop(task->vm);
	vm_save(task->vm);
	return op_commit(op, err);
}

static void finish_forget(struct op *op, void *ctx, const struct bg_err *err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;

	vm_task_release(task, err);
	vm_move(vm, VM_EV_DOWN);
	if (!err)
		op_set_result(op, vm_to_json(vm));
	vm_settle(vm);
}

static const struct op_step suspend_steps[] = {
	{"check", "looking at its memory", false, step_look, vm_step_cancel, NULL},
	{"save", "stopping the guest's processors", false, step_still, vm_step_cancel, undo_still},
	{"save", "saving the state of its devices", false, step_state, vm_step_cancel, NULL},
	{"save", "writing its memory to the disk", false, step_write, cancel_write, undo_write},
	{"save", "writing its memory to the disk", false, step_record, NULL, NULL},
	{"vmm", "ending the VMM", true, vm_step_kill, NULL, NULL},
	{"network", "detaching the network", false, vm_step_detach, NULL, NULL},
};

const struct op_plan vm_plan_suspend = {
	.kind = "vm.suspend",
	.steps = suspend_steps,
	.n_steps = ARRAY_SIZE(suspend_steps),
	.finish = finish_suspend,
	.ctx_free = vm_task_free,
	.after_cancel = "the VM runs, or is suspended when its memory was on the disk already",
};

static const struct op_step put_away_steps[] = {
	{"vmm", "ending the VMM", true, vm_step_kill, NULL, NULL},
	{"network", "detaching the network", false, vm_step_detach, NULL, NULL},
};

const struct op_plan vm_plan_put_away = {
	.kind = "vm.suspend",
	.acts_first = true,
	.steps = put_away_steps,
	.n_steps = ARRAY_SIZE(put_away_steps),
	.finish = finish_put_away,
	.ctx_free = vm_task_free,
};

static const struct op_step forget_steps[] = {
	{"vmm", "ending the VMM", true, vm_step_kill, NULL, NULL},
	{"memory", "throwing its memory away", false, step_forget, NULL, NULL},
};

const struct op_plan vm_plan_forget = {
	.kind = "vm.kill",
	.steps = forget_steps,
	.n_steps = ARRAY_SIZE(forget_steps),
	.finish = finish_forget,
	.ctx_free = vm_task_free,
	.after_cancel = "its memory was already thrown away",
};
