/* SPDX-License-Identifier: ISC */
#include "privhelper/nft_msg.h"

#include <arpa/inet.h>
#include <assert.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { ANSWER_S = 10 /* the kernel answers at once; loading a module takes a moment */ };

/* ---- sockets ---- */

static int open_socket(uint32_t groups, int *ret, uint32_t *ret_port)
{
	struct sockaddr_nl local = {.nl_family = AF_NETLINK, .nl_groups = groups};
	const struct timeval wait = {.tv_sec = ANSWER_S};
	socklen_t len = sizeof(local);
	_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

	if (fd < 0)
		return errno == EPROTONOSUPPORT ? -ENOSYS : -errno;
	if (bind(fd, (struct sockaddr *)&local, sizeof(local)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0 ||
		getsockname(fd, (struct sockaddr *)&local, &len) < 0)
		return -errno;
	*ret_port = local.nl_pid;
	*ret = TAKE_FD(fd);
	return 0;
}

int nft_open(struct nft *n)
{
	uint32_t port;
	int r = open_socket(0, &n->fd, &n->port);

	if (r >= 0)
		r = open_socket(1U << (NFNLGRP_NFTABLES - 1), &n->events, &port);
	return r;
}

/* ---- building ---- */

static struct nlmsghdr *start(
	struct nft *n, uint16_t type, uint8_t family, uint16_t flags, uint16_t res_id)
{
	struct nlmsghdr *h = (void *)(n->out + n->len);
	struct nfgenmsg *g;
	size_t size = NLMSG_SPACE(sizeof(*g));

	assert(n->len + size <= sizeof(n->out));
	memset(h, 0, size);
	h->nlmsg_len = (uint32_t)size;
	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	h->nlmsg_seq = ++n->seq;
	g = NLMSG_DATA(h);
	g->nfgen_family = family;
	g->version = NFNETLINK_V0;
	g->res_id = htons(res_id);
	n->len += size;
	n->msg = h;
	return h;
}

void nft_begin(struct nft *n)
{
	n->len = 0;
	start(n, NFNL_MSG_BATCH_BEGIN, AF_UNSPEC, 0, NFNL_SUBSYS_NFTABLES);
}

void nft_msg(struct nft *n, unsigned type, uint8_t family, uint16_t flags)
{
	start(n, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), family, flags, 0);
}

struct nlattr *nft_put(struct nft *n, uint16_t type, const void *data, size_t len)
{
	struct nlattr *a = (void *)(n->out + n->len);
	size_t size = NLA_ALIGN(NLA_HDRLEN + len);

	assert(n->msg && n->len + size <= sizeof(n->out));
	memset(a, 0, size);
	a->nla_type = type;
	a->nla_len = (uint16_t)(NLA_HDRLEN + len);
	if (len > 0)
		memcpy((uint8_t *)a + NLA_HDRLEN, data, len);
	n->len += size;
	n->msg->nlmsg_len += (uint32_t)size;
	return a;
}

void nft_put_str(struct nft *n, uint16_t type, const char *text)
{
	nft_put(n, type, text, strlen(text) + 1);
}

void nft_put_u32(struct nft *n, uint16_t type, uint32_t v)
{
	v = htonl(v);
	nft_put(n, type, &v, sizeof(v));
}

struct nlattr *nft_nest(struct nft *n, uint16_t type)
{
	return nft_put(n, type | NLA_F_NESTED, NULL, 0);
}

void nft_nest_end(struct nft *n, struct nlattr *nest)
{
	nest->nla_len = (uint16_t)(n->out + n->len - (uint8_t *)nest);
}

/* ---- expressions ---- */

struct expr {
	struct nlattr *elem, *data;
};

static struct expr expr(struct nft *n, const char *name)
{
	struct expr e = {.elem = nft_nest(n, NFTA_LIST_ELEM)};

	nft_put_str(n, NFTA_EXPR_NAME, name);
	e.data = nft_nest(n, NFTA_EXPR_DATA);
	return e;
}

static void expr_end(struct nft *n, struct expr e)
{
	nft_nest_end(n, e.data);
	nft_nest_end(n, e.elem);
}

static void put_value(struct nft *n, uint16_t type, const void *data, size_t len)
{
	struct nlattr *nest = nft_nest(n, type);

	nft_put(n, NFTA_DATA_VALUE, data, len);
	nft_nest_end(n, nest);
}

void nft_meta(struct nft *n, enum nft_meta_keys key, uint32_t reg)
{
	struct expr e = expr(n, "meta");

	nft_put_u32(n, NFTA_META_KEY, key);
	nft_put_u32(n, NFTA_META_DREG, reg);
	expr_end(n, e);
}

void nft_payload(
	struct nft *n, enum nft_payload_bases base, uint32_t at, uint32_t len, uint32_t reg)
{
	struct expr e = expr(n, "payload");

	nft_put_u32(n, NFTA_PAYLOAD_DREG, reg);
	nft_put_u32(n, NFTA_PAYLOAD_BASE, base);
	nft_put_u32(n, NFTA_PAYLOAD_OFFSET, at);
	nft_put_u32(n, NFTA_PAYLOAD_LEN, len);
	expr_end(n, e);
}

void nft_cmp(struct nft *n, uint32_t reg, enum nft_cmp_ops op, const void *data, size_t len)
{
	struct expr e = expr(n, "cmp");

	nft_put_u32(n, NFTA_CMP_SREG, reg);
	nft_put_u32(n, NFTA_CMP_OP, op);
	put_value(n, NFTA_CMP_DATA, data, len);
	expr_end(n, e);
}

void nft_mask(struct nft *n, uint32_t reg, const void *mask, size_t len)
{
	static const uint8_t zero[16];
	struct expr e = expr(n, "bitwise");

	assert(len <= sizeof(zero));
	nft_put_u32(n, NFTA_BITWISE_SREG, reg);
	nft_put_u32(n, NFTA_BITWISE_DREG, reg);
	nft_put_u32(n, NFTA_BITWISE_LEN, (uint32_t)len);
	put_value(n, NFTA_BITWISE_MASK, mask, len);
	put_value(n, NFTA_BITWISE_XOR, zero, len);
	expr_end(n, e);
}

void nft_lookup(struct nft *n, const char *set, uint32_t reg, bool in)
{
	struct expr e = expr(n, "lookup");

	nft_put_str(n, NFTA_LOOKUP_SET, set);
	nft_put_u32(n, NFTA_LOOKUP_SREG, reg);
	nft_put_u32(n, NFTA_LOOKUP_FLAGS, in ? 0 : NFT_LOOKUP_F_INV);
	expr_end(n, e);
}

void nft_ct_state(struct nft *n, uint32_t reg)
{
	struct expr e = expr(n, "ct");

	nft_put_u32(n, NFTA_CT_KEY, NFT_CT_STATE);
	nft_put_u32(n, NFTA_CT_DREG, reg);
	expr_end(n, e);
}

void nft_fib_daddr_type(struct nft *n, uint32_t reg)
{
	struct expr e = expr(n, "fib");

	nft_put_u32(n, NFTA_FIB_DREG, reg);
	nft_put_u32(n, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	nft_put_u32(n, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
	expr_end(n, e);
}

void nft_counter(struct nft *n)
{
	expr_end(n, expr(n, "counter"));
}

void nft_masquerade(struct nft *n)
{
	expr_end(n, expr(n, "masq"));
}

void nft_verdict(struct nft *n, int verdict, const char *chain)
{
	struct expr e = expr(n, "immediate");
	struct nlattr *data, *code;

	nft_put_u32(n, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	data = nft_nest(n, NFTA_IMMEDIATE_DATA);
	code = nft_nest(n, NFTA_DATA_VERDICT);
	nft_put_u32(n, NFTA_VERDICT_CODE, (uint32_t)verdict);
	if (chain)
		nft_put_str(n, NFTA_VERDICT_CHAIN, chain);
	nft_nest_end(n, code);
	nft_nest_end(n, data);
	expr_end(n, e);
}

/* ---- talking ---- */

static int send_all(struct nft *n)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	ssize_t r;

	do
		r = sendto(n->fd, n->out, n->len, 0, (struct sockaddr *)&kernel, sizeof(kernel));
	while (r < 0 && errno == EINTR);
	n->msg = NULL;
	return r < 0 ? -errno : 0;
}

/* One datagram of the kernel's; what anything else sends to this socket is passed over. */
static ssize_t receive(struct nft *n, int fd, int flags)
{
	for (;;) {
		struct sockaddr_nl from = {0};
		socklen_t len = sizeof(from);
		ssize_t r = recvfrom(fd, n->in, sizeof(n->in), MSG_TRUNC | flags,
			(struct sockaddr *)&from, &len);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (from.nl_pid != 0)
			continue;
		return (size_t)r > sizeof(n->in) ? -EMSGSIZE : r;
	}
}

/* The messages of one datagram. */
#define FOR_MSG(h, n, len)                                                                         \
	for (const struct nlmsghdr *h = (const void *)(n)->in; NLMSG_OK(h, (size_t)(len));         \
		(len) -= (ssize_t)BG_MIN((size_t)NLMSG_ALIGN(h->nlmsg_len), (size_t)(len)),        \
				   h = (const void *)((const uint8_t *)h +                         \
						      NLMSG_ALIGN(h->nlmsg_len)))

static int error_of(const struct nlmsghdr *h)
{
	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr)))
		return -EBADMSG;
	return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
}

/*
 * Errors come in the order of their messages, then the acknowledgement of the last one: that is
 * the only one we ask for. A batch refused as a whole has the number of its first message.
 */
static int commit_answer(struct nft *n, uint32_t first, uint32_t last)
{
	int result = 0;

	for (;;) {
		ssize_t len = receive(n, n->fd, 0);

		if (len < 0)
			return (int)len;
		FOR_MSG(h, n, len)
		{
			if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_seq - first > last - first)
				continue;
			if (result == 0)
				result = error_of(h);
			if (h->nlmsg_seq == last || h->nlmsg_seq == first)
				return result;
		}
	}
}

int nft_commit(struct nft *n)
{
	uint32_t first = ((struct nlmsghdr *)(void *)n->out)->nlmsg_seq, last = n->seq;
	int r;

	if (first == last)
		return 0; /* an empty batch is never answered */
	n->msg->nlmsg_flags |= NLM_F_ACK;
	start(n, NFNL_MSG_BATCH_END, AF_UNSPEC, 0, NFNL_SUBSYS_NFTABLES);
	r = send_all(n);
	return r < 0 ? r : commit_answer(n, first, last);
}

/* ---- reading ---- */

const void *nft_data(const struct nlattr *a)
{
	return (const uint8_t *)a + NLA_HDRLEN;
}

size_t nft_data_len(const struct nlattr *a)
{
	return a->nla_len - (size_t)NLA_HDRLEN;
}

void nft_parse(const void *data, size_t len, const struct nlattr **ret, unsigned max)
{
	const uint8_t *p = data, *end = p + len;

	memset(ret, 0, (max + 1) * sizeof(*ret));
	while ((size_t)(end - p) >= NLA_HDRLEN) {
		const struct nlattr *a = (const void *)p;
		unsigned type = a->nla_type & NLA_TYPE_MASK;

		if (a->nla_len < NLA_HDRLEN || a->nla_len > (size_t)(end - p))
			return;
		if (type <= max)
			ret[type] = a;
		p += BG_MIN((size_t)NLA_ALIGN(a->nla_len), (size_t)(end - p));
	}
}

uint32_t nft_u32(const struct nlattr *a)
{
	uint32_t v = 0;

	if (a && nft_data_len(a) >= sizeof(v))
		memcpy(&v, nft_data(a), sizeof(v));
	return ntohl(v);
}

bool nft_is(const struct nlattr *a, const char *text)
{
	return a && nft_data_len(a) == strlen(text) + 1 &&
	       memcmp(nft_data(a), text, strlen(text) + 1) == 0;
}

bool nft_text(const struct nlattr *a, char *ret, size_t size)
{
	size_t n = a ? strnlen(nft_data(a), nft_data_len(a)) : 0;

	if (n == 0 || n >= size)
		return false;
	memcpy(ret, nft_data(a), n);
	ret[n] = '\0';
	return true;
}

enum { DUMP_ATTRS = 32 };

static int dump_one(const struct nlmsghdr *h, nft_each_fn fn, void *userdata)
{
	const struct nlattr *attr[DUMP_ATTRS + 1];
	const struct nfgenmsg *g = NLMSG_DATA(h);
	size_t head = NLMSG_SPACE(sizeof(*g));

	if (h->nlmsg_len < head)
		return -EBADMSG;
	nft_parse((const uint8_t *)h + head, h->nlmsg_len - head, attr, DUMP_ATTRS);
	return fn(g->nfgen_family, attr, userdata);
}

/* The end, -EINTR when the rules changed under the dump, or 1 to go on. */
static int dump_step(
	const struct nlmsghdr *h, uint32_t seq, nft_each_fn fn, void *userdata, int *result)
{
	if (h->nlmsg_seq != seq)
		return 1;
	if (h->nlmsg_type == NLMSG_ERROR)
		return error_of(h);
	if (h->nlmsg_flags & NLM_F_DUMP_INTR)
		*result = -EINTR;
	if (h->nlmsg_type == NLMSG_DONE)
		return 0;
	if (*result >= 0)
		*result = dump_one(h, fn, userdata);
	return 1;
}

int nft_dump(struct nft *n, unsigned type, uint8_t family, const char *table, const char *chain,
	nft_each_fn fn, void *userdata)
{
	int result = 0, r;

	n->len = 0;
	nft_msg(n, type, family, NLM_F_DUMP);
	if (table)
		nft_put_str(n, NFTA_RULE_TABLE, table);
	if (chain)
		nft_put_str(n, NFTA_RULE_CHAIN, chain);
	r = send_all(n);
	while (r >= 0) {
		ssize_t len = receive(n, n->fd, 0);

		if (len < 0)
			return (int)len;
		FOR_MSG(h, n, len)
		{
			r = dump_step(h, n->seq, fn, userdata, &result);
			if (r <= 0)
				return r < 0 ? r : result;
		}
	}
	return r;
}

/* ---- announcements ---- */

bool nft_changed(struct nft *n)
{
	bool changed = false;

	for (;;) {
		ssize_t len = receive(n, n->events, MSG_DONTWAIT);

		if (len == -EAGAIN)
			return changed;
		if (len < 0)
			return true; /* some were lost */
		FOR_MSG(h, n, len)
		if (h->nlmsg_pid != n->port)
			changed = true;
	}
}
