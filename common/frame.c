/* SPDX-License-Identifier: ISC */
/*
 * frame.c: One sendmsg, one recvmsg. What arrives with the wrong shape is closed before the caller
 * sees it.
 */
#include "common/frame.h"

#include <assert.h>
#include <sys/socket.h>
#include <sys/uio.h>

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(sizeof(int) * BG_FRAME_FDS_MAX)];
};

int bg_frame_send(int sock, const void *buf, size_t len, const int *fds, size_t nfds)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	union control control = {0};
	ssize_t n;

	assert(len > 0 && nfds <= BG_FRAME_FDS_MAX);
	if (nfds > 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}
	do
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	return (size_t)n == len ? 0 : -EMSGSIZE;
}

/* Collects every descriptor there is, so that an error can close them all. */
static int take_fds(struct msghdr *msg, int *fds, size_t *nfds)
{
	int r = 0;

	*nfds = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t bytes = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
			r = -EBADMSG;
			continue;
		}
		assert(*nfds + bytes / sizeof(int) <= BG_FRAME_FDS_MAX);
		memcpy(fds + *nfds, CMSG_DATA(c), bytes);
		*nfds += bytes / sizeof(int);
	}
	return r;
}

static int check(const struct msghdr *msg, ssize_t n, size_t nfds, size_t max_fds)
{
	if (msg->msg_flags & MSG_TRUNC)
		return -EMSGSIZE;
	if ((msg->msg_flags & MSG_CTRUNC) || nfds > max_fds)
		return -EBADMSG;
	return n == 0 ? -EPIPE : 0;
}

/*
 * A peer that closes with our message unread makes one ECONNRESET here, ahead of what it
 * sent before: that is still to be read.
 */
static ssize_t receive(int sock, struct msghdr *msg)
{
	bool reset = false;

	for (;;) {
		ssize_t n = recvmsg(sock, msg, MSG_CMSG_CLOEXEC);

		if (n >= 0)
			return n;
		if (errno == ECONNRESET && !reset)
			reset = true;
		else if (errno != EINTR)
			return errno == ECONNRESET ? -EPIPE : -errno;
	}
}

int bg_frame_recv(int sock, void *buf, size_t size, size_t *ret_len, int *fds, size_t max_fds,
	size_t *ret_nfds)
{
	struct iovec iov = {.iov_base = buf, .iov_len = size};
	union control control = {0};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf)};
	int all[BG_FRAME_FDS_MAX];
	size_t nfds;
	ssize_t n;
	int r;

	assert(max_fds <= BG_FRAME_FDS_MAX);
	n = receive(sock, &msg);
	if (n < 0)
		return (int)n;
	r = take_fds(&msg, all, &nfds);
	if (r >= 0)
		r = check(&msg, n, nfds, max_fds);
	if (r < 0) {
		for (size_t i = 0; i < nfds; i++)
			bg_close(all[i]);
		return r;
	}
	if (nfds > 0)
		memcpy(fds, all, nfds * sizeof(int));
	*ret_nfds = nfds;
	*ret_len = (size_t)n;
	return 0;
}
