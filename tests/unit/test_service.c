/* SPDX-License-Identifier: ISC */
/* What a service manager hands over (daemon/service.h), and what it hears (common/notify.h). */
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/fd.h"
#include "common/notify.h"
#include "daemon/service.h"
#include "tests/lib/test.h"

enum { FIRST_FD = 3 };

static int bind_to(const char *path, int type, socklen_t len)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path + (path[0] == '@'), path + (path[0] == '@'));
	if (path[0] != '@')
		(void)unlink(path);
	CHECK_INT(bind(fd, (struct sockaddr *)&addr, len ? len : (socklen_t)sizeof(addr)), 0);
	return fd;
}

static void set_number(const char *name, long n)
{
	char text[24];

	snprintf(text, sizeof(text), "%ld", n);
	setenv(name, text, 1);
}

/* As an exec by the manager would leave them. */
static void hand_over(int fd, unsigned n, pid_t pid)
{
	CHECK(dup2(fd, FIRST_FD) == FIRST_FD);
	set_number("LISTEN_FDS", (long)n);
	set_number("LISTEN_PID", (long)pid);
	setenv("LISTEN_FDNAMES", "bangerd.socket", 1);
}

static struct bg_paths paths_at(char *socket)
{
	return (struct bg_paths){.socket = socket};
}

TEST(the_socket_at_our_place_is_taken)
{
	_free_ char *path = NULL;
	struct bound_socket bound = {0};
	struct bg_paths paths;
	int fd;

	CHECK(asprintf(&path, "%s/ours.sock", test_tmpdir()) > 0);
	paths = paths_at(path);
	fd = bind_to(path, SOCK_STREAM, 0);
	CHECK_INT(listen(fd, 1), 0);
	hand_over(fd, 1, getpid());
	service_init(true);
	CHECK(!getenv("LISTEN_FDS") && !getenv("LISTEN_PID") && !getenv("LISTEN_FDNAMES"));
	CHECK_INT(service_listen(&paths, &bound), FIRST_FD);
	CHECK(bound.inherited && boot_bound(&paths, &bound));
	CHECK((fcntl(FIRST_FD, F_GETFL) & O_NONBLOCK) && (fcntl(FIRST_FD, F_GETFD) & FD_CLOEXEC));
	boot_unlisten(&paths, &bound);
	CHECK_INT(access(path, F_OK), 0); /* the manager listens there on */
	CHECK_INT(unlink(path), 0);
	CHECK(!boot_bound(&paths, &bound));
	close(FIRST_FD);
	close(fd);
}

/* Elsewhere, not listening, of another kind: closed, and the daemon makes its own. */
TEST(any_other_is_closed)
{
	_free_ char *path = NULL, *other = NULL;
	struct bound_socket bound = {0};
	struct bg_paths paths;

	CHECK(asprintf(&path, "%s/ours.sock", test_tmpdir()) > 0);
	CHECK(asprintf(&other, "%s/other.sock", test_tmpdir()) > 0);
	paths = paths_at(path);
	for (int i = 0; i < 3; i++) {
		int fd = bind_to(i == 0 ? other : path, i == 1 ? SOCK_DGRAM : SOCK_STREAM, 0);

		if (i == 0)
			CHECK_INT(listen(fd, 1), 0);
		hand_over(fd, 1, getpid());
		service_init(true);
		CHECK_INT(service_listen(&paths, &bound), -1);
		CHECK(fcntl(FIRST_FD, F_GETFD) < 0);
		close(fd);
	}
}

/* A command's child inside of a service: what is there is that one's. */
TEST(what_is_for_another_process_is_left_alone)
{
	_free_ char *path = NULL;
	struct bound_socket bound = {0};
	struct bg_paths paths;
	int fd;

	CHECK(asprintf(&path, "%s/ours.sock", test_tmpdir()) > 0);
	paths = paths_at(path);
	fd = bind_to(path, SOCK_STREAM, 0);
	CHECK_INT(listen(fd, 1), 0);
	hand_over(fd, 1, getpid() + 1);
	service_init(true);
	CHECK_INT(service_listen(&paths, &bound), -1);
	CHECK(fcntl(FIRST_FD, F_GETFD) >= 0);
	hand_over(fd, 1, getpid());
	service_init(false);
	CHECK_INT(service_listen(&paths, &bound), -1);
	CHECK(fcntl(FIRST_FD, F_GETFD) >= 0);
	close(FIRST_FD);
	close(fd);
}

static void expect_words(int fd, const char *wanted)
{
	char text[64] = "";

	CHECK(recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT) >= 0);
	CHECK_STR(text, wanted);
}

TEST(words_reach_the_manager)
{
	_free_ char *path = NULL;
	char abstract[64];
	int fd;

	CHECK(asprintf(&path, "%s/notify", test_tmpdir()) > 0);
	fd = bind_to(path, SOCK_DGRAM, 0);
	CHECK_INT(bg_notify(path, "READY=1\nSTATUS=serving"), 0);
	expect_words(fd, "READY=1\nSTATUS=serving");
	close(fd);
	snprintf(abstract, sizeof(abstract), "@banger-test-%d", (int)getpid());
	fd = bind_to(abstract, SOCK_DGRAM,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(abstract)));
	CHECK_INT(bg_notify(abstract, "STOPPING=1"), 0);
	expect_words(fd, "STOPPING=1");
	close(fd);
	CHECK_INT(bg_notify(NULL, "READY=1"), 0);
	CHECK_INT(bg_notify("relative", "READY=1"), -EINVAL);
	CHECK_INT(bg_notify("/nobody/there", "READY=1"), -ENOENT);
}

TEST(the_watchdog_hears_only_where_it_waits)
{
	_free_ char *path = NULL;
	char none;
	int fd;

	CHECK(asprintf(&path, "%s/notify", test_tmpdir()) > 0);
	fd = bind_to(path, SOCK_DGRAM, 0);
	setenv("NOTIFY_SOCKET", path, 1);
	service_init(true);
	service_alive();
	CHECK(recv(fd, &none, 1, MSG_DONTWAIT) < 0);
	setenv("NOTIFY_SOCKET", path, 1);
	setenv("WATCHDOG_USEC", "1000000", 1);
	set_number("WATCHDOG_PID", (long)getpid());
	service_init(true);
	CHECK(!getenv("NOTIFY_SOCKET") && !getenv("WATCHDOG_USEC"));
	service_alive();
	expect_words(fd, "WATCHDOG=1");
	close(fd);
}
