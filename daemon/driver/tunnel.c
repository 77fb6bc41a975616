/* SPDX-License-Identifier: ISC */
/* See tunnel.h. Nothing here blocks; the service may answer late or never. */
#include "daemon/driver/tunnel.h"

#include <endian.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

#include "common/agent_exec.h"
#include "common/agent_frame.h"

enum { PIECE = 32 * 1024, WHY_MAX = 160 };

#define CONNECT_USEC (10 * UINT64_C(1000000))

struct tunnel {
	struct loop *loop;
	uint16_t port;
	struct guest_stream *stream;
	int fd; /* -1: it waits in the guest */
	struct loop_source *io;
	struct loop_source *deadline; /* of the connect; NULL once connected */
	uint32_t window;	      /* bytes that the guest takes now */
	bool in_ended;		      /* the service has said all, and the guest was told */
	bool out_ended, shut;	      /* the guest has said all; and the service was told */
	bool done;		      /* the stream is over */
	uint8_t *out;		      /* for the service, from out_at on; a window's worth */
	size_t out_at, out_len;
	char why[WHY_MAX];
	const struct tunnel_events *events;
	void *userdata;
};

/* The last thing that a callback does: the owner frees it. */
static void end(struct tunnel *t)
{
	t->events->ended(t, t->why[0] ? t->why : NULL, t->userdata);
}

static int send_frame(
	struct tunnel *t, enum bg_agent_type type, unsigned sub, const void *p, size_t len)
{
	const struct bg_agent_frame frame = {
		.type = type, .sub = (uint16_t)sub, .payload = p, .len = (uint32_t)len};

	return guest_stream_send(t->stream, &frame);
}

static void watch(struct tunnel *t)
{
	unsigned events = 0;

	if (!t->io)
		return;
	if (t->deadline || t->out_len > 0)
		events |= LOOP_WRITE;
	if (!t->deadline && !t->in_ended && !t->done && t->window > 0 &&
		guest_stream_has_room(t->stream))
		events |= LOOP_READ;
	(void)loop_source_set_events(t->io, events);
}

/* Each false: the connection is broken. */
static bool to_service(struct tunnel *t)
{
	uint32_t credit;
	ssize_t n;

	if (t->out_len > 0) {
		n = send(t->fd, t->out + t->out_at, t->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		t->out_at += (size_t)n;
		t->out_len -= (size_t)n;
		credit = htole32((uint32_t)n);
		if (!t->done &&
			send_frame(t, BG_AGENT_CREDIT, BG_AGENT_OUT, &credit, sizeof(credit)) < 0)
			return false;
	}
	if ((t->out_ended || t->done) && t->out_len == 0 && !t->shut) {
		t->shut = true;
		(void)shutdown(t->fd, SHUT_WR);
	}
	return true;
}

static bool from_service(struct tunnel *t)
{
	uint8_t buf[PIECE];
	ssize_t n;

	if (t->in_ended || t->done || t->window == 0 || !guest_stream_has_room(t->stream))
		return true;
	n = recv(t->fd, buf, BG_MIN(sizeof(buf), t->window), MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0) {
		t->in_ended = true;
		return send_frame(t, BG_AGENT_EOF, BG_AGENT_IN, NULL, 0) >= 0;
	}
	t->window -= (uint32_t)n;
	return send_frame(t, BG_AGENT_DATA, BG_AGENT_IN, buf, (size_t)n) >= 0;
}

/* Moves what can be moved now. */
static void pump(struct tunnel *t)
{
	if (t->io && !t->deadline && (!to_service(t) || !from_service(t)))
		end(t);
	else if (t->done && t->out_len == 0)
		end(t);
	else
		watch(t);
}

static void on_io(int fd, unsigned events, void *userdata)
{
	struct tunnel *t = userdata;
	socklen_t len = sizeof(int);
	int errnum = 0;

	(void)events;
	if (t->deadline) {
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &len) < 0 || errnum) {
			end(t); /* nobody listens here: who connected there sees the connection end */
			return;
		}
		loop_source_free(TAKE_PTR(t->deadline));
	}
	pump(t);
}

static void on_late(void *userdata)
{
	end(userdata);
}

static int connect_here(struct tunnel *t)
{
	const struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons(t->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1, r;

	t->out = malloc(BG_AGENT_WINDOW);
	t->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (!t->out || t->fd < 0)
		return -ENOMEM;
	(void)setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(t->fd, (const struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
		return -errno;
	r = loop_add_timer(t->loop, "tunnel connect", CONNECT_USEC, on_late, t, &t->deadline);
	if (r >= 0)
		r = loop_add_fd(t->loop, "tunnel", t->fd, LOOP_WRITE, on_io, t, &t->io);
	return r;
}

/* Of a tunnel that waits: somebody has connected, or it says why nobody can. */
static bool on_said(struct tunnel *t, const struct bg_agent_frame *f)
{
	if (t->fd >= 0 || f->len == 0)
		return true;
	if (f->payload[0] != BG_AGENT_ACCEPTED) {
		(void)snprintf(t->why, sizeof(t->why), "%.*s", (int)BG_MIN(f->len, sizeof(t->why)),
			(const char *)f->payload);
		t->why[strcspn(t->why, "\n")] = '\0';
		return true;
	}
	t->events->taken(t, t->userdata);
	return connect_here(t) >= 0;
}

/* Not more than its window, which guest_stream.c sees to. */
static bool on_data(struct tunnel *t, const struct bg_agent_frame *f)
{
	if (f->sub == BG_AGENT_ERR)
		return on_said(t, f);
	if (t->fd < 0 || t->out_len + f->len > BG_AGENT_WINDOW)
		return false;
	if (t->out_at + t->out_len + f->len > BG_AGENT_WINDOW) {
		memmove(t->out, t->out + t->out_at, t->out_len);
		t->out_at = 0;
	}
	memcpy(t->out + t->out_at + t->out_len, f->payload, f->len);
	t->out_len += f->len;
	return true;
}

static void on_credit(struct tunnel *t, const struct bg_agent_frame *f)
{
	uint32_t more;

	memcpy(&more, f->payload, sizeof(more));
	t->window += le32toh(more);
}

static void on_frame(struct guest_stream *stream, const struct bg_agent_frame *f, void *userdata)
{
	struct tunnel *t = userdata;
	bool ok = true;

	(void)stream;
	if (f->type == BG_AGENT_DATA)
		ok = on_data(t, f);
	else if (f->type == BG_AGENT_CREDIT)
		on_credit(t, f);
	else if (f->type == BG_AGENT_EOF && f->sub == BG_AGENT_OUT)
		t->out_ended = true;
	else if (f->type == BG_AGENT_DONE)
		t->done = true;
	if (ok)
		pump(t);
	else
		end(t);
}

static void on_room(struct guest_stream *stream, void *userdata)
{
	(void)stream;
	pump(userdata);
}

static void on_broken(struct guest_stream *stream, const char *why, void *userdata)
{
	(void)stream;
	(void)why;
	end(userdata);
}

static int open_stream(struct tunnel *t, struct guest *guest, struct bg_err **err)
{
	static const struct guest_stream_events stream_events = {on_frame, on_room, on_broken};
	char port[8];
	const char *const argv[] = {port, NULL}, *const env[] = {NULL};
	const struct bg_exec exec = {
		.kind = BG_AGENT_K_ACCEPT, .workdir = "/", .argv = argv, .env = env};
	_free_ uint8_t *payload = NULL;
	size_t len;
	int r;

	(void)snprintf(port, sizeof(port), "%u", t->port);
	r = bg_exec_encode(&exec, &payload, &len);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "encode a command");
	return guest_stream_open(guest, payload, len, &stream_events, t, &t->stream, err);
}

int tunnel_wait(struct loop *loop, struct guest *guest, uint16_t port,
	const struct tunnel_events *events, void *userdata, struct tunnel **ret,
	struct bg_err **err)
{
	_unref_(tunnel) struct tunnel *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	t->loop = loop;
	t->port = port;
	t->fd = -1;
	t->window = BG_AGENT_WINDOW;
	t->events = events;
	t->userdata = userdata;
	r = open_stream(t, guest, err);
	if (r >= 0)
		*ret = TAKE_PTR(t);
	return r;
}

uint16_t tunnel_port(const struct tunnel *t)
{
	return t->port;
}

bool tunnel_waits(const struct tunnel *t)
{
	return t->fd < 0;
}

void tunnel_free(struct tunnel *t)
{
	if (!t)
		return;
	guest_stream_free(t->stream);
	loop_source_free(t->io);
	loop_source_free(t->deadline);
	bg_close(t->fd);
	free(t->out);
	free(t);
}
