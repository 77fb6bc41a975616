/* SPDX-License-Identifier: ISC */
/*
 * The cow_merge job: image and own file of a disk become one plain file, as the guest sees the disk. The
 * own file is the guest's to write: every place in it is checked before it is read from, and what is written
 * to is bounded by the image's size.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "worker/copy.h"
#include "worker/cow_store.h"

enum { FD_BASE, FD_OWN, FD_TO };

struct merge {
	struct job *job;
	struct cow_store store;
	uint64_t base, own, done; /* bytes */
};

/* A hole in to, whatever its file system. */
static int clear(int fd, off_t at, off_t len)
{
	static const uint8_t zeros[BG_COW_CHUNK_OLD];

	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, len) == 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return -errno;
	for (off_t end = at + len; at < end;) {
		ssize_t n = pwrite(fd, zeros, (size_t)BG_MIN(end - at, (off_t)sizeof(zeros)), at);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += n;
	}
	return 0;
}

static int put_run(const struct cow_run *run, void *userdata, struct bg_err **err)
{
	struct merge *m = userdata;
	off_t chunk = (off_t)m->store.chunk;
	off_t from = (off_t)run->new_chunk * chunk, to = (off_t)run->old_chunk * chunk;
	off_t len = (off_t)run->count * chunk;
	int r = clear(m->job->fd[FD_TO], to, len);

	if (r < 0)
		return job_write_err(r, err, "put the disk together");
	return copy_sparse(m->job, m->job->fd[FD_OWN], from, from + len, m->job->fd[FD_TO],
		to - from, &m->done, err);
}

static uint64_t covered(const struct merge *m)
{
	return m->store.base * m->store.chunk;
}

static uint64_t disk_size(const struct merge *m)
{
	return covered(m) + (m->own - cow_store_bytes(&m->store));
}

static int open_merge(struct merge *m, struct bg_err **err)
{
	struct stat base, own;
	int64_t chunk = 0;
	int r = bg_json_need_int(m->job->params, "chunk", BG_ERR_WORKER, BG_COW_CHUNK,
		BG_COW_CHUNK_OLD, &chunk, err);

	if (r < 0)
		return r;
	if (fstat(m->job->fd[FD_BASE], &base) < 0 || fstat(m->job->fd[FD_OWN], &own) < 0 ||
		!S_ISREG(base.st_mode) || !S_ISREG(own.st_mode) ||
		(uint64_t)base.st_size > BG_DISK_BASE_MAX ||
		(chunk != BG_COW_CHUNK && chunk != BG_COW_CHUNK_OLD))
		return bg_err_set(err, BG_ERR_WORKER, EINVAL, "there is no such disk");
	m->base = (uint64_t)base.st_size;
	m->own = (uint64_t)own.st_size;
	cow_store_init(&m->store, m->job->fd[FD_OWN], m->base, (uint64_t)chunk);
	if (m->own < cow_store_bytes(&m->store) || disk_size(m) < m->base ||
		disk_size(m) > BG_DISK_MIB_MAX * MIB)
		return bg_err_set(err, BG_ERR_IMAGE_INVALID, EINVAL,
			"the root disk is damaged: its file does not fit its image");
	m->job->unit = "bytes";
	m->job->total = (uint64_t)(base.st_blocks + own.st_blocks) * 512;
	return 0;
}

/* Between two files that the job may not change while it reads them. */
static int put_all(struct merge *m, struct bg_err **err)
{
	struct job *job = m->job;
	off_t store = (off_t)cow_store_bytes(&m->store);
	int r = copy_sparse(
		job, job->fd[FD_BASE], 0, (off_t)covered(m), job->fd[FD_TO], 0, &m->done, err);

	job->before = m->done;
	if (r >= 0)
		r = copy_sparse(job, job->fd[FD_OWN], store, (off_t)m->own, job->fd[FD_TO],
			(off_t)covered(m) - store, &m->done, err);
	job->before = m->done;
	if (r >= 0)
		r = cow_store_read(&m->store, put_run, m, err);
	return r;
}

int job_cow_merge(struct job *job, json_t **ret, struct bg_err **err)
{
	struct merge m = {.job = job};
	int r = open_merge(&m, err);

	if (r < 0)
		return r;
	if (ftruncate(job->fd[FD_TO], 0) < 0 || ftruncate(job->fd[FD_TO], (off_t)disk_size(&m)) < 0)
		return job_write_err(-errno, err, "empty the disk's copy");
	r = put_all(&m, err);
	if (r < 0)
		return r;
	if (fsync(job->fd[FD_TO]) < 0)
		return job_write_err(-errno, err, "flush the disk's copy");
	*ret = json_pack("{s:I}", "bytes", (json_int_t)m.done);
	return 0;
}
