/* SPDX-License-Identifier: ISC */
/* See tar_in.h. */
#include "common/tar_in.h"

void tar_in_init(struct tar_in *in, int fd)
{
	in->fd = fd;
	in->at = in->len = 0;
}

int tar_in_bad(struct bg_err **err, const char *what)
{
	return bg_err_set(err, BG_ERR_IO, EPROTO, "the copy is not a tar stream: %s", what);
}

/* Some bytes at *p, at most max; 0 at the end of the stream. */
ssize_t tar_in_some(struct tar_in *in, const uint8_t **p, uint64_t max)
{
	size_t n;

	while (in->at == in->len) {
		ssize_t got = read(in->fd, in->buf, sizeof(in->buf));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : 0;
		in->at = 0;
		in->len = (size_t)got;
	}
	n = (size_t)BG_MIN(max, (uint64_t)(in->len - in->at));
	*p = in->buf + in->at;
	in->at += n;
	return (ssize_t)n;
}

int tar_in_exactly(struct tar_in *in, void *out, size_t len, struct bg_err **err)
{
	uint8_t *to = out;

	while (len > 0) {
		const uint8_t *p;
		ssize_t n = tar_in_some(in, &p, len);

		if (n < 0)
			return bg_err_sys(err, BG_ERR_IO, (int)-n, "read the copy");
		if (n == 0)
			return tar_in_bad(err, "it ends too early");
		if (to)
			to = (uint8_t *)memcpy(to, p, (size_t)n) + n;
		len -= (size_t)n;
	}
	return 0;
}

int tar_in_skip(struct tar_in *in, uint64_t len, struct bg_err **err)
{
	int r = 0;

	while (len > 0 && r >= 0) {
		size_t n = (size_t)BG_MIN(len, (uint64_t)TAR_PIECE);

		r = tar_in_exactly(in, NULL, n, err);
		len -= n;
	}
	return r;
}

/* A number and a line end; *used counts the bytes. */
static int map_number(struct tar_in *in, uint64_t *used, uint64_t *ret, struct bg_err **err)
{
	uint64_t n = 0;
	char c = '\0';

	for (int digits = 0;; digits++) {
		int r = tar_in_exactly(in, &c, 1, err);

		if (r < 0)
			return r;
		++*used;
		if (c == '\n' && digits > 0)
			break;
		if (c < '0' || c > '9' || digits > 18)
			return tar_in_bad(err, "the map of a sparse file is broken");
		n = n * 10 + (uint64_t)(c - '0');
	}
	*ret = n;
	return 0;
}

int tar_in_map(struct tar_in *in, const struct tar_entry *e, uint64_t **ret, uint64_t *ret_count,
	uint64_t *ret_used, struct bg_err **err)
{
	uint64_t count = 0, used = 0, data = 0, last = 0;
	_free_ uint64_t *map = NULL;
	int r = map_number(in, &used, &count, err);

	if (r < 0)
		return r;
	if (count > TAR_EXTENTS_MAX)
		return tar_in_bad(err, "a sparse file has too many areas");
	map = calloc((size_t)count * 2 + 1, sizeof(*map));
	if (!map)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	for (uint64_t i = 0; i < 2 * count; i++) {
		r = map_number(in, &used, &map[i], err);
		if (r < 0)
			return r;
	}
	for (uint64_t i = 0; i < count; i++) {
		if (map[2 * i] < last || map[2 * i] > e->real_size ||
			map[2 * i + 1] > e->real_size - map[2 * i])
			return tar_in_bad(err, "the map of a sparse file is broken");
		last = map[2 * i] + map[2 * i + 1];
		data += map[2 * i + 1];
	}
	r = tar_in_skip(in, tar_padding(used), err);
	used += tar_padding(used);
	if (r >= 0 && used + data != e->size)
		return tar_in_bad(err, "the map of a sparse file does not fit its data");
	*ret = TAKE_PTR(map);
	*ret_count = count;
	*ret_used = used;
	return r;
}
