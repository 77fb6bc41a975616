/* SPDX-License-Identifier: ISC */
/*
 * event.h: tells every follower what changed: GET /v1/events, and GET /v1/operations/{id}/events,
 * which sees one operation only and ends with it.
 */
#ifndef BG_DAEMON_EVENT_H
#define BG_DAEMON_EVENT_H

#include <jansson.h>

#include "common/base.h"
#include "daemon/http/http.h"
#include "daemon/loop/loop.h"

struct events;
struct op;

int events_new(struct loop *loop, struct events **ret);
void events_free(struct events *events);
BG_DEFINE_UNREF(events, struct events *, events_free)

/* Ends every stream that is there now. */
void events_end(struct events *events);
/* record is taken. type: "vm", "image", "kernel"; action: "changed", "deleted". */
void events_publish(struct events *events, const char *type, const char *action, const char *name,
	json_t *record);
/* The operation changed; at its end its own followers' streams end. */
void events_publish_op(struct events *events, struct op *op);

/*
 * fn hears everything too, as it comes; one at a time, NULL ends it. name: an operation's target; record is borrowed, a JSON null of what is
 * deleted. It counts as somebody who follows.
 */
typedef void (*events_tap_fn)(const char *type, const char *action, const char *name,
	const json_t *record, void *userdata);
void events_tap(struct events *events, events_tap_fn fn, void *userdata);

/* Where usage lines come from: asked once for all followers, and only while there are some. */
void events_set_usage(struct events *events, json_t *(*usage)(void *userdata), void *userdata);
/* Does anybody follow all of it? */
bool events_followed(const struct events *events);
/*
 * Each ends the call with a stream. usage_s: so often a usage line too; 0: none. *ret, NULL when the call was ended with an
 * error: the stream, for what is to stand before everything else; not to be kept.
 */
void events_follow(
	struct events *events, struct http_call *call, unsigned usage_s, struct http_stream **ret);
/* What was written to the stream by now does not count against a client that is slow to read. */
void events_sent_first(struct events *events, const struct http_stream *stream);
void events_follow_op(struct events *events, struct http_call *call, struct op *op);

#endif
