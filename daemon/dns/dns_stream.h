/* SPDX-License-Identifier: ISC */
/*
 * dns_stream.h: DNS messages over one TCP connection, each behind its length (RFC 1035, 4.2.2). Called by
 * dns.c for guests that come by TCP and for the resolver that their questions go to. Owns the socket. Must never hold
 * more of what its peer sent than one message, nor more for it than DNS_STREAM_OUT_MAX bytes.
 */
#ifndef BG_DAEMON_DNS_DNS_STREAM_H
#define BG_DAEMON_DNS_DNS_STREAM_H

#include "daemon/loop/loop.h"

enum { DNS_STREAM_OUT_MAX = 1024 * 1024 };

struct dns_stream;

/* A whole message came. The stream may be freed in it. */
typedef void (*dns_stream_fn)(const uint8_t *packet, size_t len, void *userdata);
/* It ended, or cannot go on; told once, and the owner frees it. */
typedef void (*dns_stream_end_fn)(void *userdata);

/* sock is taken: connected, or connecting; not blocking. */
int dns_stream_new(struct loop *loop, int sock, dns_stream_fn message, dns_stream_end_fn end,
	void *userdata, struct dns_stream **ret);
/* Now or as soon as the peer reads. -ENOBUFS: it reads too little. */
int dns_stream_send(struct dns_stream *s, const void *packet, size_t len);
void dns_stream_free(struct dns_stream *s);

#endif
