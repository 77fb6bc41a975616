/* SPDX-License-Identifier: ISC */
/* What a process uses of the host, and the lines of a log that have a word in them. */
#include "common/usage.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>

#include "common/fd.h"
#include "daemon/api/log_match.h"
#include "tests/lib/test.h"

TEST(a_process_uses_what_getrusage_says)
{
	_free_ char *path = NULL;
	char block[64 * 1024];
	struct bg_usage usage;
	struct rusage own;
	int fd;

	CHECK(asprintf(&path, "%s/disk", test_tmpdir()) > 0);
	memset(block, 'x', sizeof(block));
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	CHECK_INT(bg_write_all(fd, block, sizeof(block)), 0);
	CHECK_INT(fsync(fd), 0);
	CHECK_INT(bg_usage_read(getpid(), (const char *const[]){path, "/nowhere/x", NULL}, &usage),
		0);
	CHECK_INT(getrusage(RUSAGE_SELF, &own), 0);
	close(fd);
	CHECK(usage.disk_bytes >= (int64_t)sizeof(block));
	CHECK(usage.disk_bytes < (int64_t)sizeof(block) * 4);
	CHECK(usage.memory_bytes > 100 * 1024);
	CHECK(bg_usage_pss(getpid()) > 50 * 1024);
	CHECK(bg_usage_pss(getpid()) <= own.ru_maxrss * 1024 + 1024 * 1024);
	CHECK_INT(bg_usage_pss(0x3fffffff), 0);
	CHECK(usage.memory_bytes <= own.ru_maxrss * 1024 + 1024 * 1024);
	CHECK(usage.cpu_s <= (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec) + 2);
	CHECK_INT(bg_usage_read(0x3fffffff, (const char *const[]){NULL}, &usage), -ESRCH);
}

static char *found;
static size_t found_len;

static void on_line(const char *p, size_t n, void *userdata)
{
	(void)userdata;
	found = realloc(found, found_len + n + 1);
	CHECK(found);
	memcpy(found + found_len, p, n);
	found_len += n;
	found[found_len] = '\0';
}

static void feed_in_pieces(const char *word, const char *text, size_t len, size_t piece)
{
	struct log_match *match = NULL;

	free(TAKE_PTR(found));
	found_len = 0;
	CHECK_INT(log_match_new(word, &match), 0);
	for (size_t i = 0; i < len; i += piece)
		log_match_feed(match, text + i, BG_MIN(piece, len - i), on_line, NULL);
	log_match_end(match, on_line, NULL);
	log_match_free(match);
}

TEST(lines_with_the_word_in_any_split)
{
	static const char text[] = "one\nEXT4-fs error\n\na ext4\0-fs b\nerrors: 0\nno end: Ext4";

	for (size_t piece = 1; piece < sizeof(text); piece++) {
		feed_in_pieces("ext4", text, sizeof(text) - 1, piece);
		CHECK_INT(found_len, strlen("EXT4-fs error\na ext4\n-fs b\nno end: Ext4"));
		CHECK(memcmp(found, "EXT4-fs error\na ext4\0-fs b\nno end: Ext4", found_len) == 0);
		feed_in_pieces("nothing", text, sizeof(text) - 1, piece);
		CHECK_INT(found_len, 0);
	}
	free(TAKE_PTR(found));
}

TEST(a_line_without_an_end_is_bounded)
{
	size_t len = 3 * LOG_LINE_MAX + 5;
	_free_ char *text = malloc(len);

	CHECK(text);
	memset(text, 'x', len);
	memcpy(text + 2 * LOG_LINE_MAX + 7, "word", 4);
	feed_in_pieces("word", text, len, 1000);
	CHECK_INT(found_len, LOG_LINE_MAX);
	free(TAKE_PTR(found));
}
