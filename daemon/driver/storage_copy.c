/* SPDX-License-Identifier: ISC */
/*
 * A copy that keeps holes: works on every file system. Made by a worker (JOB_COPY), but for a
 * source that has so little in it that the worker's start would take longer, and that is in memory: each VM's work disk,
 * whose seed is mostly blocks of zeros (those become holes), and a root disk that the guest joins (storage_cow.c).
 */
#include <sys/stat.h>
#include <sys/uio.h>

#include "common/fd.h"
#include "common/json.h"
#include "common/limits.h"
#include "daemon/driver/storage_impl.h"

enum { SMALL = 2 * 1024 * 1024, PIECE = 64 * 1024 };

static void on_progress(const json_t *progress, void *userdata)
{
	struct storage_call *call = userdata;
	int64_t done = 0, total = 0;

	(void)bg_json_get_int(progress, "done", 0, INT64_MAX, &done);
	(void)bg_json_get_int(progress, "total", 0, INT64_MAX, &total);
	if (call->progress)
		call->progress((uint64_t)done, (uint64_t)total, call->userdata);
}

/* The worker knows no names: its error gains them here. */
static void on_done(const json_t *result, struct bg_err *err, void *userdata)
{
	struct storage_call *call = userdata;

	if (err &&
		(err->code == BG_ERR_NO_SPACE || err->errnum == ENOSPC || err->errnum == EDQUOT)) {
		storage_call_fail(call, ENOSPC, &call->err);
	} else if (err) {
		call->err = bg_err_copy(err);
		bg_err_context(&call->err, "clone %s to %s", call->source, call->target);
	} else {
		(void)storage_call_commit(call, &call->err);
	}
	storage_call_finish(call, call->err);
}

static bool is_zero(const uint8_t *p)
{
	return p[0] == 0 && memcmp(p, p + 1, BG_PAGE_SIZE - 1) == 0;
}

/* Without waiting for the disk where the file system can tell: -EAGAIN when it would. */
static ssize_t read_cached(int fd, uint8_t *buf, off_t at, off_t end)
{
	const struct iovec iov = {buf, PIECE};
	ssize_t want = (ssize_t)BG_MIN((off_t)PIECE, end - at);
	ssize_t n = preadv2(fd, &iov, 1, at, RWF_NOWAIT);

	if (n < 0 && errno == EOPNOTSUPP)
		n = pread(fd, buf, PIECE, at);
	if (n < 0)
		return -errno;
	return n < want ? -EAGAIN : n;
}

static int copy_piece(struct storage_call *call, off_t at, off_t end, uint8_t *buf)
{
	ssize_t n;

	memset(buf, 0, PIECE);
	n = read_cached(call->source_fd, buf, at, end);
	if (n < 0)
		return (int)n;
	for (ssize_t i = 0; i < n; i += BG_PAGE_SIZE) {
		ssize_t put, len = BG_MIN((ssize_t)BG_PAGE_SIZE, n - i);

		if (is_zero(buf + i))
			continue;
		put = pwrite(call->tmp_fd, buf + i, (size_t)len, at + i);
		if (put != len)
			return put < 0 ? -errno : -ENOSPC;
	}
	return 0;
}

/* The source's data into the new file, and its size, here and now; -EAGAIN when that would wait for the disk. */
static int copy_here(struct storage_call *call, off_t end)
{
	off_t at = 0, data;
	uint8_t buf[PIECE];

	while ((data = lseek(call->source_fd, at, SEEK_DATA)) >= 0) {
		int r = copy_piece(call, data, end, buf);

		if (r < 0)
			return r;
		at = data + PIECE;
	}
	if (errno != ENXIO)
		return -errno;
	return bg_grow_file(call->tmp_fd, call->size);
}

/* 1: it is done; 0: it is not that small, or not in memory, and a worker begins anew. */
static int clone_small(struct storage_call *call, struct loop *loop, struct bg_err **err)
{
	struct stat st;
	int r;

	if (fstat(call->source_fd, &st) < 0 || (uint64_t)st.st_blocks * 512 > SMALL)
		return 0;
	r = copy_here(call, st.st_size);
	if (r == -EAGAIN)
		return 0;
	if (r < 0)
		return storage_call_fail(call, -r, err);
	r = storage_call_commit(call, err);
	if (r >= 0)
		r = storage_call_defer(call, loop, err);
	return r < 0 ? r : 1;
}

int storage_copy_clone(struct loop *loop, struct jobs *jobs, const char *source, const char *target,
	uint64_t size, storage_progress_fn progress, storage_done_fn done, void *userdata,
	struct storage_call **ret, struct bg_err **err)
{
	_unref_(storage_call) struct storage_call *call = NULL;
	json_t *params;
	int fds[2];
	int r = storage_call_new(jobs, source, target, size, progress, done, userdata, &call, err);

	if (r >= 0)
		r = clone_small(call, loop, err);
	if (r < 0)
		return r;
	if (r > 0) {
		*ret = TAKE_PTR(call);
		return 0;
	}
	params = json_pack("{s:I}", "size", (json_int_t)call->size);
	fds[0] = call->source_fd;
	fds[1] = call->tmp_fd;
	r = job_start(jobs, JOB_COPY, params, fds, ARRAY_SIZE(fds), on_progress, on_done, call,
		&call->job, err);
	if (r < 0)
		return r;
	storage_call_lend(call);
	*ret = TAKE_PTR(call);
	return 0;
}

const struct storage_driver storage_copy = {.name = "copy", .clone = storage_copy_clone};
