/* SPDX-License-Identifier: ISC */
/* kernel pull: a kernel that a catalog has. Looked up, fetched, checked, then made as an import is.
 */
#include <stdio.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/json.h"
#include "common/name.h"
#include "daemon/asset/asset.h"
#include "daemon/asset/catalog.h"
#include "daemon/asset/kernel_make.h"
#include "daemon/engine.h"
#include "daemon/trash.h"

struct pull_task {
	struct engine *engine;
	struct op *op;
	struct job *job;
	struct catalog_lookup *lookup;
	struct kernel_make *make;
	char *wanted; /* the catalog's name of it */
	json_t *entry;
	char *download;
	int fd;
};

static void task_free(void *userdata)
{
	struct pull_task *task = userdata;

	job_free(task->job);
	catalog_lookup_free(task->lookup);
	kernel_make_free(task->make);
	json_decref(task->entry);
	trash_close(task->engine->trash, task->fd);
	free(task->wanted);
	free(task->download);
	free(task);
}

static void on_found(const json_t *entry, struct bg_err *err, void *userdata)
{
	struct pull_task *task = userdata;

	task->entry = json_deep_copy(entry);
	err = bg_err_copy(err);
	catalog_lookup_free(TAKE_PTR(task->lookup)); /* entry goes with it */
	if (err)
		op_step_failed(task->op, err);
	else
		op_step_done(task->op);
}

static int step_look(struct op *op, void *ctx, struct bg_err **err)
{
	struct pull_task *task = ctx;
	int r;

	task->op = op;
	r = catalog_look(task->engine, "kernel", task->wanted, on_found, task, &task->lookup, err);
	return r < 0 ? r : OP_WAIT;
}

static void on_progress(const json_t *progress, void *userdata)
{
	struct pull_task *task = userdata;

	asset_show_progress(task->op, progress);
}

static void on_fetched(const json_t *result, struct bg_err *err, void *userdata)
{
	struct pull_task *task = userdata;
	struct bg_err *failed = bg_err_copy(err);

	(void)result;
	job_free(TAKE_PTR(task->job));
	if (!failed && lseek(task->fd, 0, SEEK_SET) < 0)
		bg_err_sys(&failed, BG_ERR_IO, errno, "read %s", task->download);
	if (!failed)
		kernel_make_source(task->make, TAKE_FD(task->fd));
	if (failed)
		op_step_failed(task->op, failed);
	else
		op_step_done(task->op);
}

static int step_fetch(struct op *op, void *ctx, struct bg_err **err)
{
	struct pull_task *task = ctx;
	const char *url = json_string_value(json_object_get(task->entry, "url"));
	_close_ int from = -1;
	_free_ char *dir = NULL;
	int r;

	(void)op;
	r = kernels_make_dir(task->engine->kernels, kernel_make_name(task->make), &dir, err);
	if (r >= 0)
		r = asset_output(
			task->engine->trash, dir, "download", &task->download, &task->fd, err);
	if (r >= 0 && strncmp(url, "file://", 7) == 0)
		r = asset_open_source(url + 7, BG_ERR_KERNEL_INVALID, &from, err);
	if (r < 0)
		return r;
	r = job_start(task->engine->jobs, JOB_FETCH,
		json_pack("{s:s, s:O*, s:O, s:O}", "url", url, "after",
			json_object_get(task->entry, "after"), "sha256",
			json_object_get(task->entry, "sha256"), "max_size",
			json_object_get(task->entry, "size")),
		(int[]){task->fd, from < 0 ? task->fd : from}, 2, on_progress, on_fetched, task,
		&task->job, err);
	if (r >= 0)
		job_on_wait(task->job, op_show_wait, task->op);
	return r < 0 ? r : OP_WAIT;
}

static int step_read(struct op *op, void *ctx, struct bg_err **err)
{
	struct pull_task *task = ctx;

	return kernel_make_read(task->make, op, err);
}

static int step_unpack(struct op *op, void *ctx, struct bg_err **err)
{
	struct pull_task *task = ctx;

	(void)trash_throw(task->engine->trash, task->download);
	return kernel_make_unpack(task->make, op, err);
}

static int step_keep(struct op *op, void *ctx, struct bg_err **err)
{
	struct pull_task *task = ctx;

	return kernel_make_keep(task->make, op, err);
}

static int step_record(struct op *op, void *ctx, struct bg_err **err)
{
	struct pull_task *task = ctx;

	kernel_make_record(task->make);
	return op_commit(op, err);
}

static void step_cancel(struct op *op, void *ctx)
{
	struct pull_task *task = ctx;

	(void)op;
	job_free(TAKE_PTR(task->job));
	catalog_lookup_free(TAKE_PTR(task->lookup));
	kernel_make_cancel(task->make);
}

static int undo(struct op *op, void *ctx, struct bg_err **err)
{
	struct pull_task *task = ctx;

	(void)op;
	return kernel_make_drop(task->make, err);
}

static void finish(struct op *op, void *ctx, const struct bg_err *err)
{
	struct pull_task *task = ctx;

	if (!err)
		op_set_result(op, kernel_make_result(task->make));
}

static const struct op_step steps[] = {
	{"look", "looking into the catalogs", false, step_look, step_cancel, undo},
	{"fetch", "fetching the kernel", false, step_fetch, step_cancel, NULL},
	{"import", "reading the kernel", false, step_read, step_cancel, NULL},
	{"unpack", "unpacking it for Firecracker", false, step_unpack, step_cancel, NULL},
	{"record", "recording it", false, step_keep, step_cancel, NULL},
	{"record", "recording it", false, step_record, NULL, NULL},
};

static const struct op_plan plan = {
	.kind = "kernel.pull",
	.steps = steps,
	.n_steps = ARRAY_SIZE(steps),
	.finish = finish,
	.ctx_free = task_free,
};

int kernel_pull(struct engine *engine, const char *wanted, const char *name, struct op **ret,
	struct bg_err **err)
{
	struct pull_task *task;
	int r = bg_name_check("kernel", wanted, err);

	if (r >= 0 && name)
		r = bg_name_check("kernel", name, err);
	if (r < 0)
		return r;
	task = calloc(1, sizeof(*task));
	if (!task || !(task->wanted = strdup(wanted))) {
		free(task);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	task->engine = engine;
	task->fd = -1;
	r = kernel_make_empty(engine, name ? name : wanted, &task->make, err);
	if (r < 0) {
		task_free(task);
		return r;
	}
	return op_start(engine->ops, &plan, name ? name : wanted, task, ret, err);
}
