/* SPDX-License-Identifier: ISC */
/* cmd_cp.h: vm cp; its row is in cmd_vm.c. */
#ifndef BG_CLI_CMD_CP_H
#define BG_CLI_CMD_CP_H

#include "cli/cli.h"

int vm_cp(struct cli *cli, const struct args *args, struct bg_err **err);

#endif
