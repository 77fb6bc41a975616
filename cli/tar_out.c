/* SPDX-License-Identifier: ISC */
#include "cli/tar_out.h"

#include <stdio.h>

#include "common/fd.h"
#include "common/sha256.h"

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

int tar_out_file(
	struct tar_out *t, const char *name, uint32_t mode, int fd, uint64_t size, char *hex)
{
	char buffer[64 * 1024];
	struct bg_sha256 hash;
	uint64_t left = size;
	int r = put_entry(t, name, '0', mode, "", size);

	bg_sha256_init(&hash);
	while (r >= 0 && left > 0) {
		ssize_t n = read_some(fd, buffer, (size_t)BG_MIN(left, sizeof(buffer)));

		if (n <= 0)
			return n < 0 ? (int)n : -ESTALE;
		bg_sha256_add(&hash, buffer, (size_t)n);
		r = put(t, buffer, (size_t)n);
		left -= (uint64_t)n;
	}
	if (r >= 0)
		r = pad(t, size);
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
