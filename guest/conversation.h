/* SPDX-License-Identifier: ISC */
/*
 * conversation.h: the guest's side of the conversation (common/agent_proto.h), without any
 * carrier: bytes in, bytes out. agent.c owns one and moves the bytes; tests drive it alone.
 */
#ifndef BG_GUEST_CONVERSATION_H
#define BG_GUEST_CONVERSATION_H

#include "common/agent_frame.h"

/*
 * Room for what may be unsent. Input is not read while an answer might not fit; data of
 * streams leaves CONVERSATION_ANSWERS_ROOM free for the answers.
 */
enum {
	CONVERSATION_OUT_MAX = 256 * 1024,
	CONVERSATION_ANSWER_MAX = 256,
	CONVERSATION_ANSWERS_ROOM = 16 * 1024
};

/* Who has the streams; both are called from inside conversation_input and conversation_reset. */
struct conversation_streams {
	void (*frame)(const struct bg_agent_frame *f, void *userdata);
	void (*drop)(void *userdata); /* the conversation is over, and all of them */
	void *userdata;
};

/* Puts right what the host asks for after a gap, at once, and fills *done's done and step_usec: gap.h. */
typedef void (*conversation_gap_fn)(const struct bg_agent_gap *gap, struct bg_agent_gap_done *done);

struct conversation {
	struct bg_agent_reader in;
	bool open;    /* HELLO was answered */
	bool suspect; /* the host was away: a frame that is half here may never end */
	uint8_t vm_id[16];
	uint32_t flags;
	bool shutdown; /* asked for, and answered */
	enum bg_agent_shutdown how;
	const struct conversation_streams *streams; /* NULL: there are none */
	conversation_gap_fn gap;		    /* NULL: it cannot */
	size_t out_at, out_len;			    /* unsent: out_len bytes from out_at on */
	uint8_t out[CONVERSATION_OUT_MAX];
};

void conversation_init(struct conversation *c, const uint8_t vm_id[16], uint32_t flags);
/* Queues BOOT: once, when the agent starts. */
void conversation_boot(struct conversation *c);
/* A new carrier: nothing of the earlier conversation is of use to this one. */
void conversation_reset(struct conversation *c);
/*
 * The host left a carrier that stays. It may be back already, with bytes that were read
 * before this was seen, so nothing is dropped: the next HELLO does that.
 */
void conversation_host_left(struct conversation *c);
/* False while output is so full that input must wait. */
bool conversation_wants_input(const struct conversation *c);
/* Handles all of the bytes; answers are queued. Returns how many were taken. */
size_t conversation_input(struct conversation *c, const uint8_t *p, size_t n);
/* Part of a frame is here. When nothing more comes for a while, perhaps its host is gone. */
bool conversation_partial(const struct conversation *c);
void conversation_stalled(struct conversation *c);
/* Adds flags; a change is told to the host. */
void conversation_add_flags(struct conversation *c, uint32_t flags);
/* Queues one frame of a stream; false, and nothing is queued, when there is no room. */
bool conversation_send(struct conversation *c, enum bg_agent_type type, uint32_t stream,
	unsigned sub, const void *p, size_t n);
/*
 * For data without a copy: where at most *room bytes of payload may be put (NULL: no room now),
 * which conversation_end_data then sends; n may be 0.
 */
uint8_t *conversation_begin_data(struct conversation *c, size_t *room);
void conversation_end_data(struct conversation *c, uint32_t stream, unsigned sub, size_t n);
void conversation_done(struct conversation *c, uint32_t stream, int error, int status);
/* The first n queued bytes were sent. */
void conversation_sent(struct conversation *c, size_t n);

#endif
