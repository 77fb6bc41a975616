/* SPDX-License-Identifier: ISC */
/*
 * The steps that take a VM from stopped to ready, used by start, create and restart:
 * VMM choice, network card, initramfs, process, agent, ssh.
 */
#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "common/fd.h"
#include "common/log.h"
#include "daemon/driver/vmm.h"
#include "daemon/engine.h"
#include "daemon/helpers.h"
#include "daemon/trash.h"
#include "daemon/vm/publish.h"
#include "daemon/vm/revive.h"
#include "daemon/vm/tap_pool.h"
#include "daemon/vm/vm_check.h"
#include "daemon/vm/vm_memory.h"
#include "daemon/vm/vm_plan.h"

enum { PROBE_POLL_USEC = 10000 };

static int put_string(char **at, const char *value)
{
	char *copy = value ? strdup(value) : NULL;

	if (value && !copy)
		return -ENOMEM;
	free(*at);
	*at = copy;
	return 0;
}

void vm_step_cancel(struct op *op, void *ctx)
{
	(void)op;
	vm_task_forget(ctx);
}

/* The probe was started with the engine; only a VM started in its first moments waits here. */
static void on_probe_poll(void *userdata)
{
	struct vm_task *task = userdata;

	if (!vmm_probe_choice(task->engine->probe))
		return;
	vm_task_forget(task);
	op_step_done(task->op);
}

int vm_step_probe(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	int r;

	(void)op;
	if (vmm_probe_choice(task->engine->probe))
		return 0;
	r = loop_add_ticker(
		task->engine->loop, "vm-probe", PROBE_POLL_USEC, on_probe_poll, task, &task->timer);
	return r < 0 ? bg_err_sys(err, BG_ERR_INTERNAL, -r, "wait for the VMM probe") : OP_WAIT;
}

static void on_attached(const struct net_card *card, struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;
	struct bg_err *failed = bg_err_copy(err);

	if (card)
		task->card = *card;
	vm_task_forget(task); /* card and err go with the call */
	if (failed) {
		op_step_failed(task->op, failed);
		return;
	}
	(void)put_string(&task->vm->row->address, task->card.address);
	vm_save(task->vm);
	op_step_done(task->op);
}

static int attach_now(struct vm_task *task, struct bg_err **err)
{
	struct engine *engine = task->engine;
	int slot, r;

	if (net_error(engine->net)) {
		*err = bg_err_copy(net_error(engine->net));
		return -EIO;
	}
	slot = tap_pool_take(engine->pool, task->vm);
	if (slot < 0)
		return bg_err_set(err, BG_ERR_HELPER_LIMIT, ENOSPC,
			"all %u network slots that this user may have are taken",
			net_slots(engine->net));
	/* intent: recorded before the helper acts */
	task->vm->row->slot = task->vm->row->home_slot = slot;
	vm_save(task->vm);
	r = net_attach(engine->net, (unsigned)slot, on_attached, task, &task->net_call, err);
	return r < 0 ? r : OP_WAIT;
}

static void on_net_ready(struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;
	struct bg_err *failed = NULL;

	(void)err; /* attach_now asks net_error itself */
	vm_task_forget(task);
	if (attach_now(task, &failed) != OP_WAIT)
		op_step_failed(task->op, failed);
}

int vm_step_attach(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	int r;

	(void)op;
	if (net_slots(task->engine->net))
		return attach_now(task, err);
	if (net_error(task->engine->net))
		helpers_hurry(task->engine->helpers);
	r = net_when_ready(task->engine->net, on_net_ready, task, &task->net_call, err);
	return r < 0 ? r : OP_WAIT;
}

/* Its ports, as soon as it has an address; they end with it. */
int vm_step_publish(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	(void)op;
	return publish_open(task->vm, task->vm->row->publish, err);
}

static void detached(struct vm_task *task)
{
	struct vm *vm = task->vm;

	publish_close(vm);
	vm->row->slot = -1;
	(void)put_string(&vm->row->address, NULL);
	vm_save(vm);
	tap_pool_refill(task->engine->pool); /* it may have wanted a free slot */
}

static void on_detached(struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;

	/* The slot is ours no longer either way: the engine's next start detaches what no VM holds.
	 */
	if (err)
		log_err(LOG_ERROR, "vm", task->vm->row->name, err);
	vm_task_forget(task);
	detached(task);
	op_step_done(task->op);
}

static int detach_net(struct vm_task *task, struct bg_err **err)
{
	struct vm *vm = task->vm;
	int r;

	if (net_error(task->engine->net)) {
		detached(task);
		return 0;
	}
	r = net_detach(task->engine->net, (unsigned)vm->row->slot, on_detached, task,
		&task->net_call, err);
	return r < 0 ? r : OP_WAIT;
}

/* A disk that cannot go now is tried again at the engine's next start, as with the network. */
static void on_disk_released(const char *node, struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;
	struct bg_err *failed = NULL;
	int r;

	(void)node;
	if (err)
		log_err(LOG_ERROR, "vm", task->vm->row->name, err);
	vm_task_forget(task);
	r = detach_net(task, &failed);
	if (r < 0)
		op_step_failed(task->op, failed);
	else if (r != OP_WAIT)
		op_step_done(task->op);
}

int vm_step_detach(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;
	int r;

	(void)op;
	vm_task_forget(task);
	(void)bg_rm_rf_at(AT_FDCWD, vm->paths.run_dir);
	if (vm->row->slot < 0)
		return 0;
	r = vm_disk_release(task, on_disk_released, err);
	return r != 0 ? r : detach_net(task, err);
}

/* An emulated boot takes all that a processor has; with KVM much of it is waiting for disks. */
static unsigned boots_at_once(const struct engine *engine)
{
	const struct vmm_choice *choice = vmm_probe_choice(engine->probe);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (engine->config->boots_at_once)
		return engine->config->boots_at_once;
	/* two, so that a guest which hangs is not in everybody's way */
	cpus = cpus < 2 ? 2 : cpus > BG_BOOTS_MAX ? BG_BOOTS_MAX : cpus;
	return (unsigned)cpus * (choice->driver && choice->accel == VMM_ACCEL_KVM ? 4 : 1);
}

static void on_turn(void *userdata)
{
	struct vm_task *task = userdata;

	op_step_done(task->op);
}

int vm_step_turn(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct engine *engine = task->engine;
	bool waits;
	int r = boot_turn_take(
		engine->boots, boots_at_once(engine), on_turn, task, &waits, &task->turn);

	(void)op;
	if (r < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	return waits ? OP_WAIT : 0;
}

/* At once, not by the undo, which comes later: let in meanwhile, it would end a step that no longer waits. */
void vm_step_cancel_turn(struct op *op, void *ctx)
{
	struct vm_task *task = ctx;

	boot_turn_free(TAKE_PTR(task->turn));
	vm_step_cancel(op, ctx);
}

/* Its undo, and the end of a boot whose guest goes on to bring in packages. */
int vm_step_end_turn(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	(void)op;
	(void)err;
	boot_turn_free(TAKE_PTR(task->turn));
	return 0;
}

static int record_choice(struct vm *vm, const struct vmm_choice *choice)
{
	struct vm_row *row = vm->row;

	row->balloon = vm_balloon_choose(vm, choice);
	row->code_cache_mib = choice->accel == VMM_ACCEL_TCG ? choice->driver->code_cache_mib : 0;
	if (put_string(&row->vmm, choice->driver->name) < 0 ||
		put_string(&row->accel, vmm_accel_str(choice->accel)) < 0 ||
		put_string(&row->vmm_reason, choice->reason) < 0)
		return -ENOMEM;
	return 0;
}

/* base: borrowed, NULL: none. */
static void fill_spec(const struct vm_task *task, const struct kernel_row *kernel, const char *base,
	struct vmm_spec *spec)
{
	const struct vmm_choice *choice = vmm_probe_choice(task->engine->probe);
	const struct vm *vm = task->vm;

	*spec = (struct vmm_spec){
		.id = vm->row->id,
		.name = vm->row->name,
		.vcpus = vm->row->vcpus,
		.memory_mib = vm->row->memory_mib,
		.accel = choice->accel,
		.launcher = task->engine->launcher_path,
		.binary = choice->binary,
		.version = choice->version,
		.kernel = kernel->path,
		.initrd = vm->paths.initrd,
		.disk_base = base,
		.disk_root = *task->node ? task->node : vm->paths.disk_root,
		.disk_work = vm->paths.disk_work,
		.disk_modules = kernel->modules_disk,
		.tap = task->card.tap,
		.balloon = vm->row->balloon == VM_BALLOON_ON,
		.run_dir = vm->paths.run_dir,
		.serial_log = vm->paths.serial_log,
		.vmm_log = vm->paths.vmm_log,
	};
	memcpy(spec->mac, task->card.mac, sizeof(spec->mac));
}

static uint64_t bytes_of(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? 0 : (uint64_t)st.st_size;
}

/* What spec borrows. */
struct parts {
	char *base, *elf;
};

static void parts_done(struct parts *parts)
{
	free(parts->base);
	free(parts->elf);
}

static int make_spec(
	const struct vm_task *task, struct parts *parts, struct vmm_spec *spec, struct bg_err **err)
{
	const struct vmm_choice *choice = vmm_probe_choice(task->engine->probe);
	const struct vm *vm = task->vm;
	const struct kernel_row *kernel;
	int r = kernels_get(task->engine->kernels, vm->row->kernel, &kernel, err);

	if (r >= 0)
		r = vm_disk_base(vm, &parts->base, err);
	if (r < 0)
		return r;
	fill_spec(task, kernel, parts->base, spec);
	if (!choice->driver->boots_elf_only)
		return 0;
	r = kernel_elf(kernel, &parts->elf, err);
	spec->kernel = parts->elf;
	return r;
}

int vm_machine_of(const struct vm_task *task, char ret[VMM_MACHINE_TEXT], struct bg_err **err)
{
	const struct vmm_choice *choice = vmm_probe_choice(task->engine->probe);
	_cleanup_(parts_done) struct parts parts = {0};
	struct vmm_spec spec;
	int r = make_spec(task, &parts, &spec, err);

	*ret = '\0';
	return r < 0 || !choice->driver->machine ? r : choice->driver->machine(&spec, ret, err);
}

/* Of what boots: what chose it, and where its logs begin. */
static int record_boot(const struct vm_task *task, const struct vmm_spec *spec)
{
	const struct vmm_choice *choice = vmm_probe_choice(task->engine->probe);
	char machine[VMM_MACHINE_TEXT] = "";
	struct vm *vm = task->vm;

	if (choice->driver->machine && choice->driver->machine(spec, machine, NULL) < 0)
		*machine = '\0';
	vm->row->boot_serial = bytes_of(vm->paths.serial_log);
	vm->row->boot_vmm = bytes_of(vm->paths.vmm_log);
	return put_string(&vm->row->machine, *machine ? machine : NULL);
}

int vm_spawn(struct vm_task *task, const struct vmm_kept *kept, struct bg_err **err)
{
	struct vm *vm = task->vm;
	const struct vmm_choice *choice = vmm_probe_choice(task->engine->probe);
	_cleanup_(parts_done) struct parts parts = {0};
	struct vmm_spec spec;
	struct vmm *vmm;
	int r = 0;

	if (!kept)
		r = record_choice(vm, choice);
	if (r >= 0)
		r = make_spec(task, &parts, &spec, err);
	else
		bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (r >= 0)
		r = bg_paths_private_dir(vm->paths.run_dir, err);
	if (r < 0)
		return r;
	if (!kept && record_boot(task, &spec) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	spec.kept = kept;
	r = vmm_start(task->engine->loop, choice->driver, &spec, vm_on_vmm_exit, vm, &vmm, err);
	if (r < 0)
		return r;
	vm->row->pid = vmm_pid(vmm);
	vm->row->pid_start = vmm_pid_start(vmm);
	vm->row->started_at = time(NULL);
	vm_hold(vm, vmm);
	vm_limits_begin(vm);
	vm_save(vm);
	task->deadline_usec =
		loop_now_usec() + task->engine->config->boot_timeout_s * UINT64_C(1000000);
	return 0;
}

int vm_step_spawn(struct op *op, void *ctx, struct bg_err **err)
{
	(void)op;
	return vm_spawn(ctx, NULL, err);
}

static void on_killed(struct vm *vm, int status, void *userdata)
{
	struct vm_task *task = userdata;

	(void)vm;
	(void)status;
	vm_task_forget(task);
	op_step_done(task->op);
}

static void on_kill_late(void *userdata)
{
	struct vm_task *task = userdata;
	struct bg_err *err = NULL;

	vm_task_forget(task);
	bg_err_set(&err, BG_ERR_TIMEOUT, ETIMEDOUT,
		"process %lld of VM \"%s\" did not end %d s after SIGKILL",
		(long long)task->vm->row->pid, task->vm->row->name, BG_KILL_TIMEOUT_S);
	op_step_failed(task->op, err);
}

/* SIGKILL and wait. Also the undo of the spawn. */
int vm_step_kill(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	int r;

	(void)op;
	vm_task_forget(task);
	if (!task->vm || !task->vm->vmm)
		return 0;
	r = loop_add_timer(task->engine->loop, "vm-kill", BG_KILL_TIMEOUT_S * UINT64_C(1000000),
		on_kill_late, task, &task->timer);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "timer");
	task->vm->on_exit = on_killed;
	task->vm->on_exit_data = task;
	(void)vmm_signal(task->vm->vmm, SIGKILL); /* ESRCH: its exit is on its way to us */
	return OP_WAIT;
}

/* The process ended while we waited for the guest: its tap goes first, then the operation fails. */
static void fail_after_detach(struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;
	struct bg_err *failed = TAKE_PTR(task->failed);

	(void)err;
	vm_task_forget(task);
	detached(task);
	op_step_failed(task->op, failed);
}

static void fail_without_slot(struct vm_task *task)
{
	const struct vm *vm = task->vm;

	if (vm->row->slot >= 0 && !net_error(task->engine->net) &&
		net_detach(task->engine->net, (unsigned)vm->row->slot, fail_after_detach, task,
			&task->net_call, NULL) >= 0)
		return;
	fail_after_detach(NULL, task);
}

static void fail_after_disk(const char *node, struct bg_err *err, void *userdata)
{
	(void)node;
	(void)err;
	vm_task_forget(userdata);
	fail_without_slot(userdata);
}

static void on_boot_exit(struct vm *vm, int status, void *userdata)
{
	struct vm_task *task = userdata;
	struct bg_err *err = NULL;

	vm_task_forget(task);
	vm_exit_error(vm, status, &err);
	bg_err_context(&err, "VM \"%s\" went down while it booted", vm->row->name);
	(void)bg_rm_rf_at(AT_FDCWD, vm->paths.run_dir);
	task->failed = err;
	if (vm_disk_release(task, fail_after_disk, NULL) != OP_WAIT)
		fail_without_slot(task);
}

static const char *late_why(uint32_t wanted)
{
	if (wanted & BG_AGENT_F_SETUP_END)
		return "its package manager did not end";
	return wanted & BG_AGENT_F_SSHD ? "its ssh server did not come up"
					: "its agent did not answer";
}

static void on_boot_late(void *userdata);

static int extend_boot(struct vm_task *task)
{
	loop_source_free(TAKE_PTR(task->timer));
	return loop_add_timer(task->engine->loop, "vm-boot",
		task->engine->config->boot_timeout_s * UINT64_C(1000000), on_boot_late, task,
		&task->timer);
}

static void on_boot_late(void *userdata)
{
	struct vm_task *task = userdata;
	const struct vm *vm = task->vm;
	struct bg_err *err = NULL;

	if (vm->paused && extend_boot(task) >= 0)
		return; /* for want of space: a guest that stands still is not late */
	bg_err_set(&err, BG_ERR_VM_NOT_READY, ETIMEDOUT, "VM \"%s\" runs, but %s within %u s",
		vm->row->name, late_why(task->wanted_flags),
		task->wanted_flags & BG_AGENT_F_SETUP_END ? BG_SETUP_TIMEOUT_S
							  : task->engine->config->boot_timeout_s);
	bg_err_hint(&err, "see `banger vm logs %s` (%s)", vm->row->name, vm->paths.serial_log);
	vm_task_forget(task);
	op_step_failed(task->op, err);
}

static void on_gone_already(void *userdata)
{
	struct vm_task *task = userdata;

	on_boot_exit(task->vm, task->vm->exit_status, task);
}

/* It ended between two steps, with no one listening: the same way out, from the loop. */
static int fail_soon(struct vm_task *task, struct bg_err **err)
{
	int r = loop_defer(task->engine->loop, "vm-gone", on_gone_already, task, &task->timer);

	return r < 0 ? bg_err_sys(err, BG_ERR_INTERNAL, -r, "timer") : OP_WAIT;
}

static bool wait_is_over(const struct vm_task *task)
{
	return task->vm->guest && (guest_flags(task->vm->guest) & task->wanted_flags);
}

static void on_guest(struct vm *vm, void *userdata)
{
	struct vm_task *task = userdata;

	(void)vm;
	if (!wait_is_over(task))
		return;
	vm_task_forget(task);
	op_step_done(task->op);
}

static int wait_for_flags(struct vm_task *task, uint32_t flags, struct bg_err **err)
{
	uint64_t now = loop_now_usec();
	uint64_t left = task->deadline_usec > now ? task->deadline_usec - now : 1;
	int r;

	task->wanted_flags = flags;
	if (!task->vm->vmm)
		return fail_soon(task, err);
	if (wait_is_over(task))
		return 0;
	r = loop_add_timer(task->engine->loop, "vm-boot", left, on_boot_late, task, &task->timer);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "timer");
	task->vm->on_exit = on_boot_exit;
	task->vm->on_exit_data = task;
	task->vm->on_guest = on_guest;
	task->vm->on_guest_data = task;
	return OP_WAIT;
}

int vm_step_wait_agent(struct op *op, void *ctx, struct bg_err **err)
{
	op_set_text(op, "waiting for the guest");
	return wait_for_flags(ctx, BG_AGENT_F_ROOT, err);
}

static bool sets_up(const struct vm_task *task)
{
	return task->vm->guest && (guest_flags(task->vm->guest) & BG_AGENT_F_SETUP);
}

static uint64_t deadline(unsigned seconds)
{
	return loop_now_usec() + seconds * UINT64_C(1000000);
}

int vm_step_wait_setup(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	if (!sets_up(task))
		return 0;
	(void)vm_step_end_turn(op, task, err);
	task->deadline_usec = deadline(BG_SETUP_TIMEOUT_S);
	return wait_for_flags(task, BG_AGENT_F_SETUP_END, err);
}

int vm_step_wait_ssh(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	(void)op;
	if (sets_up(task))
		task->deadline_usec = deadline(task->engine->config->boot_timeout_s);
	return wait_for_flags(task, BG_AGENT_F_SSHD | BG_AGENT_F_NO_SSHD, err);
}

void vm_finish_boot(struct op *op, void *ctx, const struct bg_err *err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;

	if (!vm)
		return;
	vm_task_release(task, err);
	keys_settle(task->engine->keys);
	if (!err)
		/* The kernel has it; it holds the guest's private key. */
		trash_unlink(task->engine->trash, vm->paths.initrd);
	if (vm->row->state == VM_STARTING)
		vm_move(vm, vm->vmm ? VM_EV_UP : VM_EV_DOWN);
	else
		vm_save(vm);
	if (!err)
		op_set_result(op, vm_to_json(vm));
	vm_settle(vm);
	/* It was up, and did not come up again after a reboot of the guest. */
	if (err && err->code != BG_ERR_CANCELLED && task->event == VM_EV_RESET && !vm->vmm)
		revive_ended(vm, true);
}

static const struct op_step start_steps[] = {VM_STEPS_START};

const struct op_plan vm_plan_start = {
	.kind = "vm.start",
	.steps = start_steps,
	.n_steps = ARRAY_SIZE(start_steps),
	.finish = vm_finish_boot,
	.ctx_free = vm_task_free,
};
