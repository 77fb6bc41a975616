/* SPDX-License-Identifier: ISC */
/*
 * verb_common.c: what is the same in both helpers: HELLO before each looks at its own devices, and
 * slots as rows of the ledger. Called by verb_net.c, verb_nat.c and verb_disk.c.
 */
#include <time.h>

#include "privhelper/role.h"

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

/* ---- slots ---- */

static void note_row(struct session *s, unsigned slot, const struct ledger_row *row)
{
	const uint64_t bit = 1ULL << slot;
	const bool live = row->state == LEDGER_LIVE;

	s->rows.used = row->state == LEDGER_FREE ? s->rows.used & ~bit : s->rows.used | bit;
	s->rows.nat = live && row->nat ? s->rows.nat | bit : s->rows.nat & ~bit;
	s->rows.peers = live && row->peers ? s->rows.peers | bit : s->rows.peers & ~bit;
}

int session_put_row(struct session *s, unsigned slot, const struct ledger_row *row, bool sync)
{
	int r = ledger_put(&s->ledger, slot, row, sync);

	if (r >= 0)
		note_row(s, slot, row);
	return r;
}

int session_release(struct session *s, unsigned slot, struct ledger_row row)
{
	static const struct ledger_row none = {.state = LEDGER_FREE};
	int r = 0;

	if (row.state == LEDGER_FREE)
		return 0;
	if (row.state == LEDGER_LIVE) {
		row.state = LEDGER_INTENT;
		r = session_put_row(s, slot, &row, true);
	}
	if (r >= 0)
		r = role.remove(s, slot, &row);
	return r < 0 ? r : session_put_row(s, slot, &none, false);
}

int session_repair(struct session *s)
{
	int r = 0;

	for (unsigned slot = 0; slot < BG_SLOTS_MAX && (r >= 0 || r == -EBUSY); slot++) {
		struct ledger_row row;

		r = ledger_get(&s->ledger, slot, &row);
		if (r >= 0)
			note_row(s, slot, &row);
		if (r >= 0 && !role.live(s, slot, &row))
			r = session_release(s, slot, row);
	}
	return r == -EBUSY ? 0 : r;
}

enum priv_code session_cleanup(struct session *s, struct priv_rep *rep)
{
	enum priv_code first = PRIV_CODE_OK;

	rep->cleanup.removed = 0;
	for (unsigned slot = 0; slot < BG_SLOTS_MAX; slot++) {
		bool existed;
		enum priv_code code = role.detach(s, slot, &existed);

		if (code == PRIV_CODE_OK && existed)
			rep->cleanup.removed |= 1ULL << slot;
		first = first == PRIV_CODE_OK ? code : first;
	}
	return first;
}

enum priv_code answer_list(struct session *s, const struct priv_req *req, struct priv_rep *rep)
{
	(void)req;
	rep->list.attached = 0;
	for (unsigned slot = 0; slot < BG_SLOTS_MAX; slot++) {
		struct ledger_row row;

		if (ledger_get(&s->ledger, slot, &row) < 0)
			return PRIV_CODE_LEDGER;
		if (role.live(s, slot, &row))
			rep->list.attached |= 1ULL << slot;
	}
	return PRIV_CODE_OK;
}
