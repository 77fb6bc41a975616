/* SPDX-License-Identifier: ISC */
/* image register: an ext4 file stays where the user has it; a blank work seed is made beside our
 * other images. */
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "common/json.h"
#include "common/name.h"
#include "daemon/asset/asset.h"
#include "daemon/asset/image_task.h"
#include "daemon/engine.h"

/* Where ext2, 3 and 4 keep their magic number: superblock at 1024, s_magic at 56 in it
 * (linux/fs/ext4/ext4.h). */
enum { EXT_MAGIC_OFFSET = 1024 + 56, EXT_MAGIC = 0xef53 };
enum { SEED_ROOT_MODE = 0700 };

static void task_free(void *userdata)
{
	struct image_task *task = userdata;

	image_task_done(task);
	free(task);
}

static void on_made(const json_t *result, struct bg_err *err, void *userdata)
{
	struct image_task *task = userdata;
	struct bg_err *failed = bg_err_copy(err);

	(void)result;
	if (!err)
		(void)images_complete(task->engine->images, image_task_row(task), &failed);
	image_task_end_step(task, failed);
}

static int step_seed(struct op *op, void *ctx, struct bg_err **err)
{
	struct image_task *task = ctx;
	struct image_row *row = image_task_row(task);
	_free_ char *dir = NULL;
	_close_ int fd = -1;
	int r = images_make_dir(task->engine->images, task->name, &dir, err);

	task->op = op;
	if (r >= 0)
		r = asset_output(dir, "work-seed.ext4", &row->work_seed, &fd, err);
	if (r < 0)
		return r;
	r = job_start(task->engine->jobs, JOB_MKFS,
		json_pack("{s:I, s:s, s:i}", "size", (json_int_t)(IMAGE_SEED_MIB * MIB), "label",
			"work", "root_mode", SEED_ROOT_MODE),
		&fd, 1, NULL, on_made, task, &task->job, err);
	return r < 0 ? r : OP_WAIT;
}

static const struct op_step steps[] = {
	{"seed", "making a blank work disk", false, step_seed, image_task_cancel, image_task_undo},
};

static const struct op_plan plan = {
	.kind = "image.register",
	.steps = steps,
	.n_steps = ARRAY_SIZE(steps),
	.finish = image_task_finish,
	.ctx_free = task_free,
};

static int check_rootfs(const char *path, uint64_t *ret_size, struct bg_err **err)
{
	_close_ int fd = -1;
	uint8_t magic[2];
	struct stat st;
	int r = asset_open_source(path, BG_ERR_IMAGE_INVALID, &fd, err);

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return bg_err_sys(err, BG_ERR_IMAGE_INVALID, errno, "look at %s", path);
	if (pread(fd, magic, sizeof(magic), EXT_MAGIC_OFFSET) != sizeof(magic) ||
		(magic[0] | magic[1] << 8) != EXT_MAGIC) {
		bg_err_set(err, BG_ERR_IMAGE_INVALID, EINVAL, "%s is not an ext4 file system image",
			path);
		bg_err_hint(err, "`mkfs.ext4 -d DIR FILE SIZE` makes one of a tree");
		return -EINVAL;
	}
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

static int check_request(struct engine *engine, const struct image_register_request *request,
	uint64_t *ret_size, struct bg_err **err)
{
	const struct kernel_row *kernel;
	int r = bg_name_check("image", request->name, err);

	if (r < 0)
		return r;
	r = images_check_free(engine->images, request->name, err);
	if (r < 0)
		return r;
	if (request->kernel) {
		r = kernels_get(engine->kernels, request->kernel, &kernel, err);
		if (r < 0)
			return r;
	}
	return check_rootfs(request->rootfs, ret_size, err);
}

static int fill_row(
	const struct image_register_request *request, uint64_t size, struct image_row **ret)
{
	_unref_(image_row) struct image_row *row = calloc(1, sizeof(*row));

	if (!row)
		return -ENOMEM;
	row->name = strdup(request->name);
	row->rootfs = strdup(request->rootfs);
	row->source = strdup("register");
	row->kernel = request->kernel ? strdup(request->kernel) : NULL;
	row->size_bytes = size;
	row->has_sshd = true; /* not known before it boots: the agent tells */
	row->created_at = time(NULL);
	if (!row->name || !row->rootfs || !row->source)
		return -ENOMEM;
	*ret = TAKE_PTR(row);
	return 0;
}

int image_register(struct engine *engine, const struct image_register_request *request,
	struct op **ret, struct bg_err **err)
{
	struct image_task *task;
	struct image_row *row;
	uint64_t size = 0;
	int r = check_request(engine, request, &size, err);

	if (r < 0)
		return r;
	task = calloc(1, sizeof(*task));
	if (!task || image_task_init(task, engine, request->name) < 0 ||
		fill_row(request, size, &row) < 0) {
		if (task)
			task_free(task);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	r = images_add(engine->images, row, err);
	if (r < 0) {
		task_free(task);
		return r;
	}
	return op_start(engine->ops, &plan, request->name, task, ret, err);
}
