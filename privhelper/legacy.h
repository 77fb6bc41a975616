/* SPDX-License-Identifier: ISC */
/*
 * legacy.h: whether iptables-legacy's rules, which are none of nf_tables, drop what guests with
 * NAT send. Called by verb_nat.c. Owns a socket. Only looks: the one way to change these rules is
 * to read and write all of them, with no way to notice another's change in between but a lock file
 * that is root's.
 */
#ifndef BG_PRIVHELPER_LEGACY_H
#define BG_PRIVHELPER_LEGACY_H

#include "common/base.h"

struct legacy {
	int fd;
	uint8_t entries[256 * 1024] __attribute__((aligned(8)));
};

/* At start. 0 or -errno. */
int legacy_open(struct legacy *l);
/*
 * FORWARD's policy is DROP, and no rule of it accepts from and to interfaces named bgr*. Also true
 * for more rules than can be read here.
 */
bool legacy_drops(struct legacy *l);

#endif
