/* SPDX-License-Identifier: ISC */
/*
 * exec_relay.h: one session of a client: the connection that it upgraded, joined with a stream of
 * the guest. Frames go through; windows bound what is held (guest.h). It frees itself when either
 * side is gone.
 */
#ifndef EXEC_RELAY_H
#define EXEC_RELAY_H

#include "daemon/http/http.h"

struct bg_exec;
struct guest;

/* Number of the stream in a client's frames. */
enum { EXEC_RELAY_STREAM = 1 };

/* Ends the call, by 101 and what follows or by an error. accept: the answer to a WebSocket (ws_accept), whose messages then carry the frames; else NULL. */
void exec_relay_start(struct loop *loop, struct http_call *call, struct guest *guest, const struct bg_exec *exec,
	const char *accept);

#endif
