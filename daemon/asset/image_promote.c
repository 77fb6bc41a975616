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
#include "daemon/asset/image_task.h"
#include "daemon/engine.h"
#include "daemon/trash.h"

struct promote_task {
	struct image_task base;
	int from;
	char *path;	       /* of the copy, until it is the image's; then of the source */
	bool kept;	       /* path is one of those that are kept by content */
	bool swapped;	       /* the image has the copy */
	struct timespec mtime; /* of the source when the copy began */
};

static void task_free(void *userdata)
{
	struct promote_task *task = userdata;

	image_task_done(&task->base);
	/* The user may have deleted it meanwhile. */
	trash_close(task->base.engine->trash, task->from);
	free(task->path);
	free(task);
}

/* It may have been deleted meanwhile: nothing but VMs keeps an image from that. */
static int find_row(const struct promote_task *task, struct image_row **ret, struct bg_err **err)
{
	*ret = images_find(task->base.engine->images, task->base.name);
	return *ret ? 0
		    : bg_err_set(err, BG_ERR_IMAGE_NOT_FOUND, ENOENT,
			      "image \"%s\" was deleted meanwhile", task->base.name);
}

/* The copy keeps the time by which a disk over it knows that its image is the same. */
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
	if (utimensat(AT_FDCWD, task->path, times, AT_SYMLINK_NOFOLLOW) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "finish %s", task->path);
	return 0;
}

static void on_copied(const json_t *result, struct bg_err *err, void *userdata)
{
	struct promote_task *task = userdata;
	struct bg_err *failed = bg_err_copy(err);
	struct image_row *row;

	(void)result;
	if (!failed && find_row(task, &row, &failed) >= 0)
		(void)check_copy(task, row->rootfs, &failed);
	image_task_end_step(&task->base, failed);
}

static int make_copy(struct promote_task *task, int *ret, struct bg_err **err)
{
	_free_ char *dir = NULL, *path = NULL;
	int r = images_check_settled(task->base.engine->images, task->base.name, err);

	if (r >= 0)
		r = images_make_dir(task->base.engine->images, task->base.name, &dir, err);
	if (r < 0)
		return r;
	if (asprintf(&path, "%s/" IMAGE_ROOTFS, dir) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	/* A second promotion would write into the file that the first one is about to keep. */
	if (access(path, F_OK) == 0)
		return bg_err_set(err, BG_ERR_IMAGE_MANAGED, EALREADY,
			"image \"%s\" is being promoted already", task->base.name);
	return asset_output(task->base.engine->trash, dir, IMAGE_ROOTFS, &task->path, ret, err);
}

static int step_copy(struct op *op, void *ctx, struct bg_err **err)
{
	struct promote_task *task = ctx;
	_close_ int to = -1;
	int r;

	task->base.op = op;
	r = make_copy(task, &to, err);
	if (r >= 0)
		r = job_start(task->base.engine->jobs, JOB_COPY, json_object(),
			(int[]){task->from, to}, 2, image_task_progress, on_copied, task,
			&task->base.job, err);
	if (r >= 0)
		job_on_wait(task->base.job, op_show_wait, op);
	return r < 0 ? r : OP_WAIT;
}

/* Until it is the image's. Kept by content it may be another image's too. */
static int undo_copy(struct op *op, void *ctx, struct bg_err **err)
{
	struct promote_task *task = ctx;

	(void)op;
	(void)err;
	if (task->path && task->kept)
		content_store_drop(task->base.engine, task->path);
	else if (task->path)
		(void)trash_throw(task->base.engine->trash, task->path);
	return 0;
}

static void on_digest(const json_t *result, struct bg_err *err, void *userdata)
{
	struct promote_task *task = userdata;
	struct bg_err *failed = bg_err_copy(err);

	if (!failed)
		task->kept = content_store_take(task->base.engine, (char **const[]){&task->path}, 1,
				     result, &failed) >= 0;
	image_task_end_step(&task->base, failed);
}

static int step_keep(struct op *op, void *ctx, struct bg_err **err)
{
	struct promote_task *task = ctx;
	int r = content_store_look(task->base.engine, (char **const[]){&task->path}, 1,
		image_task_progress, on_digest, task, &task->base.job, err);

	(void)op;
	return r < 0 ? r : OP_WAIT;
}

/* Once more takes it back. */
static void swap_files(struct promote_task *task, struct image_row *row)
{
	char *path = row->rootfs;

	row->rootfs = task->path;
	task->path = path;
	row->managed = !row->managed;
	task->kept = !task->kept;
	/* It was moved there by rename. */
	store_sync_folder(task->base.engine->store, "blobs");
	images_complete(task->base.engine->images, row);
}

static int step_record(struct op *op, void *ctx, struct bg_err **err)
{
	struct promote_task *task = ctx;
	struct image_row *row;
	int r = find_row(task, &row, err);

	if (r < 0)
		return r;
	if (access(task->path, R_OK) < 0) /* nothing named it until now: it may have been pruned */
		return bg_err_sys(err, BG_ERR_IO, errno, "keep %s", task->path);
	swap_files(task, row);
	task->swapped = true;
	return op_commit(op, err);
}

static int undo_record(struct op *op, void *ctx, struct bg_err **err)
{
	struct promote_task *task = ctx;
	struct image_row *row;

	(void)op;
	(void)err;
	if (task->swapped && find_row(task, &row, NULL) >= 0)
		swap_files(task, row);
	task->swapped = false;
	return 0;
}

static const struct op_step steps[] = {
	{"copy", "copying the root file system", false, step_copy, image_task_cancel, undo_copy},
	{"finish", "keeping the image", false, step_keep, image_task_cancel, NULL},
	{"finish", "keeping the image", false, step_record, NULL, undo_record},
};

static const struct op_plan plan = {
	.kind = "image.promote",
	.steps = steps,
	.n_steps = ARRAY_SIZE(steps),
	.finish = image_task_finish,
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
	if (engine->asset_users)
		r = engine->asset_users->check_base(engine, row, err);
	if (r < 0)
		return r;
	task = calloc(1, sizeof(*task));
	if (!task || image_task_init(&task->base, engine, name) < 0) {
		free(task);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	task->from = -1;
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
