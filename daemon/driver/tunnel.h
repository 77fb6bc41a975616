/* SPDX-License-Identifier: ISC */
/*
 * tunnel.h: one connection from a guest to a TCP port of this machine's loopback, carried by a stream of the agent: it
 * waits in the guest first (BG_AGENT_K_ACCEPT), and leads here once somebody there has connected. What either side does
 * not take yet is bounded by the stream's windows. One side's half close is passed on. Owned by expose.c; knows no VM.
 */
#ifndef BG_DAEMON_DRIVER_TUNNEL_H
#define BG_DAEMON_DRIVER_TUNNEL_H

#include "daemon/driver/guest.h"

struct tunnel;

struct tunnel_events {
	/* Somebody in the guest has connected. */
	void (*taken)(struct tunnel *tunnel, void *userdata);
	/* It is over and may be freed here; why: what the guest says that it cannot do, NULL for any other end. */
	void (*ended)(struct tunnel *tunnel, const char *why, void *userdata);
};

/* The guest listens on that port of host.vm already (BG_AGENT_K_EXPOSE). AGENT when there is no conversation. */
int tunnel_wait(struct loop *loop, struct guest *guest, uint16_t port,
	const struct tunnel_events *events, void *userdata, struct tunnel **ret,
	struct bg_err **err);
uint16_t tunnel_port(const struct tunnel *tunnel);
/* Nobody in the guest has connected yet. */
bool tunnel_waits(const struct tunnel *tunnel);
/* Ends the connection too. Takes NULL. */
void tunnel_free(struct tunnel *tunnel);
BG_DEFINE_UNREF(tunnel, struct tunnel *, tunnel_free)

#endif
