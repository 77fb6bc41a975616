/* SPDX-License-Identifier: ISC */
/* See image_task.h. */
#include "daemon/asset/image_task.h"

#include <time.h>

#include "common/json.h"
#include "common/name.h"
#include "daemon/asset/asset.h"
#include "daemon/engine.h"
#include "daemon/trash.h"

int image_task_init(struct image_task *task, struct engine *engine, const char *name)
{
	task->engine = engine;
	task->name = strdup(name);
	return task->name ? 0 : -ENOMEM;
}

void image_task_done(struct image_task *task)
{
	job_free(TAKE_PTR(task->job));
	free(TAKE_PTR(task->name));
}

struct image_row *image_task_row(const struct image_task *task)
{
	struct image_row *other = images_find_other(task->engine->images, task->name);

	return other ? other : images_find(task->engine->images, task->name);
}

void image_task_end_step(struct image_task *task, struct bg_err *err)
{
	job_free(TAKE_PTR(task->job));
	if (err)
		op_step_failed(task->op, err);
	else
		op_step_done(task->op);
}

int image_task_outputs(struct image_task *task, int *ret_rootfs, int *ret_seed, struct bg_err **err)
{
	struct image_row *row = image_task_row(task);
	_close_ int rootfs = -1, seed = -1;
	_free_ char *dir = NULL;
	int r = images_make_dir(task->engine->images, task->name, &dir, err);

	if (r >= 0)
		r = asset_output(
			task->engine->trash, dir, IMAGE_ROOTFS, &row->rootfs, &rootfs, err);
	if (r >= 0)
		r = asset_output(task->engine->trash, dir, IMAGE_SEED, &row->work_seed, &seed, err);
	if (r < 0)
		return r;
	*ret_rootfs = TAKE_FD(rootfs);
	*ret_seed = TAKE_FD(seed);
	return 0;
}

void image_task_progress(const json_t *progress, void *userdata)
{
	struct image_task *task = userdata;

	asset_show_progress(task->op, progress);
}

void image_task_take_rootfs(struct image_task *task, const json_t *result)
{
	struct image_row *row = image_task_row(task);
	const json_t *os = NULL;
	const char *pretty = NULL;
	int64_t size = 0;

	(void)bg_json_get_int(result, "size", 0, INT64_MAX, &size);
	(void)bg_json_get_bool(result, "has_sshd", &row->has_sshd);
	if (bg_json_get_obj(result, "os_release", &os) >= 0 &&
		bg_json_get_str(os, "PRETTY_NAME", &pretty) >= 0)
		row->os = strdup(pretty);
	row->size_bytes = (uint64_t)size;
}

int image_task_take_env(struct image_task *task, const json_t *result, struct bg_err **err)
{
	int r = image_take_env(image_task_row(task), json_object_get(result, "env"));

	return r < 0 ? bg_err_set(err, BG_ERR_WORKER, -r, "the worker's environment is malformed")
		     : 0;
}

static void on_flattened(const json_t *result, struct bg_err *err, void *userdata)
{
	struct image_task *task = userdata;
	struct bg_err *failed = bg_err_copy(err);

	if (!err)
		image_task_take_rootfs(task, result);
	else
		bg_err_context(&failed, "%s", image_task_row(task)->source);
	image_task_end_step(task, failed);
}

int image_task_flatten(struct image_task *task, uint64_t size_mib, json_t *params,
	const int *layers, size_t n, struct bg_err **err)
{
	_json_ json_t *owned = params;
	_close_ int rootfs = -1, seed = -1;
	int fds[2 + BG_LAYERS_MAX];
	int r = image_task_outputs(task, &rootfs, &seed, err);

	if (r < 0)
		return r;
	fds[0] = rootfs;
	fds[1] = seed;
	memcpy(fds + 2, layers, n * sizeof(*layers));
	json_object_set_new(params, "size", json_integer((json_int_t)(size_mib * MIB)));
	json_object_set_new(params, "seed_size", json_integer((json_int_t)(IMAGE_SEED_MIB * MIB)));
	op_set_text(task->op, "writing the root file system");
	r = job_start(task->engine->jobs, JOB_FLATTEN, TAKE_PTR(owned), fds, (unsigned)(2 + n),
		image_task_progress, on_flattened, task, &task->job, err);
	if (r >= 0)
		job_on_wait(task->job, op_show_wait, task->op);
	return r < 0 ? r : OP_WAIT;
}

/* What is not said stays unknown: the agent tells when it boots. */
static void take_inspected(struct image_row *row, const json_t *result)
{
	const json_t *os = NULL;
	const char *pretty = NULL;

	(void)bg_json_get_bool(result, "has_sshd", &row->has_sshd);
	if (bg_json_get_obj(result, "os_release", &os) < 0 ||
		bg_json_get_str(os, "PRETTY_NAME", &pretty) < 0)
		return;
	free(row->os);
	row->os = strdup(pretty);
}

static void on_inspected(const json_t *result, struct bg_err *err, void *userdata)
{
	struct image_task *task = userdata;

	if (!err)
		take_inspected(image_task_row(task), result);
	image_task_end_step(task, bg_err_copy(err));
}

int image_task_look(struct op *op, void *ctx, struct bg_err **err)
{
	struct image_task *task = ctx;
	const char *path = image_task_row(task)->rootfs;
	_close_ int fd = -1;
	int r = asset_open_source(path, BG_ERR_IMAGE_INVALID, &fd, err);

	task->op = op;
	if (r >= 0)
		r = job_start(task->engine->jobs, JOB_INSPECT,
			json_pack("{s:o}", "name", bg_json_str(path)), &fd, 1, NULL, on_inspected,
			task, &task->job, err);
	return r < 0 ? r : OP_WAIT;
}

/* A registered image's root file system is its user's, and stays. */
static size_t own_files(struct image_row *row, char **ret[2])
{
	ret[0] = &row->work_seed;
	ret[1] = &row->rootfs;
	return row->managed ? 2 : 1;
}

static void on_digests(const json_t *result, struct bg_err *err, void *userdata)
{
	struct image_task *task = userdata;
	struct bg_err *failed = bg_err_copy(err);
	char **files[2];
	size_t n = own_files(image_task_row(task), files);

	if (!failed)
		(void)content_store_take(task->engine, files, n, result, &failed);
	image_task_end_step(task, failed);
}

int image_task_keep(struct op *op, void *ctx, struct bg_err **err)
{
	struct image_task *task = ctx;
	char **files[2];
	size_t n = own_files(image_task_row(task), files);
	int r;

	task->op = op;
	r = content_store_look(
		task->engine, files, n, image_task_progress, on_digests, task, &task->job, err);
	return r < 0 ? r : OP_WAIT;
}

int image_task_list(struct op *op, void *ctx, struct bg_err **err)
{
	const struct image_task *task = ctx;

	images_complete(task->engine->images, image_task_row(task));
	return op_commit(op, err);
}

void image_task_cancel(struct op *op, void *ctx)
{
	struct image_task *task = ctx;

	(void)op;
	job_free(TAKE_PTR(task->job));
}

int image_task_undo(struct op *op, void *ctx, struct bg_err **err)
{
	struct image_task *task = ctx;

	(void)op;
	if (!images_find_other(task->engine->images, task->name))
		return images_drop(task->engine->images, task->name, err);
	images_withdraw(task->engine->images, task->name);
	return 0;
}

void image_task_finish(struct op *op, void *ctx, const struct bg_err *err)
{
	struct image_task *task = ctx;
	const struct image_row *row = image_task_row(task);
	const struct kernel_row *kernel;

	if (err || !row)
		return;
	kernel = row->owns_kernel && row->kernel ? kernels_find(task->engine->kernels, row->kernel)
						 : NULL;
	if (kernel)
		kernels_tell(task->engine->kernels, kernel);
	images_tell(task->engine->images, row);
	op_set_result(op, image_to_json(task->engine->images, row));
}

int image_pick_kernel(struct engine *engine, const char *name, const char *wanted, const char *flag,
	const char **ret, struct bg_err **err)
{
	const struct kernel_row *kernel;

	*ret = wanted ? wanted : kernels_only(engine->kernels);
	if (*ret)
		return kernels_get(engine->kernels, *ret, &kernel, err);
	bg_err_set(err, BG_ERR_KERNEL_NOT_FOUND, ENOENT,
		"which kernel should image \"%s\" boot with?", name);
	bg_err_hint(err,
		"name it with %s; `banger kernel list` shows what there is, `banger kernel "
		"import` adds one",
		flag);
	return -ENOENT;
}

int image_default_name(const char *path, char **ret, struct bg_err **err)
{
	const char *slash = strrchr(path, '/');
	_free_ char *name = strdup(slash ? slash + 1 : path);

	if (!name)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	for (char *p = name; *p; p++)
		if (*p == '.' || *p == '_')
			*p = '-';
	if (bg_name_check("image", name, err) < 0) {
		bg_err_hint(err, "choose a name: --name NAME");
		return -EINVAL;
	}
	*ret = TAKE_PTR(name);
	return 0;
}

int image_insert(struct engine *engine, const char *name, const char *kernel, bool owns_kernel,
	const char *source, struct bg_err **err)
{
	_unref_(image_row) struct image_row *row = calloc(1, sizeof(*row));

	if (!row)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	row->name = strdup(name);
	row->kernel = strdup(kernel);
	row->source = strdup(source);
	row->managed = true;
	row->owns_kernel = owns_kernel;
	row->created_at = time(NULL);
	if (!row->name || !row->kernel || !row->source)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	return images_add(engine->images, TAKE_PTR(row), err);
}

int image_task_enter(struct image_task *task, struct engine *engine, const char *name,
	const char *kernel, const char *source, struct bg_err **err)
{
	int r = bg_name_check("image", name, err);

	if (r >= 0 && image_task_init(task, engine, name) < 0)
		r = bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (r >= 0)
		r = images_check_free(engine->images, name, err);
	if (r >= 0)
		r = image_pick_kernel(engine, name, kernel, "--kernel-ref", &kernel, err);
	return r < 0 ? r : image_insert(engine, name, kernel, false, source, err);
}
