/* SPDX-License-Identifier: ISC */
/*
 * The part of vm_plan_set that gives a VM another name. The row has it first, and with it everything that goes by
 * names: DNS, known_hosts, what clients are told. Then a running guest is told; one that was not reached takes it at
 * its next start.
 */
#include "common/log.h"
#include "daemon/engine.h"
#include "daemon/vm/vm_plan.h"
#include "daemon/vm/vm_tell.h"

enum { GUEST_S = 30 };

int vm_step_rename(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;
	const struct vm *other;

	if (!task->settings.name)
		return 0;
	op_set_text(op, "changing its name");
	other = vms_find(task->engine->vms, task->settings.name);
	if (other && other != vm) /* made since the request was checked */
		return bg_err_set(err, BG_ERR_VM_NAME_TAKEN, EEXIST,
			"there is a VM named \"%s\" already", task->settings.name);
	log_msg(LOG_INFO, "vm", "another name", "vm", vm->row->name, "name", task->settings.name,
		NULL);
	vm_rename(vm, &task->settings.name);
	task->settings.renamed = true;
	return 0;
}

void vm_rename_undo(struct vm_task *task)
{
	if (task->settings.renamed)
		vm_rename(task->vm, &task->settings.name);
	task->settings.renamed = false;
}

/* err is taken. */
static void fail_later(struct vm_task *task, struct bg_err *err)
{
	const char *name = task->vm->row->name;

	bg_err_context(&err, "VM \"%s\" has its new name, and its guest does not know", name);
	bg_err_hint(&err, "it takes it at its next start: `banger vm restart %s`", name);
	op_step_failed(task->op, err);
}

static void on_told(struct vm_task *task, struct bg_err *err)
{
	if (err)
		fail_later(task, err);
	else
		op_step_done(task->op);
}

int vm_step_tell_name(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;
	const char *const argv[] = {vm->row->name, vm->row->address, NULL}, *const env[] = {NULL};
	const struct bg_exec exec = {
		.kind = BG_AGENT_K_NAME, .workdir = "/", .argv = argv, .env = env};
	struct bg_err *failed = NULL;

	(void)err;
	if (!task->settings.renamed)
		return 0;
	/* It stays, whatever comes, and all else with it. */
	task->settings.swapped = task->settings.renamed = task->settings.published =
		task->settings.reached = false;
	keys_touch(task->engine->keys);
	if (!vm->vmm)
		return 0;
	op_set_text(op, "telling the guest its name");
	if (vm_tell_guest(task, &exec, GUEST_S, on_told, &failed) >= 0)
		return OP_WAIT;
	bg_err_context(
		&failed, "VM \"%s\" has its new name, and its guest does not know", vm->row->name);
	bg_err_hint(
		&failed, "it takes it at its next start: `banger vm restart %s`", vm->row->name);
	*err = failed;
	return -EIO;
}
