/* SPDX-License-Identifier: ISC */
#include "daemon/dns/dns.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sodium.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "common/fd.h"
#include "common/log.h"
#include "daemon/dns/dns_msg.h"

enum {
	RELAYS_MAX = 64,      /* forwarded at one time; the guest's resolver asks again */
	RELAY_USEC = 4000000, /* then the next resolver of the host gets the next question */
	PACKETS_PER_TURN = 32,
	RESOLV_CONF_MAX = 16384,
	RESOLVERS_MAX = 3, /* as resolv.conf(5) has it */
	DNS_PORT = 53,
};

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* One forwarded question: a socket of its own, so that its port is as hard to guess as its number.
 */
struct relay {
	TAILQ_ENTRY(relay) link;
	struct dns *dns;
	int sock;
	struct loop_source *io, *timer;
	struct sockaddr_in client;
	uint16_t id, client_id;
};
TAILQ_HEAD(relays, relay);

struct dns {
	struct loop *loop;
	int sock;
	struct loop_source *io;
	char address[INET_ADDRSTRLEN];
	uint32_t net; /* first address of the guests' /24 */
	char *upstream;
	const char *resolv_conf;
	uint16_t port;
	unsigned first; /* which of the host's resolvers is asked */
	unsigned n_relays;
	struct relays relays;
	dns_lookup_fn lookup;
	dns_name_fn name;
	void *userdata;
};

static void relay_free(struct relay *relay)
{
	TAILQ_REMOVE(&relay->dns->relays, relay, link);
	relay->dns->n_relays--;
	loop_source_free(relay->io);
	loop_source_free(relay->timer);
	bg_close(relay->sock);
	free(relay);
}

/* What cannot be sent now is lost, as any datagram may be. */
static void reply(
	const struct dns *dns, const struct sockaddr_in *to, const void *packet, size_t len)
{
	(void)sendto(
		dns->sock, packet, len, MSG_DONTWAIT, (const struct sockaddr *)to, sizeof(*to));
}

static bool take_address(const char *text, uint16_t port, union address *ret)
{
	*ret = (union address){0};
	if (inet_pton(AF_INET, text, &ret->in.sin_addr) == 1) {
		ret->in.sin_family = AF_INET;
		ret->in.sin_port = htons(port);
		return true;
	}
	if (inet_pton(AF_INET6, text, &ret->in6.sin6_addr) == 1) {
		ret->in6.sin6_family = AF_INET6;
		ret->in6.sin6_port = htons(port);
		return true;
	}
	return false;
}

/* The file is small and local, and changes with the network: it is read for each question. */
static unsigned system_resolvers(const struct dns *dns, union address ret[RESOLVERS_MAX])
{
	_free_ char *text = NULL;
	char *line, *at = NULL;
	unsigned n = 0;

	if (bg_read_file_at(AT_FDCWD, dns->resolv_conf, RESOLV_CONF_MAX, &text, NULL) < 0)
		return 0;
	for (line = strtok_r(text, "\n", &at); line && n < RESOLVERS_MAX;
		line = strtok_r(NULL, "\n", &at)) {
		char *word = NULL, *key = strtok_r(line, " \t\r", &word);
		const char *value = strtok_r(NULL, " \t\r", &word);

		if (value && bg_streq(key, "nameserver") && take_address(value, dns->port, &ret[n]))
			n++;
	}
	return n;
}

static bool pick_resolver(const struct dns *dns, union address *ret)
{
	union address all[RESOLVERS_MAX];
	unsigned n;

	if (!bg_streq(dns->upstream, "system"))
		return take_address(dns->upstream, dns->port, ret);
	n = system_resolvers(dns, all);
	if (n > 0)
		*ret = all[dns->first % n];
	return n > 0;
}

static void on_relay_late(void *userdata)
{
	struct relay *relay = userdata;

	relay->dns->first++;
	relay_free(relay);
}

static void on_relay(int fd, unsigned events, void *userdata)
{
	struct relay *relay = userdata;
	uint8_t packet[DNS_PACKET_MAX];
	ssize_t n = recv(fd, packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n >= 0 && (n < DNS_HEAD || (size_t)n > sizeof(packet) || !(packet[2] & 0x80) ||
			      packet[0] != relay->id >> 8 || packet[1] != (relay->id & 0xff)))
		return; /* not the answer: it may still come */
	if (n > 0) {
		packet[0] = (uint8_t)(relay->client_id >> 8);
		packet[1] = (uint8_t)relay->client_id;
		reply(relay->dns, &relay->client, packet, (size_t)n);
	} else {
		relay->dns->first++; /* nobody listens there */
	}
	relay_free(relay);
}

static int relay_start(
	struct relay *relay, const union address *to, const uint8_t *packet, size_t len)
{
	struct dns *dns = relay->dns;
	uint8_t copy[DNS_PACKET_MAX];
	int r;

	relay->sock = socket(to->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (relay->sock < 0 ||
		connect(relay->sock, &to->sa,
			to->sa.sa_family == AF_INET ? sizeof(to->in) : sizeof(to->in6)) < 0)
		return -errno;
	r = loop_add_fd(
		dns->loop, "dns relay", relay->sock, LOOP_READ, on_relay, relay, &relay->io);
	if (r >= 0)
		r = loop_add_timer(
			dns->loop, "dns late", RELAY_USEC, on_relay_late, relay, &relay->timer);
	if (r < 0)
		return r;
	relay->id = (uint16_t)randombytes_random();
	memcpy(copy, packet, len);
	copy[0] = (uint8_t)(relay->id >> 8);
	copy[1] = (uint8_t)relay->id;
	return send(relay->sock, copy, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static enum dns_rcode forward(struct dns *dns, const struct dns_question *q, const uint8_t *packet,
	size_t len, const struct sockaddr_in *client)
{
	struct relay *relay;
	union address to;

	if ((ntohl(client->sin_addr.s_addr) & 0xffffff00) != dns->net)
		return DNS_REFUSED;
	if (dns->n_relays >= RELAYS_MAX || !pick_resolver(dns, &to))
		return DNS_SERVFAIL;
	relay = calloc(1, sizeof(*relay));
	if (!relay)
		return DNS_SERVFAIL;
	*relay = (struct relay){.dns = dns, .sock = -1, .client = *client, .client_id = q->id};
	TAILQ_INSERT_TAIL(&dns->relays, relay, link);
	dns->n_relays++;
	if (relay_start(relay, &to, packet, len) >= 0)
		return DNS_NOERROR;
	dns->first++;
	relay_free(relay);
	return DNS_SERVFAIL;
}

static void zone(struct dns *dns, const struct dns_question *q, const char *name,
	const uint8_t *packet, const struct sockaddr_in *client)
{
	uint8_t out[DNS_REPLY_MAX];
	bool exists = false;
	uint32_t address = *name ? dns->lookup(name, &exists, dns->userdata) : 0;

	reply(dns, client, out, dns_reply_zone(q, packet, exists, address, out));
}

/* Of the guests' own addresses; what is asked of others is nobody's business but a resolver's. */
static bool reverse(struct dns *dns, const struct dns_question *q, const uint8_t *packet,
	const struct sockaddr_in *client)
{
	uint8_t out[DNS_REPLY_MAX];
	uint32_t address;

	if (q->class != DNS_CLASS_IN || !dns_reverse_name(q, &address) ||
		(address & 0xffffff00) != dns->net)
		return false;
	reply(dns, client, out,
		dns_reply_reverse(q, packet, dns->name(address, dns->userdata), out));
	return true;
}

static void on_query(
	struct dns *dns, const uint8_t *packet, size_t len, const struct sockaddr_in *client)
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
		zone(dns, &q, name, packet, client);
		return;
	}
	if (r >= 0 && !name && reverse(dns, &q, packet, client))
		return;
	if (r >= 0)
		rcode = name ? DNS_REFUSED : forward(dns, &q, packet, len, client);
	if (rcode != DNS_NOERROR)
		reply(dns, client, out, dns_reply_code(&q, packet, rcode, out));
}

static void on_packet(int fd, unsigned events, void *userdata)
{
	struct dns *dns = userdata;

	(void)events;
	for (unsigned i = 0; i < PACKETS_PER_TURN; i++) {
		uint8_t packet[DNS_PACKET_MAX];
		struct sockaddr_in client;
		socklen_t len = sizeof(client);
		ssize_t n = recvfrom(fd, packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC,
			(struct sockaddr *)&client, &len);

		if (n < 0)
			return;
		if ((size_t)n <= sizeof(packet) && client.sin_family == AF_INET)
			on_query(dns, packet, (size_t)n, &client);
	}
}

static int setup(struct dns *dns, const char *upstream)
{
	struct sockaddr_in own = {0};
	socklen_t len = sizeof(own);

	dns->upstream = strdup(upstream);
	if (!dns->upstream)
		return -ENOMEM;
	if (getsockname(dns->sock, (struct sockaddr *)&own, &len) < 0)
		return -errno;
	dns->net = ntohl(own.sin_addr.s_addr) & 0xffffff00;
	(void)inet_ntop(AF_INET, &own.sin_addr, dns->address, sizeof(dns->address));
	return loop_add_fd(dns->loop, "dns", dns->sock, LOOP_READ, on_packet, dns, &dns->io);
}

int dns_new(struct loop *loop, int sock, const char *upstream, dns_lookup_fn lookup,
	dns_name_fn name, void *userdata, struct dns **ret, struct bg_err **err)
{
	struct dns *dns = calloc(1, sizeof(*dns));
	int r;

	if (!dns) {
		bg_close(sock);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	*dns = (struct dns){.loop = loop,
		.sock = sock,
		.resolv_conf = "/etc/resolv.conf",
		.port = DNS_PORT,
		.lookup = lookup,
		.name = name,
		.userdata = userdata};
	TAILQ_INIT(&dns->relays);
	r = setup(dns, upstream);
	if (r < 0) {
		dns_free(dns);
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "watch the DNS socket");
	}
	*ret = dns;
	return 0;
}

const char *dns_address(const struct dns *dns)
{
	return dns->address;
}

void dns_set_upstream(struct dns *dns, const char *resolv_conf, uint16_t port)
{
	dns->resolv_conf = resolv_conf;
	dns->port = port;
}

void dns_free(struct dns *dns)
{
	struct relay *relay;

	if (!dns)
		return;
	while ((relay = TAILQ_FIRST(&dns->relays)))
		relay_free(relay);
	loop_source_free(dns->io);
	bg_close(dns->sock);
	free(dns->upstream);
	free(dns);
}
