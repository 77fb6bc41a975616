/* SPDX-License-Identifier: ISC */
/*
 * netlink.h: the few rtnetlink requests that a tap needs, each answered before
 * the call returns. Called by tap.c and the verbs. Must never take an interface by a name that the
 * ledger does not vouch for: changes go by index.
 */
#ifndef BG_PRIVHELPER_NETLINK_H
#define BG_PRIVHELPER_NETLINK_H

#include <net/if.h>
#include <sys/types.h>

#include "privhelper/nlmsg.h"

struct netlink_link {
	uint32_t ifindex;
	char name[IFNAMSIZ];
	bool is_tun; /* the tun driver's; the rest is only valid then */
	bool is_tap; /* and not a tun, multi-queue, or with packet information */
	bool persistent;
	bool has_owner;
	uid_t owner;
};

/* Opens the socket with the rights of this moment. 0 or -errno. */
int netlink_open(struct nlmsg *nl);
/* Cookie of a socket's network namespace; 0 where the kernel has none (before 5.14). */
uint64_t netlink_netns(int sock);
/* By index, or by name when ifindex is 0. -ENODEV when there is none. */
int netlink_link_get(
	struct nlmsg *nl, uint32_t ifindex, const char *name, struct netlink_link *ret);
/* IPv4 settings of an interface that faces a guest, and its alias. forwarding: what comes in may go on. */
int netlink_link_setup(struct nlmsg *nl, uint32_t ifindex, const char *alias, bool forwarding);
int netlink_link_up(struct nlmsg *nl, uint32_t ifindex);
/* -ENODEV when it is gone already. */
int netlink_link_del(struct nlmsg *nl, uint32_t ifindex);
/* address/32 on the interface; -EEXIST when it has it. Addresses are numbers. */
int netlink_addr_add(struct nlmsg *nl, uint32_t ifindex, uint32_t address);
/* Host route to guest through the interface, with this source. */
int netlink_route_add(struct nlmsg *nl, uint32_t ifindex, uint32_t guest, uint32_t source);
/* A user's /24 as unreachable, below all more special routes: on, or no longer. Done already is not an error. */
int netlink_route_unreachable(struct nlmsg *nl, uint32_t net, bool on);
/* Takes away what an earlier pool left of that for the same user, whose number is the third byte of net. */
int netlink_route_tidy(struct nlmsg *nl, uint32_t net);
/* 1: the host has a route of its own, but the default one (or its halves, as VPNs write it), that reaches into the /24; or 0, -errno. */
int netlink_route_overlaps(struct nlmsg *nl, uint32_t net);

#endif
