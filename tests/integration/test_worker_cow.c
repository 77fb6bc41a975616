/* SPDX-License-Identifier: ISC */
/*
 * The real banger-worker on disks that keep only what differs from their image: the seed of a real file system,
 * stores put together by hand and read back, and stores that a hostile guest could leave.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/cow_store.h"
#include "common/disk_layout.h"
#include "tests/integration/worker_client.h"
#include "tests/lib/test.h"

enum { CHUNKS = 40, REST = 4096, GROWN = 3 };

/* A disk by hand: an image of CHUNKS chunks and REST bytes, a tail of GROWN chunks more. */
struct hand {
	uint64_t chunk, base, store, disk;
	int fd[3]; /* image, own file, result */
	uint8_t *want;
};

static uint64_t covered(const struct hand *h)
{
	return h->base / h->chunk * h->chunk;
}

static void put(int fd, const void *p, size_t len, uint64_t at)
{
	CHECK_INT(pwrite(fd, p, len, (off_t)at), len);
}

/* Nothing of it is a page of zeros, and no two chunks are the same. */
static void fill(uint8_t *p, uint64_t len, uint8_t salt)
{
	for (uint64_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i / 4096 * 7 + i % 251 + salt + 1);
}

static void make_hand(struct hand *h, uint64_t chunk)
{
	uint64_t rest;

	*h = (struct hand){.chunk = chunk, .base = CHUNKS * chunk + REST / 2};
	h->store = bg_disk_store_size(covered(h), chunk);
	rest = h->base - covered(h);
	h->disk = covered(h) + (GROWN + 1) * chunk;
	h->want = calloc(1, h->disk);
	h->fd[0] = worker_file("base");
	h->fd[1] = worker_file("own");
	h->fd[2] = worker_file("result");
	fill(h->want, h->base, 0);
	put(h->fd[0], h->want, h->base, 0);
	put(h->fd[1], h->want + covered(h), rest, h->store);
	CHECK_INT(ftruncate(h->fd[1], (off_t)(h->store + h->disk - covered(h))), 0);
}

static void put_head(
	const struct hand *h, uint32_t magic, uint32_t valid, uint32_t version, uint32_t sectors)
{
	const struct bg_cow_head head = {
		htole32(magic), htole32(valid), htole32(version), htole32(sectors)};

	put(h->fd[1], &head, sizeof(head), 0);
}

static uint64_t area_at(const struct hand *h, uint64_t area)
{
	return (1 + area * (bg_store_pairs(h->chunk) + 1)) * h->chunk;
}

/* The nth pair of the lists. */
static void put_pair(const struct hand *h, uint64_t nth, uint64_t from, uint64_t to)
{
	const struct bg_store_pair pair = {htole64(from), htole64(to)};
	uint64_t per = bg_store_pairs(h->chunk);

	put(h->fd[1], &pair, sizeof(pair), area_at(h, nth / per) + nth % per * sizeof(pair));
}

/* With content; salt 0: a hole, which is zeros. */
static void keep(const struct hand *h, uint64_t nth, uint64_t from, uint64_t to, uint8_t salt)
{
	uint8_t *want = h->want + from * h->chunk;

	put_pair(h, nth, from, to);
	if (salt) {
		fill(want, h->chunk, salt);
		put(h->fd[1], want, h->chunk, to * h->chunk);
	} else {
		memset(want, 0, h->chunk);
	}
}

static struct worker_answer merge(const struct hand *h)
{
	char rq[100];

	snprintf(rq, sizeof(rq), "{\"job\":\"cow_merge\",\"chunk\":%u}", (unsigned)h->chunk);
	return worker_run(rq, h->fd, 3);
}

static void expect_disk(struct hand *h)
{
	struct worker_answer a = merge(h);
	uint8_t *got = calloc(1, h->disk + 1);

	if (a.error)
		test_fail(__FILE__, __LINE__, "%s", json_dumps(a.error, 0));
	CHECK(a.result);
	worker_answer_clear(&a);
	CHECK_INT(pread(h->fd[2], got, h->disk + 1, 0), h->disk);
	for (uint64_t i = 0; i < h->disk; i++)
		if (got[i] != h->want[i])
			test_fail(__FILE__, __LINE__, "byte %llu of chunk %llu differs",
				(unsigned long long)(i % h->chunk),
				(unsigned long long)(i / h->chunk));
	free(got);
}

static void end_hand(struct hand *h)
{
	free(h->want);
	for (size_t i = 0; i < ARRAY_SIZE(h->fd); i++)
		close(h->fd[i]);
}

static const uint64_t both[] = {BG_COW_CHUNK, BG_COW_CHUNK_OLD};

TEST(a_disk_that_was_never_written_to)
{
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		struct hand h;

		make_hand(&h, both[i]);
		expect_disk(&h);
		/* As the kernel makes a new one, before the first write. */
		put_head(&h, BG_COW_MAGIC, 1, 1, (uint32_t)(h.chunk / 512));
		expect_disk(&h);
		end_hand(&h);
	}
}

TEST(what_was_written_replaces_what_the_image_has)
{
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		struct hand h;
		uint64_t tail;

		make_hand(&h, both[i]);
		put_head(&h, BG_COW_MAGIC, 1, 1, (uint32_t)(h.chunk / 512));
		keep(&h, 0, 7, 2, 10);
		keep(&h, 1, 8, 3, 20);
		keep(&h, 2, 9, 4, 30);
		keep(&h, 3, 0, 5, 40);
		keep(&h, 4, CHUNKS - 1, 6, 50);
		keep(&h, 5, 20, 7, 0); /* seeded, and never written to */
		keep(&h, 6, 21, 8, 0);
		tail = covered(&h) + h.chunk + 100;
		fill(h.want + tail, 1000, 60);
		put(h.fd[1], h.want + tail, 1000, h.store + tail - covered(&h));
		expect_disk(&h);
		/* One that ran into an error of the host's disk is as after a power cut. */
		put_head(&h, BG_COW_MAGIC, 0, 1, (uint32_t)(h.chunk / 512));
		expect_disk(&h);
		end_hand(&h);
	}
}

/* 256 pairs fill a list of 4096 bytes: a full one is followed by another, which may be empty. */
TEST(lists_go_on_in_the_next_area)
{
	enum { MANY = 300, PER = 256 };
	struct hand h = {.chunk = BG_DISK_CHUNK, .base = (uint64_t)MANY * BG_DISK_CHUNK};

	h.store = bg_disk_store_size(h.base, h.chunk);
	h.disk = h.base;
	h.want = calloc(1, h.disk);
	h.fd[0] = worker_file("base");
	h.fd[1] = worker_file("own");
	h.fd[2] = worker_file("result");
	CHECK_INT(ftruncate(h.fd[0], (off_t)h.base), 0);
	CHECK_INT(ftruncate(h.fd[1], (off_t)h.store), 0);
	put_head(&h, BG_COW_MAGIC, 1, 1, 8);
	for (uint64_t i = 0; i < PER; i++)
		keep(&h, i, MANY - 1 - i, 2 + i, (uint8_t)(1 + i % 200));
	expect_disk(&h);
	for (uint64_t i = PER; i < MANY; i++)
		keep(&h, i, MANY - 1 - i, PER + 3 + (i - PER), (uint8_t)(1 + i % 200));
	expect_disk(&h);
	end_hand(&h);
}

TEST(what_a_hostile_guest_could_leave)
{
	const uint64_t store =
		bg_disk_store_size(CHUNKS * BG_COW_CHUNK_OLD, BG_COW_CHUNK_OLD) / BG_COW_CHUNK_OLD;
	const struct {
		uint64_t from, to;
		const char *why;
	} pairs[] = {
		{CHUNKS, 3, "beyond its image"}, {UINT64_MAX, 3, "beyond its image"},
		{1, store, "beyond its store"}, {1, UINT64_MAX, "beyond its store"},
		{1, 1, "a list for content"},
		{0, 3, "a chunk twice"}, /* the one before it has it */
	};
	const struct {
		uint32_t magic, valid, version, sectors;
		const char *why;
	} heads[] = {
		{BG_COW_MAGIC + 1, 1, 1, 32, "does not begin"},
		{BG_COW_MAGIC, 2, 1, 32, "does not begin"},
		{BG_COW_MAGIC, 1, 2, 32, "does not begin"},
		{BG_COW_MAGIC, 1, 1, 8, "does not begin"},
		{BG_COW_MAGIC, 1, 1, 0, "does not begin"},
	};
	struct worker_answer a;
	struct hand h;

	make_hand(&h, BG_COW_CHUNK_OLD);
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		put_head(&h, BG_COW_MAGIC, 1, 1, 32);
		put_pair(&h, 0, 0, 2);
		put_pair(&h, 1, pairs[i].from, pairs[i].to);
		a = merge(&h);
		worker_expect_error(&a, "image.invalid", pairs[i].why);
	}
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		put_head(&h, heads[i].magic, heads[i].valid, heads[i].version, heads[i].sectors);
		a = merge(&h);
		worker_expect_error(&a, "image.invalid", heads[i].why);
	}
	CHECK_INT(ftruncate(h.fd[1], (off_t)h.store), 0);
	a = merge(&h);
	worker_expect_error(&a, "image.invalid", "does not fit its image");
	CHECK_INT(ftruncate(h.fd[1], 100), 0);
	a = merge(&h);
	worker_expect_error(&a, "image.invalid", "does not fit its image");
	a = worker_run("{\"job\":\"cow_merge\",\"chunk\":8192}", h.fd, 3);
	worker_expect_error(&a, "worker.failed", "no such disk");
	end_hand(&h);
}

static void make_image(const char *name, const char *size)
{
	int fd = worker_file(name);
	struct worker_answer a;
	char rq[100];

	snprintf(rq, sizeof(rq), "{\"job\":\"mkfs\",\"size\":%s,\"label\":\"image\"}", size);
	a = worker_run(rq, &fd, 1);
	CHECK(a.result);
	worker_answer_clear(&a);
	close(fd);
}

static int reopen(const char *name)
{
	int fd = open(worker_path(name), O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

static int64_t seed_image(int fds[2])
{
	struct worker_answer a = worker_run("{\"job\":\"cow_seed\"}", fds, 2);
	int64_t n;

	CHECK(a.result);
	n = worker_result_int(&a, "chunks");
	worker_answer_clear(&a);
	return n;
}

/* The disk that begins with a seed is the image's file system: only what nobody reads is zeros in it. */
TEST(seed_of_a_file_system)
{
	const uint64_t image = 256 * MIB, disk = 400 * MIB;
	int fds[3];
	struct worker_answer a;
	struct stat st;

	make_image("image", "268435456");
	fds[0] = reopen("image");
	fds[1] = worker_file("own");
	fds[2] = worker_file("result");
	CHECK_INT(seed_image(fds),
		32768); /* of 65536: most of it is free or journal, and a list has an end */
	CHECK_INT(fstat(fds[1], &st), 0);
	CHECK_INT(st.st_size, bg_cow_store_size(image, BG_COW_CHUNK));
	CHECK(st.st_blocks * 512 < 640 * 1024);
	CHECK_INT(ftruncate(fds[1], (off_t)bg_cow_file_size(image, disk, BG_COW_CHUNK)), 0);
	a = worker_run("{\"job\":\"cow_merge\",\"chunk\":4096}", fds, 3);
	CHECK(a.result);
	worker_answer_clear(&a);
	CHECK_INT(fstat(fds[2], &st), 0);
	CHECK_INT(st.st_size, disk);
	worker_fsck("result");
}

/* What is not at rest, or not ext4, has nothing that may be left out; such a disk works all the same. */
TEST(no_seed_for_what_is_not_clean)
{
	enum { STATE_AT = 1024 + 58, MAGIC_AT = 1024 + 56 };
	const uint16_t error = htole16(2), junk = 0;
	int fds[2];

	make_image("image", "67108864");
	fds[0] = reopen("image");
	fds[1] = worker_file("own");
	CHECK(seed_image(fds) > 0);
	put(fds[0], &junk, 2, MAGIC_AT);
	CHECK_INT(seed_image(fds), 0);
	make_image("image", "67108864");
	put(fds[0], &error, 2, STATE_AT); /* and the checksum is wrong */
	CHECK_INT(seed_image(fds), 0);
	CHECK_INT(ftruncate(fds[0], 0), 0);
	CHECK_INT(ftruncate(fds[0], 20000), 0);
	put(fds[0], "end", 3, 17000);
	CHECK_INT(seed_image(fds), 0);
	{ /* the end of the image, which no chunk covers, begins the tail */
		char got[3];
		struct stat st;

		CHECK_INT(fstat(fds[1], &st), 0);
		CHECK_INT(st.st_size, bg_cow_file_size(20000, 20000, BG_COW_CHUNK));
		CHECK_INT(pread(fds[1], got, 3,
				  (off_t)(bg_cow_store_size(20000, BG_COW_CHUNK) + 17000 - 16384)),
			3);
		CHECK(memcmp(got, "end", 3) == 0);
	}
}
