/* SPDX-License-Identifier: ISC */
/* The plans that take a VM down: stop, restart, kill, delete, and what follows a process that ended
 * by itself. */
#include <signal.h>

#include "common/log.h"
#include "daemon/driver/vmm.h"
#include "daemon/engine.h"
#include "daemon/vm/vm_plan.h"

static void on_down(struct vm *vm, int status, void *userdata)
{
	struct vm_task *task = userdata;

	(void)vm;
	(void)status;
	vm_task_forget(task);
	op_step_done(task->op);
}

static void watch_exit(struct vm_task *task)
{
	task->vm->on_exit = on_down;
	task->vm->on_exit_data = task;
}

/* Too late for a clean end: the next step of the plan kills. */
static void on_stop_late(void *userdata)
{
	struct vm_task *task = userdata;

	log_msg(LOG_WARN, "vm", "the guest did not shut down in time and is killed", "vm",
		task->vm->row->name, NULL);
	vm_task_forget(task);
	op_step_done(task->op);
}

static void on_shutdown_begun(const struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;

	if (!err)
		return; /* now its exit is waited for */
	log_err(LOG_WARN, "vm", task->vm->row->name, err);
	vm_task_forget(task);
	op_step_done(task->op);
}

/* Clean shutdown through the agent. Ends well in every case: what still runs is killed by the step
 * after it. */
int vm_step_shutdown(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	uint64_t usec = task->stop_timeout_s * UINT64_C(1000000);
	struct vm *vm = task->vm;
	int r;

	if (!vm->vmm)
		return 0;
	if (vm->paused) {
		op_set_text(op, "the VM is paused for want of space: ending the VMM");
		return 0;
	}
	if (!vm->guest || !guest_connected(vm->guest)) {
		op_set_text(op, "the agent does not answer: ending the VMM");
		return 0;
	}
	r = guest_shutdown(vm->guest, BG_AGENT_POWEROFF, usec, on_shutdown_begun, task,
		&task->guest_call, err);
	if (r < 0)
		return r;
	r = loop_add_timer(task->engine->loop, "vm-stop", usec, on_stop_late, task, &task->timer);
	if (r < 0) {
		vm_task_forget(task);
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "timer");
	}
	watch_exit(task);
	return OP_WAIT;
}

static void on_signal_late(void *userdata)
{
	struct vm_task *task = userdata;

	vm_task_forget(task);
	op_step_done(task->op);
}

bool vm_signal_ends(int signo)
{
	return signo == SIGKILL || signo == SIGTERM || signo == SIGINT || signo == SIGQUIT ||
	       signo == SIGHUP || signo == SIGABRT;
}

static int step_signal(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;
	int r;

	(void)op;
	if (!vm->vmm)
		return 0;
	r = vmm_signal(vm->vmm, task->signo);
	if (r < 0 && r != -ESRCH)
		return bg_err_sys(err, BG_ERR_VMM_FAILED, -r, "send signal %d to the VMM of \"%s\"",
			task->signo, vm->row->name);
	if (!vm_signal_ends(task->signo))
		return 0;
	r = loop_add_timer(task->engine->loop, "vm-signal", BG_KILL_TIMEOUT_S * UINT64_C(1000000),
		on_signal_late, task, &task->timer);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "timer");
	watch_exit(task);
	return OP_WAIT;
}

/* After `kill`: its network goes only when the process went. */
static int step_detach_if_down(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	return task->vm->vmm ? 0 : vm_step_detach(op, ctx, err);
}

static void finish_stop(struct op *op, void *ctx, const struct bg_err *err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;

	vm_task_release(task, err);
	if (vm->row->state == VM_STOPPING)
		vm_move(vm, !vm->vmm					   ? VM_EV_DOWN
			    : task->before == VM_PAUSED && !task->unpaused ? VM_EV_STILL_PAUSED
									   : VM_EV_STILL_UP);
	else
		vm_save(vm);
	if (!err)
		op_set_result(op, vm_to_json(vm));
	vm_settle(vm);
}

static int step_down(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	(void)op;
	(void)err;
	vm_move(task->vm, VM_EV_DOWN);
	vm_move(task->vm, VM_EV_BOOT);
	return 0;
}

static void finish_restart(struct op *op, void *ctx, const struct bg_err *err)
{
	struct vm_task *task = ctx;

	if (task->vm->row->state == VM_STOPPING)
		finish_stop(op, ctx, err);
	else
		vm_finish_boot(op, ctx, err);
}

static int step_erase(struct op *op, void *ctx, struct bg_err **err)
{
	(void)op;
	return vm_erase(ctx, err);
}

/* Failed deletions stay in state deleting: another delete, or the next start of the daemon, goes on
 * with it. */
static void finish_delete(struct op *op, void *ctx, const struct bg_err *err)
{
	struct vm_task *task = ctx;

	if (!task->vm)
		return;
	vm_task_release(task, err);
	/* not even the intent could be recorded */
	if (err && !op_began(op))
		task->vm->row->state = (int)task->before;
	vm_save(task->vm);
}

static void finish_down(struct op *op, void *ctx, const struct bg_err *err)
{
	struct vm_task *task = ctx;

	(void)op;
	(void)err;
	vm_task_release(task, task->vm->error);
	vm_save(task->vm);
}

#define STEPS_STOP                                                                                 \
	{"shutdown", "letting the guest go on", false, vm_step_unpause, vm_step_cancel, NULL,      \
		.rare = true},                                                                     \
		{"shutdown", "asking the guest to shut down", false, vm_step_shutdown,             \
			vm_step_cancel, NULL},                                                     \
		{"shutdown", "ending the VMM", false, vm_step_kill, NULL, NULL},                   \
	{                                                                                          \
		"network", "detaching the network", false, vm_step_detach, NULL, NULL              \
	}

static const struct op_step stop_steps[] = {STEPS_STOP};

const struct op_plan vm_plan_stop = {
	.kind = "vm.stop",
	.acts_first = true,
	.steps = stop_steps,
	.n_steps = ARRAY_SIZE(stop_steps),
	.finish = finish_stop,
	.ctx_free = vm_task_free,
	.after_cancel = "the guest was already asked to shut down and may still do so",
};

static const struct op_step restart_steps[] = {
	STEPS_STOP,
	{"network", "detaching the network", true, step_down, NULL, NULL},
	VM_STEPS_START,
};

const struct op_plan vm_plan_restart = {
	.kind = "vm.restart",
	.steps = restart_steps,
	.n_steps = ARRAY_SIZE(restart_steps),
	.finish = finish_restart,
	.ctx_free = vm_task_free,
	.after_cancel = "the guest may already have been asked to shut down",
};

static const struct op_step kill_steps[] = {
	{"kill", "sending the signal", false, step_signal, vm_step_cancel, NULL},
	{"network", "detaching the network", false, step_detach_if_down, NULL, NULL},
};

const struct op_plan vm_plan_kill = {
	.kind = "vm.kill",
	.acts_first = true,
	.steps = kill_steps,
	.n_steps = ARRAY_SIZE(kill_steps),
	.finish = finish_stop,
	.ctx_free = vm_task_free,
	.after_cancel = "the signal was already sent",
};

static const struct op_step delete_steps[] = {
	{"kill", "ending the VMM", true, vm_step_kill, NULL, NULL},
	{"network", "detaching the network", true, vm_step_detach, NULL, NULL},
	{"delete", "removing the disks", true, step_erase, NULL, NULL},
};

const struct op_plan vm_plan_delete = {
	.kind = "vm.delete",
	.frees = true,
	.steps = delete_steps,
	.n_steps = ARRAY_SIZE(delete_steps),
	.finish = finish_delete,
	.ctx_free = vm_task_free,
	.after_cancel = "delete the VM again to remove what is left",
};

static const struct op_step down_steps[] = {
	{"network", "detaching the network", false, vm_step_detach, NULL, NULL},
};

const struct op_plan vm_plan_down = {
	.kind = "vm.down",
	.acts_first = true,
	.steps = down_steps,
	.n_steps = ARRAY_SIZE(down_steps),
	.finish = finish_down,
	.ctx_free = vm_task_free,
};

static const struct op_step reboot_steps[] = {
	{"network", "detaching the network", false, vm_step_detach, NULL, NULL},
	VM_STEPS_START,
};

const struct op_plan vm_plan_reboot = {
	.kind = "vm.reboot",
	.steps = reboot_steps,
	.n_steps = ARRAY_SIZE(reboot_steps),
	.finish = vm_finish_boot,
	.ctx_free = vm_task_free,
};
