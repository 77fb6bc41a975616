/* SPDX-License-Identifier: ISC */
/*
 * Requests to the agent in stream 0. A call waits for the conversation, is sent once, and ends by
 * its answer, by the end of the conversation it was sent in, or by its deadline.
 */
#include <assert.h>
#include <endian.h>

#include "daemon/driver/guest_impl.h"

struct guest_call {
	struct guest *guest; /* NULL once done, or when the guest was freed */
	TAILQ_ENTRY(guest_call) link;
	const char *what;
	enum bg_agent_type type, answer;
	uint8_t payload[8];
	size_t len;
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

static int send_call(struct guest_call *call)
{
	int r = guest_send(call->guest, call->type, call->payload, call->len);

	if (r >= 0)
		call->sent = true;
	return r;
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

	while (!guest->dead && (call = first_call(guest, false)))
		if (send_call(call) < 0)
			fail(call, EIO, "it cannot be sent");
}

void guest_calls_broken(struct guest *guest, const char *why)
{
	struct guest_call *call;

	while (!guest->dead && (call = first_call(guest, true)))
		fail(call, ECONNRESET, why);
}

/* PONG by its bytes; DONE answers the oldest shutdown. */
static bool answers(const struct guest_call *call, const struct bg_agent_frame *frame)
{
	if (!call->sent || call->answer != (enum bg_agent_type)frame->type)
		return false;
	return frame->type != BG_AGENT_PONG ||
	       memcmp(call->payload, frame->payload, call->len) == 0;
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
			return bg_err_sys(err, BG_ERR_AGENT, -r, "%s", call->what);
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
	uint64_t number = htole64(++guest->next_ping);
	struct guest_call like = {
		.what = "ping the guest",
		.type = BG_AGENT_PING,
		.answer = BG_AGENT_PONG,
		.len = sizeof(number),
		.done = done,
		.userdata = userdata,
	};

	static_assert(sizeof(number) == sizeof(like.payload), "a ping carries 8 bytes");
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
