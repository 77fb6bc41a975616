/* SPDX-License-Identifier: ISC */
/*
 * websocket.h: RFC 6455 as far as a session in the browser needs it: the handshake, frames in (masked, binary, control)
 * and heads of frames out. Bytes of messages are handed out as they come: where a message ends means nothing to the session.
 * Every byte of it is hostile; a peer that breaks a rule loses its connection.
 */
#ifndef BG_DAEMON_HTTP_WEBSOCKET_H
#define BG_DAEMON_HTTP_WEBSOCKET_H

#include "daemon/http/http.h"

enum ws_opcode { WS_MORE = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

enum {
	WS_GOING_AWAY = 1001,
	/* why a browser closes when a page is left */ WS_CONTROL_MAX = 125,
	WS_FRAME_MAX = 128 * 1024,
	WS_HEAD_MAX = 10,
	WS_ANSWER_MAX = 256
};

struct ws_reader {
	uint8_t head[14];
	unsigned head_len;
	bool in_frame, in_message;
	enum ws_opcode opcode;
	uint64_t left;	 /* of the frame's payload */
	unsigned masked; /* bytes of it unmasked so far, modulo 4 */
	uint8_t mask[4];
	uint8_t control[WS_CONTROL_MAX];
	unsigned control_len;
};

struct ws_piece {
	enum ws_opcode opcode; /* WS_BINARY, or a control frame, which is whole */
	const uint8_t *bytes;  /* in the input, or in the reader until the next call */
	size_t len;
};

/* Does the call ask for one? *answer: the text of 101. BAD_REQUEST when it asks in a wrong way or not at all. */
int ws_accept(const struct http_call *call, char answer[WS_ANSWER_MAX], struct bg_err **err);
/* Takes input from *p, *n, which is unmasked in place. 1: a piece; 0: more is needed; -EPROTO. */
int ws_next(struct ws_reader *r, uint8_t **p, size_t *n, struct ws_piece *ret);
/* The head of a whole frame of ours; returns its length. */
size_t ws_head(uint8_t out[WS_HEAD_MAX], enum ws_opcode opcode, size_t len);

#endif
