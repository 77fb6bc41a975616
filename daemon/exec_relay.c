/* SPDX-License-Identifier: ISC */
/*
 * See exec_relay.h. Towards the client there is a queue, which its windows bound; towards the guest
 * there is none: while the carrier is full, the client is not read.
 */
#include "daemon/exec_relay.h"

#include <assert.h>
#include <endian.h>
#include <sys/socket.h>

#include "common/agent_exec.h"
#include "common/agent_frame.h"
#include "common/log.h"
#include "daemon/driver/guest.h"
#include "daemon/engine.h"
#include "daemon/http/websocket.h"
#include "daemon/loop/loop.h"

enum { READ_SIZE = 64 * 1024, READS_PER_TURN = 4 };

static const char switching[] = "HTTP/1.1 101 Switching Protocols\r\n"
				"Connection: Upgrade\r\n"
				"Upgrade: banger-frames\r\n\r\n";

struct exec_relay {
	LIST_ENTRY(exec_relay) link;
	struct loop *loop;
	uint64_t owner;		/* of its call; 0: none */
	struct http_call *call; /* until the upgrade */
	struct loop_source *start, *io;
	int fd; /* -1 until the upgrade */
	struct guest_stream *stream;
	bool last; /* the last frame is queued: the connection ends behind it */
	bool busy; /* in a callback of ours: it is freed at its end */
	bool dead;
	unsigned events;
	uint8_t *out; /* unsent: out_len bytes from out_at on */
	size_t out_at, out_len, out_size;
	struct ws_reader *ws; /* NULL: the frames are the connection's bytes; else its messages' */
	struct bg_agent_reader reader; /* last: large, and not cleared */
};

static void relay_free(struct exec_relay *relay)
{
	if (!relay)
		return;
	relay->dead = true;
	if (relay->busy)
		return;
	LIST_REMOVE(relay, link);
	guest_stream_free(relay->stream);
	loop_source_free(relay->start);
	loop_source_free(relay->io);
	bg_close(relay->fd);
	free(relay->out);
	free(relay->ws);
	free(relay);
}
BG_DEFINE_UNREF(relay, struct exec_relay *, relay_free)

static int queue(struct exec_relay *relay, const void *bytes, size_t len)
{
	if (relay->out_len == 0)
		relay->out_at = 0;
	if (relay->out_at + relay->out_len + len > relay->out_size && relay->out_at > 0) {
		memmove(relay->out, relay->out + relay->out_at, relay->out_len);
		relay->out_at = 0;
	}
	if (relay->out_len + len > relay->out_size) {
		size_t size = BG_MAX(relay->out_size * 2, relay->out_len + len);
		uint8_t *p = realloc(relay->out, size);

		if (!p)
			return -ENOMEM;
		relay->out = p;
		relay->out_size = size;
	}
	if (len > 0)
		memcpy(relay->out + relay->out_at + relay->out_len, bytes, len);
	relay->out_len += len;
	return 0;
}

static int queue_ws_head(struct exec_relay *relay, enum ws_opcode opcode, size_t len)
{
	uint8_t head[WS_HEAD_MAX];

	return queue(relay, head, ws_head(head, opcode, len));
}

static int queue_frame(
	struct exec_relay *relay, uint16_t type, uint16_t sub, const void *p, size_t len)
{
	struct bg_agent_head head;
	int r = relay->ws ? queue_ws_head(relay, WS_BINARY, sizeof(head) + len) : 0;

	bg_agent_head_init(&head, (enum bg_agent_type)type, EXEC_RELAY_STREAM, sub, len);
	if (r >= 0)
		r = queue(relay, &head, sizeof(head));
	return r < 0 ? r : queue(relay, p, len);
}

static int watch(struct exec_relay *relay)
{
	unsigned events = (relay->out_len > 0 ? LOOP_WRITE : 0) |
			  (guest_stream_has_room(relay->stream) ? LOOP_READ : 0);

	if (!relay->io || events == relay->events)
		return 0;
	relay->events = events;
	return loop_source_set_events(relay->io, events);
}

/* -ESHUTDOWN: all is sent, and that was the last. */
static int flush(struct exec_relay *relay)
{
	while (relay->fd >= 0 && relay->out_len > 0) {
		ssize_t n = send(relay->fd, relay->out + relay->out_at, relay->out_len,
			MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return -errno;
		relay->out_at += (size_t)n;
		relay->out_len -= (size_t)n;
	}
	if (relay->fd >= 0 && relay->last && relay->out_len == 0)
		return -ESHUTDOWN;
	return watch(relay);
}

static int from_client(struct exec_relay *relay, const uint8_t *p, size_t n)
{
	struct bg_agent_frame frame;
	int r;

	while ((r = bg_agent_next(&relay->reader, &p, &n, &frame)) > 0) {
		if (frame.stream != EXEC_RELAY_STREAM)
			return -EPROTO;
		r = guest_stream_send(relay->stream, &frame);
		if (r < 0)
			return r;
		if (relay->dead)
			return 0;
	}
	return r;
}

/* A close is answered and ends the session; a client that pings without reading fills no memory. */
static int on_control(struct exec_relay *relay, const struct ws_piece *piece)
{
	enum ws_opcode answer = piece->opcode == WS_PING ? WS_PONG : WS_CLOSE;
	int r;

	if (piece->opcode == WS_PONG || relay->last || relay->out_len > BG_AGENT_WINDOW)
		return 0;
	r = queue_ws_head(relay, answer, piece->len);
	if (r >= 0)
		r = queue(relay, piece->bytes, piece->len);
	relay->last = answer == WS_CLOSE;
	return r;
}

static int from_ws(struct exec_relay *relay, uint8_t *p, size_t n)
{
	struct ws_piece piece;
	int r;

	while ((r = ws_next(relay->ws, &p, &n, &piece)) > 0) {
		r = piece.opcode == WS_BINARY ? from_client(relay, piece.bytes, piece.len)
					      : on_control(relay, &piece);
		if (r < 0 || relay->dead)
			return r;
	}
	return r;
}

static int read_client(struct exec_relay *relay)
{
	uint8_t buf[READ_SIZE];
	int r = 0;

	for (unsigned i = 0; i < READS_PER_TURN && r >= 0 && !relay->dead &&
			     guest_stream_has_room(relay->stream);
		i++) {
		ssize_t n = recv(relay->fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0)
			return n < 0 ? -errno : -ECONNRESET;
		r = relay->ws ? from_ws(relay, buf, (size_t)n) : from_client(relay, buf, (size_t)n);
	}
	return r;
}

static void leave(struct exec_relay *relay, int r)
{
	relay->busy = false;
	if (r == -EPROTO)
		log_msg(LOG_WARN, "exec", "a client sent what it may not in a session", NULL);
	if (r < 0 || relay->dead)
		relay_free(relay);
}

static void on_io(int fd, unsigned events, void *userdata)
{
	struct exec_relay *relay = userdata;
	int r = 0;

	(void)fd;
	relay->busy = true;
	if (events & LOOP_READ)
		r = read_client(relay);
	if (r >= 0 && !relay->dead)
		r = flush(relay);
	leave(relay, r);
}

/* From the loop, so that evhttp is not in the middle of the request. */
static void on_start(void *userdata)
{
	struct exec_relay *relay = userdata;
	int r = http_upgrade(TAKE_PTR(relay->call), &relay->fd);

	loop_source_free(TAKE_PTR(relay->start));
	relay->events = LOOP_READ;
	if (r >= 0)
		r = loop_add_fd(
			relay->loop, "exec client", relay->fd, LOOP_READ, on_io, relay, &relay->io);
	if (r >= 0)
		r = flush(relay);
	if (r < 0)
		relay_free(relay);
}

/* All that goes to the client passes here; a callback of the stream may free it. */
static void to_client(
	struct exec_relay *relay, uint16_t type, uint16_t sub, const void *payload, size_t len)
{
	int r = queue_frame(relay, type, sub, payload, len);

	if (r >= 0 && relay->last && relay->ws)
		r = queue_ws_head(relay, WS_CLOSE, 0);
	if (r >= 0)
		r = flush(relay);
	if (r < 0)
		relay_free(relay);
}

static void on_frame(
	struct guest_stream *stream, const struct bg_agent_frame *frame, void *userdata)
{
	struct exec_relay *relay = userdata;

	(void)stream;
	if (frame->type == BG_AGENT_DONE)
		relay->last = true;
	to_client(relay, frame->type, frame->sub, frame->payload, frame->len);
}

static void on_room(struct guest_stream *stream, void *userdata)
{
	struct exec_relay *relay = userdata;

	(void)stream;
	if (watch(relay) < 0)
		relay_free(relay);
}

/* The client is told as far as it takes that at once. */
static void on_broken(struct guest_stream *stream, const char *why, void *userdata)
{
	const struct bg_agent_done done = {.error = (int32_t)htole32(ECONNRESET)};
	struct exec_relay *relay = userdata;
	struct bg_err *err = NULL;

	(void)stream;
	if (relay->call) {
		bg_err_set(&err, BG_ERR_EXEC_LOST, ECONNRESET, "%s", why);
		http_reply_error(TAKE_PTR(relay->call), err);
	} else if (!relay->last && !relay->dead) {
		(void)queue_frame(relay, BG_AGENT_DONE, 0, &done, sizeof(done));
		if (relay->ws)
			(void)queue_ws_head(relay, WS_CLOSE, 0);
		(void)flush(relay);
	}
	relay_free(relay);
}

static const struct guest_stream_events stream_events = {
	.frame = on_frame, .room = on_room, .broken = on_broken};

/* accept: the answer of a WebSocket, or NULL. */
static int relay_new(struct engine *engine, struct guest *guest, const struct bg_exec *exec,
	const char *accept, struct exec_relay **ret, struct bg_err **err)
{
	_unref_(relay) struct exec_relay *relay = malloc(sizeof(*relay));
	_free_ uint8_t *payload = NULL;
	size_t len = 0;
	int r;

	if (!relay)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	memset(relay, 0, offsetof(struct exec_relay, reader));
	LIST_INSERT_HEAD(&engine->exec_relays, relay, link);
	relay->fd = -1;
	relay->loop = engine->loop;
	relay->ws = accept ? calloc(1, sizeof(*relay->ws)) : NULL;
	if (accept && !relay->ws)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	bg_agent_reader_plain(&relay->reader, BG_AGENT_END_GUEST);
	r = bg_exec_encode(exec, &payload, &len);
	if (r == -E2BIG)
		return bg_err_set(err, BG_ERR_BAD_REQUEST, E2BIG,
			"command and environment have more than %d bytes: send them as \"words\"",
			BG_AGENT_PAYLOAD_MAX);
	if (r >= 0)
		r = queue(relay, accept ? accept : switching, strlen(accept ? accept : switching));
	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "start the session");
	r = guest_stream_open(guest, payload, len, &stream_events, relay, &relay->stream, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(relay);
	return 0;
}

void exec_relay_start(struct engine *engine, struct http_call *call, struct guest *guest,
	const struct bg_exec *exec, const char *accept)
{
	_unref_(relay) struct exec_relay *relay = NULL;
	struct bg_err *err = NULL;
	int r = relay_new(engine, guest, exec, accept, &relay, &err);

	if (r >= 0) {
		r = loop_defer(engine->loop, "exec start", on_start, relay, &relay->start);
		if (r < 0)
			bg_err_sys(&err, BG_ERR_INTERNAL, -r, "start the session");
	}
	if (r < 0) {
		http_reply_error(call, err);
		return;
	}
	relay->call = call;
	relay->owner = http_call_owner(call);
	relay = NULL;
}

void exec_relay_end(struct engine *engine, uint64_t owner)
{
	struct exec_relay *relay, *next;

	for (relay = LIST_FIRST(&engine->exec_relays); relay; relay = next) {
		next = LIST_NEXT(relay, link);
		if (relay->owner == owner)
			on_broken(relay->stream, "signed out", relay);
	}
}
