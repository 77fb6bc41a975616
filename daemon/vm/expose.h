/* SPDX-License-Identifier: ISC */
/*
 * expose.h: ports of this machine's loopback that a VM was given: in the guest they are host.vm's. Which they are is JSON text
 * in the row, [5432, ...], NULL when there are none; each is carried by tunnels over the agent (tunnel.h), so it needs no
 * network and reaches nothing else of this machine.
 */
#ifndef BG_DAEMON_VM_EXPOSE_H
#define BG_DAEMON_VM_EXPOSE_H

#include <jansson.h>

#include "common/err.h"

struct expose; /* what is open */
struct vm;

/* Works a change out: add and remove are lists of ports, each may be NULL. *ret (the caller's) is the new text. BAD_REQUEST, VM_LIMITS. */
int expose_apply(
	const char *old, const json_t *add, const json_t *remove, char **ret, struct bg_err **err);
/* The row says other ports: makes what is open be what it says. Never fails: what cannot be open is in the log. */
void expose_follow(struct vm *vm);
/* The same when an agent has come; one that has gone took all with it. */
void expose_on_agent(struct vm *vm, bool connected);
/* The guest is gone, or goes. */
void expose_close(struct vm *vm);
/* The record: [{"port", "open"}, ...]. */
json_t *expose_to_json(const struct vm *vm);

#endif
