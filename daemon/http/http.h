/* SPDX-License-Identifier: ISC */
/*
 * http.h: the API server on the unix socket. Routes and their handlers are whoever's links this (route.h): daemon/api, or a
 * test's.
 * Only peers of our own uid are served (SO_PEERCRED). evhttp is used in this folder alone.
 */
#ifndef BG_DAEMON_HTTP_HTTP_H
#define BG_DAEMON_HTTP_HTTP_H

#include <jansson.h>
#include <sys/types.h>

#include "common/base.h"
#include "common/err.h"

struct engine;
struct loop;
struct http;
struct http_call;   /* one request; the handler ends it by exactly one reply, now or later */
struct http_stream; /* a reply that goes on */

typedef void (*http_handler)(struct http_call *call, struct engine *engine);

/* listen_fd is taken: bound and listening. SIGPIPE is ignored from here on. */
int http_new(struct loop *loop, struct engine *engine, int listen_fd, struct http **ret,
	struct bg_err **err);
/*
 * A server with something before the routes (daemon/web): request sees each call first, and is all that decides who is
 * served. True: it has ended the call or will; false: the call is one of the API's, and goes on to its route.
 */
struct http_front {
	/* Of each connection, before its first request: may it stay? */
	bool (*admit)(int fd, void *userdata);
	bool (*request)(struct http_call *call, void *userdata);
	void *userdata;
};
/* listen_fd as above; front is copied. */
int http_new_front(struct loop *loop, struct engine *engine, int listen_fd,
	const struct http_front *front, struct http **ret, struct bg_err **err);
/* Serves this one in the place of the last, whose connections go on. listen_fd is taken. */
int http_listen(struct http *http, int listen_fd, struct bg_err **err);
/* Who is refused although its uid is ours: barred(pid of the caller). Without one, nobody. */
void http_set_barred(struct http *http, bool (*barred)(pid_t pid, struct engine *engine));
/*
 * Drops every connection (on_gone of the streams comes from in here). Calls not yet answered stay
 * valid: their handler ends them as ever, and nothing is sent.
 */
void http_free(struct http *http);
BG_DEFINE_UNREF(http, struct http *, http_free)
/* A connection on which nothing comes for so long, while a request is due, is closed (60 unless set). */
void http_set_idle(struct http *http, int seconds);
/* Calls not yet answered, or whose answer is not yet written; streams do not count. For a clean stop. */
unsigned http_busy(const struct http *http);

/* {name} or {id} of the path, decoded; NULL when the route has none. Borrowed from the call. */
const char *http_call_arg(const struct http_call *call);
/* Query parameter by name, or NULL. Only those the route's row lists get here; others are an error. */
const char *http_call_query(const struct http_call *call, const char *name);
/* The body as a JSON object, borrowed; an empty object when there was none. */
json_t *http_call_body(const struct http_call *call);

enum http_method { HTTP_GET, HTTP_POST, HTTP_DELETE, HTTP_OTHER, HTTP_METHOD_MAX_ };

/* For a front, of calls with a client: what the request has, as it came. path: encoded; "" when the target is not a plain path. */
enum http_method http_call_method(const struct http_call *call);
const char *http_call_path(const struct http_call *call);
/* How many headers of this name there are; *ret: the first, borrowed, NULL when there is none. */
unsigned http_call_header(const struct http_call *call, const char *name, const char **ret);
/* The connection's socket, -1 once the client has left. */
int http_call_fd(const struct http_call *call);
/* Fields of the query and of a form in the body. -EINVAL: one of them is malformed. */
int http_call_read_fields(struct http_call *call);
/* The nth (from 0) field of this name; NULL: there are not so many. */
const char *http_call_field(const struct http_call *call, const char *name, unsigned n);
/* Whose it is, for a front that lets somebody in: what goes on after the answer ends by http_end_owner. 0: nobody's in particular. */
void http_call_set_owner(struct http_call *call, uint64_t owner);
uint64_t http_call_owner(const struct http_call *call);
/* Closes the connections of this owner's calls that are under way or stream; soon, from the loop. Upgraded ones are exec_relay_end's. */
void http_end_owner(struct http *http, uint64_t owner);
/* For the answer, before it. */
void http_call_add_header(struct http_call *call, const char *name, const char *value);
/* Ends the call with these bytes, which are copied; type may be NULL. */
void http_reply_bytes(
	struct http_call *call, int status, const char *type, const void *bytes, size_t len);

/* The answer to a call of our own: body is borrowed. */
typedef void (*http_own_fn)(int status, const json_t *body, void *userdata);
/*
 * Asks the API from inside the process, as a client would: the same routes, checks and answers, without a connection. path is
 * encoded, maybe with a query; body is taken and may be NULL. done comes once, maybe from inside of this. Routes that
 * stream or upgrade answer with an error.
 */
void http_ask(struct engine *engine, enum http_method method, const char *path, json_t *body,
	http_own_fn done, void *userdata);

/* {"code", "message", "hint", "exit"}: the error object of the API; also for an operation's record. */
json_t *http_error_json(const struct bg_err *err);
/* Each ends the call; a client that has left meanwhile is not an error. body is taken. */
void http_reply(struct http_call *call, int status, json_t *body);
/* err is taken. */
void http_reply_error(struct http_call *call, struct bg_err *err);

/* Queued bytes at which a stream's reader is given up (as if it had left): it does not read. */
#define HTTP_STREAM_MAX (8 * 1024 * 1024)

/*
 * Starts a chunked reply. type: "application/x-ndjson" or "text/plain". on_gone is called once when
 * the client leaves first; the stream is freed after it, it may not be used in there. It always comes
 * from the loop (or http_free), never from inside a call on the stream. NULL: the client has
 * left already, or memory ran out; on_gone does not come, the call is ended.
 */
struct http_stream *http_reply_stream(struct http_call *call, const char *type,
	void (*on_gone)(struct http_stream *stream, void *userdata), void *userdata);
void http_stream_json(struct http_stream *stream, const json_t *line);
void http_stream_bytes(struct http_stream *stream, const void *buf, size_t len);
/* Bytes queued and not yet taken by the client: writers of bulk data wait below a bound. */
size_t http_stream_pending(const struct http_stream *stream);
/* fn comes each time all of the queue was taken: the moment for a bulk writer's next piece. */
void http_stream_on_drain(
	struct http_stream *stream, void (*fn)(struct http_stream *stream, void *userdata));
/* Frees the stream and closes the connection soon, with what is queued; on_gone does not come. */
void http_stream_drop(struct http_stream *stream);
/* Frees the stream; what is queued still goes out. */
void http_stream_end(struct http_stream *stream);

/*
 * Takes the connection over: *ret_fd is the client's socket, nonblocking and the caller's, nothing was answered
 * yet, and the call is ended. Not from inside a handler: defer it. On failure the call is ended too, by an
 * error when the client is still there.
 */
int http_upgrade(struct http_call *call, int *ret_fd);

#endif
