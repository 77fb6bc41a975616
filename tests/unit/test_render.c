/* SPDX-License-Identifier: ISC */
/* test_render.c: Tables, durations and times at several widths. */
#include "cli/render.h"

#include <time.h>

#include "tests/lib/test.h"

static const struct column columns[] = {{.title = "NAME", .min = 6},
	{.title = "N", .right = true, .drop = 2}, {.title = "ADDRESS", .drop = 1}};

/* The table printed at a width, into a static buffer. */
static const char *print(int width)
{
	static char out[4096];
	struct term term = {.width = width};
	_unref_(table) struct table *t = table_new(columns, ARRAY_SIZE(columns));

	memset(out, 0, sizeof(out));
	term.file = fmemopen(out, sizeof(out) - 1, "w");
	CHECK(term.file);
	table_cell(t, STYLE_GREEN, "a-rather-long-name");
	table_cell(t, STYLE_PLAIN, "%d", 7);
	table_cell(t, STYLE_PLAIN, "%s", "");
	table_cell(t, STYLE_PLAIN, "%s", "b");
	table_cell(t, STYLE_PLAIN, "%d", 1234);
	table_cell(t, STYLE_PLAIN, "%s", "10.209.1.2");
	table_print(t, &term);
	fclose(term.file);
	return out;
}

TEST(wide_enough)
{
	CHECK_STR(print(0), "NAME                   N  ADDRESS\n"
			    "a-rather-long-name     7  -\n"
			    "b                   1234  10.209.1.2\n");
	CHECK_STR(print(36), print(0));
}

TEST(names_are_cut_first)
{
	CHECK_STR(print(30), "NAME             N  ADDRESS\n"
			     "a-rather-...     7  -\n"
			     "b             1234  10.209.1.2\n");
}

TEST(then_columns_go)
{
	CHECK_STR(print(20), "NAME    ADDRESS\n"
			     "a-r...  -\n"
			     "b       10.209.1.2\n");
	CHECK_STR(print(10), "NAME\n"
			     "a-r...\n"
			     "b\n");
}

TEST(words_are_not_broken)
{
	static const struct {
		int column, width;
		const char *text, *out;
	} rows[] = {
		{2, 0, "one two  three", "one two  three"},
		{2, 9, "one two  three", "one two\n  three"},
		{2, 10, "w\xc3\xbcrz bcd e", "w\xc3\xbcrz bcd\n  e"},
		{0, 4, "longer a b", "longer\na b"},
		{4, 8, "", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char out[256] = "";
		struct term term = {
			.width = rows[i].width, .file = fmemopen(out, sizeof(out) - 1, "w")};

		CHECK(term.file);
		render_wrapped(&term, rows[i].column, rows[i].width, rows[i].text);
		fclose(term.file);
		CHECK_STR(out, rows[i].out);
	}
}

TEST(durations)
{
	char s[DURATION_TEXT];

	CHECK_STR(render_duration(0, s), "0 ms");
	CHECK_STR(render_duration(999, s), "999 ms");
	CHECK_STR(render_duration(1000, s), "1.0 s");
	CHECK_STR(render_duration(59999, s), "59.9 s");
	CHECK_STR(render_duration(60000, s), "1m 00s");
	CHECK_STR(render_duration(3599000, s), "59m 59s");
	CHECK_STR(render_duration(3600000, s), "1h 00m");
	CHECK_STR(render_duration(47 * 3600000ULL, s), "47h 00m");
	CHECK_STR(render_duration(49 * 3600000ULL, s), "2d 1h");
}

TEST(ages)
{
	char s[DURATION_TEXT];

	CHECK_STR(render_age(0, s), "0 s");
	CHECK_STR(render_age(59, s), "59 s");
	CHECK_STR(render_age(60, s), "1m 00s");
}

TEST(times)
{
	char text[64];
	time_t then = time(NULL) - 100;
	struct tm tm;

	gmtime_r(&then, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	CHECK(render_seconds_since(text) >= 100 && render_seconds_since(text) < 110);
	CHECK_INT(render_seconds_since("yesterday"), -1);
	CHECK_INT(render_seconds_since(""), -1);
	CHECK_INT(render_seconds_since("2999-01-01T00:00:00.5Z"), 0);
}

TEST(cleaning)
{
	_free_ char *a = term_clean("a\033[2J\n\x7f\xc2\x9b"
				    "b\xc3\xa9");

	CHECK_STR(a, "a?[2J????b\xc3\xa9");
	CHECK_INT(term_columns("\xc3\xa9\xe2\x82\xac"
			       "a"),
		3);
}
