/* SPDX-License-Identifier: ISC */
/* cmd_unit.h: what the user units run (packaging/): hidden commands. */
#ifndef BG_CLI_CMD_UNIT_H
#define BG_CLI_CMD_UNIT_H

#include "cli/args.h"

/* __session-end: the stop of banger-guests.service. Shuts all VMs down and ends the daemon, which is started for it where VMs run without. */
int session_end(struct cli *cli, const struct args *args, struct bg_err **err);
/* __vm-unit NAME: banger-vm@NAME.service. Starts the VM, says READY=1 once it is ready, and stays until it is down; TERM shuts it down. */
int vm_unit(struct cli *cli, const struct args *args, struct bg_err **err);

#endif
