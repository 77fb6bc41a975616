/* SPDX-License-Identifier: ISC */
/*
 * What a client asks of a VM: by the table (vm_table.c) when nothing is under way on it. Else by ways[]: a start joins a
 * start, a stop or a kill ends it first and keeps the VM, a delete with force ends whatever it is. Such a
 * request is an operation of its own, which waits in its first step and then goes on with the plan that the table has for the
 * state it finds. It holds no VM meanwhile: the VM may be gone by then.
 */
#include <assert.h>
#include <signal.h>

#include "common/log.h"
#include "daemon/engine.h"
#include "daemon/vm/revive.h"
#include "daemon/vm/vm_plan.h"

enum way {
	REFUSE,
	AWAIT,	/* its end, then by the table */
	JOIN,	/* the same; how that one failed is how this one does */
	CUT,	/* ended first, what is worth keeping stays */
	CANCEL, /* ended first, and undone whole */
};

static const enum way ways[VM_STATE_MAX_][VM_EV_ASKED_MAX_ + 1] = {
	/*		 start   stop   restart kill    delete  set     pause   resume  suspend */
	[VM_CREATING] = {JOIN, CUT, AWAIT, CUT, REFUSE, REFUSE, AWAIT, JOIN, AWAIT},
	[VM_STOPPED] = {AWAIT, AWAIT, AWAIT, REFUSE, AWAIT, REFUSE, REFUSE, REFUSE, REFUSE},
	[VM_STARTING] = {JOIN, CUT, AWAIT, CUT, REFUSE, REFUSE, AWAIT, JOIN, AWAIT},
	[VM_RUNNING] = {AWAIT, AWAIT, AWAIT, CANCEL, AWAIT, REFUSE, AWAIT, AWAIT, AWAIT},
	[VM_STOPPING] = {AWAIT, AWAIT, AWAIT, CANCEL, AWAIT, REFUSE, REFUSE, REFUSE, REFUSE},
	[VM_DELETING] = {REFUSE, REFUSE, REFUSE, REFUSE, AWAIT, REFUSE, REFUSE, REFUSE, REFUSE},
	[VM_PAUSED] = {AWAIT, AWAIT, AWAIT, CANCEL, AWAIT, REFUSE, AWAIT, AWAIT, AWAIT},
	[VM_SUSPENDING] = {AWAIT, AWAIT, AWAIT, CANCEL, AWAIT, REFUSE, REFUSE, AWAIT, JOIN},
	[VM_SUSPENDED] = {AWAIT, AWAIT, AWAIT, AWAIT, AWAIT, REFUSE, REFUSE, AWAIT, AWAIT},
	[VM_RESUMING] = {JOIN, AWAIT, AWAIT, CANCEL, AWAIT, REFUSE, AWAIT, JOIN, AWAIT},
};
static_assert(VM_EV_START == 0 && VM_EV_STOP == 1 && VM_EV_RESTART == 2 && VM_EV_KILL == 3 &&
		      VM_EV_DELETE == 4 && VM_EV_SET == 5 && VM_EV_PAUSE == 6 &&
		      VM_EV_RESUME == 7 && VM_EV_SUSPEND == 8,
	"the columns of ways");

static enum vm_state state_of(const struct vm *vm)
{
	return (enum vm_state)vm->row->state;
}

static enum way way_of(const struct vm_task *task, const struct vm *vm)
{
	if (task->event == VM_EV_DELETE && task->force && state_of(vm) != VM_DELETING)
		return CANCEL;
	if (task->event == VM_EV_KILL && !vm_signal_ends(task->signo))
		return REFUSE;
	assert(task->event <= VM_EV_ASKED_MAX_);
	return ways[state_of(vm)][task->event];
}

/* A clean end needs a guest that runs; what ends it as it is says so by its name. */
static int refuse_suspended(const struct vm *vm, struct bg_err **err)
{
	const char *name = vm->row->name;

	bg_err_set(err, BG_ERR_VM_STATE, EINVAL, "VM \"%s\" is suspended", name);
	bg_err_hint(err,
		"`banger vm resume %s` first; `banger vm kill %s` throws its memory away, as "
		"pulling "
		"the plug would",
		name, name);
	return -EINVAL;
}

/* What a refused request should do instead. */
static int refuse(const struct vm *vm, enum vm_event event, struct bg_err **err)
{
	enum vm_state state = state_of(vm);

	if (state == VM_SUSPENDED)
		return refuse_suspended(vm, err);
	if (state == VM_STOPPED)
		bg_err_set(err, BG_ERR_VM_STATE, EINVAL, "VM \"%s\" is not running", vm->row->name);
	else
		bg_err_set(err, BG_ERR_VM_STATE, EINVAL, "VM \"%s\" is %s: no %s now",
			vm->row->name, vm_state_str(state), vm_event_str(event));
	return -EINVAL;
}

static int refuse_busy(const struct vm *vm, enum vm_event event, struct bg_err **err)
{
	const char *name = vm->row->name;
	bool boots = state_of(vm) == VM_STARTING || state_of(vm) == VM_CREATING;

	bg_err_set(err, BG_ERR_VM_BUSY, EBUSY,
		boots ? "VM \"%s\" is still %s" : "VM \"%s\" is %s, and operation %lld works on it",
		name, vm_state_str(state_of(vm)), (long long)op_id(vm->op));
	if (event == VM_EV_DELETE)
		bg_err_hint(err, "`banger vm delete --force %s` cancels that first", name);
	else
		bg_err_hint(
			err, "wait for it, or `banger op cancel %lld`", (long long)op_id(vm->op));
	return -EBUSY;
}

/* The VM is free: the table says what is to be done. */
static int take_over(
	struct vm_task *task, struct vm *vm, const struct op_plan **ret, struct bg_err **err)
{
	const struct vm_transition *t = vm_transition_find(state_of(vm), task->event);

	if (t) {
		*ret = t->plan;
		if (t->plan == &vm_plan_forget && !vm_signal_ends(task->signo))
			return refuse(vm, task->event, err);
		if (t->plan == &vm_plan_pause || t->plan == &vm_plan_suspend)
			return vm_check_still(vm, task->event, err);
		/* Before a restart stops it: what runs may be all that is left. */
		return t->plan == &vm_plan_start || t->plan == &vm_plan_resume ||
				       task->event == VM_EV_RESTART || task->event == VM_EV_START
			       ? vm_check_disks(vm, err)
			       : 0;
	}
	/* its boot was ended for it, and with that all is done */
	if (task->event != VM_EV_KILL || state_of(vm) != VM_STOPPED || !task->waited)
		return refuse(vm, task->event, err);
	*ret = &vm_plan_nothing;
	return 0;
}

static void enter(struct vm_task *task, const struct op_plan *plan)
{
	struct vm *vm = task->vm;

	if (plan == &vm_plan_nothing)
		return;
	if (plan == &vm_plan_start || plan == &vm_plan_restart)
		free(TAKE_PTR(vm->row->resume_note));
	if (task->event != VM_EV_SET)
		vm_set_error(vm, NULL);
	task->before = (enum vm_state)vm->row->state;
	vm_move(vm, task->event);
}

/* ---- behind another operation ---- */

static int go_on(struct vm_task *task, struct bg_err **err);

static void on_other_ended(const struct bg_err *why, void *userdata)
{
	struct vm_task *task = userdata;
	struct bg_err *err = task->joins ? bg_err_copy(why) : NULL;
	int r = err ? -ECANCELED : 0;

	op_watch_free(TAKE_PTR(task->other)); /* why goes with it */
	if (r >= 0)
		r = go_on(task, &err);
	if (r < 0)
		op_step_failed(task->op, err);
	else if (r != OP_WAIT)
		op_step_done(task->op);
}

static int end_other(const struct vm_task *task, struct vm *vm, enum way way)
{
	char by[64];

	if (way == CANCEL)
		return op_cancel(vm->op);
	snprintf(by, sizeof(by), "`banger vm %s`", vm_event_str(task->event));
	return way == CUT ? op_cut(vm->op, by) : 0;
}

static int wait_behind(struct vm_task *task, struct vm *vm, struct bg_err **err)
{
	enum way way = way_of(task, vm);
	char text[96];

	if (way == REFUSE)
		return refuse_busy(vm, task->event, err);
	task->joins = way == JOIN;
	snprintf(text, sizeof(text), "%s %s (operation %lld)",
		way == AWAIT || way == JOIN ? "waiting for" : "ending", op_kind(vm->op),
		(long long)op_id(vm->op));
	op_set_text(task->op, text);
	if (op_watch(vm->op, on_other_ended, task, &task->other) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	(void)end_other(task, vm, way);
	return OP_WAIT;
}

/* The VM is looked for anew: the other operation may have taken it away. */
static int go_on(struct vm_task *task, struct bg_err **err)
{
	struct vm *vm = vms_find_id(task->engine->vms, task->vm_id);
	const struct op_plan *plan;
	int r;

	if (!vm && task->event == VM_EV_DELETE)
		return 0;
	if (!vm)
		return bg_err_set(err, BG_ERR_VM_NOT_FOUND, ENOENT,
			"there is no VM \"%s\" any more", op_target(task->op));
	if (vm->op)
		return wait_behind(task, vm, err);
	r = take_over(task, vm, &plan, err);
	if (r < 0)
		return r;
	task->vm = vm;
	vm->op = task->op;
	op_become(task->op, plan);
	enter(task, plan);
	return 0;
}

static int step_wait(struct op *op, void *ctx, struct bg_err **err)
{
	(void)op;
	return go_on(ctx, err);
}

static const struct op_step wait_steps[] = {
	{"wait", "waiting for another operation", false, step_wait, vm_step_cancel, NULL}};

#define WAITS(name)                                                                                \
	{                                                                                          \
		.kind = name, .acts_first = true, .steps = wait_steps, .n_steps = 1,               \
		.ctx_free = vm_task_free                                                           \
	}

static const struct op_plan wait_plans[] = {
	[VM_EV_START] = WAITS("vm.start"),
	[VM_EV_STOP] = WAITS("vm.stop"),
	[VM_EV_RESTART] = WAITS("vm.restart"),
	[VM_EV_KILL] = WAITS("vm.kill"),
	[VM_EV_DELETE] = WAITS("vm.delete"),
	[VM_EV_PAUSE] = WAITS("vm.pause"),
	[VM_EV_RESUME] = WAITS("vm.resume"),
	[VM_EV_SUSPEND] = WAITS("vm.suspend"),
};

static int start_behind(
	struct vm_task *task, const struct vm *vm, struct op **ret, struct bg_err **err)
{
	int r;

	if (way_of(task, vm) == REFUSE) {
		r = refuse_busy(vm, task->event, err);
		task->vm = NULL; /* what the other one waits for is not ours */
		vm_task_free(task);
		return r;
	}
	task->waited = true;
	strcpy(task->vm_id, vm->row->id);
	task->vm = NULL;
	r = op_start(task->engine->ops, &wait_plans[task->event], vm->row->name, task, ret, err);
	if (r >= 0)
		task->op = *ret;
	return r;
}

/* ---- the request ---- */

static int start_now(struct vm_task *task, const struct vm_options *options, struct op **ret,
	struct bg_err **err)
{
	const struct op_plan *plan;
	int r = take_over(task, task->vm, &plan, err);

	if (r >= 0 && task->event == VM_EV_SET)
		r = vm_settings_make(task->vm, options->change, &task->settings, err);
	if (r < 0) {
		vm_task_free(task);
		return r;
	}
	r = vm_task_start(task, plan, ret, err);
	if (r >= 0)
		enter(task, plan);
	return r;
}

/* What its user wants of it, whatever becomes of the request. */
static void note_wish(struct vm *vm, const struct vm_task *task)
{
	if (task->by_itself)
		return;
	if (task->event == VM_EV_START || task->event == VM_EV_RESTART ||
		task->event == VM_EV_RESUME)
		revive_on_start(vm);
	else if (task->event == VM_EV_STOP ||
		 (task->event == VM_EV_KILL && vm_signal_ends(task->signo)))
		revive_on_stop(vm);
}

int vm_ask(struct vm *vm, enum vm_event event, const struct vm_options *options, struct op **ret,
	struct bg_err **err)
{
	struct vm_task *task = vm_task_new(vm->engine, vm);

	if (!task)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	task->event = event;
	task->force = options->force;
	task->by_itself = options->by_itself;
	task->stop_timeout_s =
		options->stop_timeout_s ? options->stop_timeout_s : BG_STOP_TIMEOUT_S;
	task->signo = options->signo ? options->signo : SIGKILL;
	note_wish(vm, task);
	return vm->op ? start_behind(task, vm, ret, err) : start_now(task, options, ret, err);
}
