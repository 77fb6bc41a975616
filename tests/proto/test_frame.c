/* SPDX-License-Identifier: ISC */
/* bg_frame_send and bg_frame_recv over a real socketpair; no descriptor may be left over after an
 * error. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "common/frame.h"
#include "tests/lib/test.h"

static int a, b;

static void pair(void)
{
	int sv[2];

	CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
	a = sv[0];
	b = sv[1];
}

static int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	CHECK(dir != NULL);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int receive(size_t size, size_t max_fds, int *fds, size_t *nfds)
{
	char buf[64];
	size_t len;

	return bg_frame_recv(b, buf, size, &len, fds, max_fds, nfds);
}

TEST(round_trip)
{
	int in[2], out[BG_FRAME_FDS_MAX];
	char buf[8];
	size_t len, n;

	pair();
	in[0] = in[1] = a;
	CHECK_INT(bg_frame_send(a, "hello", 5, in, 2), 0);
	CHECK_INT(bg_frame_recv(b, buf, sizeof(buf), &len, out, 2, &n), 0);
	CHECK_INT(len, 5);
	CHECK(memcmp(buf, "hello", 5) == 0);
	CHECK_INT(n, 2);
	CHECK(fcntl(out[0], F_GETFD) & FD_CLOEXEC);
	CHECK(fcntl(out[1], F_GETFD) & FD_CLOEXEC);
}

TEST(exact_size_fits)
{
	int fds[1];
	size_t n;

	pair();
	CHECK_INT(bg_frame_send(a, "12345678", 8, NULL, 0), 0);
	CHECK_INT(receive(8, 0, fds, &n), 0);
	CHECK_INT(n, 0);
}

TEST(too_long)
{
	int fds[BG_FRAME_FDS_MAX], before;
	size_t n;

	pair();
	before = open_fds();
	CHECK_INT(bg_frame_send(a, "123456789", 9, &a, 1), 0);
	CHECK_INT(receive(8, 4, fds, &n), -EMSGSIZE);
	CHECK_INT(open_fds(), before);
}

TEST(too_many_fds)
{
	int many[BG_FRAME_FDS_MAX], fds[BG_FRAME_FDS_MAX], before;
	size_t n;

	pair();
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = a;
	before = open_fds();
	for (size_t count = 1; count <= ARRAY_SIZE(many); count++) {
		CHECK_INT(bg_frame_send(a, "x", 1, many, count), 0);
		CHECK_INT(receive(8, count - 1, fds, &n), -EBADMSG);
		CHECK_INT(open_fds(), before);
	}
}

/* More than the control buffer holds: the kernel cuts them off and says so. */
TEST(control_cut_short)
{
	enum { MANY = 200 };
	int many[MANY], fds[BG_FRAME_FDS_MAX], before;
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(many))];
	} control = {0};
	struct iovec iov = {.iov_base = (char[]){"x"}, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	size_t n;

	pair();
	before = open_fds();
	for (size_t i = 0; i < MANY; i++)
		many[i] = a;
	*c = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
		.cmsg_len = CMSG_LEN(sizeof(many))};
	memcpy(CMSG_DATA(c), many, sizeof(many));
	CHECK_INT(sendmsg(a, &msg, 0), 1);
	CHECK_INT(receive(8, BG_FRAME_FDS_MAX, fds, &n), -EBADMSG);
	CHECK_INT(open_fds(), before);
}

TEST(other_control_message)
{
	int on = 1, fds[4];
	size_t n;

	pair();
	CHECK_INT(setsockopt(b, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
	CHECK_INT(bg_frame_send(a, "x", 1, NULL, 0), 0);
	CHECK_INT(receive(8, 4, fds, &n), -EBADMSG);
}

TEST(empty_and_end)
{
	int fds[4];
	size_t n;

	pair();
	CHECK_INT(receive(8, 4, fds, &n), -EAGAIN);
	CHECK_INT(close(a), 0);
	CHECK_INT(receive(8, 4, fds, &n), -EPIPE);
	CHECK_INT(bg_frame_send(b, "x", 1, NULL, 0), -EPIPE);
}

/* The last words of a peer that did not read ours. */
TEST(last_words)
{
	int fds[4];
	size_t n;

	pair();
	CHECK_INT(bg_frame_send(b, "request", 7, NULL, 0), 0);
	CHECK_INT(bg_frame_send(a, "refusal", 7, NULL, 0), 0);
	CHECK_INT(close(a), 0);
	CHECK_INT(receive(8, 4, fds, &n), 0);
	CHECK_INT(receive(8, 4, fds, &n), -EPIPE);
}
