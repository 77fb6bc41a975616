/* SPDX-License-Identifier: ISC */
/* See dns.h. Who asks, by datagram or connection, and the zone; what is not ours is dns_relay.c's. */
#include <arpa/inet.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/socket.h>

#include "common/log.h"
#include "daemon/dns/dns_impl.h"

enum {
	PACKETS_PER_TURN = 32,
	CONNS_MAX = 32, /* of all guests; more wait in the listening socket */
	CONNS_EACH = 8,
	CONN_USEC = 15000000, /* without a question */
	BACKLOG = 16,
	DNS_PORT = 53,
	PORT_MIN = 49152, /* what the helper redirects to: the dynamic ports */
	PORT_TRIES = 64,
};

static void conn_free(struct dns_conn *conn)
{
	dns_relay_drop(conn->dns, conn);
	TAILQ_REMOVE(&conn->dns->conns, conn, link);
	conn->dns->n_conns--;
	(void)loop_source_set_events(conn->dns->tcp_io, LOOP_READ);
	loop_source_free(conn->timer);
	dns_stream_free(conn->stream);
	free(conn);
}

static void on_conn_end(void *userdata)
{
	conn_free(userdata);
}

/* Anew with each question and answer. */
static int watch_conn(struct dns_conn *conn)
{
	loop_source_free(TAKE_PTR(conn->timer));
	return loop_add_timer(
		conn->dns->loop, "dns idle", CONN_USEC, on_conn_end, conn, &conn->timer);
}

void dns_answer(const struct dns *dns, const struct dns_asker *to, const void *packet, size_t len)
{
	if (!to->conn)
		(void)sendto(dns->udp, packet, len, MSG_DONTWAIT,
			(const struct sockaddr *)&to->client, sizeof(to->client));
	else if (dns_stream_send(to->conn->stream, packet, len) < 0 || watch_conn(to->conn) < 0)
		conn_free(to->conn);
}

static void zone(struct dns *dns, const struct dns_question *q, const char *name,
	const uint8_t *packet, const struct dns_asker *asker)
{
	uint8_t out[DNS_REPLY_MAX];
	bool exists = false;
	uint32_t address = *name ? dns->lookup(name, &exists, dns->userdata) : 0;

	dns_answer(dns, asker, out, dns_reply_zone(q, packet, exists, address, out));
}

static bool in_net(const struct dns *dns, uint32_t address)
{
	return (address & 0xffffff00) == dns->net;
}

/* Of the guests' own addresses; what is asked of others is nobody's business but a resolver's. */
static bool reverse(struct dns *dns, const struct dns_question *q, const uint8_t *packet,
	const struct dns_asker *asker)
{
	uint8_t out[DNS_REPLY_MAX];
	uint32_t address;

	if (q->class != DNS_CLASS_IN || !dns_reverse_name(q, &address) || !in_net(dns, address))
		return false;
	dns_answer(dns, asker, out,
		dns_reply_reverse(q, packet, dns->name(address, dns->userdata), out));
	return true;
}

/* For guests only: this host has resolvers of its own. */
static enum dns_rcode forward(struct dns *dns, const struct dns_question *q, const uint8_t *packet,
	size_t len, const struct dns_asker *asker)
{
	return in_net(dns, ntohl(asker->client.sin_addr.s_addr))
		       ? dns_relay(dns, q, packet, len, asker)
		       : DNS_REFUSED;
}

static void on_query(
	struct dns *dns, const uint8_t *packet, size_t len, const struct dns_asker *asker)
{
	char buf[DNS_NAME_MAX];
	uint8_t out[DNS_REPLY_MAX];
	enum dns_rcode rcode = DNS_NOTIMP;
	struct dns_question q;
	const char *name;
	int r = dns_parse(packet, len, &q);

	if (r == -EBADMSG)
		return;
	name = r < 0 ? NULL : dns_vm_name(&q, buf);
	if (name && q.class == DNS_CLASS_IN) {
		zone(dns, &q, name, packet, asker);
		return;
	}
	if (r >= 0 && !name && reverse(dns, &q, packet, asker))
		return;
	if (r >= 0)
		rcode = name ? DNS_REFUSED : forward(dns, &q, packet, len, asker);
	if (rcode != DNS_NOERROR)
		dns_answer(dns, asker, out, dns_reply_code(&q, packet, rcode, out));
}

/* Guests, and this host's processes: those of other hosts come by no rule, and get nothing between two. */
static bool serves(const struct dns *dns, const struct sockaddr_in *client)
{
	uint32_t address = ntohl(client->sin_addr.s_addr);

	return client->sin_family == AF_INET &&
	       (in_net(dns, address) || address >> 24 == IN_LOOPBACKNET);
}

static void on_packet(int fd, unsigned events, void *userdata)
{
	struct dns *dns = userdata;

	(void)events;
	for (unsigned i = 0; i < PACKETS_PER_TURN; i++) {
		uint8_t packet[DNS_PACKET_MAX];
		struct dns_asker asker = {.conn = NULL};
		socklen_t len = sizeof(asker.client);
		ssize_t n = recvfrom(fd, packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC,
			(struct sockaddr *)&asker.client, &len);

		if (n < 0)
			return;
		if ((size_t)n <= sizeof(packet) && serves(dns, &asker.client))
			on_query(dns, packet, (size_t)n, &asker);
	}
}

static void on_message(const uint8_t *packet, size_t len, void *userdata)
{
	struct dns_conn *conn = userdata;
	const struct dns_asker asker = {.client = conn->client, .conn = conn};

	if (watch_conn(conn) < 0)
		conn_free(conn);
	else
		on_query(conn->dns, packet, len, &asker);
}

static unsigned conns_of(const struct dns *dns, const struct sockaddr_in *client)
{
	const struct dns_conn *conn;
	unsigned n = 0;

	TAILQ_FOREACH (conn, &dns->conns, link)
		n += conn->client.sin_addr.s_addr == client->sin_addr.s_addr;
	return n;
}

static void conn_new(struct dns *dns, int sock, const struct sockaddr_in *client)
{
	struct dns_conn *conn = calloc(1, sizeof(*conn));

	if (!conn ||
		dns_stream_new(dns->loop, sock, on_message, on_conn_end, conn, &conn->stream) < 0) {
		if (!conn)
			bg_close(sock);
		free(conn);
		return;
	}
	conn->dns = dns;
	conn->client = *client;
	TAILQ_INSERT_TAIL(&dns->conns, conn, link);
	dns->n_conns++;
	if (watch_conn(conn) < 0)
		conn_free(conn);
}

static void on_connection(int fd, unsigned events, void *userdata)
{
	struct dns *dns = userdata;

	(void)events;
	while (dns->n_conns < CONNS_MAX) {
		struct sockaddr_in client;
		socklen_t len = sizeof(client);
		int sock =
			accept4(fd, (struct sockaddr *)&client, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (sock < 0)
			return;
		if (!serves(dns, &client) || conns_of(dns, &client) >= CONNS_EACH)
			bg_close(sock);
		else
			conn_new(dns, sock, &client);
	}
	(void)loop_source_set_events(dns->tcp_io, 0);
}

/* ---- its sockets ---- */

/* IP_FREEBIND: the address is there only while a tap is. */
static int bind_one(int type, uint32_t address, unsigned port)
{
	const struct sockaddr_in own = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(address)};
	const int on = 1;
	_close_ int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)) < 0 ||
		bind(fd, (const struct sockaddr *)&own, sizeof(own)) < 0 ||
		(type == SOCK_STREAM && listen(fd, BACKLOG) < 0))
		return -errno;
	return TAKE_FD(fd);
}

/* A dynamic port that nobody has. */
static int bind_somewhere(int type, uint32_t address)
{
	int r = -EADDRINUSE;

	for (unsigned i = 0; i < PORT_TRIES && r == -EADDRINUSE; i++)
		r = bind_one(
			type, address, PORT_MIN + randombytes_uniform(UINT16_MAX + 1 - PORT_MIN));
	return r;
}

static int setup(struct dns *dns, const char *address, const char *upstream)
{
	struct in_addr own;
	int r;

	if (inet_pton(AF_INET, address, &own) != 1)
		return -EINVAL;
	dns->net = ntohl(own.s_addr) & 0xffffff00;
	(void)snprintf(dns->address, sizeof(dns->address), "%s", address);
	dns->upstream = strdup(upstream);
	if (!dns->upstream)
		return -ENOMEM;
	dns->udp = bind_somewhere(SOCK_DGRAM, ntohl(own.s_addr));
	dns->tcp = dns->udp < 0 ? -1 : bind_somewhere(SOCK_STREAM, ntohl(own.s_addr));
	if (dns->udp < 0 || dns->tcp < 0)
		return dns->udp < 0 ? dns->udp : dns->tcp;
	r = loop_add_fd(dns->loop, "dns", dns->udp, LOOP_READ, on_packet, dns, &dns->udp_io);
	return r < 0 ? r
		     : loop_add_fd(dns->loop, "dns connection", dns->tcp, LOOP_READ, on_connection,
			       dns, &dns->tcp_io);
}

int dns_new(struct loop *loop, const char *address, const char *upstream, dns_lookup_fn lookup,
	dns_name_fn name, void *userdata, struct dns **ret, struct bg_err **err)
{
	struct dns *dns = calloc(1, sizeof(*dns));
	int r;

	if (!dns)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	*dns = (struct dns){.loop = loop,
		.udp = -1,
		.tcp = -1,
		.resolv_conf = "/etc/resolv.conf",
		.port = DNS_PORT,
		.lookup = lookup,
		.name = name,
		.userdata = userdata};
	TAILQ_INIT(&dns->queries);
	TAILQ_INIT(&dns->conns);
	r = setup(dns, address, upstream);
	if (r < 0) {
		dns_free(dns);
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "the name server at %s", address);
	}
	*ret = dns;
	return 0;
}

const char *dns_address(const struct dns *dns)
{
	return dns->address;
}

void dns_sockets(const struct dns *dns, int *ret_udp, int *ret_tcp)
{
	*ret_udp = dns->udp;
	*ret_tcp = dns->tcp;
}

void dns_set_upstream(struct dns *dns, const char *resolv_conf, uint16_t port)
{
	dns->resolv_conf = resolv_conf;
	dns->port = port;
}

void dns_free(struct dns *dns)
{
	struct dns_conn *conn;

	if (!dns)
		return;
	dns_relay_drop(dns, NULL);
	while ((conn = TAILQ_FIRST(&dns->conns)))
		conn_free(conn);
	loop_source_free(dns->udp_io);
	loop_source_free(dns->tcp_io);
	bg_close(dns->udp);
	bg_close(dns->tcp);
	free(dns->upstream);
	free(dns);
}
