/* SPDX-License-Identifier: ISC */
/*
 * applet.h: what the agent itself can do for a session, in the session's own process: spawn.c calls
 * it there, with the streams on 0, 1 and 2, as the user and in the folder of the request.
 */
#ifndef BG_GUEST_APPLET_H
#define BG_GUEST_APPLET_H

#include "common/agent_exec.h"

/* The listening socket of a BG_AGENT_K_ACCEPT; closed when there is none. */
enum { APPLET_FD = 3 };

/* For every kind but BG_AGENT_K_RUN: the exit status. Errors are said on stderr. */
int applet_run(const struct bg_exec *x);

/* One each, in files of their own. */
int applet_ports(void);
int applet_stats(void);

#endif
