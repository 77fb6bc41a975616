/* SPDX-License-Identifier: ISC */
/*
 * expose.h: ports of the host's loopback that this VM was given (`--expose-host`). The agent listens at host.vm, an address
 * of the guest's loopback; each connection is taken by a session that the host began beforehand (BG_AGENT_K_ACCEPT),
 * so the host alone decides how many there are. Owns the listening sockets.
 */
#ifndef BG_GUEST_EXPOSE_H
#define BG_GUEST_EXPOSE_H

/* Exactly these ports from now on; what cannot be listened on is told by expose_accept. */
void expose_set(const char *const *ports);
/* None: the conversation ended. */
void expose_none(void);
/* The listening socket of that port, borrowed; -1: there is none. */
int expose_listener(const char *port);
/* In the session's process: waits on the listener, a descriptor that is closed when there is none. The exit status. */
int expose_accept(int listener, const char *port);

#endif
