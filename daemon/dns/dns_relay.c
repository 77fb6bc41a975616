/* SPDX-License-Identifier: ISC */
/*
 * dns_relay.c: names that are not ours, by way of the host's resolvers: each question in a socket of its own, so that
 * its port is as hard to guess as its number; by TCP what came by TCP, as do guests whose first answer was cut short.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/socket.h>

#include "common/fd.h"
#include "daemon/dns/dns_impl.h"

enum {
	QUERIES_MAX = 64,     /* forwarded at one time; the guest's resolver asks again */
	QUERY_USEC = 4000000, /* then the next resolver of the host gets the next question */
	RESOLV_CONF_MAX = 16384,
	RESOLVERS_MAX = 3, /* as resolv.conf(5) has it */
};

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

struct dns_query {
	TAILQ_ENTRY(dns_query) link;
	struct dns *dns;
	int sock;		   /* UDP */
	struct dns_stream *stream; /* TCP */
	struct loop_source *io, *timer;
	struct dns_asker asker;
	uint16_t id;
	struct dns_question question;
	size_t len;
	uint8_t packet[]; /* as it was asked */
};

static void query_free(struct dns_query *query)
{
	TAILQ_REMOVE(&query->dns->queries, query, link);
	query->dns->n_queries--;
	loop_source_free(query->io);
	loop_source_free(query->timer);
	dns_stream_free(query->stream);
	bg_close(query->sock);
	free(query);
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

/* Nobody answers there: the next question goes to the next. A datagram's asker comes again by itself. */
static void fail(struct dns_query *query)
{
	const struct dns_asker asker = query->asker;
	struct dns *dns = query->dns;
	uint8_t out[DNS_REPLY_MAX];
	size_t n = dns_reply_code(&query->question, query->packet, DNS_SERVFAIL, out);

	dns->first++;
	query_free(query);
	if (asker.conn)
		dns_answer(dns, &asker, out, n);
}

static void on_late(void *userdata)
{
	fail(userdata);
}

static bool is_answer(const struct dns_query *query, const uint8_t *packet, size_t n)
{
	return n >= DNS_HEAD && (packet[2] & 0x80) && packet[0] == query->id >> 8 &&
	       packet[1] == (query->id & 0xff);
}

static void pass_on(struct dns_query *query, uint8_t *packet, size_t n)
{
	const struct dns_asker asker = query->asker;
	struct dns *dns = query->dns;

	packet[0] = (uint8_t)(query->question.id >> 8);
	packet[1] = (uint8_t)query->question.id;
	query_free(query);
	dns_answer(dns, &asker, packet, n);
}

/* What is not the answer is passed over: that may still come. */
static void on_datagram(int fd, unsigned events, void *userdata)
{
	static uint8_t packet[UINT16_MAX];
	struct dns_query *query = userdata;
	ssize_t n = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);

	(void)events;
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		fail(query);
	else if (n >= 0 && is_answer(query, packet, (size_t)n))
		pass_on(query, packet, (size_t)n);
}

static void on_message(const uint8_t *packet, size_t len, void *userdata)
{
	struct dns_query *query = userdata;
	uint8_t *copy;

	if (!is_answer(query, packet, len))
		return;
	copy = malloc(len);
	if (!copy) {
		fail(query);
		return;
	}
	memcpy(copy, packet, len);
	pass_on(query, copy, len);
	free(copy);
}

static int connect_to(const union address *to, int type)
{
	_close_ int sock = socket(to->sa.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (sock < 0)
		return -errno;
	if (connect(sock, &to->sa, to->sa.sa_family == AF_INET ? sizeof(to->in) : sizeof(to->in6)) <
			0 &&
		errno != EINPROGRESS)
		return -errno;
	return TAKE_FD(sock);
}

static int ask_by_tcp(struct dns_query *query, const union address *to, const uint8_t *packet)
{
	int sock = connect_to(to, SOCK_STREAM);
	int r = sock < 0 ? sock
			 : dns_stream_new(query->dns->loop, sock, on_message, on_late, query,
				   &query->stream);

	return r < 0 ? r : dns_stream_send(query->stream, packet, query->len);
}

static int ask_by_udp(struct dns_query *query, const union address *to, const uint8_t *packet)
{
	int r;

	query->sock = connect_to(to, SOCK_DGRAM);
	if (query->sock < 0)
		return query->sock;
	r = loop_add_fd(query->dns->loop, "dns query", query->sock, LOOP_READ, on_datagram, query,
		&query->io);
	if (r < 0)
		return r;
	return send(query->sock, packet, query->len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int ask(struct dns_query *query, const union address *to)
{
	uint8_t copy[DNS_PACKET_MAX];
	int r = loop_add_timer(
		query->dns->loop, "dns late", QUERY_USEC, on_late, query, &query->timer);

	if (r < 0)
		return r;
	query->id = (uint16_t)randombytes_random();
	memcpy(copy, query->packet, query->len);
	copy[0] = (uint8_t)(query->id >> 8);
	copy[1] = (uint8_t)query->id;
	return query->asker.conn ? ask_by_tcp(query, to, copy) : ask_by_udp(query, to, copy);
}

enum dns_rcode dns_relay(struct dns *dns, const struct dns_question *q, const uint8_t *packet,
	size_t len, const struct dns_asker *asker)
{
	struct dns_query *query;
	union address to;

	if (dns->n_queries >= QUERIES_MAX || len > DNS_PACKET_MAX || !pick_resolver(dns, &to))
		return DNS_SERVFAIL;
	query = calloc(1, sizeof(*query) + len);
	if (!query)
		return DNS_SERVFAIL;
	*query = (struct dns_query){
		.dns = dns, .sock = -1, .asker = *asker, .question = *q, .len = len};
	memcpy(query->packet, packet, len);
	TAILQ_INSERT_TAIL(&dns->queries, query, link);
	dns->n_queries++;
	if (ask(query, &to) >= 0)
		return DNS_NOERROR;
	dns->first++;
	query_free(query);
	return DNS_SERVFAIL;
}

void dns_relay_drop(struct dns *dns, const struct dns_conn *conn)
{
	struct dns_query *query, *next;

	for (query = TAILQ_FIRST(&dns->queries); query; query = next) {
		next = TAILQ_NEXT(query, link);
		if (!conn || query->asker.conn == conn)
			query_free(query);
	}
}
