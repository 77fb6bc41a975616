/* SPDX-License-Identifier: ISC */
/*
 * See relay.h. A connection is two sockets and two directions; a direction reads only when its
 * buffer is empty, so that at most RELAY_BUFFER bytes wait in it. Nothing here blocks: the guest
 * may answer late or never.
 */
#include "daemon/driver/relay.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "common/limits.h"

enum { RELAY_BUFFER = 64 * 1024, RELAY_BACKLOG = 64 };

#define CONNECT_USEC (10 * UINT64_C(1000000))
/* Out of descriptors or memory: the waiting connection would wake us all the time. */
#define AGAIN_USEC (200 * UINT64_C(1000))

enum side { CLIENT, GUEST, SIDES };

/* From one side to the other. */
struct way {
	uint8_t *buf;
	size_t at, len; /* what is read and not yet written */
	bool eof;	/* its source ended */
	bool shut;	/* and its destination was told */
};

struct conn {
	LIST_ENTRY(conn) link;
	struct relay *relay;
	int fd[SIDES];
	struct loop_source *io[SIDES];
	struct way from[SIDES];	      /* from[CLIENT] flows to the guest */
	struct loop_source *deadline; /* of the connect; NULL once connected */
};

struct relay {
	struct loop *loop;
	struct sockaddr_in target;
	int fd;
	struct loop_source *accept;
	struct loop_source *again;
	LIST_HEAD(, conn) conns;
	unsigned count;
};

static void accept_when_it_may(struct relay *relay)
{
	bool may = relay->count < BG_RELAY_CONNECTIONS_MAX && !relay->again;

	(void)loop_source_set_events(relay->accept, may ? LOOP_READ : 0);
}

static void conn_free(struct conn *conn)
{
	struct relay *relay = conn->relay;

	loop_source_free(conn->deadline);
	for (int i = 0; i < SIDES; i++) {
		loop_source_free(conn->io[i]);
		bg_close(conn->fd[i]);
		free(conn->from[i].buf);
	}
	LIST_REMOVE(conn, link);
	relay->count--;
	free(conn);
	accept_when_it_may(relay);
}

/* What each socket is watched for follows from the state of both ways. */
static void watch(struct conn *conn)
{
	for (int i = 0; i < SIDES; i++) {
		const struct way *out = &conn->from[!i], *in = &conn->from[i];
		unsigned events = 0;

		if (!in->eof && in->len == 0)
			events |= LOOP_READ;
		if (out->len > 0)
			events |= LOOP_WRITE;
		(void)loop_source_set_events(conn->io[i], events);
	}
}

/* Each false: the connection is broken. */
static bool read_some(struct conn *conn, enum side side)
{
	struct way *way = &conn->from[side];
	ssize_t n;

	if (way->eof || way->len > 0)
		return true;
	n = recv(conn->fd[side], way->buf, RELAY_BUFFER, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	way->eof = n == 0;
	way->at = 0;
	way->len = (size_t)n;
	return true;
}

static bool write_some(struct conn *conn, enum side side)
{
	struct way *way = &conn->from[side];
	int to = conn->fd[!side];
	ssize_t n;

	if (way->len > 0) {
		n = send(to, way->buf + way->at, way->len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		n = BG_MAX(n, 0);
		way->at += (size_t)n;
		way->len -= (size_t)n;
	}
	if (way->eof && way->len == 0 && !way->shut) {
		way->shut = true;
		(void)shutdown(to, SHUT_WR);
	}
	return true;
}

/* Moves what can be moved now; frees the connection when it is over. */
static void pump(struct conn *conn)
{
	bool ok = true;

	for (int i = 0; i < SIDES && ok; i++)
		ok = read_some(conn, (enum side)i) && write_some(conn, (enum side)i);
	if (!ok || (conn->from[CLIENT].shut && conn->from[GUEST].shut))
		conn_free(conn);
	else
		watch(conn);
}

static void on_io(int fd, unsigned events, void *userdata)
{
	struct conn *conn = userdata;

	(void)fd;
	(void)events;
	pump(conn);
}

/* The guest took the connection, or did not: then the client's ends, as if nobody listened. */
static void on_connected(int fd, unsigned events, void *userdata)
{
	struct conn *conn = userdata;
	socklen_t len = sizeof(int);
	int errnum = 0;

	(void)events;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &len) < 0 || errnum) {
		conn_free(conn);
		return;
	}
	loop_source_free(TAKE_PTR(conn->deadline));
	for (int i = 0; i < SIDES; i++) {
		loop_source_free(TAKE_PTR(conn->io[i]));
		conn->from[i].buf = malloc(RELAY_BUFFER);
		if (!conn->from[i].buf || loop_add_fd(conn->relay->loop, "relay", conn->fd[i], 0,
						  on_io, conn, &conn->io[i]) < 0) {
			conn_free(conn);
			return;
		}
	}
	pump(conn);
}

static void on_late(void *userdata)
{
	conn_free(userdata);
}

static int connect_guest(struct conn *conn)
{
	const struct relay *relay = conn->relay;
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return -errno;
	conn->fd[GUEST] = fd;
	for (int i = 0; i < SIDES; i++)
		(void)setsockopt(conn->fd[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (const struct sockaddr *)&relay->target, sizeof(relay->target)) < 0 &&
		errno != EINPROGRESS)
		return -errno;
	r = loop_add_timer(
		relay->loop, "relay connect", CONNECT_USEC, on_late, conn, &conn->deadline);
	if (r < 0)
		return r;
	return loop_add_fd(
		relay->loop, "relay connect", fd, LOOP_WRITE, on_connected, conn, &conn->io[GUEST]);
}

/* Takes the client's socket. */
static void conn_new(struct relay *relay, int client)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	if (!conn) {
		bg_close(client);
		return;
	}
	conn->relay = relay;
	conn->fd[CLIENT] = client;
	conn->fd[GUEST] = -1;
	LIST_INSERT_HEAD(&relay->conns, conn, link);
	relay->count++;
	if (connect_guest(conn) < 0)
		conn_free(conn);
}

static void on_again(void *userdata)
{
	struct relay *relay = userdata;

	loop_source_free(TAKE_PTR(relay->again));
	accept_when_it_may(relay);
}

static void on_accept(int fd, unsigned events, void *userdata)
{
	struct relay *relay = userdata;
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (client >= 0) {
		conn_new(relay, client);
		accept_when_it_may(relay);
		return;
	}
	if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM)
		return;
	if (loop_add_timer(
		    relay->loop, "relay again", AGAIN_USEC, on_again, relay, &relay->again) >= 0)
		accept_when_it_may(relay);
}

static int listen_error(uint16_t port, int errnum, struct bg_err **err)
{
	int r;

	if (errnum == EADDRINUSE) {
		r = bg_err_set(err, BG_ERR_PORT_TAKEN, errnum,
			"port %u of this machine is taken by another program", port);
		bg_err_hint(
			err, "`ss -ltnp 'sport = :%u'` tells which; or publish another port", port);
		return r;
	}
	r = bg_err_sys(err, BG_ERR_IO, errnum, "listen on 127.0.0.1:%u", port);
	if (errnum == EACCES)
		bg_err_hint(err, "ports below 1024 belong to root: publish one above, such as %u",
			port + 8000U);
	return r;
}

static int listen_on(uint16_t port)
{
	const struct sockaddr_in sa = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1;

	if (fd < 0)
		return -errno;
	/* Connections of an earlier listener that still wind down are no other program. */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, RELAY_BACKLOG) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int relay_try(uint16_t port, struct bg_err **err)
{
	_close_ int fd = listen_on(port);

	return fd < 0 ? listen_error(port, -fd, err) : 0;
}

int relay_open(struct loop *loop, uint16_t port, const struct sockaddr_in *target,
	struct relay **ret, struct bg_err **err)
{
	_unref_(relay) struct relay *relay = calloc(1, sizeof(*relay));
	int r;

	if (!relay)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	relay->loop = loop;
	relay->target = *target;
	relay->fd = listen_on(port);
	if (relay->fd < 0)
		return listen_error(port, -relay->fd, err);
	r = loop_add_fd(
		loop, "relay accept", relay->fd, LOOP_READ, on_accept, relay, &relay->accept);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "listen on 127.0.0.1:%u", port);
	*ret = TAKE_PTR(relay);
	return 0;
}

void relay_lead_to(struct relay *relay, const struct sockaddr_in *target)
{
	relay->target = *target;
}

unsigned relay_connections(const struct relay *relay)
{
	return relay->count;
}

void relay_free(struct relay *relay)
{
	struct conn *conn;

	if (!relay)
		return;
	while ((conn = LIST_FIRST(&relay->conns)))
		conn_free(conn);
	loop_source_free(relay->accept);
	loop_source_free(relay->again);
	bg_close(relay->fd);
	free(relay);
}
