/* SPDX-License-Identifier: ISC */
/*
 * cow_store.h: the store of a disk that keeps only what differs from its image (common/disk_layout.h), read and written
 * without the kernel that owns the format. What is read here was written by a guest: all of it is hostile.
 */
#ifndef BG_WORKER_COW_STORE_H
#define BG_WORKER_COW_STORE_H

#include "common/disk_layout.h"
#include "worker/job.h"

/* count chunks from old on of the base are kept from new on. */
struct cow_run {
	uint64_t old_chunk, new_chunk, count;
};

struct cow_store {
	int fd;		 /* borrowed */
	uint64_t chunk;	 /* bytes */
	uint64_t base;	 /* chunks that it covers */
	uint64_t chunks; /* of its own */
};

/* base: bytes of the image. chunk: BG_COW_CHUNK or BG_DISK_CHUNK. */
void cow_store_init(struct cow_store *store, int fd, uint64_t base, uint64_t chunk);
uint64_t cow_store_bytes(const struct cow_store *store);

typedef int (*cow_run_fn)(const struct cow_run *run, void *userdata, struct bg_err **err);
/*
 * Each run that the store has, in its order. IMAGE_INVALID: it is damaged: no store, beyond itself or its base, into
 * its own lists, or with a chunk twice. Runs before the damage have been told.
 */
int cow_store_read(
	const struct cow_store *store, cow_run_fn fn, void *userdata, struct bg_err **err);

/*
 * Writes a store that maps these chunks of the base (ascending, n of them) to zeros: header and lists; what they name
 * stays a hole. fd is empty before and as long as the store after. -errno.
 */
int cow_store_write_zeros(const struct cow_store *store, const uint32_t *old_chunks, size_t n);

#endif
