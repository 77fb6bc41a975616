/* SPDX-License-Identifier: ISC */
/*
 * sandbox.h: what banger-worker gives up, in two stages. After the second it can read, write and
 * map what it was handed, and nothing else: no path, no socket, no program. A job that speaks to
 * servers can also read the certificates of authorities and use the connections that its dialer makes, which
 * can make outgoing IP connections and read what naming needs (dial.h); one that empties folders can list and remove what is in those
 * it was handed; one that receives a tree can make files, folders and links in the folder it was handed.
 */
#ifndef BG_WORKER_SANDBOX_H
#define BG_WORKER_SANDBOX_H

#include "common/err.h"

enum sandbox_kind {
	SANDBOX_FILES,
	SANDBOX_NET,
	SANDBOX_DIAL,
	SANDBOX_EMPTY,
	SANDBOX_LIST,
	SANDBOX_RECEIVE
};

/*
 * Stage 1, before the request is read. Must: close what was inherited beyond the job socket, die
 * with the parent, no_new_privs, resource limits. Must not: need anything of the request.
 */
int sandbox_enter(struct bg_err **err);
/*
 * Stage 2, before the first foreign byte. Must: CPU limit, Landlock where the kernel has it,
 * seccomp. Must not: fail silently; only a missing Landlock is accepted. fds: the job's n, borrowed.
 */
int sandbox_seal(
	int deadline_s, enum sandbox_kind kind, const int *fds, size_t n, struct bg_err **err);

#endif
