/* SPDX-License-Identifier: ISC */
/* The reason that a package manager gave, out of its log. */
#include "common/error_line.h"

#include <fcntl.h>
#include <stdio.h>

#include "common/fd.h"
#include "tests/lib/test.h"

static char *line_of(const char *text, size_t len)
{
	_free_ char *path = NULL;

	CHECK(asprintf(&path, "%s/log", test_tmpdir()) > 0);
	CHECK_INT(bg_write_file_at(AT_FDCWD, path, text, len, 0600), 0);
	return bg_error_line(path);
}

static void expect(const char *text, const char *want)
{
	_free_ char *got = line_of(text, strlen(text));

	CHECK_STR(got, want);
}

TEST(the_first_marked_line_is_the_reason)
{
	expect("Reading package lists...\nE: Unable to locate package nosuch\r\nE: apt-get failed: "
	       "process exited with 100\n",
		"Unable to locate package nosuch");
	expect("fetch\nERROR: unable to select packages:\n  nosuch (no such package):\n",
		"unable to select packages:");
	expect("error: target not found: nosuch", "target not found: nosuch");
}

TEST(without_one_there_is_none)
{
	_free_ char *empty = line_of("", 0), *missing = bg_error_line("/nonexistent/log");

	CHECK(!empty && !missing);
	CHECK(!line_of("I: done\nW: E: not this\n", 21));
}

TEST(only_the_end_of_a_long_log_is_read)
{
	static char text[200 * 1024];
	_free_ char *got = NULL;

	memset(text, '\n', sizeof(text));
	memcpy(text, "E: of an earlier step", 21);
	memcpy(text + sizeof(text) - 5000, "E: the reason", 13);
	got = line_of(text, sizeof(text));
	CHECK_STR(got, "the reason");
}
