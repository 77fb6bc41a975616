/* SPDX-License-Identifier: ISC */
/*
 * vm_set.h: a change of a VM that is there: what may be changed, and when. Checked as a whole before
 * anything of it is done; see vm_set.c for the plan that does it.
 */
#ifndef BG_DAEMON_VM_VM_SET_H
#define BG_DAEMON_VM_VM_SET_H

#include <jansson.h>

#include "common/err.h"
#include "daemon/driver/net.h"

struct vm;

/* What POST .../set asks for; 0 and NULL leave things as they are. All is borrowed. */
struct vm_change {
	const char *name;
	bool has_nat, nat;
	bool has_peers, peers;
	bool has_with_init, with_init;
	bool has_balloon, no_balloon;
	bool has_autostart, autostart;
	bool has_restart;
	int restart; /* enum restart_policy */
	unsigned vcpus;
	uint64_t memory_mib;
	uint64_t disk_mib;
	uint64_t work_mib;
	const json_t *labels;		   /* as labels_apply takes them */
	const json_t *publish, *unpublish; /* as publish_apply takes them */
	const json_t *expose, *unexpose;   /* as expose_apply takes them */
};

/* The same, checked against the VM and worked out: what its row shall say. 0: as it is. */
struct vm_settings {
	char *name;
	bool renamed; /* name is the one that it had */
	bool has_nat, nat;
	bool has_peers, peers;
	bool has_with_init, with_init;
	bool has_balloon, no_balloon;
	bool has_autostart, autostart;
	bool has_restart;
	int restart;
	unsigned vcpus;
	uint64_t memory_mib;
	uint64_t disk_mib;
	uint64_t work_mib;
	bool has_labels, has_publish, has_expose;
	char *labels, *publish, *expose;
	bool published; /* publish is what it had */
	bool reached;	/* the helper was asked for another reach than had */
	struct net_reach had;
	bool swapped; /* these are in the row, and what it had is here */
};

/* VM_STATE, VM_LIMITS or BAD_REQUEST say what cannot be, and nothing is in *ret then. */
int vm_settings_make(const struct vm *vm, const struct vm_change *change, struct vm_settings *ret,
	struct bg_err **err);
void vm_settings_clear(struct vm_settings *settings);

#endif
