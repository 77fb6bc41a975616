/* SPDX-License-Identifier: ISC */
/* A VM that stands still by its user's wish, and goes on: the plans of pause and of resume from there. */
#include "common/log.h"
#include "daemon/driver/vmm.h"
#include "daemon/engine.h"
#include "daemon/vm/gap.h"
#include "daemon/vm/revive.h"
#include "daemon/vm/vm_plan.h"

/* These lose every connection to the guest's agent with a pause. */
static const char *const forgetful[] = {"1.16.0", "1.16.1"};

static int check_version(const struct vm *vm, struct bg_err **err)
{
	const struct vmm_choice *choice = vmm_probe_choice(vm->engine->probe);
	const struct vmm_driver *driver = vmm_driver_of(vm->vmm);

	if (driver != &vmm_firecracker || !choice || choice->driver != driver)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(forgetful); i++) {
		if (!bg_streq(choice->version, forgetful[i]))
			continue;
		bg_err_set(err, BG_ERR_VM_STATE, ENOTSUP,
			"VM \"%s\" would lose its agent: Firecracker %s cannot pause",
			vm->row->name, forgetful[i]);
		bg_err_hint(err,
			"put Firecracker 1.16.2 or newer in its place, then `banger vm "
			"restart %s`",
			vm->row->name);
		return -ENOTSUP;
	}
	return 0;
}

static int check_keep(const struct vm *vm, struct bg_err **err)
{
	const char *name = vm->row->name, *why = vmm_driver_of(vm->vmm)->why_not_keep;

	if (why) {
		bg_err_set(err, BG_ERR_VM_STATE, ENOTSUP, "VM \"%s\" cannot be suspended: %s", name,
			why);
		bg_err_hint(err, "`banger vm pause %s` keeps it in memory", name);
		return -ENOTSUP;
	}
	if (vm->paused) {
		bg_err_set(err, BG_ERR_NO_SPACE, ENOSPC,
			"VM \"%s\" is paused for want of room on the disk, which its memory would "
			"need",
			name);
		bg_err_hint(err, "free some room in %s", vm->engine->paths->state_dir);
		return -ENOSPC;
	}
	if (vm->row->machine)
		return 0;
	bg_err_set(err, BG_ERR_VM_STATE, ENOTSUP,
		"VM \"%s\" was started by an older banger, which kept no hold on its memory", name);
	bg_err_hint(err, "`banger vm restart %s` once", name);
	return -ENOTSUP;
}

int vm_check_still(const struct vm *vm, enum vm_event event, struct bg_err **err)
{
	int r = vm->vmm ? check_version(vm, err)
			: bg_err_set(err, BG_ERR_VM_STATE, EINVAL, "VM \"%s\" is not running",
				  vm->row->name);

	return r < 0 || event != VM_EV_SUSPEND ? r : check_keep(vm, err);
}

void vm_vmm_done(const struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;
	struct bg_err *failed = bg_err_copy(err);

	vm_task_forget(task); /* err goes with the call */
	if (failed)
		op_step_failed(task->op, failed);
	else
		op_step_done(task->op);
}

void vm_note_gone(struct vm *vm)
{
	_err_ struct bg_err *gone = NULL;

	vm_exit_error(vm, vm->exit_status, &gone);
	vm_set_error(vm, vm->exit_status == 0 ? NULL : gone);
	vm_move(vm, VM_EV_DOWN);
	revive_ended(vm, vm_ended_badly(vm, vm->exit_status));
}

static int say_gone(const struct vm *vm, struct bg_err **err)
{
	vm_exit_error(vm, vm->exit_status, err);
	return -ESRCH;
}

/* Of space.c: what it has asked for is overruled. */
static void take_over(struct vm *vm)
{
	vmm_call_free(TAKE_PTR(vm->space_call));
	vm->paused = false;
}

/* It may have been stopped all the same. */
static void on_undone(const struct bg_err *err, void *userdata)
{
	(void)err;
	vm_task_forget(userdata);
	op_step_done(((struct vm_task *)userdata)->op);
}

static int undo_pause(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;
	int r;

	(void)op;
	vm_task_forget(task);
	if (!vm->vmm)
		return 0;
	r = vmm_send_command(vm->vmm, VMM_RESUME, on_undone, task, &task->vmm_call, err);
	return r < 0 ? r : OP_WAIT;
}

static int step_pause(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;
	int r;

	(void)op;
	if (!vm->vmm)
		return say_gone(vm, err);
	take_over(vm);
	r = vmm_send_command(vm->vmm, VMM_PAUSE, vm_vmm_done, task, &task->vmm_call, err);
	return r < 0 ? r : OP_WAIT;
}

static void on_unpaused(const struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;

	if (!err) {
		task->unpaused = true;
		vm_gap(task->vm, GAP_RESUME);
	}
	vm_vmm_done(err, task);
}

static int step_go_on(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;
	int r;

	(void)op;
	if (!vm->vmm)
		return say_gone(vm, err);
	r = vmm_send_command(vm->vmm, VMM_RESUME, on_unpaused, task, &task->vmm_call, err);
	return r < 0 ? r : OP_WAIT;
}

/* One that does not go on is killed by the step after this. */
static void on_asked(const struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;

	if (err)
		log_err(LOG_WARN, "vm", task->vm->row->name, err);
	else
		vm_gap(task->vm, GAP_RESUME);
	task->unpaused = !err;
	vm_task_forget(task);
	op_step_done(task->op);
}

int vm_step_unpause(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;

	(void)op;
	if (!vm->vmm || task->before != VM_PAUSED)
		return 0;
	return vmm_send_command(vm->vmm, VMM_RESUME, on_asked, task, &task->vmm_call, err) < 0
		       ? -EIO
		       : OP_WAIT;
}

static void finish_pause(struct op *op, void *ctx, const struct bg_err *err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;

	vm_task_release(task, err);
	if (!vm->vmm)
		vm_note_gone(vm);
	else if (err)
		vm_move(vm, VM_EV_STILL_UP);
	else
		vm_save(vm);
	if (!err)
		op_set_result(op, vm_to_json(vm));
	vm_settle(vm);
}

/* Also of a suspend that an earlier daemon did not come to the end of. */
static void finish_unpause(struct op *op, void *ctx, const struct bg_err *err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;

	vm_task_release(task, err);
	if (!vm->vmm)
		vm_note_gone(vm);
	else if (!task->unpaused)
		vm_move(vm, VM_EV_STILL_PAUSED);
	else
		vm_move(vm, vm->row->state == VM_RESUMING ? VM_EV_UP : VM_EV_STILL_UP);
	if (!err)
		op_set_result(op, vm_to_json(vm));
	vm_settle(vm);
}

static const struct op_step pause_steps[] = {
	{"pause", "stopping the guest's processors", false, step_pause, vm_step_cancel, undo_pause},
};

const struct op_plan vm_plan_pause = {
	.kind = "vm.pause",
	.acts_first = true,
	.steps = pause_steps,
	.n_steps = ARRAY_SIZE(pause_steps),
	.finish = finish_pause,
	.ctx_free = vm_task_free,
};

static const struct op_step unpause_steps[] = {
	{"resume", "letting the guest go on", false, step_go_on, vm_step_cancel, NULL},
};

const struct op_plan vm_plan_unpause = {
	.kind = "vm.resume",
	.acts_first = true,
	.steps = unpause_steps,
	.n_steps = ARRAY_SIZE(unpause_steps),
	.finish = finish_unpause,
	.ctx_free = vm_task_free,
};
