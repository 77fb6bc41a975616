/* SPDX-License-Identifier: ISC */
/* cmd_exec.h: the commands that run something in a guest through its agent; rows in cmd_vm.c. */
#ifndef BG_CLI_CMD_EXEC_H
#define BG_CLI_CMD_EXEC_H

#include "cli/cli.h"

extern const struct flag exec_flags[];

int vm_exec(struct cli *cli, const struct args *args, struct bg_err **err);

#endif
