/* SPDX-License-Identifier: ISC */
/*
 * The store of a guest's root disk: whatever is in it, what the worker is told to read lies in the store and is not a list,
 * and what it is told to write lies in the image, each chunk once. Input: which chunk size, the head, then the pairs,
 * which are put into their lists.
 */
#include <stdio.h>
#include <sys/mman.h>

#include "common/cow_store.h"
#include "tests/fuzz/fuzz.h"
#include "worker/cow_store.h"

enum { CHUNKS = 600 };

struct seen {
	const struct cow_store *store;
	uint8_t old_chunks[CHUNKS];
};

static int take(const struct cow_run *run, void *userdata, struct bg_err **err)
{
	struct seen *seen = userdata;
	uint64_t per = bg_store_pairs(seen->store->chunk) + 1;

	(void)err;
	if (run->count == 0)
		abort();
	for (uint64_t i = 0; i < run->count; i++) {
		uint64_t from = run->old_chunk + i, to = run->new_chunk + i;

		if (from >= CHUNKS || seen->old_chunks[from]++)
			abort();
		if (to < 2 || to >= seen->store->chunks || (to - 1) % per == 0)
			abort();
	}
	return 0;
}

static void put_pairs(const struct cow_store *store, const uint8_t *data, size_t size)
{
	const size_t list = store->chunk;

	for (size_t at = 0; at < size; at += list) {
		uint64_t place = (1 + at / list * (bg_store_pairs(list) + 1)) * list;

		if (place + list > cow_store_bytes(store))
			return;
		if (pwrite(store->fd, data + at, BG_MIN(size - at, list), (off_t)place) < 0)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	const size_t head = sizeof(struct bg_cow_head);
	struct cow_store store;
	struct seen seen = {.store = &store};
	_err_ struct bg_err *err = NULL;
	uint64_t chunk = size && data[0] % 2 ? BG_COW_CHUNK : BG_COW_CHUNK_OLD;
	int r;

	if (fd < 0)
		fd = memfd_create("store", MFD_CLOEXEC);
	cow_store_init(&store, fd, CHUNKS * chunk, chunk);
	if (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)cow_store_bytes(&store)) < 0)
		abort();
	if (size > 1 && pwrite(fd, data + 1, BG_MIN(size - 1, head), 0) < 0)
		abort();
	if (size > 1 + head)
		put_pairs(&store, data + 1 + head, size - 1 - head);
	r = cow_store_read(&store, take, &seen, &err);
	if ((r < 0) != (err != NULL))
		abort();
	return 0;
}
