/* SPDX-License-Identifier: ISC */
/*
 * The files of a new VM reach the disk before its creation is over: disks that were cloned without
 * a worker, the host key, the names of all. A worker does it while the VM boots already, so that
 * neither the loop nor, most often, anybody else waits for the disk.
 */
#include <fcntl.h>
#include <stdio.h>

#include "common/fd.h"
#include "daemon/engine.h"
#include "daemon/vm/vm_plan.h"

enum { FILES = 5 };

static void on_flushed(const json_t *result, struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;
	bool awaited = task->flush_awaited;

	(void)result;
	task->flush_err = bg_err_copy(err);
	if (err)
		bg_err_context(&task->flush_err, "write %s to the disk", task->vm->paths.dir);
	job_free(TAKE_PTR(task->flush));
	task->flush_awaited = false;
	if (!awaited)
		return;
	if (task->flush_err)
		op_step_failed(task->op, TAKE_PTR(task->flush_err));
	else
		op_step_done(task->op);
}

/* The folder after what is in it, and the one that has its name last. */
static int open_all(const struct vm *vm, int fds[FILES], unsigned *n, struct bg_err **err)
{
	_free_ char *above = NULL;
	const char *paths[FILES] = {
		vm->paths.disk_root, vm->paths.disk_work, vm->paths.host_key, vm->paths.dir};

	if (asprintf(&above, "%s/..", vm->paths.dir) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	paths[FILES - 1] = above;
	for (*n = 0; *n < FILES; ++*n) {
		fds[*n] = open(paths[*n], O_RDONLY | O_CLOEXEC);
		if (fds[*n] < 0)
			return bg_err_sys(err, BG_ERR_IO, errno, "open %s", paths[*n]);
	}
	return 0;
}

int vm_flush_begin(struct vm_task *task, struct bg_err **err)
{
	int fds[FILES], r;
	unsigned n = 0;

	r = open_all(task->vm, fds, &n, err);
	if (r >= 0)
		r = job_start(task->engine->jobs, JOB_FLUSH, json_object(), fds, n, NULL,
			on_flushed, task, &task->flush, err);
	while (n > 0)
		bg_close(fds[--n]);
	return r;
}

int vm_step_flushed(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	(void)op;
	if (task->flush) {
		task->flush_awaited = true;
		return OP_WAIT;
	}
	*err = TAKE_PTR(task->flush_err);
	return *err ? -EIO : 0;
}

void vm_flush_cancel(struct op *op, void *ctx)
{
	struct vm_task *task = ctx;

	(void)op;
	task->flush_awaited = false;
}
