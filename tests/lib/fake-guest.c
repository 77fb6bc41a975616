/* SPDX-License-Identifier: ISC */
/*
 * fake-guest SOCKET VM_ID: the agent's conversation and sessions (guest/conversation.c, guest/session.c and
 * what they run) on this machine, over a unix socket: what it runs, runs here, as whom it is
 * started. One host at a time; it ends with its standard input.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/fd.h"
#include "guest/session.h"

static struct conversation conversation;
static int epoll, conn = -1;

static void watch(int fd, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.fd = fd};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0)
		_exit(3);
}

static void hang_up(void)
{
	conn = bg_close(conn);
	conversation_reset(&conversation);
}

static void flush(void)
{
	while (conn >= 0 && conversation.out_len > 0) {
		ssize_t n = send(conn, conversation.out + conversation.out_at, conversation.out_len,
			MSG_NOSIGNAL);

		if (n > 0)
			conversation_sent(&conversation, (size_t)n);
		else if (errno == EAGAIN)
			return;
		else
			hang_up();
	}
}

/* Bytes that the conversation did not take are kept for the next turn. */
static void take_input(void)
{
	static uint8_t buf[4096];
	static size_t at, len;

	while (conn >= 0 && conversation_wants_input(&conversation)) {
		if (at == len) {
			ssize_t n = read(conn, buf, sizeof(buf));

			at = len = 0;
			if (n <= 0) {
				if (n == 0 || errno != EAGAIN)
					hang_up();
				return;
			}
			len = (size_t)n;
		}
		at += conversation_input(&conversation, buf + at, len - at);
		flush();
	}
}

static void pump(void)
{
	do {
		flush();
		take_input();
	} while (sessions_pump());
	flush();
}

static int listen_at(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(sa.sun_path))
		return -1;
	strcpy(sa.sun_path, path);
	(void)unlink(path);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 4) < 0)
		return -1;
	return fd;
}

static void take_host(int listener)
{
	if (conn >= 0)
		hang_up();
	conn = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (conn >= 0)
		watch(conn, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

int main(int argc, char **argv)
{
	struct epoll_event events[16];
	uint8_t id[16] = {0};
	int listener = argc == 3 ? listen_at(argv[1]) : -1;

	if (listener < 0 || strlen(argv[2]) != 32)
		return 2;
	for (size_t i = 0; i < sizeof(id); i++)
		if (sscanf(argv[2] + 2 * i, "%2hhx", &id[i]) != 1)
			return 2;
	epoll = epoll_create1(EPOLL_CLOEXEC);
	conversation_init(&conversation, id, BG_AGENT_F_ROOT | BG_AGENT_F_SSHD);
	sessions_init(&conversation, epoll);
	watch(listener, EPOLLIN);
	watch(STDIN_FILENO, EPOLLIN);
	for (;;) {
		int n = epoll_wait(epoll, events, ARRAY_SIZE(events), sessions_timeout());

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == STDIN_FILENO)
				return 0;
			if (events[i].data.fd == listener)
				take_host(listener);
			else
				(void)sessions_event(events[i].data.fd);
		}
		pump();
	}
}
