/* SPDX-License-Identifier: ISC */
/*
 * daemon/driver/guest_stream.c against the agent's own sessions, run on this machine by fake-guest:
 * windows both ways, ends, cancels, many at once.
 */
#include <endian.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/agent_exec.h"
#include "common/agent_frame.h"
#include "common/fd.h"
#include "daemon/driver/guest.h"
#include "tests/driver/spin.h"

static const char vm_id[] = "00112233445566778899aabbccddeeff";

enum { STREAMS = 30 };

struct one {
	struct guest_stream *stream;
	char out[64];
	size_t out_len, bytes;
	uint32_t window; /* of its input */
	bool done, broken, room;
	int error, status;
	unsigned confirmed; /* the signal that the guest told back */
	bool generous;	    /* gives credit for what comes */
};

static struct {
	struct loop *loop;
	struct guest *guest;
	pid_t pid;
	int stdin_fd;
	struct one one[STREAMS];
} f;

static struct bg_agent_frame frame_of(
	enum bg_agent_type type, unsigned sub, const void *p, size_t n)
{
	return (struct bg_agent_frame){.stream = 1,
		.type = (uint16_t)type,
		.sub = (uint16_t)sub,
		.len = (uint32_t)n,
		.payload = p};
}

static int send_one(struct one *one, enum bg_agent_type type, unsigned sub, const void *p, size_t n)
{
	struct bg_agent_frame frame = frame_of(type, sub, p, n);

	return guest_stream_send(one->stream, &frame);
}

static void on_data(struct one *one, const struct bg_agent_frame *frame)
{
	uint32_t credit = htole32(frame->len);
	size_t n = BG_MIN((size_t)frame->len, sizeof(one->out) - 1 - one->out_len);

	memcpy(one->out + one->out_len, frame->payload, n);
	one->out_len += n;
	one->bytes += frame->len;
	if (one->generous)
		CHECK_INT(send_one(one, BG_AGENT_CREDIT, frame->sub, &credit, 4), 0);
}

static void on_frame(
	struct guest_stream *stream, const struct bg_agent_frame *frame, void *userdata)
{
	struct one *one = userdata;
	struct bg_agent_done done;
	uint32_t more;

	if (frame->type == BG_AGENT_DATA)
		on_data(one, frame);
	if (frame->type == BG_AGENT_CREDIT) {
		memcpy(&more, frame->payload, sizeof(more));
		one->window += le32toh(more);
	}
	if (frame->type == BG_AGENT_SIGNAL) {
		memcpy(&more, frame->payload, sizeof(more));
		one->confirmed = le32toh(more);
	}
	if (frame->type == BG_AGENT_DONE) {
		memcpy(&done, frame->payload, sizeof(done));
		one->error = (int)le32toh((uint32_t)done.error);
		one->status = (int)le32toh((uint32_t)done.status);
		one->done = true;
	}
}

static void on_room(struct guest_stream *stream, void *userdata)
{
	((struct one *)userdata)->room = true;
}

static void on_broken(struct guest_stream *stream, const char *why, void *userdata)
{
	((struct one *)userdata)->broken = true;
}

static const struct guest_stream_events events = {on_frame, on_room, on_broken};

static void on_status(
	struct guest *guest, bool connected, uint32_t flags, uint32_t uptime_ms, void *userdata)
{
}

static void setup(void)
{
	static char path[96];
	struct guest_target target = {.carrier = "virtio", .socket_path = path, .vm_id = vm_id};

	snprintf(path, sizeof(path), "%s/agent.sock", test_tmpdir());
	f.pid = spin_fake_guest(path, vm_id, &f.stdin_fd);
	CHECK_INT(loop_new(&f.loop), 0);
	CHECK_INT(guest_open(f.loop, &target, on_status, NULL, &f.guest, NULL), 0);
	SPIN(f.loop, guest_connected(f.guest));
}

static void teardown(void)
{
	for (size_t i = 0; i < STREAMS; i++)
		guest_stream_free(f.one[i].stream);
	guest_free(f.guest);
	loop_free(f.loop);
	close(f.stdin_fd);
	(void)waitpid(f.pid, NULL, 0);
}

static struct one *start_exec(size_t i, const struct bg_exec *exec)
{
	static const char *const none[] = {NULL};
	struct bg_exec x = *exec;
	_free_ uint8_t *payload = NULL;
	size_t len = 0;

	if (!x.env)
		x.env = none;
	f.one[i] = (struct one){.window = BG_AGENT_WINDOW, .generous = true};
	CHECK_INT(bg_exec_encode(&x, &payload, &len), 0);
	CHECK_INT(guest_stream_open(
			  f.guest, payload, len, &events, &f.one[i], &f.one[i].stream, NULL),
		0);
	return &f.one[i];
}

static struct one *start_shell(size_t i, const char *command)
{
	const char *const argv[] = {"sh", "-c", command, NULL};

	/* The test may be run by somebody who is not root: then there is no other user. */
	if (geteuid() != 0)
		test_skip("only root becomes root: the agent's sessions begin with that");
	return start_exec(i, &(struct bg_exec){.argv = argv});
}

TEST(streams_and_status)
{
	struct one *one;

	setup();
	one = start_shell(0, "cat; echo oops >&2; exit 7");
	CHECK_INT(send_one(one, BG_AGENT_DATA, 0, "word\n", 5), 0);
	CHECK_INT(send_one(one, BG_AGENT_EOF, 0, NULL, 0), 0);
	SPIN(f.loop, one->done);
	CHECK_STR(one->out, "word\noops\n");
	CHECK_INT(one->error, 0);
	CHECK_INT(WEXITSTATUS(one->status), 7);
	teardown();
}

static struct one *start_words(size_t i)
{
	static const char *const none[] = {NULL};

	if (geteuid() != 0)
		test_skip("only root becomes root: the agent's sessions begin with that");
	return start_exec(i, &(struct bg_exec){.argv = none, .flags = BG_AGENT_X_WORDS});
}

TEST(a_long_command_of_any_bytes)
{
	enum { WORDS = 60000 };
	static const char script[] = "sh\0-c\0printf %s \"$1\" | od -An -tx1; echo $#\0x\0\xff\x80";
	struct one *one;

	setup();
	one = start_words(0);
	CHECK_INT(send_one(one, BG_AGENT_WORDS, BG_AGENT_W_ARGV, script, sizeof(script)), 0);
	for (int i = 0; i < WORDS; i++)
		CHECK_INT(send_one(one, BG_AGENT_WORDS, BG_AGENT_W_ARGV, "1", 2), 0);
	CHECK(!one->done);
	CHECK_INT(send_one(one, BG_AGENT_WORDS, BG_AGENT_W_ARGV, NULL, 0), 0);
	SPIN(f.loop, one->done);
	CHECK_STR(one->out, " ff 80\n60001\n");
	CHECK_INT(one->error, 0);
	teardown();
}

TEST(words_where_none_belong)
{
	struct one *one;

	setup();
	/* ends with its input: a signal that comes before the shell does is lost on it */
	one = start_shell(0, "cat");
	CHECK_INT(send_one(one, BG_AGENT_WORDS, BG_AGENT_W_ARGV, "x", 2), 0);
	SPIN(f.loop, one->done);
	CHECK_INT(one->error, EPROTO);
	one = start_words(1);
	CHECK_INT(send_one(one, BG_AGENT_DATA, 0, "x", 1), 0);
	SPIN(f.loop, one->done);
	CHECK_INT(one->error, EPROTO);
	one = start_words(2);
	CHECK_INT(send_one(one, BG_AGENT_WORDS, BG_AGENT_W_ARGV, "x", 1), 0);
	CHECK_INT(send_one(one, BG_AGENT_WORDS, BG_AGENT_W_ARGV, NULL, 0), 0);
	SPIN(f.loop, one->done);
	CHECK_INT(one->error, EINVAL);
	/* the slots are free again, also of one that is given up in between */
	one = start_words(3);
	guest_stream_free(TAKE_PTR(one->stream));
	one = start_shell(4, "echo still here");
	SPIN(f.loop, one->done);
	CHECK_STR(one->out, "still here\n");
	teardown();
}

TEST(a_signal_is_confirmed)
{
	uint32_t sig = htole32(SIGTERM);
	struct one *one;

	setup();
	one = start_shell(
		0, "trap 'sleep 0.1; exit 3' TERM; echo ready; while :; do sleep 0.05; done");
	SPIN(f.loop, one->bytes >= 6);
	CHECK_INT(send_one(one, BG_AGENT_SIGNAL, 0, &sig, sizeof(sig)), 0);
	SPIN(f.loop, one->confirmed == SIGTERM);
	SPIN(f.loop, one->done);
	CHECK_INT(WEXITSTATUS(one->status), 3);
	teardown();
}

TEST(output_stops_at_the_window)
{
	struct one *one;
	uint32_t more = htole32(1000);

	setup();
	one = start_shell(0, "head -c 1000000 /dev/zero");
	one->generous = false;
	SPIN(f.loop, one->bytes == BG_AGENT_WINDOW);
	spin_for(f.loop, 100 * 1000);
	CHECK_INT(one->bytes, BG_AGENT_WINDOW);
	CHECK_INT(send_one(one, BG_AGENT_CREDIT, 1, &more, 4), 0);
	SPIN(f.loop, one->bytes == BG_AGENT_WINDOW + 1000);
	CHECK(!one->done);
	teardown();
}

TEST(a_client_may_not_send_beyond_its_window)
{
	static uint8_t data[BG_AGENT_PAYLOAD_MAX];
	uint32_t more = htole32(1);
	struct one *one;

	setup();
	one = start_shell(0, "sleep 10");
	for (size_t i = 0; i < BG_AGENT_WINDOW / sizeof(data); i++)
		CHECK_INT(send_one(one, BG_AGENT_DATA, 0, data, sizeof(data)), 0);
	CHECK_INT(send_one(one, BG_AGENT_DATA, 0, data, 1), -EPROTO);
	CHECK_INT(send_one(one, BG_AGENT_CREDIT, 1, &more, 4), -EPROTO);
	CHECK_INT(send_one(one, BG_AGENT_DATA, 1, data, 1), -EPROTO);
	CHECK_INT(send_one(one, BG_AGENT_EXEC, 0, data, 16), -EPROTO);
	CHECK_INT(send_one(one, BG_AGENT_HELLO, 0, data, 16), -EPROTO);
	teardown();
}

TEST(much_input_goes_through_a_window)
{
	static uint8_t data[32768];
	size_t sent = 0;
	struct one *one;

	setup();
	one = start_shell(0, "wc -c");
	while (sent < 4 * 1024 * 1024) {
		SPIN(f.loop, one->window >= sizeof(data) && guest_stream_has_room(one->stream));
		CHECK_INT(send_one(one, BG_AGENT_DATA, 0, data, sizeof(data)), 0);
		one->window -= sizeof(data);
		sent += sizeof(data);
	}
	CHECK_INT(send_one(one, BG_AGENT_EOF, 0, NULL, 0), 0);
	SPIN(f.loop, one->done);
	CHECK_STR(one->out, "4194304\n");
	teardown();
}

TEST(a_freed_stream_ends_its_processes)
{
	struct one *one;
	pid_t pid;

	setup();
	one = start_shell(0, "trap '' HUP; echo $$; sleep 100 & sleep 100");
	SPIN(f.loop, strchr(one->out, '\n'));
	pid = atoi(one->out);
	CHECK_INT(kill(-pid, 0), 0);
	guest_stream_free(one->stream);
	one->stream = NULL;
	SPIN(f.loop, kill(-pid, 0) < 0);
	teardown();
}

TEST(a_timeout_ends_it_and_says_so)
{
	const char *const argv[] = {"sleep", "100", NULL};
	struct one *one;

	if (geteuid() != 0)
		test_skip("only root becomes root: the agent's sessions begin with that");
	setup();
	one = start_exec(0, &(struct bg_exec){.argv = argv, .timeout_ms = 50});
	SPIN(f.loop, one->done);
	CHECK_INT(one->error, ETIMEDOUT);
	teardown();
}

TEST(many_do_not_disturb_each_other)
{
	setup();
	for (size_t i = 0; i < STREAMS; i++) {
		char command[64];

		snprintf(command, sizeof(command), "cat; echo %zu; exit %zu", i, i);
		start_shell(i, command);
	}
	for (size_t i = 0; i < STREAMS; i++)
		CHECK_INT(send_one(&f.one[i], BG_AGENT_DATA, 0, "x", 1) |
				  send_one(&f.one[i], BG_AGENT_EOF, 0, NULL, 0),
			0);
	for (size_t i = 0; i < STREAMS; i++) {
		char want[16];

		snprintf(want, sizeof(want), "x%zu\n", i);
		SPIN(f.loop, f.one[i].done);
		CHECK_STR(f.one[i].out, want);
		CHECK_INT(WEXITSTATUS(f.one[i].status), i);
	}
	teardown();
}

TEST(the_guest_goes_away)
{
	struct one *one;

	setup();
	one = start_shell(0, "sleep 10");
	CHECK_INT(kill(f.pid, SIGKILL), 0);
	SPIN(f.loop, one->broken);
	CHECK(!one->done);
	teardown();
}

TEST(a_request_of_a_later_build)
{
	const struct bg_agent_exec head = {.kind = htole16(BG_AGENT_K_MAX_)};
	struct one *one = &f.one[0];

	setup();
	CHECK_INT(guest_stream_open(f.guest, (const uint8_t *)&head, sizeof(head), &events, one,
			  &one->stream, NULL),
		0);
	SPIN(f.loop, one->done);
	CHECK_INT(one->error, ENOSYS);
	teardown();
}
