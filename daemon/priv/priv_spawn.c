/* SPDX-License-Identifier: ISC */
/* priv_spawn.c: starting a helper. Declared in priv_client.h; the only part of it that makes
 * processes. */
#include <sys/socket.h>

#include "daemon/loop/spawn.h"
#include "daemon/priv/priv_client.h"

int priv_spawn_helper(const char *path, int *ret_sock, pid_t *ret_pid)
{
	static const char *const argv[] = {"banger-privhelper", NULL}, *const env[] = {NULL};
	struct spawn spawn = {
		.path = path, .argv = argv, .env = env, .fd = {-1, -1, -1}, .n_fds = 4};
	_close_ int ours = -1, theirs = -1, pidfd = -1;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ours = pair[0];
	theirs = pair[1];
	spawn.fd[3] = theirs;
	r = spawn_process(&spawn, ret_pid, &pidfd, NULL);
	if (r < 0)
		return r;
	*ret_sock = TAKE_FD(ours);
	return 0;
}
