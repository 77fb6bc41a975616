/* SPDX-License-Identifier: ISC */
/* ports.h: the text of /proc/net/tcp and its like, as a list of what listens. Pure. */
#ifndef BG_GUEST_PORTS_H
#define BG_GUEST_PORTS_H

#include "common/base.h"

struct port {
	const char *proto; /* "tcp", "tcp6", "udp", "udp6" */
	char address[48];
	unsigned port;
	unsigned long inode;
	int pid;       /* 0: not known */
	char name[32]; /* of the process */
};

enum { PORTS_MAX = 512 };

/* Appends the sockets of one table that wait for peers; returns the new count. */
size_t ports_parse(const char *proto, const char *text, struct port *list, size_t count);

#endif
