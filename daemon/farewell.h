/* SPDX-License-Identifier: ISC */
/*
 * farewell.h: the end of the session or the machine. VMs are shut down, each by its agent, then the engine stops. Bounded by what
 * systemd gives a session (90 s). Called by the engine for a SIGTERM of the init process; VMMs do not end by theirs.
 */
#ifndef BG_DAEMON_FAREWELL_H
#define BG_DAEMON_FAREWELL_H

struct engine;

/* Ends in engine_stop. Calls while it is under way do nothing. */
void farewell_begin(struct engine *engine);

#endif
