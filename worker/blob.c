/* SPDX-License-Identifier: ISC */
/* See blob.h. */
#include "worker/blob.h"

#include <endian.h>
#include <sys/stat.h>

#define CHUNK (1024 * 1024)
#define GAP   (64 * 1024) /* a shorter hole is not worth its entry in the map */

static bool is_zero(const uint8_t *p, size_t len)
{
	return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

static void add_number(struct digest *d, uint64_t n)
{
	uint64_t le = htole64(n);

	digest_add(d, &le, sizeof(le));
}

static void add_block(struct digest *d, uint64_t at, const uint8_t *block)
{
	add_number(d, at / BLOB_BLOCK);
	digest_add(d, block, BLOB_BLOCK);
}

void blob_map_free(struct blob_map *map)
{
	free(map->range);
	*map = (struct blob_map){0};
}

static int map_add(struct blob_map *map, uint64_t at, uint64_t len)
{
	struct blob_range *last = map->n ? &map->range[map->n - 1] : NULL;

	/* The first block is in the map before it is read. */
	if (last && at < last->at + last->len + GAP) {
		last->len = BG_MAX(last->len, at + len - last->at);
		return 0;
	}
	if (map->n == map->room) {
		size_t room = map->room ? map->room * 2 : 64;
		struct blob_range *p = reallocarray(map->range, room, sizeof(*p));

		if (!p)
			return -ENOMEM;
		map->range = p;
		map->room = room;
	}
	map->range[map->n++] = (struct blob_range){at, len};
	return 0;
}

struct reading {
	struct job *job;
	int fd;
	const char *name;
	uint64_t size;
	struct digest *digest;
	struct blob_map *map;
	uint64_t *done;
	uint8_t *buf; /* CHUNK, on a block's border */
};

/* n bytes at a block's border; the rest of the last block is zeroed. */
static int take_chunk(struct reading *r, uint64_t at, size_t n)
{
	size_t whole = (n + BLOB_BLOCK - 1) / BLOB_BLOCK * BLOB_BLOCK;

	memset(r->buf + n, 0, whole - n);
	for (size_t i = 0; i < whole; i += BLOB_BLOCK) {
		int e;

		if (is_zero(r->buf + i, BLOB_BLOCK))
			continue;
		add_block(r->digest, at + i, r->buf + i);
		e = r->map ? map_add(r->map, at + i, BG_MIN((uint64_t)BLOB_BLOCK, n - i)) : 0;
		if (e < 0)
			return e;
	}
	return 0;
}

static int read_range(struct reading *r, uint64_t at, uint64_t end, struct bg_err **err)
{
	while (at < end) {
		ssize_t n = pread(r->fd, r->buf, BG_MIN((uint64_t)CHUNK, end - at), (off_t)at);
		int e;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return bg_err_sys(
				err, BG_ERR_WORKER, n < 0 ? errno : EIO, "read %s", r->name);
		e = take_chunk(r, at, (size_t)n);
		if (e < 0)
			return bg_err_sys(err, BG_ERR_WORKER, -e, "read %s", r->name);
		at += (uint64_t)n;
		*r->done += (uint64_t)n;
		e = job_tick(r->job, *r->done, NULL, err);
		if (e < 0)
			return e;
		/* A short read inside a block: that block is read again, whole. */
		if (at < end && at % BLOB_BLOCK)
			return bg_err_set(
				err, BG_ERR_WORKER, EIO, "read %s: a short read", r->name);
	}
	return 0;
}

static int read_data(struct reading *r, struct bg_err **err)
{
	uint64_t at = 0;

	while (at < r->size) {
		off_t data = lseek(r->fd, (off_t)at, SEEK_DATA), hole;
		int e;

		if (data < 0 && errno == ENXIO)
			return 0; /* nothing but a hole is left */
		hole = data < 0 ? -1 : lseek(r->fd, data, SEEK_HOLE);
		/* Some file systems know smaller holes than a block. */
		at = data < 0 ? at : BG_MAX(at, (uint64_t)data / BLOB_BLOCK * BLOB_BLOCK);
		e = read_range(r, at,
			hole < 0 ? r->size
				 : BG_MIN(r->size, ((uint64_t)hole + BLOB_BLOCK - 1) / BLOB_BLOCK *
							   BLOB_BLOCK),
			err);
		if (e < 0)
			return e;
		at = hole < 0 ? r->size
			      : ((uint64_t)hole + BLOB_BLOCK - 1) / BLOB_BLOCK * BLOB_BLOCK;
	}
	return 0;
}

int blob_read(struct job *job, int fd, const char *name, char hex[DIGEST_HEX + 1],
	struct blob_map *map, uint64_t *done, struct bg_err **err)
{
	_unref_(digest) struct digest *digest = NULL;
	_free_ uint8_t *buf = malloc(CHUNK);
	struct reading r = {job, fd, name, 0, NULL, map, done, buf};
	struct stat st;
	int e;

	if (!buf)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "read %s", name);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return bg_err_set(err, BG_ERR_WORKER, EINVAL, "%s is not a plain file", name);
	r.size = (uint64_t)st.st_size;
	e = digest_new(&digest, err);
	if (e < 0)
		return e;
	r.digest = digest;
	/* A tar entry without any data would be written with all its zeros. */
	if (map && r.size > 0 && map_add(map, 0, BG_MIN(r.size, (uint64_t)BLOB_BLOCK)) < 0)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "read %s", name);
	e = read_data(&r, err);
	if (e < 0)
		return e;
	add_number(digest, r.size);
	digest_hex(digest, hex);
	return 0;
}

/* ---- writing ---- */

struct blob_out {
	int fd;
	struct digest *digest;
	uint64_t at, data; /* start of the block under way; bytes written */
	size_t fill;	   /* bytes of it that are known, zeros included */
	uint8_t block[BLOB_BLOCK];
};

int blob_out_new(int fd, struct blob_out **ret, struct bg_err **err)
{
	_unref_(blob_out) struct blob_out *out = calloc(1, sizeof(*out));
	int r;

	if (!out)
		return bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "write a file");
	out->fd = fd;
	r = digest_new(&out->digest, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(out);
	return 0;
}

void blob_out_free(struct blob_out *out)
{
	if (!out)
		return;
	digest_free(out->digest);
	free(out);
}

static int flush(struct blob_out *out)
{
	size_t done = 0;

	if (out->fill == 0 || is_zero(out->block, BLOB_BLOCK)) {
		out->fill = 0;
		return 0;
	}
	add_block(out->digest, out->at, out->block);
	while (done < out->fill) {
		ssize_t n = pwrite(
			out->fd, out->block + done, out->fill - done, (off_t)(out->at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	out->data += out->fill;
	out->fill = 0;
	return 0;
}

int blob_out_write(struct blob_out *out, const void *p, size_t len, uint64_t at)
{
	const uint8_t *from = p;

	while (len > 0) {
		uint64_t block = at / BLOB_BLOCK * BLOB_BLOCK;
		size_t in = (size_t)(at - block), n = BG_MIN(len, BLOB_BLOCK - in);
		int r = block != out->at ? flush(out) : 0;

		if (r < 0)
			return r;
		if (block < out->at || (block == out->at && in < out->fill))
			return -EINVAL;
		if (out->fill == 0)
			memset(out->block, 0, BLOB_BLOCK);
		out->at = block;
		memcpy(out->block + in, from, n);
		out->fill = in + n;
		from += n;
		at += n;
		len -= n;
	}
	return 0;
}

int blob_out_end(struct blob_out *out, uint64_t size, char hex[DIGEST_HEX + 1])
{
	int r = flush(out);

	if (r < 0)
		return r;
	if (ftruncate(out->fd, (off_t)size) < 0)
		return -errno;
	add_number(out->digest, size);
	digest_hex(out->digest, hex);
	return 0;
}

uint64_t blob_out_data(const struct blob_out *out)
{
	return out->data;
}
