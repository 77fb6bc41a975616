/* SPDX-License-Identifier: ISC */
/*
 * test_guest_conversation.c: The agent's end of a conversation: hello, status, shutdown, a host that goes
 * away.
 */
#include <endian.h>

#include "guest/conversation.h"
#include "tests/lib/test.h"

static const uint8_t vm_id[16] = "vm id of a test";
static struct conversation conversation;
static struct bg_agent_reader host;

static void send_frame(enum bg_agent_type type, uint32_t stream, const void *p, size_t n)
{
	uint8_t buf[1024];
	struct bg_agent_head h;

	bg_agent_head_init(&h, type, stream, 0, n);
	memcpy(buf, &h, sizeof(h));
	memcpy(buf + sizeof(h), p, n);
	CHECK_INT(conversation_input(&conversation, buf, sizeof(h) + n), sizeof(h) + n);
}

/* The next answer, as the host reads it; 0 when there is none. */
static int answer(struct bg_agent_frame *f)
{
	const uint8_t *start = conversation.out + conversation.out_at, *p = start;
	size_t n = conversation.out_len;
	int r = bg_agent_next(&host, &p, &n, f);

	conversation_sent(&conversation, (size_t)(p - start));
	CHECK(r >= 0);
	return r ? f->type : 0;
}

static void hello(const char *text)
{
	uint8_t nonce[BG_AGENT_NONCE] = {0};

	memcpy(nonce, text, strlen(text));
	bg_agent_reader_expect(&host, nonce);
	send_frame(BG_AGENT_HELLO, 0, nonce, sizeof(nonce));
}

static void open_talk(void)
{
	struct bg_agent_frame f;

	conversation_init(&conversation, vm_id, BG_AGENT_F_ROOT);
	hello("first");
	CHECK_INT(answer(&f), BG_AGENT_WELCOME);
	CHECK_INT(answer(&f), BG_AGENT_STATUS);
}

TEST(hello_gets_welcome_and_status)
{
	struct bg_agent_welcome w;
	struct bg_agent_status s;
	struct bg_agent_frame f;

	conversation_init(&conversation, vm_id, BG_AGENT_F_ROOT | BG_AGENT_F_NET);
	conversation_boot(&conversation);
	hello("a nonce");
	CHECK_INT(answer(&f), BG_AGENT_BOOT);
	CHECK_INT(answer(&f), BG_AGENT_WELCOME);
	memcpy(&w, f.payload, sizeof(w));
	CHECK(memcmp(w.vm_id, vm_id, 16) == 0);
	CHECK_INT(le32toh(w.version), BG_AGENT_VERSION);
	CHECK_INT(answer(&f), BG_AGENT_STATUS);
	memcpy(&s, f.payload, sizeof(s));
	CHECK_INT(le32toh(s.flags), BG_AGENT_F_ROOT | BG_AGENT_F_NET);
	CHECK_INT(answer(&f), 0);
}

TEST(nothing_is_answered_before_hello)
{
	conversation_init(&conversation, vm_id, 0);
	send_frame(BG_AGENT_PING, 0, "12345678", 8);
	send_frame(BG_AGENT_SHUTDOWN, 0, "", 1);
	conversation_add_flags(&conversation, BG_AGENT_F_SSHD);
	CHECK_INT(conversation.out_len, 0);
	CHECK(!conversation.shutdown);
}

TEST(ping_pong)
{
	struct bg_agent_frame f;

	open_talk();
	send_frame(BG_AGENT_PING, 0, "12345678", 8);
	CHECK_INT(answer(&f), BG_AGENT_PONG);
	CHECK(memcmp(f.payload, "12345678", 8) == 0);
}

TEST(a_ping_asks_for_the_clocks)
{
	uint8_t buf[sizeof(struct bg_agent_head) + 8] = {0};
	struct bg_agent_frame f;
	struct bg_agent_pong pong;
	struct bg_agent_head h;

	open_talk();
	bg_agent_head_init(&h, BG_AGENT_PING, 0, BG_AGENT_PING_TIME, 8);
	memcpy(buf, &h, sizeof(h));
	memcpy(buf + sizeof(h), "12345678", 8);
	CHECK_INT(conversation_input(&conversation, buf, sizeof(buf)), sizeof(buf));
	CHECK_INT(answer(&f), BG_AGENT_PONG);
	CHECK_INT(f.len, sizeof(pong));
	memcpy(&pong, f.payload, sizeof(pong));
	CHECK(memcmp(pong.ping, "12345678", 8) == 0);
	CHECK((int64_t)le64toh((uint64_t)pong.time_usec) > 1600000000LL * 1000000);
	CHECK(le64toh(pong.up_usec) > 0);
}

static struct bg_agent_gap asked;
static unsigned gaps;

static void on_gap(const struct bg_agent_gap *gap, struct bg_agent_gap_done *done)
{
	asked = *gap;
	gaps++;
	done->done = gap->parts & ~(uint32_t)BG_AGENT_GAP_NET;
	done->step_usec = -1234567890123;
}

static void send_gap(void)
{
	struct bg_agent_gap gap = {.number = 77,
		.parts = htole32(
			1u << 31 | BG_AGENT_GAP_RANDOM | BG_AGENT_GAP_CLOCK | BG_AGENT_GAP_NET),
		.time_usec = (int64_t)htole64(1700000000000001)};

	memset(gap.random, 0xa5, sizeof(gap.random));
	send_frame(BG_AGENT_GAP, 0, &gap, sizeof(gap));
}

/* Parts that this build does not know are passed over; what was not done is not said to be. */
TEST(a_gap_is_put_right_and_answered)
{
	struct bg_agent_gap_done done;
	struct bg_agent_frame f;

	open_talk();
	conversation.gap = on_gap;
	gaps = 0;
	send_gap();
	CHECK_INT(gaps, 1);
	CHECK_INT(asked.parts, BG_AGENT_GAP_RANDOM | BG_AGENT_GAP_CLOCK | BG_AGENT_GAP_NET);
	CHECK_INT(asked.time_usec, 1700000000000001);
	CHECK(asked.random[0] == 0xa5 && asked.random[BG_AGENT_GAP_BYTES - 1] == 0xa5);
	CHECK_INT(answer(&f), BG_AGENT_GAP_DONE);
	memcpy(&done, f.payload, sizeof(done));
	CHECK_INT(done.number, 77);
	CHECK_INT(le32toh(done.done), BG_AGENT_GAP_RANDOM | BG_AGENT_GAP_CLOCK);
	CHECK_INT((int64_t)le64toh((uint64_t)done.step_usec), -1234567890123);
	CHECK((int64_t)le64toh((uint64_t)done.time_usec) > 1600000000LL * 1000000);
	CHECK_INT(answer(&f), 0);
}

TEST(a_guest_says_whether_it_knows_gaps)
{
	struct bg_agent_welcome w;
	struct bg_agent_frame f;

	for (int can = 0; can < 2; can++) {
		conversation_init(&conversation, vm_id, 0);
		conversation.gap = can ? on_gap : NULL;
		gaps = 0;
		send_gap();
		CHECK_INT(gaps, 0); /* nothing before HELLO */
		hello("a nonce");
		CHECK_INT(answer(&f), BG_AGENT_WELCOME);
		memcpy(&w, f.payload, sizeof(w));
		CHECK_INT(le32toh(w.can), can ? BG_AGENT_CAN_GAP : 0);
	}
	conversation.gap = NULL;
	CHECK_INT(answer(&f), BG_AGENT_STATUS);
	send_gap();
	CHECK_INT(answer(&f), 0);
}

TEST(flags_are_told_once)
{
	struct bg_agent_frame f;

	open_talk();
	conversation_add_flags(&conversation, BG_AGENT_F_SSHD);
	CHECK_INT(answer(&f), BG_AGENT_STATUS);
	conversation_add_flags(&conversation, BG_AGENT_F_SSHD);
	CHECK_INT(answer(&f), 0);
}

TEST(shutdown_is_answered_first)
{
	struct bg_agent_frame f;

	open_talk();
	send_frame(BG_AGENT_SHUTDOWN, 0, "\1", 1);
	CHECK(conversation.shutdown);
	CHECK_INT(conversation.how, BG_AGENT_REBOOT);
	CHECK_INT(answer(&f), BG_AGENT_DONE);
	CHECK_INT(f.payload[0], 0);
}

TEST(unknown_shutdown_is_refused)
{
	struct bg_agent_frame f;

	open_talk();
	send_frame(BG_AGENT_SHUTDOWN, 0, "\2", 1);
	CHECK(!conversation.shutdown);
	CHECK_INT(answer(&f), BG_AGENT_DONE);
	CHECK_INT(f.payload[0], EINVAL);
}

TEST(streams_that_are_not_here)
{
	struct bg_agent_frame f;

	open_talk();
	send_frame(BG_AGENT_DATA, 9, "x", 1);
	send_frame(BG_AGENT_EOF, 9, "", 0);
	send_frame(BG_AGENT_CREDIT, 9, "\1\0\0\0", 4);
	send_frame(BG_AGENT_CANCEL, 9, "", 0);
	CHECK_INT(answer(&f), 0);
	send_frame((enum bg_agent_type)99, 9, "", 0);
	CHECK_INT(answer(&f), BG_AGENT_DONE);
	CHECK_INT(f.stream, 9);
	CHECK_INT(f.payload[0], ENOSYS);
}

static void half_frame(void)
{
	uint8_t buf[100] = {0};
	struct bg_agent_head h;

	bg_agent_head_init(&h, BG_AGENT_DATA, 1, 0, 60000);
	memcpy(buf, &h, sizeof(h));
	CHECK_INT(conversation_input(&conversation, buf, sizeof(buf)), sizeof(buf));
	CHECK(conversation_partial(&conversation));
}

TEST(a_host_that_left_in_a_frame_does_not_hurt_the_next)
{
	struct bg_agent_frame f;

	open_talk();
	half_frame();
	conversation_host_left(&conversation);
	hello("second");
	CHECK_INT(answer(&f), BG_AGENT_WELCOME);
}

TEST(the_leaving_is_seen_after_the_next_hello)
{
	struct bg_agent_frame f;

	open_talk();
	half_frame();
	hello("second");
	CHECK_INT(conversation.out_len, 0);
	conversation_host_left(&conversation);
	CHECK_INT(answer(&f), BG_AGENT_WELCOME);
	conversation_host_left(&conversation);
	CHECK_INT(answer(&f), BG_AGENT_STATUS);
	send_frame(BG_AGENT_PING, 0, "12345678", 8);
	CHECK_INT(answer(&f), BG_AGENT_PONG);
}

TEST(the_leaving_is_not_seen_at_all)
{
	struct bg_agent_frame f;

	open_talk();
	half_frame();
	hello("second");
	conversation_stalled(&conversation);
	CHECK_INT(answer(&f), BG_AGENT_WELCOME);
}

TEST(a_host_that_never_reads_stops_the_input)
{
	uint8_t buf[24];
	struct bg_agent_head h;
	int pings = 0;

	open_talk();
	bg_agent_head_init(&h, BG_AGENT_PING, 0, 0, 8);
	memcpy(buf, &h, sizeof(h));
	memset(buf + sizeof(h), 7, 8);
	while (conversation_input(&conversation, buf, sizeof(buf)) == sizeof(buf)) {
		CHECK(++pings < CONVERSATION_OUT_MAX);
		CHECK(conversation.out_len <= CONVERSATION_OUT_MAX);
	}
	CHECK(!conversation_wants_input(&conversation));
	CHECK_INT(conversation.out_len, pings * 24);
}
