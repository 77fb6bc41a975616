/* SPDX-License-Identifier: ISC */
/* See image.h. The list of images, their records, and the plan that deletes one. */
#include "daemon/asset/image.h"

#include <fcntl.h>
#include <stdio.h>

#include "common/fd.h"
#include "common/json.h"
#include "common/log.h"
#include "common/timefmt.h"
#include "daemon/asset/asset.h"
#include "daemon/engine.h"

struct entry {
	struct entry *next;
	struct image_row *row;
};

struct images {
	struct engine *engine;
	struct entry *first; /* ordered by name */
};

static char *image_dir(const struct engine *engine, const char *name)
{
	char *dir = NULL;

	return asprintf(&dir, "%s/images/%s", engine->paths->state_dir, name) < 0 ? NULL : dir;
}

char *image_build_log(const struct engine *engine, const char *name)
{
	char *path = NULL;

	return asprintf(&path, "%s/image-build-%s.log", engine->paths->state_dir, name) < 0 ? NULL : path;
}

int image_make_dir(struct engine *engine, const char *name, char **ret, struct bg_err **err)
{
	_free_ char *dir = image_dir(engine, name);
	int r;

	if (!dir)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = bg_paths_private_dir(dir, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(dir);
	return 0;
}

struct image_row *images_find(const struct images *images, const char *name)
{
	struct entry *e = images->first;

	while (e && !bg_streq(e->row->name, name))
		e = e->next;
	return e ? e->row : NULL;
}

static int add(struct images *images, struct image_row *row, struct bg_err **err)
{
	struct entry *e = calloc(1, sizeof(*e)), **at = &images->first;

	if (!e) {
		image_row_free(row);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	e->row = row;
	while (*at && strcmp((*at)->row->name, row->name) < 0)
		at = &(*at)->next;
	e->next = *at;
	*at = e;
	return 0;
}

int images_add(struct images *images, struct image_row *row, struct bg_err **err)
{
	int r = store_image_insert(images->engine->store, row, err);

	if (r < 0) {
		image_row_free(row);
		return r;
	}
	return add(images, row, err);
}

int images_complete(struct images *images, struct image_row *row, struct bg_err **err)
{
	int r;

	row->ready = true;
	r = store_image_save(images->engine->store, row, err);
	if (r >= 0)
		events_publish(images->engine->events, "image", "changed", row->name, image_to_json(images, row));
	return r;
}

static void forget(struct images *images, const char *name)
{
	struct entry **at = &images->first, *e;

	while (*at && !bg_streq((*at)->row->name, name))
		at = &(*at)->next;
	e = *at;
	if (!e)
		return;
	*at = e->next;
	image_row_free(e->row);
	free(e);
}

int images_drop(struct images *images, const char *name, struct bg_err **err)
{
	_free_ char *dir = image_dir(images->engine, name);
	int r = dir ? bg_rm_rf_at(AT_FDCWD, dir) : -ENOMEM;

	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "remove image \"%s\"", name);
	r = store_image_delete(images->engine->store, name, err);
	if (r < 0)
		return r;
	forget(images, name);
	events_publish(images->engine->events, "image", "deleted", name, json_null());
	return 0;
}

static int load_row(struct image_row *row, void *userdata)
{
	return add(userdata, row, NULL);
}

static int drop_unfinished(struct images *images, struct bg_err **err)
{
	struct entry *next;

	for (struct entry *e = images->first; e; e = next) {
		_free_ char *name = strdup(e->row->name);
		int r;

		next = e->next;
		if (e->row->ready || !name)
			continue;
		log_msg(LOG_WARN, "image", "an interrupted build is removed", "image", name, NULL);
		r = images_drop(images, name, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int images_new(struct engine *engine, struct images **ret, struct bg_err **err)
{
	_unref_(images) struct images *images = calloc(1, sizeof(*images));
	int r;

	if (!images)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	images->engine = engine;
	r = store_image_each(engine->store, load_row, images, err);
	if (r < 0)
		return r;
	r = drop_unfinished(images, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(images);
	return 0;
}

void images_free(struct images *images)
{
	if (!images)
		return;
	while (images->first)
		forget(images, images->first->row->name);
	free(images);
}

int images_get(const struct images *images, const char *name, const struct image_row **ret, struct bg_err **err)
{
	const struct image_row *row = images_find(images, name);

	if (!row || !row->ready)
		return bg_err_set(err, BG_ERR_IMAGE_NOT_FOUND, ENOENT, "there is no image named \"%s\"", name);
	*ret = row;
	return 0;
}

void images_using_kernel(const struct images *images, const char *kernel, json_t *out)
{
	for (const struct entry *e = images->first; e; e = e->next)
		if (bg_streq(e->row->kernel, kernel))
			json_array_append_new(out, bg_json_str(e->row->name));
}

static json_t *paths_json(const struct images *images, const struct image_row *row)
{
	_free_ char *log = image_build_log(images->engine, row->name);
	bool built = log && access(log, F_OK) == 0;

	return json_pack("{s:s?, s:s?, s:s?}", "rootfs", row->rootfs, "work_seed", row->work_seed, "build_log",
		built ? log : NULL);
}

json_t *image_to_json(const struct images *images, const struct image_row *row)
{
	json_t *users = json_array();
	char text[BG_TIME_TEXT];

	asset_vms_using(images->engine, row->name, NULL, users);
	return json_pack("{s:s, s:b, s:s?, s:I, s:I, s:s?, s:b, s:s, s:s, s:o, s:o}", "name", row->name, "managed",
		row->managed, "kernel", row->kernel, "size_bytes", (json_int_t)row->size_bytes, "real_bytes",
		(json_int_t)(asset_real_bytes(row->rootfs) + asset_real_bytes(row->work_seed)), "os", row->os,
		"has_sshd", row->has_sshd, "source", row->source, "created_at", bg_time_print(row->created_at, text),
		"used_by", users, "paths", paths_json(images, row));
}

json_t *images_to_json(const struct images *images)
{
	json_t *array = json_array();

	for (const struct entry *e = images->first; e; e = e->next)
		if (e->row->ready)
			json_array_append_new(array, image_to_json(images, e->row));
	return json_pack("{s:o}", "images", array);
}

struct delete_task {
	struct engine *engine;
	char *name;
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

	(void)op;
	if (log)
		(void)unlink(log);
	return images_drop(task->engine->images, task->name, err);
}

static const struct op_step delete_steps[] = {
	{"delete", "removing the files", true, step_delete, NULL, NULL},
};

static const struct op_plan delete_plan = {
	.kind = "image.delete",
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

	if (r < 0)
		return r;
	asset_vms_using(engine, name, NULL, users);
	list = asset_name_list(users);
	if (json_array_size(users) > 0)
		return bg_err_set(err, BG_ERR_IMAGE_IN_USE, EBUSY, "image \"%s\" is used by %s", name,
			list ? list : "VMs");
	task = calloc(1, sizeof(*task));
	if (!task || !(task->name = strdup(name))) {
		free(task);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	task->engine = engine;
	return op_start(engine->ops, &delete_plan, name, task, ret, err);
}
