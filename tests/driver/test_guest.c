/* SPDX-License-Identifier: ISC */
/* daemon/driver/guest_agent.c and guest_call.c against a scripted guest in this process. */
#include <endian.h>
#include <stdio.h>
#include <sys/socket.h>

#include "common/agent_frame.h"
#include "common/clock.h"
#include "daemon/driver/guest.h"
#include "tests/driver/spin.h"

static const char vm_id[] = "00112233445566778899aabbccddeeff";

static struct fixture {
	struct loop *loop;
	struct guest *guest;
	struct guest_call *call;
	char path[96];
	int listener, peer;
	uint32_t can;		       /* of its WELCOMEs */
	struct bg_agent_reader reader; /* the guest's */
	uint8_t in[4096];
	size_t in_len;
	/* what the status callback was told */
	unsigned told;
	bool connected;
	uint32_t flags, uptime;
	bool free_in_status;
	/* what the call was told */
	unsigned completed;
	int errnum;
	enum bg_err_code code;
	bool free_in_done, free_guest_in_done;
} f;

static void on_status(
	struct guest *guest, bool connected, uint32_t flags, uint32_t uptime_ms, void *userdata)
{
	f.told++;
	f.connected = connected;
	f.flags = flags;
	f.uptime = uptime_ms;
	if (f.free_in_status) {
		guest_free(guest);
		f.guest = NULL;
	}
}

static void on_done(const struct bg_err *err, void *userdata)
{
	f.completed++;
	f.errnum = err ? err->errnum : 0;
	f.code = err ? err->code : BG_ERR_MAX_;
	if (f.free_in_done) {
		guest_call_free(f.call);
		f.call = NULL;
	}
	if (f.free_guest_in_done) {
		guest_free(f.guest);
		f.guest = NULL;
	}
}

static void open_guest(const char *carrier)
{
	struct guest_target target = {.carrier = carrier, .socket_path = f.path, .vm_id = vm_id};

	f.listener = f.peer = -1;
	snprintf(f.path, sizeof(f.path), "%s/agent.sock", test_tmpdir());
	CHECK_INT(loop_new(&f.loop), 0);
	CHECK_INT(guest_open(f.loop, &target, on_status, NULL, &f.guest, NULL), 0);
}

static void close_all(void)
{
	guest_call_free(f.call);
	guest_free(f.guest);
	bg_close(f.peer);
	bg_close(f.listener);
	loop_free(f.loop); /* asserts that no source is left */
}

/* The guest takes the next connection. */
static void accept_host(void)
{
	if (f.listener < 0)
		f.listener = spin_listen(f.path);
	bg_close(f.peer);
	SPIN(f.loop, spin_readable(f.listener));
	f.peer = accept(f.listener, NULL, NULL);
	CHECK(f.peer >= 0);
	f.in_len = 0;
	bg_agent_reader_init(&f.reader, BG_AGENT_END_GUEST);
}

static bool next_frame(struct bg_agent_frame *ret)
{
	const uint8_t *p = f.in;
	size_t n = f.in_len;
	int r;

	if (n == 0 && spin_readable(f.peer)) {
		ssize_t len = read(f.peer, f.in, sizeof(f.in));

		CHECK(len >= 0);
		n = (size_t)len;
	}
	r = bg_agent_next(&f.reader, &p, &n, ret);
	memmove(f.in, p, n);
	f.in_len = n;
	return r > 0;
}

static void expect_frame(uint16_t type, struct bg_agent_frame *ret)
{
	SPIN(f.loop, next_frame(ret));
	CHECK_INT(ret->type, type);
}

static void send_raw(const void *bytes, size_t len)
{
	CHECK_INT(write(f.peer, bytes, len), len);
}

static size_t make_frame(uint8_t *buf, enum bg_agent_type type, const void *payload, size_t len)
{
	struct bg_agent_head head;

	bg_agent_head_init(&head, type, 0, 0, len);
	memcpy(buf, &head, sizeof(head));
	if (len > 0)
		memcpy(buf + sizeof(head), payload, len);
	return sizeof(head) + len;
}

static void send_frame(enum bg_agent_type type, const void *payload, size_t len)
{
	uint8_t buf[256];

	send_raw(buf, make_frame(buf, type, payload, len));
}

static size_t make_welcome(uint8_t *buf, const uint8_t *nonce, bool right_id)
{
	struct bg_agent_welcome welcome = {
		.version = htole32(BG_AGENT_VERSION), .can = htole32(f.can)};

	memcpy(welcome.nonce, nonce, BG_AGENT_NONCE);
	for (unsigned i = 0; i < 16; i++)
		welcome.vm_id[i] = (uint8_t)(i * 0x11);
	if (!right_id)
		welcome.vm_id[3]++;
	return make_frame(buf, BG_AGENT_WELCOME, &welcome, sizeof(welcome));
}

static void send_welcome(const uint8_t *nonce)
{
	uint8_t buf[128];

	send_raw(buf, make_welcome(buf, nonce, true));
}

static void send_status(uint32_t flags)
{
	struct bg_agent_status status = {.flags = htole32(flags), .uptime_ms = htole32(1234)};

	send_frame(BG_AGENT_STATUS, &status, sizeof(status));
}

static void get_open(void)
{
	struct bg_agent_frame hello;

	accept_host();
	expect_frame(BG_AGENT_HELLO, &hello);
	send_welcome(hello.payload);
	SPIN(f.loop, guest_connected(f.guest));
}

TEST(opens_and_tells_status)
{
	open_guest("virtio");
	get_open();
	CHECK_INT(f.told, 1);
	CHECK(f.connected);
	CHECK_INT(f.flags, 0);
	send_status(BG_AGENT_F_ROOT | BG_AGENT_F_NET);
	SPIN(f.loop, f.told == 2);
	CHECK_INT(f.flags, BG_AGENT_F_ROOT | BG_AGENT_F_NET);
	CHECK_INT(f.uptime, 1234);
	CHECK_INT(guest_flags(f.guest), f.flags);
	close_all();
}

/* A hostile guest flips its bits as fast as it can: only what is new is news. */
TEST(status_is_told_once)
{
	open_guest("virtio");
	get_open();
	for (unsigned i = 0; i < 100; i++)
		send_status(i % 2 ? BG_AGENT_F_ROOT | BG_AGENT_F_SSHD | 1u << 31 : 0);
	SPIN(f.loop, guest_flags(f.guest) != 0);
	spin_for(f.loop, 50 * 1000);
	CHECK_INT(f.told, 2);
	CHECK_INT(f.flags, BG_AGENT_F_ROOT | BG_AGENT_F_SSHD);
	send_status(BG_AGENT_F_NET);
	SPIN(f.loop, f.told == 3);
	CHECK_INT(f.flags, BG_AGENT_F_ROOT | BG_AGENT_F_SSHD | BG_AGENT_F_NET);
	close_all();
}

/* As above by booting: each opening is news too, so there is a rate. */
TEST(openings_have_a_rate)
{
	struct bg_agent_frame frame;
	unsigned welcomes = 0;
	char c;

	open_guest("virtio");
	accept_host();
	expect_frame(BG_AGENT_HELLO, &frame);
	for (bool dropped = false; !dropped; welcomes++) {
		CHECK(welcomes < 100);
		send_welcome(frame.payload);
		SPIN(f.loop, f.told == 2 * welcomes + 1 ||
				     (dropped = recv(f.peer, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0));
		if (dropped)
			break;
		bg_agent_reader_init(&f.reader, BG_AGENT_END_GUEST);
		send_frame(BG_AGENT_BOOT, NULL, 0);
		expect_frame(BG_AGENT_HELLO, &frame);
	}
	CHECK(welcomes >= 8 && welcomes < 20);
	CHECK(!f.connected);
	get_open(); /* a second later it may again */
	close_all();
}

TEST(socket_may_come_later)
{
	open_guest("virtio");
	spin_for(f.loop, 50 * 1000);
	CHECK(!guest_connected(f.guest));
	get_open();
	close_all();
}

TEST(frames_in_single_bytes)
{
	struct bg_agent_frame hello;
	uint8_t buf[128];
	size_t n;

	open_guest("virtio");
	accept_host();
	expect_frame(BG_AGENT_HELLO, &hello);
	n = make_welcome(buf, hello.payload, true);
	for (size_t i = 0; i < n; i++) {
		CHECK(!guest_connected(f.guest));
		send_raw(buf + i, 1);
		spin_turn(f.loop);
	}
	SPIN(f.loop, guest_connected(f.guest));
	close_all();
}

TEST(garbage_before_welcome_is_passed_over)
{
	static const uint8_t half[] = {'B', 'G', 'A', '1', 4, 0, 0, 0, 9};
	struct bg_agent_frame hello;
	uint8_t stale[BG_AGENT_NONCE] = {1, 2, 3};

	open_guest("virtio");
	accept_host();
	expect_frame(BG_AGENT_HELLO, &hello);
	send_raw("\0\xff"
		 "BGA",
		5);
	send_raw(half, sizeof(half));
	send_status(BG_AGENT_F_SSHD); /* of an earlier conversation */
	send_welcome(stale);
	spin_for(f.loop, 20 * 1000);
	CHECK(!guest_connected(f.guest));
	CHECK_INT(f.told, 0);
	send_welcome(hello.payload);
	SPIN(f.loop, guest_connected(f.guest));
	close_all();
}

TEST(another_guest_is_refused)
{
	struct bg_agent_frame hello;
	uint8_t buf[128];
	char c;

	open_guest("virtio");
	accept_host();
	expect_frame(BG_AGENT_HELLO, &hello);
	send_raw(buf, make_welcome(buf, hello.payload, false));
	SPIN(f.loop, spin_readable(f.peer));
	CHECK_INT(read(f.peer, &c, 1), 0); /* hung up */
	CHECK_INT(f.told, 0);
	CHECK(!guest_connected(f.guest));
	close_all();
}

TEST(reconnects_with_a_new_nonce)
{
	uint8_t first[BG_AGENT_NONCE];
	struct bg_agent_frame hello;

	open_guest("virtio");
	accept_host();
	expect_frame(BG_AGENT_HELLO, &hello);
	memcpy(first, hello.payload, sizeof(first));
	send_welcome(hello.payload);
	send_status(BG_AGENT_F_ROOT);
	SPIN(f.loop, f.told == 2);
	f.peer = bg_close(f.peer);
	SPIN(f.loop, f.told == 3);
	CHECK(!f.connected);
	CHECK_INT(guest_flags(f.guest), 0);
	accept_host();
	expect_frame(BG_AGENT_HELLO, &hello);
	CHECK(memcmp(first, hello.payload, sizeof(first)) != 0);
	send_welcome(hello.payload);
	SPIN(f.loop, f.told == 4 && f.connected);
	close_all();
}

TEST(boot_starts_anew)
{
	struct bg_agent_frame frame;

	open_guest("virtio");
	get_open();
	CHECK_INT(guest_ping(f.guest, 30 * 1000 * 1000, on_done, NULL, &f.call, NULL), 0);
	expect_frame(BG_AGENT_PING, &frame);
	bg_agent_reader_init(&f.reader, BG_AGENT_END_GUEST);
	send_frame(BG_AGENT_BOOT, NULL, 0);
	SPIN(f.loop, f.completed == 1);
	CHECK_INT(f.code, BG_ERR_AGENT);
	CHECK(!f.connected);
	expect_frame(BG_AGENT_HELLO, &frame);
	send_welcome(frame.payload);
	SPIN(f.loop, f.connected);
	close_all();
}

TEST(boot_while_opening)
{
	struct bg_agent_frame first, second;
	uint8_t nonce[BG_AGENT_NONCE];

	open_guest("virtio");
	accept_host();
	expect_frame(BG_AGENT_HELLO, &first);
	memcpy(nonce, first.payload, sizeof(nonce));
	send_frame(BG_AGENT_BOOT, NULL, 0);
	send_welcome(nonce); /* overtaken */
	expect_frame(BG_AGENT_HELLO, &second);
	spin_for(f.loop, 10 * 1000);
	CHECK(!guest_connected(f.guest));
	send_welcome(second.payload);
	SPIN(f.loop, guest_connected(f.guest));
	close_all();
}

TEST(malformed_frame_ends_the_conversation)
{
	struct bg_agent_frame hello;

	open_guest("virtio");
	get_open();
	send_raw("this is no frame at all", 23);
	SPIN(f.loop, !f.connected);
	accept_host();
	expect_frame(BG_AGENT_HELLO, &hello);
	close_all();
}

TEST(shutdown_is_answered)
{
	const struct bg_agent_done done = {0};
	struct bg_agent_frame frame;

	open_guest("virtio");
	get_open();
	CHECK_INT(guest_shutdown(
			  f.guest, BG_AGENT_REBOOT, 30 * 1000 * 1000, on_done, NULL, &f.call, NULL),
		0);
	expect_frame(BG_AGENT_SHUTDOWN, &frame);
	CHECK_INT(frame.payload[0], BG_AGENT_REBOOT);
	CHECK_INT(f.completed, 0);
	send_frame(BG_AGENT_DONE, &done, sizeof(done));
	SPIN(f.loop, f.completed == 1);
	CHECK_INT(f.code, BG_ERR_MAX_);
	close_all();
}

TEST(shutdown_refused)
{
	const struct bg_agent_done done = {.error = (int32_t)htole32(EBUSY)};
	struct bg_agent_frame frame;

	open_guest("virtio");
	get_open();
	CHECK_INT(guest_shutdown(f.guest, BG_AGENT_POWEROFF, 30 * 1000 * 1000, on_done, NULL,
			  &f.call, NULL),
		0);
	expect_frame(BG_AGENT_SHUTDOWN, &frame);
	send_frame(BG_AGENT_DONE, &done, sizeof(done));
	SPIN(f.loop, f.completed == 1);
	CHECK_INT(f.code, BG_ERR_AGENT);
	CHECK_INT(f.errnum, EBUSY);
	close_all();
}

TEST(call_waits_for_the_guest)
{
	struct bg_agent_frame frame;

	open_guest("virtio");
	CHECK_INT(guest_ping(f.guest, 30 * 1000 * 1000, on_done, NULL, &f.call, NULL), 0);
	spin_for(f.loop, 20 * 1000);
	get_open();
	expect_frame(BG_AGENT_PING, &frame);
	CHECK_INT(frame.len, 8);
	send_frame(BG_AGENT_PONG, "another!", 8);
	spin_for(f.loop, 20 * 1000);
	CHECK_INT(f.completed, 0);
	send_frame(BG_AGENT_PONG, frame.payload, 8);
	SPIN(f.loop, f.completed == 1);
	CHECK_INT(f.code, BG_ERR_MAX_);
	close_all();
}

TEST(call_has_a_deadline)
{
	open_guest("virtio");
	CHECK_INT(guest_ping(f.guest, 20 * 1000, on_done, NULL, &f.call, NULL), 0);
	SPIN(f.loop, f.completed == 1);
	CHECK_INT(f.errnum, ETIMEDOUT);
	close_all();
}

TEST(unanswered_call_has_a_deadline_and_completes_once)
{
	struct bg_agent_frame frame;

	open_guest("virtio");
	get_open();
	CHECK_INT(guest_ping(f.guest, 50 * 1000, on_done, NULL, &f.call, NULL), 0);
	expect_frame(BG_AGENT_PING, &frame);
	SPIN(f.loop, f.completed == 1);
	send_frame(BG_AGENT_PONG, frame.payload, 8);
	spin_for(f.loop, 20 * 1000);
	CHECK_INT(f.completed, 1);
	close_all();
}

TEST(freed_call_is_forgotten)
{
	struct bg_agent_frame frame;

	open_guest("virtio");
	get_open();
	CHECK_INT(guest_ping(f.guest, 30 * 1000 * 1000, on_done, NULL, &f.call, NULL), 0);
	expect_frame(BG_AGENT_PING, &frame);
	guest_call_free(f.call);
	f.call = NULL;
	send_frame(BG_AGENT_PONG, frame.payload, 8);
	spin_for(f.loop, 20 * 1000);
	CHECK_INT(f.completed, 0);
	close_all();
}

TEST(free_inside_callbacks)
{
	struct bg_agent_frame frame;

	open_guest("virtio");
	get_open();
	f.free_in_done = f.free_guest_in_done = true;
	CHECK_INT(guest_ping(f.guest, 30 * 1000 * 1000, on_done, NULL, &f.call, NULL), 0);
	expect_frame(BG_AGENT_PING, &frame);
	send_frame(BG_AGENT_PONG, frame.payload, 8);
	send_status(1); /* comes after the guest is gone */
	SPIN(f.loop, f.completed == 1);
	close_all();
}

TEST(free_inside_status)
{
	open_guest("virtio");
	get_open();
	CHECK_INT(guest_ping(f.guest, 30 * 1000 * 1000, on_done, NULL, &f.call, NULL), 0);
	f.free_in_status = true;
	f.peer = bg_close(f.peer); /* breaks the call, then tells */
	SPIN(f.loop, !f.guest);
	CHECK_INT(f.completed, 1);
	close_all();
}

TEST(call_outlives_the_guest)
{
	open_guest("virtio");
	CHECK_INT(guest_ping(f.guest, 10 * 1000, on_done, NULL, &f.call, NULL), 0);
	guest_free(f.guest);
	f.guest = NULL;
	spin_for(f.loop, 30 * 1000);
	CHECK_INT(f.completed, 0);
	close_all();
}

/* ---- gaps ---- */

static void get_open_that_can(void)
{
	f.can = BG_AGENT_CAN_GAP;
	get_open();
	CHECK_INT(guest_can(f.guest), BG_AGENT_CAN_GAP);
}

static struct bg_agent_gap take_gap(void)
{
	struct bg_agent_frame frame;
	struct bg_agent_gap gap;

	expect_frame(BG_AGENT_GAP, &frame);
	memcpy(&gap, frame.payload, sizeof(gap));
	return gap;
}

static int ask_gap(struct bg_err **err)
{
	guest_call_free(f.call);
	f.call = NULL;
	return guest_gap(f.guest, BG_AGENT_GAP_RANDOM | BG_AGENT_GAP_CLOCK, 5000 * 1000, on_done,
		NULL, &f.call, err);
}

/* An answer to another message than the last is passed over. */
TEST(a_gap_is_told_with_the_time_and_new_randomness)
{
	struct bg_agent_gap first, second;
	struct bg_agent_gap_done done = {.done = htole32(BG_AGENT_GAP_CLOCK | 1u << 30),
		.step_usec = (int64_t)htole64(20000000),
		.time_usec = (int64_t)htole64(77)};
	int64_t begun = (int64_t)bg_now_usec(CLOCK_REALTIME);

	open_guest("virtio");
	get_open_that_can();
	CHECK_INT(ask_gap(NULL), 0);
	first = take_gap();
	CHECK_INT(ask_gap(NULL), 0);
	second = take_gap();
	CHECK(first.number != second.number);
	CHECK(memcmp(first.random, second.random, sizeof(first.random)) != 0);
	CHECK_INT(le32toh(second.parts), BG_AGENT_GAP_RANDOM | BG_AGENT_GAP_CLOCK);
	CHECK((int64_t)le64toh((uint64_t)first.time_usec) >= begun);
	CHECK((int64_t)le64toh((uint64_t)second.time_usec) <= (int64_t)bg_now_usec(CLOCK_REALTIME));
	done.number = first.number;
	send_frame(BG_AGENT_GAP_DONE, &done, sizeof(done));
	send_status(BG_AGENT_F_ROOT);
	SPIN(f.loop, guest_flags(f.guest) != 0);
	CHECK_INT(f.completed, 0);
	done.number = second.number;
	send_frame(BG_AGENT_GAP_DONE, &done, sizeof(done));
	SPIN(f.loop, f.completed == 1);
	CHECK_INT(f.errnum, 0);
	CHECK_INT(guest_call_reply(f.call)->done, BG_AGENT_GAP_CLOCK);
	CHECK_INT(guest_call_reply(f.call)->step_usec, 20000000);
	CHECK_INT(guest_call_reply(f.call)->time_usec, 77);
	CHECK(guest_call_reply(f.call)->sent_usec >= begun);
	CHECK(guest_call_reply(f.call)->heard_usec >= guest_call_reply(f.call)->sent_usec);
	close_all();
}

/* It is in front of whatever is asked for after the conversation has begun. */
TEST(a_gap_waits_for_the_conversation_and_is_its_first_message)
{
	struct guest_call *later = NULL;
	struct bg_agent_frame frame;

	open_guest("virtio");
	CHECK_INT(ask_gap(NULL), 0);
	CHECK_INT(guest_ping(f.guest, 5000 * 1000, on_done, NULL, &later, NULL), 0);
	get_open_that_can();
	(void)take_gap();
	expect_frame(BG_AGENT_PING, &frame);
	CHECK_INT(frame.sub, BG_AGENT_PING_TIME);
	guest_call_free(later);
	close_all();
}

/* Both ways: before its conversation, and in it. It is sent nothing that it does not know. */
TEST(an_old_agent_is_told_of_no_gap)
{
	_err_ struct bg_err *err = NULL;
	struct guest_call *later = NULL;
	struct bg_agent_frame frame;

	open_guest("virtio");
	CHECK_INT(ask_gap(NULL), 0);
	get_open();
	SPIN(f.loop, f.completed == 1);
	CHECK_INT(f.errnum, ENOSYS);
	CHECK_INT(guest_can(f.guest), 0);
	CHECK(ask_gap(&err) < 0);
	CHECK_INT(err->errnum, ENOSYS);
	CHECK_INT(guest_ping(f.guest, 5000 * 1000, on_done, NULL, &later, NULL), 0);
	expect_frame(BG_AGENT_PING, &frame);
	send_frame(BG_AGENT_PONG, frame.payload, 8);
	SPIN(f.loop, f.completed == 2);
	CHECK_INT(f.errnum, 0);
	CHECK(!guest_call_reply(later)->has_time);
	guest_call_free(later);
	close_all();
}

TEST(a_ping_brings_the_clocks_of_the_guest)
{
	struct bg_agent_frame frame;
	struct bg_agent_pong pong = {
		.time_usec = (int64_t)htole64((uint64_t)-5), .up_usec = htole64(9)};

	open_guest("virtio");
	get_open_that_can();
	CHECK_INT(guest_ping(f.guest, 5000 * 1000, on_done, NULL, &f.call, NULL), 0);
	expect_frame(BG_AGENT_PING, &frame);
	memcpy(pong.ping, frame.payload, sizeof(pong.ping));
	send_frame(BG_AGENT_PONG, &pong, sizeof(pong));
	SPIN(f.loop, f.completed == 1);
	CHECK(guest_call_reply(f.call)->has_time);
	CHECK_INT(guest_call_reply(f.call)->time_usec, -5);
	CHECK_INT(guest_call_reply(f.call)->up_usec, 9);
	close_all();
}

static void expect_connect_line(void)
{
	static const char want[] = "CONNECT 1024\n";
	char line[64];

	SPIN(f.loop, spin_readable(f.peer));
	CHECK_INT(read(f.peer, line, sizeof(line)), sizeof(want) - 1);
	CHECK_INT(memcmp(line, want, sizeof(want) - 1), 0);
}

TEST(vsock_handshake)
{
	struct bg_agent_frame hello;

	open_guest("vsock");
	accept_host();
	expect_connect_line();
	send_raw("OK 10", 5);
	spin_for(f.loop, 10 * 1000);
	CHECK(!spin_readable(f.peer));
	send_raw("73741\n", 6);
	expect_frame(BG_AGENT_HELLO, &hello);
	send_welcome(hello.payload);
	SPIN(f.loop, guest_connected(f.guest));
	close_all();
}

TEST(vsock_refused_is_tried_again)
{
	struct bg_agent_frame hello;

	open_guest("vsock");
	accept_host();
	expect_connect_line(); /* Firecracker hangs up while nothing listens in the guest */
	accept_host();
	expect_connect_line();
	send_raw("no\n", 3);
	accept_host();
	expect_connect_line();
	send_raw("OK 1\n", 5);
	expect_frame(BG_AGENT_HELLO, &hello);
	CHECK_INT(f.told, 0);
	close_all();
}

TEST(silent_carrier_is_dropped)
{
	struct bg_agent_frame hello;
	int silent;

	open_guest("virtio");
	accept_host();
	expect_frame(BG_AGENT_HELLO, &hello);
	silent = f.peer;
	f.peer = -1;
	/* It says nothing: a fresh connection comes after a while, and that one works. */
	get_open();
	close(silent);
	close_all();
}
