/* SPDX-License-Identifier: ISC */
/* See spawn.h. */
#include "guest/spawn.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "guest/applet.h"
#include "guest/expose.h"
#include "guest/users.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum { PIPE_WANTED = 256 * 1024, ENV_DEFAULTS = 5, TTY_GID = 5, FDS_MAX = 1024 };

/* Ends of the three streams; theirs are the child's. */
struct ends {
	int ours[BG_AGENT_SUBS];
	int theirs[BG_AGENT_SUBS];
};

static void close_all(int fd[BG_AGENT_SUBS])
{
	for (int i = 0; i < BG_AGENT_SUBS; i++)
		fd[i] = bg_close(fd[i]);
}

static int open_pipe(int *reader, int *writer, int *ours)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	*reader = fds[0];
	*writer = fds[1];
	(void)fcntl(*ours, F_SETPIPE_SZ, PIPE_WANTED);
	return bg_set_nonblock(*ours, true);
}

static int open_pipes(struct ends *e)
{
	int r = open_pipe(&e->theirs[0], &e->ours[0], &e->ours[0]);

	for (int i = 1; r >= 0 && i < BG_AGENT_SUBS; i++)
		r = open_pipe(&e->ours[i], &e->theirs[i], &e->ours[i]);
	return r;
}

/* Before an init has mounted it, or where none does: as systemd would. */
static void need_devpts(void)
{
	if (access("/dev/pts/ptmx", F_OK) == 0)
		return;
	(void)mkdir("/dev/pts", 0755);
	(void)mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		"gid=5,mode=620,ptmxmode=666");
}

static int open_terminal(const struct bg_exec *x, struct ends *e)
{
	const struct winsize size = {.ws_row = x->rows, .ws_col = x->cols};
	int zero = 0, master, slave;

	need_devpts();
	master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (master < 0)
		return -errno;
	e->ours[BG_AGENT_OUT] = master;
	(void)ioctl(master, TIOCSWINSZ, &size);
	if (ioctl(master, TIOCSPTLCK, &zero) < 0)
		return -errno;
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return -errno;
	e->theirs[0] = slave;
	e->theirs[1] = fcntl(slave, F_DUPFD_CLOEXEC, 3);
	e->theirs[2] = fcntl(slave, F_DUPFD_CLOEXEC, 3);
	e->ours[BG_AGENT_IN] = fcntl(master, F_DUPFD_CLOEXEC, 3);
	return e->ours[BG_AGENT_IN] < 0 ? -errno : 0;
}

/* From here on in the child, which says what is wrong where the command would. */
static _noreturn_ void give_up(int status, const char *what, int errnum)
{
	(void)dprintf(STDERR_FILENO, "banger: %s: %s\n", what, strerror(errnum));
	_exit(status);
}

/* The agent's own: it ignores signals, hides from the OOM killer, blocks SIGCHLD. */
static void become_ordinary(void)
{
	_close_ int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (oom >= 0)
		(void)bg_write_all(oom, "0", 1);
	(void)umask(022);
}

static void take_streams(const struct ends *e, bool tty, const struct user *user)
{
	(void)setsid();
	for (int i = 0; i < BG_AGENT_SUBS; i++)
		(void)dup2(e->theirs[i], i);
	if (!tty)
		return;
	(void)ioctl(STDIN_FILENO, TIOCSCTTY, 0);
	if (fchown(STDIN_FILENO, user->uid, TTY_GID) < 0)
		give_up(SPAWN_FAILED, "terminal", errno);
}

/* Without an exec nothing does that: our own copies of the pipes' other ends would keep them open. */
static void close_from(int first)
{
	if (close_range((unsigned)first, ~0U, 0) < 0)
		for (int fd = first; fd < FDS_MAX; fd++)
			(void)close(fd);
}

/* Its streams, and a K_ACCEPT's listening socket, are all that an applet keeps. */
static void keep_what_it_needs(const struct bg_exec *x)
{
	int listener = x->kind == BG_AGENT_K_ACCEPT ? expose_listener(x->argv[0]) : -1;
	bool kept = listener >= 0 && dup2(listener, APPLET_FD) == APPLET_FD;

	close_from(kept ? APPLET_FD + 1 : APPLET_FD);
}

static void become_user(const struct user *user)
{
	if (setgroups(user->n_groups, user->groups) < 0 || setgid(user->gid) < 0 ||
		setuid(user->uid) < 0)
		give_up(SPAWN_FAILED, user->name, errno);
}

static void enter_folder(const char *wanted, const struct user *user)
{
	if (!bg_isempty(wanted) && chdir(wanted) < 0)
		give_up(SPAWN_FAILED, wanted, errno);
	if (bg_isempty(wanted) && chdir(user->home) < 0 && chdir("/") < 0)
		give_up(SPAWN_FAILED, user->home, errno);
}

static bool same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return strncmp(a, b, n + 1) == 0;
}

static const char *joined(const char *name, const char *value)
{
	char *text = NULL;

	return asprintf(&text, "%s=%s", name, value) < 0 ? NULL : text;
}

/* Ours, each unless the request has its own. Memory is the child's, which execs or ends. */
static char **make_env(const struct bg_exec *x, const struct user *user)
{
	const char *ours[ENV_DEFAULTS] = {"PATH=" PATH_DEFAULT, joined("HOME", user->home),
		joined("USER", user->name), joined("LOGNAME", user->name),
		joined("SHELL", user->shell)};
	size_t n = 0, count = 0;
	const char **env;

	while (x->env[count])
		count++;
	env = calloc(count + ENV_DEFAULTS + 1, sizeof(*env));
	if (!env)
		give_up(SPAWN_FAILED, "environment", ENOMEM);
	for (size_t i = 0; i < ENV_DEFAULTS; i++) {
		bool theirs = !ours[i];

		for (size_t j = 0; !theirs && j < count; j++)
			theirs = same_name(ours[i], x->env[j]);
		if (!theirs)
			env[n++] = ours[i];
	}
	memcpy(env + n, x->env, count * sizeof(*env));
	return (char **)(uintptr_t)env;
}

static _noreturn_ void run_command(const struct bg_exec *x, const struct user *user)
{
	const char *path = x->argv[0];
	const char *base = strrchr(user->shell, '/');
	char login[sizeof(user->shell) + 1];
	char *shell[] = {login, NULL};
	char **argv = path ? (char **)(uintptr_t)x->argv : shell;

	(void)snprintf(login, sizeof(login), "-%s", base ? base + 1 : user->shell);
	environ = make_env(x, user);
	(void)execvp(path ? path : user->shell, argv);
	give_up(errno == ENOENT ? SPAWN_NOT_FOUND : SPAWN_NO_EXEC, path ? path : user->shell,
		errno);
}

static _noreturn_ void child(const struct bg_exec *x, const struct ends *e)
{
	bool tty = (x->flags & BG_AGENT_X_TTY) != 0;
	struct user user = {.name = "root"};
	int r = users_find(x->user, &user);

	become_ordinary();
	take_streams(e, tty, &user);
	if (r < 0) {
		(void)dprintf(
			STDERR_FILENO, "banger: there is no user \"%s\" in this VM\n", x->user);
		_exit(SPAWN_FAILED);
	}
	become_user(&user);
	enter_folder(x->workdir, &user);
	if (x->kind != BG_AGENT_K_RUN) {
		keep_what_it_needs(x);
		_exit(applet_run(x));
	}
	run_command(x, &user);
}

int spawn(const struct bg_exec *x, struct spawned *ret)
{
	struct ends e = {{-1, -1, -1}, {-1, -1, -1}};
	int r = x->flags & BG_AGENT_X_TTY ? open_terminal(x, &e) : open_pipes(&e);
	pid_t pid = -1;

	if (r >= 0) {
		pid = fork();
		r = pid < 0 ? -errno : 0;
	}
	if (pid == 0)
		child(x, &e);
	close_all(e.theirs);
	if (r < 0) {
		close_all(e.ours);
		return r;
	}
	ret->pid = pid;
	memcpy(ret->fd, e.ours, sizeof(e.ours));
	return 0;
}
