/* SPDX-License-Identifier: ISC */
/* The memory job of the real worker: a guest's memory to a file and back, holes and digest. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/integration/worker_client.h"
#include "tests/lib/test.h"

enum { SIZE = 32 << 20, MIB_ = 1 << 20 };

struct kept {
	char digest[2][65];
	int64_t bytes[2], size[2];
};

static int memory(void)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);

	CHECK(fd >= 0);
	CHECK_INT(ftruncate(fd, SIZE), 0);
	return fd;
}

static void put(int fd, off_t at, const char *text)
{
	CHECK_INT(pwrite(fd, text, strlen(text), at), strlen(text));
}

/* Two pairs, and a folder. */
static struct kept keep(const char *params, int a, int to_a, int b, int to_b)
{
	int dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct worker_answer answer =
		worker_run(params, (const int[]){a, to_a, b, to_b, dir}, dir < 0 ? 4 : 5);
	const json_t *files = json_object_get(answer.result, "files");
	struct kept kept = {0};

	CHECK(answer.result && json_array_size(files) == 2);
	for (size_t i = 0; i < 2; i++) {
		const json_t *file = json_array_get(files, i);

		snprintf(kept.digest[i], sizeof(kept.digest[i]), "%s",
			json_string_value(json_object_get(file, "digest")));
		kept.bytes[i] = json_integer_value(json_object_get(file, "bytes"));
		kept.size[i] = json_integer_value(json_object_get(file, "size"));
	}
	worker_answer_clear(&answer);
	close(dir);
	return kept;
}

static void same(int a, int b)
{
	static char x[SIZE], y[SIZE];

	CHECK_INT(pread(a, x, SIZE, 0), SIZE);
	CHECK_INT(pread(b, y, SIZE, 0), SIZE);
	CHECK(memcmp(x, y, SIZE) == 0);
}

#define SAVE "{\"job\":\"memory\",\"sync\":true}"
#define LOAD "{\"job\":\"memory\"}"

TEST(memory_goes_to_a_file_and_back)
{
	int from = memory(), file = worker_file("memory"), back = memory();
	int state = worker_file("state"), saved = worker_file("saved"),
	    again = worker_file("again");
	struct kept a, b;
	struct stat st;

	put(from, 0, "begin");
	put(from, 7 * MIB_ + 4000, "over the border of two pages, and more of it");
	put(from, SIZE - 3, "end");
	/* Touched and zero: a page that costs memory, and nothing on the disk. */
	CHECK_INT(pwrite(from, (char[65536]){0}, 65536, 20 * MIB_), 65536);
	put(state, 0, "the state of its devices");
	a = keep(SAVE, from, file, state, saved);
	same(from, file);
	CHECK_INT(fstat(file, &st), 0);
	CHECK(st.st_blocks * 512 < MIB_);
	CHECK_INT(a.size[0], SIZE);
	CHECK_INT(a.bytes[0], 3 * 65536);
	CHECK_INT(a.bytes[1], strlen("the state of its devices"));
	b = keep(LOAD, file, back, saved, again);
	same(from, back);
	CHECK_STR(a.digest[0], b.digest[0]);
	CHECK_STR(a.digest[1], b.digest[1]);
	CHECK(strcmp(a.digest[0], a.digest[1]) != 0);
}

static void digest_of(int fd, char out[65])
{
	struct kept k = keep(LOAD, fd, memory(), worker_file("s"), worker_file("t"));

	snprintf(out, 65, "%s", k.digest[0]);
}

/* A block that is changed, moved, added or taken away. */
TEST(each_change_is_another_digest)
{
	int file = worker_file("memory");
	char first[65], now[65];

	CHECK_INT(ftruncate(file, SIZE), 0);
	put(file, 5 * MIB_, "content");
	digest_of(file, first);
	put(file, 5 * MIB_, "Content");
	digest_of(file, now);
	CHECK(strcmp(first, now) != 0);
	put(file, 5 * MIB_, "content");
	put(file, 9 * MIB_, "more");
	digest_of(file, now);
	CHECK(strcmp(first, now) != 0);
	CHECK_INT(ftruncate(file, 0), 0);
	CHECK_INT(ftruncate(file, SIZE), 0);
	digest_of(file, now);
	CHECK(strcmp(first, now) != 0);
	put(file, 6 * MIB_, "content");
	digest_of(file, now);
	CHECK(strcmp(first, now) != 0);
	CHECK_INT(ftruncate(file, 0), 0);
	CHECK_INT(ftruncate(file, SIZE), 0);
	put(file, 5 * MIB_, "content");
	digest_of(file, now);
	CHECK_STR(first, now);
}

TEST(no_room_for_it)
{
	int full = open("/dev/full", O_RDWR | O_CLOEXEC), from = memory();
	struct worker_answer a;

	put(from, 0, "content");
	CHECK(full >= 0);
	a = worker_run(SAVE, (const int[]){from, full}, 2);
	CHECK(a.error);
	worker_answer_clear(&a);
}
