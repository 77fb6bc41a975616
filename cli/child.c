/* SPDX-License-Identifier: ISC */
/*
 * child.c: One child at a time. A failed exec is told apart from the program's own exit by a pipe
 * that a good exec closes.
 */
#include "cli/child.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "common/fd.h"

enum { SAID_MAX = 64 * 1024 };

static void change_environment(const char *const *env)
{
	for (; env && *env; env++) {
		if (!strchr(*env, '='))
			unsetenv(*env);
		else
			(void)putenv((char *)*env);
	}
}

static bool take_place(int fd, int place)
{
	int null = fd < 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : fd;

	return null >= 0 && dup2(null, place) >= 0 && bg_set_cloexec(place, false) >= 0;
}

/* In the child: does not return. errno goes over the pipe, which a good exec closes. */
_noreturn_ static void exec_child(const struct child *c, int words, int failed)
{
	sigset_t none;

	/* vm run --rm holds signals back; what it runs does not */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	change_environment(c->env);
	if (take_place(c->in, 0) && take_place(c->out, 1) && take_place(words, 2))
		execvp(c->argv[0], (char *const *)c->argv);
	(void)bg_write_all(failed, &errno, sizeof(errno));
	_exit(CHILD_NO_EXEC);
}

static int wait_child(pid_t pid, int failed)
{
	int status = 0, errnum = 0;
	bool no_exec = bg_read_exact(failed, &errnum, sizeof(errnum)) >= 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (no_exec)
		return errnum ? -errnum : -EIO;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void take_words(int fd, char **said)
{
	size_t len = 0;

	if (child_output(fd, SAID_MAX, said, &len) < 0)
		*said = strdup("");
	for (; *said && len > 0 && (*said)[len - 1] == '\n'; len--)
		(*said)[len - 1] = '\0';
}

/* Descriptors 0 to 2 are open in every banger (main's libc stdio), so no pipe end is among them. */
int child_run(const struct child *c, char **said)
{
	_close_ int words = child_memory("child-errors"), failed = -1, theirs = -1;
	int fds[2], r;
	pid_t pid;

	if (words < 0 || pipe2(fds, O_CLOEXEC) < 0)
		return words < 0 ? words : -errno;
	failed = fds[0];
	theirs = fds[1];
	pid = fork();
	if (pid == 0)
		exec_child(c, words, theirs);
	if (pid < 0)
		return -errno;
	theirs = bg_close(theirs);
	r = wait_child(pid, failed);
	take_words(words, said);
	return r;
}

int child_memory(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int child_output(int fd, size_t max, char **ret, size_t *len)
{
	return lseek(fd, 0, SEEK_SET) < 0 ? -errno : bg_read_fd(fd, max, ret, len);
}
