/* SPDX-License-Identifier: ISC */
/*
 * evhttp owns connections and requests; what has to be known about its 2.1 releases:
 * - while a request is being answered it does not read, so it does not see a client leave. Enabling
 *   reads would make it exit on pipelined bytes; streams watch for the hangup themselves.
 * - a connection that fails calls its close callback; a request whose answer was not complete is
 *   taken off it first and is then ours to free, else it is freed along.
 */
#include "daemon/http/http.h"

#include <assert.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "common/api_schema.h"
#include "common/fd.h"
#include "common/json.h"
#include "common/log.h"
#include "daemon/http/admit.h"
#include "daemon/http/call.h"
#include "daemon/loop/loop.h"

#define ACCEPT_PAUSE_USEC 100000 /* after accept failed for want of descriptors */
/* a request's head and body, or the next request: so long between two bytes */
#define IDLE_S 60

struct http {
	LIST_ENTRY(http) link;
	struct loop *loop;
	struct engine *engine;
	bool (*barred)(pid_t pid, struct engine *engine);
	struct admit *admit;	 /* NULL: the unix socket's */
	struct http_front front; /* request is NULL: the unix socket's */
	struct evhttp *evhttp;
	struct evconnlistener *listener; /* evhttp's, by bound */
	struct evhttp_bound_socket *bound;
	struct loop_source *resume;
	LIST_HEAD(, http_call) calls; /* open and sent */
};

/* libevent gives on_accept_error a pointer of its own alone: the listener is looked for in here. */
static LIST_HEAD(, http) servers = LIST_HEAD_INITIALIZER(servers);

struct evhttp_connection *call_connection(const struct http_call *call)
{
	return call->req ? evhttp_request_get_connection(call->req) : NULL;
}

struct event_base *call_base(const struct http_call *call)
{
	return loop_base(call->http->loop);
}

void call_free(struct http_call *call)
{
	if (!call)
		return;
	if (call->http)
		LIST_REMOVE(call, link);
	evhttp_clear_headers(&call->query);
	evhttp_clear_headers(&call->form);
	json_decref(call->body);
	free(call);
}
BG_DEFINE_UNREF(call, struct http_call *, call_free)

/* The connection goes down; evcon is still whole in here. */
static void on_close(struct evhttp_connection *evcon, void *userdata)
{
	struct http_call *call = userdata;

	if (call->sent) {
		call_free(call);
		return;
	}
	if (!evhttp_request_get_connection(call->req))
		evhttp_request_free(call->req);
	call->req = NULL;
	LIST_REMOVE(call, link);
	call->http = NULL;
	if (!call->stream)
		return; /* the handler still has it */
	stream_gone(call->stream);
	call_free(call);
}

/* The answer was written; evhttp frees the request after this. */
static void on_complete(struct evhttp_request *req, void *userdata)
{
	evhttp_connection_set_closecb(evhttp_request_get_connection(req), NULL, NULL);
	call_free(userdata);
}

void call_set_sent(struct http_call *call)
{
	call->sent = true;
	evhttp_request_set_on_complete_cb(call->req, on_complete, call);
}

const char *http_call_arg(const struct http_call *call)
{
	return call->match.arg[0] ? call->match.arg : NULL;
}

const char *http_call_query(const struct http_call *call, const char *name)
{
	assert(route_takes_query(call->match.route, name));
	return evhttp_find_header(&call->query, name);
}

json_t *http_call_body(const struct http_call *call)
{
	return call->body;
}

json_t *http_error_json(const struct bg_err *err)
{
	json_t *j = bg_err_to_json(err);

	if (!j)
		return NULL;
	json_object_del(j, "errno");
	json_object_set_new(j, "exit", json_integer(bg_err_code_exit(err->code)));
	return j;
}

static void free_text(const void *data, size_t len, void *userdata)
{
	(void)data;
	(void)len;
	free(userdata);
}

/* In one piece: a list of a thousand VMs is 200,000 pieces when each of jansson's goes its own way. */
static void add_json(struct evbuffer *buf, const json_t *body)
{
	char *text = json_dumps(body, JSON_COMPACT);

	if (!text)
		return;
	if (evbuffer_add_reference(buf, text, strlen(text), free_text, text) < 0)
		free(text);
	else
		(void)evbuffer_add(buf, "\n", 1);
}

/* Out of memory: the client gets an empty answer with the right status, which it can still tell. */
static void send_json(struct http_call *call, int status, const json_t *body)
{
	struct evbuffer *buf = evbuffer_new();

	evhttp_add_header(
		evhttp_request_get_output_headers(call->req), "Content-Type", "application/json");
	if (buf && body)
		add_json(buf, body);
	call_set_sent(call);
	evhttp_send_reply(call->req, status, NULL, buf);
	if (buf)
		evbuffer_free(buf);
}

void http_reply(struct http_call *call, int status, json_t *body)
{
	assert(!call->sent && !call->stream);
	if (call->own)
		call->own(status, body, call->own_data);
	if (call->req)
		send_json(call, status, body);
	else
		call_free(call);
	json_decref(body);
}

/* What is well formed and still cannot be is told from what is malformed, as RFC 9110 has it. */
static int status_of(const struct http_call *call, const struct bg_err *err)
{
	int status = bg_err_code_http(err->code);

	return status == 400 && call->checked ? 422 : status;
}

void http_reply_error(struct http_call *call, struct bg_err *err)
{
	assert(err);
	log_err(LOG_DEBUG, "http", "refused", err);
	http_reply(call, status_of(call, err), json_pack("{s:o}", "error", http_error_json(err)));
	bg_err_free(err);
}

void http_end_owner(struct http *http, uint64_t owner)
{
	struct http_call *call;

	/* The hangup that follows ends the call as a client that leaves does. */
	LIST_FOREACH (call, &http->calls, link)
		if (call->owner == owner && http_call_fd(call) >= 0)
			(void)shutdown(http_call_fd(call), SHUT_RDWR);
}

void http_set_barred(struct http *http, bool (*barred)(pid_t pid, struct engine *engine))
{
	http->barred = barred;
}

static int check_peer(const struct http *http, struct evhttp_connection *evcon, struct bg_err **err)
{
	int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(evcon));
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return bg_err_sys(err, BG_ERR_FORBIDDEN, errno, "who calls is unknown");
	if (peer.uid != geteuid())
		return bg_err_set(err, BG_ERR_FORBIDDEN, EPERM,
			"this daemon serves uid %u, not uid %u", (unsigned)geteuid(),
			(unsigned)peer.uid);
	if (http->barred && http->barred(peer.pid, http->engine))
		return bg_err_set(err, BG_ERR_FORBIDDEN, EPERM,
			"process %lld is a VM's: this daemon does not serve it",
			(long long)peer.pid);
	return 0;
}

enum http_method http_call_method(const struct http_call *call)
{
	enum evhttp_cmd_type type = evhttp_request_get_command(call->req);

	return type == EVHTTP_REQ_GET	   ? HTTP_GET
	       : type == EVHTTP_REQ_POST   ? HTTP_POST
	       : type == EVHTTP_REQ_DELETE ? HTTP_DELETE
					   : HTTP_OTHER;
}

int call_read_query(struct http_call *call, const char *text, struct bg_err **err)
{
	const struct evkeyval *kv, *other;

	if (bg_isempty(text))
		return 0;
	evhttp_clear_headers(&call->query); /* a front has read it already */
	if (call_text_has_nul(text) || evhttp_parse_query_str(text, &call->query) < 0)
		return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL, "the query is malformed");
	TAILQ_FOREACH (kv, &call->query, next) {
		int r = api_schema_check_query(call->match.route->query, kv->key, kv->value, err);

		if (r < 0)
			return r;
		for (other = TAILQ_NEXT(kv, next); other; other = TAILQ_NEXT(other, next))
			if (bg_streq(kv->key, other->key))
				return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL,
					"query parameter \"%s\" is given twice", kv->key);
	}
	return 0;
}

static int parse_body(struct evbuffer *in, size_t len, json_t **ret, struct bg_err **err)
{
	const char *text = (const char *)evbuffer_pullup(in, -1);
	_json_ json_t *body = NULL;
	json_error_t e;

	if (!text)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	body = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
	if (!body)
		return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL,
			"the body is not JSON: line %d, column %d: %s", e.line, e.column, e.text);
	if (!json_is_object(body))
		return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL, "the body is not a JSON object");
	*ret = TAKE_PTR(body);
	return 0;
}

int call_check_body(struct http_call *call, struct bg_err **err)
{
	const struct route *route = call->match.route;

	if (*route->body)
		return api_schema_check(route->body, call->body, err);
	return json_object_size(call->body) == 0 ? 0
						 : bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL,
							   "%s takes no body", route->path);
}

static int read_body(struct http_call *call, struct bg_err **err)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(call->req);
	size_t len = evbuffer_get_length(in);
	int r;

	if (len > BG_HTTP_BODY_MAX)
		return bg_err_set(err, BG_ERR_BAD_REQUEST, EFBIG, "the body has more than %d bytes",
			BG_HTTP_BODY_MAX);
	if (len == 0) {
		call->body = json_object();
		return call->body ? call_check_body(call, err)
				  : bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	r = parse_body(in, len, &call->body, err);
	if (r < 0)
		return r;
	return call_check_body(call, err);
}

/*
 * evhttp does not read the body of a TRACE: its bytes would be taken for the connection's next request. So that is its last
 * one.
 */
static void end_after_trace(struct http_call *call)
{
	if (evhttp_request_get_command(call->req) == EVHTTP_REQ_TRACE)
		evhttp_add_header(
			evhttp_request_get_output_headers(call->req), "Connection", "close");
}

static int read_request(struct http_call *call, struct bg_err **err)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(call->req);
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
	char allow[32] = "";
	int r;

	end_after_trace(call);
	r = call->http->front.request ? 0 : check_peer(call->http, call_connection(call), err);
	if (r >= 0)
		r = route_find(http_call_method(call), path ? path : "", &call->match, allow, err);
	if (allow[0] && r < 0)
		evhttp_add_header(evhttp_request_get_output_headers(call->req), "Allow", allow);
	if (r >= 0)
		r = call_read_query(call, evhttp_uri_get_query(uri), err);
	if (r >= 0)
		r = read_body(call, err);
	return r;
}

struct http_call *call_alloc(void)
{
	struct http_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	TAILQ_INIT(&call->query);
	TAILQ_INIT(&call->form);
	return call;
}

static int call_new(struct http *http, struct evhttp_request *req, struct http_call **ret)
{
	struct http_call *call = call_alloc();

	if (!call)
		return -ENOMEM;
	call->http = http;
	call->req = req;
	LIST_INSERT_HEAD(&http->calls, call, link);
	evhttp_connection_set_closecb(evhttp_request_get_connection(req), on_close, call);
	*ret = call;
	return 0;
}

/*
 * Its client has closed the connection before we read the request: it gave up while the daemon stood still, and was told that nothing
 * answers. What it asked for is not begun behind its back. A cancel is: its client may leave at once.
 */
static bool left_before(const struct http_call *call)
{
	struct pollfd p = {.events = POLLRDHUP,
		.fd = bufferevent_getfd(evhttp_connection_get_bufferevent(call_connection(call)))};

	if (call->match.route->method == HTTP_GET ||
		bg_streq(call->match.route->symbol, "OP_CANCEL"))
		return false;
	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

static void refuse_left(struct http_call *call)
{
	struct bg_err *err = NULL;

	log_msg(LOG_WARN, "http", "a client left before its request was read: it is not begun",
		"route", call->match.route->symbol, NULL);
	bg_err_set(&err, BG_ERR_CANCELLED, ECANCELED, "the client left");
	http_reply_error(call, err);
}

static void on_request(struct evhttp_request *req, void *userdata)
{
	struct http *http = userdata;
	struct loop_span span = loop_span_begin();
	struct bg_err *err = NULL;
	struct http_call *call;
	const char *symbol;

	if (call_new(http, req, &call) < 0) {
		evhttp_send_error(req, 500, NULL);
		return;
	}
	if (http->front.request && http->front.request(call, http->front.userdata)) {
		loop_span_end("http front", &span);
		return;
	}
	if (read_request(call, &err) < 0) {
		http_reply_error(call, err);
		return;
	}
	if (left_before(call)) {
		refuse_left(call);
		return;
	}
	call->checked = true;
	symbol = call->match.route->symbol;
	call->match.route->run(call, http->engine);
	loop_span_end(symbol, &span);
}

static void on_resume(void *userdata)
{
	struct http *http = userdata;

	loop_source_free(TAKE_PTR(http->resume));
	evconnlistener_enable(http->listener);
}

static struct http *http_of(const struct evconnlistener *listener)
{
	struct http *http;

	LIST_FOREACH (http, &servers, link)
		if (http->listener == listener)
			return http;
	return NULL;
}

/* Without a pause the loop would spin on a listener that stays readable. userdata is evhttp's own. */
static void on_accept_error(struct evconnlistener *listener, void *userdata)
{
	struct http *http = http_of(listener);

	(void)userdata;
	log_msg(LOG_ERROR, "http", "accept failed", "error", strerror(errno), NULL);
	if (http && !http->resume &&
		loop_add_timer(http->loop, "http accept", ACCEPT_PAUSE_USEC, on_resume, http,
			&http->resume) >= 0)
		evconnlistener_disable(listener);
}

int http_listen(struct http *http, int listen_fd, struct bg_err **err)
{
	_close_ int fd = listen_fd;
	struct evhttp_bound_socket *bound;
	struct evconnlistener *listener;
	int r = bg_set_nonblock(fd, true);

	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "the API socket");
	/* Backlog 0: it listens already. */
	listener = evconnlistener_new(loop_base(http->loop), NULL, NULL,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (!listener)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	TAKE_FD(fd);
	bound = evhttp_bind_listener(http->evhttp, listener);
	if (!bound) {
		evconnlistener_free(listener);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	evconnlistener_set_error_cb(listener, on_accept_error);
	if (http->bound)
		evhttp_del_accept_socket(http->evhttp, http->bound);
	http->bound = bound;
	http->listener = listener;
	return 0;
}

/* evhttp means both ways by it; a reader of a stream may take its time (stream.c). */
void http_set_idle(struct http *http, int seconds)
{
	evhttp_set_timeout(http->evhttp, seconds);
}

static void configure(struct http *http)
{
	/* Every method gets here, so that a wrong one is answered like all other errors. */
	evhttp_set_allowed_methods(
		http->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
				      EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
				      EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
	evhttp_set_max_headers_size(http->evhttp, BG_HTTP_HEADER_MAX);
	/* read_body refuses with an error object; what is far too large evhttp refuses on its own.
	 */
	evhttp_set_max_body_size(http->evhttp, 2 * BG_HTTP_BODY_MAX);
	evhttp_set_default_content_type(http->evhttp, NULL);
	evhttp_set_gencb(http->evhttp, on_request, http);
	http_set_idle(http, IDLE_S);
	signal(SIGPIPE, SIG_IGN);
}

int http_new(struct loop *loop, struct engine *engine, int listen_fd, struct http **ret,
	struct bg_err **err)
{
	_close_ int fd = listen_fd;
	_unref_(http) struct http *http = calloc(1, sizeof(*http));
	int r;

	if (!http)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	http->loop = loop;
	http->engine = engine;
	LIST_INIT(&http->calls);
	LIST_INSERT_HEAD(&servers, http, link);
	http->evhttp = evhttp_new(loop_base(loop));
	if (!http->evhttp)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	configure(http);
	r = http_listen(http, TAKE_FD(fd), err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(http);
	return 0;
}

int http_new_front(struct loop *loop, struct engine *engine, int listen_fd,
	const struct http_front *front, struct http **ret, struct bg_err **err)
{
	int r = http_new(loop, engine, listen_fd, ret, err);

	if (r < 0)
		return r;
	(*ret)->front = *front;
	if (admit_new(loop, (*ret)->evhttp, front->admit, front->userdata, &(*ret)->admit) >= 0)
		return 0;
	http_free(TAKE_PTR(*ret));
	return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

void http_free(struct http *http)
{
	if (!http)
		return;
	loop_source_free(http->resume);
	if (http->evhttp)
		evhttp_free(http->evhttp); /* on_close for each connection with a call */
	admit_free(http->admit);
	assert(LIST_EMPTY(&http->calls));
	LIST_REMOVE(http, link);
	free(http);
}

unsigned http_busy(const struct http *http)
{
	const struct http_call *call;
	unsigned n = 0;

	LIST_FOREACH (call, &http->calls, link)
		n += !call->stream;
	return n;
}
