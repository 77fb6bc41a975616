/* SPDX-License-Identifier: ISC */
/*
 * See exec_relay.h. Towards the client there is a queue, which its windows bound; towards the guest
 * there is none: while the carrier is full, the client is not read.
 *
 * A relay that is kept has no connection for a while: what the guest writes then stays in exec_kept alone, and a timer ends it.
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
#include "daemon/exec_kept.h"
#include "daemon/http/websocket.h"
#include "daemon/loop/loop.h"

enum { READ_SIZE = 64 * 1024, READS_PER_TURN = 4 };

static const char switching[] = "HTTP/1.1 101 Switching Protocols\r\n"
				"Connection: Upgrade\r\n"
				"Upgrade: banger-frames\r\n\r\n";

struct exec_relay {
	LIST_ENTRY(exec_relay) link;
	struct loop *loop;
	struct engine *engine;
	uint64_t owner;		/* of its call; 0: none */
	struct http_call *call; /* until the upgrade */
	struct loop_source *start, *io, *grace;
	int fd;		     /* -1 until the upgrade, and while it is kept */
	struct guest *guest; /* only compared */
	struct guest_stream *stream;
	struct exec_kept *kept; /* NULL: it ends with its connection */
	bool last;		/* the last frame is queued: the connection ends behind it */
	bool over;		/* that of the guest, which is done */
	bool busy;		/* in a callback of ours: it is freed at its end */
	bool dead;
	unsigned events;
	struct bg_agent_done done;
	struct exec_bytes out; /* unsent */
	struct ws_reader *ws;  /* NULL: the frames are the connection's bytes; else its messages' */
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
	loop_source_free(relay->grace);
	bg_close(relay->fd);
	exec_bytes_free(&relay->out);
	exec_kept_free(relay->kept);
	free(relay->ws);
	free(relay);
}
BG_DEFINE_UNREF(relay, struct exec_relay *, relay_free)

/* Of those without a client: the one that waited longest, when there are too many of its owner or of all. */
static struct exec_relay *one_too_many(const struct engine *engine, uint64_t owner)
{
	struct exec_relay *relay, *oldest = NULL, *own = NULL;
	unsigned n = 0, n_own = 0;

	LIST_FOREACH (relay, &engine->exec_relays, link) {
		if (!relay->grace)
			continue;
		n++;
		oldest = relay;
		if (relay->owner == owner) {
			n_own++;
			own = relay;
		}
	}
	return n_own > EXEC_KEPT_OWNER ? own : n > EXEC_KEPT_ALL ? oldest : NULL;
}

static void on_grace(void *userdata)
{
	relay_free(userdata);
}

static void forget_client(struct exec_relay *relay)
{
	loop_source_free(TAKE_PTR(relay->io));
	bg_close(TAKE_FD(relay->fd));
	exec_bytes_free(&relay->out);
	memset(relay->ws, 0, sizeof(*relay->ws));
	bg_agent_reader_plain(&relay->reader, BG_AGENT_END_GUEST);
}

/* The connection is gone. The session too, unless it is kept for its client to come back. */
static void lost(struct exec_relay *relay, bool for_good)
{
	if (relay->grace && !relay->dead && !for_good)
		return;
	if (relay->dead || for_good || !relay->kept || relay->call ||
		loop_add_timer(relay->loop, "exec kept", EXEC_KEPT_S * 1000000ULL, on_grace, relay,
			&relay->grace) < 0) {
		relay_free(relay);
		return;
	}
	forget_client(relay);
	/* In the order in which they lost it, the last first. */
	LIST_REMOVE(relay, link);
	LIST_INSERT_HEAD(&relay->engine->exec_relays, relay, link);
	relay_free(one_too_many(relay->engine, relay->owner));
}

static int queue_ws_head(struct exec_relay *relay, enum ws_opcode opcode, size_t len)
{
	uint8_t head[WS_HEAD_MAX];

	return exec_bytes_add(&relay->out, head, ws_head(head, opcode, len));
}

static int queue_frame(
	struct exec_relay *relay, uint16_t type, uint16_t sub, const void *p, size_t len)
{
	struct bg_agent_head head;
	int r;

	if (relay->grace)
		return 0;
	r = relay->ws ? queue_ws_head(relay, WS_BINARY, sizeof(head) + len) : 0;

	bg_agent_head_init(&head, (enum bg_agent_type)type, EXEC_RELAY_STREAM, sub, len);
	if (r >= 0)
		r = exec_bytes_add(&relay->out, &head, sizeof(head));
	return r < 0 ? r : exec_bytes_add(&relay->out, p, len);
}

static int watch(struct exec_relay *relay)
{
	unsigned events = (relay->out.len > 0 ? LOOP_WRITE : 0) |
			  (guest_stream_has_room(relay->stream) ? LOOP_READ : 0);

	if (!relay->io || events == relay->events)
		return 0;
	relay->events = events;
	return loop_source_set_events(relay->io, events);
}

/* -ESHUTDOWN: all is sent, and that was the last. */
static int flush(struct exec_relay *relay)
{
	while (relay->fd >= 0 && relay->out.len > 0) {
		ssize_t n = send(relay->fd, relay->out.p + relay->out.at, relay->out.len,
			MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return -errno;
		exec_bytes_drop(&relay->out, (size_t)n);
	}
	if (relay->fd >= 0 && relay->last && relay->out.len == 0)
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
		r = relay->kept ? exec_kept_from_client(relay->kept, frame.type, frame.sub,
					  frame.payload, frame.len)
				: 0;
		if (r >= 0)
			r = guest_stream_send(relay->stream, &frame);
		if (r < 0)
			return r;
		if (relay->dead)
			return 0;
		if (relay->fd < 0)
			return -ECONNRESET;
	}
	return r;
}

/* A page that is left or loaded anew says so; who closes by itself means the session. */
static bool goes_away(const struct ws_piece *piece)
{
	return piece->len >= 2 && (piece->bytes[0] << 8 | piece->bytes[1]) == WS_GOING_AWAY;
}

/* A close is answered and ends the session; a client that pings without reading fills no memory. */
static int on_control(struct exec_relay *relay, const struct ws_piece *piece)
{
	enum ws_opcode answer = piece->opcode == WS_PING ? WS_PONG : WS_CLOSE;
	int r;

	if (piece->opcode == WS_CLOSE && relay->kept && goes_away(piece))
		return -ECONNRESET;
	if (piece->opcode == WS_PONG || relay->last || relay->out.len > BG_AGENT_WINDOW)
		return 0;
	r = queue_ws_head(relay, answer, piece->len);
	if (r >= 0)
		r = exec_bytes_add(&relay->out, piece->bytes, piece->len);
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

	for (unsigned i = 0; i < READS_PER_TURN && r >= 0 && !relay->dead && relay->fd >= 0 &&
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
		lost(relay, r == -EPROTO || r == -ESHUTDOWN);
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
		lost(relay, r == -ESHUTDOWN);
}

/* All that goes to the client passes here; a callback of the stream may free it. */
static void to_client(
	struct exec_relay *relay, uint16_t type, uint16_t sub, const void *payload, size_t len)
{
	int r = relay->kept ? exec_kept_from_guest(relay->kept, type, sub, payload, len) : 0;

	if (r >= 0)
		r = queue_frame(relay, type, sub, payload, len);
	if (r >= 0 && relay->last && relay->ws && !relay->grace)
		r = queue_ws_head(relay, WS_CLOSE, 0);
	if (r >= 0)
		r = flush(relay);
	if (r < 0)
		lost(relay, r == -ENOMEM || r == -ESHUTDOWN);
}

static void on_frame(
	struct guest_stream *stream, const struct bg_agent_frame *frame, void *userdata)
{
	struct exec_relay *relay = userdata;

	(void)stream;
	if (frame->type == BG_AGENT_DONE) {
		relay->last = relay->over = true;
		memcpy(&relay->done, frame->payload, sizeof(relay->done));
	}
	to_client(relay, frame->type, frame->sub, frame->payload, frame->len);
}

static void on_room(struct guest_stream *stream, void *userdata)
{
	struct exec_relay *relay = userdata;

	(void)stream;
	if (watch(relay) < 0)
		lost(relay, false);
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

/* What the client is told first: where it is, and what it has not seen. */
static int queue_kept(struct exec_relay *relay)
{
	const struct exec_bytes *held = &relay->kept->out;
	uint8_t head[EXEC_KEPT_HEAD];
	int r;

	exec_kept_head(relay->kept, head);
	r = queue_frame(relay, EXEC_RELAY_KEPT, 0, head, sizeof(head));
	for (size_t i = 0; r >= 0 && i < held->len; i += BG_AGENT_PAYLOAD_MAX)
		r = queue_frame(relay, BG_AGENT_DATA, BG_AGENT_OUT, held->p + held->at + i,
			BG_MIN(held->len - i, (size_t)BG_AGENT_PAYLOAD_MAX));
	if (r >= 0 && relay->over)
		r = queue_frame(relay, BG_AGENT_DONE, 0, &relay->done, sizeof(relay->done));
	return r >= 0 && relay->over ? queue_ws_head(relay, WS_CLOSE, 0) : r;
}

static int keep(struct exec_relay *relay, const char *id)
{
	if (!id)
		return 0;
	relay->kept = exec_kept_new(id);
	return relay->kept ? queue_kept(relay) : -ENOMEM;
}

static int open_stream(struct exec_relay *relay, struct guest *guest, const struct bg_exec *exec,
	struct bg_err **err)
{
	_free_ uint8_t *payload = NULL;
	size_t len = 0;
	int r = bg_exec_encode(exec, &payload, &len);

	if (r == -E2BIG)
		return bg_err_set(err, BG_ERR_BAD_REQUEST, E2BIG,
			"command and environment have more than %d bytes: send them as \"words\"",
			BG_AGENT_PAYLOAD_MAX);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "start the session");
	relay->guest = guest;
	return guest_stream_open(guest, payload, len, &stream_events, relay, &relay->stream, err);
}

static int relay_new(struct engine *engine, struct guest *guest, const struct bg_exec *exec,
	const struct exec_ws *ws, struct exec_relay **ret, struct bg_err **err)
{
	_unref_(relay) struct exec_relay *relay = malloc(sizeof(*relay));
	const char *answer = ws ? ws->accept : switching;
	int r;

	if (!relay)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	memset(relay, 0, offsetof(struct exec_relay, reader));
	LIST_INSERT_HEAD(&engine->exec_relays, relay, link);
	relay->fd = -1;
	relay->engine = engine;
	relay->loop = engine->loop;
	relay->ws = ws ? calloc(1, sizeof(*relay->ws)) : NULL;
	bg_agent_reader_plain(&relay->reader, BG_AGENT_END_GUEST);
	r = ws && !relay->ws ? -ENOMEM : exec_bytes_add(&relay->out, answer, strlen(answer));
	if (r >= 0)
		r = keep(relay, ws ? ws->keep : NULL);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "start the session");
	r = open_stream(relay, guest, exec, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(relay);
	return 0;
}

/* The session that the client means: one of its owner in this guest, whatever ids others have. */
static struct exec_relay *find(const struct engine *engine, const struct http_call *call,
	const struct guest *guest, const struct exec_ws *ws)
{
	struct exec_relay *relay;

	if (!ws || !ws->keep)
		return NULL;
	LIST_FOREACH (relay, &engine->exec_relays, link)
		if (relay->kept && relay->owner == http_call_owner(call) && relay->guest == guest &&
			bg_streq(relay->kept->id, ws->keep))
			return relay;
	return NULL;
}

/* Its former connection, should it not be known to be gone, ends. */
static int take_up(struct exec_relay *relay, const struct exec_ws *ws, struct bg_err **err)
{
	uint32_t owed;
	int r;

	if (relay->call)
		return bg_err_set(err, BG_ERR_BAD_REQUEST, EBUSY, "another client takes it up");
	loop_source_free(TAKE_PTR(relay->grace));
	forget_client(relay);
	owed = htole32(exec_kept_seen(relay->kept, ws->seen));
	if (owed) {
		const struct bg_agent_frame credit = {.type = BG_AGENT_CREDIT,
			.sub = BG_AGENT_OUT,
			.len = sizeof(owed),
			.payload = (const uint8_t *)&owed};

		(void)guest_stream_send(relay->stream, &credit);
	}
	r = exec_bytes_add(&relay->out, ws->accept, strlen(ws->accept));
	if (r >= 0)
		r = queue_kept(relay);
	return r < 0 ? bg_err_sys(err, BG_ERR_INTERNAL, -r, "take the session up") : 0;
}

void exec_relay_start(struct engine *engine, struct http_call *call, struct guest *guest,
	const struct bg_exec *exec, const struct exec_ws *ws)
{
	_unref_(relay) struct exec_relay *made = NULL;
	struct exec_relay *relay = find(engine, call, guest, ws);
	struct bg_err *err = NULL;
	int r = relay ? take_up(relay, ws, &err) : relay_new(engine, guest, exec, ws, &made, &err);

	relay = relay ? relay : made;
	if (r >= 0) {
		r = loop_defer(engine->loop, "exec start", on_start, relay, &relay->start);
		if (r < 0)
			bg_err_sys(&err, BG_ERR_INTERNAL, -r, "start the session");
	}
	if (r < 0) {
		http_reply_error(call, err);
		if (relay && relay != made && !relay->call)
			lost(relay, false);
		return;
	}
	relay->call = call;
	relay->owner = http_call_owner(call);
	made = NULL;
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
