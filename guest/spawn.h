/* SPDX-License-Identifier: ISC */
/*
 * spawn.h: starts the process of a session: descriptors or a terminal, user, folder,
 * environment. Called by session.c, in the agent; what fails after the fork is said on the
 * session's stderr and is an exit status, as a shell does it.
 */
#ifndef BG_GUEST_SPAWN_H
#define BG_GUEST_SPAWN_H

#include <sys/types.h>

#include "common/agent_exec.h"

/* Exit statuses of a command that did not start. */
enum { SPAWN_FAILED = 125, SPAWN_NO_EXEC = 126, SPAWN_NOT_FOUND = 127 };

struct spawned {
	pid_t pid;	       /* leader of a session and a process group of its own */
	int fd[BG_AGENT_SUBS]; /* our ends, nonblocking; -1: none */
};

/* fd of ret is filled on success only; 0 or -errno. */
int spawn(const struct bg_exec *x, struct spawned *ret);

#endif
