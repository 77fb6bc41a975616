/* SPDX-License-Identifier: ISC */
/*
 * Requests to the agent in stream 0. A call waits for the conversation, is sent once, and ends by
 * its answer, by the end of the conversation it was sent in, or by its deadline.
 */
#include <assert.h>
#include <endian.h>
#include <sys/random.h>

#include "common/clock.h"
#include "daemon/driver/guest_impl.h"

struct guest_call {
	struct guest *guest; /* NULL once done, or when the guest was freed */
	TAILQ_ENTRY(guest_call) link;
	const char *what;
	enum bg_agent_type type, answer;
	uint16_t sub;
	uint8_t payload[8]; /* what names its answer, where something does */
	size_t len;
	uint32_t parts; /* of a gap */
	struct guest_reply reply;
	bool sent;
	struct loop_source *deadline;
	guest_done_fn done;
	void *userdata;
};

static void detach(struct guest_call *call)
{
	loop_source_free(call->deadline);
	call->deadline = NULL;
	if (call->guest)
		TAILQ_REMOVE(&call->guest->calls, call, link);
	call->guest = NULL;
}

/* The owner may free the call, others, and the guest from inside. */
static void finish(struct guest_call *call, const struct bg_err *err)
{
	struct guest *guest = call->guest;

	guest_enter(guest);
	detach(call);
	call->done(err, call->userdata);
	guest_leave(guest);
}

static void fail(struct guest_call *call, int errnum, const char *why)
{
	_err_ struct bg_err *err = NULL;

	bg_err_set(&err, BG_ERR_AGENT, errnum, "%s: %s", call->what, why);
	finish(call, err);
}

static void on_deadline(void *userdata)
{
	struct guest_call *call = userdata;

	fail(call, ETIMEDOUT,
		call->sent ? "the guest did not answer in time"
			   : "there is no agent in the guest yet");
}

/* Made as it leaves: the time is the present one, and the randomness is in no other message. */
static int send_gap(struct guest_call *call)
{
	struct bg_agent_gap gap = {.parts = htole32(call->parts),
		.time_usec = (int64_t)htole64((uint64_t)call->reply.sent_usec)};
	int r;

	if (!(call->guest->can & BG_AGENT_CAN_GAP))
		return -ENOSYS;
	memcpy(&gap.number, call->payload, sizeof(gap.number));
	if (getrandom(gap.random, sizeof(gap.random), GRND_NONBLOCK) != (ssize_t)sizeof(gap.random))
		return -EIO;
	r = guest_send(call->guest, BG_AGENT_GAP, &gap, sizeof(gap));
	explicit_bzero(&gap, sizeof(gap));
	return r;
}

static int send_call(struct guest_call *call)
{
	int r;

	call->reply.sent_usec = (int64_t)bg_now_usec(CLOCK_REALTIME);
	call->reply.sent_up = bg_now_usec(CLOCK_BOOTTIME);
	if (call->type == BG_AGENT_GAP)
		r = send_gap(call);
	else
		r = guest_send_stream(
			call->guest, call->type, 0, call->sub, call->payload, call->len);
	if (r >= 0)
		call->sent = true;
	return r;
}

static const char *why_not_sent(int r)
{
	return r == -ENOSYS ? "the agent in the guest is too old for it" : "it cannot be sent";
}

/* First call that is (not) sent; the list may change with every completion, so it is searched anew.
 */
static struct guest_call *first_call(struct guest *guest, bool sent)
{
	struct guest_call *call;

	TAILQ_FOREACH (call, &guest->calls, link)
		if (call->sent == sent)
			return call;
	return NULL;
}

void guest_calls_open(struct guest *guest)
{
	struct guest_call *call;

	while (!guest->dead && (call = first_call(guest, false))) {
		int r = send_call(call);

		if (r < 0)
			fail(call, -r, why_not_sent(r));
	}
}

void guest_calls_broken(struct guest *guest, const char *why)
{
	struct guest_call *call;

	while (!guest->dead && (call = first_call(guest, true)))
		fail(call, ECONNRESET, why);
}

/* PONG and GAP_DONE by their first bytes; DONE answers the oldest shutdown. */
static bool answers(const struct guest_call *call, const struct bg_agent_frame *frame)
{
	if (!call->sent || call->answer != (enum bg_agent_type)frame->type)
		return false;
	return frame->type == BG_AGENT_DONE ||
	       memcmp(call->payload, frame->payload, sizeof(call->payload)) == 0;
}

static void take_pong(struct guest_reply *reply, const struct bg_agent_frame *frame)
{
	struct bg_agent_pong pong;

	reply->has_time = frame->len == sizeof(pong);
	if (!reply->has_time)
		return;
	memcpy(&pong, frame->payload, sizeof(pong));
	reply->time_usec = (int64_t)le64toh((uint64_t)pong.time_usec);
	reply->up_usec = le64toh(pong.up_usec);
}

static void take_gap_done(struct guest_reply *reply, const struct bg_agent_frame *frame)
{
	struct bg_agent_gap_done done;

	memcpy(&done, frame->payload, sizeof(done));
	reply->has_time = true;
	reply->time_usec = (int64_t)le64toh((uint64_t)done.time_usec);
	reply->done = le32toh(done.done) & BG_AGENT_GAP_ALL;
	reply->step_usec = (int64_t)le64toh((uint64_t)done.step_usec);
}

static void take_reply(struct guest_call *call, const struct bg_agent_frame *frame)
{
	call->reply.heard_usec = (int64_t)bg_now_usec(CLOCK_REALTIME);
	call->reply.heard_up = bg_now_usec(CLOCK_BOOTTIME);
	if (frame->type == BG_AGENT_PONG)
		take_pong(&call->reply, frame);
	else if (frame->type == BG_AGENT_GAP_DONE)
		take_gap_done(&call->reply, frame);
}

const struct guest_reply *guest_call_reply(const struct guest_call *call)
{
	return &call->reply;
}

void guest_calls_answer(struct guest *guest, const struct bg_agent_frame *frame)
{
	struct bg_agent_done done = {0};
	struct guest_call *call;

	TAILQ_FOREACH (call, &guest->calls, link)
		if (answers(call, frame))
			break;
	if (!call)
		return;
	take_reply(call, frame);
	if (frame->type == BG_AGENT_DONE)
		memcpy(&done, frame->payload, sizeof(done));
	if (done.error == 0)
		finish(call, NULL);
	else
		fail(call, (int)le32toh((uint32_t)done.error),
			strerror((int)le32toh((uint32_t)done.error)));
}

void guest_calls_orphan(struct guest *guest)
{
	struct guest_call *call;

	while ((call = TAILQ_FIRST(&guest->calls)))
		detach(call);
}

/* Takes over a half-filled call and starts it. */
static int start_call(struct guest *guest, const struct guest_call *like, uint64_t deadline_usec,
	struct guest_call **ret, struct bg_err **err)
{
	_unref_(guest_call) struct guest_call *call = malloc(sizeof(*call));
	int r;

	if (!call)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	*call = *like;
	r = loop_add_timer(
		guest->loop, "guest deadline", deadline_usec, on_deadline, call, &call->deadline);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "%s", call->what);
	call->guest = guest;
	TAILQ_INSERT_TAIL(&guest->calls, call, link);
	if (guest_connected(guest)) {
		r = send_call(call);
		if (r < 0)
			return bg_err_set(
				err, BG_ERR_AGENT, -r, "%s: %s", call->what, why_not_sent(r));
	}
	*ret = TAKE_PTR(call);
	return 0;
}

int guest_shutdown(struct guest *guest, enum bg_agent_shutdown kind, uint64_t deadline_usec,
	guest_done_fn done, void *userdata, struct guest_call **ret, struct bg_err **err)
{
	const struct guest_call like = {
		.what = "ask the guest to shut down",
		.type = BG_AGENT_SHUTDOWN,
		.answer = BG_AGENT_DONE,
		.payload = {(uint8_t)kind},
		.len = 1,
		.done = done,
		.userdata = userdata,
	};

	return start_call(guest, &like, deadline_usec, ret, err);
}

int guest_ping(struct guest *guest, uint64_t deadline_usec, guest_done_fn done, void *userdata,
	struct guest_call **ret, struct bg_err **err)
{
	uint64_t number = htole64(++guest->next_number);
	struct guest_call like = {
		.what = "ping the guest",
		.type = BG_AGENT_PING,
		.answer = BG_AGENT_PONG,
		.sub = BG_AGENT_PING_TIME,
		.len = sizeof(number),
		.done = done,
		.userdata = userdata,
	};

	static_assert(sizeof(number) == sizeof(like.payload), "a ping carries 8 bytes");
	memcpy(like.payload, &number, sizeof(number));
	return start_call(guest, &like, deadline_usec, ret, err);
}

int guest_gap(struct guest *guest, uint32_t parts, uint64_t deadline_usec, guest_done_fn done,
	void *userdata, struct guest_call **ret, struct bg_err **err)
{
	uint64_t number = htole64(++guest->next_number);
	struct guest_call like = {
		.what = "put the guest right after a gap",
		.type = BG_AGENT_GAP,
		.answer = BG_AGENT_GAP_DONE,
		.parts = parts,
		.done = done,
		.userdata = userdata,
	};

	memcpy(like.payload, &number, sizeof(number));
	return start_call(guest, &like, deadline_usec, ret, err);
}

void guest_call_free(struct guest_call *call)
{
	if (!call)
		return;
	detach(call);
	free(call);
}
