/* SPDX-License-Identifier: ISC */
/*
 * The memory job: what a suspended VM is kept as, to the disk and back. Files go in pairs, and are
 * hashed in the pass that copies them: what arrived is what has the digest, whatever becomes of the
 * source meanwhile. Blocks of zeros are neither hashed nor written, for most of a guest's memory is
 * that; a block counts with its place, so that none can be moved.
 */
#include <endian.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "worker/copy.h"
#include "worker/digest.h"

enum {
	BLOCK = 64 * 1024,
	CHUNK = 16 * BLOCK,
	PIECE = 8 * CHUNK, /* flushed at a time, as copy.c does it */
};

struct memory {
	struct job *job;
	struct digest *digest;
	uint8_t *buf;
	int from, to;
	bool sync;
	uint64_t written, flushed; /* of this file */
	uint64_t done;		   /* of all */
};

static int put_block(struct memory *m, const uint8_t *p, size_t len, off_t at)
{
	const uint64_t place = htole64((uint64_t)at);

	if (copy_is_zero(p, len))
		return 0;
	digest_add(m->digest, &place, sizeof(place));
	digest_add(m->digest, p, len);
	m->written += len;
	return copy_write(m->to, p, len, at);
}

/* Bytes gone past, 0 at the end, -errno. at is a multiple of BLOCK. */
static ssize_t put_chunk(struct memory *m, off_t at)
{
	size_t have = 0;

	while (have < CHUNK) {
		ssize_t n = pread(m->from, m->buf + have, CHUNK - have, at + (off_t)have);

		if (n < 0 && errno == EINTR)
			continue;
		/* What cannot be read is not there: the digest says so. */
		if (n < 0 && errno != EIO)
			return -errno;
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	for (size_t i = 0; i < have; i += BLOCK) {
		int r = put_block(m, m->buf + i, BG_MIN(have - i, (size_t)BLOCK), at + (off_t)i);

		if (r < 0)
			return r;
	}
	return (ssize_t)have;
}

static int flush(struct memory *m, bool all, struct bg_err **err)
{
	if (!m->sync || (!all && m->written - m->flushed < PIECE))
		return 0;
	m->flushed = m->written;
	return (all ? fsync(m->to) : fdatasync(m->to)) < 0
		       ? job_write_err(-errno, err, "flush a VM's memory")
		       : 0;
}

/* The block that the next data is in, at or after at. */
static off_t next_data(int fd, off_t at, off_t size)
{
	off_t data = lseek(fd, at, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? size : at;
	return data / BLOCK * BLOCK;
}

static int copy_all(struct memory *m, off_t size, struct bg_err **err)
{
	for (off_t at = 0; (at = next_data(m->from, at, size)) < size;) {
		ssize_t n = put_chunk(m, at);
		int r = n < 0 ? job_write_err((int)n, err, "copy a VM's memory") : 0;

		if (r >= 0 && n == 0)
			break; /* it became shorter: the digest says so */
		if (r >= 0)
			r = flush(m, false, err);
		m->done += n > 0 ? (uint64_t)n : 0;
		if (r >= 0)
			r = job_tick(m->job, m->done, NULL, err);
		if (r < 0)
			return r;
		at += n;
	}
	return 0;
}

/* One pair. Its record is added to files. */
static int copy_pair(struct memory *m, json_t *files, struct bg_err **err)
{
	char hex[DIGEST_HEX + 1];
	struct stat st;
	int r;

	if (fstat(m->from, &st) < 0)
		return bg_err_sys(err, BG_ERR_WORKER, errno, "look at a VM's memory");
	if (ftruncate(m->to, 0) < 0 || ftruncate(m->to, st.st_size) < 0)
		return job_write_err(-errno, err, "make room for a VM's memory");
	m->written = m->flushed = 0;
	digest_reset(m->digest);
	r = copy_all(m, st.st_size, err);
	if (r >= 0)
		r = flush(m, true, err);
	if (r < 0)
		return r;
	digest_hex(m->digest, hex);
	return json_array_append_new(
		files, json_pack("{s:I, s:I, s:s}", "size", (json_int_t)st.st_size, "bytes",
			       (json_int_t)m->written, "digest", hex));
}

static uint64_t data_in(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? 0 : (uint64_t)st.st_blocks * 512;
}

int job_memory(struct job *job, json_t **ret, struct bg_err **err)
{
	_free_ uint8_t *buf = malloc(CHUNK);
	_unref_(digest) struct digest *digest = NULL;
	_json_ json_t *files = json_array();
	struct memory m = {.job = job, .buf = buf};
	size_t pairs = job->n_fds / 2;
	int r = digest_new(&digest, err);

	(void)bg_json_get_bool(job->params, "sync", &m.sync);
	m.digest = digest;
	job->unit = "bytes";
	for (size_t i = 0; i < pairs; i++)
		job->total += data_in(job->fd[2 * i]);
	for (size_t i = 0; i < pairs && r >= 0 && buf; i++) {
		m.from = job->fd[2 * i];
		m.to = job->fd[2 * i + 1];
		r = copy_pair(&m, files, err);
	}
	/* The folder that has their names. */
	if (r >= 0 && job->n_fds % 2 && fsync(job->fd[job->n_fds - 1]) < 0)
		r = job_write_err(-errno, err, "flush a VM's folder");
	if (r >= 0 && !buf)
		r = bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "copy a VM's memory");
	if (r < 0)
		return r;
	*ret = json_pack("{s:O}", "files", files);
	return 0;
}
