/* SPDX-License-Identifier: ISC */
/* See talk.h. */
#include "guest/talk.h"

#include <assert.h>
#include <endian.h>

#include "common/clock.h"
#include "guest/log.h"

enum { DATA_WANTED = 32 * 1024 };

static size_t out_room(const struct talk *t)
{
	return sizeof(t->out) - t->out_len;
}

static uint8_t *out_end(struct talk *t)
{
	return t->out + t->out_at + t->out_len;
}

static size_t tail_room(const struct talk *t)
{
	return sizeof(t->out) - t->out_at - t->out_len;
}

/* Room behind what is queued, which is moved to the front only when want would not fit else. */
static size_t make_room(struct talk *t, size_t want)
{
	if (t->out_len == 0)
		t->out_at = 0;
	if (t->out_at > 0 && tail_room(t) < want) {
		memmove(t->out, t->out + t->out_at, t->out_len);
		t->out_at = 0;
	}
	return tail_room(t);
}

bool talk_send(struct talk *t, enum bg_agent_type type, uint32_t stream, unsigned sub,
	const void *p, size_t len)
{
	struct bg_agent_head h;
	uint8_t *end;

	if (sizeof(h) + len > make_room(t, sizeof(h) + len))
		return false;
	end = out_end(t);
	bg_agent_head_init(&h, type, stream, (uint16_t)sub, len);
	memcpy(end, &h, sizeof(h));
	if (len)
		memcpy(end + sizeof(h), p, len);
	t->out_len += sizeof(h) + len;
	return true;
}

/* What cannot be queued is dropped: only a host that never reads gets there. */
static void queue(
	struct talk *t, enum bg_agent_type type, uint32_t stream, const void *p, size_t len)
{
	(void)talk_send(t, type, stream, 0, p, len);
}

uint8_t *talk_begin_data(struct talk *t, size_t *room)
{
	size_t head = sizeof(struct bg_agent_head);
	size_t have = make_room(t, head + DATA_WANTED + TALK_ANSWERS_ROOM);

	if (have <= head + TALK_ANSWERS_ROOM)
		return NULL;
	*room = BG_MIN(have - head - TALK_ANSWERS_ROOM, (size_t)BG_AGENT_PAYLOAD_MAX);
	return out_end(t) + head;
}

void talk_end_data(struct talk *t, uint32_t stream, unsigned sub, size_t n)
{
	struct bg_agent_head h;

	if (n == 0)
		return;
	bg_agent_head_init(&h, BG_AGENT_DATA, stream, (uint16_t)sub, n);
	memcpy(out_end(t), &h, sizeof(h));
	t->out_len += sizeof(h) + n;
}

static void queue_status(struct talk *t)
{
	const struct bg_agent_status s = {
		.flags = htole32(t->flags), .uptime_ms = htole32((uint32_t)uptime_ms())};

	queue(t, BG_AGENT_STATUS, 0, &s, sizeof(s));
}

void talk_done(struct talk *t, uint32_t stream, int error, int status)
{
	const struct bg_agent_done d = {.error = (int32_t)htole32((uint32_t)error),
		.status = (int32_t)htole32((uint32_t)status)};

	queue(t, BG_AGENT_DONE, stream, &d, sizeof(d));
}

static void drop_streams(struct talk *t)
{
	if (t->streams)
		t->streams->drop(t->streams->userdata);
}

void talk_init(struct talk *t, const uint8_t vm_id[16], uint32_t flags)
{
	memcpy(t->vm_id, vm_id, sizeof(t->vm_id));
	t->flags = flags;
	t->shutdown = false;
	t->streams = NULL;
	t->gap = NULL;
	talk_reset(t);
}

void talk_reset(struct talk *t)
{
	bg_agent_reader_init(&t->in, BG_AGENT_END_GUEST);
	t->open = false;
	t->suspect = false;
	t->out_at = t->out_len = 0;
	drop_streams(t);
}

void talk_boot(struct talk *t)
{
	queue(t, BG_AGENT_BOOT, 0, NULL, 0);
}

static void on_hello(struct talk *t, const struct bg_agent_frame *f)
{
	struct bg_agent_welcome w = {.version = htole32(BG_AGENT_VERSION),
		.can = htole32(t->gap ? BG_AGENT_CAN_GAP : 0)};

	memcpy(w.nonce, f->payload, sizeof(w.nonce));
	memcpy(w.vm_id, t->vm_id, sizeof(w.vm_id));
	t->open = true;
	t->suspect = false;
	drop_streams(t);
	queue(t, BG_AGENT_WELCOME, 0, &w, sizeof(w));
	queue_status(t);
}

static void on_shutdown(struct talk *t, const struct bg_agent_frame *f)
{
	if (f->payload[0] != BG_AGENT_POWEROFF && f->payload[0] != BG_AGENT_REBOOT) {
		talk_done(t, 0, EINVAL, 0);
		return;
	}
	t->how = (enum bg_agent_shutdown)f->payload[0];
	t->shutdown = true;
	talk_done(t, 0, 0, 0);
}

static void on_ping(struct talk *t, const struct bg_agent_frame *f)
{
	struct bg_agent_pong pong = {.time_usec = (int64_t)htole64(bg_now_usec(CLOCK_REALTIME)),
		.up_usec = htole64(bg_now_usec(CLOCK_BOOTTIME))};

	memcpy(pong.ping, f->payload, sizeof(pong.ping));
	if (f->sub == BG_AGENT_PING_TIME)
		queue(t, BG_AGENT_PONG, 0, &pong, sizeof(pong));
	else
		queue(t, BG_AGENT_PONG, 0, f->payload, f->len);
}

static void on_gap(struct talk *t, const struct bg_agent_frame *f)
{
	struct bg_agent_gap_done done = {0};
	struct bg_agent_gap gap;

	if (!t->gap)
		return;
	memcpy(&gap, f->payload, sizeof(gap));
	done.number = gap.number;
	gap.parts = le32toh(gap.parts) & BG_AGENT_GAP_ALL;
	gap.time_usec = (int64_t)le64toh((uint64_t)gap.time_usec);
	t->gap(&gap, &done);
	explicit_bzero(&gap, sizeof(gap));
	done.done = htole32(done.done);
	done.step_usec = (int64_t)htole64((uint64_t)done.step_usec);
	done.time_usec = (int64_t)htole64(bg_now_usec(CLOCK_REALTIME));
	queue(t, BG_AGENT_GAP_DONE, 0, &done, sizeof(done));
}

/* A request that this build lacks is told so. */
static void on_stream(struct talk *t, const struct bg_agent_frame *f)
{
	if (f->type > BG_AGENT_WORDS || (!t->streams && f->type == BG_AGENT_EXEC))
		talk_done(t, f->stream, ENOSYS, 0);
	else if (t->streams)
		t->streams->frame(f, t->streams->userdata);
}

static void on_frame(struct talk *t, const struct bg_agent_frame *f)
{
	if (f->stream != 0) {
		on_stream(t, f);
		return;
	}
	if (f->type == BG_AGENT_HELLO)
		on_hello(t, f);
	else if (f->type == BG_AGENT_PING)
		on_ping(t, f);
	else if (f->type == BG_AGENT_GAP)
		on_gap(t, f);
	else if (f->type == BG_AGENT_SHUTDOWN)
		on_shutdown(t, f);
}

bool talk_wants_input(const struct talk *t)
{
	return out_room(t) >= TALK_ANSWER_MAX;
}

static size_t take_frames(struct talk *t, const uint8_t *p, size_t n)
{
	const uint8_t *start = p;
	struct bg_agent_frame f;

	while (talk_wants_input(t)) {
		int r = bg_agent_next(&t->in, &p, &n, &f);

		if (r == 0)
			break;
		if (r > 0)
			on_frame(t, &f);
		else
			t->open = false;
	}
	return (size_t)(p - start);
}

size_t talk_input(struct talk *t, const uint8_t *p, size_t n)
{
	size_t taken = take_frames(t, p, n);

	if (t->suspect && talk_partial(t))
		talk_stalled(t);
	return taken;
}

bool talk_partial(const struct talk *t)
{
	return bg_agent_reader_partial(&t->in);
}

void talk_stalled(struct talk *t)
{
	if (bg_agent_reader_rescan(&t->in))
		(void)take_frames(t, NULL, 0);
}

void talk_host_left(struct talk *t)
{
	if (!talk_partial(t))
		return;
	t->suspect = true;
	talk_stalled(t);
}

void talk_add_flags(struct talk *t, uint32_t flags)
{
	if ((t->flags | flags) == t->flags)
		return;
	t->flags |= flags;
	if (t->open)
		queue_status(t);
}

void talk_sent(struct talk *t, size_t n)
{
	assert(n <= t->out_len);
	t->out_at += n;
	t->out_len -= n;
}
