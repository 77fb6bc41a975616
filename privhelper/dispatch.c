/* SPDX-License-Identifier: ISC */
/*
 * dispatch.c: one message in, one reply out. A message that is malformed, out
 * of turn or of a verb that this helper does not serve ends the helper without a word, and so does a peer
 * that never says HELLO. Each answer is a line of syslog.
 * Between messages it looks after what others take away (the network helper's rules: `nft flush
 * ruleset`).
 */
#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "privhelper/role.h"
#include "privhelper/session.h"

int session_reply(const struct priv_rep *rep)
{
	struct priv_msg msg;
	int r = priv_rep_encode(rep, &msg);

	assert(r >= 0); /* it is of our own making */
	r = priv_msg_send(SESSION_SOCK, &msg);
	priv_msg_close(&msg); /* sent or not, the descriptors are the peer's now */
	return r;
}

int session_log_open(void)
{
	const struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
	_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
		return -1;
	return TAKE_FD(fd);
}

/* A line that cannot be sent now is lost. */
static void log_answer(const struct session *s, const struct priv_req *req, enum priv_code code)
{
	enum { AUTHPRIV_INFO = 10 << 3 | 6 };
	const struct priv_row *row = priv_row(req->verb);
	char line[160], slot[16] = "";
	int n;

	if (row->req.fields[0].name && row->req.fields[0].kind == PRIV_KIND_SLOT)
		(void)snprintf(slot, sizeof(slot), " slot %u", req->net_attach.slot);
	n = snprintf(line, sizeof(line), "<%d>banger-privhelper: uid %u %s%s: %u, %s",
		AUTHPRIV_INFO, (unsigned)s->uid, row->name, slot, (unsigned)code,
		priv_code_text(code));
	if (s->log >= 0 && n > 0)
		(void)sendto(s->log, line, BG_MIN((size_t)n, sizeof(line) - 1),
			MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
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
	log_answer(s, &req, rep.code);
	r = session_reply(&rep);
	if (r < 0)
		return r;
	if (turn == PRIV_TURN_FIRST && rep.code != PRIV_CODE_OK)
		return -EPIPE;
	s->greeted = true;
	return 0;
}

enum {
	/* After it has put rules back: against somebody who always takes them away, it does not run hot. */
	MEND_PAUSE_MS = 250,
	HELLO_S = 30,
	/* All users' verbs share the kernel's locks: so many messages in a row, then one in each pause. */
	HASTE_MAX = 256,
	HASTE_PAUSE_MS = 20,
	IDLE_S = 1, /* then it was not in haste */
};

static bool hasty(const struct session *s)
{
	return s->haste > HASTE_MAX / 2;
}

/* How long to wait at most; NULL: for ever. */
static const struct timespec *patience(const struct session *s, bool paused)
{
	static const struct timespec mend = {.tv_nsec = MEND_PAUSE_MS * 1000000L},
				     hello = {.tv_sec = HELLO_S}, idle = {.tv_sec = IDLE_S};

	return paused ? &mend : !s->greeted ? &hello : hasty(s) ? &idle : NULL;
}

/* Until there is a message or an end to read; false: it should have come by now. */
static bool wait_message(struct session *s)
{
	bool paused = false;

	for (;;) {
		struct pollfd fds[] = {{.fd = SESSION_SOCK, .events = POLLIN},
			{.fd = paused || !role.watched ? -1 : role.watched(s), .events = POLLIN}};
		int r = ppoll(fds, ARRAY_SIZE(fds), patience(s, paused), NULL);

		if (fds[0].revents || (r < 0 && errno != EINTR))
			return true;
		if (r == 0 && !paused && !s->greeted)
			return false;
		if (r == 0 && !paused)
			s->haste = 0;
		paused = r > 0 && fds[1].revents && role.mend(s);
	}
}

static void slow_down(struct session *s)
{
	if (++s->haste > HASTE_MAX)
		session_pause(HASTE_PAUSE_MS);
}

bool dispatch_run(struct session *s)
{
	for (;;) {
		struct priv_msg msg;
		int r;

		if (!wait_message(s))
			return false;
		slow_down(s);
		r = priv_msg_recv(SESSION_SOCK, &msg);
		if (r >= 0) {
			r = answer(s, &msg);
			priv_msg_close(&msg);
		}
		if (r < 0)
			return r == -EPIPE;
	}
}
