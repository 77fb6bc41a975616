/* SPDX-License-Identifier: ISC */
/* See nft_msg.h. */
#include "privhelper/nft_msg.h"

#include <arpa/inet.h>
#include <assert.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

int nft_open(struct nft *n)
{
	int r = nlmsg_open(&n->req, NETLINK_NETFILTER, 0);

	return r < 0 ? r : nlmsg_open(&n->events, NETLINK_NETFILTER, 1U << (NFNLGRP_NFTABLES - 1));
}

/* ---- building ---- */

static void start(struct nft *n, uint16_t type, uint8_t family, uint16_t flags, uint16_t res_id)
{
	const struct nfgenmsg g = {
		.nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(res_id)};

	nlmsg_begin(&n->req, type, flags, &g, sizeof(g));
}

void nft_begin(struct nft *n)
{
	n->req.len = 0;
	start(n, NFNL_MSG_BATCH_BEGIN, AF_UNSPEC, 0, NFNL_SUBSYS_NFTABLES);
}

void nft_msg(struct nft *n, unsigned type, uint8_t family, uint16_t flags)
{
	start(n, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), family, flags, 0);
}

void nft_put_u32(struct nft *n, uint16_t type, uint32_t v)
{
	nlmsg_put_u32(&n->req, type, htonl(v));
}

/* ---- expressions ---- */

/* One, all of whose attributes are numbers: pairs of type and value up to type 0. */
struct number {
	uint16_t type;
	uint32_t value;
};

struct expr {
	struct nlattr *elem, *data;
};

static struct expr expr(struct nft *n, const char *name, const struct number *numbers)
{
	struct expr e = {.elem = nlmsg_nest(&n->req, NFTA_LIST_ELEM)};

	nlmsg_put_str(&n->req, NFTA_EXPR_NAME, name);
	e.data = nlmsg_nest(&n->req, NFTA_EXPR_DATA);
	for (; numbers->type; numbers++)
		nft_put_u32(n, numbers->type, numbers->value);
	return e;
}

static void expr_end(struct nft *n, struct expr e)
{
	nlmsg_nest_end(&n->req, e.data);
	nlmsg_nest_end(&n->req, e.elem);
}

#define EXPR(n, name, ...) expr(n, name, (const struct number[]){__VA_ARGS__ __VA_OPT__(, ){0, 0}})

static void put_value(struct nft *n, uint16_t type, const void *data, size_t len)
{
	struct nlattr *nest = nlmsg_nest(&n->req, type);

	nlmsg_put(&n->req, NFTA_DATA_VALUE, data, len);
	nlmsg_nest_end(&n->req, nest);
}

void nft_meta(struct nft *n, enum nft_meta_keys key, uint32_t reg)
{
	expr_end(n, EXPR(n, "meta", {NFTA_META_KEY, key}, {NFTA_META_DREG, reg}));
}

void nft_payload(
	struct nft *n, enum nft_payload_bases base, uint32_t at, uint32_t len, uint32_t reg)
{
	expr_end(n, EXPR(n, "payload", {NFTA_PAYLOAD_DREG, reg}, {NFTA_PAYLOAD_BASE, base},
			    {NFTA_PAYLOAD_OFFSET, at}, {NFTA_PAYLOAD_LEN, len}));
}

void nft_immediate(struct nft *n, uint32_t reg, const void *data, size_t len)
{
	struct expr e = EXPR(n, "immediate", {NFTA_IMMEDIATE_DREG, reg});

	put_value(n, NFTA_IMMEDIATE_DATA, data, len);
	expr_end(n, e);
}

void nft_cmp(struct nft *n, uint32_t reg, enum nft_cmp_ops op, const void *data, size_t len)
{
	struct expr e = EXPR(n, "cmp", {NFTA_CMP_SREG, reg}, {NFTA_CMP_OP, op});

	put_value(n, NFTA_CMP_DATA, data, len);
	expr_end(n, e);
}

void nft_mask(struct nft *n, uint32_t reg, const void *mask, size_t len)
{
	static const uint8_t zero[16];
	struct expr e = EXPR(n, "bitwise", {NFTA_BITWISE_SREG, reg}, {NFTA_BITWISE_DREG, reg},
		{NFTA_BITWISE_LEN, (uint32_t)len});

	assert(len <= sizeof(zero));
	put_value(n, NFTA_BITWISE_MASK, mask, len);
	put_value(n, NFTA_BITWISE_XOR, zero, len);
	expr_end(n, e);
}

void nft_lookup(struct nft *n, const char *set, uint32_t reg, bool in)
{
	struct expr e = EXPR(n, "lookup", {NFTA_LOOKUP_SREG, reg},
		{NFTA_LOOKUP_FLAGS, in ? 0 : NFT_LOOKUP_F_INV});

	nlmsg_put_str(&n->req, NFTA_LOOKUP_SET, set);
	expr_end(n, e);
}

void nft_ct(struct nft *n, enum nft_ct_keys key, uint32_t reg)
{
	static const uint8_t original = 0; /* IP_CT_DIR_ORIGINAL */
	struct expr e = EXPR(n, "ct", {NFTA_CT_KEY, key}, {NFTA_CT_DREG, reg});

	if (key == NFT_CT_SRC_IP || key == NFT_CT_DST_IP)
		nlmsg_put(&n->req, NFTA_CT_DIRECTION, &original, 1);
	expr_end(n, e);
}

void nft_fib_daddr_type(struct nft *n, uint32_t reg)
{
	expr_end(n, EXPR(n, "fib", {NFTA_FIB_DREG, reg}, {NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE},
			    {NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR}));
}

void nft_more_flows_than(struct nft *n, const char *set, uint32_t reg, uint32_t limit)
{
	struct expr e =
		EXPR(n, "dynset", {NFTA_DYNSET_OP, NFT_DYNSET_OP_ADD}, {NFTA_DYNSET_SREG_KEY, reg});
	struct nlattr *count, *data;

	nlmsg_put_str(&n->req, NFTA_DYNSET_SET_NAME, set);
	count = nlmsg_nest(&n->req, NFTA_DYNSET_EXPR);
	nlmsg_put_str(&n->req, NFTA_EXPR_NAME, "connlimit");
	data = nlmsg_nest(&n->req, NFTA_EXPR_DATA);
	nft_put_u32(n, NFTA_CONNLIMIT_COUNT, limit);
	nft_put_u32(n, NFTA_CONNLIMIT_FLAGS, NFT_CONNLIMIT_F_INV);
	nlmsg_nest_end(&n->req, data);
	nlmsg_nest_end(&n->req, count);
	expr_end(n, e);
}

void nft_counter(struct nft *n)
{
	expr_end(n, EXPR(n, "counter"));
}

void nft_masquerade(struct nft *n)
{
	expr_end(n, EXPR(n, "masq"));
}

void nft_dnat(struct nft *n, uint32_t address, uint32_t port)
{
	expr_end(n, EXPR(n, "nat", {NFTA_NAT_TYPE, NFT_NAT_DNAT}, {NFTA_NAT_FAMILY, NFPROTO_IPV4},
			    {NFTA_NAT_REG_ADDR_MIN, address}, {NFTA_NAT_REG_PROTO_MIN, port}));
}

void nft_reject(struct nft *n, bool tcp)
{
	static const uint8_t prohibited = 13; /* ICMP_PKT_FILTERED */
	struct expr e = EXPR(n, "reject",
		{NFTA_REJECT_TYPE, tcp ? NFT_REJECT_TCP_RST : NFT_REJECT_ICMP_UNREACH});

	nlmsg_put(&n->req, NFTA_REJECT_ICMP_CODE, tcp ? &(const uint8_t){0} : &prohibited, 1);
	expr_end(n, e);
}

void nft_verdict(struct nft *n, int verdict, const char *chain)
{
	struct expr e = EXPR(n, "immediate", {NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT});
	struct nlattr *data = nlmsg_nest(&n->req, NFTA_IMMEDIATE_DATA),
		      *code = nlmsg_nest(&n->req, NFTA_DATA_VERDICT);

	nft_put_u32(n, NFTA_VERDICT_CODE, (uint32_t)verdict);
	if (chain)
		nlmsg_put_str(&n->req, NFTA_VERDICT_CHAIN, chain);
	nlmsg_nest_end(&n->req, code);
	nlmsg_nest_end(&n->req, data);
	expr_end(n, e);
}

/* ---- talking ---- */

/*
 * Errors come in the order of their messages, then the acknowledgement of the last one: that is
 * the only one we ask for. A batch refused as a whole has the number of its first message.
 */
static int commit_answer(struct nft *n, uint32_t first, uint32_t last)
{
	int result = 0;

	for (;;) {
		ssize_t len = nlmsg_receive(&n->req, 0);

		if (len < 0)
			return (int)len;
		NLMSG_EACH(h, &n->req, len)
		{
			if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_seq - first > last - first)
				continue;
			if (result == 0)
				result = nlmsg_error(h);
			if (h->nlmsg_seq == last || h->nlmsg_seq == first)
				return result;
		}
	}
}

int nft_commit(struct nft *n)
{
	uint32_t first = ((struct nlmsghdr *)(void *)n->req.out)->nlmsg_seq, last = n->req.seq;
	int r;

	if (first == last)
		return 0; /* an empty batch is never answered */
	n->req.msg->nlmsg_flags |= NLM_F_ACK;
	start(n, NFNL_MSG_BATCH_END, AF_UNSPEC, 0, NFNL_SUBSYS_NFTABLES);
	r = nlmsg_send(&n->req);
	return r < 0 ? r : commit_answer(n, first, last);
}

/* ---- reading ---- */

uint32_t nft_u32(const struct nlattr *a)
{
	return ntohl(nlmsg_u32(a));
}

struct each {
	nft_each_fn fn;
	void *userdata;
};

static int dump_one(const struct nlmsghdr *h, void *userdata)
{
	const struct nlattr *attr[NFT_ATTRS + 1];
	const struct nfgenmsg *g = NLMSG_DATA(h);
	const struct each *each = userdata;
	int r = nlmsg_attrs(h, sizeof(*g), attr, NFT_ATTRS);

	return r < 0 ? r : each->fn(g->nfgen_family, attr, each->userdata);
}

int nft_dump(struct nft *n, unsigned type, uint8_t family, const char *table, const char *chain,
	nft_each_fn fn, void *userdata)
{
	struct each each = {fn, userdata};

	n->req.len = 0;
	nft_msg(n, type, family, NLM_F_DUMP);
	if (table)
		nlmsg_put_str(&n->req, NFTA_RULE_TABLE, table);
	if (chain)
		nlmsg_put_str(&n->req, NFTA_RULE_CHAIN, chain);
	return nlmsg_talk(&n->req, dump_one, &each);
}

/* ---- announcements ---- */

bool nft_changed(struct nft *n)
{
	bool changed = false;

	for (;;) {
		ssize_t len = nlmsg_receive(&n->events, MSG_DONTWAIT);

		if (len == -EAGAIN)
			return changed;
		if (len < 0)
			return true; /* some were lost */
		NLMSG_EACH(h, &n->events, len)
		if (h->nlmsg_pid != n->req.port)
			changed = true;
	}
}
