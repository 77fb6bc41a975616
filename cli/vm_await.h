/* SPDX-License-Identifier: ISC */
/* vm_await.h: who wants to reach a VM that is starting waits until it has, or until its agent answers. */
#ifndef BG_CLI_VM_AWAIT_H
#define BG_CLI_VM_AWAIT_H

#include "cli/cli.h"

enum vm_await {
	VM_AWAIT_AGENT, /* commands and copies need nothing else */
	VM_AWAIT_START	/* ssh, too */
};

/*
 * *err: why the VM could not be reached. True when it was starting and has come so far since: try again, *err is cleared. False: *err
 * stays, or is why the start failed. Ctrl-C ends the wait and not the start.
 */
bool vm_await(struct cli *cli, const char *name, enum vm_await until, struct bg_err **err);

#endif
