/* SPDX-License-Identifier: ISC */
/*
 * privhelper/{nlmsg,netlink,nft_msg,nft,legacy}.c under a kernel that answers what a true one does not on demand: too
 * short, too long, of others, in the wrong order, of an older version. This program's sendto, recvfrom and getsockopt stand before libc's.
 */
/* libc's first: the kernel's headers then leave out what they have in common. */
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <linux/if_link.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/rtnetlink.h>

#include "privhelper/legacy.h"
#include "privhelper/netlink.h"
#include "privhelper/nft.h"
#include "tests/lib/test.h"

/* ---- the kernel ---- */

/* Of the last question; its first message, its last one, and nobody's. */
enum { FIRST = -3, LAST = -2, OTHER = -1 };

struct datagram {
	int err;       /* instead of it */
	uint32_t from; /* the sender's port */
	size_t len;
	/* zeros after the last message */
	uint8_t bytes[2048] __attribute__((aligned(8)));
};

static struct {
	struct datagram queue[16];
	unsigned n, at, sent;
	int send_err; /* of the next sendto alone */
	uint32_t first, last, table_flags;
} kernel;

static struct nlmsg nl;
static struct nft nft;

static struct datagram *datagram(void)
{
	CHECK(kernel.n < ARRAY_SIZE(kernel.queue));
	return &kernel.queue[kernel.n++];
}

static void fails(int err)
{
	datagram()->err = err;
}

/* One more message of the datagram. */
static struct nlmsghdr *add(
	struct datagram *d, int seq, unsigned type, unsigned flags, const void *body, size_t len)
{
	struct nlmsghdr *h = (void *)(d->bytes + d->len);

	*h = (struct nlmsghdr){.nlmsg_len = (uint32_t)NLMSG_LENGTH(len),
		.nlmsg_type = (uint16_t)type,
		.nlmsg_flags = (uint16_t)flags,
		.nlmsg_seq = (uint32_t)seq};
	memcpy(NLMSG_DATA(h), body, len);
	d->len += NLMSG_ALIGN(h->nlmsg_len);
	CHECK(d->len < sizeof(d->bytes) - sizeof(*h));
	return h;
}

static void put(struct datagram *d, struct nlmsghdr *h, unsigned type, const void *data, size_t len)
{
	struct nlattr *a = (void *)(d->bytes + d->len);

	*a = (struct nlattr){(uint16_t)(NLA_HDRLEN + len), (uint16_t)type};
	memcpy(a + 1, data, len);
	d->len += NLA_ALIGN(a->nla_len);
	h->nlmsg_len = (uint32_t)(d->bytes + d->len - (uint8_t *)h);
}

static void answers(int seq, int error)
{
	const struct nlmsgerr e = {.error = error};

	add(datagram(), seq, NLMSG_ERROR, 0, &e, sizeof(e));
}

static void ends_dump(void)
{
	const int zero = 0;

	add(datagram(), LAST, NLMSG_DONE, NLM_F_MULTI, &zero, sizeof(zero));
}

static void note_question(const uint8_t *at, size_t len)
{
	kernel.first = ((const struct nlmsghdr *)(const void *)at)->nlmsg_seq;
	for (size_t pos = 0; pos < len;) {
		const struct nlmsghdr *h = (const void *)(at + pos);
		const struct nlattr *attr[NFTA_TABLE_MAX + 1];

		pos += NLMSG_ALIGN(h->nlmsg_len);
		if (h->nlmsg_type == NFNL_MSG_BATCH_END)
			break;
		kernel.last = h->nlmsg_seq;
		if (h->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE))
			continue;
		CHECK_INT(nlmsg_attrs(h, sizeof(struct nfgenmsg), attr, NFTA_TABLE_MAX), 0);
		kernel.table_flags = ntohl(nlmsg_u32(attr[NFTA_TABLE_FLAGS]));
	}
}

ssize_t sendto(int fd, const void *buf, size_t len, int flags, __CONST_SOCKADDR_ARG to, socklen_t n)
{
	(void)fd, (void)flags, (void)to, (void)n;
	if (kernel.send_err) {
		errno = kernel.send_err;
		kernel.send_err = errno == EINTR ? ENOBUFS : 0;
		return -1;
	}
	kernel.sent++;
	note_question(buf, len);
	return (ssize_t)len;
}

ssize_t recvfrom(int fd, void *buf, size_t len, int flags, __SOCKADDR_ARG from, socklen_t *n)
{
	struct datagram *d = &kernel.queue[kernel.at];

	(void)fd, (void)flags, (void)n;
	errno = kernel.at == kernel.n ? EAGAIN : d->err;
	if (errno) {
		kernel.at += kernel.at < kernel.n;
		return -1;
	}
	kernel.at++;
	for (struct nlmsghdr *h = (void *)d->bytes; h->nlmsg_len;
		h = (void *)((uint8_t *)h + NLMSG_ALIGN(h->nlmsg_len)))
		h->nlmsg_seq = (int)h->nlmsg_seq == FIRST  ? kernel.first
			       : (int)h->nlmsg_seq == LAST ? kernel.last
							   : h->nlmsg_seq;
	((struct sockaddr_nl *)(void *)from.__sockaddr__)->nl_pid = d->from;
	memcpy(buf, d->bytes, BG_MIN(len, sizeof(d->bytes)));
	return (ssize_t)d->len;
}

/* ---- rtnetlink ---- */

TEST(what_is_no_answer_is_passed_over)
{
	fails(EINTR);
	answers(LAST, -EPERM);
	kernel.queue[1].from = 77; /* a process with the right to send it */
	answers(OTHER, -EPERM);
	answers(LAST, 0);
	CHECK_INT(netlink_link_up(&nl, 3), 0);
	CHECK_INT(kernel.at, 4);
}

TEST(a_question_that_cannot_be_sent)
{
	kernel.send_err = EINTR;
	CHECK_INT(netlink_link_up(&nl, 3), -ENOBUFS);
	CHECK_INT(kernel.sent, 0);
}

TEST(no_answer_comes)
{
	CHECK_INT(netlink_link_up(&nl, 3), -EAGAIN);
}

TEST(an_answer_longer_than_any)
{
	answers(LAST, 0);
	kernel.queue[0].len = sizeof(nl.in) + 1;
	CHECK_INT(netlink_link_up(&nl, 3), -EMSGSIZE);
}

TEST(answers_that_are_cut_short)
{
	const struct rtmsg rt = {.rtm_family = AF_INET};
	struct netlink_link link;

	add(datagram(), LAST, NLMSG_ERROR, 0, "", 1);
	CHECK_INT(netlink_link_up(&nl, 3), -EBADMSG);
	add(datagram(), LAST, RTM_NEWLINK, 0, "", 1);
	CHECK_INT(netlink_link_get(&nl, 3, NULL, &link), -EBADMSG);
	for (unsigned i = 0; i < 2; i++) {
		add(datagram(), LAST, RTM_NEWROUTE, NLM_F_MULTI, &rt, sizeof(rt) - 1);
		ends_dump();
		CHECK_INT(i ? netlink_route_tidy(&nl, 0x0ad10000)
			    : netlink_route_overlaps(&nl, 0x0ad10000),
			-EBADMSG);
	}
}

TEST(an_answer_of_another_kind)
{
	const struct ifinfomsg ifi = {.ifi_index = 3};
	struct netlink_link link;

	add(datagram(), LAST, RTM_NEWADDR, 0, &ifi, sizeof(ifi));
	CHECK_INT(netlink_link_get(&nl, 3, NULL, &link), -EBADMSG);
	add(datagram(), LAST, RTM_NEWLINK, 0, &ifi, sizeof(ifi));
	CHECK_INT(netlink_link_up(&nl, 3), -EBADMSG);
}

TEST(a_dump_that_changes_meanwhile)
{
	const struct rtmsg rt = {.rtm_family = AF_INET};

	add(datagram(), LAST, RTM_NEWROUTE, NLM_F_MULTI | NLM_F_DUMP_INTR, &rt, sizeof(rt));
	ends_dump();
	CHECK_INT(netlink_route_overlaps(&nl, 0x0ad10000), 0);
}

/* What stands behind such an attribute is not read. */
TEST(attributes_that_lie_about_their_length)
{
	static const uint16_t lies[] = {0, NLA_HDRLEN - 1, 0xffff};
	const struct ifinfomsg ifi = {.ifi_index = 3};

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		struct datagram *d = datagram();
		struct nlmsghdr *h = add(d, LAST, RTM_NEWLINK, 0, &ifi, sizeof(ifi));
		struct netlink_link link;
		struct nlattr *a = (void *)(d->bytes + d->len);

		put(d, h, IFLA_MTU, "mtu", 4);
		put(d, h, IFLA_IFNAME, "tap", 4);
		a->nla_len = lies[i];
		CHECK_INT(netlink_link_get(&nl, 3, NULL, &link), 0);
		CHECK_INT(link.ifindex, 3);
		CHECK_STR(link.name, "");
	}
}

TEST(a_name_longer_than_any)
{
	const struct ifinfomsg ifi = {.ifi_index = 3};
	struct datagram *d = datagram();
	struct nlmsghdr *h = add(d, LAST, RTM_NEWLINK, 0, &ifi, sizeof(ifi));
	struct netlink_link link;

	put(d, h, IFLA_IFNAME, "a-name-of-16-byt", 17);
	CHECK_INT(netlink_link_get(&nl, 3, NULL, &link), 0);
	CHECK_STR(link.name, "");
}

/* ---- nf_tables ---- */

static const struct policy policy = {.pool = 0x0ad10000, .flows_per_guest = 5};
static const struct nft_user user = {.policy = &policy, .index = 7, .uid = 1000, .nat = 1};

TEST(an_empty_batch_is_not_sent)
{
	nft_begin(&nft);
	CHECK_INT(nft_commit(&nft), 0);
	CHECK_INT(kernel.sent, 0);
}

TEST(the_first_refusal_of_a_batch_counts)
{
	const struct nfgenmsg g = {.nfgen_family = NFPROTO_IPV4};

	ends_dump();
	add(datagram(), LAST, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE, 0, &g, sizeof(g));
	answers(OTHER, -EIO);
	answers(FIRST, -EPERM);
	answers(LAST, -ENOSPC);
	CHECK_INT(nft_fence(&nft, &user, false), -EPERM);
	CHECK_INT(kernel.at, 4);
}

/* Linux 6.8 does not know the second flag, 5.11 neither. */
TEST(flags_that_an_older_kernel_refuses)
{
	ends_dump();
	answers(FIRST, -EOPNOTSUPP);
	ends_dump();
	answers(FIRST, -EINVAL);
	ends_dump();
	answers(LAST, 0);
	CHECK_INT(nft_fence(&nft, &user, true), 0);
	CHECK_INT(kernel.table_flags, 0);
	CHECK_INT(kernel.sent, 6);
}

TEST(a_batch_that_is_not_answered)
{
	ends_dump();
	CHECK_INT(nft_fence(&nft, &user, true), -EAGAIN);
	ends_dump();
	kernel.send_err = 0;
	fails(ENOBUFS);
	CHECK_INT(nft_fence(&nft, &user, true), -ENOBUFS);
}

static void plays_chain(const char *table, const char *name)
{
	const struct nfgenmsg g = {.nfgen_family = NFPROTO_IPV4};
	struct datagram *d = datagram();
	struct nlmsghdr *h = add(
		d, LAST, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN, NLM_F_MULTI, &g, sizeof(g));
	const uint32_t hook[] = {(NLA_HDRLEN + 4) | NFTA_HOOK_HOOKNUM << 16,
		htonl(NF_INET_FORWARD)},
		       drop = htonl(NF_DROP);

	put(d, h, NFTA_CHAIN_TABLE, table, strlen(table) + 1);
	if (name)
		put(d, h, NFTA_CHAIN_NAME, name, strlen(name) + 1);
	put(d, h, NFTA_CHAIN_HOOK, hook, sizeof(hook));
	put(d, h, NFTA_CHAIN_POLICY, &drop, sizeof(drop));
}

TEST(a_chain_without_a_name)
{
	plays_chain("admin", NULL);
	ends_dump();
	CHECK_INT(nft_let_through(&nft, &user), -E2BIG);
}

TEST(a_rule_of_ours_without_a_number)
{
	static const uint8_t mark[] = {0, 9, 'b', 'a', 'n', 'g', 'e', 'r', '-', '7', 0};
	const struct nfgenmsg g = {.nfgen_family = NFPROTO_IPV4};
	struct datagram *d;
	struct nlmsghdr *h;

	plays_chain("admin", "fw");
	ends_dump();
	d = datagram();
	h = add(d, LAST, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE, NLM_F_MULTI, &g, sizeof(g));
	put(d, h, NFTA_RULE_USERDATA, mark, sizeof(mark));
	put(d, h, NFTA_RULE_HANDLE, "1234", 4);
	ends_dump();
	CHECK_INT(nft_let_through(&nft, &user), -E2BIG);
}

TEST(an_object_that_is_cut_short)
{
	add(datagram(), LAST, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN, NLM_F_MULTI, "", 1);
	ends_dump();
	CHECK_INT(nft_let_through(&nft, &user), -EBADMSG);
}

TEST(announcements_that_were_lost)
{
	fails(ENOBUFS);
	CHECK(nft_changed(&nft));
	CHECK(!nft_changed(&nft));
}

/* ---- iptables-legacy ---- */

static struct {
	int info_err, entries_err;
	struct ipt_getinfo info;
	uint8_t entries[3][sizeof(struct ipt_entry) + sizeof(struct xt_standard_target)]
		__attribute__((aligned(8)));
} tables;

static struct ipt_entry *entry_at(unsigned i)
{
	return (void *)tables.entries[i];
}

static struct legacy legacy;

int getsockopt(int fd, int level, int option, void *ret, socklen_t *len)
{
	struct ipt_get_entries *get = ret;

	(void)fd, (void)level;
	errno = option == IPT_SO_GET_INFO ? tables.info_err : tables.entries_err;
	if (errno)
		return -1;
	if (option == IPT_SO_GET_INFO)
		memcpy(ret, &tables.info, sizeof(tables.info));
	else
		memcpy(get->entrytable, tables.entries,
			BG_MIN(*len - sizeof(*get), sizeof(tables.entries)));
	return 0;
}

static void entry(unsigned i, const char *in, const char *out, int verdict)
{
	struct ipt_entry *e = entry_at(i);
	struct xt_standard_target *t = (void *)(e + 1);

	e->target_offset = sizeof(*e);
	e->next_offset = sizeof(tables.entries[i]);
	snprintf(e->ip.iniface, sizeof(e->ip.iniface), "%s", in);
	snprintf(e->ip.outiface, sizeof(e->ip.outiface), "%s", out);
	t->verdict = -verdict - 1;
}

/* A FORWARD chain of two rules and its policy. */
static void plays_tables(int policy_verdict)
{
	entry(0, "bgr", "", NF_ACCEPT);
	entry(1, "", "bgr", NF_ACCEPT);
	entry(2, "", "", policy_verdict);
	tables.info.size = sizeof(tables.entries);
	tables.info.underflow[NF_INET_FORWARD] = 2 * sizeof(tables.entries[0]);
}

TEST(what_forward_drops)
{
	plays_tables(NF_DROP);
	CHECK(!legacy_drops(&legacy));
	entry(1, "", "eth0", NF_ACCEPT);
	CHECK(legacy_drops(&legacy));
	entry(1, "", "bgr", NF_DROP);
	CHECK(legacy_drops(&legacy));
	plays_tables(NF_ACCEPT);
	entry(0, "", "", NF_DROP);
	CHECK(!legacy_drops(&legacy));
	tables.info_err = ENOPROTOOPT;
	CHECK(!legacy_drops(&legacy));
}

TEST(rules_that_cannot_be_read_count_as_a_drop)
{
	plays_tables(NF_ACCEPT);
	tables.entries_err = EAGAIN;
	CHECK(legacy_drops(&legacy));
	tables.entries_err = 0;
	tables.info.size = sizeof(legacy.entries);
	CHECK(legacy_drops(&legacy));
	plays_tables(NF_DROP);
	entry_at(0)->next_offset = sizeof(tables);
	CHECK(legacy_drops(&legacy));
	plays_tables(NF_DROP);
	tables.info.underflow[NF_INET_FORWARD] = sizeof(tables.entries);
	CHECK(legacy_drops(&legacy));
}
