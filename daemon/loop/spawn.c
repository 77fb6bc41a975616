/* SPDX-License-Identifier: ISC */
/* spawn.c: fork and exec with descriptors in their places; nothing here waits for the child. */
#include "daemon/loop/spawn.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Copies of the caller's descriptors above all targets, so that no dup2 overwrites a source. */
struct lifted {
	int fd[SPAWN_FDS_MAX];
};

static void lifted_done(struct lifted *l)
{
	for (unsigned i = 0; i < SPAWN_FDS_MAX; i++)
		bg_close(l->fd[i]);
}

static int lift(const struct spawn *spawn, struct lifted *l)
{
	for (unsigned i = 0; i < spawn->n_fds; i++) {
		if (spawn->fd[i] < 0)
			continue;
		l->fd[i] = fcntl(spawn->fd[i], F_DUPFD_CLOEXEC, SPAWN_FDS_MAX);
		if (l->fd[i] < 0)
			return -errno;
	}
	return 0;
}

/* ---- in the child: nothing that takes a lock, which another thread may have had ---- */

static int place_fd(int lifted, int target)
{
	int null = -1;

	if (lifted >= 0)
		return dup2(lifted, target);
	if (target > STDERR_FILENO)
		return close(target);
	null = open("/dev/null", O_RDWR);
	if (null < 0 || null == target)
		return null;
	(void)dup2(null, target);
	return close(null);
}

static void reset_signals(bool holds_term)
{
	struct sigaction standard = {.sa_handler = SIG_DFL};
	sigset_t mask;

	for (int signo = 1; signo < NSIG; signo++)
		(void)sigaction(signo, &standard, NULL); /* of some it cannot be changed */
	sigemptyset(&mask);
	if (holds_term) {
		sigaddset(&mask, SIGTERM);
		sigaddset(&mask, SIGHUP);
	}
	(void)sigprocmask(SIG_SETMASK, &mask, NULL);
}

static _noreturn_ void become(const struct spawn *spawn, const struct lifted *l, const char *path)
{
	char *const *argv = (char *const *)(uintptr_t)spawn->argv;
	char *const *env = spawn->env ? (char *const *)(uintptr_t)spawn->env : environ;

	for (unsigned i = 0; i < spawn->n_fds; i++)
		(void)place_fd(l->fd[i], (int)i);
	(void)close_range(spawn->n_fds, ~0U, 0);
	reset_signals(spawn->holds_term);
	if (spawn->new_session)
		(void)setsid();
	(void)execve(path, argv, env);
	_exit(SPAWN_EXIT_NO_EXEC);
}

/* ---- here ---- */

static int check_program(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

/* As execvp looks; the first that is there but cannot be run is the reason when no other can. */
static int find_program(const char *name, char out[PATH_MAX])
{
	const char *at = getenv("PATH");
	int r = -ENOENT;

	if (strchr(name, '/'))
		return (size_t)snprintf(out, PATH_MAX, "%s", name) < PATH_MAX ? check_program(out)
									      : -ENAMETOOLONG;
	for (at = at ? at : "/usr/bin:/bin"; *at; at += *at == ':') {
		size_t len = strcspn(at, ":");
		int n = snprintf(out, PATH_MAX, "%.*s%s%s", (int)len, at, len ? "/" : "", name),
		    found;

		at += len;
		found = n < PATH_MAX ? check_program(out) : -ENAMETOOLONG;
		if (found >= 0)
			return 0;
		if (found == -EACCES)
			r = found;
	}
	return r;
}

/*
 * fork, not vfork or posix_spawn: those keep this thread until the child has got a processor and
 * has read its program from the disk (p95 25 ms on a busy machine, 0.4 with fork). Handlers of ours
 * must not run in the child.
 */
static int spawn_with(const struct spawn *spawn, const struct lifted *l, pid_t *ret)
{
	char path[PATH_MAX];
	sigset_t all, before;
	int r = find_program(spawn->path, path);

	if (r < 0)
		return r;
	sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	*ret = fork();
	r = *ret < 0 ? -errno : 0;
	if (*ret == 0)
		become(spawn, l, path);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}

static int explain(int r, const char *path, struct bg_err **err)
{
	if (r == -ENOENT)
		return bg_err_set(err, BG_ERR_TOOL_MISSING, ENOENT,
			strchr(path, '/') ? "%s is not there" : "%s is not in PATH", path);
	if (r == -EACCES || r == -ENOEXEC || r == -ENOTDIR || r == -EISDIR)
		return bg_err_sys(err, BG_ERR_TOOL_MISSING, -r, "cannot run %s", path);
	return bg_err_sys(err, BG_ERR_IO, -r, "start %s", path);
}

int spawn_process(const struct spawn *spawn, pid_t *ret_pid, int *ret_pidfd, struct bg_err **err)
{
	_cleanup_(lifted_done) struct lifted l;
	pid_t pid = -1;
	int pidfd, r;

	assert(spawn->n_fds >= 3 && spawn->n_fds <= SPAWN_FDS_MAX);
	memset(&l, 0xff, sizeof(l)); /* all -1 */
	r = lift(spawn, &l);
	if (r >= 0)
		r = spawn_with(spawn, &l, &pid);
	if (r < 0)
		return explain(r, spawn->path, err);
	pidfd = pidfd_open(pid, 0); /* only we reap: the pid cannot be another's yet */
	if (pidfd < 0) {
		r = -errno;
		(void)kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return bg_err_sys(err, BG_ERR_IO, -r, "watch %s", spawn->path);
	}
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	return 0;
}
