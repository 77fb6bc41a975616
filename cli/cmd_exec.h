/* SPDX-License-Identifier: ISC */
/* cmd_exec.h: the commands that run something in a guest through its agent; rows in cmd_vm.c. */
#ifndef BG_CLI_CMD_EXEC_H
#define BG_CLI_CMD_EXEC_H

#include "cli/cli.h"

extern const struct flag exec_flags[];

/* A shell of the agent's, or a command for one. What vm ssh falls back to. */
int exec_shell(struct cli *cli, const char *vm, const char *command, struct bg_err **err);
int vm_connect(struct cli *cli, const struct args *args, struct bg_err **err);
int vm_exec(struct cli *cli, const struct args *args, struct bg_err **err);

#endif
