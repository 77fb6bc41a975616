/* SPDX-License-Identifier: ISC */
/* See expose.h. */
#include "guest/expose.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/agent_proto.h"
#include "common/base.h"
#include "common/limits.h"
#include "guest/log.h"
#include "guest/pump.h"

enum { BACKLOG = 64 };

static struct listener {
	unsigned port; /* 0: free */
	int fd;
} listeners[BG_EXPOSE_MAX];

static unsigned number(const char *text)
{
	unsigned long n = text ? strtoul(text, NULL, 10) : 0;

	return n <= UINT16_MAX ? (unsigned)n : 0;
}

static struct listener *find(unsigned port)
{
	for (size_t i = 0; i < BG_EXPOSE_MAX; i++)
		if (listeners[i].port == port)
			return &listeners[i];
	return NULL;
}

static int listen_at(unsigned port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	if (fd < 0 || inet_pton(AF_INET, BG_AGENT_HOST_ADDRESS, &at.sin_addr) != 1)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static bool is_wanted(const char *const *ports, unsigned port)
{
	for (; *ports; ports++)
		if (number(*ports) == port)
			return true;
	return false;
}

static void add(unsigned port)
{
	struct listener *free_one = find(0);
	int fd;

	if (port == 0 || find(port) || !free_one)
		return;
	fd = listen_at(port);
	if (fd < 0)
		log_line("agent: port %u of %s: %s", port, BG_AGENT_HOST_NAME, strerror(-fd));
	else
		*free_one = (struct listener){port, fd};
}

void expose_set(const char *const *ports)
{
	for (size_t i = 0; i < BG_EXPOSE_MAX; i++)
		if (listeners[i].port && !is_wanted(ports, listeners[i].port)) {
			bg_close(listeners[i].fd);
			listeners[i].port = 0;
		}
	for (; *ports; ports++)
		add(number(*ports));
}

void expose_none(void)
{
	expose_set((const char *const[]){NULL});
}

int expose_listener(const char *port)
{
	const struct listener *l = number(port) ? find(number(port)) : NULL;

	return l ? l->fd : -1;
}

/* Either way may end before the other: both are waited for. */
static void join(int fd)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)close(STDOUT_FILENO); /* the parent's end of it is the guest's */
		pump(STDIN_FILENO, fd);
		(void)shutdown(fd, SHUT_WR);
		_exit(0);
	}
	(void)close(STDIN_FILENO);
	pump(fd, STDOUT_FILENO);
	(void)close(STDOUT_FILENO);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
}

int expose_accept(int listener, const char *port)
{
	static const char accepted = BG_AGENT_ACCEPTED;
	int fd;

	if (fcntl(listener, F_GETFD) < 0) {
		(void)dprintf(STDERR_FILENO,
			"something in the guest listens on port %s of all addresses\n", port);
		return 1;
	}
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	(void)close(listener);
	if (fd < 0 || write(STDERR_FILENO, &accepted, 1) != 1)
		return 1;
	join(fd);
	return 0;
}
