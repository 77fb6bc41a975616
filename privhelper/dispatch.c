/* SPDX-License-Identifier: ISC */
/*
 * dispatch.c: one message in, one reply out. A message that is malformed, out
 * of turn or of a verb that this helper does not serve ends the helper without a word.
 * Between messages it looks after what others take away (the network helper's rules: `nft flush
 * ruleset`).
 */
#include <poll.h>

#include "privhelper/role.h"
#include "privhelper/session.h"

static int reply(const struct priv_rep *rep)
{
	struct priv_msg msg;

	if (priv_rep_encode(rep, &msg) < 0)
		return -EINVAL;
	return priv_msg_send(SESSION_SOCK, &msg);
}

/* 0 to go on, -errno to end. */
static int answer(struct session *s, const struct priv_msg *msg)
{
	struct priv_rep rep = {0};
	struct priv_req req;
	enum priv_turn turn = s->greeted ? PRIV_TURN_SESSION : PRIV_TURN_FIRST;
	int r = priv_req_decode(msg, &req);

	if (r < 0)
		return r;
	if (priv_row(req.verb)->turn != turn || !role.answers[req.verb])
		return -EPROTO;
	rep.verb = req.verb;
	rep.id = req.id;
	rep.code = role.answers[req.verb](s, &req, &rep);
	r = reply(&rep);
	/* Sent or not, they are the peer's now. */
	for (size_t i = 0; rep.code == PRIV_CODE_OK && i < priv_row(req.verb)->rep.fds; i++)
		bg_close(rep.fds[i]);
	if (r < 0)
		return r;
	if (turn == PRIV_TURN_FIRST && rep.code != PRIV_CODE_OK)
		return -EPIPE;
	s->greeted = true;
	return 0;
}

/* After it has put rules back: against somebody who always takes them away, it does not run hot. */
enum { MEND_PAUSE_MS = 250 };

/* Until there is a message or an end to read. */
static void wait_message(struct session *s)
{
	const struct timespec pause = {.tv_nsec = MEND_PAUSE_MS * 1000000L};
	bool paused = false;

	for (;;) {
		struct pollfd fds[] = {{.fd = SESSION_SOCK, .events = POLLIN},
			{.fd = paused || !role.watched ? -1 : role.watched(s), .events = POLLIN}};
		int r = ppoll(fds, ARRAY_SIZE(fds), paused ? &pause : NULL, NULL);

		if (fds[0].revents || (r < 0 && errno != EINTR))
			return;
		paused = r > 0 && fds[1].revents && role.mend(s);
	}
}

bool dispatch_run(struct session *s)
{
	for (;;) {
		struct priv_msg msg;
		int r;

		wait_message(s);
		r = priv_msg_recv(SESSION_SOCK, &msg);
		if (r >= 0) {
			r = answer(s, &msg);
			priv_msg_close(&msg);
		}
		if (r < 0)
			return r == -EPIPE;
	}
}
