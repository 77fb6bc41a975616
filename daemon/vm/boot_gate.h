/* SPDX-License-Identifier: ISC */
/*
 * boot_gate.h: how many guests boot at once. A boot is the one part of a VM's life that takes whole processors; ten that
 * share two all come up late, or beyond their deadline. So each start takes a turn before it spawns its VMM (vm_start.c) and
 * frees it once the guest is ready or has failed; the others wait in the order in which they came, their deadlines not begun.
 *
 * Image builds take turns in the same way, in a gate of their own (asset/image_build.c).
 *
 * Owned by the engine, turns by their tasks. Nothing of it is on record: after a crash nobody boots.
 */
#ifndef BG_DAEMON_VM_BOOT_GATE_H
#define BG_DAEMON_VM_BOOT_GATE_H

#include "common/base.h"

struct boot_gate;
struct boot_turn;

/* The turn has come. May free other turns, and its own. */
typedef void (*boot_turn_fn)(void *userdata);

int boot_gate_new(struct boot_gate **ret);
/* After all its turns were freed. */
void boot_gate_free(struct boot_gate *gate);

/*
 * limit: how many may have their turn at once, 1 or more; the last one asked with counts. True in *waits: not yet, fn will
 * be called; false: it is there, fn never is. *ret is the caller's. 0 or -ENOMEM.
 */
int boot_turn_take(struct boot_gate *gate, unsigned limit, boot_turn_fn fn, void *userdata,
	bool *waits, struct boot_turn **ret);
/* Ends the turn, which may let others in (their fn is called from here), or leaves the queue. NULL is fine. */
void boot_turn_free(struct boot_turn *turn);
bool boot_turn_waits(const struct boot_turn *turn);

#endif
