/* SPDX-License-Identifier: ISC */
/* The context that the plans of a VM share: made, bound to its VM, dropped. See vm_plan.h. */
#include "common/log.h"
#include "daemon/asset/seed.h"
#include "daemon/engine.h"
#include "daemon/vm/vm_keeping.h"
#include "daemon/vm/vm_plan.h"

struct vm_task *vm_task_new(struct engine *engine, struct vm *vm)
{
	struct vm_task *task = calloc(1, sizeof(*task));

	if (!task)
		return NULL;
	task->engine = engine;
	task->vm = vm;
	task->stop_timeout_s = BG_STOP_TIMEOUT_S;
	return task;
}

void vm_task_forget(struct vm_task *task)
{
	loop_source_free(TAKE_PTR(task->timer));
	net_call_free(TAKE_PTR(task->net_call));
	disk_call_free(TAKE_PTR(task->disk_call));
	guest_call_free(TAKE_PTR(task->guest_call));
	storage_call_free(TAKE_PTR(task->clone));
	seed_call_free(TAKE_PTR(task->seed));
	vmm_call_free(TAKE_PTR(task->vmm_call));
	guest_stream_free(TAKE_PTR(task->stream));
	job_free(TAKE_PTR(task->job));
	op_watch_free(TAKE_PTR(task->other));
	if (!task->vm)
		return;
	task->vm->on_exit = NULL;
	task->vm->on_guest = NULL;
}

void vm_task_call_ended(struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;
	struct bg_err *failed = bg_err_copy(err);

	vm_task_forget(task);
	if (failed)
		op_step_failed(task->op, failed);
	else
		op_step_done(task->op);
}

void vm_task_free(void *userdata)
{
	struct vm_task *task = userdata;

	if (!task)
		return;
	vm_task_forget(task);
	boot_turn_free(task->turn);
	job_free(task->flush);
	bg_err_free(task->flush_err);
	bg_err_free(task->failed);
	vm_settings_clear(&task->settings);
	vm_keeping_free(task->keeping);
	if (task->vm && task->vm->op == task->op)
		task->vm->op = NULL;
	free(task);
}

int vm_task_start(
	struct vm_task *task, const struct op_plan *plan, struct op **ret, struct bg_err **err)
{
	struct vm *vm = task->vm;
	int r = op_start(task->engine->ops, plan, vm->row->name, task, ret, err);

	if (r < 0)
		return r;
	task->op = *ret;
	vm->op = *ret;
	return 0;
}

void vm_task_release(struct vm_task *task, const struct bg_err *err)
{
	struct vm *vm = task->vm;

	vm_task_forget(task);
	vm->op = NULL;
	if (vm->paused)
		return; /* why it stands still is more than how the operation ended */
	vm_set_error(vm, err && err->code != BG_ERR_CANCELLED ? err : NULL);
}

void vm_settle(struct vm *vm)
{
	struct vm_task *task;
	struct op *op;

	if (vm->vmm || vm->row->slot < 0 || vm->op)
		return;
	task = vm_task_new(vm->engine, vm);
	if (task)
		(void)vm_task_start(task, &vm_plan_down, &op, NULL);
}

static void finish_nothing(struct op *op, void *ctx, const struct bg_err *err)
{
	struct vm_task *task = ctx;

	(void)err;
	task->vm->op = NULL;
	op_set_result(op, vm_to_json(task->vm));
}

const struct op_plan vm_plan_nothing = {
	.kind = "vm.nothing",
	.acts_first = true,
	.finish = finish_nothing,
	.ctx_free = vm_task_free,
};
