/* SPDX-License-Identifier: ISC */
/*
 * daemon/driver/tunnel.c against the agent's own sessions, run on this machine by fake-guest: it listens at host.vm's
 * address here, and what connects there reaches a service on 127.0.0.1.
 */
#include "daemon/driver/tunnel.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/agent_exec.h"
#include "common/agent_frame.h"
#include "common/fd.h"
#include "tests/driver/spin.h"

enum { MUCH = 3 * 1000 * 1000, TUNNELS = 8 };

static const char vm_id[] = "00112233445566778899aabbccddeeff";

static struct {
	struct loop *loop;
	struct guest *guest;
	pid_t pid;
	int stdin_fd, service; /* listens on 127.0.0.1 */
	uint16_t port;
	struct guest_stream *list;
	bool told;
	struct tunnel *tunnels[TUNNELS];
	unsigned taken, ended;
	char why[200];
} f;

static void on_status(
	struct guest *guest, bool connected, uint32_t flags, uint32_t uptime_ms, void *userdata)
{
}

static void on_list(struct guest_stream *stream, const struct bg_agent_frame *frame, void *userdata)
{
	f.told |= frame->type == BG_AGENT_DONE;
}

static void on_room(struct guest_stream *stream, void *userdata)
{
}

static void on_broken(struct guest_stream *stream, const char *why, void *userdata)
{
}

static void on_taken(struct tunnel *tunnel, void *userdata)
{
	f.taken++;
}

static void on_ended(struct tunnel *tunnel, const char *why, void *userdata)
{
	struct tunnel **place = userdata;

	f.ended++;
	if (why)
		snprintf(f.why, sizeof(f.why), "%s", why);
	CHECK(*place == tunnel);
	tunnel_free(TAKE_PTR(*place));
}

static int listen_on(const char *address, uint16_t *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(*port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof(at);

	CHECK_INT(inet_pton(AF_INET, address, &at.sin_addr), 1);
	CHECK_INT(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	CHECK_INT(listen(fd, 16), 0);
	CHECK_INT(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	*port = ntohs(at.sin_port);
	return fd;
}

/* As somebody in the guest. */
static int connect_to_host_vm(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(f.port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK_INT(inet_pton(AF_INET, BG_AGENT_HOST_ADDRESS, &to.sin_addr), 1);
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
		return bg_close(fd);
	CHECK_INT(bg_set_nonblock(fd, true), 0);
	return fd;
}

static void start_guest(void)
{
	static char path[96];
	const struct guest_target target = {
		.carrier = "virtio", .socket_path = path, .vm_id = vm_id};

	snprintf(path, sizeof(path), "%s/agent.sock", test_tmpdir());
	f.pid = spin_fake_guest(path, vm_id, &f.stdin_fd);
	CHECK_INT(guest_open(f.loop, &target, on_status, NULL, &f.guest, NULL), 0);
	SPIN(f.loop, guest_connected(f.guest));
}

static void expose(const char *port)
{
	static const struct guest_stream_events events = {on_list, on_room, on_broken};
	static const char *const none[] = {NULL};
	const char *const argv[] = {port, NULL};
	const struct bg_exec exec = {.kind = BG_AGENT_K_EXPOSE, .argv = argv, .env = none};
	_free_ uint8_t *payload = NULL;
	size_t len = 0;

	f.told = false;
	guest_stream_free(TAKE_PTR(f.list));
	CHECK_INT(bg_exec_encode(&exec, &payload, &len), 0);
	CHECK_INT(guest_stream_open(f.guest, payload, len, &events, NULL, &f.list, NULL), 0);
	SPIN(f.loop, f.told);
}

static void wait_in_guest(size_t i)
{
	static const struct tunnel_events events = {on_taken, on_ended};

	CHECK_INT(tunnel_wait(f.loop, f.guest, f.port, &events, &f.tunnels[i], &f.tunnels[i], NULL),
		0);
	CHECK(tunnel_waits(f.tunnels[i]));
	CHECK_INT(tunnel_port(f.tunnels[i]), f.port);
}

static void setup(void)
{
	char port[8];

	if (geteuid() != 0)
		test_skip("only root becomes root: the agent's sessions begin with that");
	CHECK_INT(loop_new(&f.loop), 0);
	f.port = 0;
	f.service = listen_on("127.0.0.1", &f.port);
	start_guest();
	snprintf(port, sizeof(port), "%u", f.port);
	expose(port);
}

static void teardown(void)
{
	for (size_t i = 0; i < TUNNELS; i++)
		tunnel_free(f.tunnels[i]);
	guest_stream_free(f.list);
	guest_free(f.guest);
	loop_free(f.loop);
	bg_close(f.service);
	close(f.stdin_fd);
	(void)waitpid(f.pid, NULL, 0);
}

static int accepted(void)
{
	int fd = -1;

	SPIN(f.loop, (fd = accept4(f.service, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0);
	return fd;
}

/* Reads until there are n bytes, or the other side's end when n is 0. */
static void expect(int fd, const char *text, size_t n)
{
	char buf[64] = "";
	size_t got = 0;
	ssize_t r = -1;

	if (n == 0)
		SPIN(f.loop, (r = recv(fd, buf, sizeof(buf), 0)) >= 0);
	while (got < n) {
		SPIN(f.loop, (r = recv(fd, buf + got, sizeof(buf) - 1 - got, 0)) != -1 ||
				     errno != EAGAIN);
		CHECK(r > 0);
		got += (size_t)r;
	}
	CHECK_INT((long)got, (long)n);
	CHECK_STR(buf, text);
	CHECK(n > 0 || r == 0);
}

TEST(both_sides_speak_and_end)
{
	int client, service;

	setup();
	wait_in_guest(0);
	client = connect_to_host_vm();
	CHECK(client >= 0);
	service = accepted();
	CHECK_INT(f.taken, 1);
	CHECK(!tunnel_waits(f.tunnels[0]));
	CHECK_INT(send(service, "hello from here", 15, 0), 15); /* the service speaks first */
	expect(client, "hello from here", 15);
	CHECK_INT(send(client, "question", 8, 0), 8);
	CHECK_INT(shutdown(client, SHUT_WR), 0);
	expect(service, "question", 8);
	expect(service, "", 0); /* half closed, and the answer still comes */
	CHECK_INT(send(service, "answer", 6, 0), 6);
	expect(client, "answer", 6);
	CHECK_INT(f.ended, 0);
	close(service);
	expect(client, "", 0);
	SPIN(f.loop, f.ended == 1);
	CHECK_STR(f.why, "");
	close(client);
	teardown();
}

/* A side that does not read holds no more than the windows; nothing is lost. */
TEST(much_both_ways)
{
	static uint8_t bytes[65536];
	size_t to_service = 0, at_service = 0, to_client = 0, at_client = 0;
	int client, service;

	setup();
	wait_in_guest(0);
	client = connect_to_host_vm();
	service = accepted();
	while (at_service < MUCH || at_client < MUCH) {
		ssize_t n =
			send(client, bytes, BG_MIN(sizeof(bytes), MUCH - to_service), MSG_NOSIGNAL);

		to_service += (size_t)BG_MAX(n, 0);
		n = send(service, bytes, BG_MIN(sizeof(bytes), MUCH - to_client), MSG_NOSIGNAL);
		to_client += (size_t)BG_MAX(n, 0);
		n = recv(service, bytes, sizeof(bytes), 0);
		at_service += (size_t)BG_MAX(n, 0);
		n = recv(client, bytes, sizeof(bytes), 0);
		at_client += (size_t)BG_MAX(n, 0);
		spin_turn(f.loop);
	}
	CHECK_INT(f.ended, 0);
	close(client);
	SPIN(f.loop, recv(service, bytes, 1, 0) == 0);
	close(service);
	SPIN(f.loop, f.ended == 1);
	teardown();
}

TEST(several_at_once)
{
	int client[TUNNELS], service[TUNNELS];
	char word[2] = "a";

	setup();
	for (size_t i = 0; i < TUNNELS; i++)
		wait_in_guest(i);
	for (size_t i = 0; i < TUNNELS; i++) {
		client[i] = connect_to_host_vm();
		service[i] = accepted();
	}
	for (size_t i = 0; i < TUNNELS; i++) {
		word[0] = (char)('a' + i);
		CHECK_INT(send(client[i], word, 1, 0), 1);
		expect(service[i], word, 1);
		CHECK_INT(send(service[i], word, 1, 0), 1);
		expect(client[i], word, 1);
	}
	for (size_t i = 0; i < TUNNELS; i++) {
		close(client[i]);
		close(service[i]);
	}
	SPIN(f.loop, f.ended == TUNNELS);
	teardown();
}

TEST(nobody_listens_here)
{
	int client;

	setup();
	wait_in_guest(0);
	f.service = bg_close(f.service);
	client = connect_to_host_vm();
	CHECK(client >= 0);
	SPIN(f.loop, f.ended == 1);
	SPIN(f.loop, recv(client, f.why, 1, 0) != -1 || errno != EAGAIN); /* ended or reset */
	close(client);
	teardown();
}

TEST(a_port_that_is_taken_there)
{
	uint16_t port = 0;
	_close_ int other = listen_on(BG_AGENT_HOST_ADDRESS, &port);
	char text[8];

	setup();
	snprintf(text, sizeof(text), "%u", port);
	f.port = port;
	expose(text);
	wait_in_guest(0);
	SPIN(f.loop, f.ended == 1);
	CHECK(strstr(f.why, "listens on port"));
	CHECK(other >= 0);
	teardown();
}

static bool can_connect(void)
{
	int fd = connect_to_host_vm();

	bg_close(fd);
	return fd >= 0;
}

TEST(what_is_taken_away_is_closed)
{
	setup();
	wait_in_guest(0);
	tunnel_free(TAKE_PTR(f.tunnels[0]));
	expose(NULL);
	SPIN(f.loop, !can_connect()); /* when the session has ended */
	teardown();
}

TEST(it_ends_with_the_conversation)
{
	int client, service;

	setup();
	wait_in_guest(0);
	client = connect_to_host_vm();
	service = accepted();
	wait_in_guest(1);
	guest_free(TAKE_PTR(f.guest));
	CHECK_INT(f.ended, 2);
	expect(service, "", 0);
	close(client);
	close(service);
	teardown();
}
