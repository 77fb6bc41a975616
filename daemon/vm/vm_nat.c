/* SPDX-License-Identifier: ISC */
/* NAT of one VM: a step of every start, the plan of `vm set`, and what follows an adoption. */
#include "common/log.h"
#include "daemon/engine.h"
#include "daemon/vm/vm_plan.h"

static void on_nat(struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;
	struct bg_err *failed = bg_err_copy(err);

	vm_task_forget(task); /* err goes with the call */
	if (failed) {
		bg_err_context(&failed, "NAT of VM \"%s\" cannot be changed", task->vm->row->name);
		op_step_failed(task->op, failed);
		return;
	}
	task->vm->row->nat = task->nat;
	op_step_done(task->op);
}

static int ask_helper(struct vm_task *task, struct bg_err **err)
{
	int r = net_nat(task->engine->net, (unsigned)task->vm->row->slot, task->nat, on_nat, task,
		&task->net_call, err);

	return r < 0 ? r : OP_WAIT;
}

/* A fresh slot has none. */
int vm_step_nat(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	(void)op;
	task->nat = task->vm->row->nat;
	return task->nat ? ask_helper(task, err) : 0;
}

static int step_set(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	(void)op;
	if (task->vm->row->slot >= 0)
		return ask_helper(task, err);
	task->vm->row->nat = task->nat; /* the next start does the rest */
	return 0;
}

/* A change that failed says nothing about the VM: its error stays what it was. */
static void finish_set(struct op *op, void *ctx, const struct bg_err *err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;

	vm_task_forget(task);
	vm->op = NULL;
	if (vm->row->state == VM_RUNNING && !vm->vmm) { /* it ended meanwhile */
		_err_ struct bg_err *gone = NULL;

		vm_exit_error(vm, vm->exit_status, &gone);
		vm_set_error(vm, vm->exit_status == 0 ? NULL : gone);
		vm_move(vm, VM_EV_DOWN);
	} else {
		vm_save(vm);
	}
	if (!err)
		op_set_result(op, vm_to_json(vm));
	vm_settle(vm);
}

static const struct op_step set_steps[] = {
	{"network", "changing NAT", false, step_set, vm_step_cancel, NULL},
};

const struct op_plan vm_plan_set = {
	.kind = "vm.set",
	.steps = set_steps,
	.n_steps = ARRAY_SIZE(set_steps),
	.finish = finish_set,
	.ctx_free = vm_task_free,
};

static void on_restored(struct bg_err *err, void *userdata)
{
	struct vm *vm = userdata;

	if (err)
		log_err(LOG_WARN, "vm", vm->row->name, err);
	net_call_free(TAKE_PTR(vm->nat_call));
}

/* The helper remembers it too; only a crash between its answer and our record makes a difference.
 */
void vm_restore_nat(struct vm *vm)
{
	_err_ struct bg_err *err = NULL;

	if (vm->row->slot < 0 || !vm->vmm || vm->nat_call)
		return;
	if (net_nat(vm->engine->net, (unsigned)vm->row->slot, vm->row->nat, on_restored, vm,
		    &vm->nat_call, &err) < 0)
		log_err(LOG_WARN, "vm", vm->row->name, err);
}
