/* SPDX-License-Identifier: ISC */
/*
 * Frames, read by both ends and by the guest's conversation. The first byte chooses the
 * split; whatever the split, the same bytes give the same frames.
 */
#include "common/agent_frame.h"
#include "guest/conversation.h"
#include "guest/gap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bg_agent_reader reader;
static struct conversation conversation;

/* A number that differs when any frame or error differs. */
static uint64_t digest(enum bg_agent_end end, const uint8_t *data, size_t size, size_t piece)
{
	uint64_t sum = 14695981039346656037u;

	bg_agent_reader_init(&reader, end);
	for (size_t at = 0; at < size; at += piece) {
		const uint8_t *p = data + at;
		size_t n = BG_MIN(piece, size - at);
		struct bg_agent_frame f;
		int r;

		while ((r = bg_agent_next(&reader, &p, &n, &f)) != 0) {
			sum = (sum ^ (r > 0 ? f.type : 0x10000u)) * 1099511628211u;
			if (r < 0)
				continue;
			if (f.len > BG_AGENT_PAYLOAD_MAX)
				abort();
			for (uint32_t i = 0; i < f.len; i++)
				sum = (sum ^ f.payload[i]) * 1099511628211u;
		}
		if (n != 0)
			abort();
	}
	return sum;
}

/* As guest/gap.c decides, without doing it. */
static void on_gap(const struct bg_agent_gap *gap, struct bg_agent_gap_done *done)
{
	if (gap->parts & ~(uint32_t)BG_AGENT_GAP_ALL)
		abort();
	done->step_usec = gap_step(0, gap->time_usec, gap->parts);
	if (done->step_usec && done->step_usec != gap->time_usec)
		abort();
}

static void converse(const uint8_t *data, size_t size, size_t piece)
{
	static const uint8_t id[16];

	conversation_init(&conversation, id, 0);
	conversation.gap = on_gap;
	for (size_t at = 0; at < size; at += piece) {
		size_t n = BG_MIN(piece, size - at);

		if (conversation_input(&conversation, data + at, n) != n &&
			conversation_wants_input(&conversation))
			abort();
		if (at % 3 == 0)
			conversation_host_left(&conversation);
		if (at % 5 == 0)
			conversation_stalled(&conversation);
		conversation_sent(&conversation, conversation.out_len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t piece;

	if (size < 2)
		return 0;
	piece = (size_t)data[0] + 1;
	data++;
	size--;
	if (digest(BG_AGENT_END_GUEST, data, size, piece) !=
			digest(BG_AGENT_END_GUEST, data, size, size) ||
		digest(BG_AGENT_END_HOST, data, size, piece) !=
			digest(BG_AGENT_END_HOST, data, size, size))
		abort();
	converse(data, size, piece);
	return 0;
}
