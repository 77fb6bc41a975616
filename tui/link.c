/* SPDX-License-Identifier: ISC */
/*
 * link.c: Connections are non-blocking throughout; a lost one is tried again after a while that
 * grows.
 */
#include "tui/link.h"

#include <stdio.h>
#include <sys/queue.h>

#include "common/http_client.h"

enum {
	CALL_TIMEOUT_S = 30,
	SILENT_S = 25, /* a beat comes every ten seconds */
	AGAIN_MIN_MS = 100,
	AGAIN_MAX_MS = 2000,
	LINES_AT_ONCE = 256
};

/* One request. */
struct call {
	LIST_ENTRY(call) next;
	struct link *link;
	struct bg_http *http;
	struct event *event;
	enum call_for why;
	char what[320];
	bool raw;
};
LIST_HEAD(calls, call);

struct link {
	struct event_base *base;
	const char *socket;
	const struct link_user *user;
	void *userdata;
	struct bg_http *events;
	struct event *events_event, *again;
	bool begun; /* the stream's head was read */
	int again_ms;
	struct calls calls;
	struct call *raw;
};

static void call_free(struct call *c)
{
	LIST_REMOVE(c, next);
	if (c->link->raw == c)
		c->link->raw = NULL;
	if (c->event)
		event_free(c->event);
	bg_http_free(c->http);
	free(c);
}

static void end_call(struct call *c, const json_t *reply, struct bg_err *err)
{
	struct link *link = c->link;
	enum call_for why = c->why;
	char what[sizeof(c->what)];
	bool raw = c->raw;

	memcpy(what, c->what, sizeof(what));
	call_free(c);
	if (raw)
		link->user->on_raw(link->userdata, "", 0);
	else
		link->user->on_reply(link->userdata, why, what, reply, err ? err->message : NULL,
			err ? err->hint : NULL);
	bg_err_free(err);
}

static void take_raw(struct call *c)
{
	const char *data;
	size_t len;

	bg_http_take_raw(c->http, &data, &len);
	if (len > 0)
		c->link->user->on_raw(c->link->userdata, data, len);
	if (bg_http_ended(c->http))
		end_call(c, NULL, NULL);
}

static void take_answer(struct call *c)
{
	struct bg_err *err = NULL;
	json_t *reply = NULL;
	int status = bg_http_status(c->http);

	if (!bg_http_ended(c->http))
		return;
	(void)bg_http_next_json(c->http, &reply, NULL);
	if (status >= 300)
		(void)bg_http_error(status, reply, &err);
	end_call(c, reply, err);
	json_decref(reply);
}

static void on_call(evutil_socket_t fd, short what, void *userdata)
{
	struct call *c = userdata;
	struct bg_err *err = NULL;

	(void)fd;
	if (what & EV_TIMEOUT)
		bg_err_set(&err, BG_ERR_TIMEOUT, ETIMEDOUT, "bangerd did not answer within %d s",
			CALL_TIMEOUT_S);
	else
		(void)bg_http_pump(c->http, &err);
	if (err)
		end_call(c, NULL, err);
	else if (c->raw && bg_http_status(c->http) == 200)
		take_raw(c);
	else if (bg_http_status(c->http))
		take_answer(c);
}

static struct call *begin(struct link *link, const char *method, const char *path,
	const json_t *body, bool raw, struct bg_err **err)
{
	const struct timeval limit = {.tv_sec = CALL_TIMEOUT_S};
	struct call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->link = link;
	c->raw = raw;
	LIST_INSERT_HEAD(&link->calls, c, next);
	if (bg_http_connect_now(link->socket, &c->http, err) < 0 ||
		bg_http_send(c->http, method, path, body, err) < 0 ||
		!(c->event = event_new(
			  link->base, bg_http_fd(c->http), EV_READ | EV_PERSIST, on_call, c)) ||
		event_add(c->event, raw ? NULL : &limit) < 0) {
		call_free(c);
		return NULL;
	}
	return c;
}

void link_call(struct link *link, enum call_for why, const char *method, const char *path,
	json_t *body, const char *what)
{
	struct bg_err *err = NULL;
	struct call *c = begin(link, method, path, body, false, &err);

	json_decref(body);
	if (c) {
		c->why = why;
		snprintf(c->what, sizeof(c->what), "%s", what);
		return;
	}
	link->user->on_reply(link->userdata, why, what, NULL, err ? err->message : "out of memory",
		err ? err->hint : NULL);
	bg_err_free(err);
}

void link_follow(struct link *link, const char *path)
{
	if (link->raw)
		call_free(link->raw);
	link->raw = path ? begin(link, "GET", path, NULL, true, NULL) : NULL;
	if (path && !link->raw)
		link->user->on_raw(link->userdata, "", 0);
}

/* ---- the events ---- */

static void try_later(struct link *link)
{
	const struct timeval wait = {
		.tv_sec = link->again_ms / 1000, .tv_usec = link->again_ms % 1000 * 1000};

	(void)event_add(link->again, &wait);
	link->again_ms = BG_MIN(link->again_ms * 2, (int)AGAIN_MAX_MS);
}

static void lose(struct link *link, bool absent)
{
	if (link->events_event)
		event_free(link->events_event);
	link->events_event = NULL;
	bg_http_free(TAKE_PTR(link->events));
	try_later(link);
	link->user->on_lost(link->userdata, absent);
}

/* A bounded number, so that a flood leaves room for keys; more means that the event comes again. */
static bool take_lines(struct link *link, struct bg_err **err)
{
	json_t *line = NULL;

	for (int i = 0; i < LINES_AT_ONCE; i++) {
		if (bg_http_take_line(link->events, &line, err) < 0)
			return false;
		if (!line)
			return false;
		link->user->on_line(link->userdata, line);
		json_decref(line);
	}
	return true;
}

static void on_events(evutil_socket_t fd, short what, void *userdata)
{
	struct link *link = userdata;
	struct bg_err *err = NULL;
	int status;

	(void)fd;
	if (what & EV_TIMEOUT)
		bg_err_set(&err, BG_ERR_TIMEOUT, ETIMEDOUT, "silent");
	else if (what & EV_READ)
		(void)bg_http_pump(link->events, &err);
	status = err ? 0 : bg_http_status(link->events);
	if (status == 200 && !link->begun) {
		link->begun = true;
		link->again_ms = AGAIN_MIN_MS;
		link->user->on_begin(link->userdata);
	}
	if (status == 200 && take_lines(link, &err))
		event_active(link->events_event, EV_WRITE, 0);
	if (err || (status && (status != 200 || bg_http_ended(link->events))))
		lose(link, false);
	bg_err_free(err);
}

static void connect_events(struct link *link)
{
	const struct timeval silent = {.tv_sec = SILENT_S};
	_err_ struct bg_err *err = NULL;
	int r = bg_http_connect_now(link->socket, &link->events, &err);

	link->begun = false;
	if (r >= 0)
		r = bg_http_send(link->events, "GET", "/v1/events?state=1&usage=2", NULL, &err);
	if (r < 0) {
		lose(link, r == -ENOENT || r == -ECONNREFUSED);
		return;
	}
	link->events_event = event_new(
		link->base, bg_http_fd(link->events), EV_READ | EV_PERSIST, on_events, link);
	if (!link->events_event || event_add(link->events_event, &silent) < 0)
		lose(link, false);
}

static void on_again(evutil_socket_t fd, short what, void *userdata)
{
	(void)fd;
	(void)what;
	connect_events(userdata);
}

void link_again(struct link *link)
{
	event_del(link->again);
	if (link->events_event)
		event_free(link->events_event);
	link->events_event = NULL;
	bg_http_free(TAKE_PTR(link->events));
	link->again_ms = AGAIN_MIN_MS;
	event_active(link->again, EV_TIMEOUT, 0);
}

int link_new(struct event_base *base, const char *socket, const struct link_user *user,
	void *userdata, struct link **ret)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		return -ENOMEM;
	link->base = base;
	link->socket = socket;
	link->user = user;
	link->userdata = userdata;
	link->again_ms = AGAIN_MIN_MS;
	LIST_INIT(&link->calls);
	link->again = event_new(base, -1, 0, on_again, link);
	if (!link->again) {
		free(link);
		return -ENOMEM;
	}
	event_active(link->again, EV_TIMEOUT, 0);
	*ret = link;
	return 0;
}

void link_free(struct link *link)
{
	if (!link)
		return;
	while (!LIST_EMPTY(&link->calls))
		call_free(LIST_FIRST(&link->calls));
	if (link->events_event)
		event_free(link->events_event);
	bg_http_free(link->events);
	event_free(link->again);
	free(link);
}
