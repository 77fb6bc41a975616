/* SPDX-License-Identifier: ISC */
/*
 * tap.c: ioctl for the device, netlink for its address, files below /proc/sys/net for the rest;
 * each part can be repeated.
 */
#include "privhelper/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "privhelper/trusted.h"

int tap_dirs_open(struct tap_dirs *ret)
{
	_close_ int tun = trusted_open("/dev/net", TRUSTED_DIR);
	int ipv6;

	if (tun < 0)
		return tun;
	ipv6 = trusted_open("/proc/sys/net/ipv6/conf", TRUSTED_DIR);
	if (ipv6 < 0 && ipv6 != -ENOENT)
		return ipv6;
	ret->ipv6 = ipv6 < 0 ? -1 : ipv6;
	ret->tun = TAKE_FD(tun);
	return 0;
}

int tap_create(const struct tap_dirs *dirs, struct nlmsg *nl, const struct tap *tap, int *ret_fd,
	uint32_t *ret_ifindex)
{
	/* Never IFF_MULTI_QUEUE: while this descriptor holds the one queue, nobody can attach. */
	struct ifreq ifr = {
		.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL)};
	_close_ int fd = openat(dirs->tun, "tun", O_RDWR | O_CLOEXEC);
	struct netlink_link link;
	int r;

	if (fd < 0)
		return -ENODEV;
	memcpy(ifr.ifr_name, tap->name, sizeof(ifr.ifr_name));
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return errno == EBUSY ? -EEXIST : -errno;
	r = netlink_link_get(nl, 0, tap->name, &link);
	if (r < 0)
		return r;
	if (!link.is_tun || link.persistent)
		return -EEXIST;
	*ret_ifindex = link.ifindex;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int tap_keep(int fd, uid_t uid)
{
	if (ioctl(fd, TUNSETOWNER, (unsigned long)uid) < 0)
		return -errno;
	return ioctl(fd, TUNSETPERSIST, 1UL) < 0 ? -errno : 0;
}

static int set_ipv6(
	const struct tap_dirs *dirs, const char *name, const char *key, const char *value)
{
	char path[64];
	_close_ int fd = -1;

	(void)snprintf(path, sizeof(path), "%s/%s", name, key);
	fd = openat(dirs->ipv6, path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, value, 1) == 1 ? 0 : -EIO;
}

/* The guest's network is IPv4; on IPv6 the host would speak to it unasked. */
static int no_ipv6(const struct tap_dirs *dirs, const char *name)
{
	int r;

	if (dirs->ipv6 < 0)
		return 0;
	r = set_ipv6(dirs, name, "accept_ra", "0");
	return r < 0 ? r : set_ipv6(dirs, name, "disable_ipv6", "1");
}

int tap_settle(const struct tap_dirs *dirs, struct nlmsg *nl, const struct tap *tap,
	uint32_t ifindex, bool forwarding)
{
	char alias[64];
	int r;

	(void)snprintf(
		alias, sizeof(alias), "banger uid %u slot %u", (unsigned)tap->uid, tap->slot);
	r = netlink_link_setup(nl, ifindex, alias, forwarding);
	return r < 0 ? r : no_ipv6(dirs, tap->name);
}

int tap_configure(
	const struct tap_dirs *dirs, struct nlmsg *nl, const struct tap *tap, uint32_t ifindex)
{
	int r = tap_settle(dirs, nl, tap, ifindex, false);

	if (r >= 0)
		r = netlink_addr_add(nl, ifindex, tap->gateway);
	if (r >= 0)
		r = netlink_link_up(nl, ifindex);
	if (r >= 0)
		r = netlink_route_add(nl, ifindex, tap->guest, tap->gateway);
	return r;
}

bool tap_intact(struct nlmsg *nl, const struct tap *tap, uint32_t ifindex)
{
	struct netlink_link link;

	return ifindex != 0 && netlink_link_get(nl, ifindex, NULL, &link) >= 0 &&
	       bg_streq(link.name, tap->name) && link.is_tun && link.is_tap && link.persistent &&
	       link.has_owner && link.owner == tap->uid;
}

int tap_remove(struct nlmsg *nl, const struct tap *tap, uint32_t ifindex)
{
	struct netlink_link link = {0};
	int r = netlink_link_get(nl, ifindex, tap->name, &link);
	bool ours =
		ifindex ? bg_streq(link.name, tap->name) : link.has_owner && link.owner == tap->uid;

	if (r >= 0 && link.is_tun && ours)
		r = netlink_link_del(nl, link.ifindex);
	return r == -ENODEV ? 0 : r;
}
