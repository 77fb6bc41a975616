/* SPDX-License-Identifier: ISC */
/* vm_memory.c: the balloon of a VM: whether its VMM has one in this run, and the words for it. */
#include "daemon/vm/vm_memory.h"

#include <assert.h>

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
