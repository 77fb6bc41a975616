/* SPDX-License-Identifier: ISC */
#include "daemon/monitor_helper.h"

#include <sys/socket.h>

#include "daemon/loop/spawn.h"

int priv_spawn_helper(const char *path, int *ret_sock, pid_t *ret_pid)
{
	static const char *const argv[] = {"banger-privhelper", NULL}, *const env[] = {NULL};
	struct spawn s = {path, argv, env, {-1, -1, -1}, 4, false};
	int pair[2], pidfd, r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	s.fd[3] = pair[1];
	r = spawn_process(&s, ret_pid, &pidfd, NULL);
	bg_close(pair[1]);
	if (r < 0) {
		bg_close(pair[0]);
		return r;
	}
	bg_close(pidfd);
	*ret_sock = pair[0];
	return 0;
}
