/* SPDX-License-Identifier: ISC */
/*
 * A VM's root disk where it lies over its image: which storage a new VM gets, the seed that it begins with
 * (guest-cow); the block device of a start (dm-snapshot), its end with the VM's slot, and what is left of an earlier
 * daemon. The device has the number of the network slot, so that it needs no record of its own.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "common/disk_layout.h"
#include "common/log.h"
#include "daemon/asset/seed.h"
#include "daemon/engine.h"
#include "daemon/vm/vm_plan.h"

bool vm_on_overlay(const struct vm *vm)
{
	return bg_streq(vm->row->storage, storage_dm.name);
}

bool vm_is_cow(const struct vm *vm)
{
	return bg_streq(vm->row->storage, storage_cow.name);
}

unsigned vm_cow_chunk(const struct vm *vm)
{
	return vm->row->cow_chunk ? vm->row->cow_chunk : BG_COW_CHUNK_OLD;
}

bool vm_on_base(const struct vm *vm)
{
	return vm_on_overlay(vm) || vm_is_cow(vm);
}

/* ---- the choice ---- */

static void decide(struct engine *engine)
{
	const struct storage_driver *chosen;

	if (engine->storage_known)
		return;
	engine->storage_known = true;
	chosen = storage_choose_dm(engine->paths->state_dir, disk_error(engine->disk),
		&engine->storage_reason, &engine->storage_err);
	if (chosen)
		engine->storage = chosen;
	else
		engine->storage_reason = engine->storage_err ? engine->storage_err->message : "";
	log_msg(LOG_INFO, "storage", engine->storage_reason, NULL);
}

static uint64_t slots_in_use(const struct vms *vms)
{
	uint64_t slots = 0;

	for (const struct vm *vm = vms_first(vms); vm; vm = vm->next)
		if (vm->row->slot >= 0)
			slots |= UINT64_C(1) << vm->row->slot;
	return slots;
}

/* Disks that the ledger has for us and no VM holds: what a crash left. */
static void release_strays(struct engine *engine)
{
	uint64_t stray = disk_held(engine->disk) & ~slots_in_use(engine->vms);

	for (unsigned i = 0; i < BG_SLOTS_MAX; i++) {
		struct disk_call *call = NULL;

		if (stray & UINT64_C(1) << i)
			(void)disk_detach(engine->disk, i, NULL, NULL, &call, NULL);
		disk_call_free(call); /* it is carried out all the same */
	}
}

static void on_disk_known(const char *node, struct bg_err *err, void *userdata)
{
	struct engine *engine = userdata;

	(void)node;
	(void)err; /* decide asks disk_error itself */
	disk_call_free(TAKE_PTR(engine->disk_boot));
	decide(engine);
	if (disk_ready(engine->disk))
		release_strays(engine);
}

int vms_watch_disks(struct engine *engine, struct bg_err **err)
{
	return disk_when_known(engine->disk, on_disk_known, engine, &engine->disk_boot, err);
}

/* ---- create ---- */

/* Why a disk cannot lie over its image in the guest; NULL when it can. */
static const char *cow_unfit(const struct engine *engine, const struct vm_row *row)
{
	const struct kernel_row *kernel;
	const struct image_row *image;

	if (images_get(engine->images, row->image, &image, NULL) < 0 ||
		!storage_cow_fits(image->rootfs))
		return "copy: no disk can lie over this image, for its size or kind of file";
	if (kernels_get(engine->kernels, row->kernel, &kernel, NULL) < 0 || !kernel->cow)
		return "copy: this kernel has no dm-snapshot, or was imported before that was "
		       "looked for (`banger kernel import --replace`)";
	return NULL;
}

/* An image that no disk can lie over (too large, not ours) is copied for this VM. */
static const struct storage_driver *fitting(
	const struct vm_task *task, const struct image_row *image)
{
	const struct storage_driver *driver = task->engine->storage;

	if (driver == &storage_dm && (task->own_disk || !storage_dm_fits(image->rootfs)))
		return &storage_copy;
	if (driver == &storage_cow && cow_unfit(task->engine, task->vm->row))
		return &storage_copy;
	return driver;
}

static int settle_storage(struct vm_task *task, struct bg_err **err)
{
	struct engine *engine = task->engine;
	const struct image_row *image;
	int r;

	if (engine->storage_err) {
		*err = bg_err_copy(engine->storage_err);
		return -ENOTSUP;
	}
	r = images_get(engine->images, task->vm->row->image, &image, err);
	if (r < 0)
		return r;
	free(task->vm->row->storage);
	task->vm->row->storage = strdup(fitting(task, image)->name);
	task->vm->row->cow_chunk = vm_is_cow(task->vm) ? BG_COW_CHUNK : 0;
	if (!task->vm->row->storage)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	vm_save(task->vm);
	return 0;
}

static void on_storage_known(const char *node, struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;
	struct bg_err *failed = NULL;

	(void)node;
	(void)err;
	vm_task_forget(task);
	decide(task->engine);
	if (settle_storage(task, &failed) < 0)
		op_step_failed(task->op, failed);
	else
		op_step_done(task->op);
}

int vm_step_storage(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	int r;

	(void)op;
	if (task->engine->storage_known)
		return settle_storage(task, err);
	r = disk_when_known(task->engine->disk, on_storage_known, task, &task->disk_call, err);
	return r < 0 ? r : OP_WAIT;
}

/* Waits for the first disk over an image only. */
int vm_step_seed(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	const struct image_row *image;
	int r;

	(void)op;
	if (!vm_is_cow(task->vm))
		return 0;
	r = images_get(task->engine->images, task->vm->row->image, &image, err);
	if (r >= 0)
		r = seed_make(
			task->engine, image->rootfs, vm_task_call_ended, task, &task->seed, err);
	return r == 0 ? OP_WAIT : r < 0 ? r : 0;
}

/* ---- start ---- */

static void on_disk_attached(const char *node, struct bg_err *err, void *userdata)
{
	struct vm_task *task = userdata;
	struct bg_err *failed = bg_err_copy(err);

	(void)snprintf(task->node, sizeof(task->node), "%s", node ? node : "");
	vm_task_forget(task); /* node and err go with the call */
	if (!failed) {
		op_step_done(task->op);
		return;
	}
	bg_err_context(&failed, "the disk of VM \"%s\"", task->vm->row->name);
	op_step_failed(task->op, failed);
}

int vm_check_base(const struct vm *vm, const struct image_row *image, struct bg_err **err)
{
	struct stat st;

	if (stat(image->rootfs, &st) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "look at image \"%s\", %s", image->name,
			image->rootfs);
	if (st.st_mtime <= vm->row->created_at)
		return 0;
	bg_err_set(err, BG_ERR_IMAGE_INVALID, ESTALE,
		"image \"%s\" (%s) was written to after VM \"%s\" was made, whose disk lies over "
		"it",
		image->name, image->rootfs, vm->row->name);
	bg_err_hint(err, "put the file back as it was, with its time; or make the VM again");
	return -ESTALE;
}

/* Another may have its name by now. */
static int check_kernel(const struct vm *vm, struct bg_err **err)
{
	const struct kernel_row *kernel;
	int r = kernels_get(vm->engine->kernels, vm->row->kernel, &kernel, err);

	if (r < 0 || kernel->cow)
		return r;
	bg_err_set(err, BG_ERR_KERNEL_INVALID, ENODEV,
		"kernel \"%s\" has no dm-snapshot, which the disk of VM \"%s\" needs", kernel->name,
		vm->row->name);
	bg_err_hint(err, "`banger kernel import --replace` with one that has it, as Debian's have");
	return -ENODEV;
}

/* Undone with the slot, by vm_step_detach. */
int vm_step_disk(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;
	const struct image_row *image;
	int r;

	(void)op;
	task->node[0] = '\0';
	if (!vm_on_base(vm))
		return 0;
	r = images_get(task->engine->images, vm->row->image, &image, err);
	if (r >= 0)
		r = vm_check_base(vm, image, err);
	if (r >= 0 && vm_is_cow(vm))
		return check_kernel(vm, err);
	if (r >= 0)
		r = disk_attach(task->engine->disk, (unsigned)vm->row->slot, image->rootfs,
			vm->paths.disk_root, on_disk_attached, task, &task->disk_call, err);
	return r < 0 ? r : OP_WAIT;
}

int vm_disk_base(const struct vm *vm, char **ret, struct bg_err **err)
{
	const struct image_row *image;
	int r;

	*ret = NULL;
	if (!vm_is_cow(vm))
		return 0;
	r = images_get(vm->engine->images, vm->row->image, &image, err);
	if (r < 0)
		return r;
	*ret = realpath(image->rootfs, NULL);
	return *ret ? 0
		    : bg_err_sys(err, BG_ERR_IO, errno, "look at image \"%s\", %s", image->name,
			      image->rootfs);
}

/* ---- growth ---- */

static int base_size(const struct vm *vm, uint64_t *ret, struct bg_err **err)
{
	const struct image_row *image;
	struct stat st;
	int r = images_get(vm->engine->images, vm->row->image, &image, err);

	if (r < 0)
		return r;
	if (stat(image->rootfs, &st) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "look at image \"%s\", %s", image->name,
			image->rootfs);
	*ret = (uint64_t)st.st_size;
	return 0;
}

int vm_disk_file_size(const struct vm *vm, uint64_t mib, uint64_t *ret, struct bg_err **err)
{
	uint64_t base = 0;
	int r = vm_on_base(vm) ? base_size(vm, &base, err) : 0;

	if (r < 0)
		return r;
	*ret = vm_is_cow(vm)	   ? bg_cow_file_size(base, mib * MIB, vm_cow_chunk(vm))
	       : vm_on_overlay(vm) ? bg_disk_overlay_size(base, mib * MIB)
				   : mib * MIB;
	return 0;
}

int vm_disk_store(const struct vm *vm, uint64_t *ret, struct bg_err **err)
{
	uint64_t base = 0;
	int r = vm_is_cow(vm) ? base_size(vm, &base, err) : 0;

	*ret = base ? bg_cow_store_size(base, vm_cow_chunk(vm)) : 0;
	return r;
}

/* ---- the end ---- */

int vm_disk_release(struct vm_task *task, disk_done_fn done, struct bg_err **err)
{
	const struct vm *vm = task->vm;
	int r;

	if (!vm_on_overlay(vm) || vm->row->slot < 0 || disk_error(task->engine->disk))
		return 0;
	r = disk_detach(
		task->engine->disk, (unsigned)vm->row->slot, done, task, &task->disk_call, err);
	return r < 0 ? r : OP_WAIT;
}

const char *vm_storage_reason(const struct vm *vm)
{
	const struct engine *engine = vm->engine;
	const char *unfit;

	if (bg_streq(vm->row->storage, engine->storage->name))
		return engine->storage_reason;
	if (vm_on_overlay(vm))
		return "dm-snapshot: the disk keeps only what differs from its image";
	if (vm_is_cow(vm))
		return "guest-cow: the disk keeps only what differs from its image";
	if (bg_streq(vm->row->storage, storage_reflink.name))
		return "reflink: the disk shares its image's blocks";
	unfit = engine->storage == &storage_cow ? cow_unfit(engine, vm->row) : NULL;
	return unfit ? unfit
		     : "copy: this image, or the host when the VM was made, allowed nothing better";
}
