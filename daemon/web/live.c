/* SPDX-License-Identifier: ISC */
/*
 * GET /live: server-sent events. Each stream begins with all there is (event "all"), so a browser that was away needs no history. Then what
 * changed, merged: at most one message for each VM and operation in TICK_USEC, the latest; the text of a message is made once for all
 * streams. Nothing ticks while nobody looks, or while nothing changes.
 */
#include <stdio.h>
#include <sys/queue.h>
#include <time.h>

#include "common/json.h"
#include "daemon/engine.h"
#include "daemon/web/view.h"
#include "daemon/web/web_impl.h"

enum {
	TICK_USEC = 200000,
	BEAT_USEC = 15000000,
	USAGE_USEC = 2000000,
	STREAMS_MAX = 4, /* of a session: a browser has six connections, and needs some for pages */
	PENDING_MAX = 1024 * 1024,
};

struct watcher {
	LIST_ENTRY(watcher) link;
	struct live *live;
	struct http_stream *stream;
	uint64_t session;
};

struct live {
	struct web *web;
	LIST_HEAD(, watcher) watchers; /* the newest first */
	json_t *dirty;		       /* "vm NAME" and "op ID" to {"event", "data"} */
	struct loop_source *tick, *beat, *usage;
	bool asking; /* for the usage: the answer is on its way */
};

int live_new(struct web *web, struct live **ret)
{
	struct live *live = calloc(1, sizeof(*live));

	if (!live)
		return -ENOMEM;
	live->web = web;
	LIST_INIT(&live->watchers);
	live->dirty = json_object();
	*ret = live;
	return live->dirty ? 0 : -ENOMEM;
}

static void stop_when_alone(struct live *live)
{
	if (!LIST_EMPTY(&live->watchers))
		return;
	loop_source_free(TAKE_PTR(live->tick));
	loop_source_free(TAKE_PTR(live->beat));
	loop_source_free(TAKE_PTR(live->usage));
	json_object_clear(live->dirty);
	if (live->web->engine && live->web->engine->events)
		events_tap(live->web->engine->events, NULL, NULL);
}

static void watcher_free(struct watcher *watcher)
{
	struct live *live = watcher->live;

	LIST_REMOVE(watcher, link);
	free(watcher);
	stop_when_alone(live);
}

static void on_gone(struct http_stream *stream, void *userdata)
{
	(void)stream;
	watcher_free(userdata);
}

static void end(struct watcher *watcher, const char *last)
{
	http_stream_bytes(watcher->stream, last, strlen(last));
	http_stream_end(watcher->stream);
	watcher_free(watcher);
}

void live_end(struct live *live, uint64_t session)
{
	struct watcher *watcher, *next;

	for (watcher = live ? LIST_FIRST(&live->watchers) : NULL; watcher; watcher = next) {
		next = LIST_NEXT(watcher, link);
		if (session == 0 || watcher->session == session)
			end(watcher, "event: bye\ndata: {}\n\n");
	}
}

void live_free(struct live *live)
{
	if (!live)
		return;
	live_end(live, 0);
	json_decref(live->dirty);
	free(live);
}

/* JSON has no line end in it, so a message is one line. */
static char *message(const char *event, const json_t *data, size_t *len)
{
	char *json = json_dumps(data, JSON_COMPACT), *text = NULL;
	int n = json ? asprintf(&text, "event: %s\ndata: %s\n\n", event, json) : -1;

	free(json);
	*len = n < 0 ? 0 : (size_t)n;
	return n < 0 ? NULL : text;
}

static void send_one(struct watcher *watcher, const char *text, size_t len)
{
	if (http_stream_pending(watcher->stream) <= PENDING_MAX) {
		http_stream_bytes(watcher->stream, text, len);
		return;
	}
	/* It does not read; it asks anew when it does. */
	http_stream_drop(watcher->stream);
	watcher_free(watcher);
}

static void send_all(struct live *live, const char *text, size_t len)
{
	struct watcher *watcher, *next;

	for (watcher = LIST_FIRST(&live->watchers); watcher; watcher = next) {
		next = LIST_NEXT(watcher, link);
		send_one(watcher, text, len);
	}
}

static void on_tick(void *userdata)
{
	struct live *live = userdata;
	json_t *item, *dirty = live->dirty;
	_free_ char *all = NULL;
	size_t len = 0, n;
	const char *key;
	FILE *f = open_memstream(&all, &len);

	loop_source_free(TAKE_PTR(live->tick));
	json_object_foreach (dirty, key, item) {
		_free_ char *text = message(json_string_value(json_object_get(item, "event")),
			json_object_get(item, "data"), &n);

		if (text && f)
			fwrite(text, 1, n, f);
	}
	json_object_clear(dirty);
	if (f && fclose(f) == 0)
		send_all(live, all, len);
}

/* A page that is looked at is in use. */
static void on_beat(void *userdata)
{
	struct live *live = userdata;
	const struct watcher *watcher;

	LIST_FOREACH (watcher, &live->watchers, link)
		sessions_touch(live->web->sessions, watcher->session, loop_now_usec() / 1000000);
	send_all(live, ":\n\n", 3);
}

static void on_usage_answer(int status, const json_t *body, void *userdata)
{
	struct live *live = userdata;
	_json_ json_t *list =
		status < 400 ? view_list(json_object_get(body, "vms"), view_usage) : NULL;
	size_t len = 0;
	_free_ char *text = list ? message("usage", list, &len) : NULL;

	live->asking = false;
	if (text)
		send_all(live, text, len);
}

static void on_usage(void *userdata)
{
	struct live *live = userdata;

	if (live->asking)
		return;
	live->asking = true;
	http_ask(live->web->engine, HTTP_GET, "/v1/usage", NULL, on_usage_answer, live);
}

/* The latest of a thing takes the place of those before; it is put into words when it is sent. */
static void on_event(const char *type, const char *action, const char *name, const json_t *record,
	void *userdata)
{
	struct live *live = userdata;
	bool op = bg_streq(type, "operation"), vm = bg_streq(type, "vm");
	const char *id = op ? json_string_value(json_object_get(record, "id")) : name;
	json_t *data = op			      ? view_op(record)
		       : vm && json_is_object(record) ? view_vm(record, time(NULL))
						      : json_object();
	char key[128];

	json_object_set_new(data, "name", json_string(op ? "" : name));
	snprintf(key, sizeof(key), "%.20s %.100s", type, id ? id : "");
	json_object_set_new(live->dirty, key,
		json_pack("{s:s, s:o}", "event",
			op			      ? "op"
			: !vm			      ? "other"
			: bg_streq(action, "deleted") ? "gone"
						      : "vm",
			"data", data));
	if (!live->tick)
		(void)loop_add_timer(
			live->web->engine->loop, "live", TICK_USEC, on_tick, live, &live->tick);
}

/* The session's oldest goes when there are too many. */
static void make_room(struct live *live, uint64_t session)
{
	struct watcher *watcher, *oldest = NULL;
	unsigned n = 0;

	LIST_FOREACH (watcher, &live->watchers, link)
		if (watcher->session == session) {
			n++;
			oldest = watcher;
		}
	if (n >= STREAMS_MAX)
		end(oldest, "event: full\ndata: {}\n\n");
}

static struct watcher *watch(struct live *live, struct http_call *call, uint64_t session)
{
	struct watcher *watcher = calloc(1, sizeof(*watcher));

	if (!watcher)
		return NULL;
	make_room(live, session);
	http_call_add_header(call, "Cache-Control", "no-store");
	watcher->stream =
		http_reply_stream(call, "text/event-stream; charset=utf-8", on_gone, watcher);
	if (!watcher->stream) {
		free(watcher);
		return NULL;
	}
	watcher->live = live;
	watcher->session = session;
	LIST_INSERT_HEAD(&live->watchers, watcher, link);
	return watcher;
}

/* What a stream begins with is asked for as any page's is, and may come later: visit->next tells which stream waits. */
static json_t *snapshot(const json_t *raw)
{
	const json_t *vms = json_object_get(json_object_get(raw, "vms"), "vms"), *record;
	const json_t *ops = json_object_get(json_object_get(raw, "ops"), "operations");
	json_t *list = json_array(), *all = view_list(ops, view_op);
	int64_t now = time(NULL);
	size_t i;

	json_array_foreach (vms, i, record)
		json_array_append_new(list, view_vm(record, now));
	return json_pack("{s:o, s:o}", "vms", list, "ops", all);
}

static void begin(struct visit *visit)
{
	static const char retry[] = "retry: 2000\n\n";
	_json_ json_t *all = snapshot(visit->raw);
	struct live *live = visit->web->live;
	struct watcher *watcher = NULL;
	size_t len = 0;
	_free_ char *text = message("all", all, &len);

	if (sessions_alive(visit->web->sessions, visit->next)) /* not signed out meanwhile */
		watcher = watch(live, visit->call, visit->next);
	else
		http_reply_bytes(visit->call, 403, NULL, NULL, 0);

	if (watcher && text) {
		http_stream_bytes(watcher->stream, retry, strlen(retry));
		http_stream_bytes(watcher->stream, text, len);
		events_tap(visit->web->engine->events, on_event, live);
		if (!live->beat)
			(void)loop_add_ticker(visit->web->engine->loop, "live beat", BEAT_USEC,
				on_beat, live, &live->beat);
		if (!live->usage)
			(void)loop_add_ticker(visit->web->engine->loop, "live usage", USAGE_USEC,
				on_usage, live, &live->usage);
		on_usage(live); /* a page that was just opened does not wait for the next round */
	}
	visit_free(visit);
}

static void on_ops(int status, const json_t *body, void *userdata)
{
	struct visit *visit = userdata;

	if (status < 400)
		json_object_set(visit->raw, "ops", (json_t *)(uintptr_t)body);
	begin(visit);
}

static void on_vms(int status, const json_t *body, void *userdata)
{
	struct visit *visit = userdata;

	if (status < 400)
		json_object_set(visit->raw, "vms", (json_t *)(uintptr_t)body);
	http_ask(visit->web->engine, HTTP_GET, "/v1/operations", NULL, on_ops, visit);
}

void live_follow(struct visit *visit)
{
	visit->raw = json_object();
	visit->next = (unsigned)session_id(visit->session);
	http_ask(visit->web->engine, HTTP_GET, "/v1/vms", NULL, on_vms, visit);
}
