/* SPDX-License-Identifier: ISC */
/* vm_tell.h: a step of a plan has the agent of a running VM do something, and waits for the end of it. */
#ifndef BG_DAEMON_VM_VM_TELL_H
#define BG_DAEMON_VM_VM_TELL_H

#include "common/agent_exec.h"
#include "daemon/vm/vm_plan.h"

/* err NULL: it is done; else taken, and says what the guest said, or that it did not answer. */
typedef void (*vm_told_fn)(struct vm_task *task, struct bg_err *err);

/*
 * One exec at a time for a task. Everything of it is borrowed for the call. 0: done comes later, once, unless
 * vm_task_forget comes first.
 */
int vm_tell_guest(struct vm_task *task, const struct bg_exec *exec, unsigned seconds,
	vm_told_fn done, struct bg_err **err);

#endif
