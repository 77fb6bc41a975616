/* SPDX-License-Identifier: ISC */
/*
 * agent_frame.h: bytes to frames and back, for both ends of agent_proto.h. The
 * reader is fed whatever the carrier gives, in any split, and hands out one
 * checked frame at a time. It never allocates, never blocks, never logs.
 *
 *   struct bg_agent_reader r;            about 64 KiB: keep it off the stack
 *   bg_agent_reader_init(&r, BG_AGENT_END_GUEST);
 *   while ((rc = bg_agent_next(&r, &p, &n, &frame)) > 0)
 *           ...use frame before the next call...
 *   rc == 0: the input is used up; rc < 0: malformed, the reader has begun to look
 *   for an opening again and may be fed on.
 */
#ifndef BG_COMMON_AGENT_FRAME_H
#define BG_COMMON_AGENT_FRAME_H

#include "common/agent_proto.h"
#include "common/base.h"

/* Which end reads: decides which frames may open a conversation. */
enum bg_agent_end {
	BG_AGENT_END_GUEST, /* opens with HELLO */
	BG_AGENT_END_HOST,  /* opens with WELCOME (of the nonce given) or BOOT */
};

struct bg_agent_frame {
	uint32_t stream;
	uint16_t type;
	uint16_t sub;
	uint32_t len;
	const uint8_t *payload; /* borrowed: valid until the next call on the reader */
};

struct bg_agent_reader {
	enum bg_agent_end end;
	bool open; /* past the opening: a malformed frame is an error */
	bool has_nonce;
	uint8_t nonce[BG_AGENT_NONCE]; /* host: what a WELCOME must carry to be ours */
	size_t used;		       /* bytes at the front of buf that were handed out */
	size_t len;		       /* bytes in buf */
	uint8_t buf[sizeof(struct bg_agent_head) + BG_AGENT_PAYLOAD_MAX];
};

/* Forgets everything and looks for an opening. */
void bg_agent_reader_init(struct bg_agent_reader *r, enum bg_agent_end end);
/* For a connection that begins with no opening: the first byte is a frame's. */
void bg_agent_reader_plain(struct bg_agent_reader *r, enum bg_agent_end end);
/* Host, at each HELLO: as init, and only a WELCOME with this nonce (or a BOOT) opens. */
void bg_agent_reader_expect(struct bg_agent_reader *r, const uint8_t nonce[BG_AGENT_NONCE]);
/*
 * Takes bytes from *p, *n (both are advanced) until a frame is whole. 1: *ret is a
 * frame whose length fits its type; 0: more input is needed; -EPROTO: a malformed frame in
 * an open conversation. Frames of types this build does not know are handed out.
 */
int bg_agent_next(
	struct bg_agent_reader *r, const uint8_t **p, size_t *n, struct bg_agent_frame *ret);
/* True when part of a frame is held: the peer may have died in the middle of it. */
bool bg_agent_reader_partial(const struct bg_agent_reader *r);
/*
 * For a stalled partial frame: looks for an opening inside the held bytes, and starts
 * from there when there is one (true; call bg_agent_next with no input). Otherwise
 * nothing changes. This is how a HELLO is found that a new host sent after the half frame
 * of an old one, when the carrier did not show the change of host.
 */
bool bg_agent_reader_rescan(struct bg_agent_reader *r);

/* Fills a head in wire order. len must be at most BG_AGENT_PAYLOAD_MAX. */
void bg_agent_head_init(struct bg_agent_head *h, enum bg_agent_type type, uint32_t stream,
	uint16_t sub, size_t len);
/* "hello", "data", …; "?" for a type this build does not know. */
const char *bg_agent_type_str(uint16_t type);

#endif
