/* SPDX-License-Identifier: ISC */
/*
 * talk.h: the guest's side of the conversation (common/agent_proto.h), without any
 * carrier: bytes in, bytes out. agent.c owns one and moves the bytes; tests drive it alone.
 */
#ifndef BG_GUEST_TALK_H
#define BG_GUEST_TALK_H

#include "common/agent_frame.h"

/*
 * Room for what may be unsent. Input is not read while an answer might not fit; data of
 * streams leaves TALK_ANSWERS_ROOM free for the answers.
 */
enum { TALK_OUT_MAX = 256 * 1024, TALK_ANSWER_MAX = 256, TALK_ANSWERS_ROOM = 16 * 1024 };

/* Who has the streams; both are called from inside talk_input and talk_reset. */
struct talk_streams {
	void (*frame)(const struct bg_agent_frame *f, void *userdata);
	void (*drop)(void *userdata); /* the conversation is over, and all of them */
	void *userdata;
};

/* Puts right what the host asks for after a gap, at once, and fills *done's done and step_usec: gap.h. */
typedef void (*talk_gap_fn)(const struct bg_agent_gap *gap, struct bg_agent_gap_done *done);

struct talk {
	struct bg_agent_reader in;
	bool open;    /* HELLO was answered */
	bool suspect; /* the host was away: a frame that is half here may never end */
	uint8_t vm_id[16];
	uint32_t flags;
	bool shutdown; /* asked for, and answered */
	enum bg_agent_shutdown how;
	const struct talk_streams *streams; /* NULL: there are none */
	talk_gap_fn gap;		    /* NULL: it cannot */
	size_t out_at, out_len;		    /* unsent: out_len bytes from out_at on */
	uint8_t out[TALK_OUT_MAX];
};

void talk_init(struct talk *t, const uint8_t vm_id[16], uint32_t flags);
/* Queues BOOT: once, when the agent starts. */
void talk_boot(struct talk *t);
/* A new carrier: nothing of the earlier conversation is of use to this one. */
void talk_reset(struct talk *t);
/*
 * The host left a carrier that stays. It may be back already, with bytes that were read
 * before this was seen, so nothing is dropped: the next HELLO does that.
 */
void talk_host_left(struct talk *t);
/* False while output is so full that input must wait. */
bool talk_wants_input(const struct talk *t);
/* Handles all of the bytes; answers are queued. Returns how many were taken. */
size_t talk_input(struct talk *t, const uint8_t *p, size_t n);
/* Part of a frame is here. When nothing more comes for a while, perhaps its host is gone. */
bool talk_partial(const struct talk *t);
void talk_stalled(struct talk *t);
/* Adds flags; a change is told to the host. */
void talk_add_flags(struct talk *t, uint32_t flags);
/* Queues one frame of a stream; false, and nothing is queued, when there is no room. */
bool talk_send(struct talk *t, enum bg_agent_type type, uint32_t stream, unsigned sub,
	const void *p, size_t n);
/*
 * For data without a copy: where at most *room bytes of payload may be put (NULL: no room now),
 * which talk_end_data then sends; n may be 0.
 */
uint8_t *talk_begin_data(struct talk *t, size_t *room);
void talk_end_data(struct talk *t, uint32_t stream, unsigned sub, size_t n);
void talk_done(struct talk *t, uint32_t stream, int error, int status);
/* The first n queued bytes were sent. */
void talk_sent(struct talk *t, size_t n);

#endif
