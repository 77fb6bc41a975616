/* SPDX-License-Identifier: ISC */
/*
 * Every row of common/priv_verbs.def, as request and as reply: good, each field bad, cut short,
 * too long, each bit flipped, descriptors too many and too few. Walks the table: a new row is
 * covered by being there; a new kind may need a candidate value below.
 */
#include "common/priv_proto.h"
#include "tests/lib/test.h"

/* Values that some kind accepts and some kind refuses. */
static const uint8_t candidates[][PRIV_NAME] = {
	{0},
	{1},
	{2, 0x62, 0x67, 0, 0, 1},
	{0x40},
	{0x41},
	{0x01, 0x00, 0xd1, 0x0a},
	{0x01, 0x00, 0x00, 0x7f},
	{0x01, 0x00, 0x00, 0xe0},
	"bgr0-0",
	"bgr255-63",
	"eth0",
	"bgr%d",
	"bgr",
	"bgr0-0\0x",
	"1000-63",
	"1000-",
	"-1",
	"1000-0/x",
	{'b', 'g', 'r', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0'},
	{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff},
};

static const uint8_t *candidate(enum priv_kind kind, bool good)
{
	for (size_t i = 0; i < ARRAY_SIZE(candidates); i++)
		if (priv_kind_ok(kind, candidates[i]) == good)
			return candidates[i];
	return NULL;
}

/* One side of a row: what the walkers below need to know of it. */
struct side {
	const struct priv_row *row;
	bool reply;
};

static const struct priv_body *body_of(struct side s)
{
	return s.reply ? &s.row->rep : &s.row->req;
}

static struct priv_msg good_message(struct side s)
{
	const struct priv_body *body = body_of(s);
	struct priv_head head = {.version = PRIV_VERSION,
		.verb = (uint8_t)s.row->verb,
		.len = (uint16_t)body->size,
		.id = 0x01020304,
		.nfds = (uint8_t)body->fds};
	struct priv_msg msg = {.len = sizeof(head), .nfds = body->fds};

	memcpy(msg.buf, &head, sizeof(head));
	for (const struct priv_field *f = body->fields; f->name; f++) {
		const uint8_t *value = candidate(f->kind, true);

		if (!value)
			test_fail(__FILE__, __LINE__, "no candidate is a good %s.%s", s.row->name,
				f->name);
		memcpy(msg.buf + msg.len, value, priv_kind_size(f->kind));
		msg.len += priv_kind_size(f->kind);
	}
	for (size_t i = 0; i < body->fds; i++)
		msg.fds[i] = 100 + (int)i;
	CHECK_INT(msg.len, sizeof(head) + body->size);
	return msg;
}

/* Decodes; when that works, what it was decoded to must encode to the same bytes. */
static int decode(struct side s, const struct priv_msg *msg)
{
	struct priv_msg again = {0};
	struct priv_req req;
	struct priv_rep rep;
	int r = s.reply ? priv_rep_decode(msg, &rep) : priv_req_decode(msg, &req);

	if (r < 0) {
		CHECK_INT(r, -EBADMSG);
		return r;
	}
	CHECK_INT(s.reply ? priv_rep_encode(&rep, &again) : priv_req_encode(&req, &again), 0);
	CHECK_INT(again.len, msg->len);
	CHECK_INT(again.nfds, msg->nfds);
	CHECK(memcmp(again.buf, msg->buf, msg->len) == 0);
	CHECK(memcmp(again.fds, msg->fds, msg->nfds * sizeof(int)) == 0);
	return 0;
}

static void for_each_side(void (*f)(struct side s))
{
	CHECK(priv_row_count() > 0);
	for (size_t i = 0; i < priv_row_count(); i++) {
		f((struct side){priv_row_at(i), false});
		f((struct side){priv_row_at(i), true});
	}
}

static void is_good(struct side s)
{
	const struct priv_msg msg = good_message(s);

	CHECK_INT(decode(s, &msg), 0);
}

TEST(good)
{
	for_each_side(is_good);
}

static void each_field_bad(struct side s)
{
	size_t at = sizeof(struct priv_head);

	for (const struct priv_field *f = body_of(s)->fields; f->name; f++) {
		struct priv_msg msg = good_message(s);

		for (size_t i = 0; i < ARRAY_SIZE(candidates); i++) {
			memcpy(msg.buf + at, candidates[i], priv_kind_size(f->kind));
			CHECK_INT(decode(s, &msg),
				priv_kind_ok(f->kind, candidates[i]) ? 0 : -EBADMSG);
		}
		at += priv_kind_size(f->kind);
	}
}

TEST(each_field_bad)
{
	for_each_side(each_field_bad);
}

/* A kind that refuses nothing is one by intention. */
TEST(kinds_refuse)
{
	for (int k = 0; k < PRIV_KIND_END_; k++) {
		bool any = k == PRIV_KIND_HASH || k == PRIV_KIND_SLOTS || k == PRIV_KIND_INDEX;

		CHECK(candidate((enum priv_kind)k, true) != NULL);
		if ((candidate((enum priv_kind)k, false) == NULL) != any)
			test_fail(__FILE__, __LINE__, "kind %d: no bad candidate", k);
	}
}

TEST(slot_bounds)
{
	for (unsigned v = 0; v < 256; v++) {
		const uint8_t wire = (uint8_t)v;

		CHECK_INT(priv_kind_ok(PRIV_KIND_SLOT, &wire), v < BG_SLOTS_MAX);
		CHECK_INT(priv_kind_ok(PRIV_KIND_COUNT, &wire), v >= 1 && v <= BG_SLOTS_MAX);
		CHECK_INT(priv_kind_ok(PRIV_KIND_BOOL, &wire), v <= 1);
	}
}

static void truncated(struct side s)
{
	struct priv_msg msg = good_message(s);
	size_t len = msg.len;

	for (msg.len = 0; msg.len < len; msg.len++)
		CHECK_INT(decode(s, &msg), -EBADMSG);
}

/* Also with a head that owns up to the wrong length. */
static void wrong_length(struct side s)
{
	for (size_t len = 0; len <= BG_PRIV_MSG_MAX - sizeof(struct priv_head); len++) {
		struct priv_msg msg = good_message(s);
		uint16_t wire = (uint16_t)len;

		if (len == body_of(s)->size)
			continue;
		memcpy(msg.buf + offsetof(struct priv_head, len), &wire, sizeof(wire));
		CHECK_INT(decode(s, &msg), -EBADMSG);
		msg.len = sizeof(struct priv_head) + len;
		CHECK_INT(decode(s, &msg), -EBADMSG);
		msg = good_message(s);
		msg.len = sizeof(struct priv_head) + len;
		CHECK_INT(decode(s, &msg), -EBADMSG);
	}
}

TEST(truncated)
{
	for_each_side(truncated);
}

TEST(wrong_length)
{
	for_each_side(wrong_length);
}

/* A flipped bit is refused, or is another message that the encoder makes too: decode() checks that.
 */
static void flipped(struct side s)
{
	struct priv_msg msg = good_message(s);

	for (size_t bit = 0; bit < msg.len * 8; bit++) {
		size_t byte = bit / 8;
		int r;

		msg.buf[byte] ^= (uint8_t)(1u << bit % 8);
		r = decode(s, &msg);
		if (byte == offsetof(struct priv_head, version) ||
			byte - offsetof(struct priv_head, len) < 2 ||
			byte - offsetof(struct priv_head, code) < 2 ||
			byte == offsetof(struct priv_head, nfds) ||
			byte - offsetof(struct priv_head, zero) < 5) {
			/* a reply's code with an empty body is a refusal: good when there are no
			 * fields */
			bool refusal = s.reply && byte == offsetof(struct priv_head, code) &&
				       body_of(s)->size == 0 && body_of(s)->fds == 0;

			if (!refusal)
				CHECK_INT(r, -EBADMSG);
		}
		msg.buf[byte] ^= (uint8_t)(1u << bit % 8);
	}
}

TEST(flipped)
{
	for_each_side(flipped);
}

static void wrong_fds(struct side s)
{
	for (size_t n = 0; n <= BG_PRIV_FDS_MAX; n++) {
		struct priv_msg msg = good_message(s);

		if (n == body_of(s)->fds)
			continue;
		msg.nfds = n; /* more or fewer than the head says */
		CHECK_INT(decode(s, &msg), -EBADMSG);
		/* the head agrees, the row does not */
		msg.buf[offsetof(struct priv_head, nfds)] = (uint8_t)n;
		CHECK_INT(decode(s, &msg), -EBADMSG);
	}
}

TEST(wrong_fds)
{
	for_each_side(wrong_fds);
}

TEST(unknown_verbs)
{
	for (unsigned verb = 0; verb < 256; verb++) {
		struct side s = {priv_row_at(0), false};
		struct priv_msg msg = good_message(s);

		if (priv_row(verb))
			continue;
		msg.buf[offsetof(struct priv_head, verb)] = (uint8_t)verb;
		CHECK_INT(decode(s, &msg), -EBADMSG);
		s.reply = true;
		msg = good_message(s);
		msg.buf[offsetof(struct priv_head, verb)] = (uint8_t)verb;
		CHECK_INT(decode(s, &msg), -EBADMSG);
	}
}

TEST(request_id_zero)
{
	struct side s = {priv_row_at(0), false};
	struct priv_msg msg = good_message(s);

	memset(msg.buf + offsetof(struct priv_head, id), 0, 4);
	CHECK_INT(decode(s, &msg), -EBADMSG);
}

static bool may_come_unasked(const struct priv_row *row, unsigned code)
{
	return row->turn == PRIV_TURN_FIRST && priv_code_of_start(code);
}

TEST(refusals)
{
	for (size_t i = 0; i < priv_row_count(); i++) {
		const struct priv_row *row = priv_row_at(i);

		for (unsigned code = 1; code < PRIV_CODE_END_ + 3; code++) {
			struct priv_head head = {
				PRIV_VERSION, (uint8_t)row->verb, 0, 7, (uint16_t)code};
			struct priv_msg msg = {.len = sizeof(head)};
			struct side s = {row, true};

			memcpy(msg.buf, &head, sizeof(head));
			CHECK_INT(decode(s, &msg), code < PRIV_CODE_END_ ? 0 : -EBADMSG);
			msg.buf[offsetof(struct priv_head, id)] = 0;
			CHECK_INT(decode(s, &msg), may_come_unasked(row, code) ? 0 : -EBADMSG);
			msg = good_message(s);
			if (row->rep.size == 0)
				continue;
			msg.buf[offsetof(struct priv_head, code)] = (uint8_t)code;
			CHECK_INT(decode(s, &msg), -EBADMSG);
		}
	}
}

TEST(code_texts)
{
	for (unsigned code = 0; code < PRIV_CODE_END_; code++)
		CHECK(strcmp(priv_code_text(code), "unknown") != 0);
	CHECK_STR(priv_code_text(PRIV_CODE_END_), "unknown");
}

TEST(encoder_refuses_bad_fields)
{
	struct priv_req req = {
		.verb = PRIV_NET_ATTACH, .id = 1, .net_attach = {.slot = BG_SLOTS_MAX}};
	struct priv_rep rep = {.verb = PRIV_NET_ATTACH, .id = 1};
	struct priv_msg msg;

	CHECK_INT(priv_req_encode(&req, &msg), -EINVAL);
	req.net_attach.slot = BG_SLOTS_MAX - 1;
	CHECK_INT(priv_req_encode(&req, &msg), 0);
	req.id = 0;
	CHECK_INT(priv_req_encode(&req, &msg), -EINVAL);
	CHECK_INT(priv_rep_encode(&rep, &msg), -EINVAL);
}

TEST(every_row_says_why)
{
	for (size_t i = 0; i < priv_row_count(); i++) {
		CHECK(strlen(priv_row_at(i)->why) > 20);
		CHECK(priv_row((unsigned)priv_row_at(i)->verb) == priv_row_at(i));
	}
}
