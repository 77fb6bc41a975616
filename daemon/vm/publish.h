/* SPDX-License-Identifier: ISC */
/*
 * publish.h: the ports of a VM that its user published: which they are (JSON text in the row,
 * [{"host": N, "guest": N}, ...] by host port, NULL when there are none), and the relays that carry them
 * while the VM has an address. A host port belongs to one VM, running or not.
 */
#ifndef BG_DAEMON_VM_PUBLISH_H
#define BG_DAEMON_VM_PUBLISH_H

#include <jansson.h>

#include "common/err.h"

struct publish; /* what is open */
struct vm;
struct vms;

/*
 * Works a change out: add is a list of {host, guest}, remove a list of host ports, each may be NULL. *ret (the caller's)
 * is the new text. BAD_REQUEST, PORT_TAKEN (another VM has it; or, of a port that self (may be NULL) does not
 * listen on yet, another program), VM_LIMITS.
 */
int publish_apply(const struct vms *vms, const struct vm *self, const char *old, const json_t *add,
	const json_t *remove, char **ret, struct bg_err **err);

/*
 * Makes what is open be what text says; vm has an address. On failure all is as before.
 */
int publish_open(struct vm *vm, const char *text, struct bg_err **err);
/* Ends every relay: the VM has no address any more. */
void publish_close(struct vm *vm);
/* The record: [{"host", "guest", "open"}, ...]. */
json_t *publish_to_json(const struct vm *vm);

#endif
