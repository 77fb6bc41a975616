/* SPDX-License-Identifier: ISC */
/* See storage.h. What all drivers share, and the choice between them. Blocks for opens and renames
 * only. */
#include "daemon/driver/storage.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "common/fd.h"
#include "daemon/driver/storage_impl.h"

static const struct storage_driver *const drivers[] = {
	&storage_reflink, &storage_cow, &storage_dm, &storage_copy, &storage_fake};

const struct storage_driver *storage_driver_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		if (bg_streq(drivers[i]->name, name))
			return drivers[i];
	return NULL;
}

static int open_tmp(struct storage_call *call)
{
	if (access(call->tmp, F_OK) == 0)
		jobs_throw(call->jobs, call->tmp);
	call->tmp_fd = open(call->tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	call->made = call->tmp_fd >= 0;
	return call->made ? 0 : -errno;
}

static int open_source(struct storage_call *call, struct bg_err **err)
{
	struct stat st;

	call->source_fd = open(call->source, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (call->source_fd < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "open %s", call->source);
	if (fstat(call->source_fd, &st) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "look at %s", call->source);
	if (!S_ISREG(st.st_mode))
		return bg_err_set(err, BG_ERR_IO, EINVAL, "%s is not a regular file", call->source);
	call->size = BG_MAX(call->size, (uint64_t)st.st_size);
	call->source_bytes = (uint64_t)st.st_blocks * 512;
	return 0;
}

int storage_call_new(struct jobs *jobs, const char *source, const char *target, uint64_t size,
	storage_progress_fn progress, storage_done_fn done, void *userdata,
	struct storage_call **ret, struct bg_err **err)
{
	_unref_(storage_call) struct storage_call *call = calloc(1, sizeof(*call));
	int r;

	if (!call)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	*call = (struct storage_call){.jobs = jobs,
		.source_fd = -1,
		.tmp_fd = -1,
		.size = size,
		.progress = progress,
		.done = done,
		.userdata = userdata};
	call->source = strdup(source);
	call->target = strdup(target);
	if (!call->source || !call->target)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = open_source(call, err);
	if (r < 0)
		return r;
	if (asprintf(&call->tmp, "%s.new", target) < 0) {
		call->tmp = NULL;
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	r = open_tmp(call);
	if (r < 0)
		return storage_call_fail(call, -r, err);
	*ret = TAKE_PTR(call);
	return 0;
}

static uint64_t mib_up(uint64_t bytes)
{
	return (bytes + MIB - 1) / MIB;
}

static int no_space(const struct storage_call *call, int errnum, struct bg_err **err)
{
	struct statvfs vfs = {0};

	(void)statvfs(call->tmp ? call->tmp : call->target, &vfs);
	return bg_err_set(err, BG_ERR_NO_SPACE, errnum,
		"no room for %s: a copy of %s needs %llu MiB, and %llu MiB are free", call->target,
		call->source, (unsigned long long)mib_up(call->source_bytes),
		(unsigned long long)((uint64_t)vfs.f_bavail * vfs.f_frsize / MIB));
}

int storage_call_fail(const struct storage_call *call, int errnum, struct bg_err **err)
{
	if (errnum == ENOSPC || errnum == EDQUOT)
		return no_space(call, errnum, err);
	return bg_err_sys(err, BG_ERR_IO, errnum, "clone %s to %s", call->source, call->target);
}

int storage_call_commit(struct storage_call *call, struct bg_err **err)
{
	if (renameat2(AT_FDCWD, call->tmp, AT_FDCWD, call->target, RENAME_NOREPLACE) < 0)
		return storage_call_fail(call, errno, err);
	free(call->tmp);
	call->tmp = NULL;
	return 0;
}

void storage_call_lend(struct storage_call *call)
{
	jobs_close(call->jobs, TAKE_FD(call->source_fd));
	jobs_close(call->jobs, TAKE_FD(call->tmp_fd));
}

void storage_call_finish(struct storage_call *call, struct bg_err *err)
{
	call->told = true;
	call->done(err, call->userdata);
}

static void on_deferred(void *userdata)
{
	storage_call_finish(userdata, NULL);
}

int storage_call_defer(struct storage_call *call, struct loop *loop, struct bg_err **err)
{
	int r = loop_defer(loop, "storage done", on_deferred, call, &call->deferred);

	return r < 0 ? bg_err_sys(err, BG_ERR_INTERNAL, -r, "clone %s", call->source) : 0;
}

void storage_call_on_wait(struct storage_call *call, job_wait_fn fn, void *userdata)
{
	if (call->job)
		job_on_wait(call->job, fn, userdata);
}

void storage_call_free(struct storage_call *call)
{
	if (!call)
		return;
	loop_source_free(call->deferred);
	/* Before the name goes: so this is never the last that holds the blocks. */
	jobs_close(call->jobs, call->tmp_fd);
	jobs_close(call->jobs, call->source_fd);
	if (call->made && call->tmp)
		job_free_and_throw(call->job, call->jobs, call->tmp);
	else if (call->made && !call->told)
		job_free_and_throw(call->job, call->jobs, call->target);
	else
		job_free(call->job);
	free(call->source);
	free(call->target);
	free(call->tmp);
	bg_err_free(call->err);
	free(call);
}

/* One block in two files without names. */
static int try_reflink(const char *dir)
{
	_close_ int a = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	_close_ int b = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	static const char block[4096] = {1};
	int r;

	if (a < 0 || b < 0)
		return errno == EOPNOTSUPP || errno == EISDIR ? -EOPNOTSUPP : -errno;
	r = bg_write_all(a, block, sizeof(block));
	if (r < 0)
		return r;
	return ioctl(b, FICLONE, a) < 0 ? -errno : 0;
}

static bool is_unsupported(int r)
{
	return r == -EOPNOTSUPP || r == -ENOTTY || r == -EINVAL || r == -ENOSYS || r == -EXDEV;
}

/* What needs no trial; NULL with a reason: it is tried. */
static const struct storage_driver *by_name(enum config_storage wanted, const char **ret_reason)
{
	*ret_reason = NULL;
	if (wanted == CONFIG_STORAGE_COPY) {
		*ret_reason = "copy: config.toml says so";
		return &storage_copy;
	}
	if (wanted == CONFIG_STORAGE_COW) {
		*ret_reason = "guest-cow: config.toml says so";
		return &storage_cow;
	}
	return NULL;
}

/* A full disk is not a reason not to start: what frees room is done by the daemon. Copies share blocks where they can. */
static const struct storage_driver *untried(enum config_storage wanted, const char **ret_reason)
{
	if (wanted == CONFIG_STORAGE_REFLINK) {
		*ret_reason = "copy: the disk is full, so that it could not be tried whether the "
			      "file system shares blocks between files";
		return &storage_copy;
	}
	*ret_reason = "guest-cow: the disk is full, so that it could not be tried whether the file "
		      "system shares blocks between files";
	return &storage_cow;
}

static int no_reflink(const char *dir, int r, struct bg_err **err)
{
	bg_err_set(err, BG_ERR_CONFIG, -r,
		"config.toml says storage = \"reflink\", and the file system of %s cannot share "
		"blocks",
		dir);
	bg_err_hint(err, "say storage = \"auto\", or keep banger's state on btrfs or xfs");
	return r;
}

const struct storage_driver *storage_choose(
	enum config_storage wanted, const char *dir, const char **ret_reason, struct bg_err **err)
{
	const struct storage_driver *named = by_name(wanted, ret_reason);
	int r;

	if (named || wanted == CONFIG_STORAGE_DM)
		return named;
	r = try_reflink(dir);
	if (r >= 0) {
		*ret_reason = "reflink: the file system shares blocks between files, so that a "
			      "disk costs no time";
		return &storage_reflink;
	}
	if (r == -ENOSPC || r == -EDQUOT)
		return untried(wanted, ret_reason);
	if (!is_unsupported(r)) {
		bg_err_sys(err, BG_ERR_IO, -r, "try storage in %s", dir);
		return NULL;
	}
	if (wanted == CONFIG_STORAGE_REFLINK) {
		(void)no_reflink(dir, r, err);
		return NULL;
	}
	*ret_reason = "guest-cow: a root disk keeps only what differs from its image; this file "
		      "system cannot share blocks between files";
	return &storage_cow;
}

const struct storage_driver *storage_choose_dm(
	const char *dir, const struct bg_err *helper, const char **ret_reason, struct bg_err **err)
{
	if (!helper && storage_dm_fs_ok(dir)) {
		*ret_reason = "dm-snapshot: a root disk keeps only what differs from its image";
		return &storage_dm;
	}
	bg_err_set(err, BG_ERR_CONFIG, ENOTSUP, "config.toml says storage = \"dm-snapshot\": %s",
		helper ? helper->message
		       : "the file system of banger's state is not ext4, btrfs or xfs");
	if (helper && helper->hint)
		bg_err_hint(err, "%s", helper->hint);
	return NULL;
}
