/* SPDX-License-Identifier: ISC */
/* See process.h: datagrams, of both ends. */
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "daemon/store/process.h"

int store_send(int sock, const struct store_head *head, const json_t *body)
{
	_free_ char *text = body ? json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	struct iovec iov[2] = {{.iov_base = (void *)(uintptr_t)head, .iov_len = sizeof(*head)},
		{.iov_base = text, .iov_len = text ? strlen(text) : 0}};
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = 2};

	if (body && !text)
		return -ENOMEM;
	if (iov[1].iov_len > STORE_MESSAGE_MAX)
		return -EMSGSIZE;
	while (sendmsg(sock, &mh, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return errno == ECONNRESET ? -EPIPE : -errno;
	return 0;
}

int store_recv(int sock, struct store_head *head, json_t **ret)
{
	static char buf[STORE_MESSAGE_MAX];
	struct iovec iov[2] = {{.iov_base = head, .iov_len = sizeof(*head)},
		{.iov_base = buf, .iov_len = sizeof(buf)}};
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = 2};
	json_error_t error = {.line = 0};
	ssize_t n;

	do {
		n = recvmsg(sock, &mh, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n == 0 || errno == ECONNRESET ? -EPIPE : -errno;
	if ((size_t)n < sizeof(*head) || (mh.msg_flags & MSG_TRUNC))
		return -EBADMSG;
	*ret = NULL;
	if ((size_t)n == sizeof(*head))
		return 0;
	*ret = json_loadb(buf, (size_t)n - sizeof(*head), JSON_DECODE_ANY, &error);
	if (*ret)
		return 0;
	return json_error_code(&error) == json_error_out_of_memory ? -ENOMEM : -EBADMSG;
}
