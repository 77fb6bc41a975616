/* SPDX-License-Identifier: ISC */
/*
 * dispatch.c: one message in, one reply out. A message that is malformed, out
 * of turn or of a verb that this helper does not serve ends the helper without a word.
 */
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
	if (r < 0)
		return r;
	if (turn == PRIV_TURN_FIRST && rep.code != PRIV_CODE_OK)
		return -EPIPE;
	s->greeted = true;
	return 0;
}

bool dispatch_run(struct session *s)
{
	for (;;) {
		struct priv_msg msg;
		int r = priv_msg_recv(SESSION_SOCK, &msg);

		if (r >= 0) {
			r = answer(s, &msg);
			priv_msg_close(&msg);
		}
		if (r < 0)
			return r == -EPIPE;
	}
}
