/* SPDX-License-Identifier: ISC */
/* cmd_vm_run.h: vm run, from a checkout to a shell in a VM that has it; its row is in cmd_workspace.c. */
#ifndef BG_CLI_CMD_VM_RUN_H
#define BG_CLI_CMD_VM_RUN_H

#include "cli/cli.h"

extern const struct flag run_flags[];

int vm_run(struct cli *cli, const struct args *args, struct bg_err **err);

#endif
