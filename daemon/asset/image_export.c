/* SPDX-License-Identifier: ISC */
/*
 * image export: an image with its whole boot set becomes one file where the user wants it. It has
 * no name until it is whole, so that one that ends early leaves nothing and two to one place do not
 * meet; where the file system has no files without a name, it has one that nobody else has. Both
 * file and name are on the disk before the export is over. The image and its kernel are only read; their files are held open, so that they may even be deleted
 * meanwhile.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/json.h"
#include "daemon/asset/asset.h"
#include "daemon/asset/bundle.h"
#include "daemon/engine.h"
#include "daemon/trash.h"

struct export_task {
	struct engine *engine;
	struct op *op;
	struct job *job;
	char *name, *path;
	char *part; /* its name while it is made; NULL: none */
	json_t *params;
	int fd[1 + BUNDLE_FDS]; /* the bundle, then its members; -1: the image lacks it */
	json_t *result;
	bool named;
};

static void task_free(void *userdata)
{
	struct export_task *task = userdata;

	job_free(task->job);
	/* The bundle without a name, and members that were deleted meanwhile, go with the last
	 * descriptor. */
	for (size_t i = 0; i < ARRAY_SIZE(task->fd); i++)
		trash_close(task->engine->trash, task->fd[i]);
	json_decref(task->params);
	json_decref(task->result);
	free(task->name);
	free(task->path);
	free(task->part);
	free(task);
}

static void on_progress(const json_t *progress, void *userdata)
{
	struct export_task *task = userdata;

	asset_show_progress(task->op, progress);
}

static int is_there(const char *path, struct bg_err **err)
{
	int r = bg_err_set(err, BG_ERR_EXISTS, EEXIST, "%s is there already", path);

	bg_err_hint(err, "name another file, or remove that one");
	return r;
}

/* Never over something that is there. */
static int give_name(struct export_task *task)
{
	char own[32];

	if (!task->part) {
		(void)snprintf(own, sizeof(own), "/proc/self/fd/%d", task->fd[0]);
		return linkat(AT_FDCWD, own, AT_FDCWD, task->path, AT_SYMLINK_FOLLOW) < 0 ? -errno
											  : 0;
	}
	if (renameat2(AT_FDCWD, task->part, AT_FDCWD, task->path, RENAME_NOREPLACE) >= 0)
		return 0;
	if (errno != EINVAL)
		return -errno;
	if (linkat(AT_FDCWD, task->part, AT_FDCWD, task->path, 0) < 0)
		return -errno;
	(void)bg_unlink_small(AT_FDCWD, task->part);
	return 0;
}

static int open_named(struct export_task *task, const char *folder)
{
	uint64_t n;

	if (getrandom(&n, sizeof(n), GRND_NONBLOCK) != sizeof(n))
		return -EIO;
	if (asprintf(&task->part, "%s/.banger-part-%016llx", folder, (unsigned long long)n) < 0)
		return -ENOMEM;
	task->fd[0] = open(task->part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	return task->fd[0] < 0 ? -errno : 0;
}

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strndup(path, BG_MAX((size_t)(slash - path), (size_t)1));
}

static int open_bundle(struct export_task *task)
{
	_free_ char *folder = folder_of(task->path);

	if (!folder)
		return -ENOMEM;
	task->fd[0] = open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0644);
	if (task->fd[0] >= 0)
		return 0;
	return errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL ? open_named(task, folder)
									 : -errno;
}

/* The worker has answered; err goes with its job. */
static void step_ended(struct export_task *task, struct bg_err *err)
{
	struct bg_err *failed = bg_err_copy(err);

	job_free(TAKE_PTR(task->job));
	if (failed)
		op_step_failed(task->op, failed);
	else
		op_step_done(task->op);
}

static void on_packed(const json_t *result, struct bg_err *err, void *userdata)
{
	struct export_task *task = userdata;

	if (!err)
		task->result = json_pack("{s:s, s:s, s:O, s:O}", "image", task->name, "path",
			task->path, "bytes", json_object_get(result, "bytes"), "sha256",
			json_object_get(result, "sha256"));
	step_ended(task, err);
}

static int step_pack(struct op *op, void *ctx, struct bg_err **err)
{
	struct export_task *task = ctx;
	int fds[ARRAY_SIZE(task->fd)], r;

	task->op = op;
	r = open_bundle(task);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "make %s", task->path);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = task->fd[i] < 0 ? task->fd[0] : task->fd[i];
	r = job_start(task->engine->jobs, JOB_PACK_BUNDLE, TAKE_PTR(task->params), fds,
		ARRAY_SIZE(fds), on_progress, on_packed, task, &task->job, err);
	if (r >= 0)
		job_on_wait(task->job, op_show_wait, task->op);
	return r < 0 ? r : OP_WAIT;
}

static void step_cancel(struct op *op, void *ctx)
{
	struct export_task *task = ctx;

	(void)op;
	job_free(TAKE_PTR(task->job));
}

static int undo_pack(struct op *op, void *ctx, struct bg_err **err)
{
	struct export_task *task = ctx;

	(void)op;
	(void)err;
	if (task->part)
		(void)trash_throw(task->engine->trash, task->part);
	return 0;
}

static void on_flushed(const json_t *result, struct bg_err *err, void *userdata)
{
	(void)result;
	step_ended(userdata, err);
}

static int step_name(struct op *op, void *ctx, struct bg_err **err)
{
	struct export_task *task = ctx;
	_free_ char *folder = folder_of(task->path);
	_close_ int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int r;

	(void)op;
	if (fd < 0)
		return bg_err_sys(err, BG_ERR_IO, folder ? errno : ENOMEM, "name %s", task->path);
	r = give_name(task);
	if (r == -EEXIST)
		return is_there(task->path, err);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "name %s", task->path);
	task->named = true;
	r = job_start(task->engine->jobs, JOB_FLUSH, json_object(), &fd, 1, NULL, on_flushed, task,
		&task->job, err);
	return r < 0 ? r : OP_WAIT;
}

static int undo_name(struct op *op, void *ctx, struct bg_err **err)
{
	struct export_task *task = ctx;

	(void)op;
	(void)err;
	if (task->named)
		(void)trash_throw(task->engine->trash, task->path);
	return 0;
}

static void finish(struct op *op, void *ctx, const struct bg_err *err)
{
	struct export_task *task = ctx;

	if (!err)
		op_set_result(op, TAKE_PTR(task->result));
}

static const struct op_step steps[] = {
	{"pack", "packing the image", false, step_pack, step_cancel, undo_pack},
	{"name", "writing it to the disk", false, step_name, step_cancel, undo_name},
};

static const struct op_plan plan = {
	.kind = "image.export",
	.steps = steps,
	.n_steps = ARRAY_SIZE(steps),
	.finish = finish,
	.ctx_free = task_free,
};

/* The members in the order of the worker's descriptors. */
static int open_members(struct export_task *task, const char *const paths[BUNDLE_FDS],
	json_t *names, struct bg_err **err)
{
	for (size_t i = 0; i < BUNDLE_FDS; i++) {
		if (!paths[i])
			continue;
		task->fd[1 + i] = open(paths[i], O_RDONLY | O_CLOEXEC);
		if (task->fd[1 + i] < 0)
			return bg_err_sys(err, BG_ERR_IO, errno, "open %s", paths[i]);
		json_array_append_new(names, json_string(bundle_member_names[i]));
	}
	return 0;
}

static int collect(struct export_task *task, const struct image_row *image, struct bg_err **err)
{
	const char *paths[BUNDLE_FDS] = {image->rootfs, image->work_seed};
	const struct kernel_row *kernel = NULL;
	json_t *names = json_array(), *manifest;
	int r = image->kernel ? kernels_get(task->engine->kernels, image->kernel, &kernel, err) : 0;

	if (kernel) {
		paths[2] = kernel->path;
		paths[3] = kernel->modules_cpio;
		paths[4] = kernel->modules_disk;
		paths[5] = kernel->initrd;
	}
	if (r >= 0)
		r = open_members(task, paths, names, err);
	manifest = json_pack("{s:{s:s, s:b, s:s?, s:o*}}", "image", "name", image->name, "has_sshd",
		image->has_sshd, "os", image->os, "env", image_env(image));
	if (kernel)
		json_object_set_new(manifest, "kernel",
			json_pack("{s:s, s:i, s:s?, s:b}", "format", kernel->format, "modules",
				(int)kernel->n_modules, "release", kernel->release, "cow",
				kernel->cow));
	task->params = json_pack("{s:o, s:o}", "manifest", manifest, "files", names);
	return r;
}

static int check_path(const char *path, struct bg_err **err)
{
	struct stat st;

	if (path[0] != '/')
		return bg_err_set(
			err, BG_ERR_BAD_REQUEST, EINVAL, "\"%s\" is not an absolute path", path);
	return lstat(path, &st) < 0 ? 0 : is_there(path, err);
}

int image_export(struct engine *engine, const char *name, const char *path, struct op **ret,
	struct bg_err **err)
{
	const struct image_row *image;
	struct export_task *task;
	int r = images_get(engine->images, name, &image, err);

	if (r >= 0)
		r = check_path(path, err);
	if (r < 0)
		return r;
	task = calloc(1, sizeof(*task));
	if (!task)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	task->engine = engine;
	for (size_t i = 0; i < ARRAY_SIZE(task->fd); i++)
		task->fd[i] = -1;
	task->name = strdup(name);
	task->path = strdup(path);
	if (!task->name || !task->path)
		r = bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (r >= 0)
		r = collect(task, image, err);
	if (r < 0) {
		task_free(task);
		return r;
	}
	return op_start(engine->ops, &plan, name, task, ret, err);
}
