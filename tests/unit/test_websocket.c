/* SPDX-License-Identifier: ISC */
/* test_websocket.c: Frames of RFC 6455, good and bad, cut anywhere. */
#include "common/sha1.h"
#include "daemon/http/websocket.h"
#include "tests/lib/test.h"

/* A masked frame; returns its length. */
static size_t frame(uint8_t *out, uint8_t first, const void *bytes, size_t len)
{
	static const uint8_t mask[4] = {1, 2, 3, 4};
	size_t n = 0;

	out[n++] = first;
	out[n++] = (uint8_t)(0x80 | (len < 126 ? len : 126));
	if (len >= 126) {
		out[n++] = (uint8_t)(len >> 8);
		out[n++] = (uint8_t)len;
	}
	memcpy(out + n, mask, 4);
	n += 4;
	for (size_t i = 0; i < len; i++)
		out[n++] = ((const uint8_t *)bytes)[i] ^ mask[i % 4];
	return n;
}

TEST(reads_messages_in_any_split)
{
	uint8_t in[64];
	size_t len = frame(in, 0x82, "hello", 5);

	for (size_t cut = 0; cut <= len; cut++) {
		struct ws_reader r = {.head_len = 0};
		struct ws_piece piece;
		uint8_t copy[64], *p = copy;
		size_t n = cut, got = 0;
		int rc;

		memcpy(copy, in, sizeof(in));
		while ((rc = ws_next(&r, &p, &n, &piece)) > 0)
			got += piece.len;
		CHECK_INT(rc, 0);
		n = len - cut;
		while ((rc = ws_next(&r, &p, &n, &piece)) > 0)
			got += piece.len;
		CHECK_INT(rc, 0);
		CHECK_INT(got, 5);
		CHECK(memcmp(copy + 6, "hello", 5) == 0);
	}
}

static int judge(uint8_t first, uint8_t second)
{
	uint8_t in[] = {first, second, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, *p = in;
	struct ws_reader r = {.head_len = 0};
	struct ws_piece piece;
	size_t n = sizeof(in);

	return ws_next(&r, &p, &n, &piece);
}

TEST(refuses_what_breaks_a_rule)
{
	CHECK_INT(judge(0x82, 0x81), 1);
	CHECK_INT(judge(0x82, 0x01), -EPROTO); /* not masked */
	CHECK_INT(judge(0xc2, 0x81), -EPROTO); /* a reserved bit */
	CHECK_INT(judge(0x81, 0x81), -EPROTO); /* text */
	CHECK_INT(judge(0x83, 0x81), -EPROTO); /* no such kind */
	CHECK_INT(judge(0x80, 0x81), -EPROTO); /* continues nothing */
	CHECK_INT(judge(0x09, 0x81), -EPROTO); /* a control frame in parts */
	CHECK_INT(judge(0x8b, 0x81), -EPROTO); /* no such control frame */
}

TEST(refuses_what_is_too_long)
{
	uint8_t in[] = {0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, *p = in;
	struct ws_reader r = {.head_len = 0};
	struct ws_piece piece;
	size_t n = sizeof(in);

	CHECK_INT(ws_next(&r, &p, &n, &piece), -EPROTO);
}

TEST(hands_out_control_frames_whole)
{
	uint8_t in[64], *p = in;
	size_t n = frame(in, 0x89, "are you there", 13);
	struct ws_reader r = {.head_len = 0};
	struct ws_piece piece;
	size_t first = 9, rest = n - first;

	CHECK_INT(ws_next(&r, &p, &first, &piece), 0);
	CHECK_INT(ws_next(&r, &p, &rest, &piece), 1);
	CHECK_INT(piece.opcode, WS_PING);
	CHECK_INT(piece.len, 13);
	CHECK(memcmp(piece.bytes, "are you there", 13) == 0);
}

TEST(writes_heads)
{
	uint8_t head[WS_HEAD_MAX];

	CHECK_INT(ws_head(head, WS_BINARY, 5), 2);
	CHECK_INT(head[0], 0x82);
	CHECK_INT(head[1], 5);
	CHECK_INT(ws_head(head, WS_BINARY, 300), 4);
	CHECK_INT(head[2] * 256 + head[3], 300);
	CHECK_INT(ws_head(head, WS_CLOSE, 0), 2);
	CHECK_INT(ws_head(head, WS_BINARY, 70000), 10);
}

static void check_sha1(const char *text, const char *want)
{
	uint8_t digest[BG_SHA1_SIZE];
	char hex[2 * BG_SHA1_SIZE + 1];

	bg_sha1(text, strlen(text), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	CHECK_STR(hex, want);
}

/* The vectors of FIPS 180 and RFC 3174. */
TEST(sha1)
{
	check_sha1("", "da39a3ee5e6b4b0d3255bfef95601890afd80709");
	check_sha1("abc", "a9993e364706816aba3e25717850c26c9cd0d89d");
	check_sha1("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		"84983e441c3bd26ebaae4aa1f95129e5e54670f1");
	check_sha1("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
		"b37a4f2cc0624f1690f64606cf385945b2bec4ea");
}
