/* SPDX-License-Identifier: ISC */
/*
 * Making a VM: the request is checked and the row written at once (so that a wrong request is a
 * plain error, not a failed operation); disks and identity follow as steps.
 */
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <time.h>

#include "common/fd.h"
#include "common/log.h"
#include "common/name.h"
#include "common/size.h"
#include "daemon/asset/seed.h"
#include "daemon/engine.h"
#include "daemon/trash.h"
#include "daemon/vm/expose.h"
#include "daemon/vm/identity.h"
#include "daemon/vm/labels.h"
#include "daemon/vm/publish.h"
#include "daemon/vm/vm_check.h"
#include "daemon/vm/vm_plan.h"

enum { HOST_KEY_MAX = 4096, NAME_TRIES = 64 };

static int pick_name(
	struct engine *engine, const char *wanted, char out[BG_NAME_MAX + 1], struct bg_err **err)
{
	if (wanted) {
		int r = vm_check_name(wanted, err);

		if (r < 0)
			return r;
		strcpy(out, wanted);
		if (vms_find(engine->vms, out))
			return bg_err_set(err, BG_ERR_VM_NAME_TAKEN, EEXIST,
				"there is a VM named \"%s\" already", out);
		return 0;
	}
	for (int i = 0; i < NAME_TRIES; i++) {
		bg_name_random(out);
		if (!vms_find(engine->vms, out))
			return 0;
	}
	return bg_err_set(
		err, BG_ERR_VM_NAME_TAKEN, EEXIST, "every name that came to mind is taken");
}

/* A seed that was some VM's work disk may be larger than the default. 0: there is none to look at.
 */
static uint64_t seed_mib(const struct image_row *image)
{
	struct stat st;

	if (!image->work_seed || stat(image->work_seed, &st) < 0)
		return 0;
	return ((uint64_t)st.st_size + MIB - 1) / MIB;
}

static int check_limits(
	const struct vm_row *row, const struct image_row *image, struct bg_err **err)
{
	uint64_t image_mib = (image->size_bytes + MIB - 1) / MIB;
	char text[BG_SIZE_TEXT];

	if (row->vcpus < BG_VCPU_MIN || row->vcpus > BG_VCPU_MAX)
		return bg_err_set(err, BG_ERR_VM_LIMITS, EINVAL,
			"a VM has %d to %d virtual CPUs, not %u", BG_VCPU_MIN, BG_VCPU_MAX,
			row->vcpus);
	if (row->memory_mib < BG_MEMORY_MIB_MIN || row->memory_mib > BG_MEMORY_MIB_MAX)
		return bg_err_set(err, BG_ERR_VM_LIMITS, EINVAL,
			"a VM has %d to %d MiB of memory, not %llu", BG_MEMORY_MIB_MIN,
			BG_MEMORY_MIB_MAX, (unsigned long long)row->memory_mib);
	if (row->disk_mib < image_mib) {
		bg_err_set(err, BG_ERR_VM_LIMITS, EINVAL,
			"a disk of %llu MiB is smaller than image \"%s\", which has %llu MiB",
			(unsigned long long)row->disk_mib, image->name,
			(unsigned long long)image_mib);
		bg_err_hint(err, "give --disk-size %s or more", bg_size_print_mib(image_mib, text));
		return -EINVAL;
	}
	if (row->work_mib < seed_mib(image)) {
		bg_err_set(err, BG_ERR_VM_LIMITS, EINVAL,
			"a work disk of %llu MiB is smaller than that of image \"%s\", which has "
			"%llu MiB",
			(unsigned long long)row->work_mib, image->name,
			(unsigned long long)seed_mib(image));
		bg_err_hint(err, "give --work-size %s or more",
			bg_size_print_mib(seed_mib(image), text));
		return -EINVAL;
	}
	if (row->disk_mib > BG_DISK_MIB_MAX || row->work_mib > BG_DISK_MIB_MAX ||
		row->work_mib < BG_DISK_MIB_MIN)
		return bg_err_set(err, BG_ERR_VM_LIMITS, EINVAL, "a disk has %d MiB to 16 TiB",
			BG_DISK_MIB_MIN);
	return 0;
}

static void make_id(char id[BG_ID_LEN + 1])
{
	uint8_t raw[BG_ID_LEN / 2];

	randombytes_buf(raw, sizeof(raw));
	sodium_bin2hex(id, BG_ID_LEN + 1, raw, sizeof(raw));
}

/* Sizes: what was asked for, else the config's default, which grows to hold the image. */
static void fill_sizes(struct vm_row *row, const struct config *config,
	const struct vm_request *request, const struct image_row *image)
{
	row->vcpus = request->vcpus != UINT_MAX ? request->vcpus : config->default_cpus;
	row->memory_mib = request->memory_mib ? request->memory_mib : config->default_memory_mib;
	row->disk_mib = request->disk_mib ? request->disk_mib
					  : BG_MAX(config->default_disk_mib,
						    (image->size_bytes + MIB - 1) / MIB);
	row->work_mib = request->work_mib ? request->work_mib
					  : BG_MAX(config->default_work_mib, seed_mib(image));
}

static int fill_row(struct engine *engine, const struct vm_request *request,
	const struct image_row *image, const char *kernel, struct vm_row *row, struct bg_err **err)
{
	char name[BG_NAME_MAX + 1];
	int r = pick_name(engine, request->name, name, err);

	if (r < 0)
		return r;
	make_id(row->id);
	fill_sizes(row, engine->config, request, image);
	row->state = VM_CREATING;
	row->slot = row->home_slot = -1;
	row->nat = request->nat;
	row->peers = request->peers;
	row->with_init = request->with_init;
	row->no_balloon = request->no_balloon;
	row->autostart = request->autostart;
	row->restart = request->restart;
	row->has_sshd = image->has_sshd;
	row->created_at = time(NULL);
	row->name = strdup(name);
	row->image = strdup(image->name);
	row->kernel = strdup(kernel);
	row->storage = strdup(engine->storage->name);
	if (!row->name || !row->image || !row->kernel || !row->storage)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = request->labels ? labels_apply(NULL, request->labels, &row->labels, err) : 0;
	if (r >= 0 && request->publish)
		r = publish_apply(
			engine->vms, NULL, NULL, request->publish, NULL, &row->publish, err);
	if (r >= 0 && request->expose)
		r = expose_apply(NULL, request->expose, NULL, &row->expose, err);
	if (r >= 0)
		r = check_limits(row, image, err);
	return r < 0 ? r : vm_check_memory(row->memory_mib, err);
}

/* The one that was asked for; else the default, or the only one there is. */
static int pick_image(struct engine *engine, const struct vm_request *request,
	const struct image_row **ret, struct bg_err **err)
{
	const char *standard = engine->config->default_image_name;
	int r = images_get(engine->images, request->image ? request->image : standard, ret, err);

	if (r >= 0 || request->image)
		return r;
	*ret = images_only(engine->images);
	if (*ret) {
		if (err)
			bg_err_free(TAKE_PTR(*err));
		return 0;
	}
	bg_err_hint(err, "make one: `banger image build --name %s`, or name another with --image",
		standard);
	return r;
}

static int pick_assets(struct engine *engine, const struct vm_request *request,
	const struct image_row **ret_image, const char **ret_kernel, struct bg_err **err)
{
	const struct kernel_row *kernel;
	int r = pick_image(engine, request, ret_image, err);

	if (r < 0)
		return r;
	*ret_kernel = request->kernel ? request->kernel : (*ret_image)->kernel;
	if (!*ret_kernel)
		return bg_err_set(err, BG_ERR_IMAGE_NO_KERNEL, EINVAL,
			"image \"%s\" has no kernel of its own", (*ret_image)->name);
	r = kernels_get(engine->kernels, *ret_kernel, &kernel, err);
	if (r >= 0)
		r = vm_check_kernel(kernel, err);
	return r < 0 ? r : vm_check_image(*ret_image, err);
}

int vm_create(struct engine *engine, const struct vm_request *request, struct op **ret,
	struct bg_err **err)
{
	_unref_(vm_row) struct vm_row *row = calloc(1, sizeof(*row));
	const struct image_row *image;
	const char *kernel;
	struct vm_task *task;
	struct vm *vm;
	int r;

	if (!row)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = pick_assets(engine, request, &image, &kernel, err);
	if (r < 0)
		return r;
	r = fill_row(engine, request, image, kernel, row, err);
	if (r < 0)
		return r;
	r = vm_add(engine->vms, TAKE_PTR(row), &vm, err);
	if (r < 0)
		return r;
	task = vm_task_new(engine, vm);
	if (task)
		task->own_disk = request->own_disk;
	if (!task)
		r = bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	else
		r = vm_task_start(
			task, request->start ? &vm_plan_create_boot : &vm_plan_create, ret, err);
	if (r < 0) {
		store_vm_drop(engine->store, vm->row->id);
		vm_remove(vm);
		return r;
	}
	vm_save(vm);
	return 0;
}

static void on_clone_progress(uint64_t done, uint64_t total, void *userdata)
{
	struct vm_task *task = userdata;

	op_set_progress(task->op, done, total, "bytes");
}

static int clone_disk(struct vm_task *task, const struct storage_driver *driver, const char *source,
	const char *target, uint64_t bytes, struct bg_err **err)
{
	struct engine *engine = task->engine;
	int r = driver->clone(engine->loop, engine->jobs, source, target, bytes, on_clone_progress,
		vm_task_call_ended, task, &task->clone, err);

	if (r < 0)
		return r;
	storage_call_on_wait(task->clone, op_show_wait, task->op);
	return OP_WAIT;
}

static const struct storage_driver *storage_of(const struct vm_task *task)
{
	const struct storage_driver *driver = storage_driver_by_name(task->vm->row->storage);

	return driver ? driver : task->engine->storage;
}

static int step_root(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;
	const struct image_row *image;
	_free_ char *seed = NULL;
	uint64_t bytes = vm->row->disk_mib * MIB;
	int r;

	(void)op;
	r = images_get(task->engine->images, vm->row->image, &image, err);
	if (r >= 0)
		r = bg_paths_private_dir(vm->paths.dir, err);
	if (r >= 0 && vm_is_cow(vm))
		r = seed_path(task->engine, image->rootfs, &seed, err);
	if (r >= 0 && vm_is_cow(vm))
		r = vm_disk_file_size(vm, vm->row->disk_mib, &bytes, err);
	return r < 0 ? r
		     : clone_disk(task, storage_of(task), seed ? seed : image->rootfs,
			       vm->paths.disk_root, bytes, err);
}

/* A disk of its own, always: a seed is small, and only grows. */
static int step_work(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;
	const struct image_row *image;
	int r = images_get(task->engine->images, vm->row->image, &image, err);

	(void)op;
	if (r < 0)
		return r;
	return clone_disk(task, vm_on_base(vm) ? &storage_copy : storage_of(task), image->work_seed,
		vm->paths.disk_work, vm->row->work_mib * MIB, err);
}

int vm_host_key(const struct vm *vm, char **ret, struct bg_err **err)
{
	int r = bg_read_file_at(AT_FDCWD, vm->paths.host_key, HOST_KEY_MAX, ret, NULL);

	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "read %s", vm->paths.host_key) : 0;
}

static int step_identity(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;
	struct vm *vm = task->vm;
	_pem_ char *private = NULL;
	int r;

	(void)op;
	r = identity_make_key(vm->row->name, &private, &vm->row->host_key_public, err);
	if (r < 0)
		return r;
	/* On the disk with the record, before the VM is said to exist. */
	r = bg_put_file_at(AT_FDCWD, vm->paths.host_key, private, strlen(private), 0600);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "write %s", vm->paths.host_key);
	vm_save(vm);
	keys_touch(task->engine->keys);
	return vm_flush_begin(task, err);
}

/* The row goes last: until then a crash leaves something that the next start removes. */
static int undo_create(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	(void)op;
	vm_task_forget(task);
	return vm_erase(task, err);
}

int vm_erase(struct vm_task *task, struct bg_err **err)
{
	struct engine *engine = task->engine;
	struct vm *vm = task->vm;
	int r;

	if (!vm)
		return 0;
	job_free(TAKE_PTR(task->flush));
	r = trash_throw(engine->trash, vm->paths.dir);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "remove %s", vm->paths.dir);
	(void)bg_rm_rf_at(AT_FDCWD, vm->paths.run_dir);
	store_sync_folder(engine->store, "trash");
	store_sync_folder(engine->store, "vms");
	store_vm_drop(engine->store, vm->row->id);
	vm_remove(vm);
	task->vm = NULL;
	keys_touch(engine->keys);
	/* That it goes is on the disk since the operation began, so that this cannot fail it any more. */
	return op_commit_late(task->op, err);
}

static int step_made(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	vm_move(task->vm, VM_EV_MADE);
	return op_commit(op, err);
}

static int step_boot(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	vm_move(task->vm, VM_EV_BOOT);
	return op_commit(op, err);
}

/* A create that was cancelled while it booted: what is left goes the way of a deletion. */
static int undo_boot(struct op *op, void *ctx, struct bg_err **err)
{
	struct vm_task *task = ctx;

	(void)op;
	(void)err;
	if (op_cancelled(op) &&
		vm_transition_find((enum vm_state)task->vm->row->state, VM_EV_UNMAKE))
		vm_move(task->vm, VM_EV_UNMAKE);
	return 0;
}

#define STEPS_MAKE                                                                                 \
	{"disks", "cloning the root disk", false, vm_step_storage, vm_step_cancel, undo_create},   \
		{"disks", "preparing the image", false, vm_step_seed, vm_step_cancel, NULL,        \
			.rare = true},                                                             \
		{"disks", "cloning the root disk", false, step_root, vm_step_cancel, NULL},        \
		{"disks", "cloning the work disk", false, step_work, vm_step_cancel, NULL},        \
	{                                                                                          \
		"identity", "making the host key", false, step_identity, NULL, NULL                \
	}

static const struct op_step create_steps[] = {
	STEPS_MAKE,
	VM_STEP_FLUSH,
	{"identity", "making the host key", true, step_made, NULL, NULL},
};

static const struct op_step create_boot_steps[] = {
	{"host", "looking for a VMM", false, vm_step_probe, vm_step_cancel, undo_create,
		.rare = true},
	{"host", "waiting for the network helper", false, vm_step_can_boot, vm_step_cancel, NULL,
		.rare = true},
	STEPS_MAKE,
	{"identity", "making the host key", true, step_boot, NULL, undo_boot},
	VM_STEPS_START,
	VM_STEP_FLUSH,
};

const struct op_plan vm_plan_create = {
	.kind = "vm.create",
	.steps = create_steps,
	.n_steps = ARRAY_SIZE(create_steps),
	.finish = vm_finish_boot,
	.ctx_free = vm_task_free,
};

const struct op_plan vm_plan_create_boot = {
	.kind = "vm.create",
	.steps = create_boot_steps,
	.n_steps = ARRAY_SIZE(create_boot_steps),
	.finish = vm_finish_boot,
	.ctx_free = vm_task_free,
};
