/* SPDX-License-Identifier: ISC */
/*
 * image import: a bundle becomes an image and a kernel of its own. Both rows are there from the
 * start, not ready; a crash at any point has them dropped with their files at the next start, the
 * download among them.
 */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "common/fd.h"
#include "common/json.h"
#include "common/name.h"
#include "common/sha256.h"
#include "daemon/asset/asset.h"
#include "daemon/asset/bundle.h"
#include "daemon/asset/catalog.h"
#include "daemon/asset/image_task.h"
#include "daemon/asset/kernel_make.h"
#include "daemon/engine.h"
#include "daemon/trash.h"

#define DOWNLOAD "bundle"

const char *const bundle_member_names[BUNDLE_FDS] = {
	"rootfs.ext4", "work-seed.ext4", "kernel", "modules.cpio", "modules.ext4", "initrd"};

struct import_task {
	struct image_task base;
	char *url, *sha256; /* url NULL: from a file */
	char *after;	    /* the catalog's URL, when that is on the network */
	char *wanted;	    /* what a catalog calls it; NULL: none is asked */
	struct catalog_lookup *lookup;
	struct kernel_make *kernel; /* NULL once the bundle is known to have none */
	int source;
	char *download; /* path of what was fetched */
};

static void task_free(void *userdata)
{
	struct import_task *task = userdata;

	image_task_done(&task->base);
	catalog_lookup_free(task->lookup);
	kernel_make_free(task->kernel);
	trash_close(task->base.engine->trash, task->source);
	free(task->wanted);
	free(task->url);
	free(task->sha256);
	free(task->after);
	free(task->download);
	free(task);
}

static struct image_row *row_of(const struct import_task *task)
{
	return image_task_row(&task->base);
}

/* ---- look ---- */

static void on_found(const json_t *entry, struct bg_err *err, void *userdata)
{
	struct import_task *task = userdata;
	struct bg_err *failed = bg_err_copy(err);

	if (entry) {
		task->url = strdup(json_string_value(json_object_get(entry, "url")));
		task->sha256 = strdup(json_string_value(json_object_get(entry, "sha256")));
		if (json_object_get(entry, "after"))
			task->after = strdup(json_string_value(json_object_get(entry, "after")));
		if (!task->url || !task->sha256)
			bg_err_set(&failed, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	catalog_lookup_free(TAKE_PTR(task->lookup)); /* entry and err go with it */
	image_task_end_step(&task->base, failed);
}

static int step_look(struct op *op, void *ctx, struct bg_err **err)
{
	struct import_task *task = ctx;
	int r;

	task->base.op = op;
	r = catalog_look(
		task->base.engine, "image", task->wanted, on_found, task, &task->lookup, err);
	return r < 0 ? r : OP_WAIT;
}

/* ---- fetch ---- */

static void on_fetched(const json_t *result, struct bg_err *err, void *userdata)
{
	struct import_task *task = userdata;
	struct bg_err *failed = bg_err_copy(err);

	(void)result;
	if (!failed && lseek(task->source, 0, SEEK_SET) < 0)
		bg_err_sys(&failed, BG_ERR_IO, errno, "read %s", task->download);
	free(TAKE_PTR(task->sha256)); /* checked */
	image_task_end_step(&task->base, failed);
}

/* Bytes that may be written below the state directory. */
static json_int_t room(const struct engine *engine)
{
	struct statvfs v;

	return statvfs(engine->paths->state_dir, &v) < 0 ? (json_int_t)BG_IMAGE_MAX
							 : (json_int_t)(v.f_bavail * v.f_frsize);
}

static int step_fetch(struct op *op, void *ctx, struct bg_err **err)
{
	struct import_task *task = ctx;
	_free_ char *dir = NULL;
	json_t *params;
	int r;

	task->base.op = op;
	if (strncmp(task->url, "file://", 7) == 0)
		return asset_open_source(task->url + 7, BG_ERR_IMAGE_INVALID, &task->source, err);
	r = images_make_dir(task->base.engine->images, task->base.name, &dir, err);
	if (r >= 0)
		r = asset_output(task->base.engine->trash, dir, DOWNLOAD, &task->download,
			&task->source, err);
	if (r < 0)
		return r;
	params = json_pack("{s:s, s:s*, s:I}", "url", task->url, "after", task->after, "max_size",
		BG_MAX((json_int_t)1, room(task->base.engine)));
	if (task->sha256)
		json_object_set_new(params, "sha256", json_string(task->sha256));
	r = job_start(task->base.engine->jobs, JOB_FETCH, params,
		(int[]){task->source, task->source}, 2, image_task_progress, on_fetched, task,
		&task->base.job, err);
	if (r >= 0)
		job_on_wait(task->base.job, op_show_wait, task->base.op);
	return r < 0 ? r : OP_WAIT;
}

/* ---- unpack ---- */

static int take_image(struct image_row *row, const json_t *manifest)
{
	const json_t *image = json_object_get(manifest, "image");
	const json_t *rootfs =
		json_object_get(json_object_get(manifest, "files"), bundle_member_names[0]);
	const char *os = json_string_value(json_object_get(image, "os"));
	int64_t size = 0;

	if (bg_json_get_int(rootfs, "size", 1, INT64_MAX, &size) < 0 ||
		bg_json_get_bool(image, "has_sshd", &row->has_sshd) < 0 ||
		image_take_env(row, json_object_get(image, "env")) < 0)
		return -EPROTO;
	row->size_bytes = (uint64_t)size;
	row->os = os ? strdup(os) : NULL;
	return os && !row->os ? -ENOMEM : 0;
}

static int take_manifest(struct import_task *task, const json_t *manifest, struct bg_err **err)
{
	struct image_row *row = row_of(task);
	const json_t *kernel = json_object_get(manifest, "kernel");
	int r = take_image(row, manifest);

	if (r < 0)
		return bg_err_set(err, BG_ERR_WORKER, -r, "the worker's manifest makes no sense");
	if (!kernel) {
		r = kernel_make_drop(task->kernel, err);
		kernel_make_free(TAKE_PTR(task->kernel));
		row->owns_kernel = false;
		free(TAKE_PTR(row->kernel));
		return r;
	}
	return kernel_make_take(task->kernel, kernel, err);
}

static void on_unpacked(const json_t *result, struct bg_err *err, void *userdata)
{
	struct import_task *task = userdata;
	struct bg_err *failed = bg_err_copy(err);

	if (!failed)
		(void)take_manifest(task, json_object_get(result, "manifest"), &failed);
	trash_close(task->base.engine->trash, TAKE_FD(task->source));
	if (task->download)
		(void)trash_throw(task->base.engine->trash, task->download);
	image_task_end_step(&task->base, failed);
}

static int open_outputs(struct import_task *task, int fds[BUNDLE_FDS], struct bg_err **err)
{
	struct image_row *row = row_of(task);
	_free_ char *dir = NULL;
	int r = images_make_dir(task->base.engine->images, task->base.name, &dir, err);

	if (r >= 0)
		r = asset_output(
			task->base.engine->trash, dir, IMAGE_ROOTFS, &row->rootfs, &fds[0], err);
	if (r >= 0)
		r = asset_output(
			task->base.engine->trash, dir, IMAGE_SEED, &row->work_seed, &fds[1], err);
	if (r >= 0)
		r = kernel_make_outputs(task->kernel, &fds[2], err);
	return r;
}

static int step_unpack(struct op *op, void *ctx, struct bg_err **err)
{
	struct import_task *task = ctx;
	int fds[1 + BUNDLE_FDS] = {task->source, -1, -1, -1, -1, -1, -1}, r;
	json_t *params;

	task->base.op = op;
	r = open_outputs(task, fds + 1, err);
	if (r >= 0) {
		params = json_pack("{s:I}", "room", room(task->base.engine));
		if (task->sha256)
			json_object_set_new(params, "sha256", json_string(task->sha256));
		r = job_start(task->base.engine->jobs, JOB_UNPACK_BUNDLE, params, fds,
			ARRAY_SIZE(fds), image_task_progress, on_unpacked, task, &task->base.job,
			err);
	}
	for (size_t i = 1; i < ARRAY_SIZE(fds); i++)
		bg_close(fds[i]);
	if (r >= 0)
		job_on_wait(task->base.job, op_show_wait, op);
	return r < 0 ? r : OP_WAIT;
}

/* ---- seed, kernel, record ---- */

enum { SEED_ROOT_MODE = 0700 };

static void on_seeded(const json_t *result, struct bg_err *err, void *userdata)
{
	(void)result;
	image_task_end_step(userdata, bg_err_copy(err));
}

/* For a bundle that brings no work seed. */
static int step_seed(struct op *op, void *ctx, struct bg_err **err)
{
	struct import_task *task = ctx;
	const char *seed = row_of(task)->work_seed;
	_close_ int fd = -1;
	int r;

	task->base.op = op;
	if (asset_real_bytes(seed) > 0)
		return 0;
	fd = open(seed, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "open %s", seed);
	r = job_start(task->base.engine->jobs, JOB_MKFS,
		json_pack("{s:I, s:s, s:i}", "size", (json_int_t)(IMAGE_SEED_MIB * MIB), "label",
			"work", "root_mode", SEED_ROOT_MODE),
		&fd, 1, NULL, on_seeded, task, &task->base.job, err);
	return r < 0 ? r : OP_WAIT;
}

static int step_elf(struct op *op, void *ctx, struct bg_err **err)
{
	struct import_task *task = ctx;

	return task->kernel ? kernel_make_unpack(task->kernel, op, err) : 0;
}

static int step_keep_kernel(struct op *op, void *ctx, struct bg_err **err)
{
	struct import_task *task = ctx;

	return task->kernel ? kernel_make_keep(task->kernel, op, err) : 0;
}

static int step_record(struct op *op, void *ctx, struct bg_err **err)
{
	struct import_task *task = ctx;

	if (task->kernel)
		kernel_make_record(task->kernel);
	return image_task_list(op, ctx, err);
}

static void step_cancel(struct op *op, void *ctx)
{
	struct import_task *task = ctx;

	image_task_cancel(op, ctx);
	catalog_lookup_free(TAKE_PTR(task->lookup));
	if (task->kernel)
		kernel_make_cancel(task->kernel);
}

/* Both rows with all files. */
static int undo(struct op *op, void *ctx, struct bg_err **err)
{
	struct import_task *task = ctx;
	int r = row_of(task) ? image_task_undo(op, ctx, err) : 0;

	return r >= 0 && task->kernel ? kernel_make_drop(task->kernel, err) : r;
}

static const struct op_step steps[] = {
	{"look", "looking into the catalogs", false, step_look, step_cancel, undo},
	{"fetch", "fetching the bundle", false, step_fetch, step_cancel, undo},
	{"unpack", "unpacking the bundle", false, step_unpack, step_cancel, undo},
	{"unpack", "looking at the file system", false, image_task_look, step_cancel, NULL},
	{"unpack", "making a blank work disk", false, step_seed, step_cancel, NULL},
	{"kernel", "unpacking the kernel for Firecracker", false, step_elf, step_cancel, NULL},
	{"record", "recording it", false, step_keep_kernel, step_cancel, NULL},
	{"record", "recording it", false, image_task_keep, step_cancel, NULL},
	{"record", "recording it", false, step_record, NULL, NULL},
};

static const struct op_plan catalog_plan = {
	.kind = "image.import",
	.steps = steps,
	.n_steps = ARRAY_SIZE(steps),
	.finish = image_task_finish,
	.ctx_free = task_free,
};

static const struct op_plan url_plan = {
	.kind = "image.import",
	.steps = steps + 1,
	.n_steps = ARRAY_SIZE(steps) - 1,
	.finish = image_task_finish,
	.ctx_free = task_free,
};

static const struct op_plan file_plan = {
	.kind = "image.import",
	.steps = steps + 2,
	.n_steps = ARRAY_SIZE(steps) - 2,
	.finish = image_task_finish,
	.ctx_free = task_free,
};

/* ---- start ---- */

/* "https://host/debian-12.tar.zst?x" gives "debian-12". */
static int name_from(const char *from, char out[BG_NAME_MAX + 1], struct bg_err **err)
{
	size_t len = strcspn(from, "?#"), n = 0;
	const char *base = memrchr(from, '/', len);

	base = base ? base + 1 : from;
	for (; base < from + len && *base != '.' && n < BG_NAME_MAX; base++)
		if (isalnum((unsigned char)*base))
			out[n++] = (char)tolower((unsigned char)*base);
		else if (n > 0 && out[n - 1] != '-')
			out[n++] = '-';
	while (n > 0 && out[n - 1] == '-')
		n--;
	out[n] = '\0';
	if (bg_name_valid(out))
		return 0;
	bg_err_set(err, BG_ERR_NAME_INVALID, EINVAL, "no image name can be made of %s", from);
	bg_err_hint(err, "give one with --name");
	return -EINVAL;
}

static int check_sha256(const char *sha256, struct bg_err **err)
{
	if (!sha256 || bg_sha256_valid(sha256))
		return 0;
	return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL,
		"\"%.80s\" is not a sha256: that has 64 digits of 0-9 and a-f", sha256);
}

static int open_from(struct import_task *task, const char *from, struct bg_err **err)
{
	if (strncmp(from, "http://", 7) != 0 && strncmp(from, "https://", 8) != 0)
		return asset_open_source(strncmp(from, "file://", 7) == 0 ? from + 7 : from,
			BG_ERR_IMAGE_INVALID, &task->source, err);
	task->url = strdup(from);
	return task->url ? 0 : bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

/* A kernel that comes with an image has its name, or that with -kernel when there is such a one. */
static int make_kernel(struct import_task *task, struct bg_err **err)
{
	struct kernels *kernels = task->base.engine->kernels;
	char other[BG_NAME_MAX + sizeof("-kernel")];

	if (!kernels_find(kernels, task->base.name))
		return kernel_make_empty(task->base.engine, task->base.name, &task->kernel, err);
	snprintf(other, sizeof(other), "%.*s-kernel", BG_NAME_MAX - 7, task->base.name);
	return kernel_make_empty(task->base.engine, other, &task->kernel, err);
}

static int task_new(struct engine *engine, const char *name,
	const struct image_import_request *request, struct import_task **ret, struct bg_err **err)
{
	struct import_task *task = calloc(1, sizeof(*task));
	int r;

	if (!task)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	task->source = -1;
	task->sha256 = request->sha256 ? strdup(request->sha256) : NULL;
	task->wanted = request->catalog ? strdup(request->catalog) : NULL;
	r = image_task_init(&task->base, engine, name) >= 0 && (task->sha256 || !request->sha256) &&
			    (task->wanted || !request->catalog)
		    ? (task->wanted ? 0 : open_from(task, request->from, err))
		    : bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (r < 0)
		task_free(task);
	else
		*ret = task;
	return r;
}

int image_import(struct engine *engine, const struct image_import_request *request, struct op **ret,
	struct bg_err **err)
{
	char made[BG_NAME_MAX + 1];
	struct import_task *task = NULL;
	const char *name = request->name;
	int r;

	if (!request->catalog == !request->from)
		return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL,
			"one of \"from\" and \"catalog\" says where the image is");
	if (request->catalog && !name)
		name = request->catalog;
	r = name ? bg_name_check("image", name, err) : name_from(request->from, made, err);
	name = name ? name : made;

	if (r >= 0)
		r = check_sha256(request->sha256, err);
	if (r >= 0)
		r = images_check_free(engine->images, name, err);
	if (r >= 0)
		r = task_new(engine, name, request, &task, err);
	if (r < 0)
		return r;
	r = make_kernel(task, err);
	if (r >= 0) {
		r = image_insert(engine, name, kernel_make_name(task->kernel), true, "import", err);
		if (r < 0)
			(void)kernel_make_drop(task->kernel, NULL);
	}
	if (r < 0) {
		task_free(task);
		return r;
	}
	return op_start(engine->ops,
		task->wanted ? &catalog_plan
		: task->url  ? &url_plan
			     : &file_plan,
		name, task, ret, err);
}
