/* SPDX-License-Identifier: ISC */
#include "daemon/loop/spawn.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

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

/* posix_spawn functions return a positive errno. */
static int add_fd(posix_spawn_file_actions_t *actions, int lifted, int target)
{
	if (lifted >= 0)
		return posix_spawn_file_actions_adddup2(actions, lifted, target);
	if (target <= STDERR_FILENO)
		return posix_spawn_file_actions_addopen(actions, target, "/dev/null", O_RDWR, 0);
	return posix_spawn_file_actions_addclose(actions, target);
}

static int fill_actions(
	posix_spawn_file_actions_t *actions, const struct spawn *spawn, const struct lifted *l)
{
	int e = 0;

	for (unsigned i = 0; i < spawn->n_fds && e == 0; i++)
		e = add_fd(actions, l->fd[i], (int)i);
	if (e == 0)
		e = posix_spawn_file_actions_addclosefrom_np(actions, (int)spawn->n_fds);
	return -e;
}

static int fill_attr(posix_spawnattr_t *attr, const struct spawn *spawn)
{
	short flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
	sigset_t all, none;
	int e;

	sigfillset(&all);
	sigemptyset(&none);
	if (spawn->new_session)
		flags |= POSIX_SPAWN_SETSID;
	e = posix_spawnattr_setsigdefault(attr, &all);
	if (e == 0)
		e = posix_spawnattr_setsigmask(attr, &none);
	if (e == 0)
		e = posix_spawnattr_setflags(attr, flags);
	return -e;
}

static int run(const struct spawn *spawn, const posix_spawn_file_actions_t *actions,
	const posix_spawnattr_t *attr, pid_t *ret)
{
	char *const *argv = (char *const *)(uintptr_t)spawn->argv;
	char *const *env = spawn->env ? (char *const *)(uintptr_t)spawn->env : environ;

	return -posix_spawnp(ret, spawn->path, actions, attr, argv, env);
}

static int spawn_with(const struct spawn *spawn, const struct lifted *l, pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int r;

	r = -posix_spawn_file_actions_init(&actions);
	if (r < 0)
		return r;
	r = -posix_spawnattr_init(&attr);
	if (r < 0)
		goto out_actions;
	r = fill_actions(&actions, spawn, l);
	if (r >= 0)
		r = fill_attr(&attr, spawn);
	if (r >= 0)
		r = run(spawn, &actions, &attr, ret);
	posix_spawnattr_destroy(&attr);
out_actions:
	posix_spawn_file_actions_destroy(&actions);
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
