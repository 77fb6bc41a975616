/* SPDX-License-Identifier: ISC */
/* tar_in.h: the bytes of a tar stream as tar_unpack.c takes them, and the map of a sparse file. Blocks; a piece in memory. */
#ifndef BG_COMMON_TAR_IN_H
#define BG_COMMON_TAR_IN_H

#include <sys/types.h>

#include "common/err.h"
#include "common/tar_head.h"

enum { TAR_PIECE = 64 * 1024 };

struct tar_in {
	int fd;
	size_t at, len; /* of buf: what is read and not yet taken */
	uint8_t buf[TAR_PIECE];
};

void tar_in_init(struct tar_in *in, int fd);
/* The error for what is not a tar stream. */
int tar_in_bad(struct bg_err **err, const char *what);
/* Some bytes at *p, at most max; 0 at the end of the stream, or -errno. */
ssize_t tar_in_some(struct tar_in *in, const uint8_t **p, uint64_t max);
/* out NULL: they are dropped. */
int tar_in_exactly(struct tar_in *in, void *out, size_t len, struct bg_err **err);
int tar_in_skip(struct tar_in *in, uint64_t len, struct bg_err **err);
/* Offsets and lengths by turns, *ret_count of both, the caller's; *ret_used: bytes of the entry that the map took. */
int tar_in_map(struct tar_in *in, const struct tar_entry *e, uint64_t **ret, uint64_t *ret_count,
	uint64_t *ret_used, struct bg_err **err);

#endif
