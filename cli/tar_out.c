/* SPDX-License-Identifier: ISC */
/*
 * tar_out.c: Only what GNU tar and busybox both read: ustar, with GNU's long names and sparse
 * files where needed.
 */
#include "cli/tar_out.h"

#include <stdio.h>

#include "common/fd.h"
#include "common/sha256.h"
#include "common/tar_extents.h"
#include "common/tar_head.h"

enum { BLOCK = 512, HELD_MAX = 256 * 1024, NAME_MAX_ = 100 };

struct head {
	char name[NAME_MAX_], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type;
	char link[NAME_MAX_], magic[8], user[32], group[32], major[8], minor[8], prefix[155],
		pad[12];
};
_Static_assert(sizeof(struct head) == BLOCK, "tar format");

int tar_out_init(struct tar_out *t, int fd)
{
	*t = (struct tar_out){.fd = fd, .buffer = malloc(HELD_MAX)};
	return t->buffer ? 0 : -ENOMEM;
}

void tar_out_done(struct tar_out *t)
{
	free(t->buffer);
	t->buffer = NULL;
}

static int flush(struct tar_out *t)
{
	int r = bg_write_all(t->fd, t->buffer, t->held);

	t->held = 0;
	return r;
}

static int put(struct tar_out *t, const void *data, size_t len)
{
	int r = t->held + len > HELD_MAX ? flush(t) : 0;

	if (r < 0)
		return r;
	t->size += len;
	if (len > HELD_MAX)
		return bg_write_all(t->fd, data, len);
	memcpy(t->buffer + t->held, data, len);
	t->held += len;
	return 0;
}

/* Fills up to a whole block after a body of this size. */
static int pad(struct tar_out *t, uint64_t size)
{
	static const char zeros[BLOCK];

	return size % BLOCK ? put(t, zeros, BLOCK - size % BLOCK) : 0;
}

/* Octal while it fits; beyond 8 GiB big-endian binary with the top bit set, as GNU tar does. */
static void put_size(char field[12], uint64_t size)
{
	if (size < 1ULL << 33) {
		snprintf(field, 12, "%011llo", (unsigned long long)size);
		return;
	}
	for (int i = 11; i > 0; i--, size >>= 8)
		field[i] = (char)(size & 0xff);
	field[0] = (char)0x80;
}

static int put_head(struct tar_out *t, const char *name, char type, uint32_t mode, const char *link,
	uint64_t size)
{
	struct head h = {.type = type};
	unsigned sum = 0;

	memcpy(h.name, name, strnlen(name, sizeof(h.name)));
	memcpy(h.link, link, strnlen(link, sizeof(h.link)));
	snprintf(h.mode, sizeof(h.mode), "%07o", mode & 07777U);
	memcpy(h.uid, "0000000", 8);
	memcpy(h.gid, "0000000", 8);
	memcpy(h.mtime, "00000000000", 12);
	memcpy(h.magic, "ustar  ", 8);
	put_size(h.size, size);
	memset(h.sum, ' ', sizeof(h.sum));
	for (size_t i = 0; i < sizeof(h); i++)
		sum += ((const unsigned char *)&h)[i];
	snprintf(h.sum, sizeof(h.sum), "%06o", sum & 0777777U);
	return put(t, &h, sizeof(h));
}

/* A name that is too long comes before its head as the body of a head of type L or K. */
static int put_long(struct tar_out *t, char type, const char *text)
{
	size_t len = strlen(text) + 1;
	int r;

	if (len <= NAME_MAX_)
		return 0;
	r = put_head(t, "././@LongLink", type, 0, "", len);
	if (r >= 0)
		r = put(t, text, len);
	return r < 0 ? r : pad(t, len);
}

static int put_entry(struct tar_out *t, const char *name, char type, uint32_t mode,
	const char *link, uint64_t size)
{
	int r = put_long(t, 'K', link);

	if (r >= 0)
		r = put_long(t, 'L', name);
	return r < 0 ? r : put_head(t, name, type, mode, link, size);
}

int tar_out_dir(struct tar_out *t, const char *name, uint32_t mode)
{
	return put_entry(t, name, '5', mode, "", 0);
}

int tar_out_link(struct tar_out *t, const char *name, const char *target)
{
	return put_entry(t, name, '2', 0777, target, 0);
}

int tar_out_memory(struct tar_out *t, const char *name, uint32_t mode, const void *data, size_t len)
{
	int r = put_entry(t, name, '0', mode, "", len);

	if (r >= 0)
		r = put(t, data, len);
	return r < 0 ? r : pad(t, len);
}

static ssize_t read_some(int fd, void *buffer, size_t len)
{
	ssize_t n;

	do {
		n = read(fd, buffer, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* So many bytes of fd into the archive and the hash. */
static int put_data(struct tar_out *t, int fd, uint64_t left, struct bg_sha256 *hash)
{
	char buffer[64 * 1024];
	int r = 0;

	while (r >= 0 && left > 0) {
		ssize_t n = read_some(fd, buffer, (size_t)BG_MIN(left, sizeof(buffer)));

		if (n <= 0)
			return n < 0 ? (int)n : -ESTALE;
		bg_sha256_add(hash, buffer, (size_t)n);
		r = put(t, buffer, (size_t)n);
		left -= (uint64_t)n;
	}
	return r;
}

/* What a hole reads as. */
static void hash_hole(struct bg_sha256 *hash, uint64_t len)
{
	static const char zeros[64 * 1024];

	for (; len > 0; len -= BG_MIN(len, sizeof(zeros)))
		bg_sha256_add(hash, zeros, (size_t)BG_MIN(len, sizeof(zeros)));
}

/* The pax records of GNU's sparse format 1.0; the rest is in the body. */
static int put_sparse_head(struct tar_out *t, const char *name, uint64_t size)
{
	size_t room = strlen(name) + 256, n = 0;
	_free_ char *text = malloc(room);
	char number[32];
	int r;

	if (!text)
		return -ENOMEM;
	snprintf(number, sizeof(number), "%llu", (unsigned long long)size);
	n += tar_pax_put(text + n, room - n, "GNU.sparse.major", "1");
	n += tar_pax_put(text + n, room - n, "GNU.sparse.minor", "0");
	n += tar_pax_put(text + n, room - n, "GNU.sparse.name", name);
	n += tar_pax_put(text + n, room - n, "GNU.sparse.realsize", number);
	r = put_head(t, "PaxHeader", 'x', 0644, "", n);
	if (r >= 0)
		r = put(t, text, n);
	return r < 0 ? r : pad(t, n);
}

static int put_sparse(struct tar_out *t, const char *name, uint32_t mode, int fd, uint64_t size,
	const struct tar_extents *x, struct bg_sha256 *hash)
{
	size_t len = 0;
	_free_ char *map = tar_extents_map(x, &len);
	uint64_t at = 0;
	int r = map ? put_sparse_head(t, name, size) : -ENOMEM;

	if (r >= 0)
		r = put_entry(t, name, '0', mode, "", len + tar_padding(len) + x->data);
	if (r >= 0)
		r = put(t, map, len);
	if (r >= 0)
		r = pad(t, len);
	for (size_t i = 0; r >= 0 && i < x->count; i++) {
		uint64_t from = (uint64_t)x->list[i].at, n = (uint64_t)x->list[i].len;

		hash_hole(hash, from - at);
		r = lseek(fd, x->list[i].at, SEEK_SET) < 0 ? -errno : put_data(t, fd, n, hash);
		at = from + n;
	}
	if (r >= 0)
		hash_hole(hash, size - at);
	return r < 0 ? r : pad(t, x->data);
}

int tar_out_file(
	struct tar_out *t, const char *name, uint32_t mode, int fd, uint64_t size, char *hex)
{
	struct tar_extents x = {0};
	struct bg_sha256 hash;
	struct stat st;
	int r;

	bg_sha256_init(&hash);
	if (fstat(fd, &st) >= 0 && (uint64_t)st.st_size == size && tar_extents_find(fd, &st, &x)) {
		r = put_sparse(t, name, mode, fd, size, &x, &hash);
	} else {
		r = lseek(fd, 0, SEEK_SET) < 0 ? -errno : put_entry(t, name, '0', mode, "", size);
		if (r >= 0)
			r = put_data(t, fd, size, &hash);
		if (r >= 0)
			r = pad(t, size);
	}
	free(x.list);
	if (r >= 0 && hex)
		bg_sha256_end(&hash, hex);
	return r;
}

int tar_out_end(struct tar_out *t)
{
	static const char zeros[2 * BLOCK];
	int r = put(t, zeros, sizeof(zeros));

	return r < 0 ? r : flush(t);
}
