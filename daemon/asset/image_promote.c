/* SPDX-License-Identifier: ISC */
/*
 * image promote: a registered image's root file system is copied beside our other images, and the
 * image is ours from then on. The user's file is left alone. VMs that lie over the image may run
 * meanwhile: the copy has the same bytes and the same time.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "daemon/asset/asset.h"
#include "daemon/engine.h"

struct promote_task {
	struct engine *engine;
	struct op *op;
	struct job *job;
	char *name;
	int from, to;
	char *path;	       /* of the copy */
	struct timespec mtime; /* of the source when the copy began */
};

static void task_free(void *userdata)
{
	struct promote_task *task = userdata;

	job_free(task->job);
	bg_close(task->from);
	bg_close(task->to);
	free(task->name);
	free(task->path);
	free(task);
}

static void on_progress(const json_t *progress, void *userdata)
{
	struct promote_task *task = userdata;

	asset_show_progress(task->op, progress);
}

/* The copy keeps the time by which a VM's overlay knows that its image is the same. */
static int check_copy(const struct promote_task *task, const char *source, struct bg_err **err)
{
	struct timespec times[2];
	struct stat st;

	if (fstat(task->from, &st) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "look at %s", source);
	if (st.st_mtim.tv_sec != task->mtime.tv_sec || st.st_mtim.tv_nsec != task->mtime.tv_nsec)
		return bg_err_set(err, BG_ERR_IMAGE_INVALID, EBUSY,
			"%s was written to while it was copied", source);
	times[0] = times[1] = task->mtime;
	if (futimens(task->to, times) < 0 || fdatasync(task->to) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "finish %s", task->path);
	return 0;
}

static int take_over(struct promote_task *task, struct image_row *row, struct bg_err **err)
{
	char *source = row->rootfs;
	int r = check_copy(task, source, err);

	if (r < 0)
		return r;
	row->rootfs = TAKE_PTR(task->path);
	row->managed = true;
	r = images_complete(task->engine->images, row, err);
	if (r < 0) {
		task->path = row->rootfs;
		row->rootfs = source;
		row->managed = false;
		return r;
	}
	free(source);
	return 0;
}

static void on_copied(const json_t *result, struct bg_err *err, void *userdata)
{
	struct promote_task *task = userdata;
	struct image_row *row = images_find(task->engine->images, task->name);
	struct bg_err *failed = bg_err_copy(err);

	(void)result;
	job_free(TAKE_PTR(task->job)); /* err goes with it */
	if (!failed)
		(void)take_over(task, row, &failed);
	if (failed)
		op_step_failed(task->op, failed);
	else
		op_step_done(task->op);
}

static int step_copy(struct op *op, void *ctx, struct bg_err **err)
{
	struct promote_task *task = ctx;
	_free_ char *dir = NULL;
	int r;

	task->op = op;
	r = images_make_dir(task->engine->images, task->name, &dir, err);
	if (r >= 0)
		r = asset_output(dir, IMAGE_ROOTFS, &task->path, &task->to, err);
	if (r >= 0)
		r = job_start(task->engine->jobs, JOB_COPY, json_object(),
			(int[]){task->from, task->to}, 2, on_progress, on_copied, task, &task->job,
			err);
	return r < 0 ? r : OP_WAIT;
}

static void step_cancel(struct op *op, void *ctx)
{
	struct promote_task *task = ctx;

	(void)op;
	job_free(TAKE_PTR(task->job));
}

/* path is the image's own from the moment that the copy is complete. */
static int undo_copy(struct op *op, void *ctx, struct bg_err **err)
{
	struct promote_task *task = ctx;

	(void)op;
	(void)err;
	if (task->path)
		(void)unlink(task->path);
	return 0;
}

static void finish(struct op *op, void *ctx, const struct bg_err *err)
{
	struct promote_task *task = ctx;
	const struct image_row *row = images_find(task->engine->images, task->name);

	if (!err && row)
		op_set_result(op, image_to_json(task->engine->images, row));
}

static const struct op_step steps[] = {
	{"copy", "copying the root file system", false, step_copy, step_cancel, undo_copy},
};

static const struct op_plan plan = {
	.kind = "image.promote",
	.steps = steps,
	.n_steps = ARRAY_SIZE(steps),
	.finish = finish,
	.ctx_free = task_free,
};

int image_promote(struct engine *engine, const char *name, struct op **ret, struct bg_err **err)
{
	const struct image_row *row;
	struct promote_task *task;
	struct stat st;
	int r = images_get(engine->images, name, &row, err);

	if (r < 0)
		return r;
	if (row->managed)
		return bg_err_set(err, BG_ERR_IMAGE_MANAGED, EALREADY,
			"image \"%s\" is a managed one already", name);
	task = calloc(1, sizeof(*task));
	if (!task || !(task->name = strdup(name))) {
		free(task);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	task->engine = engine;
	task->to = -1;
	r = asset_open_source(row->rootfs, BG_ERR_IMAGE_INVALID, &task->from, err);
	if (r >= 0 && fstat(task->from, &st) < 0)
		r = bg_err_sys(err, BG_ERR_IO, errno, "look at %s", row->rootfs);
	if (r < 0) {
		task_free(task);
		return r;
	}
	task->mtime = st.st_mtim;
	return op_start(engine->ops, &plan, name, task, ret, err);
}
