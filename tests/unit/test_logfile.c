/* SPDX-License-Identifier: ISC */
/* Logs that a guest decides the length of: bounded on the disk, read from after the hole. */
#include "daemon/logfile.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "tests/lib/test.h"

enum { LINES = 8192, LINE = 128, MAX = 512 * 1024, KEEP = 256 * 1024 };

static char *path_of(const char *name)
{
	char *path = NULL;

	CHECK(asprintf(&path, "%s/%s", test_tmpdir(), name) > 0);
	return path;
}

/* LINES lines of LINE bytes, each of which says its number. */
static int write_lines(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	for (int i = 0; i < LINES; i++) {
		char line[LINE + 1];

		snprintf(line, sizeof(line), "%0*d\n", LINE - 1, i);
		CHECK_INT(bg_write_all(fd, line, LINE), 0);
	}
	CHECK_INT(fsync(fd), 0);
	return fd;
}

static uint64_t on_disk(const char *path)
{
	struct stat st;

	CHECK_INT(stat(path, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* What the watch over consoles and the worker do: 1 when something went. */
static int bound(const char *path, uint64_t max)
{
	_close_ int fd = -1;
	uint64_t cut;
	int r = logfile_too_long(path, max, KEEP, &fd, &cut);

	if (r == 1)
		CHECK_INT(bg_cut_head(fd, cut), 0);
	return r;
}

TEST(short_and_missing_logs_are_left_alone)
{
	_free_ char *path = path_of("log"), *none = path_of("none");
	_close_ int fd = write_lines(path);

	CHECK(fd >= 0);
	CHECK_INT(bound(none, MAX), 0);
	CHECK_INT(bound(path, UINT64_C(1) << 30), 0);
	CHECK(on_disk(path) >= (uint64_t)LINES * LINE);
}

TEST(long_log_is_bounded_and_goes_on)
{
	_free_ char *path = path_of("log");
	_close_ int fd = write_lines(path), in = -1;
	char line[LINE];
	struct stat st;

	CHECK_INT(bound(path, MAX), 1);
	CHECK(on_disk(path) <= KEEP + 64 * 1024);
	CHECK_INT(bound(path, MAX), 0);
	CHECK_INT(bg_write_all(fd, "more\n", 5), 0);
	CHECK_INT(fstat(fd, &st), 0);
	if (st.st_size == 5)
		test_skip("this file system makes no holes: the log began anew");
	CHECK_INT(st.st_size, LINES * LINE + 5);

	/* The first line that a reader gets is whole, and one of the last KEEP bytes. */
	in = open(path, O_RDONLY | O_CLOEXEC);
	logfile_skip_hole(in);
	CHECK_INT(read(in, line, LINE), LINE);
	CHECK_INT(line[LINE - 1], '\n');
	CHECK(atoi(line) > LINES - KEEP / LINE - 64);
	CHECK(atoi(line) < LINES - KEEP / LINE + 64);
	/* In data, nothing is skipped. */
	CHECK_INT(lseek(in, -10, SEEK_END), LINES * LINE + 5 - 10);
	logfile_skip_hole(in);
	CHECK_INT(lseek(in, 0, SEEK_CUR), LINES * LINE + 5 - 10);
}
