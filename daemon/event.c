/* SPDX-License-Identifier: ISC */
/* event.c: A list of followers, each with a queue that is bounded: who does not read is let go. */
#include "daemon/event.h"

#include <sys/queue.h>

#include "daemon/op/op.h"

struct follower {
	LIST_ENTRY(follower) link;
	struct http_stream *stream;
	int64_t op_id;	  /* 0: everything */
	unsigned usage_s; /* a usage line so often; 0: none */
	size_t first;	  /* bytes that it was sent at once: they count apart */
};

LIST_HEAD(follower_list, follower);

struct events {
	struct loop *loop;
	struct follower_list followers;
	events_tap_fn tap;
	void *tap_data;
	struct loop_source *beat;	/* ticks while there are followers */
	struct loop_source *usage_tick; /* each second while some follow the usage */
	unsigned ticks;
	json_t *(*usage)(void *userdata);
	void *usage_data;
};

/*
 * A client that stops reading is let go rather than remembered without bound; so is the slowest of
 * many, for their sum is what the daemon must hold. What is let go asks anew for the lists.
 */
enum {
	PENDING_MAX = 1024 * 1024,
	ALL_PENDING_MAX = 16 * 1024 * 1024,
	BEAT_USEC = 10 * 1000 *
		    1000, /* an empty line: a client that hears nothing at all may give up */
	USAGE_USEC = 1000 * 1000
};

int events_new(struct loop *loop, struct events **ret)
{
	struct events *events = calloc(1, sizeof(*events));

	if (!events)
		return -ENOMEM;
	events->loop = loop;
	LIST_INIT(&events->followers);
	*ret = events;
	return 0;
}

static void follower_drop(struct follower *follower)
{
	LIST_REMOVE(follower, link);
	free(follower);
}

static void follower_end(struct follower *follower)
{
	http_stream_end(follower->stream);
	follower_drop(follower);
}

bool events_followed(const struct events *events)
{
	const struct follower *follower;

	LIST_FOREACH (follower, &events->followers, link)
		if (follower->op_id == 0)
			return true;
	return events->tap;
}

void events_tap(struct events *events, events_tap_fn fn, void *userdata)
{
	events->tap = fn;
	events->tap_data = userdata;
}

void events_end(struct events *events)
{
	while (!LIST_EMPTY(&events->followers))
		follower_end(LIST_FIRST(&events->followers));
}

void events_free(struct events *events)
{
	if (!events)
		return;
	events_end(events);
	loop_source_free(events->beat);
	loop_source_free(events->usage_tick);
	free(events);
}

static void on_gone(struct http_stream *stream, void *userdata)
{
	(void)stream;
	follower_drop(userdata);
}

/* The follower that is furthest behind; *total: bytes that wait for all of them. */
static struct follower *slowest(struct events *events, size_t *total)
{
	struct follower *follower, *ret = NULL;
	size_t most = 0;

	*total = 0;
	LIST_FOREACH (follower, &events->followers, link) {
		size_t n = http_stream_pending(follower->stream);

		*total += n;
		if (n > most) {
			most = n;
			ret = follower;
		}
	}
	return ret;
}

/* What is queued is dropped with it: its reader does not take it. */
static void let_go(struct follower *follower)
{
	http_stream_drop(follower->stream);
	follower_drop(follower);
}

static void bound_all(struct events *events)
{
	struct follower *follower;
	size_t total = 0;

	while ((follower = slowest(events, &total)) && total > ALL_PENDING_MAX)
		let_go(follower);
}

static void send_one(struct follower *follower, const json_t *line)
{
	if (http_stream_pending(follower->stream) > PENDING_MAX + follower->first)
		let_go(follower);
	else
		http_stream_json(follower->stream, line);
}

static void send_all(struct events *events, int64_t op_id, const json_t *line)
{
	struct follower *follower, *next;

	for (follower = LIST_FIRST(&events->followers); follower; follower = next) {
		next = LIST_NEXT(follower, link);
		if (follower->op_id == op_id)
			send_one(follower, line);
	}
	bound_all(events);
}

/* ---- usage ---- */

void events_set_usage(struct events *events, json_t *(*usage)(void *userdata), void *userdata)
{
	events->usage = usage;
	events->usage_data = userdata;
}

static bool is_due(const struct events *events, const struct follower *follower)
{
	return follower->usage_s && events->ticks % follower->usage_s == 0;
}

static void send_usage(struct events *events)
{
	struct follower *follower, *next;
	json_t *line = events->usage(events->usage_data);

	for (follower = LIST_FIRST(&events->followers); follower && line; follower = next) {
		next = LIST_NEXT(follower, link);
		if (is_due(events, follower))
			send_one(follower, line);
	}
	json_decref(line);
	bound_all(events);
}

static void on_usage_tick(void *userdata)
{
	struct events *events = userdata;
	const struct follower *follower;
	bool wanted = false, due = false;

	events->ticks++;
	LIST_FOREACH (follower, &events->followers, link) {
		wanted |= follower->usage_s > 0;
		due |= is_due(events, follower);
	}
	if (!wanted)
		loop_source_free(TAKE_PTR(events->usage_tick));
	else if (due)
		send_usage(events);
}

static void on_beat(void *userdata)
{
	struct events *events = userdata;
	struct follower *follower;

	if (LIST_EMPTY(&events->followers)) {
		loop_source_free(TAKE_PTR(events->beat));
		return;
	}
	LIST_FOREACH (follower, &events->followers, link)
		if (http_stream_pending(follower->stream) == 0)
			http_stream_bytes(follower->stream, "\n", 1);
}

void events_publish(struct events *events, const char *type, const char *action, const char *name,
	json_t *record)
{
	json_t *line;

	if (events->tap)
		events->tap(type, action, name, record, events->tap_data);
	line = json_pack("{s:s, s:s, s:s, s:o}", "type", type, "action", action, "name", name,
		"record", record);

	if (!line)
		return;
	send_all(events, 0, line);
	json_decref(line);
}

static void end_followers_of(struct events *events, int64_t op_id)
{
	struct follower *follower, *next;

	for (follower = LIST_FIRST(&events->followers); follower; follower = next) {
		next = LIST_NEXT(follower, link);
		if (follower->op_id == op_id)
			follower_end(follower);
	}
}

void events_publish_op(struct events *events, struct op *op)
{
	json_t *record;

	if (LIST_EMPTY(&events->followers) && !events->tap)
		return;
	record = op_to_json(op);
	send_all(events, op_id(op), record);
	events_publish(events, "operation", "changed", op_target(op), record);
	if (op_state(op) != OP_RUNNING)
		end_followers_of(events, op_id(op));
}

/* NULL when the call was ended with an error. */
static struct follower *follow(struct events *events, struct http_call *call, int64_t op_id)
{
	struct follower *follower = calloc(1, sizeof(*follower));
	struct bg_err *err = NULL;

	if (!follower) {
		bg_err_set(&err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
		http_reply_error(call, err);
		return NULL;
	}
	follower->op_id = op_id;
	follower->stream = http_reply_stream(call, "application/x-ndjson", on_gone, follower);
	if (!follower->stream) { /* the call is ended, and on_gone does not come */
		free(follower);
		return NULL;
	}
	LIST_INSERT_HEAD(&events->followers, follower, link);
	if (!events->beat)
		(void)loop_add_ticker(
			events->loop, "events beat", BEAT_USEC, on_beat, events, &events->beat);
	return follower;
}

void events_follow(
	struct events *events, struct http_call *call, unsigned usage_s, struct http_stream **ret)
{
	struct follower *follower = follow(events, call, 0);

	*ret = follower ? follower->stream : NULL;
	if (!follower || !usage_s || !events->usage)
		return;
	follower->usage_s = usage_s;
	if (!events->usage_tick)
		(void)loop_add_ticker(events->loop, "events usage", USAGE_USEC, on_usage_tick,
			events, &events->usage_tick);
}

void events_sent_first(struct events *events, const struct http_stream *stream)
{
	struct follower *follower;

	LIST_FOREACH (follower, &events->followers, link)
		if (follower->stream == stream)
			follower->first = http_stream_pending(stream);
}

void events_follow_op(struct events *events, struct http_call *call, struct op *op)
{
	bool running = op_state(op) == OP_RUNNING;
	struct follower *follower = running ? follow(events, call, op_id(op)) : NULL;
	struct http_stream *stream =
		running ? (follower ? follower->stream : NULL)
			: http_reply_stream(call, "application/x-ndjson", NULL, NULL);
	json_t *record = op_to_json(op);

	if (stream)
		http_stream_json(stream, record);
	if (stream && !running)
		http_stream_end(stream);
	json_decref(record);
}
