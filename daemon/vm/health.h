/* SPDX-License-Identifier: ISC */
/*
 * health.h: does what runs still answer? Agents are pinged: every few seconds while somebody looks (follows the events, asked for VMs
 * of late), else one of them every fifteen seconds, each once a minute at most. One that does not
 * answer in time is shown in the VM's record; whether its VMM still does is asked then. Nothing is done about it. Owned by the engine.
 */
#ifndef BG_DAEMON_VM_HEALTH_H
#define BG_DAEMON_VM_HEALTH_H

#include "common/err.h"

struct engine;
struct health;
struct vm;

int health_new(struct engine *engine, struct health **ret, struct bg_err **err);
/* Looks under way are answered first, as things stand. NULL is fine. */
void health_free(struct health *health);

/*
 * Somebody reads records: those VMs (name NULL: all) that nothing was heard of lately are asked. True: fn will come, once, from the
 * loop, when they have answered or it took too long; false: all is known, it does not. NULL health: false.
 */
bool health_look(
	struct health *health, const char *name, void (*fn)(void *userdata), void *userdata);

/* "ok", "paused", "agent_silent", "vmm_silent"; NULL: it does not run, or is still booting. Static. */
const char *vm_health(const struct vm *vm);
/* Its process is gone, or another one begins. */
void vm_health_clear(struct vm *vm);

#endif
