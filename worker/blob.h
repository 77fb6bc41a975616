/* SPDX-License-Identifier: ISC */
/*
 * blob.h: sparse files by their content. The digest of a file does not depend on where its holes are: SHA-256 over
 * each block of 4 KiB that is not all zeros, in order, each behind its number (8 bytes, little endian; the last block
 * filled up with zeros), and at last the file's size in the same way. So a hole costs nothing to hash.
 */
#ifndef BG_WORKER_BLOB_H
#define BG_WORKER_BLOB_H

#include "worker/digest.h"

#define BLOB_BLOCK 4096

/* Ranges of a file that have data, ascending, apart from each other. */
struct blob_map {
	struct blob_range {
		uint64_t at, len;
	} * range;
	size_t n, room;
};
void blob_map_free(struct blob_map *map);

/*
 * Reads a plain file's data. hex gets its digest; map, when not NULL, what has to be stored: zeros of less than 64 KiB
 * between data count as data, and so do the first bytes. done counts on for the job's progress.
 */
int blob_read(struct job *job, int fd, const char *name, char hex[DIGEST_HEX + 1],
	struct blob_map *map, uint64_t *done, struct bg_err **err);

/* A sparse file as it arrives in pieces; the digest of what was written. */
struct blob_out;
int blob_out_new(int fd, struct blob_out **ret, struct bg_err **err);
void blob_out_free(struct blob_out *out);
BG_DEFINE_UNREF(blob_out, struct blob_out *, blob_out_free)
/* Offsets never go back. -errno of the write. */
int blob_out_write(struct blob_out *out, const void *p, size_t len, uint64_t at);
/* Sets the size. */
int blob_out_end(struct blob_out *out, uint64_t size, char hex[DIGEST_HEX + 1]);
/* Bytes that were not zero. */
uint64_t blob_out_data(const struct blob_out *out);

#endif
