/* SPDX-License-Identifier: ISC */
/*
 * image register: an ext4 file stays where the user has it; a blank work seed is made beside our
 * other images. A kernel given as a file becomes a kernel of the image's name and goes with it.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "common/json.h"
#include "common/name.h"
#include "daemon/asset/asset.h"
#include "daemon/asset/image_task.h"
#include "daemon/asset/kernel_make.h"
#include "daemon/engine.h"

/* Where ext2, 3 and 4 keep their magic number: superblock at 1024, s_magic at 56 in it
 * (linux/fs/ext4/ext4.h). The rest is for a worker to look at. */
enum { EXT_MAGIC_OFFSET = 1024 + 56, EXT_MAGIC = 0xef53 };
enum { SEED_ROOT_MODE = 0700 };

struct register_task {
	struct image_task image;    /* first: see image_task.h */
	struct kernel_make *kernel; /* NULL: it boots with one that is there already, or none */
};

static void task_free(void *userdata)
{
	struct register_task *task = userdata;

	image_task_done(&task->image);
	kernel_make_free(task->kernel);
	free(task);
}

static void on_made(const json_t *result, struct bg_err *err, void *userdata)
{
	(void)result;
	image_task_end_step(userdata, bg_err_copy(err));
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
		r = asset_output(dir, IMAGE_SEED, &row->work_seed, &fd, err);
	if (r < 0)
		return r;
	r = job_start(task->engine->jobs, JOB_MKFS,
		json_pack("{s:I, s:s, s:i}", "size", (json_int_t)(IMAGE_SEED_MIB * MIB), "label",
			"work", "root_mode", SEED_ROOT_MODE),
		&fd, 1, NULL, on_made, task, &task->job, err);
	return r < 0 ? r : OP_WAIT;
}

static void step_cancel(struct op *op, void *ctx)
{
	struct register_task *task = ctx;

	image_task_cancel(op, ctx);
	if (task->kernel)
		kernel_make_cancel(task->kernel);
}

static int step_kernel(struct op *op, void *ctx, struct bg_err **err)
{
	struct register_task *task = ctx;

	return kernel_make_read(task->kernel, op, err);
}

static int step_initrd(struct op *op, void *ctx, struct bg_err **err)
{
	struct register_task *task = ctx;

	return kernel_make_initrd(task->kernel, op, err);
}

static int step_unpack(struct op *op, void *ctx, struct bg_err **err)
{
	struct register_task *task = ctx;

	return kernel_make_unpack(task->kernel, op, err);
}

static int step_keep(struct op *op, void *ctx, struct bg_err **err)
{
	struct register_task *task = ctx;

	return kernel_make_keep(task->kernel, op, err);
}

static int step_list(struct op *op, void *ctx, struct bg_err **err)
{
	struct register_task *task = ctx;

	kernel_make_record(task->kernel);
	return image_task_list(op, ctx, err);
}

static const struct op_step steps[] = {
	{"look", "looking at the file system", false, image_task_look, image_task_cancel,
		image_task_undo},
	{"seed", "making a blank work disk", false, step_seed, image_task_cancel, NULL},
	{"finish", "keeping the image", false, image_task_keep, image_task_cancel, NULL},
	{"finish", "keeping the image", false, image_task_list, NULL, NULL},
};

static const struct op_plan plan = {
	.kind = "image.register",
	.steps = steps,
	.n_steps = ARRAY_SIZE(steps),
	.finish = image_task_finish,
	.ctx_free = task_free,
};

/* The same undo everywhere: dropping the image drops its kernel with it. */
static const struct op_step kernel_steps[] = {
	{"look", "looking at the file system", false, image_task_look, step_cancel,
		image_task_undo},
	{"kernel", "reading the kernel", false, step_kernel, step_cancel, NULL},
	{"kernel", "copying the initrd", false, step_initrd, step_cancel, NULL},
	{"kernel", "unpacking it for Firecracker", false, step_unpack, step_cancel, NULL},
	{"kernel", "keeping the kernel", false, step_keep, step_cancel, NULL},
	{"seed", "making a blank work disk", false, step_seed, step_cancel, NULL},
	{"finish", "keeping the image", false, image_task_keep, step_cancel, NULL},
	{"finish", "keeping the image", false, step_list, NULL, NULL},
};

static const struct op_plan kernel_plan = {
	.kind = "image.register",
	.steps = kernel_steps,
	.n_steps = ARRAY_SIZE(kernel_steps),
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

/* With --replace a name may be taken by what was registered before, and is used by no VM. */
static int check_name(struct engine *engine, const struct image_register_request *request,
	struct image_row **ret_old, struct bg_err **err)
{
	struct image_row *old = images_find(engine->images, request->name);
	_json_ json_t *users = json_array();
	_free_ char *list = NULL;

	*ret_old = NULL;
	if (!old || !old->ready || !request->replace)
		return images_check_free(engine->images, request->name, err);
	if (old->managed) {
		bg_err_set(err, BG_ERR_IMAGE_NAME_TAKEN, EEXIST,
			"image \"%s\" was not registered: it is stored by banger", request->name);
		bg_err_hint(
			err, "choose another --name, or `banger image delete %s`", request->name);
		return -EEXIST;
	}
	asset_vms_using(engine, request->name, NULL, users);
	list = asset_name_list(users);
	if (json_array_size(users) > 0)
		return bg_err_set(err, BG_ERR_IMAGE_IN_USE, EBUSY, "image \"%s\" is used by %s",
			request->name, list ? list : "VMs");
	*ret_old = old;
	return 0;
}

/* A kernel that came with the old record and is named by the new one stays, by itself. */
static int drop_old(struct engine *engine, const struct image_register_request *request,
	struct image_row *old, struct bg_err **err)
{
	if (!old)
		return 0;
	if (request->kernel && bg_streq(request->kernel, old->kernel))
		old->owns_kernel = false;
	return images_drop(engine->images, request->name, err);
}

static int check_request(struct engine *engine, const struct image_register_request *request,
	struct image_row **ret_old, uint64_t *ret_size, struct bg_err **err)
{
	const struct kernel_row *kernel;
	int r = bg_name_check("image", request->name, err);

	if (r < 0)
		return r;
	r = check_name(engine, request, ret_old, err);
	if (r < 0)
		return r;
	if (!request->files.kernel && (request->files.modules || request->files.initrd))
		return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL,
			"modules or an initrd come with a kernel: give its file too");
	if (request->kernel && request->files.kernel)
		return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL,
			"two kernels: a file, and the name \"%s\"", request->kernel);
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
	row->owns_kernel = request->files.kernel != NULL;
	row->kernel = row->owns_kernel	? strdup(request->name)
		      : request->kernel ? strdup(request->kernel)
					: NULL;
	row->size_bytes = size;
	row->has_sshd = true; /* until it was looked at */
	row->created_at = time(NULL);
	if (!row->name || !row->rootfs || !row->source)
		return -ENOMEM;
	*ret = TAKE_PTR(row);
	return 0;
}

/* The kernel's first: only a kernel that was made for the image may go with it. row is taken. */
static int add_rows(struct register_task *task, const struct image_register_request *request,
	struct image_row *row, struct bg_err **err)
{
	int r = request->files.kernel ? kernel_make_new(task->image.engine, request->name,
						&request->files, &task->kernel, err)
				      : 0;

	if (r < 0) {
		image_row_free(row);
		return r;
	}
	r = images_add(task->image.engine->images, row, err);
	if (r < 0 && task->kernel)
		(void)kernel_make_drop(task->kernel, NULL);
	return r;
}

int image_register(struct engine *engine, const struct image_register_request *request,
	struct op **ret, struct bg_err **err)
{
	struct register_task *task;
	struct image_row *row, *old = NULL;
	uint64_t size = 0;
	int r = check_request(engine, request, &old, &size, err);

	if (r < 0)
		return r;
	task = calloc(1, sizeof(*task));
	if (!task || image_task_init(&task->image, engine, request->name) < 0 ||
		fill_row(request, size, &row) < 0) {
		if (task)
			task_free(task);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	r = drop_old(engine, request, old, err);
	if (r < 0)
		image_row_free(row);
	else
		r = add_rows(task, request, row, err);
	if (r < 0) {
		task_free(task);
		return r;
	}
	return op_start(
		engine->ops, task->kernel ? &kernel_plan : &plan, request->name, task, ret, err);
}
