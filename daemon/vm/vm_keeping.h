/* SPDX-License-Identifier: ISC */
/* vm_keeping.h: what a suspend or a resume holds between its steps: files in memory, and what is known of them so far. */
#ifndef BG_DAEMON_VM_VM_KEEPING_H
#define BG_DAEMON_VM_VM_KEEPING_H

#include "common/base.h"
#include "common/fd.h"
#include "daemon/vm/vm_saved.h"

struct vm_keeping {
	int memory, state,
		exe; /* the guest's memory, its devices' state, the VMM's program; -1: not open */
	char binary[65]; /* the digest of exe */
	char *saved;	 /* taken out of the row, before the guest runs */
	bool ran;	 /* the guest was told to go on: what was saved is of no use any more */
	bool lost;	 /* the VMM ended while it was given the state: by its exit it is judged */
	bool cold;	 /* it does not go on from there, and why */
	char why[VM_SAVED_WHY];
};

static inline struct vm_keeping *vm_keeping_new(void)
{
	struct vm_keeping *k = calloc(1, sizeof(*k));

	if (k)
		k->memory = k->state = k->exe = -1;
	return k;
}

static inline void vm_keeping_free(struct vm_keeping *k)
{
	if (!k)
		return;
	bg_close(k->memory);
	bg_close(k->state);
	bg_close(k->exe);
	free(k->saved);
	free(k);
}

#endif
