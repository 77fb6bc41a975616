/* SPDX-License-Identifier: ISC */
/*
 * The relay of a published port, from outside: it runs in a child's loop; this process plays the
 * client and the guest with blocking sockets that give up after a while.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "common/limits.h"
#include "daemon/driver/relay.h"
#include "tests/lib/test.h"

enum { GIVE_UP_S = 20, PIECE = 64 * 1024 };

static int guest = -1; /* listens */
static uint16_t port;
static pid_t child = -1;

static void bounded(int fd)
{
	struct timeval tv = {.tv_sec = GIVE_UP_S};

	CHECK_INT(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
	CHECK_INT(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)), 0);
}

static struct sockaddr_in local(uint16_t p)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons(p),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int listen_anywhere(uint16_t *ret_port)
{
	struct sockaddr_in sa = local(0);
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK_INT(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	CHECK_INT(listen(fd, 16), 0);
	CHECK_INT(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	bounded(fd);
	*ret_port = ntohs(sa.sin_port);
	return fd;
}

/* In the child: does not return. A byte on the pipe tells that it listens. */
static void run_relay(int ready, const struct sockaddr_in *target)
{
	_unref_(relay) struct relay *relay = NULL;
	struct loop *loop;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (loop_new(&loop) < 0 || relay_open(loop, port, target, &relay, NULL) < 0)
		_exit(1);
	(void)!write(ready, "x", 1);
	loop_run(loop);
	_exit(0);
}

static void open_relay_to(uint16_t guest_port)
{
	struct sockaddr_in target = local(guest_port);
	int fds[2];
	char byte;

	bg_close(listen_anywhere(&port));
	CHECK_INT(pipe2(fds, O_CLOEXEC), 0);
	child = fork();
	if (child == 0)
		run_relay(fds[1], &target);
	bg_close(fds[1]);
	CHECK_INT(read(fds[0], &byte, 1), 1);
	bg_close(fds[0]);
}

static void open_relay(void)
{
	uint16_t guest_port;

	guest = listen_anywhere(&guest_port);
	open_relay_to(guest_port);
}

static void end_relay(void)
{
	CHECK_INT(kill(child, SIGKILL), 0);
	CHECK_INT(waitpid(child, NULL, 0), child);
	guest = bg_close(guest);
}

static int connect_client(void)
{
	struct sockaddr_in sa = local(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	bounded(fd);
	CHECK_INT(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static int accept_guest(void)
{
	int fd = accept4(guest, NULL, NULL, SOCK_CLOEXEC);

	CHECK(fd >= 0);
	bounded(fd);
	return fd;
}

static void check_text(int from, int to, const char *text)
{
	char got[64] = "";

	CHECK_INT(bg_write_all(from, text, strlen(text)), 0);
	CHECK_INT(bg_read_exact(to, got, strlen(text)), 0);
	CHECK_STR(got, text);
}

TEST(bytes_both_ways)
{
	int c, g;

	open_relay();
	c = connect_client();
	g = accept_guest();
	check_text(c, g, "question");
	check_text(g, c, "answer");
	bg_close(c);
	bg_close(g);
	end_relay();
}

/* The end of one way is passed on while the other goes on: `printf x | nc`, HTTP/1.0, rsync. */
static void half_close(bool client_first)
{
	int c, g, first, second;
	char byte;

	open_relay();
	c = connect_client();
	g = accept_guest();
	first = client_first ? c : g;
	second = client_first ? g : c;
	check_text(first, second, "last words");
	CHECK_INT(shutdown(first, SHUT_WR), 0);
	CHECK_INT(read(second, &byte, 1), 0);
	check_text(second, first, "still here");
	CHECK_INT(shutdown(second, SHUT_WR), 0);
	CHECK_INT(read(first, &byte, 1), 0);
	bg_close(c);
	bg_close(g);
	end_relay();
}

TEST(half_close_of_the_client)
{
	half_close(true);
}

TEST(half_close_of_the_guest)
{
	half_close(false);
}

/* What the sender can get rid of is bounded while nobody reads, and then arrives whole. */
TEST(a_reader_that_stops_stops_the_writer)
{
	static uint8_t out[PIECE], in[PIECE];
	size_t sent = 0, got = 0;
	ssize_t n;
	int c, g;

	memset(out, 0x5a, sizeof(out));
	open_relay();
	c = connect_client();
	g = accept_guest();
	for (struct pollfd p = {.fd = c, .events = POLLOUT}; poll(&p, 1, 500) == 1;) {
		n = send(c, out, sizeof(out), MSG_DONTWAIT);
		CHECK(n > 0 || errno == EAGAIN);
		sent += n > 0 ? (size_t)n : 0;
		CHECK(sent < 64 * MIB);
	}
	CHECK_INT(shutdown(c, SHUT_WR), 0);
	while ((n = read(g, in, sizeof(in))) > 0) {
		CHECK(memcmp(in, out, (size_t)n) == 0);
		got += (size_t)n;
	}
	CHECK_INT(n, 0);
	CHECK_INT(got, sent);
	bg_close(c);
	bg_close(g);
	end_relay();
}

TEST(nobody_listens_in_the_guest)
{
	uint16_t nobody;
	char byte;
	int c;

	bg_close(listen_anywhere(&nobody));
	open_relay_to(nobody);
	c = connect_client();
	CHECK(read(c, &byte, 1) <= 0); /* its end, or a reset */
	bg_close(c);
	c = connect_client(); /* and the next one is taken all the same */
	bg_close(c);
	end_relay();
}

TEST(many_connections_and_one_that_breaks)
{
	enum { MANY = 20 };
	const struct linger reset = {.l_onoff = 1};
	int c[MANY], g[MANY];

	open_relay();
	for (int i = 0; i < MANY; i++) {
		c[i] = connect_client();
		g[i] = accept_guest();
	}
	CHECK_INT(setsockopt(c[7], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	bg_close(c[7]);
	for (int i = 0; i < MANY; i++)
		if (i != 7)
			check_text(c[i], g[i], "here");
	end_relay();
}

/* Beyond the bound they wait in the kernel's queue until one ends. */
TEST(more_connections_than_may_be)
{
	enum { ALL = BG_RELAY_CONNECTIONS_MAX };
	int c[ALL + 1], g[ALL];
	struct pollfd p;

	open_relay();
	for (int i = 0; i < ALL; i++) {
		c[i] = connect_client();
		g[i] = accept_guest();
	}
	c[ALL] = connect_client();
	p = (struct pollfd){.fd = guest, .events = POLLIN};
	CHECK_INT(poll(&p, 1, 200), 0);
	bg_close(c[3]);
	bg_close(g[3]);
	check_text(c[ALL], accept_guest(), "my turn");
	end_relay();
}

TEST(a_port_that_is_taken)
{
	_err_ struct bg_err *err = NULL, *err2 = NULL;
	struct sockaddr_in target = local(1);
	struct relay *relay = NULL;
	uint16_t taken;
	struct loop *loop;
	int other = listen_anywhere(&taken);

	CHECK_INT(loop_new(&loop), 0);
	CHECK_INT(relay_open(loop, taken, &target, &relay, &err), -EADDRINUSE);
	CHECK_STR(bg_err_code_str(err->code), "port.taken");
	CHECK_INT(relay_try(taken, &err2), -EADDRINUSE);
	bg_close(other);
	CHECK_INT(relay_try(taken, NULL), 0);
	CHECK_INT(relay_open(loop, taken, &target, &relay, NULL), 0);
	relay_free(relay);
	CHECK_INT(relay_try(taken, NULL), 0);
	loop_free(loop);
}
