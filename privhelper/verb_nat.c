/* SPDX-License-Identifier: ISC */
/*
 * verb_nat.c: the firewall of this uid's guests, kept to what the ledger says: there while any of
 * its slots is in use, and with NAT for those that have it. The rules are replaced as a whole in
 * one transaction, so that a kill leaves the old ones or the new ones; the next HELLO compares.
 */
#include "privhelper/session.h"

static struct nft_user user_of(const struct session *s)
{
	return (struct nft_user){.policy = &s->policy,
		.index = s->ledger.index,
		.uid = s->uid,
		.nat = s->rows.nat,
		.peers = s->rows.peers,
		.names = {s->dns.ports[0], s->dns.ports[1]},
		.fence = !s->policy.keeper};
}

uint32_t session_net(const struct session *s)
{
	return policy_gateway(&s->policy, s->ledger.index) & ~0xffU;
}

static bool as_made(const struct session *s)
{
	return s->rules.valid && s->rules.any == (s->rows.used != 0) &&
	       s->rules.nat == s->rows.nat && s->rules.peers == s->rows.peers;
}

/* What is sent to a guest that is not there ends here instead of at the default route. */
int session_rules(struct session *s)
{
	const struct nft_user user = user_of(s);
	bool any = s->rows.used != 0;
	int r;

	if (as_made(s))
		return 0;
	s->rules.valid = false;
	r = any ? nft_apply(&s->nft, &user, &s->rules.seal) : nft_remove(&s->nft, &user);
	if (r >= 0)
		r = netlink_route_unreachable(&s->nl, session_net(s), any);
	if (r < 0)
		return r;
	s->rules.blocked = any ? nft_let_through(&s->nft, &user) : 0;
	s->rules.valid = true;
	s->rules.any = any;
	s->rules.nat = s->rows.nat;
	s->rules.peers = s->rows.peers;
	return 0;
}

bool session_mend_rules(struct session *s)
{
	const struct nft_user user = user_of(s);

	if (!nft_changed(&s->nft) || !s->greeted || s->rows.used == 0)
		return false;
	if (s->rules.valid && nft_intact(&s->nft, &user, s->rules.seal))
		return false;
	s->rules.valid = false;
	(void)session_rules(
		s); /* if it fails, the next change of a rule set or verb is the next chance */
	return true;
}

enum priv_code session_rules_code(int r)
{
	switch (-r) {
	case EPERM:
	case E2BIG:
		return PRIV_CODE_FIREWALL;
	case EBADF: /* nft_open failed */
	case EINVAL:
	case ENOENT:
	case EOPNOTSUPP:
	case ENOSYS:
		return PRIV_CODE_NO_NFT;
	default:
		return PRIV_CODE_FAILED;
	}
}

/* The ledger first, then the rules: repair makes these from that. */
static enum priv_code record(
	struct session *s, unsigned slot, struct ledger_row *row, bool on, bool peers)
{
	int r;

	row->nat = on;
	row->peers = peers;
	if (session_put_row(s, slot, row, false) < 0)
		return PRIV_CODE_LEDGER;
	r = session_rules(s);
	if (r >= 0 && on)
		r = s->rules.blocked;
	return r < 0 ? session_rules_code(r) : PRIV_CODE_OK;
}

/* peers alone stays within this host: another firewall is not asked. */
static enum priv_code turn_on(
	struct session *s, const struct tap *tap, struct ledger_row *row, bool on, bool peers)
{
	enum priv_code code;

	if (forward_ensure(&s->forward) < 0)
		return PRIV_CODE_NO_FORWARD;
	if (on && legacy_drops(&s->legacy))
		return PRIV_CODE_FIREWALL;
	code = record(s, tap->slot, row, on, peers);
	if (code == PRIV_CODE_OK && tap_settle(&s->dirs, &s->nl, tap, row->ifindex, true) < 0)
		code = PRIV_CODE_FAILED;
	/* Never half: what was refused is off. */
	if (code != PRIV_CODE_OK)
		(void)record(s, tap->slot, row, false, false);
	return code;
}

static enum priv_code turn_off(struct session *s, const struct tap *tap, struct ledger_row *row)
{
	if (tap_settle(&s->dirs, &s->nl, tap, row->ifindex, false) < 0)
		return PRIV_CODE_FAILED;
	return record(s, tap->slot, row, false, false);
}

enum priv_code answer_net_nat(struct session *s, const struct priv_req *req, struct priv_rep *rep)
{
	bool on = req->net_nat.on, peers = req->net_nat.peers;
	unsigned slot = req->net_nat.slot;
	struct ledger_row row, was;
	struct tap tap;
	enum priv_code code;

	if (ledger_get(&s->ledger, slot, &row) < 0)
		return PRIV_CODE_LEDGER;
	if (!session_live(s, slot, &row, &tap))
		return PRIV_CODE_NOT_ATTACHED;
	was = row;
	code = on || peers ? turn_on(s, &tap, &row, on, peers) : turn_off(s, &tap, &row);
	if (code == PRIV_CODE_OK)
		rep->net_nat.changed = was.nat != on || was.peers != peers;
	return code;
}
