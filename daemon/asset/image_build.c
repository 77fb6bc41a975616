/* SPDX-License-Identifier: ISC */
/*
 * image build: mmdebstrap, run for us by the monitor, writes a tar stream into a pipe; a worker
 * turns it into an ext4 root file system and a work seed as it comes. Nothing is unpacked on the
 * host.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>

#include "common/error_line.h"
#include "common/fd.h"
#include "common/json.h"
#include "common/name.h"
#include "daemon/asset/apt_count.h"
#include "daemon/asset/image_task.h"
#include "daemon/engine.h"
#include "daemon/vm/boot_gate.h"

enum {
	COUNT_USEC = 500 * 1000,
	/* mmdebstrap, whose stream has broken, has so long to say why itself. */
	LAST_WORDS_USEC = 5 * 1000 * 1000,
};

struct build_task {
	struct image_task base;
	char *log_path;
	char *suite;
	char *mirror;
	char *packages[BG_IMAGE_PACKAGES_MAX];
	unsigned n_packages;
	uint64_t size_mib;
	bool minimal;
	struct boot_turn *turn; /* as long as the operation lasts */
	struct loop_source *deadline;
	struct bootstrap *bootstrap;
	/* while packages come in; freed when the root file system is being packed */
	struct loop_source *counter;
	int counted; /* the log, as far as it was read; -1: none */
	struct apt_count count;
	struct bg_err *failed; /* of the unpacking, while mmdebstrap still runs */
	bool unpacked;
	bool bootstrapped;
};

static void task_drop_waits(struct build_task *task)
{
	job_free(TAKE_PTR(task->base.job));
	bootstrap_free(TAKE_PTR(task->bootstrap));
	loop_source_free(TAKE_PTR(task->deadline));
	loop_source_free(TAKE_PTR(task->counter));
}

static void task_free(void *userdata)
{
	struct build_task *task = userdata;

	task_drop_waits(task);
	boot_turn_free(task->turn);
	bg_err_free(task->failed);
	task->counted = bg_close(task->counted);
	for (unsigned i = 0; i < task->n_packages; i++)
		free(task->packages[i]);
	image_task_done(&task->base);
	free(task->log_path);
	free(task->suite);
	free(task->mirror);
	free(task);
}

static void fail(struct build_task *task, struct bg_err *err)
{
	task_drop_waits(task);
	op_step_failed(task->base.op, err);
}

static void fail_bootstrap(struct build_task *task, int status)
{
	_free_ char *line = bg_error_line(task->log_path);
	struct bg_err *err = NULL;

	if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
		bg_err_set(&err, BG_ERR_TOOL_MISSING, ENOENT, "mmdebstrap is not installed");
		bg_err_hint(&err, "`sudo apt install mmdebstrap uidmap`");
	} else {
		bg_err_set(&err, BG_ERR_IMAGE_BUILD, EIO,
			"mmdebstrap could not make image \"%s\"%s%s", task->base.name,
			line ? ": " : "", line ? line : "");
		bg_err_hint(&err, "its output is in %s", task->log_path);
	}
	fail(task, err);
}

static void complete(struct build_task *task)
{
	if (!task->unpacked || !task->bootstrapped)
		return;
	task_drop_waits(task);
	op_step_done(task->base.op);
}

static void on_late(void *userdata)
{
	struct build_task *task = userdata;
	struct bg_err *err = NULL;

	bg_err_set(&err, BG_ERR_TIMEOUT, ETIMEDOUT,
		"the build of image \"%s\" did not end within %d minutes", task->base.name,
		BG_BUILD_TIMEOUT_S / 60);
	bg_err_hint(&err, "see where it stands still: %s", task->log_path);
	fail(task, err);
}

/* Nothing more came of mmdebstrap: what the worker said is the reason. */
static void on_no_last_words(void *userdata)
{
	struct build_task *task = userdata;

	fail(task, TAKE_PTR(task->failed));
}

static int restart_deadline(struct build_task *task, uint64_t usec, loop_timer_fn fn)
{
	loop_source_free(TAKE_PTR(task->deadline));
	return loop_add_timer(
		task->base.engine->loop, "image build", usec, fn, task, &task->deadline);
}

static void on_bootstrapped(int status, void *userdata)
{
	struct build_task *task = userdata;

	bootstrap_free(TAKE_PTR(task->bootstrap));
	if (status != 0) {
		fail_bootstrap(task, status);
		return;
	}
	if (task->failed) {
		fail(task, TAKE_PTR(task->failed));
		return;
	}
	task->bootstrapped = true;
	complete(task);
}

static void on_unpacked(const json_t *result, struct bg_err *err, void *userdata)
{
	struct build_task *task = userdata;
	struct bg_err *failed = bg_err_copy(err);

	if (!err)
		image_task_take_rootfs(&task->base, result);
	job_free(TAKE_PTR(task->base.job)); /* err and result go with it */
	/* mmdebstrap's own end tells more than its broken stream; a full disk is ours to tell */
	if (failed && task->bootstrap && failed->code != BG_ERR_NO_SPACE &&
		restart_deadline(task, LAST_WORDS_USEC, on_no_last_words) >= 0) {
		task->failed = failed;
		return;
	}
	if (failed) {
		fail(task, failed);
		return;
	}
	task->unpacked = true;
	complete(task);
}

static void on_progress(const json_t *progress, void *userdata)
{
	struct build_task *task = userdata;
	const char *unit = NULL;
	int64_t done = 0;

	if (bg_json_get_int(progress, "done", 0, INT64_MAX, &done) < 0 || done == 0)
		return;
	loop_source_free(TAKE_PTR(task->counter));
	(void)bg_json_get_str(progress, "unit", &unit);
	op_set_text(task->base.op, "packing the root file system");
	op_set_progress(
		task->base.op, (uint64_t)done, 0, bg_streq(unit, "entries") ? "entries" : "bytes");
}

static int start_unpack(struct build_task *task, int tar_fd, struct bg_err **err)
{
	_close_ int rootfs = -1, seed = -1;
	int r = image_task_outputs(&task->base, &rootfs, &seed, err);

	if (r < 0)
		return r;
	return job_start(task->base.engine->jobs, JOB_UNPACK,
		json_pack("{s:I, s:I}", "size", (json_int_t)(task->size_mib * MIB), "seed_size",
			(json_int_t)(IMAGE_SEED_MIB * MIB)),
		(int[]){tar_fd, rootfs, seed}, 3, on_progress, on_unpacked, task, &task->base.job,
		err);
}

/* What apt and dpkg printed since; the rest at the next tick. */
static void on_count(void *userdata)
{
	struct build_task *task = userdata;
	const struct apt_count *c = &task->count;
	char text[16 * 1024];
	ssize_t n = read(task->counted, text, sizeof(text));

	if (n <= 0)
		return;
	apt_count_feed(&task->count, text, (size_t)n);
	if (c->installs) {
		op_set_text(task->base.op, "installing packages");
		op_set_progress(
			task->base.op, apt_count_packages(c), c->packages_total, "packages");
	} else if (c->bytes_total) {
		op_set_text(task->base.op, "fetching packages");
		op_set_progress(task->base.op, c->bytes, c->bytes_total, "bytes");
	}
}

/* Without it there is no progress, and a build all the same. */
static void start_counting(struct build_task *task)
{
	task->counted = open(task->log_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (task->counted >= 0)
		(void)loop_add_ticker(task->base.engine->loop, "build progress", COUNT_USEC,
			on_count, task, &task->counter);
}

static int open_log(struct build_task *task, int *ret, struct bg_err **err)
{
	task->log_path = image_build_log(task->base.engine, task->base.name);
	if (!task->log_path)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	*ret = open(task->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*ret < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "write %s", task->log_path);
	op_set_log(task->base.op, task->log_path);
	start_counting(task);
	return 0;
}

static int start_bootstrap(struct build_task *task, int tar_fd, struct bg_err **err)
{
	struct bootstrap_spec spec = {
		.suite = task->suite,
		.mirror = task->mirror,
		.minimal = task->minimal,
		.packages = (const char *const *)task->packages,
		.n_packages = task->n_packages,
		.out_fd = tar_fd,
	};
	_close_ int log = -1;
	int r = open_log(task, &log, err);

	if (r < 0)
		return r;
	spec.log_fd = log;
	return monitor_bootstrap_start(
		task->base.engine->monitor, &spec, on_bootstrapped, task, &task->bootstrap, err);
}

static void on_turn(void *userdata)
{
	struct build_task *task = userdata;

	op_step_done(task->base.op);
}

static int step_turn(struct op *op, void *ctx, struct bg_err **err)
{
	struct build_task *task = ctx;
	bool waits;

	task->base.op = op;
	if (boot_turn_take(task->base.engine->builds, BG_BUILDS_MAX, on_turn, task, &waits,
		    &task->turn) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	return waits ? OP_WAIT : 0;
}

static void cancel_turn(struct op *op, void *ctx)
{
	struct build_task *task = ctx;

	(void)op;
	boot_turn_free(TAKE_PTR(task->turn));
}

static int step_build(struct op *op, void *ctx, struct bg_err **err)
{
	struct build_task *task = ctx;
	_close_ int read_end = -1, write_end = -1;
	int fds[2], r;

	task->base.op = op;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, errno, "make a pipe");
	read_end = fds[0];
	write_end = fds[1];
	r = start_unpack(task, read_end, err);
	if (r >= 0)
		r = start_bootstrap(task, write_end, err);
	if (r >= 0 && restart_deadline(task, BG_BUILD_TIMEOUT_S * UINT64_C(1000000), on_late) < 0)
		r = bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (r < 0) {
		task_drop_waits(task);
		return r;
	}
	job_on_wait(task->base.job, op_show_wait, op);
	return OP_WAIT;
}

static void step_cancel(struct op *op, void *ctx)
{
	(void)op;
	task_drop_waits(ctx);
}

static const struct op_step steps[] = {
	{"turn", "waiting for other builds", false, step_turn, cancel_turn, image_task_undo,
		.rare = true},
	{"packages", "fetching and installing packages", false, step_build, step_cancel, NULL},
	{"finish", "keeping the image", false, image_task_keep, image_task_cancel, NULL},
	{"finish", "keeping the image", false, image_task_list, NULL, NULL},
};

static const struct op_plan plan = {
	.kind = "image.build",
	.steps = steps,
	.n_steps = ARRAY_SIZE(steps),
	.finish = image_task_finish,
	.ctx_free = task_free,
};

static int check_packages(const struct image_build_request *request, struct bg_err **err)
{
	for (unsigned i = 0; i < request->n_packages; i++) {
		const char *p = request->packages[i];

		if (!*p || strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789+-.") != strlen(p) ||
			*p == '-')
			return bg_err_set(err, BG_ERR_USAGE, EINVAL,
				"\"%s\" is not a Debian package name", p);
	}
	return 0;
}

static int task_new(
	struct engine *engine, const struct image_build_request *request, struct build_task **ret)
{
	struct build_task *task = calloc(1, sizeof(*task));

	if (!task)
		return -ENOMEM;
	task->counted = -1;
	task->size_mib = request->size_mib;
	task->minimal = request->minimal;
	task->suite = strdup(request->suite ? request->suite : "bookworm");
	task->mirror = request->mirror ? strdup(request->mirror) : NULL;
	if (image_task_init(&task->base, engine, request->name) < 0 || !task->suite)
		goto fail;
	for (; task->n_packages < request->n_packages; task->n_packages++) {
		task->packages[task->n_packages] = strdup(request->packages[task->n_packages]);
		if (!task->packages[task->n_packages])
			goto fail;
	}
	*ret = task;
	return 0;
fail:
	task_free(task);
	return -ENOMEM;
}

int image_build(struct engine *engine, const struct image_build_request *request, struct op **ret,
	struct bg_err **err)
{
	struct build_task *task;
	const char *kernel;
	int r = bg_name_check("image", request->name, err);

	if (r < 0)
		return r;
	r = images_check_free(engine->images, request->name, err);
	if (r < 0)
		return r;
	r = image_pick_kernel(engine, request->name, request->kernel, "--kernel", &kernel, err);
	if (r >= 0)
		r = check_packages(request, err);
	if (r < 0)
		return r;
	if (task_new(engine, request, &task) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = image_insert(engine, request->name, kernel, false, "build", err);
	if (r < 0) {
		task_free(task);
		return r;
	}
	return op_start(engine->ops, &plan, request->name, task, ret, err);
}
