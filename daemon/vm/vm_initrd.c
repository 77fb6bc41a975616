/* SPDX-License-Identifier: ISC */
/*
 * The initramfs of a start: its parts are opened here, and put behind each other in the loop when
 * that is a matter of two milliseconds, else by a worker.
 */
#include <fcntl.h>
#include <time.h>

#include "common/disk_layout.h"
#include "common/fd.h"
#include "daemon/engine.h"
#include "daemon/trash.h"
#include "daemon/vm/initrd.h"
#include "daemon/vm/vm_check.h"
#include "daemon/vm/vm_plan.h"

static void close_parts(struct bg_initrd *from)
{
	bg_close(from->first);
	bg_close(from->init);
	bg_close(from->modules);
	bg_close(from->settings);
}

/* Packages come from the outside: without NAT there is nothing to try. */
static const char *setup_wish(const struct vm_row *row)
{
	if (!row->nat)
		return NULL;
	return row->with_init ? "init" : "ssh";
}

/* The machine's part of vm.conf; the pointers live as long as the task's VM. */
static void fill_conf(
	const struct vm_task *task, const struct vmm_driver *driver, struct guest_conf *conf)
{
	const struct vm *vm = task->vm;
	bool cow = vm_is_cow(vm);

	*conf = (struct guest_conf){
		.id = vm->row->id,
		.hostname = vm->row->name,
		.root = cow ? NULL : vmm_guest_disk(VMM_DISK_ROOT, false),
		.base = cow ? vmm_guest_disk(VMM_DISK_BASE, true) : NULL,
		.own = cow ? vmm_guest_disk(VMM_DISK_ROOT, true) : NULL,
		.chunk = cow ? vm_cow_chunk(vm) / BG_SECTOR : 0,
		.work = vmm_guest_disk(VMM_DISK_WORK, cow),
		.addr = task->card.address,
		.gateway = task->card.gateway,
		.dns = task->card.gateway,
		.agent = driver->agent,
		.poweroff = driver->poweroff,
		.setup = setup_wish(task->vm->row),
		.time = time(NULL),
		.authorized_keys = keys_authorized(task->engine->keys),
	};
}

static int make_settings(
	const struct vm_task *task, const struct kernel_row *kernel, int *ret, struct bg_err **err)
{
	const struct vmm_choice *choice = vmm_probe_choice(task->engine->probe);
	_free_ char *host_key = NULL;
	struct guest_conf conf;
	int r = vm_host_key(task->vm, &host_key, err);

	if (r < 0)
		return r;
	fill_conf(task, choice->driver, &conf);
	r = vm_disk_store(task->vm, &conf.store, err);
	if (r < 0)
		return r;
	conf.store /= BG_SECTOR;
	if (kernel->modules_disk)
		conf.modules = vmm_guest_disk(VMM_DISK_MODULES, vm_is_cow(task->vm));
	conf.host_key = host_key;
	return initrd_settings(&conf, ret, err);
}

/* path NULL: there is none. */
static int open_part(const char *path, int *ret, struct bg_err **err)
{
	if (!path)
		return 0;
	*ret = open(path, O_RDONLY | O_CLOEXEC);
	return *ret < 0 ? bg_err_sys(err, BG_ERR_IO, errno, "open %s", path) : 0;
}

static int open_parts(const struct vm_task *task, const struct kernel_row *kernel,
	struct bg_initrd *from, struct bg_err **err)
{
	int r = make_settings(task, kernel, &from->settings, err);

	if (r < 0)
		return r;
	from->init = open(task->engine->init_path, O_RDONLY | O_CLOEXEC);
	if (from->init < 0)
		return bg_err_sys(err, BG_ERR_TOOL_MISSING, errno, "open the guest's init %s",
			task->engine->init_path);
	r = open_part(kernel->modules_cpio, &from->modules, err);
	return r < 0 ? r : open_part(kernel->initrd, &from->first, err);
}

static void on_written(const json_t *result, struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;
	struct bg_err *failed = bg_err_copy(err);

	(void)result;
	vm_task_forget(task);
	if (failed) {
		bg_err_context(&failed, "write %s", task->vm->paths.initrd);
		op_step_failed(task->op, failed);
	} else {
		op_step_done(task->op);
	}
}

static int write_by_worker(
	struct vm_task *task, int out, const struct bg_initrd *from, struct bg_err **err)
{
	int fds[5] = {out, from->settings, from->init}, r;
	unsigned n = 3;

	if (from->modules >= 0)
		fds[n++] = from->modules;
	if (from->first >= 0)
		fds[n++] = from->first;
	r = job_start(task->engine->jobs, JOB_INITRD,
		json_pack("{s:b, s:b}", "modules", from->modules >= 0, "first", from->first >= 0),
		fds, n, NULL, on_written, task, &task->job, err);
	return r < 0 ? r : OP_WAIT;
}

static int write_initrd(struct vm_task *task, const struct kernel_row *kernel, struct bg_err **err)
{
	_cleanup_(close_parts) struct bg_initrd from = {-1, -1, -1, -1};
	const char *path = task->vm->paths.initrd, *part;
	_close_ int out = -1;
	int r = open_parts(task, kernel, &from, err);

	if (r < 0)
		return r;
	trash_unlink(task->engine->trash, path); /* of a start that did not come to its end */
	out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "write %s", path);
	if (!initrd_is_quick(&from))
		return write_by_worker(task, out, &from, err);
	r = bg_initrd_join(out, &from, &part);
	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "initramfs: %s", part) : 0;
}

int vm_step_initrd(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	const struct vmm_choice *choice = vmm_probe_choice(task->engine->probe);
	const struct kernel_row *kernel;
	int r;

	(void)op;
	if (!choice->driver) {
		*err = bg_err_copy(choice->err);
		return -ENOENT;
	}
	r = kernels_get(task->engine->kernels, task->vm->row->kernel, &kernel, err);
	if (r >= 0)
		r = vm_check_kernel(kernel, err);
	if (r < 0)
		return r;
	return write_initrd(task, kernel, err);
}
