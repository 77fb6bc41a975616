/* SPDX-License-Identifier: ISC */
/* See tar_extents.h. */
#include "common/tar_extents.h"

#include <stdio.h>
#include <unistd.h>

#include "common/tar_head.h"

static bool add_extent(struct tar_extents *x, off_t at, off_t len)
{
	void *p;

	if (x->count == TAR_EXTENTS_MAX)
		return false;
	if ((x->count & (x->count - 1)) == 0) {
		p = realloc(x->list, (x->count ? 2 * x->count : 1) * sizeof(*x->list));
		if (!p)
			return false;
		x->list = p;
	}
	x->list[x->count].at = at;
	x->list[x->count++].len = len;
	x->data += (uint64_t)len;
	return true;
}

bool tar_extents_find(int fd, const struct stat *st, struct tar_extents *x)
{
	off_t at = 0, last = -1;

	if ((uint64_t)st->st_blocks * 512 >= (uint64_t)st->st_size)
		return false;
	while (at < st->st_size) {
		off_t data = lseek(fd, at, SEEK_DATA), end;

		if (data < 0 && errno == ENXIO)
			break;
		end = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
		if (end < 0 || !add_extent(x, data, BG_MIN(end, st->st_size) - data))
			return false;
		at = last = end;
	}
	/* A file that ends in a hole has an empty area there: GNU tar takes the size from it. */
	return last == st->st_size || add_extent(x, st->st_size, 0);
}

char *tar_extents_map(const struct tar_extents *x, size_t *ret_len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, ret_len);

	if (!f)
		return NULL;
	(void)fprintf(f, "%zu\n", x->count);
	for (size_t i = 0; i < x->count; i++)
		(void)fprintf(
			f, "%lld\n%lld\n", (long long)x->list[i].at, (long long)x->list[i].len);
	return fclose(f) == 0 ? text : NULL;
}
