/* SPDX-License-Identifier: ISC */
/* GET /v1/events: who asks for it gets all records first, so that no list has to be fetched beside it. */
#include "daemon/api/api.h"
#include "daemon/api/api_util.h"
#include "daemon/engine.h"

/* A list of records as events with the action "present". */
static void send_list(struct http_stream *stream, const char *type, const char *key, json_t *reply)
{
	json_t *record;
	size_t i;

	json_array_foreach (json_object_get(reply, key), i, record) {
		const json_t *name =
			json_object_get(record, bg_streq(type, "operation") ? "target" : "name");
		json_t *line = json_pack("{s:s, s:s, s:O?, s:O}", "type", type, "action", "present",
			"name", name, "record", record);

		if (line)
			http_stream_json(stream, line);
		json_decref(line);
	}
	json_decref(reply);
}

static void send_state(struct http_stream *stream, struct engine *engine)
{
	json_t *sync = json_pack("{s:s}", "type", "sync");

	send_list(stream, "kernel", "kernels", kernels_to_json(engine->kernels));
	send_list(stream, "image", "images", images_to_json(engine->images));
	send_list(stream, "vm", "vms", vms_to_json(engine->vms, false));
	send_list(stream, "operation", "operations", ops_to_json(engine->ops));
	if (sync)
		http_stream_json(stream, sync);
	json_decref(sync);
	events_sent_first(engine->events, stream);
}

static json_t *usage_line(void *userdata)
{
	json_t *line = api_usage_list(userdata);

	if (line)
		json_object_set_new(line, "type", json_string("usage"));
	return line;
}

/* Begins at once: what is seen now is what the next line's cpu_percent compares with. */
static void send_usage(struct http_stream *stream, struct engine *engine)
{
	json_t *line = usage_line(engine);

	if (line)
		http_stream_json(stream, line);
	json_decref(line);
}

void api_events(struct http_call *call, struct engine *engine)
{
	bool state = api_is_on(http_call_query(call, "state"));
	const char *seconds = http_call_query(call, "usage");
	unsigned usage_s = seconds ? (unsigned)strtoul(seconds, NULL, 10) : 0;
	struct http_stream *stream = NULL;

	events_set_usage(engine->events, usage_line, engine);
	events_follow(engine->events, call, usage_s, &stream);
	if (stream && state)
		send_state(stream, engine);
	if (stream && usage_s)
		send_usage(stream, engine);
}
