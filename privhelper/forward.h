/* SPDX-License-Identifier: ISC */
/*
 * forward.h: the machine's own switch for forwarding, net.ipv4.ip_forward. Called by verb_nat.c.
 * Owns two descriptors. Must never turn it off: somebody else may rely on it by now.
 */
#ifndef BG_PRIVHELPER_FORWARD_H
#define BG_PRIVHELPER_FORWARD_H

#include "common/base.h"

struct forward {
	int dir;   /* /proc/sys/net/ipv4 */
	int value; /* ip_forward, to read */
};

/* At start. 0 or -errno. */
int forward_open(struct forward *ret);
/* Sees that it is on. 0, or -errno when it is off and stays so. */
int forward_ensure(const struct forward *f);

#endif
