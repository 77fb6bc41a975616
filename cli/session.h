/* SPDX-License-Identifier: ISC */
/*
 * session.h: runs one command in a guest through the agent, joined with descriptors of ours.
 * Used by vm exec, and by every command that needs something done in a guest. Blocks until the
 * command has ended; holds at most a window (BG_AGENT_WINDOW) of each stream. The descriptors stay the
 * caller's, are not made nonblocking, and are not closed.
 */
#ifndef BG_CLI_SESSION_H
#define BG_CLI_SESSION_H

#include "cli/client.h"

struct session {
	const char *vm;
	const char *kind;	    /* NULL: "run"; else a part of the agent (docs/exec.md) */
	const char *const *argv;    /* ends with NULL; empty: the user's login shell */
	const char *const *env;	    /* ends with NULL, "NAME=VALUE"; NULL: none */
	const char *user, *workdir; /* NULL: root, and the home */
	unsigned timeout_s;	    /* 0: none */
	bool tty;		    /* a terminal over there; raw mode here when in is one */
	bool signals;	  /* pass INT, TERM, HUP and QUIT on; a second INT leaves at once */
	bool out_blocks;  /* write out in whole pieces: its reader waits for nothing of ours */
	int in, out, err; /* -1: no input; what is written is dropped */
};

/*
 * 0 and the exit status of the command, 128 + N after signal N; or -errno: the daemon's refusal,
 * EXEC_TIMEOUT, EXEC_LOST when the connection or the VM went away, CANCELLED after a second INT.
 */
int session_run(
	struct cli *cli, const struct session *session, int *ret_status, struct bg_err **err);

/*
 * For short answers: runs the session with its output collected, *ret the caller's text of at most max bytes
 * (the rest is dropped), what it says on stderr is dropped. session's in, out and err are not used.
 */
int session_text(struct cli *cli, const struct session *session, size_t max, int *ret_status,
	char **ret, struct bg_err **err);

#endif
