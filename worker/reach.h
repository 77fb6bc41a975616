/* SPDX-License-Identifier: ISC */
/*
 * reach.h: how near the servers of a network job may be. The user names one, wherever it is; what
 * it answers (redirects, the server for tokens) leads no nearer: a registry on the internet sends
 * nobody to this host, its guests or the network around, one on the network around not to this
 * host. Called by net.c; one job a process. It binds what servers say, not a worker that was taken
 * over: no filter of the kernel sees addresses.
 */
#ifndef WORKER_REACH_H
#define WORKER_REACH_H

#include <sys/socket.h>

#include "common/base.h"

enum reach {
	REACH_WORLD,
	REACH_PRIVATE, /* the addresses of private networks */
	REACH_HERE,    /* this host, its guests, its link; metadata of clouds */
};

/* Before the seal: asks for this host's addresses. */
void reach_start(void);
enum reach reach_of(const struct sockaddr *sa);
/* Whether a connection may be made. Until the first answer it is to what the user named. */
bool reach_allows(const struct sockaddr *sa);
/* A server has answered. */
void reach_answered(void);
/* The job's first server is the word of the one in this URL already: of a catalog on the network.
 * May block. */
void reach_after(const char *url);

#endif
