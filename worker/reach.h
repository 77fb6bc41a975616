/* SPDX-License-Identifier: ISC */
/*
 * reach.h: how near the servers of a network job may be. The user names one, wherever it is; what it answers (redirects,
 * the server for tokens) leads no nearer: a registry on the internet sends nobody to this host, its guests or the network
 * around, one on the network around not to this host. The dialer asks it for each connection (dial.h); one job a process.
 */
#ifndef BG_WORKER_REACH_H
#define BG_WORKER_REACH_H

#include <sys/socket.h>

#include "common/base.h"

enum { REACH_NAMED_MAX = 8 };

enum reach {
	REACH_WORLD,
	REACH_PRIVATE, /* the addresses of private networks */
	REACH_HERE,    /* this host, its guests, its link; metadata of clouds */
};

/* Before the seal: asks for this host's addresses. */
void reach_start(void);
enum reach reach_of(const struct sockaddr *sa);
/* The user named this server: a URL, or HOST[:PORT]. Borrowed for good; at most REACH_NAMED_MAX. */
void reach_named(const char *server);
/* Whether a connection may be made: it is no nearer than the nearest address of those that were named. Looks these up at first: may block. */
bool reach_allows(const struct sockaddr *sa);

#endif
