/* SPDX-License-Identifier: ISC */
/* See kernel_make.h; and the plan of kernel import. */
#include "daemon/asset/kernel_make.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "common/fd.h"
#include "common/json.h"
#include "common/log.h"
#include "common/name.h"
#include "daemon/asset/asset.h"
#include "daemon/engine.h"
#include "daemon/trash.h"

struct kernel_make {
	struct engine *engine;
	struct op *op;
	struct job *job;
	char *name;
	int kernel, modules, initrd;	  /* the sources; -1 where there is none */
	char *kernel_file, *modules_file; /* their names, for messages */
	bool swapped;			  /* it is listed, and what it replaces is the other one */
};

static struct kernel_row *row_of(const struct kernel_make *make)
{
	struct kernel_row *other = kernels_find_other(make->engine->kernels, make->name);

	return other ? other : kernels_find(make->engine->kernels, make->name);
}

void kernel_make_free(struct kernel_make *make)
{
	if (!make)
		return;
	job_free(make->job);
	trash_close(make->engine->trash, make->kernel);
	trash_close(make->engine->trash, make->modules);
	trash_close(make->engine->trash, make->initrd);
	free(make->name);
	free(make->kernel_file);
	free(make->modules_file);
	free(make);
}

/* ---- start ---- */

static struct kernel_row *new_row(const char *name)
{
	struct kernel_row *row = calloc(1, sizeof(*row));

	if (!row)
		return NULL;
	row->name = strdup(name);
	row->created_at = time(NULL);
	if (!row->name) {
		kernel_row_free(row);
		return NULL;
	}
	return row;
}

/* Nothing to record: the one of this name is what a crash leaves. */
static int propose(struct engine *engine, const char *name, struct bg_err **err)
{
	struct kernel_row *row = new_row(name);

	if (!row)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	kernels_propose(engine->kernels, row);
	return 0;
}

static int insert_intent(struct engine *engine, const char *name, struct bg_err **err)
{
	struct kernel_row *row = new_row(name);
	int r;

	if (!row)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	row->format = strdup("");
	row->path = strdup("");
	if (!row->format || !row->path) {
		kernel_row_free(row);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	r = kernels_add(engine->kernels, row, err);
	if (r < 0)
		return r;
	row = kernels_find(engine->kernels, name);
	free(TAKE_PTR(row->format));
	free(TAKE_PTR(row->path));
	return 0;
}

static char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strdup(slash ? slash + 1 : path);
}

static int open_sources(
	struct kernel_make *make, const struct kernel_files *files, struct bg_err **err)
{
	int r = asset_open_source(files->kernel, BG_ERR_KERNEL_INVALID, &make->kernel, err);

	if (r >= 0 && files->modules)
		r = asset_open_source(files->modules, BG_ERR_KERNEL_INVALID, &make->modules, err);
	if (r >= 0 && files->initrd)
		r = asset_open_source(files->initrd, BG_ERR_KERNEL_INVALID, &make->initrd, err);
	return r;
}

/* A cpio archive, as it is or packed in a way that kernels unpack. */
static int check_initrd(int fd, const char *path, struct bg_err **err)
{
	static const struct {
		const char *bytes;
		size_t len;
	} magics[] = {{"070701", 6}, {"070702", 6}, {"\x1f\x8b", 2}, {"\x28\xb5\x2f\xfd", 4},
		{"\xfd"
		 "7zXZ",
			5},
		{"\x02\x21\x4c\x18", 4}, {"BZh", 3}, {"\x5d\0\0", 3}};
	char head[8] = "";
	ssize_t n = fd < 0 ? 0 : pread(fd, head, sizeof(head), 0);

	for (size_t i = 0; n == sizeof(head) && i < ARRAY_SIZE(magics); i++)
		if (memcmp(head, magics[i].bytes, magics[i].len) == 0)
			return 0;
	return fd < 0 ? 0
		      : bg_err_set(err, BG_ERR_KERNEL_INVALID, EINVAL,
				"%s is not an initrd: neither cpio nor a packed one", path);
}

static struct kernel_make *make_alloc(struct engine *engine, const char *name)
{
	struct kernel_make *make = calloc(1, sizeof(*make));

	if (!make)
		return NULL;
	make->engine = engine;
	make->kernel = make->modules = make->initrd = -1;
	make->name = strdup(name);
	if (!make->name)
		kernel_make_free(TAKE_PTR(make));
	return make;
}

int kernel_make_empty(
	struct engine *engine, const char *name, struct kernel_make **ret, struct bg_err **err)
{
	_unref_(kernel_make) struct kernel_make *make = make_alloc(engine, name);
	int r = make ? kernels_check_free(engine->kernels, name, err)
		     : bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");

	if (r >= 0)
		r = insert_intent(engine, name, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(make);
	return 0;
}

int kernel_make_new(struct engine *engine, const char *name, const struct kernel_files *files,
	bool replace, struct kernel_make **ret, struct bg_err **err)
{
	_unref_(kernel_make) struct kernel_make *make = make_alloc(engine, name);
	int r;

	if (!make)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	make->kernel_file = file_name(files->kernel);
	make->modules_file = files->modules ? file_name(files->modules) : NULL;
	if (!make->kernel_file || (files->modules && !make->modules_file))
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = replace ? 0 : kernels_check_free(engine->kernels, name, err);
	if (r >= 0)
		r = open_sources(make, files, err);
	if (r >= 0)
		r = check_initrd(make->initrd, files->initrd, err);
	if (r >= 0)
		r = replace ? propose(engine, name, err) : insert_intent(engine, name, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(make);
	return 0;
}

/* ---- steps ---- */

static void on_progress(const json_t *progress, void *userdata)
{
	struct kernel_make *make = userdata;

	asset_show_progress(make->op, progress);
}

static int take_result(struct kernel_row *row, const json_t *result)
{
	const char *format = NULL, *release = NULL;
	int64_t modules = 0;

	if (bg_json_get_str(result, "format", &format) < 0)
		return -EPROTO;
	(void)bg_json_get_str(result, "release", &release);
	(void)bg_json_get_int(result, "modules", 0, UINT16_MAX, &modules);
	(void)bg_json_get_bool(result, "cow", &row->cow);
	row->format = strdup(format);
	row->release = release ? strdup(release) : NULL;
	row->n_modules = (unsigned)modules;
	asset_drop_empty(&row->modules_cpio);
	asset_drop_empty(&row->modules_disk);
	asset_drop_empty(&row->initrd);
	row->size_bytes = asset_real_bytes(row->path);
	return row->format ? 0 : -ENOMEM;
}

/* Ends the step. err is taken; result and the worker's error go with the job. */
static void settle(struct kernel_make *make, struct bg_err *err)
{
	job_free(TAKE_PTR(make->job));
	if (err)
		op_step_failed(make->op, err);
	else
		op_step_done(make->op);
}

int kernel_make_take(struct kernel_make *make, const json_t *what, struct bg_err **err)
{
	return take_result(row_of(make), what) < 0
		       ? bg_err_set(err, BG_ERR_WORKER, EPROTO,
				 "what the worker says of kernel \"%s\" makes no sense", make->name)
		       : 0;
}

static void on_read(const json_t *result, struct bg_err *err, void *userdata)
{
	struct kernel_make *make = userdata;
	struct bg_err *failed = bg_err_copy(err);

	if (!failed)
		(void)kernel_make_take(make, result, &failed);
	settle(make, failed);
}

/* The initrd's file comes last: kernel import makes it only when it is wanted. */
static int open_outputs(struct kernel_make *make, int *fds, size_t n, struct bg_err **err)
{
	struct kernel_row *row = row_of(make);
	char **const path[] = {&row->path, &row->modules_cpio, &row->modules_disk, &row->initrd};
	static const char *const name[] = {"kernel", "modules.cpio", "modules.ext4", "initrd"};
	_free_ char *dir = NULL;
	int r = kernels_make_dir(make->engine->kernels, make->name, &dir, err);

	for (size_t i = 0; r >= 0 && i < n; i++)
		r = asset_output(make->engine->trash, dir, name[i], path[i], &fds[i], err);
	return r;
}

int kernel_make_outputs(struct kernel_make *make, int fds[4], struct bg_err **err)
{
	return open_outputs(make, fds, 4, err);
}

void kernel_make_source(struct kernel_make *make, int fd)
{
	trash_close(make->engine->trash, make->kernel);
	make->kernel = fd;
}

const char *kernel_make_name(const struct kernel_make *make)
{
	return make->name;
}

int kernel_make_read(struct kernel_make *make, struct op *op, struct bg_err **err)
{
	int fds[5] = {make->kernel, -1, -1, -1, make->modules < 0 ? make->kernel : make->modules};
	json_t *params;
	int r;

	make->op = op;
	r = open_outputs(make, fds + 1, 3, err);
	if (r >= 0) {
		params = json_pack("{s:o}", "name",
			bg_json_str(make->kernel_file ? make->kernel_file : make->name));
		if (make->modules_file)
			json_object_set_new(params, "modules", bg_json_str(make->modules_file));
		r = job_start(make->engine->jobs, JOB_KERNEL, params, fds, ARRAY_SIZE(fds),
			on_progress, on_read, make, &make->job, err);
	}
	for (int i = 1; i <= 3; i++)
		bg_close(fds[i]);
	if (r >= 0)
		job_on_wait(make->job, op_show_wait, op);
	return r < 0 ? r : OP_WAIT;
}

static void on_copied(const json_t *result, struct bg_err *err, void *userdata)
{
	struct kernel_make *make = userdata;

	(void)result;
	settle(make, bg_err_copy(err));
}

int kernel_make_initrd(struct kernel_make *make, struct op *op, struct bg_err **err)
{
	struct kernel_row *row = row_of(make);
	_close_ int out = -1;
	_free_ char *dir = NULL;
	int r;

	make->op = op;
	if (make->initrd < 0)
		return 0;
	r = kernels_make_dir(make->engine->kernels, make->name, &dir, err);
	if (r >= 0)
		r = asset_output(make->engine->trash, dir, "initrd", &row->initrd, &out, err);
	if (r >= 0)
		r = job_start(make->engine->jobs, JOB_COPY, json_object(),
			(int[]){make->initrd, out}, 2, on_progress, on_copied, make, &make->job,
			err);
	return r < 0 ? r : OP_WAIT;
}

/* A kernel that cannot be unpacked still boots under QEMU: worth a word in the log, no more. */
static void on_unpacked(const json_t *result, struct bg_err *err, void *userdata)
{
	struct kernel_make *make = userdata;
	struct kernel_row *row = row_of(make);

	(void)result;
	if (err) {
		log_msg(LOG_WARN, "kernel", "no ELF file of it: Firecracker cannot boot it",
			"kernel", make->name, "error", err->message, NULL);
		trash_unlink(make->engine->trash, row->elf);
		free(TAKE_PTR(row->elf));
	}
	settle(make, NULL);
}

int kernel_make_unpack(struct kernel_make *make, struct op *op, struct bg_err **err)
{
	struct kernel_row *row = row_of(make);
	_close_ int image = -1, elf = -1;
	_free_ char *dir = NULL;
	int r;

	make->op = op;
	if (bg_streq(row->format, "elf"))
		return 0;
	image = open(row->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (image < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "open %s", row->path);
	r = kernels_make_dir(make->engine->kernels, make->name, &dir, err);
	if (r >= 0)
		r = asset_output(make->engine->trash, dir, "vmlinux", &row->elf, &elf, err);
	if (r < 0)
		return r;
	r = job_start(make->engine->jobs, JOB_VMLINUX, json_object(), (int[]){image, elf}, 2,
		on_progress, on_unpacked, make, &make->job, err);
	return r < 0 ? r : OP_WAIT;
}

static void on_digests(const json_t *result, struct bg_err *err, void *userdata)
{
	struct kernel_make *make = userdata;
	struct bg_err *failed = bg_err_copy(err);
	char **files[CONTENT_FILES_MAX];
	size_t n = kernel_row_files(row_of(make), files);

	if (!failed)
		(void)content_store_take(make->engine, files, n, result, &failed);
	settle(make, failed);
}

int kernel_make_keep(struct kernel_make *make, struct op *op, struct bg_err **err)
{
	char **files[CONTENT_FILES_MAX];
	size_t n = kernel_row_files(row_of(make), files);
	int r;

	make->op = op;
	r = content_store_look(
		make->engine, files, n, on_progress, on_digests, make, &make->job, err);
	return r < 0 ? r : OP_WAIT;
}

void kernel_make_record(struct kernel_make *make)
{
	kernels_set_ready(make->engine->kernels, row_of(make), true);
}

void kernel_make_cancel(struct kernel_make *make)
{
	job_free(TAKE_PTR(make->job));
}

int kernel_make_drop(struct kernel_make *make, struct bg_err **err)
{
	if (kernels_find_other(make->engine->kernels, make->name)) {
		kernels_withdraw(make->engine->kernels, make->name);
		return 0;
	}
	/* It may have gone with the image that owned it. */
	return row_of(make) ? kernels_drop(make->engine->kernels, make->name, err) : 0;
}

json_t *kernel_make_result(const struct kernel_make *make)
{
	const struct kernel_row *row = row_of(make);

	if (!row)
		return NULL;
	kernels_tell(make->engine->kernels, row);
	return kernel_to_json(make->engine->kernels, row);
}

/* ---- kernel import ---- */

static int step_read(struct op *op, void *ctx, struct bg_err **err)
{
	return kernel_make_read(ctx, op, err);
}

static int step_initrd(struct op *op, void *ctx, struct bg_err **err)
{
	return kernel_make_initrd(ctx, op, err);
}

static int step_unpack(struct op *op, void *ctx, struct bg_err **err)
{
	return kernel_make_unpack(ctx, op, err);
}

static int step_keep(struct op *op, void *ctx, struct bg_err **err)
{
	return kernel_make_keep(ctx, op, err);
}

static int step_record(struct op *op, void *ctx, struct bg_err **err)
{
	kernel_make_record(ctx);
	return op_commit(op, err);
}

static void step_cancel(struct op *op, void *ctx)
{
	(void)op;
	kernel_make_cancel(ctx);
}

static int step_drop(struct op *op, void *ctx, struct bg_err **err)
{
	(void)op;
	return kernel_make_drop(ctx, err);
}

/* Such a VM has an initramfs of the old one's modules by now, and would boot the new one. */
static int check_boots(const struct kernel_make *make, struct bg_err **err)
{
	for (const struct vm *vm = vms_first(make->engine->vms); vm; vm = vm->next)
		if (vm->row->state == VM_STARTING && bg_streq(vm->row->kernel, make->name))
			return bg_err_set(err, BG_ERR_KERNEL_IN_USE, EBUSY,
				"VM \"%s\" boots with kernel \"%s\" just now", vm->row->name,
				make->name);
	return 0;
}

static int step_swap(struct op *op, void *ctx, struct bg_err **err)
{
	struct kernel_make *make = ctx;
	int r = check_boots(make, err);

	if (r < 0)
		return r;
	kernels_swap(make->engine->kernels, make->name);
	make->swapped = true;
	return op_commit(op, err);
}

static int undo_swap(struct op *op, void *ctx, struct bg_err **err)
{
	struct kernel_make *make = ctx;

	if (!make->swapped)
		return 0;
	kernels_swap(make->engine->kernels, make->name);
	make->swapped = false;
	return op_commit_late(op, err); /* before the files of the new one go */
}

/* A crash before this leaves files that `image prune` removes. VMs that run have theirs open. */
static int step_drop_old(struct op *op, void *ctx, struct bg_err **err)
{
	struct kernel_make *make = ctx;

	(void)op;
	(void)err;
	kernels_withdraw(make->engine->kernels, make->name);
	return 0;
}

static void finish(struct op *op, void *ctx, const struct bg_err *err)
{
	if (!err)
		op_set_result(op, kernel_make_result(ctx));
}

static void ctx_free(void *ctx)
{
	kernel_make_free(ctx);
}

static const struct op_step steps[] = {
	{"import", "reading the kernel", false, step_read, step_cancel, step_drop},
	{"import", "copying the initrd", false, step_initrd, step_cancel, NULL},
	{"unpack", "unpacking it for Firecracker", false, step_unpack, step_cancel, NULL},
	{"record", "recording it", false, step_keep, step_cancel, NULL},
	{"record", "recording it", false, step_record, NULL, NULL},
};

static const struct op_step replace_steps[] = {
	{"import", "reading the kernel", false, step_read, step_cancel, step_drop},
	{"import", "copying the initrd", false, step_initrd, step_cancel, NULL},
	{"unpack", "unpacking it for Firecracker", false, step_unpack, step_cancel, NULL},
	{"record", "recording it", false, step_keep, step_cancel, NULL},
	{"record", "recording it", false, step_swap, NULL, undo_swap},
	{"record", "recording it", true, step_drop_old, NULL, NULL},
};

#define PLAN(of_steps)                                                                             \
	{                                                                                          \
		.kind = "kernel.import", .steps = of_steps, .n_steps = ARRAY_SIZE(of_steps),       \
		.finish = finish, .ctx_free = ctx_free                                             \
	}

/* The second replaces another. */
static const struct op_plan plans[] = {PLAN(steps), PLAN(replace_steps)};

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

/* 1: there is one of this name, whole and with no other on its way. */
static int can_replace(struct engine *engine, const char *name, struct bg_err **err)
{
	const struct kernel_row *old = kernels_find(engine->kernels, name);

	if (!old || !old->ready)
		return 0;
	return kernels_find_other(engine->kernels, name)
		       ? bg_err_set(err, BG_ERR_KERNEL_IN_USE, EBUSY,
				 "kernel \"%s\" is being replaced", name)
		       : 1;
}

int kernel_import(struct engine *engine, const char *name, const struct kernel_files *files,
	bool replace, struct op **ret, struct bg_err **err)
{
	char made[BG_NAME_MAX + 1];
	struct kernel_make *make;
	int r = name ? bg_name_check("kernel", name, err)
		     : name_from_path(files->kernel, made, err);

	if (!name)
		name = made;
	if (r >= 0 && replace)
		r = can_replace(engine, name, err);
	replace = r > 0;
	if (r >= 0)
		r = kernel_make_new(engine, name, files, replace, &make, err);
	return r < 0 ? r : op_start(engine->ops, &plans[replace], make->name, make, ret, err);
}
