/* SPDX-License-Identifier: ISC */
/*
 * verb_dns.c: where bangerd answers for the gateway's port 53. It binds two sockets of its own, as any
 * process may; what is granted is a redirect in this uid's rules. A duplicate of each is kept, so that
 * the ports are nobody else's while the redirect stands; both go with this process.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "privhelper/session.h"

/* The dynamic ports, where no service of the host waits. */
enum { PORT_MIN = 49152 };

static bool option_is(int fd, int option, int value)
{
	socklen_t len = sizeof(int);
	int v = -1;

	return getsockopt(fd, SOL_SOCKET, option, &v, &len) == 0 && v == value;
}

/* Its port; 0: not one of that protocol, at this gateway and no other address, in this network and not in one that its owner made. */
static unsigned port_of(const struct session *s, int fd, int protocol, bool listens)
{
	const uint32_t gateway = policy_gateway(&s->policy, s->ledger.index);
	const uint64_t netns = netlink_netns(fd);
	struct sockaddr_in own = {0};
	socklen_t len = sizeof(own);

	if (netns == 0 || netns != s->ledger.netns || !option_is(fd, SO_DOMAIN, AF_INET) ||
		!option_is(fd, SO_PROTOCOL, protocol) || !option_is(fd, SO_ACCEPTCONN, listens) ||
		getsockname(fd, (struct sockaddr *)&own, &len) < 0 || len != sizeof(own) ||
		ntohl(own.sin_addr.s_addr) != gateway || ntohs(own.sin_port) < PORT_MIN)
		return 0;
	return ntohs(own.sin_port);
}

static enum priv_code keep(struct session *s, const int *fds, const unsigned *ports)
{
	int r;

	for (unsigned i = 0; i < ARRAY_SIZE(s->dns.fds); i++) {
		bg_close(s->dns.fds[i]);
		s->dns.ports[i] = ports[i];
		s->dns.fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
		if (s->dns.fds[i] < 0)
			return PRIV_CODE_FAILED;
	}
	s->rules.valid = false;
	r = session_rules(s);
	return r < 0 ? session_rules_code(r) : PRIV_CODE_OK;
}

enum priv_code answer_dns_port(struct session *s, const struct priv_req *req, struct priv_rep *rep)
{
	const unsigned ports[] = {port_of(s, req->fds[0], IPPROTO_UDP, false),
		port_of(s, req->fds[1], IPPROTO_TCP, true)};

	(void)rep;
	if (!ports[0] || !ports[1])
		return PRIV_CODE_SOCKETS;
	return keep(s, req->fds, ports);
}
