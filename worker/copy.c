/* SPDX-License-Identifier: ISC */
/*
 * The copy job: a disk image to a new file, holes kept. A reflink where the file system can,
 * else the data ranges inside the kernel, else through a buffer that drops blocks of zeros. It
 * reaches the disk in pieces: another program's fsync, the daemon's for its rows, waits for what is
 * dirty on the same file system (p95 435 ms behind a copy that is flushed at its end, 17 ms behind
 * this one, and the copy takes no longer). copy_sparse is also for what puts a disk together.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "worker/copy.h"

#define CHUNK (1024 * 1024)
#define PIECE (8 * CHUNK) /* flushed at a time */

struct copy {
	struct job *job;
	int from, to;
	off_t shift; /* of to against from */
	off_t done;
	off_t flushed;	/* of done */
	bool by_buffer; /* copy_file_range is of no use between these two */
	uint8_t *buf;
};

bool copy_is_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

int copy_write(int fd, const uint8_t *p, size_t len, off_t at)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Bytes gone past, 0 at the end, -errno. */
static ssize_t by_buffer(struct copy *c, off_t at, size_t len)
{
	ssize_t n = pread(c->from, c->buf, BG_MIN(len, (size_t)CHUNK), at);

	if (n < 0)
		return -errno;
	for (ssize_t i = 0; i < n; i += BG_PAGE_SIZE) {
		size_t part = BG_MIN((size_t)(n - i), (size_t)BG_PAGE_SIZE);
		int r = copy_is_zero(c->buf + i, part)
				? 0
				: copy_write(c->to, c->buf + i, part, at + i + c->shift);

		if (r < 0)
			return r;
	}
	return n;
}

static ssize_t in_kernel(struct copy *c, off_t at, size_t len)
{
	off_t out = at + c->shift;
	ssize_t n = copy_file_range(c->from, &at, c->to, &out, BG_MIN(len, (size_t)PIECE), 0);

	if (n >= 0)
		return n;
	if (errno == ENOSPC || errno == EDQUOT || errno == EIO)
		return -errno;
	c->by_buffer = true;
	return by_buffer(c, at, len);
}

static int flush_piece(struct copy *c, struct bg_err **err)
{
	if (c->done - c->flushed < PIECE)
		return 0;
	c->flushed = c->done;
	return fdatasync(c->to) < 0 ? job_write_err(-errno, err, "flush the copy") : 0;
}

static int copy_range(struct copy *c, off_t at, off_t end, struct bg_err **err)
{
	while (at < end) {
		size_t len = (size_t)(end - at);
		ssize_t n = c->by_buffer ? by_buffer(c, at, len) : in_kernel(c, at, len);
		int r;

		if (n == -EINTR)
			continue;
		if (n < 0)
			return job_write_err((int)n, err, "copy a disk");
		if (n == 0)
			return bg_err_set(err, BG_ERR_WORKER, EIO,
				"the disk to copy became shorter meanwhile");
		at += n;
		c->done += n;
		r = flush_piece(c, err);
		if (r >= 0)
			r = job_tick(c->job, c->job->before + (uint64_t)c->done, NULL, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int copy_data(struct copy *c, off_t at, off_t end, struct bg_err **err)
{
	while (at < end) {
		off_t data = lseek(c->from, at, SEEK_DATA), hole;
		int r;

		if (data < 0 && errno == ENXIO)
			return 0; /* nothing but a hole is left */
		hole = data < 0 ? end : lseek(c->from, data, SEEK_HOLE);
		data = BG_MIN(BG_MAX(data, at), end);
		hole = hole < 0 ? end : BG_MIN(hole, end);
		r = copy_range(c, data, hole, err);
		if (r < 0)
			return r;
		at = hole;
	}
	return 0;
}

int copy_sparse(struct job *job, int from, off_t at, off_t end, int to, off_t shift, uint64_t *done,
	struct bg_err **err)
{
	_free_ uint8_t *buf = malloc(CHUNK);
	struct copy c = {.job = job, .from = from, .to = to, .shift = shift, .buf = buf};
	int r;

	if (!buf)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "copy");
	r = copy_data(&c, at, end, err);
	*done += (uint64_t)c.done;
	return r;
}

int job_copy(struct job *job, json_t **ret, struct bg_err **err)
{
	int from = job->fd[0], to = job->fd[1];
	uint64_t done = 0;
	int64_t size = 0;
	struct stat st;
	int r = bg_json_or_int(
		job->params, "size", BG_ERR_WORKER, 0, (int64_t)BG_DISK_MIB_MAX << 20, &size, err);

	if (r < 0)
		return r;
	if (fstat(from, &st) < 0 || !S_ISREG(st.st_mode))
		return bg_err_set(
			err, BG_ERR_WORKER, EINVAL, "the source to copy is not a plain file");
	if (size != 0 && size < st.st_size)
		return bg_err_set(err, BG_ERR_WORKER, EINVAL,
			"a copy of %lld bytes cannot be smaller than its source of %lld",
			(long long)size, (long long)st.st_size);
	job->unit = "bytes";
	job->total = (uint64_t)BG_MIN(st.st_blocks * 512, st.st_size);
	if (ftruncate(to, 0) < 0)
		return job_write_err(-errno, err, "empty the copy");
	if (ioctl(to, FICLONE, from) < 0)
		r = copy_sparse(job, from, 0, st.st_size, to, 0, &done, err);
	if (r < 0)
		return r;
	if (ftruncate(to, size ? size : st.st_size) < 0)
		return job_write_err(-errno, err, "set the size of the copy");
	/* Who closes it last, and who renames it, waits for nothing any more. */
	if (fsync(to) < 0)
		return job_write_err(-errno, err, "flush the copy");
	*ret = json_pack("{s:I}", "bytes", (json_int_t)done);
	return 0;
}
