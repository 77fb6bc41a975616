/* SPDX-License-Identifier: ISC */
/* common/log: whole JSON lines, whatever the values hold. */
#include "common/log.h"

#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>

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

static off_t size_of(const char *file)
{
	struct stat st;

	return stat(file, &st) < 0 ? -1 : st.st_size;
}

/* Two processes write one log, and each of them bounds it. */
TEST(long_logs_become_the_last_one)
{
	_free_ char *name = NULL, *old = NULL;
	int one, two;

	CHECK(asprintf(&name, "%s/a.log", test_tmpdir()) > 0 && asprintf(&old, "%s.1", name) > 0);
	one = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	two = open(name, O_WRONLY | O_APPEND | O_CLOEXEC);
	CHECK_INT(log_bound_fd(one, name, 10), 0);
	CHECK_INT(write(one, "0123456789A", 11), 11);
	CHECK_INT(log_bound_fd(one, name, 11), 0);
	CHECK_INT(size_of(old), -1);
	CHECK_INT(log_bound_fd(one, name, 10), 0);
	CHECK_INT(size_of(old), 11);
	CHECK_INT(size_of(name), 0);
	CHECK_INT(write(one, "B", 1), 1);
	CHECK_INT(log_bound_fd(two, name, 10), 0); /* follows, and renames nothing */
	CHECK_INT(write(two, "C", 1), 1);
	CHECK_INT(size_of(name), 2);
	CHECK_INT(size_of(old), 11);
	CHECK_INT(unlink(name), 0);
	CHECK_INT(log_bound_fd(two, name, 10), 0);
	CHECK_INT(size_of(name), 0);
	CHECK(fcntl(two, F_GETFD) & FD_CLOEXEC);
}
