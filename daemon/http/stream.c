/* SPDX-License-Identifier: ISC */
/*
 * Replies that go on. The hangup watch is an event of its own, since evhttp does not read while it
 * writes; see http.c. It asks for EV_READ too: a client that closes with unread bytes in its
 * socket resets it, which libevent reports as readable and not as closed.
 */
#include <assert.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <poll.h>

#include "common/log.h"
#include "daemon/http/call.h"

struct http_stream {
	struct http_call *call;
	struct event *hangup;
	struct evbuffer *piece; /* empty between calls */
	void (*on_gone)(struct http_stream *stream, void *userdata);
	void (*on_drain)(struct http_stream *stream, void *userdata);
	void *userdata;
	bool dropped; /* the reader was given up; on_gone is on its way */
};

static void stream_free(struct http_stream *stream)
{
	if (!stream)
		return;
	if (stream->hangup)
		event_free(stream->hangup);
	if (stream->piece)
		evbuffer_free(stream->piece);
	free(stream);
}

void stream_gone(struct http_stream *stream)
{
	if (stream->on_gone)
		stream->on_gone(stream, stream->userdata);
	stream_free(stream);
}

/* The truth, asked of the socket: an event may be left over from another user of the same
 * descriptor. */
static short peer_state(evutil_socket_t fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLRDHUP};

	return poll(&p, 1, 0) > 0 ? p.revents : 0;
}

static void on_hangup(evutil_socket_t fd, short what, void *userdata)
{
	struct http_stream *stream = userdata;
	short state = peer_state(fd);

	if (stream->dropped || state & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL))
		evhttp_connection_free(
			call_connection(stream->call)); /* comes back by stream_gone */
	else if (state & POLLIN)
		/* The next request, sent ahead: evhttp takes it when we are done. From here on
		 * only a failing write tells that the client left. */
		event_del(stream->hangup);
}

static struct http_stream *stream_new(struct http_call *call)
{
	struct bufferevent *bev = evhttp_connection_get_bufferevent(call_connection(call));
	struct http_stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	stream->call = call;
	stream->piece = evbuffer_new();
	stream->hangup = event_new(call_base(call), bufferevent_getfd(bev),
		EV_READ | EV_CLOSED | EV_PERSIST, on_hangup, stream);
	if (stream->piece && stream->hangup && event_add(stream->hangup, NULL) >= 0)
		return stream;
	stream_free(stream);
	return NULL;
}

struct http_stream *http_reply_stream(struct http_call *call, const char *type,
	void (*on_gone)(struct http_stream *stream, void *userdata), void *userdata)
{
	struct http_stream *stream;
	struct bg_err *err = NULL;

	assert(!call->sent && !call->stream);
	if (call->own) {
		bg_err_set(&err, BG_ERR_BAD_REQUEST, ENOTSUP, "a stream needs a connection");
		http_reply_error(call, err);
		return NULL;
	}
	if (!call->req) {
		call_free(call);
		return NULL;
	}
	stream = stream_new(call);
	if (!stream) {
		bg_err_set(&err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
		http_reply_error(call, err);
		return NULL;
	}
	stream->on_gone = on_gone;
	stream->userdata = userdata;
	call->stream = stream;
	/* A reader in a pager is slow for hours: bounds on what is queued are what holds here. */
	bufferevent_set_timeouts(
		evhttp_connection_get_bufferevent(call_connection(call)), NULL, NULL);
	evhttp_add_header(evhttp_request_get_output_headers(call->req), "Content-Type", type);
	evhttp_send_reply_start(call->req, 200, NULL);
	return stream;
}

static void on_drained(struct evhttp_connection *evcon, void *userdata)
{
	struct http_stream *stream = userdata;

	if (stream->on_drain && !stream->dropped)
		stream->on_drain(stream, stream->userdata);
}

static void send_piece(struct http_stream *stream)
{
	if (stream->dropped) {
		evbuffer_drain(stream->piece, evbuffer_get_length(stream->piece));
		return;
	}
	evhttp_send_reply_chunk_with_cb(stream->call->req, stream->piece, on_drained, stream);
	if (http_stream_pending(stream) <= HTTP_STREAM_MAX)
		return;
	log_msg(LOG_WARN, "http", "a client does not read its stream: dropped", "route",
		stream->call->match.route ? stream->call->match.route->symbol : "web", NULL);
	stream->dropped = true;
	event_active(stream->hangup, EV_CLOSED, 0); /* from the loop, not in the writer's face */
}

static int dump_to(const char *buf, size_t size, void *userdata)
{
	return evbuffer_add(userdata, buf, size);
}

void http_stream_json(struct http_stream *stream, const json_t *line)
{
	(void)json_dump_callback(line, dump_to, stream->piece, JSON_COMPACT);
	(void)evbuffer_add(stream->piece, "\n", 1);
	send_piece(stream);
}

void http_stream_bytes(struct http_stream *stream, const void *buf, size_t len)
{
	if (len == 0)
		return; /* an empty chunk would end the reply */
	(void)evbuffer_add(stream->piece, buf, len);
	send_piece(stream);
}

size_t http_stream_pending(const struct http_stream *stream)
{
	struct bufferevent *bev = evhttp_connection_get_bufferevent(call_connection(stream->call));

	return evbuffer_get_length(bufferevent_get_output(bev));
}

void http_stream_on_drain(
	struct http_stream *stream, void (*fn)(struct http_stream *stream, void *userdata))
{
	stream->on_drain = fn;
}

void http_stream_drop(struct http_stream *stream)
{
	stream->dropped = true;
	http_stream_end(stream);
}

void http_stream_end(struct http_stream *stream)
{
	struct http_call *call = stream->call;
	bool dropped = stream->dropped;

	call->stream = NULL;
	stream_free(stream);
	call_set_sent(call);
	if (dropped)
		evhttp_connection_free(call_connection(call));
	else
		evhttp_send_reply_end(call->req);
}
