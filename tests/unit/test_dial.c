/* SPDX-License-Identifier: ISC */
/* worker/dial, dialer: what a network job gets from the process beside it, and what it does not get although it asks. */
#include "worker/dial.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

#include "common/seal.h"
#include "tests/lib/test.h"
#include "worker/dialer.h"

/* A server on the loopback, and a job whose user named `server`. */
static int start(const char *key, const char *server, struct sockaddr_in *ret)
{
	_json_ json_t *params = json_pack("{s:s}", key, server);
	socklen_t len = sizeof(*ret);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (BG_SANITIZED)
		test_skip("there is no dialer under the address sanitizer");
	*ret = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	CHECK_INT(bind(fd, (const struct sockaddr *)ret, len), 0);
	CHECK_INT(listen(fd, 8), 0);
	CHECK_INT(getsockname(fd, (struct sockaddr *)ret, &len), 0);
	CHECK_INT(dialer_start(params, 60, NULL), 0);
	CHECK(dial_is_elsewhere());
	return fd;
}

static int dial(const struct sockaddr_in *to, int type)
{
	return dial_to((const struct sockaddr *)to, sizeof(*to), type, 0);
}

static void expect_connected(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int error = -1;
	socklen_t len = sizeof(error);

	CHECK(fd >= 0);
	CHECK_INT(poll(&p, 1, 30000), 1);
	CHECK_INT(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
	CHECK_INT(error, 0);
	CHECK_INT(write(fd, "x", 1), 1);
	close(fd);
}

TEST(what_the_user_named_is_reached)
{
	struct sockaddr_in here;
	_close_ int server = start("host", "localhost:5000", &here);
	int fd, client;
	char c = 0;

	fd = dial(&here, SOCK_STREAM);
	CHECK(fd >= 0);
	client = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	expect_connected(fd);
	CHECK_INT(read(client, &c, 1), 1);
	close(client);
}

TEST(nearer_is_refused_whatever_the_worker_says)
{
	struct sockaddr_in here;
	_close_ int server = start("url", "http://192.0.2.7/file", &here);
	struct addrinfo *list = NULL;

	CHECK(server >= 0);
	CHECK_INT(dial(&here, SOCK_STREAM), -EACCES);
	CHECK_INT(
		dial_names("127.0.0.1", "80", NULL, &list), 0); /* to look it up changes nothing */
	dial_free_names(list);
	CHECK_INT(dial(&here, SOCK_STREAM), -EACCES);
	here.sin_addr.s_addr = htonl(0x0a000001);
	CHECK_INT(dial(&here, SOCK_STREAM), -EACCES);
}

TEST(a_catalog_decides_not_the_file_that_it_names)
{
	_json_ json_t *params = json_pack("{s:s, s:s}", "url", "http://127.0.0.1/file", "after",
		"https://192.0.2.7/list.json");
	const struct sockaddr_in here = {.sin_family = AF_INET,
		.sin_port = htons(9),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	if (BG_SANITIZED)
		test_skip("there is no dialer under the address sanitizer");
	CHECK_INT(dialer_start(params, 60, NULL), 0);
	CHECK_INT(dial(&here, SOCK_STREAM), -EACCES);
}

TEST(only_connections)
{
	struct sockaddr_in here;
	_close_ int server = start("host", "127.0.0.1", &here);

	CHECK_INT(dial(&here, SOCK_DGRAM), -EINVAL);
	CHECK_INT(dial(&here, SOCK_RAW), -EINVAL);
	CHECK_INT(dial_to((const struct sockaddr *)&here, 1000, SOCK_STREAM, 0), -EINVAL);
	CHECK_INT(dial_to((const struct sockaddr *)&here, sizeof(here), SOCK_STREAM, IPPROTO_SCTP),
		-EINVAL);
	CHECK_INT(dial_to((const struct sockaddr *)&here, sizeof(here), SOCK_STREAM, IPPROTO_MPTCP),
		-EINVAL);
	close(server);
	server = dial(&here, SOCK_STREAM); /* nobody listens now */
	CHECK(server >= 0 || server == -ECONNREFUSED);
}

TEST(names)
{
	const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
	struct sockaddr_in here;
	_close_ int server = start("host", "localhost", &here);
	struct addrinfo *list = NULL;
	char long_name[2000];

	CHECK(server >= 0);
	CHECK_INT(dial_names("localhost", "443", &hints, &list), 0);
	CHECK_INT(list->ai_family, AF_INET);
	CHECK_INT(ntohs(((const struct sockaddr_in *)(const void *)list->ai_addr)->sin_port), 443);
	CHECK_INT(((const struct sockaddr_in *)(const void *)list->ai_addr)->sin_addr.s_addr,
		htonl(INADDR_LOOPBACK));
	dial_free_names(list);
	CHECK(dial_names("no host has this name.invalid", "443", &hints, &list) != 0);
	CHECK(!list);
	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	CHECK_INT(dial_names(long_name, "443", &hints, &list), EAI_NONAME);
}

static bool is_here(struct addrinfo *list)
{
	bool here = list && list->ai_family == AF_INET;

	dial_free_names(list);
	return here;
}

TEST(many_at_once)
{
	const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
	struct sockaddr_in here;
	_close_ int server = start("host", "localhost", &here);

	for (int i = 0; i < 50; i++) {
		struct addrinfo *list = NULL;

		expect_connected(dial(&here, SOCK_STREAM));
		close(accept4(server, NULL, NULL, SOCK_CLOEXEC));
		CHECK_INT(dial_names("127.0.0.1", "1", &hints, &list), 0);
		CHECK(is_here(list));
	}
}

TEST(who_asks_wrongly_is_not_answered)
{
	struct sockaddr_in here;
	_close_ int server = start("host", "localhost", &here);
	int pair[2];

	CHECK(server >= 0);
	CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	CHECK_INT(write(pair[0], "short", 5), 5);
	CHECK_INT(shutdown(pair[0], SHUT_WR), 0);
	dial_serve(pair[1]); /* comes back */
	close(pair[0]);
	close(pair[1]);
}
