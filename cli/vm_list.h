/* SPDX-License-Identifier: ISC */
/* vm_list.h: the list of VMs, and what it and `vm show` have in common. */
#ifndef BG_CLI_VM_LIST_H
#define BG_CLI_VM_LIST_H

#include "cli/cli.h"
#include "common/size.h"

/* The state in one word, with what else the reader must know of it; static or borrowed from vm. */
const char *vm_state_word(const json_t *vm, enum style *style);
/* For how long it has run, "" when it does not. */
const char *vm_uptime(const json_t *vm, char out[DURATION_TEXT]);
/* What the memory of a suspended one takes on the disk. */
const char *vm_suspended_size(const json_t *vm, char out[BG_SIZE_TEXT]);
int vm_list(struct cli *cli, const struct args *args, struct bg_err **err);

#endif
