/* SPDX-License-Identifier: ISC */
#include "privhelper/nft.h"

#include <arpa/inet.h>
#include <assert.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>

enum {
	FOREIGN_MAX = 64, /* base chains on the way of what is forwarded, of all other tables */
	RETRIES = 5,	  /* of a dump that others changed meanwhile */
	OWN_RULES = 2,	  /* in a chain of somebody else's */
	OWN_MAX = 16,	  /* of them, should somebody have copied them */
	KEY_LEN = IFNAMSIZ + 4,
	/* nft(8)'s numbers of its types, for what it shows: ifname . ipv4_addr */
	TYPE_IFNAME_IPV4 = 41 << 6 | 7,
	CT_KNOWN = 2 | 4, /* as NF_CT_STATE_BIT in the kernel */
	AT_PROTOCOL = 9,
	AT_SADDR = 12,
	AT_DADDR = 16, /* offsets in the header */
	AT_DPORT = 2,
	COMMENT_TYPE = 0, /* of a rule's user data, as nft(8) shows it */
};

struct names {
	char table[NFT_NAME_MAXLEN];
	char taps[IFNAMSIZ]; /* what the name of every tap of the user begins with */
	uint8_t mark[40];    /* user data of our rules in chains of others */
	size_t mark_len;
	uint8_t net[4]; /* first three bytes: the user's /24 */
};

static void make_names(const struct nft_user *u, struct names *ret)
{
	uint32_t net = htonl(policy_gateway(u->policy, u->index));
	int n;

	(void)snprintf(ret->table, sizeof(ret->table), "banger-%u", u->index);
	(void)snprintf(ret->taps, sizeof(ret->taps), "bgr%u-", u->index);
	n = snprintf((char *)ret->mark + 2, sizeof(ret->mark) - 2, "banger-%u", u->index);
	ret->mark[0] = COMMENT_TYPE;
	ret->mark[1] = (uint8_t)(n + 1);
	ret->mark_len = (size_t)n + 3;
	memcpy(ret->net, &net, sizeof(ret->net));
}

/* ---- parts of rules ---- */

static struct nlattr *begin_rule(
	struct nft *n, uint8_t family, const char *table, const char *chain)
{
	nft_msg(n, NFT_MSG_NEWRULE, family, NLM_F_CREATE | NLM_F_APPEND);
	nft_put_str(n, NFTA_RULE_TABLE, table);
	nft_put_str(n, NFTA_RULE_CHAIN, chain);
	return nft_nest(n, NFTA_RULE_EXPRESSIONS);
}

static void end_rule(struct nft *n, struct nlattr *rule, int verdict, const char *chain)
{
	nft_verdict(n, verdict, chain);
	nft_nest_end(n, rule);
}

/* The interface's name begins, or does not begin, with a text. */
static void match_taps(
	struct nft *n, enum nft_meta_keys key, enum nft_cmp_ops op, const char *prefix)
{
	nft_meta(n, key, NFT_REG_1);
	nft_cmp(n, NFT_REG_1, op, prefix, strlen(prefix));
}

static void match_ip(struct nft *n, uint32_t at, enum nft_cmp_ops op, const void *data, size_t len)
{
	nft_payload(n, NFT_PAYLOAD_NETWORK_HEADER, at, (uint32_t)len, NFT_REG_1);
	nft_cmp(n, NFT_REG_1, op, data, len);
}

/* Interface of origin and source address, together, are or are not in the set. */
static void match_guest(struct nft *n, const char *set, bool in)
{
	nft_meta(n, NFT_META_IIFNAME, NFT_REG_1);
	nft_payload(n, NFT_PAYLOAD_NETWORK_HEADER, AT_SADDR, 4, NFT_REG_2);
	nft_lookup(n, set, NFT_REG_1, in);
}

static void match_known(struct nft *n)
{
	static const uint32_t mask = CT_KNOWN, zero = 0;

	nft_ct_state(n, NFT_REG_1);
	nft_mask(n, NFT_REG_1, &mask, sizeof(mask));
	nft_cmp(n, NFT_REG_1, NFT_CMP_NEQ, &zero, sizeof(zero));
}

/* ---- the table's rules, chain by chain ---- */

struct builder {
	struct nft *n;
	const struct nft_user *user;
	struct names names;
};

static struct nlattr *rule(struct builder *b, const char *chain)
{
	return begin_rule(b->n, NFPROTO_IPV4, b->names.table, chain);
}

static void chain(
	struct builder *b, const char *name, const char *type, unsigned hook, int priority)
{
	struct nlattr *nest;

	nft_msg(b->n, NFT_MSG_NEWCHAIN, NFPROTO_IPV4, NLM_F_CREATE);
	nft_put_str(b->n, NFTA_CHAIN_TABLE, b->names.table);
	nft_put_str(b->n, NFTA_CHAIN_NAME, name);
	if (!type)
		return;
	nest = nft_nest(b->n, NFTA_CHAIN_HOOK);
	nft_put_u32(b->n, NFTA_HOOK_HOOKNUM, hook);
	nft_put_u32(b->n, NFTA_HOOK_PRIORITY, (uint32_t)priority);
	nft_nest_end(b->n, nest);
	nft_put_str(b->n, NFTA_CHAIN_TYPE, type);
	nft_put_u32(b->n, NFTA_CHAIN_POLICY, NF_ACCEPT);
}

static void chains(struct builder *b)
{
	chain(b, "from-guest", NULL, 0, 0);
	chain(b, "out", NULL, 0, 0);
	chain(b, "in", NULL, 0, 0);
	/* After connection tracking, before any translation of the destination, Docker's say. */
	chain(b, "prerouting", "filter", NF_INET_PRE_ROUTING, NF_IP_PRI_MANGLE);
	chain(b, "forward", "filter", NF_INET_FORWARD, NF_IP_PRI_FILTER);
	chain(b, "output", "filter", NF_INET_LOCAL_OUT, NF_IP_PRI_FILTER);
	chain(b, "postrouting", "nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC);
}

/* What guests may ask of the gateway's address: a protocol and the two bytes that say what. */
static void allow_gateway(
	struct builder *b, uint8_t protocol, uint32_t at, const void *what, size_t len)
{
	uint32_t gateway = htonl(policy_gateway(b->user->policy, b->user->index));
	struct nlattr *r = rule(b, "from-guest");

	match_ip(b->n, AT_DADDR, NFT_CMP_EQ, &gateway, sizeof(gateway));
	match_ip(b->n, AT_PROTOCOL, NFT_CMP_EQ, &protocol, 1);
	nft_payload(b->n, NFT_PAYLOAD_TRANSPORT_HEADER, at, (uint32_t)len, NFT_REG_1);
	nft_cmp(b->n, NFT_REG_1, NFT_CMP_EQ, what, len);
	end_rule(b->n, r, NFT_RETURN, NULL);
}

/* Its own address only; of the host's, DNS and ping at the gateway's and what the host began. */
static void from_guest(struct builder *b)
{
	static const uint16_t domain = 0x3500; /* 53, as it travels */
	static const uint8_t echo_request = 8;
	static const uint32_t unicast = RTN_UNICAST;
	struct nlattr *r = rule(b, "prerouting");

	match_taps(b->n, NFT_META_IIFNAME, NFT_CMP_EQ, b->names.taps);
	end_rule(b->n, r, NFT_JUMP, "from-guest");
	r = rule(b, "from-guest");
	match_guest(b->n, "guests", false);
	nft_counter(b->n);
	end_rule(b->n, r, NF_DROP, NULL);
	r = rule(b, "from-guest");
	match_known(b->n);
	end_rule(b->n, r, NFT_RETURN, NULL);
	allow_gateway(b, IPPROTO_UDP, AT_DPORT, &domain, sizeof(domain));
	allow_gateway(b, IPPROTO_TCP, AT_DPORT, &domain, sizeof(domain));
	allow_gateway(b, IPPROTO_ICMP, 0, &echo_request, sizeof(echo_request));
	r = rule(b, "from-guest");
	nft_fib_daddr_type(b->n, NFT_REG_1);
	nft_cmp(b->n, NFT_REG_1, NFT_CMP_EQ, &unicast, sizeof(unicast));
	end_rule(b->n, r, NFT_RETURN, NULL);
	r = rule(b, "from-guest");
	nft_counter(b->n);
	end_rule(b->n, r, NF_DROP, NULL);
}

static void never_to(struct builder *b, enum nft_cmp_ops op, const void *prefix, size_t len)
{
	struct nlattr *r = rule(b, "out");

	match_ip(b->n, AT_DADDR, op, prefix, len);
	nft_counter(b->n);
	end_rule(b->n, r, NF_DROP, NULL);
}

/* From a guest: only with NAT, to no address that means this host or this link, to no other user's
 * guest. */
static void forward_out(struct builder *b)
{
	static const uint8_t this_net[] = {0}, loopback[] = {127}, link_local[] = {169, 254},
			     multicast[] = {224};
	struct nlattr *r = rule(b, "forward");

	match_taps(b->n, NFT_META_IIFNAME, NFT_CMP_EQ, b->names.taps);
	end_rule(b->n, r, NFT_JUMP, "out");
	r = rule(b, "out");
	match_guest(b->n, "nat", false);
	nft_counter(b->n);
	end_rule(b->n, r, NF_DROP, NULL);
	never_to(b, NFT_CMP_EQ, this_net, sizeof(this_net));
	never_to(b, NFT_CMP_EQ, loopback, sizeof(loopback));
	never_to(b, NFT_CMP_EQ, link_local, sizeof(link_local));
	never_to(b, NFT_CMP_GTE, multicast, sizeof(multicast));
	r = rule(b, "out");
	match_taps(b->n, NFT_META_OIFNAME, NFT_CMP_EQ, "bgr");
	match_taps(b->n, NFT_META_OIFNAME, NFT_CMP_NEQ, b->names.taps);
	nft_counter(b->n);
	end_rule(b->n, r, NF_DROP, NULL);
}

/* To a guest: answers, and what the same user's guests begin. */
static void forward_in(struct builder *b)
{
	struct nlattr *r = rule(b, "forward");

	match_taps(b->n, NFT_META_OIFNAME, NFT_CMP_EQ, b->names.taps);
	end_rule(b->n, r, NFT_JUMP, "in");
	r = rule(b, "in");
	match_known(b->n);
	end_rule(b->n, r, NFT_RETURN, NULL);
	r = rule(b, "in");
	match_taps(b->n, NFT_META_IIFNAME, NFT_CMP_EQ, b->names.taps);
	end_rule(b->n, r, NFT_RETURN, NULL);
	r = rule(b, "in");
	nft_counter(b->n);
	end_rule(b->n, r, NF_DROP, NULL);
}

/* Processes of other users do not reach the guests. What the kernel itself answers has no uid and
 * passes. */
static void from_host(struct builder *b)
{
	const uint32_t uid = b->user->uid;
	struct nlattr *r = rule(b, "output");

	match_taps(b->n, NFT_META_OIFNAME, NFT_CMP_EQ, b->names.taps);
	nft_meta(b->n, NFT_META_SKUID, NFT_REG_1);
	nft_cmp(b->n, NFT_REG_1, NFT_CMP_NEQ, &uid, sizeof(uid));
	nft_counter(b->n);
	end_rule(b->n, r, NF_DROP, NULL);
}

/* Guests see each other's own addresses; the world sees the host's. */
static void masquerade(struct builder *b)
{
	struct nlattr *r = rule(b, "postrouting");

	match_ip(b->n, AT_SADDR, NFT_CMP_EQ, b->names.net, 3);
	match_taps(b->n, NFT_META_OIFNAME, NFT_CMP_NEQ, "bgr");
	nft_counter(b->n);
	nft_masquerade(b->n);
	nft_nest_end(b->n, r);
}

/* ---- sets: tap and guest address of slots ---- */

static void set(struct builder *b, const char *name, uint32_t id)
{
	nft_msg(b->n, NFT_MSG_NEWSET, NFPROTO_IPV4, NLM_F_CREATE);
	nft_put_str(b->n, NFTA_SET_TABLE, b->names.table);
	nft_put_str(b->n, NFTA_SET_NAME, name);
	nft_put_u32(b->n, NFTA_SET_FLAGS, 0);
	nft_put_u32(b->n, NFTA_SET_KEY_TYPE, TYPE_IFNAME_IPV4);
	nft_put_u32(b->n, NFTA_SET_KEY_LEN, KEY_LEN);
	nft_put_u32(b->n, NFTA_SET_ID, id);
}

static void element(struct builder *b, unsigned slot)
{
	uint32_t guest = htonl(policy_guest(b->user->policy, b->user->index, slot));
	struct nlattr *elem = nft_nest(b->n, NFTA_LIST_ELEM),
		      *key = nft_nest(b->n, NFTA_SET_ELEM_KEY);
	char data[KEY_LEN] = {0};

	policy_tap_name(b->user->index, slot, data);
	memcpy(data + IFNAMSIZ, &guest, sizeof(guest));
	nft_put(b->n, NFTA_DATA_VALUE, data, sizeof(data));
	nft_nest_end(b->n, key);
	nft_nest_end(b->n, elem);
}

static void elements(struct builder *b, const char *name, uint64_t slots)
{
	struct nlattr *list;

	if (slots == 0)
		return;
	nft_msg(b->n, NFT_MSG_NEWSETELEM, NFPROTO_IPV4, NLM_F_CREATE);
	nft_put_str(b->n, NFTA_SET_ELEM_LIST_TABLE, b->names.table);
	nft_put_str(b->n, NFTA_SET_ELEM_LIST_SET, name);
	list = nft_nest(b->n, NFTA_SET_ELEM_LIST_ELEMENTS);
	for (unsigned slot = 0; slot < BG_SLOTS_MAX; slot++)
		if (slots & 1ULL << slot)
			element(b, slot);
	nft_nest_end(b->n, list);
}

/* ---- the table ---- */

static void table(struct builder *b, unsigned type)
{
	nft_msg(b->n, type, NFPROTO_IPV4, type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0);
	nft_put_str(b->n, NFTA_TABLE_NAME, b->names.table);
}

/* Made first, so that it can be removed whether it was there or not. */
static void no_table(struct builder *b)
{
	table(b, NFT_MSG_NEWTABLE);
	table(b, NFT_MSG_DELTABLE);
}

static void whole_table(struct builder *b)
{
	no_table(b);
	table(b, NFT_MSG_NEWTABLE);
	set(b, "guests", 1);
	set(b, "nat", 2);
	elements(b, "guests", ~0ULL);
	elements(b, "nat", b->user->nat);
	chains(b);
	from_guest(b);
	forward_out(b);
	forward_in(b);
	from_host(b);
	masquerade(b);
}

/* ---- what others have ---- */

struct foreign {
	uint8_t family;
	bool drops;
	char table[NFT_NAME_MAXLEN], chain[NFT_NAME_MAXLEN];
	unsigned n_own;
	uint64_t own[OWN_MAX]; /* handles of our rules in it */
};

struct survey {
	const struct names *names;
	unsigned n_foreign;
	struct foreign foreign[FOREIGN_MAX];
	struct foreign *at;
	uint32_t chains, uses; /* of our own table: its chains, and the rules in them */
};

static bool is_ours(const struct nlattr *table)
{
	return table && nft_data_len(table) > 7 && memcmp(nft_data(table), "banger-", 7) == 0;
}

static bool on_the_way(const struct nlattr *hook)
{
	const struct nlattr *attr[NFTA_HOOK_MAX + 1];

	if (!hook)
		return false;
	nft_parse(nft_data(hook), nft_data_len(hook), attr, NFTA_HOOK_MAX);
	return attr[NFTA_HOOK_HOOKNUM] && nft_u32(attr[NFTA_HOOK_HOOKNUM]) == NF_INET_FORWARD;
}

static int see_chain(uint8_t family, const struct nlattr *const *attr, void *userdata)
{
	struct survey *s = userdata;
	struct foreign *f;

	if (family == NFPROTO_IPV4 && nft_is(attr[NFTA_CHAIN_TABLE], s->names->table)) {
		s->chains++;
		s->uses += nft_u32(attr[NFTA_CHAIN_USE]);
	}
	if ((family != NFPROTO_IPV4 && family != NFPROTO_INET) || is_ours(attr[NFTA_CHAIN_TABLE]) ||
		!on_the_way(attr[NFTA_CHAIN_HOOK]))
		return 0;
	if (s->n_foreign == FOREIGN_MAX)
		return -E2BIG;
	f = &s->foreign[s->n_foreign++];
	f->family = family;
	f->drops = attr[NFTA_CHAIN_POLICY] && nft_u32(attr[NFTA_CHAIN_POLICY]) == NF_DROP;
	if (!nft_text(attr[NFTA_CHAIN_TABLE], f->table, sizeof(f->table)) ||
		!nft_text(attr[NFTA_CHAIN_NAME], f->chain, sizeof(f->chain)))
		return -E2BIG;
	return 0;
}

static int see_rule(uint8_t family, const struct nlattr *const *attr, void *userdata)
{
	const struct nlattr *mark = attr[NFTA_RULE_USERDATA], *handle = attr[NFTA_RULE_HANDLE];
	struct survey *s = userdata;

	(void)family;
	if (!mark || !handle || nft_data_len(mark) != s->names->mark_len ||
		memcmp(nft_data(mark), s->names->mark, s->names->mark_len) != 0)
		return 0;
	if (nft_data_len(handle) != sizeof(uint64_t) || s->at->n_own == OWN_MAX)
		return -E2BIG;
	memcpy(&s->at->own[s->at->n_own++], nft_data(handle), sizeof(uint64_t));
	return 0;
}

static int survey_once(struct nft *n, const struct names *names, struct survey *s)
{
	int r;

	*s = (struct survey){.names = names};
	r = nft_dump(n, NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, NULL, NULL, see_chain, s);
	for (unsigned i = 0; i < s->n_foreign && r >= 0; i++) {
		s->at = &s->foreign[i];
		r = nft_dump(
			n, NFT_MSG_GETRULE, s->at->family, s->at->table, s->at->chain, see_rule, s);
	}
	return r;
}

static int survey(struct nft *n, const struct names *names, struct survey *s)
{
	int r = -EINTR;

	for (int i = 0; i < RETRIES && (r == -EINTR || r == -ENOENT); i++)
		r = survey_once(n, names, s);
	return r;
}

/* ---- our rules in chains of others ---- */

static void accept_rule(struct builder *b, const struct foreign *f, bool out)
{
	static const uint8_t ipv4 = NFPROTO_IPV4;
	struct nlattr *r = begin_rule(b->n, f->family, f->table, f->chain);

	if (f->family == NFPROTO_INET) {
		nft_meta(b->n, NFT_META_NFPROTO, NFT_REG_1);
		nft_cmp(b->n, NFT_REG_1, NFT_CMP_EQ, &ipv4, 1);
	}
	match_ip(b->n, out ? AT_SADDR : AT_DADDR, NFT_CMP_EQ, b->names.net, 3);
	match_taps(b->n, out ? NFT_META_IIFNAME : NFT_META_OIFNAME, NFT_CMP_EQ, b->names.taps);
	nft_counter(b->n);
	end_rule(b->n, r, NF_ACCEPT, NULL);
	nft_put(b->n, NFTA_RULE_USERDATA, b->names.mark, b->names.mark_len);
}

static void delete_rule(struct builder *b, const struct foreign *f, uint64_t handle)
{
	nft_msg(b->n, NFT_MSG_DELRULE, f->family, 0);
	nft_put_str(b->n, NFTA_RULE_TABLE, f->table);
	nft_put_str(b->n, NFTA_RULE_CHAIN, f->chain);
	nft_put(b->n, NFTA_RULE_HANDLE, &handle, sizeof(handle));
}

static bool as_wanted(const struct foreign *f, const struct nft_user *user)
{
	return f->n_own == (user->nat && f->drops ? OWN_RULES : 0);
}

static void mend_foreign(struct builder *b, const struct foreign *f)
{
	if (as_wanted(f, b->user))
		return;
	for (unsigned i = 0; i < f->n_own; i++)
		delete_rule(b, f, f->own[i]);
	if (b->user->nat && f->drops) {
		accept_rule(b, f, true);
		accept_rule(b, f, false);
	}
}

/* ---- the whole ---- */

enum change { CHANGE_TABLE, CHANGE_FOREIGN, CHANGE_REMOVE };

/* One transaction after one look at what there is; -ENOENT and -EINTR: it changed in between. */
static int change(struct nft *n, const struct nft_user *user, enum change what)
{
	struct builder b = {.n = n, .user = user};
	struct survey s;
	int r;

	make_names(user, &b.names);
	r = survey(n, &b.names, &s);
	if (r < 0)
		return r;
	nft_begin(n);
	if (what == CHANGE_TABLE)
		whole_table(&b);
	else if (what == CHANGE_REMOVE)
		no_table(&b);
	for (unsigned i = 0; i < s.n_foreign && what != CHANGE_TABLE; i++)
		mend_foreign(&b, &s.foreign[i]);
	return nft_commit(n);
}

static int change_surely(struct nft *n, const struct nft_user *user, enum change what)
{
	int r = -EINTR;

	for (int i = 0; i < RETRIES && (r == -EINTR || r == -ENOENT); i++)
		r = change(n, user, what);
	return r;
}

int nft_apply(struct nft *n, const struct nft_user *user, uint32_t *ret_seal)
{
	struct names names;
	struct survey s;
	int r = change_surely(n, user, CHANGE_TABLE);

	if (r < 0)
		return r;
	make_names(user, &names);
	r = survey(n, &names, &s);
	*ret_seal = s.chains << 16 | s.uses;
	return r;
}

int nft_let_through(struct nft *n, const struct nft_user *user)
{
	struct names names;
	struct survey s;
	int r;

	make_names(user, &names);
	r = survey(n, &names, &s);
	for (unsigned i = 0; i < s.n_foreign && r >= 0; i++)
		if (!as_wanted(&s.foreign[i], user))
			return change_surely(n, user, CHANGE_FOREIGN);
	return r;
}

int nft_remove(struct nft *n, const struct nft_user *user)
{
	struct nft_user none = *user;
	struct names names;
	struct survey s;
	int r;

	none.nat = 0;
	make_names(user, &names);
	r = survey(n, &names, &s);
	if (r < 0)
		return r;
	r = s.chains != 0;
	for (unsigned i = 0; i < s.n_foreign; i++)
		r |= s.foreign[i].n_own != 0;
	return r ? change_surely(n, &none, CHANGE_REMOVE) : 0;
}

bool nft_intact(struct nft *n, const struct nft_user *user, uint32_t seal)
{
	struct names names;
	struct survey s;

	make_names(user, &names);
	if (survey(n, &names, &s) < 0 || seal >> 16 == 0 || (s.chains << 16 | s.uses) != seal)
		return false;
	for (unsigned i = 0; i < s.n_foreign; i++)
		if (!as_wanted(&s.foreign[i], user))
			return false;
	return true;
}
