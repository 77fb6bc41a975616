/* SPDX-License-Identifier: ISC */
/* See agent_frame.h. */
#include "common/agent_frame.h"

#include <assert.h>
#include <endian.h>

enum { HEAD = sizeof(struct bg_agent_head) };

/* What each type's payload may measure; a type that is missing may have any length. */
static const struct rule {
	const char *name;
	uint32_t min, max;
} rules[] = {
	[BG_AGENT_HELLO] = {"hello", BG_AGENT_NONCE, BG_AGENT_NONCE},
	[BG_AGENT_WELCOME] = {"welcome", sizeof(struct bg_agent_welcome),
		sizeof(struct bg_agent_welcome)},
	[BG_AGENT_BOOT] = {"boot", 0, 0},
	[BG_AGENT_STATUS] = {"status", sizeof(struct bg_agent_status),
		sizeof(struct bg_agent_status)},
	[BG_AGENT_PING] = {"ping", 8, 8},
	[BG_AGENT_PONG] = {"pong", 8, sizeof(struct bg_agent_pong)},
	[BG_AGENT_SHUTDOWN] = {"shutdown", 1, 1},
	[BG_AGENT_DONE] = {"done", sizeof(struct bg_agent_done), sizeof(struct bg_agent_done)},
	[BG_AGENT_GAP] = {"gap", sizeof(struct bg_agent_gap), sizeof(struct bg_agent_gap)},
	[BG_AGENT_GAP_DONE] = {"gap_done", sizeof(struct bg_agent_gap_done),
		sizeof(struct bg_agent_gap_done)},
	[BG_AGENT_DATA] = {"data", 0, BG_AGENT_PAYLOAD_MAX},
	[BG_AGENT_EOF] = {"eof", 0, 0},
	[BG_AGENT_CREDIT] = {"credit", 4, 4},
	[BG_AGENT_CANCEL] = {"cancel", 0, 0},
	[BG_AGENT_EXEC] = {"exec", sizeof(struct bg_agent_exec), BG_AGENT_PAYLOAD_MAX},
	[BG_AGENT_RESIZE] = {"resize", sizeof(struct bg_agent_resize),
		sizeof(struct bg_agent_resize)},
	[BG_AGENT_SIGNAL] = {"signal", 4, 4},
	[BG_AGENT_WORDS] = {"words", 0, BG_AGENT_PAYLOAD_MAX},
};

static const struct rule *rule_of(uint16_t type)
{
	return type < ARRAY_SIZE(rules) && rules[type].name ? &rules[type] : NULL;
}

const char *bg_agent_type_str(uint16_t type)
{
	const struct rule *rule = rule_of(type);

	return rule ? rule->name : "?";
}

void bg_agent_head_init(
	struct bg_agent_head *h, enum bg_agent_type type, uint32_t stream, uint16_t sub, size_t len)
{
	assert(len <= BG_AGENT_PAYLOAD_MAX);
	h->magic = htole32(BG_AGENT_MAGIC);
	h->len = htole32((uint32_t)len);
	h->stream = htole32(stream);
	h->type = htole16((uint16_t)type);
	h->sub = htole16(sub);
}

void bg_agent_reader_init(struct bg_agent_reader *r, enum bg_agent_end end)
{
	r->end = end;
	r->open = false;
	r->has_nonce = false;
	r->used = 0;
	r->len = 0;
}

void bg_agent_reader_plain(struct bg_agent_reader *r, enum bg_agent_end end)
{
	bg_agent_reader_init(r, end);
	r->open = true;
}

void bg_agent_reader_expect(struct bg_agent_reader *r, const uint8_t nonce[BG_AGENT_NONCE])
{
	bg_agent_reader_init(r, BG_AGENT_END_HOST);
	memcpy(r->nonce, nonce, BG_AGENT_NONCE);
	r->has_nonce = true;
}

static void head_get(const uint8_t *p, struct bg_agent_head *h)
{
	memcpy(h, p, sizeof(*h));
	h->magic = le32toh(h->magic);
	h->len = le32toh(h->len);
	h->stream = le32toh(h->stream);
	h->type = le16toh(h->type);
	h->sub = le16toh(h->sub);
}

static bool head_ok(const struct bg_agent_head *h)
{
	const struct rule *rule = rule_of(h->type);

	if (h->magic != BG_AGENT_MAGIC || h->len > BG_AGENT_PAYLOAD_MAX)
		return false;
	return !rule || (h->len >= rule->min && h->len <= rule->max);
}

static bool may_open(const struct bg_agent_reader *r, const struct bg_agent_head *h)
{
	if (!head_ok(h) || h->stream != 0 || h->sub != 0)
		return false;
	if (r->end == BG_AGENT_END_GUEST)
		return h->type == BG_AGENT_HELLO;
	return h->type == BG_AGENT_WELCOME || h->type == BG_AGENT_BOOT;
}

/* Can the bytes at p, of which n are here, still become an opening? *whole: they are one. */
static bool opening_at(const struct bg_agent_reader *r, const uint8_t *p, size_t n, bool *whole)
{
	const uint32_t magic = htole32(BG_AGENT_MAGIC);
	struct bg_agent_head h;
	size_t body;

	*whole = false;
	if (memcmp(p, &magic, BG_MIN(n, sizeof(magic))) != 0)
		return false;
	if (n < HEAD)
		return true;
	head_get(p, &h);
	if (!may_open(r, &h))
		return false;
	body = BG_MIN(n - HEAD, (size_t)BG_AGENT_NONCE);
	if (h.type == BG_AGENT_WELCOME && r->has_nonce && memcmp(p + HEAD, r->nonce, body) != 0)
		return false;
	*whole = n >= HEAD + h.len;
	return true;
}

static void drop_front(struct bg_agent_reader *r, size_t n)
{
	memmove(r->buf, r->buf + n, r->len - n);
	r->len -= n;
}

/* Drops what cannot become an opening. */
static void skip_to_opening(struct bg_agent_reader *r)
{
	size_t at = 0;
	bool whole;

	while (at < r->len && !opening_at(r, r->buf + at, r->len - at, &whole))
		at++;
	drop_front(r, at);
}

/* Bytes that the frame at the front of buf measures as far as is known now. */
static size_t wanted(const struct bg_agent_reader *r)
{
	struct bg_agent_head h;

	if (r->len < HEAD)
		return HEAD;
	head_get(r->buf, &h);
	return HEAD + h.len;
}

static void take(struct bg_agent_reader *r, const uint8_t **p, size_t *n, size_t up_to)
{
	size_t some = BG_MIN(*n, up_to - r->len);

	memcpy(r->buf + r->len, *p, some);
	r->len += some;
	*p += some;
	*n -= some;
}

static void hand_out(struct bg_agent_reader *r, struct bg_agent_frame *ret)
{
	struct bg_agent_head h;

	head_get(r->buf, &h);
	*ret = (struct bg_agent_frame){.stream = h.stream,
		.type = h.type,
		.sub = h.sub,
		.len = h.len,
		.payload = r->buf + HEAD};
	r->used = HEAD + h.len;
	r->open = true;
}

/* A head that is not a head: the conversation is over, and an opening may lie within. */
static int malformed(struct bg_agent_reader *r)
{
	r->open = false;
	skip_to_opening(r);
	return -EPROTO;
}

static bool front_ok(const struct bg_agent_reader *r)
{
	struct bg_agent_head h;

	head_get(r->buf, &h);
	return head_ok(&h);
}

int bg_agent_next(
	struct bg_agent_reader *r, const uint8_t **p, size_t *n, struct bg_agent_frame *ret)
{
	drop_front(r, r->used);
	r->used = 0;
	for (;;) {
		if (!r->open)
			skip_to_opening(r);
		if (r->len >= HEAD) {
			if (r->open && !front_ok(r))
				return malformed(r);
			if (r->len >= wanted(r)) {
				hand_out(r, ret);
				return 1;
			}
		}
		if (*n == 0)
			return 0;
		take(r, p, n, wanted(r));
	}
}

bool bg_agent_reader_partial(const struct bg_agent_reader *r)
{
	return r->len > r->used;
}

bool bg_agent_reader_rescan(struct bg_agent_reader *r)
{
	bool whole = false;

	for (size_t at = r->used + 1; at < r->len; at++) {
		if (!opening_at(r, r->buf + at, r->len - at, &whole) || !whole)
			continue;
		drop_front(r, at);
		r->used = 0;
		r->open = false;
		return true;
	}
	return false;
}
