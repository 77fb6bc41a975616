/* SPDX-License-Identifier: ISC */
/*
 * Streams of the conversation: numbers and windows. What is in the frames is the client's and the
 * guest's affair; nothing is held here, the carrier's queue is guest_agent.c's.
 */
#include <assert.h>
#include <endian.h>

#include "daemon/driver/guest_impl.h"

struct guest_stream {
	struct guest *guest; /* NULL: broken */
	TAILQ_ENTRY(guest_stream) link;
	uint32_t id;
	bool ended;			/* DONE came */
	bool wants_room;		/* the owner waits for room */
	uint32_t window[BG_AGENT_SUBS]; /* bytes that may still go (0), or come (1, 2) */
	bool eof[BG_AGENT_SUBS];	/* the guest said so */
	unsigned signals;		/* sent, and not confirmed by the guest */
	const struct guest_stream_events *events;
	void *userdata;
};

static void detach(struct guest_stream *stream)
{
	if (stream->guest)
		TAILQ_REMOVE(&stream->guest->streams, stream, link);
	stream->guest = NULL;
}

int guest_stream_open(struct guest *guest, const uint8_t *exec, size_t len,
	const struct guest_stream_events *events, void *userdata, struct guest_stream **ret,
	struct bg_err **err)
{
	_unref_(guest_stream) struct guest_stream *stream = calloc(1, sizeof(*stream));
	int r;

	if (!stream)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (!guest_connected(guest))
		return bg_err_set(
			err, BG_ERR_AGENT, ENOTCONN, "there is no agent in the guest yet");
	stream->id = ++guest->next_stream ? guest->next_stream : ++guest->next_stream;
	stream->events = events;
	stream->userdata = userdata;
	for (int i = 0; i < BG_AGENT_SUBS; i++)
		stream->window[i] = BG_AGENT_WINDOW;
	r = guest_send_stream(guest, BG_AGENT_EXEC, stream->id, 0, exec, len);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_AGENT, -r, "send the command to the guest");
	stream->guest = guest;
	TAILQ_INSERT_TAIL(&guest->streams, stream, link);
	*ret = TAKE_PTR(stream);
	return 0;
}

/* The credit of a reader: never more than a window in all, so never more than that is held. */
static bool take_credit(struct guest_stream *stream, const struct bg_agent_frame *frame)
{
	uint32_t more;

	memcpy(&more, frame->payload, sizeof(more));
	more = le32toh(more);
	if (more > BG_AGENT_WINDOW - stream->window[frame->sub])
		return false;
	stream->window[frame->sub] += more;
	return true;
}

static bool take_data(struct guest_stream *stream, const struct bg_agent_frame *frame)
{
	if (frame->len > stream->window[frame->sub])
		return false;
	stream->window[frame->sub] -= frame->len;
	return true;
}

static bool client_may(struct guest_stream *stream, const struct bg_agent_frame *frame)
{
	if (frame->sub >= BG_AGENT_SUBS)
		return false;
	switch (frame->type) {
	case BG_AGENT_DATA:
		return frame->sub == BG_AGENT_IN && take_data(stream, frame);
	case BG_AGENT_CREDIT:
		return frame->sub != BG_AGENT_IN && take_credit(stream, frame);
	case BG_AGENT_SIGNAL:
		stream->signals++;
		return true;
	case BG_AGENT_EOF:
	case BG_AGENT_RESIZE:
	case BG_AGENT_WORDS:
		return true;
	default:
		return false;
	}
}

int guest_stream_send(struct guest_stream *stream, const struct bg_agent_frame *frame)
{
	if (!client_may(stream, frame))
		return -EPROTO;
	if (!stream->guest || stream->ended)
		return 0;
	return guest_send_stream(stream->guest, (enum bg_agent_type)frame->type, stream->id,
		frame->sub, frame->payload, frame->len);
}

bool guest_stream_has_room(struct guest_stream *stream)
{
	stream->wants_room = stream->guest && stream->guest->out_len >= GUEST_OUT_BUSY;
	return !stream->wants_room;
}

/* What no window bounds must not come without end. */
static bool once(bool *said)
{
	bool first = !*said;

	*said = true;
	return first;
}

static bool guest_may(struct guest_stream *stream, const struct bg_agent_frame *frame)
{
	if (frame->sub >= BG_AGENT_SUBS)
		return false;
	switch (frame->type) {
	case BG_AGENT_DATA:
		return frame->sub != BG_AGENT_IN && take_data(stream, frame);
	case BG_AGENT_CREDIT:
		return frame->sub == BG_AGENT_IN && take_credit(stream, frame);
	case BG_AGENT_EOF:
		return once(&stream->eof[frame->sub]);
	case BG_AGENT_SIGNAL:
		return stream->signals > 0 && stream->signals-- > 0;
	case BG_AGENT_DONE:
		stream->ended = true;
		return true;
	default:
		return false;
	}
}

static void cancel(struct guest_stream *stream)
{
	/* What cannot be sent does not matter: the conversation is about to break. */
	(void)guest_send_stream(stream->guest, BG_AGENT_CANCEL, stream->id, 0, NULL, 0);
}

void guest_streams_frame(struct guest *guest, const struct bg_agent_frame *frame)
{
	struct guest_stream *stream;

	TAILQ_FOREACH (stream, &guest->streams, link)
		if (stream->id == frame->stream && !stream->ended)
			break;
	if (!stream)
		return;
	if (guest_may(stream, frame)) {
		stream->events->frame(stream, frame, stream->userdata);
		return;
	}
	cancel(stream);
	detach(stream);
	stream->events->broken(
		stream, "the guest sent what it may not in a stream", stream->userdata);
}

/* The one that was called goes to the end: they take turns. */
void guest_streams_room(struct guest *guest)
{
	struct guest_stream *stream;

	while (!guest->dead && guest->out_len < GUEST_OUT_BUSY) {
		TAILQ_FOREACH (stream, &guest->streams, link)
			if (stream->wants_room)
				break;
		if (!stream)
			return;
		stream->wants_room = false;
		TAILQ_REMOVE(&guest->streams, stream, link);
		TAILQ_INSERT_TAIL(&guest->streams, stream, link);
		stream->events->room(stream, stream->userdata);
	}
}

void guest_streams_broken(struct guest *guest, const char *why)
{
	struct guest_stream *stream;

	while ((stream = TAILQ_FIRST(&guest->streams))) {
		detach(stream);
		stream->events->broken(stream, why, stream->userdata);
	}
}

void guest_stream_free(struct guest_stream *stream)
{
	if (!stream)
		return;
	if (stream->guest && !stream->ended && guest_connected(stream->guest))
		cancel(stream);
	detach(stream);
	free(stream);
}
