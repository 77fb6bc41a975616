/* SPDX-License-Identifier: ISC */
/* See daemon_proc.h. */
#include "cli/daemon_proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "cli/launch.h"
#include "common/fd.h"

enum { GRACE_S = 5, KILLED_S = 10, ENGINES_MAX = 8, LOCK_TEXT_MAX = 4096, STAT_MAX = 4096 };

static int read_proc(pid_t pid, const char *file, char **ret)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return bg_read_file_at(AT_FDCWD, path, STAT_MAX, ret, NULL);
}

static bool is_called(pid_t pid, const char *comm)
{
	_free_ char *text = NULL;

	return read_proc(pid, "comm", &text) >= 0 && strncmp(text, comm, strlen(comm)) == 0 &&
	       text[strlen(comm)] == '\n';
}

static pid_t parent_of(pid_t pid)
{
	_free_ char *text = NULL;
	int parent = 0;
	const char *p;

	if (read_proc(pid, "stat", &text) < 0)
		return 0;
	p = strrchr(text, ')'); /* the name before it may hold anything */
	return p && sscanf(p + 1, " %*c %d", &parent) == 1 ? (pid_t)parent : 0;
}

pid_t daemon_proc_pid(const struct cli *cli)
{
	_free_ char *text = NULL;
	pid_t pid;

	if (bg_read_file_at(AT_FDCWD, cli->paths.lock_file, LOCK_TEXT_MAX, &text, NULL) < 0)
		return 0;
	pid = (pid_t)strtol(text, NULL, 10);
	return pid > 0 && is_called(pid, "bangerd-monitor") ? pid : 0;
}

/* pidfds of the engines of this monitor; they are not reaped before it ends. */
static unsigned find_engines(pid_t monitor, int fds[ENGINES_MAX])
{
	DIR *proc = opendir("/proc");
	const struct dirent *de;
	unsigned n = 0;

	while (proc && n < ENGINES_MAX && (de = readdir(proc))) {
		pid_t pid = (pid_t)strtol(de->d_name, NULL, 10);

		if (pid <= 0 || !is_called(pid, "bangerd-engine"))
			continue;
		fds[n] = launch_pidfd(pid);
		if (fds[n] >= 0 && parent_of(pid) == monitor)
			n++;
		else
			bg_close(fds[n]);
	}
	if (proc)
		closedir(proc);
	return n;
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

static int kill_all(int monitor, const int *engines, unsigned n, struct bg_err **err)
{
	int r;

	send_signal(monitor, SIGKILL);
	r = launch_wait_gone(monitor, KILLED_S, NULL);
	for (unsigned i = 0; i < n; i++) {
		send_signal(engines[i], SIGKILL);
		r = BG_MIN(r, launch_wait_gone(engines[i], KILLED_S, NULL));
	}
	if (r >= 0)
		return 0;
	bg_err_set(err, BG_ERR_TIMEOUT, ETIMEDOUT, "the daemon was killed and does not end");
	bg_err_hint(err, "it hangs in the kernel, most likely on a disk that does not answer: see `dmesg`");
	return -ETIMEDOUT;
}

int daemon_proc_end(const struct cli *cli, struct bg_err **err)
{
	pid_t pid = daemon_proc_pid(cli);
	_close_ int monitor = launch_pidfd(pid);
	int engines[ENGINES_MAX], r = 0;
	unsigned n;

	/* Looked at again under the pidfd: it is that process, or nobody. */
	if (monitor < 0 || daemon_proc_pid(cli) != pid)
		return 0;
	n = find_engines(pid, engines);
	if (!ask_to_end(monitor))
		r = kill_all(monitor, engines, n, err);
	for (unsigned i = 0; i < n; i++)
		bg_close(engines[i]);
	return r;
}
