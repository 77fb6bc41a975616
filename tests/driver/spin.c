/* SPDX-License-Identifier: ISC */
/* spin.c: One turn of the loop at a time, with a deadline far beyond what a slow machine needs. */
#include "tests/driver/spin.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/fd.h"

enum { TURN_USEC = 2000 };

static void on_turn(void *userdata)
{
	loop_exit(userdata, 0);
}

void spin_for(struct loop *loop, uint64_t usec)
{
	struct loop_source *timer;

	CHECK_INT(loop_add_timer(loop, "spin", usec, on_turn, loop, &timer), 0);
	CHECK_INT(loop_run(loop), 0);
	loop_source_free(timer);
}

void spin_turn(struct loop *loop)
{
	spin_for(loop, TURN_USEC);
}

bool spin_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

int spin_listen(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0 && strlen(path) < sizeof(sa.sun_path));
	strcpy(sa.sun_path, path);
	CHECK_INT(bind(fd, (const struct sockaddr *)&sa, sizeof(sa)), 0);
	CHECK_INT(listen(fd, 8), 0);
	return fd;
}

pid_t spin_fake_guest(const char *path, const char *vm_id, int *ret_stdin)
{
	char program[256];
	int fds[2];
	pid_t pid;

	snprintf(program, sizeof(program), "%s/tests/lib/fake-guest", test_build_dir());
	CHECK_INT(pipe(fds), 0);
	CHECK_INT(bg_set_cloexec(fds[1], true), 0);
	pid = fork();
	if (pid == 0) {
		(void)dup2(fds[0], 0);
		execl(program, "fake-guest", path, vm_id, (char *)NULL);
		_exit(127);
	}
	close(fds[0]);
	*ret_stdin = fds[1];
	return pid;
}
