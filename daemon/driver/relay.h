/* SPDX-License-Identifier: ISC */
/*
 * relay.h: one TCP port of this machine's loopback that leads to a port of a guest. Connections are
 * carried by the engine itself, each with a bounded buffer in each direction: a reader that stops
 * stops the writer behind it. One end's half close is passed on. Owned by publish.c; knows no VM.
 */
#ifndef BG_DAEMON_DRIVER_RELAY_H
#define BG_DAEMON_DRIVER_RELAY_H

#include <netinet/in.h>

#include "common/base.h"
#include "common/err.h"
#include "daemon/loop/loop.h"

struct relay;

/*
 * Listens on 127.0.0.1:port from now on. PORT_TAKEN when another program does, IO for what else may be (a port
 * below 1024 needs a right that the daemon does not have).
 */
int relay_open(struct loop *loop, uint16_t port, const struct sockaddr_in *target,
	struct relay **ret, struct bg_err **err);
/* From now on; connections that are there stay where they lead. */
void relay_lead_to(struct relay *relay, const struct sockaddr_in *target);
/* Ends its connections too. Takes NULL. */
void relay_free(struct relay *relay);
BG_DEFINE_UNREF(relay, struct relay *, relay_free)

unsigned relay_connections(const struct relay *relay);

/* Whether the port could be listened on now; the error as relay_open has it. */
int relay_try(uint16_t port, struct bg_err **err);

#endif
