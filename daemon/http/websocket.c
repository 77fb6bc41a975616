/* SPDX-License-Identifier: ISC */
/* websocket.c: A parser with one frame's state, and heads for what is sent. */
#include "daemon/http/websocket.h"

enum { FIN = 0x80, RSV = 0x70, OPCODE = 0x0f, MASKED = 0x80, LENGTH = 0x7f };

/* Bytes that the head has; more may be known once its second byte is there. */
static unsigned head_size(const struct ws_reader *r)
{
	uint8_t length = r->head[1] & LENGTH;

	if (r->head_len < 2)
		return 2;
	return 2 + (length == 126 ? 2 : length == 127 ? 8 : 0) + 4;
}

static uint64_t head_length(const struct ws_reader *r)
{
	uint8_t length = r->head[1] & LENGTH;
	unsigned bytes = length == 126 ? 2 : length == 127 ? 8 : 0;
	uint64_t n = 0;

	if (bytes == 0)
		return length;
	for (unsigned i = 0; i < bytes; i++)
		n = n << 8 | r->head[2 + i];
	return n;
}

static bool is_control(enum ws_opcode opcode)
{
	return opcode >= WS_CLOSE;
}

/* What may stand here, by the rules and by what this side takes. */
static int check_head(const struct ws_reader *r, enum ws_opcode opcode, bool fin, uint64_t len)
{
	if (r->head[0] & RSV || !(r->head[1] & MASKED) || len > WS_FRAME_MAX)
		return -EPROTO;
	if (is_control(opcode))
		return opcode <= WS_PONG && fin && len <= WS_CONTROL_MAX ? 0 : -EPROTO;
	if (opcode == WS_MORE)
		return r->in_message ? 0 : -EPROTO;
	return opcode == WS_BINARY && !r->in_message ? 0 : -EPROTO;
}

static int begin_frame(struct ws_reader *r)
{
	enum ws_opcode opcode = (enum ws_opcode)(r->head[0] & OPCODE);
	bool fin = r->head[0] & FIN;
	uint64_t len = head_length(r);

	if (check_head(r, opcode, fin, len) < 0)
		return -EPROTO;
	if (!is_control(opcode))
		r->in_message = !fin;
	memcpy(r->mask, r->head + r->head_len - sizeof(r->mask), sizeof(r->mask));
	r->opcode = is_control(opcode) ? opcode : WS_BINARY;
	r->left = len;
	r->masked = 0;
	r->control_len = 0;
	r->in_frame = true;
	return 0;
}

/* 1: the head is whole. */
static int read_head(struct ws_reader *r, uint8_t **p, size_t *n)
{
	while (r->head_len < head_size(r)) {
		if (*n == 0)
			return 0;
		r->head[r->head_len++] = *(*p)++;
		(*n)--;
	}
	return begin_frame(r) < 0 ? -EPROTO : 1;
}

static void end_frame(struct ws_reader *r)
{
	r->in_frame = false;
	r->head_len = 0;
}

static size_t unmask(struct ws_reader *r, uint8_t *p, size_t n)
{
	size_t len = BG_MIN((uint64_t)n, r->left);

	for (size_t i = 0; i < len; i++)
		p[i] ^= r->mask[r->masked++ % 4];
	r->masked %= 4;
	r->left -= len;
	return len;
}

int ws_next(struct ws_reader *r, uint8_t **p, size_t *n, struct ws_piece *ret)
{
	int rc = r->in_frame ? 1 : read_head(r, p, n);
	uint8_t *at = *p;
	size_t len;

	if (rc <= 0)
		return rc;
	if (*n == 0 && r->left > 0)
		return 0;
	len = unmask(r, at, *n);
	*p += len;
	*n -= len;
	*ret = (struct ws_piece){.opcode = r->opcode, .bytes = at, .len = len};
	if (is_control(r->opcode)) {
		if (len > 0)
			memcpy(r->control + r->control_len, at, len);
		r->control_len += (unsigned)len;
		ret->bytes = r->control;
		ret->len = r->control_len;
		if (r->left > 0)
			return 0;
	}
	if (r->left == 0)
		end_frame(r);
	return 1;
}

size_t ws_head(uint8_t out[WS_HEAD_MAX], enum ws_opcode opcode, size_t len)
{
	unsigned bytes = len < 126 ? 0 : len <= UINT16_MAX ? 2 : 8;

	out[0] = (uint8_t)(FIN | opcode);
	out[1] = (uint8_t)(bytes == 0 ? len : bytes == 2 ? 126 : 127);
	for (unsigned i = 0; i < bytes; i++)
		out[2 + i] = (uint8_t)((uint64_t)len >> (8 * (bytes - 1 - i)));
	return 2 + bytes;
}
