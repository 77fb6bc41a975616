/* SPDX-License-Identifier: ISC */
/* tar_extents.h: where a file has data, for the entries of sparse files that vm cp and workspaces send. */
#ifndef BG_COMMON_TAR_EXTENTS_H
#define BG_COMMON_TAR_EXTENTS_H

#include <sys/stat.h>

#include "common/base.h"

struct tar_extents {
	struct {
		off_t at, len;
	} * list;
	size_t count;
	uint64_t data;
};

/* False when the file has no holes worth it, or its file system does not tell. x->list is the caller's in any case. */
bool tar_extents_find(int fd, const struct stat *st, struct tar_extents *x);
/* GNU's format 1.0: the number of areas, then offset and length of each, a line each; the caller's, or NULL. */
char *tar_extents_map(const struct tar_extents *x, size_t *ret_len);

#endif
