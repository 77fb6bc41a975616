/* SPDX-License-Identifier: ISC */
/* See kernel.h. The list of kernels, their records, and the plans that import and delete one. */
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
#include "daemon/asset/shelf.h"
#include "daemon/engine.h"

struct kernels {
	struct engine *engine;
	struct shelf *shelf;
};

/* The context of an import or a deletion. */
struct kernel_task {
	struct engine *engine;
	struct op *op;
	struct job *job;
	char *name;
	int source; /* import: the file given */
	char *source_name;
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

static const struct shelf_kind kind = {
	.noun = "kernel",
	.folder = "kernels",
	.not_found = BG_ERR_KERNEL_NOT_FOUND,
	.name_taken = BG_ERR_KERNEL_NAME_TAKEN,
	.name = row_name,
	.ready = row_ready,
	.row_free = row_free,
	.store_delete = store_kernel_delete,
};

static struct kernel_row *find(const struct kernels *kernels, const char *name)
{
	return shelf_find(kernels->shelf, name);
}

static int load_row(struct kernel_row *row, void *userdata)
{
	return shelf_add(userdata, row, NULL);
}

int kernels_new(struct engine *engine, struct kernels **ret, struct bg_err **err)
{
	_unref_(kernels) struct kernels *kernels = calloc(1, sizeof(*kernels));
	int r;

	if (!kernels)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	kernels->engine = engine;
	r = shelf_new(engine, &kind, &kernels->shelf, err);
	if (r >= 0)
		r = store_kernel_each(engine->store, load_row, kernels->shelf, err);
	if (r >= 0)
		r = shelf_drop_unfinished(kernels->shelf, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(kernels);
	return 0;
}

void kernels_free(struct kernels *kernels)
{
	if (!kernels)
		return;
	shelf_free(kernels->shelf);
	free(kernels);
}

int kernels_get(const struct kernels *kernels, const char *name, const struct kernel_row **ret,
	struct bg_err **err)
{
	void *row;
	int r = shelf_get(kernels->shelf, name, &row, err);

	if (r >= 0)
		*ret = row;
	return r;
}

const char *kernels_only(const struct kernels *kernels)
{
	const struct kernel_row *row = shelf_next(kernels->shelf, NULL);

	return row && !shelf_next(kernels->shelf, row) ? row->name : NULL;
}

/* Where the ELF file out of a bzImage lies: beside it. */
static char *unpacked_path(const struct kernel_row *row)
{
	const char *slash = strrchr(row->path, '/');
	char *path = NULL;

	if (!slash || asprintf(&path, "%.*s/vmlinux", (int)(slash - row->path), row->path) < 0)
		return NULL;
	return path;
}

json_t *kernel_to_json(const struct kernels *kernels, const struct kernel_row *row)
{
	_free_ char *unpacked = unpacked_path(row);
	json_t *users = json_array();
	char text[BG_TIME_TEXT];

	images_using_kernel(kernels->engine->images, row->name, users);
	asset_vms_using(kernels->engine, NULL, row->name, users);
	return json_pack("{s:s, s:s, s:s?, s:I, s:I, s:i, s:s, s:o, s:s}", "name", row->name,
		"format", row->format, "release", row->release, "size_bytes",
		(json_int_t)row->size_bytes, "real_bytes",
		(json_int_t)(asset_real_bytes(row->path) + asset_real_bytes(unpacked) +
			     asset_real_bytes(row->modules_cpio) +
			     asset_real_bytes(row->modules_disk)),
		"modules", (int)row->n_modules, "created_at", bg_time_print(row->created_at, text),
		"used_by", users, "path", row->path);
}

json_t *kernels_to_json(const struct kernels *kernels)
{
	json_t *array = json_array();

	for (const struct kernel_row *row = NULL; (row = shelf_next(kernels->shelf, row));)
		json_array_append_new(array, kernel_to_json(kernels, row));
	return json_pack("{s:o}", "kernels", array);
}

static void task_free(void *userdata)
{
	struct kernel_task *task = userdata;

	job_free(task->job);
	bg_close(task->source);
	free(task->name);
	free(task->source_name);
	free(task);
}

static struct kernel_task *task_new(struct engine *engine, const char *name)
{
	struct kernel_task *task = calloc(1, sizeof(*task));

	if (!task)
		return NULL;
	task->engine = engine;
	task->source = -1;
	task->name = strdup(name);
	if (!task->name) {
		task_free(task);
		return NULL;
	}
	return task;
}

static void step_cancel(struct op *op, void *ctx)
{
	struct kernel_task *task = ctx;

	(void)op;
	job_free(TAKE_PTR(task->job));
}

int kernel_elf(const struct kernel_row *row, char **ret, struct bg_err **err)
{
	_free_ char *path = bg_streq(row->format, "elf") ? strdup(row->path) : unpacked_path(row);

	if (!path)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (access(path, R_OK) < 0) {
		bg_err_set(err, BG_ERR_KERNEL_INVALID, ENOEXEC,
			"kernel \"%s\" has no ELF file, which Firecracker needs", row->name);
		bg_err_hint(err,
			"import it again; or boot it with QEMU: vmm = \"qemu\" in config.toml");
		return -ENOEXEC;
	}
	*ret = TAKE_PTR(path);
	return 0;
}

static int take_result(struct kernel_row *row, const json_t *result)
{
	const char *format = NULL, *release = NULL;
	int64_t modules = 0;

	if (bg_json_get_str(result, "format", &format) < 0)
		return -EPROTO;
	(void)bg_json_get_str(result, "release", &release);
	(void)bg_json_get_int(result, "modules", 0, UINT16_MAX, &modules);
	row->format = strdup(format);
	row->release = release ? strdup(release) : NULL;
	row->n_modules = (unsigned)modules;
	asset_drop_empty(&row->modules_cpio);
	asset_drop_empty(&row->modules_disk);
	row->size_bytes = asset_real_bytes(row->path);
	return row->format ? 0 : -ENOMEM;
}

static void on_imported(const json_t *result, struct bg_err *err, void *userdata)
{
	struct kernel_task *task = userdata;
	struct kernel_row *row = find(task->engine->kernels, task->name);
	struct bg_err *failed = NULL;

	if (err)
		failed = bg_err_copy(err);
	else if (take_result(row, result) < 0)
		bg_err_set(&failed, BG_ERR_WORKER, EPROTO,
			"the worker's result of the import makes no sense");
	job_free(TAKE_PTR(task->job)); /* err and result go with it */
	if (failed)
		op_step_failed(task->op, failed);
	else
		op_step_done(task->op);
}

static void on_progress(const json_t *progress, void *userdata)
{
	struct kernel_task *task = userdata;
	int64_t done = 0, total = 0;
	const char *text = NULL;

	if (bg_json_get_str(progress, "text", &text) >= 0)
		op_set_text(task->op, text);
	(void)bg_json_get_int(progress, "total", 0, INT64_MAX, &total);
	if (bg_json_get_int(progress, "done", 0, INT64_MAX, &done) >= 0)
		op_set_progress(task->op, (uint64_t)done, (uint64_t)total, "bytes");
}

static int step_import(struct op *op, void *ctx, struct bg_err **err)
{
	struct kernel_task *task = ctx;
	struct kernel_row *row = find(task->engine->kernels, task->name);
	_close_ int image = -1, cpio = -1, disk = -1;
	_free_ char *dir = NULL;
	int r;

	(void)op;
	r = shelf_make_dir(task->engine->kernels->shelf, task->name, &dir, err);
	if (r >= 0)
		r = asset_output(dir, "kernel", &row->path, &image, err);
	if (r >= 0)
		r = asset_output(dir, "modules.cpio", &row->modules_cpio, &cpio, err);
	if (r >= 0)
		r = asset_output(dir, "modules.ext4", &row->modules_disk, &disk, err);
	if (r < 0)
		return r;
	r = job_start(task->engine->jobs, JOB_KERNEL, json_pack("{s:s}", "name", task->source_name),
		(int[]){task->source, image, cpio, disk}, 4, on_progress, on_imported, task,
		&task->job, err);
	return r < 0 ? r : OP_WAIT;
}

/* A kernel that cannot be unpacked still boots under QEMU: worth a word in the log, no more. */
static void on_unpacked(const json_t *result, struct bg_err *err, void *userdata)
{
	struct kernel_task *task = userdata;
	_free_ char *path = unpacked_path(find(task->engine->kernels, task->name));

	(void)result;
	if (err) {
		log_msg(LOG_WARN, "kernel", "no ELF file of it: Firecracker cannot boot it",
			"kernel", task->name, "error", err->message, NULL);
		if (path)
			(void)unlink(path);
	}
	job_free(TAKE_PTR(task->job));
	op_step_done(task->op);
}

static int step_unpack(struct op *op, void *ctx, struct bg_err **err)
{
	struct kernel_task *task = ctx;
	struct kernel_row *row = find(task->engine->kernels, task->name);
	_close_ int image = -1, elf = -1;
	_free_ char *dir = shelf_dir(task->engine->kernels->shelf, task->name), *path = NULL;
	int r;

	(void)op;
	if (bg_streq(row->format, "elf"))
		return 0;
	image = open(row->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (image < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "open %s", row->path);
	r = dir ? asset_output(dir, "vmlinux", &path, &elf, err)
		: bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (r < 0)
		return r;
	r = job_start(task->engine->jobs, JOB_VMLINUX, json_object(), (int[]){image, elf}, 2,
		on_progress, on_unpacked, task, &task->job, err);
	return r < 0 ? r : OP_WAIT;
}

/* Until here a crash would have had the import removed. */
static int step_record(struct op *op, void *ctx, struct bg_err **err)
{
	struct kernel_task *task = ctx;
	struct kernel_row *row = find(task->engine->kernels, task->name);

	(void)op;
	row->ready = true;
	return store_kernel_save(task->engine->store, row, err);
}

static int step_drop(struct op *op, void *ctx, struct bg_err **err)
{
	struct kernel_task *task = ctx;

	(void)op;
	return shelf_drop(task->engine->kernels->shelf, task->name, err);
}

static void finish_import(struct op *op, void *ctx, const struct bg_err *err)
{
	struct kernel_task *task = ctx;
	const struct kernel_row *row = find(task->engine->kernels, task->name);

	if (err || !row)
		return;
	op_set_result(op, kernel_to_json(task->engine->kernels, row));
	events_publish(task->engine->events, "kernel", "changed", row->name,
		kernel_to_json(task->engine->kernels, row));
}

static const struct op_step import_steps[] = {
	{"import", "reading the kernel", false, step_import, step_cancel, step_drop},
	{"unpack", "unpacking it for Firecracker", false, step_unpack, step_cancel, NULL},
	{"record", "recording it", false, step_record, NULL, NULL},
};

static const struct op_plan import_plan = {
	.kind = "kernel.import",
	.steps = import_steps,
	.n_steps = ARRAY_SIZE(import_steps),
	.finish = finish_import,
	.ctx_free = task_free,
};

static const struct op_step delete_steps[] = {
	{"delete", "removing the files", true, step_drop, NULL, NULL},
};

static const struct op_plan delete_plan = {
	.kind = "kernel.delete",
	.steps = delete_steps,
	.n_steps = ARRAY_SIZE(delete_steps),
	.ctx_free = task_free,
};

/* "linux-image-6.1.0-30-cloud-amd64_6.1.124-1_amd64.deb" gives "linux-6-1-0-30-cloud-amd64". */
static int name_from_path(const char *path, char out[BG_NAME_MAX + 1], struct bg_err **err)
{
	static const char prefix[] = "linux-image-";
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	bool package = strncmp(base, prefix, strlen(prefix)) == 0;
	size_t n = 0;

	if (package) {
		strcpy(out, "linux-");
		n = strlen(out);
		base += strlen(prefix);
	}
	for (; *base && *base != '_' && n < BG_NAME_MAX; base++) {
		bool plain = isalnum((unsigned char)*base) != 0;

		if (plain || (n > 0 && out[n - 1] != '-'))
			out[n++] = plain ? (char)tolower((unsigned char)*base) : '-';
	}
	while (n > 0 && out[n - 1] == '-')
		n--;
	out[n] = '\0';
	if (bg_name_valid(out))
		return 0;
	bg_err_set(err, BG_ERR_NAME_INVALID, EINVAL, "no kernel name can be made of %s", path);
	bg_err_hint(err, "give one with --name");
	return -EINVAL;
}

static int insert_intent(struct engine *engine, const char *name, struct bg_err **err)
{
	_unref_(kernel_row) struct kernel_row *row = calloc(1, sizeof(*row));
	int r;

	if (!row)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	row->name = strdup(name);
	row->format = strdup("");
	row->path = strdup("");
	row->created_at = time(NULL);
	if (!row->name || !row->format || !row->path)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = shelf_check_free(engine->kernels->shelf, name, err);
	if (r < 0)
		return r;
	r = store_kernel_insert(engine->store, row, err);
	if (r < 0)
		return r;
	free(TAKE_PTR(row->format));
	free(TAKE_PTR(row->path));
	return shelf_add(engine->kernels->shelf, TAKE_PTR(row), err);
}

static int start(
	struct kernel_task *task, const struct op_plan *plan, struct op **ret, struct bg_err **err)
{
	int r = op_start(task->engine->ops, plan, task->name, task, ret, err);

	if (r >= 0)
		task->op = *ret;
	return r;
}

int kernel_import(struct engine *engine, const char *name, const char *path, struct op **ret,
	struct bg_err **err)
{
	char made[BG_NAME_MAX + 1];
	const char *base = strrchr(path, '/');
	struct kernel_task *task;
	_close_ int source = -1;
	int r = name ? bg_name_check("kernel", name, err) : name_from_path(path, made, err);

	if (r < 0)
		return r;
	name = name ? name : made;
	r = asset_open_source(path, BG_ERR_KERNEL_INVALID, &source, err);
	if (r < 0)
		return r;
	r = insert_intent(engine, name, err);
	if (r < 0)
		return r;
	task = task_new(engine, name);
	if (!task)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	task->source = TAKE_FD(source);
	task->source_name = strdup(base ? base + 1 : path);
	return start(task, &import_plan, ret, err);
}

int kernel_delete(struct engine *engine, const char *name, struct op **ret, struct bg_err **err)
{
	_json_ json_t *users = json_array();
	_free_ char *list = NULL;
	const struct kernel_row *row;
	struct kernel_task *task;
	int r = kernels_get(engine->kernels, name, &row, err);

	if (r < 0)
		return r;
	images_using_kernel(engine->images, name, users);
	asset_vms_using(engine, NULL, name, users);
	list = asset_name_list(users);
	if (json_array_size(users) > 0)
		return bg_err_set(err, BG_ERR_KERNEL_IN_USE, EBUSY, "kernel \"%s\" is used by %s",
			name, list ? list : "others");
	task = task_new(engine, name);
	if (!task)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	return start(task, &delete_plan, ret, err);
}
