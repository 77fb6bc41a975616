/* SPDX-License-Identifier: ISC */
/* See nft_rules.h. A rule of nft_rules.def is a row of parts; each part is a row below. */
#include "privhelper/nft_rules.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdio.h>

enum {
	KEY_LEN = IFNAMSIZ + 4,
	/* nft(8)'s numbers of its types, for what it shows: ifname . ipv4_addr */
	TYPE_IPV4 = 7,
	TYPE_IFNAME_IPV4 = 41 << 6 | TYPE_IPV4,
	AT_PROTOCOL = 9,
	AT_SADDR = 12,
	AT_DADDR = 16, /* offsets in the header */
	AT_DPORT = 2,
	COMMENT_TYPE = 0, /* of a rule's user data, as nft(8) shows it */
	FLOWS_SIZE = BG_SLOTS_MAX,
	PARTS_MAX = 4,
};

/* ---- names ---- */

void nft_table_name(const struct nft_user *u, enum nft_table table, char ret[NFT_NAME_MAXLEN])
{
	(void)snprintf(ret, NFT_NAME_MAXLEN, "banger-%s%u",
		table == FENCE	 ? "fence-"
		: table == NAMES ? "names-"
				 : "",
		u->index);
}

void nft_names_make(const struct nft_user *u, struct nft_names *ret)
{
	uint32_t gateway = htonl(policy_gateway(u->policy, u->index));
	int n;

	nft_table_name(u, PLAIN, ret->table);
	(void)snprintf(ret->taps, sizeof(ret->taps), "bgr%u-", u->index);
	n = snprintf((char *)ret->mark + 2, sizeof(ret->mark) - 2, "banger-%u", u->index);
	ret->mark[0] = COMMENT_TYPE;
	ret->mark[1] = (uint8_t)(n + 1);
	ret->mark_len = (size_t)n + 3;
	memcpy(ret->gateway, &gateway, sizeof(ret->gateway));
}

/* ---- parts of rules ---- */

/* What is looked at: TUPLE is an interface and an address, together in a set. */
enum load { META, CT, PACKET, DST_TYPE, TUPLE, FLOWS };
/* What it is compared with: these bytes (STATE: whether one bit of them is set), or what follows from the user. */
enum with { BYTES, STATE, OWN_TAPS, NET, OWNER };

struct part {
	enum load load;
	enum nft_cmp_ops op; /* NEQ: not */
	unsigned at;	     /* NFT_META_*, NFT_CT_*, or an offset in base; of a TUPLE's address */
	enum with with;
	uint8_t len;
	union {
		char text[4];
		uint8_t bytes[4];
		uint32_t number; /* of this host's order */
	};
	enum nft_payload_bases
		base; /* of a TUPLE: TRANSPORT is the connection's original direction instead of the packet */
	const char *set;
	enum nft_meta_keys by; /* whose interface */
};

enum part_id {
	NO_PART,
#define NFT_PART(ID, ...) ID,
#include "privhelper/nft_rules.def"
#undef NFT_PART
};

#define EQ	  NFT_CMP_EQ
#define NEQ	  NFT_CMP_NEQ
#define IN_NAME	  NFT_META_IIFNAME
#define OUT_NAME  NFT_META_OIFNAME
#define NET_HEAD  NFT_PAYLOAD_NETWORK_HEADER
#define TRANSPORT NFT_PAYLOAD_TRANSPORT_HEADER

static const struct part parts[] = {
#define NFT_PART(ID, ...) [ID] = {__VA_ARGS__},
#include "privhelper/nft_rules.def"
#undef NFT_PART
};

static void put_tuple(const struct nft_builder *b, const struct part *p)
{
	nft_meta(b->n, p->by, NFT_REG_1);
	if (p->base == TRANSPORT)
		nft_ct(b->n, p->at, NFT_REG_2);
	else
		nft_payload(b->n, p->base, p->at, 4, NFT_REG_2);
	nft_lookup(b->n, p->set, NFT_REG_1, p->op == EQ);
}

static void put_compare(const struct nft_builder *b, const struct part *p)
{
	static const uint32_t zero;
	const char *taps = b->names->taps;

	if (p->with == STATE)
		nft_mask(b->n, NFT_REG_1, p->bytes, p->len);
	if (p->with == OWN_TAPS) /* a whole name has its end in it; what it begins with has not */
		nft_cmp(b->n, NFT_REG_1, p->op, taps, strlen(taps));
	else
		nft_cmp(b->n, NFT_REG_1, p->op,
			p->with == STATE   ? (const void *)&zero
			: p->with == NET   ? b->names->gateway
			: p->with == OWNER ? (const void *)&b->user->uid
					   : p->bytes,
			p->len);
}

static void put_part(const struct nft_builder *b, const struct part *p)
{
	switch (p->load) {
	case META:
		nft_meta(b->n, p->at, NFT_REG_1);
		break;
	case CT:
		nft_ct(b->n, p->at, NFT_REG_1);
		break;
	case PACKET:
		nft_payload(b->n, p->base, p->at, p->len, NFT_REG_1);
		break;
	case DST_TYPE:
		nft_fib_daddr_type(b->n, NFT_REG_1);
		break;
	case TUPLE:
		put_tuple(b, p);
		return;
	case FLOWS:
		nft_payload(b->n, NET_HEAD, AT_SADDR, 4, NFT_REG_1);
		nft_more_flows_than(b->n, "flows", NFT_REG_1, b->user->policy->flows_per_guest);
		return;
	}
	put_compare(b, p);
}

/* ---- what becomes of a packet ---- */

enum chain_id {
#define NFT_CHAIN(ID, ...) ID,
#include "privhelper/nft_rules.def"
#undef NFT_CHAIN
};

static const struct chain {
	const char *name;
	unsigned tables;
	const char *type;
	unsigned hook;
	int priority;
} chains[] = {
#define NFT_CHAIN(ID, name, tables, type, hook, priority)                                          \
	[ID] = {name, tables, type, hook, priority},
#include "privhelper/nft_rules.def"
#undef NFT_CHAIN
};

enum verdict {
	RETURN,
	TO_FROM,
	TO_OUT,
	TO_IN,
	ACCEPT,
	DROP,
	RESET,
	FORBID,
	MASQUERADE,
	ANSWER_UDP,
	ANSWER_TCP
};

static const struct rule {
	unsigned tables;
	enum chain_id chain;
	enum verdict verdict;
	enum part_id parts[PARTS_MAX];
} rules[] = {
#define NFT_RULE(tables, chain, verdict, ...) {tables, chain, verdict, {__VA_ARGS__}},
#include "privhelper/nft_rules.def"
#undef NFT_RULE
};

static void put_answer(const struct nft_builder *b, unsigned port)
{
	const uint16_t wire = htons((uint16_t)port);

	nft_immediate(b->n, NFT_REG_1, b->names->gateway, sizeof(b->names->gateway));
	nft_immediate(b->n, NFT_REG_2, &wire, sizeof(wire));
	nft_dnat(b->n, NFT_REG_1, NFT_REG_2);
}

static void put_verdict(const struct nft_builder *b, enum verdict verdict)
{
	static const struct {
		int code;
		enum chain_id chain;
	} plain[] = {[RETURN] = {NFT_RETURN, 0},
		[TO_FROM] = {NFT_JUMP, FROM},
		[TO_OUT] = {NFT_JUMP, OUT},
		[TO_IN] = {NFT_JUMP, IN},
		[ACCEPT] = {NF_ACCEPT, 0},
		[DROP] = {NF_DROP, 0}};

	if (verdict >= ACCEPT)
		nft_counter(b->n);
	if (verdict < ARRAY_SIZE(plain))
		nft_verdict(b->n, plain[verdict].code,
			plain[verdict].code == NFT_JUMP ? chains[plain[verdict].chain].name : NULL);
	else if (verdict == MASQUERADE)
		nft_masquerade(b->n);
	else if (verdict == RESET || verdict == FORBID)
		nft_reject(b->n, verdict == RESET);
	else
		put_answer(b, b->user->names[verdict == ANSWER_TCP]);
}

/* ---- rules ---- */

static struct nlattr *begin_rule(
	struct nft *n, uint8_t family, const char *table, const char *chain)
{
	nft_msg(n, NFT_MSG_NEWRULE, family, NLM_F_CREATE | NLM_F_APPEND);
	nlmsg_put_str(&n->req, NFTA_RULE_TABLE, table);
	nlmsg_put_str(&n->req, NFTA_RULE_CHAIN, chain);
	return nlmsg_nest(&n->req, NFTA_RULE_EXPRESSIONS);
}

static void put_rule(struct nft_builder *b, const char *table, const struct rule *rule)
{
	struct nlattr *r = begin_rule(b->n, NFPROTO_IPV4, table, chains[rule->chain].name);

	for (unsigned i = 0; i < PARTS_MAX && rule->parts[i]; i++)
		put_part(b, &parts[rule->parts[i]]);
	put_verdict(b, rule->verdict);
	nlmsg_nest_end(&b->n->req, r);
}

void nft_put_accept(
	struct nft_builder *b, uint8_t family, const char *table, const char *chain, bool out)
{
	static const uint8_t ipv4 = NFPROTO_IPV4;
	struct nlattr *r = begin_rule(b->n, family, table, chain);

	if (family == NFPROTO_INET) {
		nft_meta(b->n, NFT_META_NFPROTO, NFT_REG_1);
		nft_cmp(b->n, NFT_REG_1, EQ, &ipv4, 1);
	}
	put_part(b, &parts[out ? SRC_NET : DST_NET]);
	put_part(b, &parts[out ? IN_TAP : OUT_TAP]);
	put_verdict(b, ACCEPT);
	nlmsg_nest_end(&b->n->req, r);
	nlmsg_put(&b->n->req, NFTA_RULE_USERDATA, b->names->mark, b->names->mark_len);
}

/* ---- sets: tap and guest address of slots; the connections of an address ---- */

static void put_set_head(struct nft_builder *b, const char *table, const char *name, uint32_t id)
{
	bool counts = bg_streq(name, "flows");
	struct nlattr *size;

	nft_msg(b->n, NFT_MSG_NEWSET, NFPROTO_IPV4, NLM_F_CREATE);
	nlmsg_put_str(&b->n->req, NFTA_SET_TABLE, table);
	nlmsg_put_str(&b->n->req, NFTA_SET_NAME, name);
	nft_put_u32(b->n, NFTA_SET_FLAGS, counts ? NFT_SET_EVAL : 0);
	nft_put_u32(b->n, NFTA_SET_KEY_TYPE, counts ? TYPE_IPV4 : TYPE_IFNAME_IPV4);
	nft_put_u32(b->n, NFTA_SET_KEY_LEN, counts ? 4 : KEY_LEN);
	nft_put_u32(b->n, NFTA_SET_ID, id);
	if (!counts)
		return;
	size = nlmsg_nest(&b->n->req, NFTA_SET_DESC);
	nft_put_u32(b->n, NFTA_SET_DESC_SIZE, FLOWS_SIZE);
	nlmsg_nest_end(&b->n->req, size);
}

static void put_element(struct nft_builder *b, unsigned slot)
{
	uint32_t guest = htonl(policy_guest(b->user->policy, b->user->index, slot));
	struct nlattr *elem = nlmsg_nest(&b->n->req, NFTA_LIST_ELEM),
		      *key = nlmsg_nest(&b->n->req, NFTA_SET_ELEM_KEY);
	char data[KEY_LEN] = {0};

	policy_tap_name(b->user->index, slot, data);
	memcpy(data + IFNAMSIZ, &guest, sizeof(guest));
	nlmsg_put(&b->n->req, NFTA_DATA_VALUE, data, sizeof(data));
	nlmsg_nest_end(&b->n->req, key);
	nlmsg_nest_end(&b->n->req, elem);
}

static void put_elements(struct nft_builder *b, const char *table, const char *name, uint64_t slots)
{
	struct nlattr *list;

	if (slots == 0)
		return;
	nft_msg(b->n, NFT_MSG_NEWSETELEM, NFPROTO_IPV4, NLM_F_CREATE);
	nlmsg_put_str(&b->n->req, NFTA_SET_ELEM_LIST_TABLE, table);
	nlmsg_put_str(&b->n->req, NFTA_SET_ELEM_LIST_SET, name);
	list = nlmsg_nest(&b->n->req, NFTA_SET_ELEM_LIST_ELEMENTS);
	for (unsigned slot = 0; slot < BG_SLOTS_MAX; slot++)
		if (slots & 1ULL << slot)
			put_element(b, slot);
	nlmsg_nest_end(&b->n->req, list);
}

static void put_sets(struct nft_builder *b, const char *table, enum nft_table which)
{
	if (which == NAMES)
		return;
	put_set_head(b, table, "guests", 1);
	put_elements(b, table, "guests", ~0ULL);
	put_set_head(b, table, "peers", 2);
	put_elements(b, table, "peers", b->user->peers);
	put_set_head(b, table, "flows", 3);
	if (which == FENCE)
		return;
	put_set_head(b, table, "nat", 4);
	put_elements(b, table, "nat", b->user->nat);
}

/* ---- the tables ---- */

static void put_head(struct nft_builder *b, const char *table, unsigned type, uint32_t flags)
{
	nft_msg(b->n, type, NFPROTO_IPV4, type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0);
	nlmsg_put_str(&b->n->req, NFTA_TABLE_NAME, table);
	if (type == NFT_MSG_NEWTABLE)
		nft_put_u32(b->n, NFTA_TABLE_FLAGS, flags);
}

/* Made first, so that it can be removed whether it was there or not. */
void nft_put_no_table(struct nft_builder *b, enum nft_table which, uint32_t flags)
{
	char table[NFT_NAME_MAXLEN];

	nft_table_name(b->user, which, table);
	put_head(b, table, NFT_MSG_NEWTABLE, flags);
	put_head(b, table, NFT_MSG_DELTABLE, 0);
}

static void put_chain(struct nft_builder *b, const char *table, const struct chain *c, int later)
{
	struct nlattr *hook;

	nft_msg(b->n, NFT_MSG_NEWCHAIN, NFPROTO_IPV4, NLM_F_CREATE);
	nlmsg_put_str(&b->n->req, NFTA_CHAIN_TABLE, table);
	nlmsg_put_str(&b->n->req, NFTA_CHAIN_NAME, c->name);
	if (!c->type)
		return;
	hook = nlmsg_nest(&b->n->req, NFTA_CHAIN_HOOK);
	nft_put_u32(b->n, NFTA_HOOK_HOOKNUM, c->hook);
	nft_put_u32(b->n, NFTA_HOOK_PRIORITY, (uint32_t)(c->priority + later));
	nlmsg_nest_end(&b->n->req, hook);
	nlmsg_put_str(&b->n->req, NFTA_CHAIN_TYPE, c->type);
	nft_put_u32(b->n, NFTA_CHAIN_POLICY, NF_ACCEPT);
}

void nft_put_table(struct nft_builder *b, enum nft_table which, uint32_t flags)
{
	char table[NFT_NAME_MAXLEN];

	nft_put_no_table(b, which, flags);
	nft_table_name(b->user, which, table);
	put_head(b, table, NFT_MSG_NEWTABLE, flags);
	put_sets(b, table, which);
	for (size_t i = 0; i < ARRAY_SIZE(chains); i++)
		if (chains[i].tables & which)
			put_chain(b, table, &chains[i], which == FENCE);
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].tables & which)
			put_rule(b, table, &rules[i]);
}
