/* SPDX-License-Identifier: ISC */
/* See daemon_proc.h. */
#include "cli/daemon_proc.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>

#include "cli/launch.h"
#include "common/fd.h"
#include "common/http_client.h"
#include "common/proc.h"

enum { GRACE_S = 5, KILLED_S = 10, ENGINES_MAX = 8, LOCK_TEXT_MAX = 4096 };

pid_t daemon_proc_pid(const struct cli *cli)
{
	_free_ char *text = NULL;
	pid_t pid;

	if (bg_read_file_at(AT_FDCWD, cli->paths.lock_file, LOCK_TEXT_MAX, &text, NULL) < 0)
		return 0;
	pid = (pid_t)strtol(text, NULL, 10);
	return pid > 0 && bg_proc_is_called(pid, "bangerd-monitor") ? pid : 0;
}

/* The first that keeps us waiting: monitor or one of its engines. */
struct stuck {
	pid_t monitor, pid;
	char state;
};

static int look_at(pid_t pid, void *userdata)
{
	struct stuck *s = userdata;
	char state =
		pid == s->monitor || bg_proc_parent(pid) == s->monitor ? bg_proc_state(pid) : 0;

	if (state != 'D' && state != 'T' && state != 't')
		return 0;
	s->pid = pid;
	s->state = state;
	return 1;
}

void daemon_proc_explain(const struct cli *cli, struct bg_err *err)
{
	struct stuck s = {.monitor = daemon_proc_pid(cli)};

	if (!bg_streq(err->hint, BG_HTTP_HANGS) || s.monitor == 0 || bg_proc_each(look_at, &s) <= 0)
		return;
	if (s.state == 'D')
		bg_err_hint(&err,
			"its process %d waits for a disk: the file system of %s is frozen, or its "
			"disk does not answer; it goes on when that does",
			(int)s.pid, cli->paths.state_dir);
	else
		bg_err_hint(&err,
			"its process %d was stopped: `kill -CONT %d` lets it go on, `banger daemon "
			"restart --force` starts another",
			(int)s.pid, (int)s.pid);
}

/* pidfds of the engines of a monitor; they are not reaped before it ends. */
struct engines {
	pid_t monitor;
	int fds[ENGINES_MAX];
	unsigned n;
};

static int add_engine(pid_t pid, void *userdata)
{
	struct engines *e = userdata;
	_close_ int fd = -1;

	if (!bg_proc_is_called(pid, "bangerd-engine"))
		return 0;
	fd = launch_pidfd(pid);
	if (fd >= 0 && bg_proc_parent(pid) == e->monitor && e->n < ENGINES_MAX)
		e->fds[e->n++] = TAKE_FD(fd);
	return 0;
}

static void send_signal(int pidfd, int signo)
{
	(void)syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0);
}

/* A second signal tells the monitor not to wait for its engine any more. */
static bool ask_to_end(int monitor)
{
	send_signal(monitor, SIGTERM);
	if (launch_wait_gone(monitor, GRACE_S, NULL) >= 0)
		return true;
	send_signal(monitor, SIGTERM);
	return launch_wait_gone(monitor, GRACE_S, NULL) >= 0;
}

static int kill_all(int monitor, const struct engines *engines, struct bg_err **err)
{
	int r;

	send_signal(monitor, SIGKILL);
	r = launch_wait_gone(monitor, KILLED_S, NULL);
	for (unsigned i = 0; i < engines->n; i++) {
		send_signal(engines->fds[i], SIGKILL);
		r = BG_MIN(r, launch_wait_gone(engines->fds[i], KILLED_S, NULL));
	}
	if (r >= 0)
		return 0;
	bg_err_set(err, BG_ERR_TIMEOUT, ETIMEDOUT, "the daemon was killed and does not end");
	bg_err_hint(err,
		"it hangs in the kernel, most likely on a disk that does not answer: see `dmesg`");
	return -ETIMEDOUT;
}

int daemon_proc_end(const struct cli *cli, struct bg_err **err)
{
	pid_t pid = daemon_proc_pid(cli);
	_close_ int monitor = launch_pidfd(pid);
	struct engines engines = {.monitor = pid};
	int r = 0;

	/* Looked at again under the pidfd: it is that process, or nobody. */
	if (monitor < 0 || daemon_proc_pid(cli) != pid)
		return 0;
	(void)bg_proc_each(add_engine, &engines);
	if (!ask_to_end(monitor))
		r = kill_all(monitor, &engines, err);
	for (unsigned i = 0; i < engines.n; i++)
		bg_close(engines.fds[i]);
	return r;
}
