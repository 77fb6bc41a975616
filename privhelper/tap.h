/* SPDX-License-Identifier: ISC */
/*
 * tap.h: one tap device from nothing to configured, in the parts between which
 * the ledger is written. Called by verb_net.c with values that policy derived.
 * Owns nothing beyond a call. Must never open a tap that exists already.
 */
#ifndef BG_PRIVHELPER_TAP_H
#define BG_PRIVHELPER_TAP_H

#include <sys/types.h>

#include "common/priv_proto.h"
#include "privhelper/netlink.h"

struct tap_dirs {
	int tun;  /* /dev/net */
	int ipv6; /* /proc/sys/net/ipv6/conf; -1 where the kernel has no IPv6 */
};

struct tap {
	char name[PRIV_NAME];
	uint32_t guest, gateway;
	uid_t uid;
	unsigned slot;
};

/* The two folders, at start. 0 or -errno. */
int tap_dirs_open(struct tap_dirs *ret);
/*
 * Makes the device; it vanishes with *ret_fd until tap_keep. -EEXIST when the name is
 * taken, -ENODEV when /dev/net/tun cannot be opened.
 */
int tap_create(const struct tap_dirs *dirs, struct nlmsg *nl, const struct tap *tap, int *ret_fd,
	uint32_t *ret_ifindex);
/* Gives it to the user, then makes it stay. In this order: nobody else can ever attach to it. */
int tap_keep(int fd, uid_t uid);
/* Its settings alone; also of a tap that has been up, since others may have changed them. */
int tap_settle(const struct tap_dirs *dirs, struct nlmsg *nl, const struct tap *tap,
	uint32_t ifindex, bool forwarding);
/* The settings, without forwarding, then address, up and route. */
int tap_configure(
	const struct tap_dirs *dirs, struct nlmsg *nl, const struct tap *tap, uint32_t ifindex);
/* Whether the device of that index is this tap and still as it was made. */
bool tap_intact(struct nlmsg *nl, const struct tap *tap, uint32_t ifindex);
/*
 * Removes the device of that index if it has this tap's name and kind; else nothing. 0 or -errno. Index 0: it
 * is lost. Then the one of that name, if also its owner is right.
 */
int tap_remove(struct nlmsg *nl, const struct tap *tap, uint32_t ifindex);

#endif
