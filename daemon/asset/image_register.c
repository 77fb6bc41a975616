/* SPDX-License-Identifier: ISC */
/*
 * image register: an ext4 file stays where the user has it; a blank work seed is made beside our
 * other images. A kernel given as a file becomes a kernel of the image's name and goes with it.
 *
 * With --replace the old record stays listed, whole and usable until the new one is complete: one
 * transaction of the store puts it in its place, and the files of the old one go after that. A
 * failure or a crash before leaves the old one.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "common/json.h"
#include "common/log.h"
#include "common/name.h"
#include "daemon/asset/asset.h"
#include "daemon/asset/image_task.h"
#include "daemon/asset/kernel_make.h"
#include "daemon/engine.h"
#include "daemon/trash.h"

/* Where ext2, 3 and 4 keep their magic number: superblock at 1024, s_magic at 56 in it
 * (linux/fs/ext4/ext4.h). The rest is for a worker to look at. */
enum { EXT_MAGIC_OFFSET = 1024 + 56, EXT_MAGIC = 0xef53 };
enum { SEED_ROOT_MODE = 0700 };

struct register_task {
	struct image_task image;    /* first: see image_task.h */
	struct kernel_make *kernel; /* NULL: it boots with one that is there already, or none */
	bool swapped;		    /* the new record is listed, the old one is kept for an undo */
	bool over;		    /* the old one is gone: nothing is taken back any more */
	char *gone;		    /* the kernel that goes with the old record; NULL: none */
};

static void task_free(void *userdata)
{
	struct register_task *task = userdata;

	image_task_done(&task->image);
	kernel_make_free(task->kernel);
	free(task->gone);
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
		r = asset_output(task->engine->trash, dir, IMAGE_SEED, &row->work_seed, &fd, err);
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

/* ---- in the place of another ---- */

static int check_users(struct engine *engine, const char *name, struct bg_err **err)
{
	_json_ json_t *users = json_array();
	_free_ char *list = NULL;

	asset_vms_using(engine, name, NULL, users);
	list = asset_name_list(users);
	if (json_array_size(users) == 0)
		return 0;
	return bg_err_set(err, BG_ERR_IMAGE_IN_USE, EBUSY, "image \"%s\" is used by %s", name,
		list ? list : "VMs");
}

/* While the new one was made, something may have begun to use the old one. */
static int check_old(const struct register_task *task, struct bg_err **err)
{
	struct engine *engine = task->image.engine;
	const char *name = task->image.name;
	int r = check_users(engine, name, err);

	if (r < 0 || !kernels_find_other(engine->kernels, name) ||
		images_own_kernel(engine->images, images_find(engine->images, name)))
		return r;
	return bg_err_set(err, BG_ERR_KERNEL_IN_USE, EBUSY,
		"kernel \"%s\" is used by something else by now", name);
}

/* A kernel that came with the old record and is named by the new one stays, by itself. */
static void note_gone_kernel(struct register_task *task)
{
	const struct images *images = task->image.engine->images;
	const struct kernel_row *kernel =
		images_own_kernel(images, images_find(images, task->image.name));

	if (kernel && !bg_streq(kernel->name, image_task_row(&task->image)->kernel))
		task->gone = strdup(kernel->name);
}

/* Once more takes it back. What is posted here is one transaction. */
static void swap_records(struct register_task *task)
{
	struct kernels *kernels = task->image.engine->kernels;
	struct kernel_row *gone = task->gone ? kernels_find(kernels, task->gone) : NULL;

	if (kernels_find_other(kernels, task->image.name))
		kernels_swap(kernels, task->image.name);
	else if (task->kernel)
		kernels_set_ready(kernels, kernels_find(kernels, task->image.name), !task->swapped);
	if (gone)
		kernels_set_ready(kernels, gone, task->swapped);
	images_swap(task->image.engine->images, task->image.name);
	task->swapped = !task->swapped;
}

static int step_swap(struct op *op, void *ctx, struct bg_err **err)
{
	struct register_task *task = ctx;
	int r = check_old(task, err);

	if (r < 0)
		return r;
	note_gone_kernel(task);
	swap_records(task);
	return op_commit(op, err);
}

static int undo_swap(struct op *op, void *ctx, struct bg_err **err)
{
	struct register_task *task = ctx;

	if (!task->swapped)
		return 0;
	swap_records(task);
	return op_commit_late(op, err); /* before the files of the new one go */
}

/* A crash in here leaves files that `image prune` removes, and a kernel that the next start does.
 */
static int step_drop_old(struct op *op, void *ctx, struct bg_err **err)
{
	struct register_task *task = ctx;
	struct engine *engine = task->image.engine;

	(void)op;
	task->over = true;
	task->swapped = false;
	images_withdraw(engine->images, task->image.name);
	kernels_withdraw(engine->kernels, task->image.name);
	if (task->gone && kernels_drop(engine->kernels, task->gone, err) < 0) {
		log_err(LOG_WARN, "image", task->gone, *err);
		bg_err_free(TAKE_PTR(*err));
	}
	return 0;
}

static int undo_look(struct op *op, void *ctx, struct bg_err **err)
{
	struct register_task *task = ctx;
	int r = task->over ? 0 : image_task_undo(op, ctx, err);

	return r < 0 || task->over || !task->kernel ? r : kernel_make_drop(task->kernel, err);
}

static const struct op_step steps[] = {
	{"look", "looking at the file system", false, image_task_look, image_task_cancel,
		image_task_undo},
	{"seed", "making a blank work disk", false, step_seed, image_task_cancel, NULL},
	{"finish", "keeping the image", false, image_task_keep, image_task_cancel, NULL},
	{"finish", "keeping the image", false, image_task_list, NULL, NULL},
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

static const struct op_step replace_steps[] = {
	{"look", "looking at the file system", false, image_task_look, image_task_cancel,
		undo_look},
	{"seed", "making a blank work disk", false, step_seed, image_task_cancel, NULL},
	{"finish", "keeping the image", false, image_task_keep, image_task_cancel, NULL},
	{"finish", "keeping the image", false, step_swap, NULL, undo_swap},
	{"finish", "keeping the image", true, step_drop_old, NULL, NULL},
};

static const struct op_step replace_kernel_steps[] = {
	{"look", "looking at the file system", false, image_task_look, step_cancel, undo_look},
	{"kernel", "reading the kernel", false, step_kernel, step_cancel, NULL},
	{"kernel", "copying the initrd", false, step_initrd, step_cancel, NULL},
	{"kernel", "unpacking it for Firecracker", false, step_unpack, step_cancel, NULL},
	{"kernel", "keeping the kernel", false, step_keep, step_cancel, NULL},
	{"seed", "making a blank work disk", false, step_seed, step_cancel, NULL},
	{"finish", "keeping the image", false, image_task_keep, step_cancel, NULL},
	{"finish", "keeping the image", false, step_swap, NULL, undo_swap},
	{"finish", "keeping the image", true, step_drop_old, NULL, NULL},
};

#define PLAN(of_steps)                                                                             \
	{                                                                                          \
		.kind = "image.register", .steps = of_steps, .n_steps = ARRAY_SIZE(of_steps),      \
		.finish = image_task_finish, .ctx_free = task_free                                 \
	}

/* By whether it comes with a kernel, and whether it replaces another. */
static const struct op_plan plans[2][2] = {
	{PLAN(steps), PLAN(replace_steps)}, {PLAN(kernel_steps), PLAN(replace_kernel_steps)}};

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

/* A promotion has begun its copy; see image_promote.c. */
static bool is_promoted(const struct engine *engine, const char *name)
{
	_free_ char *path = NULL;

	return asprintf(&path, "%s/images/%s/" IMAGE_ROOTFS, engine->paths->state_dir, name) >= 0 &&
	       access(path, F_OK) == 0;
}

/* With --replace a name may be taken by what was registered before, and is used by no VM. */
static int check_name(struct engine *engine, const struct image_register_request *request,
	struct image_row **ret_old, struct bg_err **err)
{
	struct image_row *old = images_find(engine->images, request->name);
	int r;

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
	if (is_promoted(engine, request->name))
		return bg_err_set(err, BG_ERR_IMAGE_IN_USE, EBUSY, "image \"%s\" is being promoted",
			request->name);
	r = images_check_settled(engine->images, request->name, err);
	if (r >= 0)
		r = check_users(engine, request->name, err);
	if (r >= 0)
		*ret_old = old;
	return r;
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

/* Its own kernel, of the same name, is replaced with it. */
static bool replaces_kernel(struct engine *engine, const struct image_row *old,
	const struct image_register_request *request)
{
	const struct kernel_row *kernel = old ? images_own_kernel(engine->images, old) : NULL;

	return kernel && bg_streq(kernel->name, request->name);
}

/* The kernel's first: only a kernel that was made for the image may go with it. row is taken. */
static int add_rows(struct register_task *task, const struct image_register_request *request,
	const struct image_row *old, struct image_row *row, struct bg_err **err)
{
	struct engine *engine = task->image.engine;
	int r = request->files.kernel
			? kernel_make_new(engine, request->name, &request->files,
				  replaces_kernel(engine, old, request), &task->kernel, err)
			: 0;

	if (r < 0) {
		image_row_free(row);
		return r;
	}
	if (old) {
		images_propose(engine->images, row);
		return 0;
	}
	r = images_add(engine->images, row, err);
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
	r = add_rows(task, request, old, row, err);
	if (r < 0) {
		task_free(task);
		return r;
	}
	r = op_start(engine->ops, &plans[task->kernel != NULL][old != NULL], request->name, task,
		ret, err);
	if (r < 0 && old) {
		images_withdraw(engine->images, request->name);
		kernels_withdraw(engine->kernels, request->name);
	}
	return r;
}
