/* SPDX-License-Identifier: ISC */
/*
 * peer.c: Asks the kernel's sock_diag for the socket whose addresses are ours turned round; its
 * uid is the answer.
 */
#include "daemon/web/peer.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/base.h"

struct ask {
	struct nlmsghdr head;
	struct inet_diag_req_v2 req;
};

/* The peer's socket: its own address is our peer's, and we are whom it talks to. */
static int fill(int fd, struct ask *ask)
{
	struct sockaddr_in own = {0}, peer = {0};
	socklen_t own_len = sizeof(own), peer_len = sizeof(peer);

	if (getsockname(fd, (struct sockaddr *)&own, &own_len) < 0 ||
		getpeername(fd, (struct sockaddr *)&peer, &peer_len) < 0)
		return -errno;
	if (own.sin_family != AF_INET || peer.sin_family != AF_INET)
		return -EAFNOSUPPORT;
	*ask = (struct ask){
		.head = {.nlmsg_len = sizeof(*ask),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST},
		.req = {.sdiag_family = AF_INET,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = ~0u},
	};
	ask->req.id.idiag_sport = peer.sin_port;
	ask->req.id.idiag_dport = own.sin_port;
	ask->req.id.idiag_src[0] = peer.sin_addr.s_addr;
	ask->req.id.idiag_dst[0] = own.sin_addr.s_addr;
	ask->req.id.idiag_cookie[0] = ask->req.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	return 0;
}

/* The kernel answers within the send: what is not there at once does not come. */
static int exchange(const struct ask *ask, struct inet_diag_msg *ret)
{
	_close_ int nl =
		socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
	struct {
		struct nlmsghdr head;
		struct inet_diag_msg msg;
		char rest[512];
	} answer;
	ssize_t n;

	if (nl < 0 || send(nl, ask, sizeof(*ask), MSG_NOSIGNAL) < 0)
		return -errno;
	n = recv(nl, &answer, sizeof(answer), 0);
	if (n < (ssize_t)(sizeof(answer.head) + sizeof(answer.msg)) ||
		answer.head.nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return -EACCES;
	*ret = answer.msg;
	return 0;
}

int peer_uid(int fd, uid_t *ret)
{
	struct inet_diag_msg msg = {0};
	struct ask ask;
	int r = fill(fd, &ask);

	if (r >= 0)
		r = exchange(&ask, &msg);
	if (r < 0)
		return r;
	if (msg.idiag_inode == 0 || msg.id.idiag_sport != ask.req.id.idiag_sport ||
		msg.id.idiag_dport != ask.req.id.idiag_dport)
		return -EACCES;
	*ret = msg.idiag_uid;
	return 0;
}
