/* SPDX-License-Identifier: ISC */
/* What one VM reaches, by NAT and of its peers: a step of every start and of `vm set`, and what follows an adoption. */
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
	task->vm->row->nat = task->reach.nat;
	task->vm->row->peers = task->reach.peers;
	op_step_done(task->op);
}

static int ask_helper(struct vm_task *task, struct bg_err **err)
{
	int r = net_nat(task->engine->net, (unsigned)task->vm->row->slot, task->reach, on_nat, task,
		&task->net_call, err);

	return r < 0 ? r : OP_WAIT;
}

static struct net_reach reach_of(const struct vm *vm)
{
	return (struct net_reach){.nat = vm->row->nat, .peers = vm->row->peers};
}

/* A fresh slot has none. */
int vm_step_nat(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	(void)op;
	task->reach = reach_of(task->vm);
	return task->reach.nat || task->reach.peers ? ask_helper(task, err) : 0;
}

int vm_set_nat(struct vm_task *task, struct net_reach reach, struct bg_err **err)
{
	task->reach = reach;
	if (task->vm->row->slot >= 0)
		return ask_helper(task, err);
	task->vm->row->nat = reach.nat; /* the next start does the rest */
	task->vm->row->peers = reach.peers;
	return 0;
}

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
	if (net_nat(vm->engine->net, (unsigned)vm->row->slot, reach_of(vm), on_restored, vm,
		    &vm->nat_call, &err) < 0)
		log_err(LOG_WARN, "vm", vm->row->name, err);
}
