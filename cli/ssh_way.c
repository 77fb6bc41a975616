/* SPDX-License-Identifier: ISC */
/*
 * ssh_way.c: A TCP connection is tried first, within a short limit; when nothing answers, the
 * agent looks for a server in the guest.
 */
#include "cli/ssh_way.h"

#include <arpa/inet.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "cli/session.h"

enum { CONNECT_MS = 1500, CHECK_S = 10, BANNER_MAX = 256 };

static bool answers(const char *address, int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	socklen_t len = sizeof(int);
	int error = 0;

	if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
		return true; /* not for us to try */
	if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
		return true;
	if (errno != EINPROGRESS || poll(&p, 1, CONNECT_MS) <= 0)
		return false;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0;
}

/* An ssh server speaks first, also to someone who is gone already. */
enum ssh_way ssh_way_find(struct cli *cli, const char *vm, const char *address, int port)
{
	_free_ char *text = NULL;
	char number[8];
	const char *const argv[] = {number, NULL};
	const struct session session = {
		.vm = vm, .kind = "connect", .argv = argv, .timeout_s = CHECK_S};
	int status = 0;

	if (answers(address, port))
		return SSH_WAY_NET;
	snprintf(number, sizeof(number), "%d", port);
	if (session_text(cli, &session, BANNER_MAX, &status, &text, NULL) < 0)
		return SSH_WAY_NET;
	return strncmp(text, "SSH-", 4) == 0 ? SSH_WAY_AGENT : SSH_WAY_SHELL;
}

/* ssh gives it to a shell, and expands % before. */
char *ssh_way_proxy(const char *vm, int port)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	self[n > 0 ? n : 0] = '\0';
	fputs("ProxyCommand='", f);
	for (const char *c = self; *c; c++)
		fputs(*c == '\'' ? "'\\''" : *c == '%' ? "%%" : (char[]){*c, '\0'}, f);
	fprintf(f, "' vm connect %s %d", vm, port);
	fclose(f);
	return text;
}
