/* SPDX-License-Identifier: ISC */
/* See killall.h. proc(5): the session is the sixth field of stat, after a name in brackets. */
#include "guest/killall.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "common/fd.h"

static pid_t session_of(pid_t pid)
{
	_free_ char *text = NULL;
	const char *rest;
	char path[32];
	int session = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (bg_read_file_at(AT_FDCWD, path, 4096, &text, NULL) < 0)
		return 0;
	rest = strrchr(text, ')');
	if (!rest || sscanf(rest + 1, " %*c %*d %*d %d", &session) != 1)
		return 0;
	return session;
}

void killall_session(pid_t leader, int sig)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;

	(void)kill(-leader, sig);
	while (dir && (e = readdir(dir))) {
		pid_t pid = atoi(e->d_name);

		if (pid > 1 && pid != leader && session_of(pid) == leader) {
			(void)kill(pid, sig);
			(void)kill(pid, SIGCONT);
		}
	}
	if (dir)
		(void)closedir(dir);
	(void)kill(-leader, SIGCONT);
}
