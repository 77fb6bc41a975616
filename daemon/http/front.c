/* SPDX-License-Identifier: ISC */
/*
 * What a front (daemon/web) needs of a call beyond the API's: its headers, fields of a form, an answer that is not JSON; and calls
 * of the API that the front makes itself. evhttp's own getters are not asked for Host: they prefer the request line's.
 */
#include <assert.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <strings.h>

#include "daemon/http/call.h"

const char *http_call_path(const struct http_call *call)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(call->req);

	/* An absolute target would bring a second host. */
	if (!uri || evhttp_uri_get_scheme(uri) || evhttp_uri_get_host(uri))
		return "";
	return evhttp_uri_get_path(uri) ? evhttp_uri_get_path(uri) : "";
}

unsigned http_call_header(const struct http_call *call, const char *name, const char **ret)
{
	const struct evkeyvalq *headers =
		call->req ? evhttp_request_get_input_headers(call->req) : NULL;
	const struct evkeyval *kv;
	unsigned n = 0;

	*ret = NULL;
	if (!headers)
		return 0;
	TAILQ_FOREACH (kv, headers, next)
		if (strcasecmp(kv->key, name) == 0 && n++ == 0)
			*ret = kv->value;
	return n;
}

int http_call_fd(const struct http_call *call)
{
	struct evhttp_connection *evcon = call_connection(call);

	return evcon ? bufferevent_getfd(evhttp_connection_get_bufferevent(evcon)) : -1;
}

void http_call_set_owner(struct http_call *call, uint64_t owner)
{
	call->owner = owner;
}

uint64_t http_call_owner(const struct http_call *call)
{
	return call->owner;
}

/* evhttp would end the value there. */
bool call_text_has_nul(const char *text)
{
	return strstr(text, "%00");
}

static int read_form(struct http_call *call)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(call->req);
	_free_ char *text = NULL;
	size_t len = evbuffer_get_length(in);

	if (len == 0)
		return 0;
	text = len <= BG_HTTP_BODY_MAX ? malloc(len + 1) : NULL;
	if (!text || evbuffer_copyout(in, text, len) != (ev_ssize_t)len)
		return -EINVAL;
	text[len] = '\0';
	return strlen(text) == len && !call_text_has_nul(text) &&
			       evhttp_parse_query_str(text, &call->form) >= 0
		       ? 0
		       : -EINVAL;
}

int http_call_read_fields(struct http_call *call)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(call->req);
	const char *query = uri ? evhttp_uri_get_query(uri) : NULL;

	if (!bg_isempty(query) &&
		(call_text_has_nul(query) || evhttp_parse_query_str(query, &call->query) < 0))
		return -EINVAL;
	return http_call_method(call) == HTTP_POST ? read_form(call) : 0;
}

static const char *nth(const struct evkeyvalq *list, const char *name, unsigned *n)
{
	const struct evkeyval *kv;

	TAILQ_FOREACH (kv, list, next)
		if (bg_streq(kv->key, name) && (*n)-- == 0)
			return kv->value;
	return NULL;
}

const char *http_call_field(const struct http_call *call, const char *name, unsigned n)
{
	const char *value = nth(&call->form, name, &n);

	return value ? value : nth(&call->query, name, &n);
}

void http_call_add_header(struct http_call *call, const char *name, const char *value)
{
	if (call->req)
		evhttp_add_header(evhttp_request_get_output_headers(call->req), name, value);
}

void http_reply_bytes(
	struct http_call *call, int status, const char *type, const void *bytes, size_t len)
{
	struct evbuffer *buf;

	assert(!call->sent && !call->stream);
	if (!call->req) {
		call_free(call);
		return;
	}
	buf = evbuffer_new();
	if (buf && len > 0)
		(void)evbuffer_add(buf, bytes, len);
	if (type)
		http_call_add_header(call, "Content-Type", type);
	call_set_sent(call);
	evhttp_send_reply(call->req, status, NULL, buf);
	if (buf)
		evbuffer_free(buf);
}

void http_ask(struct engine *engine, enum http_method method, const char *path, json_t *body,
	http_own_fn done, void *userdata)
{
	struct http_call *call = call_alloc();
	_free_ char *bare = strndup(path, strcspn(path, "?"));
	struct bg_err *err = NULL;
	char allow[32];
	int r;

	if (!call || !bare) {
		call_free(call);
		json_decref(body);
		done(500, NULL, userdata);
		return;
	}
	call->own = done;
	call->own_data = userdata;
	call->body = body ? body : json_object();
	r = route_find(method, bare, &call->match, allow, &err);
	if (r >= 0 && path[strlen(bare)])
		r = call_read_query(call, path + strlen(bare) + 1, &err);
	if (r >= 0)
		r = call_check_body(call, &err);
	if (r < 0) {
		http_reply_error(call, err);
		return;
	}
	call->checked = true;
	call->match.route->run(call, engine);
}
