/* SPDX-License-Identifier: ISC */
/* cmd_vm_io.h: the commands that carry a VM's bytes to the terminal; rows in cmd_vm.c. */
#ifndef BG_CLI_CMD_VM_IO_H
#define BG_CLI_CMD_VM_IO_H

#include "cli/cli.h"

int vm_logs(struct cli *cli, const struct args *args, struct bg_err **err);
/* "has no ssh server…", with the reason if there is one; NULL when it has one. */
const char *vm_lacks_ssh(const json_t *vm);
/* Why ssh cannot reach the VM of this record: VM_STATE, VM_NOT_READY, VM_NO_SSH. */
int vm_check_reachable(const char *name, const json_t *vm, struct bg_err **err);
extern const struct flag ssh_flags[];
int vm_ssh(struct cli *cli, const struct args *args, struct bg_err **err);

#endif
