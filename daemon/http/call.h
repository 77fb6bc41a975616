/* SPDX-License-Identifier: ISC */
/* call.h: what http.c (server, calls) and stream.c share. */
#ifndef BG_DAEMON_HTTP_CALL_H
#define BG_DAEMON_HTTP_CALL_H

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <sys/queue.h>

#include "daemon/http/route.h"

/*
 * Life of a call:
 *   open    made for a request; its handler has it. req set, sent false.
 *   sent    answered; evhttp writes and then frees the request. req set, sent true.
 *   own     made by http_ask: no connection, req and http NULL from the beginning; the answer goes to own.
 *   gone    the client left before the answer: req NULL; only the handler's answer frees it.
 * The request is the connection's until then: see on_close for the one case in which it becomes
 * ours.
 */
struct http_call {
	struct http *http; /* NULL once gone */
	struct evhttp_request *req;
	bool sent;
	bool checked;		    /* it is as the tables want it: the handler has it, or had */
	struct http_stream *stream; /* set by http_reply_stream */
	struct route_match match;
	struct evkeyvalq query, form;
	http_own_fn own;
	void *own_data;
	json_t *body;
	uint64_t owner; /* 0: none */
	LIST_ENTRY(http_call) link;
};

struct evhttp_connection *call_connection(const struct http_call *call);
/* Frees what the handler needed, keeps the call until its answer is written. */
void call_set_sent(struct http_call *call);
struct event_base *call_base(const struct http_call *call);
void call_free(struct http_call *call);
/* Is its body what its route takes? */
int call_check_body(struct http_call *call, struct bg_err **err);
/* Does an encoded text have a NUL in it? */
bool call_text_has_nul(const char *text);
/* The query parameters, as far as its route takes them. text: encoded, may be NULL. */
int call_read_query(struct http_call *call, const char *text, struct bg_err **err);
/* An empty call without a connection. */
struct http_call *call_alloc(void);
/* Called by on_close: tells the owner, and frees. */
void stream_gone(struct http_stream *stream);

#endif
