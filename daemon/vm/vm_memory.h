/* SPDX-License-Identifier: ISC */
/*
 * vm_memory.h: does memory that a guest frees go back to the host, and what bounds its VMM's? Decided at each start
 * (vm_start.c), shown with the record.
 */
#ifndef BG_DAEMON_VM_VM_MEMORY_H
#define BG_DAEMON_VM_VM_MEMORY_H

#include "common/base.h"

struct vm;
struct vmm_choice;

/* Of the VMM that runs, in its row. NONE: it was started before there was one, or nothing runs yet. */
enum vm_balloon {
	VM_BALLOON_NONE,
	VM_BALLOON_ON,
	VM_BALLOON_OFF,	   /* by the VM's own setting */
	VM_BALLOON_CONFIG, /* off by config.toml */
	VM_BALLOON_VMM,	   /* its VMM cannot */
	VM_BALLOON_MAX_
};

/* What the VM gets with its next start under that VMM. */
enum vm_balloon vm_balloon_choose(const struct vm *vm, const struct vmm_choice *choice);
/* What it has now, as a sentence; static. NULL: nothing runs. */
const char *vm_balloon_reason(const struct vm *vm);

/*
 * The VMM that has just been started is put into a scope of its own, where there is a systemd for it; nobody waits for that, and
 * without it runs as well.
 */
void vm_limits_begin(struct vm *vm);
/* What bounds the VMM that runs, as a sentence, the caller's. NULL: nothing runs. */
char *vm_limits_text(const struct vm *vm);

#endif
