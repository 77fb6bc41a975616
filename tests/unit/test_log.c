/* SPDX-License-Identifier: ISC */
/* common/log: whole JSON lines, whatever the values hold. */
#include "common/log.h"

#include <fcntl.h>
#include <jansson.h>

#include "common/fd.h"
#include "tests/lib/test.h"

static char path[128];

static void open_log(enum log_level level)
{
	int fd;

	snprintf(path, sizeof(path), "%s/log", test_tmpdir());
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	log_open(fd, level);
}

static char *text(void)
{
	char *s = NULL;

	CHECK_INT(bg_read_file_at(-1, path, 1 << 20, &s, NULL), 0);
	return s;
}

static json_t *only_line(void)
{
	_free_ char *s = text();
	json_t *j;

	CHECK(strchr(s, '\n') && strchr(s, '\n')[1] == '\0');
	j = json_loads(s, 0, NULL);
	CHECK(j);
	return j;
}

static const char *field(const json_t *j, const char *name)
{
	return json_string_value(json_object_get(j, name));
}

TEST(line_has_its_fields)
{
	json_t *j;

	open_log(LOG_INFO);
	log_msg(LOG_WARN, "vm", "started", "vm", "alpha", "skipped", NULL, "n", "3", NULL);
	j = only_line();
	CHECK_STR(field(j, "level"), "warn");
	CHECK_STR(field(j, "source"), "vm");
	CHECK_STR(field(j, "message"), "started");
	CHECK_STR(field(j, "vm"), "alpha");
	CHECK_STR(field(j, "n"), "3");
	CHECK(!json_object_get(j, "skipped"));
	CHECK_INT(strlen(field(j, "time")), strlen("2026-01-02T03:04:05.678Z"));
	json_decref(j);
}

TEST(values_are_escaped)
{
	static const char nasty[] = "a\"b\\c\nd\te\x01\x7f\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80";
	json_t *j;

	open_log(LOG_INFO);
	log_msg(LOG_INFO, "t", nasty, NULL);
	j = only_line();
	CHECK_STR(field(j, "message"), nasty);
	json_decref(j);
}

TEST(bytes_that_are_no_utf8_become_question_marks)
{
	static const char *const bad[] = {
		"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		json_t *j;

		open_log(LOG_INFO);
		CHECK_INT(truncate(path, 0), 0);
		log_msg(LOG_INFO, "t", bad[i], NULL);
		j = only_line();
		CHECK(field(j, "message")[0] == '?');
		json_decref(j);
	}
}

TEST(long_values_are_cut_and_the_line_stays_whole)
{
	static char big[100000];
	json_t *j;

	memset(big, 'x', sizeof(big) - 1);
	open_log(LOG_INFO);
	log_msg(LOG_INFO, "t", "m", "big", big, "after", "gone", NULL);
	j = only_line();
	CHECK(strlen(field(j, "big")) > 1000);
	CHECK(strstr(field(j, "big"), "x..."));
	CHECK(!json_object_get(j, "after"));
	json_decref(j);
}

TEST(levels_filter)
{
	_free_ char *s = NULL;
	enum log_level level;

	open_log(LOG_WARN);
	log_msg(LOG_INFO, "t", "quiet", NULL);
	log_msg(LOG_DEBUG, "t", "quiet", NULL);
	s = text();
	CHECK_STR(s, "");
	CHECK_INT(log_level_parse("debug", &level), 0);
	CHECK_INT(level, LOG_DEBUG);
	CHECK_INT(log_level_parse("loud", &level), -EINVAL);
	log_set_level(LOG_DEBUG);
	CHECK(log_wanted(LOG_DEBUG));
}

TEST(errors_carry_code_and_hint)
{
	_err_ struct bg_err *err = NULL;
	json_t *j;

	open_log(LOG_INFO);
	bg_err_set(&err, BG_ERR_VM_NOT_FOUND, ENOENT, "no VM \"%s\"", "alpha");
	log_err(LOG_ERROR, "api", "refused", err);
	j = only_line();
	CHECK_STR(field(j, "code"), "vm.not_found");
	CHECK_STR(field(j, "error"), "no VM \"alpha\"");
	CHECK(field(j, "hint"));
	json_decref(j);
}
