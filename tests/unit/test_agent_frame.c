/* SPDX-License-Identifier: ISC */
/*
 * test_agent_frame.c: Frames of the agent's wire: cut anywhere, damaged in each field, behind
 * garbage.
 */
#include "common/agent_frame.h"
#include "tests/lib/test.h"

static const uint8_t nonce[BG_AGENT_NONCE] = "0123456789abcde";
static struct bg_agent_reader reader;

/* Bytes on the wire, appended frame by frame. */
static struct {
	uint8_t bytes[512 * 1024];
	size_t len;
} wire;

static void put(const void *p, size_t n)
{
	memcpy(wire.bytes + wire.len, p, n);
	wire.len += n;
}

static void put_frame(enum bg_agent_type type, uint32_t stream, const void *p, size_t n)
{
	struct bg_agent_head h;

	bg_agent_head_init(&h, type, stream, 0, n);
	put(&h, sizeof(h));
	put(p, n);
}

static void put_zeros(enum bg_agent_type type, uint32_t stream, size_t n)
{
	static const uint8_t zeros[BG_AGENT_PAYLOAD_MAX];

	put_frame(type, stream, zeros, n);
}

/* Feeds the wire in pieces; notes each frame's type, 'E' stands for an error. */
static size_t read_all(size_t piece, int *types, size_t max)
{
	size_t count = 0;

	for (size_t at = 0; at < wire.len; at += piece) {
		const uint8_t *p = wire.bytes + at;
		size_t n = BG_MIN(piece, wire.len - at);
		struct bg_agent_frame f;
		int r;

		while ((r = bg_agent_next(&reader, &p, &n, &f)) != 0) {
			CHECK(count < max);
			types[count++] = r < 0 ? r : f.type;
		}
		CHECK_INT(n, 0);
	}
	return count;
}

TEST(any_split_gives_the_same_frames)
{
	int types[8];

	put_frame(BG_AGENT_HELLO, 0, nonce, sizeof(nonce));
	put_zeros(BG_AGENT_PING, 0, 8);
	put_zeros(BG_AGENT_DATA, 7, 1000);
	put_zeros(BG_AGENT_EOF, 7, 0);
	for (size_t piece = 1; piece <= wire.len; piece++) {
		bg_agent_reader_init(&reader, BG_AGENT_END_GUEST);
		CHECK_INT(read_all(piece, types, 8), 4);
		CHECK_INT(types[0], BG_AGENT_HELLO);
		CHECK_INT(types[1], BG_AGENT_PING);
		CHECK_INT(types[2], BG_AGENT_DATA);
		CHECK_INT(types[3], BG_AGENT_EOF);
		CHECK(!bg_agent_reader_partial(&reader));
	}
}

TEST(payload_and_head_come_through)
{
	struct bg_agent_frame f;
	const uint8_t *p = wire.bytes;

	bg_agent_reader_init(&reader, BG_AGENT_END_GUEST);
	put_frame(BG_AGENT_HELLO, 0, nonce, sizeof(nonce));
	CHECK_INT(bg_agent_next(&reader, &p, &wire.len, &f), 1);
	CHECK_INT(f.type, BG_AGENT_HELLO);
	CHECK_INT(f.stream, 0);
	CHECK_INT(f.len, BG_AGENT_NONCE);
	CHECK(memcmp(f.payload, nonce, BG_AGENT_NONCE) == 0);
}

TEST(garbage_before_the_opening_is_skipped)
{
	int types[4];

	put("BGA", 3);
	put("BGA1BGA1 some half frame BGA1", 29);
	put_frame(BG_AGENT_HELLO, 0, nonce, sizeof(nonce));
	put_zeros(BG_AGENT_PING, 0, 8);
	for (size_t piece = 1; piece <= wire.len; piece++) {
		bg_agent_reader_init(&reader, BG_AGENT_END_GUEST);
		CHECK_INT(read_all(piece, types, 4), 2);
		CHECK_INT(types[0], BG_AGENT_HELLO);
		CHECK_INT(types[1], BG_AGENT_PING);
	}
}

TEST(frames_before_the_opening_are_skipped)
{
	int types[4];

	bg_agent_reader_init(&reader, BG_AGENT_END_GUEST);
	put_zeros(BG_AGENT_SHUTDOWN, 0, 1);
	put_zeros(BG_AGENT_DATA, 3, BG_AGENT_PAYLOAD_MAX);
	put_frame(BG_AGENT_HELLO, 0, nonce, sizeof(nonce));
	CHECK_INT(read_all(4096, types, 4), 1);
	CHECK_INT(types[0], BG_AGENT_HELLO);
}

TEST(malformed_ends_the_conversation_until_the_next_hello)
{
	int types[8];

	put_frame(BG_AGENT_HELLO, 0, nonce, sizeof(nonce));
	put("not a frame head", 16);
	put_zeros(BG_AGENT_PING, 0, 8);
	put_frame(BG_AGENT_HELLO, 0, nonce, sizeof(nonce));
	put_zeros(BG_AGENT_PING, 0, 8);
	for (size_t piece = 1; piece <= wire.len; piece++) {
		bg_agent_reader_init(&reader, BG_AGENT_END_GUEST);
		CHECK_INT(read_all(piece, types, 8), 4);
		CHECK_INT(types[1], -EPROTO);
		CHECK_INT(types[2], BG_AGENT_HELLO);
		CHECK_INT(types[3], BG_AGENT_PING);
	}
}

static void check_malformed(uint32_t magic, uint32_t len, uint16_t type)
{
	struct bg_agent_head h = {.magic = magic, .len = len, .type = type};
	int types[4];

	wire.len = 0;
	bg_agent_reader_init(&reader, BG_AGENT_END_GUEST);
	put_frame(BG_AGENT_HELLO, 0, nonce, sizeof(nonce));
	put(&h, sizeof(h));
	CHECK_INT(read_all(64, types, 4), 2);
	CHECK_INT(types[1], -EPROTO);
}

TEST(each_bad_field)
{
	check_malformed(BG_AGENT_MAGIC ^ 1, 0, BG_AGENT_EOF);
	check_malformed(BG_AGENT_MAGIC, BG_AGENT_PAYLOAD_MAX + 1, BG_AGENT_DATA);
	check_malformed(BG_AGENT_MAGIC, UINT32_MAX, BG_AGENT_DATA);
	check_malformed(BG_AGENT_MAGIC, 7, BG_AGENT_PING);
	check_malformed(BG_AGENT_MAGIC, 9, BG_AGENT_PING);
	check_malformed(BG_AGENT_MAGIC, 0, BG_AGENT_SHUTDOWN);
	check_malformed(BG_AGENT_MAGIC, 1, BG_AGENT_EOF);
	check_malformed(BG_AGENT_MAGIC, 15, BG_AGENT_HELLO);
}

TEST(unknown_types_are_handed_out)
{
	int types[2];

	bg_agent_reader_init(&reader, BG_AGENT_END_GUEST);
	put_frame(BG_AGENT_HELLO, 0, nonce, sizeof(nonce));
	put_zeros((enum bg_agent_type)77, 5, 100);
	CHECK_INT(read_all(1, types, 2), 2);
	CHECK_INT(types[1], 77);
	CHECK_STR(bg_agent_type_str(77), "?");
	CHECK_STR(bg_agent_type_str(BG_AGENT_PONG), "pong");
}

TEST(host_takes_only_its_own_welcome)
{
	struct bg_agent_welcome other = {.nonce = "someone else's"}, ours = {.version = 1};
	int types[4];

	memcpy(ours.nonce, nonce, sizeof(nonce));
	put_frame(BG_AGENT_WELCOME, 0, &other, sizeof(other));
	put_zeros(BG_AGENT_STATUS, 0, sizeof(struct bg_agent_status));
	put_frame(BG_AGENT_WELCOME, 0, &ours, sizeof(ours));
	put_zeros(BG_AGENT_STATUS, 0, sizeof(struct bg_agent_status));
	for (size_t piece = 1; piece <= wire.len; piece++) {
		bg_agent_reader_expect(&reader, nonce);
		CHECK_INT(read_all(piece, types, 4), 2);
		CHECK_INT(types[0], BG_AGENT_WELCOME);
		CHECK_INT(types[1], BG_AGENT_STATUS);
	}
}

TEST(host_hears_of_a_reboot)
{
	int types[2];

	put("half a frame", 12);
	put_zeros(BG_AGENT_BOOT, 0, 0);
	bg_agent_reader_expect(&reader, nonce);
	CHECK_INT(read_all(5, types, 2), 1);
	CHECK_INT(types[0], BG_AGENT_BOOT);
}

TEST(a_hello_inside_a_half_frame_is_found_when_asked)
{
	struct bg_agent_head h;
	struct bg_agent_frame f;
	const uint8_t *p = NULL;
	size_t n = 0;
	int types[4];

	bg_agent_reader_init(&reader, BG_AGENT_END_GUEST);
	put_frame(BG_AGENT_HELLO, 0, nonce, sizeof(nonce));
	bg_agent_head_init(&h, BG_AGENT_DATA, 1, 0, 60000);
	put(&h, sizeof(h));
	put("some of the data", 16);
	CHECK_INT(read_all(1000, types, 4), 1);
	CHECK(bg_agent_reader_partial(&reader));
	CHECK(!bg_agent_reader_rescan(&reader));
	wire.len = 0;
	put_frame(BG_AGENT_HELLO, 0, nonce, sizeof(nonce));
	put_zeros(BG_AGENT_PING, 0, 8);
	CHECK_INT(read_all(1000, types, 4), 0);
	CHECK(bg_agent_reader_rescan(&reader));
	CHECK_INT(bg_agent_next(&reader, &p, &n, &f), 1);
	CHECK_INT(f.type, BG_AGENT_HELLO);
	CHECK_INT(bg_agent_next(&reader, &p, &n, &f), 1);
	CHECK_INT(f.type, BG_AGENT_PING);
	CHECK_INT(bg_agent_next(&reader, &p, &n, &f), 0);
}

TEST(a_rescan_keeps_an_honest_half_frame)
{
	int types[4];

	bg_agent_reader_init(&reader, BG_AGENT_END_GUEST);
	put_frame(BG_AGENT_HELLO, 0, nonce, sizeof(nonce));
	put_zeros(BG_AGENT_DATA, 1, 5000);
	wire.len -= 100;
	CHECK_INT(read_all(512, types, 4), 1);
	CHECK(!bg_agent_reader_rescan(&reader));
	memset(wire.bytes, 0, 100);
	wire.len = 100;
	CHECK_INT(read_all(512, types, 4), 1);
	CHECK_INT(types[0], BG_AGENT_DATA);
}
