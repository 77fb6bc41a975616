/* SPDX-License-Identifier: ISC */
/* See image.h. The list of images, their records, and the plan that deletes one. */
#include "daemon/asset/image.h"

#include <fcntl.h>
#include <stdio.h>

#include "common/fd.h"
#include "common/image_env.h"
#include "common/json.h"
#include "common/log.h"
#include "common/sha256.h"
#include "common/timefmt.h"
#include "daemon/asset/asset.h"
#include "daemon/asset/asset_table.h"
#include "daemon/asset/seed.h"
#include "daemon/engine.h"
#include "daemon/trash.h"

struct images {
	struct engine *engine;
	struct asset_table *table;
};

static const char *row_name(const void *row)
{
	return ((const struct image_row *)row)->name;
}

static bool row_ready(const void *row)
{
	return ((const struct image_row *)row)->ready;
}

static void row_free(void *row)
{
	image_row_free(row);
}

static size_t row_files(void *row, char **ret[CONTENT_FILES_MAX])
{
	struct image_row *image = row;

	ret[0] = &image->rootfs;
	ret[1] = &image->work_seed;
	return 2;
}

static const struct asset_table_kind kind = {
	.noun = "image",
	.folder = "images",
	.not_found = BG_ERR_IMAGE_NOT_FOUND,
	.name_taken = BG_ERR_IMAGE_NAME_TAKEN,
	.name = row_name,
	.ready = row_ready,
	.row_free = row_free,
	.store_drop = store_image_drop,
	.files = row_files,
};

char *image_build_log(const struct engine *engine, const char *name)
{
	char *path = NULL;

	return asprintf(&path, "%s/image-build-%s.log", engine->paths->state_dir, name) < 0 ? NULL
											    : path;
}

int images_make_dir(const struct images *images, const char *name, char **ret, struct bg_err **err)
{
	return asset_table_make_dir(images->table, name, ret, err);
}

struct image_row *images_find(const struct images *images, const char *name)
{
	return asset_table_find(images->table, name);
}

struct image_row *images_find_other(const struct images *images, const char *name)
{
	return asset_table_find_other(images->table, name);
}

int images_check_settled(const struct images *images, const char *name, struct bg_err **err)
{
	if (!asset_table_find_other(images->table, name))
		return 0;
	bg_err_set(err, BG_ERR_IMAGE_IN_USE, EBUSY, "image \"%s\" is being replaced", name);
	bg_err_hint(err, "wait for it: `banger op list` shows it");
	return -EBUSY;
}

int images_check_free(const struct images *images, const char *name, struct bg_err **err)
{
	return asset_table_check_free(images->table, name, err);
}

int images_add(struct images *images, struct image_row *row, struct bg_err **err)
{
	store_image_put(images->engine->store, row);
	return asset_table_add(images->table, row, err);
}

void images_propose(struct images *images, struct image_row *row)
{
	asset_table_propose(images->table, row);
}

void images_swap(struct images *images, const char *name)
{
	/* Its files were moved there by rename. */
	store_sync_folder(images->engine->store, "blobs");
	images_complete(images, asset_table_swap(images->table, name));
}

void images_withdraw(struct images *images, const char *name)
{
	asset_table_withdraw(images->table, name);
}

void images_complete(struct images *images, struct image_row *row)
{
	row->ready = true;
	store_image_put(images->engine->store, row);
}

void images_tell(struct images *images, const struct image_row *row)
{
	events_publish(
		images->engine->events, "image", "changed", row->name, image_to_json(images, row));
}

const struct image_row *images_next(const struct images *images, const struct image_row *row)
{
	return asset_table_next(images->table, row);
}

const struct image_row *images_only(const struct images *images)
{
	const struct image_row *only = NULL;

	for (const struct image_row *row = NULL; (row = asset_table_next(images->table, row));) {
		if (!row->ready)
			continue;
		if (only)
			return NULL;
		only = row;
	}
	return only;
}

/* Does anything but this image need the kernel that came with it? */
static bool kernel_is_shared(const struct images *images, const struct image_row *own)
{
	_json_ json_t *users = json_array();

	asset_vms_using(images->engine, NULL, own->kernel, users);
	for (const struct image_row *row = NULL; (row = asset_table_next(images->table, row));)
		if (row != own && bg_streq(row->kernel, own->kernel))
			return true;
	return json_array_size(users) > 0;
}

struct kernel_row *images_own_kernel(const struct images *images, const struct image_row *row)
{
	return row->owns_kernel && row->kernel && !kernel_is_shared(images, row)
		       ? kernels_find(images->engine->kernels, row->kernel)
		       : NULL;
}

/* From here on the next start removes both, should this one come to an end; false takes it back. */
static void mark_going(struct images *images, const char *name, bool going)
{
	struct image_row *row = images_find(images, name);
	struct kernel_row *kernel = row ? images_own_kernel(images, row) : NULL;

	if (!row)
		return;
	row->ready = !going;
	store_image_put(images->engine->store, row);
	if (kernel)
		kernels_set_ready(images->engine->kernels, kernel, !going);
}

/* Whether the seed of that name belongs to an image. */
static bool has_seed(const void *userdata, const char *name)
{
	const struct image_row *row = NULL;
	char of[BG_SHA256_HEX];

	while ((row = images_next(userdata, row)))
		if (row->rootfs && seed_name(row->rootfs, of) >= 0 && bg_streq(of, name))
			return true;
	return false;
}

void images_prune_seeds(const struct images *images)
{
	seeds_prune(images->engine, has_seed, images);
}

int images_drop(struct images *images, const char *name, struct bg_err **err)
{
	const struct image_row *row = images_find(images, name);
	const struct kernel_row *kernel = row ? images_own_kernel(images, row) : NULL;
	int r = kernel ? kernels_drop(images->engine->kernels, kernel->name, err) : 0;

	if (r >= 0)
		r = asset_table_drop(images->table, name, err);
	if (r >= 0)
		images_prune_seeds(images);
	return r;
}

static int load_row(struct image_row *row, void *userdata)
{
	return asset_table_add(userdata, row, NULL);
}

/* A kernel that came with an image is recorded just before it, and dropped just before it. */
static int drop_kernels_of_unfinished(struct images *images, struct bg_err **err)
{
	struct kernels *kernels = images->engine->kernels;
	int r = 0;

	for (const struct image_row *row = NULL;
		r >= 0 && (row = asset_table_next_unfinished(images->table, row));)
		if (row->owns_kernel && row->kernel && kernels_find(kernels, row->kernel))
			r = kernels_drop(kernels, row->kernel, err);
	return r;
}

/* What a promotion left that was interrupted: a copy that no row names. */
static void drop_unfinished_promotions(struct images *images)
{
	for (const struct image_row *row = NULL; (row = asset_table_next(images->table, row));) {
		_free_ char *dir = row->managed ? NULL : asset_table_dir(images->table, row->name);
		_free_ char *path = NULL;

		if (dir && asprintf(&path, "%s/" IMAGE_ROOTFS, dir) >= 0 &&
			access(path, F_OK) == 0 && trash_throw(images->engine->trash, path) == 0)
			log_msg(LOG_WARN, "image", "what an interrupted promotion left is removed",
				"name", row->name, NULL);
	}
}

int images_new(struct engine *engine, struct images **ret, struct bg_err **err)
{
	_unref_(images) struct images *images = calloc(1, sizeof(*images));
	int r;

	if (!images)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	images->engine = engine;
	r = asset_table_new(engine, &kind, &images->table, err);
	if (r >= 0)
		r = store_image_each(engine->store, load_row, images->table, err);
	if (r >= 0)
		r = drop_kernels_of_unfinished(images, err);
	if (r >= 0)
		r = asset_table_drop_unfinished(images->table, err);
	if (r < 0)
		return r;
	drop_unfinished_promotions(images);
	*ret = TAKE_PTR(images);
	return 0;
}

void images_free(struct images *images)
{
	if (!images)
		return;
	asset_table_free(images->table);
	free(images);
}

int images_get(const struct images *images, const char *name, const struct image_row **ret,
	struct bg_err **err)
{
	void *row;
	int r = asset_table_get(images->table, name, &row, err);

	if (r >= 0)
		*ret = row;
	return r;
}

void images_using_kernel(const struct images *images, const char *kernel, json_t *out)
{
	for (const struct image_row *row = NULL; (row = asset_table_next(images->table, row));)
		if (bg_streq(row->kernel, kernel))
			json_array_append_new(out, bg_json_str(row->name));
}

unsigned images_naming(const struct images *images, const char *path)
{
	return asset_table_naming(images->table, path);
}

static json_t *paths_json(const struct images *images, const struct image_row *row)
{
	_free_ char *log = image_build_log(images->engine, row->name);
	bool built = log && access(log, F_OK) == 0;

	return json_pack("{s:s?, s:s?, s:s?}", "rootfs", row->rootfs, "work_seed", row->work_seed,
		"build_log", built ? log : NULL);
}

int image_take_env(struct image_row *row, const json_t *list)
{
	_json_ json_t *env = NULL;
	int r = image_env_take(list, &env);

	if (r < 0 || !env)
		return r;
	free(row->env);
	row->env = json_dumps(env, JSON_COMPACT);
	return row->env ? 0 : -ENOMEM;
}

json_t *image_env(const struct image_row *row)
{
	return row->env ? json_loads(row->env, 0, NULL) : NULL;
}

/* Registered by an earlier version, which did not look into them. */
static json_t *sshd_json(const struct image_row *row)
{
	if (row->has_sshd && !row->os && bg_streq(row->source, "register"))
		return json_null();
	return json_boolean(row->has_sshd);
}

json_t *image_to_json(const struct images *images, const struct image_row *row)
{
	const struct kernel_row *kernel =
		row->kernel ? kernels_find(images->engine->kernels, row->kernel) : NULL;
	json_t *users = json_array(), *env = image_env(row);
	char *const *const files[] = {&row->rootfs, &row->work_seed};
	char text[BG_TIME_TEXT];

	asset_vms_using(images->engine, row->name, NULL, users);
	return json_pack("{s:s, s:b, s:s?, s:s?, s:i, s:b, s:I, s:I, s:I, s:s?, s:o, s:s, s:s, "
			 "s:o, s:o, s:o}",
		"name", row->name, "managed", row->managed, "kernel", row->kernel, "kernel_release",
		kernel ? kernel->release : NULL, "modules", kernel ? (int)kernel->n_modules : 0,
		"owns_kernel", row->owns_kernel, "size_bytes", (json_int_t)row->size_bytes,
		"real_bytes",
		(json_int_t)(asset_real_bytes(row->rootfs) + asset_real_bytes(row->work_seed)),
		"shared_bytes",
		(json_int_t)content_store_shared_bytes(images->engine, files, ARRAY_SIZE(files)),
		"os", row->os, "has_sshd", sshd_json(row), "source", row->source, "created_at",
		bg_time_print(row->created_at, text), "used_by", users, "paths",
		paths_json(images, row), "env", env ? env : json_array());
}

json_t *images_to_json(const struct images *images)
{
	json_t *array = json_array();

	for (const struct image_row *row = NULL; (row = asset_table_next(images->table, row));)
		json_array_append_new(array, image_to_json(images, row));
	return json_pack("{s:o}", "images", array);
}

struct delete_task {
	struct engine *engine;
	char *name;
	bool marked;
};

static void delete_free(void *userdata)
{
	struct delete_task *task = userdata;

	free(task->name);
	free(task);
}

static int step_delete(struct op *op, void *ctx, struct bg_err **err)
{
	struct delete_task *task = ctx;
	_free_ char *log = image_build_log(task->engine, task->name);

	int r = images_drop(task->engine->images, task->name, err);

	if (r >= 0 && log)
		trash_unlink(task->engine->trash, log);
	/* That it goes is on the disk by now. */
	return r < 0 ? r : op_commit_late(op, err);
}

static int step_mark(struct op *op, void *ctx, struct bg_err **err)
{
	struct delete_task *task = ctx;
	/* Once more: it may have begun since. */
	int r = images_check_settled(task->engine->images, task->name, err);

	if (r < 0)
		return r;
	mark_going(task->engine->images, task->name, true);
	task->marked = true;
	return op_commit(op, err);
}

static int undo_mark(struct op *op, void *ctx, struct bg_err **err)
{
	struct delete_task *task = ctx;

	(void)op;
	(void)err;
	if (task->marked)
		mark_going(task->engine->images, task->name, false);
	return 0;
}

static const struct op_step delete_steps[] = {
	{"delete", "removing the files", false, step_mark, NULL, undo_mark},
	{"delete", "removing the files", true, step_delete, NULL, NULL},
};

static const struct op_plan delete_plan = {
	.kind = "image.delete",
	.frees = true,
	.steps = delete_steps,
	.n_steps = ARRAY_SIZE(delete_steps),
	.ctx_free = delete_free,
};

int image_delete(struct engine *engine, const char *name, struct op **ret, struct bg_err **err)
{
	_json_ json_t *users = json_array();
	_free_ char *list = NULL;
	const struct image_row *row;
	struct delete_task *task;
	int r = images_get(engine->images, name, &row, err);

	if (r >= 0)
		r = images_check_settled(engine->images, name, err);
	if (r < 0)
		return r;
	asset_vms_using(engine, name, NULL, users);
	list = asset_name_list(users);
	if (json_array_size(users) > 0)
		return bg_err_set(err, BG_ERR_IMAGE_IN_USE, EBUSY, "image \"%s\" is used by %s",
			name, list ? list : "VMs");
	task = calloc(1, sizeof(*task));
	if (!task || !(task->name = strdup(name))) {
		free(task);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	task->engine = engine;
	return op_start(engine->ops, &delete_plan, name, task, ret, err);
}
