/* SPDX-License-Identifier: ISC */
/* vm_memory.c: the balloon of a VM: whether its VMM has one in this run, and the words for it. */
#include "daemon/vm/vm_memory.h"

#include <assert.h>
#include <stdio.h>

#include "common/log.h"
#include "common/size.h"
#include "daemon/driver/scope.h"
#include "daemon/driver/vmm.h"
#include "daemon/engine.h"
#include "daemon/vm/vm.h"
#include "host/config.h"

static const char *const reasons[] = {
	[VM_BALLOON_NONE] = "kept until it stops: it was started without a balloon",
	[VM_BALLOON_ON] = "what the guest frees goes back to this machine",
	[VM_BALLOON_OFF] = "kept until it stops: --no-balloon",
	[VM_BALLOON_CONFIG] = "kept until it stops: balloon = false in config.toml",
	[VM_BALLOON_VMM] = "kept until it stops: Firecracker gives it back from 1.14 on",
};
static_assert(ARRAY_SIZE(reasons) == VM_BALLOON_MAX_, "one sentence per case");

enum vm_balloon vm_balloon_choose(const struct vm *vm, const struct vmm_choice *choice)
{
	if (vm->row->no_balloon)
		return VM_BALLOON_OFF;
	if (!vm->engine->config->balloon)
		return VM_BALLOON_CONFIG;
	return vmm_has_balloon(choice->driver, choice->version) ? VM_BALLOON_ON : VM_BALLOON_VMM;
}

const char *vm_balloon_reason(const struct vm *vm)
{
	unsigned balloon = (unsigned)vm->row->balloon;

	if (!vm->vmm)
		return NULL;
	return reasons[balloon < VM_BALLOON_MAX_ ? balloon : VM_BALLOON_NONE];
}

/*
 * Above this the kernel takes back what it can, the VMM's pages of the host's cache first, and slows it down. A quarter more than
 * the guest's memory, 512 MiB at least, is far above what a VMM that is well needs for itself.
 */
static uint64_t memory_high(const struct vm_row *row)
{
	uint64_t room = BG_MAX(row->memory_mib / 4, UINT64_C(512));

	return (row->memory_mib + row->code_cache_mib + room) * MIB;
}

static void on_scope(const struct bg_err *err, void *userdata)
{
	struct vm *vm = userdata;

	if (err)
		log_err(LOG_WARN, "limits", vm->row->name, err);
	vm->row->limited = !err;
	scope_call_free(TAKE_PTR(vm->scope_call)); /* err goes with it */
	vm_save(vm);
}

void vm_limits_begin(struct vm *vm)
{
	_free_ char *unit = NULL, *description = NULL;
	_err_ struct bg_err *err = NULL;
	struct scope_spec spec;

	vm->row->limited = false;
	scope_call_free(TAKE_PTR(vm->scope_call));
	if (!vm->engine->scope_socket)
		return;
	if (asprintf(&unit, "banger-vm-%.12s-%lld.scope", vm->row->id, (long long)vm->row->pid) < 0)
		return;
	if (asprintf(&description, "VM %s of banger", vm->row->name) < 0)
		return;
	spec = (struct scope_spec){.unit = unit,
		.description = description,
		.pid = (pid_t)vm->row->pid,
		.memory_high = memory_high(vm->row)};
	if (scope_start(vm->engine->loop, vm->engine->scope_socket, &spec, on_scope, vm,
		    &vm->scope_call, &err) < 0)
		log_err(LOG_WARN, "limits", vm->row->name, err);
}

char *vm_limits_text(const struct vm *vm)
{
	char high[BG_SIZE_TEXT];
	char *text = NULL;

	if (!vm->vmm)
		return NULL;
	if (!vm->row->limited)
		return strdup(vm->engine->scope_why ? vm->engine->scope_why
						    : "systemd gave it no scope of its own");
	if (asprintf(&text, "a scope of its own: memory above %s is taken back, %d tasks",
		    bg_size_print_mib(memory_high(vm->row) / MIB, high), SCOPE_TASKS_MAX) < 0)
		return NULL;
	return text;
}
