/* SPDX-License-Identifier: ISC */
/* See source.h. */
#include "worker/source.h"

#include <sys/stat.h>

#define CHUNK (256 * 1024)

struct source {
	struct job *job;
	struct archive *a;
	enum bg_err_code code;
	struct bg_err
		*failure; /* what our own callback met: it counts more than libarchive's words */
	/* one of these is read */
	int fd;
	uint64_t left; /* bytes of fd that may be read yet */
	struct source *outer;
	uint64_t done;
	uint64_t max_unpacked;
	struct digest *digest; /* of what was read of fd, or NULL */
	uint8_t *buf;
};

void source_set_code(struct source *s, enum bg_err_code code)
{
	s->code = code;
}

void source_set_max(struct source *s, uint64_t max)
{
	s->max_unpacked = max;
}

uint64_t source_unpacked(const struct source *s)
{
	int64_t n = archive_filter_bytes(s->a, 0);

	return n > 0 ? (uint64_t)n : 0;
}

/* Looked at between reads: a bomb that grows inside one call of libarchive meets it there. */
static int check_unpacked(struct source *s, struct bg_err **err)
{
	if (source_unpacked(s) <= s->max_unpacked)
		return 0;
	return bg_err_set(err, s->code, EFBIG,
		"the archive is over %llu MiB without its compression",
		(unsigned long long)(s->max_unpacked / MIB));
}

static la_ssize_t callback_failed(struct source *s)
{
	archive_set_error(s->a, s->failure ? s->failure->errnum : EIO, "input failed");
	return -1;
}

static la_ssize_t read_fd(struct archive *a, void *data, const void **buf)
{
	struct source *s = data;
	ssize_t n;

	if (job_wait_readable(s->job, s->fd, &s->failure) < 0 ||
		check_unpacked(s, &s->failure) < 0 ||
		job_tick(s->job, s->job->before + s->done, NULL, &s->failure) < 0)
		return callback_failed(s);
	do {
		n = read(s->fd, s->buf, BG_MIN((uint64_t)CHUNK, s->left));
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		bg_err_sys(&s->failure, BG_ERR_WORKER, errno, "read the input");
		return callback_failed(s);
	}
	if (s->digest)
		digest_add(s->digest, s->buf, (size_t)n);
	s->done += (uint64_t)n;
	s->left -= (uint64_t)n;
	*buf = s->buf;
	return n;
}

static la_ssize_t read_outer(struct archive *a, void *data, const void **buf)
{
	struct source *s = data;
	la_ssize_t n = archive_read_data(s->outer->a, s->buf, CHUNK);

	*buf = s->buf;
	if (n >= 0)
		return n;
	if (s->outer->failure) {
		s->failure = TAKE_PTR(s->outer->failure);
		return callback_failed(s);
	}
	archive_set_error(a, archive_errno(s->outer->a), "%s",
		archive_error_string(s->outer->a) ? archive_error_string(s->outer->a)
						  : "damaged archive");
	return -1;
}

/* Never archive_read_support_filter_all: that one runs programs for what it lacks. */
static int choose_formats(struct archive *a, enum source_kind kind)
{
	int r = 0;

	if (kind != SOURCE_AR) {
		r |= archive_read_support_filter_gzip(a);
		r |= archive_read_support_filter_xz(a);
		r |= archive_read_support_filter_lzma(a);
		r |= archive_read_support_filter_zstd(a);
		r |= archive_read_support_filter_bzip2(a);
		r |= archive_read_support_filter_lz4(a);
	}
	switch (kind) {
	case SOURCE_TAR:
		r |= archive_read_support_format_tar(a);
		/* A layer that changes nothing may be of no bytes at all. */
		r |= archive_read_support_format_empty(a);
		break;
	case SOURCE_AR:
		r |= archive_read_support_format_ar(a);
		break;
	case SOURCE_RPM:
		r |= archive_read_support_filter_rpm(a);
		r |= archive_read_support_format_cpio(a);
		break;
	case SOURCE_RAW:
		r |= archive_read_support_format_raw(a);
		r |= archive_read_support_format_empty(a);
		break;
	}
	return r == ARCHIVE_OK ? 0 : -EOPNOTSUPP;
}

static int source_new(
	struct job *job, enum source_kind kind, struct source **ret, struct bg_err **err)
{
	_unref_(source) struct source *s = calloc(1, sizeof(*s));

	if (!s)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "open the archive");
	s->job = job;
	s->fd = -1;
	s->code = kind == SOURCE_AR || kind == SOURCE_RPM ? BG_ERR_KERNEL_INVALID
							  : BG_ERR_IMAGE_INVALID;
	s->max_unpacked = UINT64_MAX;
	s->a = archive_read_new();
	s->buf = malloc(CHUNK);
	if (!s->a || !s->buf)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "open the archive");
	if (choose_formats(s->a, kind) < 0)
		return bg_err_set(err, BG_ERR_WORKER, EOPNOTSUPP,
			"this libarchive lacks a compression: %s", archive_error_string(s->a));
	*ret = TAKE_PTR(s);
	return 0;
}

static int damaged(struct source *s, struct bg_err **err)
{
	const char *why = archive_error_string(s->a);

	if (s->failure) {
		int r = s->failure->errnum ? -s->failure->errnum : -EIO;

		if (err)
			*err = TAKE_PTR(s->failure);
		return r;
	}
	return bg_err_set(
		err, s->code, EBADMSG, "damaged archive: %s", why ? why : "no reason told");
}

int source_open_range(struct job *job, int fd, uint64_t max, enum source_kind kind,
	struct digest *digest, struct source **ret, struct bg_err **err)
{
	_unref_(source) struct source *s = NULL;
	struct stat st;
	int r = source_new(job, kind, &s, err);

	if (r < 0)
		return r;
	s->fd = fd;
	s->left = max;
	s->digest = digest;
	job->unit = "bytes";
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		job->total = BG_MAX(job->total, job->before + BG_MIN((uint64_t)st.st_size, max));
	if (archive_read_open(s->a, s, NULL, read_fd, NULL) != ARCHIVE_OK)
		return damaged(s, err);
	*ret = TAKE_PTR(s);
	return 0;
}

int source_open_fd(
	struct job *job, int fd, enum source_kind kind, struct source **ret, struct bg_err **err)
{
	return source_open_range(job, fd, UINT64_MAX, kind, NULL, ret, err);
}

int source_open_entry(struct job *job, struct source *outer, enum source_kind kind,
	struct source **ret, struct bg_err **err)
{
	_unref_(source) struct source *s = NULL;
	int r = source_new(job, kind, &s, err);

	if (r < 0)
		return r;
	s->outer = outer;
	s->code = outer->code;
	if (archive_read_open(s->a, s, NULL, read_outer, NULL) != ARCHIVE_OK)
		return damaged(s, err);
	*ret = TAKE_PTR(s);
	return 0;
}

int source_open_memory(struct job *job, const void *p, size_t len, enum source_kind kind,
	struct source **ret, struct bg_err **err)
{
	_unref_(source) struct source *s = NULL;
	int r = source_new(job, kind, &s, err);

	if (r < 0)
		return r;
	if (archive_read_open_memory(s->a, p, len) != ARCHIVE_OK)
		return damaged(s, err);
	*ret = TAKE_PTR(s);
	return 0;
}

void source_free(struct source *s)
{
	if (!s)
		return;
	if (s->a)
		(void)archive_read_free(s->a);
	bg_err_free(s->failure);
	free(s->buf);
	free(s);
}

int source_next(struct source *s, struct archive_entry **ret, struct bg_err **err)
{
	int r = archive_read_next_header(s->a, ret);

	if (r == ARCHIVE_EOF)
		return s->failure ? damaged(s, err) : 0;
	/* A warning is about a name or time that could not be kept exactly; the entry is there. */
	if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
		return damaged(s, err);
	r = check_unpacked(s, err);
	return r < 0 ? r : 1;
}

int source_block(
	struct source *s, const void **buf, size_t *len, int64_t *offset, struct bg_err **err)
{
	int r = archive_read_data_block(s->a, buf, len, offset);

	if (r == ARCHIVE_EOF)
		return 0;
	if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
		return damaged(s, err);
	r = check_unpacked(s, err);
	return r < 0 ? r : 1;
}

uint64_t source_entry_offset(const struct source *s)
{
	return (uint64_t)BG_MAX(archive_read_header_position(s->a), (la_int64_t)0);
}

bool source_is_compressed(const struct source *s)
{
	return archive_filter_code(s->a, 0) != ARCHIVE_FILTER_NONE;
}

int source_drain(struct source *s, struct bg_err **err)
{
	const void *buf;
	la_ssize_t n;

	while ((n = read_fd(s->a, s, &buf)) > 0)
		;
	return n < 0 ? damaged(s, err) : 0;
}

int source_slurp(struct source *s, size_t max, char **ret, size_t *ret_len, struct bg_err **err)
{
	_free_ char *buf = NULL;
	size_t len = 0, room = 0;

	for (;;) {
		la_ssize_t n;

		if (room - len < 2) {
			size_t next = BG_MIN(room ? room * 2 : 64 * 1024, max + 2);
			char *p = next > room ? realloc(buf, next) : NULL;

			if (!p && next > room)
				return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "read a file");
			if (!p)
				return bg_err_set(err, s->code, EFBIG,
					"a file in the archive is over %zu bytes", max);
			buf = p;
			room = next;
		}
		n = archive_read_data(s->a, buf + len, room - len - 1);
		if (n < 0)
			return damaged(s, err);
		if (n == 0)
			break;
		len += (size_t)n;
	}
	buf[len] = '\0';
	*ret = TAKE_PTR(buf);
	*ret_len = len;
	return 0;
}
