/* SPDX-License-Identifier: ISC */
/* cmd_vm_many.h: the commands that work on any number of VMs; their rows are in cmd_vm.c. */
#ifndef BG_CLI_CMD_VM_MANY_H
#define BG_CLI_CMD_VM_MANY_H

#include "cli/jobs.h"

int vm_start(struct cli *cli, const struct args *args, struct bg_err **err);
int vm_stop(struct cli *cli, const struct args *args, struct bg_err **err);
int vm_restart(struct cli *cli, const struct args *args, struct bg_err **err);
int vm_pause(struct cli *cli, const struct args *args, struct bg_err **err);
int vm_resume(struct cli *cli, const struct args *args, struct bg_err **err);
int vm_suspend(struct cli *cli, const struct args *args, struct bg_err **err);
int vm_kill(struct cli *cli, const struct args *args, struct bg_err **err);
int vm_set(struct cli *cli, const struct args *args, struct bg_err **err);
/* OLD NEW, of one VM. */
int vm_name(struct cli *cli, const struct args *args, struct bg_err **err);
int vm_delete(struct cli *cli, const struct args *args, struct bg_err **err);
int vm_prune(struct cli *cli, const struct args *args, struct bg_err **err);

/* "web is ready in 4.2 s, at 10.209.1.2"; address may be NULL. */
void vm_report_line(struct cli *cli, const struct job *job, const char *what, const char *address);
/* The same with the record's address, and a line on stderr when it has no ssh server. */
void vm_report_ready(struct cli *cli, const struct job *job, const char *what);
/* The record that the operation ended with, borrowed. */
const json_t *vm_report_record(const struct job *job);
/* What the operation was about: the daemon's word, which knows names it found itself. */
const char *vm_report_target(const struct job *job);

#endif
