/* SPDX-License-Identifier: ISC */
/*
 * See net.h. The address is a /32 and the gateway is outside of it: a host route over
 * eth0 (scope link) comes before the default route through it.
 */
#include "guest/net.h"

#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static char eth0[] = "eth0";

static struct sockaddr *put(struct sockaddr *dst, in_addr_t addr)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = addr};

	memcpy(dst, &in, sizeof(in));
	return dst;
}

static int if_up(int s, const char *name)
{
	struct ifreq ifr = {0};

	(void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(s, SIOCGIFFLAGS, &ifr) < 0)
		return -errno;
	ifr.ifr_flags |= IFF_UP;
	return ioctl(s, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

static int if_address(int s, in_addr_t addr)
{
	struct ifreq ifr = {.ifr_name = "eth0"};

	put(&ifr.ifr_addr, addr);
	if (ioctl(s, SIOCSIFADDR, &ifr) < 0)
		return -errno;
	put(&ifr.ifr_netmask, INADDR_BROADCAST);
	return ioctl(s, SIOCSIFNETMASK, &ifr) < 0 ? -errno : 0;
}

static int add_route(int s, struct rtentry *rt)
{
	rt->rt_dev = eth0;
	rt->rt_flags |= RTF_UP;
	return ioctl(s, SIOCADDRT, rt) < 0 && errno != EEXIST ? -errno : 0;
}

static int add_routes(int s, in_addr_t gateway)
{
	struct rtentry link = {.rt_flags = RTF_HOST}, def = {.rt_flags = RTF_GATEWAY};
	int r;

	put(&link.rt_dst, gateway);
	put(&link.rt_genmask, INADDR_BROADCAST);
	r = add_route(s, &link);
	if (r < 0)
		return r;
	put(&def.rt_dst, INADDR_ANY);
	put(&def.rt_genmask, INADDR_ANY);
	put(&def.rt_gateway, gateway);
	return add_route(s, &def);
}

int net_up(const struct conf *conf, struct bg_err **err)
{
	_close_ int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r;

	if (s < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "socket");
	r = if_up(s, "lo");
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "lo");
	if (!conf->addr.s_addr)
		return 0;
	r = if_up(s, eth0);
	if (r == 0)
		r = if_address(s, conf->addr.s_addr);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "eth0");
	if (!conf->gateway.s_addr)
		return 0;
	r = add_routes(s, conf->gateway.s_addr);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "route over eth0");
	return 0;
}
