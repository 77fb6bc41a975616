/* SPDX-License-Identifier: ISC */
/*
 * Disks that grow, of a VM that is stopped or runs: the file first (what is new is a hole), then
 * the VMM is told, then the guest grows its file systems. Nothing of it can be taken back: the row
 * has the new size as soon as the file has it, and a guest that was not reached grows at its next
 * start.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "daemon/driver/vmm.h"
#include "daemon/engine.h"
#include "daemon/vm/vm_tell.h"

enum { GUEST_S = 60 };

static int grow_file(const struct vm *vm, const char *path, uint64_t bytes, struct bg_err **err)
{
	_close_ int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return bg_err_sys(
			err, BG_ERR_IO, errno, "grow %s of VM \"%s\"", path, vm->row->name);
	/* Told a smaller size, QEMU would cut it off. */
	if ((uint64_t)st.st_size > bytes)
		return bg_err_set(err, BG_ERR_VM_LIMITS, EINVAL,
			"%s of VM \"%s\" has %llu bytes already", path, vm->row->name,
			(unsigned long long)st.st_size);
	r = bg_grow_file(fd, bytes);
	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "grow %s of VM \"%s\"", path, vm->row->name)
		     : 0;
}

/* The running VM did not take it all; err is taken. */
static void fail_later(struct vm_task *task, struct bg_err *err)
{
	bg_err_context(&err,
		"the disk of VM \"%s\" has grown, and the running VM does not know it yet",
		task->vm->row->name);
	bg_err_hint(&err, "it will have the size at its next start: `banger vm restart %s`",
		task->vm->row->name);
	op_step_failed(task->op, err);
}

static void on_resized(const struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;
	struct bg_err *failed = bg_err_copy(err);

	vm_task_forget(task); /* err goes with the call */
	if (failed)
		fail_later(task, failed);
	else
		op_step_done(task->op);
}

/* mib is the row's, and set as soon as it is true. */
static int grow_disk(struct vm_task *task, const char *disk, const char *path, uint64_t bytes,
	uint64_t *mib, uint64_t want, struct bg_err **err)
{
	struct vm *vm = task->vm;
	int r = grow_file(vm, path, bytes, err);

	if (r < 0)
		return r;
	*mib = want;
	if (!vm->vmm)
		return 0;
	task->grown = true;
	r = vmm_resize(vm->vmm, disk, path, bytes, on_resized, task, &task->vmm_call, err);
	return r < 0 ? r : OP_WAIT;
}

int vm_step_grow_root(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;
	uint64_t want = task->settings.disk_mib, bytes = 0;
	int r;

	if (want <= vm->row->disk_mib)
		return 0;
	op_set_text(op, "growing the disk");
	r = vm_disk_file_size(vm, want, &bytes, err);
	return r < 0 ? r
		     : grow_disk(task, "root", vm->paths.disk_root, bytes, &vm->row->disk_mib, want,
			       err);
}

int vm_step_grow_work(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;
	uint64_t want = task->settings.work_mib;

	if (want <= vm->row->work_mib)
		return 0;
	op_set_text(op, "growing the work disk");
	return grow_disk(
		task, "work", vm->paths.disk_work, want * MIB, &vm->row->work_mib, want, err);
}

static void on_told(struct vm_task *task, struct bg_err *err)
{
	if (err)
		bg_err_context(&err, "the guest did not grow its file systems");
	if (err)
		fail_later(task, err);
	else
		op_step_done(task->op);
}

/* Where the guest joins the root disk it waits for the own file's size, not for the disk's. */
static int ask_guest(struct vm_task *task, struct bg_err **err)
{
	const struct vm *vm = task->vm;
	bool cow = vm_is_cow(vm);
	char root[24], work[24];
	const char *argv[] = {vmm_guest_disk(VMM_DISK_ROOT, cow), "/", root,
		vmm_guest_disk(VMM_DISK_WORK, cow), "/root", work, NULL};
	const char *const env[] = {NULL};
	const struct bg_exec exec = {
		.kind = BG_AGENT_K_GROW, .workdir = "/", .argv = argv, .env = env};
	uint64_t bytes = vm->row->disk_mib * MIB;
	int r = cow ? vm_disk_file_size(vm, vm->row->disk_mib, &bytes, err) : 0;

	if (r < 0)
		return r;
	snprintf(root, sizeof(root), "%llu", (unsigned long long)bytes);
	snprintf(work, sizeof(work), "%llu", (unsigned long long)(vm->row->work_mib * MIB));
	return vm_tell_guest(task, &exec, GUEST_S, on_told, err);
}

int vm_step_grow_guest(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct bg_err *failed = NULL;
	int r;

	if (!task->grown || !task->vm->vmm)
		return 0;
	op_set_text(op, "growing the file systems in the guest");
	r = ask_guest(task, &failed);
	if (r >= 0)
		return OP_WAIT;
	bg_err_context(&failed, "the disk of VM \"%s\" has grown, its file system has not",
		task->vm->row->name);
	bg_err_hint(
		&failed, "it does at its next start: `banger vm restart %s`", task->vm->row->name);
	*err = failed;
	return r;
}
