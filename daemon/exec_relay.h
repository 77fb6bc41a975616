/* SPDX-License-Identifier: ISC */
/*
 * exec_relay.h: one session of a client: the connection that it upgraded, joined with a stream of
 * the guest. Frames go through; windows bound what is held (guest.h). It frees itself when either
 * side is gone.
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

/* Ends the call, by 101 and what follows or by an error. accept: the answer to a WebSocket (ws_accept), whose messages then carry the frames; else NULL. */
void exec_relay_start(struct engine *engine, struct http_call *call, struct guest *guest,
	const struct bg_exec *exec, const char *accept);
/* Ends the sessions of this owner (http_call_set_owner). */
void exec_relay_end(struct engine *engine, uint64_t owner);

#endif
