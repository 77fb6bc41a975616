/* SPDX-License-Identifier: ISC */
/*
 * vm_commit.c: A root disk that keeps only what differs from its image is put together with that by a worker.
 */
#include "daemon/vm/vm_commit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "common/disk_layout.h"
#include "common/fd.h"
#include "common/name.h"
#include "daemon/asset/asset.h"
#include "daemon/asset/image_task.h"
#include "daemon/driver/storage.h"
#include "daemon/engine.h"
#include "daemon/op/op.h"
#include "daemon/trash.h"
#include "daemon/vm/vm.h"

struct commit {
	struct image_task task;
	char *vm_id;
	uint64_t bytes;		/* of the root disk */
	struct stat root, work; /* as they were when it began */
	struct storage_call *call;
};

static void commit_free(void *userdata)
{
	struct commit *commit = userdata;

	storage_call_free(commit->call);
	image_task_done(&commit->task);
	free(commit->vm_id);
	free(commit);
}

static void cancel(struct op *op, void *ctx)
{
	struct commit *commit = ctx;

	storage_call_free(TAKE_PTR(commit->call));
	image_task_cancel(op, &commit->task);
}

static void on_progress(uint64_t done, uint64_t total, void *userdata)
{
	struct commit *commit = userdata;

	op_set_progress(commit->task.op, done, total, "bytes");
}

static void on_cloned(struct bg_err *err, void *userdata)
{
	struct commit *commit = userdata;
	struct bg_err *failed = bg_err_copy(err);

	storage_call_free(TAKE_PTR(commit->call));
	image_task_end_step(&commit->task, failed);
}

static struct vm *find_vm(const struct commit *commit)
{
	for (struct vm *vm = vms_first(commit->task.engine->vms); vm; vm = vm->next)
		if (bg_streq(vm->row->id, commit->vm_id))
			return vm;
	return NULL;
}

static int clone(struct commit *commit, const char *source, const struct stat *st, const char *file,
	char **ret_path, struct bg_err **err)
{
	struct engine *engine = commit->task.engine;
	const struct storage_driver *driver =
		engine->storage == &storage_reflink ? &storage_reflink : &storage_copy;
	_free_ char *dir = NULL;
	int r = images_make_dir(engine->images, commit->task.name, &dir, err);

	if (r < 0)
		return r;
	if (asprintf(ret_path, "%s/%s", dir, file) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = driver->clone(engine->loop, engine->jobs, source, *ret_path, (uint64_t)st->st_size,
		on_progress, on_cloned, commit, &commit->call, err);
	return r < 0 ? r : OP_WAIT;
}

static int vm_gone(const struct commit *commit, struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_VM_NOT_FOUND, ENOENT,
		"the VM that image \"%s\" was made of was deleted meanwhile", commit->task.name);
}

static void on_merged(const json_t *result, struct bg_err *err, void *userdata)
{
	struct commit *commit = userdata;

	(void)result;
	image_task_end_step(&commit->task, bg_err_copy(err));
}

/* fds: image, own file, and what becomes of them. */
static int open_merge(struct commit *commit, const struct vm *vm, int fds[3], struct bg_err **err)
{
	const struct image_row *base;
	_free_ char *dir = NULL;
	int r = images_get(commit->task.engine->images, vm->row->image, &base, err);

	if (r >= 0)
		r = vm_check_base(vm, base, err);
	if (r >= 0)
		r = asset_open_source(base->rootfs, BG_ERR_IMAGE_INVALID, &fds[0], err);
	if (r < 0)
		return r;
	fds[1] = open(vm->paths.disk_root, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fds[1] < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "open %s", vm->paths.disk_root);
	r = images_make_dir(commit->task.engine->images, commit->task.name, &dir, err);
	return r < 0 ? r
		     : asset_output(commit->task.engine->trash, dir, IMAGE_ROOTFS,
			       &image_task_row(&commit->task)->rootfs, &fds[2], err);
}

static int merge(struct commit *commit, const struct vm *vm, struct bg_err **err)
{
	unsigned chunk = vm_is_cow(vm) ? vm_cow_chunk(vm) : BG_DISK_CHUNK;
	int fds[3] = {-1, -1, -1};
	int r = open_merge(commit, vm, fds, err);

	if (r >= 0)
		r = job_start(commit->task.engine->jobs, JOB_COW_MERGE,
			json_pack("{s:i}", "chunk", (int)chunk), fds, 3, image_task_progress,
			on_merged, commit, &commit->task.job, err);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		bg_close(fds[i]);
	return r < 0 ? r : OP_WAIT;
}

static int step_root(struct op *op, void *ctx, struct bg_err **err)
{
	struct commit *commit = ctx;
	const struct vm *vm = find_vm(commit);

	commit->task.op = op;
	if (!vm)
		return vm_gone(commit, err);
	if (vm_on_base(vm))
		return merge(commit, vm, err);
	return clone(commit, vm->paths.disk_root, &commit->root, IMAGE_ROOTFS,
		&image_task_row(&commit->task)->rootfs, err);
}

static int step_work(struct op *op, void *ctx, struct bg_err **err)
{
	struct commit *commit = ctx;
	const struct vm *vm = find_vm(commit);

	commit->task.op = op;
	if (!vm)
		return vm_gone(commit, err);
	return clone(commit, vm->paths.disk_work, &commit->work, IMAGE_SEED,
		&image_task_row(&commit->task)->work_seed, err);
}

static bool unchanged(const char *path, const struct stat *before)
{
	struct stat now;

	return stat(path, &now) >= 0 && now.st_ino == before->st_ino &&
	       now.st_size == before->st_size && now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
	       now.st_mtim.tv_nsec == before->st_mtim.tv_nsec;
}

/* A VM that was started meanwhile wrote to what was being copied. */
static int step_complete(struct op *op, void *ctx, struct bg_err **err)
{
	struct commit *commit = ctx;
	struct image_row *row = image_task_row(&commit->task);
	const struct vm *vm = find_vm(commit);

	if (!vm)
		return vm_gone(commit, err);
	if (vm->row->state != VM_STOPPED || !unchanged(vm->paths.disk_root, &commit->root) ||
		!unchanged(vm->paths.disk_work, &commit->work))
		return bg_err_set(err, BG_ERR_VM_STATE, EBUSY,
			"VM \"%s\" was used while its disks were copied", vm->row->name);
	row->size_bytes = commit->bytes;
	row->has_sshd = vm->row->has_sshd;
	return image_task_list(op, ctx, err);
}

static const struct op_step steps[] = {
	{"rootfs", "copying the root disk", false, step_root, cancel, image_task_undo},
	{"seed", "copying the work disk", false, step_work, cancel, NULL},
	{"complete", "registering the image", false, image_task_keep, cancel, NULL},
	{"complete", "registering the image", false, step_complete, NULL, NULL},
};

static const struct op_plan plan = {
	.kind = "image.commit",
	.steps = steps,
	.n_steps = ARRAY_SIZE(steps),
	.finish = image_task_finish,
	.ctx_free = commit_free,
};

static int check_vm(const struct vm *vm, struct bg_err **err)
{
	int r;

	if (vm->row->state != VM_STOPPED || vm->op) {
		r = bg_err_set(err, BG_ERR_VM_STATE, EBUSY,
			"VM \"%s\" is %s: only a stopped one holds still", vm->row->name,
			vm_state_str((enum vm_state)vm->row->state));
		if (vm->row->state == VM_SUSPENDED)
			bg_err_hint(err, "`banger vm resume %s`, then `banger vm stop %s`",
				vm->row->name, vm->row->name);
		else
			bg_err_hint(err, "`banger vm stop %s`", vm->row->name);
		return r;
	}
	return 0;
}

static int stat_disk(const char *path, struct stat *ret, struct bg_err **err)
{
	return stat(path, ret) < 0 ? bg_err_sys(err, BG_ERR_IO, errno, "look at %s", path) : 0;
}

/* The base's os and environment are the image's: packages do not change them. */
static void take_after(struct engine *engine, const struct vm *vm, const char *name)
{
	struct image_row *row = images_find(engine->images, name);
	const struct image_row *base;

	if (images_get(engine->images, vm->row->image, &base, NULL) < 0)
		return;
	row->os = base->os ? strdup(base->os) : NULL;
	row->env = base->env ? strdup(base->env) : NULL;
}

int vm_commit(struct engine *engine, const char *name, struct vm *vm, struct op **ret,
	struct bg_err **err)
{
	struct commit *commit;
	int r = bg_name_check("image", name, err);

	if (r >= 0)
		r = images_check_free(engine->images, name, err);
	if (r >= 0)
		r = check_vm(vm, err);
	if (r < 0)
		return r;
	commit = calloc(1, sizeof(*commit));
	if (!commit)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = stat_disk(vm->paths.disk_root, &commit->root, err);
	if (r >= 0)
		r = stat_disk(vm->paths.disk_work, &commit->work, err);
	commit->vm_id = strdup(vm->row->id);
	commit->bytes = vm_on_base(vm) ? vm->row->disk_mib * MIB : (uint64_t)commit->root.st_size;
	if (r >= 0 && (!commit->vm_id || image_task_init(&commit->task, engine, name) < 0))
		r = bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (r >= 0)
		r = image_insert(engine, name, vm->row->kernel, false, "commit", err);
	if (r < 0) {
		commit_free(commit);
		return r;
	}
	take_after(engine, vm, name);
	return op_start(engine->ops, &plan, name, commit, ret, err);
}
