/* SPDX-License-Identifier: ISC */
/* See talk.h. */
#include "guest/talk.h"

#include <assert.h>
#include <endian.h>

#include "guest/log.h"

/* What cannot be queued is dropped: only a host that never reads gets there. */
static void queue(
	struct talk *t, enum bg_agent_type type, uint32_t stream, const void *p, size_t len)
{
	struct bg_agent_head h;

	if (sizeof(h) + len > sizeof(t->out) - t->out_len)
		return;
	bg_agent_head_init(&h, type, stream, 0, len);
	memcpy(t->out + t->out_len, &h, sizeof(h));
	if (len)
		memcpy(t->out + t->out_len + sizeof(h), p, len);
	t->out_len += sizeof(h) + len;
}

static void queue_status(struct talk *t)
{
	const struct bg_agent_status s = {
		.flags = htole32(t->flags), .uptime_ms = htole32(uptime_ms())};

	queue(t, BG_AGENT_STATUS, 0, &s, sizeof(s));
}

static void queue_done(struct talk *t, uint32_t stream, int error)
{
	const struct bg_agent_done d = {.error = (int32_t)htole32((uint32_t)error)};

	queue(t, BG_AGENT_DONE, stream, &d, sizeof(d));
}

void talk_init(struct talk *t, const uint8_t vm_id[16], uint32_t flags)
{
	memcpy(t->vm_id, vm_id, sizeof(t->vm_id));
	t->flags = flags;
	t->shutdown = false;
	talk_reset(t);
}

void talk_reset(struct talk *t)
{
	bg_agent_reader_init(&t->in, BG_AGENT_END_GUEST);
	t->open = false;
	t->suspect = false;
	t->out_len = 0;
}

void talk_boot(struct talk *t)
{
	queue(t, BG_AGENT_BOOT, 0, NULL, 0);
}

static void on_hello(struct talk *t, const struct bg_agent_frame *f)
{
	struct bg_agent_welcome w = {.version = htole32(BG_AGENT_VERSION)};

	memcpy(w.nonce, f->payload, sizeof(w.nonce));
	memcpy(w.vm_id, t->vm_id, sizeof(w.vm_id));
	t->open = true;
	t->suspect = false;
	queue(t, BG_AGENT_WELCOME, 0, &w, sizeof(w));
	queue_status(t);
}

static void on_shutdown(struct talk *t, const struct bg_agent_frame *f)
{
	if (f->payload[0] != BG_AGENT_POWEROFF && f->payload[0] != BG_AGENT_REBOOT) {
		queue_done(t, 0, EINVAL);
		return;
	}
	t->how = (enum bg_agent_shutdown)f->payload[0];
	t->shutdown = true;
	queue_done(t, 0, 0);
}

/* Frames for streams that are not here are passed over; a request this build lacks is told so. */
static void on_stream(struct talk *t, const struct bg_agent_frame *f)
{
	if (f->type > BG_AGENT_CANCEL)
		queue_done(t, f->stream, ENOSYS);
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
		queue(t, BG_AGENT_PONG, 0, f->payload, f->len);
	else if (f->type == BG_AGENT_SHUTDOWN)
		on_shutdown(t, f);
}

bool talk_wants_input(const struct talk *t)
{
	return sizeof(t->out) - t->out_len >= TALK_ANSWER_MAX;
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
	memmove(t->out, t->out + n, t->out_len - n);
	t->out_len -= n;
}
