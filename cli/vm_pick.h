/* SPDX-License-Identifier: ISC */
/*
 * vm_pick.h: the VMs that a command line means: names as they stand, patterns
 * ("web-*") and --all matched against what the daemon lists. Owns copies of the names.
 */
#ifndef BG_CLI_VM_PICK_H
#define BG_CLI_VM_PICK_H

#include "cli/cli.h"

struct vm_pick {
	char **names; /* each once, in the order given */
	size_t count;
};

/*
 * done: the state that the command leads to, and others in which it has nothing to do ("stopped suspended"); a pattern and --all
 * pass over VMs that are in one (NULL: over none). A name without a pattern is taken as it is: the daemon judges it. VM_NOT_FOUND for a pattern
 * that no VM's name matches; USAGE for neither names nor --all, or both. *ret may be empty.
 */
int vm_pick(struct cli *cli, const struct args *args, const char *done, struct vm_pick *ret,
	struct bg_err **err);
void vm_pick_add(struct vm_pick *pick, const char *name);
void vm_pick_clear(struct vm_pick *pick);
#define _pick_ _cleanup_(vm_pick_clear)

#endif
