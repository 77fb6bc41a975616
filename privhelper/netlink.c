/* SPDX-License-Identifier: ISC */
/* See netlink.h. */
#include "privhelper/netlink.h"

#include <arpa/inet.h>
#include <assert.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

/* Routes of banger carry this protocol number: `ip route show proto 98`. */
enum { ROUTE_PROTO = 98, UNREACHABLE_METRIC = 9898, NET_BITS = 24, HALF_BITS = 1 };

int netlink_open(struct nlmsg *nl)
{
	return nlmsg_open(nl, NETLINK_ROUTE, 0);
}

uint64_t netlink_netns(int sock)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	if (getsockopt(sock, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) < 0)
		return 0;
	return cookie;
}

static void parse_tun(const struct nlattr *data, struct netlink_link *ret)
{
	const struct nlattr *attr[IFLA_TUN_MAX + 1];

	nlmsg_nested(data, attr, IFLA_TUN_MAX);
	ret->has_owner = attr[IFLA_TUN_OWNER];
	ret->owner = nlmsg_u32(attr[IFLA_TUN_OWNER]);
	ret->persistent = nlmsg_u8(attr[IFLA_TUN_PERSIST]);
	ret->is_tap = nlmsg_u8(attr[IFLA_TUN_TYPE]) == IFF_TAP && !nlmsg_u8(attr[IFLA_TUN_PI]) &&
		      !nlmsg_u8(attr[IFLA_TUN_MULTI_QUEUE]);
}

static int parse_link(const struct nlmsghdr *h, void *userdata)
{
	const struct nlattr *attr[IFLA_LINKINFO + 1], *info[IFLA_INFO_MAX + 1];
	const struct ifinfomsg *ifi = NLMSG_DATA(h);
	struct netlink_link *ret = userdata;
	int r = nlmsg_attrs(h, sizeof(*ifi), attr, IFLA_LINKINFO);

	if (r < 0 || h->nlmsg_type != RTM_NEWLINK)
		return -EBADMSG;
	*ret = (struct netlink_link){.ifindex = (uint32_t)ifi->ifi_index};
	(void)nlmsg_text(attr[IFLA_IFNAME], ret->name, sizeof(ret->name));
	nlmsg_nested(attr[IFLA_LINKINFO], info, IFLA_INFO_MAX);
	ret->is_tun = nlmsg_is(info[IFLA_INFO_KIND], "tun");
	if (ret->is_tun)
		parse_tun(info[IFLA_INFO_DATA], ret);
	return 0;
}

static void begin_link(
	struct nlmsg *nl, uint16_t type, uint16_t flags, uint32_t ifindex, unsigned up)
{
	const struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC,
		.ifi_index = (int)ifindex,
		.ifi_flags = up,
		.ifi_change = up};

	nlmsg_begin(nl, type, flags, &ifi, sizeof(ifi));
}

int netlink_link_get(struct nlmsg *nl, uint32_t ifindex, const char *name, struct netlink_link *ret)
{
	begin_link(nl, RTM_GETLINK, 0, ifindex, 0);
	if (ifindex == 0)
		nlmsg_put_str(nl, IFLA_IFNAME, name);
	return nlmsg_talk(nl, parse_link, ret);
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

int netlink_link_setup(struct nlmsg *nl, uint32_t ifindex, const char *alias, bool forwarding)
{
	struct nlattr *spec, *inet, *conf;

	begin_link(nl, RTM_SETLINK, NLM_F_ACK, ifindex, 0);
	nlmsg_put(nl, IFLA_IFALIAS, alias, strlen(alias));
	spec = nlmsg_put(nl, IFLA_AF_SPEC, NULL, 0);
	inet = nlmsg_put(nl, AF_INET, NULL, 0);
	conf = nlmsg_put(nl, IFLA_INET_CONF, NULL, 0);
	nlmsg_put_u32(nl, IPV4_DEVCONF_FORWARDING, forwarding);
	for (size_t i = 0; i < ARRAY_SIZE(inet_conf); i++)
		nlmsg_put_u32(nl, inet_conf[i].id, inet_conf[i].value);
	nlmsg_nest_end(nl, conf);
	nlmsg_nest_end(nl, inet);
	nlmsg_nest_end(nl, spec);
	return nlmsg_talk(nl, NULL, NULL);
}

int netlink_link_up(struct nlmsg *nl, uint32_t ifindex)
{
	begin_link(nl, RTM_SETLINK, NLM_F_ACK, ifindex, IFF_UP);
	return nlmsg_talk(nl, NULL, NULL);
}

int netlink_link_del(struct nlmsg *nl, uint32_t ifindex)
{
	assert(ifindex != 0);
	begin_link(nl, RTM_DELLINK, NLM_F_ACK, ifindex, 0);
	return nlmsg_talk(nl, NULL, NULL);
}

int netlink_addr_add(struct nlmsg *nl, uint32_t ifindex, uint32_t address)
{
	const struct ifaddrmsg ifa = {.ifa_family = AF_INET,
		.ifa_prefixlen = 32,
		.ifa_scope = RT_SCOPE_UNIVERSE,
		.ifa_index = ifindex};

	nlmsg_begin(nl, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &ifa, sizeof(ifa));
	nlmsg_put_u32(nl, IFA_LOCAL, htonl(address));
	nlmsg_put_u32(nl, IFA_ADDRESS, htonl(address));
	return nlmsg_talk(nl, NULL, NULL);
}

int netlink_route_add(struct nlmsg *nl, uint32_t ifindex, uint32_t guest, uint32_t source)
{
	const struct rtmsg rt = {.rtm_family = AF_INET,
		.rtm_dst_len = 32,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = ROUTE_PROTO,
		.rtm_scope = RT_SCOPE_LINK,
		.rtm_type = RTN_UNICAST};

	nlmsg_begin(nl, RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &rt, sizeof(rt));
	nlmsg_put_u32(nl, RTA_DST, htonl(guest));
	nlmsg_put_u32(nl, RTA_PREFSRC, htonl(source));
	nlmsg_put_u32(nl, RTA_OIF, ifindex);
	return nlmsg_talk(nl, NULL, NULL);
}

int netlink_route_unreachable(struct nlmsg *nl, uint32_t net, bool on)
{
	const struct rtmsg rt = {.rtm_family = AF_INET,
		.rtm_dst_len = NET_BITS,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = ROUTE_PROTO,
		.rtm_scope = on ? RT_SCOPE_UNIVERSE : RT_SCOPE_NOWHERE,
		.rtm_type = RTN_UNREACHABLE};
	int r;

	nlmsg_begin(nl, on ? RTM_NEWROUTE : RTM_DELROUTE,
		NLM_F_ACK | (on ? NLM_F_CREATE | NLM_F_EXCL : 0), &rt, sizeof(rt));
	nlmsg_put_u32(nl, RTA_DST, htonl(net));
	nlmsg_put_u32(nl, RTA_PRIORITY, UNREACHABLE_METRIC);
	r = nlmsg_talk(nl, NULL, NULL);
	return r == -EEXIST || r == -ESRCH ? 0 : r;
}

/* What a dump is looked through for: an unreachable route of ours to another /24 of the same user; one of the host's that reaches in. */
struct routes {
	uint32_t net, stale;
	int overlaps;
};

/* Ours are those of our protocol, and the gateway's own address. */
static int see_route(const struct nlmsghdr *h, void *userdata)
{
	const struct rtmsg *rt = NLMSG_DATA(h);
	const struct nlattr *attr[RTA_DST + 1];
	struct routes *o = userdata;
	uint32_t dst, mask;

	if (nlmsg_attrs(h, sizeof(*rt), attr, RTA_DST) < 0)
		return -EBADMSG;
	if (rt->rtm_family != AF_INET || rt->rtm_dst_len <= HALF_BITS || rt->rtm_dst_len > 32)
		return 0;
	dst = ntohl(nlmsg_u32(attr[RTA_DST]));
	mask = ~0U << (32 - BG_MIN(rt->rtm_dst_len, NET_BITS));
	if (rt->rtm_protocol != ROUTE_PROTO)
		o->overlaps |= ((dst ^ o->net) & mask) == 0 && !(rt->rtm_flags & RTM_F_CLONED) &&
			       !(rt->rtm_type == RTN_LOCAL && dst == (o->net | 1));
	else if (rt->rtm_type == RTN_UNREACHABLE && rt->rtm_dst_len == NET_BITS && dst != o->net &&
		 ((dst ^ o->net) & 0xff00) == 0)
		o->stale = dst;
	return 0;
}

static int dump_routes(struct nlmsg *nl, struct routes *o)
{
	const struct rtmsg rt = {.rtm_family = AF_INET};
	int r;

	nlmsg_begin(nl, RTM_GETROUTE, NLM_F_DUMP, &rt, sizeof(rt));
	r = nlmsg_talk(nl, see_route, o);
	return r == -EINTR ? 0 : r; /* of what changes meanwhile any moment will do */
}

int netlink_route_tidy(struct nlmsg *nl, uint32_t net)
{
	struct routes o = {.net = net};
	int r = dump_routes(nl, &o);

	return r < 0 || !o.stale ? r : netlink_route_unreachable(nl, o.stale, false);
}

int netlink_route_overlaps(struct nlmsg *nl, uint32_t net)
{
	struct routes o = {.net = net};
	int r = dump_routes(nl, &o);

	return r < 0 ? r : o.overlaps;
}
