/* SPDX-License-Identifier: ISC */
/*
 * verb_common.c: what HELLO is to both helpers before each looks at its own devices: the same
 * build, and this uid's block of the ledger. Called by verb_net.c and verb_disk.c.
 */
#include <time.h>

#include "privhelper/session.h"

/* How long HELLO waits for an earlier helper of the same uid to end. */
enum { LOCK_TRIES = 60, LOCK_PAUSE_MS = 50 };

void session_pause(unsigned ms)
{
	const struct timespec pause = {.tv_nsec = ms * 1000000L};

	(void)nanosleep(&pause, NULL);
}

/* Waits for this uid only: no other uid's helper can hold this lock. */
static int bind_ledger(struct session *s)
{
	int r = -EBUSY;

	for (int i = 0; i < LOCK_TRIES && r == -EBUSY; i++) {
		if (i > 0)
			session_pause(LOCK_PAUSE_MS);
		r = ledger_bind(&s->ledger, s->policy.max_users);
	}
	return r;
}

enum priv_code session_ledger(struct session *s, const char *path, uint64_t netns)
{
	int r = ledger_open(&s->ledger, path, s->uid, netns);

	return r == -EBUSY ? PRIV_CODE_BUSY : r < 0 ? PRIV_CODE_LEDGER : PRIV_CODE_OK;
}

enum priv_code session_begin(struct session *s, const struct priv_req *req, struct priv_rep *rep)
{
	int r;

	if (req->hello.hash != priv_table_hash())
		return PRIV_CODE_VERSION;
	r = bind_ledger(s);
	if (r < 0)
		return r == -EBUSY    ? PRIV_CODE_BUSY
		       : r == -ENOSPC ? PRIV_CODE_USERS
				      : PRIV_CODE_LEDGER;
	rep->hello.hash = priv_table_hash();
	rep->hello.index = (uint8_t)s->ledger.index;
	rep->hello.slots = (uint8_t)s->policy.slots_per_user;
	return PRIV_CODE_OK;
}
