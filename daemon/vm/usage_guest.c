/* SPDX-License-Identifier: ISC */
/*
 * Asks a guest's agent how it does: lines of a name and a number (guest/stats.c), which are taken as untrusted. One
 * object per question; it ends with the answer, the conversation or the deadline.
 */
#include "common/agent_exec.h"
#include "common/agent_frame.h"
#include "common/vm_record.h"
#include "daemon/driver/guest.h"
#include "daemon/engine.h"
#include "daemon/vm/usage.h"

enum { TEXT_MAX = 8 * 1024, LATE_USEC = 3 * 1000 * 1000 };

struct question {
	struct guest_stream *stream;
	struct loop_source *late;
	void (*fn)(const json_t *record, void *userdata);
	void *userdata;
	size_t len;
	char text[TEXT_MAX + 1];
};

static void end(struct question *q, bool answered)
{
	json_t *record = answered ? bg_guest_stats(q->text) : NULL;

	guest_stream_free(q->stream);
	loop_source_free(q->late);
	q->fn(record, q->userdata);
	json_decref(record);
	free(q);
}

static void on_frame(
	struct guest_stream *stream, const struct bg_agent_frame *frame, void *userdata)
{
	struct question *q = userdata;
	size_t n = BG_MIN((size_t)frame->len, TEXT_MAX - q->len);

	(void)stream;
	if (frame->type == BG_AGENT_DONE) {
		end(q, q->len > 0);
	} else if (frame->type == BG_AGENT_DATA && frame->sub == BG_AGENT_OUT && n > 0) {
		memcpy(q->text + q->len, frame->payload, n);
		q->len += n;
	}
}

static void on_room(struct guest_stream *stream, void *userdata)
{
	(void)stream;
	(void)userdata;
}

static void on_broken(struct guest_stream *stream, const char *why, void *userdata)
{
	(void)stream;
	(void)why;
	end(userdata, false);
}

static void on_late(void *userdata)
{
	end(userdata, false);
}

static int open_stream(struct vm *vm, struct question *q)
{
	static const struct guest_stream_events events = {
		.frame = on_frame, .room = on_room, .broken = on_broken};
	static const char *const none[] = {NULL};
	const struct bg_exec exec = {.kind = BG_AGENT_K_STATS,
		.timeout_ms = LATE_USEC / 1000,
		.argv = none,
		.env = none};
	_free_ uint8_t *payload = NULL;
	size_t len = 0;
	int r = bg_exec_encode(&exec, &payload, &len);

	if (r >= 0)
		r = loop_add_timer(
			vm->engine->loop, "guest stats", LATE_USEC, on_late, q, &q->late);
	if (r >= 0)
		r = guest_stream_open(vm->guest, payload, len, &events, q, &q->stream, NULL);
	return r;
}

bool usage_ask_guest(
	struct vm *vm, void (*fn)(const json_t *record, void *userdata), void *userdata)
{
	struct question *q;

	if (!vm->guest || !guest_connected(vm->guest) || vm->agent_silent)
		return false;
	q = calloc(1, sizeof(*q));
	if (!q)
		return false;
	q->fn = fn;
	q->userdata = userdata;
	if (open_stream(vm, q) >= 0)
		return true;
	loop_source_free(q->late);
	free(q);
	return false;
}
