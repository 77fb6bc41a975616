/* SPDX-License-Identifier: ISC */
/* daemon/dns over real sockets on loopback; libc's resolver code makes the questions and reads the
 * answers. */
#include "daemon/dns/dns.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <sys/socket.h>

#include "common/fd.h"
#include "daemon/dns/dns_msg.h"
#include "tests/driver/spin.h"

static struct loop *loop;
static struct dns *dns;
static struct sockaddr_in server, server_tcp, upstream;
static int client = -1, resolver = -1, resolver_tcp = -1;

static int bound(const char *address, struct sockaddr_in *ret)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	CHECK(fd >= 0 && inet_pton(AF_INET, address, &a.sin_addr) == 1);
	CHECK_INT(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	CHECK_INT(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*ret = a;
	return fd;
}

/* The same port by TCP. */
static int listening(const struct sockaddr_in *at)
{
	const int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	CHECK(fd >= 0);
	CHECK_INT(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	CHECK_INT(bind(fd, (const struct sockaddr *)at, sizeof(*at)), 0);
	CHECK_INT(listen(fd, 8), 0);
	return fd;
}

static uint32_t look_up(const char *name, bool *ret_exists, void *userdata)
{
	(void)userdata;
	*ret_exists = bg_streq(name, "web") || bg_streq(name, "bare");
	return bg_streq(name, "web") ? 0x0ad10002 : 0;
}

static const char *look_back(uint32_t address, void *userdata)
{
	return address == 0x7f000009 ? "web" : NULL;
}

/* The guests' /24 is 127.0.0.0: this client is one of them, or not. */
static void setup(const char *client_address, const char *config)
{
	struct sockaddr_in own;
	socklen_t len = sizeof(server);
	int udp, tcp;

	CHECK_INT(loop_new(&loop), 0);
	CHECK_INT(dns_new(loop, "127.0.0.1", config, look_up, look_back, NULL, &dns, NULL), 0);
	dns_sockets(dns, &udp, &tcp);
	CHECK_INT(getsockname(udp, (struct sockaddr *)&server, &len), 0);
	CHECK(ntohs(server.sin_port) >= 49152);
	CHECK_INT(getsockname(tcp, (struct sockaddr *)&server_tcp, &len), 0);
	CHECK(ntohs(server_tcp.sin_port) >= 49152);
	resolver = bound("127.0.0.3", &upstream);
	resolver_tcp = listening(&upstream);
	dns_set_upstream(dns, "/dev/null", ntohs(upstream.sin_port));
	client = bound(client_address, &own);
}

static void teardown(void)
{
	dns_free(dns);
	bg_close(client);
	bg_close(resolver);
	bg_close(resolver_tcp);
	loop_free(loop);
}

static void send_query(const char *name, int type)
{
	uint8_t q[512];
	int n = res_mkquery(ns_o_query, name, ns_c_in, type, NULL, 0, NULL, q, sizeof(q));

	CHECK(n > 0);
	CHECK_INT(sendto(client, q, (size_t)n, 0, (struct sockaddr *)&server, sizeof(server)), n);
}

static ns_msg receive(void)
{
	static uint8_t buf[NS_MAXMSG];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ns_msg msg;
	ssize_t n;

	SPIN(loop, spin_readable(client));
	n = recvfrom(client, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len);
	CHECK(n > 0 && from.sin_port == server.sin_port);
	CHECK_INT(ns_initparse(buf, (int)n, &msg), 0);
	CHECK_INT(ns_msg_getflag(msg, ns_f_qr), 1);
	return msg;
}

static ns_msg ask(const char *name, int type)
{
	send_query(name, type);
	return receive();
}

static void check_counts(ns_msg msg, int rcode, int answers, int authority)
{
	CHECK_INT(ns_msg_getflag(msg, ns_f_rcode), rcode);
	CHECK_INT(ns_msg_count(msg, ns_s_an), answers);
	CHECK_INT(ns_msg_count(msg, ns_s_ns), authority);
}

static void check_soa(ns_msg msg, ns_sect section)
{
	char name[256];
	const uint8_t *p;
	ns_rr rr;

	CHECK_INT(ns_parserr(&msg, section, 0, &rr), 0);
	CHECK_INT(ns_rr_type(rr), ns_t_soa);
	CHECK_STR(ns_rr_name(rr), "vm");
	CHECK_INT(ns_rr_ttl(rr), DNS_TTL_S);
	p = ns_rr_rdata(rr);
	for (int i = 0; i < 2; i++) {
		int n = dn_expand(ns_msg_base(msg), ns_msg_end(msg), p, name, sizeof(name));

		CHECK(n > 0);
		CHECK_STR(name, i ? "root.vm" : "ns.vm");
		p += n;
	}
	CHECK_INT(ns_rr_rdata(rr) + ns_rr_rdlen(rr) - p, 20);
	CHECK_INT(ns_get32(p + 16), DNS_TTL_S);
}

static void check_a(ns_msg msg, uint32_t address)
{
	ns_rr rr;

	CHECK_INT(ns_parserr(&msg, ns_s_an, 0, &rr), 0);
	CHECK_INT(ns_rr_type(rr), ns_t_a);
	CHECK_INT(ns_rr_rdlen(rr), 4);
	CHECK_INT(ns_get32(ns_rr_rdata(rr)), address);
	CHECK(ns_rr_ttl(rr) <= DNS_TTL_S);
}

TEST(addresses_have_names)
{
	char name[256];
	ns_msg msg;
	ns_rr rr;

	setup("127.0.0.2", "");
	msg = ask("9.0.0.127.in-addr.arpa", ns_t_ptr);
	check_counts(msg, ns_r_noerror, 1, 0);
	CHECK_INT(ns_parserr(&msg, ns_s_an, 0, &rr), 0);
	CHECK_INT(ns_rr_type(rr), ns_t_ptr);
	CHECK_INT(ns_rr_ttl(rr), DNS_TTL_S);
	CHECK(dn_expand(ns_msg_base(msg), ns_msg_end(msg), ns_rr_rdata(rr), name, sizeof(name)) >
		0);
	CHECK_STR(name, "web.vm");
	check_counts(ask("9.0.0.127.in-addr.arpa", ns_t_a), ns_r_noerror, 0, 0);
	check_counts(ask("8.0.0.127.in-addr.arpa", ns_t_ptr), ns_r_nxdomain, 0, 0);
	/* Not ours: forwarded, and there is nobody to forward to. */
	check_counts(ask("9.0.1.127.in-addr.arpa", ns_t_ptr), ns_r_servfail, 0, 0);
	check_counts(ask("9.9.0.0.127.in-addr.arpa", ns_t_ptr), ns_r_servfail, 0, 0);
	check_counts(ask("x.0.0.127.in-addr.arpa", ns_t_ptr), ns_r_servfail, 0, 0);
	teardown();
}

TEST(name_of_a_vm)
{
	ns_msg msg;

	setup("127.0.0.2", "system");
	msg = ask("web.vm", ns_t_a);
	check_counts(msg, ns_r_noerror, 1, 0);
	check_a(msg, 0x0ad10002);
	CHECK_INT(ns_msg_getflag(msg, ns_f_aa), 1);
	msg = ask("WeB.VM", ns_t_any);
	check_counts(msg, ns_r_noerror, 1, 0);
	check_a(msg, 0x0ad10002);
	teardown();
}

TEST(no_data_and_no_name)
{
	static const struct {
		const char *name;
		int type, rcode;
	} rows[] = {
		{"web.vm", ns_t_aaaa, ns_r_noerror},
		{"web.vm", ns_t_mx, ns_r_noerror},
		{"bare.vm", ns_t_a, ns_r_noerror},
		{"vm", ns_t_a, ns_r_noerror},
		{"db.vm", ns_t_a, ns_r_nxdomain},
		{"db.vm", ns_t_soa, ns_r_nxdomain},
		{"a.web.vm", ns_t_a, ns_r_nxdomain},
	};

	setup("127.0.0.2", "system");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ns_msg msg = ask(rows[i].name, rows[i].type);

		check_counts(msg, rows[i].rcode, 0, 1);
		check_soa(msg, ns_s_ns);
	}
	teardown();
}

TEST(soa_of_the_zone)
{
	ns_msg msg;

	setup("127.0.0.2", "system");
	msg = ask("vm", ns_t_soa);
	check_counts(msg, ns_r_noerror, 1, 0);
	check_soa(msg, ns_s_an);
	teardown();
}

TEST(this_host_gets_vm_names_and_nothing_else)
{
	setup("127.0.1.1", "127.0.0.3");
	check_a(ask("web.vm", ns_t_a), 0x0ad10002);
	check_counts(ask("example.org", ns_t_a), ns_r_refused, 0, 0);
	CHECK(!spin_readable(resolver));
	teardown();
}

/* The host's resolver gets a question and answers it; before that, it may answer with another's
 * number. */
static void play_resolver(uint32_t address, bool wrong_id)
{
	uint8_t q[512], out[DNS_REPLY_MAX];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	struct dns_question parsed;
	size_t size;
	ssize_t n;

	SPIN(loop, spin_readable(resolver));
	n = recvfrom(resolver, q, sizeof(q), 0, (struct sockaddr *)&from, &len);
	CHECK(n > 0);
	CHECK_INT(dns_parse(q, (size_t)n, &parsed), 0);
	CHECK_STR(parsed.name, "example.org");
	size = dns_reply_zone(&parsed, q, true, address, out);
	if (wrong_id)
		out[1] ^= 1;
	CHECK_INT(sendto(resolver, out, size, 0, (struct sockaddr *)&from, len), size);
	if (!wrong_id)
		return;
	out[1] ^= 1;
	out[size - 1] ^= 1;
	CHECK_INT(sendto(resolver, out, size, 0, (struct sockaddr *)&from, len), size);
}

TEST(other_names_are_forwarded_for_guests)
{
	ns_msg msg;

	setup("127.0.0.2", "127.0.0.3");
	send_query("example.org", ns_t_a);
	play_resolver(0xc6336401, false);
	msg = receive();
	check_counts(msg, ns_r_noerror, 1, 0);
	check_a(msg, 0xc6336401);
	teardown();
}

TEST(answer_with_another_number_is_passed_over)
{
	setup("127.0.0.2", "127.0.0.3");
	send_query("example.org", ns_t_a);
	play_resolver(0xc6336401, true);
	check_a(receive(), 0xc6336400);
	teardown();
}

/* ---- by TCP ---- */

static int call_server(const char *from)
{
	struct sockaddr_in own = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0 && inet_pton(AF_INET, from, &own.sin_addr) == 1);
	CHECK_INT(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
	CHECK_INT(connect(fd, (struct sockaddr *)&server_tcp, sizeof(server_tcp)), 0);
	return fd;
}

/* In two pieces, cut at a byte of the message: the length may come alone. */
static void tell(int fd, const uint8_t *message, size_t len, size_t cut)
{
	uint8_t head[2] = {(uint8_t)(len >> 8), (uint8_t)len};

	CHECK_INT(send(fd, head, 2, 0), 2);
	spin_turn(loop);
	CHECK_INT(send(fd, message, cut, 0), cut);
	spin_turn(loop);
	CHECK_INT(send(fd, message + cut, len - cut, 0), len - cut);
}

static size_t hear(int fd, uint8_t *ret, size_t size)
{
	uint8_t head[2];
	size_t len, got = 0;

	SPIN(loop, spin_readable(fd));
	CHECK_INT(recv(fd, head, 2, MSG_WAITALL), 2);
	len = (size_t)(head[0] << 8 | head[1]);
	CHECK(len <= size);
	while (got < len) {
		ssize_t n;

		SPIN(loop, spin_readable(fd));
		n = recv(fd, ret + got, len - got, 0);
		CHECK(n > 0);
		got += (size_t)n;
	}
	return len;
}

static size_t make_query(const char *name, uint8_t q[512])
{
	int n = res_mkquery(ns_o_query, name, ns_c_in, ns_t_a, NULL, 0, NULL, q, 512);

	CHECK(n > 0);
	return (size_t)n;
}

TEST(names_by_tcp)
{
	static uint8_t out[65536];
	uint8_t q[512];
	size_t n;
	ns_msg msg;
	int fd;

	setup("127.0.0.2", "system");
	fd = call_server("127.0.0.2");
	for (size_t cut = 0; cut < 3; cut++) { /* one connection serves more than one question */
		n = make_query("web.vm", q);
		tell(fd, q, n, cut);
		n = hear(fd, out, sizeof(out));
		CHECK_INT(ns_initparse(out, (int)n, &msg), 0);
		check_a(msg, 0x0ad10002);
	}
	bg_close(fd);
	teardown();
}

/* What does not fit a datagram: the answer is far longer than that. */
TEST(long_answers_by_tcp)
{
	enum { LONG = 60000 };
	static uint8_t out[65536];
	uint8_t q[512], asked[512];
	size_t n, len;
	int fd, up;

	setup("127.0.0.2", "127.0.0.3");
	fd = call_server("127.0.0.2");
	n = make_query("example.org", q);
	tell(fd, q, n, 1);
	SPIN(loop, spin_readable(resolver_tcp));
	up = accept4(resolver_tcp, NULL, NULL, SOCK_CLOEXEC);
	len = hear(up, asked, sizeof(asked));
	CHECK_INT(len, n);
	CHECK(memcmp(asked + 2, q + 2, n - 2) == 0);
	memset(out, 0x5a, LONG);
	memcpy(out, asked, n);
	out[2] |= 0x80;
	tell(up, out, LONG, LONG / 2);
	memset(out, 0, sizeof(out));
	CHECK_INT(hear(fd, out, sizeof(out)), LONG);
	CHECK(out[0] == q[0] && out[1] == q[1] && out[LONG - 1] == 0x5a);
	bg_close(up);
	bg_close(fd);
	teardown();
}

TEST(resolver_without_tcp)
{
	static uint8_t out[65536];
	uint8_t q[512];
	ns_msg msg;
	int fd;

	setup("127.0.0.2", "127.0.0.3");
	resolver_tcp = bg_close(resolver_tcp);
	fd = call_server("127.0.0.2");
	tell(fd, q, make_query("example.org", q), 5);
	CHECK_INT(ns_initparse(out, (int)hear(fd, out, sizeof(out)), &msg), 0);
	check_counts(msg, ns_r_servfail, 0, 0);
	bg_close(fd);
	teardown();
}

/* Its end while a question is under way; more connections than one guest has. */
TEST(connections_that_end)
{
	uint8_t q[512];
	char c;
	int fds[9], up;

	setup("127.0.0.2", "127.0.0.3");
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = call_server("127.0.0.2");
	SPIN(loop, spin_readable(fds[8]));
	CHECK_INT(recv(fds[8], &c, 1, 0), 0);
	tell(fds[0], q, make_query("example.org", q), 5);
	SPIN(loop, spin_readable(resolver_tcp));
	up = accept4(resolver_tcp, NULL, NULL, SOCK_CLOEXEC);
	bg_close(fds[0]);
	SPIN(loop, spin_readable(up)); /* the question */
	CHECK(recv(up, q, sizeof(q), 0) > 0);
	SPIN(loop, spin_readable(up)); /* its end */
	CHECK_INT(recv(up, &c, 1, 0), 0);
	bg_close(up);
	for (size_t i = 1; i < ARRAY_SIZE(fds); i++)
		bg_close(fds[i]);
	check_a(ask("web.vm", ns_t_a), 0x0ad10002);
	teardown();
}

TEST(resolvers_of_the_host)
{
	char path[256];
	static const char text[] = "# nameserver 127.0.0.9\nsearch example.org\nnameserver "
				   "bad\nnameserver\t127.0.0.3\n";

	setup("127.0.0.2", "system");
	check_counts(ask("example.org", ns_t_a), ns_r_servfail, 0, 0); /* the file names none */
	snprintf(path, sizeof(path), "%s/resolv.conf", test_tmpdir());
	CHECK_INT(bg_write_file_at(AT_FDCWD, path, text, strlen(text), 0600), 0);
	dns_set_upstream(dns, path, ntohs(upstream.sin_port));
	send_query("example.org", ns_t_a);
	play_resolver(0xc6336401, false);
	check_a(receive(), 0xc6336401);
	teardown();
}

TEST(too_many_at_once)
{
	setup("127.0.0.2", "127.0.0.3");
	for (int i = 0; i < 64; i++)
		send_query("example.org", ns_t_a);
	check_counts(ask("example.org", ns_t_a), ns_r_servfail, 0, 0);
	check_a(ask("web.vm", ns_t_a), 0x0ad10002); /* names of VMs are served all the same */
	teardown();
}

TEST(what_gets_no_answer)
{
	static const uint8_t bad[][20] = {
		{0},
		{0, 1, 0x80, 0, 0, 1}, /* an answer */
		{0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0,
			1}, /* a pointer to itself */
		{0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 63, 'a'},
		{0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, '.', 0, 0, 1, 0, 1},
		{0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0},
	};
	static const uint8_t notify[12] = {7, 7, 0x20, 0, 0, 1};

	setup("127.0.0.2", "system");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_INT(sendto(client, bad[i], i ? 18 : 11, 0, (struct sockaddr *)&server,
				  sizeof(server)),
			i ? 18 : 11);
	CHECK_INT(sendto(client, notify, 12, 0, (struct sockaddr *)&server, sizeof(server)), 12);
	check_counts(receive(), ns_r_notimpl, 0, 0); /* of the last, which came behind all others */
	teardown();
}

/* Names at the limit, and every cut of a packet, end in an answer that fits or in none. */
TEST(long_names_and_cut_packets)
{
	uint8_t q[512], out[DNS_REPLY_MAX];
	char name[300] = "";
	struct dns_question parsed;
	int n;

	for (int i = 0; i < 4; i++)
		snprintf(name + strlen(name), sizeof(name) - strlen(name), "%.*s.",
			i == 3 ? 58 : 63,
			"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	strcat(name, "vm");
	n = res_mkquery(ns_o_query, name, ns_c_in, ns_t_a, NULL, 0, NULL, q, sizeof(q));
	CHECK(n > 0);
	CHECK_INT(dns_parse(q, (size_t)n, &parsed), 0);
	CHECK_STR(parsed.name, name);
	CHECK(dns_reply_zone(&parsed, q, true, 1, out) <= sizeof(out));
	CHECK(dns_reply_zone(&parsed, q, false, 0, out) <= sizeof(out));
	for (int cut = 0; cut < n; cut++)
		CHECK_INT(dns_parse(q, (size_t)cut, &parsed), -EBADMSG);
}
