/* SPDX-License-Identifier: ISC */
/*
 * sandbox.h: what banger-worker gives up, in two stages. After the second it can read, write and
 * map what it was handed, and nothing else: no path, no socket, no program. A job that speaks to
 * servers can also make outgoing IP connections and read what naming and TLS need (resolv.conf,
 * the certificates of authorities).
 */
#ifndef BG_WORKER_SANDBOX_H
#define BG_WORKER_SANDBOX_H

#include "common/err.h"

/*
 * Stage 1, before the request is read. Must: close what was inherited beyond the job socket, die
 * with the parent, no_new_privs, resource limits. Must not: need anything of the request.
 */
int sandbox_enter(struct bg_err **err);
/*
 * Stage 2, before the first foreign byte. Must: CPU limit, Landlock where the kernel has it,
 * seccomp. Must not: fail silently; only a missing Landlock is accepted.
 */
int sandbox_seal(int deadline_s, bool net, struct bg_err **err);

#endif
