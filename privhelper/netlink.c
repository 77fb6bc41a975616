/* SPDX-License-Identifier: ISC */
#include "privhelper/netlink.h"

#include <arpa/inet.h>
#include <assert.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/ip.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

/* Routes of banger carry this protocol number: `ip route show proto 98`. */
enum { ROUTE_PROTO = 98 };

int netlink_open(struct netlink *nl)
{
	struct sockaddr_nl local = {.nl_family = AF_NETLINK};
	_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof(local)) < 0)
		return -errno;
	nl->seq = 0;
	nl->fd = TAKE_FD(fd);
	return 0;
}

uint64_t netlink_netns(const struct netlink *nl)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	if (getsockopt(nl->fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) < 0)
		return 0;
	return cookie;
}

/* The buffer, and all in it, is aligned: the compiler cannot see that through bytes. */
static struct nlmsghdr *head_of(struct netlink *nl)
{
	return (struct nlmsghdr *)(void *)nl->buf;
}

static const struct rtattr *next_attr(const struct rtattr *a)
{
	return (const void *)((const uint8_t *)a + RTA_ALIGN(a->rta_len));
}

/* Each attribute of a list of len bytes; what does not fit into the list ends it. */
#define FOR_ATTR(a, first, len)                                                                    \
	for (const struct rtattr *a = (const void *)(first); RTA_OK(a, len);                       \
		(len) -= BG_MIN((size_t)RTA_ALIGN(a->rta_len), len), a = next_attr(a))

static struct nlmsghdr *begin(
	struct netlink *nl, uint16_t type, uint16_t flags, const void *body, size_t len)
{
	struct nlmsghdr *h = head_of(nl);

	memset(nl->buf, 0, NLMSG_SPACE(len));
	h->nlmsg_len = (uint32_t)NLMSG_LENGTH(len);
	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	h->nlmsg_seq = ++nl->seq;
	memcpy(NLMSG_DATA(h), body, len);
	return h;
}

/* Messages are small and built here from fixed parts: too little room is our bug. */
static struct rtattr *put(struct nlmsghdr *h, uint16_t type, const void *data, size_t len)
{
	struct rtattr *a = (void *)((uint8_t *)h + NLMSG_ALIGN(h->nlmsg_len));

	assert(NLMSG_ALIGN(h->nlmsg_len) + RTA_SPACE(len) <= sizeof(((struct netlink *)0)->buf));
	memset(a, 0, RTA_SPACE(len));
	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(len);
	if (len > 0)
		memcpy(RTA_DATA(a), data, len);
	h->nlmsg_len = (uint32_t)(NLMSG_ALIGN(h->nlmsg_len) + RTA_SPACE(len));
	return a;
}

static void put_u32(struct nlmsghdr *h, uint16_t type, uint32_t v)
{
	put(h, type, &v, sizeof(v));
}

static struct rtattr *nest(struct nlmsghdr *h, uint16_t type)
{
	return put(h, type, NULL, 0);
}

static void nest_end(const struct nlmsghdr *h, struct rtattr *a)
{
	a->rta_len = (uint16_t)((const uint8_t *)h + h->nlmsg_len - (uint8_t *)a);
}

static int send_request(struct netlink *nl)
{
	const struct nlmsghdr *h = head_of(nl);
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	ssize_t n;

	do
		n = sendto(nl->fd, nl->buf, h->nlmsg_len, 0, (struct sockaddr *)&kernel,
			sizeof(kernel));
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* One datagram of the kernel's; what anything else sends to this socket is passed over. */
static ssize_t receive(struct netlink *nl)
{
	for (;;) {
		struct sockaddr_nl from = {0};
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(nl->fd, nl->buf, sizeof(nl->buf), MSG_TRUNC,
			(struct sockaddr *)&from, &len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (from.nl_pid != 0)
			continue;
		return (size_t)n > sizeof(nl->buf) ? -EMSGSIZE : n;
	}
}

/* Sends and waits for the answer with our number: an error, an acknowledgement, or a message of
 * type. */
static int talk(struct netlink *nl, uint16_t type, const struct nlmsghdr **ret)
{
	int r = send_request(nl);

	while (r >= 0) {
		ssize_t n = receive(nl);
		const struct nlmsghdr *h = head_of(nl);

		if (n < 0)
			return (int)n;
		if (!NLMSG_OK(h, (size_t)n))
			return -EBADMSG;
		if (h->nlmsg_seq != nl->seq)
			continue;
		if (h->nlmsg_type == NLMSG_ERROR) {
			if (h->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr)))
				return -EBADMSG;
			r = ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
			return r == 0 && ret ? -EBADMSG : r;
		}
		if (!ret || h->nlmsg_type != type)
			return -EBADMSG;
		*ret = h;
		return 0;
	}
	return r;
}

static uint32_t get_u32(const struct rtattr *a)
{
	uint32_t v = 0;

	memcpy(&v, RTA_DATA(a), BG_MIN(RTA_PAYLOAD(a), sizeof(v)));
	return v;
}

static bool get_flag(const struct rtattr *a)
{
	return RTA_PAYLOAD(a) >= 1 && *(const uint8_t *)RTA_DATA(a) != 0;
}

static bool is_text(const struct rtattr *a, const char *text)
{
	return RTA_PAYLOAD(a) == strlen(text) + 1 && memcmp(RTA_DATA(a), text, strlen(text)) == 0;
}

static void parse_tun(const struct rtattr *data, struct netlink_link *ret)
{
	size_t len = RTA_PAYLOAD(data);
	bool tap = false, plain = true;

	FOR_ATTR(a, RTA_DATA(data), len)
	{
		switch (a->rta_type & NLA_TYPE_MASK) {
		case IFLA_TUN_OWNER:
			ret->has_owner = true;
			ret->owner = get_u32(a);
			break;
		case IFLA_TUN_TYPE:
			tap = get_flag(a) && *(const uint8_t *)RTA_DATA(a) == IFF_TAP;
			break;
		case IFLA_TUN_PI:
		case IFLA_TUN_MULTI_QUEUE:
			plain = plain && !get_flag(a);
			break;
		case IFLA_TUN_PERSIST:
			ret->persistent = get_flag(a);
			break;
		}
	}
	ret->is_tap = tap && plain;
}

static void parse_info(const struct rtattr *info, struct netlink_link *ret)
{
	const struct rtattr *data = NULL;
	size_t len = RTA_PAYLOAD(info);

	FOR_ATTR(a, RTA_DATA(info), len)
	{
		unsigned type = a->rta_type & NLA_TYPE_MASK;

		if (type == IFLA_INFO_KIND)
			ret->is_tun = is_text(a, "tun");
		else if (type == IFLA_INFO_DATA)
			data = a;
	}
	if (ret->is_tun && data)
		parse_tun(data, ret);
}

static void parse_link(const struct nlmsghdr *h, struct netlink_link *ret)
{
	const struct ifinfomsg *ifi = NLMSG_DATA(h);
	size_t len = IFLA_PAYLOAD(h);

	*ret = (struct netlink_link){.ifindex = (uint32_t)ifi->ifi_index};
	FOR_ATTR(a, (const uint8_t *)ifi + NLMSG_ALIGN(sizeof(*ifi)), len)
	{
		unsigned type = a->rta_type & NLA_TYPE_MASK;

		if (type == IFLA_IFNAME)
			memcpy(ret->name, RTA_DATA(a),
				BG_MIN(RTA_PAYLOAD(a), sizeof(ret->name) - 1));
		else if (type == IFLA_LINKINFO)
			parse_info(a, ret);
	}
}

int netlink_link_get(
	struct netlink *nl, uint32_t ifindex, const char *name, struct netlink_link *ret)
{
	struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex};
	struct nlmsghdr *h = begin(nl, RTM_GETLINK, 0, &ifi, sizeof(ifi));
	const struct nlmsghdr *reply;
	int r;

	if (ifindex == 0)
		put(h, IFLA_IFNAME, name, strlen(name) + 1);
	r = talk(nl, RTM_NEWLINK, &reply);
	if (r < 0)
		return r;
	if (reply->nlmsg_len < NLMSG_LENGTH(sizeof(ifi)))
		return -EBADMSG;
	parse_link(reply, ret);
	return 0;
}

/*
 * What an interface to an untrusted guest needs: sources are checked against the
 * one route through it; ARP answers for and speaks of this interface's address
 * only; no redirects, source routes, loopback addresses or proxying; what comes in
 * is for this host or dropped, unless forwarding is on.
 */
static const struct {
	uint16_t id;
	uint32_t value;
} inet_conf[] = {
	{IPV4_DEVCONF_RP_FILTER, 1},
	{IPV4_DEVCONF_ARP_IGNORE, 1},
	{IPV4_DEVCONF_ARP_ANNOUNCE, 2},
	{IPV4_DEVCONF_ARP_ACCEPT, 0},
	{IPV4_DEVCONF_PROXY_ARP, 0},
	{IPV4_DEVCONF_ACCEPT_REDIRECTS, 0},
	{IPV4_DEVCONF_SECURE_REDIRECTS, 0},
	{IPV4_DEVCONF_SEND_REDIRECTS, 0},
	{IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE, 0},
	{IPV4_DEVCONF_ACCEPT_LOCAL, 0},
	{IPV4_DEVCONF_ROUTE_LOCALNET, 0},
	{IPV4_DEVCONF_BOOTP_RELAY, 0},
};

int netlink_link_setup(struct netlink *nl, uint32_t ifindex, const char *alias, bool forwarding)
{
	struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex};
	struct nlmsghdr *h = begin(nl, RTM_SETLINK, NLM_F_ACK, &ifi, sizeof(ifi));
	struct rtattr *spec, *inet, *conf;

	put(h, IFLA_IFALIAS, alias, strlen(alias));
	spec = nest(h, IFLA_AF_SPEC);
	inet = nest(h, AF_INET);
	conf = nest(h, IFLA_INET_CONF);
	put_u32(h, IPV4_DEVCONF_FORWARDING, forwarding);
	for (size_t i = 0; i < ARRAY_SIZE(inet_conf); i++)
		put_u32(h, inet_conf[i].id, inet_conf[i].value);
	nest_end(h, conf);
	nest_end(h, inet);
	nest_end(h, spec);
	return talk(nl, 0, NULL);
}

int netlink_link_up(struct netlink *nl, uint32_t ifindex)
{
	struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC,
		.ifi_index = (int)ifindex,
		.ifi_flags = IFF_UP,
		.ifi_change = IFF_UP};

	begin(nl, RTM_SETLINK, NLM_F_ACK, &ifi, sizeof(ifi));
	return talk(nl, 0, NULL);
}

int netlink_link_del(struct netlink *nl, uint32_t ifindex)
{
	struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex};

	assert(ifindex != 0);
	begin(nl, RTM_DELLINK, NLM_F_ACK, &ifi, sizeof(ifi));
	return talk(nl, 0, NULL);
}

int netlink_addr_add(struct netlink *nl, uint32_t ifindex, uint32_t address)
{
	struct ifaddrmsg ifa = {.ifa_family = AF_INET,
		.ifa_prefixlen = 32,
		.ifa_scope = RT_SCOPE_UNIVERSE,
		.ifa_index = ifindex};
	struct nlmsghdr *h =
		begin(nl, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &ifa, sizeof(ifa));

	put_u32(h, IFA_LOCAL, htonl(address));
	put_u32(h, IFA_ADDRESS, htonl(address));
	return talk(nl, 0, NULL);
}

int netlink_route_add(struct netlink *nl, uint32_t ifindex, uint32_t guest, uint32_t source)
{
	struct rtmsg rt = {.rtm_family = AF_INET,
		.rtm_dst_len = 32,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = ROUTE_PROTO,
		.rtm_scope = RT_SCOPE_LINK,
		.rtm_type = RTN_UNICAST};
	struct nlmsghdr *h =
		begin(nl, RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &rt, sizeof(rt));

	put_u32(h, RTA_DST, htonl(guest));
	put_u32(h, RTA_PREFSRC, htonl(source));
	put_u32(h, RTA_OIF, ifindex);
	return talk(nl, 0, NULL);
}
