/* SPDX-License-Identifier: ISC */
/* cmd_stats.h: vm ports and vm stats; rows in cmd_vm.c. */
#ifndef BG_CLI_CMD_STATS_H
#define BG_CLI_CMD_STATS_H

#include "cli/cli.h"

int vm_ports(struct cli *cli, const struct args *args, struct bg_err **err);
int vm_stats(struct cli *cli, const struct args *args, struct bg_err **err);
/* What the running VMs use of the host, again and again. */
int top(struct cli *cli, const struct args *args, struct bg_err **err);

#endif
