/* SPDX-License-Identifier: ISC */
/*
 * dial.h: the connections of a network job. A process beside the worker, the dialer, looks names up and begins
 * connections; the worker, which speaks TLS and HTTP with servers, has no right to a socket of its own. So one that was
 * taken over by what a server sent gets no nearer than reach.h allows: the dialer was told what the user named before the
 * first byte came, and believes nothing that the worker says later.
 *
 * Each question goes over the dialer's socket with one end of a pair, which the answer comes back on: threads may ask
 * at once. Called by net.c and getaddrinfo.c; dialer.c starts and seals it.
 */
#ifndef BG_WORKER_DIAL_H
#define BG_WORKER_DIAL_H

#include <netdb.h>
#include <sys/socket.h>

#include "common/base.h"

/* From now on sockets come from the dialer behind fd. Without this call (sanitizers, unit tests) they are this process's own, as reach.h allows. */
void dial_through(int fd);
/* Whether there is a dialer. */
bool dial_is_elsewhere(void);
/*
 * A socket for a connection to that address, the caller's, or -EACCES when it is too near, or -errno. With a dialer the
 * connection has begun, does not block, and the seal answers connect() with EINPROGRESS, which is the truth.
 */
int dial_to(const struct sockaddr *to, socklen_t len, int type, int protocol);
/* getaddrinfo by the dialer: 0 and *ret, for dial_free_names, or an EAI_ code. */
int dial_names(
	const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **ret);
void dial_free_names(struct addrinfo *list);
/* The dialer's life: answers what comes over fd until its other end closes. */
void dial_serve(int fd);

#endif
