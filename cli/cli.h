/* SPDX-License-Identifier: ISC */
/* cli.h: what one run of banger knows, and the tables of its commands. */
#ifndef BG_CLI_CLI_H
#define BG_CLI_CLI_H

#include "cli/args.h"
#include "cli/render.h"
#include "common/paths.h"

struct cli {
	struct bg_paths paths;
	struct term out, err;
	bool json;   /* --json was given */
	bool timing; /* --timing was given */
	bool listed; /* VMs were chosen by a pattern or --all: --json prints a list, also of one */
	uint64_t parallel; /* --parallel: operations at once; 0: the default */
};

/* Each ends with a row whose path is NULL. */
extern const struct command vm_commands[];
extern const struct command workspace_commands[];
extern const struct command image_commands[];
extern const struct command kernel_commands[];
extern const struct command op_commands[];
extern const struct command host_commands[];
/* All of them, ends with NULL. */
extern const struct command *const cli_commands[];

#endif
