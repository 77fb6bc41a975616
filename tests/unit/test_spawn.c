/* SPDX-License-Identifier: ISC */
/* daemon/loop/spawn: the program gets exactly the descriptors named, and clean signals. */
#include "daemon/loop/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "tests/lib/test.h"

static int out[2];

static void open_pipe(void)
{
	CHECK_INT(pipe2(out, O_CLOEXEC), 0);
}

static char *finish(pid_t pid, int want_status)
{
	char *text = NULL;
	int status = 0;

	out[1] = bg_close(out[1]);
	CHECK_INT(bg_read_fd(out[0], 65536, &text, NULL), 0);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, want_status);
	out[0] = bg_close(out[0]);
	return text;
}

static char *run_shell(const char *script, const char *const *env, bool session, int fd3)
{
	const char *argv[] = {"sh", "-c", script, NULL};
	struct spawn s = {"sh", argv, env, {-1, out[1], out[1], fd3}, 4, session};
	_err_ struct bg_err *err = NULL;
	int pidfd = -1;
	pid_t pid;

	CHECK_INT(spawn_process(&s, &pid, &pidfd, &err), 0);
	CHECK(pidfd >= 0);
	bg_close(pidfd);
	return finish(pid, 0);
}

TEST(only_the_fds_named_are_open)
{
	_free_ char *text = NULL;
	int leak = fcntl(STDOUT_FILENO, F_DUPFD, 40); /* not close-on-exec, on purpose */

	CHECK(leak >= 40);
	open_pipe();
	text = run_shell("i=0; while [ $i -lt 64 ]; do [ -e /proc/$$/fd/$i ] && echo $i; i=$((i + "
			 "1)); done; :",
		NULL, false, out[1]);
	CHECK_STR(text, "0\n1\n2\n3\n");
}

TEST(minus_one_is_null_below_three_and_absent_above)
{
	_free_ char *text = NULL;

	open_pipe();
	text = run_shell(
		"readlink /proc/$$/fd/0; test -e /proc/$$/fd/3 || echo absent", NULL, false, -1);
	CHECK_STR(text, "/dev/null\nabsent\n");
}

static int open_tmp(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", test_tmpdir(), name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	return fd;
}

static void check_content(const char *name, const char *want)
{
	_free_ char *text = NULL;
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", test_tmpdir(), name);
	CHECK_INT(bg_read_file_at(-1, path, 4096, &text, NULL), 0);
	CHECK_STR(text, want);
}

TEST(crossed_fds_do_not_overwrite_each_other)
{
	const char *argv[] = {"sh", "-c", "echo one >&3; echo two >&4", NULL};
	struct spawn s = {"/bin/sh", argv, NULL, {-1, -1, -1, 4, 3}, 5, false};
	int one = fcntl(open_tmp("one"), F_DUPFD_CLOEXEC, 20);
	int two = fcntl(open_tmp("two"), F_DUPFD_CLOEXEC, 20);
	int pidfd;
	pid_t pid;

	/* Each source sits on the other's target. */
	CHECK(dup2(one, 4) == 4 && dup2(two, 3) == 3);
	CHECK_INT(spawn_process(&s, &pid, &pidfd, NULL), 0);
	CHECK_INT(waitpid(pid, NULL, 0), pid);
	check_content("one", "one\n");
	check_content("two", "two\n");
}

TEST(environment_is_the_one_given)
{
	static const char *const env[] = {"ONLY=this", NULL};
	_free_ char *text = NULL;

	open_pipe();
	text = run_shell("echo $ONLY/$HOME", env, false, -1);
	CHECK_STR(text, "this/\n");
}

TEST(new_session_when_asked)
{
	_free_ char *text = NULL;

	open_pipe();
	text = run_shell("set -- $(cat /proc/$$/stat); [ $6 = $$ ] && echo leader", NULL, true, -1);
	CHECK_STR(text, "leader\n");
}

TEST(signals_are_the_defaults)
{
	_free_ char *text = NULL;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGPIPE, SIG_IGN);
	open_pipe();
	text = run_shell("grep -E 'Sig(Blk|Ign)' /proc/self/status | cut -f 2", NULL, false, -1);
	CHECK_INT(strtoull(text, NULL, 16), 0);
	/* glibc ignores its own two signals (32, 33) in what it spawns. */
	CHECK_INT(strtoull(strchr(text, '\n'), NULL, 16) & ~(3ULL << 31), 0);
}

static void expect_failure(const char *path, enum bg_err_code code, int r, const char *words)
{
	const char *argv[] = {path, NULL};
	struct spawn s = {path, argv, NULL, {-1, -1, -1}, 3, false};
	_err_ struct bg_err *err = NULL;
	int pidfd = -7;
	pid_t pid = -7;

	CHECK_INT(spawn_process(&s, &pid, &pidfd, &err), r);
	CHECK(err && err->code == code);
	CHECK(strstr(err->message, words));
	CHECK(pid == -7 && pidfd == -7);
	CHECK_INT(waitpid(-1, NULL, WNOHANG), -1); /* nothing was left behind */
}

TEST(missing_program_is_named)
{
	expect_failure("no-such-tool-here", BG_ERR_TOOL_MISSING, -ENOENT,
		"no-such-tool-here is not in PATH");
	expect_failure("/no/such/tool", BG_ERR_TOOL_MISSING, -ENOENT, "/no/such/tool is not there");
	expect_failure("/etc/passwd", BG_ERR_TOOL_MISSING, -EACCES, "cannot run /etc/passwd");
}
