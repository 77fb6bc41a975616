/* SPDX-License-Identifier: ISC */
/* usage.h: what running VMs use of the host, and what their guests say of themselves. */
#ifndef BG_DAEMON_VM_USAGE_H
#define BG_DAEMON_VM_USAGE_H

#include <jansson.h>

struct engine;
struct vm;

/*
 * The record without the guest's part; NULL when it has no VMM. cpu_percent is over the time since somebody last
 * looked (at least a quarter of a second: who looks again before that is told the same), null at the first look.
 */
json_t *usage_of(struct vm *vm);
/* A list of the records of all that run, by name. */
json_t *usage_of_all(struct engine *engine);

/*
 * Asks the agent. fn comes once from the loop, with a record (borrowed) or NULL when the guest does not answer within three
 * seconds. False: there is nobody to ask, and fn does not come. The look ends by itself, with the VM's conversation too.
 */
bool usage_ask_guest(
	struct vm *vm, void (*fn)(const json_t *record, void *userdata), void *userdata);

#endif
