/* SPDX-License-Identifier: ISC */
/* dns_impl.h: dns.c (who asks, and the zone) and dns_relay.c (what other servers are asked). */
#ifndef BG_DAEMON_DNS_DNS_IMPL_H
#define BG_DAEMON_DNS_DNS_IMPL_H

#include <netinet/in.h>
#include <sys/queue.h>

#include "daemon/dns/dns.h"
#include "daemon/dns/dns_msg.h"
#include "daemon/dns/dns_stream.h"

/* A connection of a guest's; what it asked elsewhere ends with it. */
struct dns_conn {
	TAILQ_ENTRY(dns_conn) link;
	struct dns *dns;
	struct dns_stream *stream;
	struct loop_source *timer;
	struct sockaddr_in client;
};
TAILQ_HEAD(dns_conns, dns_conn);

/* Where an answer goes. */
struct dns_asker {
	struct sockaddr_in client;
	struct dns_conn *conn; /* NULL: a datagram */
};

struct dns_query;
TAILQ_HEAD(dns_queries, dns_query);

struct dns {
	struct loop *loop;
	int udp, tcp;
	struct loop_source *udp_io, *tcp_io;
	char address[INET_ADDRSTRLEN];
	uint32_t net; /* first address of the guests' /24 */
	char *upstream;
	const char *resolv_conf;
	uint16_t port;
	unsigned first; /* which of the host's resolvers is asked */
	unsigned n_queries, n_conns;
	struct dns_queries queries;
	struct dns_conns conns;
	dns_lookup_fn lookup;
	dns_name_fn name;
	void *userdata;
};

/* What cannot be sent now is lost, as any datagram may be; a connection that does not read ends. */
void dns_answer(const struct dns *dns, const struct dns_asker *to, const void *packet, size_t len);

/* Asks a resolver of the host's, the same way as we were asked. What is not NOERROR is answered at once. */
enum dns_rcode dns_relay(struct dns *dns, const struct dns_question *q, const uint8_t *packet,
	size_t len, const struct dns_asker *asker);
/* Those of a connection; NULL: all. */
void dns_relay_drop(struct dns *dns, const struct dns_conn *conn);

#endif
