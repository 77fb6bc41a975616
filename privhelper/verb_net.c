/* SPDX-License-Identifier: ISC */
/*
 * verb_net.c: the answers of the network helper, in the order of the table, over
 * the three things that can happen to a slot: made, released, repaired. Each is
 * a row of steps with the ledger written between them, so that a kill at any
 * point leaves a row from which session_release() finds what there is to remove.
 */
#include <assert.h>

#include "privhelper/session.h"

static struct tap tap_of(const struct session *s, unsigned slot)
{
	struct tap tap = {.uid = s->uid,
		.slot = slot,
		.gateway = policy_gateway(&s->policy, s->ledger.index),
		.guest = policy_guest(&s->policy, s->ledger.index, slot)};

	policy_tap_name(s->ledger.index, slot, tap.name);
	return tap;
}

int net_remove(struct session *s, unsigned slot, const struct ledger_row *row)
{
	const struct tap tap = tap_of(s, slot);

	/* A row of this boot without an index: nothing was made to stay. One of another boot has none. */
	return row->ifindex || row->state == LEDGER_BROKEN ? tap_remove(&s->nl, &tap, row->ifindex)
							   : 0;
}

bool session_live(
	struct session *s, unsigned slot, const struct ledger_row *row, struct tap *ret_tap)
{
	*ret_tap = tap_of(s, slot);
	return row->state == LEDGER_LIVE && row->guest == ret_tap->guest &&
	       tap_intact(&s->nl, ret_tap, row->ifindex);
}

bool net_live(struct session *s, unsigned slot, const struct ledger_row *row)
{
	struct tap tap;

	return session_live(s, slot, row, &tap);
}

/* Makes a slot whose row says INTENT LIVE; on failure the row says what is left. */
static int make(struct session *s, const struct tap *tap)
{
	struct ledger_row row = {.state = LEDGER_INTENT, .guest = tap->guest};
	_close_ int fd = -1;
	int r = tap_create(&s->dirs, &s->nl, tap, &fd, &row.ifindex);
	if (r < 0)
		return r;
	/* Before the device can stay: a row without an index means that nothing did. */
	r = session_put_row(s, tap->slot, &row, false);
	if (r >= 0)
		r = tap_keep(fd, tap->uid);
	if (r >= 0)
		r = tap_configure(&s->dirs, &s->nl, tap, row.ifindex);
	if (r >= 0) {
		row.state = LEDGER_LIVE;
		r = session_put_row(s, tap->slot, &row, false);
	}
	return r;
}

enum priv_code answer_hello(struct session *s, const struct priv_req *req, struct priv_rep *rep)
{
	enum priv_code code = session_begin(s, req, rep);
	int r;

	if (code != PRIV_CODE_OK)
		return code;
	if (session_repair(s) < 0 || netlink_route_tidy(&s->nl, session_net(s)) < 0)
		return PRIV_CODE_FAILED;
	r = session_rules(s);
	if (r < 0)
		return session_rules_code(r);
	rep->hello.gateway = policy_gateway(&s->policy, s->ledger.index);
	rep->hello.abilities = PRIV_ABILITY_ALL_;
	return PRIV_CODE_OK;
}

enum { KEEPER_TRIES = 150, KEEPER_PAUSE_MS = 20 };

/* The keeper saw the row, which is there since before the rules: its table comes, or it does not work. */
static bool fence_stands(struct session *s)
{
	const struct nft_user user = {.policy = &s->policy, .index = s->ledger.index};

	for (int i = 0; s->policy.keeper && !nft_has_fence(&s->nft, &user); i++) {
		if (i == KEEPER_TRIES)
			return false;
		session_pause(KEEPER_PAUSE_MS);
	}
	return true;
}

static enum priv_code make_code(int r)
{
	return r == -EEXIST ? PRIV_CODE_TAKEN : r == -ENODEV ? PRIV_CODE_NO_TUN : PRIV_CODE_FAILED;
}

/* The rules of a user's first slot come before its tap can be used. */
static enum priv_code fence_in(struct session *s, const struct tap *tap)
{
	int r = session_rules(s);

	if (r < 0)
		return session_rules_code(r);
	if (!fence_stands(s))
		return PRIV_CODE_KEEPER;
	r = make(s, tap);
	return r < 0 ? make_code(r) : PRIV_CODE_OK;
}

static enum priv_code attach_fresh(struct session *s, const struct tap *tap)
{
	struct ledger_row left = {.state = LEDGER_INTENT, .guest = tap->guest};
	int r = netlink_route_overlaps(&s->nl, session_net(s));
	enum priv_code code;

	if (r != 0)
		return r < 0 ? PRIV_CODE_FAILED : PRIV_CODE_ROUTE;
	if (session_put_row(s, tap->slot, &left, true) < 0)
		return PRIV_CODE_LEDGER;
	code = fence_in(s, tap);
	if (code == PRIV_CODE_OK)
		return code;
	/* What cannot be released now is put right by the next helper. */
	if (ledger_get(&s->ledger, tap->slot, &left) >= 0)
		(void)session_release(s, tap->slot, left);
	(void)session_rules(s);
	return code;
}

enum priv_code answer_net_attach(
	struct session *s, const struct priv_req *req, struct priv_rep *rep)
{
	unsigned slot = req->net_attach.slot;
	const struct tap tap = tap_of(s, slot);
	struct ledger_row row;
	enum priv_code code;

	if (slot >= s->policy.slots_per_user)
		return PRIV_CODE_SLOT_LIMIT;
	if (ledger_get(&s->ledger, slot, &row) < 0)
		return PRIV_CODE_LEDGER;
	if (net_live(s, slot, &row)) {
		/* ip_forward turned on, by Docker say, turns it on for every interface there is. */
		if (tap_settle(&s->dirs, &s->nl, &tap, row.ifindex, row.nat || row.peers) < 0)
			return PRIV_CODE_FAILED;
	} else {
		if (session_release(s, slot, row) < 0)
			return PRIV_CODE_FAILED;
		code = attach_fresh(s, &tap);
		if (code != PRIV_CODE_OK)
			return code;
		rep->net_attach.fresh = 1;
	}
	memcpy(rep->net_attach.tap, tap.name, sizeof(rep->net_attach.tap));
	rep->net_attach.guest = tap.guest;
	rep->net_attach.gateway = tap.gateway;
	policy_mac(s->ledger.index, slot, rep->net_attach.mac);
	return PRIV_CODE_OK;
}

enum priv_code net_detach(struct session *s, unsigned slot, bool *ret_existed)
{
	struct ledger_row row;

	if (ledger_get(&s->ledger, slot, &row) < 0)
		return PRIV_CODE_LEDGER;
	*ret_existed = row.state == LEDGER_LIVE;
	return session_release(s, slot, row) < 0 ? PRIV_CODE_FAILED : PRIV_CODE_OK;
}

static enum priv_code detach_rules(struct session *s)
{
	int r = session_rules(s);

	return r < 0 ? session_rules_code(r) : PRIV_CODE_OK;
}

enum priv_code answer_net_detach(
	struct session *s, const struct priv_req *req, struct priv_rep *rep)
{
	bool existed;
	enum priv_code code = net_detach(s, req->net_detach.slot, &existed);

	if (code == PRIV_CODE_OK)
		code = detach_rules(s);
	if (code == PRIV_CODE_OK)
		rep->net_detach.existed = existed;
	return code;
}

enum priv_code answer_cleanup(struct session *s, const struct priv_req *req, struct priv_rep *rep)
{
	enum priv_code code = session_cleanup(s, rep), rules = detach_rules(s);

	(void)req;
	return code == PRIV_CODE_OK ? rules : code;
}
