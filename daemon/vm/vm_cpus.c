/* SPDX-License-Identifier: ISC */
/*
 * vm_cpus.c: how many processors a VM gets when nobody said it. Where one thread of the host would play them all (QEMU before 8.1
 * without KVM) it is one: each more makes such a guest slower. Chosen once, when the VM is made.
 */
#include "daemon/driver/vmm.h"
#include "daemon/engine.h"
#include "daemon/vm/vm_plan.h"

int vm_step_cpus(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	const struct vmm_choice *choice = vmm_probe_choice(task->engine->probe);
	struct vm_row *row = task->vm->row;

	(void)op;
	(void)err;
	if (!task->cpus_open || row->vcpus == 1 || !choice || !choice->driver ||
		!vmm_plays_in_one_thread(choice))
		return 0;
	row->vcpus = 1;
	row->one_cpu = true;
	vm_save(task->vm);
	return 0;
}

const char *vm_cpus_reason(const struct vm *vm)
{
	return vm->row->one_cpu && vm->row->vcpus == 1
		       ? "one, since QEMU emulates all of a guest's in one thread here; `banger "
			 "vm set --cpus` changes it"
		       : NULL;
}
