/* SPDX-License-Identifier: ISC */
/*
 * The plan of `vm set`. Disks grow first: that is the one part that cannot be taken back, and
 * what fails after it leaves a larger disk and nothing else. The row says what is so after each
 * step, and what it had is in the settings until the change is over.
 */
#include "daemon/vm/vm_set.h"

#include "common/log.h"
#include "common/name.h"
#include "common/size.h"
#include "daemon/engine.h"
#include "daemon/vm/expose.h"
#include "daemon/vm/labels.h"
#include "daemon/vm/publish.h"
#include "daemon/vm/revive.h"
#include "daemon/vm/vm_check.h"
#include "daemon/vm/vm_plan.h"

void vm_settings_clear(struct vm_settings *settings)
{
	free(settings->name);
	free(settings->labels);
	free(settings->publish);
	free(settings->expose);
	*settings = (struct vm_settings){0};
}

static int check_size(
	const char *what, const struct vm *vm, uint64_t have, uint64_t want, struct bg_err **err)
{
	char have_text[BG_SIZE_TEXT], want_text[BG_SIZE_TEXT];

	if (!want || want >= have)
		return 0;
	bg_err_set(err, BG_ERR_VM_LIMITS, EINVAL,
		"the %s of VM \"%s\" has %s and cannot shrink to %s", what, vm->row->name,
		bg_size_print_mib(have, have_text), bg_size_print_mib(want, want_text));
	bg_err_hint(err, "disks only grow; make another VM with the size you want");
	return -EINVAL;
}

static int stop_first(const struct vm *vm, const char *what, struct bg_err **err)
{
	bg_err_set(err, BG_ERR_VM_STATE, EINVAL, "VM \"%s\" is running: %s while it is stopped",
		vm->row->name, what);
	bg_err_hint(err, "`banger vm stop %s`, then the same again", vm->row->name);
	return -EINVAL;
}

/* A guest that stands still can be told nothing; one that is on the disk needs its machine and disks as they are. */
static int check_still(const struct vm *vm, const struct vm_change *change, struct bg_err **err)
{
	const struct vm_row *row = vm->row;
	const char *name = row->name;

	if ((change->vcpus && change->vcpus != row->vcpus) ||
		(change->memory_mib && change->memory_mib != row->memory_mib)) {
		bg_err_set(err, BG_ERR_VM_STATE, EINVAL,
			"VM \"%s\" is %s: its memory and CPUs change only while it is stopped",
			name, vm_state_str((enum vm_state)row->state));
		bg_err_hint(err, "`banger vm resume %s`, `banger vm stop %s`, then the same again",
			name, name);
		return -EINVAL;
	}
	if (!change->name && change->disk_mib <= row->disk_mib && change->work_mib <= row->work_mib)
		return 0;
	bg_err_set(err, BG_ERR_VM_STATE, EINVAL,
		"VM \"%s\" is %s: its guest has to run for a new name or larger disks", name,
		vm_state_str((enum vm_state)row->state));
	bg_err_hint(err, "`banger vm resume %s`, then the same again", name);
	return -EINVAL;
}

/* What a running VM cannot be given. */
static int check_live(const struct vm *vm, const struct vm_change *change, struct bg_err **err)
{
	const struct vm_row *row = vm->row;

	if (row->state == VM_PAUSED || row->state == VM_SUSPENDED)
		return check_still(vm, change, err);
	if (row->state != VM_RUNNING)
		return 0;
	if ((change->vcpus && change->vcpus != row->vcpus) ||
		(change->memory_mib && change->memory_mib != row->memory_mib))
		return stop_first(vm, "its memory and CPUs change only", err);
	if (change->disk_mib > row->disk_mib && vm_on_overlay(vm))
		return stop_first(vm, "its disk (dm-snapshot) grows only", err);
	return 0;
}

static bool is_empty(const struct vm_change *c)
{
	return !c->name && !c->has_nat && !c->has_peers && !c->has_with_init && !c->has_balloon &&
	       !c->has_autostart && !c->has_restart && !c->vcpus && !c->memory_mib &&
	       !c->disk_mib && !c->work_mib && json_object_size(c->labels) == 0 &&
	       json_array_size(c->publish) == 0 && json_array_size(c->unpublish) == 0 &&
	       json_array_size(c->expose) == 0 && json_array_size(c->unexpose) == 0;
}

static int check_name(const struct vm *vm, const char *name, char **ret, struct bg_err **err)
{
	int r = vm_check_name(name, err);

	if (r < 0)
		return r;
	if (vms_find(vm->engine->vms, name))
		return bg_err_set(err, BG_ERR_VM_NAME_TAKEN, EEXIST,
			"there is a VM named \"%s\" already", name);
	*ret = strdup(name);
	return *ret ? 0 : bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

int vm_settings_make(const struct vm *vm, const struct vm_change *change, struct vm_settings *ret,
	struct bg_err **err)
{
	struct vm_settings s = {.has_nat = change->has_nat,
		.nat = change->nat,
		.has_peers = change->has_peers,
		.peers = change->peers,
		.has_with_init = change->has_with_init,
		.with_init = change->with_init,
		.has_balloon = change->has_balloon,
		.no_balloon = change->no_balloon,
		.has_autostart = change->has_autostart,
		.autostart = change->autostart,
		.has_restart = change->has_restart,
		.restart = change->restart,
		.vcpus = change->vcpus,
		.memory_mib = change->memory_mib,
		.disk_mib = change->disk_mib,
		.work_mib = change->work_mib,
		.has_labels = json_object_size(change->labels) > 0,
		.has_publish = json_array_size(change->publish) > 0 ||
			       json_array_size(change->unpublish) > 0,
		.has_expose = json_array_size(change->expose) > 0 ||
			      json_array_size(change->unexpose) > 0};
	int r = check_live(vm, change, err);

	if (is_empty(change))
		return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL,
			"nothing was named that VM \"%s\" should change", vm->row->name);
	if (r >= 0)
		r = check_size("disk", vm, vm->row->disk_mib, change->disk_mib, err);
	if (r >= 0)
		r = check_size("work disk", vm, vm->row->work_mib, change->work_mib, err);
	if (r >= 0 && change->memory_mib)
		r = vm_check_memory(change->memory_mib, err);
	if (r >= 0 && change->name)
		r = check_name(vm, change->name, &s.name, err);
	if (r >= 0 && s.has_labels)
		r = labels_apply(vm->row->labels, change->labels, &s.labels, err);
	if (r >= 0 && s.has_publish)
		r = publish_apply(vm->engine->vms, vm, vm->row->publish, change->publish,
			change->unpublish, &s.publish, err);
	if (r >= 0 && s.has_expose)
		r = expose_apply(vm->row->expose, change->expose, change->unexpose, &s.expose, err);
	if (r >= 0)
		*ret = s;
	else
		vm_settings_clear(&s);
	return r;
}

#define SWAP(a, b)                                                                                 \
	do {                                                                                       \
		__typeof__(a) was_ = (a);                                                          \
		(a) = (b);                                                                         \
		(b) = was_;                                                                        \
	} while (0)

/* A running VM has them at once, one that is stopped with its next start. Once more brings back what was. */
static int swap_ports(struct vm *vm, struct vm_settings *s, struct bg_err **err)
{
	int r = vm->vmm && vm->row->address ? publish_open(vm, s->publish, err) : 0;

	if (r < 0)
		return r;
	SWAP(vm->row->publish, s->publish);
	s->published = !s->published;
	return 0;
}

static int step_publish(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	if (!task->settings.has_publish)
		return 0;
	op_set_text(op, "publishing its ports");
	return swap_ports(task->vm, &task->settings, err);
}

static int undo_publish(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	(void)op;
	return task->settings.published ? swap_ports(task->vm, &task->settings, err) : 0;
}

static int step_nat(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm_settings *s = &task->settings;
	struct net_reach reach = {.nat = s->has_nat ? s->nat : task->vm->row->nat,
		.peers = s->has_peers ? s->peers : task->vm->row->peers};

	if (!s->has_nat && !s->has_peers)
		return 0;
	op_set_text(op, "changing what it reaches");
	s->reached = true;
	s->had = (struct net_reach){.nat = task->vm->row->nat, .peers = task->vm->row->peers};
	return vm_set_nat(task, reach, err);
}

/* Also when it failed or was cancelled: the helper may have done it. */
static int undo_nat(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	(void)op;
	if (!task->settings.reached)
		return 0;
	task->settings.reached = false;
	return vm_set_nat(task, task->settings.had, err);
}

/* Once more brings back what was. */
static void swap_settings(struct vm_row *row, struct vm_settings *s)
{
	if (s->has_with_init)
		SWAP(row->with_init, s->with_init);
	if (s->has_balloon)
		SWAP(row->no_balloon, s->no_balloon);
	if (s->has_autostart)
		SWAP(row->autostart, s->autostart);
	if (s->has_restart)
		SWAP(row->restart, s->restart);
	if (s->vcpus)
		SWAP(row->vcpus, s->vcpus);
	if (s->memory_mib)
		SWAP(row->memory_mib, s->memory_mib);
	if (s->has_labels)
		SWAP(row->labels, s->labels);
	if (s->has_expose)
		SWAP(row->expose, s->expose);
	s->swapped = !s->swapped;
}

static int step_record(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	swap_settings(task->vm->row, &task->settings);
	revive_on_policy(task->vm);
	vm_save(task->vm);
	return op_commit(op, err);
}

/* A change that failed says nothing about the VM: its error stays what it was. */
static void finish_set(struct op *op, void *ctx, const struct bg_err *err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;

	vm_task_forget(task);
	vm->op = NULL;
	if (err && task->settings.swapped)
		swap_settings(vm->row, &task->settings);
	if (err)
		vm_rename_undo(task);
	if (!err && task->settings.has_expose)
		expose_follow(vm);
	if ((vm->row->state == VM_RUNNING || vm->row->state == VM_PAUSED) && !vm->vmm)
		vm_note_gone(vm);
	else
		vm_save(vm);
	if (!err)
		op_set_result(op, vm_to_json(vm));
	vm_settle(vm);
}

static const struct op_step set_steps[] = {
	{"change", "changing the VM", false, vm_step_grow_root, vm_step_cancel, NULL},
	{"change", "changing the VM", false, vm_step_grow_work, vm_step_cancel, NULL},
	{"change", "changing the VM", false, vm_step_grow_guest, vm_step_cancel, NULL},
	{"change", "changing the VM", false, step_publish, NULL, undo_publish},
	{"change", "changing the VM", false, step_nat, vm_step_cancel, undo_nat},
	{"change", "changing the VM", false, vm_step_rename, NULL, NULL},
	{"change", "changing the VM", false, step_record, NULL, NULL},
	{"change", "changing the VM", false, vm_step_tell_name, vm_step_cancel, NULL},
};

const struct op_plan vm_plan_set = {
	.kind = "vm.set",
	.steps = set_steps,
	.n_steps = ARRAY_SIZE(set_steps),
	.finish = finish_set,
	.ctx_free = vm_task_free,
	.after_cancel = "a disk that has grown stays as large",
};
