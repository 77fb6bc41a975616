/* SPDX-License-Identifier: ISC */
/*
 * verb_dns.c: a socket for the name server of this uid's guests. The address exists only while a
 * tap of the uid does, and bangerd wants the socket once: IP_FREEBIND binds it before. That is safe
 * because the address is derived, not asked for: it is this uid's, now or later, and until it
 * exists nothing arrives.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "privhelper/session.h"

enum { DNS_PORT = 53 };

static int bind_gateway(uint32_t gateway)
{
	const struct sockaddr_in local = {.sin_family = AF_INET,
		.sin_port = htons(DNS_PORT),
		.sin_addr.s_addr = htonl(gateway)};
	const int on = 1;
	_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)) < 0 ||
		bind(fd, (const struct sockaddr *)&local, sizeof(local)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

enum priv_code answer_dns_bind(struct session *s, const struct priv_req *req, struct priv_rep *rep)
{
	uint32_t gateway = policy_gateway(&s->policy, s->ledger.index);
	int fd = bind_gateway(gateway);

	(void)req;
	if (fd < 0)
		return fd == -EADDRINUSE ? PRIV_CODE_PORT_TAKEN : PRIV_CODE_FAILED;
	rep->dns_bind.gateway = gateway;
	rep->fds[0] = fd;
	return PRIV_CODE_OK;
}
