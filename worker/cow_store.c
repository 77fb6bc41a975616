/* SPDX-License-Identifier: ISC */
/* See cow_store.h. The format is the kernel's: drivers/md/dm-snap-persistent.c, version 1. */
#include "worker/cow_store.h"

#include "common/cow_store.h"

/* Of one reading. */
struct walk {
	const struct cow_store *store;
	cow_run_fn fn;
	void *userdata;
	struct cow_run run;
	uint8_t *seen; /* a bit for each chunk of the base */
	struct bg_store_pair *area;
};

void cow_store_init(struct cow_store *store, int fd, uint64_t base, uint64_t chunk)
{
	*store = (struct cow_store){.fd = fd, .chunk = chunk, .base = base / chunk};
	store->chunks = bg_disk_store_size(store->base * chunk, chunk) / chunk;
}

uint64_t cow_store_bytes(const struct cow_store *store)
{
	return store->chunks * store->chunk;
}

/* The chunk of the store with the a-th list. */
static uint64_t area_at(const struct cow_store *store, uint64_t a)
{
	return 1 + a * (bg_store_pairs(store->chunk) + 1);
}

static int damaged(struct bg_err **err, const char *why)
{
	return bg_err_set(err, BG_ERR_IMAGE_INVALID, EUCLEAN, "the root disk is damaged: %s", why);
}

static int read_exact(
	const struct cow_store *store, void *buf, size_t len, uint64_t at, struct bg_err **err)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(store->fd, (uint8_t *)buf + got, len - got, (off_t)(at + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return bg_err_sys(err, BG_ERR_WORKER, errno, "read the root disk");
		if (n == 0)
			return damaged(err, "its file is shorter than its store");
		got += (size_t)n;
	}
	return 0;
}

/* 0: nothing was written yet; 1: it has lists. One that ran into an error (invalid) is as after a power cut. */
static int read_head(const struct cow_store *store, struct bg_err **err)
{
	struct bg_cow_head head;
	int r = read_exact(store, &head, sizeof(head), 0, err);

	if (r < 0)
		return r;
	switch (bg_cow_state_of(&head, (uint32_t)(store->chunk / 512))) {
	case BG_COW_NEW:
		return 0;
	case BG_COW_VALID:
	case BG_COW_INVALID:
		return 1;
	case BG_COW_FOREIGN:
		break;
	}
	return damaged(err, "its file does not begin as one does");
}

static int end_run(struct walk *walk, struct bg_err **err)
{
	struct cow_run run = walk->run;

	walk->run.count = 0;
	return run.count ? walk->fn(&run, walk->userdata, err) : 0;
}

static int check_pair(struct walk *walk, uint64_t from, uint64_t to, struct bg_err **err)
{
	const struct cow_store *store = walk->store;
	uint8_t bit = (uint8_t)(1 << from % 8);

	if (from >= store->base)
		return damaged(err, "it keeps what is beyond its image");
	if (to >= store->chunks)
		return damaged(err, "it names what is beyond its store");
	if ((to - 1) % (bg_store_pairs(store->chunk) + 1) == 0)
		return damaged(err, "it takes a list for content");
	if (walk->seen[from / 8] & bit)
		return damaged(err, "it keeps a chunk twice");
	walk->seen[from / 8] |= bit;
	return 0;
}

static int take_pair(struct walk *walk, uint64_t from, uint64_t to, struct bg_err **err)
{
	struct cow_run *run = &walk->run;
	int r = check_pair(walk, from, to, err);

	if (r < 0)
		return r;
	if (run->count && run->old_chunk + run->count == from &&
		run->new_chunk + run->count == to) {
		run->count++;
		return 0;
	}
	r = end_run(walk, err);
	*run = (struct cow_run){from, to, 1};
	return r;
}

/* 1: it is full, so that another follows. */
static int take_area(struct walk *walk, uint64_t at, struct bg_err **err)
{
	const struct cow_store *store = walk->store;
	int r = read_exact(store, walk->area, store->chunk, at * store->chunk, err);

	for (uint64_t i = 0; r >= 0 && i < bg_store_pairs(store->chunk); i++) {
		uint64_t to = le64toh(walk->area[i].new_chunk);

		if (to == 0)
			return 0;
		r = take_pair(walk, le64toh(walk->area[i].old_chunk), to, err);
	}
	return r < 0 ? r : 1;
}

static int walk_areas(struct walk *walk, struct bg_err **err)
{
	int r = 1;

	for (uint64_t a = 0; r > 0 && area_at(walk->store, a) < walk->store->chunks; a++)
		r = take_area(walk, area_at(walk->store, a), err);
	return r < 0 ? r : end_run(walk, err);
}

int cow_store_read(
	const struct cow_store *store, cow_run_fn fn, void *userdata, struct bg_err **err)
{
	struct walk walk = {.store = store, .fn = fn, .userdata = userdata};
	int r = read_head(store, err);

	if (r <= 0)
		return r;
	walk.seen = calloc(1, store->base / 8 + 1);
	walk.area = malloc(store->chunk);
	if (walk.seen && walk.area)
		r = walk_areas(&walk, err);
	else
		r = bg_err_sys(err, BG_ERR_WORKER, ENOMEM, "read the root disk");
	free(walk.seen);
	free(walk.area);
	return r;
}

static int write_exact(const struct cow_store *store, const void *buf, size_t len, uint64_t at)
{
	ssize_t n = pwrite(store->fd, buf, len, (off_t)at);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -ENOSPC;
}

static int write_area(
	const struct cow_store *store, uint64_t a, const uint32_t *old_chunks, size_t n)
{
	struct bg_store_pair *area = calloc(1, store->chunk);
	int r;

	if (!area)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		area[i] = (struct bg_store_pair){
			htole64(old_chunks[i]), htole64(area_at(store, a) + 1 + i)};
	r = write_exact(store, area, store->chunk, area_at(store, a) * store->chunk);
	free(area);
	return r;
}

int cow_store_write_zeros(const struct cow_store *store, const uint32_t *old_chunks, size_t n)
{
	const struct bg_cow_head head = {htole32(BG_COW_MAGIC), htole32(1), htole32(BG_COW_VERSION),
		htole32((uint32_t)(store->chunk / 512))};
	size_t pairs = bg_store_pairs(store->chunk);
	int r = ftruncate(store->fd, (off_t)cow_store_bytes(store)) < 0 ? -errno : 0;

	for (size_t at = 0; r >= 0 && at < n; at += pairs)
		r = write_area(store, at / pairs, old_chunks + at, BG_MIN(n - at, pairs));
	return r < 0 || n == 0 ? r : write_exact(store, &head, sizeof(head), 0);
}
