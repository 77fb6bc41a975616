/* SPDX-License-Identifier: ISC */
/*
 * After the end of an earlier daemon, however it came: every VM is brought back to a state of
 * the table by what the host really has. Rows say what was meant, /proc says what is.
 */
#include <fcntl.h>
#include <time.h>

#include "common/fd.h"
#include "common/log.h"
#include "daemon/driver/vmm.h"
#include "daemon/engine.h"
#include "daemon/vm/publish.h"
#include "daemon/vm/revive.h"
#include "daemon/vm/tap_pool.h"
#include "daemon/vm/vm_plan.h"
#include "daemon/vm/vm_saved.h"

/* What runs, by /proc: looked at once for all VMs. */
struct seen {
	struct vmm_seen *process;
	size_t n;
};

static const struct vmm_seen *find_process(const struct seen *seen, const struct vm *vm)
{
	for (size_t i = 0; i < seen->n; i++)
		if (bg_streq(seen->process[i].id, vm->row->id))
			return &seen->process[i];
	return NULL;
}

/* Whatever the row says: a save that was lost must not let a second VMM at the disks of one that runs. */
static int adopt_process(struct vm *vm, const struct seen *seen)
{
	const struct vmm_seen *process = find_process(seen, vm);
	const struct vmm_driver *driver;
	struct vmm *vmm;
	int r;

	if (!process)
		return -ESRCH;
	driver = vmm_driver_by_name(vm->row->vmm ? vm->row->vmm : process->driver);
	if (!driver)
		return -ESRCH;
	r = vmm_adopt(vm->engine->loop, driver, vm->row->id, vm->paths.run_dir, process->pid,
		process->start, vm_on_vmm_exit, vm, &vmm);
	if (r < 0)
		return r;
	/* A row that was made anew from its record. */
	if (!vm->row->vmm)
		vm->row->vmm = strdup(driver->name);
	if (vm->row->slot < 0)
		vm->row->slot = vm->row->home_slot;
	vm->row->pid = vmm_pid(vmm);
	vm->row->pid_start = vmm_pid_start(vmm);
	vm_hold(vm, vmm);
	return 0;
}

/* Its process is gone: the slot and sockets of it go too. The slot's tap goes with
 * vms_release_slots. */
static void went_away(struct vm *vm)
{
	vm->row->pid = 0;
	vm->row->pid_start = 0;
	vm->row->slot = -1;
	free(TAKE_PTR(vm->row->address));
	(void)bg_rm_rf_at(AT_FDCWD, vm->paths.run_dir);
}

static void interrupted_start(struct vm *vm)
{
	_err_ struct bg_err *err = NULL;

	bg_err_set(&err, BG_ERR_DAEMON_STOPPING, ECANCELED,
		"the daemon ended while VM \"%s\" was starting", vm->row->name);
	bg_err_hint(&err, "start it again: `banger vm start %s`", vm->row->name);
	vm_set_error(vm, err);
}

/* Seconds since the epoch. */
static int64_t host_started_at(void)
{
	struct timespec up = {0};

	(void)clock_gettime(CLOCK_BOOTTIME, &up);
	return time(NULL) - up.tv_sec;
}

/* No daemon saw it end. With the host is not a fault of its own; nor is a guest that powered off. */
static void ended_meanwhile(struct vm *vm)
{
	bool with_host = vm->row->started_at < host_started_at(), bad = vm_ended_badly(vm, -1);
	_err_ struct bg_err *err = NULL;

	revive_found_down(vm, with_host || bad);
	if (with_host || !bad)
		return;
	vm_exit_error(vm, -1, &err);
	log_err(LOG_WARN, "vm", vm->row->name, err);
	vm_set_error(vm, err);
}

/* Their listeners ended with the last daemon; the VM runs on without one that is taken by now. */
static void reopen_ports(struct vm *vm)
{
	_err_ struct bg_err *err = NULL;

	if (vm->row->address && publish_open(vm, vm->row->publish, &err) < 0)
		log_err(LOG_WARN, "vm", vm->row->name, err);
}

static int recover_live(struct vm *vm, const struct seen *seen)
{
	bool was_starting = vm->row->state == VM_STARTING, again = false;
	int r = adopt_process(vm, seen);

	if (r < 0 && r != -ESRCH)
		return r;
	vm_saved_drop(vm);
	log_msg(LOG_INFO, "vm", r < 0 ? "is stopped" : "adopted", "vm", vm->row->name, NULL);
	if (r < 0) {
		again = vm->row->state == VM_RUNNING && vm_wants_again(vm, -1);
		if (vm->row->state == VM_RUNNING && !again)
			ended_meanwhile(vm);
		went_away(vm);
		if (was_starting) {
			interrupted_start(vm);
			revive_found_down(vm, true);
		}
	}
	/* not vm_move: what the row says is not where the VM was left, but where its daemon was */
	vm->row->state = r < 0 && !again ? VM_STOPPED : VM_RUNNING;
	if (r >= 0)
		reopen_ports(vm);
	vm_save(vm);
	if (again && vm_boot_again(vm, NULL) < 0)
		vm_move(vm, VM_EV_DOWN);
	return 0;
}

static int go_on_deleting(struct vm *vm, const struct seen *seen)
{
	int r = adopt_process(vm, seen);
	struct vm_task *task;
	struct op *op;

	if (r < 0 && r != -ESRCH)
		return r;
	if (r < 0)
		went_away(vm);
	task = vm_task_new(vm->engine, vm);
	if (task)
		(void)vm_task_start(task, &vm_plan_delete, &op, NULL);
	return 0;
}

/* Takes up what the last daemon was at, as an operation of this one. */
static void go_on_with(struct vm *vm, const struct op_plan *plan)
{
	_err_ struct bg_err *err = NULL;
	struct vm_task *task = vm_task_new(vm->engine, vm);
	struct op *op;

	if (task && vm_task_start(task, plan, &op, &err) >= 0)
		return;
	if (err)
		log_err(LOG_ERROR, "vm", vm->row->name, err);
}

/* What it goes on from is on the disk: a process stands still since, and is ended. */
static int recover_saved(struct vm *vm, const struct seen *seen)
{
	int r = adopt_process(vm, seen);

	if (r < 0 && r != -ESRCH)
		return r;
	if (r >= 0) {
		go_on_with(vm, &vm_plan_put_away);
		return 0;
	}
	went_away(vm);
	vm->row->state = VM_SUSPENDED;
	vm_save(vm);
	return 0;
}

/* A process that stands still, or may: by its user's wish it does so again, else it goes on. */
static int recover_still(struct vm *vm, const struct seen *seen)
{
	bool paused = vm->row->state == VM_PAUSED;
	int r;

	vm_saved_sweep(vm);
	r = adopt_process(vm, seen);
	if (r == -ESRCH) {
		vm->row->state = VM_RUNNING;
		return recover_live(vm, seen);
	}
	if (r < 0)
		return r;
	reopen_ports(vm);
	vm_save(vm);
	go_on_with(vm, paused ? &vm_plan_pause : &vm_plan_unpause);
	return 0;
}

/* An error: whether its process runs cannot be told, and nothing has been done. */
static int recover_one(struct vm *vm, const struct seen *seen)
{
	switch ((enum vm_state)vm->row->state) {
	case VM_CREATING:
		vm->row->state = VM_DELETING;
		vm_save(vm);
		return go_on_deleting(vm, seen);
	case VM_DELETING:
		return go_on_deleting(vm, seen);
	case VM_STARTING:
	case VM_RUNNING:
	case VM_STOPPING:
		return recover_live(vm, seen);
	case VM_PAUSED:
		return recover_still(vm, seen);
	case VM_SUSPENDING:
	case VM_RESUMING:
		return vm_saved_is(vm) ? recover_saved(vm, seen) : recover_still(vm, seen);
	case VM_SUSPENDED:
		return recover_saved(vm, seen);
	case VM_STOPPED:
		if (find_process(seen, vm))
			return recover_live(vm, seen);
		/* A row that was made anew from its record. */
		if (vm_saved_is(vm))
			return recover_saved(vm, seen);
		if (vm->row->slot >= 0) {
			went_away(vm);
			vm_save(vm);
		}
		return 0;
	case VM_STATE_MAX_:
		break;
	}
	return 0;
}

static uint64_t slots_in_use(const struct vms *vms)
{
	uint64_t slots = 0;

	for (const struct vm *vm = vms_first(vms); vm; vm = vm->next)
		if (vm->row->slot >= 0)
			slots |= UINT64_C(1) << vm->row->slot;
	return slots;
}

/* Its row was lost while it ran: which slot is its own is not known, so none is anybody's to take. */
static bool slots_are_known(const struct vms *vms)
{
	for (const struct vm *vm = vms_first(vms); vm; vm = vm->next)
		if (vm->vmm && vm->row->slot < 0)
			return false;
	return true;
}

/* Slots that the ledger has for us and no VM holds: what a crash left. */
static void release_slots(struct bg_err *err, void *userdata)
{
	struct engine *engine = userdata;
	uint64_t stray = err || !slots_are_known(engine->vms)
				 ? 0
				 : net_held(engine->net) & ~slots_in_use(engine->vms) &
					   ~tap_pool_slots(engine->pool);

	net_call_free(TAKE_PTR(engine->net_boot));
	for (unsigned i = 0; i < 64; i++) {
		struct net_call *call = NULL;

		if (stray & UINT64_C(1) << i)
			(void)net_detach(engine->net, i, NULL, NULL, &call, NULL);
		net_call_free(call); /* it is carried out all the same */
	}
	for (struct vm *vm = err ? NULL : vms_first(engine->vms); vm; vm = vm->next)
		vm_restore_nat(vm);
	tap_pool_fill(engine->pool);
}

void vms_watch_net(struct engine *engine)
{
	if (!engine->net_boot)
		(void)net_when_ready(engine->net, release_slots, engine, &engine->net_boot, NULL);
}

static void fail_op(int64_t id, const char *kind, const char *target, void *userdata)
{
	char text[24];

	(void)userdata;
	snprintf(text, sizeof(text), "%lld", (long long)id);
	log_msg(LOG_WARN, "op", "was interrupted by the end of the daemon", "kind", kind, "target",
		target, "id", text, NULL);
}

int vms_recover(struct engine *engine, struct bg_err **err)
{
	struct seen seen = {0};
	struct vm *next;
	int r = vmm_list(&seen.process, &seen.n);

	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "look for VMs that run");
	store_op_each_unfinished(engine->store, fail_op, NULL);
	for (struct vm *vm = vms_first(engine->vms); vm && r >= 0; vm = next) {
		next = vm->next;
		r = recover_one(vm, &seen);
		if (r < 0)
			bg_err_sys(err, BG_ERR_IO, -r, "see whether VM \"%s\" runs", vm->row->name);
	}
	free(seen.process);
	if (r < 0)
		return r;
	keys_touch(engine->keys);
	vms_watch_net(engine);
	return 0;
}
