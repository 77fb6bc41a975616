/* SPDX-License-Identifier: ISC */
/*
 * exec_relay.h: one session of a client: the connection that it upgraded, joined with a stream of
 * the guest. Frames go through; windows bound what is held (guest.h). It frees itself when either
 * side is gone; a kept one (exec_kept.h) waits EXEC_KEPT_S for its client to come back.
 */
#ifndef BG_DAEMON_EXEC_RELAY_H
#define BG_DAEMON_EXEC_RELAY_H

#include <sys/queue.h>

#include "daemon/http/http.h"

struct bg_exec;
struct engine;
struct exec_relay;
struct guest;

/* All that there are: the engine has one. */
LIST_HEAD(exec_relay_list, exec_relay);

/* Number of the stream in a client's frames. */
enum { EXEC_RELAY_STREAM = 1 };
/* A frame of the daemon's own: exec_kept_head. The first of a session that is kept, on each connection. */
enum { EXEC_RELAY_KEPT = 64 };

struct exec_ws {
	const char *accept; /* the answer (ws_accept) */
	const char *keep; /* a valid id (exec_kept.h); NULL: the session ends with its connection */
	uint64_t seen;	  /* with keep: bytes of output that the client has */
};

/* Ends the call, by 101 and what follows or by an error. ws: of a WebSocket, whose messages then carry the frames; else NULL. */
void exec_relay_start(struct engine *engine, struct http_call *call, struct guest *guest,
	const struct bg_exec *exec, const struct exec_ws *ws);
/* Ends the sessions of this owner (http_call_set_owner). */
void exec_relay_end(struct engine *engine, uint64_t owner);

#endif
