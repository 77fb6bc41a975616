/* SPDX-License-Identifier: ISC */
/* See conversation.h. */
#include "guest/conversation.h"

#include <assert.h>
#include <endian.h>

#include "common/clock.h"
#include "guest/log.h"

enum { DATA_WANTED = 32 * 1024 };

static size_t out_room(const struct conversation *c)
{
	return sizeof(c->out) - c->out_len;
}

static uint8_t *out_end(struct conversation *c)
{
	return c->out + c->out_at + c->out_len;
}

static size_t tail_room(const struct conversation *c)
{
	return sizeof(c->out) - c->out_at - c->out_len;
}

/* Room behind what is queued, which is moved to the front only when want would not fit else. */
static size_t make_room(struct conversation *c, size_t want)
{
	if (c->out_len == 0)
		c->out_at = 0;
	if (c->out_at > 0 && tail_room(c) < want) {
		memmove(c->out, c->out + c->out_at, c->out_len);
		c->out_at = 0;
	}
	return tail_room(c);
}

bool conversation_send(struct conversation *c, enum bg_agent_type type, uint32_t stream,
	unsigned sub, const void *p, size_t len)
{
	struct bg_agent_head h;
	uint8_t *end;

	if (sizeof(h) + len > make_room(c, sizeof(h) + len))
		return false;
	end = out_end(c);
	bg_agent_head_init(&h, type, stream, (uint16_t)sub, len);
	memcpy(end, &h, sizeof(h));
	if (len)
		memcpy(end + sizeof(h), p, len);
	c->out_len += sizeof(h) + len;
	return true;
}

/* What cannot be queued is dropped: only a host that never reads gets there. */
static void queue(
	struct conversation *c, enum bg_agent_type type, uint32_t stream, const void *p, size_t len)
{
	(void)conversation_send(c, type, stream, 0, p, len);
}

uint8_t *conversation_begin_data(struct conversation *c, size_t *room)
{
	size_t head = sizeof(struct bg_agent_head);
	size_t have = make_room(c, head + DATA_WANTED + CONVERSATION_ANSWERS_ROOM);

	if (have <= head + CONVERSATION_ANSWERS_ROOM)
		return NULL;
	*room = BG_MIN(have - head - CONVERSATION_ANSWERS_ROOM, (size_t)BG_AGENT_PAYLOAD_MAX);
	return out_end(c) + head;
}

void conversation_end_data(struct conversation *c, uint32_t stream, unsigned sub, size_t n)
{
	struct bg_agent_head h;

	if (n == 0)
		return;
	bg_agent_head_init(&h, BG_AGENT_DATA, stream, (uint16_t)sub, n);
	memcpy(out_end(c), &h, sizeof(h));
	c->out_len += sizeof(h) + n;
}

static void queue_status(struct conversation *c)
{
	const struct bg_agent_status s = {
		.flags = htole32(c->flags), .uptime_ms = htole32((uint32_t)uptime_ms())};

	queue(c, BG_AGENT_STATUS, 0, &s, sizeof(s));
}

void conversation_done(struct conversation *c, uint32_t stream, int error, int status)
{
	const struct bg_agent_done d = {.error = (int32_t)htole32((uint32_t)error),
		.status = (int32_t)htole32((uint32_t)status)};

	queue(c, BG_AGENT_DONE, stream, &d, sizeof(d));
}

static void drop_streams(struct conversation *c)
{
	if (c->streams)
		c->streams->drop(c->streams->userdata);
}

void conversation_init(struct conversation *c, const uint8_t vm_id[16], uint32_t flags)
{
	memcpy(c->vm_id, vm_id, sizeof(c->vm_id));
	c->flags = flags;
	c->shutdown = false;
	c->streams = NULL;
	c->gap = NULL;
	conversation_reset(c);
}

void conversation_reset(struct conversation *c)
{
	bg_agent_reader_init(&c->in, BG_AGENT_END_GUEST);
	c->open = false;
	c->suspect = false;
	c->out_at = c->out_len = 0;
	drop_streams(c);
}

void conversation_boot(struct conversation *c)
{
	queue(c, BG_AGENT_BOOT, 0, NULL, 0);
}

static void on_hello(struct conversation *c, const struct bg_agent_frame *f)
{
	struct bg_agent_welcome w = {.version = htole32(BG_AGENT_VERSION),
		.can = htole32(c->gap ? BG_AGENT_CAN_GAP : 0)};

	memcpy(w.nonce, f->payload, sizeof(w.nonce));
	memcpy(w.vm_id, c->vm_id, sizeof(w.vm_id));
	c->open = true;
	c->suspect = false;
	drop_streams(c);
	queue(c, BG_AGENT_WELCOME, 0, &w, sizeof(w));
	queue_status(c);
}

static void on_shutdown(struct conversation *c, const struct bg_agent_frame *f)
{
	if (f->payload[0] != BG_AGENT_POWEROFF && f->payload[0] != BG_AGENT_REBOOT) {
		conversation_done(c, 0, EINVAL, 0);
		return;
	}
	c->how = (enum bg_agent_shutdown)f->payload[0];
	c->shutdown = true;
	conversation_done(c, 0, 0, 0);
}

static void on_ping(struct conversation *c, const struct bg_agent_frame *f)
{
	struct bg_agent_pong pong = {.time_usec = (int64_t)htole64(bg_now_usec(CLOCK_REALTIME)),
		.up_usec = htole64(bg_now_usec(CLOCK_BOOTTIME))};

	memcpy(pong.ping, f->payload, sizeof(pong.ping));
	if (f->sub == BG_AGENT_PING_TIME)
		queue(c, BG_AGENT_PONG, 0, &pong, sizeof(pong));
	else
		queue(c, BG_AGENT_PONG, 0, f->payload, f->len);
}

static void on_gap(struct conversation *c, const struct bg_agent_frame *f)
{
	struct bg_agent_gap_done done = {0};
	struct bg_agent_gap gap;

	if (!c->gap)
		return;
	memcpy(&gap, f->payload, sizeof(gap));
	done.number = gap.number;
	gap.parts = le32toh(gap.parts) & BG_AGENT_GAP_ALL;
	gap.time_usec = (int64_t)le64toh((uint64_t)gap.time_usec);
	c->gap(&gap, &done);
	explicit_bzero(&gap, sizeof(gap));
	done.done = htole32(done.done);
	done.step_usec = (int64_t)htole64((uint64_t)done.step_usec);
	done.time_usec = (int64_t)htole64(bg_now_usec(CLOCK_REALTIME));
	queue(c, BG_AGENT_GAP_DONE, 0, &done, sizeof(done));
}

/* A request that this build lacks is told so. */
static void on_stream(struct conversation *c, const struct bg_agent_frame *f)
{
	if (f->type > BG_AGENT_WORDS || (!c->streams && f->type == BG_AGENT_EXEC))
		conversation_done(c, f->stream, ENOSYS, 0);
	else if (c->streams)
		c->streams->frame(f, c->streams->userdata);
}

static void on_frame(struct conversation *c, const struct bg_agent_frame *f)
{
	if (f->stream != 0) {
		on_stream(c, f);
		return;
	}
	if (f->type == BG_AGENT_HELLO)
		on_hello(c, f);
	else if (f->type == BG_AGENT_PING)
		on_ping(c, f);
	else if (f->type == BG_AGENT_GAP)
		on_gap(c, f);
	else if (f->type == BG_AGENT_SHUTDOWN)
		on_shutdown(c, f);
}

bool conversation_wants_input(const struct conversation *c)
{
	return out_room(c) >= CONVERSATION_ANSWER_MAX;
}

static size_t take_frames(struct conversation *c, const uint8_t *p, size_t n)
{
	const uint8_t *start = p;
	struct bg_agent_frame f;

	while (conversation_wants_input(c)) {
		int r = bg_agent_next(&c->in, &p, &n, &f);

		if (r == 0)
			break;
		if (r > 0)
			on_frame(c, &f);
		else
			c->open = false;
	}
	return (size_t)(p - start);
}

size_t conversation_input(struct conversation *c, const uint8_t *p, size_t n)
{
	size_t taken = take_frames(c, p, n);

	if (c->suspect && conversation_partial(c))
		conversation_stalled(c);
	return taken;
}

bool conversation_partial(const struct conversation *c)
{
	return bg_agent_reader_partial(&c->in);
}

void conversation_stalled(struct conversation *c)
{
	if (bg_agent_reader_rescan(&c->in))
		(void)take_frames(c, NULL, 0);
}

void conversation_host_left(struct conversation *c)
{
	if (!conversation_partial(c))
		return;
	c->suspect = true;
	conversation_stalled(c);
}

void conversation_add_flags(struct conversation *c, uint32_t flags)
{
	if ((c->flags | flags) == c->flags)
		return;
	c->flags |= flags;
	if (c->open)
		queue_status(c);
}

void conversation_sent(struct conversation *c, size_t n)
{
	assert(n <= c->out_len);
	c->out_at += n;
	c->out_len -= n;
}
