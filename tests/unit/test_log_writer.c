/* SPDX-License-Identifier: ISC */
/* daemon/log_writer: lines reach the file whoever dies, a writer never waits, and the file is bounded. */
#include "daemon/log_writer.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "common/fd.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/proc.h"
#include "tests/lib/test.h"

enum { PATIENCE_MS = 30000, STEP_MS = 10 };

static struct loop *loop;
static struct log_writer *writer;
static struct bg_paths paths;

static char *in_tmp(const char *name)
{
	char *path = NULL;

	CHECK(asprintf(&path, "%s/%s", test_tmpdir(), name) > 0);
	return path;
}

static void begin(void)
{
	signal(SIGPIPE, SIG_IGN);
	paths = (struct bg_paths){.state_dir = strdup(test_tmpdir()),
		.log_file = in_tmp("a.log"),
		.worker_log = in_tmp("b.log")};
	CHECK_INT(loop_new(&loop), 0);
	CHECK_INT(log_writer_new(loop, &paths, &writer), 0);
}

static void end(void)
{
	log_writer_free(TAKE_PTR(writer));
	loop_free(TAKE_PTR(loop));
	bg_paths_done(&paths);
}

static char *text_of(const char *path)
{
	char *text = NULL;

	return bg_read_file_at(-1, path, 64 << 20, &text, NULL) < 0 ? strdup("") : text;
}

static unsigned count(const char *path, const char *what)
{
	_free_ char *text = text_of(path);
	unsigned n = 0;

	for (const char *p = text; (p = strstr(p, what)); p++)
		n++;
	return n;
}

static unsigned lines_of(const char *path)
{
	return count(path, "\n");
}

/* Of the file's lines: all are whole JSON. Returns what those that say so say was lost. */
static unsigned check_lines(const char *path)
{
	_free_ char *text = text_of(path);
	unsigned lost = 0;
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		json_t *j = json_loads(line, 0, NULL);

		if (!j)
			test_fail(__FILE__, __LINE__, "not a line: %s", line);
		if (json_object_get(j, "lines"))
			lost += (unsigned)atoi(json_string_value(json_object_get(j, "lines")));
		json_decref(j);
	}
	return lost;
}

static void turn(void *userdata)
{
	loop_exit(loop, 0);
}

static void wait_until(bool (*is)(void))
{
	for (int i = 0; i < PATIENCE_MS / STEP_MS; i++) {
		struct loop_source *timer = NULL;

		if (is())
			return;
		CHECK_INT(loop_add_timer(loop, "turn", STEP_MS * 1000, turn, NULL, &timer), 0);
		loop_run(loop);
		loop_source_free(timer);
	}
	test_fail(__FILE__, __LINE__, "not within %d s", PATIENCE_MS / 1000);
}

static off_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? -1 : st.st_size;
}

static pid_t child;

static int is_writer(pid_t pid, void *userdata)
{
	if (bg_proc_parent(pid) == getpid() && bg_proc_is_called(pid, "bangerd-log"))
		child = pid;
	return 0;
}

static bool writer_runs(void)
{
	child = 0;
	CHECK_INT(bg_proc_each(is_writer, NULL), 0);
	return child != 0;
}

TEST(the_last_lines_of_who_crashes_are_there)
{
	int status;
	pid_t pid;

	begin();
	wait_until(writer_runs);
	CHECK_INT(kill(child, SIGSTOP), 0); /* it had no time for them */
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 100; i++)
			log_msg(LOG_INFO, "t", "before the end", NULL);
		(void)signal(SIGABRT, SIG_DFL);
		raise(SIGKILL);
	}
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(lines_of(paths.log_file), 0);
	CHECK_INT(kill(child, SIGCONT), 0);
	log_writer_free(TAKE_PTR(writer));
	CHECK_INT(lines_of(paths.log_file), 100);
	CHECK_INT(check_lines(paths.log_file), 0);
	end();
}

static bool all_taken(void)
{
	int n = -1;

	CHECK_INT(ioctl(log_writer_pipe(writer, LOG_PIPE_DAEMON), FIONREAD, &n), 0);
	return n == 0;
}

static bool is_told(void)
{
	_free_ char *text = text_of(paths.log_file);

	log_msg(LOG_INFO, "t", "after", NULL);
	return strstr(text, "lines are lost");
}

/* Nothing here may wait for a writer that stands still: this test would hang. */
TEST(what_has_no_room_is_counted)
{
	enum { LINES = 20000 };
	unsigned lost;

	begin();
	wait_until(writer_runs);
	CHECK_INT(kill(child, SIGSTOP), 0);
	for (int i = 0; i < LINES; i++)
		log_msg(LOG_INFO, "t", "before", NULL);
	CHECK_INT(kill(child, SIGCONT), 0);
	wait_until(is_told);
	wait_until(all_taken); /* there is room again, and no line without it */
	log_msg(LOG_INFO, "t", "last", NULL);
	log_writer_free(TAKE_PTR(writer));
	lost = check_lines(paths.log_file);
	CHECK(lost > 0 && lost < LINES);
	CHECK(count(paths.log_file, "\"before\"") + lost >= LINES);
	CHECK_INT(count(paths.log_file, "\"last\""), 1);
	end();
}

static bool all_there(void)
{
	return lines_of(paths.log_file) >= 2;
}

TEST(a_writer_that_is_killed_is_started_again_and_nothing_in_the_pipe_is_lost)
{
	_free_ char *text = NULL;

	begin();
	wait_until(writer_runs);
	CHECK_INT(kill(child, SIGSTOP), 0);
	log_msg(LOG_INFO, "t", "before its end", NULL);
	CHECK_INT(kill(child, SIGKILL), 0);
	wait_until(all_there);
	text = text_of(paths.log_file);
	CHECK(strstr(text, "before its end") && strstr(text, "died and is started again"));
	end();
}

static void print(const char *text)
{
	int fd = log_writer_pipe(writer, LOG_PIPE_WORKERS);

	CHECK_INT(bg_write_all(fd, text, strlen(text)), 0);
}

TEST(long_logs_become_the_last_one)
{
	_free_ char *a = NULL, *b = NULL, *a1 = in_tmp("a.log.1"), *b1 = in_tmp("b.log.1");

	begin();
	wait_until(writer_runs);
	CHECK_INT(truncate(paths.log_file, BG_LOG_MAX + 1), 0);
	CHECK_INT(truncate(paths.worker_log, BG_LOG_MAX + 1), 0);
	log_msg(LOG_INFO, "t", "first", NULL);
	print("first\n");
	log_writer_free(TAKE_PTR(writer));
	a = text_of(paths.log_file);
	b = text_of(paths.worker_log);
	CHECK(strstr(a, "\"first\""));
	CHECK_STR(b, "first\n");
	CHECK(access(a1, F_OK) == 0 && access(b1, F_OK) == 0);
	end();
}

static bool is_open(void)
{
	return access(paths.log_file, F_OK) == 0 && access(paths.worker_log, F_OK) == 0;
}

TEST(a_file_that_is_removed_is_made_again)
{
	_free_ char *b = NULL;

	begin();
	wait_until(is_open);
	CHECK_INT(unlink(paths.log_file), 0);
	CHECK_INT(unlink(paths.worker_log), 0);
	log_msg(LOG_INFO, "t", "again", NULL);
	print("again\n");
	log_writer_free(TAKE_PTR(writer));
	CHECK_INT(lines_of(paths.log_file), 1);
	b = text_of(paths.worker_log);
	CHECK_STR(b, "again\n");
	end();
}

/* The daemon's and the writer's were killed, and an engine has a word to say before it ends, too. */
TEST(lines_go_to_the_file_when_nobody_is_left_to_read)
{
	int pair[2];

	begin();
	log_writer_free(TAKE_PTR(writer));
	CHECK_INT(pipe2(pair, O_CLOEXEC | O_NONBLOCK), 0);
	CHECK_INT(log_open_pipe(pair[1], paths.log_file), 0);
	bg_close(pair[0]);
	log_msg(LOG_INFO, "t", "one", NULL);
	log_msg(LOG_INFO, "t", "two", NULL);
	CHECK_INT(lines_of(paths.log_file), 2);
	end();
}

/* A file that may not grow, as on a full disk; then its user removes it. */
TEST(what_the_disk_does_not_take_is_counted)
{
	enum { LINES = 100, ROOM = 2050 };
	const struct rlimit small = {ROOM, RLIM_INFINITY}, any = {RLIM_INFINITY, RLIM_INFINITY};
	unsigned kept, lost;

	begin();
	log_writer_free(TAKE_PTR(writer));
	signal(SIGXFSZ, SIG_IGN);
	CHECK_INT(setrlimit(RLIMIT_FSIZE, &small), 0);
	CHECK_INT(log_writer_new(loop, &paths, &writer), 0);
	CHECK_INT(setrlimit(RLIMIT_FSIZE, &any), 0);
	for (int i = 0; i < LINES; i++) {
		log_msg(LOG_INFO, "t", "one", NULL);
		wait_until(all_taken);
	}
	for (int i = 0; i < PATIENCE_MS / STEP_MS && size_of(paths.log_file) < ROOM; i++)
		wait_until(all_taken);
	kept = count(paths.log_file, "\"}\n");
	CHECK(kept > 0 && kept < LINES);
	CHECK_INT(unlink(paths.log_file), 0);
	log_msg(LOG_INFO, "t", "again", NULL);
	log_writer_free(TAKE_PTR(writer));
	lost = check_lines(paths.log_file);
	CHECK(lost > 0);
	CHECK_INT(kept + lost + count(paths.log_file, "\"one\""), LINES);
	end();
}
