/* SPDX-License-Identifier: ISC */
/* See kernel.h. The list of kernels, their records, and the plan that deletes one. */
#include "daemon/asset/kernel.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "common/fd.h"
#include "common/json.h"
#include "common/log.h"
#include "common/name.h"
#include "common/timefmt.h"
#include "daemon/asset/asset.h"
#include "daemon/asset/asset_table.h"
#include "daemon/engine.h"

struct kernels {
	struct engine *engine;
	struct asset_table *table;
};

struct delete_task {
	struct engine *engine;
	char *name;
};

static const char *row_name(const void *row)
{
	return ((const struct kernel_row *)row)->name;
}

static bool row_ready(const void *row)
{
	return ((const struct kernel_row *)row)->ready;
}

static void row_free(void *row)
{
	kernel_row_free(row);
}

size_t kernel_row_files(struct kernel_row *row, char **ret[CONTENT_FILES_MAX])
{
	ret[0] = &row->path;
	ret[1] = &row->elf;
	ret[2] = &row->initrd;
	ret[3] = &row->modules_cpio;
	ret[4] = &row->modules_disk;
	return 5;
}

static size_t row_files(void *row, char **ret[CONTENT_FILES_MAX])
{
	return kernel_row_files(row, ret);
}

static const struct asset_table_kind kind = {
	.noun = "kernel",
	.folder = "kernels",
	.not_found = BG_ERR_KERNEL_NOT_FOUND,
	.name_taken = BG_ERR_KERNEL_NAME_TAKEN,
	.name = row_name,
	.ready = row_ready,
	.row_free = row_free,
	.store_drop = store_kernel_drop,
	.files = row_files,
};

struct kernel_row *kernels_find(const struct kernels *kernels, const char *name)
{
	return asset_table_find(kernels->table, name);
}

struct kernel_row *kernels_find_other(const struct kernels *kernels, const char *name)
{
	return asset_table_find_other(kernels->table, name);
}

void kernels_propose(struct kernels *kernels, struct kernel_row *row)
{
	asset_table_propose(kernels->table, row);
}

void kernels_swap(struct kernels *kernels, const char *name)
{
	kernels_set_ready(kernels, asset_table_swap(kernels->table, name), true);
}

void kernels_withdraw(struct kernels *kernels, const char *name)
{
	asset_table_withdraw(kernels->table, name);
}

int kernels_check_free(const struct kernels *kernels, const char *name, struct bg_err **err)
{
	return asset_table_check_free(kernels->table, name, err);
}

int kernels_make_dir(
	const struct kernels *kernels, const char *name, char **ret, struct bg_err **err)
{
	return asset_table_make_dir(kernels->table, name, ret, err);
}

int kernels_add(struct kernels *kernels, struct kernel_row *row, struct bg_err **err)
{
	store_kernel_put(kernels->engine->store, row);
	return asset_table_add(kernels->table, row, err);
}

void kernels_set_ready(struct kernels *kernels, struct kernel_row *row, bool ready)
{
	row->ready = ready;
	store_kernel_put(kernels->engine->store, row);
}

void kernels_tell(struct kernels *kernels, const struct kernel_row *row)
{
	events_publish(kernels->engine->events, "kernel", "changed", row->name,
		kernel_to_json(kernels, row));
}

int kernels_drop(struct kernels *kernels, const char *name, struct bg_err **err)
{
	return asset_table_drop(kernels->table, name, err);
}

static int load_row(struct kernel_row *row, void *userdata)
{
	return asset_table_add(userdata, row, NULL);
}

int kernels_new(struct engine *engine, struct kernels **ret, struct bg_err **err)
{
	_unref_(kernels) struct kernels *kernels = calloc(1, sizeof(*kernels));
	int r;

	if (!kernels)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	kernels->engine = engine;
	r = asset_table_new(engine, &kind, &kernels->table, err);
	if (r >= 0)
		r = store_kernel_each(engine->store, load_row, kernels->table, err);
	if (r >= 0)
		r = asset_table_drop_unfinished(kernels->table, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(kernels);
	return 0;
}

void kernels_free(struct kernels *kernels)
{
	if (!kernels)
		return;
	asset_table_free(kernels->table);
	free(kernels);
}

int kernels_get(const struct kernels *kernels, const char *name, const struct kernel_row **ret,
	struct bg_err **err)
{
	void *row;
	int r = asset_table_get(kernels->table, name, &row, err);

	if (r >= 0)
		*ret = row;
	return r;
}

const char *kernels_only(const struct kernels *kernels)
{
	const struct kernel_row *row = asset_table_next(kernels->table, NULL);

	return row && !asset_table_next(kernels->table, row) ? row->name : NULL;
}

void kernels_without_cow(const struct kernels *kernels, json_t *out)
{
	for (const struct kernel_row *row = NULL; (row = asset_table_next(kernels->table, row));)
		if (row->ready && !row->cow)
			json_array_append_new(out, bg_json_str(row->name));
}

unsigned kernels_naming(const struct kernels *kernels, const char *path)
{
	return asset_table_naming(kernels->table, path);
}

json_t *kernel_to_json(const struct kernels *kernels, const struct kernel_row *row)
{
	char *const *const files[] = {
		&row->path, &row->elf, &row->initrd, &row->modules_cpio, &row->modules_disk};
	json_t *users = json_array();
	uint64_t real = 0;
	char text[BG_TIME_TEXT];

	images_using_kernel(kernels->engine->images, row->name, users);
	asset_vms_using(kernels->engine, NULL, row->name, users);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		real += asset_real_bytes(*files[i]);
	return json_pack(
		"{s:s, s:s, s:s?, s:I, s:I, s:I, s:i, s:s, s:o, s:s, s:{s:s?, s:s?, s:s?, s:s?}}",
		"name", row->name, "format", row->format, "release", row->release, "size_bytes",
		(json_int_t)row->size_bytes, "real_bytes", (json_int_t)real, "shared_bytes",
		(json_int_t)content_store_shared_bytes(kernels->engine, files, ARRAY_SIZE(files)),
		"modules", (int)row->n_modules, "created_at", bg_time_print(row->created_at, text),
		"used_by", users, "path", row->path, "paths", "elf", row->elf, "initrd",
		row->initrd, "modules_cpio", row->modules_cpio, "modules_disk", row->modules_disk);
}

json_t *kernels_to_json(const struct kernels *kernels)
{
	json_t *array = json_array();

	for (const struct kernel_row *row = NULL; (row = asset_table_next(kernels->table, row));)
		json_array_append_new(array, kernel_to_json(kernels, row));
	return json_pack("{s:o}", "kernels", array);
}

int kernel_elf(const struct kernel_row *row, char **ret, struct bg_err **err)
{
	const char *elf = bg_streq(row->format, "elf") ? row->path : row->elf;

	if (!elf || access(elf, R_OK) < 0) {
		bg_err_set(err, BG_ERR_KERNEL_INVALID, ENOEXEC,
			"kernel \"%s\" has no ELF file, which Firecracker needs", row->name);
		bg_err_hint(err,
			"import it again; or boot it with QEMU: vmm = \"qemu\" in config.toml");
		return -ENOEXEC;
	}
	*ret = strdup(elf);
	return *ret ? 0 : bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

static void delete_free(void *userdata)
{
	struct delete_task *task = userdata;

	free(task->name);
	free(task);
}

static int step_drop(struct op *op, void *ctx, struct bg_err **err)
{
	struct delete_task *task = ctx;

	int r = kernels_drop(task->engine->kernels, task->name, err);

	/* That it goes is on the disk by now. */
	return r < 0 ? r : op_commit_late(op, err);
}

static void mark_going(struct delete_task *task, bool going)
{
	struct kernels *kernels = task->engine->kernels;
	struct kernel_row *row = kernels_find(kernels, task->name);

	if (row)
		kernels_set_ready(kernels, row, !going);
}

/* From here on the next start removes it, should this one come to an end. */
static int step_mark(struct op *op, void *ctx, struct bg_err **err)
{
	mark_going(ctx, true);
	return op_commit(op, err);
}

static int undo_mark(struct op *op, void *ctx, struct bg_err **err)
{
	(void)op;
	(void)err;
	mark_going(ctx, false);
	return 0;
}

static const struct op_step delete_steps[] = {
	{"delete", "removing the files", false, step_mark, NULL, undo_mark},
	{"delete", "removing the files", true, step_drop, NULL, NULL},
};

static const struct op_plan delete_plan = {
	.kind = "kernel.delete",
	.frees = true,
	.steps = delete_steps,
	.n_steps = ARRAY_SIZE(delete_steps),
	.ctx_free = delete_free,
};

int kernel_delete(struct engine *engine, const char *name, struct op **ret, struct bg_err **err)
{
	_json_ json_t *users = json_array();
	_free_ char *list = NULL;
	const struct kernel_row *row;
	struct delete_task *task;
	int r = kernels_get(engine->kernels, name, &row, err);

	if (r < 0)
		return r;
	images_using_kernel(engine->images, name, users);
	asset_vms_using(engine, NULL, name, users);
	list = asset_name_list(users);
	if (json_array_size(users) > 0)
		return bg_err_set(err, BG_ERR_KERNEL_IN_USE, EBUSY, "kernel \"%s\" is used by %s",
			name, list ? list : "others");
	task = calloc(1, sizeof(*task));
	if (!task || !(task->name = strdup(name))) {
		free(task);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	task->engine = engine;
	return op_start(engine->ops, &delete_plan, name, task, ret, err);
}
