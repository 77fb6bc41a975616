/* SPDX-License-Identifier: ISC */
/*
 * spawn.h: starts a program with exactly the descriptors named, without waiting for it: not for its turn on a processor, nor
 * for its file on the disk.
 */
#ifndef BG_DAEMON_LOOP_SPAWN_H
#define BG_DAEMON_LOOP_SPAWN_H

#include <sys/types.h>

#include "common/base.h"
#include "common/err.h"

#define SPAWN_FDS_MAX 16

struct spawn {
	const char *path;	 /* absolute, or a name looked up in PATH */
	const char *const *argv; /* NULL-terminated */
	const char *const *env;	 /* NULL: the caller's */
	/* fd[i] becomes descriptor i of the program; -1 is /dev/null for 0-2, absent above */
	int fd[SPAWN_FDS_MAX];
	unsigned n_fds;	  /* at least 3 */
	bool new_session; /* setsid: outlives the terminal and its signals */
	/* SIGTERM and SIGHUP are blocked: what ends a session ends all of it at once, and this is ended by us */
	bool holds_term;
};

/* The child's status when a program that is there and may be run cannot be: no program of this machine. */
enum { SPAWN_EXIT_NO_EXEC = 127 };

/* *ret_pidfd is the caller's. Signal mask and handlers of the program are the defaults. */
int spawn_process(const struct spawn *spawn, pid_t *ret_pid, int *ret_pidfd, struct bg_err **err);

#endif
